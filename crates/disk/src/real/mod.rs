//! The machine's file system below one root directory.
//!
//! The only place that names `std::fs`. It holds no state but the root's path and an open handle of it.

mod file;

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::OFlags;

use crate::{DirEntry, Disk, File, LockGuard, Mode, path::check_path};
use file::{RealFile, refuses_direct};

const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;

/// Files below a directory of this machine.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
    handle: fs::File,
}

impl RealDisk {
    /// Uses `root`, creating it (mode 0700) and its parents if needed.
    ///
    /// # Errors
    /// What the system says.
    #[expect(clippy::disallowed_methods, reason = "this crate owns the files")]
    pub fn new(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        if !root.is_dir() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(DIR_MODE)
                .create(&root)?;
            if let Some(parent) = root.parent().filter(|p| !p.as_os_str().is_empty()) {
                fs::File::open(parent)?.sync_all()?;
            }
        }
        let handle = fs::File::open(&root)?;
        Ok(Self { root, handle })
    }

    /// Returns the root directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn absolute(&self, path: &Path) -> io::Result<PathBuf> {
        check_path(path)?;
        Ok(self.root.join(path))
    }
}

impl Disk for RealDisk {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn File>> {
        let path = self.absolute(path)?;
        Ok(Arc::new(open_file(&path, mode)?))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(DIR_MODE)
            .create(self.absolute(path)?)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.absolute(dir)?)? {
            let entry = entry?;
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue, // removed meanwhile
                Err(e) => return Err(e),
            };
            let is_dir = metadata.is_dir();
            let len = if is_dir { 0 } else { metadata.len() };
            let name = entry.file_name().to_string_lossy().into_owned();
            entries.push(DirEntry { name, is_dir, len });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(self.absolute(path)?)?.len())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        fs::exists(self.absolute(path)?)
    }

    #[expect(clippy::disallowed_methods, reason = "this crate owns the files")]
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(self.absolute(from)?, self.absolute(to)?)
    }

    #[expect(clippy::disallowed_methods, reason = "this crate owns the files")]
    fn remove(&self, path: &Path) -> io::Result<()> {
        let path = self.absolute(path)?;
        if fs::symlink_metadata(&path)?.is_dir() {
            fs::remove_dir(path)
        } else {
            fs::remove_file(path)
        }
    }

    #[expect(clippy::disallowed_methods, reason = "this crate owns the files")]
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(self.absolute(dir)?)?.sync_all()
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.handle)?)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::fstatvfs(&self.handle)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn mode_bits(&self, path: &Path) -> io::Result<u32> {
        Ok(fs::metadata(self.absolute(path)?)?.permissions().mode() & 0o7777)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn LockGuard>>> {
        let file = options(Mode::ReadWriteCreate, OFlags::empty(), &self.absolute(path)?)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(RealLock { _file: file }))),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(e)) => Err(e),
        }
    }
}

fn open_file(path: &Path, mode: Mode) -> io::Result<RealFile> {
    type Wrap = fn(fs::File) -> RealFile;
    let (flags, direct, buffered): (OFlags, Wrap, Wrap) = match mode {
        Mode::DirectSync => (
            OFlags::DIRECT | OFlags::DSYNC,
            RealFile::direct_sync,
            RealFile::buffered_sync,
        ),
        Mode::CreateDirect => (OFlags::DIRECT, RealFile::direct, RealFile::buffered),
        Mode::ReadDirect => (OFlags::DIRECT, RealFile::direct_read, RealFile::buffered),
        _ => return Ok(RealFile::buffered(options(mode, OFlags::empty(), path)?)),
    };
    match options(mode, flags, path) {
        Ok(file) => Ok(direct(file)),
        Err(e) if refuses_direct(&e) => {
            // The file may have been made before the flag was refused.
            let mode = if path.exists() && mode == Mode::CreateDirect {
                Mode::ReadWrite
            } else {
                mode
            };
            Ok(buffered(options(mode, OFlags::empty(), path)?))
        }
        Err(e) => Err(e),
    }
}

#[expect(clippy::disallowed_methods, reason = "this crate owns the files")]
fn options(mode: Mode, flags: OFlags, path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options
        .read(true)
        .mode(FILE_MODE)
        .custom_flags(flags.bits().cast_signed());
    match mode {
        Mode::Read | Mode::ReadDirect => &mut options,
        Mode::Create | Mode::CreateDirect => options.write(true).create_new(true),
        Mode::ReadWrite | Mode::DirectSync => options.write(true),
        Mode::ReadWriteCreate => options.write(true).create(true).truncate(false),
    };
    options.open(path)
}

/// Releases the lock by closing its file.
struct RealLock {
    _file: fs::File,
}

impl LockGuard for RealLock {}

#[cfg(test)]
mod tests;
