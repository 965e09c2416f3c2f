//! The catalog commit of a compaction, and what may be shown and removed after it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use attestore_keys::NewKey;
use redb::ReadableTable;

use super::plan::Plan;
use super::rewrite::Output;
use super::{Compacted, Failure};
use crate::catalog::directory::{HandleRow, HandleState};
use crate::catalog::{Update, storage, tables};
use crate::instance::Inner;
use crate::tenant::{FileSet, Tenant, View};
use crate::{Error, Result};

/// Puts a segment in the place of those that it was made of, or nothing where all of them is gone. When it comes too late, its
/// files are removed.
pub(super) fn commit(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    plan: &Plan,
    output: Output,
) -> Result<Compacted, Failure> {
    match replace(inner, tenant, plan, &output) {
        Ok(l0) => {
            let old = plan.sets.iter().flat_map(|set| set.files());
            let mut gone: Vec<PathBuf> = old
                .filter(|row| !row.is_part())
                .map(|row| row.path.clone())
                .collect();
            gone.extend(l0);
            remove(inner, tenant, &gone);
            // Only once the names are gone for good is nothing left over.
            let dir = tenant.dir();
            if let Err(error) = inner.disk.sync_dir(&dir) {
                inner.compactor.state.lock().note_unclean(tenant.id);
                inner.fail_stop(format!("compaction: {}: {error}", dir.display()));
            }
            Ok(Compacted {
                sets_in: plan.sets.len() as u64,
                sets_out: u64::from(!output.files.is_empty()),
                bytes_in: plan.bytes(),
                bytes_out: output.bytes(),
            })
        }
        Err(failure) => {
            // After a commit that failed it is not known what the catalog names.
            if inner.catalog.poisoned().is_none() {
                remove(inner, tenant, &output.paths());
            }
            Err(failure)
        }
    }
}

/// Removes files that nothing names, temporary ones too. What cannot be removed goes at the next start.
pub(super) fn remove(inner: &Inner, tenant: &Tenant, paths: &[PathBuf]) {
    for path in paths {
        for path in [path.clone(), attestore_segment::file::temporary_name(path)] {
            match inner.disk.remove(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), %error, "a file that nothing names stays until the next start");
                    inner.compactor.state.lock().note_unclean(tenant.id);
                }
                _ => {}
            }
        }
    }
}

/// Commits and shows; returns `l0` files that have no parts left.
fn replace(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    plan: &Plan,
    output: &Output,
) -> Result<Vec<PathBuf>, Failure> {
    // Flushes and rebuilds of splits replace segments too, under the same lock.
    let _one_at_a_time = inner.flushing.lock();
    inner.check_running().map_err(Failure::Later)?;
    let view = tenant.view();
    let is_there = |set: &Arc<FileSet>| view.flushed.iter().any(|other| other == set);
    // Somebody who was erased meanwhile may be in what was read before.
    let erased = tenant.destructions.load(Ordering::Acquire) != output.destructions;
    if erased || !plan.sets.iter().all(is_there) {
        return Err(Failure::Overtaken);
    }
    // What went since it was written must not come back. Rows of what is gone change under the same lock.
    let gone = tenant.gone.load();
    let is_as_it_was = |set: &Arc<FileSet>| gone.of_set(set) == output.gone.of_set(set);
    if !plan.sets.iter().all(is_as_it_was) {
        return Err(Failure::Overtaken);
    }
    let committed = inner
        .catalog
        .update(|update| change(update, tenant, plan, output));
    let l0 = committed.map_err(|failure| match (inner.catalog.poisoned(), failure) {
        (Some(reason), _) => Failure::Sync(reason),
        (None, Refusal::Overtaken) => Failure::Overtaken,
        (None, Refusal::Error(error)) => Failure::Later(error),
    })?;
    publish(inner, tenant, plan, output);
    Ok(l0)
}

/// Why the transaction was given up.
enum Refusal {
    Overtaken,
    Error(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

fn change(
    update: &mut Update<'_>,
    tenant: &Tenant,
    plan: &Plan,
    output: &Output,
) -> Result<Vec<PathBuf>, Refusal> {
    // What was copied of a subject who is erased by now must not come back.
    if !all_live(update, tenant, &output.handles)? {
        return Err(Refusal::Overtaken);
    }
    let ring = tenant.keys.ring();
    let files = output.files.iter();
    let keys: Vec<NewKey<'_>> = files.map(|file| file.new_key(tenant, &ring)).collect();
    update.put_keys(&keys)?;
    for file in &output.files {
        update.put_file(&tenant.id, &file.row)?;
    }
    let old: Vec<_> = plan.sets.iter().flat_map(|set| set.files()).collect();
    update.remove_files(&tenant.id, &old)?;
    let mut gone = Vec::new();
    for row in old.iter().filter(|row| row.is_part()) {
        if update.add_l0_parts(crate::flush::l0_number(&row.path)?, -1)? == 0 {
            gone.push(row.path.clone());
        }
    }
    let mut row = update.tenant(&tenant.id)?.ok_or(Error::UnknownTenant)?;
    let next = output.files.iter().map(|file| file.row.set + 1).max();
    row.next_set = row.next_set.max(next.unwrap_or(0));
    update.put_tenant(&tenant.id, &row)?;
    Ok(gone)
}

fn all_live(update: &Update<'_>, tenant: &Tenant, handles: &[[u8; 16]]) -> Result<bool> {
    let table = update.txn().open_table(tables::HANDLES).map_err(storage)?;
    for handle in handles {
        let row = table.get((tenant.id.as_bytes(), handle)).map_err(storage)?;
        let row = row.and_then(|row| HandleRow::parse(row.value()));
        if !row.is_some_and(|row| row.state == HandleState::Live) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Shows the new segment, and forgets what was kept of the old ones.
fn publish(inner: &Inner, tenant: &Arc<Tenant>, plan: &Plan, output: &Output) {
    let set = output.file_set();
    if let Some(set) = &set {
        let _ = inner.filters.put(&set.seg, &output.keys);
    }
    let mut sets: Vec<_> = tenant
        .view
        .load()
        .flushed
        .iter()
        .filter(|set| !plan.sets.contains(set))
        .cloned()
        .collect();
    sets.extend(set.map(Arc::new));
    sets.sort_by_key(|set| (set.min_seq(), set.set));
    let flushed = Arc::new(sets);
    {
        // The committer replaces views too.
        let _committer = inner.committer.lock();
        let view = View {
            flushed,
            ..View::clone(&tenant.view.load())
        };
        tenant.view.store(Arc::new(view));
    }
    inner.readers.forget(plan.sets.iter().flat_map(|set| set.files()));
    let went = plan.sets.iter().filter(|set| output.gone.touches(set));
    let went: Vec<_> = went.map(|set| &set.seg).collect();
    if !went.is_empty() {
        inner.readers.forget_blocks(went.into_iter());
    }
    inner.search.compacted(tenant, &plan.sets);
}
