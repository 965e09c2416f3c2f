//! Ordering the destruction of a tenant, and showing those that were destroyed.

use std::sync::Arc;

use attestore_record::TenantId;

use super::decide::Keeps;
use super::row::{self, DestroyedRow, DestroyedState};
use super::{decide, work};
use crate::Engine;
use crate::catalog::unhex;
use crate::credentials::{Permission, Principal};
use crate::error::{Error, Result};
use crate::forget::approvals::Approved;
use crate::forget::purge::check_clock;
use crate::heads::HEADS_TENANT;
use crate::instance::{Inner, SYSTEM_TENANT};
use crate::tenant::Tenant;

/// What somebody wants destroyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestroyOrder {
    /// The tenant's name once more.
    pub confirm: String,
    /// Why; in the log of `_system` for good.
    pub reason: String,
    /// Whether records younger than the minimum of a policy in mode `governance` may go too, with the approval of a second person.
    pub bypass: bool,
}

/// A tenant that was destroyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestroyedTenant {
    /// Its opaque id, hex.
    pub id: String,
    /// The name that it had.
    pub name: String,
    /// The origin of its log.
    pub origin: String,
    /// How far it is.
    pub state: DestroyedState,
    /// When it was made, Unix milliseconds.
    pub created_ms: u64,
    /// Entries of its log at the end.
    pub size: u64,
    /// Root over them, hex.
    pub root: String,
    /// Records of them that had been purged before.
    pub purged: u64,
    /// Records of them that had been erased whole before.
    pub erased: u64,
    /// The last checkpoint, signed by the log's key.
    pub checkpoint: String,
    /// Every key that its log had, the oldest first.
    pub vkeys: Vec<String>,
    /// Id of who ordered it.
    pub ordered_by: String,
    /// Ids of who ordered and who approved it.
    pub approved_by: Vec<String>,
    /// Classes whose minimum in mode `governance` was bypassed.
    pub bypassed: Vec<u16>,
    /// Why.
    pub reason: String,
    /// Seq of the record in the log of `_system`.
    pub control: Option<u64>,
    /// Credentials that were for it alone and were revoked.
    pub credentials_revoked: u64,
    /// When it was decided, Unix milliseconds.
    pub decided_ms: u64,
    /// Since when nobody finds it, Unix milliseconds.
    pub hidden_since_ms: Option<u64>,
    /// Since when no key opens anything of it, also from older copies of the catalog, Unix milliseconds.
    pub unreadable_since_ms: Option<u64>,
    /// Since when its files are removed, Unix milliseconds.
    pub gone_since_ms: Option<u64>,
    /// SHA-256 of the receipt, hex.
    pub receipt_sha256: Option<String>,
    /// When nothing was left to do, Unix milliseconds.
    pub done_ms: Option<u64>,
}

/// Some destroyed tenants, ascending by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestroyedPage {
    /// The tenants.
    pub items: Vec<DestroyedTenant>,
    /// Where to go on; `None` at the end.
    pub cursor: Option<String>,
}

impl Engine {
    /// Destroys a tenant, with everything that is in it. On return nobody finds it, and no key of today opens anything of it; the
    /// rest follows.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`]; [`Error::Invalid`] `not_confirmed`, `invalid_reason`; [`Error::Conflict`] `tenant_held`, `retention_locked`,
    /// `own_log`, `rolled_back`, `clock_jump`, `tenant_ending`; [`Error::ApprovalNeeded`]; as flushes, appends and changes of the catalog. After an error nothing
    /// happened, or it goes on by itself.
    pub fn destroy_tenant(
        &self,
        tenant: &str,
        by: &Principal,
        order: &DestroyOrder,
    ) -> Result<DestroyedTenant> {
        by.check(tenant, Permission::DestroyTenants)?;
        let inner = &self.inner;
        inner.check_running()?;
        if [SYSTEM_TENANT, HEADS_TENANT].contains(&tenant) {
            return Err(conflict(
                "own_log",
                "the logs of the server itself are not destroyed",
            ));
        }
        if order.confirm != tenant {
            return Err(Error::Invalid {
                code: "not_confirmed",
                message: "say the name of the tenant once more".to_owned(),
            });
        }
        if order.reason.trim().is_empty() || order.reason.len() > REASON_BYTES_MAX {
            return Err(Error::Invalid {
                code: "invalid_reason",
                message: format!("a reason has 1 to {REASON_BYTES_MAX} bytes"),
            });
        }
        check_clock(inner)?;
        let id = {
            let tenant = inner.tenant(tenant)?;
            if tenant.rolled_back().is_some() {
                let message = "the log was rolled back: fork it before, so that its last head is known";
                return Err(conflict("rolled_back", message));
            }
            let approved = decide::approved(inner, &tenant, by, &order.reason, order.bypass)?;
            let _working = inner.destructions.working.lock();
            let keeps = Keeps::Rules { bypass: order.bypass };
            decide::decide(inner, &tenant, by, approved, &order.reason, keeps)?;
            tenant.id
        };
        self.destroyed_now(&id)
    }

