//! What it costs to search, sort and aggregate a million records in ten splits.
//!
//! `cargo bench -p attestore-index --bench query`. All figures are CPU time of the one thread that works, not wall time: they
//! hold on a busy machine. Rows of `aggregate` and `top` that look at every record count records; those of `library` are the
//! search library's own aggregations over the same values, for comparison.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::print_stderr,
    reason = "tests"
)]

use std::hint::black_box;
use std::time::Duration;

use attestore_index::{
    AggLimits, Aggregations, DocInput, IndexPolicy, ParseOptions, Partial, Query, Sort, Split, SplitBuilder,
    Window, aggregate, search, top,
};
use attestore_record::event::{Limits, parse};
use attestore_record::group::{Envelope, encode};
use attestore_record::{Handle, PrivacyPolicy, RecordId, TenantId, view};
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};
use tantivy::aggregation::AggregationCollector;
use tantivy::aggregation::agg_req::Aggregations as LibraryAggregations;
use tantivy::query::AllQuery;
use tantivy::schema::{DateOptions, DateTimePrecision, Schema, TextOptions};
use tantivy::{DateTime, Index, IndexWriter, TantivyDocument};

const START_MS: u64 = 1_795_305_600_000;
const SEED: u64 = 42;
const SPLITS: u64 = 10;
const PER_SPLIT: u64 = 100_000;
/// Between two records, on average: a million take 30 days.
const STEP_MS: u64 = 2592;
const REGIONS: [&str; 6] = [
    "us-east-1",
    "us-west-2",
    "eu-west-1",
    "eu-central-1",
    "ap-south-1",
    "sa-east-1",
];

/// CPU time of the running thread.
struct CpuTime;

impl CpuTime {
    fn now() -> Duration {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
}

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        Self::now()
    }

    fn end(&self, start: Duration) -> Duration {
        Self::now().saturating_sub(start)
    }

    fn add(&self, left: &Duration, right: &Duration) -> Duration {
        *left + *right
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Low numbers are more frequent.
    fn skewed(&mut self, bound: u64) -> u64 {
        self.below(bound).min(self.below(bound)).min(self.below(bound))
    }
}

/// One record's values that the library is given too.
struct Sample {
    occurred_ms: u64,
    action: String,
    actor: String,
}

fn sample(random: &mut Random, seq: u64) -> Sample {
    Sample {
        // Records come a little out of the order of their times.
        occurred_ms: START_MS + seq * STEP_MS - random.below(60_000),
        action: format!("service{}.call{}", random.skewed(12), random.skewed(8)),
        actor: format!("arn:aws:iam::123837392027:user/user{}", random.skewed(3000)),
    }
}

fn event(random: &mut Random, sample: &Sample) -> String {
    let at = jiff::Timestamp::from_millisecond(sample.occurred_ms as i64).expect("a time");
    let outcome = if random.below(20) == 0 {
        "denied"
    } else {
        "success"
    };
    let region = REGIONS[random.skewed(6) as usize];
    let ip = format!(
        "10.{}.{}.{}",
        random.below(4),
        random.below(250),
        random.below(250)
    );
    let (object, request) = (random.skewed(50_000), random.next());
    let words = format!(
        "report {} of {}",
        random.below(2000),
        ["audit", "backup", "login"][random.below(3) as usize]
    );
    format!(
        r#"{{"action":"{}","outcome":"{outcome}","occurred_at":"{at}","actor":{{"type":"user","id":"{}"}},
        "targets":[{{"type":"object","id":"arn:aws:s3:::bucket/object{object}"}}],
        "context":{{"ip":"{ip}","request_id":"{request:016x}"}},
        "metadata":{{"region":"{region}","bytes":{}}},"justification":"{words}"}}"#,
        sample.action,
        sample.actor,
        random.below(1_000_000),
    )
}

