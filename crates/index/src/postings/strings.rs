//! Readable strings that were cut into words already, and the numbers of their words.

use std::hash::{BuildHasher, Hasher};
use std::ops::Range;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Strings of records before. Forgets them all when they are too many.
#[derive(Default)]
pub(super) struct Strings {
    /// The strings, back to back.
    text: String,
    known: HashTable<Known>,
    hasher: DefaultHashBuilder,
    /// Numbers of their words.
    numbers: Vec<u32>,
}

#[derive(Clone)]
struct Known {
    hash: u64,
    text: Range<usize>,
    numbers: Range<usize>,
}

/// Bytes of strings that are kept.
const TEXT_MAX: usize = 1 << 20;
/// A longer string is not kept (bytes): it is hardly ever repeated.
const STRING_MAX: usize = 1 << 10;

impl Strings {
    /// Where the numbers of a string's words are, if it is known.
    #[inline]
    pub(super) fn get(&self, text: &str) -> Option<Range<usize>> {
        if text.len() > STRING_MAX {
            return None;
        }
        let hash = self.hash(text);
        let same = |known: &Known| known.hash == hash && self.text.get(known.text.clone()) == Some(text);
        self.known.find(hash, same).map(|known| known.numbers.clone())
    }

    /// Adds a string whose words `cut` numbers; returns where the numbers are, until the next string is added.
    pub(super) fn add(&mut self, text: &str, cut: impl FnOnce(&mut Vec<u32>)) -> Range<usize> {
        if self.text.len() + text.len().min(STRING_MAX) > TEXT_MAX || self.numbers.len() > NUMBERS_MAX {
            self.text.clear();
            self.known.clear();
            self.numbers.clear();
        }
        let from = self.numbers.len();
        cut(&mut self.numbers);
        let numbers = from..self.numbers.len();
        if text.len() <= STRING_MAX {
            let hash = self.hash(text);
            let start = self.text.len();
            self.text.push_str(text);
            let known = Known {
                hash,
                text: start..self.text.len(),
                numbers: numbers.clone(),
            };
            self.known.insert_unique(hash, known, |known| known.hash);
        }
        numbers
    }

    /// A number.
    #[inline]
    pub(super) fn number(&self, at: usize) -> Option<u32> {
        self.numbers.get(at).copied()
    }

    /// Memory in use, roughly (bytes).
    pub(super) fn memory(&self) -> usize {
        self.text.capacity()
            + self.known.capacity() * size_of::<Known>()
            + self.numbers.capacity() * size_of::<u32>()
    }

    #[inline]
    fn hash(&self, text: &str) -> u64 {
        let mut state = self.hasher.build_hasher();
        state.write(text.as_bytes());
        state.finish()
    }
}

/// Numbers that are kept; those of one string come on top.
const NUMBERS_MAX: usize = 1 << 18;

#[cfg(test)]
mod tests {
    use super::{STRING_MAX, Strings};

    #[test]
    fn strings_are_known_until_they_are_too_many() {
        let mut strings = Strings::default();
        assert_eq!(strings.get("a"), None);
        assert_eq!(strings.add("a", |numbers| numbers.extend([7, 8])), 0..2);
        assert_eq!(strings.get("a"), Some(0..2));
        assert_eq!(strings.number(1), Some(8));
        for n in 0..100_000 {
            strings.add(&format!("a string of some length, number {n}"), |_| ());
        }
        assert_eq!(strings.get("a"), None);
        assert!(strings.memory() < 16 << 20);
        let long = "long ".repeat(STRING_MAX);
        let place = strings.add(&long, |numbers| numbers.push(9));
        assert_eq!(strings.number(place.start), Some(9));
        assert_eq!(strings.get(&long), None);
    }
}
