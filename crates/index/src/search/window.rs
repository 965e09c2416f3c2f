//! Which records of a split are looked at, and walking over them.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use tantivy::columnar::Column;
use tantivy::{DocId, i64_to_u64};

use crate::query::{Cursor, Matching, WINDOW, count, each_doc};
use crate::schema::{OCCURRED_NS, SEQ};
use crate::{Error, Split};

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
    /// Seqs among them that are passed over: ascending, disjoint.
    pub without: Arc<[Range<u64>]>,
    /// Seqs that are passed over, ascending: as if those records were not there.
    pub except: Arc<[u64]>,
    /// Order of hits.
    pub order: Order,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            from_ns: None,
            to_ns: None,
            seq: 0..u64::MAX,
            without: Arc::default(),
            except: Arc::default(),
            order: Order::Newest,
        }
    }
}

/// The records of one split that a window leaves.
pub(crate) struct Scope {
    seq: Column<u64>,
    /// The records whose seqs are in the window: they ascend.
    pub(crate) docs: Range<DocId>,
    pub(crate) max_doc: u32,
    /// Records among them that are passed over, ascending.
    holes: Vec<Range<DocId>>,
    /// Only if the window cuts through the split's times.
    times: Option<Times>,
    /// Records that are passed over, ascending.
    except: Vec<DocId>,
}

struct Times {
    column: Column<u64>,
    /// In the order-preserving unsigned form.
    range: Range<u64>,
}

impl Scope {
    /// `None` if nothing is left.
    pub(crate) fn open(split: &Split, window: &Window) -> Result<Option<Self>, Error> {
        let summary = split.summary();
        let beyond = window.from_ns.is_some_and(|from| from > summary.max_occurred_ns)
            || window.to_ns.is_some_and(|to| to <= summary.min_occurred_ns)
            || window.seq.start > summary.max_seq
            || window.seq.end <= summary.min_seq;
        if beyond || window.seq.is_empty() {
            return Ok(None);
        }
        let columns = split.reader().fast_fields();
        let from = window.from_ns.filter(|from| *from > summary.min_occurred_ns);
        let to = window.to_ns.filter(|to| *to <= summary.max_occurred_ns);
        let times = if from.is_none() && to.is_none() {
            None
        } else {
            let (column, _) = columns
                .u64_lenient(OCCURRED_NS)?
                .ok_or_else(|| Error::Malformed("no times of occurrence".to_owned()))?;
            // No time of a split is i64::MAX: it is beyond year 2262.
            let range = i64_to_u64(from.unwrap_or(i64::MIN))..i64_to_u64(to.unwrap_or(i64::MAX));
            Some(Times { column, range })
        };
        let mut scope = Self {
            seq: columns.u64(SEQ)?,
            docs: 0..split.reader().max_doc(),
            max_doc: split.reader().max_doc(),
            holes: Vec::new(),
            times,
            except: Vec::new(),
        };
        scope.docs = scope.lower_bound(window.seq.start)..scope.lower_bound(window.seq.end);
        let first = window
            .without
            .partition_point(|seqs| seqs.end <= window.seq.start.max(summary.min_seq));
        let touching = window.without.iter().skip(first);
        for seqs in touching.take_while(|seqs| seqs.start < window.seq.end && seqs.start <= summary.max_seq) {
            let hole = scope.lower_bound(seqs.start)..scope.lower_bound(seqs.end);
            scope.holes.extend(Some(hole).filter(|hole| !hole.is_empty()));
        }
        let from = window.except.partition_point(|seq| *seq < summary.min_seq);
        let to = window.except.partition_point(|seq| *seq <= summary.max_seq);
        for seq in window.except.get(from..to).unwrap_or_default() {
            let doc = scope.lower_bound(*seq);
            if doc < scope.max_doc && scope.seq(doc) == *seq {
                scope.except.push(doc);
            }
        }
        Ok(Some(scope).filter(|scope| !scope.docs.is_empty()))
    }

