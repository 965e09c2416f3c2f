//! How much memory the bodies of all requests under way may take together.
//!
//! The first bytes of each body are free, so that small appends get in whatever others send; what is beyond them comes out of one
//! pot, for as long as the body is being received and decoded.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The pot. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Memory {
    bytes_max: usize,
    used: Arc<AtomicUsize>,
}

impl Memory {
    /// A pot of so many bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            used: Arc::default(),
        }
    }

    /// For one body.
    pub(super) const fn share(&self) -> Share<'_> {
        Share {
            memory: self,
            bytes: 0,
            taken: 0,
        }
    }
}

/// What one body has taken; given back when dropped.
pub(super) struct Share<'m> {
    memory: &'m Memory,
    bytes: usize,
    taken: usize,
}

impl Share<'_> {
    /// Takes so many bytes more; false if there are none left.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        let more = self.bytes.saturating_sub(FREE_BYTES).saturating_sub(self.taken);
        let taken = self
            .memory
            .used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
                used.checked_add(more)
                    .filter(|used| *used <= self.memory.bytes_max)
            });
        if taken.is_ok() {
            self.taken += more;
        }
        taken.is_ok()
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.taken, Ordering::AcqRel);
    }
}

/// Bytes of each body that are free: connections are limited too.
const FREE_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spent_pot_lets_small_bodies_in_and_fills_again() {
        let memory = Memory::new(1 << 20);
        let mut large = memory.share();
        assert!(large.grow((1 << 20) + FREE_BYTES));
        assert!(!large.grow(1));
        let mut small = memory.share();
        assert!(small.grow(FREE_BYTES));
        assert!(!small.grow(1));
        drop(large);
        assert!(memory.share().grow((1 << 20) + FREE_BYTES));
        drop(small);
        assert_eq!(memory.used.load(Ordering::Acquire), 0);
    }
}
