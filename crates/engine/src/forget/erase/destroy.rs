//! Makes data unreadable: frees the WAL files that may have subjects' keys, destroys the keys, rotates the root.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use attestore_keys::Slot;
use attestore_record::{Handle, TenantId};
use hashbrown::HashSet;

use super::decide::decide;
use super::row::{ErasureRow, ErasureState, Leaver, PartBytes};
use crate::backup::ledger::{self, Fact};
use crate::catalog::directory::{HandleRow, HandleState};
use crate::catalog::of_tenant::RowKey;
use crate::catalog::{Update, hex, of_tenant, storage, tables};
use crate::error::{Error, Result};
use crate::forget::hidden::Leaving;
use crate::instance::Inner;
use crate::tenant::Tenant;

/// One tenant's part of what is destroyed together.
struct Batch {
    tenant: Arc<Tenant>,
    jobs: Vec<Job>,
}

struct Job {
    key: RowKey,
    row: ErasureRow,
    leavers: Vec<Leaver>,
}

/// Decides erasures and makes unreadable what may go, all of it together: flushes, the new root and most of the commits are the
/// same for one and for a thousand.
///
/// # Errors
/// Why it did not come to an end; it is gone on with later.
pub(super) fn destroy(inner: &Inner, keys: &[RowKey]) -> Result<()> {
    let mut by_tenant: BTreeMap<TenantId, Vec<RowKey>> = BTreeMap::new();
    for key in keys {
        by_tenant.entry(key.0).or_default().push(*key);
    }
    let mut batches = Vec::new();
    for (id, keys) in by_tenant {
        batches.push((inner.tenant_of(&id)?, keys));
    }
    let mut decided = Vec::new();
    for (tenant, keys) in batches {
        let mut jobs = Vec::new();
        for key in keys {
            match job(inner, &tenant, key) {
                Ok(job) => jobs.extend(job),
                // It is tried again; the others do not wait for it.
                Err(error) => {
                    tracing::error!(tenant = %tenant.id, %error, "an erasure was not decided");
                    inner.check_running()?;
                }
            }
        }
        if !jobs.is_empty() {
            decided.push(Batch { tenant, jobs });
        }
    }
    if decided.is_empty() {
        return Ok(());
    }
    // Sections carry the keys of new subjects.
    crate::flush::free_log(inner)?;
    take_keys(inner, &mut decided)?;
    let done: Vec<(RowKey, ErasureRow)> = decided
        .into_iter()
        .flat_map(|batch| batch.jobs)
        .map(|job| (job.key, job.row))
        .collect();
    date(inner, done)
}

/// What there is to do for one erasure; `None` when it has to wait.
fn job(inner: &Inner, tenant: &Arc<Tenant>, key: RowKey) -> Result<Option<Job>> {
    let Some(mut row) = decide(inner, tenant, &key)? else {
        return Ok(None);
    };
    let leavers = row.leavers(&inner.catalog, &tenant.id, &tenant.keys.ring())?;
    let handles: Vec<Handle> = leavers.iter().map(|leaver| leaver.handle).collect();
    row.exports += crate::exports::let_go_personal(inner, tenant, &handles)?;
    Ok(Some(Job { key, row, leavers }))
}

/// Destroys both keys of every subject, in one commit.
fn take_keys(inner: &Inner, batches: &mut [Batch]) -> Result<()> {
    // Whoever read records before, to write them again, finds that this came in between.
    let flushing = inner.flushing.lock();
    inner.check_running()?;
    for batch in batches.iter_mut() {
        let handles = batch.handles();
        let parts = parts_of(inner, &batch.tenant, &handles)?;
        for job in &mut batch.jobs {
            job.row.state = ErasureState::Unreadable;
            job.row.subjects.clear();
            job.row.handles = job
                .leavers
                .iter()
                .map(|leaver| hex(leaver.handle.as_bytes()))
                .collect();
            job.row.overwrite.clone_from(&parts);
        }
        // Before the keys go, so that nobody takes a missing key for damage.
        batch
            .tenant
            .veil(&handles, |veil| veil.leaving = Some(Leaving::Destroyed));
    }
    let now_ms = inner.clock.now_ms();
    let committed = inner.change(|update| {
        let mut slots = Vec::new();
        for batch in batches.iter() {
            for job in &batch.jobs {
                for leaver in &job.leavers {
                    tombstone(update, &batch.tenant, leaver)?;
                    slots.extend([leaver.slot, leaver.lookup]);
                }
                ledger::note(update, now_ms, fact(&batch.tenant, &job.row))?;
                of_tenant::put(update, tables::ERASURES, &job.key, &job.row)?;
            }
        }
        destroy_all(update, &slots)
    });
    for batch in batches.iter() {
        let handles = batch.handles();
        if committed.is_err() {
            batch
                .tenant
                .veil(&handles, |veil| veil.leaving = Some(Leaving::Suppressed));
            continue;
        }
        batch.tenant.destructions.fetch_add(1, Ordering::AcqRel);
        for handle in &handles {
            batch.tenant.directory.forget_key(handle);
        }
        inner.search.erased(&batch.tenant.id);
        for job in &batch.jobs {
            inner.erasures.note(job.key, &job.row);
        }
    }
    drop(flushing);
    if committed.is_ok() {
        ledger::ship_soon(inner);
    }
    committed
}

