//! Rotation of the key that signs a log's checkpoints.

use std::collections::BTreeMap;
use std::sync::Arc;

use attestore_keys::Slot;
use attestore_record::{Kind, TenantId};
use attestore_tlog::HandoverReason;
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;

use super::row::{FormerRow, HandoverRow, NextRow, RetiringRow};
use super::{Next, Signing, module, sign, signing_key};
use crate::append::append_control;
use crate::catalog::{Catalog, by_tenant, tables};
use crate::credentials::{Permission, Principal};
use crate::heads::checkpoint;
use crate::instance::Inner;
use crate::tenant::Tenant;
use crate::{Engine, Error, Result};

/// What a rotation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The key in force.
    pub vkey: String,
    /// The key before it.
    pub former: String,
    /// Its word for the new one: a signed note.
    pub handover: String,
    /// Where the log has that.
    pub seq: u64,
    /// The last checkpoint without the new key; it covers the record.
    pub checkpoint: String,
    /// When the former key is destroyed, Unix milliseconds; `None` if it was.
    pub retires_ms: Option<u64>,
}

/// Former keys that still sign, and when each is destroyed. Locked by whoever changes the keys of a log.
pub(crate) struct Retiring(Mutex<BTreeMap<TenantId, u64>>);

impl Retiring {
    /// Keeps everybody else from changing the keys of logs.
    pub(crate) fn lock(&self) -> MutexGuard<'_, BTreeMap<TenantId, u64>> {
        self.0.lock()
    }

    /// Forgets a tenant that was destroyed.
    pub(crate) fn forget(&self, tenant: &TenantId) {
        self.0.lock().remove(tenant);
    }

    /// Takes up what the catalog has.
    pub(crate) fn load(catalog: &Catalog) -> Result<Self> {
        let rows = by_tenant::all::<HandoverRow>(&catalog.read()?, tables::HANDOVERS)?;
        let due = rows
            .into_iter()
            .filter_map(|(id, row)| Some((id, row.retiring?.at_ms)));
        Ok(Self(Mutex::new(due.collect())))
    }
}

impl Engine {
    /// Puts a new key in force for a tenant's log. For `overlap_ms` the old one signs too; 0 destroys it at once, as for a key that
    /// others may have. A key that still signs from an earlier rotation is destroyed.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::UnknownTenant`], or as appends, checkpoints and changes of the catalog. After an error the
    /// old key is in force, and the log may already name the next one: another call goes on with that.
    pub fn rotate_log_key(&self, tenant: &str, by: &Principal, overlap_ms: u64) -> Result<Rotated> {
        by.check(tenant, Permission::ManageKeys)?;
        self.inner.check_running()?;
        rotate(&self.inner, &self.inner.tenant(tenant)?, &by.id, overlap_ms)
    }

    /// Destroys the former key of a tenant's log that still signs; says whether there was one.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::UnknownTenant`], or as appends and changes of the catalog.
    pub fn retire_log_key(&self, tenant: &str, by: &Principal) -> Result<bool> {
        by.check(tenant, Permission::ManageKeys)?;
        self.inner.check_running()?;
        let tenant = self.inner.tenant(tenant)?;
        let mut due = self.inner.retiring.0.lock();
        let retired = due.contains_key(&tenant.id);
        if retired {
            retire(&self.inner, &tenant, &by.id)?;
            due.remove(&tenant.id);
        }
        Ok(retired)
    }
}

/// Puts a new key in force; see [`Engine::rotate_log_key`].
///
/// # Errors
/// As there.
pub(crate) fn rotate(inner: &Inner, tenant: &Arc<Tenant>, by: &str, overlap_ms: u64) -> Result<Rotated> {
    if let Some(reason) = tenant.rolled_back() {
        return Err(Error::Stopped(format!("no key is handed over: {reason}")));
    }
    let mut due = inner.retiring.0.lock();
    tenant.check_open()?;
    let next = next_key(inner, tenant)?;
    let receipt = append_control(
        inner,
        tenant,
        by,
        Kind::Key,
        &Announced {
            ty: "log_key_handover",
            handover: &next.handover,
        },
    )?;
    // The last word of the old key alone covers the record, and it says none after that.
    let _changing = tenant.keys.changing.write();
    let head = checkpoint::registered(inner, tenant, &tenant.view())?;
    let signed = checkpoint::sign_changing(inner, tenant, head, None)?;
    let former = tenant.keys.signing.load().verifier(&tenant.origin).to_string();
    let now_ms = inner.clock.now_ms();
    let retires_ms = (overlap_ms > 0).then(|| now_ms.saturating_add(overlap_ms));
    let row = inner.change(|update| {
        let mut row = stored(update, tenant)?;
        let mut tenant_row = update.tenant(&tenant.id)?.ok_or(Error::UnknownTenant)?;
        let mut gone: Vec<Slot> = row
            .retiring
            .take()
            .map(|key| Slot(key.slot))
            .into_iter()
            .collect();
        match retires_ms {
            Some(at_ms) => {
                let slot = tenant_row.signing_slot;
                row.retiring = Some(RetiringRow { slot, at_ms });
            }
            None => gone.push(Slot(tenant_row.signing_slot)),
        }
        row.former.push(FormerRow {
            vkey: former.clone(),
            until: signed.size,
            handover: next.handover.clone(),
        });
        row.next = None;
        tenant_row.signing_slot = next.slot;
        update.destroy_keys(&gone)?;
        update.put_tenant(&tenant.id, &tenant_row)?;
        crate::keyring::signing_rotated(update, &tenant.id, &row, now_ms)?;
        by_tenant::put(update, tables::HANDOVERS, &tenant.id, &row)?;
        Ok(row)
    })?;
    match retires_ms {
        Some(at_ms) => due.insert(tenant.id, at_ms),
        None => due.remove(&tenant.id),
    };
    let slot = next.slot;
    put_in_force(inner, tenant, slot, &row)?;
    let vkey = tenant.keys.signing.load().verifier(&tenant.origin).to_string();
    Ok(Rotated {
        vkey,
        former,
        handover: next.handover,
        seq: receipt.seq,
        checkpoint: signed.note.to_string(),
        retires_ms,
    })
}

