//! What is left to do once records are gone: files, log, keys, receipt.

use std::path::Path;
use std::sync::Arc;

use attestore_export::sha256_hex;

use super::decide::{let_exports_go, settle};
use super::receipt;
use super::row::{self, JobKey, PurgeRow, PurgeState};
use crate::error::{Error, Result};
use crate::forget::{Why, gone, statement, sweep};
use crate::instance::Inner;
use crate::tenant::Tenant;

/// Goes on with every job as far as it gets; says whether one came further.
pub(super) fn tick(inner: &Inner) -> bool {
    let _one_at_a_time = inner.purges.working.lock();
    let open: Vec<JobKey> = inner.purges.open.lock().iter().copied().collect();
    let mut moved = false;
    for key in &open {
        moved |= told(
            key,
            step(inner, key, PurgeState::Decided, |inner, _, _, _| settle(inner)),
        );
        moved |= told(key, step(inner, key, PurgeState::Recorded, out_of_segments));
    }
    moved |= out_of_reach(inner, &open);
    for key in &open {
        moved |= told(key, step(inner, key, PurgeState::Unreadable, sign));
        moved |= told(key, step(inner, key, PurgeState::Receipted, conclude));
    }
    moved
}

/// Says why a job does not go on.
fn told(key: &JobKey, done: Result<bool>) -> bool {
    done.unwrap_or_else(|error| {
        tracing::warn!(tenant = %key.0, %error, "a purge does not go on; it is tried again");
        false
    })
}

/// Takes a step with a job that is in a state; says whether it came further.
fn step(
    inner: &Inner,
    key: &JobKey,
    state: PurgeState,
    step: impl Fn(&Inner, &Arc<Tenant>, &JobKey, PurgeRow) -> Result<()>,
) -> Result<bool> {
    inner.check_running()?;
    if !inner.purges.open.lock().contains(key) {
        return Ok(false);
    }
    let row = row::get(&inner.catalog.read()?, key)?;
    if row.state != state {
        return Ok(false);
    }
    let tenant = inner.tenant_of(&key.0)?;
    step(inner, &tenant, key, row)?;
    match row::get(&inner.catalog.read()?, key) {
        Ok(row) => Ok(row.state != state),
        Err(Error::NotFound(_)) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Takes the records out of segments.
fn out_of_segments(inner: &Inner, tenant: &Arc<Tenant>, key: &JobKey, mut row: PurgeRow) -> Result<()> {
    let control = control(&row)?;
    let_exports_go(inner, tenant, key, &mut row)?;
    if !sweep::advance(inner, tenant, control)? || !remove_left(inner, tenant, &row)? {
        return Ok(());
    }
    row.state = PurgeState::Swept;
    row.swept_ms = Some(inner.clock.now_ms());
    gone::swept(inner, tenant, control, |update| row::put(update, key, &row))?;
    let bytes: u64 = row.files.iter().map(|file| file.bytes).sum();
    if row.why() == Why::Purged {
        metrics::counter!("attestore_purged_bytes_total").increment(bytes);
    }
    Ok(())
}

/// Removes files that nothing names any more and that a crash or an error left; says whether all are gone.
fn remove_left(inner: &Inner, tenant: &Tenant, row: &PurgeRow) -> Result<bool> {
    let view = tenant.view();
    let in_use = |path: &Path| {
        let files = view.flushed.iter().flat_map(|set| set.files());
        files.into_iter().any(|file| file.path == path)
    };
    let mut left = Vec::new();
    // Parts of shared files go with the last of them.
    let own = row.files.iter().filter(|file| !file.path.starts_with("l0"));
    for file in own.filter(|file| !in_use(&file.path)) {
        if inner.disk.exists(&file.path)? {
            left.push(file.path.clone());
        }
    }
    if left.is_empty() {
        return Ok(true);
    }
    let left = sweep::remove(inner, &left);
    sweep::sync_dir(inner, tenant)?;
    Ok(left.is_empty())
}

/// Frees the log and rotates the root, once for all jobs that wait for it; says whether there were any.
fn out_of_reach(inner: &Inner, open: &[JobKey]) -> bool {
    let freed = || -> Result<bool> {
        let txn = inner.catalog.read()?;
        let mut waiting = Vec::new();
        for key in open {
            match row::get(&txn, key) {
                Ok(row) if row.state == PurgeState::Swept => waiting.push((*key, row)),
                Ok(_) | Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        drop(txn);
        let Some(wal) = waiting.iter().map(|(_, row)| row.wal).max() else {
            return Ok(false);
        };
        let low = || -> Result<u64> {
            let row = inner.catalog.instance()?;
            Ok(row.map_or(0, |row| row.wal_low))
        };
        if low()? <= wal {
            crate::flush::free_log(inner)?;
        }
        if low()? <= wal {
            return Ok(false);
        }
        let unreadable_ms = inner.rotate_root()?;
        let gone_ms = inner.clock.now_ms();
        inner.change(|update| {
            for (key, row) in &mut waiting {
                row.state = PurgeState::Unreadable;
                row.unreadable_since_ms = Some(unreadable_ms);
                row.gone_since_ms = Some(gone_ms);
                row::put(update, key, row)?;
            }
            Ok(())
        })?;
        Ok(true)
    };
    freed().unwrap_or_else(|error| {
        tracing::warn!(%error, "what was purged is not out of reach of old copies yet; it is tried again");
        false
    })
}

/// Signs the receipt and keeps it.
fn sign(inner: &Inner, tenant: &Arc<Tenant>, key: &JobKey, mut row: PurgeRow) -> Result<()> {
    let receipt = receipt::make(inner, tenant, key, &row)?;
    row.receipt = Some(sha256_hex(receipt.as_bytes()));
    row.state = PurgeState::Receipted;
    inner.change(|update| {
        row::put_receipt(update, key, &receipt)?;
        row::put(update, key, &row)
    })
}

/// Has the log name the receipt.
fn conclude(inner: &Inner, tenant: &Arc<Tenant>, key: &JobKey, mut row: PurgeRow) -> Result<()> {
    let (of, sha256) = (control(&row)?, row.receipt.clone().unwrap_or_default());
    statement::name(inner, tenant, row.kind(), of, &sha256)?;
    row.state = PurgeState::Done;
    row.done_ms = Some(inner.clock.now_ms());
    inner.change(|update| row::put(update, key, &row))?;
    inner.purges.open.lock().remove(key);
    Ok(())
}

fn control(row: &PurgeRow) -> Result<u64> {
    row.control
        .ok_or_else(|| Error::damage("catalog", 0, "a purge on record that names no record"))
}
