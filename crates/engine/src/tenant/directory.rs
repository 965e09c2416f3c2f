//! The directory of data subjects: from (type, id) to a random handle and a key that can be destroyed.
//!
//! A subject is looked up by its blind, a keyed hash, so that the directory's rows name nobody. A new subject gets a
//! handle and a key at once, in memory; the first section of the WAL that uses it carries both; the next flush hangs
//! the key into the tree and writes the rows. Until then it must not leave memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use attestore_keys::{Entropy, Key, Slot, SlotContext, SlotKind, derive, random_array};
use attestore_record::{Handle, SubjectRef, TenantId, commitment};
use hashbrown::HashMap;
use parking_lot::Mutex;
use quick_cache::sync::Cache;

use super::Tenant;
use crate::catalog::{storage, tables};
use crate::{Error, Result};

/// A data subject's handle and key.
pub struct Subject {
    /// The random id that stands for it.
    pub handle: Handle,
    /// Keyed hash of its type and id.
    pub blind: [u8; 32],
    /// Its key.
    pub key: Key,
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
            key,
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
    by_blind: Cache<[u8; 32], Arc<Subject>>,
    by_handle: Cache<Handle, Arc<Subject>>,
}

/// Subjects that are not in the catalog yet.
#[derive(Default)]
struct Fresh {
    by_blind: HashMap<[u8; 32], Arc<Subject>>,
    by_handle: HashMap<Handle, Arc<Subject>>,
}

impl Directory {
    pub(crate) fn new() -> Self {
        Self {
            fresh: Mutex::default(),
            by_blind: Cache::new(CACHED),
            by_handle: Cache::new(CACHED),
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
        if let Some(found) = self.by_blind.get(&blind) {
            return Ok(found);
        }
        if let Some(found) = self.fresh.lock().by_blind.get(&blind) {
            return Ok(Arc::clone(found));
        }
        if let Some(found) = self.load(tenant, &blind)? {
            return Ok(found);
        }
        let mut fresh = self.fresh.lock();
        if let Some(found) = fresh
            .by_blind
            .get(&blind)
            .cloned()
            .or_else(|| self.by_blind.get(&blind))
        {
            return Ok(found);
        }
        let handle = Handle::from_bytes(random_array(entropy));
        let subject = Subject::new(handle, blind, Key::random(entropy), SubjectState::Pending);
        fresh.insert(&subject);
        Ok(subject)
    }

    /// Takes up a subject that a section of the WAL carried.
    pub(crate) fn recover(&self, handle: Handle, blind: [u8; 32], key: Key) -> Arc<Subject> {
        let mut fresh = self.fresh.lock();
        if let Some(known) = fresh.by_handle.get(&handle) {
            return Arc::clone(known);
        }
        let subject = Subject::new(handle, blind, key, SubjectState::Logged);
        fresh.insert(&subject);
        subject
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
            self.cache(subject);
            fresh.by_blind.remove(&subject.blind);
            fresh.by_handle.remove(&subject.handle);
        }
    }

    /// The key of a set of subjects; `None` when one of their keys was destroyed. `handles` ascend.
    pub(crate) fn set_key(&self, tenant: &Tenant, handles: &[Handle]) -> Result<Option<Key>> {
        let mut subjects = Vec::with_capacity(handles.len());
        for handle in handles {
            match self.by_handle(tenant, handle)? {
                Some(subject) => subjects.push(subject),
                None => return Ok(None),
            }
        }
        Ok(Some(set_key_of(&subjects)))
    }

    fn by_handle(&self, tenant: &Tenant, handle: &Handle) -> Result<Option<Arc<Subject>>> {
        if let Some(found) = self.by_handle.get(handle) {
            return Ok(Some(found));
        }
        if let Some(found) = self.fresh.lock().by_handle.get(handle) {
            return Ok(Some(Arc::clone(found)));
        }
        let row = {
            let table = tenant
                .catalog
                .read()?
                .open_table(tables::HANDLES)
                .map_err(storage)?;
            table
                .get((tenant.id.as_bytes(), handle.as_bytes()))
                .map_err(storage)?
                .map(|row| *row.value())
        };
        let Some(row) = row else { return Ok(None) };
        let (slot, blind) = row.split_first_chunk::<8>().expect("40 bytes hold 8");
        let blind: [u8; 32] = blind.try_into().expect("40 - 8 = 32 bytes");
        self.take(tenant, *handle, blind, Slot(u64::from_le_bytes(*slot)))
    }

    fn load(&self, tenant: &Tenant, blind: &[u8; 32]) -> Result<Option<Arc<Subject>>> {
        let row = {
            let table = tenant
                .catalog
                .read()?
                .open_table(tables::DIRECTORY)
                .map_err(storage)?;
            table
                .get((tenant.id.as_bytes(), blind))
                .map_err(storage)?
                .map(|row| *row.value())
        };
        let Some(row) = row else { return Ok(None) };
        let (handle, slot) = row.split_first_chunk::<16>().expect("24 bytes hold 16");
        let slot: [u8; 8] = slot.try_into().expect("24 - 16 = 8 bytes");
        self.take(
            tenant,
            Handle::from_bytes(*handle),
            *blind,
            Slot(u64::from_le_bytes(slot)),
        )
    }

    fn take(
        &self,
        tenant: &Tenant,
        handle: Handle,
        blind: [u8; 32],
        slot: Slot,
    ) -> Result<Option<Arc<Subject>>> {
        let context = subject_context(&tenant.id, &handle);
        match tenant.catalog.key(slot, &context, Some(&tenant.keys.tenant)) {
            Ok(key) => {
                let subject = Subject::new(handle, blind, key, SubjectState::Stored);
                self.cache(&subject);
                Ok(Some(subject))
            }
            Err(attestore_keys::Error::Destroyed { .. }) => Ok(None),
            Err(error) => Err(Error::from(error)),
        }
    }

    fn cache(&self, subject: &Arc<Subject>) {
        self.by_blind.insert(subject.blind, Arc::clone(subject));
        self.by_handle.insert(subject.handle, Arc::clone(subject));
    }
}

impl Fresh {
    fn insert(&mut self, subject: &Arc<Subject>) {
        self.by_blind.insert(subject.blind, Arc::clone(subject));
        self.by_handle.insert(subject.handle, Arc::clone(subject));
    }
}

/// The key of a set of subjects, which ascend by handle.
pub(crate) fn set_key_of(subjects: &[Arc<Subject>]) -> Key {
    let keys: Vec<_> = subjects.iter().map(|subject| subject.key.expose()).collect();
    Key::from_bytes(commitment::set_key(&keys))
}

/// What a subject's key is bound to in the tree of keys.
pub(crate) fn subject_context(tenant: &TenantId, handle: &Handle) -> SlotContext {
    SlotContext {
        kind: SlotKind::Subject,
        tenant: *tenant.as_bytes(),
        owner: *handle.as_bytes(),
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

const CACHED: usize = 1024;
