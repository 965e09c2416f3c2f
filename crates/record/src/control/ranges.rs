//! Ranges of seqs, as controls name records.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Most ranges in one control.
pub const RANGES_MAX: usize = 100_000;

/// Ranges of seqs: ascending, apart from each other, none empty. In JSON `[[first, end], …]`, `end` not included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<[u64; 2]>", into = "Vec<[u64; 2]>")]
pub struct Ranges(Vec<[u64; 2]>);

/// Ranges that are not in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ranges are at most {RANGES_MAX}, ascending, apart from each other and not empty")]
pub struct RangesError;

impl Ranges {
    /// Takes ranges that are in order.
    ///
    /// # Errors
    /// [`RangesError`].
    pub fn new(ranges: impl IntoIterator<Item = Range<u64>>) -> Result<Self, RangesError> {
        let ranges: Vec<_> = ranges.into_iter().map(|range| [range.start, range.end]).collect();
        Self::try_from(ranges)
    }

    /// The range that holds the seq, if any.
    #[must_use]
    pub fn find(&self, seq: u64) -> Option<Range<u64>> {
        let after = self.0.partition_point(|[first, _]| *first <= seq);
        let [first, end] = *self.0.get(after.checked_sub(1)?)?;
        (seq < end).then_some(first..end)
    }

    /// The first range that reaches into the given one.
    #[must_use]
    pub fn overlap(&self, with: &Range<u64>) -> Option<Range<u64>> {
        let next = self.0.partition_point(|[_, end]| *end <= with.start);
        let [first, end] = *self.0.get(next)?;
        (first < with.end).then_some(first..end)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.0.iter().map(|[first, end]| *first..*end)
    }

    /// Number of seqs in them.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().map(|[first, end]| end - first).sum()
    }
}

impl TryFrom<Vec<[u64; 2]>> for Ranges {
    type Error = RangesError;

    fn try_from(ranges: Vec<[u64; 2]>) -> Result<Self, RangesError> {
        let filled = ranges.iter().all(|[first, end]| first < end);
        let apart = ranges.is_sorted_by(|[_, end], [first, _]| end < first);
        if filled && apart && ranges.len() <= RANGES_MAX {
            Ok(Self(ranges))
        } else {
            Err(RangesError)
        }
    }
}

impl From<Ranges> for Vec<[u64; 2]> {
    fn from(ranges: Ranges) -> Self {
        ranges.0
    }
}
