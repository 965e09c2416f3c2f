//! One block: groups of one set, compressed, then sealed under the set's key.

use std::ops::Range;

use attestore_keys::aead::{NONCE, Sealer, TAG};
use attestore_keys::{Key, derive};

use super::packed::Packed;
use crate::compression::{Compressor, decompress_after};
use crate::cursor::Cursor;
use crate::{Error, FileId, Malformed, Result, columns};

/// A group of an opened block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubGroup {
    /// Index of the record in the tenant's log.
    pub seq: u64,
    /// Number of the group among the record's personal groups, in the order they were given.
    pub ordinal: u16,
    /// The group's bytes, as they are stored.
    pub bytes: Packed,
}

/// Groups of one set that are not in a block yet.
#[derive(Default)]
pub(super) struct OpenGroups {
    seqs: Vec<u64>,
    ordinals: Vec<u16>,
    text: Vec<u8>,
}

impl OpenGroups {
    pub(super) fn is_empty(&self) -> bool {
        self.seqs.is_empty()
    }

    /// Says whether the group can join a block of this size; any can join an empty one.
    pub(super) fn has_room(&self, bytes: &Packed, block_bytes: usize) -> bool {
        let raw = HEADER_BYTES + (self.seqs.len() + 1) * GROUP_BYTES + self.text.len() + bytes.len();
        self.is_empty() || raw <= block_bytes
    }

    /// Adds a group; the caller has checked that it comes after the last one.
    pub(super) fn push(&mut self, seq: u64, ordinal: u16, bytes: &Packed) {
        self.seqs.push(seq);
        self.ordinals.push(ordinal);
        bytes.put(&mut self.text);
    }

    /// Lays out the groups, of which there is at least one, and forgets them.
    pub(super) fn close(&mut self) -> Result<Vec<u8>> {
        let count = u32::try_from(self.seqs.len()).map_err(|_| Error::Refused("a block is too long"))?;
        let mut raw = Vec::with_capacity(HEADER_BYTES + self.seqs.len() * GROUP_BYTES + self.text.len());
        raw.extend_from_slice(&count.to_le_bytes());
        let befores = std::iter::once(&0).chain(&self.seqs);
        let distances = self.seqs.iter().zip(befores).map(|(seq, before)| seq - before);
        columns::put(&mut raw, distances.map(u64::to_le_bytes));
        columns::put(
            &mut raw,
            self.ordinals.iter().map(|ordinal| ordinal.to_le_bytes()),
        );
        raw.extend_from_slice(&self.text);
        *self = Self::default();
        Ok(raw)
    }
}

/// Compresses the blocks of sets: the first of a set with the dictionary of the format, the others with that and the first as
/// dictionary. Whoever has the set's key can read both.
pub(super) struct BlockCompressor {
    first: Compressor,
    other: Compressor,
    /// The set whose first block `other` knows.
    known: Option<usize>,
}

impl BlockCompressor {
    pub(super) fn new(level: i32) -> Result<Self> {
        Ok(Self {
            first: Compressor::with_dictionary(level, DICTIONARY)?,
            other: Compressor::new(level)?,
            known: None,
        })
    }

    /// Compresses a block of the set with this number; `first` is the content of its first block, `None` if this is it.
    pub(super) fn compress(&mut self, set: usize, first: Option<&[u8]>, raw: &[u8]) -> Result<Vec<u8>> {
        let Some(first) = first else {
            return self.first.compress(raw);
        };
        if self.known != Some(set) {
            self.other.set_dictionary(&dictionary(first))?;
            self.known = Some(set);
        }
        self.other.compress(raw)
    }
}

/// What the blocks of a set but the first know.
fn dictionary(first: &[u8]) -> Vec<u8> {
    [DICTIONARY, first.get(..FIRST_BYTES_MAX).unwrap_or(first)].concat()
}

/// An opened block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubBlock {
    raw: Vec<u8>,
    groups: Vec<Place>,
}

/// Where a group is in its block.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    seq: u64,
    ordinal: u16,
    bytes: Range<usize>,
}

impl SubBlock {
    /// Finds a group.
    pub fn get(&self, seq: u64, ordinal: u16) -> Option<SubGroup> {
        let place = |group: &Place| (group.seq, group.ordinal);
        let at = self.groups.binary_search_by_key(&(seq, ordinal), place).ok()?;
        self.groups.get(at).map(|place| self.group(place))
    }

