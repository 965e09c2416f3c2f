//! What the catalog keeps of the scrub. JSON, so that a later version can add fields. Catalogs from before it have no such
//! table.

use attestore_record::TenantId;
use redb::{ReadTransaction, ReadableTable, TableError};
use serde::{Deserialize, Serialize};

use crate::{
    catalog::{Update, json, storage, tables},
    check::Problem,
    error::{Error, Result},
};

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

pub(super) fn all(txn: &ReadTransaction) -> Result<Vec<(TenantId, ScrubRow)>> {
    let table = match txn.open_table(tables::SCRUBS) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        table => table.map_err(storage)?,
    };
    let rows = table.iter().map_err(storage)?;
    rows.map(|row| {
        let (key, row) = row.map_err(storage)?;
        Ok((TenantId::from_bytes(*key.value()), json(row.value())?))
    })
    .collect()
}

pub(super) fn put(update: &Update<'_>, tenant: &TenantId, row: &ScrubRow) -> Result<()> {
    let bytes = serde_json::to_vec(row).map_err(|error| Error::Io(error.to_string()))?;
    let mut table = update.txn().open_table(tables::SCRUBS).map_err(storage)?;
    table
        .insert(tenant.as_bytes(), bytes.as_slice())
        .map_err(storage)?;
    Ok(())
}
