//! Count, sum, least and greatest of numbers.

use crate::search::TWO_63;

/// What is known of some numbers. Sums of whole numbers are exact, and so are the same in whatever order splits are merged;
/// other numbers are added with compensation.
#[derive(Clone, Debug)]
pub(crate) struct Measure {
    pub(crate) count: u64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    whole: i128,
    rest: f64,
    /// What additions to `rest` lost.
    lost: f64,
}

impl Default for Measure {
    fn default() -> Self {
        Self {
            count: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            whole: 0,
            rest: 0.0,
            lost: 0.0,
        }
    }
}

impl Measure {
    pub(crate) fn add(&mut self, number: f64) {
        self.count += 1;
        self.min = self.min.min(number);
        self.max = self.max.max(number);
        #[expect(clippy::cast_possible_truncation, reason = "within bounds")]
        if number.abs() < TWO_63 && number.trunc() == number {
            self.whole += i128::from(number as i64);
        } else {
            self.add_rest(number);
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.whole += other.whole;
        self.add_rest(other.rest);
        self.lost += other.lost;
    }

    /// Neumaier's summation.
    fn add_rest(&mut self, number: f64) {
        let sum = self.rest + number;
        self.lost += if self.rest.abs() >= number.abs() {
            (self.rest - sum) + number
        } else {
            (number - sum) + self.rest
        };
        self.rest = sum;
    }

    #[expect(clippy::cast_precision_loss, reason = "the nearest double is wanted")]
    pub(crate) fn sum(&self) -> f64 {
        self.whole as f64 + (self.rest + self.lost)
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
    pub(crate) fn avg(&self) -> f64 {
        self.sum() / self.count as f64
    }
}
