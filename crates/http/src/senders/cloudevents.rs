//! CloudEvents 1.0 over HTTP: structured, batched and binary (HTTP protocol binding, section 3).
//!
//! `source` and `id` together are the idempotency key, as the specification says what makes two events the same.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use attestore_engine::{ItemError, Mode};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use percent_encoding::percent_decode;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};

use super::Incoming;
use crate::body;
use crate::guard::Caller;
use crate::problem::Problem;
use crate::routes::append::{AppendBody, answer};
use crate::routes::receipt::Evidence;
use crate::server::App;
use crate::wire;

/// Append CloudEvents: `application/cloudevents+json`, `application/cloudevents-batch+json`, or one in binary mode (`ce-*` headers).
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/ingest/cloudevents", tag = "senders",
    params(("tenant" = String, Path, description = "tenant name")),
    request_body(content((serde_json::Value = "application/cloudevents+json"), (Vec<serde_json::Value> = "application/cloudevents-batch+json"))),
    responses(
        (status = 201, description = "all accepted, durable", body = AppendBody),
        (status = 200, description = "a batch with refused events (`errors: true`), or nothing but duplicates", body = AppendBody),
        (status = 400, description = "nothing stored", body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "overloaded or stopping; see Retry-After", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "out of space for appends", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn receive(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let principal = Arc::clone(&caller.principal);
    let limits = &app.settings().body;
    let mode = ContentMode::of(&headers)?;
    let bytes = body::read(&headers, body, limits).await?;
    let events: Vec<Bytes> = match mode {
        ContentMode::Structured => vec![bytes],
        ContentMode::Batch => {
            let raw: Vec<&RawValue> = serde_json::from_slice(&bytes).map_err(|error| {
                let (line, column) = (error.line(), error.column());
                Problem::bad_request(
                    "invalid_json",
                    format!("not a list of events at line {line}, column {column}"),
                )
            })?;
            raw.into_iter()
                .map(|event| bytes.slice_ref(event.get().as_bytes()))
                .collect()
        }
        ContentMode::Binary => vec![binary(&headers, &bytes)?],
    };
    if events.is_empty() {
        return Err(Problem::bad_request("empty_batch", "the body holds no event"));
    }
    super::check_count(events.len(), limits.events_max)?;
    let mapping = Some(super::preset("cloudevents")?);
    let records = events
        .into_iter()
        .map(|event| Incoming {
            record: check(event),
            mapping,
            key: None,
        })
        .collect();
    let appended = super::append(
        app.engine(),
        &tenant,
        &principal,
        "cloudevents",
        records,
        Mode::Each,
    )
    .await?;
    answer(appended, mode != ContentMode::Batch, &Evidence::default())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ContentMode {
    Structured,
    Batch,
    Binary,
}

impl ContentMode {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        match essence(headers).as_str() {
            "application/cloudevents+json" => Ok(Self::Structured),
            "application/cloudevents-batch+json" => Ok(Self::Batch),
            other
                if !other.starts_with("application/cloudevents")
                    && headers.contains_key("ce-specversion") =>
            {
                Ok(Self::Binary)
            }
            _ => Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_content_type",
                "send Content-Type: application/cloudevents+json, application/cloudevents-batch+json, or ce- headers",
            )),
        }
    }
}

fn essence(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let essence = value.unwrap_or("").split(';').next().unwrap_or("");
    essence.trim().to_ascii_lowercase()
}

/// What an event must have (CloudEvents 1.0.2, section "Required attributes").
#[derive(Deserialize)]
struct Required<'e> {
    #[serde(borrow)]
    specversion: Cow<'e, str>,
    #[serde(borrow)]
    id: Cow<'e, str>,
    #[serde(borrow)]
    source: Cow<'e, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'e, str>,
}

fn check(event: Bytes) -> Result<Bytes, ItemError> {
    let refuse = |path: &str, message: &str| {
        Err(ItemError {
            code: "invalid_cloudevent",
            path: path.to_owned(),
            message: message.to_owned(),
            status: 400,
        })
    };
    let required = match serde_json::from_slice::<Required<'_>>(&event) {
        Ok(required) => required,
        Err(error) if error.is_data() => {
            return refuse("", "specversion, id, source and type are required, as strings");
        }
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            return refuse("", &format!("not valid JSON at line {line}, column {column}"));
        }
    };
    if required.specversion != "1.0" {
        return refuse("/specversion", "only version 1.0 is known");
    }
    for (path, value) in [
        ("/id", &required.id),
        ("/source", &required.source),
        ("/type", &required.kind),
    ] {
        if value.is_empty() {
            return refuse(path, "must not be empty");
        }
    }
    Ok(event)
}

/// An event in binary mode as it would be in structured mode.
fn binary(headers: &HeaderMap, body: &[u8]) -> Result<Bytes, Problem> {
    let mut event: BTreeMap<&str, Box<RawValue>> = BTreeMap::new();
    let text = |text: &str| to_raw_value(text).map_err(wire::internal);
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix("ce-") else {
            continue;
        };
        let value = percent_decode(value.as_bytes()).decode_utf8().map_err(|_| {
            Problem::bad_request(
                "invalid_header",
                format!("ce-{name} is not percent-encoded UTF-8"),
            )
        })?;
        event.insert(name, text(&value)?);
    }
    let kind = essence(headers);
    if !kind.is_empty() {
        event.insert("datacontenttype", text(&kind)?);
    }
    let is_json = kind.is_empty() || kind == "application/json" || kind.ends_with("+json");
    match std::str::from_utf8(body) {
        Ok("") => {}
        _ if is_json => {
            let data: Box<RawValue> = serde_json::from_slice(body).map_err(|error| {
                let (line, column) = (error.line(), error.column());
                Problem::bad_request(
                    "invalid_json",
                    format!("the data is not valid JSON at line {line}, column {column}"),
                )
            })?;
            event.insert("data", data);
        }
        Ok(data) => {
            event.insert("data", text(data)?);
        }
        Err(_) => {
            event.insert("data_base64", text(&STANDARD.encode(body))?);
        }
    }
    serde_json::to_vec(&event)
        .map(Bytes::from)
        .map_err(wire::internal)
}

#[cfg(test)]
mod tests;
