//! Bytes written by each version of each format, in `fixtures`: never edited, always readable. Versions 1 and 2 of `.seg` and `.sub`
//! were never released, and are refused.
//!
//! Compressed frames may change with zstd; everything else that is written today must equal what was written then.

use std::path::Path;

use attestore_disk::{Disk, Mode, RealDisk};
use attestore_keys::{Key, derive};

use crate::compression::BlockOptions;
use crate::container::{CHUNK_BYTES, HEADER_BYTES, seal};
use crate::seg::{Dictionary, Salt, SegBuilder, SegReader, SegRecord, parse_seg_block, parse_seg_footer};
use crate::sub::{Group, SetKeyError, SetKeys, SubBuilder, SubReader};
use crate::testing::{file_key, hash_of, meta, noise, open_bytes, sealed};
use crate::{ContainerType, Handle};

const CONTAINER: &[u8] = include_bytes!("../fixtures/v1/container.bin");
const SEG: &[u8] = include_bytes!("../fixtures/v3/seg.body");
const SUB: &[u8] = include_bytes!("../fixtures/v3/sub.body");
const PLAINTEXT: &[u8] = b"the public groups of one class";
const OPTIONS: BlockOptions = BlockOptions {
    level: 1,
    block_bytes: 512,
};
const SUB_ID: [u8; 16] = [0xA5; 16];

struct Keys;

impl SetKeys for Keys {
    fn set_key(&self, handles: &[Handle]) -> Result<Option<Key>, SetKeyError> {
        Ok(Some(derive("attestore test set key", &[handles.as_flattened()])))
    }
}

struct GoldenRecord {
    seq: u64,
    salt: Salt,
    groups: Vec<[u8; 32]>,
    public: String,
    idempotency: Option<u64>,
}

