//! Purges: records of a class go because their retention is over, or because somebody who may ordered it.
//!
//! A purge is a job with a row in the catalog. Once it is decided it always comes to its end, whatever happens in between.
//!
//! | file | what |
//! |---|---|
//! | `select` | which records of a class are due, or were asked for |
//! | `plan` | what would go, by the rules |
//! | `decide` | whether they may go, and the point of no return |
//! | `work` | what is left to do then: files, log, keys, receipt |
//! | `receipt` | the signed account of it |
//! | `row` | what the catalog keeps |
//! | `schedule` | purges that nobody has to order |
//! | `erasure` | erasure of whole records, which go the same way |
//! | `again` | what went behind a backup that was restored |
//! | `api` | ordering, listing, showing |
//!
//! # Durability
//! Under [`Tenant::deciding`](crate::tenant::Tenant): 1. the job's row, with the exact ranges; 2. the control record in the tenant's log;
//! 3. one commit: the ranges are gone, the row says by which record. A start that finds a job without its record looks for that in
//! the log: if it is there it goes on with 3, else the row goes. From 3 on no read shows the records.
//! Then, in the background: 4. segments are dropped or written again without them; 5. every file of the log that may hold them is freed;
//! 6. the root is rotated, so that the destroyed keys are out of reach of old copies; 7. the receipt is signed and stored, its hash goes into
//! the log. Each step is done again after a crash.

mod again;
mod api;
mod decide;
pub(super) mod erasure;
mod plan;
mod receipt;
mod row;
mod schedule;
mod select;
#[cfg(test)]
mod tests;
mod work;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::time::Duration;

use attestore_record::TenantId;
use parking_lot::Mutex;

use crate::catalog::Catalog;
use crate::error::Result;
use crate::instance::Inner;
use crate::search::wake::Wake;

pub(crate) use again::{again, left};
pub use api::{Ordered, PurgeOrder, PurgePage, Selection};
pub(super) use decide::{By, Ground};
pub(crate) use decide::{check_clock, settle};
pub use plan::Plan;
use row::JobKey;
pub(crate) use row::PurgeRow;
pub use row::{PurgeState, PurgeStatus};
pub(super) use row::{put_receipt as put_statement, receipt as statement_of};

/// What purges of an instance share.
pub(crate) struct Purges {
    wake: Arc<Wake>,
    /// Jobs that are not done.
    open: Mutex<BTreeSet<JobKey>>,
    /// When the schedule was looked at last, boot clock.
    looked_ms: AtomicU64,
    /// Held by who works on jobs: one at a time.
    working: Mutex<()>,
}

impl Purges {
    /// Takes up the jobs that are not done.
    ///
    /// # Errors
    /// As reads.
    pub(crate) fn load(catalog: &Catalog) -> Result<Self> {
        Ok(Self {
            wake: Arc::default(),
            open: Mutex::new(row::open(&catalog.read()?)?),
            looked_ms: AtomicU64::new(0),
            working: Mutex::default(),
        })
    }

    /// Whose jobs are not done.
    pub(crate) fn tenants(&self) -> BTreeSet<TenantId> {
        self.open.lock().iter().map(|(tenant, _)| *tenant).collect()
    }

    /// Tells the thread to end.
    pub(crate) fn stop(&self) {
        self.wake.stop();
    }

    /// Has the thread look whether something is to be done.
    pub(crate) fn notify(&self) {
        self.wake.notify();
    }

    /// Forgets the jobs of a tenant that was destroyed.
    pub(crate) fn forget(&self, tenant: &TenantId) {
        self.open.lock().retain(|(of, _)| of != tenant);
    }
}

/// The background thread.
pub(crate) fn run(inner: &Weak<Inner>) {
    let Some(wake) = inner.upgrade().map(|inner| Arc::clone(&inner.purges.wake)) else {
        return;
    };
    while !wake.wait(TICK) {
        let Some(strong) = inner.upgrade() else { return };
        if strong.stopped().is_some() {
            return;
        }
        schedule::tick(&strong);
        work::tick(&strong);
        super::destroy::tick(&strong);
    }
}

/// How often is looked whether something is to be done.
const TICK: Duration = Duration::from_secs(1);
