//! `.sub`: personal groups, collected and compressed per set of data subjects, sealed under the subjects' keys.
//!
//! # Format
//!
//! The plaintext of a container of type 2 ([`crate::container`]):
//!
//! ```text
//! block 0 ‖ block 1 ‖ … ‖ page 0 ‖ … ‖ set table ‖ block table ‖ page index ‖ trailer (96 bytes)
//! block = AES-256-GCM under a key derived from the set's key (zstd(columns: seq, ordinal; then the groups)) ‖ tag
//! page  = zstd(columns: seq, ordinal, block), sorted by seq and ordinal
//! ```
//!
//! A set is a sorted list of handles. Each block holds groups of one set only, so destroying one subject's key makes exactly
//! the groups unreadable that are about that subject. The first block of a set is the dictionary of its others: they are as dense as
//! one large block, and who opens them has its key anyway. Sets are stored in order of their handles and blocks in order of their
//! sets. What a group repeats of its record's public group is stored as a number ([`Packed`]). What stays readable to who holds the file's key: handles, seqs, and sizes. Byte tables are in
//! `docs/format/segment.md`.
//!
//! # Durability
//!
//! None here: builders make bytes, see [`crate::file`].
//!
//! # Errors
//!
//! A block that does not open although the container is authentic was sealed under another key:
//! [`Error::WrongKey`](crate::Error::WrongKey). A key that was destroyed on purpose is no error, see [`Group::Destroyed`].

mod block;
mod builder;
mod footer;
mod packed;
mod page;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use attestore_keys::Key;

pub use block::{SubBlock, SubGroup, parse_sub_block};
pub use builder::{SubBuilder, SubOptions};
pub use footer::{PageEntry, SubFooter, SubMeta, parse_sub_footer};
pub use packed::Packed;
pub use page::{Pair, parse_sub_page};
pub use reader::{Group, HandleSet, SCAN_MEMORY_BYTES, SubReader, SubScan};
pub use writer::SubWriter;

/// The random id that stands for a data subject.
pub type Handle = [u8; 16];

/// What a provider of set keys failed with.
pub type SetKeyError = Box<dyn std::error::Error + Send + Sync>;

/// Finds the keys of sets of data subjects.
pub trait SetKeys {
    /// Returns the key of a set, given its handles in ascending order; `None` when it has been destroyed.
    ///
    /// # Errors
    /// Whatever kept the provider from knowing. It is never to be taken for a destroyed key.
    fn set_key(&self, handles: &[Handle]) -> Result<Option<Key>, SetKeyError>;
}

/// The most handles in a set.
pub const HANDLES_MAX: usize = 4096;
/// The most bytes of one personal group.
pub const GROUP_BYTES_MAX: usize = 16 * 1024 * 1024;
const _: () = assert!(GROUP_BYTES_MAX + 4096 < crate::compression::BLOCK_RAW_MAX);
