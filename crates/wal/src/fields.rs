//! Little-endian fields at fixed places of a fixed-size block.
//!
//! The places are constants of the formats; one that lies outside of its block is a bug that the first test shows.

/// Reads `N` bytes.
pub(crate) fn bytes_at<const N: usize>(block: &[u8], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&block[at..at + N]);
    field
}

/// Reads a u16.
pub(crate) fn u16_at(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes_at(block, at))
}

/// Reads a u32.
pub(crate) fn u32_at(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes_at(block, at))
}

/// Reads a u64.
pub(crate) fn u64_at(block: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes_at(block, at))
}

/// Writes bytes.
pub(crate) fn put(block: &mut [u8], at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Tells whether all bytes are zero.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| u128::from_le_bytes(*word) == 0) && rest.iter().all(|&b| b == 0)
}
