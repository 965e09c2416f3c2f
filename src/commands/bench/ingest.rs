//! `attestore bench ingest`: appending, indexing, flushing and compacting at once, for as long as you like.
//!
//! This process is the server; the load comes over HTTP from a child process, so that its CPU is known apart. Both share the
//! machine, so `events_per_s` is what is left to the server; `events_per_s_of_machine` is what its CPU time would have given
//! with all cores for itself. Meanwhile the newest record is searched for every quarter of a second and has to be found, and
//! `--queries` threads ask the heaviest questions. The floor is the bare durable write of as many bytes as a frame had on
//! average, measured in the same folder when everything is quiet again.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use attestore_disk::BLOCK;
use attestore_engine::search::SearchRequest;
use attestore_engine::{Engine, Principal};
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::dataset::{TENANT, settle};
use super::feed::{Line, Times};
use super::figures::{histogram, per_second, ratio, record, us};
use super::floor::Floor;
use super::served::Served;
use crate::cli::{BenchIngestArgs, Output};
use crate::commands::parts;
use crate::failure::Failure;
use crate::{files, output};

/// Load that does not count yet.
const WARM_UP_S: u64 = 3;
/// Time between two searches for the newest record.
const PROBE_EVERY: Duration = Duration::from_millis(250);
/// How long the load generator may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Heavy questions: passes over everything.
const HEAVY: [(&str, &str); 2] = [
    (
        "",
        r#"{"days":{"date_histogram":{"field":"occurred_at","fixed_interval":"1d"},"aggs":{"actors":{"terms":{"field":"actor.id","size":10}}}}}"#,
    ),
    (
        "outcome:denied",
        r#"{"hours":{"date_histogram":{"field":"occurred_at","fixed_interval":"1h"}},"actions":{"terms":{"field":"action","size":10}}}"#,
    ),
];

/// The result. Times in microseconds.
#[derive(Debug, Serialize)]
struct Row {
    clients: usize,
    batch: usize,
    /// Events per second asked for; 0 for as many as go.
    rate: u64,
    seconds: f64,
    events: u64,
    events_per_s: f64,
    /// What the server's CPU time would have given with all cores for itself.
    events_per_s_of_machine: f64,
    cpu_us_per_event: f64,
    server_cores: f64,
    generator_cores: f64,
    /// Requests that were asked to wait.
    busy: u64,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
    floor_bytes: u64,
    floor_p50_us: f64,
    floor_p99_us: f64,
    floor_p999_us: f64,
    ratio_p50: f64,
    ratio_p99: f64,
    ratio_p999: f64,
    lag_records_max: u64,
    tail_records_max: u64,
    wal_bytes_max: u64,
    rss_bytes_begin: u64,
    rss_bytes_max: u64,
    rss_bytes_end: u64,
    /// Searches for the newest record, and how many of them did not find it.
    probes: u64,
    probes_stale: u64,
    probe_p50_us: f64,
    probe_p99_us: f64,
    queries: u64,
    query_p50_us: f64,
    query_p99_us: f64,
    /// From the last append until nothing waited any more.
    settled_s: f64,
    /// Bytes on disk by kind of file, once settled.
    disk_bytes: BTreeMap<String, u64>,
    timeline: Vec<Sample>,
}

/// How things were at one second.
#[derive(Debug, Clone, Serialize)]
struct Sample {
    at_s: f64,
    events: u64,
    events_per_s: f64,
    lag_records: u64,
    tail_records: u64,
    wal_bytes: u64,
    rss_bytes: u64,
    busy: u64,
}

/// Runs the load and prints what came of it.
pub fn run(args: &BenchIngestArgs) -> Result<(), Failure> {
    if args.clients == 0 || args.batch == 0 || args.seconds == 0 {
        return Err(Failure::usage("clients, batch and seconds must be at least 1"));
    }
    let dir = files::temporary_dir(&args.dir)?;
    let result = measure(args, dir.path());
    dir.remove()?;
    let row = result?;
    match args.output {
        Output::Json => output::json(&[row]),
        Output::Ndjson => {
            row.timeline.iter().try_for_each(output::ndjson)?;
            output::ndjson(&row)
        }
        Output::Table => print(&row),
    }
}

