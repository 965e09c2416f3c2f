//! One round of flushes, and the thread that runs rounds.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use attestore_disk::Disk;
use attestore_index::{Split, merge};
use attestore_segment::{Pace, write_file_paced};

use super::build::{Sealed, Segment, unbuildable};
use super::cut::{Cut, cut};
use super::rewrite::{self, Source};
use super::store::{Flushed, commit};
use super::tree;
use crate::instance::{Inner, OpenMode};
use crate::tenant::{FileSet, Tenant};
use crate::{Error, Result};

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FlushReport {
    pub(crate) tenants: usize,
    pub(crate) records: u64,
}

/// Flushes every tenant for which `due` says so.
///
/// # Errors
/// A full disk leaves everything as it was; after any other error the engine stops.
pub(crate) fn round(inner: &Inner, due: impl Fn(&Tenant) -> bool) -> Result<FlushReport> {
    let _one_at_a_time = inner.flushing.lock();
    inner.check_running()?;
    let tenants: Vec<_> = inner
        .tenants
        .all()
        .into_iter()
        .filter(|tenant| due(tenant))
        .collect();
    let cuts: Vec<Cut> = tenants.iter().filter_map(|tenant| cut(inner, tenant)).collect();
    if cuts.is_empty() {
        return Ok(FlushReport::default());
    }
    let report = FlushReport {
        tenants: cuts.len(),
        records: cuts.iter().map(|cut| cut.records.len() as u64).sum(),
    };
    match write(inner, cuts) {
        Ok(()) => Ok(report),
        Err(error) => {
            if !is_full(&error) {
                inner.fail_stop(format!("flush: {error}"));
            }
            Err(error)
        }
    }
}

/// Frees every file of the log that there is now: begins the next one and flushes what the others hold. Their keys are destroyed
/// on return. What comes meanwhile is in newer ones.
///
/// One at a time: whoever waits is served by the next round of somebody else, and no more than one file is begun before its time,
/// which the budget of the log has room for.
///
/// # Errors
/// As [`round`]; [`Error::Io`] when a tenant's tail could not be taken out of them. A log that does not go on is final.
pub(crate) fn free_log(inner: &Inner) -> Result<()> {
    let freed = |newer: u64| -> Result<bool> {
        let row = inner.catalog.instance()?;
        Ok(row.is_some_and(|row| row.wal_low >= newer))
    };
    let newest = inner.wal.newest();
    let _one_at_a_time = inner.freeing_log.lock();
    if let Some(newest) = newest
        && freed(newest + 1)?
    {
        return Ok(());
    }
    let current = inner.committer.lock().begin_file(inner)?;
    let is_older = |tenant: &Tenant| {
        let core = tenant.core.lock();
        core.wal_runs.front().is_some_and(|(_, wal)| *wal < current)
    };
    round(inner, is_older)?;
    if !freed(current)? {
        // Nothing had to be flushed: then nothing has to be kept either, unless something came meanwhile.
        let _one_at_a_time = inner.flushing.lock();
        inner.check_running()?;
        let unused = commit(inner, &[], None);
        unused.inspect_err(|error| inner.fail_stop(format!("flush: {error}")))?;
    }
    match freed(current)? {
        true => Ok(()),
        false => Err(Error::Io("files of the log are still needed".into())),
    }
}

fn write(inner: &Inner, cuts: Vec<Cut>) -> Result<()> {
    let each = cuts.len() <= SYNCED_ONE_BY_ONE;
    let _urgent = inner.compactor.throttle.urgent();
    let pace = |bytes: usize| {
        pace(inner, bytes);
        Ok(())
    };
    let mut round = Vec::with_capacity(cuts.len());
    for cut in cuts {
        let small = cut.bytes < inner.settings.l0_tail_bytes_max;
        let flushed = segments(inner, cut, small)?;
        make_dir(&*inner.disk, &flushed.cut.tenant.dir())?;
        for file in flushed.sets.iter().flatten().filter(|file| !file.row.is_part()) {
            let parts = [file.bytes.as_slice()];
            write_file_paced(&*inner.disk, &file.row.path, &parts, &pace, each)
                .map_err(|error| refused(error.into()))?;
        }
        tree::write(&*inner.disk, &flushed.cut, each)?;
        if each {
            inner.disk.sync_dir(&flushed.cut.tenant.dir()).map_err(refused)?;
        }
        round.push(flushed);
    }
    let l0 = write_l0(inner, &mut round, &pace)?;
    if !each {
        inner.disk.sync_all().map_err(refused)?;
    }
    for path in commit(inner, &round, l0)? {
        if let Err(error) = inner.disk.remove(&path) {
            tracing::warn!(path = %path.display(), %error, "an empty l0 file stays as a stray");
        }
    }
    Ok(())
}

/// Waits until a flush may write. When the log is out of its budget appends wait for the flush: then it does not.
fn pace(inner: &Inner, bytes: usize) {
    let wait = inner.compactor.throttle.take(inner.clock.boot_ms(), bytes);
    if !wait.is_zero() && inner.mode == OpenMode::Threads && !inner.wal.over_budget() {
        inner.flusher.pause(wait);
    }
}

