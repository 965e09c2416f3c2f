//! The tree of a round: the heads of all tenants' logs, each in the one slot that the log's name gives it.
//!
//! A log of rounds lets witnesses follow thousands of logs by following one. A prefix tree (as CONIKS has it) makes that safe: no
//! registry hands out slots, nobody can be moved, and one root holds one head for an origin at most.
//!
//! # Format
//! ```text
//! slot         SHA-256(origin)
//! commitment   SHA-256("attestore 2026 tenant head v1\n" ‖ salt[32] ‖ "<origin>\n<size>\n<base64(root)>\n")
//! leaf         SHA-256(0x00 ‖ slot[32] ‖ commitment[32])
//! inner node   SHA-256(0x01 ‖ left ‖ right)
//! no leaf      SHA-256(0x02)
//! ```
//! The text in the commitment is that of the checkpoint without extension lines. A slot's bits, from the highest of its first byte
//! on, lead from the root to its leaf: 0 goes left, 1 goes right. A leaf stands at the shallowest place where it is alone below.
//!
//! # Why one root holds one head for an origin
//! A proof is the path that the slot's bits give, as deep as it has hashes. Two proofs for one slot with two commitments that lead
//! to one root would, at the depth of the shorter, show one hash that is a leaf and something else: another leaf, or an inner
//! node. Both take two inputs with one SHA-256. The shape of the rest of the tree does not matter for that, so it is not checked.

mod slot_proof;
#[cfg(test)]
mod tests;
mod tree;

use alloc::format;

use sha2::{Digest, Sha256};

use crate::{
    checkpoint::Checkpoint,
    hash::{Hash, leaf_hash, node_hash},
};

pub use slot_proof::{SLOT_PROOF_BYTES_MAX, SlotProof, SlotProofError};
pub use tree::{SameSlot, SlotTree};

/// Where no leaf is: SHA-256(0x02).
pub const EMPTY_SLOT: Hash = Hash([
    0xdb, 0xc1, 0xb4, 0xc9, 0x00, 0xff, 0xe4, 0x8d, 0x57, 0x5b, 0x5d, 0xa5, 0xc6, 0x38, 0x04, 0x01, 0x25,
    0xf6, 0x5d, 0xb0, 0xfe, 0x3e, 0x24, 0x49, 0x4b, 0x76, 0xea, 0x98, 0x64, 0x57, 0xd9, 0x86,
]);

/// Most hashes of a path: slots have so many bits.
pub const SLOT_BITS: usize = 256;

/// Returns the slot of a log.
#[must_use]
pub fn slot_of(origin: &str) -> Hash {
    Hash(Sha256::digest(origin).into())
}

/// Commits to the head that a checkpoint states, whatever its extension lines. The salt keeps others from guessing it.
#[must_use]
pub fn head_commitment(salt: &[u8; 32], head: &Checkpoint) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(COMMITMENT_LABEL);
    hasher.update(salt);
    let (origin, size, root) = (head.origin(), head.size(), head.root().to_base64());
    hasher.update(format!("{origin}\n{size}\n{root}\n"));
    Hash(hasher.finalize().into())
}

/// Climbs from a slot's leaf to the root that it leads to; siblings from the leaf's to the root's child. `None` for more of them
/// than slots have bits.
#[must_use]
pub fn slot_root(slot: &Hash, commitment: &Hash, siblings: &[Hash]) -> Option<Hash> {
    if siblings.len() > SLOT_BITS {
        return None;
    }
    let leaf = slot_leaf(slot, commitment);
    let depths = (0..siblings.len()).rev();
    Some(
        depths
            .zip(siblings)
            .fold(leaf, |node, (depth, sibling)| match goes_right(slot, depth) {
                false => node_hash(&node, sibling),
                true => node_hash(sibling, &node),
            }),
    )
}

fn slot_leaf(slot: &Hash, commitment: &Hash) -> Hash {
    let mut content = [0; 2 * Hash::LEN];
    content[..Hash::LEN].copy_from_slice(&slot.0);
    content[Hash::LEN..].copy_from_slice(&commitment.0);
    leaf_hash(&content)
}

/// The bit of a slot that decides at this depth, below [`SLOT_BITS`].
fn goes_right(slot: &Hash, depth: usize) -> bool {
    slot.0[depth / 8] >> (7 - depth % 8) & 1 == 1
}

const COMMITMENT_LABEL: &[u8] = b"attestore 2026 tenant head v1\n";
