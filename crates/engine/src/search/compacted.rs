//! Splits of segments that are put together.

use std::sync::Arc;

use attestore_index::{IndexPolicy, Split, merge};

use super::{index_error, loose, sealed};
use crate::{
    error::Result,
    forget::gone::Gone,
    instance::Inner,
    read::records::{self, Record},
    tenant::{FileSet, Tenant, View},
};

/// Returns a split over exactly the records of `sets`, which ascend and are of one class, that are not gone. Their own splits
/// are merged; only the records of those that have none under the tenant's policy, or one with records that are gone, are
/// indexed, batch by batch. With `anew`, those of all are: the old splits have terms of people who were erased. `check` is asked
/// in between.
///
/// # Errors
/// Why they cannot be read, indexed or merged; what `check` returns.
pub(crate) fn compacted(
    inner: &Inner,
    tenant: &Tenant,
    view: &View,
    gone: &Gone,
    sets: &[Arc<FileSet>],
    anew: bool,
    check: &dyn Fn() -> Result<()>,
) -> Result<Option<Split>> {
    let bare = |set: &FileSet| anew || set.idx.is_none() || gone.touches(set);
    let policy = tenant.index_policy();
    let from = From {
        inner,
        tenant,
        view,
        gone,
    };
    let mut splits = Vec::with_capacity(sets.len());
    for run in sets.chunk_by(|left, right| bare(left) && bare(right)) {
        match run {
            [set] if !bare(set) => match sealed::open(inner, tenant, set)? {
                Some(split) if *split.policy() == *policy => splits.push(split),
                _ => index(&from, run, &policy, &mut splits, check)?,
            },
            // Parts of a few records each make one split, not one each.
            parts => index(&from, parts, &policy, &mut splits, check)?,
        }
        check()?;
    }
    match splits.len() {
        0 | 1 => Ok(splits.pop()),
        _ => merge(&splits).map(Some).map_err(index_error),
    }
}

/// Where records come from.
struct From<'a> {
    inner: &'a Inner,
    tenant: &'a Tenant,
    view: &'a View,
    gone: &'a Gone,
}

/// Indexes the records of segments, but for what is gone.
fn index(
    from: &From<'_>,
    sets: &[Arc<FileSet>],
    policy: &IndexPolicy,
    splits: &mut Vec<Split>,
    check: &dyn Fn() -> Result<()>,
) -> Result<()> {
    let From {
        inner,
        tenant,
        view,
        gone,
    } = from;
    let mut batch: Vec<Record> = Vec::new();
    for set in sets {
        let gone = gone.of_set(set);
        records::scan_range(inner, tenant, set, 0..u64::MAX, &gone, |record| {
            batch.push(record);
            if batch.len() >= BATCH_RECORDS {
                splits.extend(loose::index(inner, tenant, view, &batch, policy)?);
                batch.clear();
                check()?;
            }
            Ok(())
        })?;
    }
    splits.extend(loose::index(inner, tenant, view, &batch, policy)?);
    Ok(())
}

impl super::Search {
    /// Forgets the splits of segments that are no longer there: each holds a file.
    pub(crate) fn compacted(&self, tenant: &Tenant, gone: &[Arc<FileSet>]) {
        for set in gone {
            if let Some(row) = &set.idx {
                self.sealed.remove(&(tenant.id, set.set, row.generation));
            }
        }
    }
}

/// Records that are indexed at once.
const BATCH_RECORDS: usize = 16_384;
