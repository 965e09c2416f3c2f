//! What the catalog keeps of a restriction. JSON, so that a later version can add fields. Handles lead to nobody.

use attestore_record::Handle;
use serde::{Deserialize, Serialize};

use super::RestrictionInfo;
use crate::catalog::{hex, unhex};
use crate::error::{Error, Result};

/// A restriction.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RestrictionRow {
    /// Hex.
    pub(super) handles: Vec<String>,
    pub(super) reason: String,
    pub(super) created_by: String,
    pub(super) created_ms: u64,
    pub(super) seq: u64,
}

impl RestrictionRow {
    pub(crate) fn handles(&self) -> Result<Vec<Handle>> {
        let handle = |text: &String| {
            let bytes =
                unhex(text).ok_or_else(|| Error::damage("catalog", 0, "a handle of a restriction"))?;
            Ok(Handle::from_bytes(bytes))
        };
        self.handles.iter().map(handle).collect()
    }

    pub(super) fn info(&self, id: &[u8; 16]) -> RestrictionInfo {
        RestrictionInfo {
            id: hex(id),
            reason: self.reason.clone(),
            created_by: self.created_by.clone(),
            created_ms: self.created_ms,
            subjects: self.handles.len() as u64,
            seq: self.seq,
        }
    }
}
