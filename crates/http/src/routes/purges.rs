//! `/v1/tenants/{t}/purges`: records that go because their retention is over, or because somebody ordered it.

use std::ops::Range;

use attestore_engine::forget::purge::{Plan, PurgeOrder, PurgePage, PurgeStatus, Selection};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::body;
use crate::guard::Caller;
use crate::problem::Problem;
use crate::server::App;
use crate::wire;

/// What is to be purged. With neither `before` nor `ranges`: what is older than the maximum of its policy, now and without grace.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PurgeBody {
    /// Retention class of the records; all classes if absent, for what is due.
    class: Option<u16>,
    /// Records received before this RFC 3339 time.
    before: Option<String>,
    /// Records with these seqs: `[[first, end], …]`, `end` not included, ascending and apart.
    ranges: Option<Vec<[u64; 2]>>,
    /// Why. Shown with the purge, not in the log; no names of people.
    reason: Option<String>,
    /// Whether to tell only what would go.
    dry_run: bool,
}

/// What a purge would do.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanBody {
    /// Retention class.
    class: u16,
    /// Seq of the policy in force.
    policy: u64,
    /// `expired`, `ordered` or `override`.
    #[schema(value_type = String)]
    reason: serde_json::Value,
    /// Where the records stand.
    #[schema(value_type = Vec<[u64; 2]>)]
    ranges: serde_json::Value,
    /// How many.
    records: u64,
    /// How many of those that are due or asked for a hold keeps.
    held: u64,
    /// Bytes of files that hold nothing else.
    bytes_dropped: u64,
    /// Bytes of files that would be written again without them.
    bytes_rewritten: u64,
    /// Whether some are younger than the minimum: that takes a bypass, and the approval of a second person.
    needs_override: bool,
}

/// A purge.
#[derive(Debug, Serialize, ToSchema)]
pub struct PurgeStatusBody {
    /// Its id.
    id: String,
    /// `decided`, `recorded` (no read shows the records), `swept` (no segment holds them), `unreadable` (no key opens them),
    /// `receipted`, `done`.
    #[schema(value_type = String)]
    state: serde_json::Value,
    /// Retention class.
    class: u16,
    /// Seq of the policy that was in force.
    policy: u64,
    /// `expired`, `ordered` or `override`.
    #[schema(value_type = String)]
    reason: serde_json::Value,
    /// Where the records stood.
    #[schema(value_type = Vec<[u64; 2]>)]
    ranges: serde_json::Value,
    /// How many.
    records: u64,
    /// How many a hold kept.
    held: u64,
    /// Id of the credential that ordered it; `internal` for the schedule.
    ordered_by: String,
    /// Ids of those who approved it.
    approved_by: Vec<String>,
    /// Why, as it was typed.
    note: String,
    /// When it was decided, RFC 3339.
    decided_at: String,
    /// Seq of its record in the tenant's log.
    control: Option<u64>,
    /// Since when no read shows the records, RFC 3339.
    hidden_since: Option<String>,
    /// Since when no key opens them, also from older copies of the catalog, RFC 3339.
    unreadable_since: Option<String>,
    /// Since when the files that held them are removed, RFC 3339.
    gone_since: Option<String>,
    /// Bytes of files that were dropped as they were.
    bytes_dropped: u64,
    /// Bytes of files that were written again without the records.
    bytes_rewritten: u64,
    /// SHA-256 of the receipt, hex; null until there is one.
    receipt_sha256: Option<String>,
    /// When nothing was left to do, RFC 3339.
    done_at: Option<String>,
}

/// What was begun, or would be.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrderedBody {
    /// The purges; none where nothing may go, or for a dry run.
    items: Vec<PurgeStatusBody>,
    /// For a dry run: what each would do.
    #[serde(skip_serializing_if = "Option::is_none")]
    plans: Option<Vec<PlanBody>>,
}

