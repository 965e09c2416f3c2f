//! One change of the catalog: tables, the instance row and the tree of keys, all or nothing.

use attestore_keys::{Key, KeyTree, NewKey, RootProvider, Slot, SlotContext};
use attestore_record::TenantId;
use redb::{ReadableTable, WriteTransaction};
use serde::Serialize;

use super::pages::PagesMut;
use super::rows::{FileRow, InstanceRow, TenantRow, WalRow, hex};
use super::{json, root_page_key_aad, storage, tables};
use crate::{Error, Result};

/// A transaction in the making.
pub struct Update<'a> {
    txn: &'a WriteTransaction,
    tree: &'a mut KeyTree,
    root: &'a dyn RootProvider,
    root_version: u64,
    /// Keys that were taken out of the tree, and keys of pages that were replaced.
    pub(super) destroyed: usize,
    fresh: bool,
    /// The instance row; stored when the update finishes.
    pub instance: InstanceRow,
}

impl<'a> Update<'a> {
    pub(super) fn new(
        txn: &'a WriteTransaction,
        tree: &'a mut KeyTree,
        root: &'a dyn RootProvider,
        instance: InstanceRow,
        fresh: bool,
    ) -> Result<Self> {
        if fresh {
            // Every table exists from the first transaction on, so that readers never meet a missing one.
            txn.open_table(tables::META).map_err(storage)?;
            txn.open_table(tables::TENANTS).map_err(storage)?;
            txn.open_table(tables::TENANT_NAMES).map_err(storage)?;
            txn.open_table(tables::DIRECTORY).map_err(storage)?;
            txn.open_table(tables::HANDLES).map_err(storage)?;
            txn.open_table(tables::FILES).map_err(storage)?;
            txn.open_table(tables::L0).map_err(storage)?;
            txn.open_table(tables::WAL).map_err(storage)?;
            txn.open_table(tables::CREDENTIALS).map_err(storage)?;
        }
        let root_version = tree.root_version();
        Ok(Self {
            txn,
            tree,
            root,
            root_version,
            destroyed: 0,
            fresh,
            instance,
        })
    }

    /// The transaction, for tables that this type has no method for.
    pub fn txn(&self) -> &WriteTransaction {
        self.txn
    }

    /// Reserves `n` consecutive slots.
    pub fn reserve(&mut self, n: u64) -> Slot {
        self.tree.reserve(n)
    }

    /// Reserves a bucket of slots for one tenant's subjects.
    pub fn reserve_bucket(&mut self) -> Slot {
        self.tree.reserve_bucket()
    }

