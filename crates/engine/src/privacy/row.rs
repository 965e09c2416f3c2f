//! What the catalog keeps of each version of a privacy policy.

use attestore_record::{PrivacyPolicy, TenantId};
use redb::{ReadableTable, TableError};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::catalog::{Catalog, Update, json, storage, tables};

/// A version.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PrivacyRow {
    /// The policy.
    pub(super) policy: PrivacyPolicy,
    /// Id of the credential that set it; empty for what the tenant started with.
    #[serde(default)]
    pub(super) by: String,
    /// When, Unix milliseconds.
    pub(super) at_ms: u64,
    /// Why, in the words of who set it.
    #[serde(default)]
    pub(super) reason: String,
    /// Seq of its record in the tenant's log; `None` for what the tenant started with and what was only announced.
    #[serde(default)]
    pub(super) seq: Option<u64>,
    /// Whether it came into force.
    #[serde(default)]
    pub(super) in_force: bool,
}

/// Stores a version.
pub(super) fn put(update: &Update<'_>, tenant: &TenantId, row: &PrivacyRow) -> Result<()> {
    let mut table = update.txn().open_table(tables::PRIVACY).map_err(storage)?;
    let bytes = serde_json::to_vec(row).map_err(|error| crate::Error::Io(error.to_string()))?;
    table
        .insert((tenant.as_bytes(), row.policy.version()), bytes.as_slice())
        .map_err(storage)?;
    Ok(())
}

/// The newest version that has a row, in force or not.
pub(super) fn newest(update: &Update<'_>, tenant: &TenantId) -> Result<Option<u32>> {
    let table = update.txn().open_table(tables::PRIVACY).map_err(storage)?;
    let mut rows = table
        .range((tenant.as_bytes(), 0)..=(tenant.as_bytes(), u32::MAX))
        .map_err(storage)?;
    let last = rows.next_back().transpose().map_err(storage)?;
    Ok(last.map(|(key, _)| key.value().1))
}

/// Versions below `before`, newest first.
pub(super) fn versions(
    catalog: &Catalog,
    tenant: &TenantId,
    before: u32,
    most: usize,
) -> Result<Vec<PrivacyRow>> {
    let txn = catalog.read()?;
    let table = match txn.open_table(tables::PRIVACY) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        table => table.map_err(storage)?,
    };
    let rows = table
        .range((tenant.as_bytes(), 0)..(tenant.as_bytes(), before))
        .map_err(storage)?;
    let rows = rows.rev().take(most);
    rows.map(|row| json(row.map_err(storage)?.1.value())).collect()
}
