//! Who contradicted itself is convicted, who did not is not.

use std::vec::Vec;

use super::{Misbehaviour, MisbehaviourError, prefix_proof};
use crate::{
    Checkpoint, Hash, NodeReader, NoteSigner, ProofError, VerifierKey, leaf_hash, node_hash, root_at,
    sign_checkpoint,
};
use ed25519_dalek::{Signer as _, SigningKey};

struct Signer(SigningKey);

impl NoteSigner for Signer {
    fn name(&self) -> &str {
        "log.example"
    }

    fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    fn sign(&self, msg: &[u8]) -> Result<[u8; 64], crate::NoteError> {
        Ok(self.0.sign(msg).to_bytes())
    }
}

struct Tree(Vec<Hash>);

impl NodeReader for Tree {
    type Error = core::convert::Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        if level == 0 {
            return Ok(self.0[usize::try_from(index).unwrap()]);
        }
        Ok(node_hash(
            &self.node(level - 1, 2 * index)?,
            &self.node(level - 1, 2 * index + 1)?,
        ))
    }
}

/// A tree whose leaf `odd` is another than usual.
fn tree(size: u64, odd: u64) -> Tree {
    Tree(
        (0..size)
            .map(|n| leaf_hash(if n == odd { b"other" } else { b"usual" }))
            .collect(),
    )
}

fn key() -> VerifierKey {
    VerifierKey::new("log.example", signer().public()).unwrap()
}

fn signer() -> Signer {
    Signer(SigningKey::from_bytes(&[1; 32]))
}

fn checkpoint(tree: &Tree, size: u64) -> std::string::String {
    let checkpoint = Checkpoint::new("log.example", size, root_at(tree, size).unwrap()).unwrap();
    sign_checkpoint(&checkpoint, &signer()).unwrap()
}

#[test]
fn two_roots_of_one_size_are_a_proof() {
    let (one, other) = (checkpoint(&tree(5, 9), 5), checkpoint(&tree(5, 3), 5));
    let proof = Misbehaviour::new(key(), &one, &other, Vec::new()).unwrap();
    assert_eq!(proof.reason(), "same-size");
    let text = proof.to_text();
    assert_eq!(Misbehaviour::parse(&text).unwrap(), proof);
    assert_eq!(
        Misbehaviour::new(key(), &one, &one, Vec::new()),
        Err(MisbehaviourError::Consistent)
    );
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        if let Ok(flipped) = std::string::String::from_utf8(bytes) {
            assert!(Misbehaviour::parse(&flipped).is_err(), "byte {at}");
        }
        assert!(
            !text.is_char_boundary(at) || Misbehaviour::parse(&text[..at]).is_err(),
            "cut at {at}"
        );
    }
}

#[test]
fn a_tree_that_does_not_extend_the_other_is_a_proof_for_all_sizes() {
    for new in 2..20 {
        for old in 1..new {
            let (honest, forked) = (tree(new, new), tree(new, 0));
            let (small, large) = (checkpoint(&honest, old), checkpoint(&forked, new));
            let hashes = prefix_proof(&forked, old, new).unwrap();
            let proof = Misbehaviour::new(key(), &large, &small, hashes.clone()).unwrap();
            assert_eq!((proof.reason(), proof.old().size()), ("not-a-prefix", old));
            assert_eq!(Misbehaviour::parse(&proof.to_text()).unwrap(), proof);
            // The same with an honest log, with the hashes of either tree.
            let large = checkpoint(&honest, new);
            assert_eq!(
                Misbehaviour::new(key(), &small, &large, hashes),
                Err(MisbehaviourError::Hashes(ProofError::Root))
            );
            let hashes = prefix_proof(&honest, old, new).unwrap();
            assert_eq!(
                Misbehaviour::new(key(), &small, &large, hashes),
                Err(MisbehaviourError::Consistent)
            );
        }
    }
}

#[test]
fn without_hashes_other_sizes_are_a_suspicion_only() {
    let (small, large) = (checkpoint(&tree(3, 9), 3), checkpoint(&tree(5, 0), 5));
    assert_eq!(
        Misbehaviour::new(key(), &small, &large, Vec::new()),
        Err(MisbehaviourError::Suspicion)
    );
    let kept = std::format!(
        "attestore misbehaviour v1\nvkey {}\nreason not-consistent\n\n{small}\n{large}",
        key()
    );
    assert_eq!(Misbehaviour::parse(&kept), Err(MisbehaviourError::Suspicion));
    let stranger = VerifierKey::new(
        "log.example",
        SigningKey::from_bytes(&[2; 32]).verifying_key().to_bytes(),
    );
    assert!(matches!(
        Misbehaviour::new(stranger.unwrap(), &small, &large, Vec::new()),
        Err(MisbehaviourError::Checkpoint(_))
    ));
}
