//! Reads the log back after a start, and for checks.
//!
//! # Replay
//!
//! Every file's header names where the log before it ended (its *predecessor end*), so the newest authentic file and the
//! headers below it give the chain of files that make up the log. Older files must reach the end that the next one names, byte
//! for byte; what they hold beyond it was cut by an earlier recovery. In the newest file the first frame that is not valid ends
//! the log. That is damage if the catalog's D or a later authentic frame claims that more was synced; otherwise it is a
//! torn tail, whose bytes are copied to quarantine.
//!
//! What was read may have been only in the page cache. Before [`replay`] returns, it writes the frames past the last known D
//! once more, the same bytes at the same place, synced, so that the next file's header may name their end.
//!
//! # What is never done
//!
//! Damage is not repaired, a missing or wrong key cuts nothing, and a read error is an error and not the end of the log.

mod chain;
mod log_file;
mod survey;
mod tail;
mod walk;

use std::{io, path::PathBuf};

use attestore_disk::Disk;

use crate::{FileKeys, Position, SectionKeys, names};
use chain::Chain;
use log_file::Loaded;

/// Where the log is and what is known of it from elsewhere.
pub struct Source<'a> {
    /// The disk.
    pub disk: &'a dyn Disk,
    /// Keys of the files.
    pub file_keys: &'a dyn FileKeys,
    /// Keys of the tenants.
    pub section_keys: &'a dyn SectionKeys,
    /// The lowest file number that is still needed; lower ones are not looked at.
    pub low: u64,
    /// The catalog's D: everything before it is known to be synced.
    pub claimed: Option<Position>,
}

/// A frame as it was committed.
#[derive(Debug)]
pub struct Frame {
    /// Where it begins.
    pub position: Position,
    /// Where it ends.
    pub end: Position,
    /// D when it was written.
    pub watermark: Position,
    /// Owners and payloads, in the order in which they were written; empty in a closing frame.
    pub sections: Vec<([u8; 16], SectionBody)>,
}

/// What a section holds.
#[derive(Debug, PartialEq, Eq)]
pub enum SectionBody {
    /// The payload.
    Bytes(Vec<u8>),
    /// Its owner's key was destroyed on purpose.
    Destroyed,
}

/// What a replay found.
#[derive(Debug)]
pub struct Outcome {
    /// Where the log ends; the predecessor end of the next file. All of it is durable.
    pub end: Position,
    /// The files that make up the log, ascending.
    pub files: Vec<LogFile>,
    /// Files that are no part of the log although their numbers lie in its range.
    pub strays: Vec<PathBuf>,
    /// What was cut.
    pub torn: Option<TornTail>,
}

/// One file of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// Its number.
    pub number: u64,
    /// Its path.
    pub path: PathBuf,
    /// Its id.
    pub file_id: [u8; 16],
    /// Slot of its key.
    pub key_slot: u64,
    /// Its size in bytes.
    pub size: u64,
    /// How many frames of it belong to the log.
    pub frames: u64,
    /// Where the last of them ends.
    pub end: u64,
}

/// An unfinished write at the end of the log. Nobody was told that it was durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The WAL file.
    pub path: PathBuf,
    /// Where it begins in the file.
    pub offset: u64,
    /// How many bytes it has.
    pub bytes: u64,
    /// Where they were copied to; `None` in a [`scan`], which writes nothing.
    pub quarantine: Option<PathBuf>,
}

/// Why the log cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Bytes that were synced are not what was written. Nothing was changed.
    #[error("{} is damaged at offset {offset}: {reason}", path.display())]
    Damage {
        /// The WAL file.
        path: PathBuf,
        /// Offset of the first frame that is not valid; 0 for the header or a missing file.
        offset: u64,
        /// What does not hold.
        reason: String,
    },
    /// A key that is needed is missing or wrong. Nothing was changed.
    #[error("the key for {what} of {}: {reason}", path.display())]
    Key {
        /// The WAL file.
        path: PathBuf,
        /// Whose key.
        what: String,
        /// Why it cannot be had.
        reason: String,
    },
    /// A file was written by a newer version of the program.
    #[error("{} has the unknown version {version}", path.display())]
    Version {
        /// The WAL file.
        path: PathBuf,
        /// Its version.
        version: u16,
    },
    /// The disk failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
}

/// What kind of trouble a [`Problem`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    /// Bytes are not what was written.
    Damage,
    /// A key is missing or wrong.
    Key,
    /// The bytes could not be read, or not be understood by this version.
    Unreadable,
    /// A file that belongs to nothing.
    Stray,
}

/// One thing that a [`scan`] found wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// Offset in it.
    pub offset: u64,
    /// What kind of trouble it is.
    pub kind: ProblemKind,
    /// What does not hold.
    pub reason: String,
}

