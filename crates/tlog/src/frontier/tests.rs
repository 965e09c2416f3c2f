//! The frontier against a naive recursive tree.

#![expect(
    clippy::cast_possible_truncation,
    reason = "sizes of test trees fit every integer"
)]

use std::{format, vec, vec::Vec};

use proptest::prelude::*;

use super::{Frontier, FrontierError};
use crate::{
    hash::{EMPTY_ROOT, Hash, SIZE_MAX, leaf_hash},
    proof::tests::{Leaves, leaves, naive_root},
};

#[test]
fn root_equals_the_recursive_definition_for_every_small_size() {
    let leaves = leaves(70);
    let mut tree = Frontier::new();
    assert_eq!(tree.root(), EMPTY_ROOT);
    for size in 1..=leaves.len() {
        tree.push(leaves[size - 1]);
        assert_eq!(tree.size(), size as u64);
        assert_eq!(tree.root(), naive_root(&leaves[..size]), "size {size}");
        assert_eq!(Frontier::from_bytes(&tree.to_bytes()), Ok(tree.clone()));
        assert_eq!(Frontier::read(&Leaves(&leaves), size as u64).unwrap(), tree);
    }
}

#[test]
fn push_reports_every_complete_node_once_and_in_order() {
    let leaves = leaves(70);
    let mut tree = Frontier::new();
    let mut found = Vec::new();
    for (i, leaf) in leaves.iter().enumerate() {
        let before = found.len();
        tree.push_with(*leaf, |level, index, hash| found.push((level, index, hash)));
        assert!(
            found[before..]
                .iter()
                .map(|node| node.0)
                .eq(1..=(i as u64 + 1).trailing_zeros() as u8)
        );
    }
    found.sort_unstable();
    let mut expected = vec![];
    for level in 1..7u8 {
        for index in 0..(70u64 >> level) {
            let range = (index << level) as usize..((index + 1) << level) as usize;
            expected.push((level, index, naive_root(&leaves[range])));
        }
    }
    assert_eq!(found, expected);
}

#[test]
fn peaks_are_the_complete_subtrees_that_the_tree_splits_into_and_no_others() {
    let leaves = leaves(70);
    let mut tree = Frontier::new();
    for size in 1..=leaves.len() {
        tree.push(leaves[size - 1]);
        let mut covered = 0;
        for level in 0..8u8 {
            for index in 0..=(80u64 >> level) {
                let Some(peak) = tree.peak(level, index) else {
                    continue;
                };
                let range = (index << level) as usize..((index + 1) << level) as usize;
                covered += range.len();
                assert_eq!(peak, naive_root(&leaves[range]), "size {size}, {level}, {index}");
            }
        }
        assert_eq!(covered, size);
    }
    assert_eq!(tree.peak(63, 0), None);
    assert_eq!(tree.peak(200, 0), None);
}

#[test]
fn golden_bytes() {
    let mut tree = Frontier::new();
    for leaf in [b"a", b"b", b"c"] {
        tree.push(leaf_hash(leaf));
    }
    let hex: std::string::String = tree.to_bytes().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(
        hex,
        "0300000000000000\
         b137985ff484fb600db93107c77b0365c80d78f5b429ded0fd97361d077999eb\
         597fcb31282d34654c200d3418fca5705c648ebf326ec73d8ddef11841f876d8"
    );
}

#[test]
fn bytes_of_another_length_are_refused() {
    let mut tree = Frontier::new();
    (0..5).for_each(|i| tree.push(leaf_hash(&[i])));
    let bytes = tree.to_bytes();
    for cut in 0..bytes.len() {
        assert!(Frontier::from_bytes(&bytes[..cut]).is_err(), "{cut} bytes");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(
        Frontier::from_bytes(&longer),
        Err(FrontierError::Length {
            size: 5,
            expected: 72,
            found: 73
        })
    );
    assert_eq!(
        Frontier::from_bytes(&(SIZE_MAX + 1).to_le_bytes()),
        Err(FrontierError::Size)
    );
    assert_eq!(Frontier::from_bytes(&[0; 8]), Ok(Frontier::new()));
}

#[test]
#[should_panic(expected = "tree is full")]
fn a_full_tree_takes_no_leaf() {
    let bytes = [&SIZE_MAX.to_le_bytes()[..], &[7; 63 * 32]].concat();
    Frontier::from_bytes(&bytes).unwrap().push(Hash([0; 32]));
}

proptest! {
    #[test]
    fn every_flipped_byte_of_the_hashes_changes_the_root(size in 1u64..2000, at: prop::sample::Index, mask in 1u8..) {
        let mut tree = Frontier::new();
        (0..size).for_each(|i| tree.push(leaf_hash(&i.to_be_bytes())));
        let mut bytes = tree.to_bytes();
        let at = 8 + at.index(bytes.len() - 8);
        bytes[at] ^= mask;
        prop_assert_ne!(Frontier::from_bytes(&bytes).unwrap().root(), tree.root());
    }
}
