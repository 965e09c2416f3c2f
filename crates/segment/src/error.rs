//! What can go wrong with sealed files, so that a wrong key, damage and a failing disk are never mixed up.

use std::io;
use std::path::{Path, PathBuf};

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A place in a file where stored bytes are not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: offset {offset}: {reason}", path.display())]
pub struct Damage {
    /// The file, relative to the disk's root.
    pub path: PathBuf,
    /// Byte offset in the file, of the structure that does not hold.
    pub offset: u64,
    /// What does not hold.
    pub reason: String,
}

/// A failure of reading or building a sealed file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Stored bytes are not what was written. Nothing repairs them; see [`Damage`].
    #[error("damaged: {}: offset {offset}: {reason}", path.display())]
    Damage {
        /// The file, relative to the disk's root.
        path: PathBuf,
        /// Byte offset in the file, of the structure that does not hold.
        offset: u64,
        /// What does not hold.
        reason: String,
    },
    /// The key at hand is not the one that sealed this; the bytes may well be sound.
    #[error("wrong key: {}: offset {offset}: {what}", path.display())]
    WrongKey {
        /// The file, relative to the disk's root.
        path: PathBuf,
        /// Byte offset in the file, of what the key was tried on.
        offset: u64,
        /// What the key was tried on.
        what: &'static str,
    },
    /// The disk failed; nothing is known about the bytes.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file, relative to the disk's root.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The provider of set keys failed.
    #[error("set key: {0}")]
    SetKey(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A builder was given what the format cannot hold; the builder must not be used any more.
    #[error("cannot be stored: {0}")]
    Refused(&'static str),
}

impl Error {
    /// Says whether stored bytes are not what was written.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damage { .. })
    }

    /// Says whether the right key is what is lacking.
    pub fn is_key(&self) -> bool {
        matches!(self, Self::WrongKey { .. } | Self::SetKey(_))
    }

    pub(crate) fn damage(path: &Path, offset: u64, reason: impl Into<String>) -> Self {
        Self::Damage {
            path: path.to_owned(),
            offset,
            reason: reason.into(),
        }
    }

    /// Tells a file that ends early (damage at `offset`) from a disk that fails.
    pub(crate) fn read(path: &Path, offset: u64, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::UnexpectedEof {
            return Self::damage(path, offset, "the file ends too early");
        }
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

impl From<Damage> for Error {
    fn from(damage: Damage) -> Self {
        Self::Damage {
            path: damage.path,
            offset: damage.offset,
            reason: damage.reason,
        }
    }
}
