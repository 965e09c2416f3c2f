//! Percentiles of numbers, with a bounded relative error.
//!
//! A DDSketch (Masson, Rim, Lee, VLDB 2019): numbers are counted in bins whose bounds grow by a constant factor, so every
//! number is known to [`RELATIVE_ERROR`]. Nothing is ever collapsed, and merging adds counts: the result does not depend on
//! how the numbers were spread over splits.

use std::collections::BTreeMap;

/// A percentile is within this share of the number that stands at its rank.
pub(crate) const RELATIVE_ERROR: f64 = 0.01;
/// Memory of one bin, roughly (bytes).
pub(crate) const BIN_BYTES: usize = 24;
/// Smaller numbers count as zero.
const SMALLEST: f64 = 1e-9;

/// Numbers by magnitude.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quantiles {
    negative: BTreeMap<i32, u64>,
    zero: u64,
    positive: BTreeMap<i32, u64>,
    count: u64,
}

impl Quantiles {
    /// Adds a number; tells whether it took a new bin.
    pub(crate) fn add(&mut self, number: f64) -> bool {
        self.count += 1;
        let bins = if number > SMALLEST {
            &mut self.positive
        } else if number < -SMALLEST {
            &mut self.negative
        } else {
            self.zero += 1;
            return false;
        };
        let count = bins.entry(bin(number.abs())).or_default();
        *count += 1;
        *count == 1
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.zero += other.zero;
        for (own, others) in [
            (&mut self.negative, &other.negative),
            (&mut self.positive, &other.positive),
        ] {
            for (bin, count) in others {
                *own.entry(*bin).or_default() += count;
            }
        }
    }

    pub(crate) fn bins(&self) -> usize {
        self.negative.len() + self.positive.len()
    }

    /// The number at a percentile (0 to 100), by nearest rank from below; `None` without numbers.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "ranks are below 2^53 and not negative"
    )]
    pub(crate) fn at(&self, percent: f64) -> Option<f64> {
        let last = self.count.checked_sub(1)?;
        let mut rank = ((percent / 100.0) * last as f64) as u64;
        for (bin, count) in self.negative.iter().rev() {
            match rank.checked_sub(*count) {
                None => return Some(-middle(*bin)),
                Some(rest) => rank = rest,
            }
        }
        match rank.checked_sub(self.zero) {
            None => return Some(0.0),
            Some(rest) => rank = rest,
        }
        for (bin, count) in &self.positive {
            match rank.checked_sub(*count) {
                None => return Some(middle(*bin)),
                Some(rest) => rank = rest,
            }
        }
        self.positive.last_key_value().map(|(bin, _)| middle(*bin))
    }
}

fn growth() -> f64 {
    (1.0 + RELATIVE_ERROR) / (1.0 - RELATIVE_ERROR)
}

#[expect(clippy::cast_possible_truncation, reason = "doubles span some 75,000 bins")]
fn bin(magnitude: f64) -> i32 {
    (magnitude.ln() / growth().ln()).ceil() as i32
}

/// The number nearest to all of a bin's, by ratio.
fn middle(bin: i32) -> f64 {
    2.0 * growth().powi(bin) / (growth() + 1.0)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tests")]

    use super::{Quantiles, RELATIVE_ERROR};

    #[test]
    fn percentiles_keep_their_error() {
        let (mut whole, mut halves) = (Quantiles::default(), [Quantiles::default(), Quantiles::default()]);
        let numbers: Vec<f64> = (-500..2000).map(|n| f64::from(n) * 1.7).collect();
        for (at, number) in numbers.iter().enumerate() {
            whole.add(*number);
            halves[at % 2].add(*number);
        }
        let [mut merged, other] = halves;
        merged.merge(&other);
        for percent in [0.0, 1.0, 19.0, 20.1, 50.0, 99.0, 99.9, 100.0] {
            let exact = numbers[(percent / 100.0 * 2499.0) as usize];
            let got = whole.at(percent).unwrap_or(f64::NAN);
            assert!(
                (got - exact).abs() <= exact.abs() * RELATIVE_ERROR + 1e-9,
                "{percent}: {got} {exact}"
            );
            assert_eq!(merged.at(percent), whole.at(percent));
        }
        assert_eq!(Quantiles::default().at(50.0), None);
    }
}
