//! Chunks: what was appended since a backup, in files that follow it one by one.
//!
//! # Format
//! Little-endian.
//! ```text
//! file    = "ATSTCHNK" ‖ version u16 = 1 ‖ zero[6] ‖ id of the backup[16] ‖ number u64, from 1 ‖ hash of the chunk before[32]
//!           ‖ length u32 ‖ head, JSON ‖ nonce[12] ‖ AES-256-GCM(key, everything before the nonce, pieces) ‖ tag[16]
//!           ‖ BLAKE3 of everything before[32]
//! key     = of chunk 1: derive("attestore 2026 backup chunk v1", [key of the dump]);
//!           of each next one: derive("attestore 2026 backup next chunk v1", [key of the one before])
//! piece   = id of the tenant[16] ‖ length u32 ‖ a section, as in the write-ahead log (docs/format/section.md)
//! ```
//! The hash of the chunk before is its last 32 bytes; before the first there are zeros. The head tells when everything was in it,
//! how many entries the ledger had, and up to where each log is in it.
//!
//! # Durability
//! A chunk is synced under a temporary name before it has its own. Its key is forgotten once it is there.

use std::io;
use std::path::{Path, PathBuf};

use attestore_disk::Disk;
use attestore_keys::{Entropy, Key, aead, derive};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::folder;
use crate::catalog::{encode, hex};
use crate::error::{Error, Result};

/// What a chunk says without a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Everything that was acknowledged before is in this chunk or one before it, but for what is left to the next backup; Unix
    /// milliseconds.
    pub(super) at_ms: u64,
    /// Entries of the ledger that there were.
    pub(super) ledger: u64,
    /// The logs with entries in it.
    pub(super) logs: Vec<Span>,
}

/// Entries of one log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Span {
    /// Id of the tenant, hex.
    pub(super) tenant: String,
    /// Origin of its log.
    pub(super) origin: String,
    /// First seq.
    pub(super) first: u64,
    /// One past the last seq.
    pub(super) end: u64,
}

/// A section of one tenant.
pub(super) struct Piece {
    pub(super) tenant: [u8; 16],
    /// It has keys of people.
    pub(super) section: Zeroizing<Vec<u8>>,
}

/// Where a chunk is in its chain.
pub(super) struct Link {
    pub(super) backup: [u8; 16],
    pub(super) number: u64,
    pub(super) before: [u8; 32],
}

/// The key of the first chunk behind a backup.
pub(super) fn first_key(dump: &Key) -> Key {
    derive("attestore 2026 backup chunk v1", &[dump.expose()])
}

/// The key of the chunk after the one with `key`.
pub(super) fn next_key(key: &Key) -> Key {
    derive("attestore 2026 backup next chunk v1", &[key.expose()])
}

/// The bytes of a chunk, and their hash.
///
/// # Errors
/// A head or a piece that is too long.
pub(super) fn seal(
    key: &Key,
    entropy: &dyn Entropy,
    link: &Link,
    head: &Head,
    pieces: &[&Piece],
) -> Result<(Vec<u8>, [u8; 32])> {
    let too_long = |_| Error::Io("a chunk is too long".to_owned());
    let json = encode(head)?;
    let mut file = begin(&link.backup);
    file.extend_from_slice(&link.number.to_le_bytes());
    file.extend_from_slice(&link.before);
    file.extend_from_slice(&u32::try_from(json.len()).map_err(too_long)?.to_le_bytes());
    file.extend_from_slice(&json);
    let bytes = pieces.iter().map(|piece| piece.section.len() + 20).sum();
    let mut plain = Zeroizing::new(Vec::with_capacity(bytes));
    for piece in pieces {
        plain.extend_from_slice(&piece.tenant);
        let len = u32::try_from(piece.section.len()).map_err(too_long)?;
        plain.extend_from_slice(&len.to_le_bytes());
        plain.extend_from_slice(&piece.section);
    }
    let sealed = aead::seal_random(key, entropy, &file, &plain);
    file.extend_from_slice(&sealed);
    let hash = *blake3::hash(&file).as_bytes();
    file.extend_from_slice(&hash);
    Ok((file, hash))
}

/// A chunk that was read and has the hash that it says.
pub(super) struct Found {
    pub(super) head: Head,
    pub(super) hash: [u8; 32],
    file: Vec<u8>,
    /// Where what is sealed begins.
    sealed: usize,
}

impl Found {
    /// Bytes of the file.
    pub(super) fn bytes(&self) -> u64 {
        self.file.len() as u64
    }

