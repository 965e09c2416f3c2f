//! Rows of the directory of data subjects: fixed-width, since they are looked up for every record.
//!
//! # Format
//! Little-endian. Each subject has two keys: its own, which opens what is about it, and a lookup key, which opens only the way from
//! its blind to its handle.
//!
//! ```text
//! directory  (tenant, blind)  -> version u8 = 1 ‖ lookup slot u64 ‖ nonce 12 ‖ seal(lookup key, AAD, handle 16 ‖ slot u64) ‖ tag 16
//! handles    (tenant, handle) -> version u8 = 1 ‖ state u8: 1 live, 2 destroyed ‖ slot u64
//! AAD        = "attestore directory row v1" ‖ tenant 16 ‖ blind 32 ‖ lookup slot u64
//! ```
//!
//! The two rows of a subject have nothing in common that can be read without the lookup key, and neither slot tells the other
//! one: so once both keys are destroyed, an old copy of the catalog does not lead from a person to a handle.
//!
//! # Errors
//! A row that does not decode, and a row whose key is missing, are damage. Only the state says that somebody was erased.

use attestore_keys::{Entropy, Key, Slot, aead};
use attestore_record::{Handle, TenantId};

/// The way from a blind to a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DirectoryRow {
    /// Slot of the lookup key.
    pub(crate) lookup: Slot,
    sealed: [u8; SEALED],
}

impl DirectoryRow {
    /// Makes the row of a subject whose own key is in `slot`.
    pub(crate) fn seal(
        lookup: (Slot, &Key),
        tenant: &TenantId,
        blind: &[u8; 32],
        handle: &Handle,
        slot: Slot,
        entropy: &dyn Entropy,
    ) -> Self {
        let mut plain = [0; PLAIN];
        plain[..16].copy_from_slice(handle.as_bytes());
        plain[16..].copy_from_slice(&slot.0.to_le_bytes());
        let sealed = aead::seal_random(lookup.1, entropy, &aad(tenant, blind, lookup.0), &plain);
        Self {
            lookup: lookup.0,
            sealed: sealed.try_into().expect("the plaintext and its overhead"),
        }
    }

    /// Opens the row: handle and slot of the subject's own key. `None` when it is not authentic.
    pub(crate) fn open(&self, key: &Key, tenant: &TenantId, blind: &[u8; 32]) -> Option<(Handle, Slot)> {
        let plain = aead::open_random(key, &aad(tenant, blind, self.lookup), &self.sealed).ok()?;
        let (handle, slot) = plain.split_first_chunk::<16>()?;
        Some((
            Handle::from_bytes(*handle),
            Slot(u64::from_le_bytes(slot.try_into().ok()?)),
        ))
    }

    pub(crate) fn to_bytes(self) -> [u8; DIRECTORY_BYTES] {
        let mut bytes = [0; DIRECTORY_BYTES];
        bytes[0] = VERSION;
        bytes[1..9].copy_from_slice(&self.lookup.0.to_le_bytes());
        bytes[9..].copy_from_slice(&self.sealed);
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (slot, sealed) = body(bytes)?.split_first_chunk::<8>()?;
        Some(Self {
            lookup: Slot(u64::from_le_bytes(*slot)),
            sealed: sealed.try_into().ok()?,
        })
    }
}

/// Where a handle's key is, or that it was destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandleRow {
    pub(crate) state: HandleState,
    /// Slot of the subject's own key; of a destroyed one, where it was.
    pub(crate) slot: Slot,
}

/// Whether a subject is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum HandleState {
    /// Its key is in the tree.
    Live = 1,
    /// It was erased. The row stays for good, so that absence never looks like erasure.
    Destroyed = 2,
}