fn records() -> Vec<GoldenRecord> {
    let record = |n: u64| {
        let salt = if n % 5 == 3 {
            Salt::Explicit(hash_of(n))
        } else {
            Salt::Generation(if n < 20 { 4 } else { 9 })
        };
        let mut groups: Vec<[u8; 32]> = (0..n % 3).map(|k| hash_of(1000 + 10 * n + k)).collect();
        groups.sort_unstable();
        let public = format!(
            r#"{{"v":1,"id":"01a20326-7c84-7{n:03}-a9c1-4dcc32337e4b","event":{{"action":"object.read","key":"2c806908-dff1-471b-a70c-4371b4e55{n:03}"}}}}"#
        );
        let idempotency = (n % 4 == 1).then_some(n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        GoldenRecord {
            seq: 100 + n + 7 * (n / 10),
            salt,
            groups,
            public,
            idempotency,
        }
    };
    (0..40).map(record).collect()
}

fn seg_body() -> Vec<u8> {
    let mut builder = SegBuilder::new(OPTIONS).unwrap();
    builder.salt_key(4, &Key::from_bytes([0x44; 32])).unwrap();
    builder.salt_key(9, &Key::from_bytes([0x99; 32])).unwrap();
    for record in &records() {
        let GoldenRecord {
            seq,
            salt,
            idempotency,
            ..
        } = *record;
        let (groups, public) = (&record.groups[..], record.public.as_bytes());
        builder
            .push(SegRecord {
                seq,
                salt,
                groups,
                public,
                idempotency,
            })
            .unwrap();
    }
    builder.finish().unwrap()
}

fn groups() -> Vec<(u64, Vec<Handle>, String)> {
    let group = |n: u64| {
        let mut handles: Vec<Handle> = vec![[u8::try_from(n % 5).unwrap(); 16]];
        if n.is_multiple_of(3) {
            handles.push([0x77; 16]);
        }
        (
            200 + n / 2,
            handles,
            format!(
                r#"{{"v":1,"fields":{{"/actor/id":"u_{n}","/payload":{{"requestID":"request {}"}}}}}}"#,
                200 + n / 2
            ),
        )
    };
    (0..60).map(group).collect()
}

fn public_of(seq: u64) -> String {
    format!(r#"{{"v":1,"event":{{"context":{{"request_id":"request {seq}"}}}}}}"#)
}

fn sub_body() -> Vec<u8> {
    let mut builder = SubBuilder::new(SUB_ID, OPTIONS).unwrap();
    for (seq, handles, bytes) in groups() {
        let key = Keys.set_key(&handles).unwrap().unwrap();
        let public = public_of(seq);
        builder
            .push(seq, &handles, &key, public.as_bytes(), bytes.as_bytes())
            .unwrap();
    }
    builder.finish().unwrap()
}

#[test]
fn a_container_of_version_1_is_written_and_opens() {
    assert_eq!(seal(&meta(ContainerType::Seg), &file_key(), PLAINTEXT), CONTAINER);
    let container = open_bytes(CONTAINER, &file_key(), &meta(ContainerType::Seg)).unwrap();
    assert_eq!(container.read(0..container.len()).unwrap(), PLAINTEXT);
    assert_eq!(&CONTAINER[..12], b"ATSTSEAL\x01\x00\x01\x0e");
    assert_eq!(CONTAINER.len(), HEADER_BYTES + PLAINTEXT.len() + 16);
}

#[test]
fn a_container_of_several_chunks_keeps_its_hash() {
    let bytes = seal(
        &meta(ContainerType::Idx),
        &file_key(),
        &noise(9, 3 * CHUNK_BYTES + 5),
    );
    assert_eq!(
        blake3::hash(&bytes).to_hex().as_str(),
        "e96c657690b633fa2fd572ffdd73aaa2ab1d18d5314043cedacf03e3f9e84d13"
    );
}

#[test]
fn a_seg_of_version_3_reads_as_it_was_written() {
    let reader = SegReader::open(sealed(ContainerType::Seg, SEG)).unwrap();
    assert!(reader.blocks().len() > 2);
    for record in &records() {
        let block = reader.block(reader.block_of(record.seq).unwrap()).unwrap();
        let found = block.get(record.seq).unwrap();
        assert_eq!(
            (found.salt, found.groups, found.public().unwrap()),
            (
                record.salt,
                &record.groups[..],
                record.public.clone().into_bytes()
            )
        );
        if let Some(hash) = record.idempotency {
            assert_eq!(reader.idempotency_lookup(hash).unwrap(), [record.seq]);
        }
    }
    assert_eq!(reader.meta().records, 40);
    assert_eq!(reader.salt_key(9).unwrap().expose(), &[0x99; 32]);
}

#[test]
fn a_seg_is_still_written_as_version_3() {
    let today = seg_body();
    let (then, now) = (parse_seg_footer(SEG).unwrap(), parse_seg_footer(&today).unwrap());
    assert_eq!(then.meta(), now.meta());
    assert_eq!(then.blocks().len(), now.blocks().len());
    let none = Dictionary::parse(&[]).unwrap();
    for (old, new) in then.blocks().iter().zip(now.blocks()) {
        let cut = |body: &[u8], at: u64, length: u64| {
            body[usize::try_from(at).unwrap()..usize::try_from(at + length).unwrap()].to_vec()
        };
        let old_block = parse_seg_block(old, &cut(SEG, old.offset, old.stored_len()), &none).unwrap();
        let new_block = parse_seg_block(new, &cut(&today, new.offset, new.stored_len()), &none).unwrap();
        assert_eq!(old_block, new_block);
    }
    // Salt table, fences and run are not compressed, nor is the trailer after its first field.
    let plain = 2 * 36 + 8 + (10 * (then_bits(SEG) + 6usize)).div_ceil(8);
    let tail = |body: &[u8]| body[body.len() - 96 - plain..body.len() - 96].to_vec();
    assert_eq!(tail(SEG), tail(&today));
    assert_eq!(SEG[SEG.len() - 88..], today[today.len() - 88..]);
}

/// Bits of a distance in the run.
fn then_bits(body: &[u8]) -> usize {
    usize::from(body[body.len() - 96 + 72])
}

#[test]
fn the_dictionary_is_the_one_of_the_format() {
    assert_eq!(
        blake3::hash(include_bytes!("sub/dictionary.1.txt"))
            .to_hex()
            .as_str(),
        "c11df11e567dc6e85fc29a32845d2ee7a3d5267695f321105556aba7217f6b87"
    );
}

#[test]
fn a_sub_of_version_3_reads_as_it_was_written() {
    let reader = SubReader::open(sealed(ContainerType::Sub, SUB)).unwrap();
    let mut found = Vec::new();
    reader
        .scan(0..u64::MAX, &Keys, |seq, group| {
            let Group::Opened { handles, bytes } = group else {
                panic!("no key was destroyed")
            };
            let whole = bytes.restore(public_of(seq).as_bytes()).unwrap();
            assert!(bytes.len() < whole.len());
            found.push((seq, handles, String::from_utf8(whole).unwrap()));
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(found, groups());
}

#[test]
fn a_sub_is_still_written_as_version_3() {
    let today = sub_body();
    assert_eq!(
        crate::sub::parse_sub_footer(SUB).unwrap().meta(),
        crate::sub::parse_sub_footer(&today).unwrap().meta()
    );
    // Tables after the blocks: handle and block counts and handles of the sets are not compressed.
    assert_eq!(SUB[SUB.len() - 88..], today[today.len() - 88..]);
    let reader = SubReader::open(sealed(ContainerType::Sub, &today)).unwrap();
    assert_eq!(
        reader.sets().unwrap(),
        SubReader::open(sealed(ContainerType::Sub, SUB))
            .unwrap()
            .sets()
            .unwrap()
    );
}

#[test]
#[ignore = "writes the fixtures of a new format version; those of released versions are never written again"]
fn write_fixtures() {
    let disk = RealDisk::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")).unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let file = disk.open(Path::new(name), Mode::ReadWriteCreate).unwrap();
        file.set_len(0).unwrap();
        file.write_all_at(bytes, 0).unwrap();
    };
    write(
        "v1/container.bin",
        &seal(&meta(ContainerType::Seg), &file_key(), PLAINTEXT),
    );
    write("v3/seg.body", &seg_body());
    write("v3/sub.body", &sub_body());
    let bytes = seal(
        &meta(ContainerType::Idx),
        &file_key(),
        &noise(9, 3 * CHUNK_BYTES + 5),
    );
    println!("{}", blake3::hash(&bytes).to_hex());
}
