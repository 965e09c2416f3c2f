//! The settings of an aggregation. Grafana writes many numbers as texts: both are read.

use serde_json::{Map, Value};

use crate::elastic::answer::Refusal;

/// An aggregation's settings.
pub struct Settings<'a> {
    name: &'a str,
    /// Its type.
    pub kind: &'a str,
    /// All of them.
    pub whole: &'a Value,
    members: &'a Map<String, Value>,
}

impl<'a> Settings<'a> {
    pub fn new(name: &'a str, kind: &'a str, whole: &'a Value) -> Result<Self, Refusal> {
        match whole {
            Value::Object(members) => Ok(Self {
                name,
                kind,
                whole,
                members,
            }),
            _ => Err(Refusal::parsing(format!(
                "aggregation [{name}] [{kind}] is no object"
            ))),
        }
    }

    pub fn error(&self, reason: &str) -> Refusal {
        Refusal::parsing(format!(
            "aggregation [{}] of type [{}] {reason}",
            self.name, self.kind
        ))
    }

    /// Refuses settings other than these. `null` counts as not said.
    pub fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        let unknown = self
            .members
            .iter()
            .find(|(name, value)| !known.contains(&name.as_str()) && !value.is_null());
        match unknown {
            None => Ok(()),
            Some((name, _)) => Err(self.error(&format!("does not support [{name}]"))),
        }
    }

    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    pub fn text(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.error(&format!("[{name}] is a text"))),
        }
    }

    pub fn field(&self) -> Result<&'a str, Refusal> {
        self.text("field")?.ok_or_else(|| self.error("needs a [field]"))
    }

    pub fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.error(&format!("[{name}] is true or false"))),
        }
    }

    /// A number, perhaps written as text.
    pub fn number(&self, name: &str) -> Result<Option<f64>, Refusal> {
        self.get(name)
            .map(|value| number(value).ok_or_else(|| self.error(&format!("[{name}] is a number"))))
            .transpose()
    }

    /// A whole number, perhaps written as text.
    pub fn count(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let count = |value: &Value| match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        self.get(name)
            .map(|value| count(value).ok_or_else(|| self.error(&format!("[{name}] is a whole number"))))
            .transpose()
    }
}

/// A number, perhaps written as text.
pub fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    }
}
