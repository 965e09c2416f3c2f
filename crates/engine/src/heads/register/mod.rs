//! The head register: the last size and root of every origin that may have left the process, and the instance nonce.
//!
//! It is meant to live where a restore of the data directory does not touch it; then a directory that is older than
//! its register is recognised as rolled back, and a copy that was started beside its original is recognised by the
//! nonce. Inside the data directory it still catches a log that lost records on its own.
//!
//! - [`HeadStore`], [`HeadWriter`]: where a register lives. [`RegisterAt`] is a file; others are made elsewhere.
//! - [`Register`]: a running process's register: heads only ever move on.
//! - `Frozen`: a store that is read, and written in memory only.
//!
//! # Durability
//! [`Register::advance`] returns when the store holds the heads durably, and only as long as the store is this run's: if somebody else
//! started with it since ([`RegisterError::Cloned`]), this process must stop.
//!
//! # Errors
//! [`RegisterError`].

use std::{collections::BTreeMap, io, path::PathBuf};

use attestore_keys::Key;
use attestore_tlog::Hash;
use parking_lot::{Mutex, RwLock};

pub mod codec;
mod file;
mod frozen;
#[cfg(test)]
mod tests;

pub use codec::DecodeError;
pub use file::RegisterAt;
pub(crate) use frozen::Frozen;

/// Name of the register inside of the data directory, where it lives unless told otherwise.
pub const DEFAULT_PATH: &str = "heads";

