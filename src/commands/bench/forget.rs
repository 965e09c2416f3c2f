//! `attestore bench forget`: erasure of many people, and a purge of half a tenant, while somebody appends.
//!
//! The data is generated; one person in five is erased, popular ones and others, so that every segment has some of them. One
//! appender works in a closed loop all the time: what forgetting costs others is its latency beside that of before.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use attestore_engine::forget::Person;
use attestore_engine::forget::erase::{ErasureInfo, ErasureRequest, ErasureState};
use attestore_engine::forget::purge::{PurgeOrder, PurgeState, PurgeStatus, Selection};
use attestore_engine::forget::rules::ClassSpec;
use attestore_engine::{AppendError, Engine, Item, Mode, Principal};
use attestore_record::control::{Erasable, RetentionMode};
use bytes::Bytes;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::dataset::{self, Dataset, Place, TENANT, Wanted};
use super::figures::{histogram, record, us};
use super::generate::Generator;
use crate::cli::{BenchForgetArgs, GenerateArgs, Output};
use crate::failure::Failure;
use crate::{files, output};

/// What somebody who appends meanwhile notices. Microseconds.
#[derive(Debug, Serialize)]
struct Row {
    /// before, erasing (until nothing opens the data), rewriting (until no file has it), purging
    phase: &'static str,
    seconds: f64,
    appends: u64,
    p50_us: f64,
    p99_us: f64,
    max_us: f64,
    /// p99 by that of `before`.
    ratio_p99: f64,
}

/// An erasure of many. Seconds from the first request on.
#[derive(Debug, Serialize)]
struct Erasure {
    subjects: usize,
    requests: usize,
    /// Records with personal groups about them.
    records: u64,
    answered_s: f64,
    suppressed_s: f64,
    unreadable_s: f64,
    terms_gone_s: f64,
    bytes_gone_s: f64,
    done_s: f64,
    segments_rewritten: u64,
    bytes_rewritten: u64,
}

/// A purge of half the tenant. Seconds from the request on.
#[derive(Debug, Serialize)]
struct Purge {
    records: u64,
    answered_s: f64,
    unreadable_s: f64,
    done_s: f64,
    bytes_dropped: u64,
    bytes_rewritten: u64,
    /// Of the data directory, before and after.
    disk_bytes: [u64; 2],
}

#[derive(Debug, Serialize)]
struct Report {
    dataset: Dataset,
    erasure: Erasure,
    purge: Purge,
    appends: Vec<Row>,
}

/// Measures and prints.
pub fn run(args: &BenchForgetArgs) -> Result<(), Failure> {
    if args.events == 0 || args.subjects == 0 || args.per_request == 0 {
        return Err(Failure::usage(
            "events, subjects and per-request must be at least 1",
        ));
    }
    let place = Place::new(None, &args.dir)?;
    let result = measure(args, &place);
    place.leave()?;
    let mut report = result?;
    report.dataset.samples.clear();
    match args.output {
        Output::Json => output::json(&report),
        Output::Ndjson => output::ndjson(&report),
        Output::Table => print(&report),
    }
}

fn measure(args: &BenchForgetArgs, place: &Place) -> Result<Report, Failure> {
    let engine = dataset::open(place)?;
    let by = Principal::internal();
    engine.create_tenant(TENANT, &by)?;
    set_policy(&engine, &by)?;
    let wanted = Wanted {
        events: args.events,
        shape: "native".to_owned(),
        seed: args.seed,
    };
    let dataset = dataset::load(&engine, place, &wanted)?;
    let load = Load::new(args.seed.wrapping_add(1))?;
    let result = std::thread::scope(|scope| {
        let appender = scope.spawn(|| load.append(&engine, &by));
        let worked = work(args, &engine, &by, place, &load);
        load.phase.store(OVER, Ordering::Relaxed);
        let appended = appender
            .join()
            .unwrap_or_else(|_| Err(Failure::failed("the appender panicked")));
        let (worked, appended) = (worked?, appended?);
        Ok::<_, Failure>((worked, appended))
    });
    engine.close()?;
    let ((erasure, purge, times), appended) = result?;
    let p99_before = us(&appended[0], 0.99).max(f64::MIN_POSITIVE);
    let appends = PHASES
        .iter()
        .zip(&times)
        .zip(&appended)
        .map(|((phase, elapsed), times)| Row {
            phase,
            seconds: elapsed.as_secs_f64(),
            appends: times.len(),
            p50_us: us(times, 0.5),
            p99_us: us(times, 0.99),
            max_us: us(times, 1.0),
            ratio_p99: us(times, 0.99) / p99_before,
        });
    Ok(Report {
        dataset,
        erasure,
        purge,
        appends: appends.collect(),
    })
}

