//! What a `.sub` body ends with: the sets, where their blocks are, where the pages are.

use super::block::DICTIONARY_NUMBER;
use super::page::PAGE_PAIRS;
use super::{HANDLES_MAX, Handle};
use crate::Malformed;
use crate::cursor::{Cursor, u16s, u32s};

/// What a `.sub` body holds, in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubMeta {
    /// Personal groups.
    pub groups: u64,
    /// Records that have any.
    pub records: u64,
    /// Seq of the first of those records; 0 when there is none.
    pub first_seq: u64,
    /// Seq of the last of those records; 0 when there is none.
    pub last_seq: u64,
    /// Bytes of all groups as they are stored, before compression.
    pub personal_bytes: u64,
}

/// Where a page is and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageEntry {
    /// Seq of its first pair.
    pub first_seq: u64,
    /// Seq of its last pair.
    pub last_seq: u64,
    /// Offset of its frame in the plaintext; computed from the lengths.
    pub offset: u64,
    /// Bytes of its zstd frame.
    pub compressed: u32,
    /// Pairs in it.
    pub pairs: u32,
}

/// Where a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockEntry {
    /// Offset in the plaintext; computed from the lengths.
    pub(super) offset: u64,
    /// Bytes of ciphertext and tag.
    pub(super) sealed: u32,
    /// Bytes of the frame's content.
    pub(super) raw: u32,
}

/// Everything after the pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubFooter {
    pub(super) meta: SubMeta,
    pub(super) sets: SetTable,
    pub(super) blocks: Vec<BlockEntry>,
    pub(super) pages: Vec<PageEntry>,
}

impl SubFooter {
    /// Returns the numbers of the body.
    pub fn meta(&self) -> &SubMeta {
        &self.meta
    }

    /// Returns the page index, ascending by seq.
    pub fn pages(&self) -> &[PageEntry] {
        &self.pages
    }
}

/// The sets, ascending by their handles. A set's handles and blocks end where the next set's start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct SetTable {
    handles: Vec<Handle>,
    ends: Vec<SetEnd>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct SetEnd {
    handles: usize,
    blocks: u32,
}

impl SetTable {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn handles(&self, set: usize) -> &[Handle] {
        let start = set
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .copied()
            .unwrap_or_default();
        let end = self.ends.get(set).copied().unwrap_or(start);
        &self.handles[start.handles..end.handles]
    }

    /// Returns the numbers of a set's blocks; `None` past the last set.
    pub(super) fn blocks(&self, set: usize) -> Option<std::ops::Range<u32>> {
        let end = self.ends.get(set)?;
        let start = set
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .map_or(0, |before| before.blocks);
        Some(start..end.blocks)
    }

    /// Returns the set that a block belongs to.
    pub(super) fn set_of(&self, block: u32) -> usize {
        self.ends.partition_point(|end| end.blocks <= block)
    }
}

/// Parses the footer of a whole `.sub` plaintext.
///
/// # Errors
/// [`Malformed`] with the offset in the plaintext. Allocates in proportion to `plaintext` only.
pub fn parse_sub_footer(plaintext: &[u8]) -> Result<SubFooter, Malformed> {
    let trailer_at = plaintext
        .len()
        .checked_sub(TRAILER_BYTES)
        .ok_or(Malformed::at(0, "too short for a body"))?;
    let trailer = parse_trailer(&plaintext[trailer_at..], plaintext.len() as u64)?;
    let tables = usize::try_from(trailer.tables_offset)
        .ok()
        .and_then(|from| plaintext.get(from..trailer_at));
    parse_tables(
        &trailer,
        tables.ok_or(Malformed::at(trailer_at, "the footer is outside of the body"))?,
    )
}

/// The fixed-size end of a body, from which everything else is found.
#[derive(Debug, Clone)]
pub(super) struct Trailer {
    pub(super) tables_offset: u64,
    sets: u32,
    handles: u32,
    blocks: u32,
    pages: u32,
    meta: SubMeta,
}

/// Parses a trailer and checks that the sections it names end where it starts.
pub(super) fn parse_trailer(bytes: &[u8], plaintext_len: u64) -> Result<Trailer, Malformed> {
    let start = plaintext_len.saturating_sub(TRAILER_BYTES as u64);
    parse_trailer_at_zero(bytes, plaintext_len).map_err(|malformed| malformed.shifted(start))
}

