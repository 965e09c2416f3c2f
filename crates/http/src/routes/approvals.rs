//! `/v1/tenants/{t}/approvals`: acts that take two persons.

use attestore_engine::forget::approvals::{Approval, ApprovalPolicy, Decision, OperationKind};
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

/// A request for approval.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApprovalBody {
    /// Its id, 32 hex digits.
    id: String,
    /// Kind of act: `erase`, `purge_override`, `hold_release`, `retention_bypass`, `tenant_destroy`, `tenant_move`, `key_destroy`, `one_person`.
    kind: &'static str,
    /// SHA-256 of the act with a salt, hex. Who approves, approves this.
    operation: String,
    /// The act; null once the request has ended, and to who neither asked nor may approve.
    #[schema(value_type = Option<Object>)]
    parameters: Option<serde_json::Value>,
    /// `requested`, `approved`, `refused`, `used` or `expired`.
    state: &'static str,
    /// Who asked.
    requested_by: String,
    /// When, RFC 3339.
    requested_at: String,
    /// When it ends, approved or not, RFC 3339.
    expires_at: String,
    /// Who decided.
    decided_by: Option<String>,
    /// When, RFC 3339.
    decided_at: Option<String>,
    /// When the act was let in, RFC 3339.
    used_at: Option<String>,
}

/// Requests for approval.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApprovalsBody {
    /// The newest first.
    items: Vec<ApprovalBody>,
}

/// Which acts take two persons.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalPolicyBody {
    /// Kinds of acts: `erase`, `hold_release`, `tenant_destroy`, `tenant_move`, `key_destroy`; others take two always.
    kinds: Vec<String>,
    /// For how many seconds a request stands, approved or not; a day if it is not given.
    #[serde(default = "day")]
    #[schema(minimum = 60, maximum = 2_592_000)]
    expires_in_s: u64,
}

impl From<Approval> for ApprovalBody {
    fn from(approval: Approval) -> Self {
        Self {
            id: approval.id,
            kind: approval.kind.name(),
            operation: approval.operation,
            parameters: approval.parameters,
            state: approval.state.name(),
            requested_by: approval.requested_by,
            requested_at: wire::rfc3339_ms(approval.requested_ms),
            expires_at: wire::rfc3339_ms(approval.expires_ms),
            decided_by: approval.decided_by,
            decided_at: approval.decided_ms.map(wire::rfc3339_ms),
            used_at: approval.used_ms.map(wire::rfc3339_ms),
        }
    }
}

impl From<ApprovalPolicy> for ApprovalPolicyBody {
    fn from(policy: ApprovalPolicy) -> Self {
        Self {
            kinds: policy.kinds.iter().map(|kind| kind.name().to_owned()).collect(),
            expires_in_s: policy.expires_ms / 1000,
        }
    }
}

/// 202: somebody else has to approve first.
pub fn needed(tenant: &str, approval: Approval) -> Problem {
    let location = format!("/v1/tenants/{tenant}/approvals/{}", approval.id);
    match serde_json::to_vec(&ApprovalBody::from(approval)) {
        Ok(body) => Problem::waits("approval_needed", location, body),
        Err(error) => wire::internal(error),
    }
}

/// List requests for approval, newest first.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/approvals", tag = "forgetting",
    params(("tenant" = String, Path, description = "tenant name")),
    responses(
        (status = 200, body = ApprovalsBody),
    ),
    security(("bearer" = []))
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
) -> Result<Json<ApprovalsBody>, Problem> {
    let engine = app.engine().clone();
    let all = wire::blocking(move || engine.approvals(&tenant, &caller.principal)).await?;
    Ok(Json(ApprovalsBody {
        items: all.into_iter().map(ApprovalBody::from).collect(),
    }))
}

/// See a request for approval.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/approvals/{approval}", tag = "forgetting",
    params(("tenant" = String, Path), ("approval" = String, Path, description = "id of the request")),
    responses(
        (status = 200, body = ApprovalBody),
    ),
    security(("bearer" = []))
)]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, approval)): Path<(String, String)>,
) -> Result<Json<ApprovalBody>, Problem> {
    let engine = app.engine().clone();
    let found = wire::blocking(move || engine.approval(&tenant, &caller.principal, &approval)).await?;
    Ok(Json(found.into()))
}

/// Approve a request: who asked may do it, once, by the same call again.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/approvals/{approval}/approve", tag = "forgetting",
    params(("tenant" = String, Path), ("approval" = String, Path, description = "id of the request")),
    responses(
        (status = 200, body = ApprovalBody),
        (status = 409, description = "`own_request`, or `approval_ended`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn approve(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, approval)): Path<(String, String)>,
) -> Result<Json<ApprovalBody>, Problem> {
    decide(app, caller, tenant, approval, Decision::Approve).await
}

/// Refuse a request.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/approvals/{approval}/refuse", tag = "forgetting",
    params(("tenant" = String, Path), ("approval" = String, Path, description = "id of the request")),
    responses(
        (status = 200, body = ApprovalBody),
        (status = 409, description = "`own_request`, or `approval_ended`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn refuse(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, approval)): Path<(String, String)>,
) -> Result<Json<ApprovalBody>, Problem> {
    decide(app, caller, tenant, approval, Decision::Refuse).await
}

async fn decide(
    app: App,
    caller: Caller,
    tenant: String,
    id: String,
    decision: Decision,
) -> Result<Json<ApprovalBody>, Problem> {
    let engine = app.engine().clone();
    let decide = move || engine.decide_approval(&tenant, &caller.principal, &id, decision);
    Ok(Json(wire::blocking(decide).await?.into()))
}

/// See which acts take two persons.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/approvals/policy", tag = "forgetting",
    params(("tenant" = String, Path, description = "tenant name")),
    responses(
        (status = 200, body = ApprovalPolicyBody),
    ),
    security(("bearer" = []))
)]
pub async fn get_policy(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
) -> Result<Json<ApprovalPolicyBody>, Problem> {
    let engine = app.engine().clone();
    let policy = wire::blocking(move || engine.approval_policy(&tenant, &caller.principal)).await?;
    Ok(Json(policy.into()))
}

/// Set which acts take two persons, as a whole. To let one person do what took two takes two.
#[utoipa::path(
    put, path = "/v1/tenants/{tenant}/approvals/policy", tag = "forgetting",
    params(("tenant" = String, Path, description = "tenant name")),
    request_body = ApprovalPolicyBody,
    responses(
        (status = 200, description = "in force, and in the tenant's log", body = ApprovalPolicyBody),
        (status = 202, description = "somebody else has to approve first", body = ApprovalBody),
    ),
    security(("bearer" = []))
)]
pub async fn put_policy(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ApprovalPolicyBody>, Problem> {
    let bytes = body::read(&headers, body, &app.settings().body).await?;
    let wanted: ApprovalPolicyBody = wire::document(&bytes, "invalid_approval_policy")?;
    caller
        .tells(serde_json::to_string(&wanted).map_err(wire::internal)?)
        .await?;
    let unknown = || Problem::bad_request("invalid_approval_policy", "no such kind of act");
    let kinds = wanted
        .kinds
        .iter()
        .map(|name| OperationKind::from_name(name).ok_or_else(unknown));
    let policy = ApprovalPolicy {
        kinds: kinds.collect::<Result<_, Problem>>()?,
        expires_ms: wanted.expires_in_s.saturating_mul(1000),
    };
    let engine = app.engine().clone();
    let set = move || engine.set_approval_policy(&tenant, &caller.principal, policy);
    Ok(Json(wire::blocking(set).await?.into()))
}

const fn day() -> u64 {
    86_400
}
