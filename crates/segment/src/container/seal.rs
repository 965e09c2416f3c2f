//! Seals a plaintext into a container.

use std::convert::Infallible;

use attestore_keys::aead::{NONCE, Sealer, TAG};
use attestore_keys::{Key, derive};

use super::header::{ContainerMeta, FileId, HEADER_BYTES, Header};
use super::{CHUNK_BYTES, Container, SEALED_CHUNK_BYTES};

/// Seals `plaintext` under `key`, a fresh random key of this container only, and returns the whole container.
///
/// `meta.id` must be fresh and random too: neither a retry nor a cloned machine may seal twice under one pair of key
/// and id, since nonces are chunk numbers.
pub fn seal(meta: &ContainerMeta, key: &Key, plaintext: &[u8]) -> Vec<u8> {
    let chunks = plaintext.len().div_ceil(CHUNK_BYTES).max(1);
    let mut sealed = Vec::with_capacity(HEADER_BYTES + plaintext.len() + chunks * TAG);
    let keep = |bytes: &[u8]| -> Result<(), Infallible> {
        sealed.extend_from_slice(bytes);
        Ok(())
    };
    match seal_to(meta, key, plaintext, keep) {
        Ok(()) => {}
        Err(never) => match never {},
    }
    debug_assert_eq!(sealed_len(plaintext.len() as u64), Some(sealed.len() as u64));
    sealed
}

/// As [`seal`], for large plaintexts: hands the container to `sink` in pieces of about a chunk, so that it is never in
/// memory twice.
///
/// # Errors
/// What `sink` returns, which ends the sealing.
pub fn seal_to<E>(
    meta: &ContainerMeta,
    key: &Key,
    plaintext: &[u8],
    mut sink: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let header = Header::new(meta, key, plaintext.len() as u64).to_bytes();
    let cipher = ChunkCipher::new(key, &meta.id, &header);
    sink(&header)?;
    let chunks = plaintext.len().div_ceil(CHUNK_BYTES).max(1);
    let mut buf = Vec::with_capacity(SEALED_CHUNK_BYTES);
    for number in 0..chunks {
        let from = number * CHUNK_BYTES;
        let to = plaintext.len().min(from + CHUNK_BYTES);
        buf.clear();
        buf.extend_from_slice(&plaintext[from..to]);
        let tag = cipher.seal(number as u64, number + 1 == chunks, &mut buf);
        buf.extend_from_slice(&tag);
        sink(&buf)?;
    }
    Ok(())
}

/// Seals what a container holds once more, chunk by chunk, under a fresh `key`: bytes of the same plaintext and of the same length, whose
/// header says `meta`. For a container that is to hang at another place in a tree of keys. `meta.id` may be the same, since the key is not.
///
/// # Errors
/// As reads of the container, or what `sink` returns, which ends the sealing.
pub fn reseal<E: From<crate::Error>>(
    from: &Container,
    meta: &ContainerMeta,
    key: &Key,
    mut sink: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let header = Header::new(meta, key, from.len()).to_bytes();
    let cipher = ChunkCipher::new(key, &meta.id, &header);
    sink(&header)?;
    for number in 0..from.chunks() {
        let mut buf = from.chunk(number)?;
        let tag = cipher.seal(number, number + 1 == from.chunks(), &mut buf);
        buf.extend_from_slice(&tag);
        sink(&buf)?;
    }
    Ok(())
}

/// Returns the bytes that a container of so many bytes of plaintext takes, header included; `None` when it overflows.
pub const fn sealed_len(plaintext_len: u64) -> Option<u64> {
    let chunks = chunk_count(plaintext_len);
    let Some(tags) = chunks.checked_mul(TAG as u64) else {
        return None;
    };
    let Some(body) = plaintext_len.checked_add(tags) else {
        return None;
    };
    body.checked_add(HEADER_BYTES as u64)
}

/// Chunks of a plaintext; an empty one has one empty chunk.
pub(crate) const fn chunk_count(plaintext_len: u64) -> u64 {
    let chunks = plaintext_len.div_ceil(CHUNK_BYTES as u64);
    if chunks == 0 { 1 } else { chunks }
}

/// Seals and opens the chunks of one container.
pub(crate) struct ChunkCipher {
    sealer: Sealer,
    header_hash: [u8; 32],
}

impl ChunkCipher {
    pub(crate) fn new(key: &Key, id: &FileId, header: &[u8; HEADER_BYTES]) -> Self {
        let chunk_key = derive("attestore 2026 sealed file v1", &[key.expose(), id]);
        Self {
            sealer: Sealer::new(&chunk_key),
            header_hash: *blake3::hash(header).as_bytes(),
        }
    }

    fn seal(&self, number: u64, last: bool, buf: &mut [u8]) -> [u8; TAG] {
        self.sealer
            .seal_in_place(nonce(number), &self.aad(number, last), buf)
    }

    /// Opens ciphertext ‖ tag in place and returns the plaintext; `None` when it is not authentic.
    pub(crate) fn open<'a>(&self, number: u64, last: bool, sealed: &'a mut [u8]) -> Option<&'a [u8]> {
        let (buf, tag) = sealed.split_last_chunk_mut::<TAG>()?;
        self.sealer
            .open_in_place(nonce(number), &self.aad(number, last), buf, tag)
            .ok()?;
        Some(buf)
    }

    fn aad(&self, number: u64, last: bool) -> [u8; AAD_BYTES] {
        let mut aad = [0; AAD_BYTES];
        aad[..32].copy_from_slice(&self.header_hash);
        aad[32..40].copy_from_slice(&number.to_le_bytes());
        aad[40] = u8::from(last);
        aad
    }
}

fn nonce(number: u64) -> [u8; NONCE] {
    let mut nonce = [0; NONCE];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    nonce
}

const AAD_BYTES: usize = 32 + 8 + 1;
const _: () = assert!(SEALED_CHUNK_BYTES == CHUNK_BYTES + TAG);
