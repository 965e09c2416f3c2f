//! Every rule of the policy's text, the specification's example, and quorums against counting by hand.

use std::{format, string::String, string::ToString, vec::Vec};

use proptest::prelude::*;

use super::{POLICY_BYTES_MAX, Policy, PolicyCheckError, PolicyReason};
use crate::{
    checkpoint::{Checkpoint, CheckpointError, sign_checkpoint},
    cosignature::{CosignatureError, CosignerKey, cosign},
    hash::leaf_hash,
    note::{NoteError, NoteSignature, NoteSigner as _, SignedNote, VerifierKeyError, tests::TestSigner},
};

const TIME: u64 = 1_700_000_000;

fn signer(i: u8) -> TestSigner {
    TestSigner::new(&format!("witness.example/{i}"), i)
}

fn vkey(i: u8) -> String {
    CosignerKey::ed25519(signer(i).name(), signer(i).public())
        .unwrap()
        .to_string()
}

fn log() -> TestSigner {
    TestSigner::new("log.example", 200)
}

/// The specification's example: two of X1, X2, X3 and one of Y1, Y2, Y3 (witnesses 1 to 6).
fn example() -> String {
    let mut text = format!("log {}\n\n", log().verifier());
    for (i, name) in (1..).zip(["X1", "X2", "X3", "Y1", "Y2", "Y3"]) {
        text += &format!("witness {name} {}\n", vkey(i));
    }
    text + "group X-witnesses 2 X1 X2 X3\n# one of them\n group \tY-witnesses any Y1 Y2 Y3 \n\n\
        group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n"
}

fn policy(text: &str) -> Policy {
    Policy::parse(text.as_bytes()).unwrap()
}

fn cosigned(by: &[u8]) -> SignedNote {
    let checkpoint = Checkpoint::new("log.example", 5, leaf_hash(b"x")).unwrap();
    let mut note = SignedNote::parse(&sign_checkpoint(&checkpoint, &log()).unwrap()).unwrap();
    for i in by {
        let line = cosign(note.text(), TIME + u64::from(*i), &signer(*i)).unwrap();
        note.add(&[line]).unwrap();
    }
    note
}

#[test]
fn the_example_holds_with_two_of_one_group_and_one_of_the_other() {
    let policy = policy(&example());
    for (by, quorum) in [
        (&[1, 2, 4][..], true),
        (&[1, 3, 4, 5, 6], true),
        (&[1, 2, 3], false),
        (&[1, 4, 5, 6], false),
        (&[], false),
        (&[7, 8, 9], false),
    ] {
        let verdict = policy.check(&cosigned(by), "log.example").unwrap();
        assert_eq!(verdict.quorum, quorum, "{by:?}");
        let times: Vec<u64> = verdict.cosigned.iter().map(|one| one.time_s - TIME).collect();
        let known: Vec<u64> = by.iter().filter(|i| **i < 7).map(|i| u64::from(*i)).collect();
        assert_eq!(times, known);
    }
    let verdict = policy.check(&cosigned(&[4]), "log.example").unwrap();
    assert_eq!(verdict.cosigned[0].witness, "Y1");
    assert_eq!(verdict.checkpoint.size(), 5);
}

#[test]
fn a_known_key_that_does_not_verify_spoils_the_note() {
    let policy = policy(&example());
    let mut note = cosigned(&[1, 2, 4]);
    let key = CosignerKey::parse(&vkey(3)).unwrap();
    let forged = NoteSignature::new(key.name(), key.id(), &[0xff; 72]);
    note.add(&[forged]).unwrap();
    assert_eq!(
        policy.check(&note, "log.example"),
        Err(PolicyCheckError::Cosignature {
            witness: "X3".into(),
            error: CosignatureError::Malformed // its time is beyond the last one
        })
    );
    let mut note = cosigned(&[1, 2, 4]);
    let forged = [&TIME.to_be_bytes()[..], &[1; 64]].concat();
    note.add(&[NoteSignature::new(key.name(), key.id(), &forged)])
        .unwrap();
    assert!(policy.check(&note, "log.example").is_err());
}

