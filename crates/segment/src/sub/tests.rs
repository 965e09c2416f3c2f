//! `.sub` bodies: a model, destroyed and wrong keys, misuse, and bytes that nobody vouches for.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use attestore_keys::{Key, derive};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::{
    Group, Handle, Packed, SetKeyError, SetKeys, SubBuilder, SubOptions, SubReader, SubWriter,
    parse_sub_block, parse_sub_footer,
};
use crate::testing::{meta, sealed};
use crate::{ContainerType, Error};

fn handle(n: u8) -> Handle {
    [n; 16]
}

fn key_of(handles: &[Handle]) -> Key {
    derive("attestore test set key", &[handles.as_flattened()])
}

/// Keys of all sets but those that a destroyed subject is in.
#[derive(Default)]
struct Keys {
    destroyed: BTreeSet<Handle>,
}

impl SetKeys for Keys {
    fn set_key(&self, handles: &[Handle]) -> Result<Option<Key>, SetKeyError> {
        let gone = handles.iter().any(|handle| self.destroyed.contains(handle));
        Ok((!gone).then(|| key_of(handles)))
    }
}

/// A provider that always gives this key.
struct Wrong;

impl SetKeys for Wrong {
    fn set_key(&self, _: &[Handle]) -> Result<Option<Key>, SetKeyError> {
        Ok(Some(Key::from_bytes([0xEE; 32])))
    }
}

struct Failing;

impl SetKeys for Failing {
    fn set_key(&self, _: &[Handle]) -> Result<Option<Key>, SetKeyError> {
        Err("the directory is gone".into())
    }
}

/// The public group of every record.
const PUBLIC: &[u8] = b"{\"id\":\"0123456789\"}";

fn packed(bytes: &[u8]) -> Packed {
    Packed::of(bytes, PUBLIC)
}

type Given = (u64, Vec<Handle>, Vec<u8>);

fn builder(block_bytes: usize) -> SubBuilder {
    SubBuilder::new(
        meta(ContainerType::Sub).id,
        SubOptions {
            level: 1,
            block_bytes,
        },
    )
    .unwrap()
}

fn build(given: &[Given], block_bytes: usize) -> Vec<u8> {
    let mut builder = builder(block_bytes);
    for (seq, handles, bytes) in given {
        builder
            .push(*seq, handles, &key_of(handles), PUBLIC, bytes)
            .unwrap();
    }
    builder.finish().unwrap()
}

fn open(body: &[u8]) -> SubReader {
    SubReader::open(sealed(ContainerType::Sub, body)).unwrap()
}

fn expected(handles: &[Handle], bytes: &[u8], keys: &Keys) -> Group {
    let handles = handles.to_vec();
    if handles.iter().any(|handle| keys.destroyed.contains(handle)) {
        return Group::Destroyed { handles };
    }
    Group::Opened {
        handles,
        bytes: packed(bytes),
    }
}

fn any_groups() -> impl Strategy<Value = Vec<Given>> {
    let gap = prop_oneof![3 => Just(0u64), 6 => 1u64..4, 1 => u64::from(u32::MAX) - 1..1 << 34];
    let handles = btree_set(0u8..6, 1..4).prop_map(|set| set.into_iter().map(handle).collect::<Vec<_>>());
    let bytes = prop_oneof![3 => vec(any::<u8>(), 0..50), 1 => vec(0u8..3, 0..700)];
    vec((gap, handles, bytes), 0..60).prop_map(|groups| {
        let mut seq = 0;
        let ascend = |(gap, handles, bytes)| {
            seq += gap;
            (seq, handles, bytes)
        };
        groups.into_iter().map(ascend).collect()
    })
}

