//! Keys, numbered as they come: each string is kept, and looked up, once.

use std::hash::{BuildHasher, Hasher};
use std::ops::Range;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::Kind;

/// Distinct keys of a split in the making.
#[derive(Default)]
pub(super) struct Keys {
    /// The keys, back to back.
    bytes: Vec<u8>,
    spans: Vec<Span>,
    numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

#[derive(Clone, Copy)]
struct Span {
    start: usize,
    length: u32,
    kind: Kind,
}

impl Span {
    fn range(self) -> Range<usize> {
        self.start..self.start + self.length as usize
    }
}

impl Keys {
    /// The number of a key, which is given in parts.
    #[inline]
    pub(super) fn number(&mut self, kind: Kind, parts: &[&str]) -> u32 {
        let start = self.bytes.len();
        for part in parts {
            self.bytes.extend_from_slice(part.as_bytes());
        }
        let Self {
            bytes,
            spans,
            numbers,
            hasher,
        } = self;
        let (_, key) = bytes.split_at(start);
        let hash = hash(hasher, kind, key);
        let same = |number: &u32| {
            spans
                .get(*number as usize)
                .is_some_and(|span| span.kind == kind && bytes.get(span.range()) == Some(key))
        };
        if let Some(number) = numbers.find(hash, same) {
            let number = *number;
            bytes.truncate(start);
            return number;
        }
        // A record has 256 KiB at most, and a builder never sees billions of them.
        let number = u32::try_from(spans.len()).expect("fewer keys than fit into memory");
        let length = u32::try_from(key.len()).expect("keys are cut before");
        spans.push(Span { start, length, kind });
        numbers.insert_unique(hash, number, |number| {
            let span = spans.get(*number as usize);
            span.map_or(0, |span| {
                self::hash(hasher, span.kind, bytes.get(span.range()).unwrap_or_default())
            })
        });
        number
    }

    /// The key with a number.
    pub(super) fn get(&self, number: u32) -> &[u8] {
        let span = self.spans.get(number as usize);
        span.and_then(|span| self.bytes.get(span.range()))
            .unwrap_or_default()
    }

    /// The key with a number, if it is of a kind.
    #[inline]
    pub(super) fn of_kind(&self, kind: Kind, number: u32) -> &[u8] {
        let span = self.spans.get(number as usize).filter(|span| span.kind == kind);
        span.and_then(|span| self.bytes.get(span.range()))
            .unwrap_or_default()
    }

    /// Numbers of the keys of a kind, in the order of the keys.
    pub(super) fn sorted(&self, kind: Kind) -> Vec<u32> {
        let keys = (0..).zip(&self.spans).filter(|(_, span)| span.kind == kind);
        let mut order: Vec<(u64, u32)> = keys
            .map(|(number, _)| (start(self.get(number)), number))
            .collect();
        // Most keys differ in their first bytes, which lie side by side here.
        order.sort_unstable_by(|(a_start, a), (b_start, b)| {
            a_start.cmp(b_start).then_with(|| self.get(*a).cmp(self.get(*b)))
        });
        order.into_iter().map(|(_, number)| number).collect()
    }

    /// Memory in use, roughly (bytes).
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity()
            + self.spans.capacity() * size_of::<Span>()
            + self.numbers.capacity() * size_of::<u32>()
    }
}

#[inline]
fn hash(hasher: &DefaultHashBuilder, kind: Kind, key: &[u8]) -> u64 {
    let mut state = hasher.build_hasher();
    state.write(key);
    state.write_u8(kind as u8);
    state.finish()
}

/// The first bytes of a key, as a number that sorts as they do.
fn start(key: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(key) {
        *to = *from;
    }
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::Keys;
    use crate::postings::Kind;

    #[test]
    fn a_key_has_one_number_and_kinds_are_apart() {
        let mut keys = Keys::default();
        let first = keys.number(Kind::Exact, &["a", "bc"]);
        assert_eq!(keys.number(Kind::Exact, &["ab", "c"]), first);
        assert_ne!(keys.number(Kind::Word, &["abc"]), first);
        assert_eq!(keys.get(first), b"abc");
        assert_eq!(keys.bytes, b"abcabc");
    }

    #[test]
    fn keys_are_sorted_by_their_bytes() {
        let mut keys = Keys::default();
        let mut texts: Vec<String> = [
            "",
            "a",
            "a\0",
            "b",
            "same start, b",
            "same start, a",
            "same sta",
            "é",
            "zz",
        ]
        .map(str::to_owned)
        .to_vec();
        texts.extend((0..500).map(|n| format!("key {n}")));
        for text in &texts {
            keys.number(Kind::Word, &[text]);
        }
        keys.number(Kind::Exact, &["other"]);
        texts.sort();
        let sorted: Vec<&[u8]> = keys
            .sorted(Kind::Word)
            .into_iter()
            .map(|number| keys.get(number))
            .collect();
        assert_eq!(sorted, texts.iter().map(String::as_bytes).collect::<Vec<_>>());
    }
}
