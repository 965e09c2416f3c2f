//! What it costs to index events, and to search them.
//!
//! `cargo bench -p attestore-index --bench split`, with `ATTESTORE_CLOUDTRAIL=<file of records, one a line>` for a data
//! set. All figures are CPU time of the thread, not wall time: they hold on a busy machine. The first lines say how many
//! bytes a split takes beside the lines that it was made of.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::print_stderr,
    reason = "tests"
)]

mod bare;
mod data;

use std::hint::black_box;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use attestore_index::{
    Cache, IndexPolicy, ParseOptions, Query, Source, Split, TextIndex, Window, merge, search,
};
use attestore_record::view;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};

use bare::Bare;
use data::{Stored, build, build_taken, records};

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
        Self::now() - start
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

struct Memory(Vec<u8>);

impl Source for Memory {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        Ok(self.0[range.start as usize..range.end as usize].to_vec())
    }
}

fn positions() -> IndexPolicy {
    IndexPolicy {
        text: TextIndex::Positions,
        ..IndexPolicy::default()
    }
}

fn sizes(stored: &[Stored]) {
    let lines: usize = stored.iter().map(|record| record.line).sum();
    let events = stored.len();
    let policies = [
        ("default", IndexPolicy::default()),
        ("positions", positions()),
        ("minimal", IndexPolicy::minimal()),
    ];
    for (name, policy) in policies {
        let bytes = build(&policy, stored, 0).bytes();
        let each = bytes as f64 / events as f64;
        let share = bytes as f64 / lines as f64;
        eprintln!("{name}: {each:.1} B of index per event, {share:.4} of the line");
    }
}

fn indexing(c: &mut Criterion<CpuTime>) {
    let stored = records(100_000);
    sizes(&stored);
    let stored = &stored[..20_000];
    let taken: Vec<view::Fields<'_>> = stored.iter().map(Stored::fields).collect();
    let default = IndexPolicy::default();

    let mut group = c.benchmark_group("add");
    group.sample_size(10).measurement_time(Duration::from_secs(6));
    for count in [1, 100, 4096, 20_000] {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("{count} from bytes"), |b| {
            b.iter(|| build(&default, black_box(&stored[..count]), 0))
        });
    }
    group.throughput(Throughput::Elements(stored.len() as u64));
    group.bench_function("20000 from fields", |b| {
        b.iter(|| build_taken(&default, black_box(&taken)))
    });
    group.bench_function("20000 from bytes, with positions", |b| {
        b.iter(|| build(&positions(), black_box(stored), 0))
    });
    group.bench_function("20000 from bytes, minimal", |b| {
        b.iter(|| build(&IndexPolicy::minimal(), black_box(stored), 0))
    });
    for (name, bare) in [("words", Bare::new(false)), ("positions", Bare::new(true))] {
        let documents = bare.documents(&taken);
        group.bench_function(format!("20000 ready documents, {name}, library alone"), |b| {
            b.iter_batched(
                || documents.clone(),
                |documents| bare.index(documents),
                BatchSize::PerIteration,
            )
        });
    }
    group.bench_function("fields of 20000", |b| {
        b.iter(|| {
            let each = stored
                .iter()
                .map(|record| record.fields().public.target_ids.len());
            each.sum::<usize>()
        })
    });
    group.finish();

    let parts: Vec<Split> = (0..)
        .zip(stored.chunks(1000))
        .map(|(n, part)| build(&default, part, n * 1000))
        .collect();
    let mut group = c.benchmark_group("merge");
    group.sample_size(10).measurement_time(Duration::from_secs(6));
    group.throughput(Throughput::Elements(stored.len() as u64));
    group.bench_function("20 splits of 1000", |b| {
        b.iter(|| merge(black_box(&parts)).expect("disjoint"))
    });
    group.finish();
}

fn searching(c: &mut Criterion<CpuTime>) {
    let split = build(&IndexPolicy::default(), &records(100_000), 0);
    let source = Arc::new(Memory(split.bundle().expect("in memory")));
    let cache = Cache::default();
    let sealed = Split::open(source.clone(), &cache).expect("a split");
    let options = ParseOptions {
        personal: true,
        ..ParseOptions::default()
    };

    let mut group = c.benchmark_group("search 100k");
    group.sample_size(20).measurement_time(Duration::from_secs(3));
    for text in [
        "",
        "outcome:denied",
        "action:s3.* outcome:denied",
        "actor:\"arn:aws:iam::123837392027:user/user7\"",
        "ip:10.248.7.0/24",
        "AuthHeader",
        "baker221b sigv4 user7",
        "reports*",
        "metadata.region:us-east-1",
        "NOT outcome:success",
    ] {
        let query = Query::parse(text, &options).expect("valid");
        let window = Window::default();
        group.bench_function(format!("{text:?} newest 50"), |b| {
            b.iter(|| search(&split, &query, &window, 50, false, &|| false).expect("found"))
        });
        group.bench_function(format!("{text:?} newest 50 and count, sealed"), |b| {
            b.iter(|| search(&sealed, &query, &window, 50, true, &|| false).expect("found"))
        });
    }
    group.bench_function("parse", |b| {
        b.iter(|| Query::parse(black_box("action:s3.* outcome:denied reports"), &options))
    });
    group.bench_function("open sealed, cold cache", |b| {
        b.iter_batched(
            Cache::default,
            |cache| Split::open(source.clone(), &cache).expect("a split"),
            BatchSize::SmallInput,
        )
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = indexing, searching
}
criterion_main!(benches);
