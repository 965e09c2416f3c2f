//! Proofs against the recursive definitions of RFC 6962, and against everything that is almost a proof.

#![expect(
    clippy::cast_possible_truncation,
    reason = "sizes of test trees fit every integer"
)]

use std::{format, string::ToString, vec, vec::Vec};

use proptest::prelude::*;

use super::{
    BuildError, NodeReader, PROOF_HASHES_MAX, ProofError, consistency_proof, inclusion_proof, range_root,
    root_at, verify_consistency, verify_inclusion,
};
use crate::hash::{EMPTY_ROOT, Hash, SIZE_MAX, leaf_hash, node_hash};

/// Reads nodes by hashing leaves, recursively.
pub(crate) struct Leaves<'a>(pub(crate) &'a [Hash]);

impl NodeReader for Leaves<'_> {
    type Error = &'static str;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let (start, end) = ((index << level) as usize, ((index + 1) << level) as usize);
        self.0
            .get(start..end)
            .map(naive_root)
            .ok_or("node reaches beyond the tree")
    }
}

pub(crate) fn leaves(count: u64) -> Vec<Hash> {
    (0..count)
        .map(|i| leaf_hash(format!("leaf {i}").as_bytes()))
        .collect()
}

/// RFC 6962 section 2.1, `MTH`, word for word.
pub(crate) fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => EMPTY_ROOT,
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(naive_split(leaves.len()));
            node_hash(&naive_root(left), &naive_root(right))
        }
    }
}

fn naive_split(n: usize) -> usize {
    let mut k = 1;
    while 2 * k < n {
        k *= 2;
    }
    k
}

/// RFC 6962 section 2.1.1, `PATH`.
fn naive_path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return vec![];
    }
    let (left, right) = leaves.split_at(naive_split(leaves.len()));
    let (mut path, other) = if m < left.len() {
        (naive_path(m, left), right)
    } else {
        (naive_path(m - left.len(), right), left)
    };
    path.push(naive_root(other));
    path
}

/// RFC 6962 section 2.1.2, `SUBPROOF`.
fn naive_subproof(m: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if whole { vec![] } else { vec![naive_root(leaves)] };
    }
    let (left, right) = leaves.split_at(naive_split(leaves.len()));
    let (mut proof, other) = if m <= left.len() {
        (naive_subproof(m, left, whole), right)
    } else {
        (naive_subproof(m - left.len(), right, false), left)
    };
    proof.push(naive_root(other));
    proof
}

/// Everything one step away from a list of hashes.
fn mutants(proof: &[Hash]) -> Vec<Vec<Hash>> {
    let mut all = vec![];
    for i in 0..proof.len() {
        for byte in [0, 13, 31] {
            let mut flipped = proof.to_vec();
            flipped[i].0[byte] ^= 1;
            all.push(flipped);
        }
        let mut shorter = proof.to_vec();
        shorter.remove(i);
        all.push(shorter);
        let mut doubled = proof.to_vec();
        doubled.insert(i, proof[i]);
        all.push(doubled);
    }
    let mut reversed = proof.to_vec();
    reversed.reverse();
    if reversed != proof {
        all.push(reversed);
    }
    all.push([proof, &[EMPTY_ROOT]].concat());
    all.push([&[EMPTY_ROOT], proof].concat());
    all
}

#[test]
fn inclusion_proofs_of_every_small_tree() {
    let leaves = leaves(70);
    let reader = Leaves(&leaves);
    for size in 0..=70u64 {
        let tree = &leaves[..size as usize];
        let root = naive_root(tree);
        assert_eq!(root_at(&reader, size), Ok(root));
        assert_eq!(
            inclusion_proof(&reader, size, size),
            Err(BuildError::Range { asked: size, size })
        );
        assert!(verify_inclusion(size, size, EMPTY_ROOT, &[], root).is_err());
        for index in 0..size {
            let leaf = leaves[index as usize];
            let proof = inclusion_proof(&reader, index, size).unwrap();
            assert_eq!(proof, naive_path(index as usize, tree), "{index} in {size}");
            assert_eq!(
                verify_inclusion(index, size, leaf, &proof, root),
                Ok(()),
                "{index} in {size}"
            );
            for mutant in mutants(&proof) {
                assert!(
                    verify_inclusion(index, size, leaf, &mutant, root).is_err(),
                    "{index} in {size}"
                );
            }
            for other in (0..size).filter(|other| *other != index) {
                assert!(
                    verify_inclusion(other, size, leaf, &proof, root).is_err(),
                    "{other} for {index}"
                );
            }
            assert_eq!(
                verify_inclusion(index, size, EMPTY_ROOT, &proof, root),
                Err(ProofError::Root),
                "another leaf"
            );
            assert_eq!(
                verify_inclusion(index, size, leaf, &proof, EMPTY_ROOT),
                Err(ProofError::Root)
            );
        }
    }
}

