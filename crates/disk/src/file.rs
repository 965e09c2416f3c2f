//! The traits that files are reached through.
//!
//! # Durability
//!
//! A write is durable after [`File::sync_data`] on any handle of the same file, or on return for a handle opened with
//! [`Mode::DirectSync`]. A name (created, renamed or removed) is durable after [`Disk::sync_dir`] of its parent directory.
//! [`Disk::sync_all`] makes both durable for everything. After a sync error nothing is known about what reached the medium:
//! never retry on that file.

use std::{io, path::Path, sync::Arc};

/// How [`Disk::open`] opens a file. Files are created with mode 0600.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Reads an existing file.
    Read,
    /// Reads an existing file past the page cache, for large files that are read once: what they would take of the cache is needed
    /// by others, and filling it costs more than the read.
    ///
    /// Buffers and offsets should be multiples of [`BLOCK`](crate::BLOCK); a read that is not, or that the file system refuses, makes
    /// the handle fall back to buffered reads.
    ReadDirect,
    /// Creates a new file for reading and writing; fails with `AlreadyExists` if there is one.
    Create,
    /// Reads and writes an existing file.
    ReadWrite,
    /// Reads and writes a file, creating it if it is absent.
    ReadWriteCreate,
    /// Writes an existing file past the page cache; each write is durable on return.
    ///
    /// Buffers, offsets and lengths must be multiples of [`BLOCK`](crate::BLOCK). Where the file system refuses direct IO
    /// the handle falls back to buffered writes, each followed by `fdatasync`; [`File::is_direct`] tells.
    DirectSync,
    /// Creates a new file, as [`Create`](Self::Create), that is written past the page cache; nothing is durable before
    /// [`File::sync_data`].
    ///
    /// For large files written in the background: dirty pages that the system writes back when it likes hold up the log.
    /// Buffers, offsets and lengths must be multiples of [`BLOCK`](crate::BLOCK); [`File::set_len`] cuts the last block.
    /// Where the file system refuses direct IO the handle falls back to buffered writes.
    CreateDirect,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The last component. A name that is not UTF-8 is shown lossily, and cannot be opened.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Length in bytes; 0 for directories.
    pub len: u64,
}

/// A tree of files below one root.
///
/// Paths are relative to the root; absolute paths and paths with `..` are refused with `InvalidInput`. The empty path is the
/// root itself.
pub trait Disk: Send + Sync + 'static {
    /// Opens a file.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists` ([`Mode::Create`], [`Mode::CreateDirect`]), `InvalidInput` for a refused path, or what the system says.
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn File>>;

    /// Creates a directory (mode 0700) and its missing parents. Durable only after [`sync_dir`](Self::sync_dir) of each parent.
    ///
    /// # Errors
    /// What the system says; an existing directory is not an error.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Lists a directory, sorted by name.
    ///
    /// # Errors
    /// `NotFound` if it is absent.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;

    /// Lists the files in the directories of a directory, sorted by name: the name of the directory with each. What is asked of another
    /// machine may answer it at once.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    fn list_below(&self, dir: &Path) -> io::Result<Vec<(String, DirEntry)>> {
        let mut found = Vec::new();
        for folder in self.list(dir)?.into_iter().filter(|entry| entry.is_dir) {
            let files = self.list(&dir.join(&folder.name))?.into_iter();
            let files = files.filter(|entry| !entry.is_dir);
            found.extend(files.map(|entry| (folder.name.clone(), entry)));
        }
        Ok(found)
    }

    /// Returns the length of a file in bytes.
    ///
    /// # Errors
    /// `NotFound` if it is absent.
    fn len(&self, path: &Path) -> io::Result<u64>;

    /// Tells whether a file or directory is there.
    ///
    /// # Errors
    /// Anything but `NotFound`: an error is never taken for an absent file.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Renames a file or directory, replacing a file at `to` atomically.
    ///
    /// # Errors
    /// `NotFound` if `from` is absent.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file or an empty directory.
    ///
    /// # Errors
    /// `NotFound` if it is absent, `DirectoryNotEmpty`.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// After an error nothing is known about the names; it must not be retried.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes everything written and renamed so far durable (the whole file system that holds the root).
    ///
    /// # Errors
    /// As for [`sync_dir`](Self::sync_dir).
    fn sync_all(&self) -> io::Result<()>;

    /// Returns how many bytes an unprivileged writer may still write.
    ///
    /// # Errors
    /// What the system says.
    fn free_bytes(&self) -> io::Result<u64>;

    /// Returns the unix permission bits (`mode & 0o7777`) of a file or directory.
    ///
    /// # Errors
    /// `NotFound` if it is absent.
    fn mode_bits(&self, path: &Path) -> io::Result<u32>;

    /// Takes an exclusive advisory lock, creating the file if needed; `None` when somebody else holds it.
    ///
    /// The lock is held until the guard is dropped.
    ///
    /// # Errors
    /// What the system says.
    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn LockGuard>>>;
}

/// A lock held until it is dropped.
pub trait LockGuard: Send + Sync {}

/// An open file. All access is positional; handles can be shared between threads.
pub trait File: Send + Sync {
    /// Reads up to `buf.len()` bytes at `offset`; 0 means end of file.
    ///
    /// # Errors
    /// What the system says; `EIO` is an error, never a short read.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Reads exactly `buf.len()` bytes at `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut done = 0usize;
        while done < buf.len() {
            let at = u64::try_from(done).ok().and_then(|d| offset.checked_add(d));
            let at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
            match self.read_at(&mut buf[done..], at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Writes all of `buf` at `offset`, growing the file if needed.
    ///
    /// With [`Mode::DirectSync`] and [`Mode::CreateDirect`], `buf` (see [`AlignedBuf`](crate::AlignedBuf)), `offset` and length
    /// must be multiples of [`BLOCK`](crate::BLOCK); with the former the bytes are durable on return.
    ///
    /// # Errors
    /// After an error any part of `buf` may have been written. `InvalidInput` for a misaligned direct write.
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;

    /// Makes the file's data and length durable.
    ///
    /// # Errors
    /// After an error nothing is known about what is durable, and a later call may succeed without the data being there.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts or extends (with zeros) the file to `len` bytes.
    ///
    /// # Errors
    /// What the system says.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Returns the length in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn len(&self) -> io::Result<u64>;

    /// Tells whether the file is empty.
    ///
    /// # Errors
    /// As for [`len`](Self::len).
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Tells whether reads or writes go past the page cache; `false` when the buffered fallback is in use.
    fn is_direct(&self) -> bool;
}
