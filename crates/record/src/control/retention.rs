//! `retention_policy`: how long the records of a class are kept, and what may be done before.

use serde::{Deserialize, Serialize};

/// Sets the retention of a class, from this record on until the next of the class. Ages count from the time in the entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionPolicy {
    /// The retention class, as entries name it.
    pub class: u16,
    /// What people call it.
    pub name: String,
    /// Records are not purged before they are so old, milliseconds; 0 for no minimum.
    pub keep_min_ms: u64,
    /// Records are due once they are so old, milliseconds; absent for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_max_ms: Option<u64>,
    /// The law or contract that it follows.
    pub basis: String,
    /// How the minimum is locked.
    pub mode: RetentionMode,
    /// What of a record may be erased on request.
    pub erasable: Erasable,
    /// Ids of the credentials that approved it, where it weakens a policy in mode `governance` before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved_by: Vec<String>,
}

impl RetentionPolicy {
    /// Whether it takes back some of what the policy before it promised: keeps for less long, under a weaker lock, or lets more be
    /// erased. How long records are kept at most does not count.
    #[must_use]
    pub fn is_weaker_than(&self, before: &Self) -> bool {
        self.keep_min_ms < before.keep_min_ms || self.mode < before.mode || self.erasable < before.erasable
    }
}

/// Who may go below the minimum. What locks more is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetentionMode {
    /// Whoever may purge.
    None,
    /// Two people together, on record.
    Governance,
    /// Nobody.
    Compliance,
}

/// What of a record may be erased on request. What allows less is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Erasable {
    /// All of it.
    Yes,
    /// Its personal groups.
    PersonalOnly,
    /// Nothing.
    No,
}
