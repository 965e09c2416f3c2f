//! Holds the tiles that a log serves against the nodes that its entries give.

use attestore_tlog::{Hash, TILE_HEIGHT, TILE_WIDTH, Tile, parse_hashes};

use super::{
    report::{Finding, LogReport},
    source::{LogSource, Resource},
};

/// Collects recomputed nodes of levels 0, 8, 16, … and compares each tile as soon as it is complete.
pub(super) struct TileCheck<'a> {
    source: &'a dyn LogSource,
    size: u64,
    levels: Vec<Row>,
}

/// The unfinished tile of one level.
#[derive(Default)]
struct Row {
    index: u64,
    hashes: Vec<Hash>,
}

impl<'a> TileCheck<'a> {
    pub(super) const fn new(source: &'a dyn LogSource, size: u64) -> Self {
        Self {
            source,
            size,
            levels: Vec::new(),
        }
    }

    /// Takes the next node of a level of the tree; nodes of a level come from left to right.
    pub(super) fn node(&mut self, level: u8, hash: Hash, report: &mut LogReport) {
        if !level.is_multiple_of(TILE_HEIGHT) {
            return;
        }
        let tile_level = level / TILE_HEIGHT;
        let row_at = usize::from(tile_level);
        if self.levels.len() <= row_at {
            self.levels.resize_with(row_at + 1, Row::default);
        }
        let Some(row) = self.levels.get_mut(row_at) else {
            return;
        };
        row.hashes.push(hash);
        if row.hashes.len() == usize::from(TILE_WIDTH) {
            compare(self.source, self.size, tile_level, row, report);
            row.hashes.clear();
            row.index += 1;
        }
    }

    /// Compares the partial tiles.
    pub(super) fn finish(self, report: &mut LogReport) {
        for (tile_level, row) in (0..).zip(&self.levels) {
            if !row.hashes.is_empty() {
                compare(self.source, self.size, tile_level, row, report);
            }
        }
    }
}

fn compare(source: &dyn LogSource, size: u64, level: u8, row: &Row, report: &mut LogReport) {
    let tile =
        Tile::at(level, row.index, size).expect("its nodes were just recomputed from a tree of that size");
    let resource = Resource::Tile {
        level,
        index: row.index,
        width: tile.width(),
    };
    let bytes = match source.tile(level, row.index, tile.width()) {
        Ok(bytes) => bytes,
        Err(error) => return report.add(Finding::source(resource, error)),
    };
    let Ok(served) = parse_hashes(&bytes, tile.width()) else {
        return report.add(Finding::Length {
            resource,
            found: bytes.len(),
        });
    };
    match served
        .iter()
        .zip(&row.hashes)
        .position(|(served, computed)| served != computed)
    {
        Some(position) => report.add(Finding::Tile { resource, position }),
        None => report.tiles += 1,
    }
}
