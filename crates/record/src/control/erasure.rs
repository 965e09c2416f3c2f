//! `erasure`: a data subject's groups, or whole records, were made unreadable on request.

use serde::{Deserialize, Serialize};

use super::Ranges;

/// Says that something was erased. Never says about whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erasure {
    /// What was erased.
    pub scope: ErasureScope,
    /// Of whole records: seq of the policy record of their class that was in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<u64>,
    /// Of whole records: where they stood, all of one class. Empty for a subject: its records stay, without its groups.
    #[serde(default)]
    pub ranges: Ranges,
    /// Records that it concerned.
    pub records: u64,
    /// The law that it follows.
    pub basis: String,
    /// Ids of the credentials that approved it.
    pub approved_by: Vec<String>,
}

/// What was erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErasureScope {
    /// The personal groups of one data subject.
    Subject,
    /// Whole records.
    Records,
}
