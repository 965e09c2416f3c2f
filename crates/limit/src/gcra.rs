//! The generic cell rate algorithm: one number of state, the time at which all credit is back.
//!
//! Source: ITU-T I.371, annex A, in its form as virtual scheduling.

use crate::{Ns, Rate, rate::Kind, table::State};

/// State of one key.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gcra {
    /// When all credit is back; the "theoretical arrival time".
    tat: Ns,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether it may pass.
    pub passes: bool,
    /// How many more could pass now.
    pub remaining: u32,
    /// How long until it could pass, if it may not; how long until all credit is back, if it may.
    pub wait_ns: Ns,
}

impl Gcra {
    /// Takes `cost` at `now`, if there is credit. What costs more than a whole burst costs one.
    pub fn take(&mut self, now: Ns, rate: &Rate, cost: u32) -> Outcome {
        let credit = credit_ns(rate);
        let cost_ns = cost_ns(rate, cost).min(credit);
        let tat = self.tat.max(now).saturating_add(cost_ns);
        let used = tat - now;
        if used > credit {
            return Outcome {
                passes: false,
                remaining: remaining(rate, credit.saturating_sub(used - cost_ns)),
                wait_ns: used - credit,
            };
        }
        self.tat = tat;
        Outcome {
            passes: true,
            remaining: remaining(rate, credit - used),
            wait_ns: used,
        }
    }

    /// Counts what passed without asking.
    pub fn add(&mut self, now: Ns, rate: &Rate, cost: u32) {
        let cost_ns = cost_ns(rate, cost).min(credit_ns(rate));
        self.tat = self.tat.max(now).saturating_add(cost_ns);
    }

    /// Gives back what was taken for a request that was refused elsewhere.
    pub fn give_back(&mut self, rate: &Rate, cost: u32) {
        self.tat = self.tat.saturating_sub(cost_ns(rate, cost).min(credit_ns(rate)));
    }
}

impl State for Gcra {
    fn idle_at(&self) -> Ns {
        self.tat
    }
}

/// Time that one request uses up, rounded up.
fn cost_ns(rate: &Rate, cost: u32) -> Ns {
    let ns = u128::from(rate.window_ns()) * u128::from(cost);
    Ns::try_from(ns.div_ceil(u128::from(rate.count()))).unwrap_or(Ns::MAX)
}

/// Time that a whole burst uses up.
fn credit_ns(rate: &Rate) -> Ns {
    match rate.kind() {
        Kind::Gcra { burst } => cost_ns(rate, 1).saturating_mul(u64::from(burst)),
        Kind::Window => cost_ns(rate, rate.count()),
    }
}

fn remaining(rate: &Rate, left_ns: Ns) -> u32 {
    u32::try_from(left_ns / cost_ns(rate, 1).max(1)).unwrap_or(u32::MAX)
}
