//! What a query comes down to in one split: postings, sets and columns, joined.
//!
//! Every term is looked up once, when a query is resolved. [`Matching`] can be walked any number of times; what no record
//! matches is left out of it, so that nothing is read for it.

use std::ops::RangeInclusive;
use std::sync::Arc;

use tantivy::InvertedIndexReader;
use tantivy::columnar::{Column, ColumnIndex};
use tantivy::postings::TermInfo;

use super::docs::Set;
use super::ranged::{Between, Present, Ranged};

/// Records of one split.
#[derive(Clone)]
pub(crate) enum Matching {
    /// No record.
    None,
    /// Every record.
    All,
    /// The records with a term.
    Term(Posted),
    /// These records.
    Set(Set),
    /// The records whose values are in a range, looked up when they are asked for.
    Ranged(Arc<dyn Ranged>),
    /// The records in which words stand side by side.
    Phrase(Arc<Phrase>),
    /// The records in all of these and none of those.
    And(Vec<Matching>, Vec<Matching>),
    /// The records in any of these.
    Or(Vec<Matching>),
}

/// A term and where its postings are.
#[derive(Clone)]
pub(crate) struct Posted {
    pub(super) inverted: Arc<InvertedIndexReader>,
    pub(super) info: TermInfo,
}

/// Words that stand side by side, in one field that has their places.
pub(crate) struct Phrase {
    pub(super) inverted: Arc<InvertedIndexReader>,
    /// In order, at least one.
    pub(super) words: Vec<TermInfo>,
    /// The words that may come last; none if all are in `words`.
    pub(super) last: Vec<TermInfo>,
}

impl Matching {
    /// The records in all of `all` and none of `not`.
    pub(super) fn and(mut all: Vec<Self>, mut not: Vec<Self>) -> Self {
        let nothing = |part: &Self| matches!(part, Self::None);
        let everything = |part: &Self| matches!(part, Self::All);
        if all.iter().any(nothing) || not.iter().any(everything) {
            return Self::None;
        }
        all.retain(|part| !everything(part));
        not.retain(|part| !nothing(part));
        // The rarest leads; the others are asked about what it has.
        all.sort_by_key(Self::cost);
        match (all.len(), not.len()) {
            (0, 0) => Self::All,
            (1, 0) => all.pop().unwrap_or(Self::All),
            _ => Self::And(all, not),
        }
    }

    /// The records in any of `any`.
    pub(super) fn or(mut any: Vec<Self>) -> Self {
        if any.iter().any(|part| matches!(part, Self::All)) {
            return Self::All;
        }
        any.retain(|part| !matches!(part, Self::None));
        match any.len() {
            0 | 1 => any.pop().unwrap_or(Self::None),
            _ => Self::Or(any),
        }
    }

    /// The records with a value in a range.
    ///
    /// Not by the library's own range query: that one computes a negative distance when it is sought in beyond its end.
    pub(super) fn between<T>(column: Column<T>, range: &RangeInclusive<T>) -> Self
    where
        T: PartialOrd + Copy + std::fmt::Debug + Send + Sync + 'static,
    {
        // Bounds beyond the column's values are brought in: the library's codecs wrap around on some of them.
        let (low, high) = (column.min_value(), column.max_value());
        let from = if *range.start() < low { low } else { *range.start() };
        let to = if *range.end() > high { high } else { *range.end() };
        // Not `is_empty`: floats have no order.
        match column.values.num_vals() > 0 && from <= to {
            true => Self::Ranged(Arc::new(Between {
                column,
                range: from..=to,
            })),
            false => Self::None,
        }
    }

    /// The records with a value.
    pub(super) fn present(index: ColumnIndex) -> Self {
        match index {
            ColumnIndex::Full => Self::All,
            ColumnIndex::Empty { .. } => Self::None,
            index => Self::Ranged(Arc::new(Present(index))),
        }
    }

    /// A bound of the number of records, as far as it is known.
    pub(crate) fn cost(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::Term(posted) => posted.info.doc_freq.into(),
            Self::Set(set) => set.len().into(),
            Self::Phrase(phrase) => phrase.cost(),
            // Not known; ranges are wide more often than not, and others should lead.
            Self::Ranged(_) | Self::All => u64::MAX,
            Self::And(all, _) => all.first().map_or(u64::MAX, Self::cost),
            Self::Or(any) => any.iter().map(Self::cost).fold(0, u64::saturating_add),
        }
    }

    /// The number of records, if that is known without looking at them.
    pub(crate) fn count(&self, max_doc: u32) -> Option<u64> {
        match self {
            Self::None => Some(0),
            Self::All => Some(max_doc.into()),
            Self::Term(posted) => Some(posted.info.doc_freq.into()),
            Self::Set(set) => Some(set.len().into()),
            Self::Ranged(_) | Self::Phrase(_) | Self::And(..) | Self::Or(_) => None,
        }
    }
}

impl Phrase {
    fn cost(&self) -> u64 {
        let words = self.words.iter().map(|info| u64::from(info.doc_freq)).min();
        let last = self.last.iter().map(|info| u64::from(info.doc_freq));
        let last = match self.last.is_empty() {
            true => u64::MAX,
            false => last.sum(),
        };
        words.unwrap_or(0).min(last)
    }
}
