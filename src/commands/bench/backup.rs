//! `attestore bench backup`: a full backup beside full ingest, what it costs who appends, and how fast it is beside the bare disk.
//!
//! The floors are measured in the same run, beside nothing else: as many bytes, written to the same target in the same pieces, one after
//! the other, and synced; and as many bytes copied so from the disk of the data.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use attestore_disk::{AlignedBuf, Disk, File, Mode as FileMode, RealDisk};
use attestore_engine::backup::{BackupInfo, BackupState, Target};
use attestore_engine::{AppendError, Engine, Item, Mode, Principal, Settings};
use attestore_keys::{RecipientKey, SystemEntropy};
use bytes::Bytes;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::dataset::{self, Dataset, Place, TENANT, Wanted};
use super::figures::{histogram, per_second, record, us};
use super::generate::Generator;
use crate::cli::{BenchBackupArgs, GenerateArgs, Output};
use crate::commands::parts;
use crate::failure::Failure;
use crate::output;

/// What those who append notice. Microseconds for a batch.
#[derive(Debug, Serialize)]
struct Row {
    /// before, beside (the backup is being made)
    phase: &'static str,
    seconds: f64,
    events_per_s: f64,
    p50_us: f64,
    p99_us: f64,
    /// p99 by that of `before`.
    ratio_p99: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    dataset: Dataset,
    clients: usize,
    batch: usize,
    backup_bytes: u64,
    backup_seconds: f64,
    backup_bytes_per_s: f64,
    /// Bare sequential writes and a sync, into the same target, beside nothing else.
    floor_bytes_per_s: f64,
    /// Of the backup's speed by the floor's.
    ratio_speed: f64,
    /// A bare copy and a sync, from the disk of the data into the same target, beside nothing else; no hash.
    copy_bytes_per_s: f64,
    /// Of the backup's speed by the bare copy's.
    ratio_copy: f64,
    appends: Vec<Row>,
}

/// Measures and prints.
pub fn run(args: &BenchBackupArgs) -> Result<(), Failure> {
    if args.events == 0 || args.clients == 0 || args.batch == 0 {
        return Err(Failure::usage("events, clients and batch must be at least 1"));
    }
    let place = Place::new(None, &args.dir)?;
    let away = Place::new(None, args.to.as_deref().unwrap_or(&args.dir))?;
    let result = measure(args, &place, &away.data());
    place.leave()?;
    away.leave()?;
    let mut report = result?;
    report.dataset.samples.clear();
    match args.output {
        Output::Json => output::json(&report),
        Output::Ndjson => output::ndjson(&report),
        Output::Table => print(&report),
    }
}

fn measure(args: &BenchBackupArgs, place: &Place, to: &Path) -> Result<Report, Failure> {
    let key = RecipientKey::generate(&SystemEntropy).map_err(|error| Failure::failed(error.to_string()))?;
    let target: Arc<dyn Disk> = Arc::new(RealDisk::new(to)?);
    let settings = Settings {
        backup: Some(Target {
            disk: Arc::clone(&target),
            recipient: key.recipient(),
            keep: 1,
            window_ms: 7 * 24 * 3_600_000,
            every_ms: 0,
            ship_ms: 0,
            bytes_per_s: 0,
        }),
        ..Settings::default()
    };
    let engine = Engine::create_or_open(parts(&place.data(), None, true)?, settings)?.0;
    let by = Principal::internal();
    engine.create_tenant(TENANT, &by)?;
    let wanted = Wanted {
        events: args.events,
        shape: "native".to_owned(),
        seed: args.seed,
    };
    let dataset = dataset::load(&engine, place, &wanted)?;
    let pool = pool(args.seed.wrapping_add(1))?;
    let phase = AtomicUsize::new(0);
    let measured = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..args.clients)
            .map(|_| scope.spawn(|| append(&engine, &by, &pool, args.batch, &phase)))
            .collect();
        output::note("appending alone");
        let begin = Instant::now();
        std::thread::sleep(Duration::from_secs(args.seconds));
        let before = begin.elapsed();
        output::note("beside a backup");
        phase.store(1, Ordering::Relaxed);
        let begin = Instant::now();
        let made = backup(&engine, &by);
        let beside = begin.elapsed();
        phase.store(PHASES.len(), Ordering::Relaxed);
        let mut times = [histogram(), histogram()];
        for client in clients {
            let own = client
                .join()
                .unwrap_or_else(|_| Err(Failure::failed("a client panicked")))?;
            for (times, own) in times.iter_mut().zip(&own) {
                times
                    .add(own)
                    .map_err(|error| Failure::failed(error.to_string()))?;
            }
        }
        Ok::<_, Failure>((made?, times, [before, beside]))
    });
    engine.close()?;
    let (made, times, spent) = measured?;
    let [floor, copy] = floors(&RealDisk::new(place.data())?, &*target, made.bytes_copied)?;
    let speed = per_second(made.bytes_copied, spent[1]);
    let p99_before = us(&times[0], 0.99).max(f64::MIN_POSITIVE);
    let rows = PHASES
        .iter()
        .zip(&times)
        .zip(&spent)
        .map(|((phase, times), spent)| Row {
            phase,
            seconds: spent.as_secs_f64(),
            events_per_s: per_second(times.len() * args.batch as u64, *spent),
            p50_us: us(times, 0.5),
            p99_us: us(times, 0.99),
            ratio_p99: us(times, 0.99) / p99_before,
        });
    Ok(Report {
        dataset,
        clients: args.clients,
        batch: args.batch,
        backup_bytes: made.bytes_copied,
        backup_seconds: spent[1].as_secs_f64(),
        backup_bytes_per_s: speed,
        floor_bytes_per_s: floor,
        ratio_speed: speed / floor,
        copy_bytes_per_s: copy,
        ratio_copy: speed / copy,
        appends: rows.collect(),
    })
}

