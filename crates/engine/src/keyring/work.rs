//! Bringing rotations to their end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use attestore_keys::Slot;
use attestore_record::{Kind, TenantId};

use super::row::{JobRow, JobState, KeyKind};
use super::said::{self, ENDED, Said};
use super::{KeysRow, start, stored, sweep};
use crate::append::append_control;
use crate::catalog::{Update, by_tenant, tables};
use crate::error::{Error, Result};
use crate::forget::holds::Holds;
use crate::instance::{Inner, OpenMode, SYSTEM_TENANT};
use crate::tenant::{Ring, Tenant};

/// Goes on with every rotation as far as it gets.
#[expect(clippy::cast_precision_loss, reason = "a gauge")]
pub(super) fn all(inner: &Inner) {
    let Some(_working) = inner.keyrings.working.try_lock() else {
        return;
    };
    let open: Vec<TenantId> = inner.keyrings.open.lock().iter().copied().collect();
    for id in open {
        match one(inner, &id) {
            Ok(()) => {}
            // It went with the tenant.
            Err(Error::UnknownTenant) => {
                inner.keyrings.open.lock().remove(&id);
                inner.keyrings.before.lock().remove(&id);
            }
            Err(_) if inner.keyrings.is_stopped() => return,
            Err(error) => {
                tracing::warn!(tenant = %id, %error, "a rotation of keys does not go on; it is tried again");
            }
        }
    }
    metrics::gauge!("attestore_key_rotations_open").set(inner.keyrings.open.lock().len() as f64);
}

/// Takes steps until nothing is left to do.
fn one(inner: &Inner, id: &TenantId) -> Result<()> {
    let tenant = inner.tenant_of(id)?;
    loop {
        inner.check_running()?;
        if tenant.is_ended() {
            return Err(Error::UnknownTenant);
        }
        let row = super::read(inner, id)?;
        let Some(job) = row.job.clone() else {
            inner.keyrings.open.lock().remove(id);
            return Ok(());
        };
        match (job.state, job.key) {
            (JobState::Asked, _) => {
                let _deciding = tenant.deciding.lock();
                start::check_tenant(&tenant)?;
                // Who ordered it may have begun it meanwhile.
                let row = super::read(inner, id)?;
                if row.job.as_ref().is_some_and(|job| job.state == JobState::Asked) {
                    start::begin(inner, &tenant, row, true)?;
                }
            }
            (JobState::Wrapping, KeyKind::Tenant) => wrap(inner, &tenant)?,
            (JobState::Wrapping, _) => refresh(inner, &tenant, job)?,
            (JobState::Unwrapped, _) => {
                let gone_ms = inner.rotate_root()?;
                step(inner, &tenant, |_, row, now| {
                    now.state = JobState::Destroyed;
                    now.gone_ms = Some(gone_ms);
                    row.destroyed(job.key, gone_ms);
                    Ok(())
                })?;
            }
            (JobState::Destroyed, _) => conclude(inner, &tenant, &job)?,
        }
    }
}

/// Brings everything that is under the former key under the new one, and takes the former out of the tree.
fn wrap(inner: &Inner, tenant: &Arc<Tenant>) -> Result<()> {
    if tenant.keys.ring().former().is_none() {
        // The change that put it in force was committed, and nobody told memory.
        start::reload(inner, tenant)?;
    }
    others_are_done(inner, &tenant.id)?;
    // No closure that asked for keys before is under way: changes of the catalog come one after the other.
    inner.change(|_| Ok(()))?;
    crate::flush::free_log(inner)?;
    let ring = tenant.keys.ring();
    let former = ring
        .former()
        .ok_or_else(|| Error::damage("catalog", 0, "a rotation without a former key"))?;
    while pass(inner, tenant, former, &ring)? > 0 {}
    let _deciding = tenant.deciding.lock();
    let _watches = inner.watches.alone();
    if tenant.is_ended() {
        return Err(Error::UnknownTenant);
    }
    step(inner, tenant, |update, _, job| {
        sweep::rows(inner, update, tenant)?;
        let mut row = update.tenant(&tenant.id)?.ok_or(Error::UnknownTenant)?;
        if let Some(slot) = row.former_key_slot.take() {
            update.destroy_keys(&[Slot(slot)])?;
        }
        job.state = JobState::Unwrapped;
        update.put_tenant(&tenant.id, &row)
    })?;
    start::in_force(inner, tenant, Ring::new(ring.current().duplicate(), None));
    let holds = Holds::load(&inner.catalog.read()?, &tenant.id)?;
    tenant.holds.store(Arc::new(holds));
    Ok(())
}

/// Waits until nobody works with keys of before: they would look for keys where these are not any more.
fn others_are_done(inner: &Inner, tenant: &TenantId) -> Result<()> {
    let Some(before) = inner.keyrings.before.lock().get(tenant).cloned() else {
        return Ok(());
    };
    while before.iter().any(|ring| ring.strong_count() > 0) {
        rest(inner, Duration::from_millis(10))?;
    }
    inner.keyrings.before.lock().remove(tenant);
    Ok(())
}

