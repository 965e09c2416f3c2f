//! UUIDs in text, apart from it: 36 characters are one marker in the text and 16 bytes beside it.
//!
//! Their random bits cost zstd a quarter more than they are, and break up the matches around them. The time in a UUID of
//! version 7 is compressed; everything else of them is not.
//!
//! The markers are bytes that UTF-8 does not have. Where the text has them all the same, they are escaped.

use crate::Malformed;
use crate::columns;
use crate::cursor::Cursor;

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
        while let Some(ahead) = text[at..].iter().position(|&byte| byte == b'-') {
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
    if !text.iter().any(|&byte| byte >= TIMED) {
        return packed.extend_from_slice(text);
    }
    for &byte in text {
        if byte >= TIMED {
            packed.push(ESCAPE);
        }
        packed.push(byte);
    }
}

/// Puts ids back into text.
pub(crate) struct Unpacker<'a, T> {
    packed: &'a [u8],
    times: T,
    rests: std::slice::Iter<'a, [u8; REST_BYTES]>,
    others: std::slice::Iter<'a, [u8; ID_BYTES]>,
}

/// Returns an unpacker of `packed`. `random` are the bytes that [`Ids::put_random`] wrote for so many ids of version 7 and
/// others.
pub(crate) fn unpacker<'a>(
    counts: (usize, usize),
    times: &mut Cursor<'a>,
    random: &mut Cursor<'a>,
) -> Result<Unpacker<'a, impl Iterator<Item = [u8; TIME_BYTES]> + use<'a>>, Malformed> {
    let column = columns::take::<TIME_BYTES>(times, counts.0)?;
    Ok(Unpacker {
        packed: times.take(times.remaining())?,
        times: column,
        rests: random.take_items(counts.0, REST_BYTES)?.as_chunks().0.iter(),
        others: random.take_items(counts.1, ID_BYTES)?.as_chunks().0.iter(),
    })
}

impl<T: Iterator<Item = [u8; TIME_BYTES]>> Unpacker<'_, T> {
    /// Appends the next `length` bytes of the text.
    pub(crate) fn next(&mut self, length: usize, text: &mut Vec<u8>) -> Result<(), Malformed> {
        let bad = |reason| Malformed::at(0, reason);
        let end = text.len().checked_add(length).ok_or(bad("a length overflows"))?;
        while text.len() < end {
            let within = &self.packed[..self.packed.len().min(end - text.len())];
            let plain = within
                .iter()
                .position(|&byte| byte >= TIMED)
                .unwrap_or(within.len());
            let (literal, rest) = self.packed.split_at(plain);
            text.extend_from_slice(literal);
            self.packed = rest;
            if text.len() == end {
                break;
            }
            let (&marker, rest) = rest.split_first().ok_or(bad("text ends too early"))?;
            self.packed = rest;
            let mut id = [0; ID_BYTES];
            match marker {
                OTHER => id = *self.others.next().ok_or(bad("an id is missing"))?,
                TIMED => {
                    let parts = self.times.next().zip(self.rests.next());
                    let (time, rest) = parts.ok_or(bad("an id is missing"))?;
                    id[..TIME_BYTES].copy_from_slice(&time);
                    id[TIME_BYTES..].copy_from_slice(rest);
                }
                _ => {
                    let (&byte, rest) = self.packed.split_first().ok_or(bad("text ends too early"))?;
                    self.packed = rest;
                    text.push(byte);
                    continue;
                }
            }
            print(&id, text);
        }
        if text.len() == end {
            Ok(())
        } else {
            Err(bad("an id goes beyond its record"))
        }
    }

    /// Checks that nothing is left.
    pub(crate) fn end(mut self) -> Result<(), Malformed> {
        let left = self.times.next().is_some() || self.others.next().is_some() || !self.packed.is_empty();
        if left {
            Err(Malformed::at(0, "more text or ids than records need"))
        } else {
            Ok(())
        }
    }
}

/// Reads a UUID as it is commonly written, in lower case.
fn parse(text: &[u8]) -> Option<[u8; ID_BYTES]> {
    let mut id = [0; ID_BYTES];
    let mut digits = 0;
    for (at, &byte) in text.iter().enumerate() {
        let digit = match byte {
            b'-' if DASHES.contains(&at) => continue,
            _ if DASHES.contains(&at) => return None,
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        let place = id.get_mut(digits / 2)?;
        *place = *place << 4 | digit;
        digits += 1;
    }
    (digits == 2 * ID_BYTES).then_some(id)
}

fn print(id: &[u8; ID_BYTES], text: &mut Vec<u8>) {
    for (at, &byte) in id.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push(b'-');
        }
        text.extend([byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]));
    }
}

/// Bytes of a UUID as text.
pub(crate) const TEXT_BYTES: usize = 36;
const ID_BYTES: usize = 16;
pub(crate) const TIME_BYTES: usize = 6;
/// Bytes of an id of version 7 beside the text.
pub(crate) const REST_BYTES: usize = ID_BYTES - TIME_BYTES;
/// Bytes of another id beside the text.
pub(crate) const OTHER_BYTES: usize = ID_BYTES;
const DASHES: [usize; 4] = [8, 13, 18, 23];
const HEX: &[u8; 16] = b"0123456789abcdef";
/// The lowest of the markers: an id of version 7.
const TIMED: u8 = 0xFD;
/// The next byte is text.
const ESCAPE: u8 = 0xFE;
/// An id of another version.
const OTHER: u8 = 0xFF;

#[cfg(test)]
mod tests;
