//! Verifier keys: `<name>+<key id, 8 hex digits>+<base64(type ‖ public key)>`.

use alloc::{string::String, vec::Vec};
use core::{fmt, str::FromStr};

use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

use super::line::NoteSignature;
use crate::encoding;

/// Verifies notes signed with one Ed25519 key (type 0x01). Displays as its vkey text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: u32,
    public: VerifyingKey,
}

/// Says why a text or a public key makes no verifier key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifierKeyError {
    /// It does not have three parts of the right form.
    #[error("verifier key is malformed")]
    Malformed,
    /// The name is empty, or has a space, a control character or a `+`.
    #[error("verifier key has an invalid name")]
    Name,
    /// The key is of a type other than Ed25519.
    #[error("verifier key is of unknown type {0:#04x}")]
    Type(u8),
    /// The public key is no point of the curve, or one that makes forged signatures verify.
    #[error("public key is invalid")]
    Public,
    /// The id is not the one that name and public key give.
    #[error("verifier key has the wrong key id")]
    Id,
}

impl VerifierKey {
    /// Makes the key of a name and an Ed25519 public key.
    ///
    /// # Errors
    /// [`VerifierKeyError::Name`] or [`VerifierKeyError::Public`].
    pub fn new(name: &str, public: [u8; 32]) -> Result<Self, VerifierKeyError> {
        if !is_key_name(name) {
            return Err(VerifierKeyError::Name);
        }
        let id = key_id(name, ED25519, &public);
        Ok(Self {
            name: name.into(),
            id,
            public: ed25519(&public)?,
        })
    }

    /// Parses a vkey text.
    ///
    /// # Errors
    /// [`VerifierKeyError`] for the first rule it breaks.
    pub fn parse(vkey: &str) -> Result<Self, VerifierKeyError> {
        let parts = VkeyParts::parse(vkey)?;
        if parts.kind != ED25519 {
            return Err(VerifierKeyError::Type(parts.kind));
        }
        let public = parts.public.as_slice().try_into();
        let key = Self::new(parts.name, public.map_err(|_| VerifierKeyError::Malformed)?)?;
        if key.id == parts.id {
            Ok(key)
        } else {
            Err(VerifierKeyError::Id)
        }
    }

    /// Returns the key name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the key id.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Returns the Ed25519 public key.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.public.to_bytes()
    }

    /// Tells whether the key signed exactly these bytes. For what is no note and whose first bytes say so: a note begins with the
    /// name of its log.
    #[must_use]
    pub fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.verify(message, signature)
    }

    /// Tells whether the line claims to be by this key.
    pub(super) fn made(&self, line: &NoteSignature) -> bool {
        line.name() == self.name && line.key_id() == self.id
    }

    pub(super) fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        ed25519_verifies(&self.public, text, signature)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_vkey(f, &self.name, self.id, ED25519, self.public.as_bytes())
    }
}

impl FromStr for VerifierKey {
    type Err = VerifierKeyError;

    fn from_str(vkey: &str) -> Result<Self, VerifierKeyError> {
        Self::parse(vkey)
    }
}

/// A vkey text, taken apart. Whether the id fits is for the type of the key to say.
pub(crate) struct VkeyParts<'a> {
    pub name: &'a str,
    pub id: u32,
    pub kind: u8,
    pub public: Vec<u8>,
}

impl<'a> VkeyParts<'a> {
    pub(crate) fn parse(vkey: &'a str) -> Result<Self, VerifierKeyError> {
        let mut parts = vkey.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(VerifierKeyError::Malformed);
        };
        let id = parse_id(id).ok_or(VerifierKeyError::Malformed)?;
        let mut public = encoding::decode(key).ok_or(VerifierKeyError::Malformed)?;
        if public.is_empty() {
            return Err(VerifierKeyError::Malformed);
        }
        let kind = public.remove(0);
        Ok(Self {
            name,
            id,
            kind,
            public,
        })
    }
}

/// Formats a vkey text.
pub(crate) fn write_vkey(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    id: u32,
    kind: u8,
    public: &[u8],
) -> fmt::Result {
    let key = [&[kind], public].concat();
    write!(f, "{name}+{id:08x}+{}", encoding::encode(&key))
}

/// Reads an Ed25519 public key; refuses those that make forged signatures verify.
pub(crate) fn ed25519(public: &[u8; 32]) -> Result<VerifyingKey, VerifierKeyError> {
    let public = VerifyingKey::from_bytes(public).map_err(|_| VerifierKeyError::Public)?;
    if public.is_weak() {
        return Err(VerifierKeyError::Public);
    }
    Ok(public)
}

/// Tells whether the signature is valid, in the strict reading of RFC 8032.
pub(crate) fn ed25519_verifies(public: &VerifyingKey, message: &[u8], signature: &[u8]) -> bool {
    Signature::from_slice(signature).is_ok_and(|signature| public.verify_strict(message, &signature).is_ok())
}

/// Computes a key id: the first four bytes of SHA-256(name ‖ 0x0A ‖ type ‖ public key), big-endian.
#[must_use]
pub fn key_id(name: &str, kind: u8, public: &[u8]) -> u32 {
    let mut hasher = Sha256::new();
    hasher.update(name.as_bytes());
    hasher.update([b'\n', kind]);
    hasher.update(public);
    let [a, b, c, d, ..]: [u8; 32] = hasher.finalize().into();
    u32::from_be_bytes([a, b, c, d])
}

/// Tells whether a text can name a key: not empty, no Unicode space, no `+`, no control character.
pub(crate) fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c == '+' || c < ' ')
}

/// Signature type of Ed25519.
const ED25519: u8 = 0x01;

/// Eight lower-case hexadecimal digits.
fn parse_id(text: &str) -> Option<u32> {
    let hex = text.len() == 8 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    hex.then(|| u32::from_str_radix(text, 16).ok())?
}
