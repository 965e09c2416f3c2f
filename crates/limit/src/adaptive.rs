//! Limits that follow the load.
//!
//! Now and then the server says how long commits take and how full their queue is. Where one is beyond its target, reads are
//! cut at once and by a lot; only when they are down and it does not help, writes too. When it is well below, both come back
//! slowly, writes first. (Additive increase, multiplicative decrease.)

use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Adaptive, Class};

/// How busy a server is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// The longest that a commit took, or is taking, since the last look, microseconds.
    pub commit_us: u64,
    /// How full the committer's queue is, thousandths.
    pub queue_per_mille: u32,
}

/// How much is let through, in thousandths of the limits.
#[derive(Debug)]
pub struct Controller {
    settings: Adaptive,
    reads: AtomicU32,
    writes: AtomicU32,
    /// Looks in a row that were beyond the target.
    strained: AtomicU32,
}

impl Controller {
    /// Lets everything through at first.
    pub fn new(settings: Adaptive) -> Self {
        Self {
            settings,
            reads: AtomicU32::new(FULL),
            writes: AtomicU32::new(FULL),
            strained: AtomicU32::new(0),
        }
    }

    /// Takes a look into account. There is one caller.
    pub fn observe(&self, load: Load) {
        if !self.settings.enabled {
            return;
        }
        let target_us = u64::from(self.settings.commit_target_ms.max(1)) * 1000;
        let commit = load.commit_us.saturating_mul(1000) / target_us;
        let queue = u64::from(load.queue_per_mille) * 100
            / u64::from(self.settings.queue_target_percent.clamp(1, 100));
        let pressure = commit.max(queue);
        let (reads, writes) = (self.reads(), self.writes());
        if pressure > 1000 {
            let strained = self.strained.load(Ordering::Relaxed).saturating_add(1);
            self.strained.store(strained, Ordering::Relaxed);
            // One slow write is no load.
            if strained < STRAINED_MIN {
                return;
            }
            if reads > READS_MIN {
                self.reads
                    .store((reads * 7 / 10).max(READS_MIN), Ordering::Relaxed);
            } else if pressure > 2000 {
                self.writes
                    .store((writes * 85 / 100).max(WRITES_MIN), Ordering::Relaxed);
            }
        } else {
            self.strained.store(0, Ordering::Relaxed);
            if pressure >= 700 {
                return;
            }
            if writes < FULL {
                self.writes.store((writes + STEP).min(FULL), Ordering::Relaxed);
            } else {
                self.reads.store((reads + STEP).min(FULL), Ordering::Relaxed);
            }
        }
    }

    /// What is let through of a class, thousandths.
    pub fn of(&self, class: Class) -> u32 {
        if class.is_read() {
            self.reads()
        } else if class == Class::Append {
            self.writes()
        } else {
            FULL
        }
    }

    /// What is let through of reads, thousandths.
    pub fn reads(&self) -> u32 {
        self.reads.load(Ordering::Relaxed)
    }

    /// What is let through of appends, thousandths.
    pub fn writes(&self) -> u32 {
        self.writes.load(Ordering::Relaxed)
    }
}

/// Everything.
pub const FULL: u32 = 1000;
/// Reads are never cut below this.
const READS_MIN: u32 = 30;
/// Nor appends below this.
const WRITES_MIN: u32 = 200;
/// What comes back at a time.
const STEP: u32 = 50;
/// So many looks in a row have to be beyond the target.
const STRAINED_MIN: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Load = Load {
        commit_us: 500,
        queue_per_mille: 0,
    };

    fn observe(controller: &Controller, load: Load, times: usize) -> (u32, u32) {
        (0..times).for_each(|_| controller.observe(load));
        (controller.reads(), controller.writes())
    }

    #[test]
    fn one_slow_commit_changes_nothing() {
        let controller = Controller::new(Adaptive::default());
        let slow = Load {
            commit_us: 60_000_000,
            queue_per_mille: 0,
        };
        assert_eq!(observe(&controller, slow, 2), (1000, 1000));
        assert_eq!(observe(&controller, CALM, 1), (1000, 1000));
        assert_eq!(observe(&controller, slow, 2), (1000, 1000));
    }

    #[test]
    fn reads_are_cut_before_writes_and_come_back_after_them() {
        let controller = Controller::new(Adaptive::default());
        let full = Load {
            commit_us: 0,
            queue_per_mille: 1000,
        };
        let mut seen_reads_low = false;
        for _ in 0..60 {
            controller.observe(full);
            assert!(controller.writes() == 1000 || controller.reads() == READS_MIN);
            seen_reads_low |= controller.reads() == READS_MIN && controller.writes() == 1000;
        }
        assert!(seen_reads_low);
        // 1000 of 500 thousandths is pressure 2, not more: appends are spared.
        assert_eq!((controller.reads(), controller.writes()), (READS_MIN, 1000));
        let slow = Load {
            commit_us: 10_000_000,
            queue_per_mille: 1000,
        };
        assert_eq!(observe(&controller, slow, 60), (READS_MIN, WRITES_MIN));
        controller.observe(CALM);
        assert_eq!(
            (controller.reads(), controller.writes()),
            (READS_MIN, WRITES_MIN + STEP)
        );
        assert_eq!(observe(&controller, CALM, 60), (1000, 1000));
    }

    #[test]
    fn switched_off_it_cuts_nothing() {
        let controller = Controller::new(Adaptive {
            enabled: false,
            ..Adaptive::default()
        });
        let slow = Load {
            commit_us: u64::MAX,
            queue_per_mille: 1000,
        };
        assert_eq!(observe(&controller, slow, 50), (1000, 1000));
        assert_eq!(controller.of(Class::Admin), 1000);
    }
}
