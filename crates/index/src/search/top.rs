//! The first hits by a column.
//!
//! One pass over the hits keeps the best of them, and cuts the kept ones down to the limit whenever there are twice as many:
//! what a hit costs does not grow with the limit. Blocks of which no value comes before the worst that is kept are passed by.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};

use tantivy::DocId;

use super::values::{Loaded, Place, Typed, open};
use super::{Order, Scope, Sort, SortKey, Walk, Window, search};
use crate::query::resolve;
use crate::search::Scalar;
use crate::{Error, Query, Split};

/// Returns the first `limit` hits of one split in the order of `sort`, those after `after` only. Of a record with several
/// values the smallest counts when ascending, the largest when descending. The order of the window has no effect.
///
/// # Errors
/// As [`search`]; [`Error::NoColumn`] when the split was built without the column.
pub fn top(
    split: &Split,
    query: &Query,
    window: &Window,
    sort: &Sort,
    after: Option<(&SortKey, u64)>,
    limit: usize,
    stop: &dyn Fn() -> bool,
) -> Result<Vec<(SortKey, u64)>, Error> {
    if stop() {
        return Err(Error::Stopped);
    }
    if sort.is_seq() {
        return by_seq(split, query, window, sort, after, limit, stop);
    }
    let Some(scope) = Scope::open(split, window)?.filter(|_| limit > 0) else {
        return Ok(Vec::new());
    };
    let columns = open(split, &sort.column)?;
    let after = after
        .map(|(key, seq)| After::new(&columns, &scope, sort, key, seq))
        .transpose()?;
    let matching = resolve(query, split, stop)?;
    let mut best = Best::new(sort.descending, limit);
    let mut loaded: Vec<Loaded> = columns.iter().map(|_| Loaded::default()).collect();
    for docs in stretches(&scope.docs, sort.descending && is_full(&columns)) {
        let walk = Walk {
            matching: &matching,
            docs,
            scope: &scope,
            stop,
        };
        walk.blocks(|docs| {
            for (column, loaded) in columns.iter().zip(&mut loaded) {
                column.load(docs, loaded);
            }
            best.take(docs, &loaded, after.as_ref());
            Ok(ControlFlow::Continue(()))
        })?;
    }
    best.finish(&columns, &scope, sort, stop)
}

/// Whether every record has one value, of one type.
fn is_full(columns: &[Typed]) -> bool {
    matches!(columns, [only] if only.is_full())
}

/// Records in the order in which they are best looked at. Times grow with seq, more or less: the last come last, and the
/// highest are found soonest from there. Each stretch is longer than the one before, because a walk has to be begun for each.
fn stretches(docs: &Range<DocId>, from_end: bool) -> Vec<Range<DocId>> {
    let mut stretches = Vec::new();
    let (mut end, mut length) = (docs.end, STRETCH_MIN);
    while from_end && end - docs.start > length {
        stretches.push(end - length..end);
        end -= length;
        length = length.saturating_mul(STRETCH_GROWTH);
    }
    stretches.push(docs.start..end);
    stretches
}

/// Records in the first stretch from the end.
const STRETCH_MIN: DocId = 4096;
/// Each stretch is this much longer than the one before.
const STRETCH_GROWTH: DocId = 2;

fn by_seq(
    split: &Split,
    query: &Query,
    window: &Window,
    sort: &Sort,
    after: Option<(&SortKey, u64)>,
    limit: usize,
    stop: &dyn Fn() -> bool,
) -> Result<Vec<(SortKey, u64)>, Error> {
    let mut window = window.clone();
    window.order = if sort.descending {
        Order::Newest
    } else {
        Order::Oldest
    };
    match (after, sort.descending) {
        (None, _) => {}
        (Some((_, seq)), false) => window.seq.start = window.seq.start.max(seq.saturating_add(1)),
        (Some((_, seq)), true) => window.seq.end = window.seq.end.min(seq),
    }
    let found = search(split, query, &window, limit, false, stop)?;
    let key = |seq| (sort.key(Some(Scalar::unsigned(seq))), seq);
    Ok(found.seqs.into_iter().map(key).collect())
}

/// A hit with a value. `part` is the column of the value's type.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Candidate {
    part: u8,
    value: u64,
    doc: DocId,
}

impl Candidate {
    fn compare(&self, other: &Self, descending: bool) -> Ordering {
        let ascending = (self.part, self.value, self.doc).cmp(&(other.part, other.value, other.doc));
        if descending {
            ascending.reverse()
        } else {
            ascending
        }
    }
}

/// Where a page begins: after this.
struct After {
    /// `None`: after a hit without a value.
    value: Option<(u8, Place)>,
    /// Hits of the very same value begin here (ascending), or end here (descending).
    doc: DocId,
}

impl After {
    fn new(columns: &[Typed], scope: &Scope, sort: &Sort, key: &SortKey, seq: u64) -> Result<Self, Error> {
        let doc = match sort.descending {
            false => scope.lower_bound(seq.saturating_add(1)),
            true => scope.lower_bound(seq),
        };
        let Some(scalar) = key.value() else {
            return Ok(Self { value: None, doc });
        };
        let first = columns.partition_point(|column| column.rank() < scalar.rank());
        let place = match columns.get(first) {
            Some(column) if column.rank() == scalar.rank() => column.place(scalar)?,
            // No value of this type: before all of the next type.
            _ => Place::Before(0),
        };
        let part = u8::try_from(first).unwrap_or(u8::MAX);
        Ok(Self {
            value: Some((part, place)),
            doc,
        })
    }

