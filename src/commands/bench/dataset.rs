//! Generated data to search in: made once, kept if wanted, and known well enough to check answers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use attestore_engine::{AppendError, Engine, Item, Mode, Principal};
use attestore_record::mapping::Mapping;
use bytes::Bytes;
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::figures::{per_second, ratio};
use super::generate::Generator;
use crate::cli::GenerateArgs;
use crate::commands::parts;
use crate::failure::Failure;
use crate::{files, output};

/// The tenant that has it all.
pub const TENANT: &str = "bench";
/// Account that only a few events name, whatever their number.
pub const RARE_ACCOUNT: &str = "999999999999";
/// Cost centre that only a few events name.
pub const RARE_COST_CENTER: &str = "cc-rare";
/// Events that are rare on purpose.
pub const RARE: u64 = 4;
/// Events that questions are made of.
const SAMPLES: u64 = 512;
/// Events per append.
const BATCH: usize = 500;
/// Threads that append. More than one, so that one can encode while another waits for the disk.
const APPENDERS: usize = 3;
/// How long to wait until flushes and compaction have nothing to do.
const SETTLE: Duration = Duration::from_secs(900);

/// What is in a data directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Dataset {
    /// Records.
    pub events: u64,
    /// cloudtrail or native.
    pub shape: String,
    /// Seed of the generator.
    pub seed: u64,
    /// Bytes of the source lines, line breaks included.
    pub source_bytes: u64,
    /// Time it took to append, seconds.
    pub load_s: f64,
    /// Events appended per second, indexing included.
    pub load_events_per_s: f64,
    /// CPU of the whole process for each of them, generator included, microseconds.
    pub load_cpu_us_per_event: f64,
    /// From the last append until everything was flushed and compacted, seconds.
    pub settled_s: f64,
    /// Segments that were put together when nothing went on any more, and what they became. What the background had put
    /// together by then is not among them.
    #[serde(default)]
    pub compacted: [u64; 2],
    /// Bytes on disk by kind of file.
    pub disk_bytes: BTreeMap<String, u64>,
    /// Bytes of records and proofs per byte of source.
    pub records_per_source: f64,
    /// The same with the index.
    pub all_per_source: f64,
    /// Some of the events.
    #[serde(default)]
    pub samples: Vec<Sample>,
}

/// What questions need of one event.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sample {
    /// Record id.
    pub id: String,
    /// Id of the actor.
    pub actor: String,
    /// First part of the action.
    pub service: String,
    /// Request id.
    pub request: String,
    /// When it occurred, Unix milliseconds.
    pub occurred_ms: i64,
}

/// Where a data set lies.
pub struct Place {
    folder: PathBuf,
    temporary: Option<files::TemporaryDir>,
}

impl Place {
    /// A folder that is kept, or a temporary one in `dir`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(keep: Option<&Path>, dir: &Path) -> Result<Self, Failure> {
        match keep {
            Some(folder) => {
                files::make_dir(folder)?;
                Ok(Self {
                    folder: folder.to_owned(),
                    temporary: None,
                })
            }
            None => {
                let temporary = files::temporary_dir(dir)?;
                Ok(Self {
                    folder: temporary.path().to_owned(),
                    temporary: Some(temporary),
                })
            }
        }
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// What is in it, if a run before has filled it.
    ///
    /// # Errors
    /// When the description cannot be read.
    pub fn dataset(&self) -> Result<Option<Dataset>, Failure> {
        let path = self.folder.join(DESCRIPTION);
        if !path.exists() {
            return Ok(None);
        }
        Ok(Some(serde_json::from_str(&files::read_text(&path)?)?))
    }

    /// Notes what is in it.
    ///
    /// # Errors
    /// When the description cannot be written.
    pub fn describe(&self, dataset: &Dataset) -> Result<(), Failure> {
        files::write_text(
            &self.folder.join(DESCRIPTION),
            &serde_json::to_string_pretty(dataset)?,
        )
    }

    /// Removes what is not to be kept.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn leave(self) -> Result<(), Failure> {
        self.temporary.map_or(Ok(()), files::TemporaryDir::remove)
    }
}

const DESCRIPTION: &str = "dataset.json";

