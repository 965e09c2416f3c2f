//! Ranges of numbers over columns of different types. All compare as doubles do: a whole number counts as the double
//! nearest to it, as its text in the dictionary does.

use std::ops::{Bound, RangeInclusive};

use super::ast::Bounds;

/// The doubles in the bounds.
pub(super) fn float(bounds: &Bounds<f64>) -> RangeInclusive<f64> {
    // Columns order the two zeros; bounds do not.
    let low = match bounds.lower {
        Bound::Unbounded => f64::NEG_INFINITY,
        Bound::Included(0.0) => -0.0,
        Bound::Included(number) => number,
        Bound::Excluded(number) => number.next_up(),
    };
    let high = match bounds.upper {
        Bound::Unbounded => f64::INFINITY,
        Bound::Included(0.0) => 0.0,
        Bound::Included(number) => number,
        Bound::Excluded(number) => number.next_down(),
    };
    low..=high
}

/// The whole numbers in the bounds, if there are any.
#[expect(
    clippy::cast_precision_loss,
    reason = "the nearest double is what is compared"
)]
pub(super) fn signed(bounds: &Bounds<f64>) -> Option<RangeInclusive<i64>> {
    let range = whole(i128::from(i64::MIN), i128::from(i64::MAX), bounds, |number| {
        number as f64
    })?;
    Some(i64::try_from(*range.start()).ok()?..=i64::try_from(*range.end()).ok()?)
}

/// The whole numbers from 0 in the bounds, if there are any.
#[expect(
    clippy::cast_precision_loss,
    reason = "the nearest double is what is compared"
)]
pub(super) fn unsigned(bounds: &Bounds<f64>) -> Option<RangeInclusive<u64>> {
    let range = whole(0, i128::from(u64::MAX), bounds, |number| number as f64)?;
    Some(u64::try_from(*range.start()).ok()?..=u64::try_from(*range.end()).ok()?)
}

/// Rounding keeps the order, so what is in the bounds has no gaps.
fn whole(
    low: i128,
    high: i128,
    bounds: &Bounds<f64>,
    round: impl Fn(i128) -> f64,
) -> Option<RangeInclusive<i128>> {
    let above = |number: i128| match bounds.lower {
        Bound::Unbounded => true,
        Bound::Included(lower) => round(number) >= lower,
        Bound::Excluded(lower) => round(number) > lower,
    };
    let beyond = |number: i128| match bounds.upper {
        Bound::Unbounded => false,
        Bound::Included(upper) => round(number) > upper,
        Bound::Excluded(upper) => round(number) >= upper,
    };
    let first = |holds: &dyn Fn(i128) -> bool| {
        let (mut from, mut to) = (low, high + 1);
        while from < to {
            let middle = from + (to - from) / 2;
            match holds(middle) {
                true => to = middle,
                false => from = middle + 1,
            }
        }
        from
    };
    let range = first(&above)..=first(&beyond) - 1;
    (!range.is_empty()).then_some(range)
}

#[cfg(test)]
mod tests {
    use std::ops::Bound::{Excluded, Included, Unbounded};

    use super::{Bounds, float, signed, unsigned};

    #[test]
    fn whole_numbers_compare_as_the_doubles_nearest_to_them() {
        let bounds = |lower, upper| Bounds { lower, upper };
        assert_eq!(signed(&bounds(Included(1.5), Included(4.0))), Some(2..=4));
        assert_eq!(signed(&bounds(Excluded(-2.0), Excluded(2.0))), Some(-1..=1));
        assert_eq!(signed(&bounds(Included(1.2), Included(1.8))), None);
        assert_eq!(signed(&bounds(Unbounded, Unbounded)), Some(i64::MIN..=i64::MAX));
        assert_eq!(unsigned(&bounds(Unbounded, Included(-1.0))), None);
        assert_eq!(unsigned(&bounds(Included(-5.0), Excluded(3.0))), Some(0..=2));
        let large = 9_007_199_254_740_992.0;
        // 2^53 + 1 rounds to 2^53.
        assert_eq!(
            signed(&bounds(Included(large), Included(large))),
            Some(1 << 53..=(1 << 53) + 1)
        );
        assert_eq!(unsigned(&bounds(Included(1e30), Unbounded)), None);
        assert_eq!(
            signed(&bounds(Unbounded, Included(1e30))),
            Some(i64::MIN..=i64::MAX)
        );
    }

    #[test]
    fn zero_has_no_sign() {
        let bounds = |lower, upper| Bounds { lower, upper };
        let range = float(&bounds(Included(0.0), Included(-0.0)));
        assert!(range.start().is_sign_negative() && range.end().is_sign_positive());
        let range = float(&bounds(Excluded(-0.0), Excluded(0.0)));
        assert!(*range.start() > 0.0 && *range.end() < 0.0);
    }
}
