//! Commitments: salted hashes of groups and records.
//!
//! # Format
//! All integers are big-endian.
//!
//! ```text
//! group   c_k  = H("attestore 2026 group v1",  salt_k[32] ‖ u64 length ‖ bytes of group k)
//! record  C    = H("attestore 2026 record v1", salt_0[32] ‖ u64 length ‖ public bytes ‖ u32 n ‖ c_1 … c_n)
//! salt         = BLAKE3 keyed_hash(derive_key("attestore 2026 salt v1", key), record id ‖ label)
//! set key      = BLAKE3 derive_key("attestore 2026 subject set key v1", k_1 ‖ … ‖ k_m)
//! ```
//!
//! The `c_k` stand in ascending order, the `k_i` (32 bytes each) in ascending order of their subjects' handles.
//! The salt is part of the message, never the key: the commitment binds even an operator who picks salts later.

use std::sync::LazyLock;

use blake3::hazmat::HasherExt;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::ids::{Handle, RecordId};

/// Label of the public group's salt.
pub const PUBLIC_LABEL: &[u8] = b"public";

const GROUP: &str = "attestore 2026 group v1";
const RECORD: &str = "attestore 2026 record v1";
const SALT: &str = "attestore 2026 salt v1";
const SET_KEY: &str = "attestore 2026 subject set key v1";

static GROUP_KEY: LazyLock<[u8; 32]> = LazyLock::new(|| context_key(GROUP));
static RECORD_KEY: LazyLock<[u8; 32]> = LazyLock::new(|| context_key(RECORD));
static SALT_KEY: LazyLock<[u8; 32]> = LazyLock::new(|| context_key(SALT));
static SET_KEY_KEY: LazyLock<[u8; 32]> = LazyLock::new(|| context_key(SET_KEY));

/// The hash function of an entry version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum HashVersion {
    /// BLAKE3 in derive_key mode: the context string separates domains.
    #[default]
    Blake3 = 1,
    /// HMAC-SHA-256 whose key is the context string, for tenants that need FIPS-approved functions.
    HmacSha256 = 2,
}

impl HashVersion {
    /// Returns the number that stands in an entry.
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// Returns the version with that number.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Blake3),
            2 => Some(Self::HmacSha256),
            _ => None,
        }
    }
}

/// Commits to the bytes of a personal group under a salt.
pub fn group_commitment(version: HashVersion, salt: &[u8; 32], bytes: &[u8]) -> [u8; 32] {
    let length = length_of(bytes);
    hash(version, Domain::Group, &[salt, &length, bytes])
}

/// Commits to a whole record. Sorts `groups`, the commitments of its personal groups.
pub fn record_commitment(
    version: HashVersion,
    salt: &[u8; 32],
    public: &[u8],
    groups: &mut [[u8; 32]],
) -> [u8; 32] {
    groups.sort_unstable();
    let count = u32::try_from(groups.len())
        .expect("a record has far fewer than 2^32 groups")
        .to_be_bytes();
    let length = length_of(public);
    hash(
        version,
        Domain::Record,
        &[salt, &length, public, &count, groups.as_flattened()],
    )
}

/// Derives the salt of one group of one record. See [`SaltKey`] for many salts under one key.
pub fn salt(key: &[u8; 32], id: &RecordId, label: &[u8]) -> [u8; 32] {
    SaltKey::new(key).salt(id, label)
}

/// Derives the key of a set of subjects from their keys, in ascending order of their handles.
///
/// The set key salts and seals the personal groups of the set; it dies with the first of its subjects' keys.
pub fn set_key(keys: &[&[u8; 32]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_from_context_key(&SET_KEY_KEY);
    for key in keys {
        hasher.update(*key);
    }
    hasher.finalize().into()
}

/// Returns the label of a personal group's salt: its handles, sorted ascending, concatenated.
pub fn personal_label(handles: &[Handle]) -> Vec<u8> {
    let mut sorted = handles.to_vec();
    sorted.sort_unstable();
    sorted.iter().flat_map(|handle| *handle.as_bytes()).collect()
}

/// A key prepared for deriving salts. No `Debug` and no `Clone`: it is a secret.
pub struct SaltKey([u8; 32]);

impl SaltKey {
    /// Prepares a salt key (a generation's salt key, or a set key).
    pub fn new(key: &[u8; 32]) -> Self {
        Self(
            blake3::Hasher::new_from_context_key(&SALT_KEY)
                .update(key)
                .finalize()
                .into(),
        )
    }

    /// Derives the salt of one group of one record.
    pub fn salt(&self, id: &RecordId, label: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(id.as_bytes()).update(label).finalize().into()
    }
}

/// The two messages that are hashed.
#[derive(Clone, Copy)]
enum Domain {
    Group,
    Record,
}

fn hash(version: HashVersion, domain: Domain, parts: &[&[u8]]) -> [u8; 32] {
    match version {
        HashVersion::Blake3 => {
            let key = match domain {
                Domain::Group => &*GROUP_KEY,
                Domain::Record => &*RECORD_KEY,
            };
            let mut hasher = blake3::Hasher::new_from_context_key(key);
            for part in parts {
                hasher.update(part);
            }
            hasher.finalize().into()
        }
        HashVersion::HmacSha256 => {
            let context = match domain {
                Domain::Group => GROUP,
                Domain::Record => RECORD,
            };
            let mut mac =
                Hmac::<Sha256>::new_from_slice(context.as_bytes()).expect("HMAC takes keys of any length");
            for part in parts {
                mac.update(part);
            }
            mac.finalize().into_bytes().into()
        }
    }
}

fn context_key(context: &str) -> [u8; 32] {
    blake3::hazmat::hash_derive_key_context(context)
}

fn length_of(bytes: &[u8]) -> [u8; 8] {
    u64::try_from(bytes.len())
        .expect("a length fits 64 bits")
        .to_be_bytes()
}
