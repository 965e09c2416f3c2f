//! Roots sealed under a passphrase.
//!
//! # Format
//! ```text
//! reference = memory in KiB u32 LE ‖ passes u32 LE ‖ lanes u32 LE ‖ salt[16] ‖ key check of the sealing key[8]
//! sealing key = Argon2id v1.3 (RFC 9106) of passphrase and salt, 32 bytes
//! sealed    = nonce[12] ‖ AES-256-GCM(sealing key, AAD, root[32]) ‖ tag[16]
//! ```
//! The key check tells a wrong passphrase from damage. It helps nobody to guess: the tag of the seal tells as much, and every
//! guess costs one run of Argon2id.
//!
//! All generations of a directory share salt and costs, so new ones are sealed without asking for the passphrase again: the sealing key
//! stays in memory, the passphrase does not.

use argon2::{Algorithm, Argon2, Params, Version};
use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::{Provider, RootSeal};
use crate::{Entropy, Error, Key, KeyCheck, Result, aead, random_array};

/// What one derivation costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB, 8 to 4,194,304.
    pub memory_kib: u32,
    /// Passes over it, 1 to 64.
    pub passes: u32,
    /// Lanes, 1 to 16.
    pub lanes: u32,
}

impl Default for Cost {
    /// The second recommended choice of RFC 9106 with one lane: 64 MiB, 3 passes.
    fn default() -> Self {
        Self {
            memory_kib: 64 << 10,
            passes: 3,
            lanes: 1,
        }
    }
}

impl Cost {
    /// The parameters, if they are within bounds: a file must not make an opening take all memory, or hours.
    fn params(self) -> Option<Params> {
        let sane = (8..=4 << 20).contains(&self.memory_kib)
            && (1..=64).contains(&self.passes)
            && (1..=16).contains(&self.lanes);
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(Key::LEN));
        params.ok().filter(|_| sane)
    }
}

/// Seals under a passphrase.
pub struct PassphraseSeal {
    cost: Cost,
    state: Mutex<State>,
}

struct State {
    /// Gone once it was used.
    passphrase: Option<Zeroizing<Vec<u8>>>,
    /// Sealing keys, by the reference that they were derived from; the last one seals new roots.
    keys: Vec<(Reference, Key)>,
}

impl PassphraseSeal {
    /// Takes a passphrase; `cost` is for a directory that has none yet.
    #[must_use]
    pub fn new(passphrase: Zeroizing<Vec<u8>>, cost: Cost) -> Self {
        Self {
            cost,
            state: Mutex::new(State {
                passphrase: Some(passphrase),
                keys: Vec::new(),
            }),
        }
    }
}

impl RootSeal for PassphraseSeal {
    fn provider(&self) -> Provider {
        Provider::Passphrase
    }

    fn reference(&self, _generation: u64, entropy: &dyn Entropy) -> Result<Vec<u8>> {
        let mut state = self.state.lock();
        if let Some((reference, _)) = state.keys.last() {
            return Ok(reference.encode());
        }
        let salt = random_array(entropy);
        let key = derive(state.passphrase.as_deref().map(Vec::as_slice), self.cost, &salt)?;
        let reference = Reference {
            cost: self.cost,
            salt,
            check: key.check(),
        };
        let encoded = reference.encode();
        state.keys.push((reference, key));
        Ok(encoded)
    }

    fn seal(&self, reference: &[u8], aad: &[u8], root: &Key, entropy: &dyn Entropy) -> Result<Vec<u8>> {
        let state = self.state.lock();
        let known = state.keys.iter().find(|(known, _)| known.encode() == reference);
        let (_, key) = known.ok_or_else(|| missing("passphrase"))?;
        Ok(aead::seal_random(key, entropy, aad, root.expose()))
    }

    fn open(&self, reference: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Key> {
        let damaged = |reason| Error::Damaged {
            what: "root sealed under a passphrase".to_owned(),
            reason,
        };
        let reference = Reference::decode(reference).ok_or_else(|| damaged("costs out of bounds"))?;
        let mut state = self.state.lock();
        if !state.keys.iter().any(|(known, _)| *known == reference) {
            let passphrase = state.passphrase.as_deref().map(Vec::as_slice);
            let key = derive(passphrase, reference.cost, &reference.salt)?;
            if !reference.check.matches(&key) {
                return Err(Error::WrongKey {
                    what: "passphrase".to_owned(),
                });
            }
            state.keys.push((reference.clone(), key));
        }
        let known = state.keys.iter().find(|(known, _)| *known == reference);
        let (_, key) = known.ok_or_else(|| missing("passphrase"))?;
        let opened = aead::open_random(key, aad, sealed)
            .map(Zeroizing::new)
            .map_err(|_| damaged("not authentic under its key"))?;
        let root = opened.as_slice().try_into().map_err(|_| damaged("not a key"))?;
        Ok(Key::from_bytes(root))
    }

    fn settled(&self) {
        let mut state = self.state.lock();
        // Where it is to seal its first root yet, it is needed still.
        if !state.keys.is_empty() {
            state.passphrase = None;
        }
    }
}

/// How the sealing key comes from the passphrase.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reference {
    cost: Cost,
    salt: [u8; 16],
    check: KeyCheck,
}

impl Reference {
    fn encode(&self) -> Vec<u8> {
        let cost = [self.cost.memory_kib, self.cost.passes, self.cost.lanes];
        let mut bytes: Vec<u8> = cost.into_iter().flat_map(u32::to_le_bytes).collect();
        bytes.extend_from_slice(&self.salt);
        bytes.extend_from_slice(&self.check.0);
        bytes
    }

    /// Reads a reference; none if it is not one, or its costs are beyond bounds.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (memory, rest) = bytes.split_first_chunk()?;
        let (passes, rest) = rest.split_first_chunk()?;
        let (lanes, rest) = rest.split_first_chunk()?;
        let (salt, check) = rest.split_first_chunk()?;
        let cost = Cost {
            memory_kib: u32::from_le_bytes(*memory),
            passes: u32::from_le_bytes(*passes),
            lanes: u32::from_le_bytes(*lanes),
        };
        cost.params()?;
        Some(Self {
            cost,
            salt: *salt,
            check: KeyCheck(check.try_into().ok()?),
        })
    }
}

fn derive(passphrase: Option<&[u8]>, cost: Cost, salt: &[u8; 16]) -> Result<Key> {
    let passphrase = passphrase
        .filter(|text| !text.is_empty())
        .ok_or_else(|| missing("passphrase"))?;
    let params = cost.params().ok_or_else(|| missing("sane costs of Argon2id"))?;
    let mut key = Zeroizing::new([0; Key::LEN]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase, salt, key.as_mut_slice())
        .map_err(|_| missing("a passphrase that Argon2id takes"))?;
    Ok(Key::from_bytes(*key))
}

fn missing(what: &str) -> Error {
    Error::MissingKey {
        what: what.to_owned(),
    }
}
