//! The scrub: every stored record is hashed again in the background, over and over, and held against its entry, and the
//! entries against the tree. What rots is found while there is still a backup, not when somebody asks for the record.
//!
//! A *pass* goes over one tenant: its tree first, then one segment after the other. It can be interrupted between segments and
//! goes on from there, also after a restart. It reads slowly (`scrub_bytes_per_s`), on a thread of low priority; what it
//! found is stored by the flusher (a thread of low priority takes no lock that others wait for). Each pass that ends is a record
//! in `_system`.
//!
//! It repairs nothing and takes nothing out of service: reads of what is damaged fail by themselves, and say where.
//!
//! | file | what |
//! |---|---|
//! | `row` | what the catalog keeps |
//! | `pass` | one tenant's pass |
//! | `report` | what is told of it |

mod pass;
mod report;
mod row;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use attestore_record::TenantId;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::catalog::{Catalog, by_tenant, tables};
use crate::compact::throttle::Throttle;
use crate::error::Result;
use crate::instance::{Inner, OpenMode};
use crate::search::wake::Wake;

pub use report::{ScrubReport, UnderWay};
use row::{PassRow, ScrubRow};

/// What the scrub knows.
pub(crate) struct Scrub {
    wake: Arc<Wake>,
    throttle: Throttle,
    rows: Mutex<BTreeMap<TenantId, Known>>,
    /// Tenants that somebody wants verified now.
    wanted: Mutex<BTreeSet<TenantId>>,
    /// Whether a pass ended that `_system` does not tell of.
    unsaid: AtomicBool,
    /// When rows were stored last, boot clock.
    stored_ms: AtomicU64,
}

#[derive(Default)]
struct Known {
    row: ScrubRow,
    /// Whether the catalog does not have it yet.
    changed: bool,
    /// Records verified in the pass under way: bytes read of them, and of how many.
    progress: Option<(u64, u64)>,
}

impl Scrub {
    /// Takes up what the catalog knows.
    ///
    /// # Errors
    /// As reads.
    pub(crate) fn load(catalog: &Catalog, bytes_per_s: u64) -> Result<Self> {
        let known = |(tenant, row)| {
            let known = Known {
                row,
                ..Known::default()
            };
            (tenant, known)
        };
        let rows = by_tenant::all(&catalog.read()?, tables::SCRUBS)?;
        let scrub = Self {
            wake: Arc::default(),
            throttle: Throttle::new(bytes_per_s),
            rows: Mutex::new(rows.into_iter().map(known).collect()),
            wanted: Mutex::default(),
            unsaid: AtomicBool::new(true),
            stored_ms: AtomicU64::new(0),
        };
        scrub.show();
        Ok(scrub)
    }

    /// Tells the thread to end.
    pub(crate) fn stop(&self) {
        self.wake.stop();
    }

    /// Forgets a tenant that was destroyed.
    pub(crate) fn forget(&self, tenant: &TenantId) {
        self.rows.lock().remove(tenant);
        self.wanted.lock().remove(tenant);
        self.show();
    }

    /// What is known of a tenant.
    fn row(&self, tenant: &TenantId) -> ScrubRow {
        let rows = self.rows.lock();
        rows.get(tenant)
            .map(|known| known.row.clone())
            .unwrap_or_default()
    }

    fn progress(&self, tenant: &TenantId) -> Option<(u64, u64)> {
        self.rows.lock().get(tenant)?.progress
    }

    fn put(&self, tenant: TenantId, row: ScrubRow, progress: Option<(u64, u64)>) {
        let known = Known {
            row,
            changed: true,
            progress,
        };
        self.rows.lock().insert(tenant, known);
    }

    /// Keeps how far the pass under way is.
    fn put_pass(&self, tenant: TenantId, pass: &PassRow, progress: Option<(u64, u64)>) {
        let row = ScrubRow {
            pass: Some(pass.clone()),
            ..self.row(&tenant)
        };
        self.put(tenant, row, progress);
    }

    fn put_progress(&self, tenant: &TenantId, progress: (u64, u64)) {
        if let Some(known) = self.rows.lock().get_mut(tenant) {
            known.progress = Some(progress);
        }
    }

    /// The rows that the catalog does not have, or that tell of a pass that `_system` does not.
    fn changed(&self) -> BTreeMap<TenantId, ScrubRow> {
        let rows = self.rows.lock();
        let changed = rows
            .iter()
            .filter(|(_, known)| known.changed || known.row.ended.is_some());
        changed
            .map(|(tenant, known)| (*tenant, known.row.clone()))
            .collect()
    }

