//! Every row that a tenant has, in every table: counted, or removed with the keys that they name.
//!
//! A new table of rows that belong to tenants has to be named here; a test holds this list against `tables.rs`.

use std::ops::{Bound, RangeBounds};

use attestore_keys::Slot;
use attestore_record::{Handle, TenantId};
use redb::{AccessGuard, ReadTransaction, ReadableTable, TableDefinition, TableError, TableHandle};

use super::directory::{DirectoryRow, HandleRow, HandleState};
use super::rows::FileRow;
use super::{Update, by_tenant, json, of_tenant, storage, tables};
use crate::error::{Error, Result};
use crate::forget::erase::ErasureRow;
use crate::handover::HandoverRow;

/// What a tenant's rows named.
#[derive(Debug, Default)]
pub(crate) struct Named {
    /// Slots of all its keys.
    pub(crate) slots: Vec<Slot>,
    /// Its files and parts of shared files.
    pub(crate) files: Vec<FileRow>,
    pub(crate) blinds: Vec<[u8; 32]>,
    pub(crate) handles: Vec<Handle>,
}

/// Calls a macro for each table whose keys begin with a tenant's id: with its name, and the first and the last key of the tenant.
macro_rules! each_table {
    ($each:ident, $id:expr) => {
        $each!(TENANTS, $id, $id);
        $each!(SCRUBS, $id, $id);
        $each!(WITNESSED, $id, $id);
        $each!(HANDOVERS, $id, $id);
        $each!(QUOTAS, $id, $id);
        $each!(KEYS, $id, $id);
        $each!(RETENTION, $id, $id);
        $each!(APPROVAL_POLICIES, $id, $id);
        $each!(DIRECTORY, ($id, &[0; 32]), ($id, &[0xFF; 32]));
        $each!(HANDLES, ($id, &ZERO), ($id, &LAST));
        $each!(FILES, ($id, 0, 0, 0), ($id, u64::MAX, u32::MAX, u8::MAX));
        $each!(GONE, ($id, 0, 0), ($id, u16::MAX, u64::MAX));
        $each!(HOLDS, ($id, &ZERO), ($id, &LAST));
        $each!(HOLD_RANGES, ($id, &ZERO, 0), ($id, &LAST, u64::MAX));
        $each!(APPROVALS, ($id, &ZERO), ($id, &LAST));
        $each!(PRIVACY, ($id, 0), ($id, u32::MAX));
        $each!(PURGES, ($id, &ZERO), ($id, &LAST));
        $each!(PURGE_RECEIPTS, ($id, &ZERO), ($id, &LAST));
        $each!(EXPORTS, ($id, &ZERO), ($id, &LAST));
        $each!(EXPORT_PARTS, ($id, &ZERO, 0), ($id, &LAST, u32::MAX));
        $each!(EXPORT_MANIFESTS, ($id, &ZERO), ($id, &LAST));
        $each!(SEARCHES, ($id, &ZERO), ($id, &LAST));
        $each!(WATCHES, ($id, &ZERO), ($id, &LAST));
        $each!(WATCH_LETTERS, ($id, &ZERO, 0), ($id, &LAST, u64::MAX));
        $each!(ERASURES, ($id, &ZERO), ($id, &LAST));
        $each!(RESTRICTIONS, ($id, &ZERO), ($id, &LAST));
        $each!(MOVES_OUT, $id, $id);
    };
}

/// Both ends included. That of a range of references means two things.
struct Between<K>(K, K);

impl<K> RangeBounds<K> for Between<K> {
    fn start_bound(&self) -> Bound<&K> {
        Bound::Included(&self.0)
    }

    fn end_bound(&self) -> Bound<&K> {
        Bound::Included(&self.1)
    }
}

/// Removes every row of a tenant and destroys every key that one of them names; shared files have its parts no more. The row that
/// says that it was destroyed, and credentials, are the caller's business. Returns what went, and how many keys that were.
///
/// # Errors
/// As reads and writes; damage.
pub(crate) fn remove(update: &mut Update<'_>, tenant: &TenantId) -> Result<(Named, usize)> {
    let named = named(update, tenant)?;
    if let Some(row) = update.tenant(tenant)?
        && update.tenant_named(&row.name)? == Some(*tenant)
    {
        let mut names = update.txn().open_table(tables::TENANT_NAMES).map_err(storage)?;
        names.remove(row.name.as_str()).map_err(storage)?;
    }
    let id = tenant.as_bytes();
    macro_rules! clear {
        ($table:ident, $low:expr, $high:expr) => {
            let mut table = update.txn().open_table(tables::$table).map_err(storage)?;
            table
                .retain_in(Between($low, $high), |_, _| false)
                .map_err(storage)?;
            drop(table);
        };
    }
    each_table!(clear, id);
    crate::compact::unnote(update, tenant)?;
    let destroyed = update.destroy_keys(&named.slots)?;
    Ok((named, destroyed))
}

