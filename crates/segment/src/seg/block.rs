//! One block of records: columns and text compressed, hashes beside them.

use super::footer::BlockEntry;
use super::{RECORD_BYTES_MAX, Salt, SegRecord};
use crate::compression::{Compressor, decompress};
use crate::cursor::{Cursor, u16s, u32s};
use crate::{Error, Malformed, Result};

/// A decoded block. Records are found by seq or by position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegBlock {
    records: Vec<Row>,
    raw: Vec<u8>,
    salts: usize,
    hashes: Vec<[u8; 32]>,
}

/// A record in a decoded block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRecord<'a> {
    /// Index in the tenant's log.
    pub seq: u64,
    /// Salt of the public group; [`SegReader::resolve`](super::SegReader::resolve) finds a generation's key.
    pub salt: Salt,
    /// Commitments of the personal groups, ascending.
    pub groups: &'a [[u8; 32]],
    /// Bytes of the public group.
    pub public: &'a [u8],
}

/// Where a record's parts end; they start where the previous record's end.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    seq: u64,
    salt: Salt,
    text_end: usize,
    groups_end: usize,
}

impl SegBlock {
    /// Returns the number of records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Tells whether there are no records; a stored block always has one.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Returns the memory that the block takes, roughly, for the accounting of caches.
    pub fn memory_bytes(&self) -> usize {
        self.raw.len() + self.hashes.len() * 32 + self.records.len() * size_of::<Row>() + size_of::<Self>()
    }

    /// Finds the record with this seq.
    pub fn get(&self, seq: u64) -> Option<BlockRecord<'_>> {
        let at = self.records.binary_search_by_key(&seq, |row| row.seq).ok()?;
        self.record(at)
    }

    /// Returns the record at a position, `None` past the end.
    pub fn record(&self, at: usize) -> Option<BlockRecord<'_>> {
        let row = self.records.get(at)?;
        let text_start = at
            .checked_sub(1)
            .map_or(row_bytes(self.len()), |before| self.records[before].text_end);
        let groups_start = at
            .checked_sub(1)
            .map_or(self.salts, |before| self.records[before].groups_end);
        Some(BlockRecord {
            seq: row.seq,
            salt: row.salt,
            groups: &self.hashes[groups_start..row.groups_end],
            public: &self.raw[text_start..row.text_end],
        })
    }

    /// Goes through the records, ascending by seq.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = BlockRecord<'_>> + '_ {
        (0..self.len()).filter_map(|at| self.record(at))
    }

    /// Returns the seqs, ascending.
    pub fn seqs(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.records.iter().map(|row| row.seq)
    }
}

/// Parses the stored bytes of the block that `entry` describes.
///
/// # Errors
/// [`Malformed`] with an offset from the block's start; memory is bounded by
/// [`BLOCK_RAW_MAX`](crate::compression::BLOCK_RAW_MAX) and the length of `bytes`.
pub fn parse_seg_block(entry: &BlockEntry, bytes: &[u8]) -> Result<SegBlock, Malformed> {
    let mut stored = Cursor::new(bytes);
    let frame = stored.take(entry.compressed as usize)?;
    let hashes = stored.take_items(entry.hashes as usize, 32)?;
    stored.end()?;
    let raw = decompress(frame, entry.raw as usize)?;

    let count = entry.records as usize;
    let mut columns = Cursor::new(&raw);
    let deltas = columns.take_items(count, 4)?;
    let modes = columns.take(count)?;
    let generations = columns.take_items(count, 4)?;
    let group_counts = columns.take_items(count, 2)?;
    let lengths = columns.take_items(count, 4)?;
    let text_start = columns.at();
    debug_assert_eq!(text_start, row_bytes(count));

    let hashes = hashes.as_chunks::<32>().0.to_vec();
    let salts = modes.iter().filter(|&&mode| mode == EXPLICIT).count();
    let bad = |reason| Malformed::at(0, reason);
    let mut explicit = hashes
        .get(..salts)
        .ok_or(bad("fewer salts than records need"))?
        .iter();
    let (mut seq, mut text_end, mut groups_end) = (entry.first_seq, text_start, salts);
    let mut records = Vec::with_capacity(count);
    let rows = u32s(deltas)
        .zip(modes)
        .zip(u32s(generations))
        .zip(u16s(group_counts))
        .zip(u32s(lengths));
    for (at, ((((delta, &mode), generation), groups), length)) in rows.enumerate() {
        if (delta == 0) != (at == 0) {
            return Err(bad("seqs do not ascend"));
        }
        seq = seq.checked_add(u64::from(delta)).ok_or(bad("a seq overflows"))?;
        let salt = match mode {
            GENERATION => Salt::Generation(generation),
            EXPLICIT if generation == 0 => Salt::Explicit(*explicit.next().ok_or(bad("a salt is missing"))?),
            _ => return Err(bad("an unknown salt mode")),
        };
        text_end = text_end
            .checked_add(length as usize)
            .ok_or(bad("a length overflows"))?;
        groups_end += usize::from(groups);
        records.push(Row {
            seq,
            salt,
            text_end,
            groups_end,
        });
    }
    if text_end != raw.len() || groups_end != hashes.len() {
        return Err(bad("columns and content differ in length"));
    }
    if count == 0 || seq != entry.last_seq {
        return Err(bad("the last seq is not the one in the index"));
    }
    Ok(SegBlock {
        records,
        raw,
        salts,
        hashes,
    })
}

