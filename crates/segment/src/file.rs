//! How sealed bytes become a file that a crash cannot leave half written.
//!
//! # Durability
//!
//! The bytes go to `<path>.tmp`, in pieces of at most 256 KiB, are synced, and only then get their name. The name is durable
//! after the caller has synced the folder, and the file belongs to the data only once the catalog names it. A crash at
//! any point leaves a temporary or unreferenced file, which recovery removes, never a named file with missing bytes.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use attestore_disk::{Disk, File, Mode};

/// The most bytes handed to the disk by one write, so that a large file does not hold up the log's writes.
pub const PIECE_BYTES: usize = 256 * 1024;

/// Writes `parts`, one after the other, to a new file at `path`: temporary name, sync, rename.
///
/// An existing file at `path` is replaced: pass a name that the catalog does not hold. A temporary file left by an earlier
/// attempt is removed first. The caller then syncs the folder, once for all files of a flush.
///
/// # Errors
/// What the disk says. After an error, the temporary file may be left; nothing has the final name unless the rename itself
/// failed, in which case that is unknown. A new attempt must seal anew, under a fresh id and key.
pub fn write_file(disk: &dyn Disk, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let temporary = temporary_name(path);
    let file = write_parts(disk, &temporary, parts)?;
    file.sync_data()?;
    disk.rename(&temporary, path)
}

/// As [`write_file`], without syncing the file: for batches of many files that end in [`Disk::sync_all`], which must have
/// returned before the catalog names any of them.
///
/// # Errors
/// As for [`write_file`].
pub fn write_file_unsynced(disk: &dyn Disk, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let temporary = temporary_name(path);
    write_parts(disk, &temporary, parts)?;
    disk.rename(&temporary, path)
}

/// Returns `<path>.tmp`, the name that a file has while it is written.
pub fn temporary_name(path: &Path) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

fn write_parts(disk: &dyn Disk, temporary: &Path, parts: &[&[u8]]) -> io::Result<Arc<dyn File>> {
    let file = create(disk, temporary)?;
    let mut offset = 0u64;
    for piece in parts.iter().flat_map(|part| part.chunks(PIECE_BYTES)) {
        file.write_all_at(piece, offset)?;
        offset += piece.len() as u64;
    }
    if file.len()? != offset {
        return Err(io::Error::other("the file has another length than was written"));
    }
    Ok(file)
}

fn create(disk: &dyn Disk, temporary: &Path) -> io::Result<Arc<dyn File>> {
    match disk.open(temporary, Mode::Create) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            disk.remove(temporary)?;
            disk.open(temporary, Mode::Create)
        }
        opened => opened,
    }
}

#[cfg(test)]
mod tests;