#[test]
fn a_checkpoint_has_to_be_of_a_log_of_the_policy() {
    let two = policy(&example());
    let note = cosigned(&[1, 2, 4]);
    assert_eq!(
        two.check(&note, "other.example"),
        Err(PolicyCheckError::UnknownLog("other.example".into()))
    );
    let foreign = TestSigner::new("log.example", 201);
    let unsigned = policy(&format!("log {}\nquorum none\n", foreign.verifier()));
    assert_eq!(
        unsigned.check(&note, "log.example"),
        Err(PolicyCheckError::Checkpoint(CheckpointError::Note(
            NoteError::UnknownKey
        )))
    );
    // Either key of a log will do, but not one that signed badly.
    let both = policy(&format!(
        "log {}\nlog {}\nquorum none\n",
        foreign.verifier(),
        log().verifier()
    ));
    assert!(both.check(&note, "log.example").unwrap().quorum);
    let mut spoiled = note.clone();
    let key = foreign.verifier();
    spoiled
        .add(&[NoteSignature::new(key.name(), key.id(), &[1; 64])])
        .unwrap();
    assert_eq!(
        both.check(&spoiled, "log.example"),
        Err(PolicyCheckError::Checkpoint(CheckpointError::Note(
            NoteError::Signature
        )))
    );
    // A log that signs under its key with another origin.
    let other = TestSigner::new("elsewhere.example", 202);
    let moved = policy(&format!("log {}\nquorum none\n", other.verifier()));
    let line = other.sign(note.text().as_bytes()).unwrap();
    let mut note = note;
    note.add(&[NoteSignature::new(other.name(), other.verifier().id(), &line)])
        .unwrap();
    assert_eq!(
        moved.check(&note, "elsewhere.example"),
        Err(PolicyCheckError::Checkpoint(CheckpointError::OtherLog))
    );
    assert!(
        policy("quorum none\n")
            .check_with_key(&note, &log().verifier())
            .unwrap()
            .quorum
    );
}

#[test]
fn what_a_build_cannot_verify_counts_for_nothing_and_is_named() {
    if cfg!(feature = "ml-dsa") {
        return;
    }
    let key = CosignerKey::ml_dsa_44("witness.example/pq", &[9; 1312]).unwrap();
    let policy = policy(&format!("witness pq {key}\nquorum pq\n"));
    let mut note = cosigned(&[]);
    let line = [&TIME.to_be_bytes()[..], &[1; 2420]].concat();
    note.add(&[NoteSignature::new(key.name(), key.id(), &line)])
        .unwrap();
    let verdict = policy.check_with_key(&note, &log().verifier()).unwrap();
    assert_eq!(verdict.unverified, ["pq"]);
    assert!(!verdict.quorum && verdict.cosigned.is_empty());
}

#[test]
fn every_rule_is_held_and_the_line_named() {
    let (a, b, log) = (vkey(1), vkey(2), log().verifier().to_string());
    let same_key = CosignerKey::ed25519("other.name", signer(1).public()).unwrap();
    for (text, line, reason) in [
        ("", 1, PolicyReason::NoQuorum),
        ("# nothing\n\n", 2, PolicyReason::NoQuorum),
        ("quorum\n", 1, PolicyReason::Words),
        ("quorum none none\n", 1, PolicyReason::Words),
        ("quorum none\nquorum none\n", 2, PolicyReason::SameQuorum),
        ("quorum w\n", 1, PolicyReason::UnknownName),
        ("Quorum none\n", 1, PolicyReason::Keyword),
        ("quorum none\r\n", 1, PolicyReason::Control),
        ("quorum none\n\x0b\n", 2, PolicyReason::Control),
        ("quorum none # all\n", 1, PolicyReason::Words),
        ("log\n", 1, PolicyReason::Words),
        ("log x\n", 1, PolicyReason::Key(VerifierKeyError::Malformed)),
        (
            &format!("log {a}\n"),
            1,
            PolicyReason::Key(VerifierKeyError::Type(4)),
        ),
        (&format!("log {log} u v\n"), 1, PolicyReason::Words),
        (&format!("log {log}\nlog {log} u\n"), 2, PolicyReason::SameKey),
        (&format!("witness {a}\n"), 1, PolicyReason::Words),
        (
            &format!("witness w {log}\n"),
            1,
            PolicyReason::Key(VerifierKeyError::Type(1)),
        ),
        (&format!("witness none {a}\n"), 1, PolicyReason::None),
        (
            &format!("witness w {a}\nwitness w {b}\n"),
            2,
            PolicyReason::SameName,
        ),
        (
            &format!("witness w {a}\n\nwitness v {a}\n"),
            3,
            PolicyReason::SameKey,
        ),
        (
            &format!("witness w {a}\nwitness v {same_key}\n"),
            2,
            PolicyReason::SameKey,
        ),
        (&format!("witness w {a}\ngroup g any\n"), 2, PolicyReason::Words),
        (
            &format!("witness w {a}\ngroup w any w\n"),
            2,
            PolicyReason::SameName,
        ),
        (
            &format!("witness w {a}\ngroup none any w\n"),
            2,
            PolicyReason::None,
        ),
        (
            &format!("witness w {a}\ngroup g any g\n"),
            2,
            PolicyReason::UnknownName,
        ),
        (
            &format!("witness w {a}\ngroup g any w none\n"),
            2,
            PolicyReason::UnknownName,
        ),
        (
            &format!("witness w {a}\ngroup g any w w\n"),
            2,
            PolicyReason::SameMember,
        ),
        (
            &format!("witness w {a}\ngroup g any w\ngroup h any w\n"),
            3,
            PolicyReason::SameMember,
        ),
        (
            &format!("witness w {a}\ngroup g 0 w\n"),
            2,
            PolicyReason::Threshold,
        ),
        (
            &format!("witness w {a}\ngroup g 2 w\n"),
            2,
            PolicyReason::Threshold,
        ),
        (
            &format!("witness w {a}\ngroup g 01 w\n"),
            2,
            PolicyReason::Threshold,
        ),
        (
            &format!("witness w {a}\ngroup g ALL w\n"),
            2,
            PolicyReason::Threshold,
        ),
        (
            &format!("group g any w\nwitness w {a}\n"),
            1,
            PolicyReason::UnknownName,
        ),
        (
            &format!("quorum w\nwitness w {a}\n"),
            1,
            PolicyReason::UnknownName,
        ),
    ] {
        let error = Policy::parse(text.as_bytes()).unwrap_err();
        assert_eq!((error.line, error.reason), (line, reason), "{text:?}");
    }
    let long = "#".repeat(POLICY_BYTES_MAX + 1);
    assert_eq!(
        Policy::parse(long.as_bytes()).unwrap_err().reason,
        PolicyReason::TooLong
    );
    let many: String = (0..=super::POLICY_ITEMS_MAX)
        .map(|i| {
            let seed = [u8::try_from(i % 256).unwrap(), u8::try_from(i / 256).unwrap()];
            let mut bytes = [7; 32];
            bytes[..2].copy_from_slice(&seed);
            let public = ed25519_dalek::SigningKey::from_bytes(&bytes)
                .verifying_key()
                .to_bytes();
            format!("witness w{i} {}\n", CosignerKey::ed25519("w", public).unwrap())
        })
        .collect();
    assert_eq!(
        Policy::parse(many.as_bytes()).unwrap_err().reason,
        PolicyReason::TooMany
    );
}

