//! Splits in memory over parts of `l0` files, which have none of their own: small tails of tenants that write little.
//!
//! Kept per tenant and extended as parts come; made anew when one of the parts is gone or the tenant's policy changed.
//! Bounded over all tenants; a tenant's own share is bounded by how many records its parts may hold.

use std::{ops::Range, sync::Arc};

use attestore_index::{IndexPolicy, Split, merge};
use quick_cache::Weighter;

use super::{add, builder, index_error, tail::Part};
use crate::{
    error::Result,
    forget::gone::Gone,
    instance::Inner,
    read::{
        records::{self, Record},
        tree,
    },
    tenant::{FileSet, Tenant, View},
};

/// The splits over a tenant's parts.
pub(super) struct Loose {
    /// What was gone when they were made.
    gone: Arc<Gone>,
    /// (segment, generation), in the order they were added.
    sets: Vec<(u64, u32)>,
    parts: Arc<Vec<Part>>,
    bytes: u64,
}

#[derive(Clone)]
pub(super) struct Weight;

impl Weighter<attestore_record::TenantId, Arc<Loose>> for Weight {
    fn weight(&self, _: &attestore_record::TenantId, held: &Arc<Loose>) -> u64 {
        held.bytes + 256
    }
}

/// Returns parts over exactly the records of `sets`, which ascend by first seq.
///
/// # Errors
/// Why they cannot be read or indexed.
pub(super) fn covering(
    inner: &Inner,
    tenant: &Tenant,
    view: &View,
    sets: &[Arc<FileSet>],
) -> Result<Arc<Vec<Part>>> {
    if sets.is_empty() {
        return Ok(Arc::default());
    }
    let policy = tenant.index_policy();
    let wanted: Vec<(u64, u32)> = sets.iter().map(|set| (set.set, set.seg.generation)).collect();
    let gone = tenant.gone.load_full();
    let held = inner.search.loose.get(&tenant.id).filter(|held| {
        let same_policy = |part: &Part| *part.split.policy() == *policy;
        Arc::ptr_eq(&held.gone, &gone) && wanted.starts_with(&held.sets) && held.parts.iter().all(same_policy)
    });
    let (done, mut parts) = held.map_or((0, Vec::new()), |held| (held.sets.len(), held.parts.to_vec()));
    let rest = sets.get(done..).unwrap_or_default();
    if rest.is_empty() {
        return Ok(Arc::new(parts));
    }
    let records = read(inner, tenant, &gone, rest, 0..u64::MAX)?;
    if let (Some(first), Some(last)) = (records.first(), records.last()) {
        let seqs = first.seq..last.seq + 1;
        let split = index(inner, tenant, view, &records, &policy)?;
        parts.extend(split.map(|split| Part { seqs, split }));
    }
    if parts.len() > PARTS_MAX {
        parts = merged(&parts)?;
    }
    let bytes = parts.iter().map(|part| part.split.bytes()).sum();
    let parts = Arc::new(parts);
    let loose = Loose {
        gone,
        sets: wanted,
        parts: Arc::clone(&parts),
        bytes,
    };
    inner.search.loose.insert(tenant.id, Arc::new(loose));
    Ok(parts)
}

/// Builds a split over the flushed records `seqs`, whatever segments they are in.
///
/// # Errors
/// Why they cannot be read or indexed.
pub(super) fn over_sets(
    inner: &Inner,
    tenant: &Tenant,
    view: &View,
    seqs: Range<u64>,
    policy: &IndexPolicy,
) -> Result<Option<Split>> {
    let overlaps = |set: &&Arc<FileSet>| set.min_seq() < seqs.end && set.max_seq() >= seqs.start;
    let sets: Vec<Arc<FileSet>> = view.flushed.iter().filter(overlaps).cloned().collect();
    let records = read(inner, tenant, &tenant.gone.load(), &sets, seqs)?;
    index(inner, tenant, view, &records, policy)
}

/// Reads the records of segments that are in `seqs` and not gone, ascending: segments of one flush interleave when they differ in class.
fn read(
    inner: &Inner,
    tenant: &Tenant,
    gone: &Gone,
    sets: &[Arc<FileSet>],
    seqs: Range<u64>,
) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for set in sets {
        records::scan_range(inner, tenant, set, seqs.clone(), &gone.of_set(set), |record| {
            records.push(record);
            Ok(())
        })?;
    }
    records.sort_unstable_by_key(|record| record.seq);
    Ok(records)
}

/// Builds a split over records, which ascend.
///
/// # Errors
/// Why they cannot be indexed.
pub(super) fn index(
    inner: &Inner,
    tenant: &Tenant,
    view: &View,
    records: &[Record],
    policy: &IndexPolicy,
) -> Result<Option<Split>> {
    if records.is_empty() {
        return Ok(None);
    }
    let reader = tree::reader(inner, tenant, view);
    let mut builder = builder(policy)?;
    for near in records.chunk_by(|a, b| b.seq - a.seq <= NEAR_SEQS) {
        for near in near.chunks(ENTRIES_MAX) {
            let (Some(first), Some(last)) = (near.first(), near.last()) else {
                continue;
            };
            let times = reader.source().times(first.seq..last.seq + 1)?;
            for record in near {
                let time = usize::try_from(record.seq - first.seq)
                    .ok()
                    .and_then(|at| times.get(at));
                add(&mut builder, record, time.copied().unwrap_or_default())?;
            }
        }
    }
    builder.finish().map(Some).map_err(index_error)
}

fn merged(parts: &[Part]) -> Result<Vec<Part>> {
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
        return Ok(Vec::new());
    };
    let seqs = first.seqs.start..last.seqs.end;
    let splits: Vec<Split> = parts.iter().map(|part| part.split.clone()).collect();
    Ok(vec![Part {
        seqs,
        split: merge(&splits).map_err(index_error)?,
    }])
}

const PARTS_MAX: usize = 8;
/// Records whose seqs are no further apart have their entries read at once.
const NEAR_SEQS: u64 = 16;
/// Records whose entries are read at once, at most.
const ENTRIES_MAX: usize = 4096;