/// How many rows a tenant has, by table.
///
/// # Errors
/// As reads.
pub(crate) fn count(txn: &ReadTransaction, tenant: &TenantId) -> Result<Vec<(String, usize)>> {
    let id = tenant.as_bytes();
    let mut found = Vec::new();
    macro_rules! count {
        ($table:ident, $low:expr, $high:expr) => {
            match txn.open_table(tables::$table) {
                Err(TableError::TableDoesNotExist(_)) => {}
                table => {
                    let rows = table
                        .map_err(storage)?
                        .range(Between($low, $high))
                        .map_err(storage)?
                        .count();
                    if rows > 0 {
                        found.push((tables::$table.name().to_owned(), rows));
                    }
                }
            }
        };
    }
    each_table!(count, id);
    Ok(found)
}

/// Is called with the name of a table, a key and a value.
pub(crate) type EachRow<'a> = dyn FnMut(&str, &[u8], &[u8]) -> Result<()> + 'a;

/// Calls `each` with every row of a tenant, as the store has them, table by table.
///
/// # Errors
/// As reads; what `each` returns.
pub(crate) fn each(txn: &ReadTransaction, tenant: &TenantId, each: &mut EachRow<'_>) -> Result<()> {
    let id = tenant.as_bytes();
    macro_rules! show {
        ($table:ident, $low:expr, $high:expr) => {
            match txn.open_table(tables::$table) {
                Err(TableError::TableDoesNotExist(_)) => {}
                table => {
                    let table = table.map_err(storage)?;
                    for row in table.range(Between($low, $high)).map_err(storage)? {
                        let (key, value) = row.map_err(storage)?;
                        show(tables::$table.name(), &key, &value, each)?;
                    }
                }
            }
        };
    }
    each_table!(show, id);
    Ok(())
}

fn show<K: redb::Key + 'static, V: redb::Value + 'static>(
    table: &str,
    key: &AccessGuard<'_, K>,
    value: &AccessGuard<'_, V>,
    each: &mut EachRow<'_>,
) -> Result<()> {
    let (key, value) = (key.value(), value.value());
    each(table, K::as_bytes(&key).as_ref(), V::as_bytes(&value).as_ref())
}

/// Whether bytes are a key of a row of that tenant in a table of rows of tenants.
pub(crate) fn is_key(tenant: &TenantId, table: &str, key: &[u8]) -> bool {
    macro_rules! look {
        ($table:ident, $low:expr, $high:expr) => {
            if table == tables::$table.name() {
                return key.get(..16) == Some(tenant.as_bytes().as_slice())
                    && key_width(tables::$table).is_none_or(|width| key.len() == width);
            }
        };
    }
    each_table!(look, ());
    false
}

fn key_width<K: redb::Key + 'static, V: redb::Value + 'static>(
    _: TableDefinition<'_, K, V>,
) -> Option<usize> {
    K::fixed_width()
}

/// Stores a row of a tenant as [`each`] showed it.
///
/// # Errors
/// Damage for a table that has no rows of bytes of tenants, and for a row of another tenant; as writes.
pub(crate) fn put(
    update: &Update<'_>,
    tenant: &TenantId,
    table: &str,
    key: &[u8],
    value: &[u8],
) -> Result<()> {
    let damage = |what: &str| Error::damage("catalog", 0, format!("a row of {table}: {what}"));
    if key.get(..16) != Some(tenant.as_bytes().as_slice()) {
        return Err(damage("it is of another tenant"));
    }
    macro_rules! put {
        ($table:ident, $low:expr, $high:expr) => {
            if table == tables::$table.name() {
                return insert(update, tables::$table, key, value)?
                    .ok_or_else(|| damage("its key or value has another shape"));
            }
        };
    }
    each_table!(put, tenant);
    Err(damage("there is no such table of tenants"))
}

/// The names of the tables whose rows are of tenants.
#[cfg(test)]
pub(crate) fn table_names() -> Vec<String> {
    let mut names = Vec::new();
    macro_rules! name {
        ($table:ident, $low:expr, $high:expr) => {
            names.push(tables::$table.name().to_owned());
        };
    }
    each_table!(name, ());
    names
}