/// Opens the engine of a place, with the settings of a server that nobody configured.
///
/// # Errors
/// As opening.
pub fn open(place: &Place) -> Result<Engine, Failure> {
    let parts = parts(&place.data(), None, true)?;
    Ok(Engine::create_or_open(parts, attestore_engine::Settings::default())?.0)
}

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Records.
    pub events: u64,
    /// cloudtrail or native.
    pub shape: String,
    /// Seed of the generator.
    pub seed: u64,
}

/// Appends the events, waits until flushes and compaction have nothing to do, and says what is there now.
///
/// # Errors
/// When an append fails or an event is refused.
pub fn load(engine: &Engine, place: &Place, wanted: &Wanted) -> Result<Dataset, Failure> {
    let by = Principal::internal();
    let bar = ProgressBar::new(wanted.events);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} loaded {per_sec} {eta}") {
        bar.set_style(style);
    }
    let (cpu_before, begun) = (files::process_cpu_us(), Instant::now());
    let samples = Mutex::new(Vec::new());
    let source_bytes = std::thread::scope(|scope| {
        let (send, receive) = sync_channel::<Batch>(2 * APPENDERS);
        let receive = Arc::new(Mutex::new(receive));
        let generator = scope.spawn(|| generate(wanted, send));
        let appenders: Vec<_> = (0..APPENDERS)
            .map(|_| {
                let receive = Arc::clone(&receive);
                scope.spawn(|| append_all(engine, &by, &wanted.shape, receive, &samples, &bar))
            })
            .collect();
        // The generator notices by this that all appenders are gone.
        drop(receive);
        for appender in appenders {
            appender.join().unwrap_or_else(|_| Err(panicked()))?;
        }
        generator.join().unwrap_or_else(|_| Err(panicked()))
    })?;
    let loaded = begun.elapsed();
    bar.finish_and_clear();
    output::note("loaded; waiting for flushes and compaction");
    let begun = Instant::now();
    settle(engine)?;
    let compacted = engine.compact(TENANT)?;
    let settled = begun.elapsed();
    let cpu = files::process_cpu_us() - cpu_before;
    let mut samples = samples.into_inner().unwrap_or_default();
    samples.sort_by(|a: &Sample, b| (a.occurred_ms, &a.id).cmp(&(b.occurred_ms, &b.id)));
    let disk_bytes = files::disk_usage(&place.data())?;
    let of = |kinds: &[&str]| {
        let some = disk_bytes
            .iter()
            .filter(|(kind, _)| kinds.contains(&kind.as_str()));
        some.map(|(_, bytes)| bytes).sum::<u64>()
    };
    let nodes: u64 = disk_bytes
        .iter()
        .filter(|(kind, _)| kind.parse::<u32>().is_ok())
        .map(|(_, bytes)| bytes)
        .sum();
    let records = of(&["seg", "sub", "l0", "entries"]) + nodes;
    let dataset = Dataset {
        events: wanted.events,
        shape: wanted.shape.clone(),
        seed: wanted.seed,
        source_bytes,
        load_s: loaded.as_secs_f64(),
        load_events_per_s: per_second(wanted.events, loaded),
        load_cpu_us_per_event: ratio(cpu, wanted.events),
        settled_s: settled.as_secs_f64(),
        compacted: [compacted.sets_in, compacted.sets_out],
        records_per_source: ratio(records, source_bytes),
        all_per_source: ratio(records + of(&["idx"]), source_bytes),
        disk_bytes,
        samples,
    };
    place.describe(&dataset)?;
    Ok(dataset)
}

/// Flushes, and waits until the process does nothing any more; gives up after [`SETTLE`].
///
/// # Errors
/// When the flush fails.
pub fn settle(engine: &Engine) -> Result<(), Failure> {
    let begin = Instant::now();
    engine.flush()?;
    let (mut cpu, mut quiet) = (files::process_cpu_us(), 0);
    while quiet < 8 && begin.elapsed() < SETTLE {
        std::thread::sleep(Duration::from_millis(250));
        let now = files::process_cpu_us();
        // 20 ms of CPU in a quarter of a second are timers; flushing and compacting take more.
        quiet = if now - cpu <= 20_000 { quiet + 1 } else { 0 };
        cpu = now;
    }
    Ok(())
}

fn panicked() -> Failure {
    Failure::failed("a thread of the bench panicked")
}

