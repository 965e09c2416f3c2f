//! Opens a container and reads ranges of its plaintext.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use attestore_disk::File;
use attestore_keys::Key;
use attestore_keys::aead::TAG;

use super::header::{ContainerMeta, HEADER_BYTES, Header, parse_header};
use super::seal::{ChunkCipher, chunk_count, sealed_len};
use super::{CHUNK_BYTES, SEALED_CHUNK_BYTES};
use crate::{Damage, Error, Malformed, Result};

/// An opened container: authenticates and decrypts whatever range is asked for. Holds the last chunk that [`Container::read_near`]
/// needed, and no other cache.
pub struct Container {
    file: Arc<dyn File>,
    path: PathBuf,
    offset: u64,
    header: Header,
    header_bytes: [u8; HEADER_BYTES],
    cipher: ChunkCipher,
    last: Mutex<LastChunk>,
}

impl Container {
    /// Opens the container at `offset` of `file`, which must be exactly `length` bytes long and what `expect` says.
    ///
    /// Reads the header and the last chunk, which authenticates the header and the length. `path` is for messages only.
    ///
    /// # Errors
    /// [`Error::WrongKey`] when `key` is not the key of this container; [`Error::Damage`] when the bytes are not a
    /// container, are another one than expected, or do not have that length; [`Error::Io`].
    pub fn open(
        file: Arc<dyn File>,
        path: &Path,
        offset: u64,
        length: u64,
        key: &Key,
        expect: &ContainerMeta,
    ) -> Result<Self> {
        let (header_bytes, header) = read_header(&*file, path, offset)?;
        if header.meta != *expect {
            return Err(Error::damage(path, offset, difference(&header.meta, expect)));
        }
        if sealed_len(header.plaintext_len) != Some(length) || offset.checked_add(length).is_none() {
            return Err(Error::damage(path, offset, "the length is not the one expected"));
        }
        if !header.key_check.matches(key) {
            return Err(Error::WrongKey {
                path: path.to_owned(),
                offset,
                what: "sealed file",
            });
        }
        let cipher = ChunkCipher::new(key, &header.meta.id, &header_bytes);
        let path = path.to_owned();
        let container = Self {
            file,
            path,
            offset,
            header,
            header_bytes,
            cipher,
            last: Mutex::default(),
        };
        container.chunk(container.chunks() - 1)?;
        Ok(container)
    }

    /// Reads and checks the header at `offset` without any key: what the file says it is, not authenticated.
    ///
    /// # Errors
    /// [`Error::Damage`] when there is no sound header; [`Error::Io`].
    pub fn peek(file: &dyn File, path: &Path, offset: u64) -> Result<Header> {
        read_header(file, path, offset).map(|(_, header)| header)
    }

    /// Returns the bytes of plaintext.
    pub fn len(&self) -> u64 {
        self.header.plaintext_len
    }

    /// Tells whether the plaintext is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns what the container is.
    pub fn meta(&self) -> &ContainerMeta {
        &self.header.meta
    }

    /// Returns the file's path, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the number of chunks, at least 1.
    pub fn chunks(&self) -> u64 {
        chunk_count(self.len())
    }

    /// Reads a range of the plaintext.
    ///
    /// # Errors
    /// [`Error::Damage`] when the range is outside of the plaintext or a chunk of it is not authentic; [`Error::Io`].
    pub fn read(&self, range: Range<u64>) -> Result<Vec<u8>> {
        if range.start > range.end || range.end > self.len() {
            return Err(self.damage(Malformed {
                at: range.start,
                reason: "a range outside of the container",
            }));
        }
        let too_long = |_| {
            self.damage(Malformed {
                at: range.start,
                reason: "a range too long for this machine",
            })
        };
        let length = usize::try_from(range.end - range.start).map_err(too_long)?;
        let mut plaintext = Vec::with_capacity(length);
        if length == 0 {
            return Ok(plaintext);
        }
        let chunk_bytes = CHUNK_BYTES as u64;
        let chunks = range.start / chunk_bytes..range.end.div_ceil(chunk_bytes);
        let mut buf = Vec::new();
        let mut first = chunks.start;
        while first < chunks.end {
            let run = first..chunks.end.min(first + RUN_CHUNKS);
            self.read_run(&run, &mut buf)?;
            for (number, sealed) in run.clone().zip(buf.chunks_mut(SEALED_CHUNK_BYTES)) {
                let opened = self.open_chunk(number, sealed)?;
                plaintext.extend_from_slice(part(opened, number, &range));
            }
            first = run.end;
        }
        debug_assert_eq!(plaintext.len(), length);
        Ok(plaintext)
    }

    /// As [`Container::read`], for small blocks of which several lie in a chunk and are read one after the other: a chunk is kept for
    /// the next call. Not for what holds keys.
    ///
    /// # Errors
    /// As [`Container::read`].
    pub fn read_near(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let chunks = range.start / CHUNK_BYTES as u64..range.end.div_ceil(CHUNK_BYTES as u64);
        let is_short = chunks.end.saturating_sub(chunks.start) <= SHORT_CHUNKS && range.end <= self.len();
        let Some(mut last) = is_short.then(|| self.last.try_lock().ok()).flatten() else {
            return self.read(range);
        };
        let mut plaintext = Vec::new();
        for number in chunks {
            if last.number != Some(number) {
                last.number = None;
                self.read_run(&(number..number + 1), &mut last.bytes)?;
                last.length = self.open_chunk(number, &mut last.bytes)?.len();
                last.number = Some(number);
            }
            let opened = last.bytes.get(..last.length).unwrap_or_default();
            plaintext.extend_from_slice(part(opened, number, &range));
        }
        Ok(plaintext)
    }

