//! `POST /v1/tenants/{t}/search`: the whole of searching, in one document.
//!
//! What `GET …/events` says in a URL is said here in a body, and more: sort keys, projection, aggregations, places of
//! hits, and what the search did. A client that goes away takes its search with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use attestore_engine::search::{self, Highlight, Order, SearchPage, SearchRequest};
use attestore_engine::{Error, Principal};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::corrections::{self, CorrectedBy};
use crate::body::{self, Limits};
use crate::fields::Fields;
use crate::guard::Caller;
use crate::peer::Peer;
use crate::problem::Problem;
use crate::server::App;
use crate::wire::{self, RecordBody};

/// Records of a page when the request names no limit.
pub const LIMIT_DEFAULT: usize = 50;
/// Most bytes of a search.
const BODY_BYTES_MAX: usize = 256 << 10;
/// How long a search waits for its turn when it names no deadline.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client that closed its side may still wait for the answer; most are gone, and what they asked for costs a core.
const LEFT_GRACE: Duration = Duration::from_secs(1);

/// A search. Every key may be left out; unknown keys are refused.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SearchSpec {
    /// Lucene-like query, e.g. `actor.id:u_42 AND outcome:denied`; empty matches everything.
    query: String,
    /// Only events that occurred at or after this RFC 3339 time.
    from: Option<String>,
    /// Only events that occurred before this RFC 3339 time.
    to: Option<String>,
    /// `newest` (default) or `oldest` first, by seq; or a field with `:asc` or `:desc`, e.g. `occurred_at:desc`. Ties go by seq.
    sort: Option<String>,
    /// Records per page, 0 to 1000, default 50. 0 is for who wants only a count or aggregations.
    limit: Option<usize>,
    /// Where the previous page ended; pages are pinned to the tree that the first one saw. The rest of the request must be
    /// the same.
    cursor: Option<String>,
    /// Fields of the event to answer with, as paths such as `actor.id`, `targets.id` or `metadata.order.total`; all if absent.
    fields: Option<Vec<String>>,
    /// Aggregations over all hits, shaped as in Elasticsearch: terms, date_histogram, histogram, range, stats, percentiles,
    /// cardinality and more, nested.
    #[schema(value_type = Option<Object>)]
    aggs: Option<Box<RawValue>>,
    /// Also say where in each record the query found something.
    highlight: bool,
    /// Also count all matches, exactly.
    count: bool,
    /// Also say what the search did.
    explain: bool,
    /// Milliseconds after which to give up; the server has a limit of its own.
    deadline_ms: Option<u64>,
}

/// One record that was found.
#[derive(Debug, Serialize, ToSchema)]
pub struct HitBody {
    #[serde(flatten)]
    record: RecordBody,
    /// Where the query found something, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    highlights: Option<Vec<HighlightBody>>,
}

/// A string of a record in which the query found something.
#[derive(Debug, Serialize, ToSchema)]
pub struct HighlightBody {
    /// JSON pointer to the string in the event.
    path: String,
    /// The string, or the part of it around the first place.
    text: String,
    /// The places in `text`: first character and the one after the last, counted in Unicode characters from 0.
    ranges: Vec<[usize; 2]>,
}

/// What a search answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct SearchBody {
    /// The records.
    items: Vec<HitBody>,
    /// Pass it on for the next page; null after the last one.
    cursor: Option<String>,
    /// The tree that the pages are taken from.
    tree: wire::Tree,
    /// All matches in the tree, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    /// Results of the aggregations by their names, shaped as in Elasticsearch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    aggregations: Option<Box<RawValue>>,
    /// Records were scanned, because the index does not hold what the query asks for.
    scanned: bool,
    /// What the search did, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    explain: Option<ExplainBody>,
}

/// What a search did.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExplainBody {
    /// Sealed splits that there were.
    sealed_splits: u64,
    /// Splits in memory that there were.
    memory_splits: u64,
    /// Segments without a usable split that there were.
    bare_segments: u64,
    /// Splits and segments left out: nothing in them can match, or the page was full.
    pruned: u64,
    /// Splits that answered.
    read: u64,
    /// Splits and segments whose records were scanned.
    scanned: u64,
    /// Records that were scanned.
    records_scanned: u64,
    /// Hits that were looked at.
    hits_visited: u64,
    /// Bytes of sealed splits that were opened, past the cache.
    bytes_opened: u64,
    /// Where the time went.
    phases: PhasesBody,
    /// Time it took, microseconds; waiting for its turn is not in it.
    took_us: u64,
}

