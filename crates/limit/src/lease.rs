//! Tokens taken ahead of a store that servers share, for one key.
//!
//! A request takes from what is there and never waits. When little is left, more is asked for in the background. Where there is
//! nothing:
//! - the store said that the limit is used up: it is refused;
//! - the store has not answered for a while: it passes if this server has used less than its share of the limit;
//! - else, between an ask and its answer: it passes on credit, up to a small part of the limit.
//!
//! What passed without tokens is charged to the store with the next ask.

use std::sync::Arc;

use crate::gcra::{Gcra, Outcome};
use crate::rate::Kind;
use crate::store::{Answer, Ask};
use crate::table::State;
use crate::window::Window;
use crate::{MS, Ns, Rate};

/// State of one key on one server.
#[derive(Debug)]
pub struct Lease {
    name: Arc<str>,
    /// What was granted, the older first.
    lots: [Lot; 2],
    /// What was not used in time, by the slot of its grant.
    back: [Option<(u64, u64)>; 2],
    /// What passed without tokens.
    debt: u64,
    used_up_until: Ns,
    remaining: u64,
    /// Since when an ask waits or is under way.
    asked: Option<Ns>,
    answered: Option<Ns>,
    /// What this server let through.
    own: Own,
    /// What was asked of this server since the last answer, and per second before.
    demand: u64,
    demand_since: Ns,
    per_second: u64,
    cost_max: u64,
    idle_at: Ns,
}

/// Tokens of one grant.
#[derive(Clone, Copy, Debug, Default)]
struct Lot {
    tokens: u64,
    slot: u64,
    ends: Ns,
}

#[derive(Debug)]
enum Own {
    Window(Box<Window>),
    Gcra(Gcra),
}

/// How the store is doing.
#[derive(Clone, Copy, Debug)]
pub struct Health {
    /// It does not answer.
    pub degraded: bool,
    /// How many servers share it.
    pub servers: u32,
}

impl Lease {
    /// A key that nothing is known of.
    pub fn new(name: Arc<str>, rate: &Rate, now: Ns) -> Self {
        Self {
            name,
            lots: [Lot::default(); 2],
            back: [None; 2],
            debt: 0,
            used_up_until: 0,
            remaining: u64::from(rate.count()),
            asked: None,
            answered: None,
            own: match rate.kind() {
                Kind::Window => Own::Window(Box::default()),
                Kind::Gcra { .. } => Own::Gcra(Gcra::default()),
            },
            demand: 0,
            demand_since: now,
            per_second: 0,
            cost_max: 1,
            idle_at: now,
        }
    }

    /// Takes `cost`. The second value says that the store should be asked.
    pub fn take(&mut self, now: Ns, rate: &Rate, cost: u32, health: Health) -> (Outcome, bool) {
        let cost = cost.min(rate.count());
        let wide = u64::from(cost);
        self.demand = self.demand.saturating_add(wide);
        self.cost_max = self.cost_max.max(wide);
        self.idle_at = self.idle_at.max(now.saturating_add(rate.window_ns()));
        self.expire(now);
        let tokens = self.tokens();
        let outcome = if tokens >= wide {
            self.spend(wide);
            self.own.add(now, rate, cost);
            self.passes(rate)
        } else if now < self.used_up_until {
            refuses(self.used_up_until - now)
        } else if health.degraded || self.is_late(now) {
            let outcome = self.own.take(now, &rate.share(health.servers), cost);
            if outcome.passes {
                self.debt = self.debt.saturating_add(wide);
            }
            outcome
        } else if self.debt == 0 || self.debt + wide - tokens <= self.credit(now, rate, health) {
            self.debt += wide - tokens;
            self.spend(tokens);
            self.own.add(now, rate, cost);
            self.passes(rate)
        } else {
            refuses(RETRY_NS)
        };
        let low = self.debt > 0 || self.lots[1].tokens == 0 && self.tokens() < self.want(rate) / 2;
        // One that was lost is asked again.
        let waiting = self.asked.is_some_and(|at| now.saturating_sub(at) < LOST_NS);
        let ask = low && !health.degraded && !waiting && now >= self.used_up_until;
        if ask {
            self.asked = Some(now);
        }
        (outcome, ask)
    }

    /// Gives back what was taken for a request that was refused elsewhere.
    pub fn give_back(&mut self, cost: u32) {
        let cost = u64::from(cost);
        let owed = cost.min(self.debt);
        self.debt -= owed;
        self.lots[0].tokens += cost - owed;
    }

    /// What to ask the store.
    pub fn ask(&mut self, now: Ns, rate: &Rate) -> Ask {
        self.expire(now);
        let elapsed_ms = now.saturating_sub(self.demand_since) / MS;
        if elapsed_ms >= ESTIMATE_MS {
            let per_second = self.demand.saturating_mul(1000) / elapsed_ms;
            self.per_second = (self.per_second.saturating_add(per_second)) / 2;
            self.demand = 0;
            self.demand_since = now;
            self.cost_max = (self.cost_max / 2).max(1);
        }
        Ask {
            name: Arc::clone(&self.name),
            rate: *rate,
            want: self.want(rate).saturating_sub(self.tokens()),
            debt: std::mem::take(&mut self.debt),
            back: self.next_back(),
        }
    }

