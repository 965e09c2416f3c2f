//! What a `.seg` body ends with: where its blocks are, the salt keys, the idempotency run.

use std::collections::BTreeMap;

use attestore_keys::Key;

use super::run::{self, Run, Widths};
use crate::Malformed;
use crate::cursor::{Cursor, u64s};
use crate::ids::{OTHER_BYTES, REST_BYTES};

/// Where a block is and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockEntry {
    /// Seq of its first record.
    pub first_seq: u64,
    /// Seq of its last record.
    pub last_seq: u64,
    /// Offset of its stored bytes in the plaintext.
    pub offset: u64,
    /// Bytes of its zstd frame.
    pub compressed: u32,
    /// Bytes of the frame's content.
    pub raw: u32,
    /// Explicit salts and commitments after the frame, 32 bytes each.
    pub hashes: u32,
    /// Records in it.
    pub records: u32,
    /// UUIDs of version 7 in its text, each with 10 bytes after the commitments.
    pub timed_ids: u32,
    /// Other UUIDs in its text, each with 16 bytes after those.
    pub other_ids: u32,
}

impl BlockEntry {
    /// Returns the bytes that the block takes in the plaintext.
    pub fn stored_len(&self) -> u64 {
        u64::from(self.compressed)
            + u64::from(self.hashes) * 32
            + u64::from(self.timed_ids) * REST_BYTES as u64
            + u64::from(self.other_ids) * OTHER_BYTES as u64
    }
}

/// What a `.seg` body holds, in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SegMeta {
    /// Records.
    pub records: u64,
    /// Seq of the first record; 0 when there is none.
    pub first_seq: u64,
    /// Seq of the last record; 0 when there is none.
    pub last_seq: u64,
    /// Bytes of all public groups, before compression.
    pub public_bytes: u64,
    /// Records whose salt is stored with them.
    pub explicit_salts: u64,
    /// zstd level that the blocks were written with.
    pub level: i32,
    /// Block size that the blocks were written with, in bytes.
    pub block_bytes: u32,
}

/// Everything after the blocks but the idempotency run itself.
pub struct SegFooter {
    pub(super) dictionary_bytes: u32,
    pub(super) meta: SegMeta,
    pub(super) blocks: Vec<BlockEntry>,
    pub(super) salts: BTreeMap<u32, Key>,
    pub(super) run: Run,
}

impl SegFooter {
    /// Returns the numbers of the body.
    pub fn meta(&self) -> &SegMeta {
        &self.meta
    }

    /// Returns the block index, ascending by seq.
    pub fn blocks(&self) -> &[BlockEntry] {
        &self.blocks
    }

    /// Returns the bytes of the dictionary, which is in front of the blocks; 0 when there is none.
    pub fn dictionary_bytes(&self) -> u32 {
        self.dictionary_bytes
    }
}

/// Parses the footer of a whole `.seg` plaintext.
///
/// # Errors
/// [`Malformed`] with the offset in the plaintext. Allocates at most what `plaintext` is long.
pub fn parse_seg_footer(plaintext: &[u8]) -> Result<SegFooter, Malformed> {
    let length = plaintext.len() as u64;
    let trailer_at = plaintext
        .len()
        .checked_sub(TRAILER_BYTES)
        .ok_or(Malformed::at(0, "too short for a body"))?;
    let trailer = parse_trailer(&plaintext[trailer_at..], length)?;
    let tables = usize::try_from(trailer.index_offset)
        .ok()
        .zip(usize::try_from(trailer.run_offset).ok());
    let tables = tables.and_then(|(from, to)| plaintext.get(from..to));
    parse_tables(
        &trailer,
        tables.ok_or(Malformed::at(trailer_at, "the footer is outside of the body"))?,
    )
}

/// The fixed-size end of a body, from which everything else is found.
#[derive(Debug, Clone)]
pub(super) struct Trailer {
    pub(super) index_offset: u64,
    /// Computed: where the tables end and the idempotency run starts.
    pub(super) run_offset: u64,
    blocks: u32,
    salts: u32,
    run: u64,
    widths: Widths,
    dictionary_bytes: u32,
    meta: SegMeta,
}

/// Parses a trailer and checks that the sections it names fill the plaintext exactly.
pub(super) fn parse_trailer(bytes: &[u8], plaintext_len: u64) -> Result<Trailer, Malformed> {
    let start = plaintext_len.saturating_sub(TRAILER_BYTES as u64);
    parse_trailer_at_zero(bytes, plaintext_len).map_err(|malformed| malformed.shifted(start))
}

