//! A personal group without what it repeats of its record's public group.
//!
//! A mapping keeps the whole original in the personal payload, and most of its ids, times and names stand in the public group
//! too. Text between two quotes that also stands between two quotes there is stored as its number there. Both groups are
//! immutable and belong to one record, so what is put back is what was taken out.
//!
//! The marks are bytes that UTF-8 does not have. Where a group has them all the same, they are escaped.

use memchr::{memchr, memchr_iter, memchr3};

use super::GROUP_BYTES_MAX;
use crate::Malformed;

/// The bytes of a personal group as they are stored. [`Packed::restore`] makes them whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed(Vec<u8>);

impl Packed {
    /// Packs a group of the record that has this public group.
    pub fn of(group: &[u8], public: &[u8]) -> Self {
        let known = Known::of(public);
        let mut packed = Vec::with_capacity(group.len());
        for (at, part) in parts(group).enumerate() {
            if at > 0 {
                packed.push(QUOTE);
            }
            match known.find(part) {
                Some(number) => packed.extend([REFERENCE, number]),
                None => put_literal(part, &mut packed),
            }
        }
        Self(packed)
    }

    /// Returns the group's bytes, given the public group of its record.
    ///
    /// # Errors
    /// [`Malformed`] when it refers to what the public group does not have, or would be longer than a group may be.
    pub fn restore(&self, public: &[u8]) -> Result<Vec<u8>, Malformed> {
        let known: Vec<&[u8]> = parts(public).take(usize::from(PARTS_LAST) + 1).collect();
        let mut group = Vec::with_capacity(self.0.len());
        let mut rest = self.0.as_slice();
        let bad = |reason| Malformed::at(0, reason);
        while let Some(at) = mark(rest) {
            let (literal, marked) = rest.split_at(at);
            group.extend_from_slice(literal);
            let (&[mark, value], after) = marked
                .split_first_chunk()
                .ok_or(bad("a group ends within a mark"))?;
            match mark {
                REFERENCE => group.extend_from_slice(
                    known
                        .get(usize::from(value))
                        .ok_or(bad("a group repeats what its public group does not have"))?,
                ),
                ESCAPE => group.push(value | ESCAPED),
                _ => return Err(bad("an unknown mark in a group")),
            }
            if group.len() > GROUP_BYTES_MAX {
                return Err(bad("a group is longer than the format allows"));
            }
            rest = after;
        }
        group.extend_from_slice(rest);
        Ok(group)
    }

    /// The bytes as they are stored: without what the public group has.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the number of bytes that are stored.
    #[expect(clippy::len_without_is_empty, reason = "nothing asks")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Appends the bytes and their end.
    pub(super) fn put(&self, text: &mut Vec<u8>) {
        text.extend_from_slice(&self.0);
        text.push(END);
    }

    /// Returns how long the bytes are that [`Packed::put`] wrote at the front of `text`, without their end.
    pub(super) fn end(text: &[u8]) -> Option<usize> {
        memchr(END, text)
    }

    /// Returns the group that is stored as these bytes.
    pub(super) fn stored(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

/// The parts of a public group that are long enough, by a hash of their length and ends.
struct Known<'a> {
    parts: [&'a [u8]; PARTS_LAST as usize + 1],
    /// Places in `parts`, or [`FREE`].
    places: [u8; PLACES],
}

impl<'a> Known<'a> {
    fn of(public: &'a [u8]) -> Self {
        let mut known = Self {
            parts: [&[]; PARTS_LAST as usize + 1],
            places: [FREE; PLACES],
        };
        for (number, part) in (0..=PARTS_LAST).zip(parts(public)) {
            known.parts[usize::from(number)] = part;
            let free = spots(part).and_then(|mut spots| spots.find(|spot| known.places[*spot] == FREE));
            if let Some(spot) = free {
                known.places[spot] = number;
            }
        }
        known
    }

    /// Returns the first number of the part.
    fn find(&self, part: &[u8]) -> Option<u8> {
        spots(part)?
            .map(|spot| self.places[spot])
            .take_while(|number| *number != FREE)
            .find(|number| {
                self.parts
                    .get(usize::from(*number))
                    .is_some_and(|known| *known == part)
            })
    }
}

/// Where a part may be: few places, so that text that is made to collide costs no more than other text. `None` for one that
/// is left to the compression.
fn spots(part: &[u8]) -> Option<impl Iterator<Item = usize>> {
    let (first, last) = (
        part.first_chunk::<PART_BYTES_MIN>()?,
        part.last_chunk::<PART_BYTES_MIN>()?,
    );
    let mixed = u64::from_le_bytes(*first)
        .wrapping_add(u64::from_le_bytes(*last).rotate_left(23))
        .wrapping_add(part.len() as u64)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let spot = mixed.to_be_bytes()[0];
    Some((0..SPOTS).map(move |step| (usize::from(spot) * 2 + step) % PLACES))
}

/// Text between quotes, and before the first and after the last.
fn parts(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut from = 0;
    let ends = memchr_iter(QUOTE, bytes).chain(std::iter::once(bytes.len()));
    ends.map(move |end| {
        let part = &bytes[from..end];
        from = end + 1;
        part
    })
}

/// Returns where the first mark is.
fn mark(bytes: &[u8]) -> Option<usize> {
    memchr3(END, ESCAPE, REFERENCE, bytes)
}

fn put_literal(part: &[u8], packed: &mut Vec<u8>) {
    if mark(part).is_none() {
        return packed.extend_from_slice(part);
    }
    for &byte in part {
        if byte >= END {
            packed.extend([ESCAPE, byte & !ESCAPED]);
        } else {
            packed.push(byte);
        }
    }
}

const QUOTE: u8 = b'"';
/// Shorter text is left to the compression.
const PART_BYTES_MIN: usize = 8;
/// Twice as many as there are numbers.
const PLACES: usize = 512;
/// Places that are looked at for one part.
const SPOTS: usize = 16;
/// No part has this number.
const FREE: u8 = u8::MAX;
/// The last number that a part can have: no number looks like [`END`].
const PARTS_LAST: u8 = END - 1;
/// The lowest of the marks: the end of a group in its block.
const END: u8 = 0xFD;
/// The next byte, with the bits of [`ESCAPED`], is text.
const ESCAPE: u8 = 0xFE;
/// The next byte is the number of a part of the public group.
const REFERENCE: u8 = 0xFF;
/// Bits that an escaped byte has and its stored form has not, so that it does not look like [`END`] either.
const ESCAPED: u8 = 0x80;

#[cfg(test)]
mod tests;
