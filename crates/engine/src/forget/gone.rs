//! Records that were purged or erased whole: no read shows them, nothing brings them back.
//!
//! A record is gone if its entry's class and its seq are in a row of the table GONE; records of other classes in between are
//! not meant. Its entry stays, and so does every proof of it.
//!
//! # Durability
//! A row is committed after the control record that it names is durable in the log, and never goes. Rows change under the lock of
//! flushes only, so what replaces segments sees the same rows from its plan to its commit, or gives up. Records of the tail
//! are flushed before they are gone.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use attestore_record::entry::ENTRY_BYTES;
use attestore_record::{Entry, TenantId};
use redb::{ReadTransaction, TableError};
use serde::{Deserialize, Serialize};

use crate::catalog::{Update, encode, json, storage, tables};
use crate::error::{Error, Result};
use crate::instance::Inner;
use crate::read::tree::{self, Tree};
use crate::tenant::{FileSet, Tenant, View};

/// Why records are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Their retention was over, or somebody ordered it.
    Purged,
    /// They were erased whole.
    Erased,
}

impl Why {
    /// Its name, which is also the code of the answer to who asks for such a record.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Purged => "purged",
            Self::Erased => "erased",
        }
    }
}

/// Records of one class that are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GoneRange {
    pub(crate) seqs: Range<u64>,
    pub(crate) why: Why,
    /// Seq of the control record.
    pub(crate) by: u64,
    /// Records of the class in `seqs`.
    pub(crate) records: u64,
    /// Since when no read shows them, Unix milliseconds.
    pub(crate) since_ms: u64,
    /// Whether no file holds them any more.
    pub(crate) swept: bool,
}

/// A row of the table, under (tenant, class, first seq).
#[derive(Serialize, Deserialize)]
pub(crate) struct GoneRow {
    end: u64,
    why: Why,
    by: u64,
    records: u64,
    since_ms: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    swept: bool,
}

impl GoneRange {
    /// What is answered to who asks for one of its records.
    fn error(&self, seq: u64) -> Error {
        Error::Gone {
            seq,
            why: self.why,
            by: self.by,
            since_ms: self.since_ms,
        }
    }
}

/// What is gone of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gone {
    /// Of each class: ascending, disjoint.
    classes: BTreeMap<u16, Vec<GoneRange>>,
}

