//! Which leaves of the tree a bundle knows: seqs of records, and runs of entries.

use std::iter::Peekable;
use std::ops::Range;

/// Ascending seqs in a few bytes each: their distances, seven bits a byte, the highest bit set on all but the last.
#[derive(Clone, Debug, Default)]
pub(super) struct Seqs {
    bytes: Vec<u8>,
    count: u64,
    last: Option<u64>,
}

impl Seqs {
    /// Takes the next seq; false unless it is greater than the last.
    pub(super) fn push(&mut self, seq: u64) -> bool {
        if self.last.is_some_and(|last| seq <= last) {
            return false;
        }
        let mut distance = seq - self.last.map_or(0, |last| last + 1);
        while distance > 0x7f {
            let [low, ..] = distance.to_le_bytes();
            self.bytes.push(low | 0x80);
            distance >>= 7;
        }
        let [low, ..] = distance.to_le_bytes();
        self.bytes.push(low);
        self.last = Some(seq);
        self.count += 1;
        true
    }

    /// How many there are.
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// The last.
    pub(super) const fn last(&self) -> Option<u64> {
        self.last
    }

    /// All of them, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = u64> {
        let (mut bytes, mut next) = (self.bytes.iter(), 0u64);
        std::iter::from_fn(move || {
            let (mut distance, mut shift) = (0u64, 0);
            loop {
                let byte = *bytes.next()?;
                distance |= u64::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    break;
                }
                shift += 7;
            }
            let seq = next + distance;
            next = seq + 1;
            Some(seq)
        })
    }
}

/// Merges two ascending sequences, each seq once.
pub(super) fn merge(
    a: impl Iterator<Item = u64>,
    b: impl Iterator<Item = u64>,
) -> Peekable<impl Iterator<Item = u64>> {
    let (mut a, mut b) = (a.peekable(), b.peekable());
    std::iter::from_fn(move || {
        let next = match (a.peek(), b.peek()) {
            (Some(x), Some(y)) => *x.min(y),
            (Some(x), None) => *x,
            (None, y) => *y?,
        };
        a.next_if_eq(&next);
        b.next_if_eq(&next);
        Some(next)
    })
    .peekable()
}

/// Sorts runs and joins those that overlap or touch; empty ones go.
pub(super) fn joined(runs: impl IntoIterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let mut runs: Vec<_> = runs.into_iter().filter(|run| run.start < run.end).collect();
    runs.sort_unstable_by_key(|run| run.start);
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(runs.len());
    for run in runs {
        match joined.last_mut() {
            Some(last) if run.start <= last.end => last.end = last.end.max(run.end),
            _ => joined.push(run),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::{Seqs, joined, merge};

    #[test]
    fn seqs_come_back_in_order() {
        let mut seqs = Seqs::default();
        let all = [0, 1, 2, 130, 131, 20_000, 1 << 40, u64::MAX >> 1];
        for seq in all {
            assert!(seqs.push(seq));
        }
        assert!(!seqs.push(5) && !seqs.push(u64::MAX >> 1));
        assert_eq!(seqs.iter().collect::<Vec<_>>(), all);
        assert_eq!((seqs.count(), seqs.last()), (8, Some(u64::MAX >> 1)));
    }

    #[test]
    fn runs_and_seqs_merge_without_doubles() {
        assert_eq!(joined([5..7, 0..2, 7..9, 3..3, 1..2]), [0..2, 5..9]);
        let merged: Vec<_> = merge([1, 5, 9].into_iter(), [0, 1, 2, 9, 12].into_iter()).collect();
        assert_eq!(merged, [0, 1, 2, 5, 9, 12]);
    }
}