#[test]
fn names_are_bytes() {
    let (a, b) = (vkey(1), vkey(2));
    let mut text = format!("witness K {a} https://w.example/\nwitness ").into_bytes();
    text.extend_from_slice(b"\xff");
    text.extend_from_slice(format!(" {b}\nquorum ").as_bytes());
    let mut by_byte = text.clone();
    by_byte.extend_from_slice(b"\xff\n");
    let policy = Policy::parse(&by_byte).unwrap();
    assert!(policy.holds(|witness| witness == 1) && !policy.holds(|witness| witness == 0));
    assert_eq!(policy.witnesses()[0].url(), Some("https://w.example/"));
    text.extend_from_slice("\u{212a}\n".as_bytes());
    assert_eq!(
        Policy::parse(&text).unwrap_err().reason,
        PolicyReason::UnknownName
    );
}

#[test]
fn it_displays_as_a_policy_that_reads_the_same() {
    let read = policy(&example());
    assert_eq!(policy(&read.to_string()), read);
    let none = policy("quorum none");
    assert_eq!(none.to_string(), "quorum none\n");
    assert!(none.holds(|_| false));
}

proptest! {
    #[test]
    fn parsing_never_panics(text in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Policy::parse(&text);
    }

    /// Two groups of witnesses under one, thresholds at random, against counting by hand.
    #[test]
    fn quorums_are_counted(
        left in 1usize..6, right in 1usize..6, thresholds in (1usize..6, 1usize..6, 1usize..4), bits in any::<u16>(),
    ) {
        let (k, l, m) = (thresholds.0.min(left), thresholds.1.min(right), thresholds.2);
        let mut text = String::new();
        for i in 0..=left + right {
            text += &format!("witness w{i} {}\n", vkey(u8::try_from(i + 1).unwrap()));
        }
        let names = |range: core::ops::Range<usize>| range.map(|i| format!(" w{i}")).collect::<String>();
        text += &format!("group l {k}{}\n", names(0..left));
        text += &format!("group r {l}{}\n", names(left..left + right));
        text += &format!("group all {m} l r w{}\nquorum all\n", left + right);
        let has = |i: usize| bits >> i & 1 == 1;
        let count = |range: core::ops::Range<usize>| range.filter(|i| has(*i)).count();
        let met = [count(0..left) >= k, count(left..left + right) >= l, has(left + right)];
        let expected = met.iter().filter(|met| **met).count() >= m;
        prop_assert_eq!(policy(&text).holds(has), expected);
    }
}
