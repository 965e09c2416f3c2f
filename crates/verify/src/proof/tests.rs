//! Whole `.tlog-proof` files: what holds, and everything one byte away from it.

use attestore_record::{HashVersion, Kind};
use attestore_tlog::{
    Checkpoint, Frontier, Hash, NoteSigner, TlogProof, VerifierKey, leaf_hash, sign_checkpoint,
};
use ed25519_dalek::{Signer as _, SigningKey};

use super::{ProofFailure, verify_tlog_proof};
use crate::opening::tests::{PUBLIC, record, sample};

pub(crate) const ORIGIN: &str = "attestore.example/verify";

pub(crate) struct Signer(SigningKey);

impl NoteSigner for Signer {
    fn name(&self) -> &str {
        ORIGIN
    }

    fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    fn sign(&self, msg: &[u8]) -> Result<[u8; 64], attestore_tlog::NoteError> {
        Ok(self.0.sign(msg).to_bytes())
    }
}

pub(crate) fn signer() -> Signer {
    Signer(SigningKey::from_bytes(&[5; 32]))
}

pub(crate) fn key() -> VerifierKey {
    VerifierKey::new(ORIGIN, signer().public()).unwrap()
}

/// A proof of the record as the second of three leaves.
fn proof(extra: Option<Vec<u8>>, entry: &[u8]) -> String {
    let (left, leaf, right) = (leaf_hash(b"left"), leaf_hash(entry), leaf_hash(b"right"));
    let mut tree = Frontier::new();
    [left, leaf, right].into_iter().for_each(|leaf| tree.push(leaf));
    let checkpoint = Checkpoint::new(ORIGIN, 3, tree.root()).unwrap();
    let checkpoint = sign_checkpoint(&checkpoint, &signer()).unwrap();
    TlogProof {
        extra,
        index: 1,
        hashes: vec![left, right],
        checkpoint,
    }
    .to_text()
}

#[test]
fn a_proof_tells_where_and_what_the_record_is() {
    let record = sample(HashVersion::Blake3);
    let text = proof(Some(record.to_bytes().unwrap()), &record.entry);
    let verified = verify_tlog_proof(&text, &key().to_string()).unwrap();
    assert_eq!(
        (verified.origin.as_str(), verified.index, verified.size),
        (ORIGIN, 1, 3)
    );
    assert_eq!(verified.opened.kind, "event");
    assert_eq!(verified.record, record);
    let json = serde_json::to_value(&verified).unwrap();
    assert_eq!(json["root"], verified.root.to_string());
    assert!(json.get("record").is_none());
}

#[test]
fn every_flipped_byte_is_refused() {
    let record = sample(HashVersion::Blake3);
    let (text, vkey) = (
        proof(Some(record.to_bytes().unwrap()), &record.entry),
        key().to_string(),
    );
    let flips = |text: &str, at: usize, mask: u8| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] ^= mask;
        String::from_utf8(bytes).ok()
    };
    for at in 0..text.len() {
        for mask in [0x01, 0x02, 0x10] {
            if let Some(flipped) = flips(&text, at, mask) {
                assert!(
                    verify_tlog_proof(&flipped, &vkey).is_err(),
                    "byte {at} ^ {mask:#x}"
                );
            }
        }
    }
    for at in 0..vkey.len() {
        if let Some(flipped) = flips(&vkey, at, 1) {
            assert!(
                verify_tlog_proof(&text, &flipped).is_err(),
                "byte {at} of the key"
            );
        }
    }
}

#[test]
fn each_part_that_fails_is_named() {
    let (sound, vkey) = (sample(HashVersion::Blake3), key().to_string());
    let bytes = sound.to_bytes().unwrap();
    let failure = |text: &str| verify_tlog_proof(text, &vkey).unwrap_err();
    assert!(matches!(
        verify_tlog_proof("", "no key"),
        Err(ProofFailure::Key { .. })
    ));
    assert!(matches!(failure(""), ProofFailure::Log { .. }));
    assert_eq!(failure(&proof(None, &sound.entry)), ProofFailure::NoRecord);
    assert!(matches!(
        failure(&proof(Some(vec![9]), &sound.entry)),
        ProofFailure::Record { .. }
    ));
    assert!(matches!(
        failure(&proof(Some(bytes), b"another entry")),
        ProofFailure::Log { .. }
    ));

    // A true entry of the log, with bytes that it does not commit to.
    let mut forged = sound.clone();
    forged.public = PUBLIC.replace("document.read", "document.none").into_bytes();
    let failed = failure(&proof(Some(forged.to_bytes().unwrap()), &forged.entry));
    assert!(matches!(failed, ProofFailure::Opening { .. }));
    assert_eq!(
        serde_json::to_value(&failed).unwrap(),
        serde_json::json!({"part": "opening", "error": {"reason": "commitment"}})
    );
    // Kind, class and time stand in the leaf.
    for at in 1..12 {
        let mut forged = sound.clone();
        forged.entry[at] ^= 1;
        assert!(verify_tlog_proof(&proof(Some(forged.to_bytes().unwrap()), &sound.entry), &vkey).is_err());
    }
}

#[test]
fn control_records_are_proven_alike() {
    let public = PUBLIC.replace(
        r#""event":{"action":"document.read"}"#,
        r#""control":{"type":"purge"}"#,
    );
    let record = record(HashVersion::HmacSha256, Kind::Purge, &public, vec![]);
    let text = proof(Some(record.to_bytes().unwrap()), &record.entry);
    let verified = verify_tlog_proof(&text, &key().to_string()).unwrap();
    assert_eq!(verified.opened.kind, "purge");
    assert_ne!(verified.root, Hash([0; 32]));
}