    /// Goes on with the destruction of a tenant as far as it gets now, and shows it.
    pub(crate) fn destroyed_now(&self, id: &TenantId) -> Result<DestroyedTenant> {
        let inner = &self.inner;
        {
            let _working = inner.destructions.working.lock();
            if let Err(error) = work::all_steps(inner, id) {
                tracing::warn!(tenant = %id, %error, "the destruction of a tenant does not go on; it is tried again");
            }
        }
        inner.purges.notify();
        self.destroyed(id)
    }

    /// Lists the tenants that were destroyed, ascending by id, from where an earlier page ended.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::InvalidCursor`], or as reads.
    pub fn destroyed_tenants(
        &self,
        by: &Principal,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<DestroyedPage> {
        by.check_instance(Permission::ReadSystem)?;
        let after: Option<TenantId> = cursor
            .map(|cursor| {
                unhex(cursor)
                    .map(TenantId::from_bytes)
                    .ok_or(Error::InvalidCursor)
            })
            .transpose()?;
        let rows = row::page(
            &self.inner.catalog.read()?,
            after.as_ref(),
            limit.saturating_add(1),
        )?;
        let mut items: Vec<DestroyedTenant> = rows
            .into_iter()
            .map(|(id, row)| DestroyedTenant::of(&id, row))
            .collect();
        let more = items.len() > limit;
        items.truncate(limit);
        let cursor = items.last().filter(|_| more).map(|last| last.id.clone());
        Ok(DestroyedPage { items, cursor })
    }

    /// Shows a tenant that was destroyed.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::NotFound`], or as reads.
    pub fn destroyed_tenant(&self, by: &Principal, id: &str) -> Result<DestroyedTenant> {
        by.check_instance(Permission::ReadSystem)?;
        self.destroyed(&parse(id)?)
    }

    /// The receipt of a destruction: an in-toto statement in a DSSE envelope, signed by the key of the log of `_system`.
    ///
    /// # Errors
    /// As [`Engine::destroyed_tenant`]; [`Error::Conflict`] as long as there is none.
    pub fn destruction_receipt(&self, by: &Principal, id: &str) -> Result<String> {
        by.check_instance(Permission::ReadSystem)?;
        let row = row::get(&self.inner.catalog.read()?, &parse(id)?)?;
        row.receipt.ok_or_else(|| {
            let message = "the receipt is signed once every file of the tenant is removed: look again";
            conflict("no_receipt_yet", message)
        })
    }

    fn destroyed(&self, id: &TenantId) -> Result<DestroyedTenant> {
        let row = row::get(&self.inner.catalog.read()?, id)?;
        Ok(DestroyedTenant::of(id, row))
    }
}

/// Destroys a tenant that another server has by now: on return nobody finds it here.
///
/// # Errors
/// As [`Engine::destroy_tenant`], but for what keeps a tenant.
pub(crate) fn of_moved(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    by: &Principal,
    approved: Approved,
    reason: &str,
) -> Result<()> {
    check_clock(inner)?;
    let _working = inner.destructions.working.lock();
    decide::decide(inner, tenant, by, approved, reason, Keeps::Elsewhere)
}

impl DestroyedTenant {
    fn of(id: &TenantId, row: DestroyedRow) -> Self {
        Self {
            id: id.to_string(),
            name: row.name,
            origin: row.origin,
            state: row.state,
            created_ms: row.created_ms,
            size: row.size,
            root: row.root,
            purged: row.purged,
            erased: row.erased,
            checkpoint: row.checkpoint,
            vkeys: row.vkeys,
            ordered_by: row.by,
            approved_by: row.approved_by,
            bypassed: row.bypassed,
            reason: row.reason,
            control: row.control,
            credentials_revoked: row.credentials,
            decided_ms: row.decided_ms,
            hidden_since_ms: row.destroyed_ms,
            unreadable_since_ms: row.unreadable_since_ms,
            gone_since_ms: row.gone_since_ms,
            receipt_sha256: row.receipt_sha256,
            done_ms: row.done_ms,
        }
    }
}

fn parse(id: &str) -> Result<TenantId> {
    let id = unhex(id).ok_or(Error::NotFound("destroyed tenant"))?;
    Ok(TenantId::from_bytes(id))
}

fn conflict(code: &'static str, message: &str) -> Error {
    Error::Conflict {
        code,
        message: message.to_owned(),
    }
}

const REASON_BYTES_MAX: usize = 1024;
