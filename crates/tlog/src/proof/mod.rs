//! Inclusion and consistency proofs: built from stored nodes, verified from nothing but hashes.
//!
//! Building follows RFC 6962 section 2.1, verifying RFC 9162 sections 2.1.3.2 and 2.1.4.2. The two are written
//! independently of each other, so a mistake in one does not hide in the other.

mod build;
#[cfg(test)]
pub(crate) mod tests;
mod verify;

pub use build::{
    BuildError, NodeReader, consistency_proof, inclusion_proof, range_root, root_at, tile_hashes,
};
pub(crate) use verify::climb;
pub use verify::{ProofError, verify_consistency, verify_inclusion};

/// Most hashes in an inclusion proof of a tree up to [`crate::SIZE_MAX`] leaves; a consistency proof has at most one more.
pub const PROOF_HASHES_MAX: usize = 63;
