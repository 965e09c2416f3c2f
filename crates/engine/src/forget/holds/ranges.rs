//! Ranges of seqs: in memory, and in the catalog, where a hold has them in rows of many.
//!
//! # Format
//! A row is `first u64 ‖ end u64` for each range, little-endian, ascending, apart from each other; its key ends in the first of them.
//! Rows of a hold ascend like their keys. Ranges of two rows may touch.

use std::ops::Range;

use attestore_record::TenantId;
use redb::{ReadTransaction, TableError};

use crate::catalog::of_tenant::ThingId;
use crate::catalog::{Update, storage, tables};
use crate::error::{Error, Result};

/// Puts ranges in order: ascending, apart from each other, none empty.
pub(super) fn ordered(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.retain(|range| range.start < range.end);
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    let mut out: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match out.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => out.push(range),
        }
    }
    out
}

/// The ranges of seqs, which ascend.
pub(super) fn of_seqs(seqs: impl IntoIterator<Item = u64>) -> Vec<Range<u64>> {
    let mut out: Vec<Range<u64>> = Vec::new();
    for seq in seqs {
        match out.last_mut() {
            Some(last) if last.end == seq => last.end += 1,
            _ => out.push(seq..seq + 1),
        }
    }
    out
}

/// Number of seqs in them.
pub(super) fn count(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}

/// Adds ranges, which are in order, to a hold.
///
/// # Errors
/// As writes.
pub(super) fn put(
    update: &Update<'_>,
    tenant: &TenantId,
    hold: &ThingId,
    ranges: &[Range<u64>],
) -> Result<()> {
    let mut table = update.txn().open_table(tables::HOLD_RANGES).map_err(storage)?;
    for some in ranges.chunks(RANGES_IN_ROW) {
        let Some(first) = some.first() else { continue };
        let bytes: Vec<u8> = some
            .iter()
            .flat_map(|range| [range.start.to_le_bytes(), range.end.to_le_bytes()])
            .flatten()
            .collect();
        table
            .insert((tenant.as_bytes(), hold, first.start), bytes.as_slice())
            .map_err(storage)?;
    }
    Ok(())
}

/// Removes those of a hold.
///
/// # Errors
/// As writes.
pub(super) fn remove(update: &Update<'_>, tenant: &TenantId, hold: &ThingId) -> Result<()> {
    let mut table = update.txn().open_table(tables::HOLD_RANGES).map_err(storage)?;
    let all = (tenant.as_bytes(), hold, 0)..=(tenant.as_bytes(), hold, u64::MAX);
    table.retain_in(all, |_, _| false).map_err(storage)
}

/// What of `within` a hold has, in order.
///
/// # Errors
/// As reads; damage.
pub(super) fn of(
    txn: &ReadTransaction,
    tenant: &TenantId,
    hold: &ThingId,
    within: &Range<u64>,
) -> Result<Vec<Range<u64>>> {
    let table = match txn.open_table(tables::HOLD_RANGES) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        table => table.map_err(storage)?,
    };
    let key = |seq| (tenant.as_bytes(), hold, seq);
    // The row before may reach into it.
    let before = table
        .range(key(0)..=key(within.start))
        .map_err(storage)?
        .next_back();
    let from = match before {
        Some(row) => row.map_err(storage)?.0.value().2,
        None => 0,
    };
    let mut found = Vec::new();
    for row in table.range(key(from)..key(within.end)).map_err(storage)? {
        let (_, row) = row.map_err(storage)?;
        let (ranges, rest) = row.value().as_chunks::<16>();
        if !rest.is_empty() {
            return Err(Error::damage("catalog", 0, "ranges of a hold"));
        }
        for range in ranges {
            let [first, end] = [&range[..8], &range[8..]]
                .map(|half| half.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)));
            let clipped = within.start.max(first)..within.end.min(end);
            if !clipped.is_empty() {
                found.push(clipped);
            }
        }
    }
    Ok(ordered(found))
}

const RANGES_IN_ROW: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_come_into_order() {
        assert_eq!(ordered(vec![5..9, 1..3, 3..4, 8..10, 12..12]), [1..4, 5..10]);
        assert_eq!(of_seqs([1, 2, 3, 7, 9, 10]), [1..4, 7..8, 9..11]);
        assert_eq!(count(&[1..4, 7..8]), 4);
    }
}
