//! Slot proofs, the files named `.slot-proof`: that a round of the log of heads holds the head of one tenant's log.
//!
//! # Format
//! ```text
//! attestore slot-proof v1
//! salt <base64(salt)>
//! hash <base64>                      zero to 256 lines, from the leaf's sibling to the root's child
//!
//! <checkpoint of the tenant's log, verbatim>
//!
//! <.tlog-proof of the round's record in the log of heads, verbatim>
//! ```

use alloc::{format, string::String, vec::Vec};

use super::{SLOT_BITS, head_commitment, slot_of, slot_root};
use crate::{checkpoint::Checkpoint, encoding, hash::Hash, note::NOTE_BYTES_MAX};

/// Longest text that is read, in bytes.
pub const SLOT_PROOF_BYTES_MAX: usize = 2 * NOTE_BYTES_MAX + (64 << 10);

/// Holds what proves a slot. Nothing of it is checked but the form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotProof {
    /// Opens the commitment.
    pub salt: [u8; 32],
    /// From the leaf's sibling to the root's child; at most [`SLOT_BITS`].
    pub siblings: Vec<Hash>,
    /// The tenant's signed checkpoint.
    pub checkpoint: String,
    /// The `.tlog-proof` of the round's record.
    pub round: String,
}

/// Says why a text is no slot proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlotProofError {
    /// The text exceeds [`SLOT_PROOF_BYTES_MAX`].
    #[error("slot proof is too long")]
    TooLong,
    /// The first line is not that of a version known here.
    #[error("not a slot proof of version 1")]
    Version,
    /// The salt is missing or malformed.
    #[error("slot proof has no valid salt")]
    Salt,
    /// A hash is malformed, or there are more than [`SLOT_BITS`].
    #[error("hash {0} of the slot proof is invalid")]
    Hash(usize),
    /// The checkpoint or what follows it is missing.
    #[error("slot proof has no checkpoint, or no round behind it")]
    Parts,
}

impl SlotProof {
    /// Parses a slot proof. Checkpoint and round are kept verbatim and not looked into.
    ///
    /// # Errors
    /// [`SlotProofError`] for the first rule it breaks.
    pub fn parse(text: &str) -> Result<Self, SlotProofError> {
        if text.len() > SLOT_PROOF_BYTES_MAX {
            return Err(SlotProofError::TooLong);
        }
        let rest = text.strip_prefix(HEADER).ok_or(SlotProofError::Version)?;
        let salted = rest.strip_prefix(SALT).and_then(|rest| rest.split_once('\n'));
        let (salt, mut rest) = salted.ok_or(SlotProofError::Salt)?;
        let salt = Hash::from_base64(salt).ok_or(SlotProofError::Salt)?.0;
        let mut siblings = Vec::new();
        while let Some(after) = rest.strip_prefix(HASH) {
            let invalid = SlotProofError::Hash(siblings.len());
            if siblings.len() == SLOT_BITS {
                return Err(invalid);
            }
            let (hash, after) = after.split_once('\n').ok_or(invalid)?;
            siblings.push(Hash::from_base64(hash).ok_or(invalid)?);
            rest = after;
        }
        let rest = rest.strip_prefix('\n').ok_or(SlotProofError::Parts)?;
        // A checkpoint has one empty line, before its signatures; the next one ends it.
        let mut empty = rest.match_indices("\n\n").map(|(at, _)| at);
        let end = empty.nth(1).ok_or(SlotProofError::Parts)?;
        let (checkpoint, round) = (rest.get(..=end), rest.get(end + 2..));
        match (checkpoint, round) {
            (Some(checkpoint), Some(round)) if !round.is_empty() => Ok(Self {
                salt,
                siblings,
                checkpoint: checkpoint.into(),
                round: round.into(),
            }),
            _ => Err(SlotProofError::Parts),
        }
    }

    /// Formats the slot proof.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{HEADER}{SALT}{}\n", encoding::encode(&self.salt));
        for hash in &self.siblings {
            text.push_str(&format!("{HASH}{}\n", hash.to_base64()));
        }
        format!("{text}\n{}\n{}", self.checkpoint, self.round)
    }

    /// Returns the root of the round that the head leads to; `None` for too many siblings. What the head is, the caller says.
    #[must_use]
    pub fn root(&self, head: &Checkpoint) -> Option<Hash> {
        let commitment = head_commitment(&self.salt, head);
        slot_root(&slot_of(head.origin()), &commitment, &self.siblings)
    }
}

const HEADER: &str = "attestore slot-proof v1\n";
const SALT: &str = "salt ";
const HASH: &str = "hash ";
