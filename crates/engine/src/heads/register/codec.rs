//! Bytes of the head register.
//!
//! # Format
//! Little-endian: a snapshot, changes to it, and zeros to the end of the file.
//!
//! | offset | bytes | field of the snapshot |
//! |---|---|---|
//! | 0 | 8 | magic `ATSTHEAD` |
//! | 8 | 2 | version, 2 |
//! | 10 | 2 | zero |
//! | 12 | 8 | key-check value of the register's key |
//! | 20 | 16 | nonce of the run that wrote it |
//! | 36 | 8 | number of this write |
//! | 44 | 4 | number of rows |
//! | 48 | 8 | bytes of the rows |
//! | 56 | … | rows in ascending order of origin: origin length u16, origin, size u64, root 32 |
//! | … | 32 | BLAKE3 of everything before it, keyed with the register's key |
//!
//! | offset | bytes | field of a change |
//! |---|---|---|
//! | 0 | 4 | magic `MOVE` |
//! | 4 | 8 | number of this write: one more than that before it |
//! | 12 | 4 | number of rows |
//! | 16 | 8 | bytes of the rows |
//! | 24 | … | rows that are new or other than before |
//! | … | 32 | BLAKE3 of the 32 bytes at the end of the snapshot ‖ the change up to here, keyed with the register's key |
//!
//! Each is bound to its snapshot and its number, so none can be left out, repeated or moved. The last one may be a write that a crash
//! cut short, of which nothing was published; a change that does not hold and is followed by one that does, is damage.

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

/// Authenticates a snapshot or a change; that of the snapshot binds changes to it.
pub type Tag = [u8; TAG_BYTES];

/// What [`decode`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The heads after the last change.
    pub heads: Heads,
    /// Offset of a change that a crash cut short.
    pub torn: Option<u64>,
}

/// Encodes `heads` as a snapshot.
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
    let rows = heads.rows.iter().map(|(origin, head)| (origin.as_str(), *head));
    put_rows(&mut bytes, rows);
    let tag = blake3::keyed_hash(key.expose(), &bytes);
    bytes.extend_from_slice(tag.as_bytes());
    bytes
}

/// Encodes the change that is write number `version`, of a snapshot that ends in `snapshot`.
///
/// # Panics
/// As [`encode`].
pub fn encode_change(version: u64, moved: &[(&str, Head)], snapshot: &Tag, key: &Key) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(CHANGE_BYTES + moved.len() * 96 + TAG_BYTES);
    bytes.extend_from_slice(CHANGE_MAGIC);
    bytes.extend_from_slice(&version.to_le_bytes());
    put_rows(&mut bytes, moved.iter().copied());
    let tag = change_tag(&bytes, snapshot, key);
    bytes.extend_from_slice(tag.as_bytes());
    bytes
}

/// The tag that an encoded snapshot or change ends in.
pub fn tag_of(encoded: &[u8]) -> Tag {
    encoded.last_chunk().copied().unwrap_or_default()
}

/// Decodes the bytes of a register.
///
/// # Errors
/// [`DecodeError::Key`] if the key-check value is another key's and the bytes are not authentic under this one; else
/// [`DecodeError::Damaged`].
pub fn decode(bytes: &[u8], key: &Key) -> Result<Decoded, DecodeError> {
    let mut reader = Reader { bytes, at: 0 };
    let mut heads = snapshot(&mut reader, key)?;
    let tag = tag_of(bytes.get(..reader.at).unwrap_or_default());
    loop {
        let (start, rest) = (reader.at, reader.rest());
        if zeros(rest) {
            return Ok(Decoded { heads, torn: None });
        }
        let next = heads.version.saturating_add(1);
        let Some((_, rows)) = change(&mut reader, &tag, key).filter(|(number, _)| *number == next) else {
            let torn = !followed(bytes, start, &tag, key) && zeros(reader.beyond(start, CHANGE_BYTES_MAX));
            return if torn {
                let torn = Some(start as u64);
                Ok(Decoded { heads, torn })
            } else {
                damaged(start, "the keyed check of a change fails, and it is not the last")
            };
        };
        heads.version = next;
        heads.rows.extend(rows);
    }
}

/// Whether these first bytes of a file are of the snapshot that `heads` began with: its run and its number.
pub fn is_snapshot_of(start: &[u8], nonce: &super::Nonce, version: u64) -> bool {
    start.get(20..36) == Some(nonce.as_slice()) && start.get(36..44) == Some(version.to_le_bytes().as_slice())
}

fn snapshot(reader: &mut Reader<'_>, key: &Key) -> Result<Heads, DecodeError> {
    if !reader.bytes.starts_with(MAGIC) {
        return damaged(0, "not a head register");
    }
    reader.take(MAGIC.len())?;
    let version = u16::from_le_bytes(reader.array()?);
    if version != VERSION {
        return damaged(8, "unknown version");
    }
    reader.take(2)?;
    let check = KeyCheck(reader.array()?);
    let failed = if check.matches(key) {
        damaged(0, "keyed check fails")
    } else {
        Err(DecodeError::Key)
    };
    let nonce = reader.array()?;
    let written = u64::from_le_bytes(reader.array()?);
    let Ok((count, rows)) = reader.rows() else {
        return failed;
    };
    let body = reader.bytes.get(..reader.at).unwrap_or_default();
    let tag = blake3::keyed_hash(key.expose(), body);
    match reader.array::<TAG_BYTES>() {
        Ok(found) if bool::from(tag.as_bytes().ct_eq(&found)) => {}
        _ => return failed,
    }
    let mut heads = Heads {
        nonce,
        version: written,
        ..Heads::default()
    };
    for (origin, head) in parse_rows(rows, count, HEADER_BYTES)? {
        if heads.rows.insert(origin, head).is_some() {
            return damaged(HEADER_BYTES, "origin occurs twice");
        }
    }
    Ok(heads)
}

