//! A quota.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What a tenant may use. What is not set is not limited here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quota {
    /// Events appended in any second, 1 to 10,000,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_per_second: Option<u32>,
    /// Bytes of events, as they were sent, in a day of UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_day: Option<u64>,
    /// Bytes on disk: segments, their index, the tail and the log's entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_bytes: Option<u64>,
    /// Searches at once; further ones wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub searches: Option<u32>,
    /// Tails at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tails: Option<u32>,
    /// Exports whose files are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exports: Option<u32>,
}

impl Quota {
    /// # Errors
    /// [`Error::Invalid`], code `invalid_quota`.
    pub(super) fn check(&self) -> Result<()> {
        let invalid = |message: &str| {
            Err(Error::Invalid {
                code: "invalid_quota",
                message: message.to_owned(),
            })
        };
        if self
            .events_per_second
            .is_some_and(|events| !(1..=EVENTS_MAX).contains(&events))
        {
            return invalid("events_per_second is between 1 and 10000000");
        }
        if self.searches == Some(0) {
            return invalid("searches is at least 1: to forbid them, give no credential the permission");
        }
        Ok(())
    }

    /// Whether it limits nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

const EVENTS_MAX: u32 = 10_000_000;
