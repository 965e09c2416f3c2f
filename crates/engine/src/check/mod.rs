//! Checks of what is stored: [`Engine::verify`](crate::Engine::verify) of one tenant while the instance runs, and
//! [`fsck`] of a whole data directory that nobody has open.
//!
//! Both read everything they speak about; what they could not read is a problem, never a pass. Neither repairs.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

mod expose;
mod fsck;
mod gone;
mod held;
mod needles;
mod overlay;
mod reasons;
mod records;
mod residue;
mod seqs;
#[cfg(test)]
mod tests;
mod verify;

pub(crate) use gone::Tally;
pub(crate) use records::{PROGRESS_EVERY, Walk};

pub use expose::{Place, Visit, expose};
pub use fsck::{FsckCounts, FsckReport, TenantRecords, fsck};
pub use needles::{NeedleError, Needles, VALUE_BYTES_MIN, Writing};
pub use residue::{Hit, PlaceReport, ResidueReport, residue};
pub use verify::VerifyReport;

/// What kind of problem was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// Stored bytes are not what was written.
    Damage,
    /// A key is missing or wrong.
    Key,
    /// A file that nothing names.
    Stray,
    /// A block of the catalog that a power cut may have torn, or that was damaged since: the next start writes it again
    /// from the journal.
    Torn,
    /// The data is older than what was once signed.
    Rollback,
}

/// A problem and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The file, relative to the data directory.
    pub path: PathBuf,
    /// Byte offset in it, of the structure that does not hold.
    pub offset: u64,
    /// What does not hold.
    pub reason: String,
    /// What kind of problem it is.
    pub kind: ProblemKind,
}

impl Problem {
    pub(crate) fn damage(path: impl Into<PathBuf>, offset: u64, reason: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            offset,
            reason: reason.into(),
            kind: ProblemKind::Damage,
        }
    }

    /// The problem that an error of reading stands for, at `path` unless the error knows better.
    pub(crate) fn of(error: &crate::Error, path: impl Into<PathBuf>) -> Self {
        use crate::Error;
        match error {
            Error::Damage { path, offset, reason } => Self::damage(path, *offset, reason.clone()),
            Error::Key(_) | Error::Erased(_) => Self {
                kind: ProblemKind::Key,
                ..Self::damage(path, 0, error.to_string())
            },
            _ => Self::damage(path, 0, error.to_string()),
        }
    }
}

/// Exit code for a list of problems: 0 none, or only strays and what a start makes whole, 3 damage or rollback, 4 keys only.
pub fn exit_code(problems: &[Problem]) -> u8 {
    let any = |kind| problems.iter().any(|problem| problem.kind == kind);
    if any(ProblemKind::Damage) || any(ProblemKind::Rollback) {
        3
    } else if any(ProblemKind::Key) {
        4
    } else {
        0
    }
}
