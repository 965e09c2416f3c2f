//! A tenant in memory: its keys, its directory of subjects, what the committer owns of its log, and what readers see.
//!
//! Tenants are loaded when first used and unloaded when idle. Readers use [`Tenant::view`] only, which never shows a
//! record that is not durable.

mod create;
mod directory;
mod keys;
mod load;
mod registry;
mod tail;
mod view;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use attestore_index::IndexPolicy;
use attestore_record::{HashVersion, PrivacyPolicy, RecordId, TenantId};
use attestore_tlog::Frontier;
use parking_lot::{Mutex, RwLock};

pub use create::TenantInfo;
pub(crate) use create::{InModule, check_name, fresh_origin, new_tenant};
pub use directory::Subject;
pub(crate) use directory::{
    Directory, SubjectCache, SubjectState, handle_row, lookup_context, set_key_of, subject_context,
};
pub use keys::{Generation, Ring, TenantKeys, open_group};
pub(crate) use keys::{class_key, seal_group};
pub(crate) use load::{file_sets, group, own_context, ring};
pub(crate) use registry::Registry;
pub use tail::{Idempotency, Tail, TailGroup, TailRecord};
pub use view::{FileSet, View};

use crate::catalog::Catalog;

/// A tenant.
pub struct Tenant {
    /// Its opaque id.
    pub id: TenantId,
    /// Its name.
    pub name: String,
    /// The origin of its log.
    pub origin: String,
    /// Number of its log's epoch.
    pub epoch: u32,
    /// When it was made, Unix milliseconds.
    pub created_ms: u64,
    /// Its keys.
    pub keys: TenantKeys,
    /// What is personal, and what becomes of values that detectors find. Replaced only under [`Self::deciding`].
    pub(crate) privacy: ArcSwap<PrivacyPolicy>,
    /// The hash function of new entries, as entries name it. Replaced only under [`Self::deciding`].
    pub(crate) hash: AtomicU8,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) directory: Directory,
    /// The salt generation that appends hash under; replaced only under the committer's lock.
    pub(crate) generation: ArcSwap<Generation>,
    /// Generations that records of the tail were hashed under.
    pub(crate) generations: RwLock<Vec<Arc<Generation>>>,
    /// What the committer owns. Locked by one thread at a time: committer, flush and recovery take turns.
    pub(crate) core: Mutex<Core>,
    pub(crate) view: ArcSwap<View>,
    pub(crate) rolled_back: RwLock<Option<String>>,
    /// Whether its log was forked: only a start goes on with it.
    pub(crate) forked: AtomicBool,
    /// When it was last used, boot clock; decides what is unloaded.
    pub(crate) used_ms: AtomicU64,
    /// Who follows its log.
    pub(crate) feed: crate::follow::Feed,
    /// What of its records is indexed.
    pub(crate) index: ArcSwap<IndexPolicy>,
    /// Records that the last start found: those of them that are in the tail are indexed after newer ones.
    pub(crate) recovered: AtomicU64,
    /// One past the last seq, from [`Self::recovered`] on, up to which all are indexed; kept by the tail index.
    pub(crate) indexed: AtomicU64,
    /// Recovered records of the tail that are not indexed yet; kept by the tail index.
    pub(crate) backlog: AtomicU64,
    /// The legal holds in force.
    pub(crate) holds: ArcSwap<crate::forget::holds::Holds>,
    /// The retention rules in force.
    pub(crate) rules: ArcSwap<crate::forget::rules::Rules>,
    /// What was purged or erased whole; replaced under the lock of flushes only.
    pub(crate) gone: ArcSwap<crate::forget::gone::Gone>,
    /// Data subjects that are being erased, or the reading of whose data is restricted.
    pub(crate) hidden: ArcSwap<crate::forget::hidden::Hidden>,
    /// Counts destructions of subjects' keys; changed under the lock of flushes. What was read of records before one is not
    /// committed after it.
    pub(crate) destructions: AtomicU64,
    /// Held while it is decided what of its records may go, until that is durable.
    pub(crate) deciding: Mutex<()>,
    /// Whether any of its records was ever corrected: otherwise nobody looks for corrections.
    pub(crate) corrected: AtomicBool,
    /// Whether it is being destroyed: its log takes nothing more. Set under the committer's lock.
    pub(crate) ending: AtomicBool,
    /// Where its log goes on, if it ended here. Set under the committer's lock.
    pub(crate) moved: ArcSwapOption<crate::moving::Moved>,
    /// Whether it is to be loaded anew: who follows it lets go of it.
    pub(crate) stale: AtomicBool,
    /// Whether it was destroyed: nobody finds it any more, and who had it before finds no keys.
    pub(crate) ended: AtomicBool,
}