/// Purges, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct PurgesBody {
    /// The purges.
    items: Vec<PurgeStatusBody>,
    /// Pass it on for the next page; null after the last one.
    cursor: Option<String>,
}

/// Query parameters of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PurgesQuery {
    /// Purges per page, 1 to 1000, default 100.
    limit: Option<usize>,
    /// Where the page before ended.
    cursor: Option<String>,
}

/// Anything small as JSON: what serialises in the engine does here.
fn plain(value: impl Serialize) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or_default()
}

impl From<Plan> for PlanBody {
    fn from(plan: Plan) -> Self {
        Self {
            class: plan.class,
            policy: plan.policy,
            reason: plain(plan.reason),
            ranges: plain(&plan.ranges),
            records: plan.records,
            held: plan.held,
            bytes_dropped: plan.bytes_dropped,
            bytes_rewritten: plan.bytes_rewritten,
            needs_override: plan.needs_override,
        }
    }
}

impl From<PurgeStatus> for PurgeStatusBody {
    fn from(purge: PurgeStatus) -> Self {
        Self {
            id: purge.id,
            state: plain(purge.state),
            class: purge.class,
            policy: purge.policy,
            reason: plain(purge.reason),
            ranges: plain(&purge.ranges),
            records: purge.records,
            held: purge.held,
            ordered_by: purge.by,
            approved_by: purge.approved_by,
            note: purge.note,
            decided_at: wire::rfc3339_ms(purge.decided_ms),
            control: purge.control,
            hidden_since: purge.recorded_ms.map(wire::rfc3339_ms),
            unreadable_since: purge.unreadable_since_ms.map(wire::rfc3339_ms),
            gone_since: purge.gone_since_ms.map(wire::rfc3339_ms),
            bytes_dropped: purge.bytes_dropped,
            bytes_rewritten: purge.bytes_rewritten,
            receipt_sha256: purge.receipt,
            done_at: purge.done_ms.map(wire::rfc3339_ms),
        }
    }
}

impl From<PurgePage> for PurgesBody {
    fn from(page: PurgePage) -> Self {
        Self {
            items: page.items.into_iter().map(PurgeStatusBody::from).collect(),
            cursor: page.cursor,
        }
    }
}

/// Purge records of a tenant, as far as its retention policies and holds let them go.
///
/// Records younger than the minimum of a policy in mode `none` or `governance` take the header `Attestore-Bypass-Governance: true` and
/// the approval of a second person; nobody purges those of a policy in mode `compliance`.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/purges", tag = "retention",
    params(("tenant" = String, Path, description = "tenant name")),
    request_body = PurgeBody,
    responses(
        (status = 200, description = "nothing may go, or a dry run", body = OrderedBody),
        (status = 202, description = "the records are gone; their files and keys follow", body = OrderedBody),
        (status = 409, description = "the rules forbid it: `retention_locked`, `retention_minimum`, `no_policy`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn create(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let bytes = body::read(&headers, body, &app.settings().body).await?;
    let wanted: PurgeBody = wire::document(&bytes, "invalid_purge")?;
    let order = order(&wanted, bypasses(&headers)?)?;
    caller
        .tells(serde_json::to_string(&wanted).map_err(wire::internal)?)
        .await?;
    let engine = app.engine().clone();
    let by = caller.principal;
    if wanted.dry_run {
        let plans = wire::blocking(move || engine.plan_purge(&tenant, &by, &order)).await?;
        let plans = plans.into_iter().map(PlanBody::from).collect();
        let (items, plans) = (Vec::new(), Some(plans));
        return Ok((NO_STORE, Json(OrderedBody { items, plans })).into_response());
    }
    let ordered = wire::blocking(move || engine.purge(&tenant, &by, &order)).await?;
    let status = match ordered.purges.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::ACCEPTED,
    };
    let items = ordered.purges.into_iter().map(PurgeStatusBody::from).collect();
    let plans = None;
    Ok((status, NO_STORE, Json(OrderedBody { items, plans })).into_response())
}

