//! The answer of a search.

use std::collections::BTreeMap;

use attestore_engine::search::{FieldHolds, Highlight, find_field, find_path};
use jiff::tz::Offset;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::dates::{Reading, Shown};
use super::glob::glob;
use super::request::{Spec, Wanted};
use super::run::{Found, Hit, Turn};
use super::source::{Document, each_value};
use crate::wire;

/// What a search answers.
#[derive(Serialize)]
pub struct Answer {
    #[serde(rename = "_scroll_id", skip_serializing_if = "Option::is_none")]
    pub scroll_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pit_id: Option<String>,
    took: u64,
    timed_out: bool,
    #[serde(rename = "_shards")]
    shards: Value,
    hits: Hits,
    #[serde(skip_serializing_if = "Option::is_none")]
    aggregations: Option<Value>,
    /// In answers to several searches.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
}

#[derive(Serialize)]
struct Hits {
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<Value>,
    max_score: Option<f64>,
    /// Written one by one, so that their length is known before all are.
    hits: Vec<Box<RawValue>>,
}

#[derive(Serialize)]
struct HitBody {
    #[serde(rename = "_index")]
    index: String,
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_version", skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(rename = "_seq_no", skip_serializing_if = "Option::is_none")]
    seq_no: Option<u64>,
    #[serde(rename = "_primary_term", skip_serializing_if = "Option::is_none")]
    primary_term: Option<u64>,
    #[serde(rename = "_score")]
    score: Option<f64>,
    #[serde(rename = "_source", skip_serializing_if = "Option::is_none")]
    source: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    highlight: Option<BTreeMap<String, Vec<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sort: Option<Vec<Value>>,
}

impl Answer {
    /// Writes what was found, in at most `room` bytes of hits.
    ///
    /// # Errors
    /// 400 for hits that are longer; 500 if a record is no JSON; that time is over, or nobody waits any more.
    pub fn new(
        index: &str,
        spec: &Spec,
        found: Found,
        took: u64,
        turn: Turn<'_>,
        room: usize,
    ) -> Result<Self, Refusal> {
        let scored = !spec.sorted.asked_for;
        let mut hits = Vec::with_capacity(found.hits.len());
        let mut bytes = 0;
        for hit in found.hits {
            turn.left_ms()?;
            let hit = body(index, spec, hit, scored).and_then(|body| to_raw_value(&body));
            let hit = hit.map_err(wire::internal)?;
            bytes += hit.get().len();
            if bytes > room {
                return Err(too_long());
            }
            hits.push(hit);
        }
        let total = found
            .total
            .filter(|_| spec.total)
            .map(|total| match spec.total_as_number {
                true => json!(total),
                false => json!({"value": total, "relation": "eq"}),
            });
        Ok(Self {
            scroll_id: None,
            pit_id: spec.pit.clone(),
            took,
            timed_out: false,
            shards: shards(),
            hits: Hits {
                total,
                max_score: (scored && !hits.is_empty()).then_some(1.0),
                hits,
            },
            aggregations: found.aggs,
            status: spec.several.then_some(200),
        })
    }

    /// Writes the answer as text, of at most `room` bytes.
    ///
    /// # Errors
    /// 400 for an answer that is longer.
    pub fn write(&self, room: usize) -> Result<Box<RawValue>, Refusal> {
        let text = to_raw_value(self).map_err(wire::internal)?;
        match text.get().len() > room {
            true => Err(too_long()),
            false => Ok(text),
        }
    }
}

fn too_long() -> Refusal {
    Refusal::argument(format!(
        "the answer is more than {ANSWER_BYTES_MAX} bytes, with those before it: ask for less at once"
    ))
}

/// Bytes of an answer, or of several to one request.
pub const ANSWER_BYTES_MAX: usize = 128 << 20;

/// One tenant is one shard, and answers or fails as a whole.
pub fn shards() -> Value {
    json!({"total": 1, "successful": 1, "skipped": 0, "failed": 0})
}

fn body(index: &str, spec: &Spec, hit: Hit, scored: bool) -> serde_json::Result<HitBody> {
    let document = Document::new(hit.record)?;
    let sort = spec.sorted.values(hit.key.as_ref(), document.seq);
    Ok(HitBody {
        index: index.to_owned(),
        version: spec.version.then_some(1),
        seq_no: spec.seq_no.then_some(document.seq),
        primary_term: spec.seq_no.then_some(1),
        score: scored.then_some(1.0),
        source: spec.source.apply(&document.source)?,
        fields: fields(&spec.fields, &document.source)?,
        highlight: highlight(spec, hit.highlights),
        sort,
        id: document.id,
    })
}

fn highlight(spec: &Spec, places: Vec<Highlight>) -> Option<BTreeMap<String, Vec<String>>> {
    let marked = spec.highlight.as_ref()?.mark(places);
    (!marked.is_empty()).then_some(marked)
}

/// The values of fields that are asked for, each a list under the name that it was asked for by. Of several entries for one
/// name, the last says how times are written.
fn fields(wanted: &[Wanted], source: &str) -> serde_json::Result<Option<Map<String, Value>>> {
    if wanted.is_empty() {
        return Ok(None);
    }
    // Names other than a field's own: where the values are.
    let paths: Vec<Option<String>> = wanted.iter().map(|one| path(&one.pattern)).collect();
    let mut listed: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    each_value(source, &mut |path, raw| {
        let Ok(value) = serde_json::from_str::<Value>(raw.get()) else {
            return;
        };
        let mut names: BTreeMap<&str, Option<&Shown>> = BTreeMap::new();
        for (one, alias) in wanted.iter().zip(&paths) {
            match alias {
                Some(alias) if alias == path => names.insert(&one.pattern, one.shown.as_ref()),
                None if glob(&one.pattern, path) => names.insert(path, one.shown.as_ref()),
                _ => None,
            };
        }
        for (name, format) in names.into_iter().filter(|_| !value.is_null()) {
            let value = shown(path, format, &value);
            listed.entry(name.to_owned()).or_default().push(value);
        }
    })?;
    let listed: Map<String, Value> = listed
        .into_iter()
        .map(|(name, values)| (name, json!(values)))
        .collect();
    Ok((!listed.is_empty()).then_some(listed))
}

fn path(pattern: &str) -> Option<String> {
    let path = find_field(pattern).map(|field| field.path.to_owned());
    path.or_else(|| find_path(pattern)).filter(|path| path != pattern)
}

/// Times in their format.
fn shown(path: &str, shown: Option<&Shown>, value: &Value) -> Value {
    let is_time = find_field(path).is_some_and(|field| field.holds == FieldHolds::Times);
    if !is_time {
        return value.clone();
    }
    let reading = Reading {
        now_ms: 0,
        format: None,
        zone: Offset::UTC,
    };
    match reading.span(value) {
        Some((ns, _)) => shown
            .unwrap_or(&Shown::Iso { nanos: false })
            .show(ns, Offset::UTC),
        None => value.clone(),
    }
}

#[cfg(test)]
mod tests;
