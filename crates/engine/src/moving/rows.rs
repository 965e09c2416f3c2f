//! Rows and keys of a tenant, out of the catalog. Slots of keys mean nothing elsewhere, so rows that name slots travel with their keys.
//!
//! # Format
//! Rows of tables as the store has them, and of these, little-endian:
//!
//! | table | key | value |
//! |---|---|---|
//! | `+tenant` | tenant key[32] ‖ directory key[32] | JSON: its row, the keys that its log had; first of all |
//! | `+file` | file key[32] | JSON: its row |
//! | `+subject` | blind[32] ‖ handle[16] ‖ own key[32] | |
//! | `+leaving` | id of the erasure[16] ‖ blind[32] ‖ handle[16] ‖ own key[32] | |
//! | `+erased` | handle[16] | |

use attestore_keys::{Key, Slot};
use attestore_record::{Handle, TenantId};
use redb::{ReadTransaction, TableHandle};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::backup::dump;
use crate::catalog::directory::{DirectoryRow, HandleRow, HandleState};
use crate::catalog::{TenantRow, by_tenant, encode, json, tables, tenant_rows};
use crate::error::{Error, Result};
use crate::forget::erase::{ErasureRow, LeavingRow};
use crate::handover::{FormerRow, HandoverRow};
use crate::instance::{Inner, file_context};
use crate::tenant::{Tenant, lookup_context, subject_context};

pub(super) const TENANT: &str = "+tenant";
pub(super) const FILE: &str = "+file";
pub(super) const SUBJECT: &str = "+subject";
pub(super) const LEAVING: &str = "+leaving";
pub(super) const ERASED: &str = "+erased";

/// The tenant itself.
#[derive(Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) row: TenantRow,
    pub(super) former: Vec<FormerRow>,
}

/// What was written.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// What was left out, in words.
    pub(super) left_out: Vec<String>,
}

/// Tables of which nothing travels, and those that travel in another form.
pub(super) fn stays(table: &str) -> bool {
    [
        tables::TENANTS.name(),
        tables::HANDOVERS.name(),
        tables::FILES.name(),
        tables::DIRECTORY.name(),
        tables::HANDLES.name(),
        tables::SCRUBS.name(),
        tables::WITNESSED.name(),
        tables::EXPORTS.name(),
        tables::EXPORT_PARTS.name(),
        tables::EXPORT_MANIFESTS.name(),
        tables::MOVES_OUT.name(),
    ]
    .contains(&table)
}

/// Writes every row of a tenant that travels. The tenant is closed.
///
/// # Errors
/// As reads and writes; damage; a file that was replaced meanwhile.
pub(super) fn write(
    inner: &Inner,
    tenant: &Tenant,
    txn: &ReadTransaction,
    to: &mut dump::Writer<'_>,
) -> Result<Written> {
    let row: TenantRow = by_tenant::get(txn, tables::TENANTS, &tenant.id)?.ok_or(Error::UnknownTenant)?;
    let handed = by_tenant::get::<HandoverRow>(txn, tables::HANDOVERS, &tenant.id)?.unwrap_or_default();
    let head = Head {
        row,
        former: handed.former,
    };
    let ring = tenant.keys.ring();
    if head.row.former_key_slot.is_some() || ring.former().is_some() {
        return Err(damage("a tenant with two keys whose log ended"));
    }
    let keys = joined(&[ring.current().expose(), tenant.keys.directory.expose()]);
    to.row(TENANT, &keys, &encode(&head)?)?;
    for row in super::copy::file_rows(txn, &tenant.id)? {
        let context = file_context(tenant, row.container_id()?, row.is_part());
        let key = ring.open(&inner.catalog, Slot(row.slot), &context)?;
        to.row(FILE, key.expose(), &encode(&row)?)?;
    }
    let (mut written, mut live) = (Written::default(), 0u64);
    let (mut approvals, mut exports) = (0u64, 0u64);
    tenant_rows::each(txn, &tenant.id, &mut |table, key, value| {
        if table == tables::DIRECTORY.name() {
            let blind = part(key, 16)?;
            let found = subject(inner, tenant, &blind, value)?;
            live += 1;
            return to.row(SUBJECT, &found, &[]);
        }
        if table == tables::HANDLES.name() {
            let row = HandleRow::parse(value).ok_or_else(|| damage("a row of handles"))?;
            return match row.state {
                HandleState::Destroyed => to.row(ERASED, &part::<16>(key, 16)?, &[]),
                HandleState::Live => Ok(()),
            };
        }
        if table == tables::ERASURES.name() {
            let mut row: ErasureRow = json(value)?;
            let id: [u8; 16] = part(key, 16)?;
            for leaving in std::mem::take(&mut row.subjects) {
                let found = leaving_subject(inner, tenant, &leaving)?;
                live += 1;
                to.row(LEAVING, &joined(&[&id, &found]), &[])?;
            }
            return to.row(table, key, &encode(&row)?);
        }
        if table == tables::APPROVALS.name() && is_open(value)? {
            approvals += 1;
            return Ok(());
        }
        exports += u64::from(table == tables::EXPORTS.name());
        match stays(table) {
            true => Ok(()),
            false => to.row(table, key, value),
        }
    })?;
    if live != count_live(txn, &tenant.id)? {
        return Err(damage("a person whose key nothing leads to"));
    }
    let mut left = |what: String, count: u64| {
        if count > 0 {
            written.left_out.push(what);
        }
    };
    left(format!("{approvals} open requests for approval"), approvals);
    left(format!("{exports} exports and access requests"), exports);
    Ok(written)
}

