//! What verifying records costs beside hashing them: openings of several sizes against BLAKE3 over the same bytes, and a bundle with
//! one and all cores.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at what it did not expect")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::thread::available_parallelism;

use attestore_record::HashVersion;
use attestore_record::commitment::record_commitment;
use attestore_verify::bundle::{BundleOptions, Scope, verify_bundle};
use attestore_verify::{OpenedRecord, Trust, verify_opening};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use support::{Log, START_MS};

/// A log of events with payloads of so many bytes.
fn log(records: u64, bytes: usize) -> Log {
    let mut log = Log::new(HashVersion::Blake3);
    let text: String = "abcdefghij klmnop ".chars().cycle().take(bytes).collect();
    for n in 0..records {
        log.event(3, START_MS + n, None, &format!("\"{text}\""));
    }
    log
}

fn openings(criterion: &mut Criterion) {
    for bytes in [512, 16 << 10, 1 << 20] {
        let log = log(1, bytes);
        let record = log.record(0);
        let opening = record.to_bytes().unwrap();
        let mut group = criterion.benchmark_group(format!("opening/{bytes}"));
        group.throughput(Throughput::Bytes(u64::try_from(bytes).unwrap()));
        group.bench_function("commitment", |b| {
            b.iter(|| {
                record_commitment(
                    HashVersion::Blake3,
                    &record.salt0,
                    black_box(&record.public),
                    &mut [],
                )
            });
        });
        group.bench_function("verify_opening", |b| {
            b.iter(|| verify_opening(black_box(record)).unwrap())
        });
        group.bench_function("from_bytes and verify_opening", |b| {
            b.iter(|| verify_opening(&OpenedRecord::from_bytes(black_box(&opening)).unwrap()).unwrap());
        });
        group.finish();
    }
}

fn bundles(criterion: &mut Criterion) {
    let cores = available_parallelism().map_or(1, usize::from);
    for (records, bytes) in [(100_000, 400), (64, 1 << 20)] {
        let log = log(records, bytes);
        let bundle = log.bundle(Scope::Set, 0..records).unwrap().out;
        let trust = Trust::Key(log.key.verifier());
        let mut group = criterion.benchmark_group(format!("bundle/{records}x{bytes}"));
        group.sample_size(10);
        group.throughput(Throughput::Bytes(u64::try_from(bundle.len()).unwrap()));
        for threads in [1, cores] {
            let options = BundleOptions {
                threads,
                extract: None,
            };
            group.bench_function(format!("threads {threads}"), |b| {
                b.iter(|| verify_bundle(&bundle, &trust, options).unwrap());
            });
        }
        group.finish();
    }
}

criterion_group!(benches, openings, bundles);
criterion_main!(benches);