/// Everything, one after the other; with how long each phase took.
fn work(
    args: &BenchForgetArgs,
    engine: &Engine,
    by: &Principal,
    place: &Place,
    load: &Load,
) -> Result<(Erasure, Purge, [Duration; 4]), Failure> {
    output::note("appending alone");
    let begin = Instant::now();
    std::thread::sleep(Duration::from_secs(args.seconds));
    let before = begin.elapsed();
    output::note(format!("erasing {} people", args.subjects));
    load.phase.store(1, Ordering::Relaxed);
    let begin = Instant::now();
    let asked = ask(args, engine, by)?;
    let answered = begin.elapsed();
    wait(engine, by, &asked, |info| info.unreadable_since_ms.is_some())?;
    let erasing = begin.elapsed();
    output::note(format!(
        "nothing opens it {:.1} s after the first request; waiting until no file has it",
        erasing.as_secs_f64()
    ));
    load.phase.store(2, Ordering::Relaxed);
    let done = wait(engine, by, &asked, |info| info.state == ErasureState::Done)?;
    let rewriting = begin.elapsed().saturating_sub(erasing);
    let first_ms = done
        .iter()
        .map(|info| info.requested_ms)
        .min()
        .unwrap_or_default();
    let last = |date: fn(&ErasureInfo) -> Option<u64>| {
        let latest = done.iter().filter_map(date).max().unwrap_or_default();
        seconds(latest.saturating_sub(first_ms))
    };
    let erasure = Erasure {
        subjects: args.subjects,
        requests: done.len(),
        records: done.iter().map(|info| info.records).sum(),
        answered_s: answered.as_secs_f64(),
        suppressed_s: last(|info| Some(info.suppressed_since_ms)),
        unreadable_s: last(|info| info.unreadable_since_ms),
        terms_gone_s: last(|info| info.terms_gone_since_ms),
        bytes_gone_s: last(|info| info.bytes_gone_since_ms),
        done_s: (erasing + rewriting).as_secs_f64(),
        segments_rewritten: done.iter().map(|info| info.segments_rewritten).max().unwrap_or(0),
        bytes_rewritten: done.iter().map(|info| info.bytes_rewritten).max().unwrap_or(0),
    };
    output::note("purging the first half of the records");
    load.phase.store(3, Ordering::Relaxed);
    let (purge, purging) = purge(args, engine, by, place)?;
    Ok((erasure, purge, [before, erasing, rewriting, purging]))
}

/// Asks for the erasure of every fifth actor that the generator knows.
fn ask(args: &BenchForgetArgs, engine: &Engine, by: &Principal) -> Result<Vec<String>, Failure> {
    let people: Vec<Person> = (0..args.subjects)
        .map(|n| Person {
            ty: "user".to_owned(),
            id: format!("user-{:05}", n * 5),
        })
        .collect();
    let mut asked = Vec::new();
    for some in people.chunks(args.per_request) {
        let request = ErasureRequest {
            subjects: some.to_vec(),
            basis: "bench".to_owned(),
            undo_s: 0,
        };
        asked.push(engine.erase(TENANT, by, &request)?.id);
    }
    Ok(asked)
}

fn wait(
    engine: &Engine,
    by: &Principal,
    asked: &[String],
    until: impl Fn(&ErasureInfo) -> bool,
) -> Result<Vec<ErasureInfo>, Failure> {
    let begin = Instant::now();
    let mut told = 0;
    while begin.elapsed() < PATIENCE {
        let all = asked.iter().map(|id| engine.erasure(TENANT, by, id));
        let all: Vec<ErasureInfo> = all.collect::<Result<_, _>>()?;
        if all.iter().all(&until) {
            return Ok(all);
        }
        let rewritten = all.iter().map(|info| info.segments_rewritten).max().unwrap_or(0);
        if rewritten > told {
            told = rewritten;
            output::note(format!(
                "{told} segments are rewritten after {:.0} s",
                begin.elapsed().as_secs_f64()
            ));
        }
        std::thread::sleep(LOOK);
    }
    Err(Failure::failed("an erasure did not come to its end"))
}

fn purge(
    args: &BenchForgetArgs,
    engine: &Engine,
    by: &Principal,
    place: &Place,
) -> Result<(Purge, Duration), Failure> {
    let size = |path: &Path| -> Result<u64, Failure> { Ok(files::disk_usage(path)?.values().sum()) };
    let before = size(&place.data())?;
    let order = PurgeOrder {
        class: Some(1),
        selection: Selection::Ranges(std::iter::once(0..args.events / 2).collect()),
        note: "bench".to_owned(),
        bypass: false,
    };
    let begin = Instant::now();
    let ordered = engine.purge(TENANT, by, &order)?.purges;
    let answered = begin.elapsed();
    let mut done: Vec<PurgeStatus> = Vec::new();
    while begin.elapsed() < PATIENCE {
        let all = ordered
            .iter()
            .map(|purge| engine.purge_status(TENANT, by, &purge.id));
        done = all.collect::<Result<_, _>>()?;
        if done.iter().all(|purge| purge.state == PurgeState::Done) {
            break;
        }
        std::thread::sleep(LOOK);
    }
    let purging = begin.elapsed();
    let unreadable = done
        .iter()
        .filter_map(|purge| Some(purge.unreadable_since_ms?.saturating_sub(purge.decided_ms)));
    let purge = Purge {
        records: done.iter().map(|purge| purge.records).sum(),
        answered_s: answered.as_secs_f64(),
        unreadable_s: seconds(unreadable.max().unwrap_or_default()),
        done_s: purging.as_secs_f64(),
        bytes_dropped: done.iter().map(|purge| purge.bytes_dropped).sum(),
        bytes_rewritten: done.iter().map(|purge| purge.bytes_rewritten).sum(),
        disk_bytes: [before, size(&place.data())?],
    };
    Ok((purge, purging))
}

