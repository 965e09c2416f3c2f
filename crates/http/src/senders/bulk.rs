//! Elasticsearch's `_bulk` (8.x and 9.x clients, OpenSearch's too): `index` and `create`, each item with its own result.
//!
//! An index is a tenant. A log takes no changes: `update` and `delete` fail, each for itself. An `_id` becomes the
//! idempotency key, so a client that repeats a request adds nothing; a document without one is a new record each time, as
//! in Elasticsearch. A document that is a native event is taken as one, any other is mapped as ECS.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use attestore_engine::{ItemError, Mode, Principal, Receipt};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Incoming;
use crate::body;
use crate::elastic::answer::{NO_INDEX, Refusal, answer};
use crate::guard::Caller;
use crate::problem::Problem;
use crate::server::App;

/// Append documents (Elasticsearch `_bulk`): an index is a tenant; `index` and `create` only.
#[utoipa::path(
    post, path = "/es/_bulk", tag = "senders",
    request_body(content((String = "application/x-ndjson"))),
    responses((status = 200, description = "one result for each action, in order"),
        (status = 400, description = "an action that cannot be read; nothing stored"),
        (status = 401, description = "a refusal as Elasticsearch writes it")),
    security(("bearer" = []))
)]
pub async fn bulk(
    State(app): State<App>,
    caller: Result<Caller, Problem>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    receive(&app, caller, None, &headers, body).await
}

/// As POST: clients differ in the method.
#[utoipa::path(
    put, path = "/es/_bulk", tag = "senders",
    request_body(content((String = "application/x-ndjson"))),
    responses((status = 200, description = "as for POST")),
    security(("bearer" = []))
)]
pub async fn bulk_put(
    app: State<App>,
    caller: Result<Caller, Problem>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    bulk(app, caller, headers, body).await
}

/// Append documents (Elasticsearch `_bulk`) to the index that the path names, unless an action names another.
#[utoipa::path(
    post, path = "/es/{index}/_bulk", tag = "senders",
    params(("index" = String, Path, description = "tenant name")),
    request_body(content((String = "application/x-ndjson"))),
    responses((status = 200, description = "as for `/es/_bulk`")),
    security(("bearer" = []))
)]
pub async fn bulk_index(
    State(app): State<App>,
    caller: Result<Caller, Problem>,
    Path(index): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    receive(&app, caller, Some(index), &headers, body).await
}

/// As POST: clients differ in the method.
#[utoipa::path(
    put, path = "/es/{index}/_bulk", tag = "senders",
    params(("index" = String, Path, description = "tenant name")),
    request_body(content((String = "application/x-ndjson"))),
    responses((status = 200, description = "as for POST")),
    security(("bearer" = []))
)]
pub async fn bulk_index_put(
    app: State<App>,
    caller: Result<Caller, Problem>,
    index: Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    bulk_index(app, caller, index, headers, body).await
}

async fn receive(
    app: &App,
    caller: Result<Caller, Problem>,
    index: Option<String>,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let begin = Instant::now();
    match append(app, caller, index, headers, body).await {
        Err(problem) => Refusal::from(problem).into_response(),
        Ok(items) => {
            let errors = items.iter().any(|item| item.result.error.is_some());
            let took = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
            answer(StatusCode::OK, &Answer { errors, took, items })
        }
    }
}

/// One action of a request and its document.
struct Action {
    name: &'static str,
    index: Option<String>,
    id: Option<String>,
    /// None for an action that a log does not take.
    document: Option<Bytes>,
}

