//! Destroying tenants, and those that were destroyed.

use attestore_engine::forget::destroy::{DestroyOrder, DestroyedPage, DestroyedTenant};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::guard::Caller;
use crate::problem::Problem;
use crate::server::App;
use crate::wire;

/// A tenant that was destroyed.
#[derive(Debug, Serialize, ToSchema)]
pub struct DestroyedTenantBody {
    /// The opaque id that it had, 32 hex digits.
    id: String,
    /// The name that it had; another tenant may have it now.
    name: String,
    /// Name of its log in checkpoints.
    origin: String,
    /// `decided`, `destroyed` (nobody finds it), `unreadable` (no key opens anything of it), `gone` (its files are removed), `done`.
    state: &'static str,
    /// When it was made, RFC 3339.
    created_at: String,
    /// Entries of its log at the end.
    size: u64,
    /// RFC 6962 root over them, hex.
    root: String,
    /// Records of them that had been purged before.
    purged: u64,
    /// Records of them that had been erased whole before.
    erased: u64,
    /// The last checkpoint, signed by the key of its log.
    checkpoint: String,
    /// Every key that its log had, the oldest first.
    vkeys: Vec<String>,
    /// Id of the credential that ordered it.
    ordered_by: String,
    /// Ids of who ordered and who approved it.
    approved_by: Vec<String>,
    /// Retention classes whose minimum in mode `governance` was bypassed.
    bypassed: Vec<u16>,
    /// Why.
    reason: String,
    /// Seq of its record in the log of `_system`.
    control: Option<u64>,
    /// Credentials that were for it alone and were revoked.
    credentials_revoked: u64,
    /// When it was decided, RFC 3339.
    decided_at: String,
    /// Since when nobody finds it, RFC 3339.
    hidden_since: Option<String>,
    /// Since when no key opens anything of it, also from older copies of the catalog, RFC 3339.
    unreadable_since: Option<String>,
    /// Since when its files are removed, RFC 3339.
    gone_since: Option<String>,
    /// SHA-256 of the receipt, hex; null until there is one.
    receipt_sha256: Option<String>,
    /// When nothing was left to do, RFC 3339.
    done_at: Option<String>,
}

/// Destroyed tenants, ascending by id.
#[derive(Debug, Serialize, ToSchema)]
pub struct DestroyedTenantsBody {
    /// The tenants.
    items: Vec<DestroyedTenantBody>,
    /// Pass it on for the next page; null after the last one.
    cursor: Option<String>,
}

/// Query parameters of a destruction.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DestroyQuery {
    /// The name of the tenant once more.
    confirm: String,
    /// Why, 1 to 1024 bytes; in the log of `_system` for good, so no names of people.
    reason: String,
}

/// Query parameters of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DestroyedQuery {
    /// Tenants per page, 1 to 1000, default 100.
    limit: Option<usize>,
    /// Where the page before ended.
    cursor: Option<String>,
}

impl From<DestroyedTenant> for DestroyedTenantBody {
    fn from(tenant: DestroyedTenant) -> Self {
        Self {
            id: tenant.id,
            name: tenant.name,
            origin: tenant.origin,
            state: tenant.state.name(),
            created_at: wire::rfc3339_ms(tenant.created_ms),
            size: tenant.size,
            root: tenant.root,
            purged: tenant.purged,
            erased: tenant.erased,
            checkpoint: tenant.checkpoint,
            vkeys: tenant.vkeys,
            ordered_by: tenant.ordered_by,
            approved_by: tenant.approved_by,
            bypassed: tenant.bypassed,
            reason: tenant.reason,
            control: tenant.control,
            credentials_revoked: tenant.credentials_revoked,
            decided_at: wire::rfc3339_ms(tenant.decided_ms),
            hidden_since: tenant.hidden_since_ms.map(wire::rfc3339_ms),
            unreadable_since: tenant.unreadable_since_ms.map(wire::rfc3339_ms),
            gone_since: tenant.gone_since_ms.map(wire::rfc3339_ms),
            receipt_sha256: tenant.receipt_sha256,
            done_at: tenant.done_ms.map(wire::rfc3339_ms),
        }
    }
}

impl From<DestroyedPage> for DestroyedTenantsBody {
    fn from(page: DestroyedPage) -> Self {
        Self {
            items: page.items.into_iter().map(DestroyedTenantBody::from).collect(),
            cursor: page.cursor,
        }
    }
}

/// Destroy a tenant, with everything in it.
///
/// Refused while a legal hold is in force, and while a record is younger than the minimum of a locked policy. Mode `governance` takes the
/// header `Attestore-Bypass-Governance: true` and the approval of a second person; nobody goes below mode `compliance`.
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}", tag = "tenants",
    params(("tenant" = String, Path, description = "tenant name"), DestroyQuery),
    responses(
        (status = 200, description = "nobody finds it any more, and no key opens it; its files follow", body = DestroyedTenantBody),
        (status = 202, description = "it takes a second person: the request for approval; nothing was done yet", body = serde_json::Value),
        (status = 409, description = "the rules forbid it: `tenant_held`, `retention_locked`, `own_log`, `rolled_back`, `clock_jump`, `tenant_ending`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn destroy(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    Query(query): Query<DestroyQuery>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    let order = DestroyOrder {
        confirm: query.confirm,
        reason: query.reason,
        bypass: wire::bypasses_governance(&headers)?,
    };
    caller.tells(order.reason.clone()).await?;
    let engine = app.engine().clone();
    let destroyed = wire::blocking(move || engine.destroy_tenant(&tenant, &caller.principal, &order)).await?;
    Ok((NO_STORE, Json(DestroyedTenantBody::from(destroyed))))
}

/// List the tenants that were destroyed.
#[utoipa::path(
    get, path = "/v1/destroyed-tenants", tag = "tenants", params(DestroyedQuery),
    responses(
        (status = 200, body = DestroyedTenantsBody),
    ),
    security(("bearer" = []))
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<DestroyedQuery>,
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
        wire::blocking(move || engine.destroyed_tenants(&caller.principal, query.cursor.as_deref(), limit))
            .await?;
    Ok((NO_STORE, Json(DestroyedTenantsBody::from(page))))
}

/// See a tenant that was destroyed.
#[utoipa::path(
    get, path = "/v1/destroyed-tenants/{id}", tag = "tenants",
    params(("id" = String, Path, description = "id that the tenant had")),
    responses(
        (status = 200, body = DestroyedTenantBody),
    ),
    security(("bearer" = []))
)]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    let engine = app.engine().clone();
    let tenant = wire::blocking(move || engine.destroyed_tenant(&caller.principal, &id)).await?;
    Ok((NO_STORE, Json(DestroyedTenantBody::from(tenant))))
}

/// Get the receipt of a destruction: an in-toto statement in a DSSE envelope, signed by the key of the log of `_system`.
#[utoipa::path(
    get, path = "/v1/destroyed-tenants/{id}/receipt", tag = "tenants",
    params(("id" = String, Path, description = "id that the tenant had")),
    responses(
        (status = 200, description = "DSSE envelope", body = serde_json::Value, content_type = "application/vnd.dsse.envelope.v1+json"),
        (status = 409, description = "there is none yet", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn receipt(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    let engine = app.engine().clone();
    let text = wire::blocking(move || engine.destruction_receipt(&caller.principal, &id)).await?;
    let kind = [(header::CONTENT_TYPE, "application/vnd.dsse.envelope.v1+json")];
    Ok((NO_STORE, kind, text))
}

const NO_STORE: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1000;