/// `None` where the bytes are none of that table.
fn insert<K: redb::Key + 'static, V: redb::Value + 'static>(
    update: &Update<'_>,
    definition: TableDefinition<'_, K, V>,
    key: &[u8],
    value: &[u8],
) -> Result<Option<()>> {
    let fits = |width: Option<usize>, bytes: &[u8]| width.is_none_or(|width| bytes.len() == width);
    let text = V::type_name() == <&str as redb::Value>::type_name();
    if !fits(K::fixed_width(), key)
        || !fits(V::fixed_width(), value)
        || text && std::str::from_utf8(value).is_err()
    {
        return Ok(None);
    }
    let mut table = update.txn().open_table(definition).map_err(storage)?;
    table
        .insert(K::from_bytes(key), V::from_bytes(value))
        .map_err(storage)?;
    Ok(Some(()))
}

/// Reads what a tenant's rows name.
fn named(update: &Update<'_>, tenant: &TenantId) -> Result<Named> {
    let id = tenant.as_bytes();
    let mut named = Named::default();
    if let Some(row) = update.tenant(tenant)? {
        named
            .slots
            .extend([row.key_slot, row.signing_slot, row.directory_slot].map(Slot));
        named.slots.extend(row.former_key_slot.map(Slot));
    }
    let handed: Option<HandoverRow> = by_tenant::stored(update, tables::HANDOVERS, tenant)?;
    named
        .slots
        .extend(handed.iter().flat_map(HandoverRow::slots).map(Slot));
    let files = update.txn().open_table(tables::FILES).map_err(storage)?;
    for row in files
        .range((id, 0, 0, 0)..=(id, u64::MAX, u32::MAX, u8::MAX))
        .map_err(storage)?
    {
        let row: FileRow = json(row.map_err(storage)?.1.value())?;
        named.slots.push(Slot(row.slot));
        named.files.push(row);
    }
    let damage = |what| Error::damage("catalog", 0, what);
    let handles = update.txn().open_table(tables::HANDLES).map_err(storage)?;
    for row in handles.range((id, &ZERO)..=(id, &LAST)).map_err(storage)? {
        let (key, row) = row.map_err(storage)?;
        let row = HandleRow::parse(row.value()).ok_or_else(|| damage("a row of handles"))?;
        if row.state == HandleState::Live {
            named.slots.push(row.slot);
            named.handles.push(Handle::from_bytes(*key.value().1));
        }
    }
    let directory = update.txn().open_table(tables::DIRECTORY).map_err(storage)?;
    let blinds = (id, &[0; 32])..=(id, &[0xFF; 32]);
    for row in directory.range(blinds).map_err(storage)? {
        let (key, row) = row.map_err(storage)?;
        let row = DirectoryRow::parse(row.value()).ok_or_else(|| damage("a row of the directory"))?;
        named.slots.push(row.lookup);
        named.blinds.push(*key.value().1);
    }
    for (_, row) in of_tenant::stored_of::<ErasureRow>(update, tables::ERASURES, tenant)? {
        for subject in &row.subjects {
            named.slots.push(subject.parse()?.1.lookup);
        }
    }
    named.slots.extend(crate::exports::key_slots(update, tenant)?);
    Ok(named)
}

const ZERO: [u8; 16] = [0; 16];
const LAST: [u8; 16] = [0xFF; 16];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use redb::TableHandle;

    use super::tables;

    /// Tables whose rows are not of one tenant, or outlive it.
    const OTHERS: [&str; 10] = [
        "meta",
        "pages",
        "tenant_names",
        "l0",
        "wal",
        "credentials",
        "destroyed",
        "moves_in",
        "ledger",
        // By slot; a row goes once the module has let go of the key.
        "module_keys",
    ];

    #[test]
    fn every_table_is_known_to_be_of_tenants_or_not() {
        let source = include_str!("tables.rs");
        let all: BTreeSet<&str> = source
            .split("TableDefinition::new(\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        let mut known: BTreeSet<String> = OTHERS.map(str::to_owned).into();
        macro_rules! know {
            ($table:ident, $low:expr, $high:expr) => {
                assert!(known.insert(tables::$table.name().to_owned()));
            };
        }
        each_table!(know, ());
        assert!(all.len() > 20, "{all:?}");
        assert_eq!(all, known.iter().map(String::as_str).collect());
    }
}
