//! Sets of records of one split.

use std::ops::Range;
use std::sync::Arc;

use tantivy::{DocId, TERMINATED};

use super::matching::Matching;

/// A set with fewer records than one in this many is a list.
const SPARSE: u32 = 64;

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
    pub(super) fn finish(mut self) -> Matching {
        if !self.bits.is_empty() {
            return Matching::Set(Set::Bits(self.bits.into()));
        }
        self.list.sort_unstable();
        self.list.dedup();
        match self.list.is_empty() {
            true => Matching::None,
            false => Matching::Set(Set::List(self.list.into())),
        }
    }
}

/// Records.
#[derive(Clone)]
pub(crate) enum Set {
    /// Ascending.
    List(Arc<[DocId]>),
    /// The lowest bit of the first word is the first record.
    Bits(Arc<[u64]>),
    Span(Range<DocId>),
}

impl Set {
    /// The first record of the set from `target` on.
    pub(super) fn from(&self, target: DocId) -> DocId {
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

    /// How many there are.
    pub(super) fn len(&self) -> u32 {
        match self {
            Self::List(list) => u32::try_from(list.len()).unwrap_or(u32::MAX),
            Self::Bits(words) => words.iter().map(|word| word.count_ones()).sum(),
            Self::Span(span) => span.end - span.start,
        }
    }
}

#[cfg(test)]
mod tests {
    use tantivy::{DocId, TERMINATED};

    use super::Set;

    #[test]
    fn all_forms_of_a_set_are_walked_alike() {
        let docs: Vec<DocId> = (0..400)
            .filter(|n| n % 7 == 0 || n % 64 == 63 || (130..140).contains(n))
            .collect();
        let mut words = vec![0_u64; 7];
        docs.iter()
            .for_each(|doc| words[*doc as usize / 64] |= 1 << (doc % 64));
        for set in [Set::List(docs.clone().into()), Set::Bits(words.into())] {
            assert_eq!(set.len() as usize, docs.len());
            for target in 0..500 {
                let expected = docs.iter().copied().find(|doc| *doc >= target);
                assert_eq!(set.from(target), expected.unwrap_or(TERMINATED));
            }
        }
        let span = Set::Span(5..8);
        assert_eq!([0, 7, 8].map(|target| span.from(target)), [5, 7, TERMINATED]);
    }
}
