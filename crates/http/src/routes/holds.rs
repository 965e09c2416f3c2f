//! `/v1/tenants/{t}/holds`: legal holds.

use attestore_engine::forget::holds::{HoldInfo, HoldScope, HoldSpec, Person, Release, SealedInfo};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::approvals::ApprovalBody;
use crate::body;
use crate::guard::Caller;
use crate::problem::Problem;
use crate::server::App;
use crate::wire;

/// A hold to be placed. What any of `query`, `actor`, `subject`, `ranges` and `classes` names is held.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceBody {
    /// What it is about. It stands in the log for good: a file number, never a name. 1 to 128 characters.
    matter: String,
    /// Why. Sealed, and shown to who may place holds; 1 to 4096 characters.
    reason: String,
    /// What a query matches, now and later, personal fields included.
    #[serde(default)]
    query: Option<String>,
    /// What somebody did, now and later.
    #[serde(default)]
    actor: Option<PersonBody>,
    /// What is about somebody, now and later, by their id.
    #[serde(default)]
    subject: Option<PersonBody>,
    /// Records that are there: `[first, end]`, `end` not included.
    #[serde(default)]
    ranges: Vec<[u64; 2]>,
    /// Whole classes, also what comes later.
    #[serde(default)]
    classes: Vec<u16>,
    /// When somebody should look whether it is still needed, RFC 3339.
    #[serde(default)]
    review_at: Option<String>,
}

/// Somebody, as events name them.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonBody {
    /// Type.
    #[serde(rename = "type")]
    ty: String,
    /// Id.
    id: String,
}

/// How a hold is released.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseBody {
    /// Why. Sealed, and shown to who may place holds; 1 to 4096 characters.
    reason: String,
}

/// A legal hold.
#[derive(Debug, Serialize, ToSchema)]
pub struct HoldBody {
    /// Its id, 32 hex digits, as in the log.
    id: String,
    /// `active` or `released`.
    state: &'static str,
    /// What it is about.
    matter: String,
    /// Why it was placed; this, the query, the actor and the subject are null to who may not place holds.
    reason: Option<String>,
    /// The query.
    query: Option<String>,
    /// The actor.
    actor: Option<PersonBody>,
    /// The subject.
    subject: Option<PersonBody>,
    /// Whole classes.
    classes: Vec<u16>,
    /// Records that it covers, those of whole classes not counted.
    records: u64,
    /// Whether newer records may match.
    future: bool,
    /// Every match below this seq is counted.
    known_until: u64,
    /// When somebody should look whether it is still needed, RFC 3339.
    review_at: Option<String>,
    /// Who placed it.
    placed_by: String,
    /// When, RFC 3339.
    placed_at: String,
    /// Seq of the first record of it in the tenant's log.
    record: Option<u64>,
    /// When it was released, RFC 3339.
    released_at: Option<String>,
    /// Who stands for that.
    released_by: Vec<String>,
    /// Why, to who may place holds.
    release_reason: Option<String>,
    /// Seq of the record of that.
    release_record: Option<u64>,
}

/// Legal holds.
#[derive(Debug, Serialize, ToSchema)]
pub struct HoldsBody {
    /// The newest first.
    items: Vec<HoldBody>,
}

impl From<HoldInfo> for HoldBody {
    fn from(hold: HoldInfo) -> Self {
        let sealed = hold.sealed;
        let person = |person: Person| PersonBody {
            ty: person.ty,
            id: person.id,
        };
        let part = |part: fn(&SealedInfo) -> Option<Person>| sealed.as_ref().and_then(part).map(person);
        Self {
            state: hold.state.name(),
            actor: part(|sealed| sealed.actor.clone()),
            subject: part(|sealed| sealed.subject.clone()),
            query: sealed.as_ref().and_then(|sealed| sealed.query.clone()),
            reason: sealed.as_ref().map(|sealed| sealed.reason.clone()),
            release_reason: sealed.as_ref().and_then(|sealed| sealed.released.clone()),
            id: hold.id,
            matter: hold.matter,
            classes: hold.classes,
            records: hold.records,
            future: hold.asks,
            known_until: hold.until,
            review_at: hold.review_ms.map(wire::rfc3339_ms),
            placed_by: hold.placed_by,
            placed_at: wire::rfc3339_ms(hold.placed_ms),
            record: hold.record,
            released_at: hold.released_ms.map(wire::rfc3339_ms),
            released_by: hold.released_by,
            release_record: hold.release_record,
        }
    }
}

