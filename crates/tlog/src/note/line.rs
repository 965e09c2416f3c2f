//! One signature line of a note.

use alloc::{string::String, vec::Vec};
use core::fmt;

use super::key::is_key_name;
use crate::encoding;

/// Holds a signature line, unverified. Displays as it stands in a note, without the newline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    name: String,
    key_id: u32,
    signature: Vec<u8>,
}

impl NoteSignature {
    pub(crate) fn new(name: &str, key_id: u32, signature: &[u8]) -> Self {
        Self {
            name: name.into(),
            key_id,
            signature: signature.into(),
        }
    }

    /// Parses a line without its newline; `None` if it is none.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
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

/// Displays the line without its newline.
impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [&self.key_id.to_be_bytes()[..], &self.signature].concat();
        write!(f, "{PREFIX}{} {}", self.name, encoding::encode(&blob))
    }
}

/// Em dash and space.
const PREFIX: &str = "\u{2014} ";
