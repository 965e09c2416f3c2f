//! RFC 6962 trees, tiles, proofs, checkpoints and signed notes: what an offline verifier links.
//!
//! Pure functions of bytes. This crate does no IO, knows no clock and draws no randomness; storage comes in through
//! [`NodeReader`] and [`LeafSource`], signing keys through [`NoteSigner`]. It needs `alloc`, never `std`.
//!
//! | format | source | here |
//! |---|---|---|
//! | Merkle tree, inclusion and consistency proofs | RFC 6962, RFC 9162 section 2.1 | [`Frontier`], [`verify_inclusion`], [`verify_consistency`] |
//! | tiles and entry bundles | C2SP tlog-tiles v0.1.0 | [`Tile`], [`Bundle`], [`TilePath`], [`entry_bundle`] |
//! | signed note, verifier key | C2SP signed-note v1.0.0 | [`SignedNote`], [`VerifierKey`] |
//! | checkpoint | C2SP tlog-checkpoint v1.0.0 | [`Checkpoint`] |
//! | cosignature, cosigner key | C2SP tlog-cosignature | [`SignedNote::cosigned_at`], [`CosignerKey`], [`cosign()`] |
//! | trust policy | C2SP tlog-policy | [`Policy`] |
//! | proof of misbehaviour | `docs/evidence.md` | [`Misbehaviour`] |
//! | handover to another key | `docs/proofs.md` | [`Handover`] |
//! | tree of tenants' heads, slot proof | `docs/evidence.md` | [`SlotTree`], [`SlotProof`] |
//! | transparent log proof | C2SP tlog-proof | [`TlogProof`] |
//!
//! # Example
//! ```
//! use attestore_tlog::{Frontier, leaf_hash, verify_inclusion};
//!
//! let mut tree = Frontier::new();
//! let (a, b) = (leaf_hash(b"first"), leaf_hash(b"second"));
//! tree.push(a);
//! tree.push(b);
//! assert!(verify_inclusion(1, 2, b, &[a], tree.root()).is_ok());
//! assert!(verify_inclusion(0, 2, b, &[a], tree.root()).is_err());
//! ```
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod checkpoint;
mod cosignature;
mod encoding;
mod frontier;
mod handover;
mod hash;
mod heads;
mod misbehaviour;
mod note;
mod policy;
mod proof;
mod subtree;
mod tile;
mod tlog_proof;

pub use checkpoint::{Checkpoint, CheckpointError, open_checkpoint, sign_checkpoint};
pub use cosignature::{COSIGNATURE_TIME_MAX, CosignatureError, CosignerKey, CosignerKind, cosign};
pub use encoding::{decode as base64_decode, encode as base64_encode};
pub use frontier::{Frontier, FrontierError};
pub use handover::{Handover, HandoverError, HandoverReason};
pub use hash::{EMPTY_ROOT, Hash, SIZE_MAX, leaf_hash, node_hash};
pub use heads::{
    EMPTY_SLOT, SLOT_BITS, SLOT_PROOF_BYTES_MAX, SameSlot, SlotProof, SlotProofError, SlotTree,
    head_commitment, slot_of, slot_root,
};
pub use misbehaviour::{MISBEHAVIOUR_BYTES_MAX, Misbehaviour, MisbehaviourError, prefix_proof};
pub use note::{
    NOTE_BYTES_MAX, NoteError, NoteSignature, NoteSigner, SIGNATURES_MAX, SignedNote, VerifierKey,
    VerifierKeyError, key_id, sign_note,
};
pub use policy::{
    Cosigned, Member, POLICY_BYTES_MAX, POLICY_ITEMS_MAX, Policy, PolicyCheckError, PolicyError, PolicyGroup,
    PolicyLog, PolicyReason, PolicyWitness, Verdict,
};
pub use proof::{
    BuildError, NodeReader, PROOF_HASHES_MAX, ProofError, consistency_proof, inclusion_proof, range_root,
    root_at, tile_hashes, verify_consistency, verify_inclusion,
};
pub use subtree::{LeafSource, SubtreeError, SubtreeReader};
pub use tile::{
    Bundle, TILE_HEIGHT, TILE_LEVEL_MAX, TILE_WIDTH, Tile, TileError, TilePath, entry_bundle,
    parse_entry_bundle, parse_hashes, resources,
};
pub use tlog_proof::{EXTRA_BYTES_MAX, TlogProof, TlogProofError};
