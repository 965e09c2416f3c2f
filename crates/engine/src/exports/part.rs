//! A part: one file of an export at rest.
//!
//! # Format
//! A sealed container has to know its length before its first byte, and a part does not. So a part is a row of containers of type 4,
//! one behind the other, each of a piece of [`PIECE_BYTES`] of the file, the last one of what is left. Their ids are derived:
//!
//! ```text
//! id of piece n = derive("attestore 2026 export piece v1", [id of the part, n u32 LE])[..16]
//! set = number of the part, generation = n, slot = the job's key
//! ```
//!
//! The catalog has the part's id and length, so no piece can be missing, moved, or of another part. The key is the job's, each id is
//! fresh for each attempt, and chunk keys depend on both: no nonce comes twice.

use std::io;
use std::path::Path;
use std::sync::Arc;

use attestore_disk::{Disk, File, Mode};
use attestore_export::FileHash;
use attestore_keys::{Key, derive};
use attestore_record::TenantId;
use attestore_segment::container::seal_to;
use attestore_segment::{Container, ContainerMeta, ContainerType, FileWriter, Pace, WriteError, sealed_len};

use super::row::PartRow;
use crate::catalog::hex;
use crate::read::readers::segment_error;
use crate::{Error, Result};

/// What all pieces of a part share.
#[derive(Clone, Copy, Debug)]
pub(super) struct PartId {
    pub(super) tenant: TenantId,
    /// Slot of the job's key.
    pub(super) slot: u64,
    pub(super) number: u32,
    /// The part's random id.
    pub(super) id: [u8; 16],
}

impl PartId {
    fn piece(&self, number: u32) -> ContainerMeta {
        let derived = derive(
            "attestore 2026 export piece v1",
            &[&self.id, &number.to_le_bytes()],
        );
        let mut id = [0; 16];
        id.copy_from_slice(&derived.expose()[..16]);
        ContainerMeta {
            ty: ContainerType::Export,
            id,
            slot: self.slot,
            tenant: *self.tenant.as_bytes(),
            class: 0,
            set: u64::from(self.number),
            generation: number,
        }
    }
}

/// A part in the making.
pub(super) struct PartWriter<'a> {
    part: PartId,
    key: &'a Key,
    file: FileWriter<'a>,
    piece: Vec<u8>,
    pieces: u32,
    bytes: u64,
    hash: FileHash,
}

impl<'a> PartWriter<'a> {
    /// Begins a part at `path`.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn create(
        disk: &'a dyn Disk,
        path: &Path,
        pace: Pace<'a>,
        part: PartId,
        key: &'a Key,
    ) -> io::Result<Self> {
        Ok(Self {
            part,
            key,
            file: FileWriter::create(disk, path, pace)?,
            piece: Vec::with_capacity(PIECE_BYTES),
            pieces: 0,
            bytes: 0,
            hash: FileHash::default(),
        })
    }

    /// Bytes of the file so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends bytes of the file.
    ///
    /// # Errors
    /// What the disk or the pace says.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = PIECE_BYTES - self.piece.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.piece.extend_from_slice(now);
            bytes = later;
            if self.piece.len() == PIECE_BYTES {
                self.seal()?;
            }
        }
        Ok(())
    }

    /// Ends the part; durable but for its name on return.
    ///
    /// # Errors
    /// As [`FileWriter::finish`].
    pub(super) fn finish(mut self, name: String) -> Result<PartRow, WriteError> {
        if !self.piece.is_empty() || self.pieces == 0 {
            self.seal()?;
        }
        let written = self.file.finish(true)?;
        Ok(PartRow {
            name,
            id: hex(&self.part.id),
            bytes: self.bytes,
            sealed_bytes: written.bytes,
            records: 0,
            erased: 0,
            first_seq: None,
            last_seq: None,
            sha256: self.hash.finish(),
        })
    }

    fn seal(&mut self) -> io::Result<()> {
        let meta = self.part.piece(self.pieces);
        let file = &mut self.file;
        seal_to(&meta, self.key, &self.piece, |bytes| file.write(bytes))?;
        self.piece.clear();
        self.pieces = self
            .pieces
            .checked_add(1)
            .ok_or_else(|| io::Error::other("a part has too many pieces"))?;
        Ok(())
    }
}

/// An opened part.
pub(super) struct PartReader {
    part: PartId,
    file: Arc<dyn File>,
    path: std::path::PathBuf,
    key: Key,
    bytes: u64,
}

impl PartReader {
    /// Opens a part; nothing is authenticated before it is read.
    ///
    /// # Errors
    /// Damage when the file is not there or has another length than its row says.
    pub(super) fn open(disk: &dyn Disk, path: &Path, part: PartId, key: Key, row: &PartRow) -> Result<Self> {
        let file = match disk.open(path, Mode::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::damage(path, 0, "the file is missing"));
            }
            opened => opened?,
        };
        let length = file.len()?;
        if Some(length) != part_len(row.bytes) || length != row.sealed_bytes {
            return Err(Error::damage(path, length, "the length is not the one expected"));
        }
        Ok(Self {
            part,
            file,
            path: path.to_owned(),
            key,
            bytes: row.bytes,
        })
    }

    /// Reads up to `length` bytes at `offset`, not beyond the end of a piece.
    ///
    /// # Errors
    /// Damage; what the disk says.
    pub(super) fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>> {
        let end = self.bytes.min(offset.saturating_add(length));
        if offset >= end {
            return Ok(Vec::new());
        }
        let piece = offset / PIECE_BYTES as u64;
        let begin = piece * PIECE_BYTES as u64;
        let container = self.piece(piece)?;
        let within = offset - begin..(end - begin).min(container.len());
        container.read(within).map_err(segment_error)
    }

    /// Authenticates everything.
    ///
    /// # Errors
    /// As [`PartReader::read`].
    pub(super) fn scan(&self) -> Result<Vec<attestore_segment::Damage>> {
        let mut damages = Vec::new();
        for piece in 0..pieces(self.bytes) {
            damages.extend(self.piece(piece)?.scan());
        }
        Ok(damages)
    }

    fn piece(&self, piece: u64) -> Result<Container> {
        let full = sealed_len(PIECE_BYTES as u64).unwrap_or(u64::MAX);
        let begin = piece * PIECE_BYTES as u64;
        let plain = (self.bytes - begin).min(PIECE_BYTES as u64);
        let number = u32::try_from(piece).map_err(|_| Error::damage(&self.path, 0, "too many pieces"))?;
        Container::open(
            Arc::clone(&self.file),
            &self.path,
            piece * full,
            sealed_len(plain).unwrap_or(u64::MAX),
            &self.key,
            &self.part.piece(number),
        )
        .map_err(segment_error)
    }
}

