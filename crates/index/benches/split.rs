//! What it costs to index CloudTrail-like events, and to search them.
//!
//! `cargo bench -p attestore-index`. All figures are CPU time of the thread, not wall time: they hold on a busy machine.
//! Rows of `add` and `merge` name the events per call.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::print_stderr,
    reason = "tests"
)]

use std::hint::black_box;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use attestore_index::{
    Cache, DocInput, IndexPolicy, ParseOptions, Query, Source, Split, SplitBuilder, Window, merge, search,
};
use attestore_record::event::{Limits, parse};
use attestore_record::group::{Envelope, encode};
use attestore_record::{Handle, PrivacyPolicy, RecordId, TenantId, view};
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};

const START_MS: u64 = 1_795_305_600_000;
const SEED: u64 = 42;

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

struct Stored {
    public: Vec<u8>,
    personal: Vec<Vec<u8>>,
}

/// Small deterministic generator.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn hex(&mut self, length: usize) -> String {
        (0..length)
            .map(|_| char::from(b"0123456789abcdef"[self.next(16) as usize]))
            .collect()
    }
}

fn event(random: &mut Random) -> String {
    let service = ["s3", "ec2", "iam", "kms", "sts", "lambda"][random.next(6) as usize];
    let verb = ["get", "put", "list", "describe", "create", "delete"][random.next(6) as usize];
    let noun = ["object", "bucket", "user", "role", "key", "instance", "function"][random.next(7) as usize];
    let user = random.next(200);
    let bucket = random.next(50);
    let region = ["us-east-1", "eu-central-1", "ap-south-1"][random.next(3) as usize];
    let uuid = format!(
        "{}-{}-{}-{}-{}",
        random.hex(8),
        random.hex(4),
        random.hex(4),
        random.hex(4),
        random.hex(12)
    );
    let (third, fourth, key) = (random.next(256), random.next(256), random.next(100_000));
    let (request, id2, agent) = (random.hex(16).to_uppercase(), random.hex(64), random.next(20));
    let outcome = if random.next(20) == 0 { "denied" } else { "success" };
    format!(
        r#"{{"action":"{service}.{verb}_{noun}","outcome":"{outcome}",
"actor":{{"type":"user","id":"arn:aws:iam::123837392027:user/user{user}","name":"user{user}","credential_id":"AKIATFQR7NSC{user:08}"}},
"targets":[{{"type":"AWS::S3::Bucket","id":"arn:aws:s3:::baker221b-bucket{bucket}"}}],
"context":{{"ip":"10.248.{third}.{fourth}","user_agent":"Boto3/1.26.{agent} Python/3.10.6 Linux/5.19.0-46-generic Botocore/1.29.{agent}","request_id":"{request}"}},
"source":{{"service":"{service}.amazonaws.com"}},
"metadata":{{"region":"{region}","account":"123837392027","event_version":"1.08","read_only":true,"event_type":"AwsApiCall"}},
"payload":{{"requestParameters":{{"bucketName":"baker221b-bucket{bucket}","Host":"baker221b-bucket{bucket}.s3.{region}.amazonaws.com","key":"reports/2023/{key}.csv"}},
"responseElements":null,"additionalEventData":{{"SignatureVersion":"SigV4","CipherSuite":"ECDHE-RSA-AES128-GCM-SHA256","bytesTransferredIn":0,"AuthenticationMethod":"AuthHeader","x-amz-id-2":"{id2}","bytesTransferredOut":373}},
"eventID":"{uuid}","eventCategory":"Management","tlsDetails":{{"tlsVersion":"TLSv1.2","cipherSuite":"ECDHE-RSA-AES128-GCM-SHA256","clientProvidedHostHeader":"baker221b-bucket{bucket}.s3.{region}.amazonaws.com"}}}}}}"#
    )
}

fn records(count: usize) -> Vec<Stored> {
    let mut random = Random(SEED);
    let policy = PrivacyPolicy::default();
    let envelope = Envelope {
        id: RecordId::new(START_MS, [7; 10]),
        tenant: TenantId::from_bytes([1; 16]),
        protocol: "native",
        credential_id: "cred1",
    };
    let one = |_| {
        let text = event(&mut random);
        let event = parse(text.as_bytes(), &Limits::default(), START_MS).expect("valid");
        let encoded = encode(&event, &envelope, &policy);
        let personal = encoded
            .personal
            .iter()
            .map(|group| group.bytes(&[Handle::from_bytes([1; 16])]))
            .collect();
        Stored {
            public: encoded.public,
            personal,
        }
    };
    (0..count).map(one).collect()
}

fn fields(record: &Stored) -> view::Fields<'_> {
    let personal: Vec<&[u8]> = record.personal.iter().map(Vec::as_slice).collect();
    view::fields(&record.public, &personal).expect("stored groups")
}

fn build(fields: &[view::Fields<'_>], first: u64) -> Split {
    let mut builder = SplitBuilder::new(&IndexPolicy::default()).expect("builder");
    for (seq, fields) in (first..).zip(fields) {
        let received_ms = START_MS + seq * 10;
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

struct Memory(Vec<u8>);

impl Source for Memory {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        Ok(self.0[range.start as usize..range.end as usize].to_vec())
    }
}

fn indexing(c: &mut Criterion<CpuTime>) {
    let stored = records(20_000);
    let all: Vec<view::Fields<'_>> = stored.iter().map(fields).collect();
    let raw: usize = stored
        .iter()
        .map(|r| r.public.len() + r.personal.iter().map(Vec::len).sum::<usize>())
        .sum();
    let split = build(&all, 0);
    eprintln!(
        "{} B of groups per event, {} B of index per event",
        raw / all.len(),
        split.bytes() / all.len() as u64
    );

    let mut group = c.benchmark_group("add");
    group.sample_size(10).measurement_time(Duration::from_secs(6));
    for count in [1, 10, 100, 1000, 20_000] {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("split of {count}"), |b| {
            b.iter(|| build(black_box(&all[..count]), 0))
        });
    }
    group.throughput(Throughput::Elements(1000));
    group.bench_function("fields of 1000 groups", |b| {
        b.iter(|| {
            stored[..1000]
                .iter()
                .map(|record| fields(record).public.target_ids.len())
                .sum::<usize>()
        })
    });
    group.finish();

    let parts: Vec<Split> = (0..)
        .zip(all.chunks(1000))
        .map(|(n, part)| build(part, n * 1000))
        .collect();
    let mut group = c.benchmark_group("merge");
    group.sample_size(10).measurement_time(Duration::from_secs(6));
    group.throughput(Throughput::Elements(all.len() as u64));
    group.bench_function("20 splits of 1000", |b| {
        b.iter(|| merge(black_box(&parts)).expect("disjoint"))
    });
    group.finish();
}

fn searching(c: &mut Criterion<CpuTime>) {
    let stored = records(100_000);
    let all: Vec<view::Fields<'_>> = stored.iter().map(fields).collect();
    let split = build(&all, 0);
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
