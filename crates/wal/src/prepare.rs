//! Makes files ready before they are needed: space that is allocated, written and synced.
//!
//! Bare preallocation is not enough: the first write to an allocated but unwritten block changes the file system's own
//! metadata and syncs that too. So a new file is filled with zeros, in pieces small enough not to hold up the log, and a file
//! that is no longer needed is used again.

use std::{
    io,
    path::{Path, PathBuf},
};

use attestore_disk::{AlignedBuf, Disk, Mode};

use crate::{
    Error,
    file_header::is_size,
    names::{DIR, is_unfinished, unfinished_path},
};

/// Largest single write of zeros, in bytes.
pub const ZERO_FILL_BYTES: usize = 256 * 1024;

/// A file of the right size that has no header yet.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) path: PathBuf,
    pub(crate) number: u64,
    pub(crate) size: u64,
    pub(crate) recycled: bool,
}

impl Prepared {
    /// Returns the number that the file will have.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns its size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// Makes file `number` ready, from `recycle` (the path of a file whose frames nobody needs any more) if it has the right
/// size, else by writing zeros.
///
/// What an earlier attempt left under the same number is replaced.
///
/// # Errors
/// [`Error::Size`] for an impossible size, [`Error::Io`].
pub fn prepare(disk: &dyn Disk, number: u64, size: u64, recycle: Option<&Path>) -> Result<Prepared, Error> {
    if !is_size(size) {
        return Err(Error::Size { size });
    }
    let path = unfinished_path(number);
    let wal = Path::new(DIR);
    disk.create_dir_all(wal)?;
    disk.sync_dir(Path::new(""))?; // even if it is there: an earlier process may have failed here
    if let Some(old) = recycle
        && disk.len(old)? == size
    {
        disk.rename(old, &path)?;
        disk.sync_dir(wal)?;
        return Ok(Prepared {
            path,
            number,
            size,
            recycled: true,
        });
    }
    if disk.exists(&path)? {
        disk.remove(&path)?;
    }
    disk.open(&path, Mode::Create)?;
    fill_with_zeros(disk, &path, size)?;
    Ok(Prepared {
        path,
        number,
        size,
        recycled: false,
    })
}

/// Removes what interrupted preparations left; returns how many files that were.
///
/// # Errors
/// What the disk says.
pub fn remove_unfinished(disk: &dyn Disk) -> io::Result<usize> {
    let wal = Path::new(DIR);
    if !disk.exists(wal)? {
        return Ok(0);
    }
    let unfinished: Vec<_> = disk
        .list(wal)?
        .into_iter()
        .filter(|e| !e.is_dir && is_unfinished(&e.name))
        .collect();
    for entry in &unfinished {
        disk.remove(&wal.join(&entry.name))?;
    }
    if !unfinished.is_empty() {
        disk.sync_dir(wal)?;
    }
    Ok(unfinished.len())
}

fn fill_with_zeros(disk: &dyn Disk, path: &Path, size: u64) -> io::Result<()> {
    let file = disk.open(path, Mode::DirectSync)?;
    let zeros = AlignedBuf::zeroed(ZERO_FILL_BYTES);
    let mut offset = 0;
    while offset < size {
        let rest = usize::try_from(size - offset).unwrap_or(usize::MAX);
        let piece = &zeros[..rest.min(ZERO_FILL_BYTES)];
        file.write_all_at(piece, offset)?;
        offset += piece.len() as u64;
    }
    file.sync_data()
}