/// A random value that names one run of one process.
pub type Nonce = [u8; 16];

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
    /// It is not what was written.
    #[error("head register {}: {source}", path.display())]
    Damage {
        /// Where it is.
        path: PathBuf,
        /// What does not hold, and where.
        source: DecodeError,
    },
    /// It belongs to another instance, or the data directory's keys do.
    #[error("head register {} was written under another key", path.display())]
    Key {
        /// Where it is.
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
    /// An earlier write failed for good; nothing more is written.
    #[error("the head register failed earlier")]
    Poisoned,
    /// The heads could not be written; what was there stands, and a later call may do better.
    #[error("head register not written: {0}")]
    Unwritten(io::Error),
    /// Where it lives failed.
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

/// Where a register lives.
pub trait HeadStore: Send + Sync {
    /// Its place, for messages.
    fn place(&self) -> PathBuf;

    /// Reads what it holds; `None` if there is no register yet.
    ///
    /// # Errors
    /// [`RegisterError::Damage`], [`RegisterError::Key`] or [`RegisterError::Io`].
    fn read(&self, key: &Key) -> Result<Option<Heads>, RegisterError>;

    /// Says what of it does not hold, also what [`HeadStore::read`] gets along without.
    ///
    /// # Errors
    /// As [`HeadStore::read`].
    fn check(&self, key: &Key) -> Result<(), RegisterError> {
        self.read(key).map(|_| ())
    }

    /// Takes it over for the run that `nonce` names, keeping its heads. From then on a writer of an earlier run gets
    /// [`RegisterError::Cloned`].
    ///
    /// # Errors
    /// As [`HeadStore::read`], and what writing returns.
    fn start(&self, key: Key, nonce: Nonce) -> Result<Started, RegisterError>;
}

/// A register that a run has taken over.
pub struct Started {
    /// Writes to it.
    pub writer: Box<dyn HeadWriter>,
    /// What it holds now.
    pub heads: Heads,
    /// What it held before; `None` if there was no register.
    pub found: Option<Heads>,
}

/// Writes to a register for one run.
pub trait HeadWriter: Send {
    /// Makes `heads` durable, which differ from what the last call wrote in `moved` and by one in their version.
    ///
    /// # Errors
    /// [`RegisterError::Cloned`] if another run took the store over. After [`RegisterError::Busy`] and [`RegisterError::Unwritten`] a later
    /// call may do better: what is stored is what it was, or `heads`.
    fn write(&mut self, heads: &Heads, moved: &[(&str, Head)]) -> Result<(), RegisterError>;
}

/// The register of a running process.
pub struct Register {
    /// Held while heads are written, which may take as long as the store likes.
    state: Mutex<State>,
    /// What the store holds; never locked for longer than a look.
    held: RwLock<BTreeMap<String, Head>>,
    nonce: Nonce,
}

struct State {
    writer: Box<dyn HeadWriter>,
    heads: Heads,
    poisoned: bool,
}

impl Register {
    /// Takes over the register in `store` for the run that `nonce` names, and returns what it held before.
    ///
    /// # Errors
    /// As [`HeadStore::start`].
    pub fn start(
        store: &dyn HeadStore,
        key: Key,
        nonce: Nonce,
    ) -> Result<(Self, Option<Heads>), RegisterError> {
        let Started { writer, heads, found } = store.start(key, nonce)?;
        let register = Self {
            held: RwLock::new(heads.rows.clone()),
            nonce: heads.nonce,
            state: Mutex::new(State {
                writer,
                heads,
                poisoned: false,
            }),
        };
        Ok((register, found))
    }

    /// Returns the head that the register holds of `origin`.
    pub fn head(&self, origin: &str) -> Option<Head> {
        self.held.read().get(origin).copied()
    }

    /// Returns the heads that the register holds, of every origin.
    pub fn rows(&self) -> BTreeMap<String, Head> {
        self.held.read().clone()
    }

    /// Returns the nonce of this run.
    pub fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// Moves the heads of `moves` on, all in one durable write; heads that the register already holds cost nothing.
    ///
    /// # Errors
    /// [`RegisterError::Cloned`] if another process took the register over; [`RegisterError::Backwards`] and
    /// [`RegisterError::Forked`] if a head would contradict what may have been published, in which case nothing is
    /// written; [`RegisterError::Poisoned`] after a write that failed for good.
    pub fn advance(&self, moves: &[(&str, Head)]) -> Result<(), RegisterError> {
        let mut state = self.state.lock();
        let State {
            writer,
            heads,
            poisoned,
        } = &mut *state;
        if *poisoned {
            return Err(RegisterError::Poisoned);
        }
        let mut moved = Vec::with_capacity(moves.len());
        for &(origin, head) in moves {
            if moves_on(heads.rows.get(origin), origin, head)? {
                moved.push((origin, head));
            }
        }
        if moved.is_empty() {
            return Ok(());
        }
        let before: Vec<_> = moved
            .iter()
            .map(|&(origin, head)| (origin, heads.rows.insert(origin.to_owned(), head)))
            .collect();
        heads.version = heads.version.saturating_add(1);
        let written = writer.write(heads, &moved);
        if let Err(error) = &written {
            // May be tried again where nothing has changed on the medium.
            *poisoned = !matches!(error, RegisterError::Busy | RegisterError::Unwritten(_));
            heads.version = heads.version.saturating_sub(1);
            for (origin, head) in before.into_iter().rev() {
                match head {
                    Some(head) => heads.rows.insert(origin.to_owned(), head),
                    None => heads.rows.remove(origin),
                };
            }
        } else {
            let moved = moved.into_iter().map(|(origin, head)| (origin.to_owned(), head));
            self.held.write().extend(moved);
        }
        written
    }
}

/// Says whether `head` is news to the register, which holds `held` of that origin.
fn moves_on(held: Option<&Head>, origin: &str, head: Head) -> Result<bool, RegisterError> {
    match held {
        Some(held) if held.size > head.size => Err(RegisterError::Backwards {
            origin: origin.to_owned(),
            registered: held.size,
            asked: head.size,
        }),
        Some(held) if held.size == head.size && held.root != head.root => Err(RegisterError::Forked {
            origin: origin.to_owned(),
            size: head.size,
        }),
        held => Ok(held != Some(&head)),
    }
}
