//! Elasticsearch's query DSL, read into conditions of the native query.
//!
//! A clause that is not known, or a setting of one that would change what is found, refuses the request: nothing is left out
//! silently. Settings of scores (`boost`) say nothing, since nothing is ranked.

mod compound;
mod leaf;
mod range;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use attestore_engine::search::Condition;
use serde_json::{Map, Value};

use super::answer::Refusal;

/// Levels of clauses in clauses.
const DEPTH_MAX: usize = 32;

/// What reading a query needs to know.
pub struct Context<'a> {
    /// What `now` means, milliseconds since 1970.
    pub now_ms: u64,
    seq_of: SeqOf<'a>,
    /// The ids that were looked up, with what was found.
    known: RefCell<BTreeMap<String, Option<u64>>>,
}

/// Finds the seq of a record by its id.
type SeqOf<'a> = &'a dyn Fn(&str) -> Result<Option<u64>, Refusal>;

impl<'a> Context<'a> {
    /// For one request: what limits it counts, it counts over all of its queries.
    pub fn new(now_ms: u64, seq_of: SeqOf<'a>) -> Self {
        Self {
            now_ms,
            seq_of,
            known: RefCell::default(),
        }
    }
}

impl Context<'_> {
    /// Reads a query; `null` finds everything.
    ///
    /// # Errors
    /// 400 `parsing_exception` that names the clause.
    pub fn query(&self, query: &Value) -> Result<Condition, Refusal> {
        match query {
            Value::Null => Ok(Condition::All),
            query => self.clause(query, 1),
        }
    }

    fn clause(&self, query: &Value, depth: usize) -> Result<Condition, Refusal> {
        if depth > DEPTH_MAX {
            return Err(Refusal::parsing(format!(
                "the query is nested more than {DEPTH_MAX} deep"
            )));
        }
        let Value::Object(members) = query else {
            return Err(Refusal::parsing(
                "a query is an object with the name of one clause",
            ));
        };
        let mut each = members.iter();
        let (Some((kind, body)), None) = (each.next(), each.next()) else {
            return Err(Refusal::parsing(format!(
                "a query has the name of one clause, this has {}",
                members.len()
            )));
        };
        let body = Body::new(kind, body)?;
        match kind.as_str() {
            "bool" => self.bool(&body, depth),
            "constant_score" => self.constant_score(&body, depth),
            "dis_max" => self.dis_max(&body, depth),
            "range" => self.range(&body),
            "ids" => self.ids(&body),
            "term" => self.term(&body),
            "terms" => self.terms(&body),
            "match_all" => body.only(&["boost"]).map(|()| Condition::All),
            "match_none" => body.only(&["boost"]).map(|()| none()),
            "match" => leaf::matches(&body),
            "match_phrase" => leaf::phrase(&body),
            "match_phrase_prefix" => leaf::phrase_prefix(&body),
            "multi_match" => leaf::multi_match(&body),
            "exists" => leaf::exists(&body),
            "prefix" => leaf::prefix(&body),
            "wildcard" => leaf::wildcard(&body),
            "query_string" | "simple_query_string" => leaf::query_string(&body),
            _ => Err(Refusal::parsing(format!("unknown or unsupported query [{kind}]"))),
        }
    }
}

/// The condition that no record meets.
fn none() -> Condition {
    Condition::Or(Vec::new())
}

/// Conditions of which all must hold.
fn all(mut conditions: Vec<Condition>) -> Condition {
    conditions.retain(|condition| *condition != Condition::All);
    match (conditions.pop(), conditions.is_empty()) {
        (None, _) => Condition::All,
        (Some(one), true) => one,
        (Some(last), false) => {
            conditions.push(last);
            Condition::And(conditions)
        }
    }
}

/// Conditions of which one must hold.
fn any(mut conditions: Vec<Condition>) -> Condition {
    match (conditions.pop(), conditions.is_empty()) {
        (None, _) => none(),
        (Some(one), true) => one,
        (Some(last), false) => {
            conditions.push(last);
            Condition::Or(conditions)
        }
    }
}

/// The settings of a clause.
struct Body<'a> {
    kind: &'a str,
    members: &'a Map<String, Value>,
}

impl<'a> Body<'a> {
    fn new(kind: &'a str, body: &'a Value) -> Result<Self, Refusal> {
        match body {
            Value::Object(members) => Ok(Self { kind, members }),
            _ => Err(Refusal::parsing(format!("[{kind}] query is no object"))),
        }
    }

    fn error(&self, reason: &str) -> Refusal {
        Refusal::parsing(format!("[{}] query {reason}", self.kind))
    }

    /// Refuses settings other than these. `null` counts as not said.
    fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        let unknown = self
            .members
            .iter()
            .find(|(name, value)| !known.contains(&name.as_str()) && !value.is_null());
        match unknown {
            None => Ok(()),
            Some((name, _)) => Err(self.error(&format!("does not support [{name}]"))),
        }
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    /// A setting that changes nothing as long as it has this value.
    fn fixed(&self, name: &str, allowed: &[Value]) -> Result<(), Refusal> {
        match self.get(name) {
            Some(value) if !allowed.contains(value) => {
                Err(self.error(&format!("supports no other value of [{name}]")))
            }
            _ => Ok(()),
        }
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.error(&format!("[{name}] is a text"))),
        }
    }

    /// The one field that the clause names, and its value or settings. `_name` and `boost` may stand beside.
    fn field(&self) -> Result<(&'a str, &'a Value), Refusal> {
        let mut fields = self.members.iter().filter(|(name, _)| *name != "boost");
        match (fields.next(), fields.next()) {
            (Some((name, value)), None) => Ok((name, value)),
            (None, _) => Err(self.error("names no field")),
            (Some(_), Some(_)) => Err(self.error("names several fields")),
        }
    }

    /// The field, and its settings: in short form, the value alone.
    fn settings(&self, value_name: &str) -> Result<(&'a str, Settings<'a>), Refusal> {
        let (field, value) = self.field()?;
        Ok(match value {
            Value::Object(members) => {
                let body = Body {
                    kind: self.kind,
                    members,
                };
                let value = body.get(value_name);
                let value = value.ok_or_else(|| body.error(&format!("has no [{value_name}]")))?;
                (field, Settings { value, body })
            }
            value => {
                let body = Body {
                    kind: self.kind,
                    members: &NOTHING,
                };
                (field, Settings { value, body })
            }
        })
    }

    /// A value as the text that it is compared as.
    fn scalar(&self, value: &Value) -> Result<String, Refusal> {
        match value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            Value::Bool(value) => Ok(value.to_string()),
            _ => Err(self.error("has a value that is no text, number or truth value")),
        }
    }
}

/// No settings.
static NOTHING: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

/// A value with settings beside it.
struct Settings<'a> {
    value: &'a Value,
    body: Body<'a>,
}

#[cfg(test)]
mod tests;
