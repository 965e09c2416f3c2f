//! Search: one query over sealed splits, the tail, and what is not indexed yet, as one consistent snapshot.
//!
//! | records | index |
//! |---|---|
//! | in segments with an `.idx` | the sealed split, read range by range through a bounded cache |
//! | in parts of `l0` files | a split in memory, built when first asked for |
//! | in segments without a split that can be used | none: they are scanned until it is built again |
//! | in the tail | splits in memory, built by a background thread, and by the query itself for the newest |
//!
//! So whatever was acknowledged is found by the very next search. Counts are exact. Who does not see personal fields
//! searches the public twin fields only.
//!
//! There is one executor: the index. Records that no split covers, and those of splits that lack what a query needs, are
//! *scanned*: candidates are found with a wider query as far as that is possible, read, indexed into a throw-away split under
//! what the query needs, and asked there. How many one search may scan is bounded, and the answer says that it scanned.

use std::sync::{Arc, Weak, atomic::Ordering};
use std::time::Duration;

use attestore_index::{Cache, DocInput, Split, SplitBuilder};
use attestore_record::{TenantId, view};
use hashbrown::HashMap;
use parking_lot::Mutex;
use quick_cache::sync::Cache as QuickCache;

use crate::{
    error::{Error, Result},
    instance::Inner,
    read::records::{self, Record},
    tenant::Tenant,
};

mod after;
mod compacted;
pub mod cursor;
mod execute;
mod follow;
mod gather;
mod highlight;
mod loose;
mod plan;
mod policy;
pub(crate) mod rebuild;
mod request;
mod scan;
mod sealed;
mod tail;
pub(crate) mod wake;

pub use attestore_index::{
    AMONG_MAX, Condition, Edge, FieldHolds, FieldInfo, IndexPolicy, Order, Part, PersonalIndex, SortKey,
    TextIndex, Words, fields, find_field, find_path, time_span,
};
pub(crate) use compacted::compacted;
pub(crate) use execute::check_request;
pub(crate) use follow::{Filter, follow};
pub use policy::IndexStatus;
pub(crate) use policy::split_row;
pub use request::{Explain, Highlight, PAGE_MAX, Phases, SearchPage, SearchRequest, TreeSize};
pub(crate) use sealed::contents as split_contents;
pub(crate) use tail::split_for;

use tail::TailIndex;
use wake::Wake;

/// What searches of one instance share.
pub struct Search {
    indexing: bool,
    cache: Cache,
    tails: Mutex<HashMap<TenantId, Arc<TailIndex>>>,
    sealed: QuickCache<sealed::SetKey, Split>,
    loose: QuickCache<TenantId, Arc<loose::Loose>, loose::Weight>,
    dirty: Mutex<HashMap<TenantId, Arc<Tenant>>>,
    wake: Arc<Wake>,
    /// What is to be built again.
    pub(crate) rebuilds: rebuild::Rebuilds,
    /// One change of a policy at a time.
    policies: Mutex<()>,
}

impl Search {
    /// Makes an empty one. Without `indexing`, the background thread does nothing, and searches index what they need.
    pub fn new(index_cache_bytes: u64, indexing: bool) -> Self {
        Self {
            indexing,
            cache: Cache::new(index_cache_bytes),
            tails: Mutex::default(),
            sealed: QuickCache::new(SEALED_MAX),
            loose: QuickCache::with_weighter(1024, LOOSE_BYTES_MAX, loose::Weight),
            dirty: Mutex::default(),
            wake: Arc::default(),
            rebuilds: rebuild::Rebuilds::default(),
            policies: Mutex::default(),
        }
    }

    /// Notes that a tenant has new records. Cheap: called by the committer.
    pub(crate) fn published(&self, tenant: &Arc<Tenant>) {
        if !self.indexing {
            return;
        }
        {
            let mut dirty = self.dirty.lock();
            if !dirty.contains_key(&tenant.id) {
                dirty.insert(tenant.id, Arc::clone(tenant));
            }
        }
        if tenant.index_lag() >= BATCH_RECORDS {
            self.wake.notify();
        }
    }

    /// Notes that a start has found a tenant's tail: what is in it is indexed after newer records, and holds up no appends.
    pub(crate) fn recovered(&self, tenant: &Tenant) {
        let view = tenant.view();
        tenant.recovered.store(view.size, Ordering::Release);
        if self.indexing {
            tenant.backlog.store(view.tail.len(), Ordering::Release);
        }
    }

    /// What the background thread waits on.
    pub(crate) fn wake(&self) -> Arc<Wake> {
        Arc::clone(&self.wake)
    }

    /// Tells the background threads to end.
    pub(crate) fn stop(&self) {
        self.wake.stop();
        self.rebuilds.wake().stop();
    }