async fn append(
    app: &App,
    caller: Result<Caller, Problem>,
    index: Option<String>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Vec<Item>, Problem> {
    let caller = caller?;
    check_type(headers)?;
    let limits = &app.settings().body;
    let bytes = body::read(headers, body, limits).await?;
    let actions = actions(&bytes, index.as_deref())?;
    if actions.is_empty() {
        return Err(Problem::bad_request(
            "empty_batch",
            "request body is required: it holds no action",
        ));
    }
    super::check_count(actions.len(), limits.events_max)?;
    let mut results: Vec<Option<Done>> = (0..actions.len()).map(|_| None).collect();
    let mut batches: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, action) in actions.iter().enumerate() {
        match (&action.index, &action.document) {
            (_, None) => results[at] = Some(Done::refused(405, "illegal_argument_exception", NO_CHANGES)),
            (None, Some(_)) => {
                results[at] = Some(Done::refused(
                    400,
                    "action_request_validation_exception",
                    "index is missing",
                ));
            }
            (Some(index), Some(_)) => batches.entry(index).or_default().push(at),
        }
    }
    let (mut limited, mut others) = (None, false);
    for (tenant, places) in batches {
        let done = match caller.on(tenant) {
            Err(problem) if problem.status == 429 => {
                let done = Done::refused(429, BUSY, problem.detail.clone());
                limited.get_or_insert(problem);
                vec![done; places.len()]
            }
            checked => {
                others = true;
                batch(app, checked, tenant, &actions, &places).await?
            }
        };
        for (at, done) in places.into_iter().zip(done) {
            results[at] = Some(done);
        }
    }
    if let (Some(problem), false) = (limited, others) {
        return Err(problem);
    }
    Ok(actions
        .into_iter()
        .zip(results)
        .map(|(action, done)| Item::new(action, done.unwrap_or_else(Done::lost)))
        .collect())
}

/// Appends the documents of one tenant.
async fn batch(
    app: &App,
    checked: Result<Arc<Principal>, Problem>,
    tenant: &str,
    actions: &[Action],
    places: &[usize],
) -> Result<Vec<Done>, Problem> {
    let all = |done: Done| Ok(places.iter().map(|_| done.clone()).collect());
    let principal = match checked {
        Ok(principal) => principal,
        Err(problem) => {
            let kind = if problem.status == 404 {
                NO_INDEX
            } else {
                "security_exception"
            };
            return all(Done::refused(problem.status, kind, problem.detail));
        }
    };
    let ecs = super::preset("ecs")?;
    let records = places
        .iter()
        .filter_map(|&at| actions.get(at))
        .map(|action| {
            let document = action.document.clone().unwrap_or_default();
            Incoming {
                mapping: (!is_native(&document)).then_some(ecs),
                record: Ok(document),
                key: action.id.as_deref().map(|id| super::key("es", id)),
            }
        })
        .collect();
    match super::append(app.engine(), tenant, &principal, "es_bulk", records, Mode::Each).await {
        Ok(appended) => Ok(appended
            .items
            .into_iter()
            .map(|item| match item {
                Ok(receipt) => Done::Stored(receipt),
                Err(error) => Done::of(error),
            })
            .collect()),
        Err(problem) if problem.status == 404 => all(Done::refused(404, NO_INDEX, problem.detail)),
        // Clients repeat items that were refused like this, and only those.
        Err(problem) if matches!(problem.status, 429 | 503 | 507) && problem.code != "stopped" => {
            all(Done::refused(429, BUSY, problem.detail))
        }
        Err(problem) => Err(problem),
    }
}

/// Bodies are NDJSON, whatever clients call it.
fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let essence = value.unwrap_or("").split(';').next().unwrap_or("").trim();
    let known = [
        "application/json",
        "application/x-ndjson",
        "application/vnd.elasticsearch+x-ndjson",
        "application/vnd.elasticsearch+json",
    ];
    if known.contains(&essence) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_content_type",
        "Content-Type header is not supported: send application/x-ndjson",
    ))
}

#[derive(Deserialize)]
struct Target {
    #[serde(rename = "_index")]
    index: Option<String>,
    #[serde(rename = "_id")]
    id: Option<Id>,
}

/// An id; some clients send numbers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(serde_json::Number),
}

