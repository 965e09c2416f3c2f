//! Splits over one tenant's tail, in memory.
//!
//! Parts are disjoint runs of seqs, ascending. The background thread, queries and flushes all extend them, under one lock, so
//! nothing is indexed twice; small neighbours are merged by the background thread. A part that a flush cut in two stays whole
//! until the tail has passed it: whoever searches it restricts the seqs.
//!
//! After a start the tail may hold as many records as the log has room for. Those are indexed after newer ones, so that
//! appends, which are pushed back when the newest records wait for their index, go on at once.

use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use attestore_index::{IndexPolicy, Split, merge};
use parking_lot::{Mutex, MutexGuard};

use super::{BACKGROUND_RECORDS_MIN, BATCH_RECORDS, add, builder, index_error, loose};
use crate::{
    error::Result,
    instance::Inner,
    read::records,
    tenant::{Tenant, View},
};

/// The splits over a tenant's tail.
#[derive(Default)]
pub(super) struct TailIndex {
    parts: Mutex<Parts>,
}

#[derive(Default)]
struct Parts {
    held: Vec<Part>,
    /// Nothing below it is indexed any more: it is in segments.
    flushed: u64,
}

/// A split and the seqs that it covers completely.
#[derive(Clone)]
pub(super) struct Part {
    pub(super) seqs: Range<u64>,
    pub(super) split: Split,
}

impl TailIndex {
    /// Forgets parts that lie before `start`; says whether nothing is left.
    pub(super) fn prune(&self, tenant: &Tenant, start: u64) -> bool {
        let mut parts = self.parts.lock();
        parts.flushed = parts.flushed.max(start);
        parts.held.retain(|part| part.seqs.end > start);
        parts.note(tenant);
        parts.held.is_empty()
    }
}

impl Part {
    fn docs(&self) -> u64 {
        self.seqs.end - self.seqs.start
    }
}

impl Parts {
    /// The first run within `seqs` that no part covers.
    fn gap(&self, seqs: Range<u64>) -> Option<Range<u64>> {
        let mut at = seqs.start;
        for part in self.held.iter().filter(|part| part.seqs.end > seqs.start) {
            if at >= seqs.end || part.seqs.start > at {
                break;
            }
            at = part.seqs.end;
        }
        let next = self
            .held
            .iter()
            .map(|part| part.seqs.start)
            .find(|start| *start > at);
        let end = next.map_or(seqs.end, |next| next.min(seqs.end));
        (at < end).then_some(at..end)
    }

    /// Forgets what was made under another policy.
    fn keep(&mut self, policy: &IndexPolicy) {
        if self
            .held
            .first()
            .is_some_and(|part| part.split.policy() != policy)
        {
            self.held.clear();
        }
    }

    /// Indexes one batch of what is not indexed in `seqs`, which are all in the view's tail; says whether there was any.
    fn step(&mut self, tenant: &Tenant, view: &View, policy: &IndexPolicy, seqs: Range<u64>) -> Result<bool> {
        let Some(gap) = self.gap(seqs) else {
            return Ok(false);
        };
        let mut at = self.held.partition_point(|part| part.seqs.end <= gap.start);
        let mut batch = gap.start..gap.end.min(gap.start.saturating_add(BATCH_RECORDS));
        // A split of a handful is made again with what follows it: many of them would make every search slow.
        if let Some(before) = at.checked_sub(1).and_then(|before| self.held.get(before))
            && before.seqs.end == gap.start
            && before.docs() < AGAIN_RECORDS
            && before.seqs.start >= view.tail.start()
        {
            batch.start = before.seqs.start;
            at -= 1;
        }
        let Some(split) = from_tail(tenant, view, batch.clone(), policy)? else {
            return Ok(false);
        };
        let replaced = usize::from(batch.start < gap.start);
        self.held.splice(at..at + replaced, [Part { seqs: batch, split }]);
        self.note(tenant);
        Ok(true)
    }

    /// Tells the tenant how far its index is.
    fn note(&self, tenant: &Tenant) {
        let view = tenant.view.load();
        let recovered = tenant.recovered.load(Ordering::Acquire).max(view.tail.start());
        let end = self.gap(recovered..u64::MAX).map_or(u64::MAX, |gap| gap.start);
        tenant.indexed.fetch_max(end, Ordering::AcqRel);
        tenant
            .backlog
            .store(self.missing(view.tail.start()..recovered), Ordering::Release);
    }

