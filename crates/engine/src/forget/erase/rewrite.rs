//! Writes the personal groups and the split of a segment anew, without people who were erased. Public groups stay as they are.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use attestore_keys::{Key, NewKey, Slot, random_array};
use attestore_record::Handle;
use attestore_segment::compression::BlockOptions;
use attestore_segment::{SubReader, SubWriter, WriteError, container, write_file_paced};

use crate::catalog::{FileRow, hex};
use crate::compact::pace;
use crate::error::{Error, Result};
use crate::forget::sweep;
use crate::instance::{Inner, OpenMode, file_context};
use crate::priority;
use crate::read::readers::{self, segment_error};
use crate::search::rebuild::{self, Idx};
use crate::tenant::{FileSet, Tenant, View};

/// What was written.
pub(super) struct Rewritten {
    pub(super) bytes: u64,
    /// Files that nothing names any more and that could not be removed.
    pub(super) left: Vec<PathBuf>,
}

/// Writes both anew and puts them in their place; `None` when the segment was replaced meanwhile.
///
/// # Errors
/// As reads, writes and changes of the catalog; [`Error::Stopped`] when the instance is being closed.
pub(super) fn rewrite(inner: &Inner, tenant: &Arc<Tenant>, set: &Arc<FileSet>) -> Result<Option<Rewritten>> {
    let _alone = inner.search.rebuilds.writing.lock();
    if !tenant.view().flushed.iter().any(|other| other == set) {
        return Ok(None);
    }
    let destructions = tenant.destructions.load(Ordering::Acquire);
    crate::compact::expect_leftovers(inner, tenant)?;
    let build = || Ok::<_, Error>((sub(inner, tenant, set)?, idx(inner, tenant, set)?));
    let (sub, idx) = priority::in_idle_time(inner, build)?;
    let new: Vec<&Idx> = [&sub, &idx].into_iter().flatten().collect();
    for file in &new {
        let pace = |bytes: usize| pace(inner, bytes);
        match write_file_paced(&*inner.disk, &file.row.path, &[&file.bytes], &pace, true) {
            Err(WriteError::Sync(error)) => {
                inner.fail_stop(format!("{}: {error}", file.row.path.display()));
                return Err(error.into());
            }
            written => written.map_err(std::io::Error::from)?,
        }
    }
    sweep::sync_dir(inner, tenant)?;
    if !put(inner, tenant, set, destructions, sub.as_ref(), idx.as_ref())? {
        let paths: Vec<PathBuf> = new.iter().map(|file| file.row.path.clone()).collect();
        sweep::remove(inner, &paths);
        return Ok(None);
    }
    let old = [set.sub.as_ref(), set.idx.as_ref()].into_iter().flatten();
    let old: Vec<PathBuf> = old.map(|row| row.path.clone()).collect();
    let left = sweep::remove(inner, &old);
    sweep::sync_dir(inner, tenant)?;
    Ok(Some(Rewritten {
        bytes: new.iter().map(|file| file.row.length).sum(),
        left,
    }))
}

/// Seals the personal groups of everybody who is still there; `None` if there is nobody.
fn sub(inner: &Inner, tenant: &Tenant, set: &FileSet) -> Result<Option<Idx>> {
    let Some(old) = &set.sub else { return Ok(None) };
    // Not through the cache of readers: it is read for the last time.
    let reader = SubReader::open(readers::container(inner, tenant, old)?).map_err(segment_error)?;
    let (id, key): ([u8; 16], Key) = (random_array(&*inner.entropy), Key::random(&*inner.entropy));
    let mut writer = SubWriter::new(id, BlockOptions::COMPACT_PERSONAL).map_err(segment_error)?;
    for (place, raw) in reader.handle_sets().enumerate() {
        check(inner)?;
        let handles: Vec<Handle> = raw.iter().copied().map(Handle::from_bytes).collect();
        let Some(set_key) = tenant.set_key(&handles)? else {
            continue;
        };
        writer.begin_set(raw, &set_key).map_err(segment_error)?;
        reader
            .groups_of_set(place, &set_key, |group| {
                writer.push(group.seq, group.ordinal, &group.bytes)
            })
            .map_err(segment_error)?;
    }
    if writer.is_empty() {
        return Ok(None);
    }
    let body = writer.finish().map_err(segment_error)?;
    let generation = old.generation.saturating_add(1);
    let name = format!("{:016x}.{generation:08x}.{}", old.set, old.ty.extension());
    let mut row = FileRow {
        generation,
        path: tenant.dir().join(name),
        id: hex(&id),
        slot: inner.catalog.reserve(1).0,
        ..old.clone()
    };
    let bytes = container::seal(&readers::meta(tenant, &row)?, &key, &body);
    row.length = bytes.len() as u64;
    row.checksum = hex(blake3::hash(&bytes)
        .as_bytes()
        .first_chunk::<16>()
        .map_or(&[][..], |half| half));
    Ok(Some(Idx { row, key, id, bytes }))
}

