//! Containers: golden bytes, round trips, and that no change goes unnoticed.

use std::path::Path;

use attestore_keys::Key;
use proptest::prelude::*;

use super::header::{HEADER_BYTES, parse_header};
use super::seal::chunk_count;
use super::{CHUNK_BYTES, SEALED_CHUNK_BYTES, seal, sealed_len};
use crate::testing::{PATH, disk_with, file_key, meta, noise, open_bytes, open_on};
use crate::{Container, ContainerType, Error};

const TY: ContainerType = ContainerType::Seg;

#[test]
fn a_container_is_sealed_as_the_format_says() {
    // Built from the format document, not from the code under test.
    let plaintext = noise(3, CHUNK_BYTES + 100);
    let sealed = seal(&meta(TY), &file_key(), &plaintext);
    let header_hash = blake3::hash(&sealed[..128]);
    let chunk_key = attestore_keys::derive(
        "attestore 2026 sealed file v1",
        &[file_key().expose(), &[0xA5; 16]],
    );
    let sealer = attestore_keys::aead::Sealer::new(&chunk_key);
    for (number, part) in plaintext.chunks(CHUNK_BYTES).enumerate() {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let mut aad = header_hash.as_bytes().to_vec();
        aad.extend_from_slice(&(number as u64).to_le_bytes());
        aad.push(u8::from(number == 1));
        let mut expected = part.to_vec();
        let tag = sealer.seal_in_place(nonce, &aad, &mut expected);
        expected.extend_from_slice(&tag);
        let from = 128 + number * SEALED_CHUNK_BYTES;
        assert_eq!(sealed[from..from + expected.len()], expected[..]);
    }
}

#[test]
fn every_length_around_a_chunk_comes_back() {
    for length in [
        0,
        1,
        CHUNK_BYTES - 1,
        CHUNK_BYTES,
        CHUNK_BYTES + 1,
        2 * CHUNK_BYTES,
        40 * CHUNK_BYTES + 17,
    ] {
        let plaintext = noise(length as u64, length);
        let sealed = seal(&meta(TY), &file_key(), &plaintext);
        assert_eq!(Some(sealed.len() as u64), sealed_len(length as u64));
        let container = open_bytes(&sealed, &file_key(), &meta(TY)).unwrap();
        assert_eq!(
            (container.len(), container.is_empty()),
            (length as u64, length == 0)
        );
        assert_eq!(container.read(0..length as u64).unwrap(), plaintext);
        assert_eq!(container.scan(), []);
        let chunks: Vec<u8> = (0..container.chunks())
            .flat_map(|n| container.chunk(n).unwrap())
            .collect();
        assert_eq!(chunks, plaintext);
        assert!(container.chunk(container.chunks()).is_err());
        assert!(container.read(0..length as u64 + 1).is_err());
    }
}

#[test]
fn lengths_that_overflow_are_no_lengths() {
    assert_eq!(sealed_len(u64::MAX), None);
    assert_eq!(chunk_count(0), 1);
    assert_eq!(sealed_len(0), Some(128 + 16));
}

proptest! {
    #[test]
    fn any_range_reads_what_was_sealed(length in 0usize..70_000, from in 0usize..70_000, count in 0usize..70_000) {
        let plaintext = noise(5, length);
        let container = open_bytes(&seal(&meta(TY), &file_key(), &plaintext), &file_key(), &meta(TY)).unwrap();
        let from = from.min(length);
        let to = (from + count).min(length);
        prop_assert_eq!(container.read(from as u64..to as u64).unwrap(), &plaintext[from..to]);
    }

    #[test]
    fn parsing_a_header_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_header(&bytes);
    }
}

#[test]
fn every_flipped_byte_is_found_where_it_is() {
    let plaintext = noise(4, 2 * CHUNK_BYTES + 700);
    let part = seal(&meta(TY), &file_key(), &plaintext);
    // A part in the middle of a shared file, so that offsets are the file's.
    let before = noise(1, 1000);
    let file = [&before[..], &part[..], &noise(2, 500)[..]].concat();
    let disk = disk_with(&file);
    let (start, length) = (before.len() as u64, part.len() as u64);
    let opened = open_on(&disk, start, length, &file_key(), &meta(TY)).unwrap();
    for at in 0..length {
        let mask = 1 << (at % 8);
        disk.flip(PATH, start + at, mask).unwrap();
        let expected = match at.checked_sub(HEADER_BYTES as u64) {
            None => start,
            Some(in_chunks) => {
                let size = SEALED_CHUNK_BYTES as u64;
                start + HEADER_BYTES as u64 + in_chunks / size * size
            }
        };
        // A reader that was open already finds it too.
        let damages = opened.scan();
        assert_eq!(damages.len(), 1, "byte {at}: {damages:?}");
        assert_eq!(
            (damages[0].path.as_path(), damages[0].offset),
            (Path::new(PATH), expected),
            "byte {at}"
        );
        match open_on(&disk, start, length, &file_key(), &meta(TY)) {
            Ok(container) => assert_eq!(container.scan(), damages, "byte {at}"),
            Err(Error::Damage { path, offset, .. }) => {
                assert_eq!((path.as_path(), offset), (Path::new(PATH), expected), "byte {at}");
            }
            Err(other) => panic!("byte {at}: {other}"),
        }
        disk.flip(PATH, start + at, mask).unwrap();
    }
    assert_eq!(opened.scan(), []);
}

