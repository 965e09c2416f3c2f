//! `/v1/tenants/{t}/quota`: what a tenant may use, and what it uses.

use attestore_engine::quotas::{Quota, QuotaStatus};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::body;
use crate::guard::Caller;
use crate::problem::Problem;
use crate::server::App;
use crate::wire;

/// What a tenant may use. What is not there, or null, is not limited by a quota.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QuotaBody {
    /// Events appended in any second.
    #[schema(minimum = 1, maximum = 10_000_000)]
    events_per_second: Option<u32>,
    /// Bytes of events, as they are sent, in a day of UTC.
    bytes_per_day: Option<u64>,
    /// Bytes on disk.
    storage_bytes: Option<u64>,
    /// Searches at once; further ones wait.
    #[schema(minimum = 1)]
    searches: Option<u32>,
    /// Tails at once.
    tails: Option<u32>,
    /// Exports whose files are kept.
    exports: Option<u32>,
}

/// What a tenant uses.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsedBody {
    /// Events appended in the last second; counted only under a quota for them.
    events_last_second: u64,
    /// Bytes of events since midnight UTC; counted only where there is any quota.
    bytes_today: u64,
    /// Bytes on disk, about.
    storage_bytes: u64,
}

/// A tenant's quota.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuotaStatusBody {
    /// What it may use.
    quota: QuotaBody,
    /// What it uses.
    used: UsedBody,
}

impl From<QuotaStatus> for QuotaStatusBody {
    fn from(status: QuotaStatus) -> Self {
        let quota = status.quota;
        Self {
            quota: QuotaBody {
                events_per_second: quota.events_per_second,
                bytes_per_day: quota.bytes_per_day,
                storage_bytes: quota.storage_bytes,
                searches: quota.searches,
                tails: quota.tails,
                exports: quota.exports,
            },
            used: UsedBody {
                events_last_second: status.events_last_second,
                bytes_today: status.bytes_today,
                storage_bytes: status.storage_bytes,
            },
        }
    }
}

/// See a tenant's quota and what is used of it.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/quota", tag = "tenants",
    params(("tenant" = String, Path, description = "tenant name")),
    responses(
        (status = 200, body = QuotaStatusBody),
    ),
    security(("bearer" = []))
)]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
) -> Result<Json<QuotaStatusBody>, Problem> {
    let engine = app.engine().clone();
    let status = wire::blocking(move || engine.quota(&tenant, &caller.principal)).await?;
    Ok(Json(status.into()))
}

/// Set a tenant's quota, as a whole; an empty one takes it away.
#[utoipa::path(
    put, path = "/v1/tenants/{tenant}/quota", tag = "tenants",
    params(("tenant" = String, Path, description = "tenant name")),
    request_body = QuotaBody,
    responses(
        (status = 200, body = QuotaStatusBody),
    ),
    security(("bearer" = []))
)]
pub async fn put(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<QuotaStatusBody>, Problem> {
    let bytes = body::read(&headers, body, &app.settings().body).await?;
    let wanted: QuotaBody = wire::document(&bytes, "invalid_quota")?;
    caller
        .tells(serde_json::to_string(&wanted).map_err(wire::internal)?)
        .await?;
    let quota = Quota {
        events_per_second: wanted.events_per_second,
        bytes_per_day: wanted.bytes_per_day,
        storage_bytes: wanted.storage_bytes,
        searches: wanted.searches,
        tails: wanted.tails,
        exports: wanted.exports,
    };
    let engine = app.engine().clone();
    let status = wire::blocking(move || engine.set_quota(&tenant, &caller.principal, quota)).await?;
    Ok(Json(status.into()))
}
