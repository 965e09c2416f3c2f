//! What the catalog keeps of quotas.

use serde::{Deserialize, Serialize};

use super::spec::Quota;
/// A tenant's quota and what is used of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct QuotaRow {
    pub(super) quota: Quota,
    /// Id of the principal that set it.
    pub(super) changed_by: String,
    pub(super) changed_ms: u64,
    /// The day of UTC, counted from the epoch, that `day_bytes` are of.
    #[serde(default)]
    pub(super) day: u64,
    #[serde(default)]
    pub(super) day_bytes: u64,
}
