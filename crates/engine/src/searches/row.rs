//! What the catalog keeps of saved searches. JSON, so that a later version can add fields. Catalogs from before there were any
//! have no such table.

use attestore_record::TenantId;
use redb::{ReadTransaction, ReadableTable, TableError};
use serde::{Deserialize, Serialize};

use super::spec::SearchSpec;
use crate::{
    catalog::{Update, json, storage, tables},
    error::{Error, Result},
};

/// Id of a saved search within its tenant.
pub(crate) type SearchId = [u8; 16];

/// A saved search.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SearchRow {
    pub(crate) spec: SearchSpec,
    /// Whether who saved it may see personal fields: it may name people.
    pub(crate) personal: bool,
    /// Counts changes, from 1.
    pub(crate) version: u64,
    /// Id of the credential that made it.
    pub(crate) created_by: String,
    pub(crate) created_ms: u64,
    /// Id of the credential that changed it last.
    pub(crate) changed_by: String,
    pub(crate) changed_ms: u64,
}

/// The saved searches of a tenant.
///
/// # Errors
/// As reads.
pub(super) fn searches(txn: &ReadTransaction, tenant: &TenantId) -> Result<Vec<(SearchId, SearchRow)>> {
    let table = match txn.open_table(tables::SEARCHES) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        table => table.map_err(storage)?,
    };
    collect(&table, tenant)
}

/// A saved search.
///
/// # Errors
/// As reads; [`Error::NotFound`].
pub(crate) fn search(txn: &ReadTransaction, tenant: &TenantId, id: &SearchId) -> Result<SearchRow> {
    let table = match txn.open_table(tables::SEARCHES) {
        Err(TableError::TableDoesNotExist(_)) => return Err(NOT_FOUND),
        table => table.map_err(storage)?,
    };
    let row = table.get((tenant.as_bytes(), id)).map_err(storage)?;
    json(row.ok_or(NOT_FOUND)?.value())
}

/// As [`searches`], within a change.
///
/// # Errors
/// As reads.
pub(super) fn searches_in(update: &Update<'_>, tenant: &TenantId) -> Result<Vec<(SearchId, SearchRow)>> {
    let table = update.txn().open_table(tables::SEARCHES).map_err(storage)?;
    collect(&table, tenant)
}

/// Stores a saved search.
///
/// # Errors
/// As writes.
pub(super) fn put_search(
    update: &Update<'_>,
    tenant: &TenantId,
    id: &SearchId,
    row: &SearchRow,
) -> Result<()> {
    let bytes = serde_json::to_vec(row).map_err(|error| Error::Io(error.to_string()))?;
    let mut table = update.txn().open_table(tables::SEARCHES).map_err(storage)?;
    table
        .insert((tenant.as_bytes(), id), bytes.as_slice())
        .map_err(storage)?;
    Ok(())
}

/// Removes a saved search.
///
/// # Errors
/// As writes.
pub(super) fn remove_search(update: &Update<'_>, tenant: &TenantId, id: &SearchId) -> Result<()> {
    let mut table = update.txn().open_table(tables::SEARCHES).map_err(storage)?;
    table.remove((tenant.as_bytes(), id)).map_err(storage)?;
    Ok(())
}

fn collect(
    table: &impl ReadableTable<(&'static [u8; 16], &'static [u8; 16]), &'static [u8]>,
    tenant: &TenantId,
) -> Result<Vec<(SearchId, SearchRow)>> {
    let all = (tenant.as_bytes(), &[0; 16])..=(tenant.as_bytes(), &[0xFF; 16]);
    let rows = table.range(all).map_err(storage)?;
    rows.map(|row| {
        let (key, row) = row.map_err(storage)?;
        Ok((*key.value().1, json(row.value())?))
    })
    .collect()
}

pub(crate) const NOT_FOUND: Error = Error::NotFound("saved search");
