//! Recovery: from the catalog and the WAL to the state in which the last process could acknowledge.
//!
//! Every record that is in the WAL and not in a segment becomes part of its tenant's tail (`replay`). Then all of them
//! are written into a new WAL file, which is synced, before anything is served (`relog`): what was read may have been
//! only in the page cache. Nothing is served, signed or acknowledged before that.
//!
//! # Errors
//! Damage is told with file and offset and nothing is repaired. A missing key cuts nothing. Every step can be repeated: a
//! crash in recovery leaves a state that the next recovery takes for granted.

mod apply;
mod clean;
mod relog;
mod replay;

use attestore_wal::TornTail;

pub(crate) use clean::clean;
pub(crate) use relog::relog;
pub(crate) use replay::replay;

/// What recovery found.
#[derive(Clone, Debug, Default)]
pub struct RecoveryReport {
    /// Frames that were replayed.
    pub frames: u64,
    /// Records that were in the WAL only.
    pub records: u64,
    /// Tenants they belong to.
    pub tenants: u64,
    /// An unfinished write at the end of the log that was cut. Nobody was told that it was durable.
    pub torn: Option<TornTail>,
    /// Files that belonged to nothing and were removed.
    pub strays: Vec<std::path::PathBuf>,
}
