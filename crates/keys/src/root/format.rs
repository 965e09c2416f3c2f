//! The bytes of a root file in the open and of a wrapped key. Root files that are sealed: [`super::sealed`].
//!
//! # Format
//! ```text
//! root file   = "ATSTROOT" ‖ version u16 LE = 1 ‖ generation u64 LE ‖ key[32] ‖ key check[8] ‖ crc32 u32 LE
//! wrapped key = key check of the root[8] ‖ nonce[12] ‖ AES-256-GCM(root, AAD, key[32]) ‖ tag[16]
//! AAD         = "attestore root wrap v1" ‖ generation u64 LE ‖ the caller's
//! ```

use zeroize::Zeroizing;

use crate::{Entropy, Error, Key, KeyCheck, Result, aead};

/// Bytes of a root file.
pub(super) const FILE_LEN: usize = KEY_AT + Key::LEN + KeyCheck::LEN + 4;

pub(super) const MAGIC: [u8; 8] = *b"ATSTROOT";
const VERSION: u16 = 1;
pub(super) const GENERATION_AT: usize = 10;
const KEY_AT: usize = 18;
const CHECK_AT: usize = KEY_AT + Key::LEN;
const CRC_AT: usize = CHECK_AT + KeyCheck::LEN;

const _: () = assert!(FILE_LEN == 62);

pub(super) fn encode(generation: u64, key: &Key) -> Zeroizing<[u8; FILE_LEN]> {
    let mut bytes = Zeroizing::new([0; FILE_LEN]);
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..GENERATION_AT].copy_from_slice(&VERSION.to_le_bytes());
    bytes[GENERATION_AT..KEY_AT].copy_from_slice(&generation.to_le_bytes());
    bytes[KEY_AT..CHECK_AT].copy_from_slice(key.expose());
    bytes[CHECK_AT..CRC_AT].copy_from_slice(&key.check().0);
    let crc = crc32fast::hash(&bytes[..CRC_AT]);
    bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Reads a root file of `generation`; the error is what does not hold.
pub(super) fn decode(generation: u64, bytes: &[u8]) -> std::result::Result<Key, &'static str> {
    let bytes: &[u8; FILE_LEN] = bytes.try_into().map_err(|_| "wrong length")?;
    let (body, crc) = bytes.split_last_chunk::<4>().ok_or("wrong length")?;
    if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
        return Err("checksum");
    }
    if body[..8] != MAGIC {
        return Err("magic");
    }
    if body[8..GENERATION_AT] != VERSION.to_le_bytes() {
        return Err("unknown version");
    }
    if body[GENERATION_AT..KEY_AT] != generation.to_le_bytes() {
        return Err("another generation");
    }
    let (key, check) = body[KEY_AT..].split_first_chunk().ok_or("wrong length")?;
    let key = Key::from_bytes(*key);
    if key.check().0 != check {
        return Err("key check");
    }
    Ok(key)
}

pub(super) fn wrap(root: &Key, generation: u64, entropy: &dyn Entropy, context: &[u8], key: &Key) -> Vec<u8> {
    let mut wrapped = root.check().0.to_vec();
    wrapped.extend_from_slice(&aead::seal_random(
        root,
        entropy,
        &aad(generation, context),
        key.expose(),
    ));
    wrapped
}

pub(super) fn unwrap(root: &Key, generation: u64, context: &[u8], wrapped: &[u8]) -> Result<Key> {
    let damaged = |reason| Error::Damaged {
        what: format!("key wrapped by root generation {generation}"),
        reason,
    };
    let (check, sealed) = wrapped.split_first_chunk().ok_or_else(|| damaged("too short"))?;
    if !KeyCheck(*check).matches(root) {
        return Err(Error::WrongKey {
            what: format!("root generation {generation}"),
        });
    }
    let opened = aead::open_random(root, &aad(generation, context), sealed)
        .map(Zeroizing::new)
        .map_err(|_| damaged("not authentic under the root"))?;
    let key = opened.as_slice().try_into().map_err(|_| damaged("not a key"))?;
    Ok(Key::from_bytes(key))
}

fn aad(generation: u64, context: &[u8]) -> Vec<u8> {
    [
        b"attestore root wrap v1",
        generation.to_le_bytes().as_slice(),
        context,
    ]
    .concat()
}