/// Destroys former keys whose time is over.
pub(crate) fn retire_due(inner: &Inner) {
    // Whoever changes keys may wait for a security module: there is a next time.
    let Some(mut due) = inner.retiring.0.try_lock() else {
        return;
    };
    let now_ms = inner.clock.now_ms();
    let over: Vec<TenantId> = due
        .iter()
        .filter(|(_, at_ms)| **at_ms <= now_ms)
        .map(|(id, _)| *id)
        .collect();
    for id in over {
        let retired = inner
            .tenant_of(&id)
            .and_then(|tenant| retire(inner, &tenant, "internal"));
        match retired {
            Ok(()) => drop(due.remove(&id)),
            Err(error) => tracing::warn!(tenant = %id, %error, "a former key of a log is not destroyed yet"),
        }
    }
}

fn retire(inner: &Inner, tenant: &Arc<Tenant>, by: &str) -> Result<()> {
    let vkey = {
        let signing = tenant.keys.signing.load();
        signing.former.last().map(|former| former.key.to_string())
    };
    append_control(
        inner,
        tenant,
        by,
        Kind::Key,
        &Retired {
            ty: "log_key_retired",
            vkey: vkey.as_deref().unwrap_or_default(),
        },
    )?;
    let _changing = tenant.keys.changing.write();
    let now_ms = inner.clock.now_ms();
    let (slot, row) = inner.change(|update| {
        let mut row = stored(update, tenant)?;
        let gone: Vec<Slot> = row
            .retiring
            .take()
            .map(|key| Slot(key.slot))
            .into_iter()
            .collect();
        update.destroy_keys(&gone)?;
        crate::keyring::signing_retired(update, &tenant.id, now_ms)?;
        by_tenant::put(update, tables::HANDOVERS, &tenant.id, &row)?;
        let tenant_row = update.tenant(&tenant.id)?.ok_or(Error::UnknownTenant)?;
        Ok((tenant_row.signing_slot, row))
    })?;
    put_in_force(inner, tenant, slot, &row)
}

/// Has checkpoints signed by the keys that the catalog names from now on.
fn put_in_force(inner: &Inner, tenant: &Tenant, slot: u64, row: &HandoverRow) -> Result<()> {
    let key = |slot| signing_key(&inner.catalog, &tenant.id, &tenant.keys.ring(), slot);
    let retiring = row
        .retiring
        .as_ref()
        .map(|retiring| key(retiring.slot))
        .transpose()?;
    let signing = Signing::new(key(slot)?, retiring, &row.former)?;
    tenant.keys.signing.store(Arc::new(signing));
    inner.heads.forget_signed(&tenant.id);
    Ok(())
}

/// The key that comes next, with the current key's word for it: what a rotation that did not come to its end made, else a fresh one.
fn next_key(inner: &Inner, tenant: &Tenant) -> Result<NextRow> {
    let signing = tenant.keys.signing.load();
    let view = tenant.view();
    let row = by_tenant::get::<HandoverRow>(&inner.catalog.read()?, tables::HANDOVERS, &tenant.id)?;
    if let Some(next) = row.and_then(|row| row.next) {
        return Ok(next);
    }
    // A key in a module is made, and signs, outside of the commit.
    let fresh = module::fresh(
        &inner.catalog,
        &*inner.entropy,
        &tenant.id,
        &|| tenant.keys.ring().current().duplicate(),
        inner.settings.signing,
    )?;
    let next = Next {
        reason: HandoverReason::Rotation,
        origin: &tenant.origin,
        key: &fresh.key,
        size: view.size,
        root: view.root,
    };
    let handover = sign(tenant, &signing, next)?;
    inner.change(|update| {
        let mut row = stored(update, tenant)?;
        let slot = fresh.keep(update, &tenant.id, tenant.keys.ring().current())?;
        let next = NextRow {
            slot: slot.0,
            handover,
        };
        row.next = Some(next.clone());
        by_tenant::put(update, tables::HANDOVERS, &tenant.id, &row)?;
        Ok(next)
    })
}

/// A tenant's row within an update.
pub(super) fn stored(update: &crate::catalog::Update<'_>, tenant: &Tenant) -> Result<HandoverRow> {
    by_tenant::stored(update, tables::HANDOVERS, &tenant.id).map(Option::unwrap_or_default)
}

/// The log names its next key.
#[derive(Serialize)]
struct Announced<'a> {
    #[serde(rename = "type")]
    ty: &'static str,
    handover: &'a str,
}

/// A former key of the log is destroyed.
#[derive(Serialize)]
struct Retired<'a> {
    #[serde(rename = "type")]
    ty: &'static str,
    vkey: &'a str,
}
