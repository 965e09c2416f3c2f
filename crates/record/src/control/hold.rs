//! `hold` and `hold_release`: what may not go whatever its age.

use serde::{Deserialize, Serialize};

use super::Ranges;

/// Places a legal hold. Nothing it covers is purged or erased until it is released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// Id of the hold.
    pub hold: String,
    /// Records it covers when it is placed.
    #[serde(default)]
    pub ranges: Ranges,
    /// Classes it covers whole, also what is appended later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<u16>,
    /// Why.
    pub reason: String,
}

/// Releases a legal hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldRelease {
    /// Id of the hold.
    pub hold: String,
    /// Why.
    pub reason: String,
    /// Ids of the credentials that approved it.
    pub approved_by: Vec<String>,
}
