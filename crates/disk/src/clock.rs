//! Time as it is passed in: wall-clock time, and time since boot that nobody can set.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::time::{ClockId, clock_gettime};

/// A source of time.
pub trait Clock: Send + Sync + 'static {
    /// Returns milliseconds since 1970-01-01 UTC; it may step in either direction.
    fn now_ms(&self) -> u64;

    /// Returns milliseconds since boot, including suspend (`CLOCK_BOOTTIME`); it never runs backwards.
    fn boot_ms(&self) -> u64;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this crate owns the clock")]
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn boot_ms(&self) -> u64 {
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
        seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000)
    }
}

/// A clock that moves only when it is told to. Clones share the time.
#[derive(Debug, Clone, Default)]
pub struct ManualClock {
    times: Arc<Times>,
}

#[derive(Debug, Default)]
struct Times {
    now_ms: AtomicU64,
    boot_ms: AtomicU64,
}

impl ManualClock {
    /// Starts at `now_ms` of wall-clock time, with the boot clock at 0.
    #[must_use]
    pub fn new(now_ms: u64) -> Self {
        let clock = Self::default();
        clock.set_now_ms(now_ms);
        clock
    }

    /// Advances both clocks.
    pub fn advance_ms(&self, ms: u64) {
        self.times.now_ms.fetch_add(ms, Ordering::SeqCst);
        self.times.boot_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Steps the wall clock alone, as an administrator or NTP does.
    pub fn set_now_ms(&self, now_ms: u64) {
        self.times.now_ms.store(now_ms, Ordering::SeqCst);
    }

    /// Sets the boot clock alone.
    pub fn set_boot_ms(&self, boot_ms: u64) {
        self.times.boot_ms.store(boot_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.times.now_ms.load(Ordering::SeqCst)
    }

    fn boot_ms(&self) -> u64 {
        self.times.boot_ms.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_clock_is_in_this_century_and_boot_time_does_not_run_back() {
        let clock = SystemClock;
        assert!(clock.now_ms() > 1_600_000_000_000);
        let before = clock.boot_ms();
        assert!(before > 0 && clock.boot_ms() >= before);
    }

    #[test]
    fn manual_clock_steps_the_wall_clock_without_the_boot_clock() {
        let clock = ManualClock::new(1000);
        let shared = clock.clone();
        clock.advance_ms(5);
        assert_eq!((shared.now_ms(), shared.boot_ms()), (1005, 5));
        clock.set_now_ms(10);
        assert_eq!((shared.now_ms(), shared.boot_ms()), (10, 5));
    }
}
