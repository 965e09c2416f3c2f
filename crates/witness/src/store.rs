//! What a witness must not forget: the newest checkpoint of each log that it cosigned.
//!
//! # Format
//! `logs/<hex SHA-256(origin)>`, mode 0600:
//! ```text
//! attestore witness log v1 <crc32 of all that follows this line, 8 hex digits>
//! <the checkpoint with the log's signature and the cosignature>
//! ```
//!
//! # Durability
//! A file is replaced by renaming a synced one over it and syncing the folder; only then is the cosignature given out. After a crash
//! the file is the old one or the new one, and a cosignature that it does not hold was never given to anybody.
//!
//! # Errors
//! A file that is not what was written is an error and never an empty state: a witness that forgets would cosign a second
//! history.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use attestore_disk::Disk;
use attestore_tlog::{Checkpoint, CosignerKey, SignedNote};
use sha2::{Digest, Sha256};

use crate::files::{self, hex};

/// The newest checkpoint of a log that was cosigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// When it was cosigned, seconds since 1970.
    pub time_s: u64,
    /// With the log's signature and the cosignature.
    pub note: SignedNote,
}

/// Says why there is no telling what was cosigned.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file is not what was written.
    #[error("`{}` is damaged: {reason}", path.display())]
    Damaged {
        /// Path in the witness's directory.
        path: PathBuf,
        /// What does not hold.
        reason: &'static str,
    },
    /// The file cannot be read or written.
    #[error("`{}`: {error}", path.display())]
    Io {
        /// Path in the witness's directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// Files of a witness.
#[derive(Clone)]
pub(crate) struct Store {
    disk: Arc<dyn Disk>,
}

impl Store {
    /// Makes the folders, durably.
    pub(crate) fn new(disk: Arc<dyn Disk>) -> io::Result<Self> {
        for folder in [LOGS, crate::evidence::FOLDER] {
            disk.create_dir_all(folder.as_ref())?;
        }
        disk.sync_dir("".as_ref())?;
        Ok(Self { disk })
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        self.disk.as_ref()
    }

    /// Reads what was cosigned of a log by `key`; `None` if nothing was.
    pub(crate) fn read(&self, origin: &str, key: &CosignerKey) -> Result<Option<Seen>, StoreError> {
        let path = path(origin);
        let bytes = files::read(self.disk(), &path, FILE_BYTES_MAX);
        let Some(bytes) = bytes.map_err(|error| StoreError::Io {
            path: path.clone(),
            error,
        })?
        else {
            return Ok(None);
        };
        let seen = decode(&bytes, key).and_then(|seen| {
            let same = seen.checkpoint.origin() == origin;
            same.then_some(seen).ok_or("a checkpoint of another log")
        });
        seen.map(Some)
            .map_err(|reason| StoreError::Damaged { path, reason })
    }

    /// Reads everything that was cosigned by `key`, of whichever log.
    pub(crate) fn read_all(&self, key: &CosignerKey) -> Result<Vec<Seen>, StoreError> {
        let io = |error| StoreError::Io {
            path: LOGS.into(),
            error,
        };
        let mut all = Vec::new();
        for entry in self.disk().list(LOGS.as_ref()).map_err(io)? {
            if entry.name.ends_with(files::TEMPORARY) {
                continue;
            }
            let path = PathBuf::from(LOGS).join(&entry.name);
            let bytes = files::read(self.disk(), &path, FILE_BYTES_MAX)
                .map_err(io)?
                .unwrap_or_default();
            let seen = decode(&bytes, key).map_err(|reason| StoreError::Damaged { path, reason })?;
            all.push(seen);
        }
        Ok(all)
    }

    /// Replaces what was cosigned of a log; durable when this returns.
    pub(crate) fn write(&self, seen: &Seen) -> Result<(), StoreError> {
        let path = path(seen.checkpoint.origin());
        let note = seen.note.to_note();
        let text = format!("{HEADER}{:08x}\n{note}", crc32fast::hash(note.as_bytes()));
        files::replace(self.disk(), &path, text.as_bytes()).map_err(|error| StoreError::Io { path, error })
    }
}

/// How a log is named in files and in URLs: the SHA-256 of its origin in lower-case hexadecimal.
#[must_use]
pub fn origin_hash(origin: &str) -> String {
    hex(&Sha256::digest(origin.as_bytes()))
}

fn path(origin: &str) -> PathBuf {
    PathBuf::from(LOGS).join(origin_hash(origin))
}

fn decode(bytes: &[u8], key: &CosignerKey) -> Result<Seen, &'static str> {
    let text = str::from_utf8(bytes).map_err(|_| "not UTF-8")?;
    let rest = text.strip_prefix(HEADER).ok_or("no header")?;
    let (crc, note) = rest.split_once('\n').ok_or("no checkpoint")?;
    if crc != format!("{:08x}", crc32fast::hash(note.as_bytes())) {
        return Err("checksum");
    }
    let note = SignedNote::parse(note).map_err(|_| "no signed note")?;
    let checkpoint = Checkpoint::from_text(note.text()).map_err(|_| "no checkpoint")?;
    let time_s = note
        .cosigned_at(key)
        .map_err(|_| "not cosigned by this witness's key")?;
    Ok(Seen {
        checkpoint,
        time_s,
        note,
    })
}

const LOGS: &str = "logs";
const HEADER: &str = "attestore witness log v1 ";
const FILE_BYTES_MAX: u64 = 2 << 20;
