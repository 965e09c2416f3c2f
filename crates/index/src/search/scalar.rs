//! A value of a column, as it is compared across splits.
//!
//! Splits hold the same numbers in columns of different types, so equal numbers are brought to one form here: a whole number
//! is [`Scalar::Int`], or [`Scalar::Big`] beyond that; everything else is [`Scalar::Float`].

use std::cmp::Ordering;
use std::net::Ipv6Addr;

/// A value. Ordered by type (truth values, numbers, addresses, strings), then by value.
#[derive(Clone, Debug)]
pub(crate) enum Scalar {
    Bool(bool),
    Int(i64),
    /// Above [`i64::MAX`].
    Big(u64),
    /// No whole number, or one beyond both others. Never NaN: JSON has none.
    Float(f64),
    Ip([u8; 16]),
    Text(Box<str>),
}

impl Scalar {
    pub(crate) fn unsigned(number: u64) -> Self {
        i64::try_from(number).map_or(Self::Big(number), Self::Int)
    }

    pub(crate) fn float(number: f64) -> Self {
        if number.fract() != 0.0 || !number.is_finite() {
            return Self::Float(number);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole and in bounds"
        )]
        match number {
            _ if (-TWO_63..TWO_63).contains(&number) => Self::Int(number as i64),
            _ if (TWO_63..TWO_64).contains(&number) => Self::Big(number as u64),
            _ => Self::Float(number),
        }
    }

    /// Which type it has, in the order of types.
    pub(crate) const fn rank(&self) -> u8 {
        match self {
            Self::Bool(_) => 0,
            Self::Int(_) | Self::Big(_) | Self::Float(_) => 1,
            Self::Ip(_) => 2,
            Self::Text(_) => 3,
        }
    }

    /// The number, rounded to the nearest that a double holds.
    #[expect(clippy::cast_precision_loss, reason = "that is what is asked for")]
    pub(crate) fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Big(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            Self::Bool(_) | Self::Ip(_) | Self::Text(_) => None,
        }
    }

    pub(crate) fn ip(&self) -> Option<Ipv6Addr> {
        match self {
            Self::Ip(bytes) => Some(Ipv6Addr::from(*bytes)),
            _ => None,
        }
    }

    /// Memory outside of the value itself (bytes).
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            _ => 0,
        }
    }
}

impl Ord for Scalar {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Big(a), Self::Big(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => a.total_cmp(b),
            (Self::Int(_), Self::Big(_)) => Ordering::Less,
            (Self::Big(_), Self::Int(_)) => Ordering::Greater,
            (Self::Ip(a), Self::Ip(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Float(float), whole) if whole.rank() == 1 => against_whole(*float, whole),
            (whole, Self::Float(float)) if whole.rank() == 1 => against_whole(*float, whole).reverse(),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

/// A float is between whole numbers, or beyond all of the other forms: where rounding makes them equal, its sign decides.
fn against_whole(float: f64, whole: &Scalar) -> Ordering {
    let whole = whole.as_f64().unwrap_or(0.0);
    let tie = if float > 0.0 {
        Ordering::Greater
    } else {
        Ordering::Less
    };
    float.total_cmp(&whole).then(tie)
}

impl PartialOrd for Scalar {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scalar {}

impl std::hash::Hash for Scalar {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        match self {
            Self::Bool(value) => value.hash(state),
            Self::Int(number) => number.hash(state),
            Self::Big(number) => number.hash(state),
            Self::Float(number) => number.to_bits().hash(state),
            Self::Ip(bytes) => bytes.hash(state),
            Self::Text(text) => text.hash(state),
        }
    }
}

pub(crate) const TWO_63: f64 = 9_223_372_036_854_775_808.0;
pub(crate) const TWO_64: f64 = 18_446_744_073_709_551_616.0;

#[cfg(test)]
mod tests {
    use super::Scalar;

    #[test]
    fn numbers_of_all_forms_have_one_order() {
        let ascending = [
            Scalar::Bool(true),
            Scalar::float(-1e300),
            Scalar::Int(i64::MIN),
            Scalar::float(-0.5),
            Scalar::Int(0),
            Scalar::float(0.25),
            Scalar::Int(1),
            Scalar::Int(i64::MAX),
            Scalar::Big(u64::MAX),
            Scalar::float(18_446_744_073_709_551_616.0),
            Scalar::Ip([0; 16]),
            Scalar::Text("".into()),
            Scalar::Text("a".into()),
        ];
        for (at, left) in ascending.iter().enumerate() {
            for (beside, right) in ascending.iter().enumerate() {
                assert_eq!(left.cmp(right), at.cmp(&beside), "{left:?} {right:?}");
            }
        }
        assert_eq!(Scalar::float(5.0), Scalar::Int(5));
        assert_eq!(Scalar::float(-0.0), Scalar::unsigned(0));
        assert_eq!(Scalar::float(1e19), Scalar::unsigned(10_000_000_000_000_000_000));
    }
}
