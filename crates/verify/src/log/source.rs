//! Where a log is read from: a server, a directory, an evidence bundle.

use attestore_record::entry::ENTRY_BYTES;
use serde::Serialize;

/// Reads what a log serves. Nothing it returns is trusted.
pub trait LogSource {
    /// Returns the newest signed checkpoint.
    ///
    /// # Errors
    /// [`SourceError`].
    fn checkpoint(&self) -> Result<String, SourceError>;

    /// Returns the content of a hash tile of `width` hashes.
    ///
    /// # Errors
    /// [`SourceError`].
    fn tile(&self, level: u8, index: u64, width: u16) -> Result<Vec<u8>, SourceError>;

    /// Returns the entries of a bundle of `width` entries.
    ///
    /// # Errors
    /// [`SourceError`].
    fn entries(&self, index: u64, width: u16) -> Result<Vec<[u8; ENTRY_BYTES]>, SourceError>;
}

/// Says why a resource could not be had. Either way the log does not verify.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum SourceError {
    /// The log does not have it.
    #[error("absent")]
    Absent,
    /// Reading it failed, or it is malformed.
    #[error("{0}")]
    Failed(String),
}

/// Names a resource of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "resource", rename_all = "snake_case")]
pub enum Resource {
    /// The checkpoint.
    Checkpoint,
    /// A hash tile.
    Tile {
        /// Tile level.
        level: u8,
        /// Index within the level.
        index: u64,
        /// Number of hashes.
        width: u16,
    },
    /// An entry bundle.
    Entries {
        /// Index of the bundle.
        index: u64,
        /// Number of entries.
        width: u16,
    },
}