    /// Goes through the groups, ascending by seq and ordinal.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = SubGroup> + '_ {
        self.groups.iter().map(|place| self.group(place))
    }

    /// The content, which is what the later blocks of the set know of this one.
    pub(super) fn raw(&self) -> &[u8] {
        &self.raw
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.raw.len() + size_of_val(&*self.groups) + size_of::<Self>()
    }

    fn group(&self, place: &Place) -> SubGroup {
        SubGroup {
            seq: place.seq,
            ordinal: place.ordinal,
            bytes: Packed::stored(&self.raw[place.bytes.clone()]),
        }
    }
}

/// Parses an opened block's zstd frame, whose content has `raw` bytes. `first` is the content of the set's first block, `None` if
/// this is it.
///
/// # Errors
/// [`Malformed`] with an offset in the content; memory is bounded by
/// [`BLOCK_RAW_MAX`](crate::compression::BLOCK_RAW_MAX).
pub fn parse_sub_block(frame: &[u8], raw: u32, first: Option<&[u8]>) -> Result<SubBlock, Malformed> {
    let raw = match first {
        None => decompress_after(frame, raw as usize, DICTIONARY)?,
        Some(first) => decompress_after(frame, raw as usize, &dictionary(first))?,
    };
    let mut cursor = Cursor::new(&raw);
    let count = cursor.u32()? as usize;
    let distances = columns::take(&mut cursor, count)?.map(u64::from_le_bytes);
    let ordinals = columns::take(&mut cursor, count)?.map(u16::from_le_bytes);
    let mut at = cursor.at();
    let mut groups: Vec<Place> = Vec::with_capacity(count);
    let mut seq = 0u64;
    for (distance, ordinal) in distances.zip(ordinals) {
        seq = seq.checked_add(distance).ok_or(cursor.fail("a seq overflows"))?;
        let after = groups.last().map(|last| (last.seq, last.ordinal));
        if after.is_some_and(|last| last >= (seq, ordinal)) {
            return Err(cursor.fail("groups do not ascend"));
        }
        let length = raw.get(at..).and_then(Packed::end);
        let bytes = at..at + length.ok_or(cursor.fail("a group has no end"))?;
        at = bytes.end + 1;
        groups.push(Place { seq, ordinal, bytes });
    }
    if at != raw.len() {
        return Err(cursor.fail("more bytes than groups need"));
    }
    Ok(SubBlock { raw, groups })
}

/// Seals a block's frame: ciphertext ‖ tag. The key serves this one block of this one container, so its nonce is zero.
pub(super) fn seal_block(set_key: &Key, id: &FileId, number: u32, mut frame: Vec<u8>) -> Vec<u8> {
    let tag = block_sealer(set_key, id, number).seal_in_place([0; NONCE], &aad(id, number), &mut frame);
    frame.extend_from_slice(&tag);
    frame
}

/// Opens a block in place and returns its frame; `None` when `set_key` is not the key it was sealed under.
pub(super) fn open_block<'a>(
    set_key: &Key,
    id: &FileId,
    number: u32,
    sealed: &'a mut [u8],
) -> Option<&'a [u8]> {
    let (frame, tag) = sealed.split_last_chunk_mut::<TAG>()?;
    block_sealer(set_key, id, number)
        .open_in_place([0; NONCE], &aad(id, number), frame, tag)
        .ok()?;
    Some(frame)
}

fn block_sealer(set_key: &Key, id: &FileId, number: u32) -> Sealer {
    let number = u64::from(number).to_le_bytes();
    Sealer::new(&derive(
        "attestore 2026 sub block v1",
        &[set_key.expose(), id, &number],
    ))
}

fn aad(id: &FileId, number: u32) -> [u8; AAD_BYTES] {
    let mut aad = [0; AAD_BYTES];
    aad[..13].copy_from_slice(b"attestore sub");
    aad[13..29].copy_from_slice(id);
    aad[29..].copy_from_slice(&u64::from(number).to_le_bytes());
    aad
}

/// What most blocks begin with: names of fields and constant values of the event model and of CloudTrail's records. It is a
/// part of the format and of this program, and holds nothing that ever came from a tenant.
const DICTIONARY: &[u8] = include_bytes!("dictionary.1.txt");
/// The number of that dictionary in trailers.
pub(super) const DICTIONARY_NUMBER: u16 = 1;
/// Bytes of a set's first block that its later blocks know.
const FIRST_BYTES_MAX: usize = 64 * 1024;
const HEADER_BYTES: usize = 4;
/// Bytes of a group beside its text.
const GROUP_BYTES: usize = 8 + 2;
const AAD_BYTES: usize = 13 + 16 + 8;
