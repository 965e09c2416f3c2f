//! The head register: the last size and root of every origin that may have left the process, and the instance nonce.
//!
//! It is meant to live where a restore of the data directory does not touch it; then a directory that is older than
//! its register is recognised as rolled back, and a copy that was started beside its original is recognised by the
//! nonce. Inside the data directory it still catches a log that lost records on its own.
//!
//! # Format
//! See [`codec`]: one file, keyed check at its end, replaced whole.
//!
//! # Durability
//! [`Register::advance`] returns when the new file is synced, renamed into place, and its folder is synced. It
//! compares first: under a lock file, the file on disk must still carry the nonce and the version that this process
//! wrote last. If not, somebody else started with the same register ([`RegisterError::Cloned`]), and this process
//! must stop. A failed write poisons the register: later calls fail without touching the disk.
//!
//! # Errors
//! [`RegisterError`].

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use attestore_disk::{Disk, File, LockGuard, Mode};
use attestore_keys::Key;
use attestore_tlog::Hash;
use parking_lot::Mutex;

pub mod codec;
#[cfg(test)]
mod tests;

pub use codec::DecodeError;

/// Name of the register inside of the data directory, where it lives unless told otherwise.
pub const DEFAULT_PATH: &str = "heads";

/// A random value that names one run of one process.
pub type Nonce = [u8; 16];

/// Where a register lives.
#[derive(Clone)]
pub struct RegisterAt {
    /// The file system that holds it.
    pub disk: Arc<dyn Disk>,
    /// Its path on that disk; `<path>.tmp` and `<path>.lock` beside it belong to it too.
    pub path: PathBuf,
}

/// Size and root of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number of entries.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
}

/// Says why the register cannot be read or moved on.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The file is not what was written.
    #[error("head register {}: {source}", path.display())]
    Damage {
        /// The file.
        path: PathBuf,
        /// What does not hold, and where.
        source: DecodeError,
    },
    /// The file belongs to another instance, or the data directory's keys do.
    #[error("head register {} was written under another key", path.display())]
    Key {
        /// The file.
        path: PathBuf,
    },
    /// Another process started with this register since: this one is a clone or was cloned, and must stop.
    #[error(
        "another process took over the head register: this data directory or a copy of it runs elsewhere"
    )]
    Cloned,
    /// A head was to go back.
    #[error("head of {origin} was to go from size {registered} to {asked}")]
    Backwards {
        /// The log.
        origin: String,
        /// Size that the register holds.
        registered: u64,
        /// Size that was to be registered.
        asked: u64,
    },
    /// A head of the same size was to change its root.
    #[error("head of {origin} at size {size} was to change its root")]
    Forked {
        /// The log.
        origin: String,
        /// The size.
        size: u64,
    },
    /// The lock beside the file stayed taken.
    #[error("the head register's lock is held by another process")]
    Busy,
    /// An earlier write failed; nothing more is written.
    #[error("the head register failed earlier")]
    Poisoned,
    /// The new file could not be written; the old one stands, and a later call may do better.
    #[error("head register not written: {0}")]
    Unwritten(io::Error),
    /// The file system failed.
    #[error("head register: {0}")]
    Io(#[from] io::Error),
}

/// What a register holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heads {
    /// Names the run that wrote it last.
    pub nonce: Nonce,
    /// Counts the writes.
    pub version: u64,
    /// The head of each origin.
    pub rows: BTreeMap<String, Head>,
}

/// The register of a running process.
pub struct Register {
    at: RegisterAt,
    key: Key,
    state: Mutex<State>,
}

struct State {
    heads: Heads,
    poisoned: bool,
}

