//! Every key of a tenant that is wrapped under the tenant key, and everything else that is sealed under it.
//!
//! Rows say where keys are and what they are bound to. A pass reads the rows of one moment. Whatever is put into the tree after the new
//! key is in force is wrapped under it, so a pass over a state from after that moment meets everything that is not: rows that go
//! meanwhile leave empty slots, and rows that move from one table to another are met where they were.

use std::sync::Arc;

use attestore_keys::{Slot, SlotContext, SlotKind};
use attestore_record::Handle;
use redb::ReadTransaction;

use crate::catalog::directory::{DirectoryRow, HandleRow, HandleState};
use crate::catalog::{FileRow, TenantRow, Update, by_tenant, json, of_tenant, storage, tables};
use crate::error::{Error, Result};
use crate::forget::erase::ErasureRow;
use crate::handover::{HandoverRow, signing_context};
use crate::instance::{Inner, file_context};
use crate::tenant::{Tenant, lookup_context, own_context, subject_context};

/// Slot of a key, and what it is bound to.
pub(super) type Place = (Slot, SlotContext);

/// Calls `work` with every key of the tenant, some at a time.
///
/// # Errors
/// What `work` returns; as reads; damage.
pub(super) fn each(
    txn: &ReadTransaction,
    tenant: &Arc<Tenant>,
    work: &mut dyn FnMut(&[Place]) -> Result<()>,
) -> Result<()> {
    let mut batch = Batch {
        places: Vec::with_capacity(PLACES),
        work,
    };
    let id = &tenant.id;
    let row: TenantRow = by_tenant::get(txn, tables::TENANTS, id)?.ok_or(Error::UnknownTenant)?;
    batch.take(row.directory_slot, own_context(id, SlotKind::Directory))?;
    batch.take(row.signing_slot, signing_context(id))?;
    let handed = by_tenant::get::<HandoverRow>(txn, tables::HANDOVERS, id)?.unwrap_or_default();
    for slot in handed.slots() {
        batch.take(slot, signing_context(id))?;
    }
    for slot in crate::handover::module::unused(txn, id)? {
        batch.take(slot, signing_context(id))?;
    }
    files(txn, tenant, &mut batch)?;
    subjects(txn, tenant, &mut batch)?;
    for (_, row) in of_tenant::of::<ErasureRow>(txn, tables::ERASURES, id)? {
        for subject in &row.subjects {
            let (blind, row) = subject.parse()?;
            batch.take(row.lookup.0, lookup_context(id, &blind))?;
        }
    }
    for (slot, export) in crate::exports::keys_of(txn, id)? {
        batch.take(slot.0, file_context(tenant, export, false))?;
    }
    batch.end()
}

fn files(txn: &ReadTransaction, tenant: &Arc<Tenant>, batch: &mut Batch<'_>) -> Result<()> {
    let id = tenant.id.as_bytes();
    let table = txn.open_table(tables::FILES).map_err(storage)?;
    let all = (id, 0, 0, 0)..=(id, u64::MAX, u32::MAX, u8::MAX);
    for row in table.range(all).map_err(storage)? {
        let row: FileRow = json(row.map_err(storage)?.1.value())?;
        batch.take(row.slot, file_context(tenant, row.container_id()?, row.is_part()))?;
    }
    Ok(())
}

fn subjects(txn: &ReadTransaction, tenant: &Arc<Tenant>, batch: &mut Batch<'_>) -> Result<()> {
    let damage = |what| Error::damage("catalog", 0, what);
    let id = tenant.id.as_bytes();
    let table = txn.open_table(tables::HANDLES).map_err(storage)?;
    let all = (id, &[0; 16])..=(id, &[0xFF; 16]);
    for row in table.range(all).map_err(storage)? {
        let (key, row) = row.map_err(storage)?;
        let row = HandleRow::parse(row.value()).ok_or_else(|| damage("a row of handles"))?;
        if row.state == HandleState::Live {
            let handle = Handle::from_bytes(*key.value().1);
            batch.take(row.slot.0, subject_context(&tenant.id, &handle))?;
        }
    }
    let table = txn.open_table(tables::DIRECTORY).map_err(storage)?;
    let all = (id, &[0; 32])..=(id, &[0xFF; 32]);
    for row in table.range(all).map_err(storage)? {
        let (key, row) = row.map_err(storage)?;
        let row = DirectoryRow::parse(row.value()).ok_or_else(|| damage("a row of the directory"))?;
        batch.take(row.lookup.0, lookup_context(&tenant.id, key.value().1))?;
    }
    Ok(())
}

struct Batch<'a> {
    places: Vec<Place>,
    work: &'a mut dyn FnMut(&[Place]) -> Result<()>,
}

impl Batch<'_> {
    fn take(&mut self, slot: u64, context: SlotContext) -> Result<()> {
        self.places.push((Slot(slot), context));
        match self.places.len() < PLACES {
            true => Ok(()),
            false => self.end(),
        }
    }

    fn end(&mut self) -> Result<()> {
        if self.places.is_empty() {
            return Ok(());
        }
        let done = (self.work)(&self.places);
        self.places.clear();
        done
    }
}

/// Seals parts of rows anew that are not under the current key: of holds, of requests for approval, and secrets of watches. The caller
/// holds [`Tenant::deciding`] and is alone with the watches.
///
/// # Errors
/// As writes; damage.
pub(super) fn rows(inner: &Inner, update: &Update<'_>, tenant: &Tenant) -> Result<()> {
    crate::forget::holds::seal_again(update, tenant, &*inner.entropy)?;
    crate::forget::approvals::seal_again(update, tenant, &*inner.entropy)?;
    crate::searches::watch::seal_again(update, tenant, &*inner.entropy)
}

/// Keys that are looked at together, and pages that one commit changes at most.
const PLACES: usize = 256;
