//! A tenant's tail: records that are durable in the WAL and not yet in a segment.
//!
//! Blocks of 256 records, aligned like tiles, that are filled in place once: a snapshot is a shared list of blocks and
//! two bounds, so publishing a commit costs the same whatever the tail's length.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use attestore_record::{Entry, Handle, RecordId};
use attestore_tlog::Hash;
use bytes::Bytes;

/// A record in the tail.
pub struct TailRecord {
    /// Its index in the log.
    pub seq: u64,
    /// Its id.
    pub id: RecordId,
    /// Its leaf content.
    pub entry: Entry,
    /// Hash of the leaf.
    pub leaf: Hash,
    /// Salt generation that its public group was hashed under.
    pub generation: u32,
    /// Bytes of its public group.
    pub public: Bytes,
    /// Its personal groups, sealed.
    pub groups: Vec<TailGroup>,
    /// Hash of its idempotency key and digest of its event.
    pub idempotency: Option<Idempotency>,
}

/// What is remembered of a record that came with an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// Keyed hash of the key.
    pub key: u64,
    /// Keyed hash of the normalised event: tells a repetition from another event under the same key.
    pub digest: [u8; 16],
}

/// A personal group of a record in the tail.
#[derive(Clone)]
pub struct TailGroup {
    /// Its commitment.
    pub commitment: [u8; 32],
    /// Handles of its subjects, ascending.
    pub handles: Vec<Handle>,
    /// Its bytes, sealed: see `seal_group`.
    pub sealed: Bytes,
}

impl TailRecord {
    /// Bytes that the record takes in the WAL, about.
    pub fn bytes_len(&self) -> u64 {
        let groups: usize = self
            .groups
            .iter()
            .map(|g| g.sealed.len() + 16 * g.handles.len() + 40)
            .sum();
        (self.public.len() + groups + 96) as u64
    }

    /// Commitments of its personal groups, ascending.
    pub fn commitments(&self) -> Vec<[u8; 32]> {
        let mut all: Vec<_> = self.groups.iter().map(|group| group.commitment).collect();
        all.sort_unstable();
        all
    }
}

/// A snapshot of a tail: the records of one range of seqs.
#[derive(Clone)]
pub struct Tail {
    blocks: Arc<Vec<Arc<Block>>>,
    start: u64,
    end: u64,
}

struct Block {
    slots: Box<[OnceLock<Arc<TailRecord>>]>,
    /// The level-8 node over the block's leaves, once all 256 are there.
    node: OnceLock<Hash>,
}

impl Tail {
    /// Makes an empty tail that begins at `start`.
    pub fn new(start: u64) -> Self {
        Self {
            blocks: Arc::default(),
            start,
            end: start,
        }
    }

    /// The seqs in it.
    pub fn range(&self) -> Range<u64> {
        self.start..self.end
    }

    /// First seq in it, or the next one when it is empty.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// One past its last seq.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Number of records.
    pub fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Whether it has no records.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The record with this seq.
    pub fn get(&self, seq: u64) -> Option<&Arc<TailRecord>> {
        if !self.range().contains(&seq) {
            return None;
        }
        self.block(seq >> BLOCK_LOG2)?.slots[slot(seq)].get()
    }

    /// Hash of the leaf with this seq.
    pub fn leaf(&self, seq: u64) -> Option<Hash> {
        self.get(seq).map(|record| record.leaf)
    }

    /// The level-8 node with this index, if the tail completed it.
    pub fn node8(&self, index: u64) -> Option<Hash> {
        if index.checked_add(1)?.checked_shl(BLOCK_LOG2)? > self.end {
            return None;
        }
        self.block(index)?.node.get().copied()
    }

    /// The records of the part of `range` that is in the tail, ascending.
    pub fn iter(&self, range: Range<u64>) -> impl DoubleEndedIterator<Item = &Arc<TailRecord>> {
        (range.start.max(self.start)..range.end.min(self.end)).filter_map(|seq| self.get(seq))
    }

    /// Appends a record, visible only in the returned snapshot's successors and `self`. `node` is the level-8 node that its
    /// leaf completed.
    ///
    /// # Panics
    /// When the record is not the next one, or another snapshot was extended with a record of the same seq.
    pub(crate) fn push(&mut self, record: Arc<TailRecord>, node: Option<Hash>) {
        assert_eq!(record.seq, self.end, "records are appended in order");
        let index = self.end >> BLOCK_LOG2;
        if self.blocks.is_empty() || self.first_block() + self.blocks.len() as u64 <= index {
            Arc::make_mut(&mut self.blocks).push(Arc::new(Block::new()));
        }
        let block = self.block(index).expect("the block was just made");
        let fresh = block.slots[slot(self.end)].set(record).is_ok();
        assert!(fresh, "a tail has one writer");
        if let Some(node) = node {
            let fresh = block.node.set(node).is_ok();
            assert!(fresh, "a node is completed once");
        }
        self.end += 1;
    }

    /// Drops the records before `seq`.
    pub(crate) fn drop_before(&mut self, seq: u64) {
        let seq = seq.clamp(self.start, self.end);
        if seq == self.end {
            *self = Self::new(seq);
            return;
        }
        let gone = usize::try_from((seq >> BLOCK_LOG2) - self.first_block()).unwrap_or(usize::MAX);
        if gone > 0 {
            Arc::make_mut(&mut self.blocks).drain(..gone);
        }
        self.start = seq;
    }

    fn first_block(&self) -> u64 {
        self.start >> BLOCK_LOG2
    }

    fn block(&self, index: u64) -> Option<&Arc<Block>> {
        let at = index.checked_sub(self.first_block())?;
        self.blocks.get(usize::try_from(at).ok()?)
    }
}

impl Block {
    fn new() -> Self {
        Self {
            slots: (0..BLOCK_RECORDS).map(|_| OnceLock::new()).collect(),
            node: OnceLock::new(),
        }
    }
}

fn slot(seq: u64) -> usize {
    (seq % BLOCK_RECORDS) as usize
}

const BLOCK_LOG2: u32 = 8;
const BLOCK_RECORDS: u64 = 1 << BLOCK_LOG2;
