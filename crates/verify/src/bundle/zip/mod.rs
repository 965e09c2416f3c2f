//! The container of a bundle: a ZIP archive of stored members in its one spelling.
//!
//! # Format
//! What APPNOTE 6.3 calls stored members with data descriptors, always with ZIP64 fields, so that a member is written before
//! its length is known and every reader of ZIP opens it. Integers are little-endian.
//!
//! ```text
//! member      local header [30] ‖ name ‖ ZIP64 field [20] ‖ bytes ‖ descriptor [24]          one after the other, from 0 on
//! directory   header [46] ‖ name ‖ ZIP64 field [28]                                          one for each member, in order
//! end         ZIP64 end [56] ‖ ZIP64 locator [20] ‖ end [22]
//! ```
//!
//! No comments, no other fields, no compression, no times. [`Archive`] writes each header again from what it read and compares
//! the bytes, so two readers cannot see two archives: nothing lies between the members, before or behind them.

mod header;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use read::{Archive, ReadAt, ZipError};
pub use write::ZipWriter;

/// Most members of an archive.
pub const MEMBERS_MAX: usize = 2048;
/// Longest name of a member, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// A member of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name: ASCII letters, digits, `.`, `-`, `_` and `/`.
    pub name: String,
    /// Length in bytes.
    pub bytes: u64,
    /// CRC-32 of its bytes, as ZIP has it. Proves nothing.
    pub crc: u32,
    /// Where its local header starts.
    offset: u64,
}

impl Member {
    /// Where its bytes start.
    fn start(&self) -> u64 {
        self.offset + header::local_bytes(&self.name)
    }

    /// Where the next member, or the directory, starts; `None` beyond 64 bits.
    fn end(&self) -> Option<u64> {
        let local = self.offset.checked_add(header::local_bytes(&self.name))?;
        local
            .checked_add(self.bytes)?
            .checked_add(header::DESCRIPTOR_BYTES)
    }
}

/// Tells whether a text can name a member, so that it is a path below the folder it is unpacked in, in every system.
fn is_name(name: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && !part.starts_with('.');
    name.len() <= NAME_BYTES_MAX
        && name.split('/').all(plain)
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/'))
}
