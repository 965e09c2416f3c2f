//! Finds a record by its id.
//!
//! Ids are not indexed. An id carries the time at which it was made, and entries carry the time at which they were
//! committed, which never runs backwards and is not before the former: so the search starts at the first entry of that
//! time and goes on to what could have waited for its commit.

use attestore_record::RecordId;

use super::{Which, readers::segment_error, tree};
use crate::{
    error::{Error, Result},
    instance::Inner,
    tenant::{Tenant, View},
};

/// Returns the seq of the record.
///
/// # Errors
/// [`Error::UnknownRecord`] if the snapshot does not have it; else as reads.
pub(crate) fn seq(inner: &Inner, tenant: &Tenant, view: &View, which: Which) -> Result<u64> {
    match which {
        Which::Seq(seq) if seq < view.size => Ok(seq),
        Which::Seq(_) => Err(Error::UnknownRecord),
        Which::Id(id) => by_id(inner, tenant, view, &id),
    }
}

fn by_id(inner: &Inner, tenant: &Tenant, view: &View, id: &RecordId) -> Result<u64> {
    let reader = tree::reader(inner, tenant, view);
    let tree = reader.source();
    let (mut low, mut high) = (0, view.size);
    while low < high {
        let middle = low + (high - low) / 2;
        if tree.entry(middle)?.time_ms < id.unix_ms() {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let prefix = format!("{{\"v\":1,\"id\":\"{id}\"");
    let end = view.size.min(low.saturating_add(SCANNED_MAX));
    let flushed = view.flushed_count();
    let mut seq = low;
    while seq < end.min(flushed) {
        if tree.entry(seq)?.time_ms > id.unix_ms().saturating_add(WAIT_MS_MAX) {
            return Err(Error::UnknownRecord);
        }
        let next = scan_block(inner, tenant, view, seq, prefix.as_bytes())?;
        match next {
            Scan::Found(seq) => return Ok(seq),
            Scan::On(next) => seq = next,
        }
    }
    let tail = view.tail.iter(seq..end);
    tail.into_iter()
        .find(|record| record.id == *id)
        .map(|record| record.seq)
        .ok_or(Error::UnknownRecord)
}

enum Scan {
    Found(u64),
    On(u64),
}

/// Looks through the blocks that hold `seq`; says where to go on. Segments of several classes interleave: the next step
/// begins at the first block that begins behind `seq`, of whatever class.
fn scan_block(inner: &Inner, tenant: &Tenant, view: &View, seq: u64, prefix: &[u8]) -> Result<Scan> {
    let behind = view.flushed.partition_point(|set| set.min_seq() <= seq);
    let mut next = view.flushed.get(behind).map_or(u64::MAX, |set| set.min_seq());
    for set in view.sets_at(seq) {
        let reader = inner.readers.seg(inner, tenant, &set.seg)?;
        let later = reader.blocks().partition_point(|block| block.first_seq <= seq);
        if let Some(later) = reader.blocks().get(later) {
            next = next.min(later.first_seq);
        }
        let Some(number) = reader.block_of(seq) else {
            continue;
        };
        let block = inner.readers.block(&reader, number)?;
        for record in block.iter() {
            if reader.public(&record).map_err(segment_error)?.starts_with(prefix) {
                return Ok(Scan::Found(record.seq));
            }
        }
        let entry = reader
            .blocks()
            .get(number)
            .ok_or_else(|| segment_error(attestore_segment::Error::Refused("a block that was just found")))?;
        next = next.min(entry.last_seq.saturating_add(1));
    }
    // In no set: a hole, which the read of the record itself would report, or what was purged.
    Ok(Scan::On(if next == u64::MAX {
        view.flushed_count()
    } else {
        next
    }))
}

/// Longest time that a record may have waited between getting its id and its place, in milliseconds.
const WAIT_MS_MAX: u64 = 600_000;
/// Records looked at before an id counts as unknown.
const SCANNED_MAX: u64 = 500_000;
