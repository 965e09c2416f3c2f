//! Proof that a log contradicted itself: two checkpoints that it signed and that no single append-only tree has.
//!
//! # Format
//! ```text
//! attestore misbehaviour v1
//! vkey <vkey of the log>
//! reason same-size|not-a-prefix
//! hash <base64>                      only with not-a-prefix, 1 to 64 lines
//!
//! <the checkpoint of the smaller tree, verbatim>
//!
//! <the other checkpoint, verbatim>
//! ```
//!
//! Two checkpoints of one size with two roots need nothing else. Of different sizes, the hashes are those of a consistency proof
//! (RFC 9162 section 2.1.4.2) with its first node always given. They lead to the root of the larger tree, so they are nodes of
//! that tree; and to the root of its first leaves, which is not the one that was signed for that many leaves. An honest log
//! cannot be accused: that takes two inputs with one SHA-256.
//!
//! Without such hashes, two checkpoints of different sizes are a suspicion and no proof: a log that refuses to hand out a
//! consistency proof is not convicted by that. Witnesses keep such pairs with the reason `not-consistent`; they are read as
//! [`MisbehaviourError::Suspicion`].

#[cfg(test)]
mod tests;

use alloc::{format, string::String, vec::Vec};

use crate::{
    checkpoint::{Checkpoint, CheckpointError, open_checkpoint},
    hash::Hash,
    note::{NOTE_BYTES_MAX, VerifierKey, VerifierKeyError},
    proof::{BuildError, NodeReader, PROOF_HASHES_MAX, ProofError, climb, consistency_proof},
};

/// Longest text that is read.
pub const MISBEHAVIOUR_BYTES_MAX: usize = 2 * NOTE_BYTES_MAX + (16 << 10);

/// Holds two checkpoints that contradict each other. There is none that does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misbehaviour {
    key: VerifierKey,
    old: (String, Checkpoint),
    new: (String, Checkpoint),
    hashes: Vec<Hash>,
}

/// Says why there is no proof of misbehaviour.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MisbehaviourError {
    /// The text has not the form of the format.
    #[error("no proof of misbehaviour: line {0} is malformed")]
    Malformed(usize),
    /// The key is malformed.
    #[error(transparent)]
    Key(#[from] VerifierKeyError),
    /// A checkpoint is malformed or not signed by the key: nobody is accused by it.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The reason is not the one that the checkpoints give, or they are not in order.
    #[error("the reason or the order of the checkpoints is wrong")]
    Reason,
    /// The checkpoints are of different sizes, and there are no hashes: a suspicion at most.
    #[error("checkpoints of different sizes prove nothing without hashes of the larger tree")]
    Suspicion,
    /// The hashes are too few or too many, or do not lead to the root of the larger tree.
    #[error("the hashes are none of the larger tree: {0}")]
    Hashes(ProofError),
    /// One tree has both checkpoints.
    #[error("the checkpoints are consistent")]
    Consistent,
}

impl Misbehaviour {
    /// Proves that two checkpoints contradict each other. The hashes are those of [`prefix_proof`] for the smaller size in the
    /// larger tree; none if the sizes are equal.
    ///
    /// # Errors
    /// [`MisbehaviourError`] unless they do.
    pub fn new(
        key: VerifierKey,
        one: &str,
        other: &str,
        hashes: Vec<Hash>,
    ) -> Result<Self, MisbehaviourError> {
        let open = |note: &str| Ok::<_, CheckpointError>((String::from(note), open_checkpoint(note, &key)?));
        let (mut old, mut new) = (open(one)?, open(other)?);
        if old.1.size() > new.1.size() {
            core::mem::swap(&mut old, &mut new);
        }
        contradict(&old.1, &new.1, &hashes)?;
        Ok(Self {
            key,
            old,
            new,
            hashes,
        })
    }

