//! What the catalog keeps of a tenant that was destroyed, for good. JSON, so that a later version can add fields.

use std::path::PathBuf;

use attestore_record::TenantId;
use redb::ReadTransaction;
use serde::{Deserialize, Serialize};

use crate::catalog::{Update, by_tenant, tables};
use crate::error::{Error, Result};
use crate::forget::erase::PartBytes;

/// How far a destruction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DestroyedState {
    /// It cannot be taken back: the tenant takes no appends.
    Decided,
    /// Its rows and keys are gone, and nobody finds it.
    Destroyed,
    /// No key opens anything of it, also not older copies.
    Unreadable,
    /// Its files are removed; the receipt is there.
    Gone,
    /// The log of `_system` names the receipt.
    Done,
}

impl DestroyedState {
    /// Returns the name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decided => "decided",
            Self::Destroyed => "destroyed",
            Self::Unreadable => "unreadable",
            Self::Gone => "gone",
            Self::Done => "done",
        }
    }
}

/// A tenant that was destroyed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DestroyedRow {
    pub(crate) state: DestroyedState,
    pub(crate) name: String,
    pub(crate) origin: String,
    /// Origins that its log had before its last fork.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) former_origins: Vec<String>,
    pub(crate) epoch: u32,
    pub(crate) created_ms: u64,
    /// Entries of its log, and of them those of records that had gone before.
    pub(crate) size: u64,
    pub(crate) purged: u64,
    pub(crate) erased: u64,
    /// Root over the entries, hex.
    pub(crate) root: String,
    /// The last checkpoint, signed by its log's key.
    pub(crate) checkpoint: String,
    /// Every key that its log had, the oldest first.
    pub(crate) vkeys: Vec<String>,
    /// Id of who ordered it.
    pub(crate) by: String,
    pub(crate) approved_by: Vec<String>,
    /// Classes whose minimum was bypassed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) bypassed: Vec<u16>,
    pub(crate) reason: String,
    /// Size of the log of `_system` when it was decided: the record of it is behind.
    pub(crate) log_from: u64,
    pub(crate) decided_ms: u64,
    /// Seq of the record in the log of `_system`.
    #[serde(default)]
    pub(crate) control: Option<u64>,
    #[serde(default)]
    pub(crate) destroyed_ms: Option<u64>,
    /// Keys that were destroyed; files and parts of shared files that went, and their bytes; credentials that were revoked.
    #[serde(default)]
    pub(crate) keys: u64,
    #[serde(default)]
    pub(crate) files: u64,
    #[serde(default)]
    pub(crate) bytes: u64,
    #[serde(default)]
    pub(crate) credentials: u64,
    /// Until they are gone: its parts of files that others have parts in, and shared files of which nothing is left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) overwrite: Vec<PartBytes>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) emptied: Vec<PathBuf>,
    #[serde(default)]
    pub(crate) unreadable_since_ms: Option<u64>,
    #[serde(default)]
    pub(crate) gone_since_ms: Option<u64>,
    /// The receipt, a DSSE envelope, and its SHA-256, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) receipt: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) receipt_sha256: Option<String>,
    #[serde(default)]
    pub(crate) done_ms: Option<u64>,
}

/// Every tenant that was destroyed, ascending by id.
///
/// # Errors
/// As reads.
pub(crate) fn all(txn: &ReadTransaction) -> Result<Vec<(TenantId, DestroyedRow)>> {
    by_tenant::all(txn, tables::DESTROYED)
}

/// At most `limit` of them, ascending by id, from the first behind `after` on.
///
/// # Errors
/// As reads.
pub(super) fn page(
    txn: &ReadTransaction,
    after: Option<&TenantId>,
    limit: usize,
) -> Result<Vec<(TenantId, DestroyedRow)>> {
    by_tenant::page(txn, tables::DESTROYED, after, limit)
}

/// The row of one.
///
/// # Errors
/// [`Error::NotFound`], or as reads.
pub(super) fn get(txn: &ReadTransaction, tenant: &TenantId) -> Result<DestroyedRow> {
    by_tenant::get(txn, tables::DESTROYED, tenant)?.ok_or(Error::NotFound("destroyed tenant"))
}

/// Stores it.
///
/// # Errors
/// As writes.
pub(super) fn put(update: &Update<'_>, tenant: &TenantId, row: &DestroyedRow) -> Result<()> {
    by_tenant::put(update, tables::DESTROYED, tenant, row)
}
