//! `.seg` bodies: a model, misuse, and bytes that nobody vouches for.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use attestore_keys::Key;
use proptest::collection::vec;
use proptest::prelude::*;

use super::{
    BlockEntry, Dictionary, RECORD_BYTES_MAX, ResolvedSalt, Salt, SegBuilder, SegOptions, SegReader,
    SegRecord, parse_seg_block, parse_seg_footer,
};
use crate::testing::{file_key, hash_of, meta, noise, sealed};
use crate::{ContainerType, Error};

fn class_key(generation: u32) -> Key {
    Key::from_bytes([u8::try_from(generation).unwrap(); 32])
}

fn options(block_bytes: usize) -> SegOptions {
    SegOptions {
        level: 1,
        block_bytes,
    }
}

fn open(body: &[u8]) -> SegReader {
    SegReader::open(sealed(ContainerType::Seg, body)).unwrap()
}

fn record(seq: u64, public: &[u8]) -> SegRecord<'_> {
    SegRecord {
        seq,
        salt: Salt::Generation(1),
        groups: &[],
        public,
        idempotency: None,
    }
}

fn refused(result: Result<impl Sized, Error>) -> &'static str {
    match result.err() {
        Some(Error::Refused(why)) => why,
        other => panic!("not refused: {other:?}"),
    }
}

#[derive(Debug, Clone)]
struct Model {
    gap: u64,
    salt: Salt,
    groups: Vec<[u8; 32]>,
    public: Vec<u8>,
    idempotency: Option<u64>,
}

fn any_record() -> impl Strategy<Value = Model> {
    let gap = prop_oneof![8 => 1u64..4, 1 => Just(u64::from(u32::MAX)), 1 => Just(u64::from(u32::MAX) + 1), 1 => 1u64 << 33..1 << 40];
    let salt = prop_oneof![3 => (0u32..4).prop_map(Salt::Generation), 1 => any::<[u8; 32]>().prop_map(Salt::Explicit)];
    let groups = vec(any::<[u8; 32]>(), 0..4).prop_map(|mut groups| {
        groups.sort_unstable();
        groups
    });
    let public = prop_oneof![4 => vec(any::<u8>(), 0..60), 1 => vec(0u8..3, 0..900)];
    (gap, salt, groups, public, proptest::option::of(0u64..6)).prop_map(
        |(gap, salt, groups, public, idempotency)| Model {
            gap,
            salt,
            groups,
            public,
            idempotency,
        },
    )
}

fn build(models: &[Model], block_bytes: usize) -> (BTreeMap<u64, Model>, Vec<u8>) {
    let mut builder = SegBuilder::new(options(block_bytes)).unwrap();
    let (mut seq, mut by_seq) = (0, BTreeMap::new());
    for model in models {
        seq += model.gap;
        let Model {
            salt,
            ref groups,
            ref public,
            idempotency,
            ..
        } = *model;
        builder
            .push(SegRecord {
                seq,
                salt,
                groups,
                public,
                idempotency,
            })
            .unwrap();
        by_seq.insert(seq, model.clone());
    }
    for generation in 0..4 {
        builder.salt_key(generation, &class_key(generation)).unwrap();
    }
    (by_seq, builder.finish().unwrap())
}

