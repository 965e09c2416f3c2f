//! The list of a frame's sections, 48 bytes each: owner [16], offset u32, length u32, tag [16], check of the
//! tenant key [8].
//!
//! Offsets count from the start of the frame. Sections lie one after the other without gaps, from the frame header to the
//! directory; anything else is not a frame. The key check tells a section that is not what was written from a key that is not
//! the one it was written under.

use attestore_keys::{
    Key, KeyCheck,
    aead::{NONCE, Sealer, TAG},
    derive,
};

use super::header::{FrameHeader, HEADER_LEN};
use crate::fields::{bytes_at, put, u32_at};

/// Bytes of one entry.
pub(super) const ENTRY_LEN: usize = 48;

const KEY_CONTEXT: &str = "attestore 2026 wal frame v1";
const SECTION_KEY_CONTEXT: &str = "attestore 2026 wal section v1";
const SECTION_AAD: &[u8; 21] = b"attestore wal section";

/// Where a section is and what proves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) owner: [u8; 16],
    pub(super) offset: u32,
    pub(super) length: u32,
    pub(super) tag: [u8; TAG],
    pub(super) key_check: KeyCheck,
}

const _: () = assert!(ENTRY_LEN == 24 + TAG + KeyCheck::LEN);

impl Entry {
    pub(super) fn to_bytes(self) -> [u8; ENTRY_LEN] {
        let mut bytes = [0; ENTRY_LEN];
        put(&mut bytes, 0, &self.owner);
        put(&mut bytes, 16, &self.offset.to_le_bytes());
        put(&mut bytes, 20, &self.length.to_le_bytes());
        put(&mut bytes, 24, &self.tag);
        put(&mut bytes, 40, &self.key_check.0);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; ENTRY_LEN]) -> Self {
        Self {
            owner: bytes_at(bytes, 0),
            offset: u32_at(bytes, 16),
            length: u32_at(bytes, 20),
            tag: bytes_at(bytes, 24),
            key_check: KeyCheck(bytes_at(bytes, 40)),
        }
    }

    /// The place of the section in its frame.
    pub(super) fn range(&self) -> std::ops::Range<usize> {
        let start = usize::try_from(self.offset).unwrap_or(usize::MAX);
        start..start.saturating_add(usize::try_from(self.length).unwrap_or(usize::MAX))
    }
}

/// Decodes an opened directory; `None` when the sections do not lie one after the other up to the directory.
pub(super) fn parse(bytes: &[u8], header: &FrameHeader) -> Option<Vec<Entry>> {
    let (entries, rest) = bytes.as_chunks::<ENTRY_LEN>();
    let entries: Vec<Entry> = entries.iter().map(Entry::from_bytes).collect();
    let mut end = HEADER_LEN;
    for entry in &entries {
        if entry.range().start != end {
            return None;
        }
        end = entry.range().end;
    }
    let complete = rest.is_empty() && end.checked_add(header.directory_len()) == Some(header.payload_len());
    complete.then_some(entries)
}

/// The key of one frame's directory.
pub(super) fn sealer(file_key: &Key, random: &[u8; 32]) -> Sealer {
    Sealer::new(&derive(KEY_CONTEXT, &[file_key.expose(), random]))
}

/// The key of one section of one frame.
pub(super) fn section_sealer(
    tenant_key: &Key,
    file_key: &Key,
    random: &[u8; 32],
    owner: &[u8; 16],
) -> Sealer {
    Sealer::new(&derive(
        SECTION_KEY_CONTEXT,
        &[tenant_key.expose(), file_key.expose(), random, owner],
    ))
}

/// The nonce of a section: its index, so that two sections of one owner in a frame, which share the key, never share a nonce.
pub(super) fn section_nonce(index: u16) -> [u8; NONCE] {
    let mut nonce = [0; NONCE];
    put(&mut nonce, 0, &index.to_le_bytes());
    nonce
}

/// What a section's tag covers besides the section.
pub(super) fn section_aad(file_id: &[u8; 16], frame_no: u64, index: u16, owner: &[u8; 16]) -> [u8; 63] {
    let mut aad = [0; 63];
    put(&mut aad, 0, SECTION_AAD);
    put(&mut aad, 21, file_id);
    put(&mut aad, 37, &frame_no.to_le_bytes());
    put(&mut aad, 45, &index.to_le_bytes());
    put(&mut aad, 47, owner);
    aad
}