/// List the purges of a tenant, newest first.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/purges", tag = "retention",
    params(("tenant" = String, Path, description = "tenant name"), PurgesQuery),
    responses(
        (status = 200, body = PurgesBody),
    ),
    security(("bearer" = []))
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    Query(query): Query<PurgesQuery>,
) -> Result<impl IntoResponse, Problem> {
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::bad_request(
            "invalid_limit",
            format!("limit must be 1 to {LIMIT_MAX}"),
        ));
    }
    let engine = app.engine().clone();
    let page =
        wire::blocking(move || engine.purges(&tenant, &caller.principal, query.cursor.as_deref(), limit))
            .await?;
    Ok((NO_STORE, Json(PurgesBody::from(page))))
}

/// See how a purge stands.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/purges/{purge}", tag = "retention",
    params(("tenant" = String, Path, description = "tenant name"), ("purge" = String, Path, description = "id of the purge")),
    responses(
        (status = 200, body = PurgeStatusBody),
    ),
    security(("bearer" = []))
)]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, purge)): Path<(String, String)>,
) -> Result<impl IntoResponse, Problem> {
    let engine = app.engine().clone();
    let status = wire::blocking(move || engine.purge_status(&tenant, &caller.principal, &purge)).await?;
    Ok((NO_STORE, Json(PurgeStatusBody::from(status))))
}

/// Get the receipt of a purge: an in-toto statement in a DSSE envelope, signed by the key of the tenant's log.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/purges/{purge}/receipt", tag = "retention",
    params(("tenant" = String, Path, description = "tenant name"), ("purge" = String, Path, description = "id of the purge")),
    responses(
        (status = 200, description = "DSSE envelope", body = serde_json::Value, content_type = "application/vnd.dsse.envelope.v1+json"),
        (status = 409, description = "there is none yet", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn receipt(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, purge)): Path<(String, String)>,
) -> Result<impl IntoResponse, Problem> {
    let engine = app.engine().clone();
    let text = wire::blocking(move || engine.purge_receipt(&tenant, &caller.principal, &purge)).await?;
    let kind = [(header::CONTENT_TYPE, "application/vnd.dsse.envelope.v1+json")];
    Ok((NO_STORE, kind, text))
}

fn order(body: &PurgeBody, bypass: bool) -> Result<PurgeOrder, Problem> {
    let selection = match (&body.before, &body.ranges) {
        (Some(_), Some(_)) => {
            return Err(Problem::bad_request(
                "invalid_purge",
                "before and ranges do not go together",
            ));
        }
        (Some(before), None) => {
            let before_ms = wire::parse_time("before", before)? / 1_000_000;
            Selection::Before(u64::try_from(before_ms).unwrap_or(0))
        }
        (None, Some(ranges)) => {
            let ranges = ranges.iter().map(|[first, end]| Range {
                start: *first,
                end: *end,
            });
            Selection::Ranges(ranges.collect())
        }
        (None, None) => Selection::Due,
    };
    let note = body.reason.clone().unwrap_or_default();
    if note.len() > NOTE_BYTES_MAX {
        return Err(Problem::bad_request(
            "invalid_purge",
            format!("reason: at most {NOTE_BYTES_MAX} bytes"),
        ));
    }
    Ok(PurgeOrder {
        class: body.class,
        selection,
        note,
        bypass,
    })
}

/// Whether the caller wants to go below a minimum.
pub(super) fn bypasses(headers: &HeaderMap) -> Result<bool, Problem> {
    match headers.get(BYPASS).map(|value| value.as_bytes()) {
        None | Some(b"false") => Ok(false),
        Some(b"true") => Ok(true),
        Some(_) => Err(Problem::bad_request(
            "invalid_header",
            "Attestore-Bypass-Governance is true or false",
        )),
    }
}

const BYPASS: &str = "attestore-bypass-governance";
const NO_STORE: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1000;
const NOTE_BYTES_MAX: usize = 4096;
