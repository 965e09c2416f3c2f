//! Takes a tenant's tail out for a flush: everything durable now, under salt generations that nothing more is added to.

use std::ops::Range;
use std::sync::Arc;

use attestore_tlog::Frontier;

use crate::instance::Inner;
use crate::tenant::{Generation, Subject, TailRecord, Tenant, View};

/// What a flush writes of one tenant.
pub(super) struct Cut {
    pub(super) tenant: Arc<Tenant>,
    pub(super) view: Arc<View>,
    pub(super) seqs: Range<u64>,
    /// The tree's right edge before the first record.
    pub(super) frontier: Frontier,
    pub(super) records: Vec<Arc<TailRecord>>,
    /// Subjects whose keys are in the WAL only.
    pub(super) subjects: Vec<Arc<Subject>>,
    /// Bytes of the tail, about.
    pub(super) bytes: u64,
    /// Number of the generation that comes after those of the records.
    pub(super) next_generation: u32,
    pub(super) next_set: u64,
}

/// Closes the tenant's generation and takes the tail as it is; `None` when it is empty.
pub(super) fn cut(inner: &Inner, tenant: &Arc<Tenant>) -> Option<Cut> {
    // Between two frames: what is acknowledged is in the view, and nothing else is in the tree.
    let _committer = inner.committer.lock();
    let view = tenant.view();
    if view.tail.is_empty() {
        return None;
    }
    let next_generation = tenant.generation.load().number.wrapping_add(1);
    let next = Arc::new(Generation::fresh(next_generation, &*inner.entropy));
    tenant.generations.write().push(Arc::clone(&next));
    tenant.generation.store(next);
    let core = tenant.core.lock();
    let seqs = view.tail.range();
    Some(Cut {
        frontier: core.flushed_frontier.clone(),
        bytes: core.tail_bytes,
        next_set: core.next_set,
        records: view.tail.iter(seqs.clone()).cloned().collect(),
        subjects: tenant.directory.logged(),
        next_generation,
        seqs,
        view: Arc::clone(&view),
        tenant: Arc::clone(tenant),
    })
}
