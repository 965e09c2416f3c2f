//! What readers see before it is in place: written and not synced, or being synced.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::block::{Block, LOGICAL};
use super::versions::Versions;

pub(super) type Blocks = BTreeMap<u64, Box<Block>>;

pub(super) struct Overlay {
    /// Logical bytes.
    pub(super) length: u64,
    /// Blocks below this are in place unless they are in here; those above are zero unless they are in here.
    pub(super) written: u64,
    /// Which versions of the blocks are in place.
    pub(super) versions: Versions,
    dirty: Blocks,
    flushing: Arc<Blocks>,
}

impl Overlay {
    pub(super) fn new(length: u64, written: u64) -> Self {
        Self {
            length,
            written,
            versions: Versions::default(),
            dirty: Blocks::new(),
            flushing: Arc::default(),
        }
    }

    pub(super) fn get(&self, number: u64) -> Option<&Block> {
        self.dirty
            .get(&number)
            .or_else(|| self.flushing.get(&number))
            .map(AsRef::as_ref)
    }

    pub(super) fn put(&mut self, number: u64, block: Box<Block>) {
        self.dirty.insert(number, block);
    }

    /// How many blocks from `first`, at most `max`, have to be read from their places.
    pub(super) fn run_in_place(&self, first: u64, max: u64) -> u64 {
        (first..self.written.min(first.saturating_add(max)))
            .take_while(|number| self.get(*number).is_none())
            .count() as u64
    }

    /// Cuts or extends with zeros. The caller has put the rest of a block that is cut in two to zero.
    pub(super) fn set_len(&mut self, length: u64) {
        let blocks = length.div_ceil(LOGICAL as u64);
        self.dirty.split_off(&blocks);
        self.written = self.written.min(blocks);
        self.length = length;
    }

    /// Moves what was written to where it is still read while it is being synced.
    pub(super) fn take_dirty(&mut self) -> Arc<Blocks> {
        self.flushing = Arc::new(std::mem::take(&mut self.dirty));
        Arc::clone(&self.flushing)
    }

    pub(super) fn drop_flushing(&mut self) {
        self.flushing = Arc::default();
    }
}
