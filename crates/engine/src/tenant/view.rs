//! What readers see of a tenant: only durable records, as one consistent snapshot.

use std::sync::Arc;

use attestore_tlog::{Frontier, Hash};

use super::tail::Tail;
use crate::catalog::FileRow;

/// A snapshot of a tenant's log.
#[derive(Clone)]
pub struct View {
    /// The segments, ascending by first seq.
    pub flushed: Arc<Vec<Arc<FileSet>>>,
    /// The tail.
    pub tail: Tail,
    /// Number of records: one past the last seq.
    pub size: u64,
    /// Root over all of them.
    pub root: Hash,
    /// The tree's right edge at `size`.
    pub frontier: Frontier,
    /// Time of the last record, Unix milliseconds; 0 when there is none.
    pub last_time_ms: u64,
}

/// A segment: the files of one class and run of seqs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSet {
    /// Its number in the tenant.
    pub set: u64,
    /// Retention class of its records.
    pub class: u16,
    /// Public groups.
    pub seg: FileRow,
    /// Personal groups, if there are any.
    pub sub: Option<FileRow>,
    /// The split; parts of `l0` files have none.
    pub idx: Option<FileRow>,
}

impl FileSet {
    /// The rows of its files.
    pub fn files(&self) -> impl Iterator<Item = &FileRow> {
        [Some(&self.seg), self.sub.as_ref(), self.idx.as_ref()]
            .into_iter()
            .flatten()
    }

    /// First seq.
    pub fn min_seq(&self) -> u64 {
        self.seg.min_seq
    }

    /// Last seq.
    pub fn max_seq(&self) -> u64 {
        self.seg.max_seq
    }
}

impl View {
    /// Records that are in segments: the first seq of the tail.
    pub fn flushed_count(&self) -> u64 {
        self.tail.start()
    }

    /// The segments that may hold `seq`. More than one only if the run has several classes.
    pub fn sets_at(&self, seq: u64) -> impl Iterator<Item = &Arc<FileSet>> {
        // Sets of one flush overlap in seqs when they differ in class; they are few, and sorted by first seq.
        let end = self.flushed.partition_point(|set| set.min_seq() <= seq);
        self.flushed[..end]
            .iter()
            .rev()
            .filter(move |set| set.max_seq() >= seq)
    }
}