/// Reads one change with its number; `None` unless it is authentic.
fn change(reader: &mut Reader<'_>, snapshot: &Tag, key: &Key) -> Option<(u64, Vec<(String, Head)>)> {
    let start = reader.at;
    (reader.take(CHANGE_MAGIC.len()).ok()? == CHANGE_MAGIC).then_some(())?;
    let number = u64::from_le_bytes(reader.array().ok()?);
    let (count, rows) = reader.rows().ok()?;
    let tag = change_tag(reader.bytes.get(start..reader.at)?, snapshot, key);
    let found: Tag = reader.array().ok()?;
    bool::from(tag.as_bytes().ct_eq(&found)).then_some(())?;
    Some((number, parse_rows(rows, count, start).ok()?))
}

/// Whether there is an authentic change anywhere beyond `start`.
fn followed(bytes: &[u8], start: usize, snapshot: &Tag, key: &Key) -> bool {
    (start + 1..bytes.len()).any(|at| {
        bytes.get(at..).is_some_and(|rest| rest.starts_with(CHANGE_MAGIC))
            && change(&mut Reader { bytes, at }, snapshot, key).is_some()
    })
}

fn change_tag(change: &[u8], snapshot: &Tag, key: &Key) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_keyed(key.expose());
    hasher.update(snapshot).update(change).finalize()
}

fn put_rows<'a>(bytes: &mut Vec<u8>, rows: impl Iterator<Item = (&'a str, Head)>) {
    let at = bytes.len();
    bytes.extend_from_slice(&[0; ROWS_HEADER_BYTES]);
    let mut count = 0_u32;
    for (origin, head) in rows {
        let length = u16::try_from(origin.len()).expect("an origin has at most 255 bytes");
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(origin.as_bytes());
        bytes.extend_from_slice(&head.size.to_le_bytes());
        bytes.extend_from_slice(&head.root.0);
        count = count.checked_add(1).expect("fewer than 2^32 origins");
    }
    let length = (bytes.len() - at - ROWS_HEADER_BYTES) as u64;
    bytes[at..at + 4].copy_from_slice(&count.to_le_bytes());
    bytes[at + 4..at + ROWS_HEADER_BYTES].copy_from_slice(&length.to_le_bytes());
}

fn parse_rows(rows: &[u8], count: u32, start: usize) -> Result<Vec<(String, Head)>, DecodeError> {
    let mut reader = Reader { bytes: rows, at: 0 };
    let mut parsed = Vec::new();
    for _ in 0..count {
        let length = usize::from(u16::from_le_bytes(reader.array()?));
        let Ok(origin) = std::str::from_utf8(reader.take(length)?) else {
            return damaged(start, "origin is not UTF-8");
        };
        let head = Head {
            size: u64::from_le_bytes(reader.array()?),
            root: Hash(reader.array()?),
        };
        parsed.push((origin.to_owned(), head));
    }
    match reader.rest() {
        [] => Ok(parsed),
        _ => damaged(start, "bytes beyond the last row"),
    }
}

fn zeros(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn damaged<T>(offset: usize, reason: &'static str) -> Result<T, DecodeError> {
    Err(DecodeError::Damaged {
        offset: offset as u64,
        reason,
    })
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// What is more than `length` bytes after `start`.
    fn beyond(&self, start: usize, length: usize) -> &'a [u8] {
        let rest = self.bytes.get(start.saturating_add(length)..);
        rest.unwrap_or_default()
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let Some(part) = self.rest().get(..length) else {
            return damaged(self.at, "the file ends too early");
        };
        self.at += length;
        Ok(part)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// The number of rows, and their bytes.
    fn rows(&mut self) -> Result<(u32, &'a [u8]), DecodeError> {
        let count = u32::from_le_bytes(self.array()?);
        let length = u64::from_le_bytes(self.array()?);
        let rows = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        Ok((count, rows))
    }
}

const MAGIC: &[u8; 8] = b"ATSTHEAD";
const CHANGE_MAGIC: &[u8; 4] = b"MOVE";
const VERSION: u16 = 2;
/// Bytes of a snapshot before its rows.
pub const HEADER_BYTES: usize = 56;
const CHANGE_BYTES: usize = 24;
const ROWS_HEADER_BYTES: usize = 12;
/// Bytes at the end of a snapshot or change that authenticate it.
pub const TAG_BYTES: usize = 32;
/// A longer change is written as a snapshot instead.
pub const CHANGE_BYTES_MAX: usize = 1 << 20;
const _: () = assert!(HEADER_BYTES == 8 + 2 + 2 + 8 + 16 + 8 + ROWS_HEADER_BYTES);
const _: () = assert!(CHANGE_BYTES == 4 + 8 + ROWS_HEADER_BYTES);
