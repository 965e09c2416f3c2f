//! How sealed bytes become a file that a crash cannot leave half written.
//!
//! # Durability
//!
//! The bytes go to `<path>.tmp`, in pieces of at most 256 KiB and past the page cache, are synced, and only then get their
//! name. The name is durable after the caller has synced the folder, and the file belongs to the data only once the catalog
//! names it. A crash at any point leaves a temporary or unreferenced file, which recovery removes, never a named file with
//! missing bytes.
//!
//! # Errors
//!
//! A failed sync is told from every other failure ([`WriteError::Sync`]): after it nothing is known about the medium.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use attestore_disk::{AlignedBuf, Disk, File, Mode, is_aligned};

/// The most bytes handed to the disk by one write, so that a large file does not hold up the log's writes.
pub const PIECE_BYTES: usize = 256 * 1024;
const _: () = assert!(PIECE_BYTES.is_multiple_of(attestore_disk::BLOCK));

/// Asked before each write with its bytes; waits until they may be written. An error gives the file up.
pub type Pace<'a> = &'a dyn Fn(usize) -> io::Result<()>;

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The sync failed: what reached the medium is not known, and it must not be tried again on that file.
    #[error("sync: {0}")]
    Sync(io::Error),
    /// Anything else failed, or the pace gave up.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<WriteError> for io::Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Sync(error) | WriteError::Io(error) => error,
        }
    }
}

/// A file in the making, under its temporary name.
pub struct FileWriter<'a> {
    disk: &'a dyn Disk,
    path: PathBuf,
    file: Arc<dyn File>,
    pace: Pace<'a>,
    piece: AlignedBuf,
    written: u64,
    hash: blake3::Hasher,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the file.
    pub bytes: u64,
    /// BLAKE3 of them, the first 16 bytes.
    pub checksum: [u8; 16],
}

impl<'a> FileWriter<'a> {
    /// Begins a file that will be named `path`. A temporary file left by an earlier attempt is removed first.
    ///
    /// # Errors
    /// What the disk says.
    pub fn create(disk: &'a dyn Disk, path: &Path, pace: Pace<'a>) -> io::Result<Self> {
        let temporary = temporary_name(path);
        let file = match disk.open(&temporary, Mode::CreateDirect) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                disk.remove(&temporary)?;
                disk.open(&temporary, Mode::CreateDirect)?
            }
            opened => opened?,
        };
        Ok(Self {
            disk,
            path: path.to_owned(),
            file,
            pace,
            piece: AlignedBuf::new(),
            written: 0,
            hash: blake3::Hasher::new(),
        })
    }

    /// Appends bytes; they reach the disk in pieces of [`PIECE_BYTES`], which are not copied first if they are aligned.
    ///
    /// # Errors
    /// What the disk or the pace says.
    pub fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        while !bytes.is_empty() {
            if self.piece.is_empty()
                && bytes.len() >= PIECE_BYTES
                && is_aligned(&bytes[..PIECE_BYTES], self.written)
            {
                let (now, later) = bytes.split_at(PIECE_BYTES);
                self.write_now(now)?;
                bytes = later;
                continue;
            }
            let room = PIECE_BYTES - self.piece.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.piece.extend_from_slice(now);
            bytes = later;
            if self.piece.len() == PIECE_BYTES {
                self.write_piece()?;
            }
        }
        Ok(())
    }

    /// Writes what is left, syncs if `sync`, and gives the file its name, replacing one that has it: pass a name that the
    /// catalog does not hold. Without `sync` the caller syncs the file system before anything names the file.
    ///
    /// # Errors
    /// [`WriteError::Sync`] when the sync failed; else nothing has the name unless the rename itself failed, in which case
    /// that is unknown. A new attempt must seal anew, under a fresh id and key.
    pub fn finish(mut self, sync: bool) -> Result<Written, WriteError> {
        let length = self.written + self.piece.len() as u64;
        if !self.piece.is_empty() {
            let padding = self.piece.pad_to_block();
            self.write_piece()?;
            if padding > 0 {
                self.file.set_len(length)?;
            }
        }
        if self.file.len()? != length {
            return Err(io::Error::other("the file has another length than was written").into());
        }
        if sync {
            self.file.sync_data().map_err(WriteError::Sync)?;
        }
        self.disk.rename(&temporary_name(&self.path), &self.path)?;
        let mut checksum = [0; 16];
        self.hash.finalize_xof().fill(&mut checksum);
        Ok(Written {
            bytes: length,
            checksum,
        })
    }

    fn write_piece(&mut self) -> io::Result<()> {
        let piece = std::mem::take(&mut self.piece);
        let written = self.write_now(&piece);
        self.piece = piece;
        self.piece.clear();
        written
    }

    fn write_now(&mut self, piece: &[u8]) -> io::Result<()> {
        (self.pace)(piece.len())?;
        self.file.write_all_at(piece, self.written)?;
        self.written += piece.len() as u64;
        Ok(())
    }
}

/// Writes `parts`, one after the other, to a new file at `path`, without waiting: temporary name, sync, rename. As
/// [`FileWriter`].
///
/// # Errors
/// As [`FileWriter::finish`].
pub fn write_file(disk: &dyn Disk, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    Ok(write_file_paced(disk, path, parts, &unpaced, true)?)
}

/// As [`write_file`], at a pace. Without `sync` for batches of many files that end in [`Disk::sync_all`], which must have
/// returned before the catalog names any of them.
///
/// # Errors
/// As [`FileWriter::finish`].
pub fn write_file_paced(
    disk: &dyn Disk,
    path: &Path,
    parts: &[&[u8]],
    pace: Pace<'_>,
    sync: bool,
) -> Result<(), WriteError> {
    let mut writer = FileWriter::create(disk, path, pace)?;
    for part in parts {
        writer.write(part)?;
    }
    writer.finish(sync).map(drop)
}

/// A pace that never waits.
///
/// # Errors
/// None.
pub fn unpaced(_: usize) -> io::Result<()> {
    Ok(())
}

/// Returns `<path>.tmp`, the name that a file has while it is written.
pub fn temporary_name(path: &Path) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests;
