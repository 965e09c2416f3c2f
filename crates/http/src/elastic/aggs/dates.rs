//! Buckets by time, and ranges.

use attestore_engine::search::{FieldHolds, find_field};
use jiff::tz::Offset;
use serde_json::{Map, Value, json};

use super::bucket::order;
use super::settings::{Settings, number};
use super::{Shape, Shown};
use crate::elastic::answer::Refusal;
use crate::elastic::dates::{self, Reading};

/// Intervals of the calendar.
const CALENDAR: [&str; 14] = [
    "minute", "1m", "hour", "1h", "day", "1d", "week", "1w", "month", "1M", "quarter", "1q", "year", "1y",
];
/// The offset of every zone is a whole number of these.
const QUARTER_MS: i64 = 15 * 60_000;
/// Ranges of one aggregation.
const RANGES_MAX: usize = 512;

/// `date_histogram`.
pub fn histogram(settings: &Settings<'_>, now_ms: u64) -> Result<(Value, Shape), Refusal> {
    settings.only(&[
        "field",
        "interval",
        "fixed_interval",
        "calendar_interval",
        "offset",
        "time_zone",
        "format",
        "min_doc_count",
        "extended_bounds",
        "hard_bounds",
        "keyed",
        "order",
        "missing",
    ])?;
    let field = settings.field()?;
    if settings.get("missing").is_some() && !is_time(field) {
        return Err(settings.error("does not support [missing]"));
    }
    let mut native = Map::new();
    native.insert("field".to_owned(), Value::from(field));
    let fixed = interval(settings, &mut native)?;
    let zone = zone(settings, fixed)?;
    let moved = offset(settings)? - i64::from(zone.seconds()) * 1000;
    if moved != 0 {
        native.insert("offset".to_owned(), Value::from(format!("{moved}ms")));
    }
    let least = settings.count("min_doc_count")?.unwrap_or(0);
    native.insert("min_doc_count".to_owned(), Value::from(least));
    let format = settings.text("format")?;
    let reading = Reading {
        now_ms,
        format: format.filter(|format| dates::is_readable(format)),
        zone,
    };
    for name in ["extended_bounds", "hard_bounds"] {
        // Without empty buckets there are none to extend to.
        if let Some(bounds) = settings.get(name)
            && (name == "hard_bounds" || least == 0)
        {
            native.insert(name.to_owned(), bounds_of(settings, name, bounds, &reading)?);
        }
    }
    let shape = Shape::Dates {
        shown: shown(settings, format)?,
        zone,
        keyed: settings.flag("keyed")?,
        order: order(settings)?,
    };
    Ok((json!({"date_histogram": native}), shape))
}

fn is_time(field: &str) -> bool {
    find_field(field).is_some_and(|field| field.holds == FieldHolds::Times)
}

fn shown(settings: &Settings<'_>, format: Option<&str>) -> Result<Shown, Refusal> {
    match format {
        None => Ok(Shown::Iso { nanos: false }),
        Some(format) => Shown::read(format).ok_or_else(|| settings.error("does not support this [format]")),
    }
}

/// Writes the interval; returns its length (ms) if it is fixed.
fn interval(settings: &Settings<'_>, native: &mut Map<String, Value>) -> Result<Option<i64>, Refusal> {
    let names = ["fixed_interval", "calendar_interval", "interval"];
    let mut given = names
        .iter()
        .filter_map(|name| Some((*name, settings.text(name).transpose()?)));
    let (Some((name, text)), None) = (given.next(), given.next()) else {
        return Err(settings.error("needs exactly one of [fixed_interval] and [calendar_interval]"));
    };
    let text = text?;
    let is_calendar = match name {
        "calendar_interval" => true,
        "fixed_interval" => false,
        _ => CALENDAR.contains(&text) && !text.ends_with(['m', 'h', 'd']),
    };
    let name = if is_calendar {
        "calendar_interval"
    } else {
        "fixed_interval"
    };
    native.insert(name.to_owned(), Value::from(text));
    Ok(if is_calendar { None } else { length_ms(text) })
}

/// `30s`, `12h`; `None` if it is no length.
fn length_ms(text: &str) -> Option<i64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (count, unit) = text.split_at_checked(digits)?;
    let unit = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    count.parse::<i64>().ok()?.checked_mul(unit)
}

