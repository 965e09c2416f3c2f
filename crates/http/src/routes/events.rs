//! `GET /v1/tenants/{t}/events` and below: search, one record, its proof.

use std::sync::Arc;

use attestore_engine::read::Which;
use attestore_engine::search::{Order, SearchRequest};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderName, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::corrections;
use super::search::LIMIT_DEFAULT;
use crate::guard::Caller;
use crate::peer::Peer;
use crate::problem::Problem;
use crate::server::App;
use crate::wire::{self, RecordBody};

/// Records that one page may hold.
const LIMIT_MAX: usize = 1000;

/// Query parameters of a search.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// Lucene-like query, e.g. `actor.id:u_42 AND outcome:denied`; empty matches everything.
    q: Option<String>,
    /// Only events that occurred at or after this RFC 3339 time.
    from: Option<String>,
    /// Only events that occurred before this RFC 3339 time.
    to: Option<String>,
    /// `newest` (default) or `oldest` first, by seq.
    order: Option<String>,
    /// Records per page, 1 to 1000, default 50.
    limit: Option<usize>,
    /// Where the previous page ended; pages are pinned to the tree that the first one saw.
    cursor: Option<String>,
    /// `true`: also count all matches.
    count: Option<bool>,
}

/// A page of records.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventsBody {
    /// The records.
    items: Vec<RecordBody>,
    /// Pass it on for the next page; null after the last one.
    cursor: Option<String>,
    /// All matches in the tree, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    /// The tree that the pages are taken from.
    tree: wire::Tree,
    /// Records were scanned, because the index does not hold what the query asks for.
    scanned: bool,
}

/// Search records, newest first.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/events", tag = "events",
    params(("tenant" = String, Path), EventsQuery),
    responses(
        (status = 200, body = EventsBody),
        (status = 422, description = "a good question that would cost too much", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn search(
    State(app): State<App>,
    caller: Caller,
    peer: Peer,
    Path(tenant): Path<String>,
    Query(query): Query<EventsQuery>,
) -> Result<impl IntoResponse, Problem> {
    let principal = Arc::clone(&caller.principal);
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::bad_request(
            "invalid_limit",
            format!("limit must be 1 to {LIMIT_MAX}"),
        ));
    }
    let order = match query.order.as_deref() {
        None | Some("newest" | "desc") => Order::Newest,
        Some("oldest" | "asc") => Order::Oldest,
        Some(_) => {
            return Err(Problem::bad_request(
                "invalid_order",
                "order must be newest or oldest",
            ));
        }
    };
    let request = SearchRequest {
        q: query.q.unwrap_or_default(),
        from_ns: query
            .from
            .as_deref()
            .map(|t| wire::parse_time("from", t))
            .transpose()?,
        to_ns: query
            .to
            .as_deref()
            .map(|t| wire::parse_time("to", t))
            .transpose()?,
        order,
        limit,
        cursor: query.cursor,
        want_count: query.count.unwrap_or(false),
        ..SearchRequest::default()
    };
    caller.seeks(super::search::terms(&request));
    let (page, mut corrected_by) = super::search::run(&app, &peer, tenant, principal, request).await?;
    let items = page
        .items
        .into_iter()
        .map(|view| corrections::record(view, &mut corrected_by))
        .collect::<Result<_, _>>()?;
    let tree = wire::Tree {
        origin: page.tree.origin,
        size: page.tree.size,
        root: String::new(),
    };
    Ok((
        NO_STORE,
        Json(EventsBody {
            items,
            cursor: page.cursor,
            count: page.count,
            tree,
            scanned: page.scanned,
        }),
    ))
}

/// Get one record by seq or id.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/events/{record}", tag = "events",
    params(("tenant" = String, Path), ("record" = String, Path, description = "seq or id")),
    responses(
        (status = 200, body = RecordBody),
        (status = 410, description = "`purged` or `erased`: its entry and every proof of it stay", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, record)): Path<(String, String)>,
) -> Result<impl IntoResponse, Problem> {
    let principal = Arc::clone(&caller.principal);
    let which = which(&record)?;
    let engine = app.engine().clone();
    let (view, mut corrected_by) = wire::blocking(move || {
        let view = engine.get(&tenant, &principal, which)?;
        let corrected_by = engine.corrected_by(&tenant, &principal, &[(view.seq, view.id)])?;
        Ok((view, corrected_by))
    })
    .await?;
    Ok((NO_STORE, Json(corrections::record(view, &mut corrected_by)?)))
}

/// Query parameters of a proof.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ProofQuery {
    /// Whether the checkpoint in it is the newest that witnesses have cosigned; 404 as long as none covers the record.
    #[serde(default)]
    witnessed: bool,
}

/// Get the proof of one record: a C2SP `.tlog-proof` whose `extra` opens the commitment. That of a record that was purged or erased whole
/// has no `extra`: it shows that its entry is in the tree.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/events/{record}/proof", tag = "proofs",
    params(("tenant" = String, Path), ("record" = String, Path, description = "seq or id"), ProofQuery),
    responses(
        (status = 200, description = "c2sp.org/tlog-proof@v1", body = String, content_type = "text/plain"),
    ),
    security(("bearer" = []))
)]
pub async fn proof(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, record)): Path<(String, String)>,
    Query(query): Query<ProofQuery>,
) -> Result<impl IntoResponse, Problem> {
    let principal = Arc::clone(&caller.principal);
    let which = which(&record)?;
    let engine = app.engine().clone();
    let text = wire::blocking(move || match query.witnessed {
        true => engine.witnessed_proof(&tenant, &principal, which),
        false => engine.proof(&tenant, &principal, which),
    })
    .await?;
    Ok((
        NO_STORE,
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
        text,
    ))
}

/// A path segment of digits is a seq, everything else must be a record id.
/// The record that somebody names by its seq or its id.
pub(super) fn which(record: &str) -> Result<Which, Problem> {
    let bad = || Problem::bad_request("invalid_record", "name a record by its seq or its id");
    if record.bytes().all(|b| b.is_ascii_digit()) {
        return record.parse().map(Which::Seq).map_err(|_| bad());
    }
    record.parse().map(Which::Id).map_err(|_| bad())
}

const NO_STORE: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];
