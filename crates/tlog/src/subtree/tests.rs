//! Nodes computed from leaves and stored levels equal those of the whole tree, with bounded reads.

#![expect(
    clippy::cast_possible_truncation,
    reason = "sizes of test trees fit every integer"
)]

use std::{cell::Cell, collections::BTreeMap, vec, vec::Vec};

use super::{LeafSource, Range, SubtreeError, SubtreeReader};
use crate::{
    frontier::Frontier,
    hash::{Hash, leaf_hash},
    proof::{
        NodeReader, consistency_proof, inclusion_proof, root_at, tile_hashes, verify_consistency,
        verify_inclusion,
    },
    tile::Tile,
};

/// What storage keeps of a tree, and how much was read of it.
struct Kept {
    leaves: Vec<Hash>,
    stored: BTreeMap<u8, Vec<Hash>>,
    all: BTreeMap<(u8, u64), Hash>,
    roots: Vec<Hash>,
    read: Cell<u64>,
    omit: bool,
}

fn kept(size: u64) -> Kept {
    let mut tree = Frontier::new();
    let mut kept = Kept {
        leaves: vec![],
        stored: BTreeMap::new(),
        all: BTreeMap::new(),
        roots: vec![tree.root()],
        read: Cell::new(0),
        omit: false,
    };
    for i in 0..size {
        let leaf = leaf_hash(&i.to_be_bytes());
        kept.leaves.push(leaf);
        kept.all.insert((0, i), leaf);
        tree.push_with(leaf, |level, index, hash| {
            kept.all.insert((level, index), hash);
            if level % 8 == 0 {
                kept.stored.entry(level).or_default().push(hash);
            }
        });
        kept.roots.push(tree.root());
    }
    kept
}

impl Kept {
    fn copy(&self, row: &[Hash], range: Range<u64>, out: &mut Vec<Hash>) -> Result<(), &'static str> {
        assert!(range.end - range.start <= 256, "too much in one call");
        assert!(
            range.is_empty() || range.start / 256 == (range.end - 1) / 256,
            "two tiles in one call"
        );
        self.read.set(self.read.get() + range.end - range.start);
        let end = range.end as usize - usize::from(self.omit);
        out.extend(row.get(range.start as usize..end).ok_or("absent")?);
        Ok(())
    }
}

impl LeafSource for Kept {
    type Error = &'static str;

    fn leaves(&self, range: Range<u64>, out: &mut Vec<Hash>) -> Result<(), Self::Error> {
        self.copy(&self.leaves, range, out)
    }

    fn stored(&self, level: u8, range: Range<u64>, out: &mut Vec<Hash>) -> Result<(), Self::Error> {
        self.copy(self.stored.get(&level).ok_or("level is not stored")?, range, out)
    }
}

const SIZE: u64 = 70_000;

#[test]
fn every_node_is_the_node_of_the_tree() {
    let kept = kept(SIZE);
    let reader = SubtreeReader::new(&kept);
    for ((level, index), hash) in &kept.all {
        kept.read.set(0);
        assert_eq!(
            reader.node(*level, *index),
            Ok(*hash),
            "level {level} index {index}"
        );
        assert!(kept.read.get() <= 128);
    }
    assert_eq!(kept.all.keys().map(|key| key.0).max(), Some(16));
}

#[test]
fn roots_and_proofs_read_at_most_255_hashes_for_each_eight_levels() {
    let kept = kept(SIZE);
    let reader = SubtreeReader::new(&kept);
    let (root, levels) = (kept.roots[SIZE as usize], 3);
    for index in [0, 1, 255, 256, 257, 65_535, 65_536, 69_887, 69_888, SIZE - 1] {
        kept.read.set(0);
        let proof = inclusion_proof(&reader, index, SIZE).unwrap();
        assert!(kept.read.get() <= 2 * levels * 255, "{} reads", kept.read.get());
        assert_eq!(
            verify_inclusion(index, SIZE, kept.leaves[index as usize], &proof, root),
            Ok(())
        );
    }
    for old in [1, 255, 256, 4_095, 65_536, 69_999] {
        kept.read.set(0);
        let proof = consistency_proof(&reader, old, SIZE).unwrap();
        assert!(kept.read.get() <= 2 * levels * 255, "{} reads", kept.read.get());
        let old_root = kept.roots[old as usize];
        assert_eq!(verify_consistency(old, SIZE, old_root, root, &proof), Ok(()));
    }
    for size in (0..SIZE).step_by(997) {
        kept.read.set(0);
        assert_eq!(root_at(&reader, size), Ok(kept.roots[size as usize]));
        assert!(kept.read.get() <= levels * 255);
    }
}

#[test]
fn tiles_hold_the_nodes_of_their_level() {
    let kept = kept(SIZE);
    let reader = SubtreeReader::new(&kept);
    for (level, index) in [(0, 0), (0, 272), (0, 273), (1, 0), (1, 1), (2, 0)] {
        let tile = Tile::at(level, index, SIZE).unwrap();
        let hashes = tile_hashes(&reader, tile).unwrap();
        let expected: Vec<Hash> = tile.nodes().map(|i| kept.all[&(level * 8, i)]).collect();
        assert_eq!(hashes, expected, "{tile}");
    }
}

#[test]
fn errors_and_short_answers_are_told() {
    let mut kept = kept(300);
    let reader = SubtreeReader::new(&kept);
    assert_eq!(reader.node(0, 300), Err(SubtreeError::Source("absent")));
    assert_eq!(
        reader.node(16, 0),
        Err(SubtreeError::Source("level is not stored"))
    );
    kept.omit = true;
    let reader = SubtreeReader::new(&kept);
    assert_eq!(
        reader.node(3, 1),
        Err(SubtreeError::Count {
            level: 0,
            expected: 8,
            found: 7
        })
    );
}
