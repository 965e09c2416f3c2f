//! Tables of many rows per tenant, each under an id. Rows are JSON, so that a later version can add fields; catalogs from before
//! a table have none.

use attestore_record::TenantId;
use redb::{ReadTransaction, ReadableTable, TableError};
use serde::{Serialize, de::DeserializeOwned};

use super::tables::OfTenant;
use super::update::encode;
use super::{Update, json, storage};
use crate::Result;

/// Id of a row within its tenant, drawn at random.
pub(crate) type ThingId = [u8; 16];

/// Names a row: tenant and id.
pub(crate) type RowKey = (TenantId, ThingId);

/// Every row of every tenant.
///
/// # Errors
/// As reads.
pub(crate) fn all<T: DeserializeOwned>(txn: &ReadTransaction, table: OfTenant) -> Result<Vec<(RowKey, T)>> {
    let table = match txn.open_table(table) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        table => table.map_err(storage)?,
    };
    let rows = table.iter().map_err(storage)?;
    rows.map(|row| {
        let (key, row) = row.map_err(storage)?;
        let (tenant, id) = key.value();
        Ok(((TenantId::from_bytes(*tenant), *id), json(row.value())?))
    })
    .collect()
}

/// Every row of a tenant, ascending by id.
///
/// # Errors
/// As reads.
pub(crate) fn of<T: DeserializeOwned>(
    txn: &ReadTransaction,
    table: OfTenant,
    tenant: &TenantId,
) -> Result<Vec<([u8; 16], T)>> {
    let table = match txn.open_table(table) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        table => table.map_err(storage)?,
    };
    let all = (tenant.as_bytes(), &[0; 16])..=(tenant.as_bytes(), &[0xFF; 16]);
    let rows = table.range(all).map_err(storage)?;
    rows.map(|row| {
        let (key, row) = row.map_err(storage)?;
        Ok((*key.value().1, json(row.value())?))
    })
    .collect()
}

/// A row.
///
/// # Errors
/// As reads.
pub(crate) fn get<T: DeserializeOwned>(
    txn: &ReadTransaction,
    table: OfTenant,
    key: &RowKey,
) -> Result<Option<T>> {
    let table = match txn.open_table(table) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        table => table.map_err(storage)?,
    };
    let row = table.get((key.0.as_bytes(), &key.1)).map_err(storage)?;
    row.map(|row| json(row.value())).transpose()
}

/// Stores a row.
///
/// # Errors
/// As writes.
pub(crate) fn put(update: &Update<'_>, table: OfTenant, key: &RowKey, row: &impl Serialize) -> Result<()> {
    let mut table = update.txn().open_table(table).map_err(storage)?;
    table
        .insert((key.0.as_bytes(), &key.1), encode(row)?.as_slice())
        .map_err(storage)?;
    Ok(())
}

/// Removes a row.
///
/// # Errors
/// As writes.
pub(crate) fn remove(update: &Update<'_>, table: OfTenant, key: &RowKey) -> Result<()> {
    let mut table = update.txn().open_table(table).map_err(storage)?;
    table.remove((key.0.as_bytes(), &key.1)).map_err(storage)?;
    Ok(())
}

/// A row, within an update.
///
/// # Errors
/// As reads.
pub(crate) fn stored<T: DeserializeOwned>(
    update: &Update<'_>,
    table: OfTenant,
    key: &RowKey,
) -> Result<Option<T>> {
    let table = update.txn().open_table(table).map_err(storage)?;
    let row = table.get((key.0.as_bytes(), &key.1)).map_err(storage)?;
    row.map(|row| json(row.value())).transpose()
}

/// Every row of a tenant, within an update.
///
/// # Errors
/// As reads.
pub(crate) fn stored_of<T: DeserializeOwned>(
    update: &Update<'_>,
    table: OfTenant,
    tenant: &TenantId,
) -> Result<Vec<([u8; 16], T)>> {
    let table = update.txn().open_table(table).map_err(storage)?;
    let all = (tenant.as_bytes(), &[0; 16])..=(tenant.as_bytes(), &[0xFF; 16]);
    let rows = table.range(all).map_err(storage)?;
    rows.map(|row| {
        let (key, row) = row.map_err(storage)?;
        Ok((*key.value().1, json(row.value())?))
    })
    .collect()
}
