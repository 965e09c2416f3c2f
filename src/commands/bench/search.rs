//! `attestore bench search`: questions over generated data, in process and over HTTP, warm and cold.
//!
//! *Warm*: the same kind of question has been asked before, about other events. *Cold*: the engine has just been opened, the
//! tenant is known, and the system holds nothing of its files in memory. Answers are checked as far as they are known.

use std::time::{Duration, Instant};

use attestore_engine::search::{IndexPolicy, TextIndex};
use attestore_engine::{Engine, Error, Principal};
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use super::dataset::{self, Dataset, Place, TENANT, Wanted};
use super::figures::{histogram, record, us};
use super::load::answer;
use super::questions::{Ask, QUESTIONS, Question};
use super::served::Served;
use crate::cli::{BenchSearchArgs, Output};
use crate::failure::Failure;
use crate::{files, output};

/// Questions before warm ones count, and fewest that count.
const WARM_UP: usize = 8;
const ASKED_MIN: u64 = 10;

/// One line of the result. Times in microseconds.
#[derive(Debug, Serialize)]
struct Row {
    query: &'static str,
    /// in-process or http
    mode: &'static str,
    /// warm or cold
    state: &'static str,
    events: u64,
    asked: u64,
    p50_us: f64,
    p99_us: f64,
    max_us: f64,
    /// Records in the last answer.
    items: usize,
    /// Times that the answer was that too much would have to be scanned. They are not in the times.
    refused: u64,
    /// Of questions that look at every record: p50 for each of them, nanoseconds.
    ns_per_event: Option<f64>,
    /// In process: what the last one did.
    explain: Option<Value>,
}

/// Everything, for machines.
#[derive(Debug, Serialize)]
struct Report {
    dataset: Dataset,
    rows: Vec<Row>,
}

/// Measures and prints the rows.
pub fn run(args: &BenchSearchArgs) -> Result<(), Failure> {
    if args.events == 0 || args.iterations == 0 {
        return Err(Failure::usage("events and iterations must be at least 1"));
    }
    let place = Place::new(args.data.as_deref(), &args.dir)?;
    let result = measure(args, &place);
    place.leave()?;
    let mut report = result?;
    report.dataset.samples.clear();
    match args.output {
        Output::Json => output::json(&report),
        Output::Ndjson => report.rows.iter().try_for_each(output::ndjson),
        Output::Table => print(&report),
    }
}

