//! The catalog: what exists, and under which keys. An embedded transactional store over [`attestore_disk::Disk`].
//!
//! One update is one durable transaction that covers the tree of key pages too. Readers work on the last committed
//! state. Once a commit failed nothing is known about the medium: the catalog is poisoned and refuses everything but
//! reads until the instance is opened anew.

pub(crate) mod by_tenant;
pub(crate) mod directory;
pub(crate) mod of_tenant;
mod pages;
mod rows;
pub mod storage;
pub(crate) mod tables;
pub(crate) mod tenant_rows;
mod update;

use std::io;
use std::ops::Bound;
use std::sync::Arc;

use attestore_disk::Disk;
use attestore_keys::{Entropy, Key, KeyTree, RootProvider, Slot, SlotContext, TreeHead};
use attestore_record::TenantId;
use parking_lot::{Mutex, RwLock};
use redb::{Database, ReadTransaction, ReadableDatabase};
use serde::de::DeserializeOwned;
use storage::SealedStorage;

pub use rows::{
    FileRow, FileType, InstanceRow, SplitRow, TenantRow, WalPosition, WalRow, hex, unhex, unhex_vec,
};
pub use update::Update;
pub(crate) use update::encode;

use crate::handover::ModuleKeys;
use crate::tenant::SubjectCache;
use crate::{Error, OpenError, Result};

/// The catalog of an instance.
pub struct Catalog {
    /// `None` once it is closed.
    db: RwLock<Option<Database>>,
    sealed: SealedStorage,
    entropy: Arc<dyn Entropy>,
    root: Arc<dyn RootProvider>,
    state: Mutex<State>,
    modules: ModuleKeys,
    /// Data subjects that were used lately, of all tenants.
    pub(crate) subjects: Arc<SubjectCache>,
}

/// The last committed state, with what opens its tree of keys.
pub(crate) struct Snapshot {
    pub(crate) txn: ReadTransaction,
    pub(crate) instance: InstanceRow,
    pub(crate) root_page_key: Key,
}

struct State {
    tree: Option<KeyTree>,
    poisoned: Option<String>,
    /// Counts committed changes that took keys out of the tree. Begins at 1: what was destroyed before the start is not known.
    destructions: u64,
}

