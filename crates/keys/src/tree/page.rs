//! One page of the tree: its bytes, and its sealing under its page key.
//!
//! # Format
//! ```text
//! page       = nonce[12] ‖ AES-256-GCM(page key, AAD = "attestore page v1" ‖ page id u64 LE, plaintext) ‖ tag[16]
//! plaintext  = version u8 = 1 ‖ level u8 ‖ count u16 LE ‖ count entries in ascending order of position
//! leaf entry = position u8 ‖ kind u8 ‖ flags u8 ‖ body[60]
//!              flags 1, wrapped: nonce[12] ‖ AES-256-GCM(wrapping key, AAD = context, key[32]) ‖ tag[16]
//!              flags 0, raw:     key[32] ‖ first 28 bytes of derive("attestore 2026 key slot v1", [key, context])
//! interior   = position u8 ‖ child page key[32]
//! context    = kind u8 ‖ slot u64 LE ‖ tenant[16] ‖ owner[16]
//! ```

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::slot::{HEIGHT_MAX, PageId, SLOTS_PER_PAGE, Slot, SlotContext, SlotKind};
use crate::aead::{self, Sealer};
use crate::{Entropy, Error, Key, Result, derive, random_array};

/// A page that has been opened, with the key it is sealed under.
pub(super) struct OpenPage {
    pub(super) key: Key,
    pub(super) entries: Entries,
}

/// What a page holds, by position.
pub(super) enum Entries {
    Leaf(Vec<Option<LeafEntry>>),
    Interior(Vec<Option<Key>>),
}

/// A key in a leaf.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(super) struct LeafEntry {
    kind: u8,
    flags: u8,
    body: [u8; BODY],
}

const VERSION: u8 = 1;
const HEADER: usize = 4;
const BODY: usize = aead::NONCE + Key::LEN + aead::TAG;
const BINDING: usize = BODY - Key::LEN;
const LEAF_ENTRY: usize = 3 + BODY;
const INTERIOR_ENTRY: usize = 1 + Key::LEN;
/// Entries of a page.
pub(super) const POSITIONS: usize = 64;
const WRAPPED: u8 = 1;
const RAW: u8 = 0;

const _: () = assert!(POSITIONS as u64 == SLOTS_PER_PAGE);
const _: () = assert!(LEAF_ENTRY == 63);
const _: () = assert!(HEADER + POSITIONS * LEAF_ENTRY + aead::OVERHEAD <= 4096);

impl OpenPage {
    /// An empty page of `level` under a fresh key.
    pub(super) fn empty(level: u8, entropy: &dyn Entropy) -> Self {
        Self {
            key: Key::random(entropy),
            entries: Entries::empty(level),
        }
    }

    /// The page's bytes as stored.
    pub(super) fn seal(&self, id: PageId, entropy: &dyn Entropy) -> Vec<u8> {
        let plaintext = self.entries.encode(id.level());
        aead::seal_random(&self.key, entropy, &aad(id), &plaintext)
    }

    /// Opens stored bytes.
    pub(super) fn open(id: PageId, key: Key, stored: &[u8]) -> Result<Self> {
        let damaged = |reason| Error::Damaged {
            what: describe(id),
            reason,
        };
        let plaintext = aead::open_random(&key, &aad(id), stored)
            .map(Zeroizing::new)
            .map_err(|_| damaged("not authentic under its page key"))?;
        let entries = Entries::decode(id.level(), &plaintext).map_err(damaged)?;
        Ok(Self { key, entries })
    }

    /// The key of the child page at `position`; `None` in a leaf too.
    pub(super) fn child(&self, position: usize) -> Option<&Key> {
        match &self.entries {
            Entries::Interior(entries) => entries.get(position)?.as_ref(),
            Entries::Leaf(_) => None,
        }
    }

    /// The entry at `position`; `None` in an interior page too.
    pub(super) fn leaf(&self, position: usize) -> Option<&LeafEntry> {
        match &self.entries {
            Entries::Leaf(entries) => entries.get(position)?.as_ref(),
            Entries::Interior(_) => None,
        }
    }

    pub(super) fn set_child(&mut self, position: usize, key: Option<Key>) {
        if let Entries::Interior(entries) = &mut self.entries {
            entries[position] = key;
        }
    }

    pub(super) fn set_leaf(&mut self, position: usize, entry: Option<LeafEntry>) {
        if let Entries::Leaf(entries) = &mut self.entries {
            entries[position] = entry;
        }
    }
}

impl Entries {
    fn empty(level: u8) -> Self {
        if level == 0 {
            Self::Leaf((0..POSITIONS).map(|_| None).collect())
        } else {
            Self::Interior((0..POSITIONS).map(|_| None).collect())
        }
    }

    pub(super) fn count(&self) -> usize {
        match self {
            Self::Leaf(entries) => entries.iter().flatten().count(),
            Self::Interior(entries) => entries.iter().flatten().count(),
        }
    }

    fn encode(&self, level: u8) -> Zeroizing<Vec<u8>> {
        let count = self.count();
        let entry_len = if level == 0 { LEAF_ENTRY } else { INTERIOR_ENTRY };
        let mut bytes = Zeroizing::new(Vec::with_capacity(HEADER + count * entry_len));
        bytes.extend_from_slice(&[VERSION, level]);
        bytes.extend_from_slice(&u16::try_from(count).expect("at most 64 entries").to_le_bytes());
        match self {
            Self::Leaf(entries) => {
                for (position, entry) in (0u8..).zip(entries) {
                    let Some(entry) = entry else { continue };
                    bytes.extend_from_slice(&[position, entry.kind, entry.flags]);
                    bytes.extend_from_slice(&entry.body);
                }
            }
            Self::Interior(entries) => {
                for (position, key) in (0u8..).zip(entries) {
                    let Some(key) = key else { continue };
                    bytes.push(position);
                    bytes.extend_from_slice(key.expose());
                }
            }
        }
        debug_assert_eq!(
            bytes.len(),
            HEADER + count * entry_len,
            "the page has the announced length"
        );
        bytes
    }