#[test]
fn a_scan_names_every_damaged_chunk_and_goes_on() {
    let sealed = seal(&meta(TY), &file_key(), &noise(4, 5 * CHUNK_BYTES));
    let disk = disk_with(&sealed);
    let container = open_on(&disk, 0, sealed.len() as u64, &file_key(), &meta(TY)).unwrap();
    let at = |chunk: u64| (HEADER_BYTES as u64) + chunk * SEALED_CHUNK_BYTES as u64;
    disk.flip(PATH, at(1) + 50, 1).unwrap();
    disk.flip(PATH, at(4) + 50, 1).unwrap();
    disk.read_error_at(PATH, at(2)..at(2) + 1).unwrap();
    let damages = container.scan();
    assert_eq!(
        damages.iter().map(|damage| damage.offset).collect::<Vec<_>>(),
        [at(1), at(2), at(4)]
    );
    assert!(
        damages[1].reason.starts_with("unreadable"),
        "{}",
        damages[1].reason
    );
    assert!(matches!(container.chunk(2), Err(Error::Io { .. })));
    assert!(container.chunk(3).is_ok());
}

#[test]
fn every_shorter_file_is_damage() {
    let sealed = seal(&meta(TY), &file_key(), &noise(4, CHUNK_BYTES + 300));
    let length = sealed.len() as u64;
    let cuts = (0..sealed.len()).filter(|at| at % 97 == 0 || *at < 200 || at + 400 > sealed.len());
    for cut in cuts {
        for claimed in [length, cut as u64] {
            let disk = disk_with(&sealed[..cut]);
            let error = open_on(&disk, 0, claimed, &file_key(), &meta(TY))
                .err()
                .expect("cut files do not open");
            assert!(error.is_damage(), "cut at {cut}: {error}");
        }
    }
}

/// Makes a header's checksum hold again, as somebody would who has no key.
fn with_crc(mut sealed: Vec<u8>) -> Vec<u8> {
    let crc = crc32fast::hash(&sealed[..124]);
    sealed[124..128].copy_from_slice(&crc.to_le_bytes());
    sealed
}

#[test]
fn a_header_changed_with_its_checksum_does_not_open() {
    let sealed = seal(&meta(TY), &file_key(), &noise(4, 100));
    for at in 0..124 {
        let mut changed = sealed.clone();
        changed[at] ^= 0x40;
        let changed = with_crc(changed);
        // Expect whatever the header now says: only authentication is left to refuse it.
        let expect = parse_header(&changed[..128]).map_or_else(|_| meta(TY), |header| header.meta);
        let error = open_bytes(&changed, &file_key(), &expect)
            .err()
            .unwrap_or_else(|| panic!("byte {at} went unnoticed"));
        assert!(
            if (36..44).contains(&at) {
                error.is_key()
            } else {
                error.is_damage()
            },
            "byte {at}: {error}"
        );
    }
}

#[test]
fn chunks_dropped_swapped_or_appended_are_damage() {
    let sealed = seal(&meta(TY), &file_key(), &noise(4, 3 * CHUNK_BYTES));
    let chunk = |number: usize| {
        let from = HEADER_BYTES + number * SEALED_CHUNK_BYTES;
        &sealed[from..from + SEALED_CHUNK_BYTES]
    };
    let with_chunks = |chunks: &[&[u8]]| {
        let mut header = sealed[..HEADER_BYTES].to_vec();
        header[44..52].copy_from_slice(&((chunks.len() * CHUNK_BYTES) as u64).to_le_bytes());
        with_crc([header, chunks.concat()].concat())
    };
    let untouched = with_chunks(&[chunk(0), chunk(1), chunk(2)]);
    assert!(open_bytes(&untouched, &file_key(), &meta(TY)).is_ok());
    for chunks in [
        vec![chunk(0), chunk(1)],
        vec![chunk(0), chunk(1), chunk(2), chunk(2)],
        vec![chunk(1), chunk(0), chunk(2)],
        vec![chunk(0), chunk(0), chunk(2)],
        vec![chunk(2), chunk(1), chunk(0)],
    ] {
        let bytes = with_chunks(&chunks);
        let noticed =
            open_bytes(&bytes, &file_key(), &meta(TY)).map_or(true, |container| !container.scan().is_empty());
        assert!(noticed);
    }
}