fn measure(args: &BenchIngestArgs, dir: &Path) -> Result<Row, Failure> {
    let data = dir.join("data");
    let (engine, _) =
        Engine::create_or_open(parts(&data, None, true)?, attestore_engine::Settings::default())?;
    engine.create_tenant(TENANT, &Principal::internal())?;
    let floor = Floor::new(&dir.join("floor"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = Served::start(runtime.handle(), &engine, TENANT)?;
    let side = Side::default();
    let ingested = std::thread::scope(|scope| {
        let probe = scope.spawn(|| side.probe(&engine));
        let queries: Vec<_> = (0..args.queries)
            .map(|n| {
                let (side, engine) = (&side, &engine);
                scope.spawn(move || side.query(engine, n))
            })
            .collect();
        let ingested = ingest(args, &engine, &served, &side);
        side.over.store(true, Ordering::Relaxed);
        let probed = join(probe)?;
        let mut asked = histogram();
        for one in queries {
            asked
                .add(join(one)?)
                .map_err(|e| Failure::failed(e.to_string()))?;
        }
        Ok::<_, Failure>((ingested?, probed, asked))
    })?;
    served.stop()?;
    drop(runtime);
    let begun = Instant::now();
    settle(&engine)?;
    let settled_s = begun.elapsed().as_secs_f64();
    let floor_bytes = ingested.0.floor_bytes();
    let bare = floor.measure(floor_bytes)?;
    engine.close()?;
    Ok(row(
        args,
        ingested,
        &bare,
        floor_bytes,
        settled_s,
        files::disk_usage(&data)?,
        &side,
    ))
}

fn join<T>(thread: std::thread::ScopedJoinHandle<'_, Result<T, Failure>>) -> Result<T, Failure> {
    thread
        .join()
        .unwrap_or_else(|_| Err(Failure::failed("a thread of the bench panicked")))
}

/// What goes on beside the load.
#[derive(Default)]
struct Side {
    /// Set once what is measured has begun: earlier searches do not count.
    counts: AtomicBool,
    over: AtomicBool,
    stale: AtomicU64,
}

impl Side {
    /// Searches for the newest record, again and again.
    fn probe(&self, engine: &Engine) -> Result<Histogram<u64>, Failure> {
        let by = Principal::internal();
        let request = SearchRequest {
            limit: 1,
            ..SearchRequest::default()
        };
        let mut times = histogram();
        while !self.over.load(Ordering::Relaxed) {
            let size = engine.tenant(TENANT)?.size;
            let started = Instant::now();
            let page = engine.search(TENANT, &by, &request)?;
            if self.counts.load(Ordering::Relaxed) {
                record(&mut times, started.elapsed());
            }
            let newest = page.items.first().map_or(0, |item| item.seq + 1);
            if newest < size {
                self.stale.fetch_add(1, Ordering::Relaxed);
            }
            std::thread::sleep(PROBE_EVERY);
        }
        Ok(times)
    }

    /// Asks heavy questions without a pause.
    fn query(&self, engine: &Engine, first: usize) -> Result<Histogram<u64>, Failure> {
        let by = Principal::internal();
        let mut times = histogram();
        for n in first.. {
            if self.over.load(Ordering::Relaxed) {
                break;
            }
            let (q, aggs) = HEAVY[n % HEAVY.len()];
            let request = SearchRequest {
                q: q.to_owned(),
                aggs: Some(aggs.to_owned()),
                want_count: true,
                ..SearchRequest::default()
            };
            let started = Instant::now();
            engine.search(TENANT, &by, &request)?;
            if self.counts.load(Ordering::Relaxed) {
                record(&mut times, started.elapsed());
            }
        }
        Ok(times)
    }
}

/// What the load did, and how the server was meanwhile.
struct Ingested {
    before: Usage,
    after: Usage,
    times: Times,
    samples: Vec<Sample>,
}

impl Ingested {
    fn floor_bytes(&self) -> u64 {
        let frames = (self.after.frames - self.before.frames).max(1);
        ((self.after.wal_written - self.before.wal_written) / frames)
            .next_multiple_of(BLOCK as u64)
            .max(BLOCK as u64)
    }
}

/// What both processes had used at a moment.
struct Usage {
    at: Instant,
    cpu_us: u64,
    frames: u64,
    wal_written: u64,
    line: Line,
}

impl Usage {
    fn look(engine: &Engine, line: Line) -> Result<Self, Failure> {
        let status = engine.status()?;
        Ok(Self {
            at: Instant::now(),
            cpu_us: files::process_cpu_us(),
            frames: status.wal_frames,
            wal_written: status.wal_written_bytes,
            line,
        })
    }
}

fn ingest(
    args: &BenchIngestArgs,
    engine: &Engine,
    served: &Served,
    side: &Side,
) -> Result<Ingested, Failure> {
    let (generator, lines) = Generator::start(args, served)?;
    let bar = bar(args.seconds);
    let mut before: Option<Usage> = None;
    let mut samples: Vec<Sample> = Vec::new();
    let done = loop {
        let line = match lines.recv_timeout(SILENCE_MAX) {
            Ok(line) => line?,
            Err(RecvTimeoutError::Timeout) => return Err(Failure::failed("the load generator hangs")),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::failed("the load generator ended early"));
            }
        };
        let Some(begun) = &before else {
            if line.measuring {
                side.counts.store(true, Ordering::Relaxed);
                before = Some(Usage::look(engine, line)?);
            }
            continue;
        };
        if let Some(times) = line.times.clone() {
            let after = Usage::look(engine, line)?;
            break (after, times);
        }
        let sample = sample(engine, begun, samples.last(), &line)?;
        bar.set_position((begun.at.elapsed().as_secs()).min(args.seconds));
        bar.set_message(format!(
            "{:.0} events/s, {} not indexed yet, {} MiB",
            sample.events_per_s,
            sample.lag_records,
            sample.rss_bytes >> 20
        ));
        samples.push(sample);
    };
    bar.finish_and_clear();
    drop(generator);
    let before = before.ok_or_else(|| Failure::failed("the load generator measured nothing"))?;
    Ok(Ingested {
        before,
        after: done.0,
        times: done.1,
        samples,
    })
}

