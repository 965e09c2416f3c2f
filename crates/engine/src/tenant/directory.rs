//! The directory of data subjects: from (type, id) to a random handle and a key that can be destroyed.
//!
//! A subject is looked up by its blind, a keyed hash, so that the directory's rows name nobody. A new subject gets a
//! handle and a key at once, in memory; the first section of the WAL that uses it carries both; the next flush hangs
//! the key and a lookup key into the tree and writes the rows ([`crate::catalog::directory`]). Until then it must not
//! leave memory.
//!
//! Of somebody who was erased, the handle's row says so. A row or a key that is just not there is damage.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use attestore_keys::{Entropy, Key, Slot, SlotContext, SlotKind, derive, random_array};
use attestore_record::{Handle, SubjectRef, TenantId, commitment};
use hashbrown::HashMap;
use parking_lot::Mutex;
use quick_cache::UnitWeighter;
use quick_cache::sync::Cache;

use super::Tenant;
use crate::catalog::directory::{DirectoryRow, HandleRow, HandleState};
use crate::catalog::{storage, tables};
use crate::{Error, Result};

/// A data subject's handle and key.
pub struct Subject {
    /// The random id that stands for it.
    pub handle: Handle,
    /// Keyed hash of its type and id.
    pub blind: [u8; 32],
    /// Its key.
    pub key: Arc<Key>,
    state: AtomicU8,
}

/// How far a subject's key has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum SubjectState {
    /// In memory only.
    Pending = 0,
    /// In the WAL.
    Logged = 1,
    /// In the catalog.
    Stored = 2,
}

impl Subject {
    pub(crate) fn new(handle: Handle, blind: [u8; 32], key: Key, state: SubjectState) -> Arc<Self> {
        Arc::new(Self {
            handle,
            blind,
            key: Arc::new(key),
            state: AtomicU8::new(state as u8),
        })
    }

    pub(crate) fn is(&self, state: SubjectState) -> bool {
        self.state.load(Ordering::Acquire) == state as u8
    }

    pub(crate) fn set(&self, state: SubjectState) {
        self.state.store(state as u8, Ordering::Release);
    }
}

/// The directory of one tenant.
pub(crate) struct Directory {
    fresh: Mutex<Fresh>,
    cache: Arc<SubjectCache>,
}

/// Subjects that were used lately: one bound over all tenants. Blinds and handles are unique among them, being keyed hashes
/// and random.
pub(crate) struct SubjectCache {
    by_blind: Cache<[u8; 32], Arc<Subject>>,
    by_handle: Cache<Handle, Arc<Key>>,
}

impl Default for SubjectCache {
    fn default() -> Self {
        Self {
            by_blind: Cache::with_weighter(CACHED_AT_FIRST, CACHED_MAX, UnitWeighter),
            by_handle: Cache::with_weighter(CACHED_AT_FIRST, CACHED_MAX, UnitWeighter),
        }
    }
}

/// Subjects that are not in the catalog yet.
#[derive(Default)]
struct Fresh {
    by_blind: HashMap<[u8; 32], Arc<Subject>>,
    by_handle: HashMap<Handle, Arc<Subject>>,
}

impl Directory {
    pub(crate) fn new(cache: &Arc<SubjectCache>) -> Self {
        Self {
            fresh: Mutex::default(),
            cache: Arc::clone(cache),
        }
    }

    /// Finds a subject, or makes it.
    pub(crate) fn resolve(
        &self,
        tenant: &Tenant,
        subject: &SubjectRef,
        entropy: &dyn Entropy,
    ) -> Result<Arc<Subject>> {
        let blind = blind(&tenant.keys.directory, subject);
        let hidden = tenant.hidden.load();
        // Whoever is being erased is nobody any more: what comes now is about a new handle.
        let stays = |found: &Arc<Subject>| !hidden.is_leaving(&found.handle);
        if let Some(found) = self.cache.by_blind.get(&blind).filter(stays) {
            return Ok(found);
        }
        if let Some(found) = self.fresh.lock().by_blind.get(&blind).cloned().filter(stays) {
            return Ok(found);
        }
        if let Some(found) = self.load(tenant, &blind)?.filter(stays) {
            return Ok(found);
        }
        let mut fresh = self.fresh.lock();
        if let Some(found) = fresh
            .by_blind
            .get(&blind)
            .cloned()
            .or_else(|| self.cache.by_blind.get(&blind))
            .filter(stays)
        {
            return Ok(found);
        }
        let handle = Handle::from_bytes(random_array(entropy));
        let subject = Subject::new(handle, blind, Key::random(entropy), SubjectState::Pending);
        fresh.insert(&subject);
        Ok(subject)
    }

