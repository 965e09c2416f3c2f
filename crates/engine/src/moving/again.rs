//! A log that had ended for a move that was taken back goes on in a new epoch, without a start.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use attestore_record::TenantId;

use super::closing::close;
use super::row::OutRow;
use super::{MoveState, Moved};
use crate::error::Result;
use crate::handover;
use crate::instance::Inner;
use crate::search::wake::Wake;
use crate::tenant::Tenant;

/// Brings a log that was to end to rest: nothing of it is in the WAL, so that it can be loaded anew.
///
/// # Errors
/// As flushes.
pub(super) fn settle(inner: &Inner, tenant: &Tenant, row: &OutRow) -> Result<()> {
    if row.state != MoveState::Closing {
        return Ok(());
    }
    let _deciding = tenant.deciding.lock();
    let moved = Moved {
        closing: false,
        ..row.moved()?
    };
    close(inner, tenant, moved);
    crate::flush::free_log(inner)
}

/// Loads a log that was forked anew, and writes the record of its epoch. False where somebody still uses it as it was: then the next start
/// does it, and until then it takes nothing.
///
/// # Errors
/// As reads and appends; then too the next start does it.
pub(super) fn go_on(inner: &Inner, tenant: Arc<Tenant>) -> Result<bool> {
    let id = tenant.id;
    // Who follows it ends, and finds it anew.
    tenant.stale.store(true, Ordering::Release);
    tenant.feed.end();
    drop(tenant);
    let nobody = Wake::default();
    for _ in 0..ATTEMPTS {
        if let Some(done) = attempt(inner, &id)? {
            return Ok(done);
        }
        nobody.pause(PAUSE);
    }
    tracing::warn!(tenant = %id, "a log that goes on here is in use as it was: it goes on with the next start");
    if let Some(tenant) = inner.tenants.get(&id) {
        tenant.stale.store(false, Ordering::Release);
    }
    Ok(false)
}

/// `None` where somebody uses it.
fn attempt(inner: &Inner, id: &TenantId) -> Result<Option<bool>> {
    // Nobody replaces files of it meanwhile, and nobody loads it.
    let flushing = inner.flushing.lock();
    let loading = inner.tenants.loading.lock();
    inner.check_running()?;
    // Nobody looks at what it was once more.
    inner.heads.forget(id);
    inner.search.forget(id);
    let at_rest = |tenant: &Tenant| tenant.view.load().tail.is_empty();
    let Some(was) = inner.tenants.take_alone(id, at_rest) else {
        return Ok(None);
    };
    let loaded = Tenant::load(&inner.catalog, &*inner.disk, &*inner.entropy, *id);
    // As it was it takes nothing before the next start.
    let loaded = Arc::new(loaded.inspect_err(|_| inner.tenants.insert(&was))?);
    let pending = handover::begin_here(inner, &loaded, || {
        inner.tenants.insert(&loaded);
        drop(loading);
    });
    drop(flushing);
    handover::finish_forks(inner, vec![pending?])?;
    Ok(Some(true))
}

/// How often is looked whether nobody uses a log, and how long apart.
const ATTEMPTS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);
