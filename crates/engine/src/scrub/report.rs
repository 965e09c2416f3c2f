//! What is told of the scrub.

use serde::Serialize;

use super::row::Covered;
use crate::{
    Engine,
    check::Problem,
    credentials::{Permission, Principal},
    error::Result,
};

/// How the verification of one tenant's stored records stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScrubReport {
    /// When the last whole pass ended, Unix milliseconds.
    pub finished_ms: Option<u64>,
    /// Entries that the last whole pass covered: its tree was recomputed over so many.
    pub size: u64,
    /// Root over them, hex.
    pub root: String,
    /// Records in segments whose commitment it recomputed.
    pub records: u64,
    /// Personal groups that it opened, and those that were erased.
    pub groups_opened: u64,
    /// See there.
    pub groups_erased: u64,
    /// Bytes that it read.
    pub bytes: u64,
    /// Records that came since, or that were in no segment then: nobody has hashed them again yet.
    pub unverified: u64,
    /// Since when, at the latest, something has not been hashed again: time of receipt of the oldest of them, or the end of
    /// the last whole pass.
    pub oldest_unverified_ms: Option<u64>,
    /// The pass under way.
    pub under_way: Option<UnderWay>,
    /// What does not hold, of the last whole pass and the one under way.
    pub findings: Vec<Problem>,
}

/// A pass that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnderWay {
    /// When it began, Unix milliseconds.
    pub started_ms: u64,
    /// Records that were hashed again.
    pub records: u64,
    /// Of so many in segments.
    pub of: u64,
}

impl Engine {
    /// Tells how the verification of a tenant's stored records stands.
    ///
    /// # Errors
    /// [`crate::Error::UnknownTenant`], [`crate::Error::Forbidden`].
    pub fn scrub_report(&self, tenant: &str, by: &Principal) -> Result<ScrubReport> {
        by.check(tenant, Permission::Verify)?;
        let tenant = self.inner.tenant(tenant)?;
        let row = self.inner.scrub.row(&tenant.id);
        let progress = self.inner.scrub.progress(&tenant.id);
        let view = tenant.view();
        let Covered {
            size,
            root,
            records,
            groups_opened,
            groups_erased,
            bytes,
        } = row.covered;
        let first = view.flushed.iter().find(|set| set.max_seq() >= records);
        let of_flushed = first.map(|set| set.seg.min_time_ms);
        let unverified = view.size.saturating_sub(records);
        let mut findings = row.findings;
        let under_way = row.pass.map(|pass| {
            findings.extend(pass.findings);
            let (records, of) = progress.unwrap_or((pass.covered.records, view.flushed_count()));
            UnderWay {
                started_ms: pass.started_ms,
                records,
                of,
            }
        });
        Ok(ScrubReport {
            finished_ms: row.finished_ms,
            size,
            root,
            records,
            groups_opened,
            groups_erased,
            bytes,
            unverified,
            oldest_unverified_ms: match unverified {
                0 => row.finished_ms,
                _ => of_flushed.or(row.finished_ms).or(Some(view.last_time_ms)),
            },
            under_way,
            findings,
        })
    }

    /// Has a tenant verified as soon as the scrub gets to it.
    ///
    /// # Errors
    /// [`crate::Error::UnknownTenant`], [`crate::Error::Forbidden`].
    pub fn scrub_now(&self, tenant: &str, by: &Principal) -> Result<()> {
        by.check(tenant, Permission::Verify)?;
        let tenant = self.inner.tenant(tenant)?;
        self.inner.scrub.wanted.lock().insert(tenant.id);
        self.inner.scrub.wake.notify();
        Ok(())
    }

    /// Does what the background thread does, for [`crate::OpenMode::Inline`]; returns how many tenants were gone over.
    ///
    /// # Errors
    /// As changes of the catalog.
    pub fn scrub_tick(&self) -> Result<u64> {
        let passes = super::round(&self.inner);
        super::store(&self.inner, false)?;
        Ok(passes)
    }
}