    /// The first record whose seq is `seq` or higher.
    pub(crate) fn lower_bound(&self, seq: u64) -> DocId {
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

    pub(crate) fn seq(&self, doc: DocId) -> u64 {
        self.seq.values.get_val(doc)
    }

    /// Whether every record of the split is in the window.
    pub(crate) fn is_whole(&self) -> bool {
        !self.is_filtered() && self.docs == (0..self.max_doc)
    }

    /// Whether not every record of `docs` counts.
    fn is_filtered(&self) -> bool {
        self.times.is_some() || !self.holes.is_empty() || !self.except.is_empty()
    }

    /// Leaves those of `docs`, which ascend, that are not passed over and whose times are in the window.
    fn retain(&self, docs: &mut Vec<DocId>, times: &mut Vec<u64>) {
        if !self.holes.is_empty() {
            let first = docs.first().copied().unwrap_or_default();
            let mut holes = self
                .holes
                .iter()
                .skip(self.holes.partition_point(|hole| hole.end <= first))
                .peekable();
            docs.retain(|doc| {
                while holes.next_if(|hole| hole.end <= *doc).is_some() {}
                holes.peek().is_none_or(|hole| *doc < hole.start)
            });
        }
        if let (Some(first), false) = (docs.first(), self.except.is_empty()) {
            let mut except = self.except.partition_point(|doc| doc < first);
            docs.retain(|doc| {
                while self.except.get(except).is_some_and(|other| other < doc) {
                    except += 1;
                }
                self.except.get(except) != Some(doc)
            });
        }
        let Some(filter) = &self.times else { return };
        times.resize(docs.len(), 0);
        match (docs.first(), docs.last()) {
            (Some(first), Some(last)) if is_run(*first, *last, docs.len()) => {
                filter.column.values.get_range(u64::from(*first), times);
            }
            _ => filter.column.values.get_vals(docs, times),
        }
        let mut kept = 0;
        for at in 0..docs.len() {
            let doc = docs[at];
            docs[kept] = doc;
            kept += usize::from(filter.range.contains(&times[at]));
        }
        docs.truncate(kept);
    }
}

/// Whether ascending records from `first` to `last` leave none out.
pub(crate) fn is_run(first: DocId, last: DocId, len: usize) -> bool {
    u64::from(last - first) + 1 == len as u64
}

/// Walks over the hits of a split, upwards, in blocks.
pub(crate) struct Walk<'a> {
    pub(crate) matching: &'a Matching,
    pub(crate) scope: &'a Scope,
    /// The records walked over.
    pub(crate) docs: Range<DocId>,
    pub(crate) stop: &'a dyn Fn() -> bool,
}

impl Walk<'_> {
    /// Hits in a block, at most.
    pub(crate) const BLOCK: usize = 2 * WINDOW as usize;

    /// Calls `each` with ascending hits, at most [`Self::BLOCK`] at once and never none, until it breaks off.
    pub(crate) fn blocks(
        &self,
        mut each: impl FnMut(&[DocId]) -> Result<ControlFlow<()>, Error>,
    ) -> Result<(), Error> {
        let mut docs = Vec::with_capacity(Self::BLOCK);
        let mut times = Vec::new();
        let mut source = match self.matching {
            Matching::All => Source::All(self.docs.clone()),
            matching => Source::Some(Cursor::open(matching, self.docs.clone(), self.scope.max_doc)?),
        };
        loop {
            docs.clear();
            let more = source.fill(&mut docs, self.stop)?;
            self.scope.retain(&mut docs, &mut times);
            if !docs.is_empty() && each(&docs)?.is_break() || !more {
                return Ok(());
            }
        }
    }

    /// How many hits there are.
    pub(crate) fn count(&self) -> Result<u64, Error> {
        let mut all = 0;
        if self.scope.is_filtered() {
            self.blocks(|docs| {
                all += docs.len() as u64;
                Ok(ControlFlow::Continue(()))
            })?;
            return Ok(all);
        }
        let mut cursor = Cursor::open(self.matching, self.docs.clone(), self.scope.max_doc)?;
        loop {
            check(self.stop)?;
            for _ in 0..WINDOWS {
                match cursor.next_window() {
                    Some((_, bits)) => all += count(&bits),
                    None => return Ok(all),
                }
            }
        }
    }
}

/// Windows looked at between two questions whether to stop.
const WINDOWS: u32 = 4;

enum Source {
    All(Range<DocId>),
    Some(Cursor),
}

impl Source {
    /// Adds the next records to `docs`; tells whether there may be more.
    fn fill(&mut self, docs: &mut Vec<DocId>, stop: &dyn Fn() -> bool) -> Result<bool, Error> {
        check(stop)?;
        let mut windows = 0_u32;
        match self {
            Self::All(range) => {
                let end = range.start.saturating_add(2 * WINDOW).min(range.end);
                docs.extend(range.start..end);
                range.start = end;
                Ok(range.start < range.end)
            }
            Self::Some(cursor) => {
                while docs.len() <= WINDOW as usize {
                    let Some((base, bits)) = cursor.next_window() else {
                        return Ok(false);
                    };
                    windows += 1;
                    if windows.is_multiple_of(WINDOWS) {
                        check(stop)?;
                    }
                    each_doc(base, &bits, |doc| docs.push(doc));
                }
                Ok(true)
            }
        }
    }
}

fn check(stop: &dyn Fn() -> bool) -> Result<(), Error> {
    match stop() {
        true => Err(Error::Stopped),
        false => Ok(()),
    }
}