    /// Reads what [`Entries::encode`] wrote, and nothing else.
    fn decode(level: u8, bytes: &[u8]) -> std::result::Result<Self, &'static str> {
        let (header, rest) = bytes.split_first_chunk::<HEADER>().ok_or("too short")?;
        let [version, stored_level, low, high] = *header;
        if version != VERSION {
            return Err("unknown page version");
        }
        if stored_level != level || level > HEIGHT_MAX {
            return Err("another level");
        }
        let count = usize::from(u16::from_le_bytes([low, high]));
        let entry_len = if level == 0 { LEAF_ENTRY } else { INTERIOR_ENTRY };
        if count > POSITIONS || rest.len() != count * entry_len {
            return Err("length does not fit the count");
        }
        let mut page = Self::empty(level);
        let mut next = 0;
        for entry in rest.chunks_exact(entry_len) {
            let (&position, entry) = entry.split_first().ok_or("too short")?;
            let position = usize::from(position);
            if position < next || position >= POSITIONS {
                return Err("positions are not ascending");
            }
            next = position + 1;
            match &mut page {
                Self::Leaf(entries) => entries[position] = Some(LeafEntry::decode(entry)?),
                Self::Interior(entries) => {
                    let key = entry.try_into().map_err(|_| "too short")?;
                    entries[position] = Some(Key::from_bytes(key));
                }
            }
        }
        Ok(page)
    }
}

impl LeafEntry {
    /// Makes the entry of `value`, sealed under `wrap` too when there is one.
    pub(super) fn seal(
        slot: Slot,
        context: &SlotContext,
        wrap: Option<&Key>,
        value: &Key,
        entropy: &dyn Entropy,
    ) -> Self {
        let context_bytes = context.bytes(slot);
        let mut entry = Self {
            kind: context.kind as u8,
            flags: RAW,
            body: [0; BODY],
        };
        if let Some(wrap) = wrap {
            entry.flags = WRAPPED;
            let nonce: [u8; aead::NONCE] = random_array(entropy);
            entry.body[..aead::NONCE].copy_from_slice(&nonce);
            let (sealed, tag) = entry.body[aead::NONCE..].split_at_mut(Key::LEN);
            sealed.copy_from_slice(value.expose());
            tag.copy_from_slice(&Sealer::new(wrap).seal_in_place(nonce, &context_bytes, sealed));
        } else {
            entry.body[..Key::LEN].copy_from_slice(value.expose());
            let binding = binding(value, &context_bytes);
            entry.body[Key::LEN..].copy_from_slice(&binding.expose()[..BINDING]);
        }
        entry
    }

    /// Takes the key out, for `context` only.
    pub(super) fn open(&self, slot: Slot, context: &SlotContext, wrap: Option<&Key>) -> Result<Key> {
        if self.kind != context.kind as u8 {
            return Err(Error::Mismatch { slot: slot.0 });
        }
        let context_bytes = context.bytes(slot);
        match (self.flags, wrap) {
            (WRAPPED, Some(wrap)) => {
                let mut body = Zeroizing::new(self.body);
                let (nonce, rest) = body.split_at_mut(aead::NONCE);
                let (sealed, tag) = rest.split_at_mut(Key::LEN);
                let nonce = nonce.try_into().expect("split at the length of a nonce");
                let tag = (&*tag).try_into().expect("the rest is a tag");
                Sealer::new(wrap)
                    .open_in_place(nonce, &context_bytes, sealed, tag)
                    .map_err(|_| Error::WrongKey {
                        what: format!("wrapping key of slot {}", slot.0),
                    })?;
                Ok(Key::from_bytes(
                    (&*sealed).try_into().expect("split at the length of a key"),
                ))
            }
            (RAW, None) => {
                let (key, stored) = self
                    .body
                    .split_first_chunk()
                    .expect("the body is longer than a key");
                let key = Key::from_bytes(*key);
                let binding = binding(&key, &context_bytes);
                if bool::from(binding.expose()[..BINDING].ct_eq(stored)) {
                    Ok(key)
                } else {
                    Err(Error::Mismatch { slot: slot.0 })
                }
            }
            _ => Err(Error::Mismatch { slot: slot.0 }),
        }
    }

    fn decode(bytes: &[u8]) -> std::result::Result<Self, &'static str> {
        let (&[kind, flags], body) = bytes.split_first_chunk().ok_or("too short")?;
        SlotKind::from_byte(kind).ok_or("unknown kind of key")?;
        if flags != RAW && flags != WRAPPED {
            return Err("unknown flags");
        }
        Ok(Self {
            kind,
            flags,
            body: body.try_into().map_err(|_| "too short")?,
        })
    }
}

/// How messages name a page.
pub(super) fn describe(id: PageId) -> String {
    format!("key page {}/{}", id.level(), id.index())
}

fn binding(key: &Key, context: &[u8]) -> Key {
    derive("attestore 2026 key slot v1", &[key.expose(), context])
}

const AAD: &[u8; 17] = b"attestore page v1";

fn aad(id: PageId) -> [u8; AAD.len() + 8] {
    let mut aad = [0; AAD.len() + 8];
    aad[..AAD.len()].copy_from_slice(AAD);
    aad[AAD.len()..].copy_from_slice(&id.0.to_le_bytes());
    aad
}

#[cfg(test)]
mod tests;
