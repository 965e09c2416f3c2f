//! The read-only directory that the search library sees: ranges of one bundle.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tantivy::HasLen;
use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    Directory, DirectoryLock, FileHandle, Lock, OwnedBytes, WatchCallback, WatchHandle, WritePtr,
};

use crate::cache::{Cache, slice};
use crate::split::Source;

/// Where the bytes of a bundle are.
pub(crate) enum Medium {
    /// All in memory.
    Memory(OwnedBytes),
    /// Behind a source, read through the cache.
    Sealed {
        uid: u64,
        source: Arc<dyn Source>,
        cache: Cache,
        /// Bytes that had to be read.
        opened: AtomicU64,
    },
}

impl Medium {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::Sealed { source, .. } => source.len(),
        }
    }

    pub(crate) fn opened_bytes(&self) -> u64 {
        match self {
            Self::Memory(_) => 0,
            Self::Sealed { opened, .. } => opened.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn read(&self, range: Range<u64>) -> io::Result<OwnedBytes> {
        if range.start > range.end || range.end > self.len() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "range beyond the end of the split",
            ));
        }
        match self {
            Self::Memory(bytes) => slice(bytes, range),
            Self::Sealed {
                uid,
                source,
                cache,
                opened,
            } => cache.read(*uid, &**source, range, opened),
        }
    }
}

impl Drop for Medium {
    fn drop(&mut self) {
        if let Self::Sealed { uid, cache, .. } = self {
            cache.forget(*uid);
        }
    }
}

/// The files of a bundle.
#[derive(Clone)]
pub(crate) struct BundleDirectory {
    medium: Arc<Medium>,
    files: Arc<BTreeMap<PathBuf, Range<u64>>>,
}

impl BundleDirectory {
    pub(crate) fn new(medium: Arc<Medium>, files: BTreeMap<PathBuf, Range<u64>>) -> Self {
        Self {
            medium,
            files: Arc::new(files),
        }
    }

    fn handle(&self, path: &Path) -> Result<Handle, OpenReadError> {
        let range = self
            .files
            .get(path)
            .ok_or_else(|| OpenReadError::FileDoesNotExist(path.to_owned()))?;
        Ok(Handle {
            medium: Arc::clone(&self.medium),
            range: range.clone(),
        })
    }
}

impl std::fmt::Debug for BundleDirectory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BundleDirectory")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl Directory for BundleDirectory {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        Ok(Arc::new(self.handle(path)?))
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        Err(DeleteError::IoError {
            io_error: Arc::new(read_only()),
            filepath: path.to_owned(),
        })
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        Ok(self.files.contains_key(path))
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        Err(OpenWriteError::wrap_io_error(read_only(), path.to_owned()))
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        let handle = self.handle(path)?;
        let bytes = handle
            .read_bytes(0..handle.len())
            .map_err(|error| OpenReadError::wrap_io_error(error, path.to_owned()))?;
        Ok(bytes.as_slice().to_vec())
    }

    fn atomic_write(&self, _: &Path, _: &[u8]) -> io::Result<()> {
        Err(read_only())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    /// Nothing here is ever written or deleted, so there is nothing to lock.
    fn acquire_lock(&self, _: &Lock) -> Result<DirectoryLock, LockError> {
        Ok(DirectoryLock::from(Box::new(())))
    }

    fn watch(&self, _: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}

struct Handle {
    medium: Arc<Medium>,
    range: Range<u64>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Handle").field(&self.range).finish()
    }
}

impl HasLen for Handle {
    fn len(&self) -> usize {
        usize::try_from(self.range.end - self.range.start).unwrap_or(usize::MAX)
    }
}

impl FileHandle for Handle {
    fn read_bytes(&self, range: Range<usize>) -> io::Result<OwnedBytes> {
        let bound = |at: usize| {
            u64::try_from(at)
                .ok()
                .and_then(|at| self.range.start.checked_add(at))
        };
        match (bound(range.start), bound(range.end)) {
            (Some(start), Some(end)) if start <= end && end <= self.range.end => self.medium.read(start..end),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "range beyond the end of the file",
            )),
        }
    }
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "a split is read-only")
}
