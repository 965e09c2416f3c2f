//! Who a witness is: its name and its Ed25519 key.
//!
//! # Format
//! `keys/root.<generation>` holds a root key, as every data directory has one. `identity`, mode 0600:
//! ```text
//! attestore witness v1
//! name <name>
//! key <generation of the root> <hex(the Ed25519 seed, wrapped by the root)>
//! ```
//! The name is part of what the wrapping authenticates.

use std::path::Path;
use std::sync::Arc;

use attestore_disk::Disk;
use attestore_keys::{Entropy, FileRoot, Key, RootProvider, SigningKey};
use attestore_tlog::{CosignerKey, NoteSigner, VerifierKeyError};

use crate::files::{self, hex, unhex};

/// Signs as a witness.
pub struct Identity {
    name: String,
    key: SigningKey,
}

/// Says why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The directory holds none.
    #[error("the directory holds no witness: name one to make it")]
    Missing,
    /// The directory holds one of another name.
    #[error("the directory is of the witness `{0}`: another name takes another directory and key")]
    OtherName(String),
    /// The name cannot be that of a key.
    #[error("a witness's name has no spaces, no `+` and no control characters, and 1 to 255 bytes")]
    Name,
    /// The file is not what was written.
    #[error("`{IDENTITY}` is damaged")]
    Damaged,
    /// The keys say no.
    #[error(transparent)]
    Keys(#[from] attestore_keys::Error),
    /// The file cannot be read or written.
    #[error("`{IDENTITY}`: {0}")]
    Io(#[from] std::io::Error),
}

impl Identity {
    /// Opens the identity in a directory.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn open(disk: &Arc<dyn Disk>, entropy: Arc<dyn Entropy>) -> Result<Self, IdentityError> {
        let bytes = files::read(disk.as_ref(), Path::new(IDENTITY), FILE_BYTES_MAX)?;
        let bytes = bytes.ok_or(IdentityError::Missing)?;
        let (name, generation, wrapped) = parse(&bytes).ok_or(IdentityError::Damaged)?;
        let root = FileRoot::open(disk.clone(), KEYS, entropy)?;
        let key = SigningKey::from_seed(&root.unwrap(generation, &context(name), &wrapped)?);
        let identity = Self {
            name: name.to_owned(),
            key,
        };
        identity.check().map_err(|_| IdentityError::Damaged)?;
        Ok(identity)
    }

    /// Opens the identity of that name, or makes it with a fresh key where there is none.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn open_or_create(
        disk: &Arc<dyn Disk>,
        entropy: Arc<dyn Entropy>,
        name: &str,
    ) -> Result<Self, IdentityError> {
        match Self::open(disk, entropy.clone()) {
            Ok(identity) if identity.name == name => Ok(identity),
            Ok(identity) => Err(IdentityError::OtherName(identity.name)),
            Err(IdentityError::Missing) => Self::create(disk, entropy, name),
            Err(error) => Err(error),
        }
    }

    fn create(disk: &Arc<dyn Disk>, entropy: Arc<dyn Entropy>, name: &str) -> Result<Self, IdentityError> {
        let seed = Key::random(entropy.as_ref());
        let identity = Self {
            name: name.to_owned(),
            key: SigningKey::from_seed(&seed),
        };
        identity.check().map_err(|_| IdentityError::Name)?;
        let root = FileRoot::open_or_create(disk.clone(), KEYS, entropy)?;
        let wrapped = root.wrap(&context(name), &seed)?;
        let text = format!(
            "{HEADER}\nname {name}\nkey {} {}\n",
            root.generation(),
            hex(&wrapped)
        );
        files::replace(disk.as_ref(), Path::new(IDENTITY), text.as_bytes())?;
        Ok(identity)
    }

    /// The key that others verify with.
    ///
    /// # Panics
    /// Never: it was made when the identity was.
    #[must_use]
    pub fn verifier(&self) -> CosignerKey {
        self.check().expect("checked when the identity was made")
    }

    fn check(&self) -> Result<CosignerKey, VerifierKeyError> {
        if self.name.len() > NAME_BYTES_MAX {
            return Err(VerifierKeyError::Name);
        }
        CosignerKey::ed25519(&self.name, self.key.public())
    }
}

impl NoteSigner for Identity {
    fn name(&self) -> &str {
        &self.name
    }

    fn public(&self) -> [u8; 32] {
        self.key.public()
    }

    fn sign(&self, msg: &[u8]) -> Result<[u8; 64], attestore_tlog::NoteError> {
        self.key.sign(msg).map_err(|_| attestore_tlog::NoteError::Signer)
    }
}

/// Name, generation of the root, wrapped seed.
fn parse(bytes: &[u8]) -> Option<(&str, u64, Vec<u8>)> {
    let text = str::from_utf8(bytes).ok()?;
    let rest = text.strip_prefix(HEADER)?.strip_prefix("\nname ")?;
    let (name, rest) = rest.split_once("\nkey ")?;
    let (generation, wrapped) = rest.strip_suffix('\n')?.split_once(' ')?;
    Some((name, generation.parse().ok()?, unhex(wrapped)?))
}

fn context(name: &str) -> Vec<u8> {
    [b"attestore witness key v1\0", name.as_bytes()].concat()
}

const HEADER: &str = "attestore witness v1";
const IDENTITY: &str = "identity";
const KEYS: &str = "keys";
const FILE_BYTES_MAX: u64 = 4096;
const NAME_BYTES_MAX: usize = 255;