    fn admits(&self, candidate: &Candidate, descending: bool) -> bool {
        let Some((part, place)) = self.value else {
            return false;
        };
        let by_value = candidate.part.cmp(&part).then_with(|| match place {
            Place::At(value) => candidate.value.cmp(&value),
            Place::Before(value) if candidate.value >= value => Ordering::Greater,
            Place::Before(_) | Place::End => Ordering::Less,
        });
        match (by_value, descending) {
            (Ordering::Equal, false) => candidate.doc >= self.doc,
            (Ordering::Equal, true) => candidate.doc < self.doc,
            (ordering, false) => ordering == Ordering::Greater,
            (ordering, true) => ordering == Ordering::Less,
        }
    }

    fn admits_missing(&self, doc: DocId, descending: bool) -> bool {
        match (&self.value, descending) {
            (Some(_), _) => true,
            (None, false) => doc >= self.doc,
            (None, true) => doc < self.doc,
        }
    }
}

/// The best hits so far.
struct Best {
    descending: bool,
    limit: usize,
    kept: Vec<Candidate>,
    /// Nothing that does not come before this is among the best.
    bar: Option<Candidate>,
    missing: VecDeque<DocId>,
}

impl Best {
    fn new(descending: bool, limit: usize) -> Self {
        Self {
            descending,
            limit,
            kept: Vec::new(),
            bar: None,
            missing: VecDeque::new(),
        }
    }

    fn take(&mut self, docs: &[DocId], loaded: &[Loaded], after: Option<&After>) {
        if let [only] = loaded
            && let Some(values) = only.one_each()
        {
            let is_behind = self.bar.is_some_and(|bar| match self.descending {
                false => values.iter().copied().fold(u64::MAX, u64::min) > bar.value,
                true => values.iter().copied().fold(0, u64::max) < bar.value,
            });
            if is_behind {
                return;
            }
            for (doc, value) in docs.iter().zip(values) {
                let candidate = Candidate {
                    part: 0,
                    value: *value,
                    doc: *doc,
                };
                self.offer(candidate, after);
            }
            return;
        }
        for (at, doc) in docs.iter().enumerate() {
            match self.candidate(at, *doc, loaded) {
                Some(candidate) => self.offer(candidate, after),
                None => self.offer_missing(*doc, after),
            }
        }
    }

    /// The record with the value that counts: types ascend from part to part.
    fn candidate(&self, at: usize, doc: DocId, loaded: &[Loaded]) -> Option<Candidate> {
        let parts = || (0u8..).zip(loaded).map(|(part, loaded)| (part, loaded.of(at)));
        let mut valued = parts().filter(|(_, values)| !values.is_empty());
        let (part, values) = if self.descending {
            valued.last()
        } else {
            valued.next()
        }?;
        let value = match self.descending {
            false => values.iter().min(),
            true => values.iter().max(),
        };
        value.map(|value| Candidate {
            part,
            value: *value,
            doc,
        })
    }

    fn offer(&mut self, candidate: Candidate, after: Option<&After>) {
        if self
            .bar
            .is_some_and(|bar| candidate.compare(&bar, self.descending) != Ordering::Less)
            || after.is_some_and(|after| !after.admits(&candidate, self.descending))
        {
            return;
        }
        self.kept.push(candidate);
        if self.kept.len() >= self.limit.saturating_mul(2) {
            let last = self.limit - 1;
            let descending = self.descending;
            self.kept
                .select_nth_unstable_by(last, |a, b| a.compare(b, descending));
            self.kept.truncate(self.limit);
            self.bar = self.kept.last().copied();
        }
    }

    fn offer_missing(&mut self, doc: DocId, after: Option<&After>) {
        if self.bar.is_some() || after.is_some_and(|after| !after.admits_missing(doc, self.descending)) {
            return;
        }
        if self.missing.len() == self.limit {
            if !self.descending {
                return;
            }
            self.missing.pop_front();
        }
        self.missing.push_back(doc);
    }

    fn finish(
        mut self,
        columns: &[Typed],
        scope: &Scope,
        sort: &Sort,
        stop: &dyn Fn() -> bool,
    ) -> Result<Vec<(SortKey, u64)>, Error> {
        let descending = self.descending;
        self.kept.sort_unstable_by(|a, b| a.compare(b, descending));
        self.kept.truncate(self.limit);
        let mut keyed = Vec::with_capacity(self.limit.min(self.kept.len() + self.missing.len()));
        for (part, column) in (0u8..).zip(columns) {
            let own = || self.kept.iter().filter(|candidate| candidate.part == part);
            let mut values: Vec<u64> = own().map(|candidate| candidate.value).collect();
            values.sort_unstable();
            values.dedup();
            let mut scalars = Vec::with_capacity(values.len());
            column.scalars(&values, stop, |scalar| {
                scalars.push(scalar);
                Ok(())
            })?;
            keyed.extend(own().filter_map(|candidate| {
                let at = values.binary_search(&candidate.value).ok()?;
                let key = sort.key(scalars.get(at).cloned());
                Some((key, scope.seq(candidate.doc)))
            }));
        }
        keyed.sort_by(|a, b| sort.compare(a, b));
        let mut missing: Vec<DocId> = self.missing.into();
        if descending {
            missing.reverse();
        }
        let room = self.limit.saturating_sub(keyed.len());
        keyed.extend(
            missing
                .into_iter()
                .take(room)
                .map(|doc| (sort.key(None), scope.seq(doc))),
        );
        Ok(keyed)
    }
}
