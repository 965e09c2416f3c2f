//! Backups: made while the instance runs, checked without it, restored into an empty directory.
//!
//! | module | what |
//! |---|---|
//! | `folder` | where things are in a target |
//! | `manifest` | what one backup consists of |
//! | `dump` | the rows of the catalog, sealed |
//! | `escrow` | what opens a backup, sealed for who keeps the key elsewhere |
//! | `create`, `cut` | making one |
//! | `expire` | which ones go, and what nothing names |
//! | `ledger` | what was let go of for good, shipped at once |
//! | `ship`, `chunk` | what was appended since, shipped in between |
//! | `between` | backups that chunks need, and sealed files ahead of the next one |
//! | `api` | asking for backups, listing them |
//! | [`verify`] | checking a target without restoring it |
//! | [`restore`] | from a target to a data directory |
//!
//! The format is described in `docs/format/backup.md`, what it means for erasures in `docs/backup.md`.
//!
//! # Durability
//! A backup exists once its manifest has its name: everything that the manifest names is durable before. A crash leaves files
//! that no manifest names; the next backup removes them. Files never change, so backups share them.

mod api;
mod between;
mod chunk;
mod create;
mod cut;
pub(crate) mod dump;
mod escrow;
mod expire;
pub(crate) mod folder;
pub(crate) mod ledger;
mod manifest;
pub mod restore;
pub(crate) mod ship;
#[cfg(test)]
mod tests;
pub mod verify;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::time::Duration;

use attestore_disk::Disk;
use attestore_keys::Recipient;
use parking_lot::Mutex;

use crate::compact::throttle::Throttle;
use crate::instance::Inner;
use crate::search::wake::Wake;

pub(crate) use api::said_on_receipts;
pub use api::{BackupInfo, BackupState};
pub use manifest::{Manifest, TenantSum};
pub use ship::ShippingStatus;

/// Where backups go, for whom, and for how long.
#[derive(Clone)]
pub struct Target {
    /// A folder of its own, on another medium.
    pub disk: Arc<dyn Disk>,
    /// Who can open them.
    pub recipient: Recipient,
    /// How many are kept, at least 1.
    pub keep: usize,
    /// For how long the keys of one are kept, milliseconds.
    pub window_ms: u64,
    /// How often one is made, milliseconds; 0 for only when somebody asks.
    pub every_ms: u64,
    /// How often what was appended since the newest one is shipped, milliseconds; 0 for never.
    pub ship_ms: u64,
    /// Bytes per second that backups write at most; 0 for as many as the target takes.
    pub bytes_per_s: u64,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target")
            .field("recipient", &self.recipient)
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}

/// What backups of an instance share.
#[derive(Default)]
pub(crate) struct Backups {
    target: Option<Arc<Target>>,
    throttle: Throttle,
    /// Held while one is made, and while some are removed.
    making: Mutex<()>,
    shipped: Mutex<ledger::Shipped>,
    /// Those of this process that are not in the target: under way, waiting, failed. By id.
    jobs: Mutex<BTreeMap<String, Arc<api::Job>>>,
    wake: Arc<Wake>,
    /// Not before this time, boot clock: the last attempt of what nobody asked for failed.
    pause_ms: AtomicU64,
    /// Why backups are not as they should be; `None` when the last look found nothing.
    fault: Mutex<Option<String>>,
    pub(crate) shipping: ship::Shipping,
    /// When the newest one was made that was not made for chunks only; `None` until that was looked up.
    lasting_ms: Mutex<Option<Option<u64>>>,
    /// Not before this time, boot clock: what chunks follow was made, or could not be.
    base_pause_ms: AtomicU64,
    /// When sealed files were last copied ahead, boot clock.
    ahead_ms: AtomicU64,
}

impl Backups {
    /// Those of an instance that makes them there.
    pub(crate) fn new(target: Option<Target>) -> Self {
        Self {
            throttle: Throttle::new(target.as_ref().map_or(0, |target| target.bytes_per_s)),
            target: target.map(Arc::new),
            ..Self::default()
        }
    }

    /// Where they go; `None` if nowhere.
    pub(crate) fn target(&self) -> Option<Arc<Target>> {
        self.target.clone()
    }

    /// Waits until a backup may write; fails once the instance is being closed.
    ///
    /// # Errors
    /// [`io::ErrorKind::Interrupted`].
    fn pace(&self, inner: &Inner, bytes: usize) -> io::Result<()> {
        let wait = self.throttle.take(inner.clock.boot_ms(), bytes);
        match self.wake.pause(wait) {
            true => Err(io::ErrorKind::Interrupted.into()),
            false => Ok(()),
        }
    }

    /// Why backups are not as they should be.
    pub(crate) fn fault(&self) -> Option<String> {
        self.fault.lock().clone()
    }

    /// Tells the thread to end.
    pub(crate) fn stop(&self) {
        self.wake.stop();
        self.shipping.wake.stop();
    }
}

/// The thread that makes them.
pub(crate) fn run(inner: &Weak<Inner>) {
    let Some(wake) = inner.upgrade().map(|inner| Arc::clone(&inner.backups.wake)) else {
        return;
    };
    while !wake.wait(TICK) {
        let Some(strong) = inner.upgrade() else { return };
        if strong.stopped().is_some() {
            return;
        }
        api::tick(&strong);
    }
}

/// How often is looked whether something is to be done.
const TICK: Duration = Duration::from_secs(1);