    /// Opens it.
    ///
    /// # Errors
    /// What does not hold.
    pub(super) fn open(&self, key: &Key) -> std::result::Result<Vec<Piece>, &'static str> {
        let (aad, rest) = self.file.split_at(self.sealed);
        let sealed = &rest[..rest.len() - HASH];
        let plain =
            Zeroizing::new(aead::open_random(key, aad, sealed).map_err(|_| "a chunk is not authentic")?);
        let mut rest = &plain[..];
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let cut = "a piece of a chunk is cut short";
            let (tenant, after) = rest.split_first_chunk::<16>().ok_or(cut)?;
            let (len, after) = after.split_first_chunk::<4>().ok_or(cut)?;
            let len = usize::try_from(u32::from_le_bytes(*len)).map_err(|_| cut)?;
            let (section, after) = after.split_at_checked(len).ok_or(cut)?;
            pieces.push(Piece {
                tenant: *tenant,
                section: Zeroizing::new(section.to_vec()),
            });
            rest = after;
        }
        Ok(pieces)
    }
}

/// Goes over the chunks that follow a backup, in order, until one does not hold: then its path and why.
pub(super) struct Chunks<'a> {
    disk: &'a dyn Disk,
    id: String,
    backup: [u8; 16],
    names: std::collections::VecDeque<String>,
    number: u64,
    before: [u8; 32],
}

impl<'a> Chunks<'a> {
    /// Begins with the first.
    ///
    /// # Errors
    /// What the target says.
    pub(super) fn of(disk: &'a dyn Disk, id: &str, backup: [u8; 16]) -> Result<Self> {
        let names = folder::names(disk, &folder::chunks_path(id))?.into_keys();
        Ok(Self {
            disk,
            id: id.to_owned(),
            backup,
            names: names.filter(|name| !folder::is_unfinished(name)).collect(),
            number: 0,
            before: [0; HASH],
        })
    }

    /// Reads the next one; `None` behind the last.
    ///
    /// # Errors
    /// [`Error::Damage`] for one that is missing or does not hold: nothing behind it is of use. What the target says.
    pub(super) fn next(&mut self) -> Result<Option<(PathBuf, Found)>> {
        let Some(name) = self.names.pop_front() else {
            return Ok(None);
        };
        let number = self.number + 1;
        let path = folder::chunks_path(&self.id).join(&name);
        if path != folder::chunk_path(&self.id, number) {
            self.names.clear();
            let missing = folder::chunk_path(&self.id, number);
            return Err(Error::damage(
                missing,
                0,
                "the chunk is missing, and there are later ones",
            ));
        }
        let found = self.read(&path, number).inspect_err(|_| self.names.clear())?;
        self.number = number;
        self.before = found.hash;
        Ok(Some((path, found)))
    }

    fn read(&self, path: &Path, number: u64) -> Result<Found> {
        let file = match folder::read(self.disk, path) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(Error::damage(path, 0, "it is cut short"));
            }
            file => file?,
        };
        let found = parse(file, &self.backup).map_err(|(at, reason)| Error::damage(path, at, reason))?;
        let (found, link) = found;
        if link.number != number {
            return Err(Error::damage(path, 32, "it is another chunk"));
        }
        if link.before != self.before {
            return Err(Error::damage(path, 40, "it does not follow the chunk before it"));
        }
        Ok(found)
    }
}

fn begin(backup: &[u8; 16]) -> Vec<u8> {
    [BEGIN.as_slice(), backup].concat()
}

/// The error is where, and what does not hold.
fn parse(file: Vec<u8>, backup: &[u8; 16]) -> std::result::Result<(Found, Link), (u64, String)> {
    let cut = || (file.len() as u64, "it is cut short".to_owned());
    let body = file.len().checked_sub(HASH).ok_or_else(cut)?;
    if *blake3::hash(&file[..body]).as_bytes() != file[body..] {
        return Err((body as u64, "it has another hash than it says".to_owned()));
    }
    let fixed = file.get(..FIXED.min(body)).filter(|fixed| fixed.len() == FIXED);
    let fixed = fixed.ok_or_else(cut)?;
    if !fixed.starts_with(&BEGIN) {
        return Err((0, "it is no chunk, or of a newer version".to_owned()));
    }
    if fixed[16..32] != *backup {
        return Err((16, "it follows another backup".to_owned()));
    }
    let array = |at: usize| -> [u8; 8] { std::array::from_fn(|byte| fixed[at + byte]) };
    let length = u32::from_le_bytes(std::array::from_fn(|byte| fixed[72 + byte]));
    let sealed = usize::try_from(length)
        .ok()
        .and_then(|len| len.checked_add(FIXED));
    let sealed = sealed.filter(|sealed| *sealed <= body).ok_or_else(cut)?;
    let head =
        serde_json::from_slice(&file[FIXED..sealed]).map_err(|error| (FIXED as u64, error.to_string()))?;
    let link = Link {
        backup: *backup,
        number: u64::from_le_bytes(array(32)),
        before: std::array::from_fn(|byte| fixed[40 + byte]),
    };
    let hash = std::array::from_fn(|byte| file[body + byte]);
    let found = Found {
        head,
        hash,
        sealed,
        file,
    };
    Ok((found, link))
}

