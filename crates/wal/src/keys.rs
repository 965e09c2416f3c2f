//! Where the log asks for keys.

use std::io;

use attestore_keys::Key;

/// Why a key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It should be there and is not, or it is not the right one.
    #[error("the key is missing or wrong")]
    Missing,
    /// It was destroyed on purpose.
    #[error("the key was destroyed")]
    Destroyed,
    /// It could not be read.
    #[error("the key could not be read: {0}")]
    Io(#[from] io::Error),
}

/// The name that callers of [`SectionKeys`] know.
pub type SectionKeyError = KeyError;

/// The tenants' keys.
pub trait SectionKeys: Send + Sync {
    /// Returns a copy of the key that `owner`'s sections are sealed under.
    ///
    /// # Errors
    /// [`KeyError::Destroyed`] makes the section unreadable and is no failure of the replay; the others end it.
    fn section_key(&self, owner: &[u8; 16]) -> Result<Key, SectionKeyError>;

    /// Returns a copy of the key that `owner`'s sections were sealed under before, while that key is being replaced: asked for when
    /// a section says that it is not under the current one.
    fn former_section_key(&self, owner: &[u8; 16]) -> Option<Key> {
        let _ = owner;
        None
    }
}

/// The keys of the log's files.
pub trait FileKeys: Send + Sync {
    /// Returns a copy of the key in `slot`, which belongs to the file with this id.
    ///
    /// # Errors
    /// Any error ends the replay with [`ReplayError::Key`](crate::ReplayError::Key) or `Io`.
    fn file_key(&self, slot: u64, file_id: &[u8; 16]) -> Result<Key, KeyError>;
}
