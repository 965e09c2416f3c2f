//! Destroying a tenant once more, after a restore of a backup that still has it.

use attestore_record::TenantId;

use super::row::{self, DestroyedRow, DestroyedState};
use crate::catalog::{by_tenant, tables};
use crate::error::Result;
use crate::instance::{Inner, SYSTEM_TENANT};

/// Has a tenant destroyed that is there; the next start goes on with it. Says whether it was there. Every tail has to be flushed.
///
/// # Errors
/// As reads and changes of the catalog.
pub(crate) fn again(inner: &Inner, tenant: &TenantId, of: &DestroyedRow) -> Result<bool> {
    let txn = inner.catalog.read()?;
    let known = by_tenant::get::<DestroyedRow>(&txn, tables::DESTROYED, tenant)?;
    let there = by_tenant::get::<serde_json::Value>(&txn, tables::TENANTS, tenant)?;
    if known.is_some() || there.is_none() {
        return Ok(false);
    }
    let row = DestroyedRow {
        state: DestroyedState::Decided,
        log_from: inner.tenant(SYSTEM_TENANT)?.view().size,
        control: None,
        destroyed_ms: None,
        keys: 0,
        files: 0,
        bytes: 0,
        credentials: 0,
        overwrite: Vec::new(),
        emptied: Vec::new(),
        unreadable_since_ms: None,
        gone_since_ms: None,
        receipt: None,
        receipt_sha256: None,
        done_ms: None,
        ..of.clone()
    };
    inner.change(|update| row::put(update, tenant, &row))?;
    Ok(true)
}
