//! Columns by the names that users give them, for sorting and aggregations.

use super::QueryError;
use super::names::{self, Target};
use crate::policy::{IndexPolicy, PersonalIndex};
use crate::schema::{Label, Side};

/// A column of a split, on the side that its reader looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ColumnRef {
    /// What it holds.
    pub(crate) field: ColumnField,
    /// The values of which side. Personal ones are complete: they repeat what is public.
    pub(crate) side: Side,
}

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ColumnField {
    /// Seqs, unsigned.
    Seq,
    /// Times of occurrence (ns since 1970, signed).
    Occurred,
    /// Times of receipt (ms since 1970, unsigned).
    Received,
    /// Values of a name: strings, or addresses for [`Label::Ip`].
    Label(Label),
    /// Values at an allow-listed path: the whole of it, `payload.order.total`.
    Path(String),
}

impl ColumnRef {
    /// The least policy under which a split has the whole column.
    pub(crate) fn needs(&self) -> IndexPolicy {
        let mut policy = IndexPolicy::minimal();
        if let ColumnField::Path(path) = &self.field {
            policy.paths.push(path.clone());
        }
        if self.side == Side::Personal {
            policy.personal = PersonalIndex::Exact;
        }
        policy
    }
}

/// Finds the column for a field's name, an alias of it, or a path.
///
/// # Errors
/// [`QueryError`] without a column in the text when the name is unknown, and when the field has no column.
pub(crate) fn column(name: &str, personal: bool) -> Result<ColumnRef, QueryError> {
    let side = |label: Label| match personal && label.column(Side::Personal).is_some() {
        true => Side::Personal,
        false => Side::Public,
    };
    let (field, side) = match names::find(name)? {
        Target::Seq => (ColumnField::Seq, Side::Public),
        Target::Occurred => (ColumnField::Occurred, Side::Public),
        Target::Received => (ColumnField::Received, Side::Public),
        Target::Label(label) if label.column(Side::Public).is_some() => {
            (ColumnField::Label(label), side(label))
        }
        Target::EventName => (ColumnField::Label(Label::Action), Side::Public),
        Target::Path(path) => {
            let side = if personal { Side::Personal } else { Side::Public };
            (ColumnField::Path(path.0), side)
        }
        Target::Label(_) | Target::Free(_) | Target::Text => {
            let message = format!("{name:?} has no column: nothing can be sorted, counted or measured by it");
            return Err(QueryError::new(message, None));
        }
    };
    Ok(ColumnRef { field, side })
}
