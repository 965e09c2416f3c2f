//! Keys whose time is over: rotated where the policy says so, else counted.

use std::sync::atomic::Ordering;

use attestore_record::TenantId;

use super::policy::DAY_MS;
use super::row::{Cause, JobState, KeyKind, KeysRow};
use super::{roots, start};
use crate::catalog::{by_tenant, tables};
use crate::error::{Error, Result};
use crate::instance::{Inner, SYSTEM_TENANT};

/// Looks at the keys of every tenant that has a policy.
///
/// # Errors
/// As reads. What cannot be rotated is counted, said, and tried again at the next look.
#[expect(clippy::cast_precision_loss, reason = "a gauge")]
pub(super) fn look(inner: &Inner) -> Result<()> {
    let now_ms = inner.clock.now_ms();
    let rows = by_tenant::all::<KeysRow>(&inner.catalog.read()?, tables::KEYS)?;
    // A clock that may be wrong makes nothing due.
    let trusted = inner.guard.clock_ahead_ms(&*inner.clock).is_none();
    let mut overdue = 0;
    for (id, row) in &rows {
        for key in [KeyKind::Tenant, KeyKind::Signing, KeyKind::Root] {
            let over = due_ms(inner, row, key)?.is_some_and(|due_ms| due_ms <= now_ms);
            if !over || is_under_way(row, key) {
                continue;
            }
            // A log that ended here has its keys replaced where it goes on.
            if inner
                .tenant_of(id)
                .is_ok_and(|tenant| tenant.check_open().is_err())
            {
                continue;
            }
            if trusted && row.policy.automatic {
                match rotate(inner, id, key) {
                    Ok(()) => continue,
                    Err(error) => {
                        tracing::warn!(tenant = %id, key = key.name(), %error, "a key whose time is over is not rotated yet");
                    }
                }
            }
            overdue += 1;
        }
    }
    inner.keyrings.overdue.store(overdue, Ordering::Relaxed);
    metrics::gauge!("attestore_keys_overdue").set(overdue as f64);
    Ok(())
}

/// Until when a key may protect what is new, by the policy, Unix milliseconds; `None` without one.
///
/// # Errors
/// As reads.
pub(super) fn due_ms(inner: &Inner, row: &KeysRow, key: KeyKind) -> Result<Option<u64>> {
    let policy = &row.policy;
    let (days, made_ms) = match key {
        KeyKind::Tenant => (policy.tenant_days, row.tenant.made_ms),
        KeyKind::Buckets => (policy.tenant_days, row.buckets.made_ms),
        KeyKind::Signing => (policy.signing_days, row.signing.made_ms),
        KeyKind::Root if policy.root_days.is_none() => return Ok(None),
        KeyKind::Root => {
            let generation = inner.root.generation();
            let known = roots::known(&inner.catalog)?;
            let current = known.iter().find(|root| root.generation == generation);
            let born_ms = inner.catalog.instance()?.map(|row| row.created_ms);
            (policy.root_days, current.map(|root| root.made_ms).or(born_ms))
        }
    };
    let period_ms = days.map(|days| u64::from(days).saturating_mul(DAY_MS));
    Ok(period_ms
        .zip(made_ms)
        .map(|(period_ms, made_ms)| made_ms.saturating_add(period_ms)))
}

fn is_under_way(row: &KeysRow, key: KeyKind) -> bool {
    let job = row.job.as_ref();
    key == KeyKind::Tenant && job.is_some_and(|job| job.key == key && job.state != JobState::Asked)
}

fn rotate(inner: &Inner, id: &TenantId, key: KeyKind) -> Result<()> {
    let tenant = inner.tenant_of(id)?;
    match key {
        KeyKind::Signing => {
            start::check_tenant(&tenant)?;
            start::signing(inner, &tenant, Cause::Due, INTERNAL, start::OVERLAP_MS).map(drop)
        }
        KeyKind::Root if tenant.name == SYSTEM_TENANT => {
            start::root(inner, &tenant, Cause::Due, INTERNAL, None).map(drop)
        }
        KeyKind::Root => Err(Error::UnknownTenant),
        KeyKind::Tenant | KeyKind::Buckets => {
            start::start(inner, &tenant, KeyKind::Tenant, Cause::Due, INTERNAL, None).map(drop)
        }
    }
}

const INTERNAL: &str = "internal";