    /// The catalog has these.
    fn stored(&self, rows: &BTreeMap<TenantId, ScrubRow>) {
        let mut known = self.rows.lock();
        for (tenant, row) in rows {
            let Some(known) = known.get_mut(tenant) else {
                continue;
            };
            // The scrub may have gone on meanwhile.
            if known.row.finished_ms == row.finished_ms {
                known.row.ended.clone_from(&row.ended);
                known.changed = known.row != *row;
            }
        }
    }

    /// Shows findings of all tenants, and the oldest pass.
    #[expect(clippy::cast_precision_loss, reason = "gauges")]
    fn show(&self) {
        let rows = self.rows.lock();
        let findings: usize = rows.values().map(|known| known.row.findings.len()).sum();
        let oldest = rows.values().filter_map(|known| known.row.finished_ms).min();
        metrics::gauge!("attestore_scrub_findings").set(findings as f64);
        metrics::gauge!("attestore_scrub_oldest_pass_timestamp_seconds")
            .set(oldest.map_or(0.0, |ms| ms as f64 / 1000.0));
    }
}

/// The background thread.
pub(crate) fn run(inner: &Weak<Inner>) {
    let Some(wake) = inner.upgrade().map(|inner| Arc::clone(&inner.scrub.wake)) else {
        return;
    };
    while !wake.wait(LOOK) {
        let Some(strong) = inner.upgrade() else { return };
        if strong.stopped().is_some() {
            return;
        }
        round(&strong);
    }
}

/// Passes over every tenant that is due; says how many.
fn round(inner: &Inner) -> u64 {
    let mut passes = 0;
    let mut after = None;
    loop {
        let names = match inner.tenant_names(after.as_deref(), TENANTS_AT_ONCE) {
            Ok(names) if names.is_empty() => return passes,
            Ok(names) => names,
            Err(error) => {
                tracing::warn!(%error, "the scrub cannot read the list of tenants");
                return passes;
            }
        };
        for (name, id) in &names {
            if inner.scrub.wake.is_stopped() {
                return passes;
            }
            if pass::is_due(inner, id) {
                match pass::pass(inner, name) {
                    Ok(()) => passes += 1,
                    Err(error) if inner.scrub.wake.is_stopped() => {
                        tracing::debug!(%error, tenant = %id, "the scrub goes on at the next start");
                    }
                    Err(error) => tracing::warn!(%error, tenant = %id, "the scrub was broken off"),
                }
            }
        }
        after = names.last().map(|(name, _)| name.clone());
    }
}

/// Says in `_system` which passes ended, and stores what the scrub found since; called by the flusher. At the end of the
/// instance it is too late to say anything: the next start does.
pub(crate) fn store(inner: &Inner, closing: bool) -> Result<()> {
    let scrub = &inner.scrub;
    let boot_ms = inner.clock.boot_ms();
    let stored_ms = scrub.stored_ms.load(Ordering::Relaxed);
    let unsaid = scrub.unsaid.swap(false, Ordering::AcqRel);
    if !closing && !unsaid && boot_ms < stored_ms.saturating_add(STORED_EVERY_MS) {
        return Ok(());
    }
    scrub.stored_ms.store(boot_ms, Ordering::Relaxed);
    let mut changed = scrub.changed();
    for row in changed.values_mut().filter(|_| !closing) {
        if let Some(event) = row.ended.take() {
            inner.append_internal(event.to_string().as_bytes())?;
        }
    }
    if changed.is_empty() {
        return Ok(());
    }
    inner.catalog.update(|update| {
        changed
            .iter()
            .try_for_each(|(tenant, row)| by_tenant::put(update, tables::SCRUBS, tenant, row))
    })?;
    scrub.stored(&changed);
    scrub.show();
    Ok(())
}

/// Waits until so many bytes may be read.
///
/// # Errors
/// [`crate::Error::Stopped`].
fn pace(inner: &Inner, bytes: u64) -> Result<()> {
    if inner.mode == OpenMode::Inline {
        return Ok(());
    }
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let wait = inner.scrub.throttle.take(inner.clock.boot_ms(), bytes);
    match inner.scrub.wake.pause(wait) {
        true => Err(crate::Error::Stopped("closed".into())),
        false => Ok(()),
    }
}

/// The actor of what the server does by itself.
fn server() -> Value {
    json!({ "type": "server", "id": "internal" })
}

/// How often is looked whether a tenant is due.
const LOOK: Duration = Duration::from_secs(10);
const TENANTS_AT_ONCE: usize = 256;
const STORED_EVERY_MS: u64 = 60_000;
