//! Builds roots and proofs from the complete nodes of a stored tree.

use alloc::vec::Vec;
use core::ops::Range;

use crate::{
    hash::{EMPTY_ROOT, Hash, LEVELS, SIZE_MAX, node_hash},
    tile::{TILE_HEIGHT, Tile},
};

/// Reads complete nodes of a stored tree.
pub trait NodeReader {
    /// What a failed read says.
    type Error;

    /// Returns the root of the complete subtree over the leaves `index << level .. (index + 1) << level`.
    /// Never asked for a node that reaches beyond the tree size in use.
    ///
    /// # Errors
    /// If the node cannot be read.
    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;

    /// Appends the nodes `range` of `level` to `out`; override where a run is cheaper than single reads.
    ///
    /// # Errors
    /// If any node cannot be read; `out` may then hold some of them.
    fn nodes(&self, level: u8, range: Range<u64>, out: &mut Vec<Hash>) -> Result<(), Self::Error> {
        for index in range {
            out.push(self.node(level, index)?);
        }
        Ok(())
    }
}

impl<R: NodeReader + ?Sized> NodeReader for &R {
    type Error = R::Error;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        (**self).node(level, index)
    }

    fn nodes(&self, level: u8, range: Range<u64>, out: &mut Vec<Hash>) -> Result<(), Self::Error> {
        (**self).nodes(level, range, out)
    }
}

/// Says why a root or proof cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError<E> {
    /// What was asked for is not within a tree of that size.
    #[error("{asked} is outside of a tree of {size} leaves")]
    Range {
        /// Leaf index, or old size.
        asked: u64,
        /// Size of the tree.
        size: u64,
    },
    /// The tree size exceeds [`SIZE_MAX`].
    #[error("tree size {0} is beyond the maximum")]
    Size(u64),
    /// The reader failed.
    #[error("{0}")]
    Read(E),
}

/// Returns the root of the first `size` leaves; reads one node for each set bit of `size`.
///
/// # Errors
/// [`BuildError::Size`], or [`BuildError::Read`] with what the reader returned.
pub fn root_at<R: NodeReader>(reader: &R, size: u64) -> Result<Hash, BuildError<R::Error>> {
    check_size(size)?;
    subtree(reader, 0, size)
}

/// Returns the Merkle tree hash of the leaves in `range` taken as a tree of their own (RFC 6962 `MTH`), where the start
/// is a multiple of the smallest power of two that covers the length.
///
/// # Errors
/// [`BuildError::Range`] if the range is reversed or not so aligned, else as [`root_at`].
pub fn range_root<R: NodeReader>(reader: &R, range: Range<u64>) -> Result<Hash, BuildError<R::Error>> {
    check_size(range.end)?;
    let aligned = range
        .end
        .checked_sub(range.start)
        .is_some_and(|length| length == 0 || range.start.is_multiple_of(length.next_power_of_two()));
    if !aligned {
        return Err(BuildError::Range {
            asked: range.start,
            size: range.end,
        });
    }
    subtree(reader, range.start, range.end)
}

/// Builds the inclusion proof of leaf `index` in the tree of the first `size` leaves (RFC 6962 section 2.1.1), ordered
/// from the leaf to the root.
///
/// # Errors
/// [`BuildError::Range`] unless `index < size`, else as [`root_at`].
pub fn inclusion_proof<R: NodeReader>(
    reader: &R,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, BuildError<R::Error>> {
    check_size(size)?;
    if index >= size {
        return Err(BuildError::Range { asked: index, size });
    }
    let (mut start, mut end) = (0, size);
    let mut proof = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            proof.push(subtree(reader, middle, end)?);
            end = middle;
        } else {
            proof.push(subtree(reader, start, middle)?);
            start = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// Builds the proof that the tree of the first `old` leaves is a prefix of that of the first `new` leaves (RFC 6962
/// section 2.1.2). It is empty if `old` is 0 or equals `new`.
///
/// # Errors
/// [`BuildError::Range`] unless `old <= new`, else as [`root_at`].
pub fn consistency_proof<R: NodeReader>(
    reader: &R,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, BuildError<R::Error>> {
    check_size(new)?;
    if old > new {
        return Err(BuildError::Range {
            asked: old,
            size: new,
        });
    }
    let mut proof = Vec::new();
    if old == 0 || old == new {
        return Ok(proof);
    }
    let (mut start, mut end) = (0, new);
    while end != old {
        let middle = start + split(end - start);
        if old <= middle {
            proof.push(subtree(reader, middle, end)?);
            end = middle;
        } else {
            proof.push(subtree(reader, start, middle)?);
            start = middle;
        }
    }
    if start > 0 {
        proof.push(subtree(reader, start, end)?); // else it is the old root itself, which the verifier has
    }
    proof.reverse();
    Ok(proof)
}

/// Returns the hashes of a tile: the nodes of level `8 × tile.level` from `256 × tile.index` on.
///
/// # Errors
/// Whatever the reader returns.
pub fn tile_hashes<R: NodeReader>(reader: &R, tile: Tile) -> Result<Vec<Hash>, R::Error> {
    let mut hashes = Vec::with_capacity(usize::from(tile.width()));
    reader.nodes(tile.level() * TILE_HEIGHT, tile.nodes(), &mut hashes)?;
    Ok(hashes)
}

/// Hash of the leaves `start..end` as a tree, by its complete subtrees from left (largest) to right.
fn subtree<R: NodeReader>(reader: &R, start: u64, end: u64) -> Result<Hash, BuildError<R::Error>> {
    let length = end - start;
    let mut right: Option<Hash> = None;
    let mut stop = end;
    for level in (0..LEVELS).filter(|level| length >> level & 1 == 1) {
        let first = stop - (1 << level);
        let left = reader.node(level, first >> level).map_err(BuildError::Read)?;
        right = Some(right.map_or(left, |right| node_hash(&left, &right)));
        stop = first;
    }
    Ok(right.unwrap_or(EMPTY_ROOT))
}

/// Largest power of two smaller than `length`, which is at least 2.
const fn split(length: u64) -> u64 {
    1 << (length - 1).ilog2()
}

fn check_size<E>(size: u64) -> Result<(), BuildError<E>> {
    if size > SIZE_MAX {
        Err(BuildError::Size(size))
    } else {
        Ok(())
    }
}
