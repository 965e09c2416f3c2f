//! What the catalog keeps of the scrub.

use serde::{Deserialize, Serialize};

use crate::check::Problem;

/// How far the scrub has come with one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ScrubRow {
    /// When the last whole pass ended, Unix milliseconds.
    pub(super) finished_ms: Option<u64>,
    /// What it covered.
    pub(super) covered: Covered,
    /// What the last whole pass found, and what the one under way has found.
    pub(super) findings: Vec<Problem>,
    /// The event that tells of the last pass, until `_system` has it.
    pub(super) ended: Option<serde_json::Value>,
    /// The pass under way.
    pub(super) pass: Option<PassRow>,
}

/// What a pass covered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Covered {
    /// Entries whose tree was recomputed.
    pub(super) size: u64,
    /// Root over them, hex.
    pub(super) root: String,
    /// Records in segments that were hashed again.
    pub(super) records: u64,
    /// Personal groups among them that were opened, and that were erased.
    pub(super) groups_opened: u64,
    pub(super) groups_erased: u64,
    /// Bytes read for that.
    pub(super) bytes: u64,
}

/// A pass under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct PassRow {
    /// When it began, Unix milliseconds.
    pub(super) started_ms: u64,
    /// What it covered so far.
    pub(super) covered: Covered,
    /// Segments and generations that are done.
    pub(super) done: Vec<(u64, u32)>,
    pub(super) findings: Vec<Problem>,
}
