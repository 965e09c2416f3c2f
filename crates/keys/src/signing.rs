//! Ed25519 signatures (RFC 8032): by aws-lc, under keys in memory, or by a security module, under keys that never leave it.

use std::sync::Arc;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::{Entropy, Error, Key, Result};

/// Makes, uses and destroys Ed25519 keys that never leave a security module.
pub trait SigningModule: Send + Sync {
    /// Whether it can.
    ///
    /// # Errors
    /// [`Error::MissingKey`] if it cannot, [`Error::Unreachable`].
    fn check(&self) -> Result<()>;

    /// Says under which reference the next key is going to be. Makes nothing yet.
    fn reference(&self, entropy: &dyn Entropy) -> Vec<u8>;

    /// Makes the key of `reference` and returns its public key; one that an attempt before left is replaced.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::MissingKey`] where it cannot.
    fn make(&self, reference: &[u8]) -> Result<[u8; 32]>;

    /// Signs. The caller verifies.
    ///
    /// # Errors
    /// [`Error::MissingKey`] when there is no such key, [`Error::Unreachable`].
    fn sign(&self, reference: &[u8], message: &[u8]) -> Result<[u8; 64]>;

    /// Destroys the key of `reference` and makes sure that it is gone; one that is gone already is no error.
    ///
    /// # Errors
    /// It is out of reach, or the key may still be there.
    fn destroy(&self, reference: &[u8]) -> Result<()>;

    /// How many keys of this directory it has.
    ///
    /// # Errors
    /// [`Error::Unreachable`].
    fn count(&self) -> Result<usize>;

    /// Whether the key of `reference` was made for this directory. One that was restored names keys of another.
    fn owns(&self, reference: &[u8]) -> bool;
}

/// An Ed25519 key pair.
pub struct SigningKey {
    pair: Pair,
    public: [u8; 32],
}

enum Pair {
    Here(Ed25519KeyPair),
    Module {
        /// None where nobody is logged in to it.
        module: Option<Arc<dyn SigningModule>>,
        reference: Vec<u8>,
    },
}

impl SigningKey {
    /// Expands the 32-byte private `seed`.
    pub fn from_seed(seed: &Key) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose()).expect("an Ed25519 seed has 32 bytes");
        let mut public = [0; 32];
        public.copy_from_slice(pair.public_key().as_ref());
        let pair = Pair::Here(pair);
        Self { pair, public }
    }

    /// The key of `reference` in a module, whose public key is known. Asks nobody.
    pub fn in_module(module: Option<Arc<dyn SigningModule>>, reference: Vec<u8>, public: [u8; 32]) -> Self {
        let pair = Pair::Module { module, reference };
        Self { pair, public }
    }

    /// The public key.
    pub fn public(&self) -> [u8; 32] {
        self.public
    }

    /// Whether the key is in a security module.
    pub fn is_in_module(&self) -> bool {
        matches!(self.pair, Pair::Module { .. })
    }

    /// Signs `message`. What a module signed is verified before it is returned.
    ///
    /// # Errors
    /// None for keys in memory; as [`SigningModule::sign`]; [`Error::Unreachable`] for a signature that is none by this key.
    pub fn sign(&self, message: &[u8]) -> Result<[u8; 64]> {
        match &self.pair {
            Pair::Here(pair) => {
                let mut bytes = [0; 64];
                bytes.copy_from_slice(pair.sign(message).as_ref());
                Ok(bytes)
            }
            Pair::Module { module, reference } => {
                let module = module.as_ref().ok_or_else(|| Error::Unreachable {
                    what: "the security module that holds the signing key: nobody is logged in to it"
                        .to_owned(),
                })?;
                let signature = module.sign(reference, message)?;
                let key = UnparsedPublicKey::new(&ED25519, &self.public);
                key.verify(message, &signature).map_err(|_| Error::Unreachable {
                    what: "the security module gave a signature that does not verify under the key"
                        .to_owned(),
                })?;
                Ok(signature)
            }
        }
    }
}

#[cfg(test)]
mod tests;
