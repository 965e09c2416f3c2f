//! One block: groups of one set, compressed, then sealed under the set's key.

use attestore_keys::aead::{NONCE, Sealer, TAG};
use attestore_keys::{Key, derive};

use crate::compression::decompress;
use crate::cursor::Cursor;
use crate::{FileId, Malformed};

/// A group in an opened block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubGroup {
    /// Index of the record in the tenant's log.
    pub seq: u64,
    /// Number of the group among the record's personal groups, in the order they were given.
    pub ordinal: u16,
    /// The group's bytes.
    pub bytes: Vec<u8>,
}

/// Appends a group to a block's raw bytes.
pub(super) fn append_group(raw: &mut Vec<u8>, seq: u64, ordinal: u16, length: u32, bytes: &[u8]) {
    raw.extend_from_slice(&seq.to_le_bytes());
    raw.extend_from_slice(&ordinal.to_le_bytes());
    raw.extend_from_slice(&length.to_le_bytes());
    raw.extend_from_slice(bytes);
}

/// Parses an opened block's zstd frame, whose content has `raw` bytes.
///
/// # Errors
/// [`Malformed`] with an offset in the content; memory is bounded by
/// [`BLOCK_RAW_MAX`](crate::compression::BLOCK_RAW_MAX).
pub fn parse_sub_block(frame: &[u8], raw: u32) -> Result<Vec<SubGroup>, Malformed> {
    let raw = decompress(frame, raw as usize)?;
    let mut cursor = Cursor::new(&raw);
    let mut groups: Vec<SubGroup> = Vec::new();
    while cursor.remaining() > 0 {
        let (seq, ordinal) = (cursor.u64()?, cursor.u16()?);
        let length = cursor.u32()? as usize;
        if groups
            .last()
            .is_some_and(|last| (last.seq, last.ordinal) >= (seq, ordinal))
        {
            return Err(cursor.fail("groups do not ascend"));
        }
        groups.push(SubGroup {
            seq,
            ordinal,
            bytes: cursor.take(length)?.to_vec(),
        });
    }
    Ok(groups)
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

/// Bytes before a group's own in a block.
pub(super) const GROUP_HEADER_BYTES: usize = 8 + 2 + 4;
const AAD_BYTES: usize = 13 + 16 + 8;