    /// How many of `seqs` no part covers.
    fn missing(&self, seqs: Range<u64>) -> u64 {
        let covered = self.held.iter().map(|part| {
            let end = part.seqs.end.min(seqs.end);
            end.saturating_sub(part.seqs.start.max(seqs.start))
        });
        let all = seqs.end.saturating_sub(seqs.start);
        all.saturating_sub(covered.sum())
    }

    /// The newest neighbours that have at most `docs_max` records each, if they are at least `count_min`.
    fn small(&self, docs_max: u64, count_min: usize) -> Option<Range<usize>> {
        let mut start = self.held.len();
        while let Some(before) = start.checked_sub(1).and_then(|before| self.held.get(before)) {
            let next = self.held.get(start);
            let apart = next.is_some_and(|next| next.seqs.start != before.seqs.end);
            if before.docs() > docs_max || apart {
                break;
            }
            start -= 1;
        }
        (self.held.len() - start >= count_min).then_some(start..self.held.len())
    }
}

/// Returns parts that cover `seqs`, which are all in the view's tail; indexes what is missing. `None` if the index has moved
/// past them, which a flush has made old.
///
/// # Errors
/// Why the records cannot be read or indexed, and what `check` returns, which is asked between batches. What was indexed until
/// then stays.
pub(super) fn covering(
    inner: &Inner,
    tenant: &Tenant,
    view: &View,
    seqs: Range<u64>,
    check: &dyn Fn() -> Result<()>,
) -> Result<Option<Vec<Part>>> {
    if seqs.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let index = inner.search.tail(tenant);
    let policy = tenant.index_policy();
    let mut parts = lock(&index, check)?;
    if parts.flushed > seqs.start {
        return Ok(None);
    }
    parts.keep(&policy);
    while parts.step(tenant, view, &policy, seqs.clone())? {
        check()?;
    }
    let overlaps = |part: &&Part| part.seqs.start < seqs.end && part.seqs.end > seqs.start;
    Ok(Some(parts.held.iter().filter(overlaps).cloned().collect()))
}

/// Waits for the parts, which another thread may be extending, and asks `check` meanwhile.
fn lock<'a>(index: &'a TailIndex, check: &dyn Fn() -> Result<()>) -> Result<MutexGuard<'a, Parts>> {
    loop {
        if let Some(parts) = index.parts.try_lock_for(LOCK_TRY) {
            return Ok(parts);
        }
        check()?;
    }
}

/// Indexes what is new, then what the last start found, one batch at a time: who waits for the lock waits for no more than one.
/// Merges what is small.
///
/// What came meanwhile is left to the next round unless it is much: a split of few records costs nearly as much as one of many,
/// and has to be merged.
pub(super) fn advance(inner: &Inner, tenant: &Arc<Tenant>, stop: &dyn Fn() -> bool) -> Result<()> {
    let index = inner.search.tail(tenant);
    let policy = tenant.index_policy();
    let mut least = BACKGROUND_RECORDS_MIN;
    while !stop() {
        let view = tenant.view();
        let tail = view.tail.range();
        let new = tenant.recovered.load(Ordering::Acquire).max(tail.start)..tail.end;
        let mut parts = index.parts.lock();
        if parts.flushed > tail.start {
            continue;
        }
        parts.keep(&policy);
        let backlog = tail.start..new.start;
        let waiting = [new, backlog].map(|seqs| (parts.missing(seqs.clone()), seqs));
        let next = waiting.iter().find(|(missing, _)| *missing >= least);
        let Some((_, seqs)) = next else {
            if waiting
                .iter()
                .any(|(missing, _)| *missing >= BACKGROUND_RECORDS_MIN)
            {
                inner.search.published(tenant);
            }
            break;
        };
        parts.step(tenant, &view, &policy, seqs.clone())?;
        least = NEXT_RECORDS_MIN;
    }
    merge_small(&index)
}

