//! A sliding window: never more than the count in any window of time.
//!
//! The window is cut into [`SLOTS`] slots. What was taken counts until its slot lies whole outside of the window, so the bound
//! holds for every window, wherever it begins; in exchange up to one slot's worth is let through late.

use crate::{Ns, Rate};

/// State of one key.
#[derive(Clone, Debug)]
pub struct Window {
    /// Number of the newest slot, since the clock's beginning.
    newest: u64,
    total: u64,
    slots: [u32; RING],
}

/// What became of a request.
pub use crate::gcra::Outcome;

impl Default for Window {
    fn default() -> Self {
        Self {
            newest: 0,
            total: 0,
            slots: [0; RING],
        }
    }
}

impl Window {
    /// Takes `cost` at `now`, if that leaves no window with more than the count. What costs more than the count costs it.
    pub fn take(&mut self, now: Ns, rate: &Rate, cost: u32) -> Outcome {
        let cost = cost.min(rate.count());
        let used = self.used(now, rate);
        let count = u64::from(rate.count());
        if used + u64::from(cost) > count {
            return Outcome {
                passes: false,
                remaining: left(count, used),
                wait_ns: self.wait_ns(now, rate, used + u64::from(cost) - count),
            };
        }
        self.add(cost);
        Outcome {
            passes: true,
            remaining: left(count, used + u64::from(cost)),
            wait_ns: self.wait_ns(now, rate, self.total),
        }
    }

    /// Counts what passed without asking; [`Window::used`] must have been called for that moment.
    pub fn add(&mut self, cost: u32) {
        let slot = &mut self.slots[ring(self.newest)];
        let before = *slot;
        *slot = slot.saturating_add(cost);
        self.total += u64::from(*slot - before);
    }

    /// Gives back what was taken just now for a request that was refused elsewhere.
    pub fn give_back(&mut self, cost: u32) {
        let slot = &mut self.slots[ring(self.newest)];
        let back = cost.min(*slot);
        *slot -= back;
        self.total -= u64::from(back);
    }

    /// How much of the window is used at `now`.
    pub fn used(&mut self, now: Ns, rate: &Rate) -> u64 {
        let at = (now / slot_ns(rate)).max(self.newest);
        let steps = at - self.newest;
        if steps >= RING as u64 {
            self.slots = [0; RING];
            self.total = 0;
        } else {
            for slot in self.newest + 1..=at {
                let gone = std::mem::take(&mut self.slots[ring(slot)]);
                self.total -= u64::from(gone);
            }
        }
        self.newest = at;
        self.total
    }

    /// How long until `wanted` of what is used has left the window.
    fn wait_ns(&self, now: Ns, rate: &Rate, wanted: u64) -> Ns {
        if wanted == 0 {
            return 0;
        }
        let mut freed = 0;
        for age in (0..RING as u64).rev() {
            let Some(slot) = self.newest.checked_sub(age) else {
                continue;
            };
            freed += u64::from(self.slots[ring(slot)]);
            if freed >= wanted {
                return ((slot + RING as u64) * slot_ns(rate)).saturating_sub(now);
            }
        }
        rate.window_ns()
    }

    /// When what is used would be back if it came back evenly: what a table compares.
    pub fn worth(&self, now: Ns, rate: &Rate) -> Ns {
        let each = rate.window_ns() / u64::from(rate.count());
        now.saturating_add(self.total.saturating_mul(each))
    }

    /// From when on this says no more than a fresh state.
    pub fn idle_at(&self, rate: &Rate) -> Ns {
        if self.total == 0 {
            0
        } else {
            (self.newest + RING as u64).saturating_mul(slot_ns(rate))
        }
    }
}

fn slot_ns(rate: &Rate) -> Ns {
    rate.window_ns().div_ceil(SLOTS)
}

fn ring(slot: u64) -> usize {
    usize::try_from(slot % RING as u64).unwrap_or_default()
}

fn left(count: u64, used: u64) -> u32 {
    u32::try_from(count.saturating_sub(used)).unwrap_or(u32::MAX)
}

/// Slots of a window: what is let through late is one in so many.
pub const SLOTS: u64 = 64;
/// One more, because a window that begins within a slot ends within another.
const RING: usize = 65;
const _: () = assert!(RING as u64 == SLOTS + 1);
