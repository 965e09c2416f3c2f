//! Keys that are made in the module before there is a tenant whose log they sign for.

use attestore_keys::{Key, Slot};
use attestore_record::TenantId;

use super::{ModuleKeyRow, signing_context};
use crate::catalog::{Update, encode, json, storage, tables, unhex};
use crate::{Error, Result};

/// Gives a key that was put to use under another id to a tenant's log: returns its slot there. The caller destroys the slot that it had.
///
/// # Errors
/// As reads and writes; damage.
pub(crate) fn pass_on(
    update: &mut Update<'_>,
    from: Slot,
    tenant: &TenantId,
    tenant_key: &Key,
) -> Result<Slot> {
    let damage = || Error::damage("catalog", 0, "a key in the module that is handed on");
    let mut table = update.txn().open_table(tables::MODULE_KEYS).map_err(storage)?;
    let row = table.remove(from.0).map_err(storage)?;
    let row: ModuleKeyRow = json(row.ok_or_else(damage)?.value())?;
    drop(table);
    let reference = unhex::<{ Key::LEN }>(&row.reference).ok_or_else(damage)?;
    let slot = update.put_key(
        signing_context(tenant),
        Some(tenant_key),
        &Key::from_bytes(reference),
    )?;
    let row = ModuleKeyRow {
        tenant: tenant.to_string(),
        ..row
    };
    let mut table = update.txn().open_table(tables::MODULE_KEYS).map_err(storage)?;
    table.insert(slot.0, encode(&row)?.as_slice()).map_err(storage)?;
    Ok(slot)
}