/// What the committer owns of a tenant.
pub(crate) struct Core {
    /// The frontier at the flushed count, from which a flush recomputes the nodes to store.
    pub(crate) flushed_frontier: Frontier,
    /// Bytes of the tail, about.
    pub(crate) tail_bytes: u64,
    /// When the oldest record of the tail was committed, boot clock.
    pub(crate) tail_since_ms: Option<u64>,
    /// From which seq on records are in which WAL file, ascending in both.
    pub(crate) wal_runs: VecDeque<(u64, u64)>,
    /// Counts flushes.
    pub(crate) round: u64,
    /// Idempotency keys of the tail and of what the last flush took out of it.
    pub(crate) known: crate::idempotency::Known,
    /// Number of the next segment.
    pub(crate) next_set: u64,
}

impl Tenant {
    /// The newest durable state.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Why appends are refused since the data is older than what was once signed; `None` normally.
    pub fn rolled_back(&self) -> Option<String> {
        self.rolled_back.read().clone()
    }

    /// The hash function of new entries.
    pub fn hash_version(&self) -> HashVersion {
        HashVersion::from_byte(self.hash.load(Ordering::Relaxed)).unwrap_or_default()
    }

    /// Whether it was destroyed since it was loaded.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Whether its log ended here, since it moves to another server.
    pub(crate) fn is_moved(&self) -> bool {
        self.moved.load().is_some()
    }

    /// Refuses what would have to be in its log where that ended, since it moves to another server.
    ///
    /// # Errors
    /// [`crate::Error::Conflict`] `tenant_moved`, with where it goes on.
    pub(crate) fn check_open(&self) -> crate::Result<()> {
        self.moved
            .load()
            .as_ref()
            .map_or(Ok(()), |moved| Err(moved.error()))
    }

    /// As [`Self::check_open`], for records: the server's own last ones come while it is being closed.
    pub(crate) fn admits(&self, internal: bool) -> crate::Result<()> {
        match &*self.moved.load() {
            Some(moved) if !(internal && moved.closing) => Err(moved.error()),
            _ => Ok(()),
        }
    }

    /// Whether its log was forked since the start.
    pub(crate) fn is_forked(&self) -> bool {
        self.forked.load(Ordering::Acquire)
    }

    /// The salt key of a generation and class, for records in the tail.
    pub fn salt_key(&self, generation: u32, class: u16) -> Option<attestore_keys::Key> {
        let known = self.generations.read();
        let found = known.iter().find(|known| known.number == generation)?;
        Some(class_key(&found.key, class))
    }

    /// Opens the personal groups of a record in the tail: bytes, or `None` where a subject's key was destroyed.
    ///
    /// # Errors
    /// Damage, or what the catalog says.
    pub fn open_groups(&self, record: &TailRecord) -> crate::Result<Vec<Option<Vec<u8>>>> {
        record
            .groups
            .iter()
            .map(|group| match self.set_key(&group.handles)? {
                None => Ok(None),
                Some(key) => self.open_group(&key, &record.id, group).map(Some),
            })
            .collect()
    }

    /// Opens one personal group of a record in the tail under its set key.
    ///
    /// # Errors
    /// Damage.
    pub fn open_group(
        &self,
        set_key: &attestore_keys::Key,
        id: &RecordId,
        group: &TailGroup,
    ) -> crate::Result<Vec<u8>> {
        open_group(set_key, &self.id, id, &group.sealed)
            .ok_or_else(|| crate::Error::damage("wal", 0, format!("personal group of record {id}")))
    }

    /// The key of a set of subjects; `None` when one of their keys was destroyed.
    ///
    /// # Errors
    /// What the catalog says.
    pub fn set_key(
        &self,
        handles: &[attestore_record::Handle],
    ) -> crate::Result<Option<attestore_keys::Key>> {
        self.directory.set_key(self, handles)
    }

    /// Takes numbers for new segments. They are not given out again, whatever becomes of the segments.
    pub(crate) fn next_sets(&self, count: usize) -> std::ops::Range<u64> {
        let mut core = self.core.lock();
        let first = core.next_set;
        core.next_set = first.saturating_add(count as u64);
        first..core.next_set
    }

    /// The tenant's directory, relative to the data directory.
    pub fn dir(&self) -> std::path::PathBuf {
        std::path::Path::new("tenants").join(self.id.to_string())
    }

    /// How many records that were appended since the start are not indexed yet: what appends are pushed back for.
    pub fn index_lag(&self) -> u64 {
        let view = self.view.load();
        let known = self
            .indexed
            .load(Ordering::Acquire)
            .max(self.recovered.load(Ordering::Acquire));
        view.size.saturating_sub(known.max(view.tail.start()))
    }

    /// How many recovered records of the tail are not indexed yet. Searches wait for them, appends do not.
    pub fn index_backlog(&self) -> u64 {
        self.backlog.load(Ordering::Acquire)
    }

    /// What of its records is indexed.
    pub fn index_policy(&self) -> Arc<IndexPolicy> {
        self.index.load_full()
    }

    /// What is personal.
    pub fn privacy_policy(&self) -> Arc<PrivacyPolicy> {
        self.privacy.load_full()
    }

    pub(crate) fn touch(&self, boot_ms: u64) {
        self.used_ms.store(boot_ms, Ordering::Relaxed);
    }
}