impl Gone {
    /// Reads a tenant's rows.
    ///
    /// # Errors
    /// As reads.
    pub(crate) fn load(txn: &ReadTransaction, tenant: &TenantId) -> Result<Self> {
        let table = match txn.open_table(tables::GONE) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(Self::default()),
            table => table.map_err(storage)?,
        };
        let all = (tenant.as_bytes(), 0, 0)..=(tenant.as_bytes(), u16::MAX, u64::MAX);
        let mut gone = Self::default();
        for row in table.range(all).map_err(storage)? {
            let (key, row) = row.map_err(storage)?;
            let (_, class, first) = key.value();
            let row: GoneRow = json(row.value())?;
            gone.insert(
                class,
                GoneRange {
                    seqs: first..row.end,
                    why: row.why,
                    by: row.by,
                    records: row.records,
                    since_ms: row.since_ms,
                    swept: row.swept,
                },
            );
        }
        Ok(gone)
    }

    /// Whether nothing is gone.
    pub(crate) fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// The range that a record of the class is in.
    pub(crate) fn find(&self, class: u16, seq: u64) -> Option<&GoneRange> {
        let ranges = self.classes.get(&class)?;
        let behind = ranges.partition_point(|range| range.seqs.start <= seq);
        let found = ranges.get(behind.checked_sub(1)?)?;
        found.seqs.contains(&seq).then_some(found)
    }

    /// Whether a record of some class with that seq is gone: its entry says whether it is of that class.
    pub(crate) fn may_hold(&self, seq: u64) -> bool {
        self.classes.keys().any(|class| self.find(*class, seq).is_some())
    }

    /// What of `seqs` is gone of a class: ascending, neighbours joined.
    pub(crate) fn within(&self, class: u16, seqs: &Range<u64>) -> Vec<Range<u64>> {
        self.within_since(class, seqs, None)
    }

    /// As [`Self::within`], of what control records behind `since` let go.
    fn within_since(&self, class: u16, seqs: &Range<u64>, since: Option<u64>) -> Vec<Range<u64>> {
        let Some(ranges) = self.classes.get(&class) else {
            return Vec::new();
        };
        let first = ranges.partition_point(|range| range.seqs.end <= seqs.start);
        let touching = ranges
            .iter()
            .skip(first)
            .take_while(|range| range.seqs.start < seqs.end);
        let mut within: Vec<Range<u64>> = Vec::new();
        for range in touching.filter(|range| since.is_none_or(|since| range.by > since)) {
            let range = &range.seqs;
            let range = range.start.max(seqs.start)..range.end.min(seqs.end);
            match within.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => within.push(range),
            }
        }
        within
    }

    /// What is gone of the records that a segment holds: what went before it was written is not in it.
    pub(crate) fn of_set(&self, set: &FileSet) -> Vec<Range<u64>> {
        let all = set.min_seq()..set.max_seq().saturating_add(1);
        self.within_since(set.class, &all, set.seg.gone_by)
    }

    /// Ranges that one control record let go and that a segment may hold records of.
    pub(crate) fn of_set_by(&self, set: &FileSet, by: u64) -> impl Iterator<Item = &GoneRange> {
        let all = set.min_seq()..set.max_seq().saturating_add(1);
        let written = set.seg.gone_by;
        let ranges = self.classes.get(&set.class).map_or(&[][..], Vec::as_slice);
        let first = ranges.partition_point(|range| range.seqs.end <= all.start);
        let touching = ranges.iter().skip(first);
        touching
            .take_while(move |range| range.seqs.start < all.end)
            .filter(move |range| range.by == by && written.is_none_or(|written| by > written))
    }

    /// Whether a segment has to be written again without what is gone, or dropped.
    pub(crate) fn touches(&self, set: &FileSet) -> bool {
        !self.is_empty() && !self.of_set(set).is_empty()
    }

    /// Whether all of a segment is gone, and some of it is still in it.
    pub(crate) fn covers(&self, set: &FileSet) -> bool {
        let all = set.min_seq()..set.max_seq().saturating_add(1);
        self.touches(set) && self.within(set.class, &all) == [all]
    }

    /// Seq of the newest control record that let something go: what is written now is without all of that.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.iter().map(|(_, range)| range.by).max()
    }

    /// Every range with its class.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u16, &GoneRange)> {
        self.classes
            .iter()
            .flat_map(|(class, ranges)| ranges.iter().map(|range| (*class, range)))
    }

    /// How many records are gone for a reason.
    pub(crate) fn count(&self, why: Why) -> u64 {
        let of = self.iter().filter(|(_, range)| range.why == why);
        of.map(|(_, range)| range.records).sum()
    }

    fn insert(&mut self, class: u16, range: GoneRange) {
        let ranges = self.classes.entry(class).or_default();
        let at = ranges.partition_point(|other| other.seqs.start < range.seqs.start);
        match ranges.get_mut(at) {
            Some(same) if same.seqs.start == range.seqs.start => *same = range,
            _ => ranges.insert(at, range),
        }
    }
}

