//! `attestore bench append`: durable appends beside their floor, measured in the same run and folder.
//!
//! The floor of a row is the bare `O_DIRECT|O_DSYNC` write of as many bytes as the row's frames had on average, taken
//! right after the row, once indexing has caught up: work in the background would slow the floor too and flatter the ratio.
//! Over HTTP there is a second floor: the same requests to a handler that does nothing. Each load runs for a second before
//! anything of it counts. On a machine that does other work too, compare CPU times; the others measure the neighbours.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use attestore_disk::BLOCK;
use attestore_engine::{AppendError, Engine, Item, Mode, Principal};
use bytes::Bytes;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::costs::{Way, way};
use super::figures::{histogram, per_second, ratio, record, us};
use super::floor::Floor;
use super::generate::Generator;
use super::load::{self, Target};
use super::served::Served;
use crate::cli::{BenchAppendArgs, GenerateArgs, Output};
use crate::commands::parts;
use crate::failure::Failure;
use crate::{files, output};

/// Different events that the appenders draw from.
const POOL: usize = 4096;
/// How long a load runs before it counts.
const WARM_UP: Duration = Duration::from_secs(1);
/// How long to wait for the index after a row.
const SETTLE: Duration = Duration::from_secs(20);

/// One line of the result. Times in microseconds.
#[derive(Debug, Serialize)]
struct Row {
    round: u32,
    mode: String,
    clients: usize,
    batch: usize,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    floor_bytes: u64,
    floor_p50_us: f64,
    floor_p99_us: f64,
    ratio_p50: f64,
    ratio_p99: f64,
    events_per_s: f64,
    /// HTTP only: requests per second of a handler that does nothing, and our share of it.
    nop_requests_per_s: Option<f64>,
    ratio_nop: Option<f64>,
    /// CPU of the whole process, clients included, for one request of those.
    nop_cpu_us_per_request: Option<f64>,
    /// CPU of the whole process, clients included.
    cpu_us_per_event: f64,
    bytes_per_event: f64,
}

/// Measures every combination and prints the rows.
pub fn run(args: &BenchAppendArgs) -> Result<(), Failure> {
    if args.clients.contains(&0) || args.batch.contains(&0) || args.seconds == 0 || args.rounds == 0 {
        return Err(Failure::usage(
            "clients, batch, seconds and rounds must be at least 1",
        ));
    }
    let dir = files::temporary_dir(&args.dir)?;
    let result = measure(args, dir.path());
    dir.remove()?;
    let rows = result?;
    match args.output {
        Output::Json => output::json(&rows),
        Output::Ndjson => rows.iter().try_for_each(output::ndjson),
        Output::Table => print(&rows),
    }
}

