//! One block of records: columns and text compressed, hashes beside them.

use std::ops::Range;

use super::footer::BlockEntry;
use super::{RECORD_BYTES_MAX, Salt, SegRecord};
use crate::compression::{Compressor, Dictionary, decompress_knowing};
use crate::cursor::Cursor;
use crate::ids::{ID_BYTES, Ids, Packed, REST_BYTES, TIME_BYTES};
use crate::{Error, Malformed, Result, columns};

/// A decompressed block. Records are found by seq or by position, and made whole one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegBlock {
    /// Where it is in the body.
    offset: u64,
    records: Vec<Row>,
    /// What was compressed.
    raw: Vec<u8>,
    /// The column of times in `raw`.
    times: Range<usize>,
    salts: usize,
    hashes: Vec<[u8; 32]>,
    rests: Vec<[u8; REST_BYTES]>,
    others: Vec<[u8; ID_BYTES]>,
}

/// A record in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRecord<'a> {
    /// Index in the tenant's log.
    pub seq: u64,
    /// Salt of the public group; [`SegReader::resolve`](super::SegReader::resolve) finds a generation's key.
    pub salt: Salt,
    /// Commitments of the personal groups, ascending.
    pub groups: &'a [[u8; 32]],
    offset: u64,
    public: Packed<'a>,
}

impl BlockRecord<'_> {
    /// Returns the bytes of the public group.
    ///
    /// # Errors
    /// [`Malformed`] with the offset of the block in the body, when its ids do not fit its text.
    pub fn public(&self) -> Result<Vec<u8>, Malformed> {
        self.public
            .unpack()
            .map_err(|malformed| malformed.shifted(self.offset))
    }
}

/// Where a record's parts end; they start where the previous record's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    seq: u64,
    salt: Salt,
    ends: Ends,
}

