//! Cosignatures against the specification's example, lines that another library made, and every way to spoil one.

use std::{format, string::String, string::ToString, vec, vec::Vec};

use proptest::prelude::*;

use super::{COSIGNATURE_TIME_MAX, CosignatureError, CosignerKey, CosignerKind, cosign, message};
use crate::{
    checkpoint::{Checkpoint, CheckpointError},
    encoding,
    hash::leaf_hash,
    note::{
        NoteSignature, NoteSigner as _, SignedNote, VerifierKey, VerifierKeyError, key_id, tests::TestSigner,
    },
};

/// The example of the specification.
const EXAMPLE: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
    \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
    \u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";
/// Made of the same text with PyCA's Ed25519, from the seed 09…09 and time 1679315147.
const VKEY: &str = "witness.example.com/w1+4bdc7eaa+BP0XJDhaoMdbZPt4zWAvodmR/ev3axPFjtcC6sg16fYY";
const LINE: &str = "\u{2014} witness.example.com/w1 S9x+qgAAAABkGFDLSEwbtADY9t5XeSzDTVuiqYN5nZfoc9NQOUgkPYm4wwjIUL68Nczz1tpzCjnpmnRXttgqVVwOg3WfE7AXqa+DAg==";
const TIME: u64 = 1_679_315_147;

fn text() -> &'static str {
    &EXAMPLE[..EXAMPLE.find("\n\n").unwrap() + 1]
}

fn witness() -> TestSigner {
    TestSigner::new("witness.example.com/w1", 9)
}

fn key() -> CosignerKey {
    CosignerKey::ed25519("witness.example.com/w1", witness().public()).unwrap()
}

fn note_with(line: &NoteSignature) -> SignedNote {
    let mut note = SignedNote::parse(EXAMPLE).unwrap();
    note.add(core::slice::from_ref(line)).unwrap();
    note
}

fn line_of(key: &CosignerKey, time_s: u64, signature: &[u8]) -> NoteSignature {
    NoteSignature::new(
        key.name(),
        key.id(),
        &[&time_s.to_be_bytes()[..], signature].concat(),
    )
}

#[test]
fn the_example_is_read_and_is_of_no_key_of_ours() {
    let note = SignedNote::parse(EXAMPLE).unwrap();
    assert_eq!(note.to_note(), EXAMPLE);
    let [_, line] = note.signatures() else {
        panic!("two lines")
    };
    assert_eq!(line.signature()[..8], TIME.to_be_bytes());
    assert_eq!(line.signature().len(), 72);
    assert_eq!(note.cosigned_at(&key()), Err(CosignatureError::UnknownKey));
}

#[test]
fn what_another_library_signed_verifies_and_is_what_we_sign() {
    assert_eq!(key().to_string(), VKEY);
    assert_eq!(VKEY.parse(), Ok(key()));
    assert_eq!(key().kind(), CosignerKind::Ed25519);
    let line = NoteSignature::parse(LINE).unwrap();
    assert_eq!(line.to_string(), LINE);
    assert_eq!(note_with(&line).cosigned_at(&key()), Ok(TIME));
    assert_eq!(cosign(text(), TIME, &witness()).as_ref(), Ok(&line));
}

#[test]
fn a_line_that_claims_the_key_and_is_not_by_it_is_refused() {
    let line = NoteSignature::parse(LINE).unwrap();
    let good = line.signature().to_vec();
    for position in 0..good.len() {
        let mut bad = good.clone();
        bad[position] ^= 1;
        let bad = NoteSignature::new(line.name(), line.key_id(), &bad);
        let error = note_with(&bad).cosigned_at(&key()).unwrap_err();
        assert!(
            matches!(error, CosignatureError::Signature | CosignatureError::Malformed),
            "byte {position}: {error}"
        );
    }
    for bad in [&good[..71], &good[..8], &good[..7], &[&good[..], &[0]].concat()] {
        let bad = NoteSignature::new(line.name(), line.key_id(), bad);
        assert_eq!(
            note_with(&bad).cosigned_at(&key()),
            Err(CosignatureError::Malformed)
        );
    }
    // A signature over another text.
    let other = Checkpoint::new("example.com/behind-the-sofa", 20_852_164, leaf_hash(b"")).unwrap();
    let other = cosign(&other.to_text(), TIME, &witness()).unwrap();
    assert_eq!(
        note_with(&other).cosigned_at(&key()),
        Err(CosignatureError::Signature)
    );
    // A signature of a log over the text alone is no cosignature.
    let plain = line_of(&key(), TIME, &witness().sign(text().as_bytes()).unwrap());
    assert_eq!(
        note_with(&plain).cosigned_at(&key()),
        Err(CosignatureError::Signature)
    );
}

