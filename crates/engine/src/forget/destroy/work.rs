//! What is left to do once it is decided that a tenant goes, and once it is destroyed.

use std::io;
use std::path::{Path, PathBuf};

use attestore_disk::Disk;
use attestore_export::sha256_hex;
use attestore_record::{Kind, TenantId};

use super::row::{self, DestroyedRow, DestroyedState};
use super::{decide, memory, receipt};
use crate::catalog::tenant_rows;
use crate::error::{Error, Result};
use crate::forget::erase::overwrite;
use crate::forget::statement;
use crate::instance::{Inner, SYSTEM_TENANT};

/// Goes on with every destruction as far as it gets.
pub(crate) fn tick(inner: &Inner) {
    let open: Vec<TenantId> = inner.destructions.open.lock().iter().copied().collect();
    for tenant in open {
        let Some(_working) = inner.destructions.working.try_lock() else {
            return;
        };
        if let Err(error) = all_steps(inner, &tenant) {
            tracing::warn!(%tenant, %error, "the destruction of a tenant does not go on; it is tried again");
        }
    }
}

/// Destroys what was decided when the instance ended. The rest is for the background: a check that starts an instance over a directory
/// must not touch its root keys.
///
/// # Errors
/// Why one does not go on; the others do.
pub(crate) fn finish(inner: &Inner) -> Result<()> {
    let open: Vec<TenantId> = inner.destructions.open.lock().iter().copied().collect();
    let _working = inner.destructions.working.lock();
    let mut failed = None;
    for tenant in open {
        let went = || -> Result<()> {
            let row = row::get(&inner.catalog.read()?, &tenant)?;
            match row.state {
                DestroyedState::Decided => decide::go_on(inner, &inner.tenant_of(&tenant)?, row),
                _ => Ok(()),
            }
        };
        failed = went().err().or(failed);
    }
    failed.map_or(Ok(()), Err)
}

/// Takes steps with a tenant until one has to wait. The caller holds [`Destructions::working`](super::Destructions).
///
/// # Errors
/// Why a step does not succeed; what was done until then stays.
pub(super) fn all_steps(inner: &Inner, tenant: &TenantId) -> Result<()> {
    loop {
        inner.check_running()?;
        let row = row::get(&inner.catalog.read()?, tenant)?;
        let moved = match row.state {
            DestroyedState::Decided => {
                let loaded = inner.tenant_of(tenant)?;
                decide::go_on(inner, &loaded, row)?;
                true
            }
            DestroyedState::Destroyed => out_of_reach(inner, tenant, row)?,
            DestroyedState::Unreadable => out_of_files(inner, tenant, row)?,
            DestroyedState::Gone => conclude(inner, tenant, row)?,
            DestroyedState::Done => false,
        };
        if !moved {
            return Ok(());
        }
    }
}

/// Rotates the root.
fn out_of_reach(inner: &Inner, tenant: &TenantId, mut row: DestroyedRow) -> Result<bool> {
    row.unreadable_since_ms = Some(inner.rotate_root()?);
    row.state = DestroyedState::Unreadable;
    put(inner, tenant, &row)
}

