//! Takes what is gone out of everything that holds it: segments, then the log.
//!
//! Segments of which nothing is left are dropped in one commit, the others are written again by the compactor. The log is freed as
//! a whole: its sections hold records of many tenants under one key for each file.

use std::path::PathBuf;
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

/// Removes files; returns those that are still there.
pub(super) fn remove(inner: &Inner, paths: &[PathBuf]) -> Vec<PathBuf> {
    let is_left = |path: &&PathBuf| match inner.disk.remove(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "a file that nothing names is not removed");
            true
        }
        _ => false,
    };
    paths.iter().filter(is_left).cloned().collect()
}

/// Syncs the tenant's folder. A failure is final.
pub(super) fn sync_dir(inner: &Inner, tenant: &Tenant) -> Result<()> {
    let dir = tenant.dir();
    inner.disk.sync_dir(&dir).map_err(|error| {
        inner.fail_stop(format!("{}: {error}", dir.display()));
        error.into()
    })
}
