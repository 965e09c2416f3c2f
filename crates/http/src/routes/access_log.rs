//! `GET /v1/tenants/{t}/access-log`: who read, searched, exported and changed what of a tenant.
//!
//! These are records of `_system` that name the tenant; its own people see them without seeing `_system`.

use attestore_engine::search::{Order, SearchRequest};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::guard::Caller;
use crate::problem::Problem;
use crate::server::App;
use crate::wire::{self, RecordBody};

/// Query parameters of an access log.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AccessLogQuery {
    /// Records received at or after this time, RFC 3339.
    from: Option<String>,
    /// Records received before this time, RFC 3339.
    to: Option<String>,
    /// Records per page, 1 to 1000; default 100.
    limit: Option<usize>,
    /// Where the page before ended.
    cursor: Option<String>,
}

/// A page of an access log, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccessLogBody {
    /// The records, as `_system` has them.
    items: Vec<RecordBody>,
    /// Pass it on for the next page; null after the last one.
    cursor: Option<String>,
}

/// See who read, searched, exported and changed what of a tenant. What was searched for shows to those who may see personal
/// fields.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/access-log", tag = "credentials",
    params(("tenant" = String, Path), AccessLogQuery),
    responses(
        (status = 200, body = AccessLogBody),
    ),
    security(("bearer" = []))
)]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    Query(query): Query<AccessLogQuery>,
) -> Result<impl IntoResponse, Problem> {
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::bad_request(
            "invalid_limit",
            format!("limit must be 1 to {LIMIT_MAX}"),
        ));
    }
    let time = |name, text: &Option<String>| {
        text.as_deref()
            .map(|text| wire::parse_time(name, text))
            .transpose()
    };
    let request = SearchRequest {
        from_ns: time("from", &query.from)?,
        to_ns: time("to", &query.to)?,
        order: Order::Newest,
        limit,
        cursor: query.cursor,
        ..SearchRequest::default()
    };
    let engine = app.engine().clone();
    let page = wire::blocking(move || engine.access_log(&tenant, &caller.principal, request)).await?;
    let body = AccessLogBody {
        items: page
            .items
            .into_iter()
            .map(wire::record)
            .collect::<Result<_, _>>()?,
        cursor: page.cursor,
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)))
}

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1000;
