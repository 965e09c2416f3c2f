//! Ed25519 signatures (RFC 8032), by aws-lc.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

use crate::Key;

/// An Ed25519 key pair.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: [u8; 32],
}

impl SigningKey {
    /// Expands the 32-byte private `seed`.
    pub fn from_seed(seed: &Key) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose()).expect("an Ed25519 seed has 32 bytes");
        let mut public = [0; 32];
        public.copy_from_slice(pair.public_key().as_ref());
        Self { pair, public }
    }

    /// The public key.
    pub fn public(&self) -> [u8; 32] {
        self.public
    }

    /// Signs `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes.copy_from_slice(self.pair.sign(message).as_ref());
        bytes
    }
}

#[cfg(test)]
mod tests;
