//! Looks an idempotency key up in the segments of the last hours.
//!
//! Each segment has a filter of its keys in memory, made when the segment is first asked: nearly every new key is
//! dismissed without reading.

use std::sync::Arc;

use attestore_segment::FileId;
use fastbloom::BloomFilter;
use quick_cache::sync::Cache;

use super::{First, event_digest};
use crate::Result;
use crate::catalog::FileRow;
use crate::instance::Inner;
use crate::read::readers::segment_error;
use crate::read::records::{self, Personal};
use crate::read::tree::LogFiles;
use crate::tenant::{FileSet, Idempotency, Tenant, View};

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

    /// Whether the segment may hold the key.
    fn may_hold(&self, inner: &Inner, tenant: &Tenant, set: &FileSet, key: u64) -> Result<bool> {
        let id = set.seg.container_id()?;
        let filter = match self.0.get(&id) {
            Some(filter) => filter,
            None => {
                let reader = inner.readers.seg(inner, tenant, &set.seg)?;
                let keys = reader.idempotency_all().map_err(segment_error)?;
                let keys: Vec<u64> = keys.into_iter().map(|(key, _)| key).collect();
                let filter = Arc::new(filter(&keys));
                self.0.insert(id, Arc::clone(&filter));
                filter
            }
        };
        Ok(filter
            .as_ref()
            .as_ref()
            .is_some_and(|filter| filter.contains(&key)))
    }
}

fn filter(keys: &[u64]) -> Option<BloomFilter> {
    let make = BloomFilter::with_false_pos(FALSE_POSITIVES).seed(&SEED);
    (!keys.is_empty()).then(|| make.items(keys.iter()))
}

/// Finds the record that came with the same key, in the segments that are not older than the window; `None` when there is
/// none.
///
/// # Errors
/// Damage, or what the system says.
pub(crate) fn lookup(
    inner: &Inner,
    tenant: &Tenant,
    view: &View,
    own: &Idempotency,
    now_ms: u64,
) -> Result<Option<First>> {
    let since_ms = super::since_ms(&inner.settings, now_ms);
    for set in view
        .flushed
        .iter()
        .rev()
        .filter(|set| set.seg.max_time_ms >= since_ms)
    {
        if !inner.filters.may_hold(inner, tenant, set, own.key)? {
            continue;
        }
        let reader = inner.readers.seg(inner, tenant, &set.seg)?;
        // The newest: an older one is outside of the window, or this would have been a repetition.
        let Some(seq) = reader
            .idempotency_lookup(own.key)
            .map_err(segment_error)?
            .into_iter()
            .max()
        else {
            continue;
        };
        let entry = LogFiles::new(Arc::clone(&inner.disk), &tenant.id).entry(seq)?;
        if entry.time_ms < since_ms {
            continue;
        }
        let record = records::read(inner, tenant, view, seq, true)?;
        let erased = record
            .personal
            .iter()
            .any(|group| matches!(group, Personal::Erased));
        let digest = if erased {
            // What is left cannot tell a repetition from another event; the key is taken at its word.
            own.digest
        } else {
            event_digest(
                &tenant.keys.directory,
                &record.public,
                record.personal_bytes().into_iter(),
            )
        };
        return Ok(Some(First {
            seq,
            id: record.id()?,
            entry: entry.to_bytes(),
            digest,
        }));
    }
    Ok(None)
}

/// Segments whose filters are kept.
const FILTERS_MAX: usize = 4096;
const FALSE_POSITIVES: f64 = 0.001;
/// The keys are keyed hashes already; nobody can choose them to collide.
const SEED: u128 = 0;