/// Removes files, and signs the receipt; waits as long as somebody works with the tenant.
fn out_of_files(inner: &Inner, tenant: &TenantId, mut row: DestroyedRow) -> Result<bool> {
    {
        let mut leaving = inner.destructions.leaving.lock();
        if leaving
            .get(tenant)
            .is_some_and(|tenant| tenant.strong_count() > 0)
        {
            return Ok(false);
        }
        leaving.remove(tenant);
    }
    // What somebody who had it before may have left behind.
    memory::forget_jobs(inner, tenant, &row.name);
    if !tenant_rows::count(&inner.catalog.read()?, tenant)?.is_empty() {
        let left = inner.change(|update| {
            let (named, keys) = tenant_rows::remove(update, tenant)?;
            row.keys += keys as u64;
            row::put(update, tenant, &row)?;
            Ok(named)
        })?;
        inner.readers.forget(left.files.iter());
        row.unreadable_since_ms = Some(inner.rotate_root()?);
    }
    for part in &row.overwrite {
        overwrite(inner, part)?;
    }
    for path in &row.emptied {
        removed(inner.disk.remove(path))?;
    }
    if !row.emptied.is_empty() {
        synced(inner, Path::new("l0"))?;
    }
    let folder = Path::new("tenants").join(tenant.to_string());
    remove_all(inner, &folder)?;
    if inner.disk.exists(Path::new("tenants"))? {
        synced(inner, Path::new("tenants"))?;
    }
    row.overwrite.clear();
    row.emptied.clear();
    row.gone_since_ms = Some(inner.clock.now_ms());
    let receipt = receipt::make(inner, tenant, &row)?;
    row.receipt_sha256 = Some(sha256_hex(receipt.as_bytes()));
    row.receipt = Some(receipt);
    row.state = DestroyedState::Gone;
    put(inner, tenant, &row)
}

/// Has the log of `_system` name the receipt.
fn conclude(inner: &Inner, tenant: &TenantId, mut row: DestroyedRow) -> Result<bool> {
    let of = control(&row)?;
    let sha256 = row.receipt_sha256.clone().unwrap_or_default();
    let system = inner.tenant(SYSTEM_TENANT)?;
    statement::name(inner, &system, Kind::Purge, of, &sha256)?;
    row.state = DestroyedState::Done;
    row.done_ms = Some(inner.clock.now_ms());
    put(inner, tenant, &row)
}

/// Seq of the record in the log of `_system`.
pub(super) fn control(row: &DestroyedRow) -> Result<u64> {
    row.control
        .ok_or_else(|| Error::damage("catalog", 0, "a destroyed tenant that no record tells of"))
}

fn put(inner: &Inner, tenant: &TenantId, row: &DestroyedRow) -> Result<bool> {
    inner.change(|update| row::put(update, tenant, row))?;
    inner.destructions.note(*tenant, row);
    Ok(true)
}

/// Removes a folder with everything in it.
fn remove_all(inner: &Inner, folder: &Path) -> Result<()> {
    let mut folders: Vec<PathBuf> = vec![folder.to_path_buf()];
    let mut at = 0;
    while let Some(dir) = folders.get(at).cloned() {
        for path in files(&*inner.disk, &dir, &mut folders)? {
            removed(inner.disk.remove(&path))?;
        }
        at += 1;
    }
    // Those within others come behind them.
    for dir in folders.iter().rev() {
        if inner.disk.exists(dir)? {
            synced(inner, dir)?;
            removed(inner.disk.remove(dir))?;
        }
    }
    Ok(())
}

/// The files of a folder; adds the folders in it to `folders`.
fn files(disk: &dyn Disk, dir: &Path, folders: &mut Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    let entries = match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let (dirs, files): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.is_dir);
    folders.extend(dirs.iter().map(|entry| dir.join(&entry.name)));
    Ok(files.iter().map(|entry| dir.join(&entry.name)).collect())
}

/// Every file of a tenant's folder.
///
/// # Errors
/// What the system says.
pub(crate) fn files_of(disk: &dyn Disk, tenant: &TenantId) -> Result<Vec<PathBuf>> {
    let mut folders = vec![Path::new("tenants").join(tenant.to_string())];
    let mut found = Vec::new();
    while let Some(dir) = folders.pop() {
        found.extend(files(disk, &dir, &mut folders)?);
    }
    Ok(found)
}

fn removed(result: io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Makes removals durable. A failure is final.
fn synced(inner: &Inner, dir: &Path) -> Result<()> {
    inner.disk.sync_dir(dir).map_err(|error| {
        inner.fail_stop(format!("{}: {error}", dir.display()));
        error.into()
    })
}
