//! Splits in memory over segments that have none of their own: parts of `l0` files, and segments whose `.idx` is missing,
//! damaged or of another field list.
//!
//! Kept per tenant and extended as `l0` parts come; dropped whole when one of its segments is gone.

use std::{ops::Range, sync::Arc};

use attestore_index::{IndexPolicy, Split, SplitBuilder, merge};
use quick_cache::Weighter;

use super::{
    add, index_error,
    tail::{Part, Shared, part},
};
use crate::{
    error::{Error, Result},
    instance::Inner,
    read::{
        records::{self, Record},
        tree,
    },
    tenant::{FileSet, Tenant, View},
};

/// The splits over a tenant's segments without their own.
pub(super) struct Loose {
    /// (segment, generation), in the order they were added.
    sets: Vec<(u64, u32)>,
    parts: Shared,
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
pub(super) fn covering(inner: &Inner, tenant: &Tenant, view: &View, sets: &[Arc<FileSet>]) -> Result<Shared> {
    if sets.is_empty() {
        return Ok(Shared::default());
    }
    let wanted: Vec<(u64, u32)> = sets.iter().map(|set| (set.set, set.seg.generation)).collect();
    let held = inner
        .search
        .loose
        .get(&tenant.id)
        .filter(|held| wanted.starts_with(&held.sets));
    let (done, mut parts) = held.map_or((0, Vec::new()), |held| (held.sets.len(), held.parts.to_vec()));
    if done < sets.len() {
        let mut records = Vec::new();
        for set in &sets[done..] {
            records::scan_set(inner, tenant, set, |record| {
                records.push(record);
                Ok(())
            })?;
        }
        // Segments of one flush interleave when they differ in class.
        records.sort_unstable_by_key(|record| record.seq);
        if let (Some(first), Some(last)) = (records.first(), records.last()) {
            let seqs = first.seq..last.seq + 1;
            parts.extend(index(inner, tenant, view, &records)?.map(|split| part(seqs, split)));
        }
        if parts.len() > PARTS_MAX {
            parts = merged(&parts)?;
        }
    }
    let bytes = parts.iter().map(|part| part.split.bytes()).sum();
    let parts: Shared = Arc::new(parts);
    inner.search.loose.insert(
        tenant.id,
        Arc::new(Loose {
            sets: wanted,
            parts: Arc::clone(&parts),
            bytes,
        }),
    );
    Ok(parts)
}

/// Builds a split over a segment whose own cannot be used, and keeps it in its place.
pub(super) fn instead_of(inner: &Inner, tenant: &Tenant, view: &View, set: &FileSet) -> Result<Split> {
    let mut records = Vec::new();
    records::scan_set(inner, tenant, set, |record| {
        records.push(record);
        Ok(())
    })?;
    let split = index(inner, tenant, view, &records)?
        .ok_or_else(|| Error::damage(&set.seg.path, set.seg.offset, "a segment without records"))?;
    if let Some(row) = &set.idx {
        inner
            .search
            .sealed
            .insert((tenant.id, set.set, row.generation), split.clone());
    }
    Ok(split)
}

/// Builds a split over the flushed records `seqs`, whatever segments they are in.
pub(super) fn over_sets(
    inner: &Inner,
    tenant: &Tenant,
    view: &View,
    seqs: Range<u64>,
) -> Result<Option<Split>> {
    let mut records = Vec::new();
    for set in view
        .flushed
        .iter()
        .filter(|set| set.min_seq() < seqs.end && set.max_seq() >= seqs.start)
    {
        records::scan_set(inner, tenant, set, |record| {
            if seqs.contains(&record.seq) {
                records.push(record);
            }
            Ok(())
        })?;
    }
    records.sort_unstable_by_key(|record| record.seq);
    index(inner, tenant, view, &records)
}

fn index(inner: &Inner, tenant: &Tenant, view: &View, records: &[Record]) -> Result<Option<Split>> {
    if records.is_empty() {
        return Ok(None);
    }
    let reader = tree::reader(inner, tenant, view);
    let mut builder = SplitBuilder::new(&IndexPolicy::default()).map_err(index_error)?;
    for batch in records.chunk_by(|a, b| a.seq + 1 == b.seq) {
        for batch in batch.chunks(ENTRIES_MAX) {
            let (Some(first), Some(last)) = (batch.first(), batch.last()) else {
                continue;
            };
            let times = reader.source().times(first.seq..last.seq + 1)?;
            for (record, time_ms) in batch.iter().zip(times) {
                add(&mut builder, record, time_ms)?;
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
    Ok(vec![part(seqs, merge(&splits).map_err(index_error)?)])
}

const PARTS_MAX: usize = 8;
const ENTRIES_MAX: usize = 4096;
