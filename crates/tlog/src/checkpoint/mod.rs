//! Checkpoints: signed tree heads (C2SP tlog-checkpoint v1.0.0).
//!
//! # Format
//! ```text
//! <origin>
//! <tree size, decimal>
//! <base64(root)>
//! [extension lines, none by Attestore]
//! ```
//! signed as a note by the log's key, whose name is the origin.

#[cfg(test)]
mod tests;

use alloc::{format, string::String, vec::Vec};

use crate::{
    encoding::decimal,
    hash::{EMPTY_ROOT, Hash, SIZE_MAX},
    note::{NoteError, NoteSigner, SignedNote, VerifierKey, sign_note},
};

/// States the size and the root of one log. What it says is checked to be well-formed, not to be true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
    extensions: Vec<String>,
}

/// Says why a text is no checkpoint, or no checkpoint of that log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note is malformed or not signed by the log.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text does not end in a newline, or has fewer than three lines.
    #[error("checkpoint is malformed")]
    Malformed,
    /// The origin is empty or has a control character.
    #[error("checkpoint has an invalid origin")]
    Origin,
    /// The size is not a decimal number without leading zeros, or beyond [`SIZE_MAX`].
    #[error("checkpoint has an invalid tree size")]
    Size,
    /// The root is not base64 of 32 bytes, or another than [`EMPTY_ROOT`] for an empty tree.
    #[error("checkpoint has an invalid root")]
    Root,
    /// An extension line is empty.
    #[error("checkpoint has an empty extension line")]
    Extension,
    /// The origin is not the name of the key.
    #[error("checkpoint is of another log than the key")]
    OtherLog,
}

impl Checkpoint {
    /// States a tree head.
    ///
    /// # Errors
    /// [`CheckpointError::Origin`], [`CheckpointError::Size`] or [`CheckpointError::Root`].
    pub fn new(origin: impl Into<String>, size: u64, root: Hash) -> Result<Self, CheckpointError> {
        let origin = origin.into();
        if origin.is_empty() || origin.bytes().any(|byte| byte < b' ') {
            return Err(CheckpointError::Origin);
        }
        if size > SIZE_MAX {
            return Err(CheckpointError::Size);
        }
        if size == 0 && root != EMPTY_ROOT {
            return Err(CheckpointError::Root);
        }
        Ok(Self {
            origin,
            size,
            root,
            extensions: Vec::new(),
        })
    }

    /// Parses the text of the note. Extension lines are kept and mean nothing.
    ///
    /// # Errors
    /// [`CheckpointError`] for the first rule it breaks.
    pub fn from_text(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text
            .strip_suffix('\n')
            .ok_or(CheckpointError::Malformed)?
            .split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError::Malformed);
        };
        let size = decimal(size, SIZE_MAX).ok_or(CheckpointError::Size)?;
        let root = Hash::from_base64(root).ok_or(CheckpointError::Root)?;
        let extensions: Vec<String> = lines.map(String::from).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(CheckpointError::Extension);
        }
        Ok(Self {
            extensions,
            ..Self::new(origin, size, root)?
        })
    }

    /// Formats the text of the note.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64());
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Returns the name of the log.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Returns the number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Returns the root of the tree.
    #[must_use]
    pub const fn root(&self) -> Hash {
        self.root
    }

    /// Returns the extension lines as read, without newlines; empty for every checkpoint made here.
    #[must_use]
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }
}

/// Signs a checkpoint and formats the note.
///
/// # Errors
/// [`CheckpointError::OtherLog`] unless the origin is the name of the key, [`CheckpointError::Note`] if that is no key
/// name.
pub fn sign_checkpoint(checkpoint: &Checkpoint, signer: &dyn NoteSigner) -> Result<String, CheckpointError> {
    if checkpoint.origin != signer.name() {
        return Err(CheckpointError::OtherLog);
    }
    Ok(sign_note(&checkpoint.to_text(), &[signer])?)
}

/// Opens a signed checkpoint: verifies the note and parses its text.
///
/// # Errors
/// [`CheckpointError::Note`] unless the key signed it, [`CheckpointError::OtherLog`] unless its origin is the name of the
/// key, else as [`Checkpoint::from_text`].
pub fn open_checkpoint(note: &str, key: &VerifierKey) -> Result<Checkpoint, CheckpointError> {
    let note = SignedNote::open(note, key)?;
    let checkpoint = Checkpoint::from_text(note.text())?;
    if checkpoint.origin == key.name() {
        Ok(checkpoint)
    } else {
        Err(CheckpointError::OtherLog)
    }
}