impl Catalog {
    /// Opens or makes the store. Until [`Catalog::create`] or [`Catalog::load`] was called there are no keys.
    ///
    /// # Errors
    /// Damage, keys, or what the system says.
    pub fn open(
        disk: &Arc<dyn Disk>,
        root: Arc<dyn RootProvider>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, OpenError> {
        let sealed = if SealedStorage::exists(&**disk)? {
            SealedStorage::open(disk, &*root, Arc::clone(&entropy))
        } else {
            SealedStorage::create(disk, &*root, Arc::clone(&entropy))
        };
        let sealed = sealed.map_err(|error| match error {
            storage::Error::Key(error) => error.into(),
            storage::Error::Damage(damage) => OpenError::from(Error::from(damage)),
            storage::Error::Io(error) => OpenError::Io(error),
        })?;
        let db = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(sealed.clone())
            .map_err(database)?;
        let state = Mutex::new(State {
            tree: None,
            poisoned: None,
            destructions: 1,
        });
        let modules = ModuleKeys::new(root.signing());
        Ok(Self {
            modules,
            db: RwLock::new(Some(db)),
            sealed,
            entropy,
            root,
            state,
            subjects: Arc::default(),
        })
    }

    /// Signing keys in the security module that holds the root.
    pub(crate) fn modules(&self) -> &ModuleKeys {
        &self.modules
    }

    /// The sealed file below.
    pub fn sealed(&self) -> &SealedStorage {
        &self.sealed
    }

    /// The instance row; `None` when the instance was never made.
    ///
    /// # Errors
    /// As reads.
    pub fn instance(&self) -> Result<Option<InstanceRow>> {
        let txn = self.read()?;
        match txn.open_table(tables::META) {
            Ok(table) => table
                .get(tables::INSTANCE)
                .map_err(storage)?
                .map(|row| json(row.value()))
                .transpose(),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(storage(error)),
        }
    }

    /// Makes the instance: an empty tree of keys, the given row, and what `fill` adds, in one transaction.
    ///
    /// # Errors
    /// As [`Catalog::update`].
    pub fn create<T>(&self, row: InstanceRow, fill: impl FnOnce(&mut Update<'_>) -> Result<T>) -> Result<T> {
        let mut state = self.state.lock();
        let txn = self.begin()?;
        let mut store = pages::PagesMut(txn.open_table(tables::PAGES).map_err(storage)?);
        let mut tree = KeyTree::create(self.entropy.clone(), &mut store)?;
        drop(store);
        let mut update = Update::new(&txn, &mut tree, self.root.as_ref(), row, true)?;
        let value = fill(&mut update)?;
        update.finish()?;
        self.commit(&mut state, txn)?;
        state.tree = Some(tree);
        Ok(value)
    }

    /// Takes up the tree of keys of an instance that was made before.
    ///
    /// # Errors
    /// A missing or wrong root key, or damage.
    pub fn load(&self) -> Result<InstanceRow, OpenError> {
        let row = self
            .instance()?
            .ok_or_else(|| OpenError::damage("catalog", 0, "no instance row"))?;
        let wrapped = unhex_vec(&row.root_page_key)
            .ok_or_else(|| OpenError::damage("catalog", 0, "root page key is not hex"))?;
        let key = self
            .root
            .unwrap(row.root_generation, &root_page_key_aad(&row.id), &wrapped)?;
        let head = TreeHead {
            height: row.tree_height,
            next_slot: row.tree_next_slot,
        };
        self.state.lock().tree = Some(KeyTree::load(key, head, self.entropy.clone()));
        Ok(row)
    }

    /// Names and ids of tenants by name, from the one after `after` on.
    ///
    /// # Errors
    /// As reads.
    pub(crate) fn tenant_names(&self, after: Option<&str>, limit: usize) -> Result<Vec<(String, TenantId)>> {
        let table = self.read()?.open_table(tables::TENANT_NAMES).map_err(storage)?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = table.range::<&str>((from, Bound::Unbounded)).map_err(storage)?;
        rows.take(limit)
            .map(|row| {
                let (name, id) = row.map_err(storage)?;
                Ok((name.value().to_owned(), TenantId::from_bytes(*id.value())))
            })
            .collect()
    }

    /// Whether a subject of the tenant was erased.
    ///
    /// # Errors
    /// As reads; damage.
    pub(crate) fn has_erasures(&self, tenant: &TenantId) -> Result<bool> {
        let table = self.read()?.open_table(tables::HANDLES).map_err(storage)?;
        let all = (tenant.as_bytes(), &[0; 16])..=(tenant.as_bytes(), &[0xFF; 16]);
        for row in table.range(all).map_err(storage)? {
            let (_, row) = row.map_err(storage)?;
            let row = directory::HandleRow::parse(row.value());
            let row = row.ok_or_else(|| Error::damage("catalog", 0, "a row of handles"))?;
            if row.state == directory::HandleState::Destroyed {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a row names that file.
    ///
    /// # Errors
    /// As reads.
    pub(crate) fn has_file(&self, tenant: &TenantId, row: &FileRow) -> Result<bool> {
        let table = self.read()?.open_table(tables::FILES).map_err(storage)?;
        let key = (tenant.as_bytes(), row.set, row.generation, row.ty.byte());
        Ok(table.get(key).map_err(storage)?.is_some())
    }

    /// Begins reading the last committed state.
    ///
    /// # Errors
    /// What the store says.
    pub fn read(&self) -> Result<ReadTransaction> {
        let db = self.db.read();
        let db = db.as_ref().ok_or_else(closed)?;
        db.begin_read().map_err(storage)
    }

    /// Takes the last committed state.
    ///
    /// # Errors
    /// As reads; [`Error::Stopped`] when the tree of keys is not loaded.
    pub(crate) fn snapshot(&self) -> Result<Snapshot> {
        // Under the lock nothing is committed: rows, pages and the key of the root page are of one moment.
        let state = self.state.lock();
        let tree = state
            .tree
            .as_ref()
            .ok_or_else(|| Error::Stopped("the catalog is not loaded".into()))?;
        let instance = self
            .instance()?
            .ok_or_else(|| Error::damage("catalog", 0, "no instance row"))?;
        Ok(Snapshot {
            txn: self.read()?,
            instance,
            root_page_key: tree.root_page_key().duplicate(),
        })
    }

    /// Writes rows into a catalog that has no instance yet, in one transaction: a restore fills it with as many as it takes.
    ///
    /// # Errors
    /// As writes.
    pub(crate) fn fill(&self, rows: impl FnOnce(&redb::WriteTransaction) -> Result<()>) -> Result<()> {
        let mut state = self.state.lock();
        let txn = self.begin()?;
        rows(&txn)?;
        self.commit(&mut state, txn)
    }

    /// Takes up the tree of keys of rows that were filled in, and wraps the key of its root page under today's root.
    ///
    /// # Errors
    /// As [`Catalog::update`].
    pub(crate) fn adopt(&self, root_page_key: Key) -> Result<()> {
        let row = self
            .instance()?
            .ok_or_else(|| Error::damage("catalog", 0, "no instance row"))?;
        let head = TreeHead {
            height: row.tree_height,
            next_slot: row.tree_next_slot,
        };
        self.state.lock().tree = Some(KeyTree::load(root_page_key, head, self.entropy.clone()));
        self.update::<_, Error>(|update| {
            // No generation of today's wrapped it.
            update.instance.root_generation = 0;
            Ok(())
        })
    }

    /// Takes a key out of the tree.
    ///
    /// # Errors
    /// As [`KeyTree::get`].
    pub fn key(
        &self,
        slot: Slot,
        context: &SlotContext,
        wrap: Option<&Key>,
    ) -> Result<Key, attestore_keys::Error> {
        let state = self.state.lock();
        // The snapshot is taken under the lock: the tree must not be newer than the pages.
        let pages = self
            .read()
            .and_then(|txn| txn.open_table(tables::PAGES).map_err(storage));
        let pages = pages.map_err(io::Error::other)?;
        let tree = state
            .tree
            .as_ref()
            .ok_or_else(|| io::Error::other("the catalog is not loaded"))?;
        tree.get(&pages::Pages(pages), slot, context, wrap)
    }

    /// Which of `keys` are not wrapped under `wrap`. Slots that are empty are not among them.
    ///
    /// # Errors
    /// As [`KeyTree::not_under`].
    pub(crate) fn not_under(
        &self,
        keys: &[(Slot, SlotContext)],
        wrap: &Key,
    ) -> Result<Vec<(Slot, SlotContext)>> {
        let state = self.state.lock();
        let pages = self.read()?.open_table(tables::PAGES).map_err(storage)?;
        let tree = state
            .tree
            .as_ref()
            .ok_or_else(|| Error::Stopped("the catalog is not loaded".into()))?;
        Ok(tree.not_under(&pages::Pages(pages), keys, wrap)?)
    }

    /// Reserves `n` consecutive slots for keys that a later update hangs into the tree. They are not given out again.
    pub fn reserve(&self, n: u64) -> Slot {
        let mut state = self.state.lock();
        state.tree.as_mut().map_or(Slot(u64::MAX), |tree| tree.reserve(n))
    }

    /// Runs `change` in one transaction and makes it durable. When `change` fails nothing happened; when the commit
    /// fails the catalog is poisoned.
    ///
    /// # Errors
    /// What `change` returns, [`Error::Stopped`] when poisoned, or what the store says.
    pub fn update<T, E: From<Error>>(
        &self,
        change: impl FnOnce(&mut Update<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut state = self.state.lock();
        if let Some(reason) = &state.poisoned {
            return Err(Error::Stopped(reason.clone()).into());
        }
        let row = self
            .instance()?
            .ok_or_else(|| Error::damage("catalog", 0, "no instance row"))?;
        let mut tree = state
            .tree
            .take()
            .ok_or_else(|| Error::Stopped("the catalog is not loaded".into()))?;
        let mark = tree.mark();
        let result = self.change(&mut tree, row, change);
        let result = match result {
            Ok((txn, destroyed, value)) => {
                let committed = self.commit(&mut state, txn);
                state.destructions += u64::from(destroyed > 0 && committed.is_ok());
                committed.map(|()| value).map_err(E::from)
            }
            Err(error) => Err(error),
        };
        if result.is_err() {
            tree.rewind(mark);
        }
        state.tree = Some(tree);
        result
    }

    /// Closes the store after the change under way, if there is one: whoever still has this catalog neither reads nor writes.
    pub(crate) fn close(&self) {
        let _state = self.state.lock();
        if let Some(db) = self.db.write().take()
            && let Err(error) = db.close()
        {
            tracing::warn!(%error, "the catalog was not closed cleanly; the next start looks through it");
        }
    }

    /// Opens every page of the tree of keys.
    ///
    /// # Errors
    /// What the store says.
    pub fn verify_keys(&self) -> Result<attestore_keys::TreeReport> {
        let state = self.state.lock();
        let pages = self.read()?.open_table(tables::PAGES).map_err(storage)?;
        let tree = state
            .tree
            .as_ref()
            .ok_or_else(|| Error::Stopped("the catalog is not loaded".into()))?;
        Ok(tree.verify(&pages::Pages(pages))?)
    }

    /// Counts committed changes that destroyed keys, from 1 on.
    pub(crate) fn destructions(&self) -> u64 {
        self.state.lock().destructions
    }

    /// Whether a commit failed, and how.
    pub fn poisoned(&self) -> Option<String> {
        self.state.lock().poisoned.clone()
    }

    fn change<T, E: From<Error>>(
        &self,
        tree: &mut KeyTree,
        row: InstanceRow,
        change: impl FnOnce(&mut Update<'_>) -> Result<T, E>,
    ) -> Result<(redb::WriteTransaction, usize, T), E> {
        let txn = self.begin()?;
        let mut update = Update::new(&txn, tree, self.root.as_ref(), row, false)?;
        let value = change(&mut update)?;
        let destroyed = update.destroyed;
        update.finish()?;
        Ok((txn, destroyed, value))
    }

    fn begin(&self) -> Result<redb::WriteTransaction> {
        let db = self.db.read();
        let db = db.as_ref().ok_or_else(closed)?;
        db.begin_write().map_err(storage)
    }

    fn commit(&self, state: &mut State, txn: redb::WriteTransaction) -> Result<()> {
        txn.commit().map_err(|error| {
            let reason = format!("catalog commit: {error}");
            state.poisoned = Some(reason.clone());
            Error::Stopped(reason)
        })
    }
}

/// Decodes a JSON row.
///
/// # Errors
/// Damage.
pub(crate) fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| Error::damage("catalog", 0, format!("row: {error}")))
}

/// Maps any failure of the store.
pub(crate) fn storage(error: impl Into<redb::Error>) -> Error {
    match error.into() {
        redb::Error::Corrupted(reason) => Error::damage("catalog", 0, reason),
        redb::Error::Io(error) => sealed(error),
        redb::Error::DatabaseClosed => closed(),
        other => Error::Io(format!("catalog: {other}")),
    }
}

fn closed() -> Error {
    Error::Stopped("the catalog is closed".to_owned())
}

/// Damage of a block comes through the store as an input/output error.
fn sealed(error: io::Error) -> Error {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<storage::Damage>())
    {
        Some(damage) => damage.clone().into(),
        None => Error::Io(format!("catalog: {error}")),
    }
}

impl From<storage::Damage> for Error {
    fn from(damage: storage::Damage) -> Self {
        Self::Damage {
            path: damage.path,
            offset: damage.offset,
            reason: damage.reason,
        }
    }
}

fn database(error: redb::DatabaseError) -> OpenError {
    match error {
        redb::DatabaseError::DatabaseAlreadyOpen => OpenError::InUse,
        other => storage(other).into(),
    }
}

/// What the wrapped root page key is bound to: its use, and the instance's id as its row has it.
fn root_page_key_aad(instance: &str) -> Vec<u8> {
    [ROOT_PAGE_KEY_AAD, instance.as_bytes()].concat()
}

const ROOT_PAGE_KEY_AAD: &[u8] = b"attestore root page key v1";
const CACHE_BYTES: usize = 16 << 20;

#[cfg(test)]
mod tests;
