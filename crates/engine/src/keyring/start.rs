//! Ordering a rotation, up to the point from which it comes to its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use attestore_keys::{Key, Slot, SlotKind};
use attestore_record::Kind;

use super::row::{Cause, JobRow, JobState, KeyKind};
use super::said::{BEGUN, ENDED, Said, find, say};
use super::{KeysRow, stored};
use crate::Engine;
use crate::append::append_control;
use crate::catalog::{by_tenant, tables};
use crate::credentials::{Permission, Principal};
use crate::error::{Error, Result};
use crate::forget::destroy;
use crate::instance::{Inner, SYSTEM_TENANT};
use crate::tenant::{Ring, Tenant, own_context, ring};

/// What somebody wants rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationOrder {
    /// The kind of key.
    pub key: KeyKind,
    /// Why; in the log for good, so it names nobody. None for signing keys.
    pub reason: Option<String>,
}

/// A rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The kind of key.
    pub key: KeyKind,
    /// The number of the new key.
    pub generation: u64,
    /// How far it is.
    pub state: JobState,
    /// Why it was begun.
    pub cause: Cause,
    /// Id of who asked for it.
    pub by: String,
    /// When it was begun, Unix milliseconds.
    pub started_ms: u64,
    /// Keys that were wrapped anew, or pages that were given fresh keys.
    pub done: u64,
    /// Seq of the record of it in the tenant's log.
    pub seq: Option<u64>,
}

impl Engine {
    /// Rotates a key of a tenant, or, asked for `_system`, the root or the keys of all pages. On return the new key is in force and the log
    /// has it; bringing what is old under it goes on in the background, and is shown by [`Engine::keys`]. A root is replaced on return.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::UnknownTenant`]; [`Error::Invalid`] `invalid_rotation` for a reason that is too long, or a root of another
    /// tenant than `_system`; [`Error::Conflict`] `rotation_under_way`, `rolled_back`, `tenant_ending`; as appends and changes of the catalog.
    pub fn rotate_keys(&self, tenant: &str, by: &Principal, order: &RotationOrder) -> Result<Rotation> {
        by.check(tenant, Permission::ManageKeys)?;
        let inner = &self.inner;
        inner.check_running()?;
        let reason = order.reason.as_deref();
        check_reason(reason)?;
        let tenant = inner.tenant(tenant)?;
        match order.key {
            KeyKind::Root => root(inner, &tenant, Cause::Asked, &by.id, reason),
            KeyKind::Tenant | KeyKind::Buckets => {
                start(inner, &tenant, order.key, Cause::Asked, &by.id, reason).map(Rotation::of)
            }
            KeyKind::Signing if reason.is_some() => Err(Error::Invalid {
                code: "invalid_reason",
                message: "the record of a signing key is its handover, which has no place for a reason"
                    .to_owned(),
            }),
            KeyKind::Signing => signing(inner, &tenant, Cause::Asked, &by.id, OVERLAP_MS),
        }
    }
}

impl Rotation {
    pub(super) fn of(row: JobRow) -> Self {
        Self {
            key: row.key,
            generation: row.generation,
            state: row.state,
            cause: row.cause,
            by: row.by,
            started_ms: row.started_ms,
            done: row.done,
            seq: row.seq,
        }
    }
}

/// Puts a new signing key in force.
///
/// # Errors
/// As [`crate::handover`].
pub(super) fn signing(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    cause: Cause,
    by: &str,
    overlap_ms: u64,
) -> Result<Rotation> {
    let rotated = crate::handover::rotate(inner, tenant, by, overlap_ms)?;
    let row = super::read(inner, &tenant.id)?;
    Ok(Rotation {
        key: KeyKind::Signing,
        generation: row.signing.number(),
        state: match rotated.retires_ms {
            Some(_) => JobState::Wrapping,
            None => JobState::Unwrapped,
        },
        cause,
        by: by.to_owned(),
        started_ms: inner.clock.now_ms(),
        done: 0,
        seq: Some(rotated.seq),
    })
}