#[test]
fn a_chunk_of_another_container_under_the_same_key_is_damage() {
    let other = crate::ContainerMeta {
        id: [0xA6; 16],
        ..meta(TY)
    };
    let ours = seal(&meta(TY), &file_key(), &noise(4, 2 * CHUNK_BYTES));
    let theirs = seal(&other, &file_key(), &noise(4, 2 * CHUNK_BYTES));
    let mixed = [
        &ours[..HEADER_BYTES + SEALED_CHUNK_BYTES],
        &theirs[HEADER_BYTES + SEALED_CHUNK_BYTES..],
    ]
    .concat();
    assert!(
        open_bytes(&mixed, &file_key(), &meta(TY))
            .err()
            .unwrap()
            .is_damage()
    );
}

#[test]
fn a_wrong_key_is_not_damage() {
    let sealed = seal(&meta(TY), &file_key(), b"public");
    let error = open_bytes(&sealed, &Key::from_bytes([0x12; 32]), &meta(TY))
        .err()
        .unwrap();
    assert!(error.is_key() && !error.is_damage(), "{error}");
    assert!(
        error.to_string().contains("key") && !error.to_string().contains("damage"),
        "{error}"
    );
}

#[test]
fn another_file_than_expected_is_refused_by_name() {
    let sealed = seal(&meta(TY), &file_key(), b"public");
    let expects = [
        crate::ContainerMeta {
            ty: ContainerType::Sub,
            ..meta(TY)
        },
        crate::ContainerMeta {
            id: [1; 16],
            ..meta(TY)
        },
        crate::ContainerMeta { slot: 1, ..meta(TY) },
        crate::ContainerMeta {
            tenant: [1; 16],
            ..meta(TY)
        },
        crate::ContainerMeta { class: 1, ..meta(TY) },
        crate::ContainerMeta { set: 1, ..meta(TY) },
        crate::ContainerMeta {
            generation: 0,
            ..meta(TY)
        },
    ];
    for expect in expects {
        assert!(
            open_bytes(&sealed, &file_key(), &expect)
                .err()
                .unwrap()
                .is_damage(),
            "{expect:?}"
        );
    }
}

#[test]
fn a_header_can_be_read_without_a_key() {
    let sealed = seal(&meta(TY), &file_key(), b"public");
    let disk = disk_with(&sealed);
    let file = attestore_disk::Disk::open(&disk, Path::new(PATH), attestore_disk::Mode::Read).unwrap();
    let header = Container::peek(&*file, Path::new(PATH), 0).unwrap();
    assert_eq!((header.meta, header.plaintext_len), (meta(TY), 6));
    assert!(
        Container::peek(&*file, Path::new(PATH), 1)
            .unwrap_err()
            .is_damage()
    );
}

#[test]
fn reserved_bytes_and_unknown_versions_are_refused() {
    let sealed = seal(&meta(TY), &file_key(), b"public");
    for (at, value) in [(8, 2), (10, 0), (10, 5), (11, 15), (82, 1), (123, 1)] {
        let mut changed = sealed[..HEADER_BYTES].to_vec();
        changed[at] = value;
        let malformed = parse_header(&with_crc(changed)).unwrap_err();
        assert!(malformed.at <= at as u64, "{malformed}");
    }
}

proptest! {
    #[test]
    fn near_reads_are_reads(length in 0usize..5 * CHUNK_BYTES, ranges in prop::collection::vec((any::<prop::sample::Index>(), 0usize..40_000), 1..12)) {
        let plaintext = noise(3, length);
        let container = open_bytes(&seal(&meta(TY), &file_key(), &plaintext), &file_key(), &meta(TY)).unwrap();
        for (start, size) in ranges {
            let start = start.index(length + 1);
            let end = length.min(start + size);
            let range = start as u64..end as u64;
            prop_assert_eq!(container.read_near(range.clone()).unwrap(), &plaintext[start..end]);
            prop_assert_eq!(container.read(range).unwrap(), &plaintext[start..end]);
        }
        prop_assert!(container.read_near(0..length as u64 + 1).is_err());
    }
}
