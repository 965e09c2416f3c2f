//! Records that match, as ranges of seqs. Every record is looked at, indexed or not; what one search cannot look at is looked at in
//! smaller pieces.

use std::ops::Range;
use std::sync::Arc;

use super::ranges::{of_seqs, ordered};
use super::spec::Sealed;
use crate::error::{Error, Result};
use crate::instance::Inner;
use crate::read::snapshot;
use crate::search::{Filter, follow};
use crate::tenant::Tenant;

/// The records of `seqs` that a hold's query, actor or subject matches, in order.
///
/// # Errors
/// As searches.
pub(super) fn matches(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    sealed: &Sealed,
    seqs: &Range<u64>,
) -> Result<Vec<Range<u64>>> {
    let mut all = Vec::new();
    for filter in sealed.filters()? {
        all.extend(of_filter(inner, tenant, &filter, seqs)?);
    }
    Ok(ordered(all))
}

fn of_filter(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    filter: &Filter,
    seqs: &Range<u64>,
) -> Result<Vec<Range<u64>>> {
    let (mut found, mut next, mut window) = (Vec::new(), seqs.start, WINDOW_RECORDS);
    while next < seqs.end {
        inner.check_running()?;
        tenant.touch(inner.clock.boot_ms());
        let some = next..seqs.end.min(next.saturating_add(window));
        let looked = snapshot(tenant, |view| {
            follow(inner, tenant, view, filter, some.clone(), HITS_MAX, &|| {
                inner.stopped().is_some()
            })
        });
        match looked {
            Ok(looked) => {
                // A log that is shorter than asked for has no more.
                if looked.end <= next {
                    break;
                }
                found.extend(of_seqs(looked.seqs));
                next = looked.end;
                window = window.saturating_mul(2).min(WINDOW_RECORDS);
            }
            Err(Error::Deadline | Error::NotIndexed { .. }) if window > WINDOW_RECORDS_MIN => {
                window = (window / 8).max(WINDOW_RECORDS_MIN);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Seqs that one search looks at, at most.
const WINDOW_RECORDS: u64 = 1 << 17;
/// A search that takes too long looks at fewer, down to so many.
const WINDOW_RECORDS_MIN: u64 = 256;
/// Records that are asked for at once, at most.
const HITS_MAX: usize = 1 << 16;
