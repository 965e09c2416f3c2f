//! Takes what was made unreadable out of files: splits, personal groups, parts of shared files.

use std::path::Path;
use std::sync::Arc;

use attestore_disk::Mode;
use attestore_record::{Handle, TenantId};
use hashbrown::HashSet;

use super::row::{ErasureRow, ErasureState, PartBytes};
use super::{certificate, rewrite};
use crate::catalog::of_tenant::RowKey;
use crate::catalog::{of_tenant, tables};
use crate::error::{Error, Result};
use crate::forget::restrict;
use crate::instance::Inner;
use crate::tenant::{FileSet, Tenant};

/// Ends the erasures of a tenant whose keys are destroyed, all together: each segment is written once for all of them.
///
/// # Errors
/// Why it did not come to an end; what was done until then stays.
pub(super) fn clean(inner: &Inner, id: &TenantId, keys: &[RowKey]) -> Result<()> {
    let tenant = inner.tenant_of(id)?;
    let txn = inner.catalog.read()?;
    let mut jobs: Vec<(RowKey, ErasureRow)> = Vec::new();
    for key in keys {
        let row: Option<ErasureRow> = of_tenant::get(&txn, tables::ERASURES, key)?;
        jobs.extend(row.map(|row| (*key, row)));
    }
    drop(txn);
    jobs.retain(|(_, row)| matches!(row.state, ErasureState::Unreadable | ErasureState::IndexClean));
    // Those were clean before a crash.
    let (mut clean, mut jobs): (Vec<_>, Vec<_>) =
        jobs.into_iter().partition(|(_, row)| row.certificate.is_some());
    if !jobs.is_empty() {
        take_out(inner, &tenant, &mut jobs)?;
        clean.append(&mut jobs);
    }
    for (key, row) in &mut clean {
        certificate::log(inner, &tenant, row)?;
        row.state = ErasureState::Done;
        inner.change(|update| of_tenant::put(update, tables::ERASURES, key, row))?;
        inner.erasures.note(*key, row);
        metrics::counter!("attestore_erasures_total", "state" => row.state.name()).increment(1);
    }
    Ok(())
}

/// Takes what no key opens out of every file, and signs the certificates.
fn take_out(inner: &Inner, tenant: &Arc<Tenant>, jobs: &mut [(RowKey, ErasureRow)]) -> Result<()> {
    let (segments, bytes) = rewrite_all(inner, tenant)?;
    let terms_ms = inner.rotate_root()?;
    for (_, row) in jobs.iter_mut() {
        if row.state == ErasureState::Unreadable {
            row.state = ErasureState::IndexClean;
            row.terms_gone_since_ms = Some(terms_ms);
        }
        row.segments += segments;
        row.bytes_rewritten += bytes;
    }
    put(inner, jobs)?;
    for part in jobs.iter().flat_map(|(_, row)| &row.overwrite) {
        overwrite(inner, part)?;
    }
    inner.erasures.remove_left(inner, tenant)?;
    let bytes_ms = inner.clock.now_ms();
    let mut handles: Vec<Handle> = Vec::new();
    let mut certificates = Vec::new();
    for (key, row) in jobs.iter_mut() {
        row.bytes_gone_since_ms = Some(bytes_ms);
        certificates.push(certificate::make(inner, tenant, key, row)?);
        handles.extend(row.destroyed()?);
        // From here on nothing in the row leads anywhere.
        row.handles.clear();
        row.overwrite.clear();
    }
    inner.change(|update| {
        restrict::forget(update, &tenant.id, &handles)?;
        for ((key, row), certificate) in jobs.iter_mut().zip(&certificates) {
            certificate::put(update, key, row, certificate)?;
            of_tenant::put(update, tables::ERASURES, key, row)?;
        }
        Ok(())
    })?;
    tenant.veil(&handles, |veil| *veil = crate::forget::hidden::Veil::default());
    Ok(())
}

fn put(inner: &Inner, jobs: &[(RowKey, ErasureRow)]) -> Result<()> {
    inner.change(|update| {
        jobs.iter()
            .try_for_each(|(key, row)| of_tenant::put(update, tables::ERASURES, key, row))
    })?;
    for (key, row) in jobs {
        inner.erasures.note(*key, row);
    }
    Ok(())
}

/// Writes every segment with groups of destroyed subjects anew; returns how many those were, and the bytes of their new files.
fn rewrite_all(inner: &Inner, tenant: &Arc<Tenant>) -> Result<(u64, u64)> {
    let (mut segments, mut bytes) = (0, 0);
    let mut overtaken = 0;
    while let Some(set) = next(inner, tenant)? {
        let written = match set.seg.is_part() {
            true => crate::compact::rewrite_part(inner, tenant, &set)?,
            false => rewrite::rewrite(inner, tenant, &set)?.map(|rewritten| {
                inner.erasures.leave(tenant.id, rewritten.left);
                rewritten.bytes
            }),
        };
        match written {
            Some(written) => {
                segments += 1;
                bytes += written;
                metrics::counter!("attestore_erasure_rewritten_bytes_total").increment(written);
            }
            None if overtaken < OVERTAKEN_MAX => overtaken += 1,
            None => return Err(Error::Io("erasure: segments were replaced meanwhile".into())),
        }
    }
    Ok((segments, bytes))
}

/// The next segment that names somebody who was erased.
fn next(inner: &Inner, tenant: &Tenant) -> Result<Option<Arc<FileSet>>> {
    inner.check_running()?;
    let hidden = tenant.hidden.load();
    let destroyed: HashSet<[u8; 16]> = hidden.destroyed().map(|handle| *handle.as_bytes()).collect();
    crate::read::snapshot(tenant, |view| {
        for set in view.flushed.iter() {
            let Some(row) = &set.sub else { continue };
            let reader = inner.readers.sub(inner, tenant, row)?;
            let about = |set: &[[u8; 16]]| set.iter().any(|handle| destroyed.contains(handle));
            if reader.handle_sets().any(about) {
                return Ok(Some(Arc::clone(set)));
            }
        }
        Ok(None)
    })
}

/// Overwrites a part of a shared file that nothing names any more. Numbers of shared files are not used twice.
///
/// # Errors
/// What the system says; a failed sync is final.
pub(crate) fn overwrite(inner: &Inner, part: &PartBytes) -> Result<()> {
    let file = match inner.disk.open(Path::new(&part.path), Mode::ReadWrite) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let mut at = part.offset;
    let end = part.offset.saturating_add(part.length).min(file.len()?);
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(ZEROS.len());
        file.write_all_at(ZEROS.get(..length).unwrap_or(&ZEROS), at)?;
        at += length as u64;
    }
    file.sync_data().map_err(|error| {
        inner.fail_stop(format!("{}: {error}", part.path.display()));
        error.into()
    })
}

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
/// Compactions and rebuilds that a run over a tenant may be overtaken by.
const OVERTAKEN_MAX: u32 = 64;
