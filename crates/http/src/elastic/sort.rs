//! `sort` and `search_after`.
//!
//! Hits are sorted by one field, and among equals by seq, whose value comes last in each hit's `sort`. So `search_after` with
//! the values of a hit goes on exactly after it, whatever is rounded in the first.

use std::ops::Bound;

use attestore_engine::search::{Condition, Edge, FieldHolds, Order, SortKey, find_field, find_path};
use jiff::tz::Offset;
use serde_json::{Value, json};

use super::answer::Refusal;
use super::dates::{Reading, Shown, iso};

/// Names of the order in which records were appended.
const TIE_BREAKERS: [&str; 4] = ["_doc", "_shard_doc", "_seq_no", "seq"];
/// Sort keys of one request.
const KEYS_MAX: usize = 8;

/// How hits are sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sorted {
    /// A field with a column; `None` sorts by seq.
    pub field: Option<Field>,
    /// By seq, highest first.
    pub descending: bool,
    /// The request said how: hits have no score then.
    pub asked_for: bool,
}

/// The field that hits are sorted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    name: String,
    descending: bool,
    /// It holds times, in units of so many nanoseconds.
    unit_ns: Option<i64>,
    format: Option<Shown>,
}

impl Sorted {
    /// Reads `sort` of a request. Without one, the newest come first.
    ///
    /// # Errors
    /// 400 for more than one field, and for settings that mean something else than what is done here.
    pub fn read(sort: Option<&Value>) -> Result<Self, Refusal> {
        let mut keys: Vec<(&str, Option<&Value>)> = Vec::new();
        match sort {
            None | Some(Value::Null) => {}
            Some(Value::Array(list)) => {
                for one in list {
                    add(&mut keys, one)?;
                }
            }
            Some(one) => add(&mut keys, one)?,
        }
        if keys.len() > KEYS_MAX {
            return Err(Refusal::argument(format!(
                "at most {KEYS_MAX} sort keys are read"
            )));
        }
        let mut sorted = Self {
            descending: true,
            ..Self::default()
        };
        let mut tie_breaker = None;
        for (name, settings) in keys {
            let descending = settings_of(name, settings)?;
            if name == "_score" {
                continue; // all have the same
            }
            sorted.asked_for = true;
            if TIE_BREAKERS.contains(&name) {
                let said = name == "seq" || says_order(settings);
                tie_breaker.get_or_insert((name, said.then_some(descending)));
                continue;
            }
            let known = find_field(name).map(|field| field.holds);
            let unmapped = settings.is_some_and(|settings| settings.get("unmapped_type").is_some());
            if known.is_none() && find_path(name).is_none() && unmapped {
                continue; // no record has a value
            }
            if sorted.field.is_some() || tie_breaker.is_some() {
                return Err(Refusal::argument(
                    "hits are sorted by one field, and among equals by _doc: name no other",
                ));
            }
            sorted.field = Some(field(name, descending, known, settings)?);
        }
        sorted.descending = match (&sorted.field, tie_breaker) {
            (Some(field), Some((name, Some(descending)))) if descending != field.descending => {
                return Err(Refusal::argument(format!(
                    "{name} breaks ties in the direction of the field before it"
                )));
            }
            (None, Some((_, descending))) => descending.unwrap_or(false),
            _ => true,
        };
        Ok(sorted)
    }

    /// The native sort.
    pub fn native(&self) -> (Order, Option<String>) {
        let order = match self.descending {
            true => Order::Newest,
            false => Order::Oldest,
        };
        let sort = self.field.as_ref().map(|field| {
            let direction = if field.descending { "desc" } else { "asc" };
            format!("{}:{direction}", field.name)
        });
        (order, sort)
    }

    /// The values that a hit is sorted by, if hits have any.
    pub fn values(&self, key: Option<&SortKey>, seq: u64) -> Option<Vec<Value>> {
        if !self.asked_for {
            return None;
        }
        let mut values = Vec::with_capacity(2);
        if let (Some(field), Some(key)) = (&self.field, key) {
            values.push(field.value(&key.to_json()));
        }
        values.push(Value::from(seq));
        Some(values)
    }

    /// Reads `search_after`: the seq to go on after, or a condition on the field if there is no seq in it.
    ///
    /// # Errors
    /// 400 for other values than a hit had.
    pub fn after(&self, values: &Value) -> Result<After, Refusal> {
        let expected = || Refusal::argument("[search_after] is the [sort] of a hit of the same search");
        let values = values.as_array().ok_or_else(expected)?;
        let seq = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
        match (&self.field, values.as_slice()) {
            _ if !self.asked_for => Err(Refusal::argument("[search_after] needs a [sort]")),
            (None, [value]) | (Some(_), [_, value]) => seq(value).map(After::Seq).ok_or_else(expected),
            (Some(field), [value]) => field.beyond(value).map(After::Beyond),
            _ => Err(expected()),
        }
    }
}

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// After the record of this seq.
    Seq(u64),
    /// With what meets this condition.
    Beyond(Condition),
}

