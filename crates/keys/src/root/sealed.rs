//! The bytes of a root file that something else seals: a passphrase, a security module, a service.
//!
//! # Format
//! ```text
//!  0  magic "ATSTROOT"
//!  8  version u16 LE = 2
//! 10  generation u64 LE
//! 18  provider u8: 2 passphrase, 3 pkcs11, 4 vault
//! 19  zero
//! 20  length of the reference u16 LE
//! 22  length of the sealed root u16 LE; 0 before it was sealed
//! 24  reference: where the key is that sealed the root; its form is the provider's
//!     sealed root: its form is the provider's
//!     key check of the root[8], zero before it was sealed
//!     crc32 u32 LE of everything before
//! AAD = "attestore root seal v1" ‖ the bytes 8..20 ‖ reference
//! ```

use super::Provider;
use super::format::{GENERATION_AT, MAGIC};
use crate::KeyCheck;

/// Bytes of a file at most.
pub(super) const LEN_MAX: usize = 4096;

const VERSION: u16 = 2;
const PROVIDER_AT: usize = 18;
const LENGTHS_AT: usize = 20;
const BODY_AT: usize = 24;
const TAIL: usize = KeyCheck::LEN + 4;
const CONTEXT: &[u8] = b"attestore root seal v1";

/// What a sealed root file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) generation: u64,
    pub(super) provider: Provider,
    pub(super) reference: Vec<u8>,
    /// Empty before the root was sealed.
    pub(super) sealed: Vec<u8>,
    pub(super) check: KeyCheck,
}

impl Sealed {
    /// What will be sealed: so far it is known with which key only.
    pub(super) fn intended(generation: u64, provider: Provider, reference: Vec<u8>) -> Self {
        Self {
            generation,
            provider,
            reference,
            sealed: Vec::new(),
            check: KeyCheck([0; KeyCheck::LEN]),
        }
    }

    /// Whether these bytes are a root file of this form, whatever else is wrong with them.
    pub(super) fn is_one(bytes: &[u8]) -> bool {
        bytes.starts_with(&MAGIC) && bytes.get(8..GENERATION_AT) == Some(&VERSION.to_le_bytes())
    }

    /// What the seal binds the root to.
    pub(super) fn aad(&self) -> Vec<u8> {
        [CONTEXT, &self.head(), &self.reference].concat()
    }

    fn head(&self) -> [u8; LENGTHS_AT - 8] {
        let mut head = [0; LENGTHS_AT - 8];
        head[..2].copy_from_slice(&VERSION.to_le_bytes());
        head[2..10].copy_from_slice(&self.generation.to_le_bytes());
        head[10] = self.provider.number();
        head
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// What is longer than a file may be.
    pub(super) fn encode(&self) -> Result<Vec<u8>, &'static str> {
        let too_long = |_| "what the provider gave is too long";
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&self.head());
        let reference = u16::try_from(self.reference.len()).map_err(too_long)?;
        let sealed = u16::try_from(self.sealed.len()).map_err(too_long)?;
        bytes.extend_from_slice(&reference.to_le_bytes());
        bytes.extend_from_slice(&sealed.to_le_bytes());
        bytes.extend_from_slice(&self.reference);
        bytes.extend_from_slice(&self.sealed);
        bytes.extend_from_slice(&self.check.0);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        match bytes.len() <= LEN_MAX {
            true => Ok(bytes),
            false => Err("what the provider gave is too long"),
        }
    }

    /// Reads a file of `generation`; the error is what does not hold.
    pub(super) fn decode(generation: u64, bytes: &[u8]) -> Result<Self, &'static str> {
        let (body, crc) = bytes.split_last_chunk::<4>().ok_or("wrong length")?;
        if body.len() < BODY_AT + KeyCheck::LEN || bytes.len() > LEN_MAX {
            return Err("wrong length");
        }
        if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
            return Err("checksum");
        }
        if !Self::is_one(bytes) {
            return Err("magic");
        }
        if body[GENERATION_AT..PROVIDER_AT] != generation.to_le_bytes() {
            return Err("another generation");
        }
        let provider = Provider::numbered(body[PROVIDER_AT]).ok_or("unknown provider")?;
        if provider == Provider::File || body[PROVIDER_AT + 1] != 0 {
            return Err("unknown provider");
        }
        let length = |at: usize| usize::from(u16::from_le_bytes([body[at], body[at + 1]]));
        let (reference, sealed) = (length(LENGTHS_AT), length(LENGTHS_AT + 2));
        if body.len() + 4 != BODY_AT + reference + sealed + TAIL {
            return Err("wrong length");
        }
        let (reference, rest) = body[BODY_AT..].split_at(reference);
        let (sealed, check) = rest.split_at(sealed);
        Ok(Self {
            generation,
            provider,
            reference: reference.to_vec(),
            sealed: sealed.to_vec(),
            check: KeyCheck(check.try_into().map_err(|_| "wrong length")?),
        })
    }
}
