//! Several splits to one, without indexing again.

use tantivy::Segment;
use tantivy::directory::RamDirectory;
use tantivy::indexer::merge_filtered_segments;

use super::builder::settings;
use super::{Split, bundle};
use crate::Error;

/// Merges splits whose ranges of seq do not interleave, in whatever order they are given. The result is in memory
/// and answers every query as a split built from all the records would.
///
/// # Errors
/// [`Error::Empty`] without splits, [`Error::Policy`] when they were built under different policies, [`Error::Order`] when ranges of seq overlap, [`Error::Io`] when a sealed split
/// cannot be read.
pub fn merge(splits: &[Split]) -> Result<Split, Error> {
    let mut splits: Vec<&Split> = splits.iter().collect();
    splits.sort_by_key(|split| split.summary().min_seq);
    for pair in splits.windows(2) {
        if let [first, second] = pair {
            let (last, next) = (first.summary().max_seq, second.summary().min_seq);
            if next <= last {
                return Err(Error::Order { last, next });
            }
        }
    }
    let policy = splits.first().ok_or(Error::Empty)?.policy().clone();
    if splits.iter().any(|split| *split.policy() != policy) {
        return Err(Error::Policy);
    }
    let summary = splits
        .iter()
        .map(|split| split.summary())
        .reduce(|all, one| all.union(one))
        .ok_or(Error::Empty)?;
    let segments: Vec<Segment> = splits.iter().map(|split| split.segment().clone()).collect();
    let filters = segments.iter().map(|_| None).collect();
    let directory = RamDirectory::create();
    let index = merge_filtered_segments(&segments, settings(), filters, directory.clone())?;
    Split::open_bytes(bundle::assemble(&index, &directory, &policy, summary)?)
}