impl HandleRow {
    pub(crate) fn to_bytes(self) -> [u8; HANDLE_BYTES] {
        let mut bytes = [0; HANDLE_BYTES];
        bytes[0] = VERSION;
        bytes[1] = self.state as u8;
        bytes[2..].copy_from_slice(&self.slot.0.to_le_bytes());
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (state, slot) = body(bytes)?.split_first()?;
        Some(Self {
            state: match state {
                1 => HandleState::Live,
                2 => HandleState::Destroyed,
                _ => return None,
            },
            slot: Slot(u64::from_le_bytes(slot.try_into().ok()?)),
        })
    }
}

fn body(bytes: &[u8]) -> Option<&[u8]> {
    match bytes.split_first()? {
        (&VERSION, body) => Some(body),
        _ => None,
    }
}

fn aad(tenant: &TenantId, blind: &[u8; 32], lookup: Slot) -> Vec<u8> {
    [AAD, tenant.as_bytes(), blind.as_slice(), &lookup.0.to_le_bytes()].concat()
}

const AAD: &[u8] = b"attestore directory row v1";
const VERSION: u8 = 1;
const PLAIN: usize = 16 + 8;
const SEALED: usize = PLAIN + aead::OVERHEAD;
const DIRECTORY_BYTES: usize = 1 + 8 + SEALED;
const HANDLE_BYTES: usize = 1 + 1 + 8;

const _: () = assert!(DIRECTORY_BYTES == 61 && HANDLE_BYTES == 10);

#[cfg(test)]
mod tests {

    use attestore_keys::SeededEntropy;

    use super::*;

    #[test]
    fn handle_rows_have_golden_bytes() {
        let live = HandleRow {
            state: HandleState::Live,
            slot: Slot(0x0102),
        };
        let gone = HandleRow {
            state: HandleState::Destroyed,
            ..live
        };
        assert_eq!(live.to_bytes(), [1, 1, 2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(gone.to_bytes(), [1, 2, 2, 1, 0, 0, 0, 0, 0, 0]);
        for row in [live, gone] {
            assert_eq!(HandleRow::parse(&row.to_bytes()), Some(row));
        }
    }

    #[test]
    fn directory_rows_open_under_their_own_key_and_place_only() {
        let entropy = SeededEntropy::new(1);
        let (tenant, blind) = (TenantId::from_bytes([1; 16]), [2; 32]);
        let (handle, key) = (Handle::from_bytes([3; 16]), Key::from_bytes([4; 32]));
        let row = DirectoryRow::seal((Slot(5), &key), &tenant, &blind, &handle, Slot(6), &entropy);
        let bytes = row.to_bytes();
        assert_eq!(bytes[..9], [1, 5, 0, 0, 0, 0, 0, 0, 0]);
        assert!(!bytes.windows(16).any(|window| window == [3; 16]));
        let parsed = DirectoryRow::parse(&bytes).unwrap();
        assert_eq!(parsed, row);
        assert_eq!(parsed.open(&key, &tenant, &blind), Some((handle, Slot(6))));
        assert_eq!(parsed.open(&Key::from_bytes([9; 32]), &tenant, &blind), None);
        assert_eq!(parsed.open(&key, &TenantId::from_bytes([9; 16]), &blind), None);
        assert_eq!(parsed.open(&key, &tenant, &[9; 32]), None);
        for at in 0..bytes.len() {
            let mut flipped = bytes;
            flipped[at] ^= 0x10;
            let opened = DirectoryRow::parse(&flipped).and_then(|row| row.open(&key, &tenant, &blind));
            assert_eq!(opened, None, "byte {at}");
        }
    }

    #[test]
    fn rows_of_other_versions_states_and_lengths_are_refused() {
        for bytes in [
            &[][..],
            &[1],
            &[2, 1, 0, 0, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(HandleRow::parse(bytes), None, "{bytes:?}");
        }
        assert_eq!(HandleRow::parse(&[1, 3, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(HandleRow::parse(&[1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        for length in [0, 1, 9, 60, 62] {
            assert_eq!(DirectoryRow::parse(&vec![1; length]), None, "{length} bytes");
        }
        assert_eq!(DirectoryRow::parse(&[2; 61]), None);
    }
}
