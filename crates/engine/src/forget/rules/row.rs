//! What the catalog keeps of a tenant's retention rules. JSON, so that a later version can add fields.

use std::collections::BTreeMap;

use attestore_record::control::RetentionPolicy;
use serde::{Deserialize, Serialize};

use super::Selector;

/// A tenant's retention rules.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct RulesRow {
    #[serde(default)]
    pub(super) classes: BTreeMap<u16, ClassRow>,
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
