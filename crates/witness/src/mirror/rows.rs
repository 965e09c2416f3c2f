//! The incomplete tile of each level, as the tree grows.

use attestore_tlog::{Frontier, Hash, TILE_LEVEL_MAX, TILE_WIDTH, Tile};

use super::MirrorError;
use super::tiles::Tiles;

/// Hashes of the last tile of each level, fewer than 256 each.
pub(super) struct Rows {
    levels: Vec<Row>,
}

#[derive(Default)]
struct Row {
    index: u64,
    hashes: Vec<Hash>,
}

impl Rows {
    /// Reads those of a tree of `size` leaves.
    pub(super) fn read(tiles: &Tiles, size: u64) -> Result<Self, MirrorError> {
        let mut levels = Vec::new();
        for level in 0..=TILE_LEVEL_MAX {
            let count = size >> (u32::from(level) * 8);
            let index = count / u64::from(TILE_WIDTH);
            let hashes = match Tile::at(level, index, size) {
                Some(tile) => tiles
                    .read_tile(tile)?
                    .ok_or(MirrorError::Damaged("a tile is missing"))?,
                None => Vec::new(),
            };
            levels.push(Row { index, hashes });
        }
        Ok(Self { levels })
    }

    /// Appends a leaf and writes the tiles that it completes.
    pub(super) fn push(&mut self, leaf: Hash, tiles: &Tiles) -> Result<(), MirrorError> {
        let mut hash = leaf;
        for (level, row) in (0u8..).zip(&mut self.levels) {
            row.hashes.push(hash);
            if row.hashes.len() < usize::from(TILE_WIDTH) {
                break;
            }
            tiles.write_tile(level, row.index, &row.hashes)?;
            let mut subtree = Frontier::new();
            row.hashes.drain(..).for_each(|hash| subtree.push(hash));
            row.index += 1;
            hash = subtree.root();
        }
        Ok(())
    }

    /// Writes the incomplete tiles.
    pub(super) fn write_partial(&self, tiles: &Tiles) -> Result<(), MirrorError> {
        for (level, row) in (0u8..).zip(&self.levels) {
            if !row.hashes.is_empty() {
                tiles.write_tile(level, row.index, &row.hashes)?;
            }
        }
        Ok(())
    }
}