/// Replaces the root; both ends of that are in the log of `_system`.
///
/// # Errors
/// As [`Inner::replace_root`] and appends.
pub(super) fn root(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    cause: Cause,
    by: &str,
    reason: Option<&str>,
) -> Result<Rotation> {
    if tenant.name != SYSTEM_TENANT {
        return Err(Error::Invalid {
            code: "invalid_rotation",
            message: format!("the root is the instance's: ask for it of {SYSTEM_TENANT}"),
        });
    }
    let generation = inner.root.generation() + 1;
    let started_ms = inner.clock.now_ms();
    let begun = Said {
        ty: BEGUN,
        key: KeyKind::Root,
        generation,
        cause,
        reason,
        keys: None,
        unreachable_since_ms: None,
    };
    let seq = append_control(inner, tenant, by, Kind::Key, &begun)?.seq;
    let gone_ms = inner.replace_root()?;
    let ended = Said {
        ty: ENDED,
        generation: inner.root.generation(),
        unreachable_since_ms: Some(gone_ms),
        ..begun
    };
    append_control(inner, tenant, by, Kind::Key, &ended)?;
    metrics::counter!("attestore_key_rotations_total", "key" => KeyKind::Root.name()).increment(1);
    Ok(Rotation {
        key: KeyKind::Root,
        generation: inner.root.generation(),
        state: JobState::Destroyed,
        cause,
        by: by.to_owned(),
        started_ms,
        done: 0,
        seq: Some(seq),
    })
}

/// Begins a rotation of a tenant's key or of pages. After an error nothing happened, unless the instance has stopped: then the next
/// start goes on.
///
/// # Errors
/// As [`Engine::rotate_keys`].
pub(super) fn start(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    key: KeyKind,
    cause: Cause,
    by: &str,
    reason: Option<&str>,
) -> Result<JobRow> {
    let _deciding = tenant.deciding.lock();
    check_tenant(tenant)?;
    let now_ms = inner.clock.now_ms();
    let log_from = tenant.view().size;
    let row = inner.change(|update| {
        let mut row = stored(update, &tenant.id)?;
        if row.job.is_some() {
            return Err(under_way());
        }
        let current = match key {
            KeyKind::Buckets => &row.buckets,
            _ => &row.tenant,
        };
        row.job = Some(JobRow {
            key,
            generation: current.number() + 1,
            state: JobState::Asked,
            cause,
            by: by.to_owned(),
            reason: reason.map(str::to_owned),
            log_from,
            seq: None,
            started_ms: now_ms,
            done: 0,
            next_slot: 0,
            gone_ms: None,
        });
        by_tenant::put(update, tables::KEYS, &tenant.id, &row)?;
        Ok(row)
    })?;
    inner.keyrings.open.lock().insert(tenant.id);
    match begin(inner, tenant, row, false) {
        Ok(job) => {
            inner.keyrings.wake.notify();
            Ok(job)
        }
        Err(error) => {
            if inner.stopped().is_none() && !is_begun(inner, tenant)? {
                inner.change(|update| {
                    let mut row = stored(update, &tenant.id)?;
                    row.job = None;
                    by_tenant::put(update, tables::KEYS, &tenant.id, &row)
                })?;
                inner.keyrings.open.lock().remove(&tenant.id);
            }
            Err(error)
        }
    }
}

/// Whether the log has it, or the new key is in force.
fn is_begun(inner: &Inner, tenant: &Arc<Tenant>) -> Result<bool> {
    match super::read(inner, &tenant.id)?.job {
        Some(job) if job.state == JobState::Asked => Ok(find(inner, tenant, BEGUN, &job)?.is_some()),
        _ => Ok(true),
    }
}

