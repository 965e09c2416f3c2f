//! Splits under other policies than the default one.

use attestore_index::{IndexPolicy, Split, SplitBuilder};

use crate::support::Stored;

/// Builds a split of these records under a policy.
pub(crate) fn split_under<'a>(policy: &IndexPolicy, records: impl IntoIterator<Item = &'a Stored>) -> Split {
    let mut builder = SplitBuilder::new(policy).unwrap();
    records.into_iter().for_each(|record| record.add_to(&mut builder));
    builder.finish().unwrap()
}
