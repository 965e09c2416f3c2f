//! By what hits are sorted.

use std::cmp::{Ordering, Reverse};

use super::Scalar;
use crate::query::{ColumnField, ColumnRef, column};
use crate::schema::Side;
use crate::{IndexPolicy, ParseOptions, QueryError, Summary};

/// A column that hits are sorted by, and the direction. Records without a value come last in both directions; among equal
/// values the lower seq comes first when ascending, the higher when descending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort {
    pub(crate) column: ColumnRef,
    /// Highest value first.
    pub descending: bool,
}

impl Sort {
    /// Reads `actor.id`, `actor.id:asc` or `occurred_at:desc`; any field with a column, any alias of it.
    ///
    /// # Errors
    /// [`QueryError`] for an unknown field, one without a column, and an unknown direction.
    pub fn parse(text: &str, options: &ParseOptions) -> Result<Self, QueryError> {
        let (name, descending) = match text.rsplit_once(':') {
            None => (text, false),
            Some((name, "asc")) => (name, false),
            Some((name, "desc")) => (name, true),
            Some((name, direction)) => {
                return Err(QueryError {
                    message: format!("sort direction {direction:?} is neither asc nor desc"),
                    column: Some(name.chars().count() + 1),
                    suggestion: None,
                });
            }
        };
        let column = column(name, options.personal)?;
        Ok(Self { column, descending })
    }

    /// Whether values about people can decide the order.
    pub fn looks_at_people(&self) -> bool {
        self.column.side == Side::Personal
    }

    /// The least policy under which a split has the column.
    pub fn needs(&self) -> IndexPolicy {
        self.column.needs()
    }

    /// Tells whether this is the order of seq itself.
    pub fn is_seq(&self) -> bool {
        self.column.field == ColumnField::Seq
    }

    /// Orders hits of any splits.
    pub fn compare(&self, left: &(SortKey, u64), right: &(SortKey, u64)) -> Ordering {
        let by_seq = || match self.descending {
            false => left.1.cmp(&right.1),
            true => right.1.cmp(&left.1),
        };
        left.0.cmp(&right.0).then_with(by_seq)
    }

    /// Tells whether nothing in a split can come before `worst`, by what is known of it without reading.
    pub fn cannot_beat(&self, split: &Summary, worst: &(SortKey, u64)) -> bool {
        let (low, high) = match self.column.field {
            ColumnField::Seq => (Scalar::unsigned(split.min_seq), Scalar::unsigned(split.max_seq)),
            ColumnField::Occurred => (
                Scalar::Int(split.min_occurred_ns),
                Scalar::Int(split.max_occurred_ns),
            ),
            ColumnField::Received => (
                Scalar::unsigned(split.min_received_ms),
                Scalar::unsigned(split.max_received_ms),
            ),
            ColumnField::Label(_) | ColumnField::Path(_) => return false,
        };
        let best = match self.descending {
            false => (self.key(Some(low)), split.min_seq),
            true => (self.key(Some(high)), split.max_seq),
        };
        self.compare(&best, worst) != Ordering::Less
    }

    pub(crate) fn key(&self, value: Option<Scalar>) -> SortKey {
        SortKey(match (value, self.descending) {
            (None, _) => Inner::Missing,
            (Some(value), false) => Inner::Ascending(value),
            (Some(value), true) => Inner::Descending(Reverse(value)),
        })
    }
}

/// What a hit is sorted by. Keys of one [`Sort`] are in the order of results.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SortKey(Inner);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Inner {
    Ascending(Scalar),
    Descending(Reverse<Scalar>),
    Missing,
}

const DESCENDING: u8 = 0x80;
const MISSING: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const BIG: u8 = 4;
const FLOAT: u8 = 5;
const IP: u8 = 6;
const TEXT: u8 = 7;

impl SortKey {
    pub(crate) fn value(&self) -> Option<&Scalar> {
        match &self.0 {
            Inner::Ascending(value) | Inner::Descending(Reverse(value)) => Some(value),
            Inner::Missing => None,
        }
    }

    /// Returns the value as JSON, of whatever unit its column has; `null` without one.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match self.value() {
            None => Value::Null,
            Some(Scalar::Bool(value)) => Value::from(*value),
            Some(Scalar::Int(number)) => Value::from(*number),
            Some(Scalar::Big(number)) => Value::from(*number),
            Some(Scalar::Float(number)) => Value::from(*number),
            Some(Scalar::Text(text)) => Value::from(&**text),
            Some(ip @ Scalar::Ip(_)) => {
                let text = ip
                    .ip()
                    .map(|ip| std::net::IpAddr::V6(ip).to_canonical().to_string());
                Value::from(text)
            }
        }
    }

    /// Returns the key as bytes: one of type and direction, then the value, numbers in eight bytes little-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        let direction = match self.0 {
            Inner::Descending(_) => DESCENDING,
            Inner::Ascending(_) | Inner::Missing => 0,
        };
        let (tag, bytes): (u8, &[u8]) = match self.value() {
            None => (MISSING, &[]),
            Some(Scalar::Bool(false)) => (FALSE, &[]),
            Some(Scalar::Bool(true)) => (TRUE, &[]),
            Some(Scalar::Int(number)) => (INT, &number.to_le_bytes()),
            Some(Scalar::Big(number)) => (BIG, &number.to_le_bytes()),
            Some(Scalar::Float(number)) => (FLOAT, &number.to_le_bytes()),
            Some(Scalar::Ip(ip)) => (IP, ip),
            Some(Scalar::Text(text)) => (TEXT, text.as_bytes()),
        };
        let mut all = Vec::with_capacity(1 + bytes.len());
        all.push(tag | direction);
        all.extend_from_slice(bytes);
        all
    }

    /// Reads what [`SortKey::to_bytes`] wrote; `None` if it is something else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (tag, rest) = bytes.split_first()?;
        let value = match (tag & !DESCENDING, rest) {
            (MISSING, []) => return (*tag == MISSING).then_some(Self(Inner::Missing)),
            (FALSE, []) => Scalar::Bool(false),
            (TRUE, []) => Scalar::Bool(true),
            (INT, rest) => Scalar::Int(i64::from_le_bytes(rest.try_into().ok()?)),
            (BIG, rest) => Scalar::Big(u64::from_le_bytes(rest.try_into().ok()?)),
            (FLOAT, rest) => Scalar::Float(f64::from_le_bytes(rest.try_into().ok()?)),
            (IP, rest) => Scalar::Ip(rest.try_into().ok()?),
            (TEXT, rest) => Scalar::Text(std::str::from_utf8(rest).ok()?.into()),
            _ => return None,
        };
        Some(Self(match tag & DESCENDING {
            0 => Inner::Ascending(value),
            _ => Inner::Descending(Reverse(value)),
        }))
    }
}