proptest! {
    #[test]
    fn a_reader_agrees_with_a_map(models in vec(any_record(), 0..60), block_bytes in 1usize..600, probe in any::<u64>()) {
        let (by_seq, body) = build(&models, block_bytes);
        let reader = open(&body);
        prop_assert_eq!(reader.meta().records, by_seq.len() as u64);
        prop_assert_eq!(reader.seqs().unwrap(), by_seq.keys().copied().collect::<Vec<_>>());
        prop_assert_eq!(reader.meta().public_bytes, by_seq.values().map(|model| model.public.len() as u64).sum::<u64>());
        for (&seq, model) in &by_seq {
            let found = reader.get(seq).unwrap().expect("a pushed record is there");
            prop_assert_eq!((found.seq, &found.groups, &found.public), (seq, &model.groups, &model.public));
            match (found.salt, model.salt) {
                (ResolvedSalt::Explicit(found), Salt::Explicit(given)) => prop_assert_eq!(found, given),
                (ResolvedSalt::Generation(key), Salt::Generation(generation)) => {
                    prop_assert!(key.ct_eq(&class_key(generation)));
                }
                _ => prop_assert!(false, "another kind of salt came back"),
            }
            for absent in [seq - 1, seq + 1] {
                prop_assert_eq!(reader.get(absent).unwrap().is_some(), by_seq.contains_key(&absent));
            }
        }
        prop_assert_eq!(reader.get(probe).unwrap().is_some(), by_seq.contains_key(&probe));

        let (from, to) = (probe % 50, probe % 50 + (1 << (probe % 45)));
        let mut scanned = Vec::new();
        reader.scan(from..to, |record| { scanned.push(record.seq); ControlFlow::Continue(()) }).unwrap();
        prop_assert_eq!(scanned, by_seq.range(from..to).map(|(&seq, _)| seq).collect::<Vec<_>>());

        for hash in 0..7 {
            let expected: Vec<u64> = by_seq.iter().filter(|(_, model)| model.idempotency == Some(hash)).map(|(&seq, _)| seq).collect();
            prop_assert_eq!(reader.idempotency_lookup(hash).unwrap(), expected);
        }
    }

    #[test]
    fn parsing_anything_never_panics(bytes in vec(any::<u8>(), 0..300), raw in any::<u32>(), records in 0u32..50, hashes in 0u32..8, ids in (0u32..4, 0u32..4)) {
        let _ = parse_seg_footer(&bytes);
        let entry = BlockEntry {
            first_seq: 0, last_seq: 9, offset: 0, compressed: u32::try_from(bytes.len()).unwrap(), raw, hashes, records,
            timed_ids: ids.0, other_ids: ids.1,
        };
        let _ = parse_seg_block(&entry, &bytes, &Dictionary::parse(&[]).unwrap());
        let _ = Dictionary::parse(&bytes);
    }

    #[test]
    fn a_changed_footer_never_panics(models in vec(any_record(), 1..20), at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let (_, mut body) = build(&models, 300);
        let from = body.len() - 400.min(body.len());
        let at = from + at.index(body.len() - from);
        body[at] = value;
        let _ = parse_seg_footer(&body);
        // Authentic, but not what a builder writes: refused or read, never a panic.
        if let Ok(reader) = SegReader::open(sealed(ContainerType::Seg, &body)) {
            let _ = reader.seqs();
            let _ = reader.idempotency_all();
            let _ = reader.idempotency_lookup(3);
        }
    }
}

#[test]
fn every_changed_byte_of_an_authentic_block_is_refused_or_harmless() {
    let models: Vec<Model> = (0..6)
        .map(|n| Model {
            gap: 1,
            salt: if n == 2 {
                Salt::Explicit([7; 32])
            } else {
                Salt::Generation(1)
            },
            groups: vec![hash_of(n)],
            public: b"{\"action\":\"object.read\"}".to_vec(),
            idempotency: None,
        })
        .collect();
    let (_, body) = build(&models, 10_000);
    let footer = parse_seg_footer(&body).unwrap();
    let entry = footer.blocks()[0];
    let stored = &body[..usize::try_from(entry.stored_len()).unwrap()];
    for at in 0..stored.len() {
        let mut changed = stored.to_vec();
        changed[at] ^= 0x10;
        if let Ok(block) = parse_seg_block(&entry, &changed, &Dictionary::parse(&[]).unwrap()) {
            assert_eq!(block.len(), 6);
            assert_eq!(block.iter().count(), 6);
        }
    }
}

#[test]
fn an_empty_body_has_no_records() {
    let reader = open(&SegBuilder::new(SegOptions::default()).unwrap().finish().unwrap());
    assert_eq!((reader.meta().records, reader.blocks().len()), (0, 0));
    assert!(reader.get(0).unwrap().is_none() && reader.seqs().unwrap().is_empty());
    assert!(reader.idempotency_lookup(1).unwrap().is_empty() && reader.idempotency_all().unwrap().is_empty());
}

#[test]
fn the_highest_seq_can_be_stored() {
    let mut builder = SegBuilder::new(SegOptions::default()).unwrap();
    builder.salt_key(1, &class_key(1)).unwrap();
    builder.push(record(0, b"first")).unwrap();
    builder.push(record(u64::MAX, b"last")).unwrap();
    let reader = open(&builder.finish().unwrap());
    assert_eq!(reader.get(u64::MAX).unwrap().unwrap().public, b"last");
    assert_eq!(reader.blocks().len(), 2);
}

