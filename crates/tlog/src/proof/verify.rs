//! Verifies proofs: strict in length, in order and in every edge case.

use crate::hash::{EMPTY_ROOT, Hash, SIZE_MAX, node_hash};

/// Says why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index or old size is not within the tree, or the tree is beyond [`SIZE_MAX`].
    #[error("{asked} is outside of a tree of {size} leaves")]
    Range {
        /// Leaf index, or old size.
        asked: u64,
        /// Size of the tree.
        size: u64,
    },
    /// The proof has fewer hashes than the sizes take.
    #[error("proof is too short")]
    Short,
    /// The proof has more hashes than the sizes take.
    #[error("proof is too long")]
    Long,
    /// The hashes do not lead to the root of the tree.
    #[error("proof does not lead to the root")]
    Root,
    /// The hashes do not lead to the old root.
    #[error("proof does not lead to the old root")]
    OldRoot,
}

/// Checks that `leaf` (a leaf hash) is leaf `index` of the tree with `size` leaves and this root (RFC 9162 section
/// 2.1.3.2).
///
/// # Errors
/// [`ProofError`] unless the proof has exactly the hashes it needs and leads to the root.
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: Hash,
    proof: &[Hash],
    root: Hash,
) -> Result<(), ProofError> {
    if index >= size || size > SIZE_MAX {
        return Err(ProofError::Range { asked: index, size });
    }
    let (mut node, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Long);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            skip_missing_siblings(&mut node, &mut last);
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Short);
    }
    if hash == root {
        Ok(())
    } else {
        Err(ProofError::Root)
    }
}

/// Checks that the tree of `old` leaves with `old_root` is a prefix of the tree of `new` leaves with `new_root` (RFC 9162
/// section 2.1.4.2). Every tree extends the empty one; trees of equal size must have equal roots; both take an empty
/// proof.
///
/// # Errors
/// [`ProofError`] unless the proof has exactly the hashes it needs and leads to both roots.
pub fn verify_consistency(
    old: u64,
    new: u64,
    old_root: Hash,
    new_root: Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old > new || new > SIZE_MAX {
        return Err(ProofError::Range {
            asked: old,
            size: new,
        });
    }
    if old == 0 && old_root != EMPTY_ROOT {
        return Err(ProofError::OldRoot);
    }
    if old == 0 || old == new {
        return match (proof, new) {
            ([_, ..], _) => Err(ProofError::Long),
            ([], 0) if new_root != EMPTY_ROOT => Err(ProofError::Root),
            ([], _) if old == new && old_root != new_root => Err(ProofError::Root),
            ([], _) => Ok(()),
        };
    }

    // An old tree that is a complete subtree is its own first hash, and the proof leaves it out.
    let (first, rest) = if old.is_power_of_two() {
        (old_root, proof)
    } else {
        let (first, rest) = proof.split_first().ok_or(ProofError::Short)?;
        (*first, rest)
    };
    let (old_hash, new_hash) = climb(old, new, first, rest)?;
    if old_hash != old_root {
        return Err(ProofError::OldRoot);
    }
    if new_hash == new_root {
        Ok(())
    } else {
        Err(ProofError::Root)
    }
}

/// Leads the first node of a consistency proof and its other hashes to the roots of the first `old` and of all `new` leaves,
/// where `0 < old < new`.
pub(crate) fn climb(old: u64, new: u64, first: Hash, rest: &[Hash]) -> Result<(Hash, Hash), ProofError> {
    let (mut node, mut last) = (old - 1, new - 1);
    let complete = node.trailing_ones();
    node >>= complete;
    last >>= complete;

    let (mut old_hash, mut new_hash) = (first, first);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::Long);
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            skip_missing_siblings(&mut node, &mut last);
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 {
        Ok((old_hash, new_hash))
    } else {
        Err(ProofError::Short)
    }
}

/// On the right edge, goes up past the levels at which the node has no sibling.
fn skip_missing_siblings(node: &mut u64, last: &mut u64) {
    while *node & 1 == 0 && *node != 0 {
        *node >>= 1;
        *last >>= 1;
    }
}
