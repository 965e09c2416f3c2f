//! The values of a column in one split, read for many records at once.
//!
//! Values are taken as the unsigned numbers that the columns hold: within a column they have the order of what they stand
//! for. [`Typed::scalars`] says what that is.

use std::sync::Arc;

use tantivy::columnar::column_values::{CompactHit, CompactSpaceU64Accessor};
use tantivy::columnar::{
    Cardinality, Column, ColumnType, DynamicColumn, DynamicColumnHandle, StrColumn, TermOrdHit,
};
use tantivy::{DocId, f64_to_u64, i64_to_u64, u64_to_f64, u64_to_i64};

use super::scalar::{Scalar, TWO_63, TWO_64};
use super::window::is_run;
use crate::query::{ColumnField, ColumnRef};
use crate::schema::{OCCURRED_NS, RECEIVED_MS, SEQ, path_column};
use crate::{Error, Split};

/// Strings looked up between two questions whether to stop.
const LOOK_UP_MAX: usize = 4096;

/// What the numbers of a column stand for.
#[derive(Clone)]
pub(crate) enum Kind {
    Bool,
    U64,
    I64,
    F64,
    /// Places in a dictionary.
    Text(StrColumn),
    /// Places in the compact space of a column of addresses.
    Ip(Arc<CompactSpaceU64Accessor>),
}

/// The values of one type.
pub(crate) struct Typed {
    pub(crate) kind: Kind,
    column: Column<u64>,
}

/// Where a value stands among the values of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// This one.
    At(u64),
    /// Before this one, and after all below.
    Before(u64),
    /// After all.
    End,
}

/// Opens a column: one part for each type of its values, in the order of types. No part: no record has a value.
///
/// # Errors
/// [`Error::NoColumn`] when the split was built without it.
pub(crate) fn open(split: &Split, column: &ColumnRef) -> Result<Vec<Typed>, Error> {
    let name = match &column.field {
        ColumnField::Seq => SEQ.to_owned(),
        ColumnField::Occurred => OCCURRED_NS.to_owned(),
        ColumnField::Received => RECEIVED_MS.to_owned(),
        ColumnField::Label(label) => match label.column(column.side) {
            Some(column) => column.name.to_owned(),
            None => {
                return Err(Error::NoColumn {
                    column: format!("{label:?}"),
                });
            }
        },
        ColumnField::Path(path) if split.policy().paths.contains(path) => path_column(path, column.side),
        ColumnField::Path(path) => return Err(Error::NoColumn { column: path.clone() }),
    };
    let handles = split.reader().fast_fields().dynamic_column_handles(&name)?;
    let mut typed = handles
        .into_iter()
        .filter_map(|handle| Typed::open(&handle).transpose())
        .collect::<Result<Vec<_>, Error>>()?;
    typed.sort_by_key(Typed::rank);
    Ok(typed)
}

impl Typed {
    fn open(handle: &DynamicColumnHandle) -> Result<Option<Self>, Error> {
        let kind = match handle.column_type() {
            ColumnType::Bool => Kind::Bool,
            ColumnType::U64 => Kind::U64,
            ColumnType::I64 => Kind::I64,
            ColumnType::F64 => Kind::F64,
            ColumnType::Str => {
                let DynamicColumn::Str(strings) = handle.open()? else {
                    return Ok(None);
                };
                let column = strings.ords().clone();
                let kind = Kind::Text(strings);
                return Ok(Some(Self { kind, column }));
            }
            ColumnType::IpAddr => {
                let Some(column) = handle.open_u64_lenient()? else {
                    return Ok(None);
                };
                let space = Arc::clone(&column.values).downcast_arc::<CompactSpaceU64Accessor>();
                let space = space.map_err(|_| Error::Malformed("addresses are not compact".to_owned()))?;
                let kind = Kind::Ip(space);
                return Ok(Some(Self { kind, column }));
            }
            ColumnType::DateTime | ColumnType::Bytes => return Ok(None),
        };
        Ok(handle.open_u64_lenient()?.map(|column| Self { kind, column }))
    }

    /// As [`Scalar::rank`] of its values.
    pub(crate) fn rank(&self) -> u8 {
        match self.kind {
            Kind::Bool => 0,
            Kind::U64 | Kind::I64 | Kind::F64 => 1,
            Kind::Ip(_) => 2,
            Kind::Text(_) => 3,
        }
    }

    /// A bound above all values, if it is small: values can number places in a table then.
    pub(crate) fn table_len(&self) -> Option<usize> {
        match &self.kind {
            Kind::Bool => Some(2),
            Kind::Text(strings) => Some(strings.dictionary().num_terms()),
            Kind::U64 | Kind::I64 | Kind::F64 | Kind::Ip(_) => None,
        }
    }

