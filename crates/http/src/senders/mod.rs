//! Other people's senders: their requests in, native events to the engine, their answers out.
//!
//! How a foreign record becomes an event is data, a mapping preset; what is here is framing, ids and answers.

pub mod bulk;
pub mod cloudevents;
pub mod otlp;

use attestore_engine::{Appended, Engine, Item, ItemError, Mode, Principal};
use attestore_record::mapping::Mapping;
use axum::http::StatusCode;
use bytes::Bytes;

use crate::items;
use crate::problem::Problem;
use crate::wire;

/// One record of a request.
pub struct Incoming {
    /// The record as JSON, or why there is none.
    pub record: Result<Bytes, ItemError>,
    /// What makes an event of it; a native one needs nothing.
    pub mapping: Option<&'static Mapping>,
    /// The idempotency key to use when the event has none.
    pub key: Option<String>,
}

/// Maps and appends records. The results are in the order of the request, also of those that never reached the engine.
///
/// # Errors
/// The append as a whole was refused, or it was atomic and one record was.
pub async fn append(
    engine: &Engine,
    tenant: &str,
    principal: &Principal,
    protocol: &str,
    records: Vec<Incoming>,
    mode: Mode,
) -> Result<Appended, Problem> {
    let total = records.len();
    let mut refused = Vec::new();
    let mut batch = Vec::with_capacity(total);
    for (index, incoming) in records.into_iter().enumerate() {
        match incoming.record.and_then(|bytes| native(bytes, incoming.mapping)) {
            Ok(bytes) => batch.push(Item {
                bytes,
                fallback_key: incoming.key,
            }),
            Err(error) => refused.push((index, error)),
        }
    }
    if mode == Mode::Atomic && !refused.is_empty() {
        return Err(wire::refused_batch(refused));
    }
    let mut appended = engine
        .append(tenant, principal, protocol, batch, mode)
        .await
        .map_err(wire::append_problem)?;
    if !refused.is_empty() {
        let mut results: Vec<Option<_>> = (0..total).map(|_| None).collect();
        for (index, error) in refused {
            results[index] = Some(Err(error));
        }
        let mut accepted = appended.items.into_iter();
        for place in results.iter_mut().filter(|place| place.is_none()) {
            *place = accepted.next();
        }
        appended.items = results.into_iter().flatten().collect();
    }
    Ok(appended)
}

fn native(bytes: Bytes, mapping: Option<&Mapping>) -> Result<Bytes, ItemError> {
    let Some(mapping) = mapping else { return Ok(bytes) };
    mapping.apply(&bytes).map(Bytes::from).map_err(|error| ItemError {
        code: "invalid_mapping_input",
        path: error.path,
        message: error.message,
        status: 422,
    })
}

/// A built-in mapping.
///
/// # Errors
/// 400 `unknown_mapping`.
fn preset(name: &'static str) -> Result<&'static Mapping, Problem> {
    items::mapping(Some(name))?.ok_or_else(|| wire::internal(name))
}

/// Refuses requests of too many records.
fn check_count(count: usize, max: usize) -> Result<(), Problem> {
    if count <= max {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too_many_events",
        format!("a request may hold at most {max} events"),
    ))
}

/// An idempotency key out of what identifies a record elsewhere, whatever its length and characters.
fn key(kind: &str, id: &str) -> String {
    if id.len() <= 100 && !id.contains(char::is_control) {
        format!("{kind}:{id}")
    } else {
        format!("{kind}:{}", blake3::hash(id.as_bytes()).to_hex())
    }
}