fn parse_trailer_at_zero(bytes: &[u8], plaintext_len: u64) -> Result<Trailer, Malformed> {
    let mut cursor = Cursor::new(bytes);
    let index_offset = cursor.u64()?;
    let blocks = cursor.u32()?;
    let salts = cursor.u32()?;
    let run = cursor.u64()?;
    let meta = SegMeta {
        records: cursor.u64()?,
        first_seq: cursor.u64()?,
        last_seq: cursor.u64()?,
        public_bytes: cursor.u64()?,
        explicit_salts: cursor.u64()?,
        level: i32::from_le_bytes(cursor.array()?),
        block_bytes: cursor.u32()?,
    };
    let widths = Widths::of(cursor.u8()?, meta.first_seq, meta.last_seq);
    let dictionary_bytes = cursor.u32()?;
    cursor.zeros(TRAILER_RESERVED)?;
    let version = cursor.u16()?;
    if cursor.array::<8>()? != *MAGIC {
        return Err(cursor.fail("not the end of a seg body"));
    }
    cursor.end()?;
    if version != VERSION {
        return Err(cursor.fail("a seg version that this program does not know"));
    }
    let widths = widths.ok_or_else(|| cursor.fail("an idempotency run of unknown widths"))?;
    let sizes = [
        Some(u64::from(blocks) * BLOCK_ENTRY_BYTES as u64),
        Some(u64::from(salts) * SALT_ENTRY_BYTES as u64),
        run.div_ceil(FENCE_EVERY).checked_mul(8),
    ];
    let run_offset = sizes
        .into_iter()
        .try_fold(index_offset, |sum, size| sum.checked_add(size?));
    let end = run_offset
        .zip(widths.bytes(run))
        .and_then(|(offset, run)| offset.checked_add(run)?.checked_add(TRAILER_BYTES as u64));
    match run_offset {
        Some(run_offset) if end == Some(plaintext_len) => Ok(Trailer {
            index_offset,
            run_offset,
            blocks,
            salts,
            run,
            widths,
            dictionary_bytes,
            meta,
        }),
        _ => Err(cursor.fail("the sections do not add up to the body's length")),
    }
}

/// Parses block index, salt table and fences, which are `bytes`.
pub(super) fn parse_tables(trailer: &Trailer, bytes: &[u8]) -> Result<SegFooter, Malformed> {
    let shift = |malformed: Malformed| malformed.shifted(trailer.index_offset);
    let mut cursor = Cursor::new(bytes);
    let blocks = parse_index(trailer, &mut cursor).map_err(shift)?;
    let salts = parse_salts(trailer, &mut cursor).map_err(shift)?;
    let fences: Vec<u64> = (|| {
        let count =
            usize::try_from(trailer.run.div_ceil(FENCE_EVERY)).map_err(|_| cursor.fail("too many fences"))?;
        let fences: Vec<u64> = u64s(cursor.take_items(count, 8)?).collect();
        cursor.end()?;
        if !fences.is_sorted() {
            return Err(cursor.fail("fences do not ascend"));
        }
        Ok(fences)
    })()
    .map_err(shift)?;
    let run = Run {
        offset: trailer.run_offset,
        len: trailer.run,
        widths: trailer.widths,
        first_seq: trailer.meta.first_seq,
        fences,
    };
    Ok(SegFooter {
        dictionary_bytes: trailer.dictionary_bytes,
        meta: trailer.meta.clone(),
        blocks,
        salts,
        run,
    })
}

fn parse_index(trailer: &Trailer, cursor: &mut Cursor<'_>) -> Result<Vec<BlockEntry>, Malformed> {
    let mut table = Cursor::new(cursor.take_items(trailer.blocks as usize, BLOCK_ENTRY_BYTES)?);
    let mut blocks: Vec<BlockEntry> = Vec::with_capacity(trailer.blocks as usize);
    let (mut offset, mut records, mut after) = (u64::from(trailer.dictionary_bytes), 0u64, None);
    while table.remaining() > 0 {
        let entry = BlockEntry {
            first_seq: table.u64()?,
            last_seq: table.u64()?,
            offset: table.u64()?,
            compressed: table.u32()?,
            raw: table.u32()?,
            hashes: table.u32()?,
            records: table.u32()?,
            timed_ids: table.u32()?,
            other_ids: table.u32()?,
        };
        if entry.offset != offset {
            return Err(table.fail("blocks are not one after the other"));
        }
        if after.is_some_and(|last| entry.first_seq <= last)
            || entry.last_seq < entry.first_seq
            || entry.records == 0
        {
            return Err(table.fail("the blocks' seqs do not ascend"));
        }
        offset = offset
            .checked_add(entry.stored_len())
            .ok_or(table.fail("an offset overflows"))?;
        records = records
            .checked_add(u64::from(entry.records))
            .ok_or(table.fail("a count overflows"))?;
        after = Some(entry.last_seq);
        blocks.push(entry);
    }
    let meta = &trailer.meta;
    let first = blocks.first().map_or(0, |entry| entry.first_seq);
    if offset != trailer.index_offset
        || (records, first, after.unwrap_or(0)) != (meta.records, meta.first_seq, meta.last_seq)
    {
        return Err(table.fail("index and trailer disagree"));
    }
    Ok(blocks)
}

