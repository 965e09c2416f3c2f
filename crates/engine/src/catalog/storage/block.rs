//! One sealed block, and the keyed checks of everything else in the file.
//!
//! # Format
//! ```text
//! block     = nonce[12] ‖ AES-256-GCM(block key, AAD, logical block[4096]) ‖ tag[16] ‖ zero[4]
//! block key = derive("attestore 2026 catalog block v1", [catalog key, block number u64 LE])
//! AAD       = catalog id[16] ‖ block number u64 LE
//! ```
//! Each block has its own key, so that random nonces stay far from repeating however often the catalog is written.

use attestore_keys::aead::{NONCE, Sealer, TAG};
use attestore_keys::{Entropy, Key, derive, random_array};

/// Bytes of a logical block.
pub(super) const LOGICAL: usize = 4096;
/// Bytes of a sealed block.
pub(super) const PHYSICAL: usize = NONCE + LOGICAL + TAG + ZEROS;
/// Bytes of a keyed check.
pub(super) const MAC: usize = 32;

const ZEROS: usize = 4;
const TAG_AT: usize = NONCE + LOGICAL;

const _: () = assert!(PHYSICAL == LOGICAL + 32);

/// The tag of a sealed block, which tells its versions apart.
pub(super) fn tag_of(physical: &[u8]) -> [u8; TAG] {
    let tag = physical.get(TAG_AT..).and_then(|rest| rest.first_chunk::<TAG>());
    tag.copied().unwrap_or_default()
}

/// A logical block.
pub(super) type Block = [u8; LOGICAL];

/// The catalog's key, bound to the catalog's id.
pub(super) struct Cipher {
    id: [u8; 16],
    key: Key,
}

impl Cipher {
    pub(super) fn new(id: [u8; 16], key: Key) -> Self {
        Self { id, key }
    }

    pub(super) fn id(&self) -> [u8; 16] {
        self.id
    }

    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// Appends block `number`, sealed, to `out`.
    pub(super) fn seal(&self, number: u64, plain: &Block, entropy: &dyn Entropy, out: &mut Vec<u8>) {
        let nonce: [u8; NONCE] = random_array(entropy);
        out.extend_from_slice(&nonce);
        let start = out.len();
        out.extend_from_slice(plain);
        let tag = self
            .sealer(number)
            .seal_in_place(nonce, &self.aad(number), &mut out[start..]);
        out.extend_from_slice(&tag);
        out.extend_from_slice(&[0; ZEROS]);
    }

    /// Opens block `number` in place and returns the logical block; the error is what does not hold.
    pub(super) fn open<'a>(&self, number: u64, physical: &'a mut [u8]) -> Result<&'a Block, &'static str> {
        let physical: &mut [u8; PHYSICAL] = physical.try_into().map_err(|_| "short block")?;
        let (body, rest) = physical.split_at_mut(TAG_AT);
        let (tag, zeros) = rest.split_first_chunk::<TAG>().ok_or("short block")?;
        if zeros != [0; ZEROS] {
            return Err("padding of a block is not zero");
        }
        let (nonce, plain) = body.split_first_chunk_mut::<NONCE>().ok_or("short block")?;
        self.sealer(number)
            .open_in_place(*nonce, &self.aad(number), plain, tag)
            .map_err(|_| "block is not authentic")?;
        (&*plain).try_into().map_err(|_| "short block")
    }

    /// A keyed check of `bytes`, for one purpose.
    pub(super) fn mac(&self, purpose: &'static str, bytes: &[u8]) -> [u8; MAC] {
        *derive(purpose, &[self.key.expose(), &self.id, bytes]).expose()
    }

    fn sealer(&self, number: u64) -> Sealer {
        let key = derive(
            "attestore 2026 catalog block v1",
            &[self.key.expose(), &number.to_le_bytes()],
        );
        Sealer::new(&key)
    }

    fn aad(&self, number: u64) -> [u8; 24] {
        let mut aad = [0; 24];
        aad[..16].copy_from_slice(&self.id);
        aad[16..].copy_from_slice(&number.to_le_bytes());
        aad
    }
}
