//! What the catalog keeps of a tenant's retention rules. JSON, so that a later version can add fields.

use std::collections::BTreeMap;

use attestore_record::control::RetentionPolicy;
use serde::{Deserialize, Serialize};

use super::Selector;

/// A tenant's retention rules.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct RulesRow {
    #[serde(default)]
    pub(super) classes: BTreeMap<u16, ClassRow>,
    /// What is being set: the log may have it already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pending: Option<PendingRow>,
}

/// A class.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ClassRow {
    /// The policy in force.
    pub(super) policy: RetentionPolicy,
    /// Seq of its record.
    pub(super) seq: u64,
    /// Which new events are of the class; `None` for none any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) select: Option<Selector>,
    /// When it was set, Unix milliseconds.
    pub(super) changed_ms: u64,
    /// Id of the principal that set it.
    pub(super) changed_by: String,
}

/// A class that is being set.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PendingRow {
    pub(super) policy: RetentionPolicy,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) select: Option<Selector>,
    pub(super) changed_ms: u64,
    pub(super) changed_by: String,
    /// Size of the log before: its record is not below it.
    pub(super) from: u64,
}