fn split(random: &mut Random, number: u64, privacy: &PrivacyPolicy) -> Split {
    let policy = IndexPolicy {
        paths: vec!["metadata.bytes".to_owned(), "metadata.region".to_owned()],
        ..IndexPolicy::default()
    };
    let mut builder = SplitBuilder::new(&policy).expect("builder");
    let envelope = Envelope {
        id: RecordId::new(START_MS, [7; 10]),
        tenant: TenantId::from_bytes([1; 16]),
        protocol: "native",
        credential_id: "cred1",
    };
    for seq in number * PER_SPLIT..(number + 1) * PER_SPLIT {
        let received_ms = START_MS + seq * STEP_MS;
        let sample = sample(random, seq);
        let text = event(random, &sample);
        let event = parse(text.as_bytes(), &Limits::default(), received_ms).expect("valid");
        let encoded = encode(&event, &envelope, privacy).expect("nothing is refused");
        let personal: Vec<Vec<u8>> = encoded
            .personal
            .iter()
            .map(|group| group.bytes(&[Handle::from_bytes([1; 16])]))
            .collect();
        let personal: Vec<&[u8]> = personal.iter().map(Vec::as_slice).collect();
        let fields = view::fields(&encoded.public, &personal).expect("stored groups");
        let input = DocInput {
            seq,
            received_ms,
            class: 1,
            public: &fields.public,
            personal: &fields.personal,
        };
        builder.add(&input).expect("ascending");
    }
    builder.finish().expect("not empty")
}

fn splits() -> Vec<Split> {
    let started = std::time::Instant::now();
    let mut random = Random(SEED);
    let privacy = PrivacyPolicy::default();
    let splits = (0..SPLITS)
        .map(|number| split(&mut random, number, &privacy))
        .collect();
    eprintln!(
        "{} records in {SPLITS} splits after {:?}",
        SPLITS * PER_SPLIT,
        started.elapsed()
    );
    splits
}

fn options() -> ParseOptions {
    ParseOptions {
        personal: true,
        ..ParseOptions::default()
    }
}

fn searching(c: &mut Criterion<CpuTime>, splits: &[Split]) {
    let mut group = c.benchmark_group("search 1M");
    group.sample_size(20).measurement_time(Duration::from_secs(2));
    let hour = |n: u64| Some((START_MS + n * 3_600_000) as i64 * 1_000_000);
    let in_hour = Window {
        from_ns: hour(300),
        to_ns: hour(301),
        ..Window::default()
    };
    let week = Window {
        from_ns: hour(300),
        to_ns: hour(468),
        ..Window::default()
    };
    for (text, window, count) in [
        ("actor:\"arn:aws:iam::123837392027:user/user7\"", &week, true),
        ("actor:\"arn:aws:iam::123837392027:user/user7\"", &in_hour, true),
        ("action:service1.call1", &in_hour, true),
        ("request_id:0123456789abcdef", &Window::default(), true),
        ("report 77 backup", &Window::default(), true),
        ("audit report", &Window::default(), false),
        ("outcome:denied", &week, true),
        ("", &week, true),
        ("", &Window::default(), true),
    ] {
        let query = Query::parse(text, &options()).expect("valid");
        let window_name = match (window.from_ns, window.to_ns) {
            (None, _) => "ever",
            (from, to)
                if to
                    .zip(from)
                    .is_some_and(|(to, from)| to - from > 3_600_000_000_000) =>
            {
                "a week"
            }
            _ => "an hour",
        };
        let name = format!(
            "{text:?} in {window_name}{}",
            if count { " and count" } else { "" }
        );
        group.bench_function(name, |b| {
            b.iter(|| {
                let found = splits.iter().map(|split| {
                    let found = search(split, &query, window, 50, count, &|| false).expect("found");
                    found.count.unwrap_or(0) + found.seqs.len() as u64
                });
                found.sum::<u64>()
            });
        });
    }
    group.finish();
}

fn sorting(c: &mut Criterion<CpuTime>, splits: &[Split]) {
    let mut group = c.benchmark_group("top 1M");
    group.sample_size(10).measurement_time(Duration::from_secs(2));
    group.throughput(Throughput::Elements(SPLITS * PER_SPLIT));
    for (sort, text) in [
        ("occurred_at:desc", ""),
        ("occurred_at", ""),
        ("actor.id", ""),
        ("actor.id:desc", ""),
        ("ip", ""),
        ("metadata.bytes:desc", ""),
        ("metadata.bytes:desc", "outcome:denied"),
    ] {
        let sort_by = Sort::parse(sort, &options()).expect("a column");
        let query = Query::parse(text, &options()).expect("valid");
        group.bench_function(format!("50 by {sort} of {text:?}"), |b| {
            b.iter(|| {
                for split in splits {
                    let hits = top(split, &query, &Window::default(), &sort_by, None, 50, &|| false);
                    black_box(hits.expect("sorted"));
                }
            });
        });
    }
    group.finish();
}