/// Lines in a row, and which of them are to be sampled.
struct Batch {
    lines: Vec<Bytes>,
    sampled: Vec<usize>,
}

fn generate(wanted: &Wanted, send: SyncSender<Batch>) -> Result<u64, Failure> {
    let mut generator = Generator::new(&GenerateArgs {
        shape: wanted.shape.clone(),
        seed: wanted.seed,
        ..GenerateArgs::default()
    })?;
    let rare_every = (wanted.events / RARE).max(1);
    let sample_every = (wanted.events / SAMPLES).max(1);
    let (mut lines, mut sampled, mut bytes) = (Vec::with_capacity(BATCH), Vec::new(), 0);
    for n in 0..wanted.events {
        let mut line = generator.next_event();
        if n % rare_every == rare_every / 2 && n / rare_every < RARE {
            line = made_rare(&line)?;
        }
        if n % sample_every == sample_every / 3 {
            sampled.push(lines.len());
        }
        bytes += line.len() as u64 + 1;
        lines.push(Bytes::from(line));
        if lines.len() == BATCH || n + 1 == wanted.events {
            let batch = Batch {
                lines: std::mem::take(&mut lines),
                sampled: std::mem::take(&mut sampled),
            };
            if send.send(batch).is_err() {
                break; // the appenders failed and say why
            }
        }
    }
    Ok(bytes)
}

fn made_rare(line: &str) -> Result<String, Failure> {
    let mut event: Value = serde_json::from_str(line)?;
    if event["eventVersion"].is_string() {
        event["recipientAccountId"] = json!(RARE_ACCOUNT);
    } else {
        event["metadata"]["cost_center"] = json!(RARE_COST_CENTER);
    }
    Ok(event.to_string())
}

fn append_all(
    engine: &Engine,
    by: &Principal,
    shape: &str,
    receive: Arc<Mutex<Receiver<Batch>>>,
    samples: &Mutex<Vec<Sample>>,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let mapping = match shape {
        "native" => None,
        name => Mapping::builtin(name),
    };
    loop {
        let next = receive.lock().map_err(|_| panicked())?.recv();
        let Ok(batch) = next else { return Ok(()) };
        let events = batch.lines.iter().map(|line| match &mapping {
            None => Ok(line.clone()),
            Some(mapping) => mapping.apply(line).map(Bytes::from),
        });
        let events: Vec<Bytes> = events
            .collect::<Result<_, _>>()
            .map_err(|e| Failure::failed(e.message))?;
        let ids = append(engine, by, shape, &events)?;
        for at in batch.sampled {
            if let (Some(event), Some(id)) = (events.get(at), ids.get(at)) {
                let sample = Sample::of(event, id.clone())?;
                samples.lock().map_err(|_| panicked())?.push(sample);
            }
        }
        bar.inc(events.len() as u64);
    }
}

fn append(engine: &Engine, by: &Principal, protocol: &str, events: &[Bytes]) -> Result<Vec<String>, Failure> {
    loop {
        let items = events
            .iter()
            .map(|bytes| Item {
                bytes: bytes.clone(),
                fallback_key: None,
            })
            .collect();
        match engine.append_blocking(TENANT, by, protocol, items, Mode::Each) {
            Ok(appended) => {
                let ids = appended
                    .items
                    .into_iter()
                    .map(|item| item.map(|r| r.id.to_string()));
                return ids
                    .collect::<Result<_, _>>()
                    .map_err(|error| Failure::failed(format!("an event was refused: {}", error.message)));
            }
            Err(AppendError::Overloaded { retry_after_ms, .. }) => {
                std::thread::sleep(Duration::from_millis(retry_after_ms.min(50)));
            }
            Err(error) => return Err(Failure::failed(error.to_string())),
        }
    }
}

impl Sample {
    fn of(event: &[u8], id: String) -> Result<Self, Failure> {
        let event: Value = serde_json::from_slice(event)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let occurred: Option<jiff::Timestamp> = event["occurred_at"].as_str().and_then(|t| t.parse().ok());
        let action = text(&event["action"]);
        Ok(Self {
            id,
            actor: text(&event["actor"]["id"]),
            service: action.split('.').next().unwrap_or_default().to_owned(),
            request: text(&event["context"]["request_id"]),
            occurred_ms: occurred.map_or(0, jiff::Timestamp::as_millisecond),
        })
    }
}
