//! Running a query on one split.
//!
//! Records of a split are in order of seq, and a scorer walks upwards only. The oldest hits come first by themselves;
//! for the newest, stretches of records are searched from the end of the split downwards, each longer than the one
//! before, until enough hits are found: work follows the limit, not the number of hits.

use std::ops::Range;

use tantivy::columnar::Column;
use tantivy::query::{EnableScoring, Scorer, Weight};
use tantivy::{DocId, SegmentReader, TERMINATED};

use crate::query::resolve;
use crate::schema::{OCCURRED_NS, SEQ, fields};
use crate::{Error, Query, Split};

/// Records in the first stretch from the end.
const STRETCH_MIN: u32 = 2048;
/// Each stretch is this much longer than the one before.
const STRETCH_GROWTH: u32 = 4;
/// Hits between two questions whether to stop.
const STOP_EVERY: u64 = 1024;

/// In which order hits are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Order {
    /// Highest seq first.
    #[default]
    Newest,
    /// Lowest seq first.
    Oldest,
}

/// Which records are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Earliest time of occurrence, inclusive (ns since 1970).
    pub from_ns: Option<i64>,
    /// Latest time of occurrence, exclusive (ns since 1970).
    pub to_ns: Option<i64>,
    /// Seqs looked at.
    pub seq: Range<u64>,
    /// Order of hits.
    pub order: Order,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            from_ns: None,
            to_ns: None,
            seq: 0..u64::MAX,
            order: Order::Newest,
        }
    }
}

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
    let summary = split.summary();
    let beyond = window.from_ns.is_some_and(|from| from > summary.max_occurred_ns)
        || window.to_ns.is_some_and(|to| to <= summary.min_occurred_ns)
        || window.seq.start > summary.max_seq
        || window.seq.end <= summary.min_seq;
    if beyond || window.seq.is_empty() || (limit == 0 && !want_count) {
        return Ok(nothing);
    }
    let columns = Columns::open(split, window)?;
    let docs = columns.docs(&window.seq);
    if docs.is_empty() {
        return Ok(nothing);
    }
    let weight =
        resolve(query, split, stop)?.weight(EnableScoring::disabled_from_schema(&fields().schema))?;
    let whole = docs.start == 0 && docs.end == split.reader().max_doc();
    let run = Run {
        reader: split.reader(),
        weight,
        columns,
        stop,
        scanned: 0,
    };
    run.search(docs, window.order, limit, want_count, whole)
}

/// The columns that a window needs.
struct Columns {
    seq: Column<u64>,
    max_doc: u32,
    /// Only if the window cuts through the split.
    occurred: Option<(Column<i64>, Range<i64>)>,
}

impl Columns {
    fn open(split: &Split, window: &Window) -> Result<Self, Error> {
        let summary = split.summary();
        let columns = split.reader().fast_fields();
        let from = window.from_ns.filter(|from| *from > summary.min_occurred_ns);
        let to = window.to_ns.filter(|to| *to <= summary.max_occurred_ns);
        let occurred = match (from, to) {
            (None, None) => None,
            // No time of a split is i64::MAX when `to` is missing and the range is exclusive: it is beyond year 2262.
            _ => Some((
                columns.i64(OCCURRED_NS)?,
                from.unwrap_or(i64::MIN)..to.unwrap_or(i64::MAX),
            )),
        };
        Ok(Self {
            seq: columns.u64(SEQ)?,
            max_doc: split.reader().max_doc(),
            occurred,
        })
    }

    /// The records whose seqs are in a range: they ascend.
    fn docs(&self, seqs: &Range<u64>) -> Range<DocId> {
        self.lower_bound(seqs.start)..self.lower_bound(seqs.end)
    }

    fn lower_bound(&self, seq: u64) -> DocId {
        let mut range = 0..self.max_doc;
        while range.start < range.end {
            let middle = range.start + (range.end - range.start) / 2;
            if self.seq(middle) < seq {
                range.start = middle + 1;
            } else {
                range.end = middle;
            }
        }
        range.start
    }

    fn seq(&self, doc: DocId) -> u64 {
        self.seq.values.get_val(doc)
    }

    fn accepts(&self, doc: DocId) -> bool {
        self.occurred
            .as_ref()
            .is_none_or(|(column, range)| range.contains(&column.values.get_val(doc)))
    }
}

struct Run<'a> {
    reader: &'a SegmentReader,
    weight: Box<dyn Weight>,
    columns: Columns,
    stop: &'a dyn Fn() -> bool,
    scanned: u64,
}

impl Run<'_> {
    fn search(
        mut self,
        docs: Range<DocId>,
        order: Order,
        limit: usize,
        want_count: bool,
        whole: bool,
    ) -> Result<Found, Error> {
        let (seqs, count) = if want_count && (!whole || self.columns.occurred.is_some()) {
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
        let mut seqs: Vec<u64> = kept.into_iter().map(|doc| self.columns.seq(doc)).collect();
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
        Ok(kept.into_iter().map(|doc| self.columns.seq(doc)).collect())
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
            seqs.extend(
                stretch
                    .iter()
                    .rev()
                    .take(wanted)
                    .map(|doc| self.columns.seq(*doc)),
            );
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
            if self.columns.accepts(doc) && !each(doc) {
                break;
            }
            doc = scorer.advance();
        }
        Ok(())
    }
}
