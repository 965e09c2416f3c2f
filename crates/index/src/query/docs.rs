//! Sets of records of one split, as the search library runs them.

use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use tantivy::columnar::Column;
use tantivy::query::{ConstScorer, EmptyQuery, EnableScoring, Explanation, Query, Scorer, Weight};
use tantivy::{DocId, DocSet, Score, SegmentReader, TERMINATED};

/// A set with fewer records than one in this many is a list.
const SPARSE: u32 = 64;
/// Records whose values are looked at in one go: at first, and at most.
const STRETCH_MIN: u32 = 128;
const STRETCH_MAX: u32 = 16_384;

/// Collects records, in any order.
pub(super) struct Collector {
    max_doc: u32,
    list: Vec<DocId>,
    bits: Vec<u64>,
}

impl Collector {
    pub(super) const fn new(max_doc: u32) -> Self {
        Self {
            max_doc,
            list: Vec::new(),
            bits: Vec::new(),
        }
    }

    /// Adds records that ascend.
    pub(super) fn extend(&mut self, docs: &[DocId]) {
        if self.bits.is_empty() {
            if self.list.len() + docs.len() <= (self.max_doc / SPARSE) as usize {
                self.list.extend_from_slice(docs);
                return;
            }
            self.bits = vec![0; self.max_doc as usize / 64 + 1];
            for doc in std::mem::take(&mut self.list) {
                self.insert(doc);
            }
        }
        docs.iter().for_each(|doc| self.insert(*doc));
    }

    fn insert(&mut self, doc: DocId) {
        if let Some(word) = self.bits.get_mut(doc as usize / 64) {
            *word |= 1 << (doc % 64);
        }
    }

    /// The set.
    pub(super) fn finish(mut self) -> Box<dyn Query> {
        if !self.bits.is_empty() {
            return Box::new(Docs(Set::Bits(self.bits.into())));
        }
        self.list.sort_unstable();
        self.list.dedup();
        match self.list.is_empty() {
            true => Box::new(EmptyQuery),
            false => Box::new(Docs(Set::List(self.list.into()))),
        }
    }
}

/// The records in a range.
pub(super) fn span(docs: Range<DocId>) -> Box<dyn Query> {
    match docs.is_empty() {
        true => Box::new(EmptyQuery),
        false => Box::new(Docs(Set::Span(docs))),
    }
}

/// The records with a value in a range, looked up when they are asked for: beside a selective condition, few are.
///
/// Not by the library's own range query: that one computes a negative distance when it is sought in beyond its end.
pub(super) fn between<T>(column: Column<T>, range: &RangeInclusive<T>, max_doc: u32) -> Box<dyn Query>
where
    T: PartialOrd + Copy + fmt::Debug + Send + Sync + 'static,
{
    // Bounds beyond the column's values are brought in: the library's codecs wrap around on some of them.
    let (low, high) = (column.min_value(), column.max_value());
    let from = if *range.start() < low { low } else { *range.start() };
    let to = if *range.end() > high { high } else { *range.end() };
    // Not `is_empty`: floats have no order.
    match column.values.num_vals() > 0 && from <= to {
        true => Box::new(Between {
            column,
            range: from..=to,
            max_doc,
        }),
        false => Box::new(EmptyQuery),
    }
}

#[derive(Clone, Debug)]
struct Docs(Set);

#[derive(Clone)]
enum Set {
    /// Ascending.
    List(Arc<[DocId]>),
    Bits(Arc<[u64]>),
    Span(Range<DocId>),
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(list) => write!(f, "{} records", list.len()),
            Self::Bits(_) => f.write_str("records"),
            Self::Span(span) => write!(f, "{span:?}"),
        }
    }
}

