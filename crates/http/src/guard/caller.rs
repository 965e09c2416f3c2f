//! What handlers know of their caller.

use std::sync::Arc;

use attestore_engine::{Error, Permission, Principal};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::ledger::Ledger;
use super::limits::Meter;
use crate::problem::Problem;
use crate::server::App;
use crate::wire;

/// Who calls, with what the route needs checked already. As an extractor it fails only on a route without a gate.
#[derive(Clone)]
pub struct Caller {
    /// Who.
    pub principal: Arc<Principal>,
    permission: Permission,
    ledger: Option<Arc<Ledger>>,
    meter: Option<Arc<Meter>>,
}

impl Caller {
    pub(super) fn new(
        principal: Arc<Principal>,
        permission: Permission,
        ledger: Option<Arc<Ledger>>,
        meter: Option<Arc<Meter>>,
    ) -> Self {
        Self {
            principal,
            permission,
            ledger,
            meter,
        }
    }

    /// The caller, who may do to `tenant` what the route is for. Notes that the act is about it, and counts it in the
    /// tenant's limits, once.
    ///
    /// # Errors
    /// 404 `unknown_tenant` outside of the caller's scope, 403 `forbidden` without the permission there, 429 beyond a limit,
    /// 400 `too_many_indices` beyond [`super::TENANTS_MAX`].
    pub fn on(&self, tenant: &str) -> Result<Arc<Principal>, Problem> {
        if let Err(error) = self.principal.check(tenant, self.permission) {
            if let Some(meter) = &self.meter {
                meter.denied();
            }
            let problem = refusal(&error, self.permission);
            if let Some(ledger) = &self.ledger {
                match error {
                    // It may be no tenant's name at all.
                    Error::UnknownTenant => ledger.denied(problem.code),
                    _ => ledger.refused(tenant)?,
                }
            }
            return Err(problem);
        }
        if let Some(meter) = &self.meter {
            meter.count(tenant)?;
        }
        if let Some(ledger) = &self.ledger {
            ledger.about(tenant)?;
        }
        Ok(Arc::clone(&self.principal))
    }

    /// Whether [`Caller::on`] would let the caller touch `tenant`. Notes nothing: for what a pattern may stand for.
    pub fn sees(&self, tenant: &str) -> bool {
        self.principal.check(tenant, self.permission).is_ok()
    }

    /// Refuses who holds the permission for no tenant that a pattern could stand for.
    ///
    /// # Errors
    /// 403 `forbidden`.
    pub fn somewhere(&self) -> Result<(), Problem> {
        if self.principal.may(self.permission) {
            return Ok(());
        }
        if let Some(meter) = &self.meter {
            meter.denied();
        }
        let problem = Problem::permission_denied(self.permission.name());
        if let Some(ledger) = &self.ledger {
            ledger.denied(problem.code);
        }
        Err(problem)
    }

    /// Notes what is looked for, in the caller's words, and lets the record of the act go: while it becomes durable the
    /// handler works on.
    pub fn seeks(&self, terms: impl Into<String>) {
        if let Some(ledger) = &self.ledger {
            ledger.seeks(terms.into());
            ledger.begin();
        }
    }

    /// Notes what is to be changed, in the caller's words, and waits until that is on record.
    ///
    /// # Errors
    /// 503 `audit_unavailable`: then nothing may be changed.
    pub async fn tells(&self, terms: impl Into<String>) -> Result<(), Problem> {
        match &self.ledger {
            Some(ledger) => {
                ledger.seeks(terms.into());
                ledger.first().await
            }
            None => Ok(()),
        }
    }

    /// Notes what is looked for; the record goes when the handler is done.
    pub fn notes(&self, terms: &str) {
        if let Some(ledger) = &self.ledger {
            ledger.seeks(terms.to_owned());
        }
    }
}

/// What a refusal says.
pub(super) fn refusal(error: &Error, needs: Permission) -> Problem {
    match error {
        Error::UnknownTenant => Problem::tenant_not_found(),
        _ => Problem::permission_denied(needs.name()),
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| wire::internal("a handler asks for its caller on a public route"))
    }
}