    pub(crate) fn bounds(&self) -> (u64, u64) {
        (self.column.min_value(), self.column.max_value())
    }

    /// Whether every record has exactly one value.
    pub(crate) fn is_full(&self) -> bool {
        self.column.get_cardinality() == Cardinality::Full
    }

    /// Loads the values of `docs`, which ascend.
    pub(crate) fn load(&self, docs: &[DocId], loaded: &mut Loaded) {
        let Loaded {
            values,
            ends,
            full,
            rows,
            row_docs,
        } = loaded;
        *full = self.is_full();
        ends.clear();
        if *full {
            if values.len() != docs.len() {
                values.resize(docs.len(), 0);
            }
            match (docs.first(), docs.last()) {
                (Some(first), Some(last)) if is_run(*first, *last, docs.len()) => {
                    self.column.values.get_range(u64::from(*first), values);
                }
                _ => self.column.values.get_vals(docs, values),
            }
        } else {
            rows.clear();
            row_docs.clear();
            self.column.row_ids_for_docs(docs, row_docs, rows);
            values.resize(rows.len(), 0);
            self.column.values.get_vals(rows, values);
            let mut at = 0;
            for doc in docs {
                while row_docs.get(at) == Some(doc) {
                    at += 1;
                }
                // A block has few records, and a record a bounded number of values.
                ends.push(u32::try_from(at).unwrap_or(u32::MAX));
            }
        }
        if matches!(self.kind, Kind::F64) {
            // Zero has two forms.
            let (negative, positive) = (f64_to_u64(-0.0), f64_to_u64(0.0));
            for value in values.iter_mut().filter(|value| **value == negative) {
                *value = positive;
            }
        }
    }

    /// The number that a value stands for; of strings and addresses, none.
    #[expect(clippy::cast_precision_loss, reason = "measures are doubles")]
    pub(crate) fn number(&self, value: u64) -> Option<f64> {
        match self.kind {
            Kind::U64 => Some(value as f64),
            Kind::I64 => Some(u64_to_i64(value) as f64),
            Kind::F64 => Some(u64_to_f64(value)),
            Kind::Bool | Kind::Text(_) | Kind::Ip(_) => None,
        }
    }

    /// What a value of any type but strings stands for.
    pub(crate) fn scalar(&self, value: u64) -> Option<Scalar> {
        Some(match &self.kind {
            Kind::Bool => Scalar::Bool(value != 0),
            Kind::U64 => Scalar::unsigned(value),
            Kind::I64 => Scalar::Int(u64_to_i64(value)),
            Kind::F64 => Scalar::float(u64_to_f64(value)),
            Kind::Ip(space) => Scalar::Ip(space.compact_to_u128(u32::try_from(value).ok()?).to_be_bytes()),
            Kind::Text(_) => return None,
        })
    }

    /// The values of strings that start so, both ends included, if there are any.
    pub(crate) fn starting(&self, start: &str) -> Result<Option<(u64, u64)>, Error> {
        let Kind::Text(strings) = &self.kind else {
            return Ok(None);
        };
        // No string has a byte of 255.
        let mut end = start.as_bytes().to_vec();
        end.push(u8::MAX);
        let ord = |bytes: &[u8]| -> Result<u64, Error> {
            Ok(match strings.dictionary().term_ord_or_next(bytes)? {
                TermOrdHit::Exact(ord) | TermOrdHit::Next(ord) => ord,
            })
        };
        let (first, end) = (ord(start.as_bytes())?, ord(&end)?);
        let end = end.min(strings.dictionary().num_terms() as u64);
        Ok((first < end).then(|| (first, end - 1)))
    }

