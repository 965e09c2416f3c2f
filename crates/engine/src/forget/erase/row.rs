//! What the catalog keeps of an erasure. JSON, so that a later version can add fields.
//!
//! As long as the keys are there, the row has the rows of the directory that it took away, verbatim: a blind, and what only the
//! lookup key of that subject opens. They go in the transaction that destroys that key, and handles, which lead to nobody, take
//! their place until the files are rewritten. At the end there is nothing in the row that leads from a person to it.

use std::path::PathBuf;

use attestore_keys::Slot;
use attestore_record::{Handle, TenantId};
use serde::{Deserialize, Serialize};

use super::Recipient;
use crate::catalog::directory::DirectoryRow;
use crate::catalog::{Catalog, hex, unhex, unhex_vec};
use crate::tenant::{Ring, lookup_context};
use crate::{Error, Result};

/// How far an erasure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErasureState {
    /// Asked for: nobody sees the data any more, and it may still be taken back.
    Received,
    /// A hold or a policy keeps it from going on; it goes on by itself.
    Deferred,
    /// Decided: it cannot be taken back.
    Approved,
    /// The keys are destroyed.
    Unreadable,
    /// No split has terms of it.
    IndexClean,
    /// No file has bytes of it.
    Done,
    /// It was taken back.
    Cancelled,
}

impl ErasureState {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Deferred => "deferred",
            Self::Approved => "approved",
            Self::Unreadable => "unreadable",
            Self::IndexClean => "index_clean",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it can go on on another server.
    pub(crate) const fn travels(self) -> bool {
        self.is_over() || matches!(self, Self::Received | Self::Deferred)
    }

    /// Whether nothing is left to do.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled)
    }
}

/// An erasure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ErasureRow {
    pub(crate) state: ErasureState,
    pub(crate) requested_ms: u64,
    /// Id of the principal.
    pub(crate) requested_by: String,
    pub(crate) approved_by: Vec<String>,
    /// On what ground; goes into the log.
    pub(crate) basis: String,
    /// Until when it may be taken back.
    pub(crate) undo_until_ms: u64,
    /// Why it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deferred: Option<String>,
    /// Until the keys are destroyed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) subjects: Vec<LeavingRow>,
    /// From then on until no file has them; hex.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) handles: Vec<String>,
    /// How many handles there are, or were.
    pub(crate) number: u64,
    /// Size of the log when it was decided: the record of it is behind.
    #[serde(default)]
    pub(crate) log_size: Option<u64>,
    /// Seq of the record of it.
    #[serde(default)]
    pub(crate) control_seq: Option<u64>,
    /// Records that had groups about somebody of it.
    #[serde(default)]
    pub(crate) records: u64,
    /// Bytes in files of many tenants that are to be overwritten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) overwrite: Vec<PartBytes>,
    #[serde(default)]
    pub(crate) exports: u64,
    #[serde(default)]
    pub(crate) segments: u64,
    #[serde(default)]
    pub(crate) bytes_rewritten: u64,
    /// Who may have been shown the data; `None` when `_system` could not be asked.
    #[serde(default)]
    pub(crate) recipients: Option<Vec<Recipient>>,
    /// SHA-256 of the certificate, hex: it is signed and stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<String>,
    pub(crate) suppressed_since_ms: u64,
    #[serde(default)]
    pub(crate) unreadable_since_ms: Option<u64>,
    #[serde(default)]
    pub(crate) terms_gone_since_ms: Option<u64>,
    #[serde(default)]
    pub(crate) bytes_gone_since_ms: Option<u64>,
}

/// A row of the directory that was taken away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeavingRow {
    /// Hex.
    pub(crate) blind: String,
    /// As it stood there, hex.
    pub(crate) row: String,
}

/// Where the personal groups of a part were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartBytes {
    pub(crate) path: PathBuf,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// A subject whose keys are there.
pub(crate) struct Leaver {
    pub(crate) handle: Handle,
    /// Of its own key.
    pub(crate) slot: Slot,
    pub(crate) lookup: Slot,
}

impl LeavingRow {
    pub(crate) fn new(blind: &[u8; 32], row: &DirectoryRow) -> Self {
        Self {
            blind: hex(blind),
            row: hex(&row.to_bytes()),
        }
    }

    pub(crate) fn parse(&self) -> Result<([u8; 32], DirectoryRow)> {
        let blind = unhex(&self.blind);
        let row = unhex_vec(&self.row).and_then(|bytes| DirectoryRow::parse(&bytes));
        blind.zip(row).ok_or_else(|| damage("a subject"))
    }

    /// Opens it with the lookup key.
    ///
    /// # Errors
    /// As reads; damage.
    pub(crate) fn open(&self, catalog: &Catalog, tenant: &TenantId, ring: &Ring) -> Result<Leaver> {
        let (blind, row) = self.parse()?;
        let lookup = ring.open(catalog, row.lookup, &lookup_context(tenant, &blind))?;
        let opened = row.open(&lookup, tenant, &blind);
        let (handle, slot) = opened.ok_or_else(|| damage("a row of the directory"))?;
        Ok(Leaver {
            handle,
            slot,
            lookup: row.lookup,
        })
    }
}

impl ErasureRow {
    /// Whose keys are there.
    ///
    /// # Errors
    /// As reads; damage.
    pub(crate) fn leavers(&self, catalog: &Catalog, tenant: &TenantId, ring: &Ring) -> Result<Vec<Leaver>> {
        let subjects = self.subjects.iter();
        subjects
            .map(|subject| subject.open(catalog, tenant, ring))
            .collect()
    }

    /// Whose keys are destroyed and who may be in files still.
    ///
    /// # Errors
    /// Damage.
    pub(crate) fn destroyed(&self) -> Result<Vec<Handle>> {
        let handle = |text: &String| unhex(text).map(Handle::from_bytes);
        self.handles
            .iter()
            .map(|text| handle(text).ok_or_else(|| damage("a handle")))
            .collect()
    }
}

fn damage(what: &str) -> Error {
    Error::damage("catalog", 0, format!("{what} of an erasure"))
}
