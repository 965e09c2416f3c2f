//! Finds the control records by which it is judged whether what is gone was allowed to go.

use std::ops::Range;

use attestore_record::entry::ENTRY_BYTES;
use attestore_record::{Entry, Kind};

use crate::read::tree;
use crate::{Error, Result};

/// The seqs of those records below `size`, ascending. Reads every entry: none can be left out.
///
/// # Errors
/// [`Error::TooMany`] for more than a verifier judges, [`Error::Cancelled`] once `stop` says so, or as reads.
pub(super) fn seqs(tree: &tree::Tree<'_>, size: u64, stop: &dyn Fn() -> bool) -> Result<Vec<u64>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < size {
        if stop() {
            return Err(Error::Cancelled);
        }
        let end = size.min(at + ENTRIES_AT_ONCE);
        for (seq, bytes) in (at..).zip(tree.entries(at..end)?) {
            if is_judged(seq, &bytes)? {
                found.push(seq);
            }
        }
        if found.len() > CONTROLS_MAX {
            return Err(Error::TooMany {
                code: "export_controls",
                message: format!(
                    "the log has more than {CONTROLS_MAX} records of policies, purges and holds"
                ),
            });
        }
        at = end;
    }
    Ok(found)
}

fn is_judged(seq: u64, bytes: &[u8; ENTRY_BYTES]) -> Result<bool> {
    let entry = Entry::from_bytes(bytes)
        .map_err(|error| Error::damage("entries", seq * ENTRY_BYTES as u64, error.to_string()))?;
    Ok(matches!(
        entry.kind,
        Kind::Purge | Kind::Erasure | Kind::Hold | Kind::Policy
    ))
}

/// A range, with the records before and behind it.
pub(super) fn around(range: Range<u64>, seqs: &[u64]) -> Vec<Range<u64>> {
    let single = |seq: &u64| *seq..seq.saturating_add(1);
    let before = seqs.iter().take_while(|seq| **seq < range.start).map(single);
    let behind = seqs.iter().filter(|seq| **seq >= range.end).map(single);
    before
        .chain(std::iter::once(range.clone()))
        .chain(behind)
        .collect()
}

const ENTRIES_AT_ONCE: u64 = 8192;
/// As verifiers judge at most.
const CONTROLS_MAX: usize = 65_536;