impl Register {
    /// Reads the register at `at`; `None` if there is none.
    ///
    /// # Errors
    /// [`RegisterError::Damage`], [`RegisterError::Key`] or [`RegisterError::Io`].
    pub fn read(at: &RegisterAt, key: &Key) -> Result<Option<Heads>, RegisterError> {
        let file = match at.disk.open(&at.path, Mode::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let bytes = read_whole(&*file)?;
        match codec::decode(&bytes, key) {
            Ok(heads) => Ok(Some(heads)),
            Err(DecodeError::Key) => Err(RegisterError::Key {
                path: at.path.clone(),
            }),
            Err(source) => Err(RegisterError::Damage {
                path: at.path.clone(),
                source,
            }),
        }
    }

    /// Takes the register over for the run that `nonce` names, keeping its heads, and returns what it held before.
    ///
    /// # Errors
    /// As [`Register::read`], and what writing the file returns.
    pub fn start(at: RegisterAt, key: Key, nonce: Nonce) -> Result<(Self, Option<Heads>), RegisterError> {
        let _lock = lock(&at)?;
        let found = Self::read(&at, &key)?;
        let mut heads = found.clone().unwrap_or_default();
        heads.nonce = nonce;
        heads.version = heads.version.saturating_add(1);
        replace(&at, &codec::encode(&heads, &key))?;
        let state = Mutex::new(State {
            heads,
            poisoned: false,
        });
        Ok((Self { at, key, state }, found))
    }

    /// Returns the head that the register holds of `origin`.
    pub fn head(&self, origin: &str) -> Option<Head> {
        self.state.lock().heads.rows.get(origin).copied()
    }

    /// Returns the nonce of this run.
    pub fn nonce(&self) -> Nonce {
        self.state.lock().heads.nonce
    }

    /// Moves the heads of `moves` on, all in one durable write; heads that the register already holds cost nothing.
    ///
    /// # Errors
    /// [`RegisterError::Cloned`] if another process took the register over; [`RegisterError::Backwards`] and
    /// [`RegisterError::Forked`] if a head would contradict what may have been published, in which case nothing is
    /// written; [`RegisterError::Poisoned`] after any failed write.
    pub fn advance(&self, moves: &[(&str, Head)]) -> Result<(), RegisterError> {
        let mut state = self.state.lock();
        if state.poisoned {
            return Err(RegisterError::Poisoned);
        }
        let mut next = state.heads.rows.clone();
        let mut moved = false;
        for &(origin, head) in moves {
            moved |= step(&mut next, origin, head)?;
        }
        if !moved {
            return Ok(());
        }
        let heads = Heads {
            nonce: state.heads.nonce,
            version: state.heads.version.saturating_add(1),
            rows: next,
        };
        self.swap(&mut state, heads)
    }

    /// Forgets `origin`: its log was deleted, or forked on purpose.
    ///
    /// # Errors
    /// As [`Register::advance`].
    pub fn forget(&self, origin: &str) -> Result<(), RegisterError> {
        let mut state = self.state.lock();
        if state.poisoned {
            return Err(RegisterError::Poisoned);
        }
        if !state.heads.rows.contains_key(origin) {
            return Ok(());
        }
        let mut heads = state.heads.clone();
        heads.rows.remove(origin);
        heads.version = heads.version.saturating_add(1);
        self.swap(&mut state, heads)
    }

    /// Writes `heads` in place of those in `state`, in memory too.
    fn swap(&self, state: &mut State, heads: Heads) -> Result<(), RegisterError> {
        match self.compare_and_swap(&state.heads, &heads) {
            Ok(()) => {
                state.heads = heads;
                Ok(())
            }
            // Nothing has changed on the medium: may be tried again.
            Err(error @ (RegisterError::Busy | RegisterError::Unwritten(_))) => Err(error),
            Err(error) => {
                state.poisoned = true;
                Err(error)
            }
        }
    }

    fn compare_and_swap(&self, expected: &Heads, new: &Heads) -> Result<(), RegisterError> {
        let _lock = lock(&self.at)?;
        let found = Self::read(&self.at, &self.key)?;
        let same = found.is_some_and(|f| f.nonce == expected.nonce && f.version == expected.version);
        if !same {
            return Err(RegisterError::Cloned);
        }
        replace(&self.at, &codec::encode(new, &self.key))
    }
}

/// Applies one move; says whether it changed anything.
fn step(rows: &mut BTreeMap<String, Head>, origin: &str, head: Head) -> Result<bool, RegisterError> {
    match rows.get_mut(origin) {
        Some(row) if row.size > head.size => Err(RegisterError::Backwards {
            origin: origin.to_owned(),
            registered: row.size,
            asked: head.size,
        }),
        Some(row) if row.size == head.size && row.root != head.root => Err(RegisterError::Forked {
            origin: origin.to_owned(),
            size: head.size,
        }),
        Some(row) if *row == head => Ok(false),
        Some(row) => {
            *row = head;
            Ok(true)
        }
        None => {
            rows.insert(origin.to_owned(), head);
            Ok(true)
        }
    }
}

/// Writes `bytes` to a temporary name, syncs, renames into place and syncs the folder.
fn replace(at: &RegisterAt, bytes: &[u8]) -> Result<(), RegisterError> {
    let temporary = beside(&at.path, ".tmp");
    write_new(&*at.disk, &temporary, bytes).map_err(RegisterError::Unwritten)?;
    at.disk.rename(&temporary, &at.path)?;
    at.disk
        .sync_dir(at.path.parent().unwrap_or_else(|| Path::new("")))?;
    Ok(())
}

/// Writes and syncs a fresh file; a sync error concerns only this file, which is thrown away.
fn write_new(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    match disk.remove(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let file = disk.open(path, Mode::Create)?;
    file.write_all_at(bytes, 0)?;
    file.sync_data()
}

/// Takes the lock that serialises writers of different processes; it is held for one write only.
fn lock(at: &RegisterAt) -> Result<Box<dyn LockGuard>, RegisterError> {
    let path = beside(&at.path, ".lock");
    for _ in 0..LOCK_ATTEMPTS_MAX {
        if let Some(guard) = at.disk.try_lock(&path)? {
            return Ok(guard);
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    Err(RegisterError::Busy)
}

/// Appends `suffix` to the file name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn read_whole(file: &dyn File) -> Result<Vec<u8>, RegisterError> {
    let length = file.len()?;
    let length = usize::try_from(length)
        .ok()
        .filter(|length| *length <= REGISTER_BYTES_MAX)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the file is longer than any register"))?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Longest register that is read: room for three million origins.
const REGISTER_BYTES_MAX: usize = 512 << 20;
/// A writer holds the lock for two syncs; a second of waiting outlasts a slow disk.
const LOCK_ATTEMPTS_MAX: u32 = 400;
const LOCK_PAUSE: Duration = Duration::from_millis(5);
