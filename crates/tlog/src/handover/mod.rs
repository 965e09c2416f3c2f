//! Handovers: what a log's key signs to name the key that comes after it.
//!
//! A log that changes its key keeps its origin ([`HandoverReason::Rotation`]). A log that lost entries goes on under another origin, and
//! so another key ([`HandoverReason::Fork`]): entries below [`Handover::size`] are the same, those that the old origin had beyond are gone.
//! Who trusts the old key at the time that it signed can trust the next.
//!
//! # Format
//! A C2SP signed note by the old key, whose text is six lines:
//!
//! ```text
//! attestore handover v1
//! <origin of the log>
//! rotation | fork
//! <number of entries, decimal>
//! <root over them, base64>
//! <vkey of the next key>
//! ```
//!
//! The first line is no origin, so it can be taken for no checkpoint.

use alloc::string::{String, ToString};
use core::fmt;

use crate::encoding::decimal;
use crate::note::{NoteError, NoteSigner, SignedNote, VerifierKey, sign_note};
use crate::{Hash, SIZE_MAX};

#[cfg(test)]
mod tests;

/// What a key signs to name the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// Why there is a next key.
    pub reason: HandoverReason,
    /// Origin of the log, which is the name of the key that signs.
    pub origin: String,
    /// Number of entries of the log then; of a fork, how many survive.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
    /// The next key.
    pub next: VerifierKey,
}

/// Why there is a next key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandoverReason {
    /// The same log has another key.
    Rotation,
    /// The log goes on as another, from the entries that survive.
    Fork,
}

/// Bytes that are no handover.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandoverError {
    /// The note is malformed, or the key did not sign it.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text is not that of a handover.
    #[error("not a handover: {0}")]
    Text(&'static str),
    /// The log is not the one that the key is of.
    #[error("handover of another log than the key's")]
    OtherLog,
    /// A rotation names a key of another log, or a fork one of the same.
    #[error("a rotation keeps the origin, and a fork changes it")]
    Origin,
}

impl Handover {
    /// Signs it with the old key.
    ///
    /// # Errors
    /// [`HandoverError::OtherLog`] unless the signer's name is the origin, [`HandoverError::Origin`], or as [`sign_note`].
    pub fn sign(&self, signer: &dyn NoteSigner) -> Result<String, HandoverError> {
        if signer.name() != self.origin {
            return Err(HandoverError::OtherLog);
        }
        self.check()?;
        Ok(sign_note(&self.to_string(), &[signer])?)
    }

    /// Opens one that `key` signed.
    ///
    /// # Errors
    /// [`HandoverError`] for the first rule that it breaks.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, HandoverError> {
        let note = SignedNote::open(note, key)?;
        let handover = Self::from_text(note.text())?;
        if handover.origin != key.name() {
            return Err(HandoverError::OtherLog);
        }
        handover.check()?;
        Ok(handover)
    }

    fn from_text(text: &str) -> Result<Self, HandoverError> {
        let text = text
            .strip_suffix('\n')
            .ok_or(HandoverError::Text("it ends without a newline"))?;
        let mut lines = text.split('\n');
        let mut line = |what| lines.next().ok_or(HandoverError::Text(what));
        if line("it is empty")? != TITLE {
            return Err(HandoverError::Text("its first line is another"));
        }
        let origin = line("there is no origin")?.to_string();
        let reason = match line("there is no reason")? {
            "rotation" => HandoverReason::Rotation,
            "fork" => HandoverReason::Fork,
            _ => return Err(HandoverError::Text("the reason is unknown")),
        };
        let size =
            decimal(line("there is no size")?, SIZE_MAX).ok_or(HandoverError::Text("the size is none"))?;
        let root =
            Hash::from_base64(line("there is no root")?).ok_or(HandoverError::Text("the root is none"))?;
        let next = VerifierKey::parse(line("there is no key")?)
            .map_err(|_| HandoverError::Text("the next key is no vkey"))?;
        if lines.next().is_some() {
            return Err(HandoverError::Text("it has more lines"));
        }
        Ok(Self {
            reason,
            origin,
            size,
            root,
            next,
        })
    }

    fn check(&self) -> Result<(), HandoverError> {
        let same = self.next.name() == self.origin;
        if same == (self.reason == HandoverReason::Rotation) {
            Ok(())
        } else {
            Err(HandoverError::Origin)
        }
    }
}

/// The text of the note.
impl fmt::Display for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = self.root.to_base64();
        writeln!(
            f,
            "{TITLE}\n{}\n{}\n{}\n{root}\n{}",
            self.origin,
            self.reason.name(),
            self.size,
            self.next
        )
    }
}

impl HandoverReason {
    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rotation => "rotation",
            Self::Fork => "fork",
        }
    }
}

const TITLE: &str = "attestore handover v1";
