//! A dry run: what would go at a moment, by what is in force now, of what is not gone. Reads rows of files, and entries only of segments
//! that would go in part, are partly held or partly gone.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use attestore_record::Entry;

use crate::Engine;
use crate::credentials::{Permission, Principal};
use crate::error::{Error, Result};
use crate::forget::gone::Gone;
use crate::forget::holds;
use crate::instance::Inner;
use crate::read::{snapshot, tree};
use crate::tenant::{FileSet, Tenant, View};

/// What would go of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassPreview {
    /// Records that are due, those that are held too.
    pub due_records: u64,
    /// Bytes of files that they take; of files that would go in part, their share.
    pub due_bytes: u64,
    /// Files' worth of them: segments that go as a whole if nothing of them is held.
    pub whole_segments: u64,
    /// Those of the records that a hold keeps, as far as its matches are known.
    pub held_records: u64,
    /// When the oldest of them was received, Unix milliseconds.
    pub oldest_ms: Option<u64>,
}

/// What would go of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// The moment, Unix milliseconds.
    pub at_ms: u64,
    /// By class; those without a maximum are left out.
    pub classes: BTreeMap<u16, ClassPreview>,
    /// Matches of every hold are known below this seq.
    pub holds_known_until: u64,
}

impl Engine {
    /// Says what would go of a tenant at `at_ms`, by the policies and holds in force now, of the records that are there now.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], or as reads.
    pub fn retention_preview(&self, tenant: &str, by: &Principal, at_ms: Option<u64>) -> Result<Preview> {
        by.check(tenant, Permission::SeeRetention)?;
        let inner = &self.inner;
        let tenant = inner.tenant(tenant)?;
        let at_ms = at_ms.unwrap_or_else(|| inner.clock.now_ms());
        snapshot(&tenant, |view| preview(inner, &tenant, view, at_ms))
    }
}

fn preview(inner: &Inner, tenant: &Arc<Tenant>, view: &View, at_ms: u64) -> Result<Preview> {
    let rules = tenant.rules.load();
    let tree = tree::reader(inner, tenant, view);
    let known = holds::known(inner, tenant)?;
    let gone = tenant.gone.load();
    let mut classes = BTreeMap::new();
    for found in rules.policies() {
        let policy = &found.policy;
        let Some(before_ms) = policy.keep_max_ms.and_then(|max| at_ms.checked_sub(max)) else {
            if policy.keep_max_ms.is_some() {
                classes.insert(policy.class, ClassPreview::default());
            }
            continue;
        };
        let held = known.of(policy.class, 0..view.size);
        let mut sum = ClassPreview::default();
        for set in view.flushed.iter().filter(|set| set.class == policy.class) {
            add(&mut sum, set, before_ms, (&held, &gone), &tree)?;
        }
        let due = |entry: &Entry| entry.class == policy.class && entry.time_ms <= before_ms;
        for record in view
            .tail
            .iter(view.tail.range())
            .filter(|record| due(&record.entry))
        {
            sum.count(record.entry.time_ms, is_in(&held, record.seq));
            sum.due_bytes += record.bytes_len();
        }
        classes.insert(policy.class, sum);
    }
    Ok(Preview {
        at_ms,
        classes,
        holds_known_until: known.until,
    })
}

impl ClassPreview {
    fn count(&mut self, time_ms: u64, held: bool) {
        self.due_records += 1;
        self.held_records += u64::from(held);
        self.oldest_ms = Some(self.oldest_ms.map_or(time_ms, |oldest| oldest.min(time_ms)));
    }
}

/// Adds what is due of a segment.
fn add(
    sum: &mut ClassPreview,
    set: &FileSet,
    before_ms: u64,
    (held, gone): (&[Range<u64>], &Gone),
    tree: &tree::Reader<'_>,
) -> Result<()> {
    if set.seg.min_time_ms > before_ms || gone.covers(set) {
        return Ok(());
    }
    let bytes: u64 = set.files().map(|row| row.length).sum();
    let seqs = set.min_seq()..set.max_seq().saturating_add(1);
    let whole = set.seg.max_time_ms <= before_ms;
    let touching = held
        .iter()
        .any(|range| range.start < seqs.end && seqs.start < range.end);
    let covered = held
        .iter()
        .any(|range| range.start <= seqs.start && seqs.end <= range.end);
    if whole && (covered || !touching) && !gone.touches(set) {
        sum.due_records += set.seg.count;
        sum.due_bytes += bytes;
        sum.whole_segments += 1;
        sum.held_records += if covered { set.seg.count } else { 0 };
        sum.oldest_ms = Some(sum.oldest_ms.unwrap_or(u64::MAX).min(set.seg.min_time_ms));
        return Ok(());
    }
    let (before, mut at) = (sum.due_records, seqs.start);
    while at < seqs.end {
        let end = seqs.end.min(at + ENTRIES_AT_ONCE);
        for (seq, bytes) in (at..).zip(tree.source().entries(at..end)?) {
            let entry = Entry::from_bytes(&bytes)
                .map_err(|error| Error::damage("entries", seq * bytes.len() as u64, error.to_string()))?;
            // Segments of several classes lie over each other, and so may two of one class after a compaction.
            let is_due = entry.class == set.class && entry.time_ms <= before_ms;
            if is_due && gone.find(entry.class, seq).is_none() {
                sum.count(entry.time_ms, is_in(held, seq));
            }
        }
        at = end;
    }
    let due = sum.due_records - before;
    sum.whole_segments += u64::from(whole);
    sum.due_bytes += (u128::from(bytes) * u128::from(due) / u128::from(set.seg.count.max(1)))
        .try_into()
        .unwrap_or(bytes);
    Ok(())
}

/// Whether one of the ranges, which ascend, holds the seq.
fn is_in(ranges: &[Range<u64>], seq: u64) -> bool {
    let next = ranges.partition_point(|range| range.end <= seq);
    ranges.get(next).is_some_and(|range| range.start <= seq)
}

const ENTRIES_AT_ONCE: u64 = 8192;