impl PlaceBody {
    fn spec(self) -> Result<HoldSpec, Problem> {
        let person = |person: PersonBody| Person {
            ty: person.ty,
            id: person.id,
        };
        let review_ns = self
            .review_at
            .map(|text| wire::parse_time("review_at", &text))
            .transpose()?;
        Ok(HoldSpec {
            scope: HoldScope {
                query: self.query,
                actor: self.actor.map(person),
                subject: self.subject.map(person),
                ranges: self.ranges.into_iter().map(|[first, end]| first..end).collect(),
                classes: self.classes,
            },
            matter: self.matter,
            reason: self.reason,
            review_ms: review_ns.and_then(|ns| u64::try_from(ns / 1_000_000).ok()),
        })
    }
}

/// Place a legal hold: nothing that it covers is purged or erased until it is released.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/holds", tag = "forgetting",
    params(("tenant" = String, Path, description = "tenant name")),
    request_body = PlaceBody,
    responses(
        (status = 201, description = "in force, and in the tenant's log", body = HoldBody),
    ),
    security(("bearer" = []))
)]
pub async fn place(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let bytes = body::read(&headers, body, &app.settings().body).await?;
    let wanted: PlaceBody = wire::document(&bytes, "invalid_hold")?;
    caller
        .tells(serde_json::to_string(&wanted).map_err(wire::internal)?)
        .await?;
    let spec = wanted.spec()?;
    let engine = app.engine().clone();
    let base = format!("/v1/tenants/{tenant}/holds");
    let hold = wire::blocking(move || engine.place_hold(&tenant, &caller.principal, &spec)).await?;
    let location = format!("{base}/{}", hold.id);
    let body = Json(HoldBody::from(hold));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], body).into_response())
}

/// List legal holds, newest first, those that were released too.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/holds", tag = "forgetting",
    params(("tenant" = String, Path, description = "tenant name")),
    responses(
        (status = 200, body = HoldsBody),
    ),
    security(("bearer" = []))
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
) -> Result<Json<HoldsBody>, Problem> {
    let engine = app.engine().clone();
    let all = wire::blocking(move || engine.holds(&tenant, &caller.principal)).await?;
    Ok(Json(HoldsBody {
        items: all.into_iter().map(HoldBody::from).collect(),
    }))
}

/// See a legal hold.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/holds/{hold}", tag = "forgetting",
    params(("tenant" = String, Path), ("hold" = String, Path, description = "id of the hold")),
    responses(
        (status = 200, body = HoldBody),
    ),
    security(("bearer" = []))
)]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, hold)): Path<(String, String)>,
) -> Result<Json<HoldBody>, Problem> {
    let engine = app.engine().clone();
    let found = wire::blocking(move || engine.hold(&tenant, &caller.principal, &hold)).await?;
    Ok(Json(found.into()))
}

/// Release a legal hold. Others that cover the same records go on.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/holds/{hold}/release", tag = "forgetting",
    params(("tenant" = String, Path), ("hold" = String, Path, description = "id of the hold")),
    request_body = ReleaseBody,
    responses(
        (status = 200, description = "over, and in the tenant's log", body = HoldBody),
        (status = 202, description = "somebody else has to approve first", body = ApprovalBody),
        (status = 409, description = "`hold_released`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn release(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, hold)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<HoldBody>, Problem> {
    let bytes = body::read(&headers, body, &app.settings().body).await?;
    let wanted: ReleaseBody = wire::document(&bytes, "invalid_hold")?;
    caller
        .tells(serde_json::to_string(&wanted).map_err(wire::internal)?)
        .await?;
    let release = Release {
        reason: wanted.reason,
    };
    let engine = app.engine().clone();
    let released = move || engine.release_hold(&tenant, &caller.principal, &hold, &release);
    Ok(Json(wire::blocking(released).await?.into()))
}
