//! `/v1/tenants`: make, see and list tenants.

use attestore_engine::tenant::TenantInfo;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::body;
use crate::guard::Caller;
use crate::problem::Problem;
use crate::server::App;
use crate::wire;

/// Tenants of a page when the request names no limit, and at most.
const LIMIT_MAX: usize = 1000;

/// What may be said when a tenant is made; nothing has to be.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantSpec {}

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
pub struct TenantBody {
    /// Name in URLs.
    name: String,
    /// Opaque id that its records carry, 32 hex digits.
    id: String,
    /// Name of its log in checkpoints.
    origin: String,
    /// When it was made, RFC 3339.
    created_at: String,
    /// Number of durable records: live, purged and erased.
    size: u64,
    /// Records that can be read.
    live: u64,
    /// Records that were purged.
    purged: u64,
    /// Records that were erased whole.
    erased: u64,
    /// RFC 6962 root over them, hex.
    root: String,
    /// Why appends are refused, if they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    refuses_appends: Option<String>,
}

impl From<TenantInfo> for TenantBody {
    fn from(info: TenantInfo) -> Self {
        Self {
            name: info.name,
            id: info.id,
            origin: info.origin,
            created_at: wire::rfc3339_ms(info.created_ms),
            size: info.size,
            live: info.size.saturating_sub(info.purged + info.erased),
            purged: info.purged,
            erased: info.erased,
            root: info.root,
            refuses_appends: info.refuses_appends,
        }
    }
}

/// Make a tenant, or see that it is there.
#[utoipa::path(
    put, path = "/v1/tenants/{tenant}", tag = "tenants",
    params(("tenant" = String, Path, description = "`[a-z0-9][a-z0-9_-]{0,62}`")),
    request_body = TenantSpec,
    responses(
        (status = 201, description = "made; durable", body = TenantBody),
        (status = 200, description = "was there", body = TenantBody),
    ),
    security(("bearer" = []))
)]
pub async fn put(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    let principal = caller.principal;
    let bytes = body::read(&headers, body, &app.settings().body).await?;
    let TenantSpec {} = wire::document(&bytes, "invalid_tenant")?;
    let engine = app.engine().clone();
    let (info, created) = wire::blocking(move || engine.create_tenant(&tenant, &principal)).await?;
    let status = if created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(TenantBody::from(info))))
}

/// See a tenant.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}", tag = "tenants",
    params(("tenant" = String, Path)),
    responses(
        (status = 200, body = TenantBody),
    ),
    security(("bearer" = []))
)]
pub async fn get(State(app): State<App>, Path(tenant): Path<String>) -> Result<Json<TenantBody>, Problem> {
    let engine = app.engine().clone();
    let info = wire::blocking(move || engine.tenant(&tenant)).await?;
    Ok(Json(info.into()))
}

/// Query parameters of the list of tenants.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct TenantsQuery {
    /// Name after which the page starts.
    cursor: Option<String>,
    /// Tenants per page, 1 to 1000 (default).
    limit: Option<usize>,
}

/// A page of tenants, by name.
#[derive(Debug, Serialize, ToSchema)]
pub struct TenantsBody {
    /// The tenants.
    items: Vec<TenantBody>,
    /// Pass it on for the next page; null after the last one.
    cursor: Option<String>,
}

/// List the tenants that the caller may know of.
#[utoipa::path(
    get, path = "/v1/tenants", tag = "tenants", params(TenantsQuery),
    responses(
        (status = 200, body = TenantsBody),
    ),
    security(("bearer" = []))
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<TenantsQuery>,
) -> Result<Json<TenantsBody>, Problem> {
    let limit = query.limit.unwrap_or(LIMIT_MAX);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::bad_request(
            "invalid_limit",
            format!("limit must be 1 to {LIMIT_MAX}"),
        ));
    }
    let engine = app.engine().clone();
    let own = caller.principal.tenants.names().cloned();
    let after = query.cursor;
    let infos = wire::blocking(move || match own {
        Some(own) => {
            let later = own
                .iter()
                .filter(|name| after.as_ref().is_none_or(|after| *name > after));
            let found = later.take(limit).map(|name| engine.tenant(name));
            // A token may name one that was destroyed.
            found
                .filter(|info| !matches!(info, Err(attestore_engine::Error::UnknownTenant)))
                .collect()
        }
        None => engine.tenants(after.as_deref(), limit),
    })
    .await?;
    let cursor = if infos.len() == limit {
        infos.last().map(|t| t.name.clone())
    } else {
        None
    };
    Ok(Json(TenantsBody {
        items: infos.into_iter().map(TenantBody::from).collect(),
        cursor,
    }))
}