fn parse_trailer_at_zero(bytes: &[u8], plaintext_len: u64) -> Result<Trailer, Malformed> {
    let mut cursor = Cursor::new(bytes);
    let trailer = Trailer {
        tables_offset: cursor.u64()?,
        sets: cursor.u32()?,
        handles: cursor.u32()?,
        blocks: cursor.u32()?,
        pages: cursor.u32()?,
        meta: SubMeta {
            groups: cursor.u64()?,
            records: cursor.u64()?,
            first_seq: cursor.u64()?,
            last_seq: cursor.u64()?,
            personal_bytes: cursor.u64()?,
        },
    };
    let dictionary = cursor.u16()?;
    cursor.zeros(TRAILER_RESERVED)?;
    let version = cursor.u16()?;
    if cursor.array::<8>()? != *MAGIC {
        return Err(cursor.fail("not the end of a sub body"));
    }
    cursor.end()?;
    if version != VERSION {
        return Err(cursor.fail("a sub version that this program does not know"));
    }
    if dictionary != DICTIONARY_NUMBER {
        return Err(cursor.fail("a dictionary that this program does not know"));
    }
    let tables = u64::from(trailer.sets) * 6
        + u64::from(trailer.handles) * 16
        + u64::from(trailer.blocks) * 8
        + u64::from(trailer.pages) * PAGE_ENTRY_BYTES;
    if trailer.tables_offset.checked_add(tables + TRAILER_BYTES as u64) != Some(plaintext_len) {
        return Err(cursor.fail("the sections do not add up to the body's length"));
    }
    Ok(trailer)
}

/// Parses set table, block table and page index, which are `bytes`.
pub(super) fn parse_tables(trailer: &Trailer, bytes: &[u8]) -> Result<SubFooter, Malformed> {
    parse_tables_at_zero(trailer, bytes).map_err(|malformed| malformed.shifted(trailer.tables_offset))
}

fn parse_tables_at_zero(trailer: &Trailer, bytes: &[u8]) -> Result<SubFooter, Malformed> {
    let mut cursor = Cursor::new(bytes);
    let sets = parse_sets(trailer, &mut cursor)?;
    let mut offset = 0u64;

    let table = cursor.take_items(trailer.blocks as usize, 8)?;
    let mut values = u32s(table);
    let mut blocks = Vec::with_capacity(trailer.blocks as usize);
    while let (Some(sealed), Some(raw)) = (values.next(), values.next()) {
        blocks.push(BlockEntry { offset, sealed, raw });
        // At most 2^32 blocks of 2^32 bytes: no overflow.
        offset = offset
            .checked_add(u64::from(sealed))
            .ok_or(cursor.fail("an offset overflows"))?;
    }

    let mut pages: Vec<PageEntry> = Vec::with_capacity(trailer.pages as usize);
    let mut pairs = 0u64;
    while cursor.remaining() > 0 {
        let entry = PageEntry {
            first_seq: cursor.u64()?,
            last_seq: cursor.u64()?,
            offset,
            compressed: cursor.u32()?,
            pairs: cursor.u32()?,
        };
        if entry.first_seq > entry.last_seq
            || pages
                .last()
                .is_some_and(|before| entry.first_seq < before.last_seq)
        {
            return Err(cursor.fail("the pages' seqs do not ascend"));
        }
        if entry.pairs == 0 || entry.pairs as usize > PAGE_PAIRS {
            return Err(cursor.fail("a page without pairs or with too many"));
        }
        offset = offset
            .checked_add(u64::from(entry.compressed))
            .ok_or(cursor.fail("an offset overflows"))?;
        pairs += u64::from(entry.pairs);
        pages.push(entry);
    }
    let meta = trailer.meta.clone();
    let first = pages.first().map_or(0, |page| page.first_seq);
    let last = pages.last().map_or(0, |page| page.last_seq);
    if offset != trailer.tables_offset || (pairs, first, last) != (meta.groups, meta.first_seq, meta.last_seq)
    {
        return Err(cursor.fail("index and trailer disagree"));
    }
    Ok(SubFooter {
        meta,
        sets,
        blocks,
        pages,
    })
}

