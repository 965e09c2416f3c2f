//! Whether a tenant may go, and the point from which it does.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use attestore_record::Kind;
use serde::Serialize;
use serde_json::json;

use super::row::{self, DestroyedRow, DestroyedState};
use super::{ending, keeps, memory};
use crate::append::append_control;
use crate::backup::ledger::{self, Fact};
use crate::catalog::{hex, tenant_rows};
use crate::credentials::{Permission, Principal};
use crate::error::{Error, Result};
use crate::forget::Why;
use crate::forget::approvals::{self, Approved, Operation, OperationKind};
use crate::forget::erase::PartBytes;
use crate::forget::logged;
use crate::forget::purge::check_clock;
use crate::heads::checkpoint;
use crate::instance::{Inner, SYSTEM_TENANT};
use crate::tenant::Tenant;

/// What forbids it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeps {
    /// Holds and locks, but for those of mode `governance` if they may be bypassed.
    Rules { bypass: bool },
    /// Nothing: another server has signed that it has the tenant, with what keeps it.
    Elsewhere,
}

impl Keeps {
    /// As [`keeps::check`].
    fn check(self, inner: &Inner, tenant: &Arc<Tenant>) -> Result<Vec<u16>> {
        match self {
            Self::Rules { bypass } => keeps::check(inner, tenant, bypass),
            Self::Elsewhere => Ok(Vec::new()),
        }
    }
}

/// Who stands for it.
///
/// # Errors
/// [`Error::Conflict`] where the rules forbid it, [`Error::ApprovalNeeded`], [`Error::Forbidden`].
pub(super) fn approved(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    by: &Principal,
    reason: &str,
    bypass: bool,
) -> Result<Approved> {
    let bypassed = keeps::check(inner, tenant, bypass)?;
    let operation = Operation {
        kind: OperationKind::TenantDestroy,
        parameters: json!({ "tenant": tenant.name, "reason": reason, "bypass_governance": bypass }),
    };
    if bypassed.is_empty() {
        return approvals::require(inner, tenant, by, &operation);
    }
    by.check(&tenant.name, Permission::BypassRetention)?;
    approvals::require_two(inner, tenant, by, &operation)
}

/// Decides about a tenant and destroys it: on return nobody finds it, and no key of today opens anything of it. The caller holds
/// [`Destructions::working`](super::Destructions).
///
/// # Errors
/// [`Error::Conflict`] where the rules forbid it; as appends, flushes and changes of the catalog. After an error nothing happened, or the
/// next start goes on, if the instance has stopped.
pub(super) fn decide(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    by: &Principal,
    approved: Approved,
    reason: &str,
    keeps: Keeps,
) -> Result<()> {
    let _deciding = tenant.deciding.lock();
    let mut closing = Closing::begin(inner, tenant)?;
    // What came until the log closed counts.
    let bypassed = keeps.check(inner, tenant)?;
    if !bypassed.is_empty() && approved.by.len() < 2 {
        return Err(Error::Changed("tenant"));
    }
    // From here on no file of the log has a section of it, and none will.
    crate::flush::free_log(inner)?;
    let mut row = row(inner, tenant, by, approved, reason)?;
    row.bypassed = bypassed;
    inner.change(|update| row::put(update, &tenant.id, &row))?;
    inner.destructions.note(tenant.id, &row);
    if let Err(error) = put_on_record(inner, tenant, &mut row, false) {
        // Refused: nothing happened. Where it is not known, the instance has stopped, and the next start looks.
        if inner.stopped().is_none() {
            inner.change(|update| {
                crate::catalog::by_tenant::remove(update, crate::catalog::tables::DESTROYED, &tenant.id)
            })?;
            inner.destructions.open.lock().remove(&tenant.id);
        }
        return Err(error);
    }
    closing.for_good = true;
    end(inner, tenant, row)
}

/// Goes on with what was decided before an interruption.
///
/// # Errors
/// As appends and changes of the catalog.
pub(super) fn go_on(inner: &Inner, tenant: &Arc<Tenant>, mut row: DestroyedRow) -> Result<()> {
    let _deciding = tenant.deciding.lock();
    put_on_record(inner, tenant, &mut row, true)?;
    end(inner, tenant, row)
}

/// A log that takes nothing more, until it is dropped.
struct Closing<'a> {
    tenant: &'a Tenant,
    for_good: bool,
}

impl<'a> Closing<'a> {
    fn begin(inner: &Inner, tenant: &'a Tenant) -> Result<Self> {
        let _committer = inner.committer.lock();
        if tenant.is_ended() {
            return Err(Error::UnknownTenant);
        }
        match tenant.ending.swap(true, Ordering::AcqRel) {
            true => Err(ending()),
            false => Ok(Self {
                tenant,
                for_good: false,
            }),
        }
    }
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        if !self.for_good {
            self.tenant.ending.store(false, Ordering::Release);
        }
    }
}