impl Field {
    fn value(&self, native: &Value) -> Value {
        let (Some(unit), Some(number)) = (self.unit_ns, native.as_i64()) else {
            return native.clone();
        };
        let ns = number.saturating_mul(unit);
        match &self.format {
            None => Value::from(ns.div_euclid(1_000_000)),
            Some(format) => format.show(ns, Offset::UTC),
        }
    }

    /// What comes after a time, those of the same time left out.
    fn beyond(&self, value: &Value) -> Result<Condition, Refusal> {
        if self.unit_ns.is_none() {
            return Err(Refusal::argument(
                "[search_after] needs both values of a hit's [sort] here: its last breaks ties",
            ));
        }
        let span = match (&self.format, value.as_i64()) {
            (Some(Shown::Nanos), Some(ns)) => Some((ns, ns)),
            _ => Reading {
                now_ms: 0,
                format: None,
                zone: Offset::UTC,
            }
            .span(value),
        };
        let (start, end) = span.ok_or_else(|| Refusal::argument("[search_after] holds no time"))?;
        let edge = |ns: i64| Bound::Excluded(Edge::Text(iso(ns, Offset::UTC, true)));
        let (lower, upper) = match self.descending {
            true => (Bound::Unbounded, edge(start)),
            false => (edge(end), Bound::Unbounded),
        };
        Ok(Condition::Within {
            field: self.name.clone(),
            lower,
            upper,
        })
    }
}

fn add<'a>(keys: &mut Vec<(&'a str, Option<&'a Value>)>, one: &'a Value) -> Result<(), Refusal> {
    match one {
        Value::String(name) => {
            // In URLs, the direction stands behind a colon.
            let (name, direction) = match name.rsplit_once(':') {
                Some((name, "asc")) => (name, Some(&ASCENDING)),
                Some((name, "desc")) => (name, Some(&DESCENDING)),
                _ => (name.as_str(), None),
            };
            keys.push((name, direction.map(|direction| &**direction)));
        }
        Value::Object(named) => {
            let first = keys.len();
            keys.extend(
                named
                    .iter()
                    .map(|(name, settings)| (name.as_str(), Some(settings))),
            );
            // Members of an object have no order that is kept on the way: what breaks ties comes last.
            if let Some(keys) = keys.get_mut(first..) {
                keys.sort_by_key(|(name, _)| TIE_BREAKERS.contains(name));
            }
        }
        _ => return Err(Refusal::parsing("[sort] is a list of names and objects")),
    }
    Ok(())
}

static ASCENDING: std::sync::LazyLock<Value> = std::sync::LazyLock::new(|| json!("asc"));
static DESCENDING: std::sync::LazyLock<Value> = std::sync::LazyLock::new(|| json!("desc"));

/// Checks the settings of a key, and says whether it is descending.
/// Whether a sort key names its direction. What only breaks ties takes that of the field before it unless it does.
fn says_order(settings: Option<&Value>) -> bool {
    match settings {
        None => false,
        Some(Value::Object(settings)) => settings.contains_key("order"),
        Some(_) => true,
    }
}

fn settings_of(name: &str, settings: Option<&Value>) -> Result<bool, Refusal> {
    let error = |what: &str| Refusal::argument(format!("sort key [{name}] {what}"));
    let direction = |value: &Value| match value.as_str() {
        Some("asc") => Ok(false),
        Some("desc") => Ok(true),
        _ => Err(error("has an order that is neither asc nor desc")),
    };
    let settings = match settings {
        None => return Ok(name == "_score"),
        Some(Value::Object(settings)) => settings,
        Some(value) => return direction(value),
    };
    let descending = settings
        .get("order")
        .map(direction)
        .transpose()?
        .unwrap_or(name == "_score");
    for (setting, value) in settings {
        let means = match setting.as_str() {
            "order" | "unmapped_type" | "format" => true,
            "numeric_type" => value == "date" || value == "date_nanos" || value == "long",
            "missing" => value == "_last",
            "mode" => value == if descending { "max" } else { "min" },
            _ => false,
        };
        if !means {
            return Err(error(&format!("does not support this [{setting}]")));
        }
    }
    Ok(descending)
}

fn field(
    name: &str,
    descending: bool,
    holds: Option<FieldHolds>,
    settings: Option<&Value>,
) -> Result<Field, Refusal> {
    let format = settings.and_then(|settings| settings.get("format"));
    let format = match format.and_then(Value::as_str) {
        None => None,
        Some(format) => {
            let shown = Shown::read(format).filter(|_| holds == Some(FieldHolds::Times));
            Some(shown.ok_or_else(|| Refusal::argument("a sort key does not support this [format]"))?)
        }
    };
    let received = find_field(name).is_some_and(|field| field.path == "received_at");
    Ok(Field {
        name: name.to_owned(),
        descending,
        unit_ns: (holds == Some(FieldHolds::Times)).then_some(if received { 1_000_000 } else { 1 }),
        format,
    })
}

#[cfg(test)]
mod tests;
