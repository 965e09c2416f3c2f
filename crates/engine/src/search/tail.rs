//! Splits over one tenant's tail, in memory.
//!
//! Parts are disjoint runs of seqs without gaps between them. The background thread and queries both extend them, under
//! one lock, so nothing is indexed twice; small neighbours are merged by the background thread. A part that a flush cut
//! in two stays whole until the tail has passed it: whoever searches it restricts the seqs.

use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering},
};

use attestore_index::{IndexPolicy, Split, SplitBuilder, merge};
use parking_lot::Mutex;

use super::{BACKGROUND_RECORDS_MIN, BATCH_RECORDS, add, index_error, loose};
use crate::{
    error::Result,
    instance::Inner,
    read::records,
    tenant::{Tenant, View},
};

/// The splits over a tenant's tail.
#[derive(Default)]
pub(super) struct TailIndex {
    parts: Mutex<Vec<Part>>,
}

/// A split and the seqs that it covers completely.
#[derive(Clone)]
pub(super) struct Part {
    pub(super) seqs: Range<u64>,
    pub(super) split: Split,
}

impl TailIndex {
    /// Forgets parts that lie before `start`; says whether nothing is left.
    pub(super) fn prune(&self, start: u64) -> bool {
        let mut parts = self.parts.lock();
        parts.retain(|part| part.seqs.end > start);
        parts.is_empty()
    }
}

impl Part {
    fn docs(&self) -> u64 {
        self.seqs.end - self.seqs.start
    }
}

/// Returns parts that cover the whole tail of `view`; indexes what is missing. `None` if the index has moved past the
/// snapshot, which a flush has made old.
pub(super) fn covering(inner: &Inner, tenant: &Tenant, view: &View) -> Result<Option<Vec<Part>>> {
    if view.tail.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let index = inner.search.tail(tenant);
    let mut parts = index.parts.lock();
    extend(tenant, &mut parts, view)?;
    let tail = view.tail.range();
    if parts.first().is_none_or(|part| part.seqs.start > tail.start) {
        return Ok(None);
    }
    let overlaps = |part: &&Part| part.seqs.start < tail.end && part.seqs.end > tail.start;
    Ok(Some(parts.iter().filter(overlaps).cloned().collect()))
}

/// Indexes what is new, forgets what is flushed, merges what is small.
pub(super) fn advance(inner: &Inner, tenant: &Tenant) -> Result<()> {
    if tenant.index_lag() < BACKGROUND_RECORDS_MIN {
        return Ok(());
    }
    let index = inner.search.tail(tenant);
    loop {
        let view = tenant.view();
        let start = view.tail.start();
        {
            let mut parts = index.parts.lock();
            parts.retain(|part| part.seqs.end > start);
            let next = parts.last().map_or(start, |last| last.seqs.end.max(start));
            if view.size.saturating_sub(next) < BACKGROUND_RECORDS_MIN {
                break;
            }
            // One batch at a time: a query that waits for the lock waits for no more than it needs.
            if step(tenant, &mut parts, &view)? {
                continue;
            }
        }
        break;
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
    let whole: Vec<Part> = {
        let mut parts = index.parts.lock();
        extend(tenant, &mut parts, view)?;
        let inside = |part: &&Part| part.seqs.start >= seqs.start && part.seqs.end <= seqs.end;
        parts.iter().filter(inside).cloned().collect()
    };
    let mut splits = Vec::with_capacity(whole.len() + 2);
    let mut at = seqs.start;
    for part in whole {
        if at < part.seqs.start {
            splits.extend(build(inner, tenant, view, at..part.seqs.start)?);
        }
        at = part.seqs.end;
        splits.push(part.split);
    }
    if at < seqs.end {
        splits.extend(build(inner, tenant, view, at..seqs.end)?);
    }
    match splits.len() {
        0 => Ok(None),
        1 => Ok(splits.pop()),
        _ => merge(&splits).map(Some).map_err(index_error),
    }
}

/// Indexes all of the view's tail that is not indexed.
fn extend(tenant: &Tenant, parts: &mut Vec<Part>, view: &View) -> Result<()> {
    while step(tenant, parts, view)? {}
    Ok(())
}

/// Indexes one batch; says whether there was anything to index.
fn step(tenant: &Tenant, parts: &mut Vec<Part>, view: &View) -> Result<bool> {
    let tail = view.tail.range();
    if parts.last().is_some_and(|last| last.seqs.end < tail.start) {
        parts.clear(); // flushed before it was indexed: what is left is no neighbour of what comes
    }
    let next = parts.last().map_or(tail.start, |last| last.seqs.end);
    let end = tail.end.min(next.saturating_add(BATCH_RECORDS));
    if next >= end {
        return Ok(false);
    }
    if let Some(split) = from_tail(tenant, view, next..end)? {
        parts.push(Part {
            seqs: next..end,
            split,
        });
    }
    tenant.indexed.fetch_max(end, Ordering::AcqRel);
    Ok(true)
}

/// Builds a split over any records of a view.
fn build(inner: &Inner, tenant: &Tenant, view: &View, seqs: Range<u64>) -> Result<Option<Split>> {
    let flushed = view.flushed_count();
    if seqs.end <= flushed {
        return loose::over_sets(inner, tenant, view, seqs);
    }
    if seqs.start >= flushed {
        return from_tail(tenant, view, seqs);
    }
    let older = loose::over_sets(inner, tenant, view, seqs.start..flushed)?;
    let newer = from_tail(tenant, view, flushed..seqs.end)?;
    match (older, newer) {
        (Some(older), Some(newer)) => merge(&[older, newer]).map(Some).map_err(index_error),
        (older, newer) => Ok(older.or(newer)),
    }
}

fn from_tail(tenant: &Tenant, view: &View, seqs: Range<u64>) -> Result<Option<Split>> {
    let mut builder = SplitBuilder::new(&IndexPolicy::default()).map_err(index_error)?;
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
    for docs_max in MERGE_DOCS {
        let run = newest_run(&index.parts.lock(), docs_max);
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            continue;
        };
        let seqs = first.seqs.start..last.seqs.end;
        let splits: Vec<Split> = run.iter().map(|part| part.split.clone()).collect();
        let split = merge(&splits).map_err(index_error)?;
        let mut parts = index.parts.lock();
        let inside = |part: &Part| part.seqs.start >= seqs.start && part.seqs.end <= seqs.end;
        // A flush may have taken some of them away; then there is nothing left to gain.
        if let Some(at) = parts.iter().position(inside)
            && parts.iter().filter(|part| inside(part)).count() == run.len()
        {
            parts.splice(at..at + run.len(), [Part { seqs, split }]);
        }
    }
    Ok(())
}

/// The newest parts that have at most `docs_max` records each, if they are enough to be worth a merge.
fn newest_run(parts: &[Part], docs_max: u64) -> Vec<Part> {
    let small = parts
        .iter()
        .rev()
        .take_while(|part| part.docs() <= docs_max)
        .count();
    if small < MERGE_PARTS_MIN {
        return Vec::new();
    }
    parts[parts.len() - small..].to_vec()
}

/// Sizes up to which parts are merged with their like.
const MERGE_DOCS: [u64; 3] = [64, 512, BATCH_RECORDS];
const MERGE_PARTS_MIN: usize = 8;

/// Makes a part of a split over the records of one or several segments.
pub(super) fn part(seqs: Range<u64>, split: Split) -> Part {
    Part { seqs, split }
}

/// Shares an index that nobody else extends.
pub(super) type Shared = Arc<Vec<Part>>;
