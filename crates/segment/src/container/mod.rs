//! One sealed, immutable byte string: a whole `.seg`, `.sub` or `.idx` file, or a part of a shared `l0` file.
//!
//! # Format
//!
//! ```text
//! header (128 bytes, plain, CRC-32) ‖ chunk 0 ‖ chunk 1 ‖ … ‖ last chunk
//! chunk = AES-256-GCM ciphertext of at most 16,384 bytes ‖ tag (16 bytes)
//! ```
//!
//! The key of the chunks is derived from the file's own key and its random id, the nonce is the chunk's number, and each
//! chunk's associated data holds a hash of the header, the number, and whether the chunk is the last. So chunks cannot be
//! changed, swapped, dropped, appended, or moved to another container, and the header cannot be changed either: it is
//! plain, but authenticated with every chunk. Byte tables are in `docs/format/segment.md`.
//!
//! # Durability
//!
//! None here: [`seal`] makes bytes, [`crate::file`] makes files of them.
//!
//! # Errors
//!
//! [`Error::WrongKey`](crate::Error::WrongKey) when the key's check value differs from the header's,
//! [`Error::Damage`](crate::Error::Damage) with the file's path and the offset of the header or chunk for everything that
//! does not hold, [`Error::Io`](crate::Error::Io) when the disk fails.

mod header;
mod open;
mod seal;
#[cfg(test)]
mod tests;

pub use header::{ContainerMeta, ContainerType, FileId, HEADER_BYTES, Header, parse_header};
pub use open::Container;
pub use seal::{reseal, seal, seal_to, sealed_len};

/// Bytes of plaintext in every chunk but the last.
pub const CHUNK_BYTES: usize = 1 << CHUNK_LOG2;
pub(crate) const CHUNK_LOG2: u8 = 14;
/// Bytes that a full chunk takes in the file.
pub(crate) const SEALED_CHUNK_BYTES: usize = CHUNK_BYTES + attestore_keys::aead::TAG;
const _: () = assert!(SEALED_CHUNK_BYTES == 16_400);