/// Looks at every key of the tenant once; returns how many were wrapped anew.
fn pass(inner: &Inner, tenant: &Arc<Tenant>, former: &attestore_keys::Key, ring: &Ring) -> Result<usize> {
    let txn = inner.catalog.read()?;
    let mut count = 0;
    sweep::each(&txn, tenant, &mut |places| {
        let others = inner.catalog.not_under(places, ring.current())?;
        if others.is_empty() {
            return rest(inner, Duration::ZERO);
        }
        let begun = Instant::now();
        count += step(inner, tenant, |update, _, job| {
            let done = update.rewrap_keys(&others, former, ring.current())?;
            job.done += done as u64;
            Ok(done)
        })?;
        rest(inner, begun.elapsed())
    })?;
    Ok(count)
}

/// Gives the pages of a tenant fresh keys; of `_system`, all pages.
fn refresh(inner: &Inner, tenant: &Arc<Tenant>, job: JobRow) -> Result<()> {
    if tenant.name == SYSTEM_TENANT {
        let end = inner.catalog.instance()?.map_or(0, |row| row.tree_next_slot);
        let mut next = job.next_slot;
        while next < end {
            let upto = end.min(next.saturating_add(PAGES * attestore_keys::SLOTS_PER_PAGE));
            let step = usize::try_from(attestore_keys::SLOTS_PER_PAGE).unwrap_or(64);
            let slots: Vec<Slot> = (next..upto).step_by(step).map(Slot).collect();
            let begun = Instant::now();
            turn(inner, tenant, &slots, upto)?;
            next = upto;
            rest(inner, begun.elapsed())?;
        }
    } else {
        let txn = inner.catalog.read()?;
        let row: Option<crate::catalog::TenantRow> = by_tenant::get(&txn, tables::TENANTS, &tenant.id)?;
        let own = row.ok_or(Error::UnknownTenant)?.key_slot;
        turn(inner, tenant, &[Slot(own)], 0)?;
        let mut last = Slot(own).page();
        sweep::each(&txn, tenant, &mut |places| {
            let mut slots: Vec<Slot> = places.iter().map(|(slot, _)| *slot).collect();
            slots.sort_unstable();
            slots.dedup_by_key(|slot| slot.page());
            slots.retain(|slot| slot.page() != last);
            last = slots.last().map_or(last, |slot| slot.page());
            let begun = Instant::now();
            turn(inner, tenant, &slots, 0)?;
            rest(inner, begun.elapsed())
        })?;
    }
    step(inner, tenant, |_, _, job| {
        job.state = JobState::Unwrapped;
        Ok(())
    })
}

fn turn(inner: &Inner, tenant: &Arc<Tenant>, slots: &[Slot], next: u64) -> Result<()> {
    step(inner, tenant, |update, _, job| {
        job.done += update.refresh_pages(slots)? as u64;
        job.next_slot = next;
        Ok(())
    })
}

/// Says in the log that the former key is out of reach, and is done.
fn conclude(inner: &Inner, tenant: &Arc<Tenant>, job: &JobRow) -> Result<()> {
    if said::find(inner, tenant, ENDED, job)?.is_none() {
        append_control(inner, tenant, &job.by, Kind::Key, &Said::of(ENDED, job))?;
    }
    said::say(inner, tenant, "key.rotation.end", job)?;
    inner.change(|update| {
        let mut row = stored(update, &tenant.id)?;
        row.job.take().ok_or(Error::UnknownTenant)?;
        if job.key == KeyKind::Tenant {
            // Its pages have fresh keys, too.
            row.replace(KeyKind::Buckets, job.started_ms);
            row.destroyed(KeyKind::Buckets, job.gone_ms.unwrap_or_default());
        }
        by_tenant::put(update, tables::KEYS, &tenant.id, &row)
    })?;
    inner.keyrings.open.lock().remove(&tenant.id);
    metrics::counter!("attestore_key_rotations_total", "key" => job.key.name()).increment(1);
    tracing::info!(tenant = %tenant.id, key = job.key.name(), generation = job.generation, keys = job.done, "a key was rotated");
    Ok(())
}

/// Changes the row of a tenant and the job in it, with whatever else `work` does.
fn step<T>(
    inner: &Inner,
    tenant: &Tenant,
    work: impl FnOnce(&mut Update<'_>, &mut KeysRow, &mut JobRow) -> Result<T>,
) -> Result<T> {
    inner.change(|update| {
        let mut row = stored(update, &tenant.id)?;
        // It goes with the tenant.
        let mut job = row.job.take().ok_or(Error::UnknownTenant)?;
        let value = work(update, &mut row, &mut job)?;
        row.job = Some(job);
        by_tenant::put(update, tables::KEYS, &tenant.id, &row)?;
        Ok(value)
    })
}

/// Leaves the catalog to others for a while; refuses when the instance ends.
fn rest(inner: &Inner, pause: Duration) -> Result<()> {
    let stopped = match inner.mode {
        OpenMode::Threads if !pause.is_zero() => inner.keyrings.wake.pause(pause.min(REST_MAX)),
        _ => inner.keyrings.is_stopped(),
    };
    match stopped {
        true => Err(Error::Stopped("closed".into())),
        false => inner.check_running(),
    }
}

/// Pages that one commit gives fresh keys, at most.
const PAGES: u64 = 256;
/// A rest is never longer than this.
const REST_MAX: Duration = Duration::from_secs(1);