    /// Takes up a subject that a section of the WAL carried, unless the catalog knows its handle: then a flush took it over,
    /// and somebody may have been erased since.
    pub(crate) fn recover(&self, tenant: &Tenant, handle: Handle, blind: [u8; 32], key: Key) -> Result<()> {
        if handle_row(tenant, &handle)?.is_some() {
            return Ok(());
        }
        let mut fresh = self.fresh.lock();
        if !fresh.by_handle.contains_key(&handle) {
            fresh.insert(&Subject::new(handle, blind, key, SubjectState::Logged));
        }
        Ok(())
    }

    /// The blind of a subject, and what the catalog keeps under it.
    ///
    /// # Errors
    /// As reads.
    pub(crate) fn look_up(
        &self,
        tenant: &Tenant,
        subject: &SubjectRef,
    ) -> Result<([u8; 32], Option<DirectoryRow>)> {
        let blind = blind(&tenant.keys.directory, subject);
        Ok((blind, directory_row(tenant, &blind)?))
    }

    /// Forgets who is behind a blind: the next event is about whoever the catalog has then.
    pub(crate) fn forget_blind(&self, blind: &[u8; 32]) {
        self.cache.by_blind.remove(blind);
        let mut fresh = self.fresh.lock();
        // A subject that is in the log already stays until a flush has taken it over.
        let pending = |subject: &Arc<Subject>| subject.is(SubjectState::Pending);
        if fresh.by_blind.get(blind).is_some_and(pending)
            && let Some(subject) = fresh.by_blind.remove(blind)
        {
            fresh.by_handle.remove(&subject.handle);
        }
    }

    /// Drops a subject's key from memory.
    pub(crate) fn forget_key(&self, handle: &Handle) {
        self.cache.by_handle.remove(handle);
    }

    /// The subjects that are in the WAL and not in the catalog.
    pub(crate) fn logged(&self) -> Vec<Arc<Subject>> {
        let fresh = self.fresh.lock();
        let mut logged: Vec<_> = fresh
            .by_handle
            .values()
            .filter(|subject| subject.is(SubjectState::Logged))
            .cloned()
            .collect();
        logged.sort_unstable_by_key(|subject| subject.handle);
        logged
    }

    /// Notes that subjects are in the catalog now.
    pub(crate) fn stored(&self, subjects: &[Arc<Subject>]) {
        let mut fresh = self.fresh.lock();
        for subject in subjects {
            subject.set(SubjectState::Stored);
            self.cache.insert(subject);
            fresh.by_blind.remove(&subject.blind);
            fresh.by_handle.remove(&subject.handle);
        }
    }

    /// The key of a set of subjects; `None` when one of them was erased. `handles` ascend.
    pub(crate) fn set_key(&self, tenant: &Tenant, handles: &[Handle]) -> Result<Option<Key>> {
        let mut keys = Vec::with_capacity(handles.len());
        for handle in handles {
            match self.by_handle(tenant, handle)? {
                Some(key) => keys.push(key),
                None => return Ok(None),
            }
        }
        Ok(Some(combined(keys.iter().map(|key| &**key))))
    }

    fn by_handle(&self, tenant: &Tenant, handle: &Handle) -> Result<Option<Arc<Key>>> {
        if tenant.hidden.load().is_destroyed(handle) {
            return Ok(None);
        }
        if let Some(found) = self.cache.by_handle.get(handle) {
            return Ok(Some(found));
        }
        if let Some(found) = self.fresh.lock().by_handle.get(handle) {
            return Ok(Some(Arc::clone(&found.key)));
        }
        for _ in 0..LOOKS {
            let row = handle_row(tenant, handle)?;
            let row = row.ok_or_else(|| damage(tenant, format!("handle {handle} has no row")))?;
            if row.state == HandleState::Destroyed {
                return Ok(None);
            }
            if let Some(key) = key(tenant, row.slot, &subject_context(&tenant.id, handle))? {
                let key = Arc::new(key);
                self.cache.by_handle.insert(*handle, Arc::clone(&key));
                // An erasure forgets the key once it has said that it is destroyed: one of the two sees the other.
                if tenant.hidden.load().is_destroyed(handle) {
                    self.forget_key(handle);
                    return Ok(None);
                }
                return Ok(Some(key));
            }
        }
        Err(damage(
            tenant,
            format!("handle {handle} is live and its key is gone"),
        ))
    }

    fn load(&self, tenant: &Tenant, blind: &[u8; 32]) -> Result<Option<Arc<Subject>>> {
        for _ in 0..LOOKS {
            let Some(row) = directory_row(tenant, blind)? else {
                return Ok(None);
            };
            let Some(lookup) = key(tenant, row.lookup, &lookup_context(&tenant.id, blind))? else {
                continue;
            };
            let opened = row.open(&lookup, &tenant.id, blind);
            let (handle, slot) =
                opened.ok_or_else(|| damage(tenant, "a row of the directory does not open".into()))?;
            if let Some(key) = key(tenant, slot, &subject_context(&tenant.id, &handle))? {
                let subject = Subject::new(handle, *blind, key, SubjectState::Stored);
                self.cache.insert(&subject);
                return Ok(Some(subject));
            }
        }
        Err(damage(tenant, "a key of a row of the directory is gone".into()))
    }
}

