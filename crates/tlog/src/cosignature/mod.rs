//! Cosignatures: what third parties state about a checkpoint that they verified (C2SP tlog-cosignature).
//!
//! # Format
//! A cosignature is a signature line of the checkpoint's note whose signature is `timestamp u64 BE ‖ signature`, the time in
//! seconds since 1970 and at most 2^63 − 1. By type of the cosigner's key:
//!
//! | type | signature | message |
//! |---|---|---|
//! | 0x04 Ed25519 | 64 bytes | `cosignature/v1\ntime <timestamp>\n` ‖ text of the note |
//! | 0x06 ML-DSA-44 | 2,420 bytes | `subtree/v1\n\0` ‖ u8 length ‖ cosigner's name ‖ timestamp u64 ‖ u8 length ‖ origin ‖ start u64 = 0 ‖ size u64 ‖ root[32] |
//!
//! Key id and vkey are as those of a [`crate::VerifierKey`] with that type. Cosignatures of type 0x06 are verified with the
//! feature `ml-dsa`, and are [`CosignatureError::Unsupported`] without it.
//!
//! # Example
//! ```
//! use attestore_tlog::{CosignerKey, SignedNote};
//!
//! let key: CosignerKey = "witness.example.com/w1+4bdc7eaa+BP0XJDhaoMdbZPt4zWAvodmR/ev3axPFjtcC6sg16fYY".parse()?;
//! assert_eq!(key.name(), "witness.example.com/w1");
//! # Ok::<(), attestore_tlog::VerifierKeyError>(())
//! ```

mod key;
mod message;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

pub use key::{CosignerKey, CosignerKind};

use crate::{
    checkpoint::{Checkpoint, CheckpointError},
    note::{NoteError, NoteSignature, NoteSigner, SignedNote},
};

/// Latest time that a cosignature may state, seconds since 1970.
pub const COSIGNATURE_TIME_MAX: u64 = (1 << 63) - 1;

/// Says why there is no valid cosignature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CosignatureError {
    /// No line is by the given key.
    #[error("the checkpoint is not cosigned by the given key")]
    UnknownKey,
    /// A line by the given key has a signature of the wrong length, or a time that none may state.
    #[error("cosignature is malformed")]
    Malformed,
    /// A line by the given key does not verify.
    #[error("cosignature does not verify")]
    Signature,
    /// The key is of a type that this build cannot verify.
    #[error("this build cannot verify ML-DSA-44 cosignatures")]
    Unsupported,
    /// The text of the note is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl SignedNote {
    /// Verifies the cosignatures of one key, ignores all other lines, and returns the time of the newest, in seconds since
    /// 1970.
    ///
    /// The log's own signature is not looked at. 0 is a time that only an ML-DSA-44 cosigner may state, one that says nothing of
    /// when.
    ///
    /// # Errors
    /// [`CosignatureError::UnknownKey`] if there is none, [`CosignatureError::Unsupported`], else what is wrong with one.
    pub fn cosigned_at(&self, key: &CosignerKey) -> Result<u64, CosignatureError> {
        let mut lines = self.signatures().iter().filter(|line| key.made(line)).peekable();
        lines.peek().ok_or(CosignatureError::UnknownKey)?;
        let checkpoint = Checkpoint::from_text(self.text())?;
        let mut newest = 0;
        for line in lines {
            newest = newest.max(key.verify(self.text(), &checkpoint, line.signature())?);
        }
        Ok(newest)
    }
}

/// Cosigns the text of a checkpoint with an Ed25519 key (type 0x04), as of `time_s` seconds since 1970.
///
/// The caller vouches for what a cosignature states: that this is the largest tree it has seen of the log, consistent with
/// every other.
///
/// # Errors
/// [`CosignatureError::Checkpoint`] if the text is none or the signer's name is no key name, [`CosignatureError::Malformed`] for
/// time 0 and times beyond [`COSIGNATURE_TIME_MAX`].
pub fn cosign(text: &str, time_s: u64, signer: &dyn NoteSigner) -> Result<NoteSignature, CosignatureError> {
    Checkpoint::from_text(text)?;
    if time_s == 0 || time_s > COSIGNATURE_TIME_MAX {
        return Err(CosignatureError::Malformed);
    }
    let key = CosignerKey::ed25519(signer.name(), signer.public())
        .map_err(|_| CheckpointError::Note(NoteError::Name))?;
    let signature = signer
        .sign(&message::ed25519(text, time_s))
        .map_err(CheckpointError::from)?;
    let stamped: Vec<u8> = [&time_s.to_be_bytes()[..], &signature].concat();
    Ok(NoteSignature::new(key.name(), key.id(), &stamped))
}
