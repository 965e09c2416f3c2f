//! `attestore bench feed`: the load generator of `bench ingest`, a process of its own, so that its CPU is not taken for
//! the server's.
//!
//! Keep-alive connections send batches in closed loops, or at a rate. Every event has a time and a request id of its own;
//! the rest is drawn from a pool, because making events anew would take more CPU than sending them. Reports itself on
//! standard output, a line of JSON every second.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use attestore_disk::{Clock, SystemClock};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::figures::{histogram, record, us};
use super::generate::Generator;
use super::load::{Phase, answer};
use crate::cli::{FeedArgs, GenerateArgs};
use crate::failure::Failure;
use crate::{files, output};

/// Events that bodies are drawn from.
const POOL: usize = 8192;
/// How long to wait when the server asks for it. It says whole seconds; a load that wants to know what the server can
/// sustain comes back sooner.
const BUSY_WAIT: Duration = Duration::from_millis(20);

/// What the generator says of itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Line {
    /// Whether the warm-up is over.
    pub measuring: bool,
    /// Events acknowledged so far, the warm-up's included.
    pub events: u64,
    /// Requests that were asked to wait.
    pub busy: u64,
    /// CPU of the generator, microseconds.
    pub cpu_us: u64,
    /// In the last line only: the times of what was measured.
    pub times: Option<Times>,
}

/// Times of appends, microseconds, from sending the request to the end of the answer.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Times {
    /// Requests.
    pub requests: u64,
    /// Median.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p999_us: f64,
    /// Longest.
    pub max_us: f64,
}

