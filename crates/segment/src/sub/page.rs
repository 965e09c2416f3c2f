//! One page of the list of (seq, ordinal, block), by which a record's groups are found.

use super::footer::PageEntry;
use crate::compression::decompress;
use crate::cursor::Cursor;
use crate::{Malformed, columns};

/// Where a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// Index of the record in the tenant's log.
    pub seq: u64,
    /// Number of the group among the record's personal groups.
    pub ordinal: u16,
    /// Number of the block that holds it.
    pub block: u32,
}

/// Splits sorted pairs into runs that fit a page: at most [`PAGE_PAIRS`], and no gap of 2^32 seqs.
pub(super) fn pages(pairs: &[Pair]) -> impl Iterator<Item = &[Pair]> {
    pairs
        .chunk_by(|left, right| u32::try_from(right.seq - left.seq).is_ok())
        .flat_map(|run| run.chunks(PAGE_PAIRS))
}

/// Lays out a page's content.
pub(super) fn page_raw(pairs: &[Pair]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(pairs.len() * PAIR_BYTES);
    let befores = pairs.first().into_iter().chain(pairs);
    let deltas = pairs.iter().zip(befores).map(|(pair, before)| {
        u32::try_from(pair.seq - before.seq)
            .expect("pages() keeps gaps within a page below 2^32")
            .to_le_bytes()
    });
    columns::put(&mut raw, deltas);
    columns::put(&mut raw, pairs.iter().map(|pair| pair.ordinal.to_le_bytes()));
    columns::put(&mut raw, pairs.iter().map(|pair| pair.block.to_le_bytes()));
    raw
}

/// Parses the stored bytes of the page that `entry` describes, in a body of `blocks` blocks.
///
/// # Errors
/// [`Malformed`] with an offset from the page's start.
pub fn parse_sub_page(entry: &PageEntry, blocks: u32, bytes: &[u8]) -> Result<Vec<Pair>, Malformed> {
    let count = entry.pairs as usize;
    if count > PAGE_PAIRS {
        return Err(Malformed::at(0, "a page has too many pairs"));
    }
    let raw = decompress(bytes, count * PAIR_BYTES)?;
    let mut columns = Cursor::new(&raw);
    let deltas = columns::take(&mut columns, count)?.map(u32::from_le_bytes);
    let ordinals = columns::take(&mut columns, count)?.map(u16::from_le_bytes);
    let numbers = columns::take(&mut columns, count)?.map(u32::from_le_bytes);
    columns.end()?;

    let bad = |reason| Malformed::at(0, reason);
    let mut seq = entry.first_seq;
    let mut pairs: Vec<Pair> = Vec::with_capacity(count);
    for ((delta, ordinal), block) in deltas.zip(ordinals).zip(numbers) {
        seq = seq.checked_add(u64::from(delta)).ok_or(bad("a seq overflows"))?;
        if pairs
            .last()
            .is_some_and(|last| (last.seq, last.ordinal) >= (seq, ordinal))
        {
            return Err(bad("pairs do not ascend"));
        }
        if block >= blocks {
            return Err(bad("a pair names a block that is not there"));
        }
        pairs.push(Pair { seq, ordinal, block });
    }
    let (first, last) = (
        pairs.first().map(|pair| pair.seq),
        pairs.last().map(|pair| pair.seq),
    );
    if (first, last) != (Some(entry.first_seq), Some(entry.last_seq)) {
        return Err(bad("a page and the page index disagree"));
    }
    Ok(pairs)
}

/// The most pairs in a page.
pub(super) const PAGE_PAIRS: usize = 1024;
const PAIR_BYTES: usize = 4 + 2 + 4;
