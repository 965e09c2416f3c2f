//! Takes what is gone out of everything that holds it: segments, then the log.
//!
//! Segments of which nothing is left are dropped in one commit, the others are written again by the compactor. The log is freed as
//! a whole: its sections hold records of many tenants under one key for each file.

use std::sync::Arc;

use crate::compact;
use crate::error::Result;
use crate::instance::{Inner, OpenMode};
use crate::tenant::Tenant;

/// Whether some segment holds something that a control record let go.
pub(crate) fn is_held(tenant: &Tenant, by: u64) -> bool {
    let gone = tenant.gone.load();
    let view = tenant.view();
    view.flushed
        .iter()
        .any(|set| gone.of_set_by(set, by).next().is_some())
}

/// Goes on with taking out of segments what a control record let go; true once no segment holds any of it.
///
/// # Errors
/// What keeps segments from being replaced.
pub(crate) fn advance(inner: &Inner, tenant: &Arc<Tenant>, by: u64) -> Result<bool> {
    compact::drop_gone(inner, tenant)?;
    if is_held(tenant, by) {
        match inner.mode {
            OpenMode::Inline => compact::sweep_now(inner, tenant)?,
            OpenMode::Threads => inner.compactor.wake.notify(),
        }
    }
    Ok(!is_held(tenant, by))
}