/// Lets records go: one commit of their rows and of what `also` changes, then no read shows them. The caller holds
/// [`Tenant::deciding`], and the control record that the ranges name is durable.
///
/// # Errors
/// [`Error::Conflict`] for records that are in the tail or gone already; what `also` returns; as changes of the catalog.
pub(crate) fn put<T>(
    inner: &Inner,
    tenant: &Tenant,
    class: u16,
    ranges: Vec<GoneRange>,
    also: impl FnOnce(&mut Update<'_>) -> Result<T>,
) -> Result<T> {
    let _one_at_a_time = inner.flushing.lock();
    let flushed = tenant.view().flushed_count();
    let mut gone = Gone::clone(&tenant.gone.load());
    let fits = |range: &GoneRange| {
        !range.seqs.is_empty() && range.seqs.end <= flushed && gone.within(class, &range.seqs).is_empty()
    };
    if !ranges.iter().all(fits) {
        return Err(Error::Conflict {
            code: "changed",
            message: "some of the records are not in segments yet, or gone already: look again".to_owned(),
        });
    }
    let value = inner.change(|update| {
        rows(update, tenant, class, &ranges)?;
        also(update)
    })?;
    for range in ranges {
        gone.insert(class, range);
    }
    tenant.gone.store(Arc::new(gone));
    Ok(value)
}

/// Notes that no file holds what a control record let go.
///
/// # Errors
/// What `also` returns; as changes of the catalog.
pub(crate) fn swept<T>(
    inner: &Inner,
    tenant: &Tenant,
    by: u64,
    also: impl FnOnce(&mut Update<'_>) -> Result<T>,
) -> Result<T> {
    let _one_at_a_time = inner.flushing.lock();
    let mut gone = Gone::clone(&tenant.gone.load());
    let mut changed: BTreeMap<u16, Vec<GoneRange>> = BTreeMap::new();
    for (class, ranges) in &mut gone.classes {
        for range in ranges.iter_mut().filter(|range| range.by == by) {
            range.swept = true;
            changed.entry(*class).or_default().push(range.clone());
        }
    }
    let value = inner.change(|update| {
        for (class, ranges) in &changed {
            rows(update, tenant, *class, ranges)?;
        }
        also(update)
    })?;
    tenant.gone.store(Arc::new(gone));
    Ok(value)
}

fn rows(update: &mut Update<'_>, tenant: &Tenant, class: u16, ranges: &[GoneRange]) -> Result<()> {
    let mut table = update.txn().open_table(tables::GONE).map_err(storage)?;
    for range in ranges {
        let row = GoneRow {
            end: range.seqs.end,
            why: range.why,
            by: range.by,
            records: range.records,
            since_ms: range.since_ms,
            swept: range.swept,
        };
        table
            .insert(
                (tenant.id.as_bytes(), class, range.seqs.start),
                encode(&row)?.as_slice(),
            )
            .map_err(storage)?;
    }
    Ok(())
}

/// Refuses a record that is gone.
///
/// # Errors
/// [`Error::Gone`]; as reads.
pub(crate) fn check(inner: &Inner, tenant: &Tenant, view: &View, seq: u64) -> Result<()> {
    let gone = tenant.gone.load();
    if gone.is_empty() || seq >= view.size || !gone.may_hold(seq) {
        return Ok(());
    }
    let entry = tree::reader(inner, tenant, view).source().entry(seq)?;
    match gone.find(entry.class, seq) {
        Some(range) => Err(range.error(seq)),
        None => Ok(()),
    }
}

/// Tells of one seq after the other, ascending, whether it is gone; entries are read many at a time.
pub(crate) struct Filter<'a> {
    gone: Arc<Gone>,
    tree: &'a Tree<'a>,
    size: u64,
    first: u64,
    entries: Vec<[u8; ENTRY_BYTES]>,
}

impl<'a> Filter<'a> {
    /// Begins with what is gone now; `size` is that of the tree.
    pub(crate) fn new(tenant: &Tenant, tree: &'a Tree<'a>, size: u64) -> Self {
        Self {
            gone: tenant.gone.load_full(),
            tree,
            size,
            first: 0,
            entries: Vec::new(),
        }
    }

    /// Whether a record is gone.
    ///
    /// # Errors
    /// As reads of entries.
    pub(crate) fn is_gone(&mut self, seq: u64) -> Result<bool> {
        if self.gone.is_empty() || seq >= self.size || !self.gone.may_hold(seq) {
            return Ok(false);
        }
        let at = |first: u64, seq: u64| usize::try_from(seq.checked_sub(first)?).ok();
        let held = at(self.first, seq).and_then(|at| self.entries.get(at)).copied();
        let bytes = match held {
            Some(bytes) => bytes,
            None => {
                self.entries = self
                    .tree
                    .entries(seq..self.size.min(seq.saturating_add(ENTRIES_AT_ONCE)))?;
                self.first = seq;
                *self.entries.first().ok_or(Error::UnknownRecord)?
            }
        };
        let entry =
            Entry::from_bytes(&bytes).map_err(|error| Error::damage("entries", seq, error.to_string()))?;
        Ok(self.gone.find(entry.class, seq).is_some())
    }
}

/// How many records of a class are in ranges of seqs; reads their entries.
///
/// # Errors
/// As reads of entries.
pub(crate) fn count_class(tree: &Tree<'_>, class: u16, ranges: &[Range<u64>]) -> Result<u64> {
    let mut count = 0;
    each_entry(tree, class, ranges, &mut |_, _| {
        count += 1;
        Ok(())
    })?;
    Ok(count)
}

/// Goes over the entries of a class in ranges of seqs, ascending.
///
/// # Errors
/// As reads of entries; what `each` returns.
pub(crate) fn each_entry(
    tree: &Tree<'_>,
    class: u16,
    ranges: &[Range<u64>],
    each: &mut dyn FnMut(u64, &Entry) -> Result<()>,
) -> Result<()> {
    for range in ranges {
        let mut at = range.start;
        while at < range.end {
            let end = range.end.min(at.saturating_add(ENTRIES_AT_ONCE));
            for (seq, bytes) in (at..).zip(tree.entries(at..end)?) {
                let entry = Entry::from_bytes(&bytes)
                    .map_err(|error| Error::damage("entries", seq, error.to_string()))?;
                if entry.class == class {
                    each(seq, &entry)?;
                }
            }
            at = end;
        }
    }
    Ok(())
}

/// How many records of a segment are gone; reads entries only where some may be.
///
/// # Errors
/// As reads of entries.
pub(crate) fn count_in_set(tree: &Tree<'_>, gone: &Gone, set: &FileSet) -> Result<u64> {
    if gone.is_empty() {
        return Ok(0);
    }
    if gone.covers(set) {
        return Ok(set.seg.count);
    }
    count_class(tree, set.class, &gone.of_set(set))
}

/// Entries that are read at once.
const ENTRIES_AT_ONCE: u64 = 8192;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Gone, GoneRange, Why};

    fn range(first: u64, end: u64) -> GoneRange {
        GoneRange {
            seqs: first..end,
            why: Why::Purged,
            by: 1000,
            records: end - first,
            since_ms: 5,
            swept: false,
        }
    }

    #[test]
    fn neighbours_are_joined_and_classes_are_apart() {
        let mut gone = Gone::default();
        gone.insert(2, range(10, 20));
        gone.insert(2, range(20, 25));
        gone.insert(2, range(30, 31));
        gone.insert(3, range(5, 6));
        assert_eq!(gone.within(2, &(12..40)), [12..25, 30..31]);
        assert!(gone.within(2, &(25..30)).is_empty());
        assert!(gone.within(1, &(0..100)).is_empty());
        assert!(gone.may_hold(5) && !gone.may_hold(6));
        assert!(gone.find(2, 5).is_none());
        assert_eq!(gone.count(Why::Purged), 17);
    }

    proptest! {
        #[test]
        fn it_says_what_a_list_says(
            starts in proptest::collection::btree_set(0u64..60, 0..12),
            seqs in (0u64..240, 0u64..240),
        ) {
            let mut gone = Gone::default();
            let model: Vec<_> = starts.iter().map(|at| at * 4..at * 4 + 3 + at % 2).collect();
            for one in &model {
                gone.insert(1, range(one.start, one.end));
            }
            for seq in 0..250 {
                let found = gone.find(1, seq).map(|range| range.seqs.clone());
                prop_assert_eq!(found, model.iter().find(|one| one.contains(&seq)).cloned());
            }
            let within = gone.within(1, &(seqs.0..seqs.1));
            prop_assert!(within.is_sorted_by(|a, b| a.end < b.start));
            for seq in 0..250 {
                let inside = (seqs.0..seqs.1).contains(&seq) && gone.may_hold(seq);
                prop_assert_eq!(within.iter().any(|one| one.contains(&seq)), inside);
            }
        }
    }
}