fn measure(args: &BenchAppendArgs, dir: &Path) -> Result<Vec<Row>, Failure> {
    let pool = Arc::new(pool(args.seed)?);
    let mut settings = attestore_engine::Settings {
        indexing: !args.no_index,
        ..Default::default()
    };
    // Without an index nothing but durability is measured; with it, back-pressure is part of the answer.
    settings.wal_budget_bytes = settings.wal_budget_bytes.max(512 << 20);
    let (engine, _) = Engine::create_or_open(parts(&dir.join("data"), None, true)?, settings)?;
    let by = Principal::internal();
    engine.create_tenant("bench", &by)?;
    let floor = Floor::new(&dir.join("floor"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut rows = Vec::new();
    for round in 1..=args.rounds {
        rows.extend(one_round(args, round, &engine, &floor, &pool, runtime.handle())?);
    }
    drop(runtime);
    engine.close()?;
    Ok(rows)
}

/// Every combination once. The modes of one come right after each other: what the machine does besides, it does to all.
fn one_round(
    args: &BenchAppendArgs,
    round: u32,
    engine: &Engine,
    floor: &Floor,
    pool: &Arc<Vec<Bytes>>,
    runtime: &tokio::runtime::Handle,
) -> Result<Vec<Row>, Failure> {
    let by = Principal::internal();
    let mut rows = Vec::new();
    for &batch in &args.batch {
        for &clients in &args.clients {
            for mode in &args.mode {
                let case = Case {
                    clients,
                    batch,
                    duration: Duration::from_secs(args.seconds),
                    indexing: !args.no_index,
                };
                output::note(format!("{mode}: {clients} clients, {batch} events per append"));
                let row = match mode.as_str() {
                    "in-process" => in_process(engine, &by, floor, pool, &case)?,
                    _ => http(mode, &way(mode)?, runtime, engine, floor, pool, &case)?,
                };
                rows.push(Row { round, ..row });
            }
        }
    }
    Ok(rows)
}

struct Case {
    clients: usize,
    batch: usize,
    duration: Duration,
    indexing: bool,
}

fn pool(seed: u64) -> Result<Vec<Bytes>, Failure> {
    let mut generator = Generator::new(&GenerateArgs {
        seed,
        shape: "native".into(),
        ..GenerateArgs::default()
    })?;
    Ok((0..POOL).map(|_| Bytes::from(generator.next_event())).collect())
}

/// What the process used between two looks.
struct Usage {
    at: Instant,
    cpu_us: u64,
    wal_bytes: u64,
    commits: u64,
}

impl Usage {
    fn look(engine: &Engine) -> Result<Self, Failure> {
        let status = engine.status()?;
        let (wal_bytes, commits) = (status.wal_written_bytes, status.wal_frames);
        Ok(Self {
            at: Instant::now(),
            cpu_us: files::process_cpu_us(),
            wal_bytes,
            commits,
        })
    }
}

fn in_process(
    engine: &Engine,
    by: &Principal,
    floor: &Floor,
    pool: &Arc<Vec<Bytes>>,
    case: &Case,
) -> Result<Row, Failure> {
    let phase = load::Phase::default();
    let (results, before, after) = std::thread::scope(|scope| {
        let appenders: Vec<_> = (0..case.clients)
            .map(|client| {
                let (phase, pool) = (&phase, Arc::clone(pool));
                scope.spawn(move || appender(engine, by, &pool, case.batch, client, phase))
            })
            .collect();
        std::thread::sleep(WARM_UP);
        let before = Usage::look(engine);
        phase.measure();
        std::thread::sleep(case.duration);
        phase.stop();
        let after = Usage::look(engine);
        let results: Vec<Result<Histogram<u64>, String>> = appenders
            .into_iter()
            .map(|a| a.join().unwrap_or_else(|_| Err("an appender panicked".into())))
            .collect();
        (results, before, after)
    });
    let (before, after) = (before?, after?);
    let mut times = histogram();
    for result in results {
        times
            .add(result.map_err(Failure::failed)?)
            .map_err(|e| Failure::failed(e.to_string()))?;
    }
    settle(engine, case)?;
    row("in-process", case, &times, &before, &after, floor, None)
}

/// One closed loop: the next append starts when the last was acknowledged.
fn appender(
    engine: &Engine,
    by: &Principal,
    pool: &[Bytes],
    batch: usize,
    client: usize,
    phase: &load::Phase,
) -> Result<Histogram<u64>, String> {
    let mut times = histogram();
    let mut at = client * 61;
    while !phase.is_over() {
        let items = (0..batch)
            .map(|i| Item {
                bytes: pool[(at + i) % pool.len()].clone(),
                fallback_key: None,
            })
            .collect();
        at += batch;
        let counts = phase.counts();
        let started = Instant::now();
        match engine.append_blocking("bench", by, "native", items, Mode::Each) {
            Ok(appended) if appended.items.iter().all(Result::is_ok) => {
                if counts {
                    record(&mut times, started.elapsed());
                }
            }
            Ok(_) => return Err("an event of the bench was refused".to_owned()),
            Err(AppendError::Overloaded { retry_after_ms, .. }) => {
                std::thread::sleep(Duration::from_millis(retry_after_ms.min(50)));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(times)
}

/// Waits until everything is indexed, so that the floor is measured on a machine that is as idle as it gets.
fn settle(engine: &Engine, case: &Case) -> Result<(), Failure> {
    let begin = Instant::now();
    while case.indexing && engine.status()?.index_lag_records > 0 && begin.elapsed() < SETTLE {
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn http(
    mode: &str,
    way: &Way,
    runtime: &tokio::runtime::Handle,
    engine: &Engine,
    floor: &Floor,
    pool: &Arc<Vec<Bytes>>,
    case: &Case,
) -> Result<Row, Failure> {
    let served = Served::start_with(runtime, engine, "bench", way)?;
    let tls = way.tls.as_ref().map(|(_, client)| client);
    let target = |path: &str| {
        Target::new(
            served.address,
            path,
            &served.credential,
            pool,
            case.batch,
            way.signed,
        )
        .over(tls)
    };
    let cpu = || Ok(files::process_cpu_us());
    let nop = load::run(
        &target("/nop"),
        case.clients,
        [WARM_UP / 2, case.duration / 2],
        cpu,
    )?;
    let usage = || Usage::look(engine);
    let load = load::run(
        &target("/v1/tenants/bench/events"),
        case.clients,
        [WARM_UP, case.duration],
        usage,
    )?;
    served.stop()?;
    settle(engine, case)?;
    let nop = Nop {
        requests_per_s: per_second(nop.times.len(), nop.elapsed),
        cpu_us: ratio(nop.after - nop.before, nop.times.len()),
    };
    row(
        mode,
        case,
        &load.times,
        &load.before,
        &load.after,
        floor,
        Some(nop),
    )
}

fn row(
    mode: &str,
    case: &Case,
    times: &Histogram<u64>,
    before: &Usage,
    after: &Usage,
    floor: &Floor,
    nop: Option<Nop>,
) -> Result<Row, Failure> {
    if times.is_empty() {
        return Err(Failure::failed("no append was acknowledged in the time given"));
    }
    let elapsed = after.at - before.at;
    let events = times.len() * case.batch as u64;
    let commits = (after.commits - before.commits).max(1);
    let written = after.wal_bytes - before.wal_bytes;
    let floor_bytes = (written / commits).next_multiple_of(BLOCK as u64);
    let bare = floor.measure(floor_bytes)?;
    let requests = per_second(times.len(), elapsed);
    Ok(Row {
        round: 1,
        mode: mode.to_owned(),
        clients: case.clients,
        batch: case.batch,
        p50_us: us(times, 0.5),
        p99_us: us(times, 0.99),
        p999_us: us(times, 0.999),
        floor_bytes,
        floor_p50_us: us(&bare, 0.5),
        floor_p99_us: us(&bare, 0.99),
        ratio_p50: us(times, 0.5) / us(&bare, 0.5),
        ratio_p99: us(times, 0.99) / us(&bare, 0.99),
        events_per_s: per_second(events, elapsed),
        nop_requests_per_s: nop.as_ref().map(|nop| nop.requests_per_s),
        ratio_nop: nop.as_ref().map(|nop| requests / nop.requests_per_s),
        nop_cpu_us_per_request: nop.map(|nop| nop.cpu_us),
        cpu_us_per_event: ratio(after.cpu_us - before.cpu_us, events),
        bytes_per_event: ratio(written, events),
    })
}

/// What a handler that does nothing reached.
struct Nop {
    requests_per_s: f64,
    cpu_us: f64,
}

fn print(rows: &[Row]) -> Result<(), Failure> {
    output::table(
        [
            "MODE",
            "CLIENTS",
            "BATCH",
            "P50 us",
            "P99 us",
            "P99.9 us",
            "FLOOR p50/p99",
            "RATIO p50/p99",
            "EVENTS/s",
            "OF NOP",
            "CPU us/ev",
            "NOP CPU us",
            "BYTES/ev",
        ],
        rows.iter().map(|r| {
            [
                r.mode.clone(),
                r.clients.to_string(),
                r.batch.to_string(),
                format!("{:.0}", r.p50_us),
                format!("{:.0}", r.p99_us),
                format!("{:.0}", r.p999_us),
                format!(
                    "{:.0}/{:.0} ({} B)",
                    r.floor_p50_us, r.floor_p99_us, r.floor_bytes
                ),
                format!("{:.2}/{:.2}", r.ratio_p50, r.ratio_p99),
                format!("{:.0}", r.events_per_s),
                r.ratio_nop.map_or_else(String::new, |n| format!("{n:.2}")),
                format!("{:.1}", r.cpu_us_per_event),
                r.nop_cpu_us_per_request
                    .map_or_else(String::new, |cpu| format!("{cpu:.1}")),
                format!("{:.0}", r.bytes_per_event),
            ]
        }),
    )
}
