//! Transparent log proofs, the files named `.tlog-proof` (C2SP tlog-proof).
//!
//! # Format
//! ```text
//! c2sp.org/tlog-proof@v1
//! [extra <base64>]
//! index <decimal>
//! <base64(hash)>                     zero or more, from the leaf's sibling to the root's child
//!
//! <signed checkpoint, verbatim>
//! ```

#[cfg(test)]
mod tests;

use alloc::{format, string::String, vec::Vec};

use crate::{
    checkpoint::{Checkpoint, CheckpointError, open_checkpoint},
    encoding::{self, decimal},
    hash::{Hash, SIZE_MAX},
    note::{NOTE_BYTES_MAX, VerifierKey},
    proof::{PROOF_HASHES_MAX, ProofError, verify_inclusion},
};

/// Longest extra data that is read, in bytes.
pub const EXTRA_BYTES_MAX: usize = 16 << 20;

/// Holds a proof that can be verified offline, given the leaf and the log's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// What the application needs to rebuild the leaf. Not authenticated by itself.
    pub extra: Option<Vec<u8>>,
    /// Index of the leaf.
    pub index: u64,
    /// Inclusion proof, from the leaf to the root; at most [`PROOF_HASHES_MAX`].
    pub hashes: Vec<Hash>,
    /// The signed checkpoint.
    pub checkpoint: String,
}

/// Says why a text is no proof, or proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlogProofError {
    /// The first line is not that of a version known here.
    #[error("not a tlog-proof of version 1")]
    Version,
    /// The extra data is not base64, or exceeds [`EXTRA_BYTES_MAX`].
    #[error("tlog-proof has invalid extra data")]
    Extra,
    /// The index is missing, not a decimal number without leading zeros, or beyond [`SIZE_MAX`].
    #[error("tlog-proof has no valid index")]
    Index,
    /// A hash is malformed, or there are more than [`PROOF_HASHES_MAX`].
    #[error("hash {0} of the tlog-proof is invalid")]
    Hash(usize),
    /// The empty line before the checkpoint is missing, or the checkpoint is too long.
    #[error("tlog-proof has no valid checkpoint")]
    MissingCheckpoint,
    /// The checkpoint is malformed or not signed by the log.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The leaf is not in the tree.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

impl TlogProof {
    /// Parses a proof. The checkpoint is kept verbatim and not looked into.
    ///
    /// # Errors
    /// [`TlogProofError`] for the first rule it breaks.
    pub fn parse(text: &str) -> Result<Self, TlogProofError> {
        let rest = text.strip_prefix(HEADER).ok_or(TlogProofError::Version)?;
        let (extra, rest) = match rest.strip_prefix(EXTRA) {
            Some(rest) => {
                let (line, rest) = rest.split_once('\n').ok_or(TlogProofError::Extra)?;
                (Some(decode_extra(line).ok_or(TlogProofError::Extra)?), rest)
            }
            None => (None, rest),
        };
        let rest = rest.strip_prefix(INDEX).ok_or(TlogProofError::Index)?;
        let (line, mut rest) = rest.split_once('\n').ok_or(TlogProofError::Index)?;
        let index = decimal(line, SIZE_MAX).ok_or(TlogProofError::Index)?;

        let mut hashes = Vec::new();
        loop {
            let (line, after) = rest.split_once('\n').ok_or(TlogProofError::MissingCheckpoint)?;
            rest = after;
            if line.is_empty() {
                break;
            }
            if hashes.len() == PROOF_HASHES_MAX {
                return Err(TlogProofError::Hash(hashes.len()));
            }
            hashes.push(Hash::from_base64(line).ok_or(TlogProofError::Hash(hashes.len()))?);
        }
        if rest.is_empty() || rest.len() > NOTE_BYTES_MAX {
            return Err(TlogProofError::MissingCheckpoint);
        }
        Ok(Self {
            extra,
            index,
            hashes,
            checkpoint: rest.into(),
        })
    }

    /// Formats the proof.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::from(HEADER);
        if let Some(extra) = &self.extra {
            text.push_str(EXTRA);
            text.push_str(&encoding::encode(extra));
            text.push('\n');
        }
        text.push_str(&format!("{INDEX}{}\n", self.index));
        for hash in &self.hashes {
            text.push_str(&hash.to_base64());
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.checkpoint);
        text
    }

    /// Verifies that the log signed a tree that has this leaf (a leaf hash) at the index, and returns its checkpoint.
    ///
    /// # Errors
    /// [`TlogProofError::Checkpoint`] or [`TlogProofError::Proof`].
    pub fn verify(&self, leaf: Hash, key: &VerifierKey) -> Result<Checkpoint, TlogProofError> {
        let checkpoint = open_checkpoint(&self.checkpoint, key)?;
        verify_inclusion(
            self.index,
            checkpoint.size(),
            leaf,
            &self.hashes,
            checkpoint.root(),
        )?;
        Ok(checkpoint)
    }
}

const HEADER: &str = "c2sp.org/tlog-proof@v1\n";
const EXTRA: &str = "extra ";
const INDEX: &str = "index ";

fn decode_extra(line: &str) -> Option<Vec<u8>> {
    let fits = line.len() <= EXTRA_BYTES_MAX.div_ceil(3) * 4;
    fits.then(|| encoding::decode(line))?
}
