//! A `.tlog-proof` of Attestore: the extra data opens the record, the rest proves that a signed tree holds its entry.

#[cfg(test)]
pub(crate) mod tests;

use attestore_tlog::{
    Hash, TlogProof, TlogProofError, VerifierKey, VerifierKeyError, leaf_hash, verify_inclusion,
};
use serde::Serialize;

use crate::{
    as_text,
    opening::{CodecError, Opened, OpenedRecord, OpeningError, verify_opening},
    trust::{Trust, TrustError, Witnessed},
};

/// Tells what a `.tlog-proof` proves: that the log signed a tree with this record at this index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Name of the log.
    pub origin: String,
    /// Index of the record in the log.
    pub index: u64,
    /// Size of the signed tree.
    pub size: u64,
    /// Root of the signed tree; serialised in hexadecimal.
    #[serde(serialize_with = "as_text")]
    pub root: Hash,
    /// Witnesses that cosigned the tree, of those in the caller's policy.
    pub witnesses: Vec<Witnessed>,
    /// What the record says about itself.
    pub opened: Opened,
    /// The record. Not serialised: its bytes may be personal.
    #[serde(skip)]
    pub record: OpenedRecord,
}

/// Says why a `.tlog-proof` proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "part", rename_all = "snake_case")]
pub enum ProofFailure {
    /// The verifier key is malformed.
    #[error("{error}")]
    Key {
        /// What is wrong with it.
        #[serde(serialize_with = "as_text")]
        error: VerifierKeyError,
    },
    /// The proof has no extra data, so there is no record to verify.
    #[error("tlog-proof does not open a record")]
    NoRecord,
    /// The extra data is no opened record.
    #[error("{error}")]
    Record {
        /// What is wrong with it.
        error: CodecError,
    },
    /// The record is not what its entry commits to.
    #[error("{error}")]
    Opening {
        /// What is wrong with it.
        error: OpeningError,
    },
    /// The checkpoint is not believed, by the caller's policy.
    #[error("{error}")]
    Trust {
        /// Why not.
        error: TrustError,
    },
    /// The text, the checkpoint or the inclusion proof is wrong.
    #[error("{error}")]
    Log {
        /// What is wrong with it.
        #[serde(serialize_with = "as_text")]
        error: TlogProofError,
    },
}

/// Verifies a `.tlog-proof` offline, against nothing but the log's verifier key.
///
/// # Errors
/// [`ProofFailure`] for the first thing that is wrong.
pub fn verify_tlog_proof(text: &str, vkey: &str) -> Result<Verified, ProofFailure> {
    let key = VerifierKey::parse(vkey).map_err(|error| ProofFailure::Key { error })?;
    verify_tlog_proof_with(text, &Trust::Key(key))
}

/// Verifies a `.tlog-proof` offline, against a key or a policy.
///
/// # Errors
/// [`ProofFailure`] for the first thing that is wrong.
pub fn verify_tlog_proof_with(text: &str, trust: &Trust) -> Result<Verified, ProofFailure> {
    let log = |error| ProofFailure::Log { error };
    let proof = TlogProof::parse(text).map_err(log)?;
    let extra = proof.extra.as_deref().ok_or(ProofFailure::NoRecord)?;
    let record = OpenedRecord::from_bytes(extra).map_err(|error| ProofFailure::Record { error })?;
    let believed = trust.open(&proof.checkpoint).map_err(|error| match error {
        TrustError::Checkpoint { error } => log(error.into()),
        error => ProofFailure::Trust { error },
    })?;
    let (size, root) = (believed.checkpoint.size(), believed.checkpoint.root());
    verify_inclusion(proof.index, size, leaf_hash(&record.entry), &proof.hashes, root)
        .map_err(|error| log(error.into()))?;
    let opened = verify_opening(&record).map_err(|error| ProofFailure::Opening { error })?;
    Ok(Verified {
        origin: believed.checkpoint.origin().into(),
        index: proof.index,
        size,
        root,
        witnesses: believed.witnesses,
        opened,
        record,
    })
}
