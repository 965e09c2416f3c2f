//! Any node of the tree from what storage keeps: leaf hashes, and the nodes of level 8, 16, 24, ….

#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::ops::Range;

use crate::{
    hash::{Hash, fold_complete},
    proof::NodeReader,
    tile::TILE_HEIGHT,
};

/// Reads what storage keeps of a tree.
pub trait LeafSource {
    /// What a failed read says.
    type Error;

    /// Appends the leaf hashes of `range` to `out`, all of them. At most 256 in a call by [`SubtreeReader`], all within
    /// one tile.
    ///
    /// # Errors
    /// If any leaf cannot be read.
    fn leaves(&self, range: Range<u64>, out: &mut Vec<Hash>) -> Result<(), Self::Error>;

    /// Appends the stored nodes `range` of `level` (8, 16, …) to `out`, all of them. At most 256 in a call by
    /// [`SubtreeReader`], all within one tile.
    ///
    /// # Errors
    /// If any node cannot be read.
    fn stored(&self, level: u8, range: Range<u64>, out: &mut Vec<Hash>) -> Result<(), Self::Error>;
}

impl<S: LeafSource + ?Sized> LeafSource for &S {
    type Error = S::Error;

    fn leaves(&self, range: Range<u64>, out: &mut Vec<Hash>) -> Result<(), Self::Error> {
        (**self).leaves(range, out)
    }

    fn stored(&self, level: u8, range: Range<u64>, out: &mut Vec<Hash>) -> Result<(), Self::Error> {
        (**self).stored(level, range, out)
    }
}

/// Says why a node cannot be computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubtreeError<E> {
    /// The source failed.
    #[error("{0}")]
    Source(E),
    /// The source returned another number of hashes than it was asked for.
    #[error("asked for {expected} hashes of level {level}, got {found}")]
    Count {
        /// Level of the stored hashes.
        level: u8,
        /// Hashes asked for.
        expected: u64,
        /// Hashes returned.
        found: usize,
    },
}

/// Computes any complete node with bounded work: a node reads at most 128 stored hashes and makes one node hash less; a
/// root or a proof reads at most 255 for every eight levels of the tree.
#[derive(Clone, Copy, Debug)]
pub struct SubtreeReader<S> {
    source: S,
}

impl<S: LeafSource> SubtreeReader<S> {
    /// Reads through `source`.
    pub const fn new(source: S) -> Self {
        Self { source }
    }

    /// Returns the source.
    pub const fn source(&self) -> &S {
        &self.source
    }

    fn kept(&self, level: u8, range: Range<u64>, out: &mut Vec<Hash>) -> Result<(), SubtreeError<S::Error>> {
        let (before, expected) = (out.len(), range.end.saturating_sub(range.start));
        let read = if level == 0 {
            self.source.leaves(range, out)
        } else {
            self.source.stored(level, range, out)
        };
        read.map_err(SubtreeError::Source)?;
        let found = out.len().saturating_sub(before);
        if u64::try_from(found) == Ok(expected) {
            Ok(())
        } else {
            Err(SubtreeError::Count {
                level,
                expected,
                found,
            })
        }
    }
}

impl<S: LeafSource> NodeReader for SubtreeReader<S> {
    type Error = SubtreeError<S::Error>;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let above = level % TILE_HEIGHT;
        let range = index << above..(index + 1) << above;
        let mut hashes = Vec::with_capacity(1 << above);
        self.kept(level - above, range, &mut hashes)?;
        Ok(fold_complete(&mut hashes).expect("2^above hashes, as just counted"))
    }

    fn nodes(&self, level: u8, range: Range<u64>, out: &mut Vec<Hash>) -> Result<(), Self::Error> {
        if level.is_multiple_of(TILE_HEIGHT) {
            return self.kept(level, range, out);
        }
        for index in range {
            out.push(self.node(level, index)?);
        }
        Ok(())
    }
}