fn sample(engine: &Engine, begun: &Usage, last: Option<&Sample>, line: &Line) -> Result<Sample, Failure> {
    let status = engine.status()?;
    let at_s = begun.at.elapsed().as_secs_f64();
    let events = line.events - begun.line.events;
    let (since_s, since) = last.map_or((0.0, 0), |last| (last.at_s, last.events));
    let step = Duration::from_secs_f64((at_s - since_s).max(0.001));
    Ok(Sample {
        at_s,
        events,
        events_per_s: per_second(events - since, step),
        lag_records: status.index_lag_records,
        tail_records: status.tail_records,
        wal_bytes: status.wal_bytes,
        rss_bytes: files::resident_bytes(),
        busy: line.busy - begun.line.busy,
    })
}

/// The child process that makes the load; it dies with this value.
struct Generator(Child);

impl Generator {
    fn start(
        args: &BenchIngestArgs,
        served: &Served,
    ) -> Result<(Self, Receiver<Result<Line, Failure>>), Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["bench", "feed", "--tenant", TENANT])
            .args(["--address", &served.address.to_string()])
            .args(["--clients", &args.clients.to_string()])
            .args(["--batch", &args.batch.to_string()])
            .args(["--rate", &args.rate.to_string()])
            .args(["--warm-up", &WARM_UP_S.to_string()])
            .args(["--seconds", &args.seconds.to_string()])
            .args(["--seed", &args.seed.to_string()])
            .env("ATTESTORE_CREDENTIAL", &served.credential)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let (send, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || forward(BufReader::new(stdout), &send));
        }
        Ok((Self(child), lines))
    }
}

fn forward(stdout: impl BufRead, send: &Sender<Result<Line, Failure>>) {
    for line in stdout.lines() {
        let line = line
            .map_err(Failure::from)
            .and_then(|line| Ok(serde_json::from_str(&line)?));
        if send.send(line).is_err() {
            break;
        }
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn bar(seconds: u64) -> ProgressBar {
    let bar = ProgressBar::new(seconds);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} s  {msg}") {
        bar.set_style(style);
    }
    bar
}

