//! Single records: `_doc`, `_source` and `_mget`.

use std::sync::Arc;

use attestore_engine::read::RecordView;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::answer::{Answered, Json, Refusal, answer};
use super::index::{self, Names};
use super::params::Params;
use super::run::{Turn, find};
use super::search::read;
use super::source::{Document, Filter};
use crate::guard::Caller;
use crate::peer::Peer;
use crate::problem::Problem;
use crate::routes::search;
use crate::server::App;
use crate::wire;

/// Records of one `_mget`.
const DOCUMENTS_MAX: usize = 100;
const BODY_BYTES_MAX: usize = 64 << 10;
const PARAMS: [&str; 5] = [
    "_source",
    "_source_includes",
    "_source_excludes",
    "refresh",
    "version",
];

/// `_doc/{id}`: by the record's id, or by its event's own idempotency key.
pub async fn get(
    State(app): State<App>,
    caller: Result<Caller, Problem>,
    peer: Peer,
    Path((index, id)): Path<(String, String)>,
    params: Params,
) -> Result<Response, Refusal> {
    params.allow(&PARAMS)?;
    let filter = filter(&params)?;
    let found = one(&app, &caller?, &peer, &index, id.clone()).await?;
    let status = if found.is_some() {
        StatusCode::OK
    } else {
        StatusCode::NOT_FOUND
    };
    Ok(answer(status, &body(&index, &id, found, &filter)?))
}

/// `_source/{id}`: the document alone.
pub async fn source(
    State(app): State<App>,
    caller: Result<Caller, Problem>,
    peer: Peer,
    Path((index, id)): Path<(String, String)>,
    params: Params,
) -> Result<Response, Refusal> {
    params.allow(&PARAMS)?;
    let filter = filter(&params)?;
    let found = one(&app, &caller?, &peer, &index, id).await?;
    let found = found.ok_or_else(|| {
        Refusal::new(
            StatusCode::NOT_FOUND,
            "resource_not_found_exception",
            "document not found",
        )
    })?;
    let document = Document::new(found).map_err(wire::internal)?;
    let source = filter.apply(&document.source).map_err(wire::internal)?;
    Ok(Json(source).into_response())
}

/// `_mget`.
pub async fn several(
    State(app): State<App>,
    caller: Result<Caller, Problem>,
    peer: Peer,
    names: Names,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Answered<Documents> {
    let caller = caller?;
    params.allow(&PARAMS)?;
    let bytes = read(&app, &headers, body, BODY_BYTES_MAX).await?;
    caller.notes(&String::from_utf8_lossy(&bytes));
    let request: Map<String, Value> = wire::document(&bytes, "invalid_json")?;
    let expected = || Refusal::parsing("_mget takes [docs] with an [_id] each, or [ids]");
    let wanted: Vec<(Option<&str>, &str, Option<&Value>)> = match (request.get("docs"), request.get("ids")) {
        (Some(Value::Array(docs)), None) => docs
            .iter()
            .map(|doc| {
                let id = doc.get("_id").and_then(Value::as_str)?;
                Some((doc.get("_index").and_then(Value::as_str), id, doc.get("_source")))
            })
            .collect::<Option<_>>()
            .ok_or_else(expected)?,
        (None, Some(Value::Array(ids))) => ids
            .iter()
            .map(|id| Some((None, id.as_str()?, None)))
            .collect::<Option<_>>()
            .ok_or_else(expected)?,
        _ => return Err(expected()),
    };
    if wanted.len() > DOCUMENTS_MAX {
        return Err(Refusal::argument(format!(
            "_mget takes at most {DOCUMENTS_MAX} documents"
        )));
    }
    let mut docs = Vec::new();
    for (index, id, source) in wanted {
        let names = index.map_or_else(|| names.clone(), Names::new);
        let index = index::one(&app, &caller, &names, false).await?.name;
        let filter = match source {
            None => filter(&params)?,
            source => Filter::read(source)?,
        };
        let found = one(&app, &caller, &peer, &index, id.to_owned()).await?;
        docs.push(self::body(&index, id, found, &filter)?);
    }
    Ok(Json(Documents { docs }))
}

/// What `_mget` answers.
#[derive(Serialize)]
pub struct Documents {
    docs: Vec<DocumentBody>,
}

fn filter(params: &Params) -> Result<Filter, Refusal> {
    let list = |name: &str| params.list(name).unwrap_or_default();
    let (includes, excludes) = (list("_source_includes"), list("_source_excludes"));
    match params.get("_source") {
        Some("false") => Ok(Filter::Nothing),
        Some(names) if names != "true" => Filter::read(Some(&json!(list("_source")))),
        _ if includes.is_empty() && excludes.is_empty() => Ok(Filter::Whole),
        _ => Filter::read(Some(&json!({"includes": includes, "excludes": excludes}))),
    }
}

async fn one(
    app: &App,
    caller: &Caller,
    peer: &Peer,
    index: &str,
    id: String,
) -> Result<Option<RecordView>, Refusal> {
    let name = index::one(app, caller, &Names::new(index), false).await?.name;
    let engine = app.engine().clone();
    let by = Arc::clone(&caller.principal);
    let index = name.clone();
    search::in_turn_of(app, peer, &name, None, move |gone| {
        find(&engine, &index, &by, &id, Turn::new(gone, None))
    })
    .await?
}

/// A record, or that there is none.
#[derive(Serialize)]
pub struct DocumentBody {
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
    found: bool,
    #[serde(rename = "_source", skip_serializing_if = "Option::is_none")]
    source: Option<Box<RawValue>>,
}

fn body(index: &str, id: &str, found: Option<RecordView>, filter: &Filter) -> Result<DocumentBody, Refusal> {
    let document = found.map(Document::new).transpose().map_err(wire::internal)?;
    let source = document.as_ref().map(|document| filter.apply(&document.source));
    Ok(DocumentBody {
        index: index.to_owned(),
        id: id.to_owned(),
        version: document.as_ref().map(|_| 1),
        seq_no: document.as_ref().map(|document| document.seq),
        primary_term: document.as_ref().map(|_| 1),
        found: document.is_some(),
        source: source.transpose().map_err(wire::internal)?.flatten(),
    })
}
