//! Servers, their clients and the wires between, played by a virtual clock.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use attestore_limit::key::Place;
use attestore_limit::store::{Answer, Ask};
use attestore_limit::{Class, Classes, Limits, MS, Ns, Rate, Redis, Settings};

use crate::store::Store;

const SECOND: Ns = 1000 * MS;
/// An answer that takes longer is given up.
const PATIENCE: Ns = 100 * MS;
/// Between attempts of a server that got none.
const RETRY: Ns = 500 * MS;

/// What clients do for a while.
#[derive(Clone, Copy, Default)]
pub struct Plan {
    /// Requests per second at each server; further servers take them in turn.
    pub per_second: [u64; 3],
    pub seconds: u64,
    /// The longest way to the store and back.
    pub delay_ms: u64,
}

pub struct World {
    now: Ns,
    rate: Rate,
    servers: Vec<Server>,
    store: Store,
    stalled: bool,
    random: u64,
    passed: Vec<Ns>,
    begin: Ns,
    refused: u64,
}

struct Server {
    limits: Limits,
    next_request: Ns,
    under_way: Option<Exchange>,
}

/// An exchange: when its answer is there, when it was sent, what was asked and answered.
type Exchange = (Ns, Ns, Vec<(Place, Ask)>, Option<Vec<Answer>>);

impl World {
    pub fn new(servers: usize, rate: &str, seed: u64) -> Self {
        println!("seed {seed}");
        let rate: Rate = rate.parse().unwrap();
        let settings = Settings {
            tenant: Classes {
                all: Some(rate),
                ..Classes::default()
            },
            ..Settings::default()
        };
        let redis = Redis {
            servers: u32::try_from(servers).unwrap(),
            ..Redis::default()
        };
        let server = |number: usize| {
            let limits = Limits::shared(settings.clone(), [number as u64, 1], &redis, || {});
            limits.beaten(u32::try_from(servers).unwrap());
            Server {
                limits,
                next_request: 0,
                under_way: None,
            }
        };
        Self {
            now: 1_000 * SECOND,
            rate,
            servers: (0..servers).map(server).collect(),
            store: Store::default(),
            stalled: false,
            random: seed | 1,
            passed: Vec::new(),
            begin: 1_000 * SECOND,
            refused: 0,
        }
    }

    pub fn window_ns(&self) -> Ns {
        self.rate.window_ns()
    }

    pub fn stall(&mut self) {
        self.stalled = true;
    }

    pub fn resume(&mut self) {
        self.stalled = false;
    }

    pub fn degraded(&self) -> bool {
        self.servers
            .iter()
            .all(|server| server.limits.status(self.now).shared.unwrap().degraded)
    }

    /// Forgets what passed, after a window without requests.
    pub fn forget(&mut self) {
        self.now += 2 * self.window_ns();
        self.passed.clear();
        self.begin = self.now;
        self.refused = 0;
    }

    pub fn refused(&self) -> u64 {
        self.refused
    }

    pub fn passed_after(&self, after: Ns) -> u64 {
        self.passed.iter().filter(|at| **at - self.begin >= after).count() as u64
    }

    pub fn fullest(&self) -> u64 {
        let mut passed = self.passed.clone();
        passed.sort_unstable();
        let mut within = VecDeque::new();
        let mut most = 0;
        for at in passed {
            while within.front().is_some_and(|first| at - first >= self.window_ns()) {
                within.pop_front();
            }
            within.push_back(at);
            most = most.max(within.len());
        }
        most as u64
    }

    pub fn play(&mut self, plan: &Plan) {
        let end = self.now + plan.seconds * SECOND;
        let mut events: BinaryHeap<Reverse<(Ns, usize, bool)>> = BinaryHeap::new();
        for at in 0..self.servers.len() {
            self.servers[at].next_request = self.now + self.pause(plan, at);
            events.push(Reverse((self.servers[at].next_request, at, true)));
            events.push(Reverse((self.now, at, false)));
        }
        while let Some(Reverse((now, at, request))) = events.pop() {
            if now >= end {
                break;
            }
            self.now = now;
            if request {
                self.request(at);
                events.push(Reverse((now + self.pause(plan, at), at, true)));
            } else {
                let next = self.exchange(at, plan);
                events.push(Reverse((next, at, false)));
            }
        }
        self.now = end;
    }

    fn pause(&mut self, plan: &Plan, at: usize) -> Ns {
        match plan.per_second[at % 3] {
            0 => 1 << 60,
            per_second => {
                let mean = SECOND / per_second;
                1 + self.below(2 * mean)
            }
        }
    }

    fn request(&mut self, at: usize) {
        match self.servers[at]
            .limits
            .caller(self.now, "c", Some("t"), Class::Append)
        {
            Ok(_) => self.passed.push(self.now),
            Err(refusal) => {
                assert!(refusal.wait_ns > 0);
                self.refused += 1;
            }
        }
    }

    /// One step of the task that talks to the store; returns when the next is.
    fn exchange(&mut self, at: usize, plan: &Plan) -> Ns {
        let now = self.now;
        let (there, back) = (
            self.below(plan.delay_ms * MS / 2 + 1),
            self.below(plan.delay_ms * MS / 2 + 1),
        );
        let server = &mut self.servers[at];
        if let Some((due, sent, asks, answers)) = server.under_way.take() {
            if now < due {
                server.under_way = Some((due, sent, asks, answers));
                return due;
            }
            match answers {
                Some(answers) => server.limits.answered(sent, now, &asks, &answers),
                None => {
                    server.limits.failed(&asks);
                    return now + RETRY;
                }
            }
            return now + MS;
        }
        if self.stalled {
            let asks = server.limits.asks(now);
            server.under_way = Some((now + PATIENCE, now, asks, None));
            return now + PATIENCE;
        }
        let servers = u32::try_from(self.servers.len()).unwrap();
        let server = &mut self.servers[at];
        server.limits.beaten(servers);
        let asks = server.limits.asks(now);
        if asks.is_empty() {
            return now + MS / 4;
        }
        let answers = asks
            .iter()
            .map(|(_, ask)| self.store.answer(now + there, ask))
            .collect();
        let due = now + there + back;
        server.under_way = Some((due, now, asks, Some(answers)));
        due
    }

    fn below(&mut self, bound: u64) -> u64 {
        // xorshift64*
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound.max(1)
    }
}
