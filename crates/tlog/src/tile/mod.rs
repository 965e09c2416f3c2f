//! Tiles and entry bundles: the pieces a log is served in (C2SP tlog-tiles).
//!
//! # Format
//! | resource | path | bytes |
//! |---|---|---|
//! | hash tile | `tile/<L>/<N>[.p/<W>]` | W × 32: nodes `256 N .. 256 N + W` of level 8 L |
//! | entry bundle | `tile/entries/<N>[.p/<W>]` | W × (length u16 BE ‖ entry), entries `256 N .. 256 N + W` |
//!
//! W is 256 unless the path says otherwise. N is written in groups of three digits, all but the last marked with `x`:
//! 1234067 is `x001/x234/067`. Every resource has exactly one path.

mod bundle;
mod path;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::ops::Range;

pub use bundle::{Bundle, entry_bundle, parse_entry_bundle};
pub use path::{TilePath, resources};

use crate::hash::{Hash, SIZE_MAX};

/// Levels of the tree that a tile spans.
pub const TILE_HEIGHT: u8 = 8;
/// Hashes in a full tile, entries in a full bundle.
pub const TILE_WIDTH: u16 = 1 << TILE_HEIGHT;
/// Highest level that a tree up to [`SIZE_MAX`] leaves has tiles of. (The specification reserves numbers up to 63.)
pub const TILE_LEVEL_MAX: u8 = 7;

const _: () = assert!((TILE_LEVEL_MAX as u32 + 1) * TILE_HEIGHT as u32 == u64::BITS);

/// Names a hash tile: up to 256 nodes of one level, all of complete subtrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    level: u8,
    index: u64,
    width: u16,
}

/// Says why there is no such tile, or why bytes are not its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// The path is not spelled as the specification demands.
    #[error("malformed tile path")]
    Path,
    /// The level, index or width is out of range.
    #[error("no tree has such a tile")]
    Range,
    /// The content is not as long as the width demands.
    #[error("content of {found} bytes does not fit width {width}")]
    Length {
        /// Width of the tile or bundle.
        width: u16,
        /// Bytes given.
        found: usize,
    },
    /// An entry of a bundle has another length than entries of this log have.
    #[error("entry {position} of the bundle has {found} bytes")]
    EntryLength {
        /// Position within the bundle.
        position: u16,
        /// Its length prefix.
        found: u16,
    },
}

impl Tile {
    /// Names a tile.
    ///
    /// # Errors
    /// [`TileError::Range`] unless the width is 1 to 256 and a tree of at most [`SIZE_MAX`] leaves has such a tile.
    pub fn new(level: u8, index: u64, width: u16) -> Result<Self, TileError> {
        let tile = Self { level, index, width };
        let fits = level <= TILE_LEVEL_MAX
            && (1..=TILE_WIDTH).contains(&width)
            && index
                .checked_mul(u64::from(TILE_WIDTH))
                .and_then(|first| first.checked_add(u64::from(width)))
                .is_some_and(|end| end <= SIZE_MAX >> (level * TILE_HEIGHT));
        fits.then_some(tile).ok_or(TileError::Range)
    }

    /// Returns the widest tile that a tree of `size` leaves has at this place, or `None` if it has none.
    #[must_use]
    pub fn at(level: u8, index: u64, size: u64) -> Option<Self> {
        if level > TILE_LEVEL_MAX || size > SIZE_MAX {
            return None;
        }
        let nodes = size >> (level * TILE_HEIGHT);
        let width = widest(index, nodes)?;
        Some(Self { level, index, width })
    }

    /// Returns the tile level: its hashes are nodes of level `8 × level`.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.level
    }

    /// Returns its index within the level.
    #[must_use]
    pub const fn index(self) -> u64 {
        self.index
    }

    /// Returns the number of hashes, 1 to 256.
    #[must_use]
    pub const fn width(self) -> u16 {
        self.width
    }

    /// Tells whether it has all 256 hashes.
    #[must_use]
    pub const fn is_full(self) -> bool {
        self.width == TILE_WIDTH
    }

    /// Returns the indexes of its nodes within their level.
    #[must_use]
    pub const fn nodes(self) -> Range<u64> {
        let first = self.index << TILE_HEIGHT;
        first..first + self.width as u64
    }

    /// Tells whether a tree of `size` leaves has all of its hashes.
    #[must_use]
    pub const fn is_within(self, size: u64) -> bool {
        self.nodes().end <= size >> (self.level * TILE_HEIGHT)
    }

    /// Returns the length of its content in bytes.
    #[must_use]
    pub const fn byte_len(self) -> usize {
        self.width as usize * Hash::LEN
    }
}

/// Splits the content of a tile of `width` hashes.
///
/// # Errors
/// [`TileError::Length`] unless it is exactly `width` × 32 bytes.
pub fn parse_hashes(bytes: &[u8], width: u16) -> Result<Vec<Hash>, TileError> {
    match bytes.as_chunks::<{ Hash::LEN }>() {
        (hashes, []) if hashes.len() == usize::from(width) => Ok(hashes.iter().copied().map(Hash).collect()),
        _ => Err(TileError::Length {
            width,
            found: bytes.len(),
        }),
    }
}

/// Width at `index` of a row of `count` items; `None` if nothing is there.
fn widest(index: u64, count: u64) -> Option<u16> {
    let left = count.checked_sub(index.checked_mul(u64::from(TILE_WIDTH))?)?;
    let width = u16::try_from(left).map_or(TILE_WIDTH, |left| left.min(TILE_WIDTH));
    (width > 0).then_some(width)
}
