//! Every rule of the tlog-proof format.

use std::{format, string::String, vec, vec::Vec};

use proptest::prelude::*;

use super::{EXTRA_BYTES_MAX, TlogProof, TlogProofError};
use crate::{
    checkpoint::{Checkpoint, sign_checkpoint},
    hash::{Hash, SIZE_MAX},
    note::{NOTE_BYTES_MAX, VerifierKey, tests::TestSigner},
    proof::{
        PROOF_HASHES_MAX, ProofError, inclusion_proof,
        tests::{Leaves, leaves, naive_root},
    },
};

const ORIGIN: &str = "attestore.example/7f3a";

fn proof() -> (TlogProof, Hash, VerifierKey) {
    let leaves = leaves(6);
    let signer = TestSigner::new(ORIGIN, 1);
    let checkpoint = Checkpoint::new(ORIGIN, 6, naive_root(&leaves)).unwrap();
    let proof = TlogProof {
        extra: Some(b"opening".to_vec()),
        index: 4,
        hashes: inclusion_proof(&Leaves(&leaves), 4, 6).unwrap(),
        checkpoint: sign_checkpoint(&checkpoint, &signer).unwrap(),
    };
    (proof, leaves[4], signer.verifier())
}

#[test]
fn golden_text() {
    let (proof, leaf, key) = proof();
    let text = proof.to_text();
    assert_eq!(
        text,
        format!(
            "c2sp.org/tlog-proof@v1\n\
             extra b3BlbmluZw==\n\
             index 4\n\
             la3xW37122c4aouvvv7k0UVmKvpFB0DhhoVT6DSO06A=\n\
             T2MQhKFXxU9U/Psj/164ZQxLoWDClbsTqYMrEJ1SZ34=\n\
             \n\
             attestore.example/7f3a\n\
             6\n\
             g2PDghzkHrtGIiEWpCzIPbp1OYSyPPyiaqrQpoZzNuo=\n\
             \n\
             \u{2014} attestore.example/7f3a l8QUwXSbzqi7CpqK+J2Bt8buKS/hLFyFOiHcq6jy6jWhTdZIU0Ahw0KgADuUZ431NxqV7sCZT61apgbIYOPHs1lLdAU=\n"
        )
    );
    assert_eq!(TlogProof::parse(&text), Ok(proof.clone()));
    assert_eq!(proof.verify(leaf, &key).unwrap().size(), 6);
}

#[test]
fn extra_data_and_hashes_may_be_missing() {
    let signer = TestSigner::new(ORIGIN, 1);
    let leaf = leaves(1)[0];
    let checkpoint = sign_checkpoint(&Checkpoint::new(ORIGIN, 1, leaf).unwrap(), &signer).unwrap();
    let proof = TlogProof {
        extra: None,
        index: 0,
        hashes: vec![],
        checkpoint,
    };
    let text = proof.to_text();
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nindex 0\n\nattestore.example/7f3a\n1\n"));
    assert_eq!(TlogProof::parse(&text), Ok(proof.clone()));
    assert!(proof.verify(leaf, &signer.verifier()).is_ok());
    assert_eq!(
        proof.verify(Hash([0; 32]), &signer.verifier()),
        Err(TlogProofError::Proof(ProofError::Root))
    );
    let empty = TlogProof {
        extra: Some(vec![]),
        ..proof
    };
    assert_eq!(TlogProof::parse(&empty.to_text()), Ok(empty));
}

