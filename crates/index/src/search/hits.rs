//! Hits by seq.
//!
//! Records of a split are in order of seq, and a scorer walks upwards only. The oldest hits come first by themselves;
//! for the newest, stretches of records are searched from the end of the split downwards, each longer than the one
//! before, until enough hits are found: work follows the limit, not the number of hits.

use std::ops::Range;

use tantivy::query::{EnableScoring, Scorer, Weight};
use tantivy::{DocId, SegmentReader, TERMINATED};

use super::{Order, Scope, Window};
use crate::query::resolve;
use crate::{Error, Query, Split};

/// Records in the first stretch from the end.
const STRETCH_MIN: u32 = 2048;
/// Each stretch is this much longer than the one before.
const STRETCH_GROWTH: u32 = 4;
/// Hits between two questions whether to stop.
const STOP_EVERY: u64 = 1024;

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Found {
    /// Seqs of the hits, in the order of the window, at most as many as the limit.
    pub seqs: Vec<u64>,
    /// Number of all hits in the window, exact, if it was wanted.
    pub count: Option<u64>,
    /// Hits of the query that were looked at, for statistics.
    pub scanned: u64,
}

/// Searches one split. `stop` is asked now and then whether to give up (deadline passed, client gone).
///
/// # Errors
/// [`Error::TooBroad`] when a prefix or range stands for too many terms, [`Error::Stopped`], [`Error::Io`] when a
/// sealed split cannot be read.
pub fn search(
    split: &Split,
    query: &Query,
    window: &Window,
    limit: usize,
    want_count: bool,
    stop: &dyn Fn() -> bool,
) -> Result<Found, Error> {
    if stop() {
        return Err(Error::Stopped);
    }
    let nothing = Found {
        count: want_count.then_some(0),
        ..Found::default()
    };
    if limit == 0 && !want_count {
        return Ok(nothing);
    }
    let Some(scope) = Scope::open(split, window)? else {
        return Ok(nothing);
    };
    let weight = resolve(query, split, stop)?.weight(EnableScoring::disabled_from_schema(split.schema()))?;
    let run = Run {
        reader: split.reader(),
        weight,
        scope,
        stop,
        scanned: 0,
    };
    run.search(window.order, limit, want_count)
}

struct Run<'a> {
    reader: &'a SegmentReader,
    weight: Box<dyn Weight>,
    scope: Scope,
    stop: &'a dyn Fn() -> bool,
    scanned: u64,
}

impl Run<'_> {
    fn search(mut self, order: Order, limit: usize, want_count: bool) -> Result<Found, Error> {
        let docs = self.scope.docs.clone();
        let (seqs, count) = if want_count && !self.scope.is_whole() {
            self.collect_and_count(docs, order, limit)?
        } else {
            let count = if want_count {
                Some(u64::from(self.weight.count(self.reader)?))
            } else {
                None
            };
            let seqs = match order {
                _ if limit == 0 => Vec::new(),
                Order::Oldest => self.oldest(docs, limit)?,
                Order::Newest => self.newest(docs, limit)?,
            };
            (seqs, count)
        };
        Ok(Found {
            seqs,
            count,
            scanned: self.scanned,
        })
    }

    /// Every hit has to be looked at: one walk gives both.
    fn collect_and_count(
        &mut self,
        docs: Range<DocId>,
        order: Order,
        limit: usize,
    ) -> Result<(Vec<u64>, Option<u64>), Error> {
        let mut kept = std::collections::VecDeque::new();
        let mut count = 0;
        self.walk(docs, |doc| {
            count += 1;
            if kept.len() < limit {
                kept.push_back(doc);
            } else if order == Order::Newest && limit > 0 {
                kept.pop_front();
                kept.push_back(doc);
            }
            true
        })?;
        let mut seqs: Vec<u64> = kept.into_iter().map(|doc| self.scope.seq(doc)).collect();
        if order == Order::Newest {
            seqs.reverse();
        }
        Ok((seqs, Some(count)))
    }

    fn oldest(&mut self, docs: Range<DocId>, limit: usize) -> Result<Vec<u64>, Error> {
        let mut kept = Vec::new();
        self.walk(docs, |doc| {
            kept.push(doc);
            kept.len() < limit
        })?;
        Ok(kept.into_iter().map(|doc| self.scope.seq(doc)).collect())
    }

    fn newest(&mut self, docs: Range<DocId>, limit: usize) -> Result<Vec<u64>, Error> {
        let mut seqs = Vec::new();
        let mut end = docs.end;
        let mut length = STRETCH_MIN.max(u32::try_from(limit).unwrap_or(u32::MAX));
        while end > docs.start && seqs.len() < limit {
            let start = end.saturating_sub(length).max(docs.start);
            let mut stretch = Vec::new();
            self.walk(start..end, |doc| {
                stretch.push(doc);
                true
            })?;
            let wanted = limit - seqs.len();
            seqs.extend(stretch.iter().rev().take(wanted).map(|doc| self.scope.seq(*doc)));
            end = start;
            length = length.saturating_mul(STRETCH_GROWTH);
        }
        Ok(seqs)
    }

    /// Calls `each` with the hits among `docs`, upwards, until it says no.
    fn walk(&mut self, docs: Range<DocId>, mut each: impl FnMut(DocId) -> bool) -> Result<(), Error> {
        let mut scorer: Box<dyn Scorer> = self.weight.scorer(self.reader, 1.0)?;
        let mut doc = scorer.doc();
        if doc < docs.start {
            doc = scorer.seek(docs.start);
        }
        while doc != TERMINATED && doc < docs.end {
            self.scanned += 1;
            if self.scanned.is_multiple_of(STOP_EVERY) && (self.stop)() {
                return Err(Error::Stopped);
            }
            if self.scope.accepts(doc) && !each(doc) {
                break;
            }
            doc = scorer.advance();
        }
        Ok(())
    }
}
