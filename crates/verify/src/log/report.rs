//! What verifying a log found.

use std::collections::BTreeMap;

use attestore_record::{Entry, entry::EntryError};
use attestore_tlog::{Checkpoint, CheckpointError, Hash};
use serde::Serialize;

use super::source::{Resource, SourceError};
use crate::as_text;

/// Most findings that a report lists; further ones are counted.
pub const FINDINGS_MAX: usize = 100;

/// Reports what a log holds and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LogReport {
    /// The signed tree head, if the checkpoint could be opened.
    pub head: Option<Head>,
    /// The earlier tree head it was compared with.
    pub saved: Option<Head>,
    /// Entries read.
    pub entries: u64,
    /// Tiles that agree with the entries.
    pub tiles: u64,
    /// Number of entries by name of kind.
    pub kinds: BTreeMap<&'static str, u64>,
    /// Number of entries by retention class.
    pub classes: BTreeMap<u16, u64>,
    /// The entries' times.
    pub times: TimesReport,
    /// Whether every entry was read and the root compared.
    pub complete: bool,
    /// What is wrong, in the order found, at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// Number of findings beyond those.
    pub findings_omitted: u64,
    /// Newest time of each class.
    #[serde(skip)]
    newest_ms: BTreeMap<u16, u64>,
}

/// Names one tree head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Head {
    /// Name of the log.
    pub origin: String,
    /// Number of leaves.
    pub size: u64,
    /// Root of the tree; serialised in hexadecimal.
    #[serde(serialize_with = "as_text")]
    pub root: Hash,
}

/// Sums up the times of entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TimesReport {
    /// Time of the first entry, Unix milliseconds.
    pub first_ms: Option<u64>,
    /// Time of the last entry, Unix milliseconds.
    pub last_ms: Option<u64>,
    /// Number of entries older than the one before them. A class may round its times, so across classes this is no
    /// finding; within a class it is.
    pub backwards: u64,
    /// The first such entry.
    pub backwards_first_seq: Option<u64>,
}

/// Says one thing that is wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Finding {
    /// A resource that the tree size calls for is absent.
    #[error("{resource:?} is absent")]
    Absent {
        /// What is absent.
        resource: Resource,
    },
    /// A resource could not be read.
    #[error("{resource:?} cannot be read: {message}")]
    Unreadable {
        /// What was read.
        resource: Resource,
        /// What the source said.
        message: String,
    },
    /// The checkpoint is malformed or not signed by the log.
    #[error("{error}")]
    Checkpoint {
        /// What is wrong with it.
        #[serde(serialize_with = "as_text")]
        error: CheckpointError,
    },
    /// A tile or bundle does not have as many items as it is wide.
    #[error("{resource:?} has the wrong length {found}")]
    Length {
        /// What was read.
        resource: Resource,
        /// Bytes of a tile, entries of a bundle.
        found: usize,
    },
    /// An entry is of unknown version or kind.
    #[error("entry {seq}: {error}")]
    Entry {
        /// Its index.
        seq: u64,
        /// What is wrong with it.
        #[serde(serialize_with = "as_text")]
        error: EntryError,
    },
    /// An entry is older than the one before it in its class.
    #[error("entry {seq} of class {class} has time {time_ms} after {before_ms}")]
    TimeBackwards {
        /// Its index.
        seq: u64,
        /// Its class.
        class: u16,
        /// Its time, Unix milliseconds.
        time_ms: u64,
        /// The newest time of its class before it.
        before_ms: u64,
    },
    /// A hash of a tile is not what the entries give.
    #[error("hash {position} of {resource:?} does not follow from the entries")]
    Tile {
        /// The tile.
        resource: Resource,
        /// First such hash within it.
        position: usize,
    },
    /// The root of the entries is not the signed one.
    #[error("the {size} entries have root {computed}, but {signed} is signed")]
    Root {
        /// Number of entries.
        size: u64,
        /// Root of the checkpoint.
        #[serde(serialize_with = "as_text")]
        signed: Hash,
        /// Root of the entries.
        #[serde(serialize_with = "as_text")]
        computed: Hash,
    },
    /// The saved checkpoint is of another log.
    #[error("the saved checkpoint is of {saved}")]
    SavedOrigin {
        /// Its origin.
        saved: String,
    },
    /// The log has fewer entries than it had.
    #[error("the log had {saved} entries and has {size}")]
    Rollback {
        /// Size of the saved checkpoint.
        saved: u64,
        /// Size of the log.
        size: u64,
    },
    /// The log was altered below the saved checkpoint.
    #[error("the first {size} entries had root {saved} and have {computed}")]
    Inconsistent {
        /// Size of the saved checkpoint.
        size: u64,
        /// Its root.
        #[serde(serialize_with = "as_text")]
        saved: Hash,
        /// Root of the entries.
        #[serde(serialize_with = "as_text")]
        computed: Hash,
    },
}

impl LogReport {
    /// Tells whether everything was read and nothing is wrong.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.complete && self.findings.is_empty()
    }

    pub(super) fn add(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.findings_omitted += 1;
        }
    }

    pub(super) fn count(&mut self, seq: u64, entry: &Entry) {
        let (class, time_ms) = (entry.class, entry.time_ms);
        *self.kinds.entry(entry.kind.name()).or_default() += 1;
        *self.classes.entry(class).or_default() += 1;

        let times = &mut self.times;
        if times.last_ms.is_some_and(|last| time_ms < last) {
            times.backwards += 1;
            times.backwards_first_seq.get_or_insert(seq);
        }
        times.first_ms.get_or_insert(time_ms);
        times.last_ms = Some(time_ms);

        let newest = self.newest_ms.entry(class).or_insert(time_ms);
        let before_ms = *newest;
        *newest = before_ms.max(time_ms);
        if time_ms < before_ms {
            self.add(Finding::TimeBackwards {
                seq,
                class,
                time_ms,
                before_ms,
            });
        }
    }
}

impl Head {
    pub(super) fn of(checkpoint: &Checkpoint) -> Self {
        Self {
            origin: checkpoint.origin().into(),
            size: checkpoint.size(),
            root: checkpoint.root(),
        }
    }
}

impl Finding {
    pub(super) fn source(resource: Resource, error: SourceError) -> Self {
        match error {
            SourceError::Absent => Self::Absent { resource },
            SourceError::Failed(message) => Self::Unreadable { resource, message },
        }
    }
}
