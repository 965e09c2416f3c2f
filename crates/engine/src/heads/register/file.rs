//! A register in a file.
//!
//! # Durability
//! A change goes into zeros that were written and synced before, and is synced itself: one write and one sync, without a change to
//! the file's length. When there is no room left, or after a write that failed, the whole is written anew under a temporary name,
//! synced, renamed into place, and its folder synced.
//!
//! Writers of different processes take turns by a lock file; under it, the file at the path must still be the one that this run
//! wrote last.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use attestore_disk::{Disk, File, LockGuard, Mode};
use attestore_keys::Key;

use super::{
    DecodeError, Head, HeadStore, HeadWriter, Heads, Nonce, RegisterError, Started,
    codec::{self, Decoded, Tag},
};

/// A file that holds a register.
#[derive(Clone)]
pub struct RegisterAt {
    /// The file system that holds it.
    pub disk: Arc<dyn Disk>,
    /// Its path on that disk; `<path>.tmp` and `<path>.lock` beside it belong to it too.
    pub path: PathBuf,
}

impl HeadStore for RegisterAt {
    fn place(&self) -> PathBuf {
        self.path.clone()
    }

    fn read(&self, key: &Key) -> Result<Option<Heads>, RegisterError> {
        let Some(Decoded { heads, torn }) = self.decoded(key)? else {
            return Ok(None);
        };
        if let Some(offset) = torn {
            tracing::warn!(file = %self.path.display(), offset,
                "the head register ends in a write that was cut short: a crash, unless the file was changed");
        }
        Ok(Some(heads))
    }

    fn check(&self, key: &Key) -> Result<(), RegisterError> {
        let torn = self.decoded(key)?.and_then(|decoded| decoded.torn);
        match torn {
            None => Ok(()),
            Some(offset) => Err(RegisterError::Damage {
                path: self.path.clone(),
                source: DecodeError::Damaged {
                    offset,
                    reason: "what follows the last change is neither a change nor zeros: a crash cut a write short, or the file was changed",
                },
            }),
        }
    }

    fn start(&self, key: Key, nonce: Nonce) -> Result<Started, RegisterError> {
        let _lock = self.lock()?;
        let found = self.read(&key)?;
        let mut heads = found.clone().unwrap_or_default();
        heads.nonce = nonce;
        heads.version = heads.version.saturating_add(1);
        let writer = Writer {
            at: self.clone(),
            snapshot: heads.version,
            journal: Some(self.replace(&heads, &key)?),
            key,
        };
        Ok(Started {
            writer: Box::new(writer),
            heads,
            found,
        })
    }
}

/// Writes for one run.
struct Writer {
    at: RegisterAt,
    key: Key,
    /// Number of the write that made the file.
    snapshot: u64,
    /// Where changes go; `None` after one that failed: nothing is known of that file any more.
    journal: Option<Journal>,
}

struct Journal {
    file: Arc<dyn File>,
    /// Offset of the first of its zeros.
    end: u64,
    length: u64,
    /// The snapshot's.
    tag: Tag,
    /// That of the last change, or of the snapshot.
    last: Tag,
}

impl HeadWriter for Writer {
    fn write(&mut self, heads: &Heads, moved: &[(&str, Head)]) -> Result<(), RegisterError> {
        let _lock = self.at.lock()?;
        if !self.is_ours(&heads.nonce)? {
            return Err(RegisterError::Cloned);
        }
        if let Some(mut journal) = self.journal.take() {
            let change = codec::encode_change(heads.version, moved, &journal.tag, &self.key);
            match journal.put(&change) {
                Ok(true) => {
                    self.journal = Some(journal);
                    return Ok(());
                }
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, "a change of the head register failed; it is written anew")
                }
            }
        }
        self.journal = Some(self.at.replace(heads, &self.key)?);
        self.snapshot = heads.version;
        Ok(())
    }
}