fn parse_salts(trailer: &Trailer, cursor: &mut Cursor<'_>) -> Result<BTreeMap<u32, Key>, Malformed> {
    let mut table = Cursor::new(cursor.take_items(trailer.salts as usize, SALT_ENTRY_BYTES)?);
    let mut salts = BTreeMap::new();
    while table.remaining() > 0 {
        let generation = table.u32()?;
        if salts
            .last_key_value()
            .is_some_and(|(&last, _)| generation <= last)
        {
            return Err(table.fail("salt generations do not ascend"));
        }
        salts.insert(generation, Key::from_bytes(table.array()?));
    }
    Ok(salts)
}

/// Appends everything after the blocks to `body`. `run` is sorted.
pub(super) fn write_footer(
    body: &mut Vec<u8>,
    meta: &SegMeta,
    blocks: &[BlockEntry],
    salts: &BTreeMap<u32, Key>,
    run: &[(u64, u64)],
    dictionary_bytes: u32,
) -> Option<()> {
    let index_offset = body.len() as u64;
    let blocks_count = u32::try_from(blocks.len()).ok()?;
    let salts_count = u32::try_from(salts.len()).ok()?;
    // Reserved at once, so that growing does not leave copies of the salt keys behind.
    let fences = run.len().div_ceil(FENCE_ENTRIES);
    body.reserve_exact(
        blocks.len() * BLOCK_ENTRY_BYTES
            + salts.len() * SALT_ENTRY_BYTES
            + fences * 8
            + run.len() * 16
            + 1
            + TRAILER_BYTES,
    );
    for entry in blocks {
        for value in [entry.first_seq, entry.last_seq, entry.offset] {
            body.extend_from_slice(&value.to_le_bytes());
        }
        for value in [
            entry.compressed,
            entry.raw,
            entry.hashes,
            entry.records,
            entry.timed_ids,
            entry.other_ids,
        ] {
            body.extend_from_slice(&value.to_le_bytes());
        }
    }
    for (generation, key) in salts {
        body.extend_from_slice(&generation.to_le_bytes());
        body.extend_from_slice(key.expose());
    }
    for page in run.chunks(FENCE_ENTRIES) {
        body.extend_from_slice(&page[0].0.to_le_bytes());
    }
    let widths = run::write(body, run, meta.first_seq, meta.last_seq)?;
    let trailer_at = body.len();
    body.extend_from_slice(&index_offset.to_le_bytes());
    body.extend_from_slice(&blocks_count.to_le_bytes());
    body.extend_from_slice(&salts_count.to_le_bytes());
    body.extend_from_slice(&(run.len() as u64).to_le_bytes());
    for value in [
        meta.records,
        meta.first_seq,
        meta.last_seq,
        meta.public_bytes,
        meta.explicit_salts,
    ] {
        body.extend_from_slice(&value.to_le_bytes());
    }
    body.extend_from_slice(&meta.level.to_le_bytes());
    body.extend_from_slice(&meta.block_bytes.to_le_bytes());
    body.push(widths.distance());
    body.extend_from_slice(&dictionary_bytes.to_le_bytes());
    body.extend_from_slice(&[0; TRAILER_RESERVED]);
    body.extend_from_slice(&VERSION.to_le_bytes());
    body.extend_from_slice(MAGIC);
    debug_assert_eq!(body.len() - trailer_at, TRAILER_BYTES);
    Some(())
}

/// Bytes in a trailer.
pub(super) const TRAILER_BYTES: usize = 96;
/// Entries of the idempotency run from one fence to the next.
pub(super) const FENCE_EVERY: u64 = FENCE_ENTRIES as u64;
pub(super) const FENCE_ENTRIES: usize = 1024;
const TRAILER_RESERVED: usize = 9;
const BLOCK_ENTRY_BYTES: usize = 48;
const SALT_ENTRY_BYTES: usize = 4 + Key::LEN;
const VERSION: u16 = 3;
const MAGIC: &[u8; 8] = b"ATSTSEGB";
const _: () = assert!(TRAILER_BYTES == 8 + 4 + 4 + 8 + 5 * 8 + 4 + 4 + 1 + 4 + TRAILER_RESERVED + 2 + 8);
const _: () = assert!(BLOCK_ENTRY_BYTES == 3 * 8 + 6 * 4);
