use proptest::prelude::*;

use super::*;

const PUBLIC: &[u8] = br#"{"id":"0123456789","at":"2026-01-01T00:00:00Z","short":"abc"}"#;

#[test]
fn what_the_public_group_has_is_stored_as_its_number() {
    let group = br#"{"a":"0123456789","b":"abc","c":["2026-01-01T00:00:00Z"],"0123456789":1}"#;
    let packed = Packed::of(group, PUBLIC);
    assert_eq!(
        packed.0,
        b"{\"a\":\"\xFF\x03\",\"b\":\"abc\",\"c\":[\"\xFF\x07\"],\"\xFF\x03\":1}"
    );
    assert_eq!(packed.restore(PUBLIC).unwrap(), group);
}

#[test]
fn a_group_is_not_restored_from_another_public_group() {
    let packed = Packed::of(br#""2026-01-01T00:00:00Z""#, PUBLIC);
    assert!(packed.restore(br#"{"id":"0123456789"}"#).is_err());
    assert!(packed.restore(b"").is_err());
}

#[test]
fn numbers_end_below_the_marks() {
    let public: Vec<u8> = (0..400u32)
        .flat_map(|n| format!("\"part {n:08}").into_bytes())
        .collect();
    let packed = Packed::of(&public, &public);
    assert!(packed.len() < public.len() * 2 / 3);
    assert!(!packed.0.contains(&END));
    assert_eq!(packed.restore(&public).unwrap(), public);
}

#[test]
fn parts_that_collide_come_back_and_the_first_are_found() {
    let public: Vec<u8> = (0..60u32)
        .flat_map(|n| format!("\"the same {n:08} the same").into_bytes())
        .collect();
    let packed = Packed::of(&public, &public);
    assert_eq!(packed.restore(&public).unwrap(), public);
    assert!(packed.0.windows(2).any(|pair| pair == [REFERENCE, 1]));
}

#[test]
fn a_group_cannot_grow_without_bound() {
    let public = vec![b'x'; 1 << 20];
    let hostile = Packed([REFERENCE, 0].repeat(64));
    assert!(hostile.restore(&public).is_err());
    assert_eq!(
        Packed([REFERENCE, 0].repeat(3)).restore(&public).unwrap().len(),
        3 << 20
    );
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..12),
        "[a-b]{8}".prop_map(String::into_bytes),
        Just(b"2026-01-01T00:00:00Z".to_vec()),
    ];
    prop::collection::vec(part, 0..8).prop_map(|parts| parts.join(&QUOTE))
}

proptest! {
    #[test]
    fn groups_come_back(group in text(), public in text()) {
        let packed = Packed::of(&group, &public);
        prop_assert_eq!(packed.restore(&public).unwrap(), group);
        let mut stored = Vec::new();
        packed.put(&mut stored);
        stored.push(b'x');
        let mut rest = stored.as_slice();
        let end = Packed::end(rest).unwrap();
        prop_assert_eq!(Packed::stored(&rest[..end]), packed);
        rest = &rest[end + 1..];
        prop_assert_eq!(rest, b"x");
    }

    #[test]
    fn restoring_anything_never_panics(packed in prop::collection::vec(prop_oneof![any::<u8>(), 0xFCu8..], 0..60), public in text()) {
        let _ = Packed(packed).restore(&public);
    }
}