#[test]
fn malformed_texts_are_refused() {
    let text = proof().0.to_text();
    let hash = text.lines().nth(3).unwrap();
    let swap = |from: &str, to: &str| text.replacen(from, to, 1);
    for (text, error) in [
        (String::new(), TlogProofError::Version),
        (swap("@v1", "@v2"), TlogProofError::Version),
        (format!("\n{text}"), TlogProofError::Version),
        (swap("\nextra", "\r\nextra"), TlogProofError::Version),
        (swap("extra ", "extra  "), TlogProofError::Extra),
        (swap("b3BlbmluZw==", "b3BlbmluZw"), TlogProofError::Extra),
        (swap("b3BlbmluZw==", "b3BlbmluZx=="), TlogProofError::Extra),
        (swap("extra ", "Extra "), TlogProofError::Index),
        (swap("extra ", "extra"), TlogProofError::Index),
        (swap("index 4\n", ""), TlogProofError::Index),
        (swap("index 4\n", "extra YQ==\nindex 4\n"), TlogProofError::Index),
        (swap("index 4", "index 04"), TlogProofError::Index),
        (swap("index 4", "index  4"), TlogProofError::Index),
        (swap("index 4", "index -4"), TlogProofError::Index),
        (swap("index 4", "index "), TlogProofError::Index),
        (
            swap("index 4", &format!("index {}", SIZE_MAX + 1)),
            TlogProofError::Index,
        ),
        (swap(hash, &hash[1..]), TlogProofError::Hash(0)),
        (swap(hash, &format!("{hash} ")), TlogProofError::Hash(0)),
        (swap("\n\n", "\n"), TlogProofError::Hash(2)),
        (
            format!("c2sp.org/tlog-proof@v1\nindex 4\n{hash}"),
            TlogProofError::MissingCheckpoint,
        ),
        (
            format!("c2sp.org/tlog-proof@v1\nindex 4\n{hash}\n"),
            TlogProofError::MissingCheckpoint,
        ),
        (
            format!("c2sp.org/tlog-proof@v1\nindex 4\n{hash}\n\n"),
            TlogProofError::MissingCheckpoint,
        ),
        (
            text.clone() + &"x".repeat(NOTE_BYTES_MAX),
            TlogProofError::MissingCheckpoint,
        ),
    ] {
        assert_eq!(TlogProof::parse(&text), Err(error), "{text:?}");
    }
    let many = format!("{hash}\n").repeat(PROOF_HASHES_MAX + 1);
    let many = format!("c2sp.org/tlog-proof@v1\nindex 4\n{many}\nx");
    assert_eq!(
        TlogProof::parse(&many),
        Err(TlogProofError::Hash(PROOF_HASHES_MAX))
    );
    let large = format!(
        "c2sp.org/tlog-proof@v1\nextra {}\n",
        "A".repeat(EXTRA_BYTES_MAX * 2)
    );
    assert_eq!(TlogProof::parse(&large), Err(TlogProofError::Extra));
}

#[test]
fn every_flipped_byte_but_in_the_extra_data_is_refused() {
    let (proof, leaf, key) = proof();
    let text = proof.to_text();
    let extra = text.find("b3Bl").unwrap()..text.find("\nindex").unwrap();
    for at in (0..text.len()).filter(|at| !extra.contains(at)) {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        let Ok(flipped) = String::from_utf8(bytes) else {
            continue;
        };
        let verified = TlogProof::parse(&flipped).and_then(|proof| proof.verify(leaf, &key));
        assert!(verified.is_err(), "byte {at}");
    }
}

#[test]
fn a_proof_for_another_index_is_refused() {
    let (mut proof, leaf, key) = proof();
    for index in [0, 1, 2, 3, 5, 6, SIZE_MAX] {
        proof.index = index;
        assert!(
            matches!(proof.verify(leaf, &key), Err(TlogProofError::Proof(_))),
            "{index}"
        );
    }
}

proptest! {
    #[test]
    fn proofs_round_trip(
        extra in prop::option::of(prop::collection::vec(any::<u8>(), 0..200)),
        index in 0..=SIZE_MAX,
        hashes in prop::collection::vec(any::<[u8; 32]>().prop_map(Hash), 0..=PROOF_HASHES_MAX),
        checkpoint in "\\PC{1,50}\n",
    ) {
        let proof = TlogProof { extra, index, hashes, checkpoint };
        prop_assert_eq!(TlogProof::parse(&proof.to_text()), Ok(proof));
    }

    #[test]
    fn parsing_takes_any_text_without_panic(lines: Vec<String>) {
        let _ = TlogProof::parse(&format!("c2sp.org/tlog-proof@v1\n{}", lines.join("\n")));
    }
}