    /// Takes an answer in. `sent` is when the question left: the store answered after that.
    pub fn answered(&mut self, sent: Ns, now: Ns, answer: &Answer) {
        self.expire(now);
        self.asked = None;
        self.answered = Some(now);
        self.remaining = answer.remaining;
        if answer.granted > 0 {
            let lot = Lot {
                tokens: answer.granted,
                slot: answer.slot,
                ends: sent.saturating_add(answer.valid_ns),
            };
            if self.lots[0].tokens == 0 {
                self.lots = [lot, Lot::default()];
            } else {
                self.hand_back(self.lots[1]);
                self.lots[1] = lot;
            }
        } else if answer.remaining == 0 {
            self.used_up_until = sent.saturating_add(answer.wait_ns);
        }
    }

    /// The store gave no answer: what was to be charged still is, even if that is once too often.
    pub fn failed(&mut self, ask: &Ask) {
        self.asked = None;
        self.debt = self.debt.saturating_add(ask.debt);
    }

    fn expire(&mut self, now: Ns) {
        while self.lots[0].tokens > 0 && now >= self.lots[0].ends {
            let lot = self.lots[0];
            self.lots = [self.lots[1], Lot::default()];
            self.hand_back(lot);
        }
    }

    fn next_back(&mut self) -> Option<(u64, u64)> {
        let [first, second] = self.back;
        self.back = [second, None];
        first
    }

    /// What finds no place is not handed back: then less passes, never more.
    fn hand_back(&mut self, lot: Lot) {
        if lot.tokens > 0
            && let Some(place) = self.back.iter_mut().find(|place| place.is_none())
        {
            *place = Some((lot.slot, lot.tokens));
        }
    }

    fn tokens(&self) -> u64 {
        self.lots[0].tokens + self.lots[1].tokens
    }

    fn spend(&mut self, tokens: u64) {
        let first = tokens.min(self.lots[0].tokens);
        self.lots[0].tokens -= first;
        self.lots[1].tokens -= tokens - first;
        if self.lots[0].tokens == 0 {
            self.lots = [self.lots[1], Lot::default()];
        }
    }

    /// What is wanted at hand: what comes while tokens are valid, and a bit.
    fn want(&self, rate: &Rate) -> u64 {
        let valid_ms = rate.window_ms() / AHEAD + 2;
        let ahead = self.per_second.saturating_mul(valid_ms) / 800;
        let most = u64::from(rate.count()).div_ceil(4);
        ahead.max(self.cost_max).clamp(1, most.max(self.cost_max))
    }

    /// What may pass before the store has answered.
    fn credit(&self, now: Ns, rate: &Rate, health: Health) -> u64 {
        let known = self
            .answered
            .is_some_and(|at| now.saturating_sub(at) < rate.window_ns() / 4);
        let part = if known { KNOWN_PART } else { UNKNOWN_PART };
        (u64::from(rate.count()) / part / u64::from(health.servers.max(1))).max(1)
    }

    fn is_late(&self, now: Ns) -> bool {
        self.asked.is_some_and(|at| now.saturating_sub(at) > LATE_NS)
    }

    fn passes(&self, rate: &Rate) -> Outcome {
        let left = self
            .remaining
            .saturating_add(self.tokens())
            .saturating_sub(self.debt);
        Outcome {
            passes: true,
            remaining: u32::try_from(left).unwrap_or(u32::MAX).min(rate.count()),
            wait_ns: rate.window_ns(),
        }
    }
}

fn refuses(wait_ns: Ns) -> Outcome {
    Outcome {
        passes: false,
        remaining: 0,
        wait_ns,
    }
}

impl Own {
    fn add(&mut self, now: Ns, rate: &Rate, cost: u32) {
        match self {
            Self::Window(window) => {
                window.used(now, rate);
                window.add(cost);
            }
            Self::Gcra(gcra) => gcra.add(now, rate, cost),
        }
    }

    fn take(&mut self, now: Ns, rate: &Rate, cost: u32) -> Outcome {
        match self {
            Self::Window(window) => window.take(now, rate, cost),
            Self::Gcra(gcra) => gcra.take(now, rate, cost),
        }
    }
}

impl State for Lease {
    fn idle_at(&self) -> Ns {
        self.idle_at
    }
}

/// An answer that takes longer than this is late.
const LATE_NS: Ns = 20 * MS;
/// An answer that takes longer than this does not come.
const LOST_NS: Ns = 15_000 * MS;
/// When to come again while an answer is awaited.
const RETRY_NS: Ns = 20 * MS;
/// Tokens are taken ahead for one part in so many of the window.
const AHEAD: u64 = 100;
/// Demand is estimated over at least so long.
const ESTIMATE_MS: u64 = 5;
/// What all servers together may let through on credit is one part in so many of the limit, where the store answered lately…
const KNOWN_PART: u64 = 100;
/// … and where it did not.
const UNKNOWN_PART: u64 = 8;
