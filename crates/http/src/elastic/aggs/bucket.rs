//! Buckets by value and by number.

use serde_json::{Map, Value, json};

use super::settings::Settings;
use super::{Agg, Order, Shape};
use crate::elastic::answer::Refusal;

/// `terms`.
pub fn terms(settings: &Settings<'_>, subs: &[Agg]) -> Result<(Value, Shape), Refusal> {
    settings.only(&[
        "field",
        "size",
        "order",
        "min_doc_count",
        "missing",
        "include",
        "exclude",
        "shard_size",
        "shard_min_doc_count",
        "show_term_doc_count_error",
        "execution_hint",
        "collect_mode",
        "value_type",
    ])?;
    let mut native = Map::new();
    native.insert("field".to_owned(), Value::from(settings.field()?));
    for name in ["size", "min_doc_count"] {
        if let Some(count) = settings.count(name)? {
            native.insert(name.to_owned(), Value::from(count));
        }
    }
    if let Some(missing) = settings.get("missing") {
        native.insert("missing".to_owned(), missing.clone());
    }
    for name in ["include", "exclude"] {
        if let Some(values) = settings.get(name) {
            native.insert(name.to_owned(), accepted(settings, name, values)?);
        }
    }
    if let Some(order) = settings.get("order") {
        let order = match order {
            Value::Array(orders) => orders
                .iter()
                .map(|one| by(settings, one, subs))
                .collect::<Result<_, _>>()?,
            one => by(settings, one, subs)?,
        };
        native.insert("order".to_owned(), order);
    }
    Ok((json!({"terms": native}), Shape::Terms))
}

/// A list of values, or a regular expression as far as it says how values start.
fn accepted(settings: &Settings<'_>, name: &str, values: &Value) -> Result<Value, Refusal> {
    let Value::String(pattern) = values else {
        return Ok(values.clone());
    };
    let special = |c: char| ".*?+|()[]{}^$\\\"#@&<>~".contains(c);
    let start = pattern
        .strip_suffix(".*")
        .filter(|start| !start.contains(special));
    match start {
        Some(start) => Ok(Value::from(format!("{start}*"))),
        None => Err(settings.error(&format!(
            "supports as [{name}] a list of values, or how values start, as in s3-.*"
        ))),
    }
}

/// One order, with the native name of a sub-aggregation.
fn by(settings: &Settings<'_>, order: &Value, subs: &[Agg]) -> Result<Value, Refusal> {
    let expected = || settings.error("has an [order] that is no {\"name\": \"asc\" or \"desc\"}");
    let Value::Object(order) = order else {
        return Err(expected());
    };
    let mut native = Map::new();
    for (path, direction) in order {
        let direction = direction
            .as_str()
            .map(str::to_ascii_lowercase)
            .ok_or_else(expected)?;
        let path = match path.as_str() {
            "_count" => "_count".to_owned(),
            "_key" | "_term" => "_key".to_owned(),
            path => statistic(settings, path, subs)?,
        };
        native.insert(path, Value::from(direction));
    }
    match native.len() {
        1 => Ok(Value::Object(native)),
        _ => Err(settings.error("supports several orders as a list only")),
    }
}

/// `name`, `name.avg` and `name[avg]`.
fn statistic(settings: &Settings<'_>, path: &str, subs: &[Agg]) -> Result<String, Refusal> {
    let (name, part) = match path.split_once('[') {
        Some((name, part)) => (name, part.strip_suffix(']')),
        None => match path.rsplit_once('.') {
            Some((name, part)) if subs.iter().any(|sub| sub.name == name) => (name, Some(part)),
            _ => (path, None),
        },
    };
    let sub = subs.iter().find(|sub| sub.name == name);
    let native = sub.and_then(|sub| sub.natives.first());
    let native = native.ok_or_else(|| settings.error("has an [order] by what is no aggregation in it"))?;
    Ok(match part {
        Some(part) => format!("{native}.{part}"),
        None => native.clone(),
    })
}

/// `histogram`.
pub fn histogram(settings: &Settings<'_>) -> Result<(Value, Shape), Refusal> {
    settings.only(&[
        "field",
        "interval",
        "offset",
        "min_doc_count",
        "extended_bounds",
        "hard_bounds",
        "keyed",
        "order",
    ])?;
    let mut native = Map::new();
    native.insert("field".to_owned(), Value::from(settings.field()?));
    for name in ["interval", "offset"] {
        if let Some(number) = settings.number(name)? {
            native.insert(name.to_owned(), Value::from(number));
        }
    }
    let least = settings.count("min_doc_count")?;
    native.insert("min_doc_count".to_owned(), Value::from(least.unwrap_or(0)));
    // Without empty buckets there are none to extend to.
    let bounds: &[&str] = if least.unwrap_or(0) == 0 {
        &["extended_bounds", "hard_bounds"]
    } else {
        &["hard_bounds"]
    };
    for name in bounds {
        if let Some(bounds) = settings.get(name) {
            native.insert((*name).to_owned(), bounds.clone());
        }
    }
    let shape = Shape::Histogram {
        keyed: settings.flag("keyed")?,
        order: order(settings)?,
    };
    Ok((json!({"histogram": native}), shape))
}

/// Order of buckets that are made by key.
pub fn order(settings: &Settings<'_>) -> Result<Order, Refusal> {
    let expected = || settings.error("supports one [order], by _key or _count");
    let Some(order) = settings.get("order") else {
        return Ok(Order {
            by_count: false,
            descending: false,
        });
    };
    let mut orders = order.as_object().ok_or_else(expected)?.iter();
    let (Some((name, direction)), None) = (orders.next(), orders.next()) else {
        return Err(expected());
    };
    Ok(Order {
        by_count: match name.as_str() {
            "_key" => false,
            "_count" => true,
            _ => return Err(expected()),
        },
        descending: match direction.as_str() {
            Some("asc") => false,
            Some("desc") => true,
            _ => return Err(expected()),
        },
    })
}
