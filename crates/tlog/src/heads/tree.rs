//! A whole tree in memory, for whoever makes rounds.

use alloc::{boxed::Box, vec::Vec};

use super::{EMPTY_SLOT, goes_right, slot_leaf};
use crate::hash::{Hash, node_hash};

/// Holds the tree of a round, ready to prove any slot of it.
#[derive(Clone, Debug)]
pub struct SlotTree {
    root: Node,
    leaves: usize,
}

/// Says that two leaves have one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("slot {0} is given twice")]
pub struct SameSlot(pub Hash);

#[derive(Clone, Debug)]
enum Node {
    Empty,
    Leaf { slot: Hash, hash: Hash },
    Inner { hash: Hash, children: Box<[Node; 2]> },
}

impl SlotTree {
    /// Builds the tree over slots and commitments, in any order.
    ///
    /// # Errors
    /// [`SameSlot`].
    pub fn new(mut leaves: Vec<(Hash, Hash)>) -> Result<Self, SameSlot> {
        leaves.sort_unstable();
        let twice = leaves.windows(2).find(|pair| pair[0].0 == pair[1].0);
        match twice {
            Some(pair) => Err(SameSlot(pair[0].0)),
            None => Ok(Self {
                root: Node::over(&leaves, 0),
                leaves: leaves.len(),
            }),
        }
    }

    /// Returns the root.
    #[must_use]
    pub const fn root(&self) -> Hash {
        self.root.hash()
    }

    /// Returns the number of leaves.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.leaves
    }

    /// Tells whether there is no leaf.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.leaves == 0
    }

    /// Returns the siblings on the way from a slot's leaf to the root; `None` if the slot has no leaf.
    #[must_use]
    pub fn siblings(&self, slot: &Hash) -> Option<Vec<Hash>> {
        let (mut node, mut siblings) = (&self.root, Vec::new());
        loop {
            match node {
                Node::Inner { children, .. } => {
                    let [left, right] = &**children;
                    let (next, sibling) = match goes_right(slot, siblings.len()) {
                        false => (left, right),
                        true => (right, left),
                    };
                    siblings.push(sibling.hash());
                    node = next;
                }
                Node::Leaf { slot: found, .. } if found == slot => break,
                Node::Leaf { .. } | Node::Empty => return None,
            }
        }
        siblings.reverse();
        Some(siblings)
    }
}

impl Node {
    /// Over leaves that are sorted and have the first `depth` bits in common.
    fn over(leaves: &[(Hash, Hash)], depth: usize) -> Self {
        match leaves {
            [] => Self::Empty,
            [(slot, commitment)] => Self::Leaf {
                slot: *slot,
                hash: slot_leaf(slot, commitment),
            },
            _ => {
                let middle = leaves.partition_point(|(slot, _)| !goes_right(slot, depth));
                let (left, right) = leaves.split_at(middle);
                let children = Box::new([Self::over(left, depth + 1), Self::over(right, depth + 1)]);
                let hash = node_hash(&children[0].hash(), &children[1].hash());
                Self::Inner { hash, children }
            }
        }
    }

    const fn hash(&self) -> Hash {
        match self {
            Self::Empty => EMPTY_SLOT,
            Self::Leaf { hash, .. } | Self::Inner { hash, .. } => *hash,
        }
    }
}
