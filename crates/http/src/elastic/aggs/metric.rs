//! Measures.

use serde_json::{Map, Value, json};

use super::Shape;
use super::settings::{Settings, number};
use crate::elastic::answer::Refusal;
use crate::elastic::dates::Shown;

/// The native form of a measure.
pub fn metric(settings: &Settings<'_>) -> Result<(Value, Shape), Refusal> {
    let mut native = Map::new();
    native.insert("field".to_owned(), Value::from(settings.field()?));
    let mut copy = |name: &str| {
        if let Some(value) = settings.get(name) {
            native.insert(name.to_owned(), value.clone());
        }
    };
    match settings.kind {
        "value_count" => settings.only(&["field"])?,
        "cardinality" => {
            settings.only(&["field", "precision_threshold", "execution_hint"])?;
            if let Some(threshold) = settings.count("precision_threshold")? {
                native.insert("precision_threshold".to_owned(), Value::from(threshold));
            }
        }
        "percentiles" => {
            settings.only(&[
                "field",
                "percents",
                "keyed",
                "missing",
                "tdigest",
                "hdr",
                "compression",
            ])?;
            copy("keyed");
            copy("missing");
            if let Some(percents) = settings.get("percents") {
                native.insert("percents".to_owned(), percents_of(settings, percents)?);
            }
        }
        _ => {
            settings.only(&["field", "missing", "format"])?;
            copy("missing");
        }
    }
    let shown = match settings.text("format")? {
        Some(format) => {
            Shown::read(format).ok_or_else(|| settings.error("does not support this [format]"))?
        }
        None => Shown::Iso { nanos: false },
    };
    Ok((json!({settings.kind: native}), Shape::Metric(shown)))
}

fn percents_of(settings: &Settings<'_>, percents: &Value) -> Result<Value, Refusal> {
    let list = match percents {
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    let numbers: Option<Vec<f64>> = list.iter().map(number).collect();
    numbers
        .map(Value::from)
        .ok_or_else(|| settings.error("[percents] are numbers"))
}
