//! `.seg`: the public groups of one class, in compressed blocks.
//!
//! # Format
//!
//! The plaintext of a container of type 1 ([`crate::container`]):
//!
//! ```text
//! block 0 ‖ block 1 ‖ … ‖ block index ‖ salt table ‖ fences ‖ idempotency run ‖ trailer (96 bytes)
//! block = zstd(columns: seq, salt mode, generation, group count, length, times of ids; then the public bytes, ids taken out)
//!         ‖ explicit salts ‖ commitments ‖ ids
//! ```
//!
//! Commitments, explicit salts and ids are random bytes, so they stay out of the compressed part. The commitments of the personal
//! groups are kept always: the public part verifies without the personal one, also after that is erased. Fences are every
//! 1,024th hash of the sorted idempotency run, so that a look-up reads one page of it. Byte tables are in
//! `docs/format/segment.md`.
//!
//! # Durability
//!
//! None here: builders make bytes, see [`crate::file`].
//!
//! # Errors
//!
//! Builders refuse what the format cannot hold ([`Error::Refused`](crate::Error::Refused)); readers report the offset in the
//! file of whatever does not parse ([`Error::Damage`](crate::Error::Damage)), though it was authentic.

mod block;
mod builder;
mod footer;
mod reader;
mod run;
#[cfg(test)]
mod tests;

pub use crate::compression::Dictionary;
pub use block::{BlockRecord, SegBlock, parse_seg_block};
pub use builder::{SegBuilder, SegOptions};
pub use footer::{BlockEntry, SegFooter, SegMeta, parse_seg_footer};
pub use reader::{OwnedSegRecord, ResolvedSalt, SegReader};

/// Where a record's salt comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Salt {
    /// Derived from the class key of a salt generation, which is in the file's salt table.
    Generation(u32),
    /// Stored with the record, because its generation's key is gone.
    Explicit([u8; 32]),
}

/// A record as it is given to a [`SegBuilder`].
#[derive(Debug, Clone, Copy)]
pub struct SegRecord<'a> {
    /// Index in the tenant's log.
    pub seq: u64,
    /// Salt of the public group.
    pub salt: Salt,
    /// Commitments of the personal groups, ascending; at most 65,535.
    pub groups: &'a [[u8; 32]],
    /// Bytes of the public group; at most [`RECORD_BYTES_MAX`].
    pub public: &'a [u8],
    /// Hash of the idempotency key, if the record had one.
    pub idempotency: Option<u64>,
}

/// The most public bytes of one record.
pub const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;
const _: () = assert!(RECORD_BYTES_MAX + 4096 < crate::compression::BLOCK_RAW_MAX);