/// How far logs are in the chunks behind a backup, as far as they hold: one past the last seq, by the tenant's id, hex.
///
/// # Errors
/// What the target says.
pub(super) fn ends(
    disk: &dyn Disk,
    backup: [u8; 16],
) -> Result<(std::collections::BTreeMap<String, u64>, Option<u64>)> {
    let mut chunks = Chunks::of(disk, &hex(&backup), backup)?;
    let mut ends = std::collections::BTreeMap::new();
    let mut at_ms = None;
    loop {
        match chunks.next() {
            Ok(Some((_, found))) => {
                at_ms = Some(found.head.at_ms);
                ends.extend(found.head.logs.into_iter().map(|span| (span.tenant, span.end)));
            }
            Ok(None) | Err(Error::Damage { .. }) => return Ok((ends, at_ms)),
            Err(error) => return Err(error),
        }
    }
}

const BEGIN: [u8; 16] = *b"ATSTCHNK\x01\0\0\0\0\0\0\0";
const HASH: usize = 32;
/// Bytes before the head.
const FIXED: usize = 16 + 16 + 8 + HASH + 4;

#[cfg(test)]
mod tests {
    use attestore_disk::sim::SimDisk;
    use attestore_keys::SeededEntropy;

    use super::*;

    fn chain(disk: &SimDisk, count: u64) -> Key {
        let entropy = SeededEntropy::new(1);
        let first = Key::random(&entropy);
        let (mut key, mut before) = (first.duplicate(), [0; 32]);
        disk.create_dir_all(&folder::chunks_path(&hex(&ID))).unwrap();
        for number in 1..=count {
            let link = Link {
                backup: ID,
                number,
                before,
            };
            let piece = Piece {
                tenant: [3; 16],
                section: Zeroizing::new(vec![7; 100]),
            };
            let (file, hash) = seal(&key, &entropy, &link, &Head::default(), &[&piece]).unwrap();
            folder::write(disk, &folder::chunk_path(&hex(&ID), number), &file).unwrap();
            key = next_key(&key);
            before = hash;
        }
        first
    }

    fn read(disk: &SimDisk) -> (u64, Option<String>) {
        let mut chunks = Chunks::of(disk, &hex(&ID), ID).unwrap();
        let mut count = 0;
        loop {
            match chunks.next() {
                Ok(Some(_)) => count += 1,
                Ok(None) => return (count, None),
                Err(error) => {
                    assert!(matches!(chunks.next(), Ok(None)), "nothing is read behind it");
                    return (count, Some(error.to_string()));
                }
            }
        }
    }

    #[test]
    fn chunks_open_one_by_one_and_no_key_opens_the_one_before() {
        let disk = SimDisk::new(1);
        let mut key = chain(&disk, 3);
        let mut chunks = Chunks::of(&disk, &hex(&ID), ID).unwrap();
        while let Some((_, found)) = chunks.next().unwrap() {
            let pieces = found.open(&key).unwrap();
            assert_eq!((pieces.len(), pieces[0].section.len()), (1, 100));
            key = next_key(&key);
            assert!(found.open(&key).is_err());
        }
        assert_eq!(chunks.number, 3);
    }

    #[test]
    fn a_chunk_that_is_missing_or_damaged_ends_what_is_used() {
        let disk = SimDisk::new(2);
        chain(&disk, 4);
        assert_eq!(read(&disk), (4, None));
        let path = folder::chunk_path(&hex(&ID), 3);
        let len = disk.len(&path).unwrap();
        for at in 0..len {
            disk.flip(&path, at, 1).unwrap();
            let (count, why) = read(&disk);
            assert_eq!(count, 2, "byte {at}");
            assert!(why.unwrap().contains("00000003"), "byte {at}");
            disk.flip(&path, at, 1).unwrap();
        }
        disk.remove(&path).unwrap();
        let (count, why) = read(&disk);
        assert_eq!(count, 2);
        assert!(why.unwrap().contains("missing"));
    }

    #[test]
    fn a_chunk_of_another_course_is_not_taken() {
        let disk = SimDisk::new(3);
        chain(&disk, 2);
        let path = folder::chunk_path(&hex(&ID), 1);
        let entropy = SeededEntropy::new(9);
        let link = Link {
            backup: ID,
            number: 1,
            before: [0; 32],
        };
        let (file, _) = seal(&Key::random(&entropy), &entropy, &link, &Head::default(), &[]).unwrap();
        disk.remove(&path).unwrap();
        folder::write(&disk, &path, &file).unwrap();
        let (count, why) = read(&disk);
        assert_eq!(count, 1);
        assert!(why.unwrap().contains("does not follow"));
    }

    const ID: [u8; 16] = [5; 16];
}
