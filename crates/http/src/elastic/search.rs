//! `_search`, scrolls, points in time, `_count` and `_msearch`.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use super::answer::{Answered, Json, Refusal};
use super::hits::{ANSWER_BYTES_MAX, Answer, shards};
use super::index::{self, Names};
use super::params::Params;
use super::request::{PARAMS, Spec};
use super::run::{DOCUMENTS_BYTES_MAX, Scope, Turn, run};
use super::token::{self, Pit, SCROLLED_BYTES_MAX, Scroll};
use crate::body::{self, Limits};
use crate::guard::Caller;
use crate::peer::Peer;
use crate::problem::Problem;
use crate::server::App;
use crate::wire;

/// Most bytes of a search.
const BODY_BYTES_MAX: usize = 256 << 10;
/// Most bytes of several.
const BODIES_BYTES_MAX: usize = 1 << 20;
/// Searches in one `_msearch`.
const SEARCHES_MAX: usize = 64;

/// `_search`.
pub async fn search(
    State(app): State<App>,
    caller: Result<Caller, Problem>,
    peer: Peer,
    names: Names,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Answered<Box<RawValue>> {
    let caller = caller?;
    let body = read(&app, &headers, body, BODY_BYTES_MAX).await?;
    caller.notes(&format!("{} {}", params.raw(), String::from_utf8_lossy(&body)));
    params.allow(&PARAMS)?;
    let spec = Spec::read(&body, &params)?;
    let lenient = params.flag("ignore_unavailable");
    if !spec.scroll {
        let answer = one(&app, &caller, &peer, &names, lenient, spec, ANSWER_BYTES_MAX).await;
        return answer.map(Json);
    }
    let index = index::one(&app, &caller, &names, lenient).await?.name;
    if body.len() > SCROLLED_BYTES_MAX {
        return Err(Refusal::argument(format!(
            "a search of more than {SCROLLED_BYTES_MAX} bytes cannot be scrolled"
        )));
    }
    let scroll = Scroll {
        index,
        body: String::from_utf8_lossy(&body).into_owned(),
        params: params.raw().to_owned(),
        now_ms: app.engine().now_ms(),
        cursor: None,
        total: None,
    };
    page_of(&app, &caller, &peer, scroll, spec).await.map(Json)
}

/// One search of one index, or of the point in time that it names. The answer has at most `room` bytes.
async fn one(
    app: &App,
    caller: &Caller,
    peer: &Peer,
    names: &Names,
    lenient: bool,
    spec: Spec,
    room: usize,
) -> Result<Box<RawValue>, Refusal> {
    let (names, size) = match &spec.pit {
        None => (names.clone(), None),
        Some(id) => {
            let pit: Pit = token::read(id)?;
            (Names::new(&pit.index), Some(pit.size))
        }
    };
    let index = index::one(app, caller, &names, lenient).await?.name;
    let scope = Scope {
        index: index.clone(),
        now_ms: app.engine().now_ms(),
        size,
        cursor: None,
        bytes_max: DOCUMENTS_BYTES_MAX.min(room),
    };
    let begin = Instant::now();
    let spec = Arc::new(spec);
    let read = Arc::clone(&spec);
    run(app, peer, &caller.principal, scope, read, move |found, turn| {
        let answer = Answer::new(&index, &spec, found, took(begin), turn, room)?;
        answer.write(room)
    })
    .await
}

/// A page of a scroll, and the id of the next.
async fn page_of(
    app: &App,
    caller: &Caller,
    peer: &Peer,
    mut scroll: Scroll,
    spec: Spec,
) -> Result<Box<RawValue>, Refusal> {
    let scope = Scope {
        index: scroll.index.clone(),
        now_ms: scroll.now_ms,
        size: None,
        cursor: scroll.cursor.take(),
        bytes_max: DOCUMENTS_BYTES_MAX,
    };
    let begin = Instant::now();
    let spec = Arc::new(spec);
    let read = Arc::clone(&spec);
    run(
        app,
        peer,
        &caller.principal,
        scope,
        read,
        move |mut found, turn| {
            scroll.total = found.total.or(scroll.total);
            found.total = scroll.total;
            scroll.cursor = found.cursor.take();
            let mut answer = Answer::new(&scroll.index, &spec, found, took(begin), turn, ANSWER_BYTES_MAX)?;
            answer.scroll_id = Some(token::write(&scroll)?);
            answer.write(ANSWER_BYTES_MAX)
        },
    )
    .await
}

/// `_search/scroll`: the next page. It comes from the tree that the first page saw.
pub async fn scroll(
    State(app): State<App>,
    caller: Result<Caller, Problem>,
    peer: Peer,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Answered<Box<RawValue>> {
    let caller = caller?;
    params.allow(&["scroll", "scroll_id", "rest_total_hits_as_int"])?;
    let body = read(&app, &headers, body, BODY_BYTES_MAX).await?;
    let body: Value = document(&body)?;
    let id = body
        .get("scroll_id")
        .and_then(Value::as_str)
        .or(params.get("scroll_id"));
    let mut scroll: Scroll = token::read(id.ok_or_else(|| Refusal::argument("scrollId is missing"))?)?;
    caller.notes(&format!("{} {}", scroll.params, scroll.body));
    let names = Names::new(&scroll.index);
    scroll.index = index::one(&app, &caller, &names, false).await?.name;
    let spec = Spec::read(scroll.body.as_bytes(), &Params::read(&scroll.params))?;
    if scroll.cursor.is_none() {
        let nothing = super::run::Found {
            hits: Vec::new(),
            cursor: None,
            total: scroll.total,
            aggs: None,
        };
        let turn = Turn::new(&|| false, None);
        let mut answer = Answer::new(&scroll.index, &spec, nothing, 0, turn, ANSWER_BYTES_MAX)?;
        answer.scroll_id = Some(token::write(&scroll)?);
        return answer.write(ANSWER_BYTES_MAX).map(Json);
    }
    page_of(&app, &caller, &peer, scroll, spec).await.map(Json)
}

/// `DELETE _search/scroll` and `_pit`: there is nothing to free.
pub async fn free(caller: Result<Caller, Problem>) -> Answered<Value> {
    caller?;
    Ok(Json(json!({"succeeded": true, "num_freed": 1})))
}

/// `_pit`: a point in time is a tree of the log, which stays as it is.
pub async fn open_pit(
    State(app): State<App>,
    caller: Result<Caller, Problem>,
    names: Names,
    params: Params,
) -> Answered<Value> {
    let caller = caller?;
    params.allow(&["keep_alive", "routing", "allow_partial_pit_creation"])?;
    let info = index::one(&app, &caller, &names, params.flag("ignore_unavailable")).await?;
    let id = token::write(&Pit {
        index: info.name,
        size: info.size,
    })?;
    let now_ms = app.engine().now_ms();
    Ok(Json(
        json!({"id": id, "pit_id": id, "creation_time": now_ms, "_shards": shards()}),
    ))
}

/// `_count`.
pub async fn count(
    State(app): State<App>,
    caller: Result<Caller, Problem>,
    peer: Peer,
    names: Names,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Answered<Value> {
    let caller = caller?;
    params.allow(&["q", "df", "default_operator", "analyze_wildcard", "lenient"])?;
    let body = read(&app, &headers, body, BODY_BYTES_MAX).await?;
    caller.notes(&format!("{} {}", params.raw(), String::from_utf8_lossy(&body)));
    let body: Map<String, Value> = document(&body)?;
    if let Some(name) = body.keys().find(|name| *name != "query") {
        return Err(Refusal::parsing(format!("request does not support [{name}]")));
    }
    let mut spec = Spec::read(json!(body).to_string().as_bytes(), &params)?;
    spec.size = 0;
    let spec = Arc::new(spec);
    let mut count = 0;
    let tenants = index::readable(&app, &caller, &names, params.flag("ignore_unavailable")).await?;
    let shards = tenants.len();
    for info in tenants {
        let scope = Scope {
            index: info.name,
            now_ms: app.engine().now_ms(),
            size: None,
            cursor: None,
            bytes_max: 0,
        };
        let total = run(
            &app,
            &peer,
            &caller.principal,
            scope,
            Arc::clone(&spec),
            |found, _| Ok(found.total.unwrap_or_default()),
        );
        count += total.await?;
    }
    Ok(Json(json!({
        "count": count, "_shards": {"total": shards, "successful": shards, "skipped": 0, "failed": 0}
    })))
}

/// `_msearch`: pairs of lines, a header with the index and a search. Each has its own result.
pub async fn msearch(
    State(app): State<App>,
    caller: Result<Caller, Problem>,
    peer: Peer,
    names: Names,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Answered<Answers> {
    let caller = caller?;
    params.allow(&["rest_total_hits_as_int"])?;
    let body = read(&app, &headers, body, BODIES_BYTES_MAX).await?;
    caller.notes(&String::from_utf8_lossy(&body));
    let mut lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let mut searches = Vec::new();
    while let Some(header) = lines.next() {
        match (lines.next(), header) {
            (None, b"") => {}
            (Some(search), header) if !search.is_empty() => searches.push((header, search)),
            // Blank lines at the end.
            (Some(_), b"") => {}
            _ => return Err(Refusal::argument("each header needs a search on the next line")),
        }
    }
    if searches.is_empty() || searches.len() > SEARCHES_MAX {
        return Err(Refusal::new(
            axum::http::StatusCode::BAD_REQUEST,
            "action_request_validation_exception",
            format!("a request has 1 to {SEARCHES_MAX} searches"),
        ));
    }
    let begin = Instant::now();
    let mut responses = Vec::new();
    let (mut limited, mut others) = (None, false);
    let mut room = ANSWER_BYTES_MAX;
    for pair in searches {
        let answer = in_several(&app, &caller, &peer, &names, &params, pair, room).await;
        let response = match answer {
            Ok(answer) => {
                others = true;
                answer
            }
            Err(refusal) => {
                let body = to_raw_value(&refusal.body()).map_err(wire::internal)?;
                match refusal.status() {
                    429 => limited = Some(refusal),
                    _ => others = true,
                }
                body
            }
        };
        room = room.saturating_sub(response.get().len());
        responses.push(response);
    }
    // Who is told so of all searches is told when to come again.
    if let (Some(refusal), false) = (limited, others) {
        return Err(refusal);
    }
    Ok(Json(Answers {
        took: took(begin),
        responses,
    }))
}

/// What several searches answer.
#[derive(Serialize)]
pub struct Answers {
    took: u64,
    responses: Vec<Box<RawValue>>,
}

async fn in_several(
    app: &App,
    caller: &Caller,
    peer: &Peer,
    names: &Names,
    params: &Params,
    (header, search): (&[u8], &[u8]),
    room: usize,
) -> Result<Box<RawValue>, Refusal> {
    const KNOWN: [&str; 8] = [
        "index",
        "ignore_unavailable",
        "allow_no_indices",
        "expand_wildcards",
        "preference",
        "request_cache",
        "routing",
        "search_type",
    ];
    let header: Map<String, Value> = document(header)?;
    let known = |name: &str| {
        KNOWN.contains(&name) || ["ignore_throttled", "max_concurrent_shard_requests"].contains(&name)
    };
    if let Some(name) = header.keys().find(|name| !known(name)) {
        return Err(Refusal::argument(format!(
            "key [{name}] is not supported in the metadata section"
        )));
    }
    let expected = || Refusal::argument("[index] is a name or a list of names");
    let names = match header.get("index") {
        None | Some(Value::Null) => names.clone(),
        Some(Value::String(index)) => Names::new(index),
        Some(Value::Array(list)) => {
            let list: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
            Names::new(&list.ok_or_else(expected)?.join(","))
        }
        Some(_) => return Err(expected()),
    };
    let lenient = header
        .get("ignore_unavailable")
        .is_some_and(|flag| flag == true || flag == "true");
    let mut spec = Spec::read(search, &Params::default())?;
    spec.total_as_number = params.flag("rest_total_hits_as_int");
    spec.several = true;
    one(app, caller, peer, &names, lenient, spec, room).await
}

/// Reads a body under the limits of a search.
pub async fn read(app: &App, headers: &HeaderMap, body: Body, max: usize) -> Result<bytes::Bytes, Refusal> {
    let limits = Limits {
        wire_bytes_max: max,
        decoded_bytes_max: max,
        ..app.settings().body.clone()
    };
    Ok(body::read(headers, body, &limits).await?)
}

/// A JSON document; empty means `{}`.
fn document<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    wire::document(bytes, "invalid_json").map_err(Refusal::from)
}

fn took(begin: Instant) -> u64 {
    u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX)
}
