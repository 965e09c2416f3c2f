//! The bytes of a section: golden, flipped, cut, invented.

use attestore_record::{HashVersion, Kind};
use attestore_wal::FrameBuilder;
use proptest::prelude::*;

use super::*;
use crate::tenant::SubjectState;

/// One subject, one record without groups, one keyed record about two subjects.
fn section() -> Section {
    let entry = |time_ms, fill| Entry {
        version: HashVersion::Blake3,
        kind: Kind::Event,
        class: 1,
        time_ms,
        commitment: [fill; 32],
    };
    let record = |seq, fill, groups, idempotency| {
        let entry = entry(0x0102 + seq, fill);
        TailRecord {
            seq,
            id: RecordId::from_bytes([fill; 16]),
            entry,
            leaf: leaf_hash(&entry.to_bytes()),
            generation: 3,
            public: Bytes::from(vec![fill; 2]),
            groups,
            idempotency,
        }
    };
    let group = TailGroup {
        commitment: [0xc1; 32],
        handles: vec![Handle::from_bytes([0xa1; 16]), Handle::from_bytes([0xa2; 16])],
        sealed: Bytes::from_static(&[0xee; 3]),
    };
    let own = Idempotency {
        key: 0x0807,
        digest: [0xd1; 16],
    };
    Section {
        first_seq: 5,
        generation: Generation {
            number: 3,
            key: Key::from_bytes([0x11; 32]),
        },
        size: 7,
        root: Hash([0x22; 32]),
        subjects: vec![(
            Handle::from_bytes([0xa1; 16]),
            [0xb1; 32],
            Key::from_bytes([0xf1; 32]),
        )],
        records: vec![
            record(5, 0x51, Vec::new(), None),
            record(6, 0x61, vec![group], Some(own)),
        ],
    }
}

fn bytes(section: &Section) -> Vec<u8> {
    let head = SectionHead {
        first_seq: section.first_seq,
        generation: &section.generation,
        size: section.size,
        root: section.root,
    };
    let subjects: Vec<_> = section
        .subjects
        .iter()
        .map(|(handle, blind, key)| Subject::new(*handle, *blind, key.duplicate(), SubjectState::Pending))
        .collect();
    FrameBuilder::new().section([0; 16], &Key::from_bytes([0; 32]), |buf| {
        write(buf, &head, &subjects, section.records.iter());
        buf.to_vec()
    })
}

/// As `docs/format/section.md` has it.
fn golden() -> Vec<u8> {
    let entry = |time: u8, fill: u8| [&[1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1, time][..], &[fill; 32]].concat();
    [
        // Head: version, records, subjects, first seq, generation and its key, size, root.
        &[
            1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0,
        ][..],
        &[0x11; 32],
        &[7, 0, 0, 0, 0, 0, 0, 0],
        &[0x22; 32],
        // Subject.
        &[0xa1; 16],
        &[0xb1; 32],
        &[0xf1; 32],
        // Record 5: entry, id, flags, groups, public length, public bytes.
        &entry(7, 0x51),
        &[0x51; 16],
        &[0, 0, 0, 2, 0, 0, 0, 0x51, 0x51],
        // Record 6, with a key and a group.
        &entry(8, 0x61),
        &[0x61; 16],
        &[1, 1, 0, 2, 0, 0, 0],
        &[7, 8, 0, 0, 0, 0, 0, 0],
        &[0xd1; 16],
        &[0xc1; 32],
        &[2, 0, 3, 0, 0, 0],
        &[0xa1; 16],
        &[0xa2; 16],
        &[0xee; 3],
        &[0x61, 0x61],
    ]
    .concat()
}

#[test]
fn a_section_has_golden_bytes() {
    assert_eq!(bytes(&section()), golden());
    assert_eq!(bytes(&parse(golden()).unwrap()), golden());
}

#[test]
fn a_flipped_byte_is_refused_or_decodes_to_nothing_else_than_what_is_there() {
    let golden = golden();
    let mut refused = 0;
    for at in 0..golden.len() {
        for bit in [1, 0x80] {
            let mut flipped = golden.clone();
            flipped[at] ^= bit;
            match parse(flipped.clone()) {
                Ok(section) => assert_eq!(bytes(&section), flipped, "byte {at}"),
                Err(error) => {
                    assert!(error.at <= golden.len());
                    refused += 1;
                }
            }
        }
    }
    assert!(refused >= 2 * (4 + 4 + 4), "version and counts: {refused}");
}

#[test]
fn a_section_that_was_cut_or_is_too_long_is_refused() {
    let golden = golden();
    for end in 0..golden.len() {
        assert!(parse(golden[..end].to_vec()).is_err(), "{end} bytes");
    }
    let longer = [golden.as_slice(), &[0]].concat();
    assert_eq!(
        parse(longer).err().map(|error| error.reason),
        Some("bytes after the last record")
    );
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_are_what_they_decode_to(mut garbage in proptest::collection::vec(any::<u8>(), 0..600), head in any::<bool>()) {
        if head {
            let golden = golden();
            let copied = garbage.len().min(96);
            garbage[..copied].copy_from_slice(&golden[..copied]);
        }
        if let Ok(section) = parse(garbage.clone()) {
            prop_assert_eq!(bytes(&section), garbage);
        }
    }
}
