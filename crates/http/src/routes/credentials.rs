//! `/v1/tenants/{t}/credentials`: make, list and revoke the credentials of one tenant.

use attestore_engine::credentials::{CredentialInfo, CredentialSpec};
use attestore_engine::{Error, Role, Scope};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::body;
use crate::problem::Problem;
use crate::server::App;
use crate::wire;

/// What a credential is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CredentialBodyIn {
    /// What it is for, at most 128 characters.
    #[serde(default)]
    name: String,
    /// `admin`, `ingest`, `reader`, `investigator`.
    roles: Vec<String>,
    /// RFC 3339 time after which it is refused; default: never.
    expires_at: Option<String>,
}

/// A credential, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct CredentialBody {
    /// Id; also part of the secret.
    id: String,
    /// What it is for.
    name: String,
    /// Its roles.
    roles: Vec<&'static str>,
    /// The tenant that it is bound to; null for the whole instance.
    tenant: Option<String>,
    /// When it was made, RFC 3339.
    created_at: String,
    /// When it ends, RFC 3339; null for never.
    expires_at: Option<String>,
    /// When it was revoked, RFC 3339.
    revoked_at: Option<String>,
}

/// A new credential with its secret, which is shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewCredentialBody {
    /// The credential.
    #[serde(flatten)]
    credential: CredentialBody,
    /// The bearer token. It cannot be shown again.
    secret: String,
}

/// The credentials of a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub struct CredentialsBody {
    /// The credentials.
    items: Vec<CredentialBody>,
    /// Always null: the list is whole.
    cursor: Option<String>,
}

impl From<CredentialInfo> for CredentialBody {
    fn from(info: CredentialInfo) -> Self {
        Self {
            id: info.id,
            name: info.name,
            roles: info.roles.iter().map(|r| r.name()).collect(),
            tenant: info.tenants.only().map(str::to_owned),
            created_at: wire::rfc3339_ms(info.created_ms),
            expires_at: info.expires_at_ms.map(wire::rfc3339_ms),
            revoked_at: info.revoked_at_ms.map(wire::rfc3339_ms),
        }
    }
}

/// Make a credential for a tenant.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/credentials", tag = "credentials",
    params(("tenant" = String, Path)),
    request_body = CredentialBodyIn,
    responses(
        (status = 201, description = "made; durable", body = NewCredentialBody),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn create(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    let principal = caller.admin(&tenant)?;
    let bytes = body::read(&headers, body, &app.settings().body).await?;
    let invalid = |detail: String| Problem::bad_request("invalid_credential", detail);
    let wanted: CredentialBodyIn =
        serde_json::from_slice(&bytes).map_err(|e| invalid(format!("the body is not a credential: {e}")))?;
    if wanted.roles.is_empty() {
        return Err(invalid(
            "roles: name at least one of admin, ingest, reader, investigator".into(),
        ));
    }
    if wanted.name.chars().count() > 128 {
        return Err(invalid("name: at most 128 characters".into()));
    }
    let roles = wanted
        .roles
        .iter()
        .map(|name| {
            Role::from_name(name)
                .ok_or_else(|| invalid("roles: there are admin, ingest, reader, investigator".into()))
        })
        .collect::<Result<_, _>>()?;
    let expires_at_ms = match &wanted.expires_at {
        None => None,
        Some(text) => {
            let ns = wire::parse_time("expires_at", text)?;
            Some(u64::try_from(ns / 1_000_000).map_err(|_| invalid("expires_at: before 1970".into()))?)
        }
    };
    let spec = CredentialSpec {
        name: wanted.name,
        roles,
        tenants: Scope::one(tenant),
        networks: Vec::new(),
        expires_at_ms,
    };
    let engine = app.engine().clone();
    let (info, secret) = wire::blocking(move || engine.create_credential(spec, &principal)).await?;
    let body = NewCredentialBody {
        credential: info.into(),
        secret: secret.expose().to_owned(),
    };
    Ok((
        StatusCode::CREATED,
        [(header::CACHE_CONTROL, "no-store")],
        Json(body),
    ))
}

/// List the credentials of a tenant, without secrets.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/credentials", tag = "credentials",
    params(("tenant" = String, Path)),
    responses(
        (status = 200, body = CredentialsBody),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
) -> Result<Json<CredentialsBody>, Problem> {
    let principal = caller.admin(&tenant)?;
    let engine = app.engine().clone();
    let infos = wire::blocking(move || {
        engine.tenant(&tenant)?;
        let mut all = engine.list_credentials(&principal, None, usize::MAX)?;
        all.retain(|credential| credential.tenants.only() == Some(&tenant));
        Ok(all)
    })
    .await?;
    Ok(Json(CredentialsBody {
        items: infos.into_iter().map(CredentialBody::from).collect(),
        cursor: None,
    }))
}

/// Revoke a credential of a tenant; it is refused from the next request on.
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}/credentials/{credential}", tag = "credentials",
    params(("tenant" = String, Path), ("credential" = String, Path, description = "its id")),
    responses(
        (status = 204, description = "revoked; durable"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn revoke(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, credential)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let principal = caller.admin(&tenant)?;
    let engine = app.engine().clone();
    wire::blocking(move || {
        // A credential of another tenant is as unknown here as one that does not exist.
        let all = engine.list_credentials(&principal, None, usize::MAX)?;
        if !all
            .iter()
            .any(|c| c.id == credential && c.tenants.only() == Some(&tenant))
        {
            return Err(Error::NotFound("credential"));
        }
        engine.revoke_credential(&credential, &principal)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
