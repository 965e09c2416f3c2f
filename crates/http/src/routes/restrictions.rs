//! `/v1/tenants/{t}/restrictions`: people whose data is kept, and read only for a purpose.

use attestore_engine::forget::Person;
use attestore_engine::forget::restrict::RestrictionInfo;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::erasures::PersonBody;
use crate::body;
use crate::guard::Caller;
use crate::problem::Problem;
use crate::server::App;
use crate::wire;

/// Whose data is restricted, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestrictionRequestBody {
    /// 1 to 10,000. One person may be several.
    subjects: Vec<PersonBody>,
    /// Why, 1 to 256 bytes. It goes into the log, where it stays: it names nobody.
    reason: String,
}

/// A restriction that is in force.
#[derive(Debug, Serialize, ToSchema)]
pub struct RestrictionBody {
    /// Its id.
    id: String,
    /// Why.
    reason: String,
    /// Id of the credential that asked for it.
    created_by: String,
    /// Since when it is in force.
    created_at: String,
    /// How many handles the people have.
    subjects: u64,
    /// Index of the record of it in the log.
    seq: u64,
}

/// Restrictions of a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub struct RestrictionsBody {
    /// The newest first.
    items: Vec<RestrictionBody>,
}

/// Why a restriction ends.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct EndQuery {
    /// Why, 1 to 256 bytes; goes into the log, and names nobody.
    reason: String,
}

impl From<RestrictionInfo> for RestrictionBody {
    fn from(info: RestrictionInfo) -> Self {
        Self {
            id: info.id,
            reason: info.reason,
            created_by: info.created_by,
            created_at: wire::rfc3339_ms(info.created_ms),
            subjects: info.subjects,
            seq: info.seq,
        }
    }
}

/// Restrict the reading of data about people (Art. 18 GDPR). Reads need a purpose from then on: the header `Attestore-Purpose`.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/restrictions", tag = "forgetting",
    params(("tenant" = String, Path, description = "tenant name")),
    request_body = RestrictionRequestBody,
    responses(
        (status = 201, body = RestrictionBody),
        (status = 404, description = "no such tenant, or it knows none of the subjects", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn create(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<RestrictionBody>), Problem> {
    let bytes = body::read(&headers, body, &app.settings().body).await?;
    let asked: RestrictionRequestBody = wire::document(&bytes, "invalid_restriction")?;
    let told = format!("{} subjects, {}", asked.subjects.len(), asked.reason);
    caller.tells(told).await?;
    let people: Vec<Person> = asked.subjects.into_iter().map(Person::from).collect();
    let engine = app.engine().clone();
    let restricted =
        wire::blocking(move || engine.restrict(&tenant, &caller.principal, &people, &asked.reason)).await?;
    Ok((StatusCode::CREATED, Json(restricted.into())))
}

/// List a tenant's restrictions.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/restrictions", tag = "forgetting",
    params(("tenant" = String, Path, description = "tenant name")),
    responses(
        (status = 200, body = RestrictionsBody),
    ),
    security(("bearer" = []))
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
) -> Result<Json<RestrictionsBody>, Problem> {
    let engine = app.engine().clone();
    let all = wire::blocking(move || engine.restrictions(&tenant, &caller.principal)).await?;
    Ok(Json(RestrictionsBody {
        items: all.into_iter().map(RestrictionBody::from).collect(),
    }))
}

/// End a restriction.
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}/restrictions/{restriction}", tag = "forgetting",
    params(
        ("tenant" = String, Path, description = "tenant name"),
        ("restriction" = String, Path, description = "id of the restriction"),
        EndQuery,
    ),
    responses(
        (status = 204, description = "the data is read as before"),
    ),
    security(("bearer" = []))
)]
pub async fn end(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, restriction)): Path<(String, String)>,
    Query(why): Query<EndQuery>,
) -> Result<StatusCode, Problem> {
    let engine = app.engine().clone();
    wire::blocking(move || engine.end_restriction(&tenant, &caller.principal, &restriction, &why.reason))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
