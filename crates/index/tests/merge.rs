//! Merging and sealing change nothing that a query can see.
#![expect(clippy::cast_possible_truncation, clippy::unwrap_used, reason = "tests")]

mod support;

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use attestore_index::{
    Cache, Error, FIELD_LIST, IndexPolicy, ParseOptions, Query, Source, Split, SplitBuilder, Window, merge,
    search,
};
use support::{Stored, split};

const QUERIES: [&str; 9] = [
    "",
    "action:s3.get",
    "action:s3.*",
    "user1",
    "metadata.n:>=3",
    "ip:10.0.0.0/30",
    "NOT actor:user2",
    "actor.id:*",
    "seq:>50",
];

fn records(seqs: Range<u64>) -> Vec<Stored> {
    let event = |seq: u64| {
        let (verb, actor, n) = (["get", "put", "del"][(seq % 3) as usize], seq % 5, seq % 7);
        format!(
            r#"{{"action":"s3.{verb}","actor":{{"type":"user","id":"user{actor}"}},"context":{{"ip":"10.0.0.{n}"}},"metadata":{{"n":{n}}}}}"#
        )
    };
    seqs.map(|seq| Stored::accept(seq, &event(seq))).collect()
}

fn answers(split: &Split) -> Vec<(Vec<u64>, Option<u64>)> {
    let ask = |text: &&str| {
        let query = Query::parse(
            text,
            &ParseOptions {
                personal: true,
                ..ParseOptions::default()
            },
        )
        .unwrap();
        let found = search(split, &query, &Window::default(), 1000, true, &|| false).unwrap();
        (found.seqs, found.count)
    };
    QUERIES.iter().map(ask).collect()
}

struct Memory {
    bytes: Vec<u8>,
    read: AtomicU64,
    broken: bool,
}

impl Source for Memory {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        if self.broken {
            return Err(io::Error::other("damaged"));
        }
        self.read.fetch_add(range.end - range.start, Ordering::Relaxed);
        Ok(self.bytes[range.start as usize..range.end as usize].to_vec())
    }
}

fn source(bytes: Vec<u8>) -> Arc<Memory> {
    Arc::new(Memory {
        bytes,
        read: AtomicU64::new(0),
        broken: false,
    })
}

#[test]
fn merged_splits_answer_as_rebuilt_ones() {
    let all = records(0..200);
    let whole = split(&all);
    let parts = [split(&all[120..]), split(&all[..50]), split(&all[50..120])];
    let merged = merge(&parts).unwrap();
    assert_eq!(merged.summary(), whole.summary());
    assert_eq!(answers(&merged), answers(&whole));
    assert!(answers(&whole).iter().all(|(seqs, _)| !seqs.is_empty()));
}

#[test]
fn interleaving_splits_are_refused() {
    let all = records(0..20);
    let parts = [split(&all[..11]), split(&all[10..])];
    assert!(matches!(merge(&parts), Err(Error::Order { last: 10, next: 10 })));
    assert!(matches!(merge(&[]), Err(Error::Empty)));
}

#[test]
fn builders_want_ascending_seqs() {
    let all = records(0..2);
    let mut builder = SplitBuilder::new(&IndexPolicy::default()).unwrap();
    assert!(matches!(
        SplitBuilder::new(&IndexPolicy::default()).unwrap().finish(),
        Err(Error::Empty)
    ));
    all[1].add_to(&mut builder);
    let fields = attestore_record::view::fields(&all[0].public, &[]).unwrap();
    let input = attestore_index::DocInput {
        seq: 0,
        received_ms: 1,
        class: 1,
        public: &fields.public,
        personal: &fields.personal,
    };
    assert!(matches!(
        builder.add(&input),
        Err(Error::Order { last: 1, next: 0 })
    ));
    assert_eq!(builder.finish().unwrap().summary().docs, 1);
}

#[test]
fn sealed_splits_answer_and_merge_as_those_in_memory() {
    let all = records(0..3000);
    let whole = split(&all);
    let cache = Cache::default();
    let bytes = whole.bundle().unwrap();
    let source = source(bytes.clone());
    let sealed = Split::open(source.clone(), &cache).unwrap();
    assert_eq!(sealed.summary(), whole.summary());
    assert_eq!(answers(&sealed), answers(&whole));
    assert!(cache.bytes() > 0);
    let before = source.read.load(Ordering::Relaxed);
    assert_eq!(answers(&sealed), answers(&whole));
    assert_eq!(
        source.read.load(Ordering::Relaxed),
        before,
        "the second time is served from the cache"
    );
    assert_eq!(sealed.bundle().unwrap(), bytes);
    let merged = merge(&[sealed.clone(), split(&records(3000..3010))]).unwrap();
    assert_eq!(answers(&merged), answers(&split(&records(0..3010))));
    drop((sealed, merged));
    assert_eq!(cache.bytes(), 0, "a dropped split leaves the cache");
}

#[test]
fn a_tiny_cache_changes_nothing_but_work() {
    let whole = split(&records(0..3000));
    let sealed = Split::open(source(whole.bundle().unwrap()), &Cache::new(0)).unwrap();
    assert_eq!(answers(&sealed), answers(&whole));
}

#[test]
fn a_damaged_source_is_an_io_error() {
    let bytes = split(&records(0..10)).bundle().unwrap();
    let broken = Memory {
        bytes,
        read: AtomicU64::new(0),
        broken: true,
    };
    assert!(matches!(
        Split::open(Arc::new(broken), &Cache::default()),
        Err(Error::Io(_))
    ));
}

#[test]
fn bytes_that_are_no_split_are_malformed() {
    let good = split(&records(0..10)).bundle().unwrap();
    let open = |bytes: Vec<u8>| Split::open(source(bytes), &Cache::default());
    assert!(matches!(open(Vec::new()), Err(Error::Malformed(_))));
    assert!(matches!(
        open(good[..good.len() - 1].to_vec()),
        Err(Error::Malformed(_))
    ));
    for at in good.len() - 16..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 0x40;
        assert!(open(bytes).is_err(), "byte {at} of the trailer");
    }
    let version = format!("{{\"fields\":{FIELD_LIST}");
    let mut other = good.clone();
    let at = good
        .windows(version.len())
        .rposition(|window| window == version.as_bytes())
        .unwrap();
    other[at + version.len() - 1] = b'9';
    assert!(matches!(open(other), Err(Error::Version { found: 9, .. })));
}

#[test]
fn bundles_are_reproducible_in_length() {
    let (one, two) = (split(&records(0..50)), split(&records(0..50)));
    assert_eq!(one.bytes(), two.bytes());
    assert_eq!(one.bytes(), one.bundle().unwrap().len() as u64);
}
