//! The catalog of a data directory, from a dump, under a fresh key and today's root; with the ledger in it, and what chunks have in the
//! log.

use std::sync::Arc;

use attestore_disk::Disk;
use attestore_keys::{Key, Slot, SlotKind};
use attestore_record::TenantId;

use super::super::escrow::Escrow;
use super::super::manifest::Manifest;
use super::super::{dump, folder, ledger};
use super::behind::{self, Behind, UseChunks};
use crate::catalog::{Catalog, TenantRow, by_tenant, storage, tables, unhex};
use crate::error::{Error, OpenError, Result};
use crate::tenant::{own_context, ring};
use crate::{Parts, SYSTEM_TENANT};

/// Fills a catalog. Durable on return.
///
/// # Errors
/// Damage of the target; what the system says.
pub(super) fn catalog(
    from: &dyn Disk,
    parts: &Parts,
    manifest: &Manifest,
    escrow: Escrow,
    wanted: UseChunks,
) -> Result<Behind, OpenError> {
    let catalog = Catalog::open(&parts.disk, Arc::clone(&parts.root), Arc::clone(&parts.entropy))?;
    rows(from, &catalog, manifest, &escrow.dump)?;
    catalog.adopt(escrow.root_page.duplicate())?;
    let key = ledger::key(&system_directory(&catalog)?);
    let count = ledger::chain(from)?.count;
    let entries = ledger::open(from, &key, count)?;
    catalog.update::<_, Error>(|update| {
        let mut table = update.txn().open_table(tables::LEDGER).map_err(storage)?;
        for (number, entry) in &entries {
            let before = table.insert(number, entry.as_slice()).map_err(storage)?;
            // What the backup covers has to be the same.
            if before.is_some_and(|before| before.value() != entry.as_slice()) {
                return Err(Error::damage(
                    folder::ledger_path(*number),
                    0,
                    "the backup knows another entry of this number",
                ));
            }
        }
        Ok(())
    })?;
    behind::install(from, parts, &catalog, manifest, &escrow, wanted)
}

fn rows(from: &dyn Disk, catalog: &Catalog, manifest: &Manifest, dump: &Key) -> Result<()> {
    type Row = (String, Vec<u8>, Vec<u8>);
    let path = folder::catalog_path(&manifest.id);
    let id = unhex(&manifest.id).ok_or_else(|| Error::damage(&path, 0, "id of the backup"))?;
    let (mut batch, mut bytes): (Vec<Row>, usize) = (Vec::new(), 0);
    let put = |batch: &mut Vec<Row>| {
        catalog.fill(|txn| {
            let mut rows = batch.drain(..);
            rows.try_for_each(|(table, key, value)| dump::put(txn, &table, &key, &value))
        })
    };
    dump::read(from, &path, dump, &id, &mut |table, key, value| {
        bytes += table.len() + key.len() + value.len();
        batch.push((table.to_owned(), key.to_vec(), value.to_vec()));
        if bytes < BATCH_BYTES {
            return Ok(());
        }
        bytes = 0;
        put(&mut batch)
    })?;
    put(&mut batch)
}

/// The directory key of `_system`.
fn system_directory(catalog: &Catalog) -> Result<Key> {
    let txn = catalog.read()?;
    let names = txn.open_table(tables::TENANT_NAMES).map_err(storage)?;
    let missing = || Error::damage("catalog", 0, "there is no system tenant");
    let id = *names
        .get(SYSTEM_TENANT)
        .map_err(storage)?
        .ok_or_else(missing)?
        .value();
    let row: TenantRow =
        by_tenant::get(&txn, tables::TENANTS, &TenantId::from_bytes(id))?.ok_or_else(missing)?;
    let id = TenantId::from_bytes(id);
    let context = own_context(&id, SlotKind::Directory);
    Ok(ring(catalog, &id, &row)?.open(catalog, Slot(row.directory_slot), &context)?)
}

/// Rows that are written in one transaction, about.
const BATCH_BYTES: usize = 8 << 20;
