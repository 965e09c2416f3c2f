//! What the catalog keeps of moves. JSON, so that a later version can add fields.

use serde::{Deserialize, Serialize};

use super::{Invitation, Moved};
use crate::error::Result;

/// How far a move is, at the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoveState {
    /// Files are copied while everything goes on.
    Copying,
    /// The log takes nothing more; it may not say so yet.
    Closing,
    /// The log ended: its last head is signed, and its key named the next.
    Closed,
    /// The package is whole.
    Packed,
}

impl MoveState {
    /// Returns the name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Copying => "copying",
            Self::Closing => "closing",
            Self::Closed => "closed",
            Self::Packed => "packed",
        }
    }
}

/// How far a move is, at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportState {
    /// A package may come.
    Invited,
    /// One is being taken up; nobody finds the tenant.
    Importing,
    /// The tenant is here.
    Imported,
}

impl ImportState {
    /// Returns the name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invited => "invited",
            Self::Importing => "importing",
            Self::Imported => "imported",
        }
    }
}

/// A tenant that moves away.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OutRow {
    pub(crate) state: MoveState,
    pub(crate) invitation: Invitation,
    pub(super) reason: String,
    /// Id of who began it.
    pub(super) by: String,
    /// Ids of who closed it and who approved that.
    #[serde(default)]
    pub(super) approved_by: Vec<String>,
    pub(super) begun_ms: u64,
    /// Size of the log when it was decided that it closes: the record of that is there or behind.
    #[serde(default)]
    pub(super) log_from: u64,
    /// Seq of that record.
    #[serde(default)]
    pub(super) control: Option<u64>,
    #[serde(default)]
    pub(super) closed_ms: Option<u64>,
    /// The log's last head, hex; the checkpoint of it, and the word of its key for the next: notes.
    #[serde(default)]
    pub(super) size: u64,
    #[serde(default)]
    pub(super) root: String,
    #[serde(default)]
    pub(super) checkpoint: String,
    #[serde(default)]
    pub(super) handover: String,
    /// SHA-256 of the manifest of the package, hex, and the bytes that it names.
    #[serde(default)]
    pub(super) package: Option<String>,
    #[serde(default)]
    pub(super) package_bytes: u64,
    /// What is not in the package, in words.
    #[serde(default)]
    pub(super) left_out: Vec<String>,
}

impl OutRow {
    /// Where the log goes on.
    ///
    /// # Errors
    /// Damage.
    pub(super) fn moved(&self) -> Result<Moved> {
        Ok(Moved {
            origin: self.invitation.key()?.name().to_owned(),
            instance: self.invitation.instance.clone(),
            closing: self.state == MoveState::Closing,
        })
    }
}

/// A tenant that comes, or came.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct InRow {
    pub(crate) state: ImportState,
    pub(super) invitation: Invitation,
    pub(super) note: String,
    /// Id of who invited it, and who imported it.
    pub(super) by: String,
    #[serde(default)]
    pub(super) imported_by: Option<String>,
    pub(super) invited_ms: u64,
    /// Slots of the recipient's key and of the next signing key, until it is imported.
    #[serde(default)]
    pub(super) slots: Option<(u64, u64)>,
    /// Id of the tenant, hex, from when its import began.
    #[serde(default)]
    pub(super) tenant: Option<String>,
    #[serde(default)]
    pub(super) imported: Option<super::Imported>,
    /// The receipt, a DSSE envelope.
    #[serde(default)]
    pub(super) receipt: Option<String>,
}
