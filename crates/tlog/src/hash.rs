//! The two hash functions of the tree (RFC 6962 section 2.1), over SHA-256 with run-time detection of CPU extensions.

use alloc::string::String;
use core::fmt;

use sha2::{Digest, Sha256};

use crate::encoding;

/// Largest tree size that any function of this crate accepts: what fits a signed 64-bit integer, as in Go's `tlog`.
pub const SIZE_MAX: u64 = (1 << 63) - 1;

/// Levels that complete nodes of such a tree have: 0 to 62.
pub(crate) const LEVELS: u8 = 63;

/// Root of the tree with no leaves: SHA-256 of nothing (RFC 6962 section 2.1).
pub const EMPTY_ROOT: Hash = Hash([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
    0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

/// Names a leaf, a node or a whole tree: 32 bytes of SHA-256. Shown in lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Encodes as standard padded base64, as checkpoints and proofs carry it.
    #[must_use]
    pub fn to_base64(&self) -> String {
        encoding::encode(&self.0)
    }

    /// Decodes standard padded base64; `None` unless it is the one canonical encoding of 32 bytes.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        encoding::decode(text)?.try_into().ok().map(Self)
    }
}

impl From<[u8; 32]> for Hash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for Hash {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// Hashes the content of a leaf: SHA-256(0x00 ‖ entry).
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([LEAF_PREFIX]);
    hasher.update(entry);
    Hash(hasher.finalize().into())
}

/// Hashes two neighbours into their parent: SHA-256(0x01 ‖ left ‖ right).
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut input = [NODE_PREFIX; 1 + 2 * Hash::LEN];
    input[1..=Hash::LEN].copy_from_slice(&left.0);
    input[1 + Hash::LEN..].copy_from_slice(&right.0);
    Hash(Sha256::digest(input).into())
}

/// Folds 2^k neighbours into the root of their complete subtree, in place; `None` unless the count is a power of two.
pub(crate) fn fold_complete(hashes: &mut [Hash]) -> Option<Hash> {
    if !hashes.len().is_power_of_two() {
        return None;
    }
    let mut count = hashes.len();
    while count > 1 {
        count /= 2;
        for i in 0..count {
            hashes[i] = node_hash(&hashes[2 * i], &hashes[2 * i + 1]);
        }
    }
    hashes.first().copied()
}

const LEAF_PREFIX: u8 = 0x00;
const NODE_PREFIX: u8 = 0x01;

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn empty_root_is_the_hash_of_nothing() {
        assert_eq!(EMPTY_ROOT.0, <[u8; 32]>::from(Sha256::digest(b"")));
    }

    /// From certificate-transparency's `merkle_tree_test`: leaves "" and 0x00.
    #[test]
    fn rfc6962_leaf_and_node_vectors() {
        let empty = leaf_hash(b"");
        assert_eq!(
            empty.to_string(),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
        let zero = leaf_hash(&[0]);
        assert_eq!(
            zero.to_string(),
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
        );
        assert_eq!(
            node_hash(&empty, &zero).to_string(),
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
        );
    }

    #[test]
    fn base64_takes_only_the_canonical_text() {
        let text = EMPTY_ROOT.to_base64();
        assert_eq!(Hash::from_base64(&text), Some(EMPTY_ROOT));
        assert_eq!(Hash::from_base64(text.trim_end_matches('=')), None);
        assert_eq!(
            Hash::from_base64(&text.replace("FU=", "FV=")),
            None,
            "trailing bits"
        );
        assert_eq!(Hash::from_base64(&text[4..]), None, "short");
    }
}