    /// Reads a proof and checks it.
    ///
    /// # Errors
    /// [`MisbehaviourError`] unless it proves what it says.
    pub fn parse(text: &str) -> Result<Self, MisbehaviourError> {
        let malformed = MisbehaviourError::Malformed;
        if text.len() > MISBEHAVIOUR_BYTES_MAX {
            return Err(malformed(0));
        }
        let mut rest = text.strip_prefix(HEADER).ok_or(malformed(1))?;
        let vkey = line(&mut rest, "vkey ").ok_or(malformed(2))?;
        let reason = line(&mut rest, "reason ").ok_or(malformed(3))?;
        let mut hashes = Vec::new();
        while let Some(hash) = line(&mut rest, "hash ") {
            let at = 4 + hashes.len();
            if hashes.len() > PROOF_HASHES_MAX {
                return Err(malformed(at));
            }
            hashes.push(Hash::from_base64(hash).ok_or(malformed(at))?);
        }
        let at = 4 + hashes.len();
        let rest = rest.strip_prefix('\n').ok_or(malformed(at))?;
        let (one, other) = notes(rest).ok_or(malformed(at + 1))?;
        if reason == SUSPICION {
            return Err(MisbehaviourError::Suspicion);
        }
        let proof = Self::new(VerifierKey::parse(vkey)?, one, other, hashes)?;
        if proof.reason() == reason && proof.old.0 == one && proof.new.0 == other {
            Ok(proof)
        } else {
            Err(MisbehaviourError::Reason)
        }
    }

    /// Formats the proof.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{HEADER}vkey {}\nreason {}\n", self.key, self.reason());
        for hash in &self.hashes {
            text.push_str(&format!("hash {}\n", hash.to_base64()));
        }
        format!("{text}\n{}\n{}", self.old.0, self.new.0)
    }

    /// The key that signed both.
    #[must_use]
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// The checkpoint of the smaller tree; of equal sizes, the first.
    #[must_use]
    pub const fn old(&self) -> &Checkpoint {
        &self.old.1
    }

    /// The other checkpoint.
    #[must_use]
    pub const fn new_checkpoint(&self) -> &Checkpoint {
        &self.new.1
    }

    /// What contradicts: `same-size` or `not-a-prefix`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        if self.old.1.size() == self.new.1.size() {
            "same-size"
        } else {
            "not-a-prefix"
        }
    }
}

/// Builds the hashes that show what the first `old` leaves of a tree of `new` leaves have for a root: a consistency proof with its
/// first node, `0 < old < new`.
///
/// # Errors
/// As [`consistency_proof`].
pub fn prefix_proof<R: NodeReader>(nodes: &R, old: u64, new: u64) -> Result<Vec<Hash>, BuildError<R::Error>> {
    let mut hashes = consistency_proof(nodes, old, new)?;
    if old.is_power_of_two() && old < new {
        let level = u8::try_from(old.trailing_zeros()).unwrap_or(u8::MAX);
        hashes.insert(0, nodes.node(level, 0).map_err(BuildError::Read)?);
    }
    Ok(hashes)
}

fn contradict(old: &Checkpoint, new: &Checkpoint, hashes: &[Hash]) -> Result<(), MisbehaviourError> {
    if old.size() == new.size() {
        return match hashes {
            [_, ..] => Err(MisbehaviourError::Reason),
            [] if old.root() == new.root() => Err(MisbehaviourError::Consistent),
            [] => Ok(()),
        };
    }
    if old.size() == 0 {
        return Err(MisbehaviourError::Consistent); // every tree extends the empty one
    }
    let (first, rest) = hashes.split_first().ok_or(MisbehaviourError::Suspicion)?;
    let climbed = climb(old.size(), new.size(), *first, rest);
    let (old_root, new_root) = climbed.map_err(MisbehaviourError::Hashes)?;
    if new_root != new.root() {
        return Err(MisbehaviourError::Hashes(ProofError::Root));
    }
    if old_root == old.root() {
        Err(MisbehaviourError::Consistent)
    } else {
        Ok(())
    }
}

/// Takes a line that starts so, without its start and end.
fn line<'a>(rest: &mut &'a str, start: &str) -> Option<&'a str> {
    let (line, after) = rest.strip_prefix(start)?.split_once('\n')?;
    *rest = after;
    Some(line)
}

/// The two checkpoints: each has one empty line, before its signatures, and one stands between them.
fn notes(text: &str) -> Option<(&str, &str)> {
    let mut empty = text.match_indices("\n\n").map(|(at, _)| at);
    let (_, between, _) = (empty.next()?, empty.next()?, empty.next()?);
    let one = text.get(..=between)?;
    let other = text.get(between + 2..)?;
    empty.next().is_none().then_some((one, other))
}

const HEADER: &str = "attestore misbehaviour v1\n";
/// What witnesses name a pair of checkpoints that may have an innocent explanation.
const SUSPICION: &str = "not-consistent";