fn measure(args: &BenchSearchArgs, place: &Place) -> Result<Report, Failure> {
    let mut engine = dataset::open(place)?;
    let dataset = match place.dataset()? {
        Some(dataset) => dataset,
        None => {
            set_policy(&engine, args)?;
            let wanted = Wanted {
                events: args.events,
                shape: args.shape.clone(),
                seed: args.seed,
            };
            dataset::load(&engine, place, &wanted)?
        }
    };
    if dataset.samples.is_empty() {
        return Err(Failure::failed("the data set has no samples to ask about"));
    }
    let chosen: Vec<&Question> = QUESTIONS
        .iter()
        .filter(|q| {
            args.query
                .as_ref()
                .is_none_or(|name| q.name.contains(name.as_str()))
        })
        .collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let bench = Bench {
        args,
        dataset: &dataset,
        runtime: &runtime,
    };
    let bar = ProgressBar::new((chosen.len() * args.mode.len() * 2) as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    let mut rows = Vec::new();
    for mode in &args.mode {
        let mode = match mode.as_str() {
            "in-process" => "in-process",
            "http" => "http",
            _ => return Err(Failure::usage("--mode is in-process or http")),
        };
        for question in &chosen {
            bar.set_message(format!("{mode}, warm: {}", question.name));
            rows.push(bench.warm(&engine, mode, question)?);
            bar.inc(1);
        }
        if args.cold == 0 {
            continue;
        }
        for question in &chosen {
            bar.set_message(format!("{mode}, cold: {}", question.name));
            let (row, opened) = bench.cold(engine, place, mode, question)?;
            engine = opened;
            rows.push(row);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    drop(runtime);
    engine.close()?;
    Ok(Report { dataset, rows })
}

/// Makes the tenant with the index policy that was asked for.
fn set_policy(engine: &Engine, args: &BenchSearchArgs) -> Result<(), Failure> {
    let by = Principal::internal();
    engine.create_tenant(TENANT, &by)?;
    let text = match args.text.as_str() {
        "none" => TextIndex::None,
        "words" => TextIndex::Words,
        "positions" => TextIndex::Positions,
        _ => return Err(Failure::usage("--text is none, words or positions")),
    };
    let policy = IndexPolicy {
        text,
        ..IndexPolicy::default()
    };
    engine.set_index_policy(TENANT, &by, policy)?;
    Ok(())
}

struct Bench<'a> {
    args: &'a BenchSearchArgs,
    dataset: &'a Dataset,
    runtime: &'a Runtime,
}

/// What came back.
struct Answered {
    items: usize,
    aggregations: Option<Value>,
    explain: Option<Value>,
}

impl Bench<'_> {
    fn warm(&self, engine: &Engine, mode: &'static str, question: &Question) -> Result<Row, Failure> {
        let mut random = ChaCha8Rng::seed_from_u64(self.args.seed);
        let mut asker = self.asker(engine, mode)?;
        for _ in 0..WARM_UP {
            self.ask(&mut asker, question, &mut random)?;
        }
        let mut tally = Tally::new();
        let begun = Instant::now();
        let patience = Duration::from_secs(self.args.seconds);
        while tally.asked() < self.args.iterations
            && (begun.elapsed() < patience || tally.asked() < ASKED_MIN)
        {
            tally.add(self.ask(&mut asker, question, &mut random)?);
        }
        asker.stop()?;
        Ok(self.row(question, mode, "warm", tally))
    }

    /// Takes the engine, because it has to be closed; returns it opened.
    fn cold(
        &self,
        mut engine: Engine,
        place: &Place,
        mode: &'static str,
        question: &Question,
    ) -> Result<(Row, Engine), Failure> {
        let mut random = ChaCha8Rng::seed_from_u64(self.args.seed);
        let mut tally = Tally::new();
        for _ in 0..self.args.cold {
            engine.close()?;
            drop(engine);
            files::forget_cached(&place.data())?;
            engine = dataset::open(place)?;
            engine.tenant(TENANT)?;
            let mut asker = self.asker(&engine, mode)?;
            tally.add(self.ask(&mut asker, question, &mut random)?);
            asker.stop()?;
        }
        Ok((self.row(question, mode, "cold", tally), engine))
    }

    fn asker<'e>(&'e self, engine: &'e Engine, mode: &str) -> Result<Asker<'e>, Failure> {
        if mode == "in-process" {
            return Ok(Asker::Engine(engine));
        }
        let served = Served::start(self.runtime.handle(), engine, TENANT)?;
        let stream = self.runtime.block_on(TcpStream::connect(served.address))?;
        stream.set_nodelay(true)?;
        Ok(Asker::Http {
            runtime: self.runtime,
            served,
            stream,
            buffer: Vec::new(),
        })
    }

    /// Asks about an event drawn at random; `None` when the answer is that too much would have to be scanned. Fails if the
    /// answer cannot be right.
    fn ask(
        &self,
        asker: &mut Asker<'_>,
        question: &Question,
        random: &mut ChaCha8Rng,
    ) -> Result<Option<(Duration, Answered)>, Failure> {
        let samples = &self.dataset.samples;
        let sample = &samples[random.random_range(0..samples.len())];
        let ask = (question.ask)(self.dataset, sample);
        let Some((elapsed, answered)) = asker.ask(&ask)? else {
            return Ok(None);
        };
        if !ask.accepts(
            answered.items,
            answered.aggregations.as_ref(),
            self.dataset.events,
        ) {
            return Err(Failure::failed(format!(
                "wrong answer to `{}` ({}): {} records, {:?}",
                question.name, ask.q, answered.items, answered.aggregations
            )));
        }
        Ok(Some((elapsed, answered)))
    }

    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn row(&self, question: &Question, mode: &'static str, state: &'static str, tally: Tally) -> Row {
        let Tally { times, last, refused } = tally;
        let p50 = us(&times, 0.5);
        Row {
            query: question.name,
            mode,
            state,
            events: self.dataset.events,
            asked: times.len(),
            p50_us: p50,
            p99_us: us(&times, 0.99),
            max_us: us(&times, 1.0),
            items: last.as_ref().map_or(0, |last| last.items),
            refused,
            ns_per_event: question
                .is_pass
                .then(|| p50 * 1000.0 / self.dataset.events.max(1) as f64),
            explain: last.and_then(|last| last.explain),
        }
    }
}

/// Answers to one question.
struct Tally {
    times: Histogram<u64>,
    last: Option<Answered>,
    refused: u64,
}

impl Tally {
    fn new() -> Self {
        Self {
            times: histogram(),
            last: None,
            refused: 0,
        }
    }

    fn asked(&self) -> u64 {
        self.times.len() + self.refused
    }

    fn add(&mut self, answer: Option<(Duration, Answered)>) {
        match answer {
            None => self.refused += 1,
            Some((elapsed, answered)) => {
                record(&mut self.times, elapsed);
                self.last = Some(answered);
            }
        }
    }
}

/// How questions are put.
enum Asker<'a> {
    Engine(&'a Engine),
    Http {
        runtime: &'a Runtime,
        served: Served,
        stream: TcpStream,
        buffer: Vec<u8>,
    },
}

impl Asker<'_> {
    /// Asks; `None` when too much would have to be scanned.
    fn ask(&mut self, ask: &Ask) -> Result<Option<(Duration, Answered)>, Failure> {
        match self {
            Self::Engine(engine) => {
                let request = ask.request();
                let started = Instant::now();
                let page = match engine.search(TENANT, &Principal::internal(), &request) {
                    Err(Error::NotIndexed { .. }) => return Ok(None),
                    page => page?,
                };
                let elapsed = started.elapsed();
                let explain = &page.explain;
                let answered = Answered {
                    items: page.items.len(),
                    aggregations: page
                        .aggregations
                        .as_deref()
                        .map(serde_json::from_str)
                        .transpose()?,
                    explain: Some(
                        json!({"sealed_splits": explain.sealed_splits, "memory_splits": explain.memory_splits,
                        "pruned": explain.pruned, "read": explain.read, "records_scanned": explain.records_scanned,
                        "bytes_opened": explain.bytes_opened, "scanned": page.scanned,
                        "plan_us": explain.phases.plan_us, "tail_us": explain.phases.tail_us, "search_us": explain.phases.search_us,
                        "scan_us": explain.phases.scan_us, "aggregate_us": explain.phases.aggregate_us, "fetch_us": explain.phases.fetch_us}),
                    ),
                };
                Ok(Some((elapsed, answered)))
            }
            Self::Http {
                runtime,
                served,
                stream,
                buffer,
            } => {
                let body = ask.body();
                let request = format!(
                    "POST /v1/tenants/{TENANT}/search HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                    served.address,
                    served.credential,
                    body.len()
                );
                let started = Instant::now();
                let status = runtime.block_on(async {
                    stream.write_all(request.as_bytes()).await?;
                    answer(stream, buffer).await
                })?;
                let elapsed = started.elapsed();
                let begin = buffer.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(0);
                let text = buffer.get(begin..).unwrap_or_default();
                if status != 200 {
                    if serde_json::from_slice(text)
                        .is_ok_and(|problem: Value| problem["code"] == "not_indexed")
                    {
                        return Ok(None);
                    }
                    return Err(Failure::failed(format!(
                        "the server answered {status}: {}",
                        String::from_utf8_lossy(text)
                    )));
                }
                let mut page: Value = serde_json::from_slice(text)?;
                Ok(Some((
                    elapsed,
                    Answered {
                        items: page["items"].as_array().map_or(0, Vec::len),
                        aggregations: Some(page["aggregations"].take()).filter(Value::is_object),
                        explain: None,
                    },
                )))
            }
        }
    }

    fn stop(self) -> Result<(), Failure> {
        match self {
            Self::Engine(_) => Ok(()),
            Self::Http { served, stream, .. } => {
                drop(stream);
                served.stop()
            }
        }
    }
}

fn print(report: &Report) -> Result<(), Failure> {
    let dataset = &report.dataset;
    output::note(format!(
        "{} {} events, {} MiB of source; loaded at {:.0} events/s; flushed, settled and compacted ({} segments to {} at the end) after {:.0} s; bytes per source byte: records and proof {:.3}, with index {:.3}",
        dataset.events,
        dataset.shape,
        dataset.source_bytes >> 20,
        dataset.load_events_per_s,
        dataset.compacted[0],
        dataset.compacted[1],
        dataset.settled_s,
        dataset.records_per_source,
        dataset.all_per_source
    ));
    output::table(
        [
            "QUERY", "MODE", "STATE", "ASKED", "P50 us", "P99 us", "MAX us", "ITEMS", "REFUSED", "ns/event",
        ],
        report.rows.iter().map(|row| {
            [
                row.query.to_owned(),
                row.mode.to_owned(),
                row.state.to_owned(),
                row.asked.to_string(),
                format!("{:.0}", row.p50_us),
                format!("{:.0}", row.p99_us),
                format!("{:.0}", row.max_us),
                row.items.to_string(),
                row.refused.to_string(),
                row.ns_per_event.map_or_else(String::new, |ns| format!("{ns:.1}")),
            ]
        }),
    )
}
