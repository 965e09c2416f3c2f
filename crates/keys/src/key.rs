//! A 32-byte secret, how further ones are derived from it, and how the right one is recognised.

use std::cell::RefCell;

use blake3::hazmat::HasherExt as _;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::Entropy;

/// A 256-bit secret, zeroised when dropped.
///
/// It has no `Debug`, `Clone` or `PartialEq`: copies are made by name ([`Key::duplicate`]) and compared in constant
/// time ([`Key::ct_eq`]).
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; Key::LEN]);

impl Key {
    /// Bytes in a key.
    pub const LEN: usize = 32;

    /// Draws a fresh key.
    pub fn random(entropy: &dyn Entropy) -> Self {
        let mut key = Self([0; Self::LEN]);
        entropy.fill(&mut key.0);
        key
    }

    /// Takes `bytes` as a key. The caller's copy of the bytes stays the caller's to zeroise.
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Shows the secret bytes.
    pub fn expose(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Makes a second copy of the secret.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0)
    }

    /// Compares two keys in constant time.
    pub fn ct_eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// The value that recognises this key without giving it away.
    pub fn check(&self) -> KeyCheck {
        KeyCheck::of(self)
    }
}

/// Derives a key from `parts` under `context` with BLAKE3's `derive_key` mode.
///
/// Each part is preceded by its length as u64 LE, so that no two lists of parts give the same message. `context`
/// is a hard-coded, globally unique string (BLAKE3 specification, section 2.3).
pub fn derive(context: &'static str, parts: &[&[u8]]) -> Key {
    let mut hasher = blake3::Hasher::new_from_context_key(&context_key(context));
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut output: [u8; Key::LEN] = hasher.finalize().into();
    forget(&mut hasher);
    let key = Key(output);
    output.zeroize();
    key
}

/// Wipes what a hasher has seen. Up to [`CHUNK_LEN`](blake3::CHUNK_LEN) bytes it holds in its chunk state alone; wiping its
/// stack of chaining values too, which is two kilobytes byte by byte, would cost several times the hash.
fn forget(hasher: &mut blake3::Hasher) {
    if hasher.count() > blake3::CHUNK_LEN as u64 {
        hasher.zeroize();
    } else {
        hasher.reset();
        zeroize::optimization_barrier(hasher);
    }
}

/// Returns the key that BLAKE3 makes of a context string, which is no secret. Remembers those of this thread.
fn context_key(context: &'static str) -> blake3::hazmat::ContextKey {
    CONTEXTS.with_borrow_mut(|contexts| {
        let known = contexts.iter().find(|(known, _)| std::ptr::eq(*known, context));
        if let Some((_, key)) = known {
            return *key;
        }
        let key = blake3::hazmat::hash_derive_key_context(context);
        if contexts.len() < CONTEXTS_MAX {
            contexts.push((context, key));
        }
        key
    })
}

thread_local! {
    static CONTEXTS: RefCell<Vec<(&'static str, blake3::hazmat::ContextKey)>> = const { RefCell::new(Vec::new()) };
}

/// More contexts than the workspace has, even if the compiler stores some strings more than once.
const CONTEXTS_MAX: usize = 64;

/// A key-check value: tells the right key from a wrong one before anything is opened with it.
///
/// It is a one-way function of the key and safe to store in the clear. It detects mistakes; it authenticates nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyCheck(pub [u8; KeyCheck::LEN]);

impl KeyCheck {
    /// Bytes in a key-check value.
    pub const LEN: usize = 8;

    /// Computes the value of `key`.
    pub fn of(key: &Key) -> Self {
        let derived = derive("attestore 2026 key check v1", &[key.expose()]);
        let mut check = [0; Self::LEN];
        check.copy_from_slice(&derived.expose()[..Self::LEN]);
        Self(check)
    }

    /// Says whether `key` is the one this value was computed of.
    pub fn matches(&self, key: &Key) -> bool {
        Self::of(key).0.ct_eq(&self.0).into()
    }
}

#[cfg(test)]
mod tests;
