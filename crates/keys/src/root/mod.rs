//! Who holds the root key, and how it is replaced and destroyed.

mod file;
mod format;
mod holder;
mod passphrase;
#[cfg(feature = "pkcs11")]
mod pkcs11;
mod seal;
mod sealed;
#[cfg(feature = "vault")]
mod vault;

pub use file::FileRoot;
pub use holder::Holder;
pub use passphrase::{Cost, PassphraseSeal};
#[cfg(feature = "pkcs11")]
pub use pkcs11::{Pkcs11Seal, TokenAt};
pub use seal::{Provider, RootSeal};
#[cfg(feature = "vault")]
pub use vault::{VaultAt, VaultLogin, VaultSeal};

use std::sync::Arc;

use crate::{Key, Result, SigningModule};

/// The holder of the root: files, in the open or sealed by something else.
///
/// Whatever seals them, roots are in memory while the holder is open: wrapping and unwrapping wait for nothing and go on when a
/// security module is away. [`RootProvider::next_generation`] and [`RootProvider::destroy`] need it.
///
/// Roots come in generations. A new one is created beside the old ones, everything that hangs from the root directly
/// is wrapped again, and then the old generation is destroyed; a crash in between leaves both readable, never none.
pub trait RootProvider: Send + Sync {
    /// The generation that [`RootProvider::wrap`] uses: the newest.
    fn generation(&self) -> u64;

    /// Every generation that can be unwrapped now, ascending.
    fn generations(&self) -> Vec<u64>;

    /// Wraps `key` under the current generation, bound to `aad`.
    ///
    /// # Errors
    /// The root is out of reach.
    fn wrap(&self, aad: &[u8], key: &Key) -> Result<Vec<u8>>;

    /// Unwraps what [`RootProvider::wrap`] returned under `generation` with the same `aad`.
    ///
    /// # Errors
    /// [`crate::Error::MissingKey`] when that generation is not there, [`crate::Error::WrongKey`] when it is another
    /// root, [`crate::Error::Damaged`] when the root is the right one and `wrapped` or `aad` is not what it was.
    fn unwrap(&self, generation: u64, aad: &[u8], wrapped: &[u8]) -> Result<Key>;

    /// Creates a new root beside the old ones, persists it and makes it the current generation.
    ///
    /// # Errors
    /// The new root could not be made durable; the current generation is then unchanged.
    fn next_generation(&self) -> Result<u64>;

    /// Destroys an old generation for good. Destroying one that is not there is no error.
    ///
    /// # Errors
    /// [`crate::Error::InUse`] for the current generation; any failure of the medium, after which the generation
    /// may or may not be gone, and this has to be called again.
    fn destroy(&self, generation: u64) -> Result<()>;

    /// Who holds new roots.
    fn provider(&self) -> Provider {
        Provider::File
    }

    /// What a destroyed root is worth, for receipts.
    fn medium(&self) -> String {
        self.provider().medium().to_owned()
    }

    /// What makes and uses signing keys where roots are sealed, if it is there for that.
    fn signing(&self) -> Option<Arc<dyn SigningModule>> {
        None
    }

    /// Says whether what new generations and destructions need can be reached now. May take as long as a network does.
    ///
    /// # Errors
    /// Why not.
    fn reach(&self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
