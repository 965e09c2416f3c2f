//! What a commit costs over the bare write of the same length, on the real disk and in the same run.
//!
//! Commits and bare writes alternate first, and the ratio of their medians is printed; criterion then measures each alone.

#![expect(clippy::print_stdout, reason = "a benchmark reports to the terminal")]
#![expect(clippy::unwrap_used, reason = "a benchmark may stop")]

use std::{
    hint::black_box,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use attestore_disk::{AlignedBuf, Disk, File, Mode, RealDisk};
use attestore_keys::{Key, SeededEntropy, SystemEntropy, random_array};
use attestore_wal::{FileSpec, FrameBuilder, Position, Writer, file_path, prepare};
use criterion::{Criterion, criterion_group, criterion_main};

const FILE_BYTES: u64 = 64 << 20;
const OWNERS: u8 = 4;
const PAIRS: usize = 4000;

/// A writer that goes on in a recycled file when one is full, and a second file for bare writes.
struct Bench {
    disk: RealDisk,
    writer: Writer,
    tenant: Key,
    frame: FrameBuilder,
    payload: Vec<u8>,
    bare: Arc<dyn File>,
    bare_buf: AlignedBuf,
    bare_offset: u64,
}

impl Bench {
    fn new(dir: &Path, payload: usize) -> Self {
        let disk = RealDisk::new(dir).unwrap();
        let writer = begin(&disk, 1, Position::START, None);
        let prepared = prepare(&disk, 1_000_000, FILE_BYTES, None).unwrap();
        drop(prepared);
        let bare = disk
            .open(Path::new("wal/00000000000001000000.new"), Mode::DirectSync)
            .unwrap();
        let payload: Vec<u8> = (0..payload).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let len = usize::try_from(bytes_len(&payload)).unwrap();
        let mut bare_buf = AlignedBuf::new();
        bare_buf.resize(len, 7);
        let tenant = Key::random(&SeededEntropy::new(1));
        Self {
            disk,
            writer,
            tenant,
            frame: FrameBuilder::new(),
            payload,
            bare,
            bare_buf,
            bare_offset: 0,
        }
    }

    fn commit(&mut self) -> Duration {
        if !self.writer.fits(self.bare_buf.len() as u64) {
            self.switch();
        }
        let start = Instant::now();
        fill(&mut self.frame, &self.tenant, &self.payload);
        black_box(self.writer.commit(&mut self.frame).unwrap());
        start.elapsed()
    }

    fn bare_write(&mut self) -> Duration {
        if self.bare_offset + self.bare_buf.len() as u64 > FILE_BYTES {
            self.bare_offset = 0;
        }
        let start = Instant::now();
        self.bare.write_all_at(&self.bare_buf, self.bare_offset).unwrap();
        let taken = start.elapsed();
        self.bare_offset += self.bare_buf.len() as u64;
        taken
    }

    fn switch(&mut self) {
        let number = self.writer.spec().number;
        self.writer = begin(&self.disk, number + 1, self.writer.watermark(), Some(number));
    }
}

fn begin(disk: &RealDisk, number: u64, after: Position, recycle: Option<u64>) -> Writer {
    let old = recycle.map(file_path);
    let prepared = prepare(disk, number, FILE_BYTES, old.as_deref()).unwrap();
    let spec = FileSpec {
        number,
        file_id: random_array(&SystemEntropy),
        key_slot: number,
        size: FILE_BYTES,
    };
    let key = Key::random(&SystemEntropy);
    Writer::create(disk, prepared, spec, key, after, 0, Arc::new(SystemEntropy)).unwrap()
}

fn fill(frame: &mut FrameBuilder, tenant: &Key, payload: &[u8]) {
    for (owner, part) in (0..OWNERS).zip(payload.chunks(payload.len().div_ceil(usize::from(OWNERS)))) {
        frame.section([owner; 16], tenant, |buf| buf.extend_from_slice(part));
    }
}

fn bytes_len(payload: &[u8]) -> u64 {
    let mut frame = FrameBuilder::new();
    fill(&mut frame, &Key::random(&SeededEntropy::new(1)), payload);
    frame.bytes_len()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn commit(c: &mut Criterion) {
    for payload in [1024, 64 * 1024] {
        let dir = tempfile::tempdir().unwrap();
        let mut bench = Bench::new(dir.path(), payload);
        let (commits, writes): (Vec<_>, Vec<_>) =
            (0..PAIRS).map(|_| (bench.commit(), bench.bare_write())).unzip();
        let (commit, bare) = (median(commits), median(writes));
        let ratio = commit.as_secs_f64() / bare.as_secs_f64();
        println!("{payload} bytes, alternating: commit p50 {commit:?}, bare p50 {bare:?}, ratio {ratio:.3}");
        let mut group = c.benchmark_group(format!("{payload} bytes"));
        group.measurement_time(Duration::from_secs(3)).sample_size(30);
        group.bench_function("bare write", |b| {
            b.iter_custom(|n| (0..n).map(|_| bench.bare_write()).sum())
        });
        group.bench_function("commit", |b| {
            b.iter_custom(|n| (0..n).map(|_| bench.commit()).sum())
        });
        group.finish();
    }
}

criterion_group!(benches, commit);
criterion_main!(benches);
