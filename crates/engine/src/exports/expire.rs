//! Letting go of exports: their key is destroyed with their rows, then their files are removed.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use attestore_disk::Disk;
use attestore_keys::Slot;
use attestore_record::TenantId;
use attestore_segment::Damage;

use super::file::ExportFile;
use super::handoff::{Thread, change};
use super::row::{
    ExportState, JobKey, JobRow, all_jobs, dir, job, job_in, jobs, part_path, parts, put_job, remove_job,
    remove_parts,
};
use crate::catalog::Catalog;
use crate::instance::Inner;
use crate::tenant::Tenant;
use crate::{Error, Result};

/// When the files of a job that is done now go.
pub(super) fn expires_ms(inner: &Inner, row: &JobRow) -> u64 {
    let kept_ms = kept_ms(inner.settings.export_hours, row);
    inner.clock.now_ms().saturating_add(kept_ms)
}

/// For how long the files of a job are kept: as it says, or for so many hours.
pub(super) fn kept_ms(hours: u32, row: &JobRow) -> u64 {
    match &row.access {
        Some(access) => access.keep_ms,
        None => u64::from(hours).saturating_mul(HOUR_MS),
    }
}

/// Lets go of what has expired, and of what somebody wants gone.
pub(super) fn tick(inner: &Inner) {
    let now_ms = inner.clock.now_ms();
    // A clock that stepped ahead lets go of nothing; what somebody wants gone does not wait for it.
    let ahead = inner.guard.clock_ahead_ms(&*inner.clock).is_some();
    let until_ms = if ahead { 0 } else { now_ms };
    for _ in 0..AT_ONCE {
        let Some(key) = inner.exports.due(until_ms) else {
            return;
        };
        if inner.check_running().is_err() {
            return;
        }
        if let Err(error) = look(inner, &key, now_ms) {
            tracing::warn!(%error, "an export was not removed");
            inner.exports.put_off(key, now_ms.saturating_add(LATER_MS));
            if let Some(reason) = inner.catalog.poisoned() {
                inner.fail_stop(reason);
            }
        }
    }
}

/// Does what is due about one job.
fn look(inner: &Inner, key: &JobKey, now_ms: u64) -> Result<()> {
    let Some(row) = job(&inner.catalog, key)? else {
        inner.exports.forget(key);
        return Ok(());
    };
    if row.slot.is_some() {
        let state = match row.state {
            ExportState::Cancelled => ExportState::Cancelled,
            _ => ExportState::Expired,
        };
        // What was cancelled or deleted was counted then, or is no business of this.
        if state == ExportState::Expired && !row.deleted {
            metrics::counter!("attestore_exports_total", "outcome" => "expired").increment(1);
        }
        let_go(inner, Thread::Flusher, key, state)?;
    } else if row.leftovers > 0 {
        remove_files(inner, Thread::Flusher, key, row.leftovers)?;
    }
    // The row of one that expired stays a while, so that whoever comes late is told why.
    if row.deleted || row.slot.is_none() && row.expires_ms <= now_ms {
        let gone = *key;
        change(inner, Thread::Flusher, move |update| remove_job(update, &gone))?;
        inner.exports.forget(key);
    }
    Ok(())
}

/// Destroys the key of a job's files, removes the rows of its parts, and then the files. Durable on return.
///
/// # Errors
/// As changes of the catalog; what the disk says, and then it is tried again later.
pub(super) fn let_go(inner: &Inner, thread: Thread, key: &JobKey, state: ExportState) -> Result<JobRow> {
    let_go_if(inner, thread, key, state, |_| Ok(()))
}

/// As [`let_go`], if `check`, which may change the row, lets it.
///
/// # Errors
/// As [`let_go`]; what `check` says.
pub(super) fn let_go_if(
    inner: &Inner,
    thread: Thread,
    key: &JobKey,
    state: ExportState,
    check: impl FnOnce(&mut JobRow) -> Result<()> + Send + 'static,
) -> Result<JobRow> {
    let expires_ms = inner.clock.now_ms().saturating_add(ROW_MS);
    let of = *key;
    let row = change(inner, thread, move |update| {
        let mut row = job_in(update, &of)?.ok_or(Error::NotFound("export"))?;
        check(&mut row)?;
        row.leftovers += std::mem::take(&mut row.parts);
        remove_parts(update, &of, row.leftovers)?;
        if let Some(slot) = row.slot.take() {
            update.destroy_keys(&[Slot(slot)])?;
        }
        row.state = state;
        row.note = None;
        row.sealed_bytes = 0;
        if let Some(access) = &mut row.access {
            access.sealed = None;
        }
        row.expires_ms = expires_ms;
        put_job(update, &of, &row)?;
        Ok(row)
    })?;
    inner.exports.note(*key, &row);
    remove_files(inner, thread, key, row.leftovers)?;
    Ok(row)
}

