//! Several splits to one, without indexing again.

use tantivy::columnar::{ColumnarReader, MergeRowOrder, StackMergeOrder, merge_columnar};
use tantivy::directory::{RamDirectory, WritePtr};
use tantivy::index::SegmentComponent;

use super::builder::write;
use super::{Split, bundle, terms};
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
    let directory = RamDirectory::create();
    let index = write(
        &policy,
        summary,
        &directory,
        |serializer| terms::merge(&splits, serializer),
        |file| merge_columns(&splits, file),
    )?;
    Split::open_bytes(bundle::assemble(&index, &directory, &policy, summary)?)
}

/// Writes the columns of splits that follow each other.
fn merge_columns(splits: &[&Split], file: &mut WritePtr) -> Result<(), Error> {
    let columns: Vec<ColumnarReader> = splits
        .iter()
        .map(|split| {
            Ok(ColumnarReader::open(
                split.open_read(SegmentComponent::FastFields)?,
            )?)
        })
        .collect::<Result<_, Error>>()?;
    let columns: Vec<&ColumnarReader> = columns.iter().collect();
    let order = MergeRowOrder::Stack(StackMergeOrder::stack(&columns));
    merge_columnar(&columns, &[], order, file)?;
    Ok(())
}