impl Set {
    /// The first record of the set from `target` on.
    fn from(&self, target: DocId) -> DocId {
        match self {
            Self::List(list) => {
                let at = list.partition_point(|doc| *doc < target);
                list.get(at).copied().unwrap_or(TERMINATED)
            }
            Self::Bits(words) => {
                let first = target as usize / 64;
                let mut mask = u64::MAX << (target % 64);
                for (word, number) in words.iter().skip(first).zip(target / 64..) {
                    let rest = word & mask;
                    if rest != 0 {
                        return number * 64 + rest.trailing_zeros();
                    }
                    mask = u64::MAX;
                }
                TERMINATED
            }
            Self::Span(span) => {
                let doc = span.start.max(target);
                if doc < span.end { doc } else { TERMINATED }
            }
        }
    }

    fn len(&self) -> u32 {
        match self {
            Self::List(list) => u32::try_from(list.len()).unwrap_or(u32::MAX),
            Self::Bits(words) => words.iter().map(|word| word.count_ones()).sum(),
            Self::Span(span) => span.end - span.start,
        }
    }
}

impl Query for Docs {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(self.clone()))
    }
}

impl Weight for Docs {
    fn scorer(&self, _: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let walk = Walk {
            doc: self.0.from(0),
            len: self.0.len(),
            set: self.0.clone(),
        };
        Ok(Box::new(ConstScorer::new(walk, boost)))
    }

    fn count(&self, _: &SegmentReader) -> tantivy::Result<u32> {
        Ok(self.0.len())
    }

    fn explain(&self, _: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        Ok(explain(self.0.from(doc) == doc))
    }
}

struct Walk {
    set: Set,
    len: u32,
    doc: DocId,
}

impl DocSet for Walk {
    fn advance(&mut self) -> DocId {
        if self.doc != TERMINATED {
            self.doc = self.set.from(self.doc + 1);
        }
        self.doc
    }

    fn seek(&mut self, target: DocId) -> DocId {
        if self.doc < target {
            self.doc = self.set.from(target);
        }
        self.doc
    }

    fn doc(&self) -> DocId {
        self.doc
    }

    fn size_hint(&self) -> u32 {
        self.len
    }
}

#[derive(Clone)]
struct Between<T> {
    column: Column<T>,
    range: RangeInclusive<T>,
    max_doc: u32,
}

impl<T: fmt::Debug> fmt::Debug for Between<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.range)
    }
}

impl<T> Query for Between<T>
where
    T: PartialOrd + Copy + fmt::Debug + Send + Sync + 'static,
{
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(self.clone()))
    }
}

impl<T> Weight for Between<T>
where
    T: PartialOrd + Copy + fmt::Debug + Send + Sync + 'static,
{
    fn scorer(&self, _: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let mut walk = BetweenWalk {
            of: self.clone(),
            found: Vec::new(),
            at: 0,
            next: 0,
            stretch: STRETCH_MIN,
        };
        walk.look();
        Ok(Box::new(ConstScorer::new(walk, boost)))
    }

    fn explain(&self, _: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        let mut values = self.column.values_for_doc(doc);
        Ok(explain(values.any(|value| self.range.contains(&value))))
    }
}

/// Walks over the records of [`Between`], stretch by stretch.
struct BetweenWalk<T> {
    of: Between<T>,
    /// Those of the stretch at hand.
    found: Vec<DocId>,
    at: usize,
    /// Where the next stretch starts.
    next: DocId,
    stretch: u32,
}

impl<T> BetweenWalk<T>
where
    T: PartialOrd + Copy + fmt::Debug + Send + Sync + 'static,
{
    /// Looks at stretches, each longer than the one before, until one has a record.
    fn look(&mut self) {
        self.at = 0;
        self.found.clear();
        while self.found.is_empty() && self.next < self.of.max_doc {
            let end = self.next.saturating_add(self.stretch).min(self.of.max_doc);
            let range = self.of.range.clone();
            self.of
                .column
                .get_docids_for_value_range(range, self.next..end, &mut self.found);
            self.found.dedup();
            self.next = end;
            self.stretch = (self.stretch * 2).min(STRETCH_MAX);
        }
    }
}