proptest! {
    #[test]
    fn a_reader_agrees_with_a_map(given in any_groups(), block_bytes in 1usize..500, destroyed in btree_set(0u8..6, 0..3), probe in any::<u64>()) {
        let reader = open(&build(&given, block_bytes));
        let keys = Keys { destroyed: destroyed.into_iter().map(handle).collect() };
        let mut by_seq: BTreeMap<u64, Vec<Group>> = BTreeMap::new();
        let mut by_set: BTreeMap<Vec<Handle>, BTreeSet<u64>> = BTreeMap::new();
        for (seq, handles, bytes) in &given {
            by_seq.entry(*seq).or_default().push(expected(handles, bytes, &keys));
            by_set.entry(handles.clone()).or_default().insert(*seq);
        }
        for (&seq, groups) in &by_seq {
            prop_assert_eq!(&reader.groups(seq, &keys).unwrap(), groups);
        }
        prop_assert_eq!(reader.groups(probe, &keys).unwrap().len(), by_seq.get(&probe).map_or(0, Vec::len));
        prop_assert_eq!(reader.meta().groups, given.len() as u64);
        prop_assert_eq!(reader.meta().records, by_seq.len() as u64);

        let (from, to) = (probe % 20, probe % 20 + (1 << (probe % 36)));
        let mut scanned = Vec::new();
        reader.scan(from..to, &keys, |seq, group| { scanned.push((seq, group)); ControlFlow::Continue(()) }).unwrap();
        let in_range = given.iter().filter(|(seq, ..)| (from..to).contains(seq));
        let in_range: Vec<_> = in_range.map(|(seq, handles, bytes)| (*seq, expected(handles, bytes, &keys))).collect();
        prop_assert_eq!(scanned, in_range);

        let some: Vec<u64> = by_seq.keys().copied().filter(|seq| (seq ^ probe) % 3 > 0).chain([u64::MAX]).collect();
        let mut each = Vec::new();
        let visit = |seq, group| { each.push((seq, group)); ControlFlow::Continue(()) };
        reader.scanner(&keys).visit_each(&some, visit).unwrap();
        let wanted = given.iter().filter(|(seq, ..)| some.contains(seq));
        let wanted: Vec<_> = wanted.map(|(seq, handles, bytes)| (*seq, expected(handles, bytes, &keys))).collect();
        prop_assert_eq!(each, wanted);

        let sets: BTreeMap<Vec<Handle>, BTreeSet<u64>> =
            reader.sets().unwrap().into_iter().map(|set| (set.handles, set.seqs.into_iter().collect())).collect();
        prop_assert_eq!(&sets, &by_set);
        for n in 0..7 {
            prop_assert_eq!(reader.holds(&handle(n)), by_set.keys().any(|set| set.contains(&handle(n))));
        }
    }

    #[test]
    fn parsing_anything_never_panics(bytes in vec(any::<u8>(), 0..300), raw in any::<u32>(), pairs in any::<u32>()) {
        let _ = parse_sub_footer(&bytes);
        let _ = parse_sub_block(&bytes, raw, None);
        let _ = parse_sub_block(&bytes, raw, Some(&bytes));
        let entry = super::PageEntry { first_seq: 0, last_seq: 5, offset: 0, compressed: 0, pairs };
        let _ = super::parse_sub_page(&entry, 3, &bytes);
    }

    #[test]
    fn a_changed_body_never_panics(given in any_groups(), at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut body = build(&given, 300);
        let at = at.index(body.len());
        body[at] = value;
        let _ = parse_sub_footer(&body);
        if let Ok(reader) = SubReader::open(sealed(ContainerType::Sub, &body)) {
            let _ = reader.sets();
            let _ = reader.scan(0..u64::MAX, &Keys::default(), |_, _| ControlFlow::Continue(()));
        }
    }
}

#[test]
fn destroying_one_subject_takes_exactly_the_groups_about_it() {
    let (ann, bob) = (handle(1), handle(2));
    let given: Vec<Given> = vec![
        (4, vec![ann], b"ann".to_vec()),
        (4, vec![bob], b"bob".to_vec()),
        (5, vec![ann, bob], b"both".to_vec()),
    ];
    let reader = open(&build(&given, 1000));
    let keys = Keys {
        destroyed: BTreeSet::from([ann]),
    };
    assert_eq!(
        reader.groups(4, &keys).unwrap(),
        [
            Group::Destroyed { handles: vec![ann] },
            Group::Opened {
                handles: vec![bob],
                bytes: packed(b"bob")
            }
        ]
    );
    assert_eq!(
        reader.groups(5, &keys).unwrap(),
        [Group::Destroyed {
            handles: vec![ann, bob]
        }]
    );
}

#[test]
fn who_holds_only_the_files_key_cannot_read_a_group() {
    let secret = b"ann@example.org, ann@example.org, ann@example.org";
    let body = build(&[(4, vec![handle(1)], secret.to_vec())], 1000);
    assert!(!body.windows(15).any(|window| window == b"ann@example.org"));
    let reader = open(&body);
    let error = reader.groups(4, &Wrong).err().unwrap();
    assert!(
        matches!(error, Error::WrongKey { .. }) && error.is_key(),
        "{error}"
    );
}