fn backup(engine: &Engine, by: &Principal) -> Result<BackupInfo, Failure> {
    let begun = engine.start_backup(by)?;
    loop {
        let info = engine.backup(&begun.id, by)?;
        match info.state {
            BackupState::Done => return Ok(info),
            BackupState::Failed => return Err(Failure::failed(info.error.unwrap_or_default())),
            BackupState::Waiting | BackupState::Running => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Bytes per second of bare writes, and of a bare copy of them; each with a sync of the file system behind it, as a backup ends with.
fn floors(from: &dyn Disk, target: &dyn Disk, bytes: u64) -> Result<[f64; 2], Failure> {
    let path = Path::new("bare");
    let bytes = bytes.next_multiple_of(PIECE as u64).max(PIECE as u64);
    let mut piece = AlignedBuf::new();
    piece.resize(PIECE, 0x5a);
    let written = timed(target, path, bytes, |to, offset| to.write_all_at(&piece, offset))?;
    target.remove(path)?;
    timed(from, path, bytes, |to, offset| to.write_all_at(&piece, offset))?;
    let source = from.open(path, FileMode::ReadDirect)?;
    let to = Path::new("copy");
    let copied = timed(target, to, bytes, |to, offset| {
        source.read_exact_at(&mut piece, offset)?;
        to.write_all_at(&piece, offset)
    })?;
    from.remove(path)?;
    target.remove(to)?;
    Ok([written, copied])
}

/// Bytes per second of a new file that `each` writes a piece of at an offset.
fn timed(
    disk: &dyn Disk,
    path: &Path,
    bytes: u64,
    mut each: impl FnMut(&dyn File, u64) -> io::Result<()>,
) -> Result<f64, Failure> {
    let begin = Instant::now();
    let file = disk.open(path, FileMode::CreateDirect)?;
    for offset in (0..bytes).step_by(PIECE) {
        each(&*file, offset)?;
    }
    file.sync_data()?;
    disk.sync_all()?;
    Ok(per_second(bytes, begin.elapsed()))
}

fn pool(seed: u64) -> Result<Vec<Bytes>, Failure> {
    let mut generator = Generator::new(&GenerateArgs {
        shape: "native".to_owned(),
        seed,
        ..GenerateArgs::default()
    })?;
    Ok((0..POOL).map(|_| Bytes::from(generator.next_event())).collect())
}

/// Appends batches until it is over; nanoseconds by phase.
fn append(
    engine: &Engine,
    by: &Principal,
    pool: &[Bytes],
    batch: usize,
    phase: &AtomicUsize,
) -> Result<[Histogram<u64>; 2], Failure> {
    let mut times = [histogram(), histogram()];
    let mut events = pool.iter().cycle();
    while let Some(times) = times.get_mut(phase.load(Ordering::Relaxed)) {
        let items: Vec<Item> = events
            .by_ref()
            .take(batch)
            .map(|bytes| Item {
                bytes: bytes.clone(),
                fallback_key: None,
            })
            .collect();
        let begin = Instant::now();
        match engine.append_blocking(TENANT, by, "native", items, Mode::Each) {
            Ok(_) => record(times, begin.elapsed()),
            Err(AppendError::Overloaded { retry_after_ms, .. }) => {
                std::thread::sleep(Duration::from_millis(retry_after_ms.min(50)));
            }
            Err(error) => return Err(Failure::failed(error.to_string())),
        }
    }
    Ok(times)
}

fn print(report: &Report) -> Result<(), Failure> {
    let mb = |bytes: f64| format!("{:.1} MB/s", bytes / 1e6);
    let figures = [
        ("events", report.dataset.events.to_string()),
        ("bytes copied", report.backup_bytes.to_string()),
        ("seconds", format!("{:.1}", report.backup_seconds)),
        ("speed", mb(report.backup_bytes_per_s)),
        ("bare disk", mb(report.floor_bytes_per_s)),
        ("ratio", format!("{:.2}", report.ratio_speed)),
        ("bare copy", mb(report.copy_bytes_per_s)),
        ("ratio", format!("{:.2}", report.ratio_copy)),
    ];
    output::table(
        ["", ""],
        figures.into_iter().map(|(name, value)| [name.to_owned(), value]),
    )?;
    output::table(
        ["APPENDS", "SECONDS", "EVENTS/S", "P50 US", "P99 US", "P99 RATIO"],
        report.appends.iter().map(|row| {
            [
                row.phase.to_owned(),
                format!("{:.1}", row.seconds),
                format!("{:.0}", row.events_per_s),
                format!("{:.0}", row.p50_us),
                format!("{:.0}", row.p99_us),
                format!("{:.2}", row.ratio_p99),
            ]
        }),
    )
}

const PHASES: [&str; 2] = ["before", "beside"];
/// Bytes of one write, as sealed files are written.
const PIECE: usize = 256 << 10;
/// Different events of the clients.
const POOL: usize = 4096;
