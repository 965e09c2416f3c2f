//! What seals roots in their files, and under which names.

use std::sync::Arc;

use crate::{Entropy, Error, Key, Result, SigningModule};

/// Who holds the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provider {
    /// Files that hold it in the open, for their owner only.
    File,
    /// Files, sealed under a passphrase.
    Passphrase,
    /// Files, sealed under keys that never leave a security module.
    Pkcs11,
    /// Files, sealed by the transit engine of HashiCorp Vault.
    Vault,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::File, Self::Passphrase, Self::Pkcs11, Self::Vault];

    /// Its name in settings, files and answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Passphrase => "passphrase",
            Self::Pkcs11 => "pkcs11",
            Self::Vault => "vault",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// Its number in root files.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::File => 1,
            Self::Passphrase => 2,
            Self::Pkcs11 => 3,
            Self::Vault => 4,
        }
    }

    pub(super) fn numbered(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.number() == number)
    }

    /// What its destruction of a root is worth, for receipts: the root's old bytes, not the data's.
    #[must_use]
    pub fn medium(self) -> &'static str {
        match self {
            Self::File => {
                "best effort: the root key is in files, and what a medium keeps of overwritten bytes is not known"
            }
            Self::Passphrase => {
                "best effort: the root key is in files, sealed under a passphrase, and what a medium keeps of overwritten bytes is \
                 not known; who has both opens it"
            }
            Self::Pkcs11 => {
                "destroyed in module: the key that sealed the root key never left the security module; it was destroyed in it and \
                 then looked for in vain"
            }
            Self::Vault => {
                "destroyed in Vault (transit key deleted): the key that sealed the root key never left Vault; it was deleted there and \
                 then looked for in vain; snapshots and backups of Vault's storage that were made before may have it still"
            }
        }
    }
}

/// Seals roots for their files. One key seals one root; the reference says which.
pub trait RootSeal: Send + Sync {
    /// Under which name.
    fn provider(&self) -> Provider;

    /// Says under which key the root of `generation` is going to be sealed. Makes nothing yet.
    ///
    /// # Errors
    /// The provider is out of reach.
    fn reference(&self, generation: u64, entropy: &dyn Entropy) -> Result<Vec<u8>>;

    /// Whether sealing leaves something outside of the file. The reference is then durable before anything is made.
    fn leaves_traces(&self) -> bool {
        false
    }

    /// Seals a root, bound to `aad`; makes the key of `reference` if there is none.
    ///
    /// # Errors
    /// The provider is out of reach.
    fn seal(&self, reference: &[u8], aad: &[u8], root: &Key, entropy: &dyn Entropy) -> Result<Vec<u8>>;

    /// Opens what [`RootSeal::seal`] returned.
    ///
    /// # Errors
    /// [`Error::WrongKey`] where another key sealed it, [`Error::MissingKey`] where there is no key; [`Error::Unreachable`]. Never
    /// damage, unless it is certain that the key is the right one.
    fn open(&self, reference: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Key>;

    /// Destroys the key of `reference`, and makes sure that it is gone; one that is gone already is no error. `witness` is the
    /// reference of a key that must be there: a provider that does not find that one does not know of anything that it is gone.
    ///
    /// # Errors
    /// The provider is out of reach, or the key may still be there.
    fn destroy(&self, reference: &[u8], witness: Option<&[u8]>) -> Result<()> {
        let _ = (reference, witness);
        Ok(())
    }

    /// Says whether the provider can be reached and still has the key of `reference`.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::MissingKey`], [`Error::WrongKey`].
    fn reach(&self, reference: &[u8]) -> Result<()> {
        let _ = reference;
        Ok(())
    }

    /// What makes signing keys where these keys are, if it can be asked for that.
    fn signing(&self) -> Option<Arc<dyn SigningModule>> {
        None
    }

    /// Every root was opened, or the first was made: secrets that are not needed any more can go.
    fn settled(&self) {}
}

/// Seals nothing: roots are in their files in the open.
pub(super) struct Open;

impl RootSeal for Open {
    fn provider(&self) -> Provider {
        Provider::File
    }

    fn reference(&self, _: u64, _: &dyn Entropy) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn seal(&self, _: &[u8], _: &[u8], root: &Key, _: &dyn Entropy) -> Result<Vec<u8>> {
        Ok(root.expose().to_vec())
    }

    fn open(&self, _: &[u8], _: &[u8], _: &[u8]) -> Result<Key> {
        let what = "a root in the open".to_owned();
        Err(Error::MissingKey { what })
    }
}
