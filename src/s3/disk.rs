//! What names of objects in a bucket begin with, as a tree of files that are written once, from the beginning to the end: what a folder
//! of backups is.
//!
//! A file that is written under a temporary name (`<name>.tmp`) is an upload to its own name, which [`Disk::rename`] completes. It is
//! there whole or not at all. Folders are what names of objects begin with, and need not be made. What a bucket cannot do is refused with
//! `Unsupported`: writing to and fro, cutting what was sent, renaming, locks.
//!
//! # Durability
//! An object is durable, and every later read and list has it, once the store says that it was written; so [`Disk::rename`] returns with
//! what elsewhere takes the syncs, which have nothing left to do. An upload that a crash cut short stays, invisible, until a rule of the
//! bucket ends it.
//!
//! A file that is overwritten before it is removed ([`Mode::ReadWrite`]) is gone from a bucket that keeps versions, too.

mod answer;
mod store;
#[cfg(test)]
mod tests;
mod upload;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use attestore_disk::{DirEntry, Disk, File, LockGuard, Mode, check_path};
use parking_lot::Mutex;

use self::store::{Listed, Store};
use self::upload::{Upload, Writing};
use super::{Patience, Place};
use crate::failure::Failure;

/// What names of objects begin with, in a bucket.
pub struct S3Disk {
    store: Arc<Store>,
    prefix: String,
    /// Bytes of the parts of a long object.
    part: usize,
    /// What is being written, by its temporary name.
    uploads: Mutex<HashMap<String, Weak<Upload>>>,
}

impl S3Disk {
    /// Takes `s3://bucket/prefix`, with `endpoint`, `region` and `ca_file` as query; nothing is asked yet.
    ///
    /// # Errors
    /// Usage when the name makes no sense, or there are no credentials.
    pub fn named(option: &str, name: &str) -> Result<Self, Failure> {
        Ok(Self::at(Place::named(option, name, PATIENCE)?))
    }

    fn at(mut place: Place) -> Self {
        let prefix = std::mem::take(&mut place.key);
        Self {
            prefix: prefix.trim_end_matches('/').to_owned(),
            store: Arc::new(Store { place, pause: PAUSE }),
            part: PART,
            uploads: Mutex::default(),
        }
    }

    /// The name of the object for a path.
    fn key(&self, path: &Path) -> io::Result<String> {
        check_path(path)?;
        let text = path.to_str().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(match text.is_empty() {
            true => self.prefix.clone(),
            false => format!("{}/{text}", self.prefix),
        })
    }

    fn begin(&self, temporary: String) -> io::Result<Arc<dyn File>> {
        let key = temporary.strip_suffix(TEMPORARY).ok_or_else(unsupported)?;
        let writing = Writing(Arc::new(Upload {
            store: Arc::clone(&self.store),
            key: key.to_owned(),
            part: self.part,
            state: Mutex::default(),
        }));
        let mut uploads = self.uploads.lock();
        uploads.retain(|_, upload| upload.strong_count() > 0);
        uploads.insert(temporary, writing.found_by());
        Ok(Arc::new(writing))
    }

    fn read(&self, key: String) -> io::Result<Arc<dyn File>> {
        let first = self.store.get(&key, 0, FIRST, None)?;
        Ok(Arc::new(Object {
            store: Arc::clone(&self.store),
            key,
            len: first.total,
            tag: first.tag,
            window: Mutex::new((0, first.bytes)),
            over: Mutex::default(),
        }))
    }
}

impl Disk for S3Disk {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn File>> {
        let key = self.key(path)?;
        match mode {
            Mode::Read | Mode::ReadDirect | Mode::ReadWrite => self.read(key),
            Mode::Create | Mode::CreateDirect => self.begin(key),
            Mode::ReadWriteCreate | Mode::DirectSync => Err(unsupported()),
        }
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        check_path(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let prefix = format!("{}/", self.key(dir)?);
        let found = self.store.list(&prefix, Some("/"), None)?;
        Ok(found.into_iter().map(entry).collect())
    }

