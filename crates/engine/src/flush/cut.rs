//! Takes a tenant's tail out for a flush: everything durable now, under salt generations that nothing more is added to.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

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
    /// Subjects whose keys are in the WAL only; some may occur in later records only.
    pub(super) subjects: Vec<Arc<Subject>>,
    /// Bytes of the tail, about.
    pub(super) bytes: u64,
    /// Number of the generation that comes after those of the records.
    pub(super) next_generation: u32,
}

/// Closes the tenant's generation and takes the tail as it is; `None` when it is empty.
pub(super) fn cut(inner: &Inner, tenant: &Arc<Tenant>) -> Option<Cut> {
    let (mut cut, locked) = close(inner, tenant)?;
    metrics::histogram!("attestore_flush_cut_seconds").record(locked.as_secs_f64());
    // Snapshots do not change: what takes time is done when appends go on.
    cut.records = cut.view.tail.iter(cut.seqs.clone()).cloned().collect();
    cut.subjects = tenant.directory.logged();
    Some(cut)
}

/// What has to be done between two frames, and how long it took: what is acknowledged is in the view, and nothing else is in
/// the tree.
fn close(inner: &Inner, tenant: &Arc<Tenant>) -> Option<(Cut, Duration)> {
    let next_key = Generation::fresh(0, &*inner.entropy);
    let _committer = inner.committer.lock();
    let begin = Instant::now();
    let view = tenant.view();
    if view.tail.is_empty() {
        return None;
    }
    let next_generation = tenant.generation.load().number.wrapping_add(1);
    let next = Arc::new(Generation {
        number: next_generation,
        ..next_key
    });
    tenant.generations.write().push(Arc::clone(&next));
    tenant.generation.store(next);
    let core = tenant.core.lock();
    let seqs = view.tail.range();
    let cut = Cut {
        frontier: core.flushed_frontier.clone(),
        bytes: core.tail_bytes,
        records: Vec::new(),
        subjects: Vec::new(),
        next_generation,
        seqs,
        view: Arc::clone(&view),
        tenant: Arc::clone(tenant),
    };
    Some((cut, begin.elapsed()))
}