/// Sends until the time is over.
pub fn run(args: &FeedArgs) -> Result<(), Failure> {
    let address: SocketAddr = args
        .address
        .parse()
        .map_err(|_| Failure::usage("--address is not an address"))?;
    let credential = args
        .credential
        .clone()
        .ok_or_else(|| Failure::usage("no credential: set ATTESTORE_CREDENTIAL"))?;
    let head = format!(
        "POST /v1/tenants/{}/events HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {credential}\r\nContent-Type: application/x-ndjson\r\nContent-Length: ",
        args.tenant
    );
    let feed = Arc::new(Feed {
        head,
        events: templates(args.seed)?,
        batch: args.batch,
        pause: pause(args),
        acknowledged: AtomicU64::new(0),
        busy: AtomicU64::new(0),
        phase: Phase::default(),
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(drive(&feed, address, args))
}

async fn drive(feed: &Arc<Feed>, address: SocketAddr, args: &FeedArgs) -> Result<(), Failure> {
    let connections: Vec<_> = (0..args.clients)
        .map(|client| {
            let feed = Arc::clone(feed);
            tokio::spawn(async move { feed.connection(address, client).await })
        })
        .collect();
    let started = Instant::now();
    let warm = Duration::from_secs(args.warm_up);
    let end = warm + Duration::from_secs(args.seconds);
    loop {
        let measuring = started.elapsed() >= warm;
        if measuring {
            feed.phase.measure();
        }
        output::ndjson(&feed.line(measuring, None))?;
        let left = end.saturating_sub(started.elapsed());
        if left.is_zero() || connections.iter().any(tokio::task::JoinHandle::is_finished) {
            break;
        }
        let until_warm = warm.saturating_sub(started.elapsed());
        let step = if until_warm.is_zero() { left } else { until_warm };
        tokio::time::sleep(step.min(Duration::from_secs(1))).await;
    }
    feed.phase.stop();
    let mut times = histogram();
    for connection in connections {
        let one = connection.await.map_err(|e| Failure::failed(e.to_string()))??;
        times.add(one).map_err(|e| Failure::failed(e.to_string()))?;
    }
    let times = Times {
        requests: times.len(),
        p50_us: us(&times, 0.5),
        p99_us: us(&times, 0.99),
        p999_us: us(&times, 0.999),
        max_us: us(&times, 1.0),
    };
    output::ndjson(&feed.line(true, Some(times)))
}

/// Time from one request of a connection to the next, for a rate.
fn pause(args: &FeedArgs) -> Option<Duration> {
    let per_round = u64::try_from(args.clients.saturating_mul(args.batch)).unwrap_or(u64::MAX);
    let nanos = per_round.saturating_mul(1_000_000_000).checked_div(args.rate)?;
    Some(Duration::from_nanos(nanos))
}

struct Feed {
    head: String,
    events: Vec<Template>,
    batch: usize,
    pause: Option<Duration>,
    acknowledged: AtomicU64,
    busy: AtomicU64,
    phase: Phase,
}

impl Feed {
    fn line(&self, measuring: bool, times: Option<Times>) -> Line {
        Line {
            measuring,
            events: self.acknowledged.load(Ordering::Relaxed),
            busy: self.busy.load(Ordering::Relaxed),
            cpu_us: files::process_cpu_us(),
            times,
        }
    }

    async fn connection(&self, address: SocketAddr, client: usize) -> Result<Histogram<u64>, Failure> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (mut times, mut body, mut request, mut buffer) =
            (histogram(), Vec::new(), Vec::new(), Vec::new());
        let mut ids = Ids::new(client);
        let mut at = client * 997;
        let mut due = Instant::now();
        while !self.phase.is_over() {
            if let Some(pause) = self.pause {
                // Spread over the interval, so that the connections do not beat in time.
                due += if at == client * 997 {
                    pause.mul_f64(self.share(client))
                } else {
                    pause
                };
                tokio::time::sleep_until(due.into()).await;
            }
            body.clear();
            let now = now();
            for _ in 0..self.batch {
                self.events[at % self.events.len()].write(&mut body, &now, &mut ids);
                at += 1;
            }
            request.clear();
            request.extend_from_slice(self.head.as_bytes());
            request.extend_from_slice(body.len().to_string().as_bytes());
            request.extend_from_slice(b"\r\n\r\n");
            request.extend_from_slice(&body);
            loop {
                let counts = self.phase.counts();
                let started = Instant::now();
                stream.write_all(&request).await?;
                match answer(&mut stream, &mut buffer).await? {
                    201 => {
                        if counts {
                            record(&mut times, started.elapsed());
                        }
                        self.acknowledged.fetch_add(self.batch as u64, Ordering::Relaxed);
                        break;
                    }
                    503 if self.phase.is_over() => break,
                    503 => {
                        self.busy.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(BUSY_WAIT).await;
                    }
                    status => {
                        let said = String::from_utf8_lossy(&buffer);
                        return Err(Failure::failed(format!("the server answered {status}: {said}")));
                    }
                }
            }
        }
        Ok(times)
    }

    /// Where in the interval a connection begins: golden section, so that any number of them spreads evenly.
    #[expect(clippy::cast_precision_loss, reason = "a place in an interval")]
    fn share(&self, client: usize) -> f64 {
        (client as f64 * 0.618_034).fract()
    }
}

/// An event with places for a time and a request id.
struct Template {
    bytes: Vec<u8>,
    time: usize,
    id: usize,
}

/// Width of a time, as in `2026-01-01T00:00:00.000Z`.
const TIME: usize = 24;
/// Width of an id: a UUID.
const ID: usize = 36;

impl Template {
    fn new(event: &str) -> Option<Self> {
        let (before, rest) = event.split_once(r#""occurred_at":""#)?;
        let (_, after) = rest.split_once('"')?;
        let text = format!(r#"{before}"occurred_at":"{:TIME$}"{after}"#, "") + "\n";
        let place = |name: &str| text.find(name).map(|at| at + name.len());
        let (time, id) = (place(r#""occurred_at":""#)?, place(r#""request_id":""#)?);
        Some(Self {
            bytes: text.into_bytes(),
            time,
            id,
        })
    }

    fn write(&self, body: &mut Vec<u8>, now: &[u8; TIME], ids: &mut Ids) {
        let start = body.len();
        body.extend_from_slice(&self.bytes);
        body[start + self.time..][..TIME].copy_from_slice(now);
        ids.write(&mut body[start + self.id..][..ID]);
    }
}

fn templates(seed: u64) -> Result<Vec<Template>, Failure> {
    let mut generator = Generator::new(&GenerateArgs {
        shape: "native".into(),
        seed,
        ..GenerateArgs::default()
    })?;
    (0..POOL)
        .map(|_| {
            Template::new(&generator.next_event())
                .ok_or_else(|| Failure::failed("a generated event has no time or request id"))
        })
        .collect()
}

fn now() -> [u8; TIME] {
    let ms = i64::try_from(SystemClock.now_ms()).unwrap_or(0);
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
    let mut text = [b' '; TIME];
    for (to, from) in text.iter_mut().zip(format!("{time:.3}").bytes()) {
        *to = from;
    }
    text
}

/// Request ids that never come twice, cheaper than random ones (splitmix64).
struct Ids(u64);

impl Ids {
    fn new(client: usize) -> Self {
        let start = SystemClock.now_ms();
        Self((client as u64 + 1).wrapping_mul(0xd134_2543_de82_ef95) ^ start.rotate_left(32))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn write(&mut self, place: &mut [u8]) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let (mut bits, mut left) = (self.next(), 16);
        for (at, byte) in place.iter_mut().enumerate() {
            *byte = match at {
                8 | 13 | 18 | 23 => b'-',
                _ => {
                    if left == 0 {
                        (bits, left) = (self.next(), 16);
                    }
                    let digit = DIGITS[usize::try_from(bits & 15).unwrap_or(0)];
                    bits >>= 4;
                    left -= 1;
                    digit
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rendered_events_are_accepted_and_have_ids_of_their_own() {
        let templates = templates(1).expect("the generator's events fit");
        let (mut ids, mut body, now) = (Ids::new(3), Vec::new(), now());
        for template in &templates {
            template.write(&mut body, &now, &mut ids);
        }
        let limits = attestore_record::Limits::default();
        let mut seen = std::collections::HashSet::new();
        for line in body.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            let event = attestore_record::event::parse(line, &limits, SystemClock.now_ms()).expect("valid");
            assert!(event.occurred_at_ns.is_some());
            let id = event.context.request_id.expect("it has one");
            assert!(seen.insert(id.to_string()), "{id} comes twice");
        }
        assert_eq!(seen.len(), POOL);
    }
}
