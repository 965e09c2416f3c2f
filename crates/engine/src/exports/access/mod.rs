//! Access requests: what is held about somebody, put together for them (Art. 15 and 20 GDPR).
//!
//! A job like an export, with one file: an archive. Whom it is about stands in its row sealed under the key of its files, and goes
//! with that key: when its time is over, when it was downloaded, when somebody deletes it, when the person is erased.
//!
//! | file | what |
//! |---|---|
//! | `request` | asking, looking, fetching, deleting |
//! | `row` | what the catalog keeps beside the job |
//! | `make` | writes the archive |
//! | `line` | what the person sees of one record |
//! | `account` | the manifest |
//! | `report` | the page for people |
//!
//! # Durability
//! As other jobs. Of a file that is for one download the key is destroyed, and the file is removed, before its first byte is
//! handed out; the bytes come from the file that is still open.

mod account;
mod line;
mod make;
mod report;
mod request;
mod row;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub(super) use request::take;
pub use request::{AccessInfo, AccessRequest, AccessState};
pub(crate) use row::AccessRow;
pub(super) use row::concerns;

/// What somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessKind {
    /// Everything about them, and what is done with it (Art. 15).
    Access,
    /// What they did themselves, for machines (Art. 20).
    Portability,
}

impl AccessKind {
    /// Returns the name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Portability => "portability",
        }
    }
}