/// Ends of a record's parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ends {
    text: usize,
    groups: usize,
    timed_ids: usize,
    other_ids: usize,
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
        let beside = size_of_val(&*self.hashes) + size_of_val(&*self.rests) + size_of_val(&*self.others);
        self.raw.len() + beside + size_of_val(&*self.records) + size_of::<Self>()
    }

    /// Finds the record with this seq.
    pub fn get(&self, seq: u64) -> Option<BlockRecord<'_>> {
        let at = self.records.binary_search_by_key(&seq, |row| row.seq).ok()?;
        self.record(at)
    }

    /// Returns the record at a position, `None` past the end.
    pub fn record(&self, at: usize) -> Option<BlockRecord<'_>> {
        let row = self.records.get(at)?;
        let end = row.ends;
        let begin = at
            .checked_sub(1)
            .map_or(self.begin(), |before| self.records[before].ends);
        Some(BlockRecord {
            seq: row.seq,
            salt: row.salt,
            groups: &self.hashes[begin.groups..end.groups],
            offset: self.offset,
            public: Packed {
                text: &self.raw[begin.text..end.text],
                times: &self.raw[self.times.clone()],
                first_time: begin.timed_ids,
                rests: &self.rests[begin.timed_ids..end.timed_ids],
                others: &self.others[begin.other_ids..end.other_ids],
            },
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

    /// Where the first record's parts start.
    fn begin(&self) -> Ends {
        Ends {
            text: self.times.end,
            groups: self.salts,
            timed_ids: 0,
            other_ids: 0,
        }
    }
}

/// Parses the stored bytes of the block that `entry` describes, in a file with this dictionary.
///
/// # Errors
/// [`Malformed`] with an offset from the block's start; memory is bounded by
/// [`BLOCK_RAW_MAX`](crate::compression::BLOCK_RAW_MAX) and the length of `bytes`.
pub fn parse_seg_block(
    entry: &BlockEntry,
    bytes: &[u8],
    dictionary: &Dictionary,
) -> Result<SegBlock, Malformed> {
    let mut stored = Cursor::new(bytes);
    let frame = stored.take(entry.compressed as usize)?;
    let hashes = stored.take_items(entry.hashes as usize, 32)?;
    let rests = stored.take_items(entry.timed_ids as usize, REST_BYTES)?;
    let others = stored.take_items(entry.other_ids as usize, ID_BYTES)?;
    stored.end()?;
    let raw = decompress_knowing(frame, entry.raw as usize, dictionary)?;

    let count = entry.records as usize;
    let mut columns = Cursor::new(&raw);
    let deltas = columns::take(&mut columns, count)?.map(u32::from_le_bytes);
    let modes = columns.take(count)?;
    let generations = columns::take(&mut columns, count)?.map(u32::from_le_bytes);
    let group_counts = columns::take(&mut columns, count)?.map(u16::from_le_bytes);
    let lengths = columns::take(&mut columns, count)?.map(u32::from_le_bytes);
    let timed_ids = columns::take(&mut columns, count)?.map(u32::from_le_bytes);
    let other_ids = columns::take(&mut columns, count)?.map(u32::from_le_bytes);
    debug_assert_eq!(columns.at(), row_bytes(count));
    let times_at = columns.at();
    columns.take_items(entry.timed_ids as usize, TIME_BYTES)?;
    let times = times_at..columns.at();

    let bad = |reason| Malformed::at(0, reason);
    let salts = modes.iter().filter(|&&mode| mode == EXPLICIT).count();
    let hashes = hashes.as_chunks::<32>().0.to_vec();
    let mut explicit = hashes
        .get(..salts)
        .ok_or(bad("fewer salts than records need"))?
        .iter();
    let mut seq = entry.first_seq;
    let mut ends = Ends {
        text: times.end,
        groups: salts,
        timed_ids: 0,
        other_ids: 0,
    };
    let all = Ends {
        text: raw.len(),
        groups: hashes.len(),
        timed_ids: entry.timed_ids as usize,
        other_ids: entry.other_ids as usize,
    };
    let mut records = Vec::with_capacity(count);
    let salted = deltas.zip(modes).zip(generations);
    let sized = group_counts.zip(lengths).zip(timed_ids.zip(other_ids));
    for (((delta, &mode), generation), ((groups, length), (timed, other))) in salted.zip(sized) {
        if (delta == 0) != records.is_empty() {
            return Err(bad("seqs do not ascend"));
        }
        seq = seq.checked_add(u64::from(delta)).ok_or(bad("a seq overflows"))?;
        let salt = match mode {
            GENERATION => Salt::Generation(generation),
            EXPLICIT if generation == 0 => Salt::Explicit(*explicit.next().ok_or(bad("a salt is missing"))?),
            _ => return Err(bad("an unknown salt mode")),
        };
        ends.text += length as usize;
        ends.groups += usize::from(groups);
        ends.timed_ids += timed as usize;
        ends.other_ids += other as usize;
        if !ends.within(all) {
            return Err(bad("records need more text, ids or commitments than there are"));
        }
        records.push(Row { seq, salt, ends });
    }
    if ends != all {
        return Err(bad("more text, ids or commitments than records need"));
    }
    if count == 0 || seq != entry.last_seq {
        return Err(bad("the last seq is not the one in the index"));
    }
    Ok(SegBlock {
        offset: entry.offset,
        records,
        times,
        salts,
        hashes,
        rests: rests.as_chunks().0.to_vec(),
        others: others.as_chunks().0.to_vec(),
        raw,
    })
}

impl Ends {
    fn within(self, all: Self) -> bool {
        self.text <= all.text
            && self.groups <= all.groups
            && self.timed_ids <= all.timed_ids
            && self.other_ids <= all.other_ids
    }
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
        let (mut lengths, mut timed_ids, mut other_ids) = (Vec::new(), Vec::new(), Vec::new());
        for &length in &self.lengths {
            let (text, after) = rest.split_at(length as usize);
            let before = (packed.len(), ids.counts());
            ids.pack(text, &mut packed);
            let counts = ids.counts();
            lengths.push(packed.len() - before.0);
            timed_ids.push(counts.0 - before.1.0);
            other_ids.push(counts.1 - before.1.1);
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
        for column in [lengths, timed_ids, other_ids] {
            let small =
                |&value: &usize| u32::try_from(value).expect("a record has at most 16 MiB, escaped 32 MiB");
            columns::put(&mut raw, column.iter().map(|value| small(value).to_le_bytes()));
        }
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
    records * (4 + 1 + 4 + 2 + 4 + 4 + 4)
}

const GENERATION: u8 = 0;
const EXPLICIT: u8 = 1;
/// A block is closed before it holds more commitments than this, unless a single record does.
const BLOCK_GROUPS_MAX: usize = 65_536;