/// Returns a split over exactly the records `seqs`, all of which are in `view`; `None` if there are none.
///
/// # Errors
/// Why they cannot be read or indexed.
pub(crate) fn split_for(
    inner: &Inner,
    tenant: &Tenant,
    view: &View,
    seqs: Range<u64>,
) -> Result<Option<Split>> {
    let seqs = seqs.start..seqs.end.min(view.size);
    let index = inner.search.tail(tenant);
    let policy = tenant.index_policy();
    let whole: Vec<Part> = {
        let mut parts = index.parts.lock();
        parts.keep(&policy);
        let tail = seqs.start.max(view.tail.start())..seqs.end;
        if parts.flushed <= tail.start {
            while !tail.is_empty() && parts.step(tenant, view, &policy, tail.clone())? {}
        }
        let inside = |part: &&Part| part.seqs.start >= seqs.start && part.seqs.end <= seqs.end;
        parts.held.iter().filter(inside).cloned().collect()
    };
    let mut splits = Vec::with_capacity(whole.len() + 2);
    let mut at = seqs.start;
    for part in whole {
        if at < part.seqs.start {
            splits.extend(build(inner, tenant, view, at..part.seqs.start, &policy)?);
        }
        at = part.seqs.end;
        splits.push(part.split);
    }
    if at < seqs.end {
        splits.extend(build(inner, tenant, view, at..seqs.end, &policy)?);
    }
    match splits.len() {
        0 => Ok(None),
        1 => Ok(splits.pop()),
        _ => merge(&splits).map(Some).map_err(index_error),
    }
}

/// Builds a split over any records of a view.
fn build(
    inner: &Inner,
    tenant: &Tenant,
    view: &View,
    seqs: Range<u64>,
    policy: &IndexPolicy,
) -> Result<Option<Split>> {
    let flushed = view.flushed_count();
    if seqs.end <= flushed {
        return loose::over_sets(inner, tenant, view, seqs, policy);
    }
    if seqs.start >= flushed {
        return from_tail(tenant, view, seqs, policy);
    }
    let older = loose::over_sets(inner, tenant, view, seqs.start..flushed, policy)?;
    let newer = from_tail(tenant, view, flushed..seqs.end, policy)?;
    match (older, newer) {
        (Some(older), Some(newer)) => merge(&[older, newer]).map(Some).map_err(index_error),
        (older, newer) => Ok(older.or(newer)),
    }
}

fn from_tail(tenant: &Tenant, view: &View, seqs: Range<u64>, policy: &IndexPolicy) -> Result<Option<Split>> {
    let mut builder = builder(policy)?;
    for record in view.tail.iter(seqs) {
        let opened = records::from_tail(tenant, record, true)?;
        add(&mut builder, &opened, record.entry.time_ms)?;
    }
    if builder.docs() == 0 {
        Ok(None)
    } else {
        builder.finish().map(Some).map_err(index_error)
    }
}

/// Merges runs of small neighbours. The merge itself runs outside of the lock.
fn merge_small(index: &TailIndex) -> Result<()> {
    for (docs_max, count_min) in MERGES {
        let run: Vec<Part> = {
            let parts = index.parts.lock();
            let run = parts
                .small(docs_max, count_min)
                .and_then(|run| parts.held.get(run));
            run.map(<[Part]>::to_vec).unwrap_or_default()
        };
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            continue;
        };
        let seqs = first.seqs.start..last.seqs.end;
        let splits: Vec<Split> = run.iter().map(|part| part.split.clone()).collect();
        let split = merge(&splits).map_err(index_error)?;
        let mut parts = index.parts.lock();
        let same = |held: &Part, part: &Part| held.seqs == part.seqs;
        // A flush may have taken some of them away, and a query may have made the last one again; then there is nothing to gain.
        let at = parts.held.iter().position(|held| same(held, first));
        if let Some(at) = at
            && let Some(held) = parts.held.get(at..at + run.len())
            && held.iter().zip(&run).all(|(held, part)| same(held, part))
        {
            parts.held.splice(at..at + run.len(), [Part { seqs, split }]);
        }
    }
    Ok(())
}

/// Sizes up to which parts are merged with their like, and from how many on. Whole batches are merged by the flush: what is
/// merged here is merged once more there. Only what a start found can be so much that searches would go through too many.
const MERGES: [(u64, usize); 3] = [(64, 8), (512, 8), (BATCH_RECORDS, 32)];
/// So many records are worth another split in the same round.
const NEXT_RECORDS_MIN: u64 = 512;
/// A last part of fewer records is made again with those that follow it.
const AGAIN_RECORDS: u64 = 48;
/// How long is waited for the lock before the deadline is looked at.
const LOCK_TRY: Duration = Duration::from_millis(20);