/// Puts it on record, and the new key in force. The caller holds [`Tenant::deciding`].
///
/// # Errors
/// As appends and changes of the catalog.
pub(super) fn begin(inner: &Inner, tenant: &Arc<Tenant>, row: KeysRow, again: bool) -> Result<JobRow> {
    let Some(mut job) = row.job else {
        return Err(Error::NotFound("rotation"));
    };
    let found = match again {
        true => find(inner, tenant, BEGUN, &job)?,
        false => None,
    };
    job.seq = Some(match found {
        Some(seq) => seq,
        None => append_control(inner, tenant, &job.by, Kind::Key, &Said::of(BEGUN, &job))?.seq,
    });
    say(inner, tenant, "key.rotation.begin", &job)?;
    job.state = JobState::Wrapping;
    let now_ms = inner.clock.now_ms();
    let fresh = Key::random(&*inner.entropy);
    let both = inner.change(|update| {
        let mut row = stored(update, &tenant.id)?;
        row.replace(job.key, now_ms);
        row.job = Some(job.clone());
        by_tenant::put(update, tables::KEYS, &tenant.id, &row)?;
        if job.key != KeyKind::Tenant {
            return Ok(None);
        }
        let mut tenant_row = update.tenant(&tenant.id)?.ok_or(Error::UnknownTenant)?;
        let context = own_context(&tenant.id, SlotKind::TenantKey);
        let slot: Slot = update.put_key(context, None, &fresh)?;
        tenant_row.former_key_slot = Some(std::mem::replace(&mut tenant_row.key_slot, slot.0));
        update.put_tenant(&tenant.id, &tenant_row)?;
        Ok(Some(tenant_row))
    })?;
    if both.is_some() {
        let former = tenant.keys.ring().current().duplicate();
        in_force(inner, tenant, Ring::new(fresh, Some(former)));
    }
    Ok(job)
}

/// Has memory work with other keys than before.
pub(super) fn in_force(inner: &Inner, tenant: &Tenant, keys: Ring) {
    // Between two frames: each is sealed and written under one key.
    let _committer = inner.committer.lock();
    let before = tenant.keys.replace(keys);
    inner
        .keyrings
        .before
        .lock()
        .entry(tenant.id)
        .or_default()
        .push(before);
}

/// Has memory work with the keys that the catalog names.
///
/// # Errors
/// As reads of keys.
pub(super) fn reload(inner: &Inner, tenant: &Tenant) -> Result<()> {
    let row = by_tenant::get(&inner.catalog.read()?, tables::TENANTS, &tenant.id)?;
    let keys = ring(&inner.catalog, &tenant.id, &row.ok_or(Error::UnknownTenant)?)?;
    in_force(inner, tenant, keys);
    Ok(())
}

/// Refuses a tenant that goes or whose log takes nothing.
pub(super) fn check_tenant(tenant: &Tenant) -> Result<()> {
    if tenant.is_ended() {
        return Err(Error::UnknownTenant);
    }
    if tenant.ending.load(Ordering::Acquire) {
        return Err(destroy::ending());
    }
    tenant.check_open()?;
    match tenant.rolled_back() {
        Some(reason) => Err(Error::Conflict {
            code: "rolled_back",
            message: format!("no key is rotated: {reason}"),
        }),
        None => Ok(()),
    }
}

/// What is answered while a rotation has not come to its end.
pub(super) fn under_way() -> Error {
    Error::Conflict {
        code: "rotation_under_way",
        message: "a rotation of keys of the tenant is under way: wait for its end".to_owned(),
    }
}

/// Refuses a reason that is none.
///
/// # Errors
/// [`Error::Invalid`].
pub(super) fn check_reason(reason: Option<&str>) -> Result<()> {
    match reason.is_none_or(|reason| (1..=REASON_BYTES_MAX).contains(&reason.trim().len())) {
        true => Ok(()),
        false => Err(Error::Invalid {
            code: "invalid_reason",
            message: format!("a reason has 1 to {REASON_BYTES_MAX} bytes"),
        }),
    }
}

const REASON_BYTES_MAX: usize = 256;
/// For how long a former signing key signs beside the new one.
pub(super) const OVERLAP_MS: u64 = 7 * 24 * 3_600_000;
