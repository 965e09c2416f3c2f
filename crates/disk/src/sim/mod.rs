//! A disk in memory that can lose power at every operation.
//!
//! # Model
//!
//! - What was written but not synced may be lost, kept, reordered or torn at 512-byte sectors. Lengths survive in order.
//! - A name (create, rename, remove, directory) that was not synced by [`Disk::sync_dir`] of its parent may be lost or kept;
//!   an operation survives only with the earlier ones on the same names, and a rename is atomic.
//! - A failed sync marks the data clean: readers still see it, a crash loses it, the next sync succeeds. Names stay pending.
//! - A direct write is durable on return; interrupted, it is torn at sectors; failed, it is torn, or readers see it and a crash
//!   loses it. A direct write without sync ([`Mode::CreateDirect`]) is like any that was not synced.
//!
//! The same seed and the same calls give the same states, also across [`SimDisk::crash`].
//!
//! # Example
//! ```
//! use attestore_disk::{Disk, Mode, sim::{Fault, SimDisk}};
//! use std::path::Path;
//!
//! let disk = SimDisk::new(1);
//! let file = disk.open(Path::new("f"), Mode::Create)?; // operation 0
//! disk.sync_dir(Path::new(""))?; // operation 1
//! disk.fail_at(3, Fault::CrashBefore);
//! file.write_all_at(b"hello", 0)?; // operation 2
//! assert!(file.sync_data().is_err()); // operation 3: the power goes
//! let after = disk.crash();
//! assert!(after.exists(Path::new("f"))?);
//! # Ok::<(), std::io::Error>(())
//! ```

mod content;
mod file;
mod names;
mod node;
mod random;
mod state;

use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use crate::{DirEntry, Disk, File, LockGuard, Mode, path::check_path};
use file::SimFile;
use names::Entry;
use state::State;

/// What happens at a planned operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Power is lost before the operation does anything.
    CrashBefore,
    /// Power is lost while the operation is half done.
    CrashTorn,
    /// The operation is done, but power is lost before the caller hears of it.
    CrashAfter,
    /// The operation fails with this kind of error; a write may be half done, a sync loses the data that was dirty.
    Error(io::ErrorKind),
    /// As [`Error`](Self::Error), with an error number (5 is `EIO`, 28 is `ENOSPC`).
    Errno(i32),
}

/// A simulated disk. Clones are handles of the same disk.
#[derive(Debug, Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

/// A deep copy of a simulated disk, dirty data, planned faults and all; open handles and locks are not in it.
#[derive(Debug, Clone)]
pub struct Snapshot(State);