#[test]
fn misuse_is_refused() {
    let mut builder = SegBuilder::new(SegOptions::default()).unwrap();
    builder.push(record(5, b"")).unwrap();
    assert!(refused(builder.push(record(5, b""))).contains("ascend"));
    assert!(refused(builder.push(record(4, b""))).contains("ascend"));
    let descending = [[2; 32], [1; 32]];
    assert!(
        refused(builder.push(SegRecord {
            groups: &descending,
            ..record(6, b"")
        }))
        .contains("ascending")
    );
    assert!(refused(builder.push(record(7, &vec![0; RECORD_BYTES_MAX + 1]))).contains("too many"));
    assert!(
        refused(builder.push(SegRecord {
            groups: &vec![[0; 32]; 65_536],
            ..record(8, b"")
        }))
        .contains("groups")
    );
    builder.salt_key(1, &class_key(1)).unwrap();
    assert!(refused(builder.salt_key(1, &class_key(2))).contains("two keys"));
    assert!(refused(SegBuilder::new(options(usize::MAX))).contains("block size"));
}

#[test]
fn a_record_whose_generation_has_no_key_is_refused() {
    let mut builder = SegBuilder::new(SegOptions::default()).unwrap();
    builder.push(record(1, b"")).unwrap();
    builder.salt_key(2, &class_key(2)).unwrap();
    assert!(refused(builder.finish()).contains("no key"));
}

#[test]
fn a_salt_key_that_no_record_needs_is_not_stored() {
    let mut builder = SegBuilder::new(SegOptions::default()).unwrap();
    builder.salt_key(1, &class_key(1)).unwrap();
    builder.salt_key(9, &class_key(9)).unwrap();
    builder.push(record(1, b"")).unwrap();
    builder
        .push(SegRecord {
            salt: Salt::Explicit([3; 32]),
            ..record(2, b"")
        })
        .unwrap();
    let body = builder.finish().unwrap();
    assert!(!body.windows(32).any(|window| window == [9; 32]));
    let reader = open(&body);
    assert_eq!(
        reader
            .salt_keys()
            .map(|(generation, _)| generation)
            .collect::<Vec<_>>(),
        [1]
    );
    assert_eq!(reader.meta().explicit_salts, 1);
}

#[test]
fn idempotency_is_found_across_pages_of_the_run() {
    let mut builder = SegBuilder::new(SegOptions::default()).unwrap();
    builder.salt_key(1, &class_key(1)).unwrap();
    // 5,000 entries; the hash 7 fills more than a page, and others stand on both sides of it.
    let hash = |seq: u64| if seq.is_multiple_of(2) { 7 } else { seq % 1001 };
    for seq in 0..5000 {
        builder
            .push(SegRecord {
                idempotency: Some(hash(seq)),
                ..record(seq, b"x")
            })
            .unwrap();
    }
    let reader = open(&builder.finish().unwrap());
    for wanted in [0, 1, 6, 7, 8, 500, 999, 1000, 1001, u64::MAX] {
        let expected: Vec<u64> = (0..5000).filter(|&seq| hash(seq) == wanted).collect();
        assert_eq!(
            reader.idempotency_lookup(wanted).unwrap(),
            expected,
            "hash {wanted}"
        );
    }
    assert_eq!(reader.idempotency_all().unwrap().len(), 5000);
}