#[test]
fn of_several_lines_all_have_to_verify_and_the_newest_counts() {
    let older = cosign(text(), TIME - 60, &witness()).unwrap();
    let both = format!("{EXAMPLE}{LINE}\n{older}\n");
    assert_eq!(SignedNote::parse(&both).unwrap().cosigned_at(&key()), Ok(TIME));
    let spoiled = line_of(&key(), TIME, &[1; 64]);
    let spoiled = SignedNote::parse(&format!("{EXAMPLE}{LINE}\n{spoiled}\n")).unwrap();
    assert_eq!(spoiled.cosigned_at(&key()), Err(CosignatureError::Signature));
}

#[test]
fn times_that_none_may_state_are_refused() {
    assert_eq!(cosign(text(), 0, &witness()), Err(CosignatureError::Malformed));
    assert_eq!(
        cosign(text(), COSIGNATURE_TIME_MAX + 1, &witness()),
        Err(CosignatureError::Malformed)
    );
    assert!(cosign(text(), COSIGNATURE_TIME_MAX, &witness()).is_ok());
    for time_s in [0, COSIGNATURE_TIME_MAX + 1] {
        let signature = witness().sign(&message::ed25519(text(), time_s)).unwrap();
        let note = note_with(&line_of(&key(), time_s, &signature));
        assert_eq!(
            note.cosigned_at(&key()),
            Err(CosignatureError::Malformed),
            "{time_s}"
        );
    }
}

#[test]
fn only_checkpoints_are_cosigned() {
    assert_eq!(
        cosign("hello\n", TIME, &witness()),
        Err(CosignatureError::Checkpoint(CheckpointError::Malformed))
    );
    let nameless = TestSigner::new("a b", 9);
    assert!(cosign(text(), TIME, &nameless).is_err());
}

#[test]
fn keys_of_other_types_and_spellings_are_refused() {
    assert_eq!(
        witness().verifier().to_string().parse::<CosignerKey>(),
        Err(VerifierKeyError::Type(1))
    );
    assert_eq!(VKEY.parse::<VerifierKey>(), Err(VerifierKeyError::Type(4)));
    let of = |kind: u8, public: &[u8]| {
        let id = key_id("w", kind, public);
        format!("w+{id:08x}+{}", encoding::encode(&[&[kind], public].concat()))
    };
    assert_eq!(
        of(4, &[0; 32]).parse::<CosignerKey>(),
        Err(VerifierKeyError::Public)
    );
    assert_eq!(
        of(4, &[9; 31]).parse::<CosignerKey>(),
        Err(VerifierKeyError::Malformed)
    );
    assert_eq!(
        of(6, &[9; 1311]).parse::<CosignerKey>(),
        Err(VerifierKeyError::Public)
    );
    assert_eq!(
        of(5, &[9; 32]).parse::<CosignerKey>(),
        Err(VerifierKeyError::Type(5))
    );
    assert_eq!(
        "w+00000000+".parse::<CosignerKey>(),
        Err(VerifierKeyError::Malformed)
    );
    let wrong_id = VKEY.replace("4bdc7eaa", "4bdc7eab");
    assert_eq!(wrong_id.parse::<CosignerKey>(), Err(VerifierKeyError::Id));
    let ml_dsa = of(6, &[9; 1312]);
    let ml_dsa: CosignerKey = ml_dsa
        .parse::<CosignerKey>()
        .inspect(|key| assert_eq!(key.to_string(), ml_dsa))
        .unwrap();
    assert_eq!(ml_dsa.kind(), CosignerKind::MlDsa44);
    assert_eq!(ml_dsa.is_supported(), cfg!(feature = "ml-dsa"));
    assert_eq!(
        CosignerKey::ml_dsa_44(&"n".repeat(256), &[9; 1312]),
        Err(VerifierKeyError::Name)
    );
}

/// Bytes put together by hand from the definition of `cosigned_message`.
#[test]
fn golden_message_of_ml_dsa() {
    let checkpoint = Checkpoint::from_text(text()).unwrap();
    let mut expected = vec![];
    expected.extend_from_slice(b"subtree/v1\n\0");
    expected.extend_from_slice(b"\x16witness.example.com/w1");
    expected.extend_from_slice(&[0, 0, 0, 0, 0x64, 0x18, 0x50, 0xcb]);
    expected.extend_from_slice(b"\x1bexample.com/behind-the-sofa");
    expected.extend_from_slice(&[0; 8]);
    expected.extend_from_slice(&[0, 0, 0, 0, 0x01, 0x3e, 0x2d, 0xc3]);
    expected.extend_from_slice(checkpoint.root().as_bytes());
    assert_eq!(
        message::ml_dsa_44("witness.example.com/w1", &checkpoint, TIME),
        Some(expected)
    );
    let long = Checkpoint::new("o".repeat(256), 0, crate::EMPTY_ROOT).unwrap();
    assert_eq!(message::ml_dsa_44("w", &long, TIME), None);
}

