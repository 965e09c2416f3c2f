//! A sealed split beside the same split in plain files, mapped by the library's own directory.
//!
//! `cargo bench -p attestore-index --bench sealed --features bench-mmap`. Both are in the page cache; the sealed one is
//! decrypted and checked chunk by chunk. *Cold* is a first query: open the split with an empty cache, ask once. *Warm* is
//! asking again. CPU time of the thread, in turns, the median of each; the last column is sealed by mapped.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    clippy::print_stdout,
    dead_code,
    reason = "a benchmark"
)]

#[path = "split/data.rs"]
mod data;

use std::hint::black_box;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use attestore_disk::{Disk, File, Mode, RealDisk};
use attestore_index::{Cache, IndexPolicy, ParseOptions, Query, Source, Split, Window, search};
use attestore_keys::Key;
use attestore_segment::container::seal;
use attestore_segment::{Container, ContainerMeta, ContainerType, write_file};
use rustix::time::{ClockId, clock_gettime};

const RECORDS: usize = 200_000;
const ROUNDS: usize = 201;
const NAME: &str = "split.idx";
const QUERIES: [&str; 8] = [
    "",
    "outcome:denied",
    "actor:nobody",
    "action:s3.* outcome:denied",
    "ip:10.0.7.0/24",
    "denied user",
    "text:us*",
    "metadata.account:100000000001",
];

struct Sealed(Container);

impl Source for Sealed {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        self.0.read(range).map_err(io::Error::other)
    }
}

fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn time<T>(work: impl FnOnce() -> T) -> f64 {
    let start = now();
    black_box(work());
    (now() - start).as_secs_f64() * 1e6
}

/// The medians of two works that are done in turns (µs).
fn in_turns(rounds: usize, mut left: impl FnMut() -> f64, mut right: impl FnMut() -> f64) -> (f64, f64) {
    let mut times = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        times.0.push(left());
        times.1.push(right());
    }
    let median = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    (median(times.0), median(times.1))
}

fn main() {
    let split = data::build(&IndexPolicy::default(), &data::records(RECORDS), 0);
    let bundle = split.bundle().expect("in memory");
    let folder = tempfile::tempdir().expect("a folder");
    let plain = folder.path().join("plain");
    std::fs::create_dir(&plain).expect("a folder");
    let disk = RealDisk::new(folder.path()).expect("a disk");
    let key = Key::from_bytes([1; 32]);
    let meta = ContainerMeta {
        ty: ContainerType::Idx,
        id: [2; 16],
        slot: 1,
        tenant: [3; 16],
        class: 1,
        set: 1,
        generation: 1,
    };
    let sealed = seal(&meta, &key, &bundle);
    write_file(&disk, Path::new(NAME), &[&sealed]).expect("written");
    let length = sealed.len() as u64;
    let file: Arc<dyn File> = disk.open(Path::new(NAME), Mode::Read).expect("opened");
    let open_sealed = |cache: &Cache| {
        let file = Arc::clone(&file);
        let container = Container::open(file, Path::new(NAME), 0, length, &key, &meta).expect("sealed");
        Split::open(Arc::new(Sealed(container)), cache).expect("a split")
    };
    let open_mapped = || split.mapped(&plain).expect("a split");
    drop(open_mapped());
    println!("{RECORDS} records, {} bytes of index", bundle.len());

    let options = ParseOptions {
        personal: true,
        ..ParseOptions::default()
    };
    let ask = |split: &Split, query: &Query| {
        let found = search(split, query, &Window::default(), 50, true, &|| false).expect("found");
        found.count
    };
    println!("{:<36} {:>10} {:>10} {:>7}", "", "mapped µs", "sealed µs", "");
    let row = |name: String, (mapped, sealed): (f64, f64)| {
        println!(
            "{name:<36} {mapped:>10.1} {sealed:>10.1} {:>7.2}",
            sealed / mapped
        );
    };
    for text in QUERIES {
        let query = Query::parse(text, &options).expect("valid");
        let cold = in_turns(
            ROUNDS / 4,
            || time(|| ask(&open_mapped(), &query)),
            || time(|| ask(&open_sealed(&Cache::default()), &query)),
        );
        row(format!("cold {text:?}"), cold);
        let cache = Cache::default();
        let (mapped, sealed) = (open_mapped(), open_sealed(&cache));
        assert_eq!(ask(&mapped, &query), ask(&sealed, &query), "{text}");
        let opened = sealed.opened_bytes();
        let warm = in_turns(
            ROUNDS,
            || time(|| ask(&mapped, &query)),
            || time(|| ask(&sealed, &query)),
        );
        row(format!("warm {text:?}"), warm);
        assert_eq!(sealed.opened_bytes(), opened, "all is in the cache");
        println!("{:<36} {opened} bytes opened, {} held", "", cache.bytes());
    }
}
