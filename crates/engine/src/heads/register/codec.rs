//! Bytes of the head register.
//!
//! # Format
//! Little-endian.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `ATSTHEAD` |
//! | 8 | 2 | version, 1 |
//! | 10 | 2 | zero |
//! | 12 | 8 | key-check value of the register's key |
//! | 20 | 16 | nonce of the run that wrote it |
//! | 36 | 8 | number of this write |
//! | 44 | 4 | number of rows |
//! | 48 | … | rows in ascending order of origin: origin length u16, origin, size u64, root 32 |
//! | end − 32 | 32 | BLAKE3 of everything before it, keyed with the register's key |

use attestore_keys::{Key, KeyCheck};
use attestore_tlog::Hash;
use subtle::ConstantTimeEq;

use super::{Head, Heads};

/// Says why bytes are no register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The key is not the one it was written under.
    #[error("written under another key")]
    Key,
    /// The bytes are not what was written.
    #[error("{reason} at offset {offset}")]
    Damaged {
        /// First byte of what does not hold.
        offset: u64,
        /// What does not hold.
        reason: &'static str,
    },
}

/// Encodes `heads`.
///
/// # Panics
/// If an origin is longer than 65,535 bytes or there are more than 2^32 rows: neither is ever created.
pub fn encode(heads: &Heads, key: &Key) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + heads.rows.len() * 96 + TAG_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 2]);
    bytes.extend_from_slice(&key.check().0);
    bytes.extend_from_slice(&heads.nonce);
    bytes.extend_from_slice(&heads.version.to_le_bytes());
    let count = u32::try_from(heads.rows.len()).expect("fewer than 2^32 origins");
    bytes.extend_from_slice(&count.to_le_bytes());
    debug_assert_eq!(bytes.len(), HEADER_BYTES);
    for (origin, head) in &heads.rows {
        let length = u16::try_from(origin.len()).expect("an origin has at most 255 bytes");
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(origin.as_bytes());
        bytes.extend_from_slice(&head.size.to_le_bytes());
        bytes.extend_from_slice(&head.root.0);
    }
    let tag = blake3::keyed_hash(key.expose(), &bytes);
    bytes.extend_from_slice(tag.as_bytes());
    bytes
}

/// Decodes [`encode`].
///
/// # Errors
/// [`DecodeError::Key`] if the key-check value is another key's and the bytes are not authentic under this one; else
/// [`DecodeError::Damaged`].
pub fn decode(bytes: &[u8], key: &Key) -> Result<Heads, DecodeError> {
    let damaged = |offset: usize, reason| {
        Err(DecodeError::Damaged {
            offset: offset as u64,
            reason,
        })
    };
    if bytes.len() < HEADER_BYTES + TAG_BYTES {
        return damaged(bytes.len(), "the file ends too early");
    }
    if !bytes.starts_with(MAGIC) {
        return damaged(0, "not a head register");
    }
    let (body, tag) = bytes.split_at(bytes.len() - TAG_BYTES);
    let authentic: bool = blake3::keyed_hash(key.expose(), body)
        .as_bytes()
        .ct_eq(tag)
        .into();
    if !authentic {
        let check = body
            .get(12..20)
            .and_then(|check| check.try_into().ok())
            .map(KeyCheck);
        return match check {
            Some(check) if check.matches(key) => damaged(0, "keyed check fails"),
            _ => Err(DecodeError::Key),
        };
    }
    let mut reader = Reader {
        bytes: body,
        at: MAGIC.len(),
    };
    let version = u16::from_le_bytes(reader.array()?);
    if version != VERSION {
        return damaged(8, "unknown version");
    }
    reader.take(2 + KeyCheck::LEN)?;
    let nonce = reader.array()?;
    let written = u64::from_le_bytes(reader.array()?);
    let count = u32::from_le_bytes(reader.array()?);
    let mut heads = Heads {
        nonce,
        version: written,
        ..Heads::default()
    };
    for _ in 0..count {
        let at = reader.at;
        let length = usize::from(u16::from_le_bytes(reader.array()?));
        let Ok(origin) = std::str::from_utf8(reader.take(length)?) else {
            return damaged(at, "origin is not UTF-8");
        };
        let head = Head {
            size: u64::from_le_bytes(reader.array()?),
            root: Hash(reader.array()?),
        };
        if heads.rows.insert(origin.to_owned(), head).is_some() {
            return damaged(at, "origin occurs twice");
        }
    }
    if reader.at != body.len() {
        return damaged(reader.at, "bytes beyond the last row");
    }
    Ok(heads)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at.checked_add(length);
        let part = end.and_then(|end| self.bytes.get(self.at..end));
        let Some(part) = part else {
            return Err(DecodeError::Damaged {
                offset: self.at as u64,
                reason: "the file ends too early",
            });
        };
        self.at += length;
        Ok(part)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }
}

const MAGIC: &[u8; 8] = b"ATSTHEAD";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 48;
const TAG_BYTES: usize = 32;
const _: () = assert!(HEADER_BYTES == 8 + 2 + 2 + 8 + 16 + 8 + 4);
