//! What the columns of a request hold, and which aggregations fit them.

use serde_json::Value;

use super::{Accepted, ColumnAt, Shown, TimeUnit};
use crate::query::{ColumnField, ColumnRef};
use crate::schema::Label;
use crate::search::Scalar;

/// A column that a request names.
pub(super) struct Field {
    pub(super) name: String,
    pub(super) at: ColumnAt,
    pub(super) holds: Holds,
}

/// What values a column has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Numbers,
    Times(TimeUnit),
    Addresses,
    Strings,
    /// Values of a path: truth values, numbers and strings.
    Anything,
}

impl Holds {
    pub(super) fn of(column: &ColumnRef) -> Self {
        match column.field {
            ColumnField::Seq => Self::Numbers,
            ColumnField::Occurred => Self::Times(TimeUnit::Ns),
            ColumnField::Received => Self::Times(TimeUnit::Ms),
            ColumnField::Label(Label::Ip) => Self::Addresses,
            ColumnField::Label(_) => Self::Strings,
            ColumnField::Path(_) => Self::Anything,
        }
    }

    /// How its measures are written; `None` if it cannot be measured.
    pub(super) fn measured(self) -> Option<Shown> {
        match self {
            Self::Numbers | Self::Anything => Some(Shown::Number),
            Self::Times(unit) => Some(Shown::Time(unit)),
            Self::Addresses | Self::Strings => None,
        }
    }

    /// A value of the column, as requests write it.
    pub(super) fn scalar(self, value: &Value) -> Option<Scalar> {
        match value {
            Value::Bool(value) => Some(Scalar::Bool(*value)),
            Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => Some(Scalar::Int(number)),
                (None, Some(number)) => Some(Scalar::Big(number)),
                (None, None) => number.as_f64().map(Scalar::float),
            },
            Value::String(text) if self == Self::Addresses => {
                let ip: std::net::IpAddr = text.parse().ok()?;
                Some(Scalar::Ip(crate::document::mapped(ip.to_canonical()).octets()))
            }
            Value::String(text) => Some(Scalar::Text(text.as_str().into())),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// A list of values, or a start of strings and a `*`.
    pub(super) fn accepted(self, value: &Value) -> Option<Vec<Accepted>> {
        match value {
            Value::Array(values) => values
                .iter()
                .map(|value| self.scalar(value).map(Accepted::Value))
                .collect(),
            Value::String(pattern) => {
                let start = pattern.strip_suffix('*')?;
                let special = |c: char| "*?+|()[]{}^$\\".contains(c);
                (!start.contains(special)).then(|| vec![Accepted::Start(start.to_owned())])
            }
            _ => None,
        }
    }
}
