//! One proof for many leaves: each hash that their inclusion proofs share stands in it once, and none that follows from the
//! leaves.
//!
//! # Format
//! The tree over leaves `start..end` splits where RFC 6962 splits it: `k` is the largest power of two below its length. From the
//! root down, left before right:
//!
//! ```text
//! walk(start, end):
//!     no known leaf in start..end          the hash of that tree is in the proof: 32 bytes
//!     end - start = 1                      the leaf is known: nothing
//!     else                                 walk(start, start + k), then walk(start + k, end)
//! ```
//!
//! Both sides read leaves and hashes once, in ascending order, and hold one hash for each level.

use std::iter::Peekable;

use attestore_tlog::{EMPTY_ROOT, Hash, NodeReader, node_hash, range_root};

/// Writes the proof of the `known` leaves (ascending) in the tree of `size` leaves, and returns the root that it leads to.
///
/// # Errors
/// What reading a node or writing a hash says.
pub(super) fn build<R, E>(
    nodes: &R,
    size: u64,
    known: &mut Peekable<impl Iterator<Item = u64>>,
    write: &mut impl FnMut(Hash) -> Result<(), E>,
    failed: &impl Fn(String) -> E,
) -> Result<Hash, E>
where
    R: NodeReader<Error: std::fmt::Display>,
{
    let source = |start: u64, end: u64| range_root(nodes, start..end).map_err(|e| failed(e.to_string()));
    let mut path = (None, &mut Vec::new());
    walk(0, size, &mut path, &mut |start, end| match known.peek() {
        Some(seq) if *seq < end => {
            if end - start > 1 {
                return Ok(None);
            }
            known.next();
            source(start, end).map(Some)
        }
        _ => {
            let hash = source(start, end)?;
            write(hash)?;
            Ok(Some(hash))
        }
    })
}

/// Computes the root of the tree of `size` leaves from the `known` leaves (strictly ascending) and the hashes of the proof. Adds
/// the inclusion proof of the leaf `target` to `path`.
///
/// # Errors
/// What reading a leaf or a hash says.
pub(super) fn root<E>(
    size: u64,
    known: &mut Peekable<impl Iterator<Item = Result<(u64, Hash), E>>>,
    read: &mut impl FnMut() -> Result<Hash, E>,
    target: Option<u64>,
    path: &mut Vec<Hash>,
) -> Result<Hash, E> {
    walk(
        0,
        size,
        &mut (target, path),
        &mut |start, end| match known.peek() {
            Some(Ok((seq, _))) if *seq >= end => read().map(Some),
            None => read().map(Some),
            Some(Ok(_)) if end - start > 1 => Ok(None),
            Some(_) => match known.next() {
                Some(leaf) => leaf.map(|(_, hash)| Some(hash)),
                None => read().map(Some),
            },
        },
    )
}

/// Hashes the tree over `start..end`; `hash` gives the hash of a part, or none where the part is to be split. Recurses once for
/// each level.
fn walk<E>(
    start: u64,
    end: u64,
    path: &mut (Option<u64>, &mut Vec<Hash>),
    hash: &mut impl FnMut(u64, u64) -> Result<Option<Hash>, E>,
) -> Result<Hash, E> {
    if start >= end {
        return Ok(EMPTY_ROOT);
    }
    if let Some(known) = hash(start, end)? {
        return Ok(known);
    }
    let length = end - start;
    if length == 1 {
        return Ok(EMPTY_ROOT); // never: a single leaf is always given
    }
    let middle = start + (1 << (length - 1).ilog2());
    let left = walk(start, middle, path, hash)?;
    let right = walk(middle, end, path, hash)?;
    match path.0 {
        Some(target) if (start..middle).contains(&target) => path.1.push(right),
        Some(target) if (middle..end).contains(&target) => path.1.push(left),
        _ => {}
    }
    Ok(node_hash(&left, &right))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::convert::Infallible;

    use attestore_tlog::{Hash, NodeReader, inclusion_proof, leaf_hash, root_at};
    use proptest::prelude::*;

    use super::{build, root};

    struct Leaves(Vec<Hash>);

    impl NodeReader for Leaves {
        type Error = Infallible;

        fn node(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
            if level == 0 {
                return Ok(self.0[usize::try_from(index).unwrap()]);
            }
            let (left, right) = (
                self.node(level - 1, 2 * index)?,
                self.node(level - 1, 2 * index + 1)?,
            );
            Ok(attestore_tlog::node_hash(&left, &right))
        }
    }

    fn tree(size: u64) -> Leaves {
        Leaves((0..size).map(|n| leaf_hash(&n.to_be_bytes())).collect())
    }

    fn proof(tree: &Leaves, size: u64, known: &BTreeSet<u64>) -> (Vec<Hash>, Hash) {
        let mut hashes = Vec::new();
        let root = build(
            tree,
            size,
            &mut known.iter().copied().peekable(),
            &mut |hash| {
                hashes.push(hash);
                Ok::<(), String>(())
            },
            &|e| e,
        );
        (hashes, root.unwrap())
    }

    proptest! {
        #[test]
        fn leaves_and_proof_lead_to_the_root(size in 1u64..200, picks in proptest::collection::vec(0u64..200, 1..40), flip in 0usize..400) {
            let (tree, known) = (tree(size), picks.into_iter().map(|p| p % size).collect::<BTreeSet<_>>());
            let (hashes, computed) = proof(&tree, size, &known);
            let expected = root_at(&tree, size).unwrap();
            prop_assert_eq!(computed, expected);
            let check = |hashes: &[Hash], change: Option<u64>| {
                let leaves = known.iter().map(|seq| Ok((*seq, if change == Some(*seq) { Hash([9; 32]) } else { tree.0[usize::try_from(*seq).unwrap()] })));
                let mut rest = hashes.iter();
                let mut path = Vec::new();
                let root = root(size, &mut leaves.peekable(), &mut || rest.next().copied().ok_or(()), known.last().copied(), &mut path);
                let root = root.ok().filter(|_| rest.next().is_none());
                if root == Some(expected) {
                    assert_eq!(path, inclusion_proof(&tree, *known.last().unwrap(), size).unwrap());
                }
                root
            };
            prop_assert_eq!(check(&hashes, None), Some(expected));
            prop_assert_ne!(check(&hashes, known.first().copied()), Some(expected));
            if !hashes.is_empty() {
                prop_assert_eq!(check(&hashes[1..], None), None);
                let mut flipped = hashes.clone();
                flipped[flip % hashes.len()].0[flip % 32] ^= 1;
                prop_assert_ne!(check(&flipped, None), Some(expected));
            }
            // Never more than the proofs of the single leaves together.
            let single: usize = known.iter().map(|seq| inclusion_proof(&tree, *seq, size).unwrap().len()).sum();
            prop_assert!(hashes.len() <= single);
        }
    }

    #[test]
    fn a_single_leaf_has_the_hashes_of_its_inclusion_proof() {
        let tree = tree(11);
        for seq in 0..11 {
            let mut expected = inclusion_proof(&tree, seq, 11).unwrap();
            let (mut hashes, _) = proof(&tree, 11, &BTreeSet::from([seq]));
            expected.sort_unstable();
            hashes.sort_unstable();
            assert_eq!(hashes, expected);
        }
        assert!(proof(&tree, 11, &(0..11).collect()).0.is_empty());
    }
}
