//! A tenant's keys, and what is derived from them.

use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use attestore_keys::{Entropy, Error, Key, Slot, SlotContext, aead, derive, random_array};
use attestore_record::{RecordId, SaltKey, TenantId};
use parking_lot::RwLock;

use crate::catalog::Catalog;
use crate::handover::Signing;

/// The keys that a loaded tenant holds.
pub struct TenantKeys {
    /// The tenant key, and the one before it while it is being replaced.
    ring: ArcSwap<Ring>,
    /// Sign its checkpoints.
    pub(crate) signing: ArcSwap<Signing>,
    /// Read while a checkpoint is signed, written while the keys change: nobody signs by keys that are not in force any more.
    pub(crate) changing: RwLock<()>,
    /// Keys of the directory of subjects: blinds, idempotency hashes, cursors.
    pub directory: Key,
}

/// A tenant's key: it wraps every other key of the tenant, seals its sections of the log and parts of its rows.
///
/// While it is being replaced there are two. What is new is wrapped and sealed under the current one, what is old is found under
/// either, and moves in one direction only.
pub struct Ring {
    current: Key,
    former: Option<Key>,
}

impl Ring {
    pub(crate) const fn new(current: Key, former: Option<Key>) -> Self {
        Self { current, former }
    }

    /// The key for everything new.
    pub const fn current(&self) -> &Key {
        &self.current
    }

    /// The key before it, while something may be under that.
    pub const fn former(&self) -> Option<&Key> {
        self.former.as_ref()
    }

    /// The keys that something may be under, the likelier first.
    pub(crate) fn each(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.current).chain(&self.former)
    }

    /// Takes a key of the tenant out of the tree.
    ///
    /// # Errors
    /// As [`Catalog::key`].
    pub(crate) fn open(&self, catalog: &Catalog, slot: Slot, context: &SlotContext) -> Result<Key, Error> {
        let under = |key| catalog.key(slot, context, Some(key));
        match (under(&self.current), &self.former) {
            (Err(Error::WrongKey { .. }), Some(former)) => match under(former) {
                // It was wrapped anew in between.
                Err(Error::WrongKey { .. }) => under(&self.current),
                opened => opened,
            },
            (opened, _) => opened,
        }
    }
}

impl TenantKeys {
    pub(crate) fn new(ring: Ring, signing: Signing, directory: Key) -> Self {
        Self {
            ring: ArcSwap::from_pointee(ring),
            signing: ArcSwap::from_pointee(signing),
            changing: RwLock::new(()),
            directory,
        }
    }

    /// The tenant key. Within a change of the catalog it is to be asked for inside of that change: another may have put a new one
    /// in force before it.
    pub fn ring(&self) -> Arc<Ring> {
        self.ring.load_full()
    }

    /// Takes a key of the tenant out of the tree.
    ///
    /// # Errors
    /// As [`Catalog::key`].
    pub(crate) fn open(&self, catalog: &Catalog, slot: Slot, context: &SlotContext) -> Result<Key, Error> {
        self.ring().open(catalog, slot, context)
    }

    /// Puts other keys in force; what is returned is gone once nobody works with the ones before any more.
    pub(crate) fn replace(&self, ring: Ring) -> Weak<Ring> {
        Arc::downgrade(&self.ring.swap(Arc::new(ring)))
    }
}

/// A salt generation: the salt keys of the records between two flushes.
pub struct Generation {
    /// Its number in the tenant, counting up.
    pub number: u32,
    /// The key that class keys are derived from.
    pub key: Key,
}

impl Generation {
    /// The salt key of a class, ready for deriving salts.
    pub fn salt_key(&self, class: u16) -> SaltKey {
        SaltKey::new(class_key(&self.key, class).expose())
    }

    pub(crate) fn fresh(number: u32, entropy: &dyn Entropy) -> Self {
        Self {
            number,
            key: Key::random(entropy),
        }
    }
}

/// The salt key of one class in a generation.
pub(crate) fn class_key(generation: &Key, class: u16) -> Key {
    derive(
        "attestore 2026 salt class v1",
        &[generation.expose(), &class.to_le_bytes()],
    )
}

/// Seals a personal group of a record for the WAL and the tail: nonce ‖ ciphertext ‖ tag under a key derived from the set
/// key and the record's id, bound to tenant and record.
pub(crate) fn seal_group(
    set_key: &Key,
    tenant: &TenantId,
    id: &RecordId,
    entropy: &dyn Entropy,
    mut plaintext: Vec<u8>,
) -> Vec<u8> {
    let key = group_key(set_key, id);
    let nonce: [u8; aead::NONCE] = random_array(entropy);
    let tag = aead::Sealer::new(&key).seal_in_place(nonce, &group_aad(tenant, id), &mut plaintext);
    let mut sealed = Vec::with_capacity(plaintext.len() + aead::OVERHEAD);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(&plaintext);
    sealed.extend_from_slice(&tag);
    sealed
}

/// Opens what `seal_group` returned; `None` when it is not authentic.
pub fn open_group(set_key: &Key, tenant: &TenantId, id: &RecordId, sealed: &[u8]) -> Option<Vec<u8>> {
    aead::open_random(&group_key(set_key, id), &group_aad(tenant, id), sealed).ok()
}

fn group_key(set_key: &Key, id: &RecordId) -> Key {
    derive("attestore 2026 wal group v1", &[set_key.expose(), id.as_bytes()])
}

fn group_aad(tenant: &TenantId, id: &RecordId) -> [u8; 32] {
    let mut aad = [0; 32];
    aad[..16].copy_from_slice(tenant.as_bytes());
    aad[16..].copy_from_slice(id.as_bytes());
    aad
}