    /// Hangs keys into the tree.
    ///
    /// # Errors
    /// As [`KeyTree::put_many`].
    pub fn put_keys(&mut self, keys: &[NewKey<'_>]) -> Result<()> {
        let mut store = PagesMut(self.txn.open_table(tables::PAGES).map_err(storage)?);
        Ok(self.tree.put_many(&mut store, keys)?)
    }

    /// Reserves a slot and hangs one key into it.
    ///
    /// # Errors
    /// As [`KeyTree::put_many`].
    pub fn put_key(&mut self, context: SlotContext, wrap: Option<&Key>, value: &Key) -> Result<Slot> {
        let slot = self.reserve(1);
        self.put_keys(&[NewKey {
            slot,
            context,
            wrap,
            value,
        }])?;
        Ok(slot)
    }

    /// Takes keys out of the tree; they are out of reach once the root was rotated (`rotation`).
    ///
    /// # Errors
    /// As [`KeyTree::destroy`].
    pub fn destroy_keys(&mut self, slots: &[Slot]) -> Result<usize> {
        let mut store = PagesMut(self.txn.open_table(tables::PAGES).map_err(storage)?);
        let destroyed = self.tree.destroy(&mut store, slots)?;
        self.destroyed += destroyed;
        Ok(destroyed)
    }

    /// Wraps keys under `new` that are wrapped under `old`, and gives their pages fresh keys; returns how many. Older copies of the
    /// pages are out of reach once the root was rotated.
    ///
    /// # Errors
    /// As [`KeyTree::rewrap`].
    pub(crate) fn rewrap_keys(
        &mut self,
        keys: &[(Slot, SlotContext)],
        old: &Key,
        new: &Key,
    ) -> Result<usize> {
        let mut store = PagesMut(self.txn.open_table(tables::PAGES).map_err(storage)?);
        let count = self.tree.rewrap(&mut store, keys, old, new)?;
        self.destroyed += count;
        Ok(count)
    }

    /// Gives the pages of `slots` fresh keys; returns how many pages. Older copies of them are out of reach once the root was rotated.
    ///
    /// # Errors
    /// As [`KeyTree::refresh`].
    pub(crate) fn refresh_pages(&mut self, slots: &[Slot]) -> Result<usize> {
        let mut store = PagesMut(self.txn.open_table(tables::PAGES).map_err(storage)?);
        let count = self.tree.refresh(&mut store, slots)?;
        self.destroyed += count;
        Ok(count)
    }

    /// A tenant's row.
    ///
    /// # Errors
    /// As reads.
    pub fn tenant(&self, id: &TenantId) -> Result<Option<TenantRow>> {
        let table = self.txn.open_table(tables::TENANTS).map_err(storage)?;
        table
            .get(id.as_bytes())
            .map_err(storage)?
            .map(|row| json(row.value()))
            .transpose()
    }

    /// Stores a tenant's row.
    ///
    /// # Errors
    /// As writes.
    pub fn put_tenant(&mut self, id: &TenantId, row: &TenantRow) -> Result<()> {
        let mut table = self.txn.open_table(tables::TENANTS).map_err(storage)?;
        table
            .insert(id.as_bytes(), encode(row)?.as_slice())
            .map_err(storage)?;
        Ok(())
    }

    /// The tenant of that name.
    ///
    /// # Errors
    /// As reads.
    pub fn tenant_named(&self, name: &str) -> Result<Option<TenantId>> {
        let table = self.txn.open_table(tables::TENANT_NAMES).map_err(storage)?;
        Ok(table
            .get(name)
            .map_err(storage)?
            .map(|id| TenantId::from_bytes(*id.value())))
    }

    /// Gives a tenant its name.
    ///
    /// # Errors
    /// As writes.
    pub fn put_tenant_name(&mut self, name: &str, id: &TenantId) -> Result<()> {
        let mut table = self.txn.open_table(tables::TENANT_NAMES).map_err(storage)?;
        table.insert(name, id.as_bytes()).map_err(storage)?;
        Ok(())
    }

    /// Stores a file's row.
    ///
    /// # Errors
    /// As writes.
    pub fn put_file(&mut self, tenant: &TenantId, row: &FileRow) -> Result<()> {
        let mut table = self.txn.open_table(tables::FILES).map_err(storage)?;
        let key = (tenant.as_bytes(), row.set, row.generation, row.ty.byte());
        table.insert(key, encode(row)?.as_slice()).map_err(storage)?;
        Ok(())
    }

    /// Removes a file's row and destroys its key.
    ///
    /// # Errors
    /// As writes.
    pub fn remove_file(&mut self, tenant: &TenantId, row: &FileRow) -> Result<()> {
        let mut table = self.txn.open_table(tables::FILES).map_err(storage)?;
        table
            .remove((tenant.as_bytes(), row.set, row.generation, row.ty.byte()))
            .map_err(storage)?;
        drop(table);
        self.destroy_keys(&[Slot(row.slot)])?;
        Ok(())
    }

    /// As [`Update::remove_file`], for many files of a tenant at once.
    ///
    /// # Errors
    /// As writes.
    pub fn remove_files(&mut self, tenant: &TenantId, rows: &[&FileRow]) -> Result<()> {
        let mut table = self.txn.open_table(tables::FILES).map_err(storage)?;
        for row in rows {
            table
                .remove((tenant.as_bytes(), row.set, row.generation, row.ty.byte()))
                .map_err(storage)?;
        }
        drop(table);
        let slots: Vec<Slot> = rows.iter().map(|row| Slot(row.slot)).collect();
        self.destroy_keys(&slots)?;
        Ok(())
    }

    /// Changes how many parts of an `l0` file are live; returns how many remain, and forgets the file at 0.
    ///
    /// # Errors
    /// As writes; damage when more parts go than there are.
    pub fn add_l0_parts(&mut self, number: u64, change: i64) -> Result<u64> {
        let mut table = self.txn.open_table(tables::L0).map_err(storage)?;
        let before = table.get(number).map_err(storage)?.map_or(0, |live| live.value());
        let after = before
            .checked_add_signed(change)
            .ok_or_else(|| Error::damage("catalog", 0, format!("parts of l0 file {number}")))?;
        if after == 0 {
            table.remove(number).map_err(storage)?;
        } else {
            table.insert(number, after).map_err(storage)?;
        }
        Ok(after)
    }

    /// Stores a WAL file's row.
    ///
    /// # Errors
    /// As writes.
    pub fn put_wal(&mut self, number: u64, row: &WalRow) -> Result<()> {
        let mut table = self.txn.open_table(tables::WAL).map_err(storage)?;
        table.insert(number, encode(row)?.as_slice()).map_err(storage)?;
        Ok(())
    }

    /// Removes the rows of WAL files below `low`, destroys their keys, and notes `low`; returns their numbers.
    ///
    /// # Errors
    /// As writes.
    pub fn free_wal_below(&mut self, low: u64) -> Result<Vec<u64>> {
        let mut table = self.txn.open_table(tables::WAL).map_err(storage)?;
        let mut gone = Vec::new();
        let mut slots = Vec::new();
        for row in table.range(..low).map_err(storage)? {
            let (number, row) = row.map_err(storage)?;
            let row: WalRow = json(row.value())?;
            gone.push(number.value());
            slots.push(Slot(row.key_slot));
        }
        for number in &gone {
            table.remove(number).map_err(storage)?;
        }
        drop(table);
        self.destroy_keys(&slots)?;
        self.instance.wal_low = self.instance.wal_low.max(low);
        Ok(gone)
    }

    pub(super) fn finish(mut self) -> Result<()> {
        let head = self.tree.head();
        self.instance.tree_height = head.height;
        self.instance.tree_next_slot = head.next_slot;
        let generation = self.root.generation();
        let moved =
            self.tree.root_version() != self.root_version || self.instance.root_generation != generation;
        if self.fresh || moved {
            self.instance.root_generation = generation;
            let aad = root_page_key_aad(&self.instance.id);
            let wrapped = self.root.wrap(&aad, self.tree.root_page_key())?;
            self.instance.root_page_key = hex(&wrapped);
        }
        let mut table = self.txn.open_table(tables::META).map_err(storage)?;
        table
            .insert(tables::INSTANCE, encode(&self.instance)?.as_slice())
            .map_err(storage)?;
        Ok(())
    }
}

pub(crate) fn encode(row: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(row).map_err(|error| Error::Io(format!("catalog row: {error}")))
}
