//! Openings that hold, and everything one byte away from them.

use attestore_record::{
    Entry, HashVersion, Kind, RecordId, TenantId,
    commitment::{group_commitment, record_commitment},
};
use proptest::prelude::*;

use super::{CodecError, GROUPS_MAX, GroupOpening, OpenedRecord, OpeningError, verify_opening};

pub(crate) const PUBLIC: &str = concat!(
    r#"{"v":1,"id":"019ab0c1-2d3e-7f00-8123-456789abcdef","tenant":"00112233445566778899aabbccddeeff","#,
    r#""protocol":"native","credential":"cred_1","privacy":1,"event":{"action":"document.read"}}"#
);

/// A public group whose record has personal groups with these pointers.
pub(crate) fn withholding(pointers: &str) -> String {
    PUBLIC.replace(r#","event":"#, &format!(r#","withheld":[{pointers}],"event":"#))
}
const PERSONAL: &str =
    r#"{"v":1,"subjects":["0123456789abcdef0123456789abcdef"],"fields":{"/actor/id":"u_42"}}"#;
const OTHER: &str = concat!(
    r#"{"v":1,"subjects":["0123456789abcdef0123456789abcdef","fedcba9876543210fedcba9876543210"],"#,
    r#""fields":{"/context/ip":"203.0.113.9"}}"#
);

fn opened(salt: u8, bytes: &str) -> GroupOpening {
    GroupOpening::Opened {
        salt: [salt; 32],
        bytes: bytes.into(),
    }
}

/// A record whose entry commits to what is given.
pub(crate) fn record(
    version: HashVersion,
    kind: Kind,
    public: &str,
    groups: Vec<GroupOpening>,
) -> OpenedRecord {
    let commitment = |group: &GroupOpening| match group {
        GroupOpening::Opened { salt, bytes } => group_commitment(version, salt, bytes),
        GroupOpening::Withheld { commitment } => *commitment,
    };
    let mut commitments: Vec<_> = groups.iter().map(commitment).collect();
    let salt0 = [7; 32];
    let commitment = record_commitment(version, &salt0, public.as_bytes(), &mut commitments);
    let entry = Entry {
        version,
        kind,
        class: 3,
        time_ms: 1_795_312_800_123,
        commitment,
    };
    OpenedRecord::new(entry.to_bytes(), public.into(), salt0, groups).unwrap()
}

pub(crate) fn sample(version: HashVersion) -> OpenedRecord {
    let withheld = GroupOpening::Withheld {
        commitment: [0x55; 32],
    };
    record(
        version,
        Kind::Event,
        &withholding(r#""/actor/id","/context/ip","/payload""#),
        vec![opened(1, PERSONAL), withheld, opened(2, OTHER)],
    )
}

#[test]
fn an_opening_tells_what_the_record_is() {
    for version in [HashVersion::Blake3, HashVersion::HmacSha256] {
        let opened = verify_opening(&sample(version)).unwrap();
        assert_eq!(
            opened.id,
            "019ab0c1-2d3e-7f00-8123-456789abcdef"
                .parse::<RecordId>()
                .unwrap()
        );
        assert_eq!(
            opened.tenant,
            "00112233445566778899aabbccddeeff".parse::<TenantId>().unwrap()
        );
        assert_eq!(
            (opened.kind, opened.class, opened.time_ms),
            ("event", 3, 1_795_312_800_123)
        );
        assert_eq!((opened.groups_opened, opened.groups_withheld), (2, 1));
        assert_eq!(
            serde_json::to_value(&opened).unwrap(),
            serde_json::json!({
                "id": "019ab0c1-2d3e-7f00-8123-456789abcdef", "tenant": "00112233445566778899aabbccddeeff",
                "kind": "event", "class": 3, "time_ms": 1_795_312_800_123_u64,
                "groups_opened": 2, "groups_withheld": 1
            })
        );
    }
}

#[test]
fn golden_bytes() {
    let record = OpenedRecord {
        entry: [0xee; 44],
        public: b"pub".to_vec(),
        salt0: [0xaa; 32],
        groups: vec![
            GroupOpening::Opened {
                salt: [0xbb; 32],
                bytes: b"p".to_vec(),
            },
            GroupOpening::Withheld {
                commitment: [0xcc; 32],
            },
        ],
    };
    let bytes = [
        &[1][..],
        &[0xee; 44],
        &[0xaa; 32],
        &[0, 0, 0, 3],
        b"pub",
        &[0, 0, 0, 2],
        &[1],
        &[0xbb; 32],
        &[0, 0, 0, 1],
        b"p",
        &[2],
        &[0xcc; 32],
    ]
    .concat();
    assert_eq!(record.to_bytes().unwrap(), bytes);
    assert_eq!(OpenedRecord::from_bytes(&bytes), Ok(record));
}

#[test]
fn every_flipped_byte_is_refused() {
    for version in [HashVersion::Blake3, HashVersion::HmacSha256] {
        let record = sample(version);
        let bytes = record.to_bytes().unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                let Ok(decoded) = OpenedRecord::from_bytes(&flipped) else {
                    continue;
                };
                match verify_opening(&decoded) {
                    Err(_) => {}
                    // Class and time are bound by the tree, kind too unless the public bytes contradict it.
                    Ok(_) => assert!((3..1 + 12).contains(&at), "byte {at} bit {bit}"),
                }
            }
        }
    }
}