fn actions(body: &Bytes, default_index: Option<&str>) -> Result<Vec<Action>, Problem> {
    let mut lines = body
        .split(|&byte| byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .enumerate()
        .filter(|(_, line)| !line.is_empty());
    let mut actions = Vec::new();
    while let Some((number, line)) = lines.next() {
        let malformed = |what: &str| {
            let line = number + 1;
            Problem::bad_request("malformed_action", format!("action on line {line}: {what}"))
        };
        let parsed: BTreeMap<String, Target> = serde_json::from_slice(line)
            .map_err(|_| malformed("expected {\"index\":{…}} or {\"create\":{…}}"))?;
        let mut parsed = parsed.into_iter();
        let (Some((name, target)), None) = (parsed.next(), parsed.next()) else {
            return Err(malformed("expected exactly one action"));
        };
        let name = NAMES
            .into_iter()
            .find(|known| *known == name)
            .ok_or_else(|| malformed("expected index, create, update or delete"))?;
        let document = if name == "delete" {
            None
        } else {
            let (_, document) = lines.next().ok_or_else(|| malformed("no document follows"))?;
            Some(body.slice_ref(document))
        };
        actions.push(Action {
            name,
            index: target.index.or_else(|| default_index.map(str::to_owned)),
            id: target.id.map(|id| match id {
                Id::Text(text) => text,
                Id::Number(number) => number.to_string(),
            }),
            document: document.filter(|_| name != "update"),
        });
    }
    Ok(actions)
}

/// Whether a document has what only native events have: an action at the top and an actor with an id.
fn is_native(document: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Native<'d> {
        #[serde(borrow)]
        action: &'d RawValue,
        actor: Actor<'d>,
    }
    #[derive(Deserialize)]
    struct Actor<'d> {
        #[serde(borrow)]
        id: &'d RawValue,
    }
    let is_text = |value: &RawValue| value.get().starts_with('"');
    serde_json::from_slice::<Native<'_>>(document)
        .is_ok_and(|native| is_text(native.action) && is_text(native.actor.id))
}

/// What became of an action.
#[derive(Clone)]
enum Done {
    Stored(Receipt),
    Refused {
        status: u16,
        kind: &'static str,
        reason: String,
    },
}

impl Done {
    fn refused(status: u16, kind: &'static str, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self::Refused { status, kind, reason }
    }

    fn of(error: ItemError) -> Self {
        let (status, kind) = match error.status {
            409 => (409, "version_conflict_engine_exception"),
            413 => (413, "document_too_large"),
            _ => (400, "document_parsing_exception"),
        };
        Self::refused(
            status,
            kind,
            format!("{} {}: {}", error.code, error.path, error.message),
        )
    }

    fn lost() -> Self {
        Self::refused(500, "exception", "the action was not looked at")
    }
}

#[derive(Serialize)]
struct Answer {
    errors: bool,
    took: u64,
    items: Vec<Item>,
}

/// A result under the name of its action.
struct Item {
    name: &'static str,
    result: ItemResult,
}

#[derive(Serialize)]
struct ItemResult {
    #[serde(rename = "_index")]
    index: Option<String>,
    #[serde(rename = "_id")]
    id: Option<String>,
    status: u16,
    #[serde(flatten)]
    stored: Option<Stored>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Value>,
}

#[derive(Serialize)]
struct Stored {
    result: &'static str,
    #[serde(rename = "_version")]
    version: u64,
    #[serde(rename = "_seq_no")]
    seq_no: u64,
    #[serde(rename = "_primary_term")]
    primary_term: u64,
    #[serde(rename = "_shards")]
    shards: Value,
}

impl Serialize for Item {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(self.name, &self.result)])
    }
}

impl Item {
    fn new(action: Action, done: Done) -> Self {
        let mut result = ItemResult {
            index: action.index,
            id: action.id,
            status: 201,
            stored: None,
            error: None,
        };
        match done {
            Done::Stored(receipt) => {
                result.id.get_or_insert_with(|| receipt.id.to_string());
                result.status = if receipt.duplicate { 200 } else { 201 };
                result.stored = Some(Stored {
                    result: if receipt.duplicate { "noop" } else { "created" },
                    version: 1,
                    seq_no: receipt.seq,
                    primary_term: 1,
                    shards: json!({"total": 1, "successful": 1, "failed": 0}),
                });
            }
            Done::Refused { status, kind, reason } => {
                result.status = status;
                result.error = Some(json!({"type": kind, "reason": reason}));
            }
        }
        Self {
            name: action.name,
            result,
        }
    }
}

const NAMES: [&str; 4] = ["index", "create", "update", "delete"];
/// What clients repeat.
const BUSY: &str = "es_rejected_execution_exception";
const NO_CHANGES: &str = "a log takes no changes: send index or create";

#[cfg(test)]
mod tests;
