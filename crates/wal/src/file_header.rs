//! The first block of a WAL file.
//!
//! ```text
//!    0  magic "ATSTWAL\0"      40  key slot u64         72  predecessor end: file number u64
//!    8  version u16 = 1        48  key check [8]        80  predecessor end: offset u64
//!   10  flags u16              56  file size u64        88  tag [16] over bytes 0..88
//!   12  zero u32               64  created, unix ms u64 104  zeros
//!   16  number u64                                    4092  crc32 of bytes 0..4092
//!   24  file id [16]
//! ```
//!
//! The tag is AES-256-GCM of nothing, nonce 0, under a key derived from the file's key, which is used for this one header. The
//! checksum is checked before any key is asked for; the key check tells a wrong key from damage.

use attestore_disk::{AlignedBuf, BLOCK};
use attestore_keys::{
    Key, KeyCheck,
    aead::{NONCE, Sealer, TAG},
    derive,
};

use crate::{
    Position,
    fields::{bytes_at, is_zero, put, u16_at, u32_at, u64_at},
};

/// Length of the header in bytes: one block.
pub const HEADER_LEN: usize = BLOCK;

const MAGIC: [u8; 8] = *b"ATSTWAL\0";
const VERSION: u16 = 1;
const FLAG_RECYCLED: u16 = 1;
const KEY_CONTEXT: &str = "attestore 2026 wal header v1";
const AUTHENTICATED: usize = 88;
const PADDING: usize = AUTHENTICATED + TAG;
const CRC: usize = HEADER_LEN - 4;

const _: () = assert!(PADDING < CRC && HEADER_LEN.is_multiple_of(BLOCK));

/// What identifies a WAL file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSpec {
    /// Number of the file, from 1, ascending.
    pub number: u64,
    /// Fresh random id; a file that is created again gets another.
    pub file_id: [u8; 16],
    /// Slot of the file's key in the key tree.
    pub key_slot: u64,
    /// Size of the file in bytes, a multiple of 4096.
    pub size: u64,
}

/// A decoded file header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHeader {
    /// What identifies the file.
    pub spec: FileSpec,
    /// Check value of the file's key.
    pub key_check: KeyCheck,
    /// When the file was begun, unix milliseconds.
    pub created_ms: u64,
    /// Where the log before this file ended; what is there from then on is cut.
    pub predecessor_end: Position,
    /// Whether the file was another one before, so that what follows the last frame is stale and not zero.
    pub recycled: bool,
    tag: [u8; TAG],
    authenticated: [u8; AUTHENTICATED],
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Fewer than [`HEADER_LEN`] bytes.
    #[error("the file header is cut short")]
    Short,
    /// Wrong magic or checksum.
    #[error("the file header's magic or checksum is wrong")]
    Checksum,
    /// A version that this program does not know.
    #[error("the file header has the unknown version {0}")]
    Version(u16),
    /// Fields that cannot be, though the checksum holds.
    #[error("the file header has impossible fields")]
    Fields,
}

/// Decodes a file header without any key. Reads the first [`HEADER_LEN`] bytes.
///
/// # Errors
/// [`HeaderError`]; nothing here says that the bytes are authentic, see [`FileHeader::is_authentic`].
pub fn parse_file_header(bytes: &[u8]) -> Result<FileHeader, HeaderError> {
    let block = bytes.first_chunk::<HEADER_LEN>().ok_or(HeaderError::Short)?;
    if block[..8] != MAGIC || crc32fast::hash(&block[..CRC]) != u32_at(block, CRC) {
        return Err(HeaderError::Checksum);
    }
    let version = u16_at(block, 8);
    if version != VERSION {
        return Err(HeaderError::Version(version));
    }
    let flags = u16_at(block, 10);
    let size = u64_at(block, 56);
    if flags & !FLAG_RECYCLED != 0
        || u32_at(block, 12) != 0
        || !is_size(size)
        || !is_zero(&block[PADDING..CRC])
    {
        return Err(HeaderError::Fields);
    }
    Ok(FileHeader {
        spec: FileSpec {
            number: u64_at(block, 16),
            file_id: bytes_at(block, 24),
            key_slot: u64_at(block, 40),
            size,
        },
        key_check: KeyCheck(bytes_at(block, 48)),
        created_ms: u64_at(block, 64),
        predecessor_end: Position {
            wal: u64_at(block, 72),
            offset: u64_at(block, 80),
        },
        recycled: flags & FLAG_RECYCLED != 0,
        tag: bytes_at(block, AUTHENTICATED),
        authenticated: bytes_at(block, 0),
    })
}

impl FileHeader {
    /// Makes the header of a new file under `file_key`.
    #[must_use]
    pub fn seal(
        spec: FileSpec,
        file_key: &Key,
        predecessor_end: Position,
        created_ms: u64,
        recycled: bool,
    ) -> Self {
        let key_check = file_key.check();
        let mut head = [0u8; AUTHENTICATED];
        put(&mut head, 0, &MAGIC);
        put(&mut head, 8, &VERSION.to_le_bytes());
        put(
            &mut head,
            10,
            &if recycled { FLAG_RECYCLED } else { 0 }.to_le_bytes(),
        );
        put(&mut head, 16, &spec.number.to_le_bytes());
        put(&mut head, 24, &spec.file_id);
        put(&mut head, 40, &spec.key_slot.to_le_bytes());
        put(&mut head, 48, &key_check.0);
        put(&mut head, 56, &spec.size.to_le_bytes());
        put(&mut head, 64, &created_ms.to_le_bytes());
        put(&mut head, 72, &predecessor_end.wal.to_le_bytes());
        put(&mut head, 80, &predecessor_end.offset.to_le_bytes());
        let tag = sealer(file_key).seal_in_place([0; NONCE], &head, &mut []);
        Self {
            spec,
            key_check,
            created_ms,
            predecessor_end,
            recycled,
            tag,
            authenticated: head,
        }
    }

    /// Tells whether the header was written under `file_key`.
    #[must_use]
    pub fn is_authentic(&self, file_key: &Key) -> bool {
        sealer(file_key)
            .open_in_place([0; NONCE], &self.authenticated, &mut [], &self.tag)
            .is_ok()
    }

    /// Encodes the header as one block, ready for a direct write.
    #[must_use]
    pub fn to_block(&self) -> AlignedBuf {
        let mut block = AlignedBuf::zeroed(HEADER_LEN);
        put(&mut block, 0, &self.authenticated);
        put(&mut block, AUTHENTICATED, &self.tag);
        let crc = crc32fast::hash(&block[..CRC]);
        put(&mut block, CRC, &crc.to_le_bytes());
        block
    }
}

/// Tells whether a file can have this size: whole blocks, with room for the header, a frame and a closing frame.
pub(crate) fn is_size(size: u64) -> bool {
    size.is_multiple_of(BLOCK as u64) && size >= 3 * BLOCK as u64
}

fn sealer(file_key: &Key) -> Sealer {
    Sealer::new(&derive(KEY_CONTEXT, &[file_key.expose()]))
}

#[cfg(test)]
mod tests;
