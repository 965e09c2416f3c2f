//! UUIDs in text, apart from it: 36 characters are one marker in the text and 16 bytes beside it.
//!
//! Their random bits cost zstd a quarter more than they are, and break up the matches around them. The time in a UUID of
//! version 7 is compressed; everything else of them is not.
//!
//! The markers are bytes that UTF-8 does not have. Where the text has them all the same, they are escaped.

use memchr::{memchr, memchr3};

use crate::Malformed;
use crate::columns;

/// Ids taken out of text, in order.
#[derive(Default)]
pub(crate) struct Ids {
    /// Of version 7: the milliseconds, big-endian.
    times: Vec<[u8; TIME_BYTES]>,
    /// Of version 7: the rest.
    rests: Vec<[u8; REST_BYTES]>,
    /// All others.
    others: Vec<[u8; ID_BYTES]>,
}

impl Ids {
    /// Returns how many there are of version 7, and how many others.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.times.len(), self.others.len())
    }

    /// Appends what can be compressed.
    pub(crate) fn put_times(&self, raw: &mut Vec<u8>) {
        columns::put(raw, self.times.iter().copied());
    }

    /// Appends what cannot.
    pub(crate) fn put_random(&self, body: &mut Vec<u8>) {
        body.extend_from_slice(self.rests.as_flattened());
        body.extend_from_slice(self.others.as_flattened());
    }

    /// Appends `text` to `packed` with markers for ids, which are added here.
    pub(crate) fn pack(&mut self, text: &[u8], packed: &mut Vec<u8>) {
        let (mut from, mut at) = (0, 0);
        while let Some(ahead) = memchr(b'-', &text[at..]) {
            let dash = at + ahead;
            let start = dash.checked_sub(8).filter(|&start| start >= from);
            let id = start.and_then(|start| Some((start, parse(text.get(start..start + TEXT_BYTES)?)?)));
            let Some((start, id)) = id else {
                at = dash + 1;
                continue;
            };
            put_literal(&text[from..start], packed);
            packed.push(self.add(id));
            from = start + TEXT_BYTES;
            at = from;
        }
        put_literal(&text[from..], packed);
    }

    /// Adds an id and returns its marker.
    fn add(&mut self, id: [u8; ID_BYTES]) -> u8 {
        match id.split_first_chunk::<TIME_BYTES>() {
            Some((time, rest)) if id[TIME_BYTES] >> 4 == 7 => {
                self.times.push(*time);
                self.rests.extend(rest.as_chunks::<REST_BYTES>().0);
                TIMED
            }
            _ => {
                self.others.push(id);
                OTHER
            }
        }
    }
}

fn put_literal(text: &[u8], packed: &mut Vec<u8>) {
    if marker(text).is_none() {
        return packed.extend_from_slice(text);
    }
    for &byte in text {
        if byte >= TIMED {
            packed.push(ESCAPE);
        }
        packed.push(byte);
    }
}

/// Text without its ids, and the ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packed<'a> {
    pub(crate) text: &'a [u8],
    /// The column of the times of all ids of version 7 beside this text and others.
    pub(crate) times: &'a [u8],
    /// The first of its own in that column.
    pub(crate) first_time: usize,
    /// Its ids of version 7.
    pub(crate) rests: &'a [[u8; REST_BYTES]],
    /// Its other ids.
    pub(crate) others: &'a [[u8; ID_BYTES]],
}

impl Packed<'_> {
    /// Returns the text with its ids. What is allocated is at most what is there, ids as text.
    ///
    /// # Errors
    /// [`Malformed`] when there are more or fewer ids than markers.
    pub(crate) fn unpack(&self) -> Result<Vec<u8>, Malformed> {
        let missing = || Malformed::at(0, "an id is missing");
        let ids = self.rests.len() + self.others.len();
        let mut text = Vec::with_capacity(self.text.len() + ids * TEXT_BYTES);
        let mut rests = self.rests.iter().zip(self.first_time..);
        let mut others = self.others.iter();
        let mut packed = self.text;
        while let Some(at) = marker(packed) {
            let (literal, marked) = packed.split_at(at);
            text.extend_from_slice(literal);
            let (marker, rest) = (marked[0], &marked[1..]);
            packed = rest;
            match marker {
                OTHER => print(others.next().ok_or_else(missing)?, &mut text),
                TIMED => {
                    let (rest, at) = rests.next().ok_or_else(missing)?;
                    let time: [u8; TIME_BYTES] = columns::value(self.times, at).ok_or_else(missing)?;
                    let mut id = [0; ID_BYTES];
                    id[..TIME_BYTES].copy_from_slice(&time);
                    id[TIME_BYTES..].copy_from_slice(rest);
                    print(&id, &mut text);
                }
                _ => {
                    let (&byte, rest) = packed
                        .split_first()
                        .ok_or(Malformed::at(0, "text ends within a mark"))?;
                    text.push(byte);
                    packed = rest;
                }
            }
        }
        text.extend_from_slice(packed);
        if rests.next().is_some() || others.next().is_some() {
            return Err(Malformed::at(0, "more ids than the text has"));
        }
        Ok(text)
    }
}

/// Returns where the first marker is.
fn marker(text: &[u8]) -> Option<usize> {
    memchr3(TIMED, ESCAPE, OTHER, text)
}

/// Reads a UUID as it is commonly written, in lower case.
fn parse(text: &[u8]) -> Option<[u8; ID_BYTES]> {
    let text: &[u8; TEXT_BYTES] = text.try_into().ok()?;
    if DASHES.iter().any(|&at| text[at] != b'-') {
        return None;
    }
    let mut id = [0; ID_BYTES];
    let mut wrong = 0;
    for (byte, &at) in id.iter_mut().zip(&DIGITS) {
        let (high, low) = (VALUES[usize::from(text[at])], VALUES[usize::from(text[at + 1])]);
        wrong |= high | low;
        *byte = high << 4 | low & 15;
    }
    (wrong < 16).then_some(id)
}

fn print(id: &[u8; ID_BYTES], text: &mut Vec<u8>) {
    let mut printed = [b'-'; TEXT_BYTES];
    for (&byte, &at) in id.iter().zip(&DIGITS) {
        printed[at] = HEX[usize::from(byte >> 4)];
        printed[at + 1] = HEX[usize::from(byte & 15)];
    }
    text.extend_from_slice(&printed);
}

/// Bytes of a UUID as text.
const TEXT_BYTES: usize = 36;
pub(crate) const ID_BYTES: usize = 16;
pub(crate) const TIME_BYTES: usize = 6;
/// Bytes of an id of version 7 beside the text.
pub(crate) const REST_BYTES: usize = ID_BYTES - TIME_BYTES;
/// Bytes of another id beside the text.
pub(crate) const OTHER_BYTES: usize = ID_BYTES;
const DASHES: [usize; 4] = [8, 13, 18, 23];
/// Where the two digits of each byte are.
const DIGITS: [usize; ID_BYTES] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
const HEX: &[u8; 16] = b"0123456789abcdef";
/// What a digit is worth; anything else is 255.
const VALUES: [u8; 256] = {
    let mut values = [255; 256];
    let mut digit = 0u8;
    while (digit as usize) < HEX.len() {
        values[HEX[digit as usize] as usize] = digit;
        digit += 1;
    }
    values
};
/// The lowest of the markers: an id of version 7.
const TIMED: u8 = 0xFD;
/// The next byte is text.
const ESCAPE: u8 = 0xFE;
/// An id of another version.
const OTHER: u8 = 0xFF;

#[cfg(test)]
mod tests;