#[cfg(feature = "ml-dsa")]
mod with_ml_dsa {
    use ml_dsa::{MlDsa44, SigningKey, signature::Keypair as _};

    use super::*;

    fn signing() -> (SigningKey<MlDsa44>, CosignerKey) {
        let signing = SigningKey::<MlDsa44>::from_seed(&[7; 32].into());
        let public = signing.verifying_key().encode();
        let key = CosignerKey::ml_dsa_44("witness.example.com/pq", public.as_slice()).unwrap();
        (signing, key)
    }

    fn signed(name: &str, time_s: u64, context: &[u8]) -> (CosignerKey, NoteSignature) {
        let (signing, key) = signing();
        let checkpoint = Checkpoint::from_text(text()).unwrap();
        let message = message::ml_dsa_44(name, &checkpoint, time_s).unwrap();
        let signature = signing
            .expanded_key()
            .sign_deterministic(&message, context)
            .unwrap();
        let line = line_of(&key, time_s, signature.encode().as_slice());
        (key, line)
    }

    #[test]
    fn ml_dsa_cosignatures_verify_with_and_without_a_time() {
        for time_s in [TIME, 0] {
            let (key, line) = signed("witness.example.com/pq", time_s, &[]);
            assert_eq!(line.signature().len(), 8 + 2420);
            assert_eq!(note_with(&line).cosigned_at(&key), Ok(time_s));
        }
    }

    #[test]
    fn ml_dsa_cosignatures_are_of_one_name_one_time_and_no_context() {
        let (key, line) = signed("witness.example.com/other", TIME, &[]);
        assert_eq!(
            note_with(&line).cosigned_at(&key),
            Err(CosignatureError::Signature)
        );
        let (key, line) = signed("witness.example.com/pq", TIME, b"x");
        assert_eq!(
            note_with(&line).cosigned_at(&key),
            Err(CosignatureError::Signature)
        );
        let (key, line) = signed("witness.example.com/pq", TIME, &[]);
        for position in (0..line.signature().len()).step_by(97) {
            let mut bytes = line.signature().to_vec();
            bytes[position] ^= 1;
            let bad = NoteSignature::new(line.name(), line.key_id(), &bytes);
            assert!(note_with(&bad).cosigned_at(&key).is_err(), "byte {position}");
        }
    }
}

#[cfg(not(feature = "ml-dsa"))]
#[test]
fn without_the_feature_ml_dsa_is_said_to_be_unsupported() {
    let key = CosignerKey::ml_dsa_44("witness.example.com/pq", &[9; 1312]).unwrap();
    let note = note_with(&line_of(&key, TIME, &[0; 2420]));
    assert_eq!(note.cosigned_at(&key), Err(CosignatureError::Unsupported));
    let note = note_with(&line_of(&key, TIME, &[0; 2419]));
    assert_eq!(note.cosigned_at(&key), Err(CosignatureError::Malformed));
}

#[test]
fn adding_lines_keeps_one_of_each_key() {
    let mut note = SignedNote::parse(EXAMPLE).unwrap();
    let (older, newer) = (
        cosign(text(), TIME - 60, &witness()).unwrap(),
        NoteSignature::parse(LINE).unwrap(),
    );
    note.add(&[older]).unwrap();
    note.add(core::slice::from_ref(&newer)).unwrap();
    assert_eq!(note.signatures().len(), 3);
    assert_eq!(note.signatures().last(), Some(&newer));
    assert_eq!(SignedNote::parse(&note.to_note()), Ok(note.clone()));
    let many: Vec<_> = (0..100)
        .map(|i| NoteSignature::new(&format!("w{i}"), 1, &[1]))
        .collect();
    assert!(note.add(&many).is_err());
    assert_eq!(note.signatures().len(), 3, "as it was");
}

proptest! {
    #[test]
    fn what_is_cosigned_verifies_with_its_time(seed in 1u8.., size in 1u64..1 << 40, time_s in 1..=COSIGNATURE_TIME_MAX) {
        let (log, witness) = (TestSigner::new("log.example", 0), TestSigner::new("witness.example", seed));
        let checkpoint = Checkpoint::new("log.example", size, leaf_hash(&[seed])).unwrap();
        let mut note = SignedNote::parse(&crate::sign_checkpoint(&checkpoint, &log).unwrap()).unwrap();
        note.add(&[cosign(note.text(), time_s, &witness).unwrap()]).unwrap();
        let note = SignedNote::parse(&note.to_note()).unwrap();
        let key = CosignerKey::ed25519("witness.example", witness.public()).unwrap();
        prop_assert_eq!(note.cosigned_at(&key), Ok(time_s));
        prop_assert!(note.verify(&log.verifier()).is_ok());
    }

    #[test]
    fn parsing_never_panics(text in ".{0,200}") {
        let _ = text.parse::<CosignerKey>();
        let _ = NoteSignature::parse(&text).map(|line: NoteSignature| -> String { line.to_string() });
    }
}