fn row(
    args: &BenchIngestArgs,
    (ingested, probed, asked): (Ingested, Histogram<u64>, Histogram<u64>),
    bare: &Histogram<u64>,
    floor_bytes: u64,
    settled_s: f64,
    disk_bytes: BTreeMap<String, u64>,
    side: &Side,
) -> Row {
    let Ingested {
        before,
        after,
        times,
        samples,
    } = ingested;
    let elapsed = after.at - before.at;
    let events = after.line.events - before.line.events;
    let server_us = (after.cpu_us - before.cpu_us).max(1);
    let generator_us = after.line.cpu_us - before.line.cpu_us;
    let machine = Duration::from_micros(server_us).as_secs_f64() / cores();
    let most = |of: fn(&Sample) -> u64| samples.iter().map(of).max().unwrap_or(0);
    Row {
        clients: args.clients,
        batch: args.batch,
        rate: args.rate,
        seconds: elapsed.as_secs_f64(),
        events,
        events_per_s: per_second(events, elapsed),
        events_per_s_of_machine: per_second(events, Duration::from_secs_f64(machine)),
        cpu_us_per_event: ratio(server_us, events),
        server_cores: Duration::from_micros(server_us).as_secs_f64() / elapsed.as_secs_f64(),
        generator_cores: Duration::from_micros(generator_us).as_secs_f64() / elapsed.as_secs_f64(),
        busy: after.line.busy - before.line.busy,
        p50_us: times.p50_us,
        p99_us: times.p99_us,
        p999_us: times.p999_us,
        max_us: times.max_us,
        floor_bytes,
        floor_p50_us: us(bare, 0.5),
        floor_p99_us: us(bare, 0.99),
        floor_p999_us: us(bare, 0.999),
        ratio_p50: times.p50_us / us(bare, 0.5),
        ratio_p99: times.p99_us / us(bare, 0.99),
        ratio_p999: times.p999_us / us(bare, 0.999),
        lag_records_max: most(|s| s.lag_records),
        tail_records_max: most(|s| s.tail_records),
        wal_bytes_max: most(|s| s.wal_bytes),
        rss_bytes_begin: samples.first().map_or(0, |s| s.rss_bytes),
        rss_bytes_max: most(|s| s.rss_bytes),
        rss_bytes_end: samples.last().map_or(0, |s| s.rss_bytes),
        probes: probed.len(),
        probes_stale: side.stale.load(Ordering::Relaxed),
        probe_p50_us: us(&probed, 0.5),
        probe_p99_us: us(&probed, 0.99),
        queries: asked.len(),
        query_p50_us: us(&asked, 0.5),
        query_p99_us: us(&asked, 0.99),
        settled_s,
        disk_bytes,
        timeline: samples,
    }
}

#[expect(clippy::cast_precision_loss, reason = "few")]
fn cores() -> f64 {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get) as f64
}

fn print(row: &Row) -> Result<(), Failure> {
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    let mut lines = vec![
        [
            "events/s".to_owned(),
            format!(
                "{:.0} ({} events in {:.0} s)",
                row.events_per_s, row.events, row.seconds
            ),
        ],
        [
            "events/s, all cores the server's".to_owned(),
            format!("{:.0}", row.events_per_s_of_machine),
        ],
        [
            "CPU".to_owned(),
            format!(
                "{:.1} us an event; {:.2} cores server, {:.2} load generator",
                row.cpu_us_per_event, row.server_cores, row.generator_cores
            ),
        ],
        [
            "append p50/p99/p99.9".to_owned(),
            format!(
                "{:.0}/{:.0}/{:.0} us, longest {:.0}; {} asked to wait",
                row.p50_us, row.p99_us, row.p999_us, row.max_us, row.busy
            ),
        ],
        [
            "floor p50/p99/p99.9".to_owned(),
            format!(
                "{:.0}/{:.0}/{:.0} us for {} bytes; ratio {:.2}/{:.2}/{:.2}",
                row.floor_p50_us,
                row.floor_p99_us,
                row.floor_p999_us,
                row.floor_bytes,
                row.ratio_p50,
                row.ratio_p99,
                row.ratio_p999
            ),
        ],
        [
            "most records not indexed".to_owned(),
            format!(
                "{} (tail {}, log {})",
                row.lag_records_max,
                row.tail_records_max,
                mib(row.wal_bytes_max)
            ),
        ],
        [
            "memory begin/most/end".to_owned(),
            format!(
                "{} / {} / {}",
                mib(row.rss_bytes_begin),
                mib(row.rss_bytes_max),
                mib(row.rss_bytes_end)
            ),
        ],
        [
            "search for the newest p50/p99".to_owned(),
            format!(
                "{:.0}/{:.0} us; {} of {} did not find it",
                row.probe_p50_us, row.probe_p99_us, row.probes_stale, row.probes
            ),
        ],
    ];
    if row.queries > 0 {
        lines.push([
            "heavy queries p50/p99".to_owned(),
            format!(
                "{:.0}/{:.0} us ({} of them)",
                row.query_p50_us, row.query_p99_us, row.queries
            ),
        ]);
    }
    let kinds: Vec<String> = row
        .disk_bytes
        .iter()
        .map(|(kind, bytes)| format!("{kind} {}", mib(*bytes)))
        .collect();
    lines.push([
        "on disk".to_owned(),
        format!("{} after {:.0} s", kinds.join(", "), row.settled_s),
    ]);
    output::table(["WHAT", "MEASURED"], lines)
}