impl Writer {
    /// Whether the file at the path is the one that this run wrote last.
    fn is_ours(&self, nonce: &Nonce) -> Result<bool, RegisterError> {
        let (mut start, mut last) = ([0; codec::HEADER_BYTES], Tag::default());
        let read = self.at.disk.open(&self.at.path, Mode::Read).and_then(|file| {
            file.read_exact_at(&mut start, 0)?;
            match &self.journal {
                Some(journal) => {
                    file.read_exact_at(&mut last, journal.end.saturating_sub(codec::TAG_BYTES as u64))
                }
                None => Ok(()),
            }
        });
        match read {
            // An older copy of the same file ends in another change.
            Ok(()) => Ok(codec::is_snapshot_of(&start, nonce, self.snapshot)
                && self.journal.as_ref().is_none_or(|journal| journal.last == last)),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Journal {
    /// Appends a change durably; `false` if there is no room for it.
    fn put(&mut self, change: &[u8]) -> io::Result<bool> {
        let end = self.end.saturating_add(change.len() as u64);
        if end > self.length || change.len() > codec::CHANGE_BYTES_MAX {
            return Ok(false);
        }
        self.file.write_all_at(change, self.end)?;
        self.file.sync_data()?;
        self.end = end;
        self.last = codec::tag_of(change);
        Ok(true)
    }
}

impl RegisterAt {
    fn decoded(&self, key: &Key) -> Result<Option<Decoded>, RegisterError> {
        let file = match self.disk.open(&self.path, Mode::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        codec::decode(&read_whole(&*file)?, key)
            .map(Some)
            .map_err(|error| {
                let path = self.path.clone();
                match error {
                    DecodeError::Key => RegisterError::Key { path },
                    source => RegisterError::Damage { path, source },
                }
            })
    }

    /// Writes the whole register in place of what is there, with room for changes.
    fn replace(&self, heads: &Heads, key: &Key) -> Result<Journal, RegisterError> {
        let mut bytes = codec::encode(heads, key);
        let (end, tag) = (bytes.len(), codec::tag_of(&bytes));
        bytes.resize(end + end.max(ROOM_BYTES_MIN), 0);
        let temporary = beside(&self.path, ".tmp");
        let file = write_new(&*self.disk, &temporary, &bytes).map_err(RegisterError::Unwritten)?;
        self.disk.rename(&temporary, &self.path)?;
        self.disk
            .sync_dir(self.path.parent().unwrap_or_else(|| Path::new("")))?;
        Ok(Journal {
            file,
            end: end as u64,
            length: bytes.len() as u64,
            tag,
            last: tag,
        })
    }

    /// Takes the lock that serialises writers of different processes; it is held for one write only.
    fn lock(&self) -> Result<Box<dyn LockGuard>, RegisterError> {
        let path = beside(&self.path, ".lock");
        for _ in 0..LOCK_ATTEMPTS_MAX {
            if let Some(guard) = self.disk.try_lock(&path)? {
                return Ok(guard);
            }
            std::thread::sleep(LOCK_PAUSE);
        }
        Err(RegisterError::Busy)
    }
}

/// Writes and syncs a fresh file; a sync error concerns only this file, which is thrown away.
fn write_new(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<Arc<dyn File>> {
    match disk.remove(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let file = disk.open(path, Mode::Create)?;
    file.write_all_at(bytes, 0)?;
    file.sync_data()?;
    Ok(file)
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

/// Room for changes: some 650 of one head; a register of many heads has as much again as it holds.
const ROOM_BYTES_MIN: usize = 64 << 10;
/// Longest register that is read: room for three million origins.
const REGISTER_BYTES_MAX: usize = 1 << 30;
/// A writer holds the lock for two syncs; a second of waiting outlasts a slow disk.
const LOCK_ATTEMPTS_MAX: u32 = 400;
const LOCK_PAUSE: Duration = Duration::from_millis(5);