/// What is kept of the tenant.
fn row(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    by: &Principal,
    approved: Approved,
    reason: &str,
) -> Result<DestroyedRow> {
    check_clock(inner)?;
    let signed = checkpoint::newest(inner, tenant)?;
    let view = tenant.view();
    let gone = tenant.gone.load();
    if signed.size != view.size || !view.tail.is_empty() {
        return Err(Error::Changed("tenant"));
    }
    let signing = tenant.keys.signing.load();
    let mut former: Vec<String> = signing.former_origins().map(str::to_owned).collect();
    former.retain(|origin| *origin != tenant.origin);
    former.dedup();
    Ok(DestroyedRow {
        state: DestroyedState::Decided,
        name: tenant.name.clone(),
        origin: tenant.origin.clone(),
        former_origins: former,
        epoch: tenant.epoch,
        created_ms: tenant.created_ms,
        size: signed.size,
        purged: gone.count(Why::Purged),
        erased: gone.count(Why::Erased),
        root: hex(signed.root.as_bytes()),
        checkpoint: signed.note.to_string(),
        vkeys: signing.vkeys(&tenant.origin),
        by: by.id.clone(),
        approved_by: approved.by,
        bypassed: Vec::new(),
        reason: reason.to_owned(),
        log_from: inner.tenant(SYSTEM_TENANT)?.view().size,
        decided_ms: inner.clock.now_ms(),
        control: None,
        destroyed_ms: None,
        keys: 0,
        files: 0,
        bytes: 0,
        credentials: 0,
        overwrite: Vec::new(),
        emptied: Vec::new(),
        unreadable_since_ms: None,
        gone_since_ms: None,
        receipt: None,
        receipt_sha256: None,
        done_ms: None,
    })
}

/// Has the log of `_system` say it.
fn put_on_record(inner: &Inner, tenant: &Tenant, row: &mut DestroyedRow, again: bool) -> Result<()> {
    let system = inner.tenant(SYSTEM_TENANT)?;
    let id = tenant.id.to_string();
    if again {
        let named = names(&id);
        row.control = logged::find(inner, &system, Kind::Purge, row.log_from, &|public| {
            String::from_utf8_lossy(public).contains(&named)
        })?
        .map(|(seq, _)| seq);
    }
    if row.control.is_none() {
        let control = Control {
            ty: "tenant_destruction",
            destroyed: &id,
            name: &row.name,
            origin: &row.origin,
            epoch: row.epoch,
            size: row.size,
            root: &row.root,
            checkpoint: &row.checkpoint,
            vkeys: &row.vkeys,
            ordered_by: &row.by,
            approved_by: &row.approved_by,
            bypassed: &row.bypassed,
            reason: &row.reason,
        };
        row.control = Some(append_control(inner, &system, &row.by, Kind::Purge, &control)?.seq);
    }
    Ok(())
}

/// What the public bytes of the record of a tenant's destruction have, and no others'.
pub(crate) fn names(id: &str) -> String {
    format!("\"type\":\"tenant_destruction\",\"destroyed\":\"{id}\"")
}

/// The point from which it is destroyed.
fn end(inner: &Inner, tenant: &Arc<Tenant>, mut row: DestroyedRow) -> Result<()> {
    let flushing = inner.flushing.lock();
    inner.check_running()?;
    // Nobody loads it from rows that go meanwhile.
    let loading = inner.tenants.loading.lock();
    if !tenant.view().tail.is_empty() {
        return Err(Error::Io("records of the tenant are in the log still".into()));
    }
    let now_ms = inner.clock.now_ms();
    let leaving = inner.credentials.leave(&tenant.name, &tenant.id, now_ms)?;
    let (named, row) = inner.change(|update| {
        let (named, keys) = tenant_rows::remove(update, &tenant.id)?;
        for file in named.files.iter().filter(|file| file.is_part()) {
            if update.add_l0_parts(crate::flush::l0_number(&file.path)?, -1)? == 0 {
                row.emptied.push(file.path.clone());
            }
        }
        let in_use = |path| !row.emptied.contains(path);
        let parts = named
            .files
            .iter()
            .filter(|file| file.is_part() && in_use(&file.path));
        row.overwrite = parts
            .map(|file| PartBytes {
                path: file.path.clone(),
                offset: file.offset,
                length: file.length,
            })
            .collect();
        row.state = DestroyedState::Destroyed;
        row.destroyed_ms = Some(now_ms);
        row.keys = keys as u64;
        row.files = named.files.len() as u64;
        row.bytes = named.files.iter().map(|file| file.length).sum();
        row.credentials = leaving.revoked();
        leaving.put(update)?;
        let fact = Fact::Tenant {
            tenant: tenant.id.to_string(),
            row: Box::new(row.clone()),
        };
        ledger::note(update, now_ms, fact)?;
        row::put(update, &tenant.id, &row)?;
        Ok((named, row))
    })?;
    tenant.ended.store(true, Ordering::Release);
    inner.tenants.remove(tenant);
    leaving.publish();
    drop(loading);
    drop(flushing);
    inner.destructions.note(tenant.id, &row);
    memory::forget(inner, tenant, &named);
    ledger::ship_soon(inner);
    metrics::counter!("attestore_tenants_destroyed_total").increment(1);
    tracing::info!(tenant = %tenant.id, records = row.size, "a tenant was destroyed");
    Ok(())
}

/// The record in the log of `_system`.
#[derive(Serialize)]
struct Control<'a> {
    #[serde(rename = "type")]
    ty: &'static str,
    destroyed: &'a str,
    name: &'a str,
    origin: &'a str,
    epoch: u32,
    size: u64,
    root: &'a str,
    checkpoint: &'a str,
    vkeys: &'a [String],
    ordered_by: &'a str,
    approved_by: &'a [String],
    bypassed: &'a [u16],
    reason: &'a str,
}
