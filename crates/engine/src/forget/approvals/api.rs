//! Showing requests for approval, and deciding about them.

use serde_json::Value;

use super::OperationKind;
use super::row::{ApprovalRow, RowState};
use crate::Engine;
use crate::catalog::of_tenant::{self, ThingId};
use crate::catalog::{hex, tables, unhex};
use crate::credentials::{Permission, Principal};
use crate::error::{Error, Result};
use crate::tenant::Tenant;

/// A request for approval.
#[derive(Clone, Debug, PartialEq)]
pub struct Approval {
    /// Its id, 32 hex digits.
    pub id: String,
    /// Kind of act.
    pub kind: OperationKind,
    /// Hash of the act, hex: who approves, approves this.
    pub operation: String,
    /// The act: shown while the request stands, to who asked and to who may approve.
    pub parameters: Option<Value>,
    /// How far it is.
    pub state: ApprovalState,
    /// Id of who asked.
    pub requested_by: String,
    /// When, Unix milliseconds.
    pub requested_ms: u64,
    /// When it ends, approved or not, Unix milliseconds.
    pub expires_ms: u64,
    /// Id of who decided.
    pub decided_by: Option<String>,
    /// When, Unix milliseconds.
    pub decided_ms: Option<u64>,
    /// When the act was let in, Unix milliseconds.
    pub used_ms: Option<u64>,
}

/// How far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApprovalState {
    /// Nobody has decided.
    Requested,
    /// Who asked may now do it, once.
    Approved,
    /// Somebody refused it.
    Refused,
    /// The act was let in.
    Used,
    /// Its time is over.
    Expired,
}

impl ApprovalState {
    /// Returns the name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Approved => "approved",
            Self::Refused => "refused",
            Self::Used => "used",
            Self::Expired => "expired",
        }
    }
}

/// What somebody decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Who asked may do it, once.
    Approve,
    /// Not so.
    Refuse,
}

impl Engine {
    /// The requests of a tenant, newest first.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], or as reads.
    pub fn approvals(&self, tenant: &str, by: &Principal) -> Result<Vec<Approval>> {
        by.check(tenant, Permission::SeeRetention)?;
        let tenant = self.inner.tenant(tenant)?;
        let now_ms = self.inner.clock.now_ms();
        let rows = of_tenant::of(&self.inner.catalog.read()?, tables::APPROVALS, &tenant.id)?;
        let shown = rows
            .into_iter()
            .map(|(id, row)| shown(&tenant, by, &id, row, now_ms));
        let mut all = shown.collect::<Result<Vec<Approval>>>()?;
        all.sort_by(|a, b| (b.requested_ms, &b.id).cmp(&(a.requested_ms, &a.id)));
        Ok(all)
    }

    /// A request.
    ///
    /// # Errors
    /// As [`Engine::approvals`]; [`Error::NotFound`].
    pub fn approval(&self, tenant: &str, by: &Principal, id: &str) -> Result<Approval> {
        by.check(tenant, Permission::SeeRetention)?;
        let tenant = self.inner.tenant(tenant)?;
        let id: ThingId = unhex(id).ok_or(NOT_FOUND)?;
        let row = of_tenant::get(&self.inner.catalog.read()?, tables::APPROVALS, &(tenant.id, id))?;
        shown(&tenant, by, &id, row.ok_or(NOT_FOUND)?, self.inner.clock.now_ms())
    }

    /// Decides about a request. Durable on return.
    ///
    /// # Errors
    /// [`Error::Conflict`] to who asked, to whose credential they made or got its secret of, and for a request that was decided or has
    /// expired; [`Error::NotFound`], [`Error::UnknownTenant`], [`Error::Forbidden`], or as changes of the catalog.
    pub fn decide_approval(
        &self,
        tenant: &str,
        by: &Principal,
        id: &str,
        decision: Decision,
    ) -> Result<Approval> {
        by.check(tenant, Permission::Approve)?;
        let inner = &self.inner;
        inner.check_running()?;
        let tenant = inner.tenant(tenant)?;
        let id: ThingId = unhex(id).ok_or(NOT_FOUND)?;
        let now_ms = inner.clock.now_ms();
        let row = inner.change(|update| {
            let row = of_tenant::stored(update, tables::APPROVALS, &(tenant.id, id))?;
            let mut row: ApprovalRow = row.ok_or(NOT_FOUND)?;
            if row.requested_by == by.id {
                return Err(conflict("own_request", "somebody else decides about it"));
            }
            if inner.credentials.know_each_other(&row.requested_by, &by.id) {
                let message = "one of the two credentials was made by the other, or got its secret from it";
                return Err(conflict("own_request", message));
            }
            if row.state != RowState::Requested || !row.is_open(now_ms) {
                return Err(conflict("approval_ended", "it was decided, or has expired"));
            }
            row.decided_by = Some(by.id.clone());
            row.decided_ms = Some(now_ms);
            match decision {
                Decision::Approve => row.state = RowState::Approved,
                Decision::Refuse => {
                    row.state = RowState::Refused;
                    row.sealed = None;
                }
            }
            of_tenant::put(update, tables::APPROVALS, &(tenant.id, id), &row)?;
            Ok(row)
        })?;
        shown(&tenant, by, &id, row, now_ms)
    }
}

/// A request as somebody is shown it.
///
/// # Errors
/// Damage.
pub(super) fn shown(
    tenant: &Tenant,
    by: &Principal,
    id: &ThingId,
    row: ApprovalRow,
    now_ms: u64,
) -> Result<Approval> {
    let open = row.is_open(now_ms);
    let knows = row.requested_by == by.id || by.may(Permission::Approve);
    Ok(Approval {
        parameters: match open && knows {
            true => row.parameters(tenant, id)?,
            false => None,
        },
        state: match row.state {
            RowState::Refused => ApprovalState::Refused,
            RowState::Used => ApprovalState::Used,
            _ if !open => ApprovalState::Expired,
            RowState::Requested => ApprovalState::Requested,
            RowState::Approved => ApprovalState::Approved,
        },
        id: hex(id),
        kind: row.kind,
        operation: row.operation,
        requested_by: row.requested_by,
        requested_ms: row.requested_ms,
        expires_ms: row.expires_ms,
        decided_by: row.decided_by,
        decided_ms: row.decided_ms,
        used_ms: row.used_ms,
    })
}

fn conflict(code: &'static str, message: &str) -> Error {
    Error::Conflict {
        code,
        message: message.to_owned(),
    }
}

const NOT_FOUND: Error = Error::NotFound("approval");