#[test]
fn consistency_proofs_of_every_small_tree() {
    let leaves = leaves(70);
    let reader = Leaves(&leaves);
    let roots: Vec<Hash> = (0..=70).map(|size| naive_root(&leaves[..size])).collect();
    for new in 0..=70usize {
        for old in 0..=new {
            let (old_root, new_root) = (roots[old], roots[new]);
            let (old_size, new_size) = (old as u64, new as u64);
            let proof = consistency_proof(&reader, old_size, new_size).unwrap();
            if old > 0 {
                assert_eq!(proof, naive_subproof(old, &leaves[..new], true), "{old} to {new}");
            } else {
                assert!(proof.is_empty());
            }
            let verify = |old_root, new_root, proof: &[Hash]| {
                verify_consistency(old_size, new_size, old_root, new_root, proof)
            };
            assert_eq!(verify(old_root, new_root, &proof), Ok(()), "{old} to {new}");
            for mutant in mutants(&proof) {
                assert!(verify(old_root, new_root, &mutant).is_err(), "{old} to {new}");
            }
            let wrong = Hash([9; 32]);
            assert!(verify(wrong, new_root, &proof).is_err(), "{old} to {new}");
            if old > 0 || new == 0 {
                assert!(verify(old_root, wrong, &proof).is_err(), "{old} to {new}");
            }
            for other in (1..=new_size).filter(|other| *other != old_size && old > 0 && old != new) {
                assert!(
                    verify_consistency(other, new_size, old_root, new_root, &proof).is_err(),
                    "{old} to {new}, taken for {other}"
                );
            }
        }
        let (size, larger) = (new as u64, new as u64 + 1);
        assert_eq!(
            consistency_proof(&reader, larger, size),
            Err(BuildError::Range { asked: larger, size })
        );
        assert_eq!(
            verify_consistency(larger, size, EMPTY_ROOT, EMPTY_ROOT, &[]),
            Err(ProofError::Range { asked: larger, size })
        );
    }
}

#[test]
fn equal_sizes_and_the_empty_tree_take_an_empty_proof_and_true_roots() {
    let (a, b) = (Hash([1; 32]), Hash([2; 32]));
    assert_eq!(verify_consistency(0, 0, EMPTY_ROOT, EMPTY_ROOT, &[]), Ok(()));
    assert_eq!(verify_consistency(0, 0, a, a, &[]), Err(ProofError::OldRoot));
    assert_eq!(
        verify_consistency(0, 0, EMPTY_ROOT, a, &[]),
        Err(ProofError::Root)
    );
    assert_eq!(verify_consistency(0, 5, EMPTY_ROOT, a, &[]), Ok(()));
    assert_eq!(verify_consistency(0, 5, b, a, &[]), Err(ProofError::OldRoot));
    assert_eq!(
        verify_consistency(0, 5, EMPTY_ROOT, a, &[a]),
        Err(ProofError::Long)
    );
    assert_eq!(verify_consistency(5, 5, a, a, &[]), Ok(()));
    assert_eq!(verify_consistency(5, 5, a, b, &[]), Err(ProofError::Root));
    assert_eq!(verify_consistency(5, 5, a, a, &[a]), Err(ProofError::Long));
    assert_eq!(verify_consistency(3, 5, a, b, &[]), Err(ProofError::Short));
    assert_eq!(verify_consistency(4, 5, a, b, &[]), Err(ProofError::Short));
}

