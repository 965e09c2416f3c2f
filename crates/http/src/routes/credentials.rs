//! `/v1/tenants/{t}/credentials` and `/v1/credentials`: make, list, rotate and revoke credentials.
//!
//! The first are those of one tenant. The second are all that the caller may know of: also those of several tenants, and of
//! the whole instance.

use attestore_engine::credentials::{CredentialInfo, CredentialSpec, Network, Secret};
use attestore_engine::{Engine, Error, Principal, Role, Scope};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::body;
use crate::guard::Caller;
use crate::problem::Problem;
use crate::server::App;
use crate::wire;

/// What a credential is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CredentialBodyIn {
    /// What it is for, 1 to 128 characters.
    #[serde(default = "unnamed")]
    name: String,
    /// Names of roles: `ingest`, `reader`, `investigator`, `auditor`, `privacy_officer`, `retention_manager`, `retention_bypass`,
    /// `key_admin`, `tenant_admin`, `operator`, `admin`.
    roles: Vec<String>,
    /// Networks that it may be used from, as `address/bits`; default: any.
    #[serde(default)]
    networks: Vec<String>,
    /// RFC 3339 time after which it is refused; default: never.
    expires_at: Option<String>,
}

/// What a credential of some or all tenants is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WideCredentialBodyIn {
    /// What it is for, 1 to 128 characters.
    #[serde(default = "unnamed")]
    name: String,
    /// Names of roles, as for the credentials of one tenant.
    roles: Vec<String>,
    /// The tenants that it may touch, 1 to 256; null for the whole instance. It must be said.
    #[serde(deserialize_with = "Option::deserialize")]
    tenants: Option<Vec<String>>,
    /// Networks that it may be used from, as `address/bits`; default: any.
    #[serde(default)]
    networks: Vec<String>,
    /// RFC 3339 time after which it is refused; default: never.
    expires_at: Option<String>,
}

fn unnamed() -> String {
    "unnamed".to_owned()
}

/// How a secret is replaced.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotationBodyIn {
    /// Seconds for which the secret before works too, at most 30 days; default: 0, it ends at once.
    #[serde(default)]
    overlap_s: u64,
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
    /// The tenant that it is bound to, if that is one; null for several and for the whole instance.
    tenant: Option<String>,
    /// The tenants that it is bound to; null for the whole instance.
    tenants: Option<Vec<String>>,
    /// Networks that it may be used from; empty for any.
    networks: Vec<String>,
    /// When it was made, RFC 3339.
    created_at: String,
    /// Id of who made it.
    created_by: String,
    /// When it ends, RFC 3339; null for never.
    expires_at: Option<String>,
    /// When it was revoked, RFC 3339.
    revoked_at: Option<String>,
    /// When its secret was last replaced, RFC 3339.
    rotated_at: Option<String>,
    /// Until when the secret before works too, RFC 3339.
    overlap_ends_at: Option<String>,
    /// When it was last used, RFC 3339, to some minutes.
    last_used_at: Option<String>,
}

/// A new credential, or one with a new secret, which is shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewCredentialBody {
    /// The credential.
    #[serde(flatten)]
    credential: CredentialBody,
    /// The bearer token. It cannot be shown again.
    secret: String,
}

/// Credentials.
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
            roles: info.roles.iter().map(|role| role.name()).collect(),
            tenant: info.tenants.only().map(str::to_owned),
            tenants: info.tenants.names().map(|names| names.iter().cloned().collect()),
            networks: info.networks.iter().map(ToString::to_string).collect(),
            created_at: wire::rfc3339_ms(info.created_ms),
            created_by: info.created_by,
            expires_at: info.expires_at_ms.map(wire::rfc3339_ms),
            revoked_at: info.revoked_at_ms.map(wire::rfc3339_ms),
            rotated_at: info.rotated_at_ms.map(wire::rfc3339_ms),
            overlap_ends_at: info.overlap_ends_ms.map(wire::rfc3339_ms),
            last_used_at: info.last_used_ms.map(wire::rfc3339_ms),
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
        (status = 403, description = "not allowed, or a role that is not the caller's to hand out", body = Problem, content_type = "application/problem+json"),
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
    let wanted: CredentialBodyIn = wire::document(&read(&app, &headers, body).await?, INVALID)?;
    let spec = CredentialSpec {
        name: wanted.name,
        roles: roles(&wanted.roles)?,
        tenants: Scope::one(tenant),
        networks: networks(&wanted.networks)?,
        expires_at_ms: end(wanted.expires_at.as_deref())?,
    };
    make(&app, caller, spec).await
}

