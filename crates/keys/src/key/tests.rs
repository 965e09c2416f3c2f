use super::{Key, KeyCheck, derive};
use crate::SeededEntropy;

#[test]
fn derivation_is_blake3_derive_key_over_length_prefixed_parts() {
    let context = "attestore 2026 test context";
    let mut message = Vec::new();
    for part in [b"one".as_slice(), b"", b"three"] {
        message.extend_from_slice(&u64::try_from(part.len()).unwrap().to_le_bytes());
        message.extend_from_slice(part);
    }
    let expected = blake3::derive_key(context, &message);
    assert_eq!(derive(context, &[b"one", b"", b"three"]).expose(), &expected);
}

#[test]
fn moving_a_byte_between_parts_gives_another_key() {
    let one = derive("attestore 2026 test context", &[b"ab", b"c"]);
    let other = derive("attestore 2026 test context", &[b"a", b"bc"]);
    assert!(!one.ct_eq(&other));
}

#[test]
fn derived_values_do_not_change() {
    let key = derive("attestore 2026 test context", &[b"part"]);
    assert_eq!(key.expose()[..8], [166, 126, 251, 120, 147, 88, 246, 143]);
    assert_eq!(
        Key::from_bytes([7; 32]).check(),
        KeyCheck([91, 79, 178, 93, 227, 177, 94, 188])
    );
    assert_eq!(
        Key::random(&SeededEntropy::new(1)).expose()[..8],
        [51, 94, 135, 169, 144, 14, 200, 13]
    );
}

#[test]
fn a_key_check_matches_its_key_only() {
    let entropy = SeededEntropy::new(1);
    let (one, other) = (Key::random(&entropy), Key::random(&entropy));
    assert!(one.check().matches(&one.duplicate()));
    assert!(!one.check().matches(&other));
    assert!(!one.ct_eq(&other));
}