impl SimDisk {
    /// Makes an empty disk.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::of(State::new(seed))
    }

    /// Cuts the power: returns one possible state of the medium, as a disk of its own without planned faults.
    ///
    /// This disk answers every later call with an error. Called again, it returns another possible state.
    #[must_use]
    pub fn crash(&self) -> Self {
        let mut state = self.state.lock();
        state.crashed = true;
        Self::of(state.after_crash())
    }

    /// Tells whether the power is off, by [`crash`](Self::crash) or by a planned fault.
    #[must_use]
    pub fn has_crashed(&self) -> bool {
        self.state.lock().crashed
    }

    /// Returns how many mutating and sync operations were begun; the next one has this number.
    ///
    /// Counted are: creating opens, `create_dir_all`, `rename`, `remove`, `sync_dir`, `sync_all`, the first `try_lock` of a
    /// path, and of files `write_all_at`, `sync_data` and `set_len`.
    #[must_use]
    pub fn op_count(&self) -> u64 {
        self.state.lock().ops
    }

    /// Plans a fault for the operation number `op`; once.
    pub fn fail_at(&self, op: u64, fault: Fault) {
        self.state.lock().faults.insert(op, fault);
    }

    /// Forgets the planned faults.
    pub fn clear_faults(&self) {
        self.state.lock().faults.clear();
    }

    /// Limits the bytes of all files together; growing beyond gives `ENOSPC`. `u64::MAX` takes the limit away.
    pub fn set_capacity(&self, bytes: u64) {
        self.state.lock().capacity = (bytes != u64::MAX).then_some(bytes);
    }

    /// Flips the bits of `mask` in one byte, in the cache and on the medium.
    ///
    /// # Errors
    /// `NotFound` if the file is absent.
    pub fn flip(&self, path: impl AsRef<Path>, offset: u64, mask: u8) -> io::Result<()> {
        let mut state = self.state.lock();
        let id = state.file(&clean(path.as_ref())?)?;
        state.node(id)?.flip(offset, mask);
        Ok(())
    }

    /// Makes every read that touches `range` of a file fail with `EIO`.
    ///
    /// # Errors
    /// `NotFound` if the file is absent.
    pub fn read_error_at(&self, path: impl AsRef<Path>, range: Range<u64>) -> io::Result<()> {
        let mut state = self.state.lock();
        let id = state.file(&clean(path.as_ref())?)?;
        state.read_errors.push((id, range));
        Ok(())
    }

    /// Takes all read errors away.
    pub fn clear_read_errors(&self) {
        self.state.lock().read_errors.clear();
    }

    /// Changes the permission bits of a file or directory.
    ///
    /// # Errors
    /// `NotFound` if it is absent.
    pub fn set_mode_bits(&self, path: impl AsRef<Path>, bits: u32) -> io::Result<()> {
        let mut state = self.state.lock();
        let path = clean(path.as_ref())?;
        state.names.get(&path)?;
        state.names.set_mode(&path, bits);
        Ok(())
    }

    /// Returns the paths of all files, sorted.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.state
            .lock()
            .names
            .files()
            .map(|(path, _)| path.clone())
            .collect()
    }

    /// Copies the disk as it is.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.state.lock().detached())
    }

    /// Puts the disk back to a snapshot; open handles of files that are not in it stop working.
    pub fn restore(&self, snapshot: &Snapshot) {
        *self.state.lock() = snapshot.0.detached();
    }

    /// Makes a disk of its own from a snapshot.
    #[must_use]
    pub fn from_snapshot(snapshot: &Snapshot) -> Self {
        Self::of(snapshot.0.detached())
    }

    fn of(state: State) -> Self {
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn File>> {
        let path = clean(path)?;
        let mut state = self.state.lock();
        state.check()?;
        let id = match (state.file(&path), mode) {
            (Ok(_), Mode::Create | Mode::CreateDirect) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Ok(id), _) => id,
            (Err(e), Mode::Create | Mode::CreateDirect | Mode::ReadWriteCreate)
                if e.kind() == io::ErrorKind::NotFound =>
            {
                state.names.require_parent(&path)?;
                state.play_names(|state| {
                    state.add_file(&path);
                })?;
                state.file(&path)?
            }
            (Err(e), _) => return Err(e),
        };
        let handles = Arc::clone(&state.node(id)?.handles);
        Ok(Arc::new(SimFile::new(Arc::clone(&self.state), id, mode, handles)))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let path = clean(path)?;
        let mut state = self.state.lock();
        state.check()?;
        let mut missing: Vec<PathBuf> = Vec::new();
        for dir in path.ancestors() {
            match state.names.get(dir) {
                Ok(Entry::Dir { .. }) => break,
                Ok(Entry::File { .. }) => return Err(io::ErrorKind::NotADirectory.into()),
                Err(_) => missing.push(dir.to_owned()),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        state.play_names(|state| {
            for dir in missing.iter().rev() {
                state.names.set(dir, Some(Entry::Dir { mode: 0o700 }));
            }
        })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let dir = clean(dir)?;
        let state = self.state.lock();
        state.check()?;
        let mut entries = Vec::new();
        for (path, entry) in state.names.children(&dir)? {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let (is_dir, len) = match entry {
                Entry::Dir { .. } => (true, 0),
                Entry::File { node, .. } => (false, state.nodes.get(&node).map_or(0, |n| n.cached.len())),
            };
            entries.push(DirEntry { name, is_dir, len });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        let path = clean(path)?;
        let mut state = self.state.lock();
        state.check()?;
        let id = state.file(&path)?;
        Ok(state.node(id)?.cached.len())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let path = clean(path)?;
        let state = self.state.lock();
        state.check()?;
        Ok(state.names.get(&path).is_ok())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (clean(from)?, clean(to)?);
        let mut state = self.state.lock();
        state.check()?;
        state.names.require_parent(&to)?;
        let source = state.names.get(&from)?;
        match (source, state.names.get(&to)) {
            (_, Err(_)) | (Entry::File { .. }, Ok(Entry::File { .. })) => {}
            (_, Ok(Entry::Dir { .. })) => return Err(io::ErrorKind::IsADirectory.into()),
            (Entry::Dir { .. }, Ok(_)) => return Err(io::ErrorKind::NotADirectory.into()),
        }
        if from == to {
            return Ok(());
        }
        state.play_names(|state| {
            state.names.rename(&from, &to);
            state.collect();
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let path = clean(path)?;
        let mut state = self.state.lock();
        state.check()?;
        if let Entry::Dir { .. } = state.names.get(&path)?
            && !state.names.children(&path)?.is_empty()
        {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        state.play_names(|state| {
            state.names.set(&path, None);
            state.collect();
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let dir = clean(dir)?;
        let mut state = self.state.lock();
        state.check()?;
        state.names.require_dir(&dir)?;
        state.play_sync(
            |state| {
                state.names.sync_dir(&dir);
                state.collect();
            },
            |state| {
                let survival = state.random.survival();
                if survival.survives(&mut state.random) {
                    state.names.sync_dir(&dir);
                }
            },
            |_| {}, // a journal that cannot be written keeps the names pending
        )
    }

    fn sync_all(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.check()?;
        state.play_sync(
            |state| {
                state.nodes.values_mut().for_each(node::Node::sync);
                state.names.sync_all();
                state.collect();
            },
            |state| {
                let State { nodes, random, .. } = state;
                nodes.values_mut().for_each(|node| node.tear_sync(random));
            },
            |state| state.nodes.values_mut().for_each(node::Node::drop_dirty),
        )
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.state.lock();
        state.check()?;
        Ok(state.free_bytes())
    }

    fn mode_bits(&self, path: &Path) -> io::Result<u32> {
        let path = clean(path)?;
        let state = self.state.lock();
        state.check()?;
        match state.names.get(&path)? {
            Entry::Dir { mode } | Entry::File { mode, .. } => Ok(mode),
        }
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn LockGuard>>> {
        self.open(path, Mode::ReadWriteCreate)?;
        let path = clean(path)?;
        let mut state = self.state.lock();
        state.check()?;
        if !state.locks.insert(path.clone()) {
            return Ok(None);
        }
        Ok(Some(Box::new(SimLock {
            state: Arc::clone(&self.state),
            path,
        })))
    }
}

struct SimLock {
    state: Arc<Mutex<State>>,
    path: PathBuf,
}

impl LockGuard for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.state.lock().locks.remove(&self.path);
    }
}

/// Checks a path and takes `.` components out.
fn clean(path: &Path) -> io::Result<PathBuf> {
    check_path(path)?;
    Ok(path
        .components()
        .filter(|c| matches!(c, std::path::Component::Normal(_)))
        .collect())
}

#[cfg(test)]
mod tests;
