//! Who commits on a thread of an async runtime, and what happens to that runtime if the disk stalls meanwhile.
//!
//! A worker that blocks in a write polls no sockets, and the others may all be asleep. One write is shorter than waking one of
//! them; a stalled one is not, so whoever finds the committer stalled wakes one then.

use parking_lot::Mutex;
use tokio::runtime::Handle;

/// The runtime of the thread that commits just now.
#[derive(Default)]
pub(crate) struct Lead(Mutex<Option<Handle>>);

impl Lead {
    /// Whether this thread may wait for the disk: it is not an async runtime's only one.
    pub(crate) fn may_block(&self) -> bool {
        Handle::try_current().map_or(true, |runtime| runtime.metrics().num_workers() > 1)
    }

    /// This thread begins to commit.
    pub(crate) fn begin(&self) {
        *self.0.lock() = Handle::try_current().ok();
    }

    /// It is done.
    pub(crate) fn end(&self) {
        self.0.lock().take();
    }

    /// Wakes another worker of the runtime that is being blocked, if there is one.
    pub(crate) fn relieve(&self) {
        if let Some(runtime) = self.0.lock().take() {
            tracing::warn!("a write to the log is slow");
            runtime.spawn(async {});
        }
    }
}
