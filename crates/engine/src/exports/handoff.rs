//! Changes of the catalog on behalf of the background thread, made by the flusher.
//!
//! The background thread has a low priority. Were it to hold the catalog's lock while it waits for a core, everybody else would
//! wait with it.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use crate::catalog::Update;
use crate::instance::{Inner, OpenMode};
use crate::{Error, Result};

/// A change that waits for the flusher.
pub(super) type Handed = Box<dyn FnOnce(&Inner) + Send>;

/// Whose thread makes a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thread {
    /// The caller's.
    Own,
    /// The flusher's; for the background thread alone.
    Flusher,
}

/// Changes the catalog. When the instance is closed before the flusher came to it, nothing happened.
///
/// # Errors
/// As [`crate::catalog::Catalog::update`]; [`Error::Stopped`] when it is closed.
pub(super) fn change<T: Send + 'static>(
    inner: &Inner,
    thread: Thread,
    change: impl FnOnce(&mut Update<'_>) -> Result<T> + Send + 'static,
) -> Result<T> {
    if thread == Thread::Own || inner.mode == OpenMode::Inline {
        return inner.catalog.update(change);
    }
    let (done, result) = sync_channel(1);
    let work: Handed = Box::new(move |inner| {
        let _ = done.send(inner.catalog.update(change));
    });
    *inner.exports.handed.lock() = Some(work);
    inner.flusher.notify();
    let closed = || Error::Stopped("closed".into());
    loop {
        match result.recv_timeout(LOOK) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Disconnected) => return Err(closed()),
            Err(RecvTimeoutError::Timeout) => {
                let stopped = inner.exports.wake().is_stopped() || inner.stopped().is_some();
                // What was not taken yet is taken back; what was is waited for.
                if stopped && inner.exports.handed.lock().take().is_some() {
                    return Err(closed());
                }
            }
        }
    }
}

/// Makes the change that waits; called by the flusher.
pub(crate) fn commit_handed(inner: &Inner) {
    let work = inner.exports.handed.lock().take();
    if let Some(work) = work {
        work(inner);
    }
}

/// How often who waits looks whether the instance is being closed.
const LOOK: Duration = Duration::from_millis(20);