    /// Where a value stands in this column; it must be of the column's type.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "doubles are within the bounds of the type"
    )]
    pub(crate) fn place(&self, scalar: &Scalar) -> Result<Place, Error> {
        Ok(match (&self.kind, scalar) {
            (Kind::Bool, Scalar::Bool(value)) => Place::At(u64::from(*value)),
            (Kind::Text(strings), Scalar::Text(text)) => {
                match strings.dictionary().term_ord_or_next(text.as_bytes())? {
                    TermOrdHit::Exact(ord) => Place::At(ord),
                    TermOrdHit::Next(ord) => Place::Before(ord),
                }
            }
            (Kind::Ip(space), Scalar::Ip(bytes)) => {
                match space.u128_to_next_compact(u128::from_be_bytes(*bytes)) {
                    CompactHit::Exact(at) => Place::At(u64::from(at)),
                    CompactHit::Next(at) => Place::Before(u64::from(at)),
                    CompactHit::AfterLast => Place::End,
                }
            }
            (Kind::U64, Scalar::Int(number)) => match u64::try_from(*number) {
                Ok(number) => Place::At(number),
                Err(_) => Place::Before(0),
            },
            (Kind::U64, Scalar::Big(number)) => Place::At(*number),
            (Kind::I64, Scalar::Int(number)) => Place::At(i64_to_u64(*number)),
            (Kind::I64, Scalar::Big(_)) => Place::End,
            (Kind::U64, Scalar::Float(number)) => before_whole(*number, 0.0, TWO_64, |n| n as u64),
            (Kind::I64, Scalar::Float(number)) => {
                before_whole(*number, -TWO_63, TWO_63, |n| i64_to_u64(n as i64))
            }
            (Kind::F64, scalar) => {
                let number = scalar.as_f64().unwrap_or(f64::INFINITY);
                match Scalar::float(number).cmp(scalar) {
                    std::cmp::Ordering::Less => Place::Before(f64_to_u64(number.next_up())),
                    std::cmp::Ordering::Equal => Place::At(f64_to_u64(number)),
                    std::cmp::Ordering::Greater => Place::Before(f64_to_u64(number)),
                }
            }
            _ => Place::End,
        })
    }

    /// What ascending values stand for, in their order.
    pub(crate) fn scalars(
        &self,
        ascending: &[u64],
        stop: &dyn Fn() -> bool,
        mut each: impl FnMut(Scalar) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for part in ascending.chunks(LOOK_UP_MAX) {
            if stop() {
                return Err(Error::Stopped);
            }
            if let Kind::Text(strings) = &self.kind {
                let mut outcome = Ok(());
                let all = strings.dictionary().sorted_ords_to_term_cb(part, |term| {
                    if outcome.is_ok() {
                        outcome = text(term).and_then(&mut each);
                    }
                })?;
                outcome?;
                if !all {
                    return Err(Error::Malformed(
                        "a string is missing in its dictionary".to_owned(),
                    ));
                }
                continue;
            }
            for value in part {
                let scalar = self.scalar(*value);
                each(scalar.ok_or_else(|| Error::Malformed("a value is out of its column".to_owned()))?)?;
            }
        }
        Ok(())
    }
}

fn text(term: &[u8]) -> Result<Scalar, Error> {
    match std::str::from_utf8(term) {
        Ok(text) => Ok(Scalar::Text(text.into())),
        Err(_) => Err(Error::Malformed("a string of a column is not UTF-8".to_owned())),
    }
}

/// The place of a number that is not whole, or beyond all that are, among whole ones from `low` up to `high`.
fn before_whole(number: f64, low: f64, high: f64, whole: impl Fn(f64) -> u64) -> Place {
    if number < low {
        Place::Before(whole(low))
    } else if number.ceil() >= high {
        Place::End
    } else {
        Place::Before(whole(number.ceil()))
    }
}

/// Values of a block of records.
#[derive(Default)]
pub(crate) struct Loaded {
    values: Vec<u64>,
    /// For each record, where its values end; not used if all have exactly one.
    ends: Vec<u32>,
    full: bool,
    rows: Vec<u32>,
    row_docs: Vec<DocId>,
}

impl Loaded {
    /// The values, if each record has exactly one.
    pub(crate) fn one_each(&self) -> Option<&[u64]> {
        self.full.then_some(&self.values)
    }

    /// The values of the record at `at` in the block.
    pub(crate) fn of(&self, at: usize) -> &[u64] {
        let range = if self.full {
            at..at + 1
        } else {
            let start = at
                .checked_sub(1)
                .and_then(|before| self.ends.get(before))
                .copied();
            let end = self.ends.get(at).copied().unwrap_or(0);
            start.unwrap_or(0) as usize..end as usize
        };
        self.values.get(range).unwrap_or_default()
    }

    /// Takes out values that a record has twice. Values of a record ascend afterwards.
    pub(crate) fn deduplicate(&mut self) {
        let mut before = 0;
        let is_single = |end: &u32| *end - std::mem::replace(&mut before, *end) <= 1;
        if self.full || self.ends.iter().all(is_single) {
            return;
        }
        let (mut start, mut kept) = (0, 0);
        for end in &mut self.ends {
            let (from, to) = (start, *end as usize);
            start = to;
            if let Some(own) = self.values.get_mut(from..to).filter(|own| own.len() > 1) {
                own.sort_unstable();
            }
            let first = kept;
            for at in from..to {
                let value = self.values[at];
                if kept == first || self.values[kept - 1] != value {
                    self.values[kept] = value;
                    kept += 1;
                }
            }
            *end = u32::try_from(kept).unwrap_or(u32::MAX);
        }
        self.values.truncate(kept);
    }
}