/// Removes the files of parts that no row names any more, and notes that they are gone.
fn remove_files(inner: &Inner, thread: Thread, key: &JobKey, parts: u32) -> Result<()> {
    for number in 0..parts {
        match inner.disk.remove(&part_path(key, number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    let of = *key;
    change(inner, thread, move |update| {
        let Some(mut row) = job_in(update, &of)? else {
            return Ok(());
        };
        row.leftovers = 0;
        put_job(update, &of, &row)
    })
}

/// Bytes that a tenant's exports take on disk.
///
/// # Errors
/// As reads.
pub(super) fn sealed_bytes(catalog: &Catalog, tenant: &TenantId) -> Result<u64> {
    let jobs = jobs(&catalog.read()?, tenant)?;
    Ok(jobs.iter().map(|(_, row)| row.sealed_bytes).sum())
}

/// Authenticates every file of a tenant's exports: their paths, and what is damaged.
///
/// # Errors
/// What the catalog says.
pub(crate) fn scan(
    disk: &dyn Disk,
    catalog: &Catalog,
    tenant: &Tenant,
) -> Result<Vec<(PathBuf, Result<Vec<Damage>>)>> {
    let txn = catalog.read()?;
    let mut scanned = Vec::new();
    for (id, row) in jobs(&txn, &tenant.id)? {
        let key = (tenant.id, id);
        for (number, part) in parts(&txn, &key)? {
            let opened = ExportFile::part(disk, catalog, tenant, &key, &row, number, &part);
            let damages = opened.and_then(|file| file.scan());
            scanned.push((part_path(&key, number), damages));
        }
    }
    Ok(scanned)
}

/// Visits the files of a tenant's exports, as they would be downloaded.
///
/// # Errors
/// What the catalog says, or as reads of them.
pub(crate) fn expose(inner: &Inner, tenant: &Tenant, visit: &mut dyn FnMut(&Path, &[u8])) -> Result<()> {
    let txn = inner.catalog.read()?;
    for (id, row) in jobs(&txn, &tenant.id)? {
        let key = (tenant.id, id);
        for (number, part) in parts(&txn, &key)? {
            let file = ExportFile::part(&*inner.disk, &inner.catalog, tenant, &key, &row, number, &part)?;
            let bytes = file.read(0, file.len())?;
            visit(&part_path(&key, number), &bytes);
        }
    }
    Ok(())
}

/// Removes files of exports that no row names; returns what was removed. At a start, before anybody works on a job.
///
/// Only the folders of tenants that have jobs are looked at: a job's row outlives its files.
///
/// # Errors
/// What the catalog or the system says.
pub(crate) fn clean(disk: &dyn Disk, catalog: &Catalog) -> Result<Vec<PathBuf>> {
    let tenants: BTreeSet<TenantId> = all_jobs(catalog)?.iter().map(|(key, _)| key.0).collect();
    let mut removed = Vec::new();
    let txn = catalog.read()?;
    for tenant in tenants {
        let folder = dir(&tenant);
        let named: BTreeSet<PathBuf> = super::row::paths(&txn, &tenant)?.into_iter().collect();
        let entries = match disk.list(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries.iter().filter(|entry| !entry.is_dir) {
            let path = folder.join(&entry.name);
            let ours = entry.name.ends_with(".exp") || entry.name.ends_with(".exp.tmp");
            if ours && !named.contains(&path) {
                disk.remove(&path)?;
                removed.push(path);
            }
        }
    }
    Ok(removed)
}

const HOUR_MS: u64 = 3_600_000;
/// For how long a job is shown after its files are gone.
const ROW_MS: u64 = 7 * 24 * HOUR_MS;
/// When what failed is tried again.
const LATER_MS: u64 = 60_000;
/// Jobs that are let go of in one go.
const AT_ONCE: usize = 64;