/// Leaves and roots of certificate-transparency's reference tests.
#[test]
fn rfc6962_reference_vectors() {
    let leaves: Vec<Hash> = [
        &b""[..],
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ]
    .map(leaf_hash)
    .into();
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let reader = Leaves(&leaves);
    for (size, root) in (1..).zip(roots) {
        assert_eq!(root_at(&reader, size).unwrap().to_string(), root);
    }
    let hex = |proof: Vec<Hash>| proof.iter().map(Hash::to_string).collect::<Vec<_>>();
    assert_eq!(
        hex(inclusion_proof(&reader, 0, 8).unwrap()),
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ]
    );
    assert_eq!(
        hex(consistency_proof(&reader, 6, 8).unwrap()),
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]
    );
}

#[test]
fn range_root_takes_aligned_ranges_only() {
    let leaves = leaves(20);
    let reader = Leaves(&leaves);
    assert_eq!(range_root(&reader, 8..11), Ok(naive_root(&leaves[8..11])));
    assert_eq!(range_root(&reader, 16..20), Ok(naive_root(&leaves[16..20])));
    assert_eq!(range_root(&reader, 3..3), Ok(EMPTY_ROOT));
    for bad in [2..5, 4..12, 1..3] {
        assert!(range_root(&reader, bad).is_err());
    }
    let reversed = core::ops::Range { start: 5, end: 4 };
    assert!(range_root(&reader, reversed).is_err());
    assert_eq!(
        range_root(&reader, 0..SIZE_MAX + 1),
        Err(BuildError::Size(SIZE_MAX + 1))
    );
}

#[test]
fn read_errors_come_through() {
    let leaves = leaves(5);
    let reader = Leaves(&leaves);
    assert_eq!(
        root_at(&reader, 6),
        Err(BuildError::Read("node reaches beyond the tree"))
    );
    assert!(inclusion_proof(&reader, 0, 9).is_err());
    assert!(consistency_proof(&reader, 3, 9).is_err());
}

/// A tree of equal leaves: a node depends on its level only, so trees of any size cost nothing.
struct Uniform([Hash; 63]);

impl Uniform {
    fn new() -> Self {
        let mut levels = [leaf_hash(b"same"); 63];
        for level in 1..63 {
            levels[level] = node_hash(&levels[level - 1], &levels[level - 1]);
        }
        Self(levels)
    }
}

impl NodeReader for Uniform {
    type Error = ();

    fn node(&self, level: u8, _: u64) -> Result<Hash, ()> {
        self.0.get(usize::from(level)).copied().ok_or(())
    }
}

/// Sizes near powers of two as well as any size.
fn sizes() -> impl Strategy<Value = u64> {
    prop_oneof![
        1..=SIZE_MAX,
        (0u32..63, -2i64..=2).prop_map(|(bit, near)| (1u64 << bit).saturating_add_signed(near).max(1)),
        Just(SIZE_MAX),
    ]
}

proptest! {
    #[test]
    fn proofs_of_trees_of_any_size_verify(size in sizes(), at: u64, other in sizes()) {
        let tree = Uniform::new();
        let root = root_at(&tree, size).unwrap();
        let index = at % size;
        let proof = inclusion_proof(&tree, index, size).unwrap();
        prop_assert!(proof.len() <= PROOF_HASHES_MAX);
        prop_assert_eq!(verify_inclusion(index, size, tree.0[0], &proof, root), Ok(()));
        for mutant in mutants(&proof).iter().filter(|mutant| mutant.len() != proof.len()) {
            prop_assert!(verify_inclusion(index, size, tree.0[0], mutant, root).is_err());
        }

        let (old, new) = (size.min(other), size.max(other));
        let (old_root, new_root) = (root_at(&tree, old).unwrap(), root_at(&tree, new).unwrap());
        let proof = consistency_proof(&tree, old, new).unwrap();
        prop_assert!(proof.len() <= PROOF_HASHES_MAX + 1);
        prop_assert_eq!(verify_consistency(old, new, old_root, new_root, &proof), Ok(()));
    }

    #[test]
    fn verifying_takes_any_input_without_panic(
        a: u64, b: u64, proof in prop::collection::vec(any::<[u8; 32]>().prop_map(Hash), 0..70)
    ) {
        prop_assert!(verify_inclusion(a, b, EMPTY_ROOT, &proof, EMPTY_ROOT).is_err());
        let _ = verify_consistency(a, b, EMPTY_ROOT, EMPTY_ROOT, &proof);
    }
}
