//! `purge`: records of a class were removed by retention.

use serde::{Deserialize, Serialize};

use super::Ranges;

/// Names what was purged and by which policy. The age of a record at its purge is the time of this record's entry less its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Purge {
    /// The class of all purged records. Records of other classes within the ranges are not meant.
    pub class: u16,
    /// Seq of the policy record that was in force.
    pub policy: u64,
    /// Why they could go.
    pub reason: PurgeReason,
    /// Where they stood.
    pub ranges: Ranges,
    /// How many there were.
    pub records: u64,
    /// Ids of the credentials that approved it; empty for what the schedule did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved_by: Vec<String>,
}

/// Why records could be purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PurgeReason {
    /// They were older than the policy's maximum.
    Expired,
    /// Somebody ordered it, and they were older than the policy's minimum.
    Ordered,
    /// They were younger than the minimum of a policy in governance mode, and two people approved.
    Override,
}
