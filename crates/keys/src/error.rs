//! What can go wrong with keys, so that a wrong key is never taken for damage.

use std::io;
use std::path::PathBuf;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure of the key hierarchy.
///
/// [`Error::is_key`] tells the failures that a different or restored key would cure from those that say that stored
/// bytes are not what was written ([`Error::is_damage`]).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key at hand is not the one that sealed this.
    #[error("wrong key: {what}")]
    WrongKey {
        /// What the key was tried on.
        what: String,
    },
    /// The key that is needed is not there.
    #[error("missing key: {what}")]
    MissingKey {
        /// The key that is needed.
        what: String,
    },
    /// The key has been destroyed on purpose; what it sealed is unreadable for good.
    #[error("destroyed key: {what}")]
    Destroyed {
        /// The key that was asked for.
        what: String,
    },
    /// Stored key material is not what was written.
    #[error("damaged: {what}: {reason}")]
    Damaged {
        /// The file or page.
        what: String,
        /// What does not hold.
        reason: &'static str,
    },
    /// The slot holds a key that belongs to somebody or something else.
    #[error("slot {slot} holds a key of another context")]
    Mismatch {
        /// The slot that was asked for.
        slot: u64,
    },
    /// The slot already holds another key; slots are never reused.
    #[error("slot {slot} is taken")]
    Occupied {
        /// The slot that was to be written.
        slot: u64,
    },
    /// The slot number is outside the range that a tree can hold.
    #[error("slot {slot} is out of range")]
    OutOfRange {
        /// The slot that was asked for.
        slot: u64,
    },
    /// Somebody else may read or write the key material.
    #[error("{}: mode {mode:03o} lets others in; wanted 0600 for files and 0700 for the directory", path.display())]
    Permissions {
        /// The file or directory, relative to the disk's root.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A root generation that is still in use was to be destroyed.
    #[error("root generation {generation} is the current one and cannot be destroyed")]
    InUse {
        /// The generation.
        generation: u64,
    },
    /// What holds the root cannot be reached now, or refuses to work. It may come back.
    #[error("out of reach: {what}")]
    Unreachable {
        /// Who, and what they say.
        what: String,
    },
    /// The storage below failed.
    #[error("key storage: {0}")]
    Io(#[from] io::Error),
}

impl Error {
    /// Says whether the right key is what is lacking.
    pub fn is_key(&self) -> bool {
        matches!(
            self,
            Self::WrongKey { .. }
                | Self::MissingKey { .. }
                | Self::Destroyed { .. }
                | Self::Permissions { .. }
                | Self::Unreachable { .. }
        )
    }

    /// Says whether stored bytes are not what was written.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Mismatch { .. })
    }
}
