//! From native answers to Elasticsearch's.

use jiff::tz::Offset;
use serde_json::{Map, Value, json};

use super::{Agg, Order, Shape};
use crate::elastic::answer::Refusal;
use crate::elastic::dates::Shown;

const NS_PER_MS: i64 = 1_000_000;

/// Takes the aggregations of one level out of what is native.
///
/// # Errors
/// 400 for buckets by key of which two have the same.
pub fn level(aggs: &[Agg], native: &mut Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
    aggs.iter()
        .map(|agg| Ok((agg.name.clone(), one(agg, native)?)))
        .collect()
}

fn one(agg: &Agg, native: &mut Map<String, Value>) -> Result<Value, Refusal> {
    let mut natives = agg
        .natives
        .iter()
        .map(|name| native.remove(name).unwrap_or_default());
    let mut answer = match &agg.shape {
        Shape::Filters(keys) => filters(agg, keys.as_deref(), natives)?,
        shape => {
            let native = natives.next().unwrap_or_default();
            match shape {
                Shape::Filter => bucket(agg, native)?,
                Shape::Terms => terms(agg, native)?,
                Shape::Dates {
                    shown,
                    zone,
                    keyed,
                    order,
                } => by_time(agg, native, (shown, *zone), *keyed, *order)?,
                Shape::Histogram { keyed, order } => {
                    let buckets = listed(agg, native, *order)?;
                    let key = |bucket: &Value| bucket["key"].to_string();
                    keyed_by(agg, *keyed, buckets, key)?
                }
                Shape::Ranges(shown) => ranges(agg, native, shown.as_ref())?,
                Shape::Metric(shown) => metric(native, shown),
                Shape::Filters(_) => Value::Null,
            }
        }
    };
    if let Some(meta) = &agg.meta {
        answer["meta"] = meta.clone();
    }
    Ok(answer)
}

/// A bucket with what is in it.
fn bucket(agg: &Agg, native: Value) -> Result<Value, Refusal> {
    let Value::Object(mut native) = native else {
        return Ok(native);
    };
    let subs = level(&agg.subs, &mut native)?;
    native.extend(subs);
    Ok(Value::Object(native))
}

fn filters(
    agg: &Agg,
    keys: Option<&[String]>,
    natives: impl Iterator<Item = Value>,
) -> Result<Value, Refusal> {
    let buckets = natives.map(|native| bucket(agg, native));
    let buckets: Vec<Value> = buckets.collect::<Result<_, _>>()?;
    Ok(match keys {
        None => json!({"buckets": buckets}),
        Some(keys) => {
            let named: Map<String, Value> = keys.iter().cloned().zip(buckets).collect();
            json!({"buckets": named})
        }
    })
}

fn terms(agg: &Agg, mut native: Value) -> Result<Value, Refusal> {
    if let Some(buckets) = native.get_mut("buckets") {
        let list = match buckets.take() {
            Value::Array(list) => list,
            _ => Vec::new(),
        };
        let each = list.into_iter().map(|native| bucket(agg, native));
        *buckets = each.collect::<Result<_, _>>()?;
    }
    Ok(native)
}

/// The buckets of an answer, with keys as members or not, in order.
fn listed(agg: &Agg, mut native: Value, order: Order) -> Result<Vec<Value>, Refusal> {
    let mut buckets: Vec<Value> = match native.get_mut("buckets").map(Value::take) {
        Some(Value::Array(list)) => list,
        Some(Value::Object(named)) => named.into_iter().map(|(_, bucket)| bucket).collect(),
        _ => Vec::new(),
    };
    if order.by_count {
        buckets.sort_by_key(|bucket| bucket["doc_count"].as_u64());
    }
    if order.descending {
        buckets.reverse();
    }
    buckets.into_iter().map(|native| bucket(agg, native)).collect()
}

/// Buckets as a list, or as members by their key: a key that two of them have would lose one.
fn keyed_by(
    agg: &Agg,
    keyed: bool,
    buckets: Vec<Value>,
    key: impl Fn(&Value) -> String,
) -> Result<Value, Refusal> {
    if !keyed {
        return Ok(json!({"buckets": buckets}));
    }
    let mut named = Map::new();
    for bucket in buckets {
        if named.insert(key(&bucket), bucket).is_some() {
            return Err(Refusal::argument(format!(
                "aggregation [{}] has several buckets of one key: ask for another [format], or without [keyed]",
                agg.name
            )));
        }
    }
    Ok(json!({"buckets": named}))
}

fn by_time(
    agg: &Agg,
    native: Value,
    (shown, zone): (&Shown, Offset),
    keyed: bool,
    order: Order,
) -> Result<Value, Refusal> {
    let mut buckets = listed(agg, native, order)?;
    for bucket in &mut buckets {
        let ms = bucket["key"].as_i64().unwrap_or_default();
        bucket["key_as_string"] = as_text(&shown.show(ms.saturating_mul(NS_PER_MS), zone));
    }
    let key = |bucket: &Value| bucket["key_as_string"].as_str().unwrap_or_default().to_owned();
    keyed_by(agg, keyed, buckets, key)
}

fn as_text(value: &Value) -> Value {
    Value::from(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

fn ranges(agg: &Agg, mut native: Value, shown: Option<&Shown>) -> Result<Value, Refusal> {
    let each = |native: Value| {
        let mut bucket = bucket(agg, native)?;
        for name in ["from", "to"] {
            if let (Some(shown), Some(ms)) = (shown, bucket[name].as_i64()) {
                let text = as_text(&shown.show(ms.saturating_mul(NS_PER_MS), Offset::UTC));
                bucket[format!("{name}_as_string")] = text;
            }
            if let Some(number) = bucket[name].as_f64() {
                bucket[name] = Value::from(number);
            }
            if bucket[name].is_null()
                && let Some(bucket) = bucket.as_object_mut()
            {
                bucket.remove(name);
            }
        }
        Ok(bucket)
    };
    if let Some(buckets) = native.get_mut("buckets") {
        *buckets = match buckets.take() {
            Value::Array(list) => list.into_iter().map(each).collect::<Result<_, Refusal>>()?,
            Value::Object(named) => {
                let named = named.into_iter().map(|(key, bucket)| Ok((key, each(bucket)?)));
                Value::Object(named.collect::<Result<_, Refusal>>()?)
            }
            other => other,
        };
    }
    Ok(native)
}

/// A measure: times in their format, and nothing that is ours alone.
fn metric(native: Value, shown: &Shown) -> Value {
    let Value::Object(mut native) = native else {
        return native;
    };
    native.remove("relative_error");
    let texts: Vec<String> = native
        .keys()
        .filter(|name| name.ends_with("_as_string"))
        .cloned()
        .collect();
    for name in texts {
        let number = name.strip_suffix("_as_string").and_then(|name| native.get(name));
        #[expect(clippy::cast_possible_truncation, reason = "saturates")]
        if let Some(ms) = number.and_then(Value::as_f64) {
            let text = as_text(&shown.show((ms as i64).saturating_mul(NS_PER_MS), Offset::UTC));
            native.insert(name, text);
        }
    }
    Value::Object(native)
}
