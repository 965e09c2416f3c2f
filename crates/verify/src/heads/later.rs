//! Two slot proofs of one log: the later head has to extend the earlier one.

use attestore_tlog::{Hash, ProofError, verify_consistency};
use serde::Serialize;

use super::VerifiedSlot;
use crate::as_text;

/// Says why a head is not shown to extend an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum LaterFailure {
    /// The proofs are of different logs.
    #[error("the slot proofs are of {one} and {other}: neither says anything of the other")]
    OtherLog {
        /// Of the earlier.
        one: String,
        /// Of the later.
        other: String,
    },
    /// What is called the later round is not.
    #[error("round {later} at {later_index} does not come after round {earlier} at {earlier_index}")]
    Order {
        /// Number of the earlier round.
        earlier: u64,
        /// Index of its record.
        earlier_index: u64,
        /// Number of the later round.
        later: u64,
        /// Index of its record.
        later_index: u64,
    },
    /// The log shrank.
    #[error(
        "the log had {earlier} entries in the earlier round and has {later} in the later one: it was taken back"
    )]
    Shrank {
        /// Size in the earlier round.
        earlier: u64,
        /// Size in the later round.
        later: u64,
    },
    /// The hashes do not lead from the one head to the other.
    #[error("the later head is not shown to extend the earlier one: {error}")]
    Consistency {
        /// What is wrong.
        #[serde(serialize_with = "as_text")]
        error: ProofError,
    },
}

/// Verifies that the head in a later round extends the head in an earlier one. `hashes` are a consistency proof (RFC 9162 section
/// 2.1.4) from the one size to the other; none for equal sizes.
///
/// # Errors
/// [`LaterFailure`].
pub fn verify_later(
    earlier: &VerifiedSlot,
    later: &VerifiedSlot,
    hashes: &[Hash],
) -> Result<(), LaterFailure> {
    for (one, other) in [
        (&earlier.origin, &later.origin),
        (&earlier.heads_origin, &later.heads_origin),
    ] {
        if one != other {
            let (one, other) = (one.clone(), other.clone());
            return Err(LaterFailure::OtherLog { one, other });
        }
    }
    let same = (earlier.index, earlier.round) == (later.index, later.round);
    if !same && (earlier.index >= later.index || earlier.round >= later.round) {
        return Err(LaterFailure::Order {
            earlier: earlier.round,
            earlier_index: earlier.index,
            later: later.round,
            later_index: later.index,
        });
    }
    if later.size < earlier.size {
        return Err(LaterFailure::Shrank {
            earlier: earlier.size,
            later: later.size,
        });
    }
    verify_consistency(earlier.size, later.size, earlier.root, later.root, hashes)
        .map_err(|error| LaterFailure::Consistency { error })
}
