//! The wall clock beside the boot clock, which nobody sets: steps ahead stop appends until somebody confirms them.
//!
//! Times of receipt never run backwards, so a wrong step that was believed cannot be taken back. What it costs is written
//! before it is believed: the record of a confirmation is the one record that is let in under a clock that is not believed yet.

use attestore_disk::Clock;
use serde_json::json;

use super::Guard;
use crate::error::{Error, Result};
use crate::{Engine, Permission, Principal};

/// Two clocks at one moment.
#[derive(Clone, Copy)]
pub(super) struct Anchor {
    now_ms: u64,
    boot_ms: u64,
}

/// A step ahead that was confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// By how much the wall clock was ahead, milliseconds; `None` when there was nothing to confirm.
    pub ahead_ms: Option<u64>,
    /// What it showed, milliseconds since the Unix epoch.
    pub now_ms: u64,
}

impl Anchor {
    pub(super) fn of(clock: &dyn Clock) -> Self {
        Self {
            now_ms: clock.now_ms(),
            boot_ms: clock.boot_ms(),
        }
    }

    /// By how much the wall clock is ahead at `later`.
    fn ahead_ms(self, later: Self) -> u64 {
        let elapsed = later.boot_ms.saturating_sub(self.boot_ms);
        later.now_ms.saturating_sub(self.now_ms.saturating_add(elapsed))
    }
}

impl Engine {
    /// Takes the wall clock as it is, after it stepped ahead and appends were refused. `said_ms` is what the caller says the
    /// time is, milliseconds since the Unix epoch. On record before it is in force; does nothing when no step waits.
    ///
    /// # Errors
    /// [`Error::Forbidden`]; [`Error::Conflict`] `clock_differs` when the clock is further from `said_ms` than is tolerated; as
    /// appends.
    pub fn confirm_clock(&self, by: &Principal, said_ms: u64) -> Result<Confirmed> {
        by.check_instance(Permission::ConfirmClock)?;
        let inner = &self.inner;
        inner.check_running()?;
        let guard = &inner.guard;
        let _one = guard.confirming.lock();
        let seen = Anchor::of(&*inner.clock);
        let now_ms = seen.now_ms;
        let Some(ahead_ms) = guard.clock_ahead_ms(&*inner.clock) else {
            return Ok(Confirmed {
                ahead_ms: None,
                now_ms,
            });
        };
        if now_ms.abs_diff(said_ms) > guard.tolerance_ms {
            return Err(Error::Conflict {
                code: "clock_differs",
                message: format!(
                    "the server's clock shows another time, {} ms away: set the one that is wrong",
                    now_ms.abs_diff(said_ms)
                ),
            });
        }
        let event = json!({
            "action": "clock.confirm", "operation": "update", "outcome": "success",
            "actor": { "type": by.kind.name(), "id": by.id, "name": by.name },
            "metadata": { "ahead_ms": ahead_ms, "now_ms": now_ms, "said_ms": said_ms },
        });
        *guard.confirmed.lock() = Some(seen);
        let recorded = inner.append_internal(event.to_string().as_bytes());
        *guard.confirmed.lock() = None;
        recorded?;
        *guard.clock.lock() = seen;
        tracing::warn!(ahead_ms, "the clock was confirmed");
        Ok(Confirmed {
            ahead_ms: Some(ahead_ms),
            now_ms,
        })
    }
}

impl Guard {
    /// By how much the wall clock ran ahead of the boot clock, if by more than tolerated.
    pub(crate) fn clock_ahead_ms(&self, clock: &dyn Clock) -> Option<u64> {
        let now = Anchor::of(clock);
        let mut anchor = self.clock.lock();
        let ahead = anchor.ahead_ms(now);
        if ahead > self.tolerance_ms {
            return Some(ahead);
        }
        // Slow drift is not a step: the clocks are compared over an hour.
        if now.boot_ms.saturating_sub(anchor.boot_ms) > ANCHOR_MS {
            *anchor = now;
        }
        None
    }

    /// Whether the clock is being confirmed as it is: its record may be written.
    pub(super) fn is_being_confirmed(&self, clock: &dyn Clock) -> bool {
        let confirmed = *self.confirmed.lock();
        confirmed.is_some_and(|anchor| anchor.ahead_ms(Anchor::of(clock)) <= self.tolerance_ms)
    }
}

/// The clocks are compared with each other from this long ago.
const ANCHOR_MS: u64 = 3_600_000;