/// What a [`scan`] found.
#[derive(Debug, Default)]
pub struct ScanReport {
    /// Everything that is wrong, in the order of the log.
    pub problems: Vec<Problem>,
    /// The files that make up the log, ascending.
    pub files: Vec<LogFile>,
    /// The torn tail that the next start will cut.
    pub torn: Option<TornTail>,
}

/// Reads the log and gives every frame to `visitor`, in order.
///
/// Frames given before an error is returned must be thrown away. A replay can be repeated at any time, also after a crash
/// inside it.
///
/// # Errors
/// [`ReplayError`]; except for the copy in quarantine nothing was changed on disk.
pub fn replay(source: &Source<'_>, visitor: &mut dyn FnMut(Frame)) -> Result<Outcome, ReplayError> {
    let mut trouble = Trouble::Refuse;
    let found = read_log(source, &mut trouble, visitor)?;
    let torn = match &found.torn {
        Some(torn) => Some(tail::quarantine(source.disk, torn)?),
        None => None,
    };
    if let Some(last) = &found.last {
        tail::pin(source.disk, last)?;
    }
    Ok(Outcome {
        end: found.end,
        files: found.files,
        strays: found.strays,
        torn,
    })
}

/// Reads the log as [`replay`] does, but changes nothing and reports every problem instead of stopping at the first.
///
/// After damage it goes on at the next authentic frame.
///
/// # Errors
/// Only what keeps it from looking at all, such as a directory that cannot be listed.
pub fn scan(source: &Source<'_>, visitor: &mut dyn FnMut(Frame)) -> Result<ScanReport, ReplayError> {
    let mut trouble = Trouble::Collect(Vec::new());
    let found = read_log(source, &mut trouble, visitor)?;
    let mut problems = match trouble {
        Trouble::Collect(problems) => problems,
        Trouble::Refuse => Vec::new(),
    };
    problems.extend(found.strays.into_iter().map(|path| Problem {
        path,
        offset: 0,
        kind: ProblemKind::Stray,
        reason: "the file is no part of the log".into(),
    }));
    Ok(ScanReport {
        problems,
        files: found.files,
        torn: found.torn,
    })
}

/// What both ways of reading find.
struct Found {
    end: Position,
    files: Vec<LogFile>,
    strays: Vec<PathBuf>,
    torn: Option<TornTail>,
    last: Option<tail::Last>,
}

fn read_log(
    source: &Source<'_>,
    trouble: &mut Trouble,
    visitor: &mut dyn FnMut(Frame),
) -> Result<Found, ReplayError> {
    let chain = Chain::find(source, trouble)?;
    let mut found = Found {
        end: source.claimed.unwrap_or(Position::START),
        files: Vec::new(),
        strays: chain.strays.clone(),
        torn: None,
        last: None,
    };
    for (index, file) in chain.files.iter().enumerate() {
        let bound = chain
            .files
            .get(index + 1)
            .map(|next| next.header.predecessor_end.offset);
        let walked = walk::walk(source, file, bound, trouble, visitor)?;
        found.end = Position {
            wal: file.header.spec.number,
            offset: walked.end,
        };
        found.files.push(file.summary(walked.frames, walked.end));
        if bound.is_none() {
            found.torn = walked.torn.clone();
            found.last = Some(tail::Last {
                path: file.path.clone(),
                synced: walked.synced,
                end: walked.end,
            });
        }
    }
    Ok(found)
}

/// What to do about a problem: refuse, or note it and go on.
enum Trouble {
    Refuse,
    Collect(Vec<Problem>),
}

impl Trouble {
    /// Returns the error when the log is to be refused.
    fn report(&mut self, error: ReplayError) -> Result<(), ReplayError> {
        match self {
            Self::Refuse => Err(error),
            Self::Collect(problems) => {
                problems.push(Problem::from(error));
                Ok(())
            }
        }
    }
}

impl From<ReplayError> for Problem {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Damage { path, offset, reason } => Self {
                path,
                offset,
                kind: ProblemKind::Damage,
                reason,
            },
            ReplayError::Key { path, what, reason } => Self {
                path,
                offset: 0,
                kind: ProblemKind::Key,
                reason: format!("the key for {what}: {reason}"),
            },
            ReplayError::Version { path, version } => Self {
                path,
                offset: 0,
                kind: ProblemKind::Unreadable,
                reason: format!("unknown version {version}"),
            },
            ReplayError::Io { path, source } => Self {
                path,
                offset: 0,
                kind: ProblemKind::Unreadable,
                reason: source.to_string(),
            },
        }
    }
}

impl ReplayError {
    fn damage(path: impl Into<PathBuf>, offset: u64, reason: impl Into<String>) -> Self {
        Self::Damage {
            path: path.into(),
            offset,
            reason: reason.into(),
        }
    }

    fn io(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io {
            path: path.into(),
            source,
        }
    }

    fn missing_file(number: u64) -> Self {
        Self::damage(
            names::file_path(number),
            0,
            "the file is missing, although the log reaches into it",
        )
    }
}
