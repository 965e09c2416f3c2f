//! A set of seqs below a size, one bit each.

use std::ops::Range;

pub(super) struct Seqs {
    words: Vec<u64>,
    size: u64,
}

impl Seqs {
    pub(super) fn new(size: u64) -> Self {
        let words = usize::try_from(size.div_ceil(64)).unwrap_or(0);
        Self {
            words: vec![0; words],
            size,
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Adds a seq; false if it is out of range or was there before.
    pub(super) fn set(&mut self, seq: u64) -> bool {
        let word = usize::try_from(seq / 64)
            .ok()
            .and_then(|at| self.words.get_mut(at));
        let Some(word) = word.filter(|_| seq < self.size) else {
            return false;
        };
        let bit = 1 << (seq % 64);
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }

    /// How many of `range` are in it.
    pub(super) fn count(&self, range: Range<u64>) -> u64 {
        self.masked(range)
            .map(|(_, word)| u64::from(word.count_ones()))
            .sum()
    }

    /// The first of `range` that is in it.
    pub(super) fn first(&self, range: Range<u64>) -> Option<u64> {
        let found = self.masked(range).find(|(_, word)| *word != 0);
        found.map(|(at, word)| at * 64 + u64::from(word.trailing_zeros()))
    }

    /// The first that is not in it.
    pub(super) fn first_missing(&self) -> Option<u64> {
        let (at, word) = (0..).zip(&self.words).find(|(_, word)| **word != u64::MAX)?;
        let seq = at * 64 + u64::from(word.trailing_ones());
        (seq < self.size).then_some(seq)
    }

    /// The words that `range` touches, with the bits outside of it cleared.
    fn masked(&self, range: Range<u64>) -> impl Iterator<Item = (u64, u64)> {
        let end = range.end.min(self.size);
        let words = range.start / 64..end.div_ceil(64);
        words.filter_map(move |at| {
            let word = *self.words.get(usize::try_from(at).ok()?)?;
            let below = |seq: u64| match seq.saturating_sub(at * 64) {
                bits @ 0..64 => (1u64 << bits) - 1,
                _ => u64::MAX,
            };
            Some((at, word & below(end) & !below(range.start)))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::Seqs;

    proptest! {
        #[test]
        fn it_says_what_a_set_says(
            size in 0u64..300,
            seqs in proptest::collection::vec(0u64..320, 0..120),
            ranges in proptest::collection::vec((0u64..320, 0u64..320), 0..20),
        ) {
            let (mut set, mut model) = (Seqs::new(size), BTreeSet::new());
            for seq in seqs {
                prop_assert_eq!(set.set(seq), seq < size && model.insert(seq));
            }
            for (start, end) in ranges {
                let within = || model.iter().filter(|seq| (start..end).contains(seq));
                prop_assert_eq!(set.count(start..end), within().count() as u64);
                prop_assert_eq!(set.first(start..end), within().next().copied());
            }
            prop_assert_eq!(set.first_missing(), (0..size).find(|seq| !model.contains(seq)));
        }
    }
}
