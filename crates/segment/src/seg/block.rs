//! One block of records: columns and text compressed, hashes beside them.

use super::footer::BlockEntry;
use super::{RECORD_BYTES_MAX, Salt, SegRecord};
use crate::compression::{Compressor, decompress};
use crate::cursor::Cursor;
use crate::ids::{Ids, TEXT_BYTES, TIME_BYTES, unpacker};
use crate::{Error, Malformed, Result, columns};

/// A decoded block. Records are found by seq or by position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegBlock {
    records: Vec<Row>,
    text: Vec<u8>,
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
        self.text.len() + self.hashes.len() * 32 + self.records.len() * size_of::<Row>() + size_of::<Self>()
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
            .map_or(0, |before| self.records[before].text_end);
        let groups_start = at
            .checked_sub(1)
            .map_or(self.salts, |before| self.records[before].groups_end);
        Some(BlockRecord {
            seq: row.seq,
            salt: row.salt,
            groups: &self.hashes[groups_start..row.groups_end],
            public: &self.text[text_start..row.text_end],
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
    let raw = decompress(frame, entry.raw as usize)?;

    let count = entry.records as usize;
    let mut columns = Cursor::new(&raw);
    let deltas = columns::take(&mut columns, count)?.map(u32::from_le_bytes);
    let modes = columns.take(count)?;
    let generations = columns::take(&mut columns, count)?.map(u32::from_le_bytes);
    let group_counts = columns::take(&mut columns, count)?.map(u16::from_le_bytes);
    let lengths = columns::take(&mut columns, count)?.map(u32::from_le_bytes);
    debug_assert_eq!(columns.at(), row_bytes(count));
    let ids = (entry.timed_ids as usize, entry.other_ids as usize);
    let mut texts = unpacker(ids, &mut columns, &mut stored)?;
    stored.end()?;

    let hashes = hashes.as_chunks::<32>().0.to_vec();
    let salts = modes.iter().filter(|&&mode| mode == EXPLICIT).count();
    let bad = |reason| Malformed::at(0, reason);
    let mut explicit = hashes
        .get(..salts)
        .ok_or(bad("fewer salts than records need"))?
        .iter();
    let (mut seq, mut groups_end) = (entry.first_seq, salts);
    let mut records = Vec::with_capacity(count);
    // What lengths claim is not believed: ids, which are there, are all that makes text longer than it is stored.
    let mut text = Vec::with_capacity(raw.len() + (ids.0 + ids.1) * TEXT_BYTES);
    let rows = deltas.zip(modes).zip(generations).zip(group_counts).zip(lengths);
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
        texts.next(length as usize, &mut text)?;
        groups_end += usize::from(groups);
        records.push(Row {
            seq,
            salt,
            text_end: text.len(),
            groups_end,
        });
    }
    texts.end()?;
    if groups_end != hashes.len() {
        return Err(bad("more commitments than records need"));
    }
    if count == 0 || seq != entry.last_seq {
        return Err(bad("the last seq is not the one in the index"));
    }
    Ok(SegBlock {
        records,
        text,
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
        let mut ids = Ids::default();
        let raw = self.raw(&mut ids);
        let frame = compressor.compress(&raw)?;
        let too_long = |_| Error::Refused("a block is too long");
        let (timed_ids, other_ids) = ids.counts();
        let entry = BlockEntry {
            first_seq,
            last_seq,
            offset: body.len() as u64,
            compressed: u32::try_from(frame.len()).map_err(too_long)?,
            raw: u32::try_from(raw.len()).map_err(too_long)?,
            hashes: u32::try_from(self.salts.len() + self.groups.len()).map_err(too_long)?,
            records: u32::try_from(self.seqs.len()).map_err(too_long)?,
            timed_ids: u32::try_from(timed_ids).map_err(too_long)?,
            other_ids: u32::try_from(other_ids).map_err(too_long)?,
        };
        body.extend_from_slice(&frame);
        body.extend_from_slice(self.salts.as_flattened());
        body.extend_from_slice(self.groups.as_flattened());
        ids.put_random(body);
        self.clear();
        Ok(entry)
    }

    fn raw_len(&self) -> usize {
        row_bytes(self.seqs.len()) + self.text.len()
    }

    /// Lays out what is compressed; ids in the text go to `ids`.
    fn raw(&self, ids: &mut Ids) -> Vec<u8> {
        let mut packed = Vec::with_capacity(self.text.len());
        let mut rest = self.text.as_slice();
        for &length in &self.lengths {
            let (text, after) = rest.split_at(length as usize);
            ids.pack(text, &mut packed);
            rest = after;
        }
        let befores = self.seqs.first().into_iter().chain(&self.seqs);
        let deltas = self.seqs.iter().zip(befores).map(|(seq, before)| {
            u32::try_from(seq - before)
                .expect("has_room keeps gaps within a block below 2^32")
                .to_le_bytes()
        });
        let mut raw =
            Vec::with_capacity(row_bytes(self.seqs.len()) + ids.counts().0 * TIME_BYTES + packed.len());
        columns::put(&mut raw, deltas);
        raw.extend_from_slice(&self.modes);
        columns::put(
            &mut raw,
            self.generations.iter().map(|generation| generation.to_le_bytes()),
        );
        columns::put(
            &mut raw,
            self.group_counts.iter().map(|count| count.to_le_bytes()),
        );
        columns::put(&mut raw, self.lengths.iter().map(|length| length.to_le_bytes()));
        ids.put_times(&mut raw);
        raw.extend_from_slice(&packed);
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