    /// Forgets the splits over what a flush took out of the tail.
    pub(crate) fn flushed(&self, tenant: &Tenant) {
        let start = tenant.view.load().tail.start();
        let index = self.tails.lock().get(&tenant.id).cloned();
        if index.is_some_and(|index| index.prune(tenant, start)) {
            // Who extends it meanwhile makes a split that is made again when it is next wanted.
            self.tails.lock().remove(&tenant.id);
        }
    }

    /// Forgets what is held in memory of a tenant that is unloaded.
    pub(crate) fn forget(&self, tenant: &TenantId) {
        self.dirty.lock().remove(tenant);
        self.tails.lock().remove(tenant);
        self.loose.remove(tenant);
    }

    /// Forgets everything of a tenant that was destroyed.
    pub(crate) fn ended(&self, tenant: &TenantId, name: &str) {
        self.forget(tenant);
        self.sealed.retain(|(of, _, _), _| of != tenant);
        self.rebuilds.forget(tenant, name);
    }

    /// Forgets splits over parts of a tenant, of whose records somebody was erased.
    pub(crate) fn erased(&self, tenant: &TenantId) {
        self.loose.remove(tenant);
    }

    fn tail(&self, tenant: &Tenant) -> Arc<TailIndex> {
        Arc::clone(self.tails.lock().entry(tenant.id).or_default())
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Indexes tails as they grow, until it is told to stop or the instance is gone.
pub(crate) fn run(inner: Weak<Inner>, wake: Arc<Wake>) {
    while !wake.wait(TICK) {
        let Some(inner) = inner.upgrade() else { return };
        advance(&inner, &|| wake.is_stopped());
    }
}

/// Indexes what came since it was last done.
pub(crate) fn advance(inner: &Inner, stop: &dyn Fn() -> bool) {
    let dirty = std::mem::take(&mut *inner.search.dirty.lock());
    for tenant in dirty.into_values() {
        // What fails here fails in the query that needs it, where somebody is told.
        if let Err(error) = tail::advance(inner, &tenant, stop) {
            tracing::warn!(tenant = %tenant.id, %error, "tail was not indexed");
        }
    }
}

/// Begins a split under a policy.
fn builder(policy: &IndexPolicy) -> Result<SplitBuilder> {
    SplitBuilder::new(policy).map_err(index_error)
}

/// Adds a record to a split in the making.
fn add(builder: &mut SplitBuilder, record: &Record, received_ms: u64) -> Result<()> {
    let personal = record.personal_bytes();
    let fields =
        view::fields(&record.public, &personal).map_err(|error| records::malformed(record.seq, &error))?;
    let input = DocInput {
        seq: record.seq,
        received_ms,
        class: record.class,
        public: &fields.public,
        personal: &fields.personal,
    };
    builder.add(&input).map_err(index_error)
}

/// Turns a failure of the index into this crate's error.
/// Visits everything that the plain bytes of an `.idx` hold.
///
/// # Errors
/// When they are no split that this program reads.
pub(crate) fn expose(bundle: Vec<u8>, visit: &mut dyn FnMut(&[u8])) -> Result<()> {
    let split = Split::open_bytes(bundle).map_err(index_error)?;
    split.expose(visit).map_err(index_error)
}

fn index_error(error: attestore_index::Error) -> Error {
    use attestore_index::Error as Index;
    match error {
        Index::Stopped => Error::Deadline,
        Index::TooBroad { .. } => too_costly("too_broad", &error),
        Index::TooManyBuckets { .. } => too_costly("too_many_buckets", &error),
        Index::BeyondBuckets { .. } => too_costly("beyond_buckets", &error),
        Index::TooMuchMemory { .. } => too_costly("too_much_memory", &error),
        other => Error::Io(format!("index: {other}")),
    }
}

/// A good question whose answer would take more than one search may.
fn too_costly(code: &'static str, error: &attestore_index::Error) -> Error {
    Error::Invalid {
        code,
        message: error.to_string(),
    }
}

/// How long records may wait for the background thread; queries do not wait for it. Making and merging a split costs
/// milliseconds, however few its records are.
const TICK: Duration = Duration::from_millis(500);
/// Fewer records than this are left to the query that wants them: a split of a handful costs more than it saves, above all
/// where thousands of tenants have a handful each.
const BACKGROUND_RECORDS_MIN: u64 = 64;
/// Most records in one split of the tail, before merging: queries wait until one is made.
const BATCH_RECORDS: u64 = 2048;
/// Sealed splits that are kept open: each is a descriptor.
const SEALED_MAX: usize = 256;
/// Memory for splits over `l0` parts and over segments without a usable split.
const LOOSE_BYTES_MAX: u64 = 256 << 20;
