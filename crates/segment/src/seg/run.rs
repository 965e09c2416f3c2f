//! The idempotency run: (hash, seq), ascending, in bits.
//!
//! Hashes are evenly spread, so the distance from one to the next takes fewer bits than a hash, and a seq no more than tell
//! it from the others of the file. Distances begin anew at each fence.

use std::ops::Range;

use super::footer::{FENCE_ENTRIES, FENCE_EVERY};

/// Where the idempotency run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) widths: Widths,
    /// What seqs are counted from.
    pub(super) first_seq: u64,
    /// The hash of every [`FENCE_EVERY`]th entry.
    pub(super) fences: Vec<u64>,
}

/// Bits of an entry's parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Widths {
    distance: u8,
    seq: u8,
}

impl Widths {
    /// Returns the widths for seqs in this range; `None` for a distance that no run has.
    pub(super) fn of(distance: u8, first_seq: u64, last_seq: u64) -> Option<Self> {
        let seq = bits(last_seq.checked_sub(first_seq)?);
        (DISTANCE_MIN..=64)
            .contains(&distance)
            .then_some(Self { distance, seq })
    }

    pub(super) fn distance(self) -> u8 {
        self.distance
    }

    /// Bytes of so many entries; `None` for more than there can be.
    pub(super) fn bytes(self, entries: u64) -> Option<u64> {
        Some(entries.checked_mul(self.entry())?.div_ceil(8))
    }

    fn entry(self) -> u64 {
        u64::from(self.distance) + u64::from(self.seq)
    }
}

impl Run {
    /// Returns where the bytes of these entries are; the range is within the run and starts at a fence.
    pub(super) fn place(&self, range: &Range<u64>) -> (u64, u64) {
        // The trailer was refused if the whole run overflows.
        let at = |entry: u64| self.offset + self.widths.bytes(entry).unwrap_or(0);
        (at(range.start), at(range.end))
    }

    /// Parses the bytes of these entries.
    pub(super) fn parse(&self, range: &Range<u64>, bytes: &[u8]) -> Result<Vec<(u64, u64)>, &'static str> {
        const BAD: &str = "the idempotency run is not in order";
        let fences = usize::try_from(range.start / FENCE_EVERY)
            .ok()
            .and_then(|at| self.fences.get(at..));
        let mut fences = fences.ok_or(BAD)?.iter();
        let count = usize::try_from(range.end - range.start).map_err(|_| BAD)?;
        let mut entries: Vec<(u64, u64)> = Vec::with_capacity(count.min(bytes.len()));
        let (mut hash, mut at) = (0u64, 0);
        for entry in 0..count {
            let distance = get(bytes, at, self.widths.distance).ok_or(BAD)?;
            let seq = get(bytes, at + usize::from(self.widths.distance), self.widths.seq).ok_or(BAD)?;
            at += usize::from(self.widths.distance) + usize::from(self.widths.seq);
            hash = match entry % FENCE_ENTRIES {
                0 if distance == 0 => *fences.next().ok_or(BAD)?,
                0 => return Err(BAD),
                _ => hash.checked_add(distance).ok_or(BAD)?,
            };
            let seq = self.first_seq.checked_add(seq).ok_or(BAD)?;
            if entries.last().is_some_and(|last| *last > (hash, seq)) {
                return Err(BAD);
            }
            entries.push((hash, seq));
        }
        Ok(entries)
    }
}

/// Appends the run, which is sorted; `None` when it names a record outside of the range.
pub(super) fn write(body: &mut Vec<u8>, run: &[(u64, u64)], first_seq: u64, last_seq: u64) -> Option<Widths> {
    let distances = |page: &[(u64, u64)]| {
        let mut before = page.first().map_or(0, |entry| entry.0);
        page.iter()
            .map(|entry| entry.0 - std::mem::replace(&mut before, entry.0))
            .collect::<Vec<u64>>()
    };
    let longest = run.chunks(FENCE_ENTRIES).flat_map(distances).max().unwrap_or(0);
    let widths = Widths::of(bits(longest).max(DISTANCE_MIN), first_seq, last_seq)?;
    let mut bits = Bits::default();
    for page in run.chunks(FENCE_ENTRIES) {
        for (distance, &(_, seq)) in distances(page).into_iter().zip(page) {
            if seq > last_seq {
                return None;
            }
            bits.put(body, distance, widths.distance);
            bits.put(body, seq.checked_sub(first_seq)?, widths.seq);
        }
    }
    bits.end(body);
    Some(widths)
}

/// Bits that do not fill a byte yet, the first the lowest.
#[derive(Default)]
struct Bits {
    pending: u128,
    count: u32,
}

impl Bits {
    fn put(&mut self, body: &mut Vec<u8>, value: u64, width: u8) {
        self.pending |= u128::from(value) << self.count;
        self.count += u32::from(width);
        while self.count >= 8 {
            body.push(self.pending.to_le_bytes()[0]);
            self.pending >>= 8;
            self.count -= 8;
        }
    }

    fn end(self, body: &mut Vec<u8>) {
        if self.count > 0 {
            body.push(self.pending.to_le_bytes()[0]);
        }
    }
}

/// Reads a value of at most 64 bits.
fn get(bytes: &[u8], at: usize, width: u8) -> Option<u64> {
    let end = at + usize::from(width);
    let from = bytes.get(at / 8..end.div_ceil(8))?;
    let mut window = [0; 16];
    window.get_mut(..from.len())?.copy_from_slice(from);
    let mask = u64::MAX.checked_shr(64 - u32::from(width)).unwrap_or(0);
    let (low, _) = (u128::from_le_bytes(window) >> (at % 8))
        .to_le_bytes()
        .split_first_chunk::<8>()
        .map(|(low, rest)| (u64::from_le_bytes(*low), rest.len()))?;
    Some(low & mask)
}

/// Bits that a number takes.
fn bits(value: u64) -> u8 {
    u8::try_from(u64::BITS - value.leading_zeros()).unwrap_or(64)
}

/// Distances are never stored in fewer bits than this, so that a run cannot claim many entries in few bytes.
const DISTANCE_MIN: u8 = 32;