/// Time by phase, microseconds.
#[derive(Debug, Serialize, ToSchema)]
pub struct PhasesBody {
    /// Parsing, and finding what to ask.
    plan_us: u64,
    /// Indexing the newest records.
    tail_us: u64,
    /// Asking splits.
    search_us: u64,
    /// Scanning records.
    scan_us: u64,
    /// Aggregating.
    aggregate_us: u64,
    /// Opening the records of the page.
    fetch_us: u64,
}

/// Search records: query, sort, fields, aggregations.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/search", tag = "events",
    params(("tenant" = String, Path)),
    request_body = SearchSpec,
    responses(
        (status = 200, body = SearchBody),
        (status = 400, description = "what is asked for makes no sense; `path`, `column` and `suggestion` say where and what", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "a good question that would cost too much: too broad a term, too many buckets, too many records to scan", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the deadline passed, or too many searches run; see Retry-After", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn search(
    State(app): State<App>,
    caller: Caller,
    peer: Peer,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    let principal = Arc::clone(&caller.principal);
    let limits = Limits {
        wire_bytes_max: BODY_BYTES_MAX,
        decoded_bytes_max: BODY_BYTES_MAX,
        ..app.settings().body.clone()
    };
    let bytes = body::read(&headers, body, &limits).await?;
    let spec: SearchSpec = wire::document(&bytes, "invalid_search")?;
    let fields = spec.fields.clone().map(Fields::new).transpose()?;
    let request = request(&spec)?;
    caller.seeks(terms(&request));
    let found = run(&app, &peer, tenant, principal, request).await?;
    let answer = answer(found, spec.highlight, spec.explain, fields.as_ref())?;
    Ok((NO_STORE, Json(answer)))
}

/// What a search looks for, in the words of who asks.
pub fn terms(request: &SearchRequest) -> String {
    match &request.aggs {
        Some(aggs) => format!("{} {aggs}", request.q),
        None => request.q.clone(),
    }
}

/// What was found, and which records of it are corrected by which.
pub type Found = (SearchPage, CorrectedBy);

/// Runs a search in its turn; gives it up when the caller of this function does, or some time after the client closed its
/// side.
///
/// # Errors
/// As the engine's, 503 `search_busy`, and 400 `client_closed`.
pub async fn run(
    app: &App,
    peer: &Peer,
    tenant: String,
    principal: Arc<Principal>,
    request: SearchRequest,
) -> Result<Found, Problem> {
    let engine = app.engine().clone();
    let name = tenant.clone();
    let result = in_turn_of(app, peer, &name, request.deadline_ms, move |stop| {
        let page = engine.search_until(&tenant, &principal, &request, stop);
        note(&page);
        let page = page?;
        let records: Vec<_> = page.items.iter().map(|item| (item.seq, item.id)).collect();
        let corrected_by = engine.corrected_by(&tenant, &principal, &records)?;
        Ok((page, corrected_by))
    })
    .await?;
    result.map_err(wire::problem)
}

/// Does the work of a search in the tenant's turn; `work` is told when nobody waits for it any more.
///
/// # Errors
/// 503 `search_busy`, and 400 `client_closed`.
pub async fn in_turn_of<T: Send + 'static>(
    app: &App,
    peer: &Peer,
    tenant: &str,
    deadline_ms: Option<u64>,
    work: impl FnOnce(&(dyn Fn() -> bool + Sync)) -> T + Send + 'static,
) -> Result<T, Problem> {
    let left = async {
        peer.left().await;
        tokio::time::sleep(LEFT_GRACE).await;
    };
    let done = async {
        let patience = deadline_ms.map_or(PATIENCE, |ms| Duration::from_millis(ms).min(PATIENCE));
        let turn = app
            .slots()
            .turn(tenant, app.engine().places(tenant).searches, patience)
            .await?;
        let gone = Gone::default();
        let flag = Arc::clone(&gone.0);
        tokio::task::spawn_blocking(move || {
            let _turn = turn; // kept until the work ends, also when nobody waits for it any more
            work(&|| flag.load(Ordering::Relaxed))
        })
        .await
        .map_err(wire::internal)
    };
    tokio::select! {
        done = done => done,
        () = left => Err(Problem::bad_request(
            "client_closed",
            "the client closed its side of the connection and the search takes long: keep it open",
        )),
    }
}

/// Tells the search, when it is dropped, that nobody waits for the answer.
#[derive(Default)]
struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Counts what the engine does not count itself.
pub fn note(result: &Result<SearchPage, Error>) {
    if let Ok(page) = result {
        metrics::counter!("attestore_search_hits_visited_total").increment(page.explain.hits_visited);
        metrics::counter!("attestore_search_bytes_opened_total").increment(page.explain.bytes_opened);
    }
}

