//! Tiles, bundles and checkpoint of one log as files.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use attestore_disk::Disk;
use attestore_tlog::{Bundle, Hash, LeafSource, TILE_LEVEL_MAX, TILE_WIDTH, Tile, parse_hashes};
use parking_lot::Mutex;

use super::MirrorError;
use crate::files;
use crate::store::origin_hash;

/// The folder of one log.
pub(super) struct Tiles {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    /// Folders with names that are not durable yet, and those that were made.
    unsynced: Mutex<BTreeSet<PathBuf>>,
}

impl Tiles {
    pub(super) fn new(disk: Arc<dyn Disk>, origin: &str) -> io::Result<Self> {
        let folder = PathBuf::from(origin_hash(origin));
        disk.create_dir_all(&folder)?;
        disk.sync_dir("".as_ref())?;
        Ok(Self {
            disk,
            folder,
            unsynced: Mutex::default(),
        })
    }

    pub(super) fn disk(&self) -> &dyn Disk {
        self.disk.as_ref()
    }

    pub(super) fn read_checkpoint(&self) -> Result<Option<String>, MirrorError> {
        let bytes = files::read(self.disk(), &self.folder.join(CHECKPOINT), CHECKPOINT_BYTES_MAX)?;
        let text = bytes.map(String::from_utf8).transpose();
        text.map_err(|_| MirrorError::Damaged("its checkpoint is no text"))
    }

    pub(super) fn read_entries(&self, bundle: Bundle) -> io::Result<Option<Vec<u8>>> {
        files::read(
            self.disk(),
            &self.folder.join(bundle.to_string()),
            BUNDLE_BYTES_MAX,
        )
    }

    pub(super) fn write_entries(&self, bundle: Bundle, bytes: &[u8]) -> io::Result<()> {
        self.write(&bundle.to_string(), bytes)
    }

    pub(super) fn read_tile(&self, tile: Tile) -> Result<Option<Vec<Hash>>, MirrorError> {
        let path = self.folder.join(tile.to_string());
        let Some(bytes) = files::read(self.disk(), &path, TILE_BYTES)? else {
            return Ok(None);
        };
        let hashes = parse_hashes(&bytes, tile.width());
        hashes
            .map(Some)
            .map_err(|_| MirrorError::Damaged("a tile has the wrong length"))
    }

    pub(super) fn write_tile(&self, level: u8, index: u64, hashes: &[Hash]) -> Result<(), MirrorError> {
        let width = u16::try_from(hashes.len()).map_err(|_| MirrorError::Damaged("a tile is too wide"))?;
        let tile =
            Tile::new(level, index, width).map_err(|_| MirrorError::Damaged("no tree has such a tile"))?;
        let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
        Ok(self.write(&tile.to_string(), &bytes)?)
    }

    /// Writes and syncs a file; its name is durable with [`Tiles::commit`].
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.folder.join(name);
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut unsynced = self.unsynced.lock();
        if !unsynced.contains(folder) {
            self.disk.create_dir_all(folder)?;
            let way = folder
                .ancestors()
                .take_while(|above| !above.as_os_str().is_empty());
            unsynced.extend(way.map(Path::to_path_buf));
        }
        files::write_new(self.disk(), &path, bytes)
    }

    /// Makes all names durable, and then the checkpoint.
    pub(super) fn commit(&self, note: &str) -> io::Result<()> {
        for folder in std::mem::take(&mut *self.unsynced.lock()).iter().rev() {
            self.disk.sync_dir(folder)?;
        }
        self.disk.sync_dir("".as_ref())?;
        files::replace(self.disk(), &self.folder.join(CHECKPOINT), note.as_bytes())
    }

    /// Removes partial tiles and bundles of which the full one is there now. What cannot be removed does no harm.
    pub(super) fn remove_overtaken(&self, from: u64, size: u64) {
        let mut folders = Vec::new();
        for level in 0..=TILE_LEVEL_MAX {
            let width = u64::from(TILE_WIDTH);
            let (old, new) = (from >> (u32::from(level) * 8), size >> (u32::from(level) * 8));
            if old % width == 0 || old / width == new / width {
                continue;
            }
            folders.extend(
                Tile::new(level, old / width, TILE_WIDTH)
                    .ok()
                    .map(|tile| tile.to_string()),
            );
            if level == 0 {
                folders.extend(
                    Bundle::new(old / width, TILE_WIDTH)
                        .ok()
                        .map(|bundle| bundle.to_string()),
                );
            }
        }
        for folder in folders {
            let folder = self.folder.join(format!("{folder}.p"));
            for file in self.disk.list(&folder).unwrap_or_default() {
                let _ = self.disk.remove(&folder.join(file.name));
            }
            let _ = self.disk.remove(&folder);
        }
    }

    /// The tree of the first `size` leaves.
    pub(super) fn at(&self, size: u64) -> Tree<'_> {
        Tree { tiles: self, size }
    }
}

/// Reads hashes of a tree from tiles.
pub(super) struct Tree<'a> {
    tiles: &'a Tiles,
    size: u64,
}

impl Tree<'_> {
    fn read(&self, level: u8, range: Range<u64>, out: &mut Vec<Hash>) -> Result<(), MirrorError> {
        let width = u64::from(TILE_WIDTH);
        let missing = MirrorError::Damaged("a tile is missing");
        let Some(tile) = Tile::at(level, range.start / width, self.size) else {
            return Err(missing);
        };
        let hashes = self.tiles.read_tile(tile)?.ok_or(missing)?;
        let at = |i: u64| usize::try_from(i - tile.nodes().start).unwrap_or(usize::MAX);
        let hashes = hashes.get(at(range.start)..at(range.end));
        out.extend_from_slice(hashes.ok_or(MirrorError::Damaged("a tile is too short"))?);
        Ok(())
    }
}

impl LeafSource for Tree<'_> {
    type Error = MirrorError;

    fn leaves(&self, range: Range<u64>, out: &mut Vec<Hash>) -> Result<(), MirrorError> {
        self.read(0, range, out)
    }

    fn stored(&self, level: u8, range: Range<u64>, out: &mut Vec<Hash>) -> Result<(), MirrorError> {
        self.read(level / 8, range, out)
    }
}

const CHECKPOINT: &str = "checkpoint";
const CHECKPOINT_BYTES_MAX: u64 = 1 << 20;
const TILE_BYTES: u64 = 256 * 32;
const BUNDLE_BYTES_MAX: u64 = 256 * (2 + 65535);
