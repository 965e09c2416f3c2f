//! From a request body to the events in it, byte ranges of the body, nothing copied.
//!
//! JSON text is only cut here; what an event may contain is decided by `attestore-record`.

use std::collections::HashMap;
use std::sync::LazyLock;

use attestore_record::mapping::Mapping;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::problem::Problem;

/// The events of one request, in order.
pub struct Items {
    /// Each item's bytes, or why it cannot be read; a bad line of NDJSON leaves its neighbours alone.
    pub items: Vec<Bytes>,
    /// The body was one object, not a batch.
    pub single: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Ndjson,
}

impl Format {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let value = headers
            .get(header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .unwrap_or("");
        let essence = value.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" => Ok(Self::Json),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Self::Ndjson),
            _ => Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_content_type",
                "send Content-Type: application/json or application/x-ndjson",
            )),
        }
    }
}

/// Cuts a body into events.
///
/// # Errors
/// 415 for another content type, 400 `invalid_json`, `invalid_utf8` or `empty_batch`, 413 `too_many_events`.
pub fn split(headers: &HeaderMap, body: &Bytes, events_max: usize) -> Result<Items, Problem> {
    let format = Format::of(headers)?;
    let items = match format {
        Format::Json => split_json(body, events_max)?,
        Format::Ndjson => Items {
            items: body
                .split(|&b| b == b'\n')
                .map(<[u8]>::trim_ascii)
                .filter(|line| !line.is_empty())
                .take(events_max + 1)
                .map(|line| body.slice_ref(line))
                .collect(),
            single: false,
        },
    };
    if items.items.is_empty() {
        return Err(Problem::bad_request("empty_batch", "the body holds no event"));
    }
    if items.items.len() > events_max {
        return Err(too_many(events_max));
    }
    Ok(items)
}

fn too_many(events_max: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too_many_events",
        format!("a request may hold at most {events_max} events"),
    )
}

fn split_json(body: &Bytes, events_max: usize) -> Result<Items, Problem> {
    let trimmed = body.trim_ascii();
    if trimmed.is_empty() {
        return Err(Problem::bad_request("empty_batch", "the body holds no event"));
    }
    if trimmed.first() != Some(&b'[') {
        return Ok(Items {
            items: vec![body.slice_ref(trimmed)],
            single: true,
        });
    }
    let text = std::str::from_utf8(trimmed).map_err(|e| {
        Problem::bad_request(
            "invalid_utf8",
            format!("invalid UTF-8 at byte {}", e.valid_up_to()),
        )
    })?;
    let mut json = serde_json::Deserializer::from_str(text);
    let read = Elements { at_most: events_max }
        .deserialize(&mut json)
        .and_then(|raw| json.end().map(|()| raw));
    let raw = read.map_err(|e| {
        // The only error that is not about the text.
        if e.is_data() {
            too_many(events_max)
        } else {
            Problem::bad_request("invalid_json", position(&e))
        }
    })?;
    Ok(Items {
        items: raw
            .into_iter()
            .map(|r| body.slice_ref(r.get().as_bytes()))
            .collect(),
        single: false,
    })
}

/// The elements of an array. It ends with the first that is too many: a small body can hold millions, compressed.
struct Elements {
    at_most: usize,
}

impl<'a> DeserializeSeed<'a> for Elements {
    type Value = Vec<&'a RawValue>;

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'a> Visitor<'a> for Elements {
    type Value = Vec<&'a RawValue>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = array.next_element()? {
            if elements.len() >= self.at_most {
                return Err(serde::de::Error::custom("too many elements"));
            }
            elements.push(element);
        }
        Ok(elements)
    }
}

/// Where the text stops being JSON, without repeating any of it.
fn position(error: &serde_json::Error) -> String {
    format!(
        "not valid JSON at line {}, column {}",
        error.line(),
        error.column()
    )
}

/// The mapping preset that the request names, if any.
///
/// # Errors
/// 400 `unknown_mapping`.
pub fn mapping(name: Option<&str>) -> Result<Option<&'static Mapping>, Problem> {
    let Some(name) = name else { return Ok(None) };
    PRESETS.get(name).map(Some).ok_or_else(|| {
        let names: Vec<_> = Mapping::builtin_names().collect();
        Problem::bad_request(
            "unknown_mapping",
            format!("no such mapping preset; there is: {}", names.join(", ")),
        )
    })
}

static PRESETS: LazyLock<HashMap<&'static str, Mapping>> = LazyLock::new(|| {
    Mapping::builtin_names()
        .filter_map(|name| Some((name, Mapping::builtin(name)?)))
        .collect()
});

/// The `Idempotency-Key` header of a request (draft-ietf-httpapi-idempotency-key-header-06), quoted or bare.
///
/// # Errors
/// 400 `invalid_idempotency_key` when it is empty or longer than an event's own key may be.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let bad = || {
        Problem::bad_request(
            "invalid_idempotency_key",
            "Idempotency-Key must be 1 to 100 visible ASCII characters, once",
        )
    };
    if values.next().is_some() {
        return Err(bad());
    }
    let text = value.to_str().map_err(|_| bad())?.trim();
    let text = text
        .strip_prefix('"')
        .and_then(|t| t.strip_suffix('"'))
        .unwrap_or(text);
    if text.is_empty() || text.len() > 100 || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(bad());
    }
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests;