impl SubjectCache {
    /// Forgets subjects of a tenant that was destroyed.
    pub(crate) fn forget(&self, blinds: &[[u8; 32]], handles: &[Handle]) {
        for blind in blinds {
            self.by_blind.remove(blind);
        }
        for handle in handles {
            self.by_handle.remove(handle);
        }
    }

    fn insert(&self, subject: &Arc<Subject>) {
        self.by_blind.insert(subject.blind, Arc::clone(subject));
        self.by_handle.insert(subject.handle, Arc::clone(&subject.key));
    }
}

/// A key under the tenant's; `None` when the slot is empty.
fn key(tenant: &Tenant, slot: Slot, context: &SlotContext) -> Result<Option<Key>> {
    match tenant.keys.open(&tenant.catalog, slot, context) {
        Ok(key) => Ok(Some(key)),
        Err(attestore_keys::Error::Destroyed { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What the catalog says of a handle.
pub(crate) fn handle_row(tenant: &Tenant, handle: &Handle) -> Result<Option<HandleRow>> {
    let txn = tenant.catalog.read()?;
    let table = txn.open_table(tables::HANDLES).map_err(storage)?;
    let row = table
        .get((tenant.id.as_bytes(), handle.as_bytes()))
        .map_err(storage)?;
    let parse = |bytes: &[u8]| {
        HandleRow::parse(bytes).ok_or_else(|| damage(tenant, format!("row of handle {handle}")))
    };
    row.map(|row| parse(row.value())).transpose()
}

fn directory_row(tenant: &Tenant, blind: &[u8; 32]) -> Result<Option<DirectoryRow>> {
    let txn = tenant.catalog.read()?;
    let table = txn.open_table(tables::DIRECTORY).map_err(storage)?;
    let row = table.get((tenant.id.as_bytes(), blind)).map_err(storage)?;
    let parse = |bytes: &[u8]| {
        DirectoryRow::parse(bytes).ok_or_else(|| damage(tenant, "row of the directory".into()))
    };
    row.map(|row| parse(row.value())).transpose()
}

fn damage(tenant: &Tenant, what: String) -> Error {
    Error::damage("catalog", 0, format!("tenant {}: {what}", tenant.id))
}

impl Fresh {
    fn insert(&mut self, subject: &Arc<Subject>) {
        self.by_blind.insert(subject.blind, Arc::clone(subject));
        self.by_handle.insert(subject.handle, Arc::clone(subject));
    }
}

/// The key of a set of subjects, which ascend by handle.
pub(crate) fn set_key_of(subjects: &[Arc<Subject>]) -> Key {
    combined(subjects.iter().map(|subject| &*subject.key))
}

fn combined<'a>(keys: impl Iterator<Item = &'a Key>) -> Key {
    let keys: Vec<_> = keys.map(Key::expose).collect();
    Key::from_bytes(commitment::set_key(&keys))
}

/// What a subject's own key is bound to in the tree of keys.
pub(crate) fn subject_context(tenant: &TenantId, handle: &Handle) -> SlotContext {
    SlotContext {
        kind: SlotKind::Subject,
        tenant: *tenant.as_bytes(),
        owner: *handle.as_bytes(),
    }
}

/// What a subject's lookup key is bound to: the first half of its blind.
pub(crate) fn lookup_context(tenant: &TenantId, blind: &[u8; 32]) -> SlotContext {
    let (owner, _) = blind.split_first_chunk::<16>().expect("32 bytes hold 16");
    SlotContext {
        kind: SlotKind::Directory,
        tenant: *tenant.as_bytes(),
        owner: *owner,
    }
}

/// A keyed hash of the subject's type and id.
fn blind(directory: &Key, subject: &SubjectRef) -> [u8; 32] {
    *derive(
        "attestore 2026 subject blind v1",
        &[
            directory.expose(),
            subject.ty.as_bytes(),
            b"\0",
            subject.id.as_bytes(),
        ],
    )
    .expose()
}

/// Subjects that are kept ready, about 300 bytes each. One that is not costs two rows and two wrapped keys.
const CACHED_MAX: u64 = 65_536;
/// Places made for them at first.
const CACHED_AT_FIRST: usize = 1024;
/// A row may go between reading it and taking its key: then it is read once more.
const LOOKS: usize = 2;

#[cfg(test)]
mod tests;
