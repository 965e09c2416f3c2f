//! A journal: the blocks of one sync, complete before the first of them is written in place.
//!
//! # Format
//! ```text
//!  0  magic[8] = "ATSTCATJ" ‖ version u16 LE = 2 ‖ zero[6]
//! 16  catalog id[16]
//! 32  sequence u64 LE ‖ length u64 LE ‖ written u64 LE: the state once this is applied
//! 56  count u32 LE ‖ zero[4]
//! 64  root of the blocks' versions[32] once this is applied; not in version 1
//! 96  count × (block number u64 LE ‖ sealed block[4128]), ascending
//!     keyed check of everything before[32]
//! ```
//! What follows in the file is left from longer journals and means nothing. There are two files; the journals
//! alternate between them by the lowest bit of their sequence, so that one is overwritten only when the next one has
//! been applied and synced.

use std::io;

use attestore_disk::File;

use super::block::{Cipher, LOGICAL, MAC, PHYSICAL};

/// Bytes before the first entry.
const HEADER: usize = ROOT_AT + MAC;
const ROOT_AT: usize = 64;
/// Bytes of an entry.
const ENTRY: usize = 8 + PHYSICAL;
/// What is in a journal's file while header or state are replaced and there is no journal: it says that a crash may have
/// torn a copy of the state.
pub(super) const PLACEHOLDER: &[u8; 16] = b"attestore header";
const MAGIC: [u8; 8] = *b"ATSTCATJ";
const VERSION: u16 = 2;
/// Without the root: what a crash left before versions were kept.
const VERSION_1: u16 = 1;
const PURPOSE: &str = "attestore 2026 catalog journal v1";

/// A complete journal.
pub(super) struct Journal {
    pub(super) sequence: u64,
    pub(super) length: u64,
    pub(super) written: u64,
    /// The root of the blocks' versions once it is applied.
    pub(super) versions: Option<[u8; MAC]>,
    /// Where the first block begins.
    start: usize,
    bytes: Vec<u8>,
}

impl Journal {
    /// Begins a journal for up to `count` blocks.
    pub(super) fn builder(sequence: u64, length: u64, written: u64, count: usize) -> Builder {
        let mut bytes = Vec::with_capacity(HEADER + count * ENTRY + MAC);
        bytes.resize(HEADER, 0);
        Builder(Self {
            sequence,
            length,
            written,
            versions: None,
            start: HEADER,
            bytes,
        })
    }

    /// Reads the journal in `file`; the error is why there is no complete one.
    pub(super) fn read(file: &dyn File, cipher: &Cipher) -> io::Result<Result<Self, &'static str>> {
        let file_len = file.len()?;
        let mut header = [0; ROOT_AT];
        if file_len < ROOT_AT as u64 {
            return Ok(Err(if file_len == 0 {
                "empty"
            } else {
                "shorter than its header"
            }));
        }
        file.read_exact_at(&mut header, 0)?;
        let word = |at: usize| header[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
        let count = u64::from(header[56..60].try_into().map_or(0, u32::from_le_bytes));
        let is = |version: u16| header[8..10] == version.to_le_bytes();
        let start = if is(VERSION_1) { ROOT_AT } else { HEADER };
        let len = start as u64 + count * ENTRY as u64 + MAC as u64;
        let Some(len) = usize::try_from(len).ok().filter(|len| *len as u64 <= file_len) else {
            return Ok(Err("shorter than it says"));
        };
        if header[..8] != MAGIC || !(is(VERSION) || is(VERSION_1)) || header[16..32] != cipher.id() {
            return Ok(Err("no journal of this catalog"));
        }
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, 0)?;
        let (body, mac) = bytes.split_at(len - MAC);
        if cipher.mac(PURPOSE, body) != mac {
            return Ok(Err("not authentic"));
        }
        let journal = Self {
            sequence: word(32),
            length: word(40),
            written: word(48),
            versions: bytes[ROOT_AT..start].first_chunk().copied(),
            start,
            bytes,
        };
        Ok(if journal.is_sound() {
            Ok(journal)
        } else {
            Err("not a list of blocks")
        })
    }

    /// Whether `file` holds nothing but the placeholder.
    pub(super) fn is_placeholder(file: &dyn File) -> io::Result<bool> {
        let mut bytes = [0; PLACEHOLDER.len()];
        if file.len()? != bytes.len() as u64 {
            return Ok(false);
        }
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes == *PLACEHOLDER)
    }

    /// The bytes to be written at the file's start.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The blocks: number and sealed bytes.
    pub(super) fn blocks(&self) -> impl Iterator<Item = (u64, &[u8])> {
        entries(&self.bytes[self.start..self.bytes.len() - MAC])
    }

    fn is_sound(&self) -> bool {
        let numbers: Vec<u64> = self.blocks().map(|(number, _)| number).collect();
        numbers.is_sorted_by(|a, b| a < b)
            && numbers.last().is_none_or(|last| *last < self.written)
            && self.written <= self.length.div_ceil(LOGICAL as u64)
    }
}

/// A journal that is being filled.
pub(super) struct Builder(Journal);

impl Builder {
    /// Adds a block; in ascending order of their numbers. `seal` appends the sealed block.
    pub(super) fn block(&mut self, number: u64, seal: impl FnOnce(&mut Vec<u8>)) {
        let bytes = &mut self.0.bytes;
        let start = bytes.len();
        bytes.extend_from_slice(&number.to_le_bytes());
        seal(bytes);
        debug_assert_eq!(bytes.len() - start, ENTRY, "one sealed block was appended");
    }

    /// The blocks added so far.
    pub(super) fn blocks(&self) -> impl Iterator<Item = (u64, &[u8])> {
        entries(&self.0.bytes[HEADER..])
    }

    /// Completes the journal. `versions` is the root of the blocks' versions once it is applied.
    pub(super) fn finish(self, versions: [u8; MAC], cipher: &Cipher) -> io::Result<Journal> {
        let mut journal = self.0;
        journal.versions = Some(versions);
        let count = u32::try_from((journal.bytes.len() - HEADER) / ENTRY)
            .map_err(|_| io::Error::new(io::ErrorKind::FileTooLarge, "too many blocks in one sync"))?;
        let header = &mut journal.bytes[..HEADER];
        header[..8].copy_from_slice(&MAGIC);
        header[8..10].copy_from_slice(&VERSION.to_le_bytes());
        header[16..32].copy_from_slice(&cipher.id());
        header[32..40].copy_from_slice(&journal.sequence.to_le_bytes());
        header[40..48].copy_from_slice(&journal.length.to_le_bytes());
        header[48..56].copy_from_slice(&journal.written.to_le_bytes());
        header[56..60].copy_from_slice(&count.to_le_bytes());
        header[ROOT_AT..].copy_from_slice(&versions);
        let mac = cipher.mac(PURPOSE, &journal.bytes);
        journal.bytes.extend_from_slice(&mac);
        debug_assert!(journal.is_sound(), "the journal can be read back");
        Ok(journal)
    }
}

fn entries(bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    bytes.chunks_exact(ENTRY).map(|entry| {
        let (number, block) = entry.split_at(8);
        (number.try_into().map_or(u64::MAX, u64::from_le_bytes), block)
    })
}