fn set_policy(engine: &Engine, by: &Principal) -> Result<(), Failure> {
    let spec = ClassSpec {
        class: 1,
        name: "bench".to_owned(),
        keep_min_ms: 0,
        keep_max_ms: None,
        basis: "bench".to_owned(),
        mode: RetentionMode::None,
        erasable: Erasable::Yes,
        select: None,
    };
    engine.set_retention(TENANT, by, &spec, false)?;
    Ok(())
}

/// Somebody who appends one event after the other.
struct Load {
    phase: AtomicUsize,
    pool: Vec<Bytes>,
}

impl Load {
    fn new(seed: u64) -> Result<Self, Failure> {
        let mut generator = Generator::new(&GenerateArgs {
            shape: "native".to_owned(),
            seed,
            ..GenerateArgs::default()
        })?;
        Ok(Self {
            phase: AtomicUsize::new(0),
            pool: (0..POOL).map(|_| Bytes::from(generator.next_event())).collect(),
        })
    }

    /// Appends until it is over; nanoseconds by phase.
    fn append(&self, engine: &Engine, by: &Principal) -> Result<[Histogram<u64>; 4], Failure> {
        let mut times = [histogram(), histogram(), histogram(), histogram()];
        for bytes in self.pool.iter().cycle() {
            let phase = self.phase.load(Ordering::Relaxed);
            let Some(times) = times.get_mut(phase) else { break };
            let item = Item {
                bytes: bytes.clone(),
                fallback_key: None,
            };
            let begin = Instant::now();
            match engine.append_blocking(TENANT, by, "native", vec![item], Mode::Each) {
                Ok(_) => record(times, begin.elapsed()),
                Err(AppendError::Overloaded { retry_after_ms, .. }) => {
                    std::thread::sleep(Duration::from_millis(retry_after_ms.min(50)));
                    // Whoever is pushed back waits, too.
                    record(times, begin.elapsed());
                }
                Err(error) => return Err(Failure::failed(error.to_string())),
            }
        }
        Ok(times)
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

fn print(report: &Report) -> Result<(), Failure> {
    let (erasure, purge) = (&report.erasure, &report.purge);
    let at = |s: f64| format!("{s:.2} s");
    let figures = [
        ("events", report.dataset.events.to_string()),
        ("people erased", erasure.subjects.to_string()),
        ("requests", erasure.requests.to_string()),
        ("records about them", erasure.records.to_string()),
        ("answered after", at(erasure.answered_s)),
        ("unreadable after", at(erasure.unreadable_s)),
        ("terms gone after", at(erasure.terms_gone_s)),
        ("bytes gone after", at(erasure.bytes_gone_s)),
        ("segments rewritten", erasure.segments_rewritten.to_string()),
        ("bytes rewritten", erasure.bytes_rewritten.to_string()),
        ("records purged", purge.records.to_string()),
        ("purge answered after", at(purge.answered_s)),
        ("purged unreadable after", at(purge.unreadable_s)),
        ("purge done after", at(purge.done_s)),
        ("bytes dropped", purge.bytes_dropped.to_string()),
        ("bytes written again", purge.bytes_rewritten.to_string()),
        ("directory before", purge.disk_bytes[0].to_string()),
        ("directory after", purge.disk_bytes[1].to_string()),
    ];
    output::table(
        ["", ""],
        figures.into_iter().map(|(name, value)| [name.to_owned(), value]),
    )?;
    output::table(
        [
            "APPENDS WHILE",
            "SECONDS",
            "APPENDS",
            "P50 US",
            "P99 US",
            "MAX US",
            "P99 RATIO",
        ],
        report.appends.iter().map(|row| {
            [
                row.phase.to_owned(),
                format!("{:.1}", row.seconds),
                row.appends.to_string(),
                format!("{:.0}", row.p50_us),
                format!("{:.0}", row.p99_us),
                format!("{:.0}", row.max_us),
                format!("{:.2}", row.ratio_p99),
            ]
        }),
    )
}

const PHASES: [&str; 4] = ["before", "erasing", "rewriting", "purging"];
const OVER: usize = PHASES.len();
/// Different events of the appender.
const POOL: usize = 4096;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(3600);
/// How often is looked how far it is.
const LOOK: Duration = Duration::from_millis(20);
