//! The 128 bytes that begin a frame.
//!
//! ```text
//!    0  magic "AFRM"      40  length u32, with padding      96  directory tag of the previous frame [16]
//!    4  version u8 = 1    44  payload u32, without         112  header check [12]
//!    5  flags u8          48  D: file number u64           124  crc32 of bytes 0..124
//!    6  sections u16      56  D: offset u64
//!    8  file number u64   64  random [32]
//!   16  file id [16]
//!   32  frame number u64
//! ```
//!
//! The header check is keyed, over the frame's offset in the file and bytes 0..112. By it a header alone, without the directory
//! behind it, shows that this file's writer put it at this place.

use attestore_disk::BLOCK;
use attestore_keys::{Key, aead::TAG, derive};

use super::directory;
use crate::{
    Position,
    fields::{bytes_at, put, u16_at, u32_at, u64_at},
};

/// Length of the header in bytes.
pub(crate) const HEADER_LEN: usize = 128;

const MAGIC: [u8; 4] = *b"AFRM";
const VERSION: u8 = 1;
const FLAG_CLOSING: u8 = 1;
const CHECKED: usize = 112;
const CHECK_LEN: usize = 12;
const CHECK_CONTEXT: &str = "attestore 2026 wal frame header v1";
const CRC: usize = HEADER_LEN - 4;

const _: () = assert!(CHECKED + CHECK_LEN == CRC);

/// A decoded frame header. Nothing in it is authentic before [`FrameHeader::is_authentic`] says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameHeader {
    /// Whether the frame has no sections and only carries the watermark.
    pub closing: bool,
    /// Number of sections.
    pub sections: u16,
    /// Number of the file that it was written to.
    pub number: u64,
    /// Id of that file.
    pub file_id: [u8; 16],
    /// Number of the frame in its file, from 0.
    pub frame_no: u64,
    /// Length in bytes, padding included.
    pub length: u32,
    /// Length in bytes without padding.
    pub payload: u32,
    /// Everything before this position was known to be synced when the frame was written.
    pub watermark: Position,
    /// Fresh random bytes, mixed into every key of the frame.
    pub random: [u8; 32],
    /// Tag of the previous frame's directory; zeros in the first.
    pub previous_tag: [u8; TAG],
    /// Keyed check of the fields above and of the frame's offset in the file.
    pub check: [u8; 12],
}

/// Why bytes are no frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Fewer than 128 bytes.
    #[error("the frame header is cut short")]
    Short,
    /// Wrong magic or checksum.
    #[error("the frame header's magic or checksum is wrong")]
    Checksum,
    /// A version that this program does not know.
    #[error("the frame header has the unknown version {0}")]
    Version(u8),
    /// Fields that cannot be, though the checksum holds.
    #[error("the frame header has impossible fields")]
    Fields,
}

/// Decodes a frame header without any key. Reads the first 128 bytes.
///
/// What it returns is consistent: the length is a multiple of 4096 that just holds the payload, and the payload has room for
/// the directory.
///
/// # Errors
/// [`FrameError`].
pub fn parse_frame_header(bytes: &[u8]) -> Result<FrameHeader, FrameError> {
    let block = bytes.first_chunk::<HEADER_LEN>().ok_or(FrameError::Short)?;
    if block[..4] != MAGIC || crc32fast::hash(&block[..CRC]) != u32_at(block, CRC) {
        return Err(FrameError::Checksum);
    }
    if block[4] != VERSION {
        return Err(FrameError::Version(block[4]));
    }
    let header = FrameHeader {
        closing: block[5] & FLAG_CLOSING != 0,
        sections: u16_at(block, 6),
        number: u64_at(block, 8),
        file_id: bytes_at(block, 16),
        frame_no: u64_at(block, 32),
        length: u32_at(block, 40),
        payload: u32_at(block, 44),
        watermark: Position {
            wal: u64_at(block, 48),
            offset: u64_at(block, 56),
        },
        random: bytes_at(block, 64),
        previous_tag: bytes_at(block, 96),
        check: bytes_at(block, CHECKED),
    };
    let plausible = block[5] & !FLAG_CLOSING == 0
        && header.closing == (header.sections == 0)
        && header.payload_len() >= HEADER_LEN + header.directory_len()
        && header.payload_len().next_multiple_of(BLOCK) == header.frame_len()
        && header.frame_len() <= super::FRAME_BYTES_MAX;
    if plausible {
        Ok(header)
    } else {
        Err(FrameError::Fields)
    }
}

impl FrameHeader {
    /// Tells whether the writer of the file with this key put the header at this offset.
    ///
    /// It says nothing about the rest of the frame, which may be torn; but what the header's watermark claims holds.
    #[must_use]
    pub fn is_authentic(&self, file_key: &Key, offset: u64) -> bool {
        self.check == self.check_of(file_key, offset)
    }

    /// Computes [`check`](Self::check) for a frame at `offset`.
    pub(super) fn check_of(&self, file_key: &Key, offset: u64) -> [u8; CHECK_LEN] {
        let (bytes, offset) = (self.to_bytes(), offset.to_le_bytes());
        let key = derive(CHECK_CONTEXT, &[file_key.expose(), &offset, &bytes[..CHECKED]]);
        bytes_at(key.expose(), 0)
    }

    pub(crate) fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut block = [0u8; HEADER_LEN];
        put(&mut block, 0, &MAGIC);
        block[4] = VERSION;
        block[5] = if self.closing { FLAG_CLOSING } else { 0 };
        put(&mut block, 6, &self.sections.to_le_bytes());
        put(&mut block, 8, &self.number.to_le_bytes());
        put(&mut block, 16, &self.file_id);
        put(&mut block, 32, &self.frame_no.to_le_bytes());
        put(&mut block, 40, &self.length.to_le_bytes());
        put(&mut block, 44, &self.payload.to_le_bytes());
        put(&mut block, 48, &self.watermark.wal.to_le_bytes());
        put(&mut block, 56, &self.watermark.offset.to_le_bytes());
        put(&mut block, 64, &self.random);
        put(&mut block, 96, &self.previous_tag);
        put(&mut block, CHECKED, &self.check);
        let crc = crc32fast::hash(&block[..CRC]);
        put(&mut block, CRC, &crc.to_le_bytes());
        block
    }

    /// Length of the whole frame.
    pub(crate) fn frame_len(&self) -> usize {
        usize::try_from(self.length).unwrap_or(usize::MAX)
    }

    /// Length without padding.
    pub(crate) fn payload_len(&self) -> usize {
        usize::try_from(self.payload).unwrap_or(usize::MAX)
    }

    /// Length of the sealed directory with its tag.
    pub(crate) fn directory_len(&self) -> usize {
        usize::from(self.sections) * directory::ENTRY_LEN + TAG
    }
}

#[cfg(test)]
mod tests;