/// What the ledger has of it.
fn fact(tenant: &Tenant, row: &ErasureRow) -> Fact {
    Fact::Subjects {
        tenant: tenant.id.to_string(),
        handles: row.handles.clone(),
        basis: row.basis.clone(),
        requested_by: row.requested_by.clone(),
        approved_by: row.approved_by.clone(),
        requested_ms: row.requested_ms,
    }
}

fn destroy_all(update: &mut Update<'_>, slots: &[Slot]) -> Result<()> {
    let destroyed = update.destroy_keys(slots)?;
    match destroyed == slots.len() {
        true => Ok(()),
        false => Err(Error::damage(
            "catalog",
            0,
            "a key of a data subject is gone already",
        )),
    }
}

/// Notes for good that a subject was erased.
fn tombstone(update: &Update<'_>, tenant: &Tenant, leaver: &Leaver) -> Result<()> {
    let gone = HandleRow {
        state: HandleState::Destroyed,
        slot: leaver.slot,
    };
    let mut table = update.txn().open_table(tables::HANDLES).map_err(storage)?;
    let key = (tenant.id.as_bytes(), leaver.handle.as_bytes());
    table.insert(key, gone.to_bytes().as_slice()).map_err(storage)?;
    Ok(())
}

/// Where parts of shared files have groups about somebody of `handles`.
fn parts_of(inner: &Inner, tenant: &Tenant, handles: &[Handle]) -> Result<Vec<PartBytes>> {
    let handles: HashSet<[u8; 16]> = handles.iter().map(|handle| *handle.as_bytes()).collect();
    let mut parts = Vec::new();
    for set in tenant.view().flushed.iter() {
        let Some(row) = set.sub.as_ref().filter(|row| row.is_part()) else {
            continue;
        };
        let reader = inner.readers.sub(inner, tenant, row)?;
        let about = |set: &[[u8; 16]]| set.iter().any(|handle| handles.contains(handle));
        if reader.handle_sets().any(about) {
            parts.push(PartBytes {
                path: row.path.clone(),
                offset: row.offset,
                length: row.length,
            });
        }
    }
    Ok(parts)
}

/// Rotates the root and notes since when nothing opens what was destroyed.
///
/// # Errors
/// As rotations and changes of the catalog.
pub(super) fn date(inner: &Inner, mut done: Vec<(RowKey, ErasureRow)>) -> Result<()> {
    let gone_ms = inner.rotate_root()?;
    for (_, row) in &mut done {
        row.unreadable_since_ms.get_or_insert(gone_ms);
    }
    inner.change(|update| {
        done.iter()
            .try_for_each(|(key, row)| of_tenant::put(update, tables::ERASURES, key, row))
    })?;
    for (key, row) in &done {
        let took_ms = gone_ms.saturating_sub(row.requested_ms);
        metrics::histogram!("attestore_erasure_unreadable_seconds")
            .record(std::time::Duration::from_millis(took_ms).as_secs_f64());
        metrics::counter!("attestore_erasures_total", "state" => row.state.name()).increment(1);
        inner.erasures.note(*key, row);
    }
    Ok(())
}

impl Batch {
    fn handles(&self) -> Vec<Handle> {
        let leavers = self.jobs.iter().flat_map(|job| &job.leavers);
        leavers.map(|leaver| leaver.handle).collect()
    }
}
