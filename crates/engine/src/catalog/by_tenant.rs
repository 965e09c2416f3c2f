//! Tables of one row per tenant. Rows are JSON, so that a later version can add fields; catalogs from before a table have none.

use std::ops::Bound;

use attestore_record::TenantId;
use redb::{ReadTransaction, ReadableTable, TableDefinition, TableError};
use serde::{Serialize, de::DeserializeOwned};

use super::update::encode;
use super::{Update, json, storage};
use crate::Result;

/// Tenant id to row.
pub(crate) type ByTenant = TableDefinition<'static, &'static [u8; 16], &'static [u8]>;

/// Every row.
///
/// # Errors
/// As reads.
pub(crate) fn all<T: DeserializeOwned>(txn: &ReadTransaction, table: ByTenant) -> Result<Vec<(TenantId, T)>> {
    page(txn, table, None, usize::MAX)
}

/// At most `limit` rows, ascending by id, from the first behind `after` on.
///
/// # Errors
/// As reads.
pub(crate) fn page<T: DeserializeOwned>(
    txn: &ReadTransaction,
    table: ByTenant,
    after: Option<&TenantId>,
    limit: usize,
) -> Result<Vec<(TenantId, T)>> {
    let table = match txn.open_table(table) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        table => table.map_err(storage)?,
    };
    let from = after.map_or(Bound::Unbounded, |id| Bound::Excluded(id.as_bytes()));
    let rows = table
        .range::<&[u8; 16]>((from, Bound::Unbounded))
        .map_err(storage)?;
    rows.take(limit)
        .map(|row| {
            let (key, row) = row.map_err(storage)?;
            Ok((TenantId::from_bytes(*key.value()), json(row.value())?))
        })
        .collect()
}

/// A tenant's row.
///
/// # Errors
/// As reads.
pub(crate) fn get<T: DeserializeOwned>(
    txn: &ReadTransaction,
    table: ByTenant,
    tenant: &TenantId,
) -> Result<Option<T>> {
    let table = match txn.open_table(table) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        table => table.map_err(storage)?,
    };
    let row = table.get(tenant.as_bytes()).map_err(storage)?;
    row.map(|row| json(row.value())).transpose()
}

/// A tenant's row, within an update.
///
/// # Errors
/// As reads.
pub(crate) fn stored<T: DeserializeOwned>(
    update: &Update<'_>,
    table: ByTenant,
    tenant: &TenantId,
) -> Result<Option<T>> {
    let table = update.txn().open_table(table).map_err(storage)?;
    let row = table.get(tenant.as_bytes()).map_err(storage)?;
    row.map(|row| json(row.value())).transpose()
}

/// Stores a tenant's row.
///
/// # Errors
/// As writes.
pub(crate) fn put(
    update: &Update<'_>,
    table: ByTenant,
    tenant: &TenantId,
    row: &impl Serialize,
) -> Result<()> {
    let mut table = update.txn().open_table(table).map_err(storage)?;
    table
        .insert(tenant.as_bytes(), encode(row)?.as_slice())
        .map_err(storage)?;
    Ok(())
}

/// Removes a tenant's row.
///
/// # Errors
/// As writes.
pub(crate) fn remove(update: &Update<'_>, table: ByTenant, tenant: &TenantId) -> Result<()> {
    let mut table = update.txn().open_table(table).map_err(storage)?;
    table.remove(tenant.as_bytes()).map_err(storage)?;
    Ok(())
}
