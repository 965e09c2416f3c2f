//! How fast background work may write, so that appends do not wait behind it.
//!
//! A token bucket over all files that flushes, compactions and rebuilds write. It knows no clock: time is passed in.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// The bucket.
#[derive(Default)]
pub(crate) struct Throttle {
    /// 0 for no limit.
    bytes_per_s: u64,
    /// When everything that was taken so far may have been written, microseconds of the boot clock.
    written_at_us: Mutex<u64>,
    urgent: AtomicUsize,
}

/// Held while work that others wait for writes; what can wait does.
pub(crate) struct Urgent<'a>(&'a Throttle);

impl Throttle {
    /// Makes a full bucket.
    pub(crate) fn new(bytes_per_s: u64) -> Self {
        Self {
            bytes_per_s,
            written_at_us: Mutex::new(0),
            urgent: AtomicUsize::new(0),
        }
    }

    /// Takes bytes out of the bucket; returns for how long to wait before they are written.
    pub(crate) fn take(&self, boot_ms: u64, bytes: usize) -> Duration {
        if self.bytes_per_s == 0 {
            return Duration::ZERO;
        }
        let now_us = boot_ms.saturating_mul(1000);
        let cost_us = (bytes as u64).saturating_mul(1_000_000) / self.bytes_per_s;
        let mut written_at_us = self.written_at_us.lock();
        // What was not used stays for a moment only: a long pause does not allow a long burst.
        let begin_us = (*written_at_us).max(now_us.saturating_sub(BURST_US));
        *written_at_us = begin_us.saturating_add(cost_us);
        Duration::from_micros(begin_us.saturating_sub(now_us))
    }

    /// Lets others wait until the guard is dropped.
    pub(crate) fn urgent(&self) -> Urgent<'_> {
        self.urgent.fetch_add(1, Ordering::AcqRel);
        Urgent(self)
    }

    /// Whether what can wait should.
    pub(crate) fn is_urgent(&self) -> bool {
        self.urgent.load(Ordering::Acquire) > 0
    }
}

impl Drop for Urgent<'_> {
    fn drop(&mut self) {
        self.0.urgent.fetch_sub(1, Ordering::AcqRel);
    }
}

/// As much as the bucket holds, as time: two writes of 256 KiB at the default rate.
const BURST_US: u64 = 5000;

#[cfg(test)]
mod tests {
    use super::Throttle;

    #[test]
    fn no_more_than_the_rate_is_written_over_any_second() {
        let throttle = Throttle::new(100_000_000);
        let piece = 256 << 10;
        let (mut now_us, mut written) = (1_000_000_000u64, Vec::new());
        for round in 0..4000u64 {
            // Sometimes there is nothing to write for a while.
            now_us += if round.is_multiple_of(500) { 3_000_000 } else { 0 };
            let wait = throttle.take(now_us / 1000, piece);
            now_us += u64::try_from(wait.as_micros()).unwrap();
            written.push(now_us);
        }
        for (at, begin) in written.iter().enumerate() {
            let within = written[at..].iter().take_while(|time| **time < begin + 1_000_000);
            let bytes = within.count() * piece;
            assert!(bytes <= 102_000_000, "{bytes} bytes in a second");
        }
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        let throttle = Throttle::new(0);
        assert!((0..1000).all(|_| throttle.take(5, 1 << 20).is_zero()));
    }

    #[test]
    fn urgent_work_is_seen_while_it_lasts() {
        let throttle = Throttle::new(1);
        let (one, two) = (throttle.urgent(), throttle.urgent());
        drop(one);
        assert!(throttle.is_urgent());
        drop(two);
        assert!(!throttle.is_urgent());
    }
}
