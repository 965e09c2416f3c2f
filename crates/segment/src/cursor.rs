//! Reads fixed-width little-endian values from bytes that nobody vouches for.

/// Bytes that do not have the form they should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at {at}: {reason}")]
pub struct Malformed {
    /// Offset in the parsed structure's byte string; for bodies, in the plaintext.
    pub at: u64,
    /// What does not hold.
    pub reason: &'static str,
}

impl Malformed {
    pub(crate) fn at(at: usize, reason: &'static str) -> Self {
        Self {
            at: at as u64,
            reason,
        }
    }

    /// Moves the offset by where the parsed bytes start.
    pub(crate) fn shifted(self, start: u64) -> Self {
        Self {
            at: self.at.saturating_add(start),
            ..self
        }
    }
}

/// A position in a byte slice; every read is checked.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn fail(&self, reason: &'static str) -> Malformed {
        Malformed::at(self.at, reason)
    }

    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..n).ok_or_else(|| self.fail("ends too early"))?;
        self.at += n;
        Ok(taken)
    }

    /// Takes `count` items of `width` bytes, without trusting that their product fits.
    pub(crate) fn take_items(&mut self, count: usize, width: usize) -> Result<&'a [u8], Malformed> {
        let n = count
            .checked_mul(width)
            .ok_or_else(|| self.fail("a count is too large"))?;
        self.take(n)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let taken = self.take(N)?;
        let mut array = [0; N];
        array.copy_from_slice(taken);
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn zeros(&mut self, n: usize) -> Result<(), Malformed> {
        let start = self.at;
        if self.take(n)?.iter().any(|&byte| byte != 0) {
            return Err(Malformed::at(start, "reserved bytes are not zero"));
        }
        Ok(())
    }

    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.remaining() != 0 {
            return Err(self.fail("more bytes than there should be"));
        }
        Ok(())
    }
}

/// Splits a column of fixed-width values; trailing bytes that fill no value are ignored (callers pass exact columns).
pub(crate) fn u32s(column: &[u8]) -> impl ExactSizeIterator<Item = u32> + '_ {
    column
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| u32::from_le_bytes(*bytes))
}

/// As [`u32s`], for u16.
pub(crate) fn u16s(column: &[u8]) -> impl ExactSizeIterator<Item = u16> + '_ {
    column
        .as_chunks::<2>()
        .0
        .iter()
        .map(|bytes| u16::from_le_bytes(*bytes))
}

/// As [`u32s`], for u64.
pub(crate) fn u64s(column: &[u8]) -> impl ExactSizeIterator<Item = u64> + '_ {
    column
        .as_chunks::<8>()
        .0
        .iter()
        .map(|bytes| u64::from_le_bytes(*bytes))
}