impl<T> DocSet for BetweenWalk<T>
where
    T: PartialOrd + Copy + fmt::Debug + Send + Sync + 'static,
{
    fn advance(&mut self) -> DocId {
        self.at += 1;
        if self.at >= self.found.len() {
            self.look();
        }
        self.doc()
    }

    fn seek(&mut self, target: DocId) -> DocId {
        if self.doc() >= target {
            return self.doc();
        }
        if target >= self.next {
            self.next = target.min(self.of.max_doc);
            self.stretch = STRETCH_MIN;
            self.look();
            return self.doc();
        }
        let ahead = self.found.get(self.at..).unwrap_or_default();
        self.at += ahead.partition_point(|doc| *doc < target);
        if self.at >= self.found.len() {
            self.look();
        }
        self.doc()
    }

    fn doc(&self) -> DocId {
        self.found.get(self.at).copied().unwrap_or(TERMINATED)
    }

    fn size_hint(&self) -> u32 {
        // Not known; ranges are wide more often than not, and others should lead.
        self.of.max_doc
    }
}

/// Runs a query on places of words by plain steps and seeks: the library's shortcut for phrases within other conditions
/// goes back behind where it stands.
pub(super) struct Plain(pub(super) Box<dyn Weight>);

impl Weight for Plain {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        Ok(Box::new(ConstScorer::new(
            PlainWalk(self.0.scorer(reader, boost)?),
            boost,
        )))
    }

    fn explain(&self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        self.0.explain(reader, doc)
    }
}

struct PlainWalk(Box<dyn Scorer>);

impl DocSet for PlainWalk {
    fn advance(&mut self) -> DocId {
        self.0.advance()
    }

    fn seek(&mut self, target: DocId) -> DocId {
        match self.0.doc() < target {
            true => self.0.seek(target),
            false => self.0.doc(),
        }
    }

    fn doc(&self) -> DocId {
        self.0.doc()
    }

    fn size_hint(&self) -> u32 {
        self.0.size_hint()
    }

    fn cost(&self) -> u64 {
        self.0.cost()
    }
}

fn explain(matches: bool) -> Explanation {
    Explanation::new(if matches { "in the set" } else { "not in the set" }, 1.0)
}

#[cfg(test)]
mod tests {
    use tantivy::{DocId, DocSet, TERMINATED};

    use super::{Set, Walk};

    fn walk(set: &Set) -> Walk {
        Walk {
            doc: set.from(0),
            len: set.len(),
            set: set.clone(),
        }
    }

    #[test]
    fn all_forms_of_a_set_are_walked_alike() {
        let docs: Vec<DocId> = (0..400)
            .filter(|n| n % 7 == 0 || n % 64 == 63 || (130..140).contains(n))
            .collect();
        let mut words = vec![0_u64; 7];
        docs.iter()
            .for_each(|doc| words[*doc as usize / 64] |= 1 << (doc % 64));
        let forms = [Set::List(docs.clone().into()), Set::Bits(words.into())];
        for set in &forms {
            let mut walk = walk(set);
            let mut found = Vec::new();
            while walk.doc() != TERMINATED {
                found.push(walk.doc());
                walk.advance();
            }
            assert_eq!((found.len(), &found), (set.len() as usize, &docs));
            assert_eq!(walk.advance(), TERMINATED);
        }
        for target in 0..500 {
            let expected = docs
                .iter()
                .copied()
                .find(|doc| *doc >= target)
                .unwrap_or(TERMINATED);
            for set in &forms {
                assert_eq!(walk(set).seek(target), expected);
            }
        }
        let mut span = walk(&Set::Span(5..8));
        assert_eq!(
            [span.doc(), span.advance(), span.advance(), span.advance()],
            [5, 6, 7, TERMINATED]
        );
        assert_eq!(walk(&Set::Span(5..8)).seek(7), 7);
        assert_eq!(walk(&Set::Span(5..8)).seek(8), TERMINATED);
    }
}
