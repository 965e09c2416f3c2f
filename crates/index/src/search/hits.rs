//! Hits by seq.
//!
//! Records of a split are in order of seq, and hits are walked upwards only. The oldest come first by themselves; for the
//! newest, stretches of records are searched from the end of the split downwards, each longer than the one before, until
//! enough hits are found: work follows the limit, not the number of hits.

use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};

use tantivy::DocId;

use super::{Order, Scope, Walk, Window};
use crate::query::{Matching, resolve};
use crate::{Error, Query, Split};

/// Records in the first stretch from the end.
const STRETCH_MIN: u32 = 2048;
/// Each stretch is this much longer than the one before.
const STRETCH_GROWTH: u32 = 4;
/// So few hits are looked through in one go.
const FEW: u64 = 512;

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
    let run = Run {
        matching: resolve(query, split, stop)?,
        scope,
        stop,
        scanned: 0,
    };
    run.search(window.order, limit, want_count)
}

struct Run<'a> {
    matching: Matching,
    scope: Scope,
    stop: &'a dyn Fn() -> bool,
    scanned: u64,
}

impl Run<'_> {
    fn search(mut self, order: Order, limit: usize, want_count: bool) -> Result<Found, Error> {
        let docs = self.scope.docs.clone();
        let known = match self.scope.is_whole() {
            true => self.matching.count(docs.end),
            false => None,
        };
        let (seqs, count) = if want_count && known.is_none() {
            self.collect_and_count(docs, order, limit)?
        } else {
            let seqs = match order {
                _ if limit == 0 => Vec::new(),
                Order::Oldest => self.oldest(docs, limit)?,
                Order::Newest => self.newest(docs, limit)?,
            };
            (seqs, known.filter(|_| want_count))
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
        if limit == 0 {
            let count = self.walk(docs).count()?;
            self.scanned += count;
            return Ok((Vec::new(), Some(count)));
        }
        let mut kept = VecDeque::new();
        let mut count = 0;
        self.blocks(docs, |found| {
            count += found.len() as u64;
            match order {
                Order::Oldest => kept.extend(found.iter().take(limit.saturating_sub(kept.len()))),
                Order::Newest => {
                    let newest = found.get(found.len().saturating_sub(limit)..).unwrap_or(found);
                    kept.extend(newest);
                    kept.drain(..kept.len().saturating_sub(limit));
                }
            }
            ControlFlow::Continue(())
        })?;
        let mut seqs: Vec<u64> = kept.into_iter().map(|doc| self.scope.seq(doc)).collect();
        if order == Order::Newest {
            seqs.reverse();
        }
        Ok((seqs, Some(count)))
    }

    fn oldest(&mut self, docs: Range<DocId>, limit: usize) -> Result<Vec<u64>, Error> {
        let mut kept = Vec::new();
        self.blocks(docs, |found| {
            kept.extend(found.iter().take(limit - kept.len()));
            match kept.len() < limit {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        })?;
        Ok(kept.into_iter().map(|doc| self.scope.seq(doc)).collect())
    }

    fn newest(&mut self, docs: Range<DocId>, limit: usize) -> Result<Vec<u64>, Error> {
        let mut seqs = Vec::new();
        let mut end = docs.end;
        let mut length = match self.matching.cost() {
            ..=FEW => u32::MAX,
            _ => STRETCH_MIN.max(u32::try_from(limit).unwrap_or(u32::MAX)),
        };
        while end > docs.start && seqs.len() < limit {
            let start = end.saturating_sub(length).max(docs.start);
            let mut stretch = Vec::new();
            self.blocks(start..end, |found| {
                stretch.extend_from_slice(found);
                ControlFlow::Continue(())
            })?;
            let wanted = limit - seqs.len();
            seqs.extend(stretch.iter().rev().take(wanted).map(|doc| self.scope.seq(*doc)));
            end = start;
            length = length.saturating_mul(STRETCH_GROWTH);
        }
        Ok(seqs)
    }

    /// Calls `each` with the hits among `docs`, upwards, until it breaks off.
    fn blocks(
        &mut self,
        docs: Range<DocId>,
        mut each: impl FnMut(&[DocId]) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut scanned = 0;
        self.walk(docs).blocks(|found| {
            scanned += found.len() as u64;
            Ok(each(found))
        })?;
        self.scanned += scanned;
        Ok(())
    }

    fn walk(&self, docs: Range<DocId>) -> Walk<'_> {
        Walk {
            matching: &self.matching,
            scope: &self.scope,
            docs,
            stop: self.stop,
        }
    }
}