/// Seals the segments of a cut: one for each class.
fn segments(inner: &Inner, cut: Cut, small: bool) -> Result<Flushed> {
    let tenant = Arc::clone(&cut.tenant);
    let replaced = parts_to_replace(inner, &cut, small);
    let part = small && replaced.is_empty();
    let mut by_class: BTreeMap<u16, Vec<Source>> = BTreeMap::new();
    for set in &replaced {
        by_class
            .entry(set.class)
            .or_default()
            .extend(rewrite::read(inner, &tenant, set)?);
    }
    for record in &cut.records {
        by_class
            .entry(record.entry.class)
            .or_default()
            .push(Source::tail(record));
    }
    // All of a class may be gone.
    by_class.retain(|_, records| !records.is_empty());
    let mut sets = Vec::new();
    for (set, (class, mut records)) in tenant.next_sets(by_class.len()).zip(by_class) {
        records.sort_by_key(Source::seq);
        let segment = Segment {
            inner,
            tenant: &tenant,
            set,
            class,
            part,
            records: &records,
        };
        let mut files = segment.seal()?;
        if !part {
            files.extend(index(inner, &cut, &segment));
        }
        sets.push(files);
    }
    Ok(Flushed { cut, sets, replaced })
}

/// Seals the split; a segment without one is scanned instead.
fn index(inner: &Inner, cut: &Cut, segment: &Segment<'_>) -> Option<Sealed> {
    if !inner.settings.indexing {
        return None;
    }
    let runs = runs(segment.records);
    if runs.len() > RUNS_MAX {
        tracing::info!(tenant = %cut.tenant.id, runs = runs.len(), "a segment was not indexed: its class is scattered");
        return None;
    }
    match split(inner, cut, runs).and_then(|split| {
        let sealed = |split: Split| {
            let bundle = split.bundle().map_err(unbuildable)?;
            let mut sealed = segment.idx(&bundle);
            sealed.row.split = Some(crate::search::split_row(&split));
            Ok(sealed)
        };
        split.map(sealed).transpose()
    }) {
        Ok(sealed) => sealed,
        Err(error) => {
            tracing::warn!(tenant = %cut.tenant.id, %error, "a segment was not indexed");
            None
        }
    }
}

/// Builds a split over exactly the seqs in `runs`: records between them are of other classes, and in other segments.
fn split(inner: &Inner, cut: &Cut, runs: Vec<Range<u64>>) -> Result<Option<Split>> {
    let mut splits = Vec::with_capacity(runs.len());
    for seqs in runs {
        splits.extend(crate::search::split_for(inner, &cut.tenant, &cut.view, seqs)?);
    }
    match splits.len() {
        0 | 1 => Ok(splits.pop()),
        _ => merge(&splits).map(Some).map_err(unbuildable),
    }
}

/// The runs of seqs without gaps.
fn runs(records: &[Source]) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for seq in records.iter().map(Source::seq) {
        match runs.last_mut() {
            Some(last) if last.end == seq => last.end += 1,
            _ => runs.push(seq..seq + 1),
        }
    }
    runs
}

/// The parts right before the tail that are put together with it: when they are many, or when the tail gets files of its
/// own anyway. Parts further back stay: the new segment must not span another one.
fn parts_to_replace(inner: &Inner, cut: &Cut, small: bool) -> Vec<Arc<FileSet>> {
    // Nor may it span more than a window: what is older goes into files of its own by compaction.
    let oldest_ms = cut.view.last_time_ms.saturating_sub(crate::compact::WINDOW_MS);
    let mut parts: Vec<_> = cut
        .view
        .flushed
        .iter()
        .rev()
        .take_while(|set| set.seg.is_part() && set.seg.min_time_ms >= oldest_ms)
        .cloned()
        .collect();
    parts.reverse();
    let records: u64 = parts.iter().map(|set| set.seg.count).sum();
    if small && records <= inner.settings.l0_records_max {
        parts.clear();
    }
    parts
}

/// Writes the parts of a round into one file; returns its number and how many parts it has.
fn write_l0(inner: &Inner, round: &mut [Flushed], pace: Pace<'_>) -> Result<Option<(u64, u64)>> {
    let mut parts: Vec<&mut Sealed> = round
        .iter_mut()
        .flat_map(|flushed| flushed.sets.iter_mut().flatten())
        .filter(|file| file.row.is_part())
        .collect();
    if parts.is_empty() {
        return Ok(None);
    }
    let row = inner
        .catalog
        .instance()?
        .ok_or_else(|| Error::damage("catalog", 0, "no instance row"))?;
    let number = row.l0_next;
    let dir = Path::new("l0");
    let path = dir.join(super::l0_name(number));
    let mut offset = 0;
    for part in &mut parts {
        part.row.path.clone_from(&path);
        part.row.offset = offset;
        offset += part.row.length;
    }
    let bytes: Vec<&[u8]> = parts.iter().map(|part| part.bytes.as_slice()).collect();
    if !inner.disk.exists(dir)? {
        inner.disk.create_dir_all(dir)?;
        inner.disk.sync_dir(Path::new(""))?;
    }
    write_file_paced(&*inner.disk, &path, &bytes, pace, true).map_err(|error| refused(error.into()))?;
    inner.disk.sync_dir(dir).map_err(refused)?;
    Ok(Some((number, parts.len() as u64)))
}

