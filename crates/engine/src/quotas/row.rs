//! What the catalog keeps of quotas. JSON, so that a later version can add fields. Catalogs from before there were any have no
//! such table.

use attestore_record::TenantId;
use redb::{ReadTransaction, ReadableTable, TableError};
use serde::{Deserialize, Serialize};

use super::spec::Quota;
use crate::{
    catalog::{Update, json, storage, tables},
    error::{Error, Result},
};

/// A tenant's quota and what is used of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct QuotaRow {
    pub(super) quota: Quota,
    /// Id of the principal that set it.
    pub(super) changed_by: String,
    pub(super) changed_ms: u64,
    /// The day of UTC, counted from the epoch, that `day_bytes` are of.
    #[serde(default)]
    pub(super) day: u64,
    #[serde(default)]
    pub(super) day_bytes: u64,
}

pub(super) fn all(txn: &ReadTransaction) -> Result<Vec<(TenantId, QuotaRow)>> {
    let table = match txn.open_table(tables::QUOTAS) {
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

pub(super) fn put(update: &Update<'_>, tenant: &TenantId, row: &QuotaRow) -> Result<()> {
    let bytes = serde_json::to_vec(row).map_err(|error| Error::Io(error.to_string()))?;
    let mut table = update.txn().open_table(tables::QUOTAS).map_err(storage)?;
    table
        .insert(tenant.as_bytes(), bytes.as_slice())
        .map_err(storage)?;
    Ok(())
}

pub(super) fn remove(update: &Update<'_>, tenant: &TenantId) -> Result<()> {
    let mut table = update.txn().open_table(tables::QUOTAS).map_err(storage)?;
    table.remove(tenant.as_bytes()).map_err(storage)?;
    Ok(())
}
