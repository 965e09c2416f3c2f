//! A `.tlog-proof` of Attestore: the extra data opens the record, the rest proves that a signed tree holds its entry.

#[cfg(test)]
pub(crate) mod tests;

use attestore_tlog::{Hash, TlogProof, TlogProofError, VerifierKey, VerifierKeyError, leaf_hash};
use serde::Serialize;

use crate::{
    as_text,
    opening::{CodecError, Opened, OpenedRecord, OpeningError, verify_opening},
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
    let proof = TlogProof::parse(text).map_err(|error| ProofFailure::Log { error })?;
    let extra = proof.extra.as_deref().ok_or(ProofFailure::NoRecord)?;
    let record = OpenedRecord::from_bytes(extra).map_err(|error| ProofFailure::Record { error })?;
    let checkpoint = proof
        .verify(leaf_hash(&record.entry), &key)
        .map_err(|error| ProofFailure::Log { error })?;
    let opened = verify_opening(&record).map_err(|error| ProofFailure::Opening { error })?;
    Ok(Verified {
        origin: checkpoint.origin().into(),
        index: proof.index,
        size: checkpoint.size(),
        root: checkpoint.root(),
        opened,
        record,
    })
}
