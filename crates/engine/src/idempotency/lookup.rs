//! Looks an idempotency key up in the segments of the last hours.
//!
//! Each segment has a filter of its keys in memory, made when the segment is first asked: nearly every new key is
//! dismissed without reading. The keys of a request go through one filter after the other, so that the processor has the
//! misses of many keys under way at once.

use std::sync::Arc;

use attestore_segment::FileId;
use fastbloom::BloomFilter;
use quick_cache::sync::Cache;

use super::{First, event_digest};
use crate::catalog::FileRow;
use crate::instance::Inner;
use crate::read::readers::segment_error;
use crate::read::records;
use crate::read::tree::LogFiles;
use crate::tenant::{FileSet, Idempotency, Tenant, View};
use crate::{Error, Result};

/// The filters of segments, by the id of their `.seg`.
pub(crate) struct Filters(Cache<FileId, Arc<Option<BloomFilter>>>);

impl Filters {
    pub(crate) fn new() -> Self {
        Self(Cache::new(FILTERS_MAX))
    }

    /// Makes the filter of a segment whose keys are at hand.
    ///
    /// # Errors
    /// Damage of its row.
    pub(crate) fn put(&self, seg: &FileRow, keys: &[u64]) -> Result<()> {
        self.0.insert(seg.container_id()?, Arc::new(filter(keys)));
        Ok(())
    }

    /// Forgets the filters of segments that are no longer there.
    pub(crate) fn forget<'a>(&self, segs: impl Iterator<Item = &'a FileRow>) {
        for id in segs.filter_map(|seg| seg.container_id().ok()) {
            self.0.remove(&id);
        }
    }

    /// Returns the filter of a segment; the inner one is absent for a segment without keys.
    fn of(&self, inner: &Inner, tenant: &Tenant, set: &FileSet) -> Result<Arc<Option<BloomFilter>>> {
        let id = set.seg.container_id()?;
        if let Some(filter) = self.0.get(&id) {
            return Ok(filter);
        }
        let reader = inner.readers.seg(inner, tenant, &set.seg)?;
        let keys = reader.idempotency_all().map_err(segment_error)?;
        let keys: Vec<u64> = keys.into_iter().map(|(key, _)| key).collect();
        let filter = Arc::new(filter(&keys));
        self.0.insert(id, Arc::clone(&filter));
        Ok(filter)
    }
}

fn filter(keys: &[u64]) -> Option<BloomFilter> {
    let make = BloomFilter::with_false_pos(FALSE_POSITIVES).seed(&SEED);
    (!keys.is_empty()).then(|| make.items(keys.iter()))
}

/// Finds the records that came with the same keys, in the segments that are not older than the window: those that there are,
/// with the place of their key among `wanted`.
///
/// # Errors
/// Damage, or what the system says.
pub(crate) fn lookup(
    inner: &Inner,
    tenant: &Tenant,
    view: &View,
    wanted: &[Idempotency],
    now_ms: u64,
) -> Result<Vec<(usize, First)>> {
    let since_ms = super::since_ms(&inner.settings, now_ms);
    let mut open: Vec<(usize, &Idempotency)> = wanted.iter().enumerate().collect();
    let mut found = Vec::new();
    for set in view
        .flushed
        .iter()
        .rev()
        .filter(|set| set.seg.max_time_ms >= since_ms)
    {
        let filter = inner.filters.of(inner, tenant, set)?;
        let Some(filter) = filter.as_ref() else { continue };
        let (hits, rest): (Vec<_>, Vec<_>) = open.iter().partition(|(_, own)| filter.contains(&own.key));
        if hits.is_empty() {
            continue;
        }
        open = rest;
        for (place, own) in hits {
            match first_of(inner, tenant, view, set, own, since_ms)? {
                Some(first) => found.push((place, first)),
                None => open.push((place, own)),
            }
        }
    }
    Ok(found)
}

/// Finds the record with the key in one segment.
fn first_of(
    inner: &Inner,
    tenant: &Tenant,
    view: &View,
    set: &FileSet,
    own: &Idempotency,
    since_ms: u64,
) -> Result<Option<First>> {
    let reader = inner.readers.seg(inner, tenant, &set.seg)?;
    let seqs = reader.idempotency_lookup(own.key).map_err(segment_error)?;
    // The newest: an older one is outside of the window, or this would have been a repetition.
    let Some(seq) = seqs.into_iter().max() else {
        return Ok(None);
    };
    let entry = LogFiles::new(Arc::clone(&inner.disk), &tenant.id).entry(seq)?;
    if entry.time_ms < since_ms {
        return Ok(None);
    }
    let record = match records::read(inner, tenant, view, seq, true) {
        // What is gone is forgotten, its key with it.
        Err(Error::Gone { .. }) => return Ok(None),
        record => record?,
    };
    let hidden = tenant.hidden.load();
    let digest = if record.is_whole()? && !record.handles().any(|handle| hidden.is_leaving(handle)) {
        event_digest(
            &tenant.keys.directory,
            &record.public,
            record.personal_bytes().into_iter(),
        )
    } else {
        // What is left cannot tell a repetition from another event, nor can what comes now about whoever leaves: it is about
        // another handle. The key is taken at its word.
        own.digest
    };
    Ok(Some(First {
        seq,
        id: record.id()?,
        entry: entry.to_bytes(),
        digest,
    }))
}

/// Segments whose filters are kept.
const FILTERS_MAX: usize = 4096;
const FALSE_POSITIVES: f64 = 0.001;
/// The keys are keyed hashes already; nobody can choose them to collide.
const SEED: u128 = 0;
