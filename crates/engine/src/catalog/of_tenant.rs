//! Tables of things that a tenant has several of: tenant id and the thing's own id to JSON. Catalogs from before a table have none.

use attestore_record::TenantId;
use redb::{ReadTransaction, ReadableTable, TableDefinition, TableError};
use serde::{Serialize, de::DeserializeOwned};

use super::update::encode;
use super::{Update, json, storage};
use crate::Result;

/// Id of a thing within its tenant, drawn at random.
pub(crate) type ThingId = [u8; 16];

/// (tenant id, id) to row.
pub(crate) type OfTenant = TableDefinition<'static, (&'static [u8; 16], &'static [u8; 16]), &'static [u8]>;

/// Every row of every tenant.
///
/// # Errors
/// As reads.
pub(crate) fn every<T: DeserializeOwned>(
    txn: &ReadTransaction,
    table: OfTenant,
) -> Result<Vec<(TenantId, ThingId, T)>> {
    let table = match txn.open_table(table) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        table => table.map_err(storage)?,
    };
    let rows = table.iter().map_err(storage)?;
    rows.map(|row| {
        let (key, row) = row.map_err(storage)?;
        let (tenant, id) = key.value();
        Ok((TenantId::from_bytes(*tenant), *id, json(row.value())?))
    })
    .collect()
}

/// A tenant's rows, by id.
///
/// # Errors
/// As reads.
pub(crate) fn all<T: DeserializeOwned>(
    txn: &ReadTransaction,
    table: OfTenant,
    tenant: &TenantId,
) -> Result<Vec<(ThingId, T)>> {
    match txn.open_table(table) {
        Err(TableError::TableDoesNotExist(_)) => Ok(Vec::new()),
        table => collect(&table.map_err(storage)?, tenant),
    }
}

/// As [`all`], within an update.
///
/// # Errors
/// As reads.
pub(crate) fn all_in<T: DeserializeOwned>(
    update: &Update<'_>,
    table: OfTenant,
    tenant: &TenantId,
) -> Result<Vec<(ThingId, T)>> {
    collect(&update.txn().open_table(table).map_err(storage)?, tenant)
}

/// One row.
///
/// # Errors
/// As reads.
pub(crate) fn get<T: DeserializeOwned>(
    txn: &ReadTransaction,
    table: OfTenant,
    tenant: &TenantId,
    id: &ThingId,
) -> Result<Option<T>> {
    let table = match txn.open_table(table) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        table => table.map_err(storage)?,
    };
    let row = table.get((tenant.as_bytes(), id)).map_err(storage)?;
    row.map(|row| json(row.value())).transpose()
}

/// As [`get`], within an update.
///
/// # Errors
/// As reads.
pub(crate) fn stored<T: DeserializeOwned>(
    update: &Update<'_>,
    table: OfTenant,
    tenant: &TenantId,
    id: &ThingId,
) -> Result<Option<T>> {
    let table = update.txn().open_table(table).map_err(storage)?;
    let row = table.get((tenant.as_bytes(), id)).map_err(storage)?;
    row.map(|row| json(row.value())).transpose()
}

/// Stores a row.
///
/// # Errors
/// As writes.
pub(crate) fn put(
    update: &Update<'_>,
    table: OfTenant,
    tenant: &TenantId,
    id: &ThingId,
    row: &impl Serialize,
) -> Result<()> {
    let mut table = update.txn().open_table(table).map_err(storage)?;
    table
        .insert((tenant.as_bytes(), id), encode(row)?.as_slice())
        .map_err(storage)?;
    Ok(())
}

/// Removes a row.
///
/// # Errors
/// As writes.
pub(crate) fn remove(update: &Update<'_>, table: OfTenant, tenant: &TenantId, id: &ThingId) -> Result<()> {
    let mut table = update.txn().open_table(table).map_err(storage)?;
    table.remove((tenant.as_bytes(), id)).map_err(storage)?;
    Ok(())
}

fn collect<T: DeserializeOwned>(
    table: &impl ReadableTable<(&'static [u8; 16], &'static [u8; 16]), &'static [u8]>,
    tenant: &TenantId,
) -> Result<Vec<(ThingId, T)>> {
    let all = (tenant.as_bytes(), &[0; 16])..=(tenant.as_bytes(), &[0xFF; 16]);
    let rows = table.range(all).map_err(storage)?;
    rows.map(|row| {
        let (key, row) = row.map_err(storage)?;
        Ok((*key.value().1, json(row.value())?))
    })
    .collect()
}
