//! Entry bundles: up to 256 entries with their lengths.

use alloc::vec::Vec;
use core::ops::Range;

use super::{TILE_HEIGHT, TILE_WIDTH, Tile, TileError};

/// Names an entry bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bundle {
    index: u64,
    width: u16,
}

impl Bundle {
    /// Names a bundle.
    ///
    /// # Errors
    /// [`TileError::Range`] unless the width is 1 to 256 and a tree of at most [`crate::SIZE_MAX`] leaves has such a
    /// bundle.
    pub fn new(index: u64, width: u16) -> Result<Self, TileError> {
        Tile::new(0, index, width).map(|_| Self { index, width })
    }

    /// Returns the widest bundle that a log of `size` entries has at this place, or `None` if it has none.
    #[must_use]
    pub fn at(index: u64, size: u64) -> Option<Self> {
        Tile::at(0, index, size).map(|tile| Self {
            index,
            width: tile.width(),
        })
    }

    /// Returns its index: it starts at entry `256 × index`.
    #[must_use]
    pub const fn index(self) -> u64 {
        self.index
    }

    /// Returns the number of entries, 1 to 256.
    #[must_use]
    pub const fn width(self) -> u16 {
        self.width
    }

    /// Tells whether it has all 256 entries.
    #[must_use]
    pub const fn is_full(self) -> bool {
        self.width == TILE_WIDTH
    }

    /// Returns the indexes of its entries.
    #[must_use]
    pub const fn entries(self) -> Range<u64> {
        let first = self.index << TILE_HEIGHT;
        first..first + self.width as u64
    }

    /// Tells whether a log of `size` entries has all of its entries.
    #[must_use]
    pub const fn is_within(self, size: u64) -> bool {
        self.entries().end <= size
    }
}

/// Encodes entries of one fixed length as a bundle.
#[must_use]
pub fn entry_bundle<const N: usize>(entries: &[[u8; N]]) -> Vec<u8> {
    let prefix = const {
        assert!(N <= u16::MAX as usize, "a length prefix has 16 bits");
        let [.., high, low] = (N as u64).to_be_bytes();
        [high, low]
    };
    let mut bytes = Vec::with_capacity(entries.len() * (PREFIX_BYTES + N));
    for entry in entries {
        bytes.extend_from_slice(&prefix);
        bytes.extend_from_slice(entry);
    }
    bytes
}

/// Splits a bundle of `width` entries that are all `N` bytes long.
///
/// # Errors
/// [`TileError::EntryLength`] at the first entry of another length, [`TileError::Length`] if bytes are missing or left
/// over.
pub fn parse_entry_bundle<const N: usize>(bytes: &[u8], width: u16) -> Result<Vec<[u8; N]>, TileError> {
    let wrong_length = TileError::Length {
        width,
        found: bytes.len(),
    };
    let mut entries = Vec::with_capacity(usize::from(width.min(TILE_WIDTH)));
    let mut rest = bytes;
    for position in 0..width {
        let (prefix, body) = rest.split_first_chunk::<PREFIX_BYTES>().ok_or(wrong_length)?;
        let found = u16::from_be_bytes(*prefix);
        if usize::from(found) != N {
            return Err(TileError::EntryLength { position, found });
        }
        let (entry, after) = body.split_first_chunk::<N>().ok_or(wrong_length)?;
        entries.push(*entry);
        rest = after;
    }
    if rest.is_empty() {
        Ok(entries)
    } else {
        Err(wrong_length)
    }
}

const PREFIX_BYTES: usize = 2;
