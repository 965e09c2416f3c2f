//! Times and rates, and what is made of them for people.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Nanoseconds up to a minute, three digits.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).unwrap_or_else(|_| unreachable!("the bounds are fixed"))
}

/// Notes one time.
pub fn record(times: &mut Histogram<u64>, elapsed: Duration) {
    times.saturating_record(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX));
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub fn us(times: &Histogram<u64>, quantile: f64) -> f64 {
    times.value_at_quantile(quantile) as f64 / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub fn per_second(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b.max(1) as f64
}