/// Builds the split anew, if there is one.
fn idx(inner: &Inner, tenant: &Arc<Tenant>, set: &Arc<FileSet>) -> Result<Option<Idx>> {
    if set.idx.is_none() {
        return Ok(None);
    }
    let policy = tenant.index_policy();
    let mut rest = |worked: Duration| match inner.mode == OpenMode::Threads
        && inner.erasures.rest(worked.min(REST_MAX))
    {
        true => std::ops::ControlFlow::Break(()),
        false => std::ops::ControlFlow::Continue(()),
    };
    let split = rebuild::build(inner, tenant, &tenant.view(), set, &policy, &mut rest)?;
    let split = split.ok_or_else(|| Error::Stopped("closed".into()))?;
    let bundle = split
        .bundle()
        .map_err(|error| Error::Io(format!("index: {error}")))?;
    Ok(Some(Idx::seal(inner, tenant, set, &split, &bundle)))
}

/// Commits the new files in place of the old ones and shows them; `false` if the segment is no longer there, or somebody else
/// was erased meanwhile.
fn put(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    set: &Arc<FileSet>,
    destructions: u64,
    sub: Option<&Idx>,
    idx: Option<&Idx>,
) -> Result<bool> {
    let _one_at_a_time = inner.flushing.lock();
    inner.check_running()?;
    let still = tenant.view().flushed.iter().any(|other| other == set);
    if !still || tenant.destructions.load(Ordering::Acquire) != destructions {
        return Ok(false);
    }
    let new: Vec<&Idx> = [sub, idx].into_iter().flatten().collect();
    let old: Vec<&FileRow> = [set.sub.as_ref(), set.idx.as_ref()]
        .into_iter()
        .flatten()
        .collect();
    inner.change(|update| {
        let ring = tenant.keys.ring();
        let keys: Vec<NewKey<'_>> = new
            .iter()
            .map(|file| NewKey {
                slot: Slot(file.row.slot),
                context: file_context(tenant, file.id, false),
                wrap: Some(ring.current()),
                value: &file.key,
            })
            .collect();
        update.put_keys(&keys)?;
        for file in &new {
            update.put_file(&tenant.id, &file.row)?;
        }
        update.remove_files(&tenant.id, &old)
    })?;
    let replaced = Arc::new(FileSet {
        sub: sub.map(|file| file.row.clone()),
        idx: idx.map(|file| file.row.clone()),
        ..FileSet::clone(set)
    });
    {
        let _committer = inner.committer.lock();
        let mut view = View::clone(&tenant.view.load());
        let with_new = |other: &Arc<FileSet>| match other == set {
            true => Arc::clone(&replaced),
            false => Arc::clone(other),
        };
        view.flushed = Arc::new(view.flushed.iter().map(with_new).collect());
        tenant.view.store(Arc::new(view));
    }
    inner.readers.forget(old.into_iter());
    inner.search.compacted(tenant, std::slice::from_ref(set));
    Ok(true)
}

fn check(inner: &Inner) -> Result<()> {
    match inner.erasures.is_stopped() {
        true => Err(Error::Stopped("closed".into())),
        false => inner.check_running(),
    }
}

/// A rest is never longer than this.
const REST_MAX: Duration = Duration::from_secs(2);