fn request(spec: &SearchSpec) -> Result<SearchRequest, Problem> {
    let limit = spec.limit.unwrap_or(LIMIT_DEFAULT);
    if limit > search::PAGE_MAX {
        return Err(at(
            "/limit",
            Problem::bad_request(
                "invalid_limit",
                format!("limit must be 0 to {}", search::PAGE_MAX),
            ),
        ));
    }
    let time = |name: &str, text: &Option<String>| {
        let parsed = text
            .as_deref()
            .map(|text| wire::parse_time(name, text))
            .transpose();
        parsed.map_err(|problem| at(&format!("/{name}"), problem))
    };
    if spec.deadline_ms == Some(0) {
        return Err(at(
            "/deadline_ms",
            Problem::bad_request("invalid_deadline", "deadline_ms must be at least 1"),
        ));
    }
    let (order, sort) = match spec.sort.as_deref() {
        None | Some("newest" | "seq:desc") => (Order::Newest, None),
        Some("oldest" | "seq" | "seq:asc") => (Order::Oldest, None),
        Some(column) => (Order::Newest, Some(column.to_owned())),
    };
    Ok(SearchRequest {
        q: spec.query.clone(),
        from_ns: time("from", &spec.from)?,
        to_ns: time("to", &spec.to)?,
        order,
        sort,
        limit,
        cursor: spec.cursor.clone(),
        want_count: spec.count,
        highlight: spec.highlight,
        aggs: spec.aggs.as_ref().map(|aggs| aggs.get().to_owned()),
        deadline_ms: spec.deadline_ms,
        ..SearchRequest::default()
    })
}

fn at(path: &str, mut problem: Problem) -> Problem {
    problem.path = Some(path.to_owned());
    problem
}

/// What a page is answered with.
///
/// # Errors
/// 500 when a stored event is not JSON.
pub fn answer(
    (page, mut corrected_by): Found,
    highlight: bool,
    explain: bool,
    fields: Option<&Fields>,
) -> Result<SearchBody, Problem> {
    let mut highlights = page.highlights.into_iter();
    let mut items = Vec::with_capacity(page.items.len());
    for mut view in page.items {
        // Control records are about nobody and have shapes of their own: they are shown whole.
        if let Some(fields) = fields
            && view.kind == "event"
        {
            view.event = fields.project(&view.event).map_err(wire::internal)?;
        }
        let found = highlights.next();
        items.push(HitBody {
            record: corrections::record(view, &mut corrected_by)?,
            highlights: highlight.then(|| found.unwrap_or_default().into_iter().map(Into::into).collect()),
        });
    }
    let aggregations = page.aggregations.map(RawValue::from_string).transpose();
    Ok(SearchBody {
        items,
        cursor: page.cursor,
        tree: wire::Tree {
            origin: page.tree.origin,
            size: page.tree.size,
            root: String::new(),
        },
        count: page.count,
        aggregations: aggregations.map_err(wire::internal)?,
        scanned: page.scanned,
        explain: explain.then(|| page.explain.into()),
    })
}

impl From<Highlight> for HighlightBody {
    fn from(highlight: Highlight) -> Self {
        let text = highlight.text;
        let characters = |bytes: usize| text.get(..bytes).map_or(0, |before| before.chars().count());
        let ranges = highlight
            .ranges
            .iter()
            .map(|range| [characters(range.start), characters(range.end)])
            .collect();
        Self {
            path: highlight.path,
            ranges,
            text,
        }
    }
}

impl From<search::Explain> for ExplainBody {
    fn from(explain: search::Explain) -> Self {
        Self {
            sealed_splits: explain.sealed_splits,
            memory_splits: explain.memory_splits,
            bare_segments: explain.bare_segments,
            pruned: explain.pruned,
            read: explain.read,
            scanned: explain.scanned,
            records_scanned: explain.records_scanned,
            hits_visited: explain.hits_visited,
            bytes_opened: explain.bytes_opened,
            phases: PhasesBody {
                plan_us: explain.phases.plan_us,
                tail_us: explain.phases.tail_us,
                search_us: explain.phases.search_us,
                scan_us: explain.phases.scan_us,
                aggregate_us: explain.phases.aggregate_us,
                fetch_us: explain.phases.fetch_us,
            },
            took_us: explain.took_us,
        }
    }
}

const NO_STORE: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];
