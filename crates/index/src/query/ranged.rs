//! Conditions on the columns of a split.

use std::fmt;
use std::ops::{Range, RangeInclusive};

use tantivy::DocId;
use tantivy::columnar::{Column, ColumnIndex};

/// Records by what a column has of them.
pub(crate) trait Ranged: Send + Sync {
    /// Replaces `found` by the records of `docs`, ascending; one may occur several times.
    fn among(&self, docs: Range<DocId>, found: &mut Vec<DocId>);

    /// Tells whether this is one of them.
    fn contains(&self, doc: DocId) -> bool;
}

/// The records with a value in a range.
pub(super) struct Between<T> {
    pub(super) column: Column<T>,
    pub(super) range: RangeInclusive<T>,
}

impl<T> Ranged for Between<T>
where
    T: PartialOrd + Copy + fmt::Debug + Send + Sync + 'static,
{
    fn among(&self, docs: Range<DocId>, found: &mut Vec<DocId>) {
        found.clear();
        self.column
            .get_docids_for_value_range(self.range.clone(), docs, found);
    }

    fn contains(&self, doc: DocId) -> bool {
        let mut values = self.column.values_for_doc(doc);
        values.any(|value| self.range.contains(&value))
    }
}

/// The records with a value.
pub(super) struct Present(pub(super) ColumnIndex);

impl Ranged for Present {
    fn among(&self, docs: Range<DocId>, found: &mut Vec<DocId>) {
        found.clear();
        found.extend(docs.filter(|doc| self.0.has_value(*doc)));
    }

    fn contains(&self, doc: DocId) -> bool {
        self.0.has_value(doc)
    }
}