#[test]
fn truncated_and_padded_bytes_are_refused() {
    let bytes = sample(HashVersion::Blake3).to_bytes().unwrap();
    for cut in 0..bytes.len() {
        assert!(
            matches!(
                OpenedRecord::from_bytes(&bytes[..cut]),
                Err(CodecError::Truncated { .. })
            ),
            "{cut}"
        );
    }
    let padded = [&bytes[..], &[0, 0]].concat();
    assert_eq!(
        OpenedRecord::from_bytes(&padded),
        Err(CodecError::Trailing { bytes: 2 })
    );
    assert_eq!(
        OpenedRecord::from_bytes(&[2]),
        Err(CodecError::Version { version: 2 })
    );
    let count_at = 1 + 44 + 32 + 4 + sample(HashVersion::Blake3).public.len();
    let mut many = bytes.clone();
    many[count_at..count_at + 4].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(
        OpenedRecord::from_bytes(&many),
        Err(CodecError::TooManyGroups { count: u32::MAX })
    );
    let mut tag = bytes;
    tag[count_at + 4] = 3;
    assert_eq!(
        OpenedRecord::from_bytes(&tag),
        Err(CodecError::Tag { group: 0, tag: 3 })
    );
    let withheld = GroupOpening::Withheld { commitment: [0; 32] };
    let large = OpenedRecord {
        groups: vec![withheld; GROUPS_MAX + 1],
        ..sample(HashVersion::Blake3)
    };
    assert_eq!(large.to_bytes(), Err(CodecError::TooLarge));
}

#[test]
fn groups_stand_in_strictly_ascending_order() {
    let sound = sample(HashVersion::Blake3);
    let mut swapped = sound.clone();
    swapped.groups.swap(1, 2);
    assert_eq!(
        verify_opening(&swapped),
        Err(OpeningError::GroupOrder { group: 2 })
    );
    let mut doubled = sound.clone();
    doubled.groups.insert(1, doubled.groups[0].clone());
    assert_eq!(
        verify_opening(&doubled),
        Err(OpeningError::GroupOrder { group: 1 })
    );
    let mut fewer = sound.clone();
    fewer.groups.remove(0);
    assert_eq!(verify_opening(&fewer), Err(OpeningError::Commitment));
    let sorted = OpenedRecord::new(sound.entry, sound.public.clone(), sound.salt0, swapped.groups);
    assert_eq!(sorted, Ok(sound));
}

#[test]
fn a_group_may_be_withheld_without_breaking_the_proof() {
    let mut record = sample(HashVersion::Blake3);
    for group in &mut record.groups {
        if let GroupOpening::Opened { salt, bytes } = group {
            let commitment = group_commitment(HashVersion::Blake3, salt, bytes);
            *group = GroupOpening::Withheld { commitment };
        }
    }
    let opened = verify_opening(&record).unwrap();
    assert_eq!((opened.groups_opened, opened.groups_withheld), (0, 3));
}

