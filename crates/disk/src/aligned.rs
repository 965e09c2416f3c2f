//! A byte buffer whose start is aligned to [`BLOCK`], as direct IO demands.
//!
//! It has no `unsafe`: it allocates one block more than asked for and begins at the first aligned byte.

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

/// Alignment and granularity of direct writes, in bytes.
pub const BLOCK: usize = 4096;

const _: () = assert!(BLOCK.is_power_of_two());

/// A growable byte buffer that starts at a multiple of [`BLOCK`].
///
/// Clearing keeps the memory, so a reused buffer does not allocate. The bytes are not zeroised when it is dropped.
#[derive(Default)]
pub struct AlignedBuf {
    storage: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBuf {
    /// Makes an empty buffer without memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes an empty buffer that holds `capacity` bytes without growing.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let mut buf = Self::new();
        buf.reserve(capacity);
        buf
    }

    /// Makes a buffer of `len` zero bytes.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        let mut buf = Self::with_capacity(len);
        buf.len = len;
        buf
    }

    /// Returns how many bytes fit without growing.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.storage.len().saturating_sub(self.start)
    }

    /// Makes room for `additional` more bytes.
    pub fn reserve(&mut self, additional: usize) {
        let wanted = self
            .len
            .checked_add(additional)
            .expect("buffer length fits in usize");
        if wanted <= self.capacity() {
            return;
        }
        let capacity = wanted
            .max(self.capacity().saturating_mul(2))
            .next_multiple_of(BLOCK);
        let mut storage = vec![0u8; capacity + BLOCK];
        let start = storage.as_ptr().align_offset(BLOCK);
        assert!(
            start < BLOCK,
            "alignment of a byte pointer can always be computed"
        );
        storage[start..start + self.len].copy_from_slice(self);
        self.storage = storage;
        self.start = start;
    }

    /// Appends bytes.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        let from = self.start + self.len;
        self.storage[from..from + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Cuts to `len` bytes, or extends with copies of `value`.
    pub fn resize(&mut self, len: usize, value: u8) {
        if len > self.len {
            self.reserve(len - self.len);
            let from = self.start + self.len;
            self.storage[from..self.start + len].fill(value);
        }
        self.len = len;
    }

    /// Cuts to `len` bytes; does nothing if it is shorter already.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Empties it, keeping the memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Appends zeros up to the next multiple of [`BLOCK`] and returns how many.
    pub fn pad_to_block(&mut self) -> usize {
        let padding = self.len.next_multiple_of(BLOCK) - self.len;
        self.resize(self.len + padding, 0);
        padding
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.storage[self.start..self.start + self.len]
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.start..self.start + self.len]
    }
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuf")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

impl Extend<u8> for AlignedBuf {
    fn extend<I: IntoIterator<Item = u8>>(&mut self, bytes: I) {
        let bytes = bytes.into_iter();
        self.reserve(bytes.size_hint().0);
        for byte in bytes {
            self.extend_from_slice(&[byte]);
        }
    }
}

impl std::io::Write for AlignedBuf {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Tells whether direct IO between `buf` and `offset` is allowed.
#[must_use]
pub fn is_aligned(buf: &[u8], offset: u64) -> bool {
    buf.as_ptr().align_offset(BLOCK) == 0
        && buf.len().is_multiple_of(BLOCK)
        && offset.is_multiple_of(BLOCK as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Op {
        Extend(Vec<u8>),
        Resize(usize, u8),
        Truncate(usize),
        Pad,
        Clear,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..9000).prop_map(Op::Extend),
            (0usize..20000, any::<u8>()).prop_map(|(n, v)| Op::Resize(n, v)),
            (0usize..20000).prop_map(Op::Truncate),
            Just(Op::Pad),
            Just(Op::Clear),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_vec_and_stays_aligned(ops in proptest::collection::vec(op(), 0..20)) {
            let mut buf = AlignedBuf::new();
            let mut model: Vec<u8> = Vec::new();
            for op in ops {
                match op {
                    Op::Extend(bytes) => { buf.extend_from_slice(&bytes); model.extend_from_slice(&bytes); }
                    Op::Resize(n, v) => { buf.resize(n, v); model.resize(n, v); }
                    Op::Truncate(n) => { buf.truncate(n); model.truncate(n); }
                    Op::Pad => {
                        let padding = buf.pad_to_block();
                        model.resize(model.len() + padding, 0);
                        prop_assert!(padding < BLOCK && model.len().is_multiple_of(BLOCK));
                    }
                    Op::Clear => { buf.clear(); model.clear(); }
                }
                prop_assert_eq!(&buf[..], &model[..]);
                prop_assert!(buf.is_empty() || buf.as_ptr().align_offset(BLOCK) == 0);
            }
        }
    }

    #[test]
    fn a_cleared_buffer_keeps_its_memory() {
        let mut buf = AlignedBuf::new();
        buf.resize(100_000, 7);
        let (capacity, start) = (buf.capacity(), buf.as_ptr());
        buf.clear();
        buf.resize(100_000, 8);
        assert_eq!((buf.capacity(), buf.as_ptr()), (capacity, start));
    }
}
