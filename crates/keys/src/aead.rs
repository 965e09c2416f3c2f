//! AES-256-GCM (NIST SP 800-38D), by aws-lc.
//!
//! A nonce must never repeat under one key. [`Sealer`] leaves nonces to the caller, who seals each key's messages
//! under numbers that cannot repeat, or once; [`seal_random`] draws them, which is sound for up to 2^32 messages per
//! key.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::{Entropy, Key, random_array};

/// Bytes in an authentication tag.
pub const TAG: usize = 16;
/// Bytes in a nonce.
pub const NONCE: usize = 12;
/// Bytes that [`seal_random`] adds to its plaintext.
pub const OVERHEAD: usize = NONCE + TAG;

/// The ciphertext, tag, nonce or associated data is not what was sealed under this key.
///
/// AES-GCM cannot tell a wrong key from changed bytes; callers who must keep a [`crate::KeyCheck`] beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not authentic under this key")]
pub struct OpenError;

/// A key made ready for sealing and opening.
pub struct Sealer(LessSafeKey);

impl Sealer {
    /// Expands `key`. aws-lc zeroises the expanded key when this is dropped.
    pub fn new(key: &Key) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key.expose()).expect("an AES-256 key has 32 bytes");
        Self(LessSafeKey::new(key))
    }

    /// Encrypts `buf` in place and returns the tag over it and `aad`.
    ///
    /// # Panics
    /// When `buf` is longer than the 64 GiB that GCM allows.
    pub fn seal_in_place(&self, nonce: [u8; NONCE], aad: &[u8], buf: &mut [u8]) -> [u8; TAG] {
        let tag = self
            .0
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), buf)
            .expect("the message is within the limit of GCM");
        let mut bytes = [0; TAG];
        bytes.copy_from_slice(tag.as_ref());
        bytes
    }

    /// Checks `tag` over `buf` and `aad`, and decrypts `buf` in place.
    ///
    /// # Errors
    /// [`OpenError`] when anything differs from what was sealed; the content of `buf` is then unspecified and must
    /// not be used.
    pub fn open_in_place(
        &self,
        nonce: [u8; NONCE],
        aad: &[u8],
        buf: &mut [u8],
        tag: &[u8; TAG],
    ) -> Result<(), OpenError> {
        self.0
            .open_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), tag, buf)
            .map(|_| ())
            .map_err(|_| OpenError)
    }
}

/// Seals `plaintext` under a random nonce: nonce ‖ ciphertext ‖ tag.
pub fn seal_random(key: &Key, entropy: &dyn Entropy, aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let nonce: [u8; NONCE] = random_array(entropy);
    let mut sealed = Vec::with_capacity(plaintext.len() + OVERHEAD);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plaintext);
    let tag = Sealer::new(key).seal_in_place(nonce, aad, &mut sealed[NONCE..]);
    sealed.extend_from_slice(&tag);
    sealed
}

/// Opens what [`seal_random`] returned. The plaintext is the caller's to zeroise.
///
/// # Errors
/// [`OpenError`] when `sealed` is too short or not authentic.
pub fn open_random(key: &Key, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE>().ok_or(OpenError)?;
    let (ciphertext, tag) = rest.split_last_chunk::<TAG>().ok_or(OpenError)?;
    let mut plaintext = ciphertext.to_vec();
    Sealer::new(key).open_in_place(*nonce, aad, &mut plaintext, tag)?;
    Ok(plaintext)
}

#[cfg(test)]
mod tests;