#[test]
fn public_bytes_that_are_no_public_group_are_refused() {
    let check =
        |kind, public: &str, groups| verify_opening(&record(HashVersion::Blake3, kind, public, groups));
    let control = PUBLIC.replace(
        r#""event":{"action":"document.read"}"#,
        r#""control":{"type":"purge"}"#,
    );
    for kind in Kind::ALL {
        let public = if kind == Kind::Event { PUBLIC } else { &control };
        assert_eq!(check(kind, public, vec![]).unwrap().kind, kind.name());
        let wrong = if kind == Kind::Event { &control } else { PUBLIC };
        assert!(
            matches!(check(kind, wrong, vec![]), Err(OpeningError::Public { .. })),
            "{}",
            kind.name()
        );
    }
    assert!(matches!(
        check(Kind::Purge, &control, vec![opened(1, PERSONAL)]),
        Err(OpeningError::Public { .. })
    ));
    for (from, to) in [
        ("019ab0c1-2d3e-7f00", "019ab0c1-2d3e-4f00"),
        ("-8123-", "-c123-"),
        ("019ab0c1-", "019AB0C1-"),
        ("019ab0c1-", "019ab0c1"),
        (
            "00112233445566778899aabbccddeeff",
            "00112233445566778899AABBCCDDEEFF",
        ),
        ("00112233445566778899aabbccddeeff", "short"),
        (r#"{"v":1,"#, r#"{"v":2,"#),
        (r#"{"v":1,"#, "{"),
        (r#"{"v":1,"#, r#"{"v":1,"v":1,"#),
        (r#"{"v":1,"#, r#"{"v":1,"more":1,"#),
        (r#""privacy":1,"#, ""),
        (r#""event":{"action":"document.read"}"#, r#""event":[]"#),
        (r#","event":{"action":"document.read"}"#, ""),
        (r#""event":{"#, r#""control":{},"event":{"#),
        ("}}", "}}x"),
        ("}}", "}"),
    ] {
        assert!(PUBLIC.contains(from), "{from}");
        let public = PUBLIC.replacen(from, to, 1);
        assert!(
            matches!(
                check(Kind::Event, &public, vec![]),
                Err(OpeningError::Public { .. })
            ),
            "{public}"
        );
    }
}

#[test]
fn personal_bytes_that_are_no_personal_group_are_refused() {
    for (from, to) in [
        (r#""v":1"#, r#""v":2"#),
        (
            "0123456789abcdef0123456789abcdef",
            "0123456789ABCDEF0123456789abcdef",
        ),
        (r#"["0123456789abcdef0123456789abcdef"]"#, "[]"),
        (r#"["#, r#"["fedcba9876543210fedcba9876543210","#),
        (r#"["#, r#"["0123456789abcdef0123456789abcdef","#),
        (r#""fields":{"/actor/id":"u_42"}"#, r#""fields":1"#),
        (r#","fields":{"/actor/id":"u_42"}"#, ""),
        (r#"{"v""#, r#"{"x":1,"v""#),
    ] {
        assert!(PERSONAL.contains(from), "{from}");
        let personal = PERSONAL.replacen(from, to, 1);
        let record = record(
            HashVersion::Blake3,
            Kind::Event,
            &withholding(r#""/actor/id""#),
            vec![opened(1, &personal)],
        );
        assert!(
            matches!(
                verify_opening(&record),
                Err(OpeningError::Personal { group: 0, .. })
            ),
            "{personal}"
        );
    }
}

#[test]
fn the_public_group_names_exactly_the_fields_of_personal_groups() {
    let check = |public: &str, groups| {
        verify_opening(&record(HashVersion::Blake3, Kind::Event, public, groups))
            .map(|opened| opened.groups_opened)
    };
    let hidden = || GroupOpening::Withheld {
        commitment: [0x55; 32],
    };
    let sound = withholding(r#""/actor/id""#);
    assert_eq!(check(&sound, vec![opened(1, PERSONAL)]), Ok(1));
    assert_eq!(check(&sound, vec![hidden()]), Ok(0));
    assert_eq!(check(PUBLIC, vec![]), Ok(0));
    let both = withholding(r#""/actor/id","/context/ip""#);
    assert_eq!(check(&both, vec![opened(1, PERSONAL), opened(2, OTHER)]), Ok(2));
    assert_eq!(check(&both, vec![opened(1, PERSONAL), hidden()]), Ok(1));

    for (public, groups) in [
        (PUBLIC.to_owned(), vec![opened(1, PERSONAL)]),
        (PUBLIC.to_owned(), vec![hidden()]),
        (withholding(""), vec![]),
        (withholding(r#""/actor/id""#), vec![]),
        (
            withholding(r#""/actor/id","/actor/id""#),
            vec![opened(1, PERSONAL)],
        ),
        (withholding(r#""/actor/id",1"#), vec![opened(1, PERSONAL)]),
        (
            PUBLIC.replace(r#","event":"#, r#","withheld":{},"event":"#),
            vec![],
        ),
        (
            PUBLIC.replace(r#","event":"#, r#","withheld":null,"event":"#),
            vec![],
        ),
    ] {
        assert!(
            matches!(check(&public, groups), Err(OpeningError::Public { .. })),
            "{public}"
        );
    }
    let two_fields = PERSONAL.replace("}}", r#","/actor/name":"A"}}"#);
    let twice = PERSONAL.replace("}}", r#","/actor/id":"u_43"}}"#);
    let none = PERSONAL.replace(r#"{"/actor/id":"u_42"}"#, "{}");
    for groups in [
        vec![opened(1, OTHER), hidden()],
        vec![opened(1, &two_fields), hidden()],
        vec![opened(1, &twice), hidden()],
        vec![opened(1, &none), hidden()],
        vec![opened(1, PERSONAL), opened(2, PERSONAL)],
    ] {
        let result = check(&sound, groups.clone());
        assert!(
            matches!(result, Err(OpeningError::Personal { .. })),
            "{result:?} {groups:?}"
        );
    }
    let uncovered = check(&both, vec![opened(1, PERSONAL)]);
    assert!(
        matches!(uncovered, Err(OpeningError::Public { .. })),
        "{uncovered:?}"
    );
}

#[test]
fn entries_of_unknown_version_or_kind_are_refused() {
    let sound = sample(HashVersion::Blake3);
    for (at, value) in [(0, 0), (0, 3), (1, 0), (1, 11)] {
        let mut record = sound.clone();
        record.entry[at] = value;
        assert!(
            matches!(verify_opening(&record), Err(OpeningError::Entry { .. })),
            "byte {at} = {value}"
        );
        assert!(OpenedRecord::new(record.entry, record.public, record.salt0, record.groups).is_err());
    }
}

fn group() -> impl Strategy<Value = GroupOpening> {
    prop_oneof![
        (any::<[u8; 32]>(), prop::collection::vec(any::<u8>(), 0..50))
            .prop_map(|(salt, bytes)| GroupOpening::Opened { salt, bytes }),
        any::<[u8; 32]>().prop_map(|commitment| GroupOpening::Withheld { commitment }),
    ]
}

proptest! {
    #[test]
    fn records_round_trip(
        head: [u8; 44],
        public in prop::collection::vec(any::<u8>(), 0..100),
        salt0: [u8; 32],
        groups in prop::collection::vec(group(), 0..6),
    ) {
        let record = OpenedRecord { entry: head, public, salt0, groups };
        prop_assert_eq!(OpenedRecord::from_bytes(&record.to_bytes().unwrap()), Ok(record));
    }

    #[test]
    fn decoding_takes_any_bytes_and_is_exact(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let bytes = [&[1], &bytes[..]].concat();
        if let Ok(record) = OpenedRecord::from_bytes(&bytes) {
            prop_assert_eq!(record.to_bytes().unwrap(), bytes);
            let _ = verify_opening(&record);
        }
    }
}
