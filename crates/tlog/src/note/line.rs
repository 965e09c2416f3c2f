//! One signature line of a note.

use alloc::{string::String, vec::Vec};

use super::key::is_key_name;
use crate::encoding;

/// Holds a signature line, unverified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    name: String,
    key_id: u32,
    signature: Vec<u8>,
}

impl NoteSignature {
    pub(super) fn new(name: &str, key_id: u32, signature: &[u8]) -> Self {
        Self {
            name: name.into(),
            key_id,
            signature: signature.into(),
        }
    }

    /// Parses a line without its newline.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix(PREFIX)?.split_once(' ')?;
        if !is_key_name(name) {
            return None;
        }
        let blob = encoding::decode(encoded)?;
        match blob.split_first_chunk() {
            Some((id, signature @ [_, ..])) => Some(Self::new(name, u32::from_be_bytes(*id), signature)),
            _ => None,
        }
    }

    pub(super) fn write(&self, note: &mut String) {
        let blob = [&self.key_id.to_be_bytes()[..], &self.signature].concat();
        note.push_str(PREFIX);
        note.push_str(&self.name);
        note.push(' ');
        note.push_str(&encoding::encode(&blob));
        note.push('\n');
    }

    /// Returns the key name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the key id.
    #[must_use]
    pub const fn key_id(&self) -> u32 {
        self.key_id
    }

    /// Returns the signature without the key id; its form depends on the type of the key.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

/// Em dash and space.
const PREFIX: &str = "\u{2014} ";
