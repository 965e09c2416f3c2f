//! `tenant_heads`: a round of the log of heads, which commits to the head of every tenant's log.

use serde::{Deserialize, Serialize};

use super::{ControlError, control_of};
use crate::Kind;

/// The control of a record of kind `checkpoint_import` in the log of heads. Says nothing of any tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Import {
    /// A round.
    TenantHeads(TenantHeads),
}

/// A round. When it was made, the time of its entry says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantHeads {
    /// Its number, from 1; every round of a log has a greater one than those before it.
    pub round: u64,
    /// Root of the tree of heads: 64 lower-case hexadecimal digits.
    pub root: String,
    /// Number of logs that have a slot in it.
    pub tenants: u64,
}

impl Import {
    /// Reads the control of a record's public bytes.
    ///
    /// # Errors
    /// [`ControlError::Kind`] for records of other kinds, [`ControlError::Serialise`] for other controls.
    pub fn parse(kind: Kind, public: &[u8]) -> Result<Self, ControlError> {
        if kind != Kind::CheckpointImport {
            return Err(ControlError::Kind);
        }
        Ok(serde_json::from_str(control_of(public)?.get())?)
    }
}
