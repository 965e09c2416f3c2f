//! Exports: every record of a log that matches a query, as files, made by a job.
//!
//! A job is pinned to the tree that was signed when it was made, and walks that tree in order of seq. What it finds goes into
//! *parts*, files of bounded size. Order of durable steps for each part:
//!
//! 1. the part is written under a temporary name, sealed piece by piece under the job's key, synced, renamed, the folder synced;
//! 2. one catalog commit: the part's row with the SHA-256 of what a client will download, and in the job's row the seq to go
//!    on from.
//!
//! A crash before 2 leaves a file that nothing names, which the next start removes, and the job goes on from the last part that is
//! named: so the parts hold each match once, in order. When all are there, a manifest is made, signed, and committed with the
//! job's end.
//!
//! An evidence bundle is one part, made in one turn: see `evidence`. So is what somebody gets who asks for data about them: see
//! `access`.
//!
//! One thread of low priority works for all jobs, one part at a time, in turn: memory does not grow with the number of records
//! or jobs. Files live for some hours; then, or when somebody cancels, their key is destroyed, and they are removed.

mod access;
mod api;
mod evidence;
mod expire;
mod file;
mod handoff;
mod manifest;
mod part;
mod queue;
mod row;
mod source;
mod work;

use std::sync::Weak;
use std::time::Duration;

pub use access::{AccessInfo, AccessKind, AccessRequest, AccessState};
pub use api::{ExportInfo, ExportPart, ExportSpec, ExportWritten, MANIFEST, NOTE};
pub(crate) use api::{let_go_all, let_go_personal};
pub use attestore_export::{Compression, Format};
pub use evidence::{Evidence, EvidenceScope};
pub(crate) use expire::{clean, expose, scan};
pub use file::{ExportFile, FoundFile};
pub(crate) use handoff::commit_handed;
pub(crate) use queue::Exports;
pub use row::{ExportFault, ExportState};
pub(crate) use row::{key_slots, keys_of};

use crate::Engine;
use crate::instance::Inner;

/// The background thread.
pub(crate) fn run(inner: &Weak<Inner>) {
    loop {
        let Some(strong) = inner.upgrade() else { return };
        let more = tick(&strong);
        let stopped = strong.stopped().is_some();
        let wake = strong.exports.wake();
        drop(strong);
        if stopped || (if more { wake.is_stopped() } else { wake.wait(TICK) }) {
            return;
        }
    }
}

/// Works on the next job until its part is full, and lets go of what has expired; says whether there is more to do now.
pub(crate) fn tick(inner: &Inner) -> bool {
    expire::tick(inner);
    work::slice(inner)
}

impl Engine {
    /// Does what the background thread does in one turn, for [`crate::OpenMode::Inline`]; says whether there is more to do.
    pub fn export_tick(&self) -> bool {
        tick(&self.inner)
    }
}

/// How often is looked whether something has expired.
const TICK: Duration = Duration::from_millis(1000);

#[cfg(test)]
mod tests;
