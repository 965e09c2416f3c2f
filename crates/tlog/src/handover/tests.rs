//! A handover is the old key's word about the next, and nothing else is.

use std::format;
use std::string::{String, ToString};

use ed25519_dalek::{Signer as _, SigningKey};

use super::{Handover, HandoverError, HandoverReason};
use crate::{Checkpoint, Hash, NoteSigner, VerifierKey, sign_note};

struct Signer(&'static str, SigningKey);

impl NoteSigner for Signer {
    fn name(&self) -> &str {
        self.0
    }

    fn public(&self) -> [u8; 32] {
        self.1.verifying_key().to_bytes()
    }

    fn sign(&self, msg: &[u8]) -> Result<[u8; 64], crate::NoteError> {
        Ok(self.1.sign(msg).to_bytes())
    }
}

fn signer(name: &'static str, seed: u8) -> Signer {
    Signer(name, SigningKey::from_bytes(&[seed; 32]))
}

fn key(signer: &Signer) -> VerifierKey {
    VerifierKey::new(signer.name(), signer.public()).unwrap()
}

fn handover(reason: HandoverReason, next: &Signer) -> Handover {
    Handover {
        reason,
        origin: "log.example/a".to_string(),
        size: 7,
        root: Hash([9; 32]),
        next: key(next),
    }
}

#[test]
fn what_the_old_key_signed_opens_again() {
    let old = signer("log.example/a", 1);
    let cases = [
        handover(HandoverReason::Rotation, &signer("log.example/a", 2)),
        handover(HandoverReason::Fork, &signer("log.example/b", 2)),
    ];
    for handover in cases {
        let note = handover.sign(&old).unwrap();
        assert_eq!(Handover::open(&note, &key(&old)).unwrap(), handover);
        assert!(matches!(
            Handover::open(&note, &key(&signer("log.example/a", 3))),
            Err(HandoverError::Note(_))
        ));
    }
}

#[test]
fn a_rotation_keeps_the_origin_and_a_fork_changes_it() {
    let old = signer("log.example/a", 1);
    for handover in [
        handover(HandoverReason::Rotation, &signer("log.example/b", 2)),
        handover(HandoverReason::Fork, &signer("log.example/a", 2)),
    ] {
        assert_eq!(handover.sign(&old), Err(HandoverError::Origin));
        let note = sign_note(&handover.to_string(), &[&old]).unwrap();
        assert_eq!(Handover::open(&note, &key(&old)), Err(HandoverError::Origin));
    }
    let other = handover(HandoverReason::Rotation, &signer("log.example/a", 2));
    assert_eq!(
        other.sign(&signer("log.example/b", 1)),
        Err(HandoverError::OtherLog)
    );
    let note = sign_note(&other.to_string(), &[&signer("log.example/b", 1)]).unwrap();
    assert_eq!(
        Handover::open(&note, &key(&signer("log.example/b", 1))),
        Err(HandoverError::OtherLog)
    );
}

#[test]
fn no_other_text_is_a_handover_and_a_handover_is_no_checkpoint() {
    let old = signer("log.example/a", 1);
    let text = handover(HandoverReason::Rotation, &signer("log.example/a", 2)).to_string();
    assert!(Checkpoint::from_text(&text).is_err());
    let line = |number: usize, with: &str| -> String {
        let lines = text.lines().enumerate();
        let changed = lines.map(|(at, line)| if at == number { with } else { line });
        changed.map(|line| format!("{line}\n")).collect()
    };
    let doctored = [
        line(0, "attestore handover v2"),
        line(2, "Rotation"),
        line(3, "07"),
        line(3, "-1"),
        line(4, "AAAA"),
        line(5, "log.example/a"),
        format!("{text}more\n"),
        text.lines().take(5).map(|line| format!("{line}\n")).collect(),
    ];
    for text in doctored {
        let note = sign_note(&text, &[&old]).unwrap();
        let opened = Handover::open(&note, &key(&old));
        assert!(
            matches!(opened, Err(HandoverError::Text(_))),
            "{text}: {opened:?}"
        );
    }
}
