//! Matches among newer records: found when somebody asks what is held, and now and then by a thread.

use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::Duration;

use attestore_record::Kind;

use super::row::{HoldRow, RowState};
use super::{Hold, find, place, ranges};
use crate::append::append_control;
use crate::catalog::of_tenant;
use crate::catalog::tables;
use crate::error::Result;
use crate::forget::approvals;
use crate::instance::Inner;
use crate::tenant::Tenant;

/// Brings every hold of the tenant up to `end`; under the tenant's lock.
///
/// # Errors
/// As searches and appends.
pub(super) fn up_to(inner: &Inner, tenant: &Arc<Tenant>, end: u64) -> Result<()> {
    let end = end.min(tenant.view().size);
    for hold in &tenant.holds.load().0 {
        if hold.row.asks && hold.row.until < end {
            extend(inner, tenant, hold, end)?;
        }
    }
    Ok(())
}

fn extend(inner: &Inner, tenant: &Arc<Tenant>, hold: &Hold, end: u64) -> Result<()> {
    let (id, row) = (&hold.id, &hold.row);
    let fresh = row.until..end;
    let found = find::matches(inner, tenant, &row.open(tenant, id)?, &fresh)?;
    let stored = end - row.until >= UNSAID_MAX || !found.is_empty();
    // The log first: what is in the catalog only, nobody outside could judge a purge by.
    if !found.is_empty() {
        log(inner, tenant, hold, &found)?;
    }
    let row = HoldRow {
        until: end,
        ranges: row.ranges + found.len() as u64,
        records: row.records + ranges::count(&found),
        ..row.clone()
    };
    if stored {
        inner.change(|update| {
            ranges::put(update, &tenant.id, id, &found)?;
            of_tenant::put(update, tables::HOLDS, &(tenant.id, *id), &row)
        })?;
    }
    tenant.holds.store(Arc::new(tenant.holds.load().with(*id, row)));
    Ok(())
}

fn log(inner: &Inner, tenant: &Arc<Tenant>, hold: &Hold, found: &[Range<u64>]) -> Result<()> {
    for control in place::controls(&hold.id, &hold.row, found) {
        append_control(inner, tenant, &hold.row.placed_by, Kind::Hold, &control?)?;
    }
    Ok(())
}

/// The background thread.
pub(crate) fn run(inner: &Weak<Inner>) {
    let Some(wake) = inner.upgrade().map(|inner| Arc::clone(&inner.holding)) else {
        return;
    };
    while !wake.wait(LOOK) {
        let Some(inner) = inner.upgrade() else { return };
        if inner.stopped().is_some() {
            return;
        }
        tick(&inner);
    }
}

/// Looks for newer matches of the holds of all tenants in memory, some records at a time, and goes on with what failed.
pub(crate) fn tick(inner: &Inner) {
    let (mut holds, mut policies) = (0, 0);
    for tenant in inner.loaded_tenants() {
        holds += tenant.holds.load().len();
        policies += tenant.rules.load().policies().count();
        if let Err(error) = tick_one(inner, &tenant) {
            tracing::warn!(tenant = %tenant.id, %error, "a legal hold was not extended to newer records yet");
        }
    }
    gauge("attestore_legal_holds", holds);
    gauge("attestore_retention_policies", policies);
    if let Err(error) = approvals::forget_ended(inner) {
        tracing::warn!(%error, "requests for approval that have ended are not forgotten yet");
    }
}

fn tick_one(inner: &Inner, tenant: &Arc<Tenant>) -> Result<()> {
    if tenant.is_moved() {
        return Ok(());
    }
    let holds = tenant.holds.load_full();
    let unfinished = |hold: &&Arc<Hold>| hold.row.state != RowState::Active;
    let behind = holds
        .0
        .iter()
        .filter(|hold| hold.row.asks)
        .map(|hold| hold.row.until)
        .min();
    let size = tenant.view().size;
    if holds.0.iter().all(|hold| !unfinished(&hold)) && behind.is_none_or(|until| until >= size) {
        return Ok(());
    }
    let _deciding = tenant.deciding.lock();
    for hold in tenant.holds.load().0.iter().filter(unfinished) {
        place::finish_one(inner, tenant, &hold.id, &hold.row)?;
    }
    match behind {
        Some(until) => up_to(inner, tenant, size.min(until.saturating_add(RECORDS_AT_ONCE))),
        None => Ok(()),
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges")]
fn gauge(name: &'static str, value: usize) {
    metrics::gauge!(name).set(value as f64);
}

/// How often is looked.
const LOOK: Duration = Duration::from_secs(30);
/// Records of a tenant that are looked at in one go while nobody else may decide anything about it.
const RECORDS_AT_ONCE: u64 = 1 << 17;
/// Records without a match after which the catalog is told all the same how far was looked.
const UNSAID_MAX: u64 = 1 << 17;
