//! All connections there are: how many, whose, and which of them has to go.
//!
//! A connection may be quiet for as long as nobody needs its place. Once places run out, who keeps one without asking for
//! anything makes room: first heads that do not come, then what waits for its next request, the oldest first, and of
//! addresses with many connections before others. Connections at work are never ended for others.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::line::{Doing, Line};
use super::refusal::Refusal;

/// Limits of connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections.
    pub all: usize,
    /// Connections from one address.
    pub address: usize,
    /// Time for TLS and a head.
    pub head: Duration,
    /// Time between an answer and the next request.
    pub idle: Duration,
}

/// See the module.
pub struct Crowd {
    limits: Limits,
    lines: Mutex<Lines>,
    ticks: Arc<AtomicU64>,
    freed: Notify,
}

#[derive(Default)]
struct Lines {
    all: HashMap<u64, Arc<Line>>,
    addresses: HashMap<IpAddr, usize>,
    /// Counts those that ever were.
    ever: u64,
}

/// A connection's place; given back when it is dropped.
pub struct Seat {
    crowd: Arc<Crowd>,
    number: u64,
}

/// How long a tick is: times are known to about one.
pub const TICK: Duration = Duration::from_millis(250);
/// An honest head does not take that long, in ticks.
const SLOW: u64 = 4;
/// One in so many places is freed at once, so that a flood does not make us look at everybody for each newcomer.
const FREED: usize = 64;

impl Crowd {
    /// Nobody yet.
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            lines: Mutex::default(),
            ticks: Arc::default(),
            freed: Notify::new(),
        })
    }

    /// What lines tell time by.
    pub fn ticks(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.ticks)
    }

    /// Takes a place for a connection, of somebody who keeps it for nothing if need be. `exempt` from the limit of its address
    /// is a proxy, which stands for many.
    ///
    /// # Errors
    /// When all are at work.
    pub fn enter(self: &Arc<Self>, line: &Arc<Line>, exempt: bool) -> Result<Seat, Refusal> {
        let mut lines = self.lines.lock();
        let mut gone = Vec::new();
        if let Some(origin) = line.origin().filter(|_| !exempt) {
            let many = lines.of(origin);
            if many >= self.limits.address {
                gone = lines.make_room(Some(origin), many / FREED + 1);
                if gone.is_empty() {
                    return Err(Refusal::CrowdedAddress);
                }
            }
        }
        if lines.all.len() >= self.limits.all {
            let freed = lines.make_room(None, self.limits.all / FREED + 1);
            if freed.is_empty() {
                return Err(Refusal::Crowded);
            }
            gone.extend(freed);
        }
        let number = lines.enter(line);
        show(lines.all.len());
        drop(lines);
        for line in gone {
            counted("made_room");
            line.close(&[]);
        }
        Ok(Seat {
            crowd: Arc::clone(self),
            number,
        })
    }

    /// Resolves when somebody has left since this was last asked.
    pub async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Lets a tick pass, and ends the connections whose time is over.
    pub fn tick(&self) {
        self.ticks.fetch_add(1, Ordering::Relaxed);
        let (head, idle) = (ticks(self.limits.head), ticks(self.limits.idle));
        let over: Vec<_> = {
            let lines = self.lines.lock();
            let over = lines.all.values().filter_map(|line| match line.since() {
                (Doing::New | Doing::Head, ticks) if ticks > head => Some((Arc::clone(line), true)),
                (Doing::Idle, ticks) if ticks > idle => Some((Arc::clone(line), false)),
                _ => None,
            });
            over.collect()
        };
        for (line, slow) in over {
            let why = match line.doing() {
                Doing::Head => Refusal::HeadTimeout.bytes(line.secure),
                _ => Vec::new(),
            };
            if line.claim() {
                counted(if slow { "head_timeout" } else { "idle_timeout" });
                line.close(&why);
            }
        }
    }
}

/// Ticks that are not over before the time is.
fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u64::MAX)
}

fn counted(reason: &'static str) {
    metrics::counter!("attestore_http_connections_ended_total", "reason" => reason).increment(1);
}

#[expect(clippy::cast_precision_loss, reason = "gauges are doubles")]
fn show(connections: usize) {
    metrics::gauge!("attestore_http_connections").set(connections as f64);
}

impl Lines {
    fn of(&self, origin: IpAddr) -> usize {
        self.addresses.get(&origin).copied().unwrap_or_default()
    }

    fn enter(&mut self, line: &Arc<Line>) -> u64 {
        self.ever += 1;
        self.all.insert(self.ever, Arc::clone(line));
        if let Some(origin) = line.origin() {
            *self.addresses.entry(origin).or_default() += 1;
        }
        self.ever
    }

    fn leave(&mut self, number: u64) -> Option<Arc<Line>> {
        let line = self.all.remove(&number)?;
        if let Some(origin) = line.origin()
            && let Some(count) = self.addresses.get_mut(&origin)
        {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&origin);
            }
        }
        Some(line)
    }

    /// Takes the places of at most so many connections that are not at work, of one address or of all.
    fn make_room(&mut self, of: Option<IpAddr>, most: usize) -> Vec<Arc<Line>> {
        let mut quiet: Vec<_> = self
            .all
            .iter()
            .filter(|(_, line)| of.is_none() || line.origin() == of)
            .filter_map(|(number, line)| {
                let (doing, age) = line.since();
                let rank = match doing {
                    Doing::New | Doing::Head if age >= SLOW => 2,
                    Doing::New | Doing::Head => 1,
                    Doing::Idle => 0,
                    Doing::Busy | Doing::Answered | Doing::Ended => return None,
                };
                let many = line.origin().map_or(0, |origin| self.of(origin));
                Some((Reverse((rank, many, age)), *number))
            })
            .collect();
        if quiet.len() > most {
            quiet.select_nth_unstable(most);
            quiet.truncate(most);
        }
        let claimed = quiet.into_iter().filter_map(|(_, number)| {
            // It may have begun to work since.
            self.all.get(&number)?.claim().then_some(number)
        });
        let claimed: Vec<_> = claimed.collect();
        claimed
            .into_iter()
            .filter_map(|number| self.leave(number))
            .collect()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut lines = self.crowd.lines.lock();
        lines.leave(self.number);
        show(lines.all.len());
        drop(lines);
        self.crowd.freed.notify_one();
    }
}

#[cfg(test)]
mod tests;