/// Whether a request for approval still stands.
fn is_open(value: &[u8]) -> Result<bool> {
    let row: serde_json::Value = json(value)?;
    Ok(row["state"] == "requested" || row["state"] == "approved")
}

/// A person of the directory: blind ‖ handle ‖ own key.
fn subject(inner: &Inner, tenant: &Tenant, blind: &[u8; 32], row: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let row = DirectoryRow::parse(row).ok_or_else(|| damage("a row of the directory"))?;
    let context = lookup_context(&tenant.id, blind);
    let lookup = tenant.keys.open(&inner.catalog, row.lookup, &context)?;
    let opened = row.open(&lookup, &tenant.id, blind);
    let (handle, slot) = opened.ok_or_else(|| damage("a row of the directory"))?;
    own(inner, tenant, blind, &handle, slot)
}

/// A person who is to be erased.
fn leaving_subject(inner: &Inner, tenant: &Tenant, leaving: &LeavingRow) -> Result<Zeroizing<Vec<u8>>> {
    let (blind, _) = leaving.parse()?;
    let leaver = leaving.open(&inner.catalog, &tenant.id, &tenant.keys.ring())?;
    own(inner, tenant, &blind, &leaver.handle, leaver.slot)
}

fn own(
    inner: &Inner,
    tenant: &Tenant,
    blind: &[u8; 32],
    handle: &Handle,
    slot: Slot,
) -> Result<Zeroizing<Vec<u8>>> {
    let context = subject_context(&tenant.id, handle);
    let key: Key = tenant.keys.open(&inner.catalog, slot, &context)?;
    Ok(joined(&[blind, handle.as_bytes(), key.expose()]))
}

fn count_live(txn: &ReadTransaction, tenant: &TenantId) -> Result<u64> {
    let mut live = 0;
    tenant_rows::each(txn, tenant, &mut |table, _, value| {
        let is_live = || HandleRow::parse(value).is_some_and(|row| row.state == HandleState::Live);
        live += u64::from(table == tables::HANDLES.name() && is_live());
        Ok(())
    })?;
    Ok(live)
}

fn joined(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut all = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
    for part in parts {
        all.extend_from_slice(part);
    }
    all
}

/// `N` bytes of a key of a row.
///
/// # Errors
/// Damage.
pub(super) fn part<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk::<N>());
    found.copied().ok_or_else(|| damage("a key that is too short"))
}

fn damage(what: &str) -> Error {
    Error::damage("catalog", 0, what)
}
