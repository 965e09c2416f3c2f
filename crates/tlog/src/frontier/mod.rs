//! The right edge of a growing tree: all that is needed to extend it and to know its root.
//!
//! # Format
//! `size u64 LE ‖ hashes`: one hash for each set bit of `size`, the largest complete subtree (leftmost) first.

#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use crate::{
    hash::{EMPTY_ROOT, Hash, LEVELS, SIZE_MAX, node_hash},
    proof::NodeReader,
};

/// Holds the roots of the complete subtrees a tree splits into, largest first; at most 63 hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// One for each set bit of `size`, most significant first.
    peaks: Vec<Hash>,
}

/// Says why bytes are no frontier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrontierError {
    /// The size is missing or beyond [`SIZE_MAX`].
    #[error("frontier has no valid tree size")]
    Size,
    /// The number of hashes is not the number of set bits of the size.
    #[error("frontier of {size} leaves takes {expected} bytes, not {found}")]
    Length {
        /// Size as read.
        size: u64,
        /// Bytes that size takes.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
}

impl Frontier {
    /// Starts an empty tree.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            size: 0,
            peaks: Vec::new(),
        }
    }

    /// The root of the complete subtree over the leaves `index << level .. (index + 1) << level`, if it is one of those that the tree splits
    /// into: what most of the path of a new leaf consists of.
    #[must_use]
    pub fn peak(&self, level: u8, index: u64) -> Option<Hash> {
        let above = self.size.checked_shr(u32::from(level) + 1)?;
        let is_one = (self.size >> level) & 1 == 1 && index == above << 1;
        let before = usize::try_from(above.count_ones()).ok()?;
        is_one.then(|| self.peaks.get(before).copied()).flatten()
    }

    /// Reads the frontier of the first `size` leaves from stored nodes.
    ///
    /// # Errors
    /// Whatever the reader returns.
    ///
    /// # Panics
    /// If `size` exceeds [`SIZE_MAX`].
    pub fn read<R: NodeReader>(reader: &R, size: u64) -> Result<Self, R::Error> {
        assert!(size <= SIZE_MAX, "tree size {size} is beyond the maximum");
        let mut peaks = Vec::with_capacity(peak_count(size));
        for level in (0..LEVELS).rev().filter(|level| size >> level & 1 == 1) {
            let index = (size >> level) - 1; // the bit is set, so this is even and the count before it
            peaks.push(reader.node(level, index)?);
        }
        Ok(Self { size, peaks })
    }

    /// Appends a leaf. Costs one node hash on average.
    ///
    /// # Panics
    /// If the tree has [`SIZE_MAX`] leaves.
    pub fn push(&mut self, leaf: Hash) {
        self.push_with(leaf, |_, _, _| {});
    }

    /// Appends a leaf and calls `complete(level, index, hash)` for every complete node it finishes, level 1 and up, in
    /// ascending order of level. Node (level, index) covers the leaves `index << level .. (index + 1) << level`.
    ///
    /// # Panics
    /// If the tree has [`SIZE_MAX`] leaves.
    pub fn push_with(&mut self, leaf: Hash, mut complete: impl FnMut(u8, u64, Hash)) {
        assert!(self.size < SIZE_MAX, "tree is full");
        let (mut hash, mut index, mut level) = (leaf, self.size, 0u8);
        while index & 1 == 1 {
            let left = self.peaks.pop().expect("one peak for each set bit of size");
            hash = node_hash(&left, &hash);
            index >>= 1;
            level += 1;
            complete(level, index, hash);
        }
        self.peaks.push(hash);
        self.size += 1;
        debug_assert_eq!(self.peaks.len(), peak_count(self.size));
    }

    /// Returns the root of the tree as it stands; at most 62 node hashes.
    #[must_use]
    pub fn root(&self) -> Hash {
        let smaller_first = self.peaks.iter().rev().copied();
        smaller_first
            .reduce(|right, left| node_hash(&left, &right))
            .unwrap_or(EMPTY_ROOT)
    }

    /// Returns the number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Encodes as described in the module head; at most 8 + 63 × 32 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SIZE_BYTES + self.peaks.len() * Hash::LEN);
        bytes.extend_from_slice(&self.size.to_le_bytes());
        self.peaks
            .iter()
            .for_each(|peak| bytes.extend_from_slice(&peak.0));
        bytes
    }

    /// Decodes [`Frontier::to_bytes`]. The hashes are taken on trust: compare [`Frontier::root`] with what is known.
    ///
    /// # Errors
    /// [`FrontierError`] unless the length is exactly what the size takes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FrontierError> {
        let (size, hashes) = bytes
            .split_first_chunk::<SIZE_BYTES>()
            .ok_or(FrontierError::Size)?;
        let size = u64::from_le_bytes(*size);
        if size > SIZE_MAX {
            return Err(FrontierError::Size);
        }
        let expected = SIZE_BYTES + peak_count(size) * Hash::LEN;
        if bytes.len() != expected {
            return Err(FrontierError::Length {
                size,
                expected,
                found: bytes.len(),
            });
        }
        let (peaks, _) = hashes.as_chunks::<{ Hash::LEN }>();
        Ok(Self {
            size,
            peaks: peaks.iter().copied().map(Hash).collect(),
        })
    }
}

const SIZE_BYTES: usize = 8;

const fn peak_count(size: u64) -> usize {
    size.count_ones() as usize
}