#[test]
fn a_scan_stops_when_it_is_told_to() {
    let mut builder = SegBuilder::new(options(50)).unwrap();
    builder.salt_key(1, &class_key(1)).unwrap();
    for seq in 0..100 {
        builder.push(record(seq, b"0123456789")).unwrap();
    }
    let reader = open(&builder.finish().unwrap());
    let mut visited = 0;
    reader
        .scan(10..100, |record| {
            visited += 1;
            if record.seq == 12 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .unwrap();
    assert_eq!(visited, 3);
}

#[test]
fn blocks_have_about_the_size_that_was_asked_for() {
    let mut builder = SegBuilder::new(SegOptions::default()).unwrap();
    builder.salt_key(1, &class_key(1)).unwrap();
    for seq in 0..500 {
        builder.push(record(seq, &noise(seq, 1000))).unwrap();
    }
    let big = noise(3, 300_000);
    builder.push(record(500, &big)).unwrap();
    let reader = open(&builder.finish().unwrap());
    let (last, rest) = reader.blocks().split_last().unwrap();
    // Random bytes: those that look like markers are escaped.
    assert!(rest.iter().all(|entry| entry.raw <= 66 * 1024));
    assert_eq!(last.records, 1);
    assert_eq!(reader.get(500).unwrap().unwrap().public, big);
}

#[test]
fn damage_inside_an_authentic_body_names_the_place_in_the_file() {
    let mut builder = SegBuilder::new(SegOptions::default()).unwrap();
    builder.salt_key(1, &class_key(1)).unwrap();
    for seq in 0..100 {
        builder.push(record(seq, &noise(seq, 1000))).unwrap();
    }
    let mut body = builder.finish().unwrap();
    let second = parse_seg_footer(&body).unwrap().blocks()[1];
    body[usize::try_from(second.offset).unwrap()] ^= 0xFF;
    let reader = open(&body);
    let offset = reader.container().file_offset(second.offset);
    assert_eq!(offset, 128 + second.offset + 16 * (second.offset / 16_384));
    match reader.block(1) {
        Err(Error::Damage { offset: found, .. }) => assert_eq!(found, offset),
        other => panic!("{:?}", other.map(|_| ())),
    }
    assert!(reader.block(0).is_ok() && reader.block(2).is_err());
}

#[test]
fn a_container_of_another_type_is_no_seg() {
    let container = sealed(
        ContainerType::Sub,
        &SegBuilder::new(SegOptions::default()).unwrap().finish().unwrap(),
    );
    assert!(SegReader::open(container).err().unwrap().is_damage());
    let short = crate::container::seal(&meta(ContainerType::Seg), &file_key(), b"short");
    let short = crate::testing::open_bytes(&short, &file_key(), &meta(ContainerType::Seg)).unwrap();
    assert!(SegReader::open(short).err().unwrap().is_damage());
}

/// A record's public group, much like those of the others.
fn alike(n: u64) -> Vec<u8> {
    let noise = blake3::hash(&n.to_le_bytes()).to_hex();
    format!(
        r#"{{"v":1,"event":{{"action":"object.read","actor":{{"type":"service","name":"collector of the billing department {}"}},"source":{{"address":"10.0.{}.{}"}},"key":"{}"}}}}"#,
        n % 7,
        n % 50,
        n % 200,
        noise.get(..6).unwrap()
    )
    .into_bytes()
}

fn of_alike(block_bytes: usize, dictionary_bytes: usize) -> Vec<u8> {
    let mut builder = SegBuilder::new(options(block_bytes)).unwrap();
    builder.salt_key(1, &Key::from_bytes([1; 32])).unwrap();
    let samples: Vec<Vec<u8>> = (0..4000).step_by(3).map(alike).collect();
    if dictionary_bytes > 0 {
        builder
            .train(samples.iter().map(Vec::as_slice), dictionary_bytes)
            .unwrap();
    }
    for n in 0..4000 {
        let public = alike(n);
        builder
            .push(SegRecord {
                seq: n,
                salt: Salt::Generation(1),
                groups: &[],
                public: &public,
                idempotency: None,
            })
            .unwrap();
    }
    builder.finish().unwrap()
}

#[test]
fn a_dictionary_makes_small_blocks_denser() {
    let (small, knowing) = (of_alike(2000, 0), of_alike(2000, 8000));
    let stored = |body: &[u8]| -> u64 {
        let footer = parse_seg_footer(body).unwrap();
        let blocks = footer.blocks().iter().map(BlockEntry::stored_len).sum::<u64>();
        blocks + u64::from(footer.dictionary_bytes())
    };
    assert!(parse_seg_footer(&knowing).unwrap().dictionary_bytes() > 0);
    assert!(
        stored(&knowing) * 3 < stored(&small) * 2,
        "{} {}",
        stored(&knowing),
        stored(&small)
    );
    let reader = open(&knowing);
    for n in [0, 1, 999, 2500, 3999] {
        assert_eq!(reader.get(n).unwrap().unwrap().public, alike(n));
    }
    let mut seen = 0;
    reader
        .scan(0..u64::MAX, |record| {
            assert_eq!(record.public().unwrap(), alike(record.seq));
            seen += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(seen, 4000);
}

#[test]
fn a_dictionary_comes_before_records_and_only_from_enough_of_them() {
    let mut builder = SegBuilder::new(SegOptions::default()).unwrap();
    builder.train([b"too few".as_slice()].into_iter(), 8000).unwrap();
    assert_eq!(builder.stored_bytes(), 0);
    builder.salt_key(1, &Key::from_bytes([1; 32])).unwrap();
    builder.push(record(7, b"first")).unwrap();
    assert!(refused(builder.train(std::iter::empty(), 8000)).contains("after the first record"));
}

#[test]
fn a_damaged_dictionary_is_damage_not_other_records() {
    let body = of_alike(2000, 8000);
    let length = usize::try_from(parse_seg_footer(&body).unwrap().dictionary_bytes()).unwrap();
    for at in (0..length).step_by(97) {
        let mut changed = body.clone();
        changed[at] ^= 0x41;
        // Authentic all the same: only a program that writes wrong files makes such. It must not panic, nor allocate without bound.
        if let Ok(reader) = SegReader::open(sealed(ContainerType::Seg, &changed)) {
            let _ = reader.get(2500);
        }
    }
}