fn offset(settings: &Settings<'_>) -> Result<i64, Refusal> {
    let Some(text) = settings.text("offset")?.filter(|text| !text.is_empty()) else {
        return Ok(0);
    };
    let (sign, length) = match text.strip_prefix('-') {
        Some(length) => (-1, length),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let length = if length == "0" { Some(0) } else { length_ms(length) };
    let length = length.filter(|length| *length < 366 * 86_400_000);
    length
        .map(|length| sign * length)
        .ok_or_else(|| settings.error("has an [offset] that is no number of ms, s, m, h or d"))
}

fn zone(settings: &Settings<'_>, fixed: Option<i64>) -> Result<Offset, Refusal> {
    let Some(name) = settings.text("time_zone")? else {
        return Ok(Offset::UTC);
    };
    if let Some(zone) = dates::zone(name) {
        return Ok(zone);
    }
    // In such a grid all zones agree.
    let everywhere = fixed.is_some_and(|length| length > 0 && QUARTER_MS % length == 0);
    let known = name.contains('/')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/_+-".contains(c));
    match everywhere && known {
        true => Ok(Offset::UTC),
        false => Err(settings.error(
            "supports as [time_zone] fixed offsets, like +02:00, and names of zones for intervals that 15 minutes are a \
             multiple of",
        )),
    }
}

fn bounds_of(
    settings: &Settings<'_>,
    name: &str,
    bounds: &Value,
    reading: &Reading<'_>,
) -> Result<Value, Refusal> {
    let bound = |end: &str| {
        let span = bounds.get(end).and_then(|value| reading.span(value));
        span.map(|(start, _)| start.div_euclid(1_000_000))
            .ok_or_else(|| settings.error(&format!("[{name}] needs a [min] and a [max], both times")))
    };
    Ok(json!({"min": bound("min")?, "max": bound("max")?}))
}

/// `range`, `date_range`, `ip_range`.
pub fn ranges(settings: &Settings<'_>, now_ms: u64) -> Result<(Value, Shape), Refusal> {
    settings.only(&["field", "ranges", "keyed", "format", "time_zone"])?;
    let field = settings.field()?;
    let times = settings.kind != "ip_range" && is_time(field);
    let Some(Value::Array(ranges)) = settings.get("ranges") else {
        return Err(settings.error("needs a list of [ranges]"));
    };
    if ranges.is_empty() || ranges.len() > RANGES_MAX {
        return Err(settings.error(&format!("has 1 to {RANGES_MAX} ranges")));
    }
    let format = settings.text("format")?;
    let shown = shown(settings, format)?;
    let zone = match settings.text("time_zone")? {
        None => Offset::UTC,
        Some(name) => {
            dates::zone(name).ok_or_else(|| settings.error("supports fixed offsets as [time_zone]"))?
        }
    };
    let reading = Reading {
        now_ms,
        format: format.filter(|format| dates::is_readable(format)),
        zone,
    };
    let mut natives = Vec::new();
    for range in ranges {
        natives.push(match (settings.kind, times) {
            ("ip_range", _) => range.clone(),
            (_, true) => time_range(settings, range, &reading, &shown)?,
            (_, false) => number_range(settings, range)?,
        });
    }
    if settings.kind != "ip_range" {
        natives.sort_by(|a, b| {
            edges(a)
                .partial_cmp(&edges(b))
                .unwrap_or(std::cmp::Ordering::Equal)
        });
    }
    let native =
        json!({settings.kind: {"field": field, "ranges": natives, "keyed": settings.flag("keyed")?}});
    Ok((native, Shape::Ranges(times.then_some(shown))))
}

/// Ranges are answered in the order of their bounds.
fn edges(range: &Value) -> (f64, f64) {
    let edge = |name: &str, open: f64| range.get(name).and_then(number).unwrap_or(open);
    (edge("from", f64::NEG_INFINITY), edge("to", f64::INFINITY))
}

fn number_range(settings: &Settings<'_>, range: &Value) -> Result<Value, Refusal> {
    let edge = |name: &str| match range.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let number = number(value);
            number
                .map(Some)
                .ok_or_else(|| settings.error("has a range whose ends are no numbers"))
        }
    };
    one_range(
        settings,
        range,
        edge("from")?.map(Value::from),
        edge("to")?.map(Value::from),
        |value| value.to_string(),
    )
}

fn time_range(
    settings: &Settings<'_>,
    range: &Value,
    reading: &Reading<'_>,
    shown: &Shown,
) -> Result<Value, Refusal> {
    let edge = |name: &str| match range.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let span = reading.span(value);
            span.map(|(start, _)| Some(Value::from(start.div_euclid(1_000_000))))
                .ok_or_else(|| settings.error("has a range whose ends are no times"))
        }
    };
    one_range(settings, range, edge("from")?, edge("to")?, |value| {
        let ns = value.as_i64().unwrap_or_default().saturating_mul(1_000_000);
        let text = shown.show(ns, reading.zone);
        text.as_str().map_or_else(|| text.to_string(), str::to_owned)
    })
}

fn one_range(
    settings: &Settings<'_>,
    range: &Value,
    from: Option<Value>,
    to: Option<Value>,
    text: impl Fn(&Value) -> String,
) -> Result<Value, Refusal> {
    let known = ["from", "to", "key"];
    let unknown = range
        .as_object()
        .is_none_or(|range| range.keys().any(|name| !known.contains(&name.as_str())));
    if unknown {
        return Err(settings.error("has a range that is no from, to and key"));
    }
    let end = |value: &Option<Value>| value.as_ref().map_or_else(|| "*".to_owned(), &text);
    let key = match range.get("key") {
        Some(Value::String(key)) => key.clone(),
        _ => format!("{}-{}", end(&from), end(&to)),
    };
    let mut native = json!({"key": key});
    for (name, value) in [("from", from), ("to", to)] {
        if let Some(value) = value {
            native[name] = value;
        }
    }
    Ok(native)
}
