//! Who is calling, and what may they do to which tenant.
//!
//! A credential is a bearer token. Whoever may not know of a tenant gets the same 404 as for a tenant that does not
//! exist; whoever knows it but lacks the role gets 403.

use attestore_engine::{Engine, Principal, Role};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};

use crate::problem::Problem;
use crate::server::App;

/// An authenticated caller. As an extractor it refuses the request with 401 before anything else is read.
pub struct Caller(pub Principal);

impl Caller {
    /// Checks that the caller may act on `tenant` in one of `roles`.
    ///
    /// # Errors
    /// 404 `tenant_not_found` when the credential belongs to another tenant, 403 `permission_denied` without the role.
    pub fn on_tenant(&self, tenant: &str, roles: &[Role]) -> Result<&Principal, Problem> {
        if self.0.tenant.as_deref().is_some_and(|own| own != tenant) {
            return Err(Problem::tenant_not_found());
        }
        self.with_role(roles)
    }

    /// Checks that the caller may act on the instance as a whole in one of `roles`.
    ///
    /// # Errors
    /// 403 `permission_denied` for a credential of one tenant or without the role.
    pub fn on_instance(&self, roles: &[Role]) -> Result<&Principal, Problem> {
        if self.0.tenant.is_some() {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "permission_denied",
                "this needs a credential that is not bound to one tenant",
            ));
        }
        self.with_role(roles)
    }

    fn with_role(&self, roles: &[Role]) -> Result<&Principal, Problem> {
        if roles.iter().any(|role| self.0.roles.contains(role)) {
            return Ok(&self.0);
        }
        let names: Vec<_> = roles.iter().map(|r| r.as_str()).collect();
        Err(Problem::permission_denied(&names.join(" or ")))
    }
}

/// Roles that read records and proofs.
pub const READERS: &[Role] = &[Role::Reader, Role::Investigator];
/// Roles that append.
pub const WRITERS: &[Role] = &[Role::Ingest];
/// Roles that administer tenants and credentials.
pub const ADMINS: &[Role] = &[Role::Admin];

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        authenticate(parts, app.engine())
    }
}

fn authenticate(parts: &Parts, engine: &Engine) -> Result<Caller, Problem> {
    let refuse = |detail| Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail);
    let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or_else(|| refuse("send Authorization: Bearer <credential>"))?;
    if values.next().is_some() {
        return Err(refuse("more than one Authorization header"));
    }
    let token = value
        .to_str()
        .ok()
        .and_then(|v| v.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or_else(|| refuse("send Authorization: Bearer <credential>"))?;
    engine
        .authenticate(token)
        .map(Caller)
        .ok_or_else(|| refuse("the credential is unknown, expired or revoked"))
}
