//! Who is calling, and what may they do to which tenant.
//!
//! A credential is a bearer token. Whoever may not know of a tenant gets the same 404 as for a tenant that does not
//! exist; whoever knows it but lacks the role gets 403.

use std::borrow::Cow;
use std::sync::Arc;

use attestore_engine::{Engine, Error, Permission, Principal};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::problem::Problem;
use crate::server::App;

/// An authenticated caller. As an extractor it refuses the request with 401 before anything else is read.
pub struct Caller(pub Arc<Principal>);

impl Caller {
    /// The caller, who may append to `tenant`.
    ///
    /// # Errors
    /// 404 `unknown_tenant` outside of the caller's scope, 403 `forbidden` without the role.
    pub fn writer(self, tenant: &str) -> Result<Arc<Principal>, Problem> {
        self.0.check(tenant, Permission::Append).map_err(|e| refusal(&e, "ingest"))?;
        Ok(self.0)
    }

    /// The caller, who may read records and proofs of `tenant`.
    ///
    /// # Errors
    /// As [`Caller::writer`].
    pub fn reader(self, tenant: &str) -> Result<Arc<Principal>, Problem> {
        self.0
            .check(tenant, Permission::Read)
            .map_err(|e| refusal(&e, "reader or investigator"))?;
        Ok(self.0)
    }

    /// The caller, who administers `tenant`.
    ///
    /// # Errors
    /// As [`Caller::writer`].
    pub fn admin(self, tenant: &str) -> Result<Arc<Principal>, Problem> {
        self.0.check(tenant, Permission::ManageCredentials).map_err(|e| refusal(&e, "admin"))?;
        Ok(self.0)
    }

    /// The caller, who administers the whole instance.
    ///
    /// # Errors
    /// 403 `forbidden`.
    pub fn instance_admin(self) -> Result<Arc<Principal>, Problem> {
        self.0
            .check_instance(Permission::CreateTenants)
            .map_err(|e| refusal(&e, "admin, for the whole instance"))?;
        Ok(self.0)
    }

    /// The caller, who may know of `tenant`.
    ///
    /// # Errors
    /// 404 `unknown_tenant` outside of the caller's scope.
    pub fn of_tenant(self, tenant: &str) -> Result<Arc<Principal>, Problem> {
        if self.0.may_touch(tenant) {
            Ok(self.0)
        } else {
            Err(Problem::tenant_not_found())
        }
    }
}

fn refusal(error: &Error, needs: &str) -> Problem {
    match error {
        Error::UnknownTenant => Problem::tenant_not_found(),
        _ => Problem::permission_denied(needs),
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        authenticate(parts, app.engine())
    }
}

fn authenticate(parts: &Parts, engine: &Engine) -> Result<Caller, Problem> {
    let refuse = |detail| Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail);
    let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
    let value = values
        .next()
        .ok_or_else(|| refuse("send Authorization: Bearer <credential>"))?;
    if values.next().is_some() {
        return Err(refuse("more than one Authorization header"));
    }
    let token = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .and_then(|(scheme, rest)| credential(scheme, rest.trim()))
        .ok_or_else(|| refuse("send Authorization: Bearer <credential>"))?;
    engine
        .authenticate(&token)
        .map(Caller)
        .ok_or_else(|| refuse("the credential is unknown, expired or revoked"))
}

/// The credential in a header: a bearer token (RFC 6750), or where clients of other systems put it: the password of basic
/// authentication (RFC 7617), or an Elasticsearch API key, as it is or as `base64(<any>:<credential>)`.
fn credential<'v>(scheme: &str, value: &'v str) -> Option<Cow<'v, str>> {
    let pair = || {
        let pair = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
        Some(Cow::Owned(pair.split_once(':')?.1.to_owned()))
    };
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some(Cow::Borrowed(value)),
        "basic" => pair(),
        "apikey" => Some(pair().unwrap_or(Cow::Borrowed(value))),
        _ => None,
    }
}
