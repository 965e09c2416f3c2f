//! Slot proofs: that a round of the log of heads, which witnesses cosign, holds the head of a tenant's log.
//!
//! Two keys are believed, and both come from the caller: that of the tenant's log, and that of the log of heads with the witnesses'.

mod later;

use attestore_record::{
    Entry,
    control::{Import, TenantHeads},
};
use attestore_tlog::{Hash, SlotProof, SlotProofError};
use serde::Serialize;

use crate::{
    as_text,
    proof::{ProofFailure, verify_tlog_proof_with},
    trust::{Trust, TrustError, Witnessed},
};

pub use later::{LaterFailure, verify_later};

/// Tells what a slot proof proves: that in this round, the log had this head and no other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerifiedSlot {
    /// Name of the tenant's log.
    pub origin: String,
    /// Size of its tree.
    pub size: u64,
    /// Root of its tree; serialised in hexadecimal.
    #[serde(serialize_with = "as_text")]
    pub root: Hash,
    /// Name of the log of heads.
    pub heads_origin: String,
    /// Index of the round's record in it.
    pub index: u64,
    /// Number of the round.
    pub round: u64,
    /// When the round was recorded, Unix milliseconds, by the server's clock.
    pub time_ms: u64,
    /// How many logs have a slot in the round, by the server's word.
    pub tenants: u64,
    /// Witnesses that cosigned the log of heads with the round in it, of those in the caller's policy.
    pub witnesses: Vec<Witnessed>,
}

/// Says why a slot proof proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "part", rename_all = "snake_case")]
pub enum SlotFailure {
    /// The text is none.
    #[error("{error}")]
    Malformed {
        /// What is wrong with it.
        #[serde(serialize_with = "as_text")]
        error: SlotProofError,
    },
    /// The checkpoint of the tenant's log is not believed.
    #[error("checkpoint of the tenant's log: {error}")]
    Head {
        /// Why not.
        error: TrustError,
    },
    /// The record of the round is not proved.
    #[error("record of the round: {error}")]
    Round {
        /// Why not.
        error: ProofFailure,
    },
    /// The record is in the tenant's own log, which cannot vouch for itself.
    #[error("the round is recorded in the tenant's own log")]
    OwnLog,
    /// The record is no round.
    #[error("the record is no round of heads: {message}")]
    NoRound {
        /// What is wrong with it.
        message: String,
    },
    /// The head is not what the round holds for the log.
    #[error("the round holds another head for the log, or none")]
    Slot,
}

/// Verifies a slot proof offline. `tenant` says whose checkpoint is believed, `heads` which log of heads, and who must have
/// cosigned it.
///
/// # Errors
/// [`SlotFailure`] for the first thing that is wrong.
pub fn verify_slot_proof(text: &str, tenant: &Trust, heads: &Trust) -> Result<VerifiedSlot, SlotFailure> {
    let proof = SlotProof::parse(text).map_err(|error| SlotFailure::Malformed { error })?;
    let head = tenant.open(&proof.checkpoint);
    let head = head.map_err(|error| SlotFailure::Head { error })?.checkpoint;
    let recorded = verify_tlog_proof_with(&proof.round, heads);
    let recorded = recorded.map_err(|error| SlotFailure::Round { error })?;
    if recorded.origin == head.origin() {
        return Err(SlotFailure::OwnLog);
    }
    let no_round = |error: &dyn std::fmt::Display| SlotFailure::NoRound {
        message: error.to_string(),
    };
    let entry = Entry::from_bytes(&recorded.record.entry).map_err(|error| no_round(&error))?;
    let control = Import::parse(entry.kind, &recorded.record.public);
    let Import::TenantHeads(TenantHeads { round, root, tenants }) =
        control.map_err(|error| no_round(&error))?;
    if proof.root(&head).is_none_or(|led_to| led_to.to_string() != root) {
        return Err(SlotFailure::Slot);
    }
    Ok(VerifiedSlot {
        origin: head.origin().to_owned(),
        size: head.size(),
        root: head.root(),
        heads_origin: recorded.origin,
        index: recorded.index,
        round,
        time_ms: recorded.opened.time_ms,
        tenants,
        witnesses: recorded.witnesses,
    })
}