/// A block that is being filled.
#[derive(Default)]
pub(super) struct OpenBlock {
    seqs: Vec<u64>,
    modes: Vec<u8>,
    generations: Vec<u32>,
    group_counts: Vec<u16>,
    lengths: Vec<u32>,
    text: Vec<u8>,
    salts: Vec<[u8; 32]>,
    groups: Vec<[u8; 32]>,
}

impl OpenBlock {
    pub(super) fn is_empty(&self) -> bool {
        self.seqs.is_empty()
    }

    /// Says whether the record can join the block: it does not make it too long, nor is its seq too far away.
    pub(super) fn has_room(&self, record: &SegRecord<'_>, block_bytes: usize) -> bool {
        let (Some(&last), Some(after)) = (
            self.seqs.last(),
            self.raw_len().checked_add(row_bytes(1) + record.public.len()),
        ) else {
            return true;
        };
        after <= block_bytes
            && u32::try_from(record.seq - last).is_ok()
            && self.groups.len() + record.groups.len() <= BLOCK_GROUPS_MAX
    }

    /// Adds a record; the caller has checked that its seq is above the last one.
    pub(super) fn push(&mut self, record: &SegRecord<'_>) -> Result<()> {
        if record.public.len() > RECORD_BYTES_MAX {
            return Err(Error::Refused("a record has too many public bytes"));
        }
        let count =
            u16::try_from(record.groups.len()).map_err(|_| Error::Refused("a record has too many groups"))?;
        if !record.groups.is_sorted() {
            return Err(Error::Refused("commitments are not in ascending order"));
        }
        let length =
            u32::try_from(record.public.len()).map_err(|_| Error::Refused("a record is too long"))?;
        let (mode, generation) = match record.salt {
            Salt::Generation(generation) => (GENERATION, generation),
            Salt::Explicit(salt) => {
                self.salts.push(salt);
                (EXPLICIT, 0)
            }
        };
        self.seqs.push(record.seq);
        self.modes.push(mode);
        self.generations.push(generation);
        self.group_counts.push(count);
        self.lengths.push(length);
        self.text.extend_from_slice(record.public);
        self.groups.extend_from_slice(record.groups);
        Ok(())
    }

    /// Appends the block's stored bytes to `body` and empties the block.
    pub(super) fn close(&mut self, compressor: &mut Compressor, body: &mut Vec<u8>) -> Result<BlockEntry> {
        let (Some(&first_seq), Some(&last_seq)) = (self.seqs.first(), self.seqs.last()) else {
            return Err(Error::Refused("a block without records"));
        };
        let raw = self.raw();
        let frame = compressor.compress(&raw)?;
        let too_long = |_| Error::Refused("a block is too long");
        let entry = BlockEntry {
            first_seq,
            last_seq,
            offset: body.len() as u64,
            compressed: u32::try_from(frame.len()).map_err(too_long)?,
            raw: u32::try_from(raw.len()).map_err(too_long)?,
            hashes: u32::try_from(self.salts.len() + self.groups.len()).map_err(too_long)?,
            records: u32::try_from(self.seqs.len()).map_err(too_long)?,
        };
        body.extend_from_slice(&frame);
        body.extend_from_slice(self.salts.as_flattened());
        body.extend_from_slice(self.groups.as_flattened());
        self.clear();
        Ok(entry)
    }

    fn raw_len(&self) -> usize {
        row_bytes(self.seqs.len()) + self.text.len()
    }

    fn raw(&self) -> Vec<u8> {
        let mut raw = Vec::with_capacity(self.raw_len());
        let mut before = self.seqs.first().copied().unwrap_or_default();
        for &seq in &self.seqs {
            let delta = u32::try_from(seq - before).expect("has_room keeps gaps within a block below 2^32");
            raw.extend_from_slice(&delta.to_le_bytes());
            before = seq;
        }
        raw.extend_from_slice(&self.modes);
        raw.extend(
            self.generations
                .iter()
                .flat_map(|generation| generation.to_le_bytes()),
        );
        raw.extend(self.group_counts.iter().flat_map(|count| count.to_le_bytes()));
        raw.extend(self.lengths.iter().flat_map(|length| length.to_le_bytes()));
        raw.extend_from_slice(&self.text);
        raw
    }

    fn clear(&mut self) {
        self.seqs.clear();
        self.modes.clear();
        self.generations.clear();
        self.group_counts.clear();
        self.lengths.clear();
        self.text.clear();
        self.salts.clear();
        self.groups.clear();
    }
}

/// Bytes of the columns of so many records.
const fn row_bytes(records: usize) -> usize {
    records * (4 + 1 + 4 + 2 + 4)
}

const GENERATION: u8 = 0;
const EXPLICIT: u8 = 1;
/// A block is closed before it holds more commitments than this, unless a single record does.
const BLOCK_GROUPS_MAX: usize = 65_536;