    /// Reads one chunk of plaintext: [`CHUNK_BYTES`] of them, fewer in the last.
    ///
    /// # Errors
    /// [`Error::Damage`] when there is no such chunk or it is not authentic; [`Error::Io`].
    pub fn chunk(&self, number: u64) -> Result<Vec<u8>> {
        if number >= self.chunks() {
            return Err(Error::damage(
                &self.path,
                self.offset,
                "a chunk outside of the container",
            ));
        }
        let mut buf = Vec::new();
        self.read_run(&(number..number + 1), &mut buf)?;
        let length = self.open_chunk(number, &mut buf)?.len();
        buf.truncate(length);
        Ok(buf)
    }

    /// Checks the header and every chunk, and returns all that is damaged or unreadable, in order of offset.
    pub fn scan(&self) -> Vec<Damage> {
        let mut damages = Vec::new();
        match read_header(&*self.file, &self.path, self.offset) {
            Ok((bytes, _)) if bytes == self.header_bytes => {}
            Ok(_) => damages.push(self.damage_at(self.offset, "the header has changed".to_owned())),
            Err(error) => damages.push(self.to_damage(self.offset, error)),
        }
        for number in 0..self.chunks() {
            if let Err(error) = self.chunk(number) {
                damages.push(self.to_damage(self.chunk_offset(number), error));
            }
        }
        damages
    }

    /// Makes a damage report of a structure in the plaintext that does not hold, at the offset in the file where the
    /// structure's first byte is.
    pub fn damage(&self, malformed: Malformed) -> Error {
        Error::damage(&self.path, self.file_offset(malformed.at), malformed.reason)
    }

    /// Returns where a byte of the plaintext is in the file.
    pub fn file_offset(&self, plaintext_offset: u64) -> u64 {
        let at = plaintext_offset.min(self.len());
        let number = (at / CHUNK_BYTES as u64).min(self.chunks() - 1);
        self.chunk_offset(number) + (at - number * CHUNK_BYTES as u64)
    }

    fn open_chunk<'a>(&self, number: u64, sealed: &'a mut [u8]) -> Result<&'a [u8]> {
        let last = number + 1 == self.chunks();
        self.cipher.open(number, last, sealed).ok_or_else(|| {
            Error::damage(
                &self.path,
                self.chunk_offset(number),
                format!("chunk {number} is not authentic"),
            )
        })
    }

    /// Reads the sealed bytes of a run of chunks, at most [`RUN_CHUNKS`] of them, into `buf`.
    fn read_run(&self, run: &Range<u64>, buf: &mut Vec<u8>) -> Result<()> {
        let start = self.chunk_offset(run.start);
        let end = self.chunk_end(run.end - 1);
        let length = usize::try_from(end - start).expect("a run is a few chunks");
        buf.resize(length, 0);
        self.file
            .read_exact_at(buf, start)
            .map_err(|error| Error::read(&self.path, start, error))
    }

    /// Offset in the file of a chunk. `open` has checked that offset + length does not overflow.
    fn chunk_offset(&self, number: u64) -> u64 {
        self.offset + HEADER_BYTES as u64 + number * SEALED_CHUNK_BYTES as u64
    }

    fn chunk_end(&self, number: u64) -> u64 {
        let plaintext_end = self.len().min((number + 1) * CHUNK_BYTES as u64);
        self.offset + HEADER_BYTES as u64 + plaintext_end + (number + 1) * TAG as u64
    }

    fn damage_at(&self, offset: u64, reason: String) -> Damage {
        Damage {
            path: self.path.clone(),
            offset,
            reason,
        }
    }

    fn to_damage(&self, offset: u64, error: Error) -> Damage {
        match error {
            Error::Damage { offset, reason, .. } => self.damage_at(offset, reason),
            Error::Io { source, .. } => self.damage_at(offset, format!("unreadable: {source}")),
            other => self.damage_at(offset, other.to_string()),
        }
    }
}

/// A chunk that was opened in place: its plaintext is the first `length` bytes.
#[derive(Default)]
struct LastChunk {
    number: Option<u64>,
    bytes: Vec<u8>,
    length: usize,
}

fn read_header(file: &dyn File, path: &Path, offset: u64) -> Result<([u8; HEADER_BYTES], Header)> {
    let mut bytes = [0; HEADER_BYTES];
    file.read_exact_at(&mut bytes, offset)
        .map_err(|error| Error::read(path, offset, error))?;
    let header = parse_header(&bytes).map_err(|malformed| Error::damage(path, offset, malformed.reason))?;
    Ok((bytes, header))
}

fn difference(found: &ContainerMeta, expect: &ContainerMeta) -> &'static str {
    if found.ty != expect.ty {
        "a sealed file of another type"
    } else if found.tenant != expect.tenant {
        "a sealed file of another tenant"
    } else if found.id != expect.id {
        "another sealed file: its id differs"
    } else {
        "another sealed file: slot, class, set or generation differ"
    }
}

/// Returns what a chunk has of a range of the plaintext.
fn part<'a>(chunk: &'a [u8], number: u64, range: &Range<u64>) -> &'a [u8] {
    let base = number * CHUNK_BYTES as u64;
    let from = within(range.start.saturating_sub(base), chunk.len());
    &chunk[from..within(range.end.saturating_sub(base), chunk.len())]
}

/// Clamps an offset into a chunk to the chunk's length.
fn within(offset: u64, length: usize) -> usize {
    usize::try_from(offset).map_or(length, |offset| offset.min(length))
}

/// Longer reads gain nothing by a chunk that is kept.
const SHORT_CHUNKS: u64 = 2;
/// Chunks read by one call to the disk: 256 KiB.
const RUN_CHUNKS: u64 = 16;