#[test]
fn a_failing_provider_is_neither_damage_nor_destruction() {
    let reader = open(&build(&[(4, vec![handle(1)], b"x".to_vec())], 1000));
    let error = reader.groups(4, &Failing).err().unwrap();
    assert!(
        matches!(&error, Error::SetKey(_)) && !error.is_damage(),
        "{error}"
    );
}

#[test]
fn a_block_opens_only_in_the_container_and_at_the_place_it_was_sealed_for() {
    let given: Vec<Given> = vec![
        (1, vec![handle(1)], b"one".to_vec()),
        (2, vec![handle(1)], b"two".to_vec()),
    ];
    // Another container id than the body was built for.
    let mut builder = SubBuilder::new([9; 16], SubOptions::default()).unwrap();
    builder
        .push(1, &[handle(1)], &key_of(&[handle(1)]), PUBLIC, b"one")
        .unwrap();
    let moved = open(&builder.finish().unwrap());
    assert!(moved.groups(1, &Keys::default()).err().unwrap().is_key());
    // Two blocks of one set and one size, swapped.
    let mut body = build(&given, 1);
    let footer = parse_sub_footer(&body).unwrap();
    let (first, second) = (footer.blocks[0], footer.blocks[1]);
    assert_eq!((first.sealed, first.raw), (second.sealed, second.raw));
    let length = usize::try_from(first.sealed).unwrap();
    let (left, right) = body.split_at_mut(length);
    left.swap_with_slice(&mut right[..length]);
    assert!(open(&body).groups(1, &Keys::default()).err().unwrap().is_key());
}

#[test]
fn the_highest_seq_can_be_stored_and_read() {
    let given: Vec<Given> = vec![
        (0, vec![handle(1)], b"low".to_vec()),
        (u64::MAX, vec![handle(1)], b"high".to_vec()),
    ];
    let reader = open(&build(&given, 1000));
    let keys = Keys::default();
    assert_eq!(reader.groups(u64::MAX, &keys).unwrap().len(), 1);
    assert_eq!(reader.groups(0, &keys).unwrap().len(), 1);
    assert_eq!(reader.groups(u64::MAX - 1, &keys).unwrap(), []);
}

#[test]
fn groups_are_found_across_pages() {
    let given: Vec<Given> = (0..3000u64)
        .map(|n| {
            (
                n / 4,
                vec![handle(u8::try_from(n % 7).unwrap())],
                n.to_le_bytes().to_vec(),
            )
        })
        .collect();
    let reader = open(&build(&given, 64 * 1024));
    let keys = Keys::default();
    for seq in 0..750 {
        assert_eq!(reader.groups(seq, &keys).unwrap().len(), 4, "seq {seq}");
    }
    let some: Vec<u64> = (0..750).filter(|seq| seq % 5 != 1).collect();
    let mut found = Vec::new();
    let visit = |seq, _: Group| {
        found.push(seq);
        ControlFlow::Continue(())
    };
    reader.scanner(&keys).visit_each(&some, visit).unwrap();
    let four: Vec<u64> = some.iter().flat_map(|seq| [*seq; 4]).collect();
    assert_eq!(found, four);
    assert_eq!(
        reader
            .sets()
            .unwrap()
            .iter()
            .map(|set| set.seqs.len())
            .sum::<usize>(),
        3000
    );
}

#[test]
fn misuse_is_refused() {
    let refused = |result: Result<(), Error>| matches!(result, Err(Error::Refused(_)));
    let (one, two) = (handle(1), handle(2));
    let mut builder = builder(1000);
    assert!(builder.is_empty());
    builder.push(5, &[one], &key_of(&[one]), PUBLIC, b"x").unwrap();
    assert!(refused(builder.push(4, &[one], &key_of(&[one]), PUBLIC, b"x")));
    assert!(refused(builder.push(6, &[], &key_of(&[]), PUBLIC, b"x")));
    assert!(refused(builder.push(
        6,
        &[two, one],
        &key_of(&[one, two]),
        PUBLIC,
        b"x"
    )));
    assert!(refused(builder.push(
        6,
        &[one, one],
        &key_of(&[one, one]),
        PUBLIC,
        b"x"
    )));
    assert!(refused(builder.push(6, &[one], &key_of(&[two]), PUBLIC, b"x")));
    assert!(refused(builder.push(
        6,
        &[one],
        &key_of(&[one]),
        PUBLIC,
        &vec![0; super::GROUP_BYTES_MAX + 1]
    )));
    assert!(!builder.is_empty());
}

#[test]
fn an_empty_body_has_no_sets() {
    let reader = open(&build(&[], 1000));
    assert_eq!(reader.handle_sets().len(), 0);
    assert_eq!(reader.groups(0, &Keys::default()).unwrap(), []);
}