    fn list_below(&self, dir: &Path) -> io::Result<Vec<(String, DirEntry)>> {
        let prefix = format!("{}/", self.key(dir)?);
        let found = self.store.list(&prefix, None, None)?.into_iter();
        let files = found.filter_map(|Listed { name, len }| {
            let (folder, name) = name.split_once('/')?;
            let listed = Listed {
                name: name.to_owned(),
                len,
            };
            // What lies deeper, or stands for the folder itself, is no file of it.
            (!name.is_empty() && !name.contains('/')).then(|| (folder.to_owned(), entry(listed)))
        });
        Ok(files.collect())
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        let head = self.store.head(&self.key(path)?)?;
        Ok(head.ok_or(io::ErrorKind::NotFound)?.len)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let key = self.key(path)?;
        // A list says also whether there is a bucket.
        let below = format!("{key}/");
        Ok(!self.store.list(&below, None, Some(1))?.is_empty() || self.store.head(&key)?.is_some())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (self.key(from)?, self.key(to)?);
        let upload = self.uploads.lock().remove(&from);
        let upload = upload
            .and_then(|upload| upload.upgrade())
            .ok_or(io::ErrorKind::NotFound)?;
        match upload.key == to {
            true => upload.complete(),
            false => Err(unsupported()),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.store.delete(&self.key(path)?, None)
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn mode_bits(&self, _: &Path) -> io::Result<u32> {
        Err(unsupported())
    }

    fn try_lock(&self, _: &Path) -> io::Result<Option<Box<dyn LockGuard>>> {
        Err(unsupported())
    }
}

/// An object that is there: read in windows, and overwritten as a whole.
struct Object {
    store: Arc<Store>,
    key: String,
    len: u64,
    tag: String,
    /// What was read last, and where it begins.
    window: Mutex<(u64, Vec<u8>)>,
    over: Mutex<Vec<u8>>,
}

impl File for Object {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset >= self.len || buf.is_empty() {
            return Ok(0);
        }
        let mut window = self.window.lock();
        let end = window.0 + window.1.len() as u64;
        if offset < window.0 || offset >= end {
            let len = WINDOW.min(self.len - offset);
            *window = (
                offset,
                self.store.get(&self.key, offset, len, Some(&self.tag))?.bytes,
            );
        }
        let at = usize::try_from(offset - window.0).map_err(|_| unsupported())?;
        let bytes = window.1.get(at..).unwrap_or_default();
        let len = bytes.len().min(buf.len());
        buf[..len].copy_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut over = self.over.lock();
        if offset != over.len() as u64 || offset + buf.len() as u64 > self.len {
            return Err(unsupported());
        }
        over.extend_from_slice(buf);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let over = self.over.lock();
        match over.len() as u64 {
            0 => Ok(()),
            len if len == self.len => self.store.wipe(&self.key, &over),
            // Part of an object cannot be replaced.
            _ => Err(unsupported()),
        }
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(unsupported())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    fn is_direct(&self) -> bool {
        false
    }
}

fn entry(Listed { name, len }: Listed) -> DirEntry {
    DirEntry {
        name,
        is_dir: len.is_none(),
        len: len.unwrap_or(0),
    }
}

fn unsupported() -> io::Error {
    io::ErrorKind::Unsupported.into()
}

const TEMPORARY: &str = ".tmp";
/// Bytes of the parts of a long object, and so of what is kept in memory of a file that is being written.
const PART: usize = 8 << 20;
/// Bytes that opening a file reads: most files are no longer.
const FIRST: u64 = 256 << 10;
/// Bytes that reading on reads at once.
const WINDOW: u64 = 4 << 20;
/// Before the first request is tried again.
const PAUSE: Duration = Duration::from_millis(200);
const PATIENCE: Patience = Patience {
    request: Duration::from_secs(300),
    silence: Duration::from_secs(20),
};
