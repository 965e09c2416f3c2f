//! Splits of segments that are put together.

use std::sync::Arc;

use attestore_index::{IndexPolicy, Split, merge};

use super::{index_error, loose, sealed};
use crate::{
    error::Result,
    instance::Inner,
    read::records::{self, Record},
    tenant::{FileSet, Tenant, View},
};

/// Returns a split over exactly the records of `sets`, which ascend and are of one class. Their own splits are merged; only the
/// records of those that have none under the tenant's policy are indexed, batch by batch. With `anew`, those of all are: the old
/// splits have terms of people who were erased. `check` is asked in between.
///
/// # Errors
/// Why they cannot be read, indexed or merged; what `check` returns.
pub(crate) fn compacted(
    inner: &Inner,
    tenant: &Tenant,
    view: &View,
    sets: &[Arc<FileSet>],
    anew: bool,
    check: &dyn Fn() -> Result<()>,
) -> Result<Option<Split>> {
    let policy = tenant.index_policy();
    let mut splits = Vec::with_capacity(sets.len());
    for run in sets.chunk_by(|left, right| left.idx.is_none() && right.idx.is_none()) {
        match run {
            [set] if set.idx.is_some() && !anew => match sealed::open(inner, tenant, set)? {
                Some(split) if *split.policy() == *policy => splits.push(split),
                _ => index(inner, tenant, view, run, &policy, &mut splits, check)?,
            },
            // Parts of a few records each make one split, not one each.
            parts => index(inner, tenant, view, parts, &policy, &mut splits, check)?,
        }
        check()?;
    }
    match splits.len() {
        0 | 1 => Ok(splits.pop()),
        _ => merge(&splits).map(Some).map_err(index_error),
    }
}

/// Indexes the records of segments.
fn index(
    inner: &Inner,
    tenant: &Tenant,
    view: &View,
    sets: &[Arc<FileSet>],
    policy: &IndexPolicy,
    splits: &mut Vec<Split>,
    check: &dyn Fn() -> Result<()>,
) -> Result<()> {
    let mut batch: Vec<Record> = Vec::new();
    for set in sets {
        records::scan_set(inner, tenant, set, |record| {
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