/// Puts bodies whose seqs ascend together, set by set, as a rewrite does.
fn merged(sources: &[SubReader], keys: &Keys, block_bytes: usize) -> Option<Vec<u8>> {
    let mut places: BTreeMap<Vec<Handle>, Vec<(usize, usize)>> = BTreeMap::new();
    for (at, source) in sources.iter().enumerate() {
        for (set, handles) in source.handle_sets().enumerate() {
            places.entry(handles.to_vec()).or_default().push((at, set));
        }
    }
    let options = SubOptions {
        level: 3,
        block_bytes,
    };
    let mut writer = SubWriter::new(meta(ContainerType::Sub).id, options).unwrap();
    for (handles, places) in places {
        let Some(key) = keys.set_key(&handles).unwrap() else {
            continue;
        };
        writer.begin_set(&handles, &key).unwrap();
        for (at, set) in places {
            sources[at]
                .groups_of_set(set, &key, |group| {
                    writer.push(group.seq, group.ordinal, &group.bytes)
                })
                .unwrap();
        }
    }
    (!writer.is_empty()).then(|| writer.finish().unwrap())
}

proptest! {
    #[test]
    fn bodies_put_together_hold_what_they_held_and_nothing_destroyed(
        given in vec((0u64..4, btree_set(0u8..5, 1..4), vec(any::<u8>(), 0..300)), 1..60),
        cuts in vec(1usize..20, 1..5),
        gone in btree_set(0u8..5, 0..3),
        block_bytes in 50usize..600,
    ) {
        let mut seq = 0;
        let given: Vec<Given> = given
            .into_iter()
            .map(|(step, handles, bytes)| {
                seq += step;
                (seq, handles.into_iter().map(handle).collect(), bytes)
            })
            .collect();
        let keys = Keys { destroyed: gone.into_iter().map(handle).collect() };
        // Cut between records only.
        let mut sources = Vec::new();
        let (mut rest, mut cut) = (&given[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let mut at = (*cut.next().unwrap()).min(rest.len());
            while at < rest.len() && rest[at].0 == rest[at - 1].0 {
                at += 1;
            }
            sources.push(open(&build(&rest[..at], block_bytes)));
            rest = &rest[at..];
        }
        let mut wanted = Vec::new();
        for source in &sources {
            source
                .scan(0..u64::MAX, &keys, |seq, group| {
                    if let Group::Opened { .. } = group {
                        wanted.push((seq, group));
                    }
                    ControlFlow::Continue(())
                })
                .unwrap();
        }
        let mut found = Vec::new();
        if let Some(body) = merged(&sources, &keys, block_bytes) {
            let all = Keys::default();
            let reader = open(&body);
            reader
                .scan(0..u64::MAX, &all, |seq, group| {
                    found.push((seq, group));
                    ControlFlow::Continue(())
                })
                .unwrap();
            prop_assert_eq!(reader.meta().groups, found.len() as u64);
            let records: BTreeSet<u64> = found.iter().map(|(seq, _)| *seq).collect();
            prop_assert_eq!(reader.meta().records, records.len() as u64);
            for (seq, _) in &found {
                let groups = reader.groups(*seq, &all).unwrap();
                prop_assert_eq!(groups.len(), found.iter().filter(|(other, _)| other == seq).count());
            }
        }
        prop_assert_eq!(found, wanted);
    }
}

#[test]
fn a_writer_refuses_disorder() {
    let writer = || SubWriter::new(meta(ContainerType::Sub).id, SubOptions::default()).unwrap();
    let (one, two) = ([handle(1)], [handle(2)]);
    assert!(writer().push(0, 0, &packed(b"x")).is_err(), "no set");
    let mut sets = writer();
    sets.begin_set(&two, &key_of(&two)).unwrap();
    assert!(sets.begin_set(&one, &key_of(&one)).is_err(), "sets descend");
    let mut groups = writer();
    groups.begin_set(&one, &key_of(&one)).unwrap();
    groups.push(5, 1, &packed(b"x")).unwrap();
    assert!(groups.push(5, 1, &packed(b"x")).is_err(), "the same group again");
    let mut twice = writer();
    twice.begin_set(&one, &key_of(&one)).unwrap();
    twice.push(5, 0, &packed(b"x")).unwrap();
    twice.begin_set(&two, &key_of(&two)).unwrap();
    twice.push(5, 0, &packed(b"y")).unwrap();
    assert!(twice.finish().is_err(), "one place for two groups");
}