fn parse_sets(trailer: &Trailer, cursor: &mut Cursor<'_>) -> Result<SetTable, Malformed> {
    let count = trailer.sets as usize;
    let handle_counts = cursor.take_items(count, 2)?;
    let block_counts = cursor.take_items(count, 4)?;
    let handles = cursor
        .take_items(trailer.handles as usize, 16)?
        .as_chunks::<16>()
        .0
        .to_vec();
    let mut table = SetTable {
        handles,
        ends: Vec::with_capacity(count),
    };
    let mut end = SetEnd::default();
    for (handle_count, block_count) in u16s(handle_counts).zip(u32s(block_counts)) {
        let start = end.handles;
        end.handles += usize::from(handle_count);
        end.blocks = end
            .blocks
            .checked_add(block_count)
            .ok_or(cursor.fail("too many blocks"))?;
        let set = table
            .handles
            .get(start..end.handles)
            .ok_or(cursor.fail("fewer handles than sets need"))?;
        if set.is_empty() || set.len() > HANDLES_MAX || !strictly_ascending(set) || block_count == 0 {
            return Err(cursor.fail("a set's handles do not ascend, or it has no block"));
        }
        let before = table.len().checked_sub(1).map(|before| table.handles(before));
        if before.is_some_and(|before| before >= set) {
            return Err(cursor.fail("sets do not ascend"));
        }
        table.ends.push(end);
    }
    if end.handles != table.handles.len() || end.blocks != trailer.blocks {
        return Err(cursor.fail("sets and trailer disagree"));
    }
    Ok(table)
}

pub(super) fn strictly_ascending(handles: &[Handle]) -> bool {
    handles.is_sorted_by(|left, right| left < right)
}

/// The footer as the builder collects it.
#[derive(Default)]
pub(super) struct FooterWriter {
    handle_counts: Vec<u8>,
    block_counts: Vec<u8>,
    handles: Vec<u8>,
    blocks: Vec<u8>,
    pages: Vec<u8>,
    counts: [usize; 4],
}

impl FooterWriter {
    pub(super) fn set(&mut self, handles: &[Handle], blocks: u32) -> Option<()> {
        self.handle_counts
            .extend_from_slice(&u16::try_from(handles.len()).ok()?.to_le_bytes());
        self.block_counts.extend_from_slice(&blocks.to_le_bytes());
        self.handles.extend_from_slice(handles.as_flattened());
        self.counts[0] += 1;
        self.counts[1] += handles.len();
        Some(())
    }

    pub(super) fn block(&mut self, sealed: usize, raw: u32) -> Option<()> {
        self.blocks
            .extend_from_slice(&u32::try_from(sealed).ok()?.to_le_bytes());
        self.blocks.extend_from_slice(&raw.to_le_bytes());
        self.counts[2] += 1;
        Some(())
    }

    pub(super) fn page(&mut self, seqs: (u64, u64), compressed: usize, pairs: usize) -> Option<()> {
        self.pages.extend_from_slice(&seqs.0.to_le_bytes());
        self.pages.extend_from_slice(&seqs.1.to_le_bytes());
        self.pages
            .extend_from_slice(&u32::try_from(compressed).ok()?.to_le_bytes());
        self.pages
            .extend_from_slice(&u32::try_from(pairs).ok()?.to_le_bytes());
        self.counts[3] += 1;
        Some(())
    }

    pub(super) fn finish(self, body: &mut Vec<u8>, meta: &SubMeta) -> Option<()> {
        let tables_offset = body.len() as u64;
        for table in [
            &self.handle_counts,
            &self.block_counts,
            &self.handles,
            &self.blocks,
            &self.pages,
        ] {
            body.extend_from_slice(table);
        }
        let trailer_at = body.len();
        body.extend_from_slice(&tables_offset.to_le_bytes());
        for count in self.counts {
            body.extend_from_slice(&u32::try_from(count).ok()?.to_le_bytes());
        }
        for value in [
            meta.groups,
            meta.records,
            meta.first_seq,
            meta.last_seq,
            meta.personal_bytes,
        ] {
            body.extend_from_slice(&value.to_le_bytes());
        }
        body.extend_from_slice(&DICTIONARY_NUMBER.to_le_bytes());
        body.extend_from_slice(&[0; TRAILER_RESERVED]);
        body.extend_from_slice(&VERSION.to_le_bytes());
        body.extend_from_slice(MAGIC);
        debug_assert_eq!(body.len() - trailer_at, TRAILER_BYTES);
        Some(())
    }
}

/// Bytes in a trailer.
pub(super) const TRAILER_BYTES: usize = 96;
const PAGE_ENTRY_BYTES: u64 = 24;
const TRAILER_RESERVED: usize = 20;
const VERSION: u16 = 3;
const MAGIC: &[u8; 8] = b"ATSTSUBB";
const _: () = assert!(TRAILER_BYTES == 8 + 4 * 4 + 5 * 8 + 2 + TRAILER_RESERVED + 2 + 8);