/// The number of an `l0` file.
pub(crate) fn l0_number(path: &Path) -> Result<u64> {
    let stem = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .and_then(|stem| stem.parse().ok());
    stem.ok_or_else(|| Error::damage("catalog", 0, format!("{} is no l0 file", path.display())))
}

fn make_dir(disk: &dyn Disk, dir: &Path) -> Result<()> {
    if disk.exists(dir)? {
        return Ok(());
    }
    disk.create_dir_all(dir)?;
    disk.sync_dir(Path::new("tenants"))?;
    disk.sync_dir(Path::new(""))?;
    Ok(())
}

fn refused(error: std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::StorageFull {
        Error::Append(Box::new(crate::AppendError::NoSpace))
    } else {
        error.into()
    }
}

fn is_full(error: &Error) -> bool {
    matches!(error, Error::Append(inner) if matches!(**inner, crate::AppendError::NoSpace))
}

/// The flusher's thread.
pub(crate) fn run(inner: &Weak<Inner>) {
    loop {
        let Some(strong) = inner.upgrade() else { return };
        tick(&strong);
        crate::audit::tick(&strong);
        if strong.flusher.wait(TICK) || strong.stopped().is_some() {
            return;
        }
    }
}

/// Flushes what is due, makes the next WAL file ready, unloads idle tenants.
pub(crate) fn tick(inner: &Inner) {
    inner.guard.sample(inner);
    if let Some(reason) = inner.catalog.poisoned() {
        inner.fail_stop(reason);
    }
    let now_ms = inner.clock.boot_ms();
    if inner.stopped().is_none() {
        crate::compact::commit_handed(inner);
        crate::exports::commit_handed(inner);
        if let Err(error) = crate::credentials::store_uses(inner, false) {
            tracing::warn!(%error, "when credentials were last used is not stored");
        }
        if let Err(error) = crate::scrub::store(inner, false) {
            tracing::warn!(%error, "what the scrub has done is not stored");
        }
        if let Err(error) = crate::quotas::store_used(inner, false) {
            tracing::warn!(%error, "what is used of quotas is not stored");
        }
        crate::rotation::tick(inner);
    }
    if inner.stopped().is_some() || inner.guard.is_paused(now_ms) {
        return;
    }
    if let Err(error) = inner.wal.make_spare(inner) {
        tracing::warn!(%error, "the next WAL file is not ready");
        inner.guard.pause(now_ms);
    }
    let settings = &inner.settings;
    let oldest = inner.wal.is_half_full().then(|| inner.wal.oldest()).flatten();
    let all = inner.tenants.all();
    let any = all
        .iter()
        .any(|tenant| is_due(tenant, now_ms, settings.flush_age_ms, oldest, settings));
    if any {
        // Those that come due soon go along: one commit for all of them.
        let soon = settings.flush_age_ms / 2;
        if let Err(error) = round(inner, |tenant| is_due(tenant, now_ms, soon, oldest, settings)) {
            tracing::error!(%error, "flush failed");
            inner.guard.pause(now_ms);
        }
    }
    drop(all);
    let idle = |tenant: &Tenant| {
        let used = tenant.used_ms.load(std::sync::atomic::Ordering::Relaxed);
        tenant.name != crate::instance::SYSTEM_TENANT
            && tenant.view.load().tail.is_empty()
            && tenant.rolled_back().is_none()
            && now_ms.saturating_sub(used) > IDLE_MS
    };
    for id in inner.tenants.unload(idle) {
        inner.search.forget(&id);
    }
}

fn is_due(
    tenant: &Tenant,
    now_ms: u64,
    age_ms: u64,
    oldest_wal: Option<u64>,
    settings: &crate::Settings,
) -> bool {
    let core = tenant.core.lock();
    let Some(since) = core.tail_since_ms else {
        return false;
    };
    core.tail_bytes >= settings.flush_tail_bytes
        || now_ms.saturating_sub(since) >= age_ms
        || oldest_wal.is_some_and(|oldest| core.wal_runs.front().is_some_and(|(_, wal)| *wal <= oldest))
}

/// A class that is scattered over more runs of seqs than this in one flush gets no split of its own.
const RUNS_MAX: usize = 64;
/// How often is looked whether a tenant is due.
const TICK: Duration = Duration::from_millis(100);
/// Up to this many tenants, files are synced one by one; beyond, all at once.
const SYNCED_ONE_BY_ONE: usize = 32;
/// A tenant without a tail is unloaded after this long without use.
const IDLE_MS: u64 = 10 * 60 * 1000;
