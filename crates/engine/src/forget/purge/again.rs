//! Letting records go once more, after a restore, that went behind the backup.

use std::ops::Range;
use std::sync::Arc;

use attestore_record::control::Ranges;

use super::decide::{job_id, record};
use super::plan::files;
use super::row::{self, PurgeRow, PurgeState};
use crate::append::append_control;
use crate::backup::ledger::Records;
use crate::error::{Error, Result};
use crate::forget::{gone, rules};
use crate::instance::Inner;
use crate::read::tree;
use crate::tenant::Tenant;

/// Lets go of those of the records that the log has and that are not gone: on return no read shows them. Returns how many they are.
/// Neither holds nor policies are asked: that was done when they went. Every tail has to be flushed.
///
/// # Errors
/// As appends and changes of the catalog.
pub(crate) fn again(inner: &Inner, tenant: &Arc<Tenant>, of: &Records) -> Result<u64> {
    let deciding = tenant.deciding.lock();
    let view = tenant.view();
    let left = left(inner, tenant, of)?;
    if left.is_empty() {
        return Ok(0);
    }
    let in_force = tenant.rules.load().policy(of.class).map(|found| found.seq);
    let policy = match (in_force, &of.policy) {
        (Some(seq), _) => seq,
        (None, Some(policy)) => rules::again(inner, tenant, policy)?,
        (None, None) => return Err(Error::damage("ledger", 0, "records went without a policy")),
    };
    let ranges = Ranges::new(left.iter().map(|(range, _)| range.clone()))
        .map_err(|error| Error::Io(error.to_string()))?;
    let now_ms = inner.clock.now_ms();
    let key = (tenant.id, job_id(inner, now_ms));
    let row = PurgeRow {
        state: PurgeState::Decided,
        class: of.class,
        policy,
        reason: of.reason,
        counts: left.iter().map(|(_, count)| *count).collect(),
        records: left.iter().map(|(_, count)| count).sum(),
        held: 0,
        by: of.by.clone(),
        approved_by: of.approved_by.clone(),
        note: format!(
            "again, after a restore: record {} of {} said so; {}",
            of.seq, of.origin, of.note
        ),
        basis: of.basis.clone(),
        recipients: None,
        exports: 0,
        log_from: tenant.view().size,
        decided_ms: now_ms,
        control: None,
        recorded_ms: None,
        wal: 0,
        files: files(&view, of.class, &ranges),
        ranges,
        swept_ms: None,
        unreadable_since_ms: None,
        gone_since_ms: None,
        receipt: None,
        done_ms: None,
    };
    inner.change(|update| row::put(update, &key, &row))?;
    inner.purges.open.lock().insert(key);
    let receipt = append_control(inner, tenant, &row.by, row.kind(), &row.control())?;
    let records = row.records;
    record(inner, tenant, key, row, receipt.seq, receipt.received_at_ms)?;
    drop(deciding);
    Ok(records)
}

/// Which of the records the log has that are not gone, and how many they are in each range.
///
/// # Errors
/// As reads.
pub(crate) fn left(inner: &Inner, tenant: &Arc<Tenant>, of: &Records) -> Result<Vec<(Range<u64>, u64)>> {
    let view = tenant.view();
    let reader = tree::reader(inner, tenant, &view);
    let gone = tenant.gone.load();
    let mut left = Vec::new();
    for range in of.ranges.iter() {
        let range = range.start..range.end.min(view.flushed_count());
        for range in without(range.clone(), &gone.within(of.class, &range)) {
            let count = gone::count_class(reader.source(), of.class, std::slice::from_ref(&range))?;
            if count > 0 {
                left.push((range, count));
            }
        }
    }
    Ok(left)
}

/// What of a range is in none of the others, which are in it, ascending and apart.
fn without(range: Range<u64>, others: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut left = Vec::new();
    let mut at = range.start;
    for other in others {
        left.push(at..other.start);
        at = other.end;
    }
    left.push(at..range.end);
    left.retain(|range| range.start < range.end);
    left
}

#[cfg(test)]
mod tests {
    use super::without;

    #[test]
    fn what_is_gone_already_is_left_out() {
        let left = |others: &[(u64, u64)]| {
            let others: Vec<_> = others.iter().map(|(first, end)| *first..*end).collect();
            let left = without(3..9, &others);
            left.into_iter()
                .map(|range| (range.start, range.end))
                .collect::<Vec<_>>()
        };
        assert_eq!(left(&[]), [(3, 9)]);
        assert_eq!(left(&[(3, 4), (6, 7)]), [(4, 6), (7, 9)]);
        assert_eq!(left(&[(3, 9)]), []);
    }
}
