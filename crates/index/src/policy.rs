//! What of a record is indexed: one setting a tenant.

use serde::{Deserialize, Serialize};

/// How readable strings are indexed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TextIndex {
    /// Not at all.
    None,
    /// By word.
    #[default]
    Words,
    /// By word and place, so that phrases can be found.
    Positions,
}

/// What of a record is indexed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IndexPolicy {
    /// Readable strings.
    pub text: TextIndex,
    /// Every path of `metadata`.
    pub metadata: bool,
    /// Strings of payloads are readable strings.
    pub payload_text: bool,
    /// Paths with exact values and a column, ascending.
    pub paths: Vec<String>,
}

impl Default for IndexPolicy {
    fn default() -> Self {
        Self {
            text: TextIndex::Words,
            metadata: true,
            payload_text: true,
            paths: Vec::new(),
        }
    }
}

impl IndexPolicy {
    /// The least that can be indexed.
    pub fn minimal() -> Self {
        Self {
            text: TextIndex::None,
            metadata: false,
            payload_text: false,
            paths: Vec::new(),
        }
    }

    /// Tells whether what the other indexes is indexed here too.
    pub fn covers(&self, other: &Self) -> bool {
        self.text >= other.text
            && self.metadata >= other.metadata
            && self.payload_text >= other.payload_text
            && other.paths.iter().all(|path| self.paths.contains(path))
    }
}