const REQUESTS: [(&str, &str); 9] = [
    (
        "hourly histogram",
        r#"{"h":{"date_histogram":{"field":"occurred_at","fixed_interval":"1h"}}}"#,
    ),
    (
        "monthly histogram",
        r#"{"h":{"date_histogram":{"field":"occurred_at","calendar_interval":"month"}}}"#,
    ),
    ("top actions", r#"{"t":{"terms":{"field":"action"}}}"#),
    ("top actors", r#"{"t":{"terms":{"field":"actor.id"}}}"#),
    ("top targets", r#"{"t":{"terms":{"field":"targets.id"}}}"#),
    (
        "top actors by day",
        r#"{"t":{"terms":{"field":"actor.id"},"aggs":{"d":{"date_histogram":{"field":"occurred_at","fixed_interval":"1d"}}}}}"#,
    ),
    (
        "actions by day",
        r#"{"d":{"date_histogram":{"field":"occurred_at","fixed_interval":"1d"},"aggs":{"t":{"terms":{"field":"action"}}}}}"#,
    ),
    ("stats of bytes", r#"{"s":{"stats":{"field":"metadata.bytes"}}}"#),
    (
        "different actors",
        r#"{"c":{"cardinality":{"field":"actor.id"}}}"#,
    ),
];

fn aggregating(c: &mut Criterion<CpuTime>, splits: &[Split]) {
    let mut group = c.benchmark_group("aggregate 1M");
    group.sample_size(10).measurement_time(Duration::from_secs(2));
    group.throughput(Throughput::Elements(SPLITS * PER_SPLIT));
    for (name, request) in REQUESTS {
        for text in ["", "outcome:success"] {
            let query = Query::parse(text, &options()).expect("valid");
            let request = Aggregations::parse(request, &options(), AggLimits::default()).expect("valid");
            group.bench_function(format!("{name} of {text:?}"), |b| {
                b.iter(|| {
                    let mut whole = Partial::empty(&request);
                    for split in splits {
                        let part = aggregate(split, &query, &Window::default(), &request, &|| false);
                        whole.merge(part.expect("aggregated"), &|| false).expect("merged");
                    }
                    whole.finish(&request, &|| false).expect("finished").len()
                });
            });
        }
    }
    group.finish();
}

/// The search library's own aggregations, over times, actions and actors as it wants them.
fn library(c: &mut Criterion<CpuTime>) {
    let mut schema = Schema::builder();
    let at = schema.add_date_field(
        "occurred_at",
        DateOptions::default()
            .set_fast()
            .set_precision(DateTimePrecision::Nanoseconds),
    );
    let action = schema.add_text_field("action", TextOptions::default().set_fast("raw"));
    let actor = schema.add_text_field("actor.id", TextOptions::default().set_fast("raw"));
    let index = Index::create_in_ram(schema.build());
    let mut writer: IndexWriter = index.writer_with_num_threads(1, 500_000_000).expect("writer");
    writer.set_merge_policy(Box::new(tantivy::merge_policy::NoMergePolicy));
    let mut random = Random(SEED);
    for seq in 0..SPLITS * PER_SPLIT {
        let sample = sample(&mut random, seq);
        let mut document = TantivyDocument::default();
        document.add_date(at, DateTime::from_timestamp_millis(sample.occurred_ms as i64));
        document.add_text(action, sample.action);
        document.add_text(actor, sample.actor);
        writer.add_document(document).expect("added");
        if seq % PER_SPLIT == PER_SPLIT - 1 {
            writer.commit().expect("committed");
        }
    }
    let searcher = index.reader().expect("reader").searcher();
    let mut group = c.benchmark_group("library 1M");
    group.sample_size(10).measurement_time(Duration::from_secs(2));
    group.throughput(Throughput::Elements(SPLITS * PER_SPLIT));
    for (name, request) in REQUESTS {
        let Ok(request) = serde_json::from_str::<LibraryAggregations>(request) else {
            continue;
        };
        let run = || {
            let collector = AggregationCollector::from_aggs(request.clone(), Default::default());
            searcher.search(&AllQuery, &collector)
        };
        if name.contains("target") || name.contains("bytes") || run().is_err() {
            continue;
        }
        group.bench_function(name, |b| {
            b.iter(|| serde_json::to_string(&run().expect("aggregated")))
        });
    }
    group.finish();
}

fn all(c: &mut Criterion<CpuTime>) {
    let splits = splits();
    searching(c, &splits);
    sorting(c, &splits);
    aggregating(c, &splits);
    drop(splits);
    library(c);
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = all
}
criterion_main!(benches);