fn pieces(bytes: u64) -> u64 {
    bytes.div_ceil(PIECE_BYTES as u64).max(1)
}

/// Bytes on disk of a part of so many bytes.
fn part_len(bytes: u64) -> Option<u64> {
    let last = bytes - (pieces(bytes) - 1) * PIECE_BYTES as u64;
    let full = sealed_len(PIECE_BYTES as u64)?.checked_mul(pieces(bytes) - 1)?;
    full.checked_add(sealed_len(last)?)
}

/// Bytes of a piece: what is held in memory of a part.
pub(super) const PIECE_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use attestore_disk::sim::SimDisk;
    use attestore_segment::unpaced;

    use super::*;

    const PATH: &str = "part.exp";

    fn id() -> PartId {
        PartId {
            tenant: TenantId::from_bytes([1; 16]),
            slot: 5,
            number: 2,
            id: [3; 16],
        }
    }

    fn written(disk: &SimDisk, bytes: &[u8]) -> PartRow {
        let key = Key::from_bytes([7; 32]);
        let mut writer = PartWriter::create(disk, Path::new(PATH), &unpaced, id(), &key).unwrap();
        for piece in bytes.chunks(70_001) {
            writer.write(piece).unwrap();
        }
        writer.finish("part-00002.ndjson".into()).unwrap()
    }

    fn open(disk: &SimDisk, row: &PartRow) -> Result<PartReader> {
        PartReader::open(disk, Path::new(PATH), id(), Key::from_bytes([7; 32]), row)
    }

    fn noise(length: usize) -> Vec<u8> {
        (0..length)
            .map(|at| ((at * 31 + at / 251) % 256).try_into().unwrap())
            .collect()
    }

    #[test]
    fn ids_of_pieces_are_golden() {
        // From the format document, by another implementation of BLAKE3.
        let ids = [0, 1].map(|number| hex(&id().piece(number).id));
        assert_eq!(
            ids,
            [
                "795a30955d4eea2bcfae567a89dd7b11",
                "fc4bb8f8a5578e9337d08dee84f93db1"
            ]
        );
        let piece = id().piece(1);
        assert_eq!(
            (piece.set, piece.generation, piece.slot, piece.class),
            (2, 1, 5, 0)
        );
    }

    #[test]
    fn every_range_reads_what_was_written() {
        for length in [
            0,
            1,
            PIECE_BYTES - 1,
            PIECE_BYTES,
            PIECE_BYTES + 1,
            2 * PIECE_BYTES + 77,
        ] {
            let (disk, bytes) = (SimDisk::new(1), noise(length));
            let row = written(&disk, &bytes);
            assert_eq!(row.bytes, length as u64);
            assert_eq!(row.sha256, attestore_export::sha256_hex(&bytes));
            let reader = open(&disk, &row).unwrap();
            for (from, wanted) in [
                (0, u64::MAX),
                (1, 3),
                (PIECE_BYTES as u64 - 2, 4),
                (length as u64, 9),
            ] {
                let mut read = Vec::new();
                let until = (length as u64).min(from.saturating_add(wanted));
                while from + (read.len() as u64) < until {
                    let at = from + read.len() as u64;
                    let some = reader.read(at, until - at).unwrap();
                    assert!(!some.is_empty());
                    read.extend(some);
                }
                let expected = bytes
                    .get(usize::try_from(from).unwrap()..usize::try_from(until).unwrap())
                    .unwrap_or_default();
                assert!(read == expected, "{length} bytes from {from}");
            }
            assert_eq!(reader.scan().unwrap(), []);
        }
    }

    #[test]
    fn pieces_moved_flipped_or_missing_are_damage() {
        let (disk, bytes) = (SimDisk::new(1), noise(2 * PIECE_BYTES + 77));
        let row = written(&disk, &bytes);
        let full = sealed_len(PIECE_BYTES as u64).unwrap();
        let reader = open(&disk, &row).unwrap();
        disk.flip(PATH, full + 500, 1).unwrap();
        assert!(matches!(
            reader.read(PIECE_BYTES as u64, 10),
            Err(Error::Damage { .. })
        ));
        assert!(reader.read(0, 10).is_ok());
        disk.flip(PATH, full + 500, 1).unwrap();
        // The second piece in place of the first.
        let file = disk.open(Path::new(PATH), Mode::ReadWrite).unwrap();
        let mut second = vec![0; usize::try_from(full).unwrap()];
        file.read_exact_at(&mut second, full).unwrap();
        file.write_all_at(&second, 0).unwrap();
        assert!(matches!(reader.read(0, 10), Err(Error::Damage { .. })));
        file.set_len(2 * full).unwrap();
        assert!(matches!(open(&disk, &row), Err(Error::Damage { .. })));
    }
}