/// List the credentials of a tenant, without secrets. Those of several tenants are in the list of all credentials.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/credentials", tag = "credentials",
    params(("tenant" = String, Path)),
    responses(
        (status = 200, body = CredentialsBody),
    ),
    security(("bearer" = []))
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
) -> Result<Json<CredentialsBody>, Problem> {
    let engine = app.engine().clone();
    let infos = wire::blocking(move || {
        engine.tenant(&tenant)?;
        let mut all = engine.list_credentials(&caller.principal, None, usize::MAX)?;
        all.retain(|credential| credential.tenants.only() == Some(&tenant));
        Ok(all)
    })
    .await?;
    Ok(Json(listed(infos)))
}

/// Revoke a credential of a tenant; it is refused from the next request on.
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}/credentials/{credential}", tag = "credentials",
    params(("tenant" = String, Path), ("credential" = String, Path, description = "its id")),
    responses(
        (status = 204, description = "revoked; durable"),
    ),
    security(("bearer" = []))
)]
pub async fn revoke(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, credential)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let engine = app.engine().clone();
    wire::blocking(move || {
        check_tenant(&engine, &caller.principal, &tenant, &credential)?;
        engine.revoke_credential(&credential, &caller.principal)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Give a credential of a tenant a new secret.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/credentials/{credential}/rotate", tag = "credentials",
    params(("tenant" = String, Path), ("credential" = String, Path, description = "its id")),
    request_body = RotationBodyIn,
    responses(
        (status = 200, description = "replaced; durable", body = NewCredentialBody),
        (status = 409, description = "it has ended", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn rotate(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, credential)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    replace(&app, caller, Some(tenant), credential, &headers, body).await
}

/// Make a credential for some tenants, or for the whole instance.
#[utoipa::path(
    post, path = "/v1/credentials", tag = "credentials",
    request_body = WideCredentialBodyIn,
    responses(
        (status = 201, description = "made; durable", body = NewCredentialBody),
        (status = 403, description = "not allowed, or a role that is not the caller's to hand out", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "one of the tenants", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn create_wide(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    let wanted: WideCredentialBodyIn = wire::document(&read(&app, &headers, body).await?, INVALID)?;
    let tenants = match wanted.tenants {
        None => Scope::All,
        Some(names) => Scope::Of(names.into_iter().collect()),
    };
    let spec = CredentialSpec {
        name: wanted.name,
        roles: roles(&wanted.roles)?,
        tenants,
        networks: networks(&wanted.networks)?,
        expires_at_ms: end(wanted.expires_at.as_deref())?,
    };
    make(&app, caller, spec).await
}

/// List the credentials whose tenants are all the caller's, without secrets.
#[utoipa::path(
    get, path = "/v1/credentials", tag = "credentials",
    responses(
        (status = 200, body = CredentialsBody),
    ),
    security(("bearer" = []))
)]
pub async fn list_wide(State(app): State<App>, caller: Caller) -> Result<Json<CredentialsBody>, Problem> {
    let engine = app.engine().clone();
    let infos = wire::blocking(move || engine.list_credentials(&caller.principal, None, usize::MAX)).await?;
    Ok(Json(listed(infos)))
}

/// Show a credential, without its secret.
#[utoipa::path(
    get, path = "/v1/credentials/{credential}", tag = "credentials",
    params(("credential" = String, Path, description = "its id")),
    responses(
        (status = 200, body = CredentialBody),
    ),
    security(("bearer" = []))
)]
pub async fn get_wide(
    State(app): State<App>,
    caller: Caller,
    Path(credential): Path<String>,
) -> Result<Json<CredentialBody>, Problem> {
    let engine = app.engine().clone();
    let info = wire::blocking(move || engine.credential(&credential, &caller.principal)).await?;
    Ok(Json(info.into()))
}

/// Revoke a credential; it is refused from the next request on.
#[utoipa::path(
    delete, path = "/v1/credentials/{credential}", tag = "credentials",
    params(("credential" = String, Path, description = "its id")),
    responses(
        (status = 204, description = "revoked; durable"),
    ),
    security(("bearer" = []))
)]
pub async fn revoke_wide(
    State(app): State<App>,
    caller: Caller,
    Path(credential): Path<String>,
) -> Result<StatusCode, Problem> {
    let engine = app.engine().clone();
    wire::blocking(move || engine.revoke_credential(&credential, &caller.principal)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Give a credential a new secret.
#[utoipa::path(
    post, path = "/v1/credentials/{credential}/rotate", tag = "credentials",
    params(("credential" = String, Path, description = "its id")),
    request_body = RotationBodyIn,
    responses(
        (status = 200, description = "replaced; durable", body = NewCredentialBody),
        (status = 409, description = "it has ended", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn rotate_wide(
    State(app): State<App>,
    caller: Caller,
    Path(credential): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    replace(&app, caller, None, credential, &headers, body).await
}

async fn make(app: &App, caller: Caller, spec: CredentialSpec) -> Result<Response, Problem> {
    let engine = app.engine().clone();
    let made = wire::blocking(move || engine.create_credential(spec, &caller.principal)).await?;
    Ok((StatusCode::CREATED, NO_STORE, Json(shown(made))).into_response())
}

async fn replace(
    app: &App,
    caller: Caller,
    tenant: Option<String>,
    credential: String,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let wanted: RotationBodyIn = wire::document(&read(app, headers, body).await?, "invalid_rotation")?;
    let overlap_ms = wanted.overlap_s.saturating_mul(1000);
    let engine = app.engine().clone();
    let made = wire::blocking(move || {
        if let Some(tenant) = tenant {
            check_tenant(&engine, &caller.principal, &tenant, &credential)?;
        }
        engine.rotate_credential(&credential, overlap_ms, &caller.principal)
    })
    .await?;
    Ok((NO_STORE, Json(shown(made))).into_response())
}

/// A credential of another tenant is as unknown here as one that does not exist.
fn check_tenant(engine: &Engine, by: &Principal, tenant: &str, id: &str) -> Result<(), Error> {
    match engine.credential(id, by)?.tenants.only() == Some(tenant) {
        true => Ok(()),
        false => Err(Error::NotFound("credential")),
    }
}

fn shown((info, secret): (CredentialInfo, Secret)) -> NewCredentialBody {
    NewCredentialBody {
        credential: info.into(),
        secret: secret.expose().to_owned(),
    }
}

fn listed(infos: Vec<CredentialInfo>) -> CredentialsBody {
    CredentialsBody {
        items: infos.into_iter().map(CredentialBody::from).collect(),
        cursor: None,
    }
}

async fn read(app: &App, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let limits = body::Limits {
        wire_bytes_max: BODY_BYTES_MAX,
        decoded_bytes_max: BODY_BYTES_MAX,
        ..app.settings().body.clone()
    };
    body::read(headers, body, &limits).await
}

fn roles(names: &[String]) -> Result<Vec<Role>, Problem> {
    let known = Role::ALL.map(Role::name).join(", ");
    let role = |name: &String| {
        Role::from_name(name)
            .ok_or_else(|| Problem::bad_request(INVALID, format!("roles: there are {known}")))
    };
    match names.is_empty() {
        true => Err(Problem::bad_request(
            INVALID,
            format!("roles: name at least one of {known}"),
        )),
        false => names.iter().map(role).collect(),
    }
}

fn networks(texts: &[String]) -> Result<Vec<Network>, Problem> {
    let network = |text: &String| {
        text.parse()
            .map_err(|error| Problem::bad_request(INVALID, format!("networks: {error}")))
    };
    texts.iter().map(network).collect()
}

fn end(text: Option<&str>) -> Result<Option<u64>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let ns = wire::parse_time("expires_at", text)?;
    let ms = u64::try_from(ns / 1_000_000);
    ms.map(Some)
        .map_err(|_| Problem::bad_request(INVALID, "expires_at: before 1970"))
}

const INVALID: &str = "invalid_credential";
const NO_STORE: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];
const BODY_BYTES_MAX: usize = 64 << 10;
