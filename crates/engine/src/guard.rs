//! What stops appends before they cost anything: the clock, space, and work that waits.

mod clock;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use attestore_disk::Clock;
use parking_lot::Mutex;

pub use clock::Confirmed;

use self::clock::Anchor;
use crate::append::Item;
use crate::error::AppendError;
use crate::instance::Inner;
use crate::tenant::Tenant;

/// Watches clock and space.
pub(crate) struct Guard {
    tolerance_ms: u64,
    reserve_bytes: u64,
    clock: Mutex<Anchor>,
    /// The clocks that somebody is confirming: for their record alone. One at a time.
    confirmed: Mutex<Option<Anchor>>,
    confirming: Mutex<()>,
    /// Free bytes at the last sample, less what was written since.
    free_bytes: AtomicU64,
    sampled_ms: AtomicU64,
    space_unknown: AtomicBool,
    /// Until when background work that failed is not tried again, boot clock.
    pause_until_ms: AtomicU64,
    /// Frames written to the WAL, and their bytes.
    written: (AtomicU64, AtomicU64),
    /// The longest write since the last look, microseconds, and when the one under way began, boot clock; 0 if there is none.
    slowest_us: AtomicU64,
    writing_since_ms: AtomicU64,
}

impl Guard {
    /// Begins to watch. `capacity_bytes` is the most that was ever free.
    pub(crate) fn new(
        clock: &dyn Clock,
        tolerance_ms: u64,
        reserve_bytes: u64,
        capacity_bytes: u64,
        free_bytes: u64,
    ) -> Self {
        Self {
            tolerance_ms,
            reserve_bytes: reserve_bytes.min(capacity_bytes / 10),
            clock: Mutex::new(Anchor::of(clock)),
            confirmed: Mutex::new(None),
            confirming: Mutex::new(()),
            free_bytes: AtomicU64::new(free_bytes),
            sampled_ms: AtomicU64::new(clock.boot_ms()),
            space_unknown: AtomicBool::new(false),
            pause_until_ms: AtomicU64::new(0),
            written: Default::default(),
            slowest_us: AtomicU64::new(0),
            writing_since_ms: AtomicU64::new(0),
        }
    }

    /// Refuses an append before its events are looked at.
    pub(crate) fn check(
        &self,
        inner: &Inner,
        tenant: &Arc<Tenant>,
        items: &[Item],
        internal: bool,
    ) -> Result<(), AppendError> {
        let bytes_max = inner.settings.request_bytes_max();
        let bytes: u64 = items.iter().map(|item| item.bytes.len() as u64).sum();
        if bytes > bytes_max {
            return Err(AppendError::TooLarge { bytes_max });
        }
        self.sample(inner);
        self.admit(inner, tenant, internal)?;
        if internal {
            return Ok(());
        }
        let overloaded = |reason, retry_after_ms| {
            Err(AppendError::Overloaded {
                retry_after_ms,
                reason,
            })
        };
        let (records, waiting_bytes) = inner.queue.waiting();
        let settings = &inner.settings;
        if records + items.len() as u64 > settings.queue_records_max && records > 0
            || waiting_bytes + bytes > settings.queue_bytes_max && waiting_bytes > 0
        {
            return overloaded("queue", 100);
        }
        if inner.wal.over_budget() {
            inner.flusher.notify();
            return overloaded("wal_budget", 500);
        }
        Ok(())
    }

    /// Frames written to the WAL since the start, and their bytes.
    pub(crate) fn written(&self) -> (u64, u64) {
        (
            self.written.0.load(Ordering::Relaxed),
            self.written.1.load(Ordering::Relaxed),
        )
    }

    /// What the committer looks at once more.
    pub(crate) fn admit(&self, inner: &Inner, tenant: &Tenant, internal: bool) -> Result<(), AppendError> {
        if tenant.is_ended() {
            return Err(AppendError::UnknownTenant);
        }
        if tenant.ending.load(Ordering::Acquire) {
            return Err(crate::forget::destroy::ending().into());
        }
        tenant.admits(internal)?;
        // What the server does after a restore must be on record too, also in a `_system` that was rolled back with the rest:
        // nothing of it is signed until there is a fork, which takes these records along.
        let own = internal && tenant.name == crate::SYSTEM_TENANT;
        if let Some(reason) = &*tenant.rolled_back.read()
            && (!own || tenant.is_forked())
        {
            return Err(AppendError::Rollback {
                reason: reason.clone(),
            });
        }
        if let Some(ahead_ms) = self.clock_ahead_ms(&*inner.clock)
            && !(own && self.is_being_confirmed(&*inner.clock))
        {
            return Err(AppendError::ClockJump { ahead_ms });
        }
        if !internal && self.is_full() {
            return Err(AppendError::NoSpace);
        }
        if !internal && inner.settings.indexing && tenant.index_lag() > inner.settings.index_lag_max {
            return Err(AppendError::Overloaded {
                retry_after_ms: LAG_RETRY_MS,
                reason: "index_lag",
            });
        }
        Ok(())
    }

    /// Whether appends have to leave the rest to flush, purge and shutdown.
    pub(crate) fn is_full(&self) -> bool {
        self.space_unknown.load(Ordering::Relaxed)
            || self.free_bytes.load(Ordering::Relaxed) < self.reserve_bytes
    }

    /// Whether what is left is needed to flush and to stop: then not even `_system` is written to on anybody's behalf.
    pub(crate) fn is_spent(&self) -> bool {
        self.space_unknown.load(Ordering::Relaxed)
            || self.free_bytes.load(Ordering::Relaxed) < self.reserve_bytes / 4
    }

    /// Bytes free, as last seen, and bytes of the reserve.
    pub(crate) fn space(&self) -> (u64, u64) {
        (self.free_bytes.load(Ordering::Relaxed), self.reserve_bytes)
    }

    /// Whether background work may write so many bytes without touching the reserve.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        let free = self.free_bytes.load(Ordering::Relaxed);
        let left = free.checked_sub(bytes);
        !self.space_unknown.load(Ordering::Relaxed) && left.is_some_and(|left| left >= self.reserve_bytes)
    }

    /// Notes bytes that were written since the last sample.
    pub(crate) fn wrote(&self, bytes: u64) {
        self.written.0.fetch_add(1, Ordering::Relaxed);
        self.written.1.fetch_add(bytes, Ordering::Relaxed);
        let free = self.free_bytes.load(Ordering::Relaxed);
        self.free_bytes
            .store(free.saturating_sub(bytes), Ordering::Relaxed);
    }

    /// A write to the log begins.
    pub(crate) fn begin_write(&self, boot_ms: u64) {
        self.writing_since_ms.store(boot_ms.max(1), Ordering::Relaxed);
    }

    /// A write to the log took so long.
    pub(crate) fn end_write(&self, took: std::time::Duration) {
        self.writing_since_ms.store(0, Ordering::Relaxed);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.slowest_us.fetch_max(us, Ordering::Relaxed);
    }

    /// The longest write since the last look, that under way included, microseconds.
    pub(crate) fn slowest_us(&self, boot_ms: u64) -> u64 {
        let since = self.writing_since_ms.load(Ordering::Relaxed);
        let under_way = if since == 0 {
            0
        } else {
            boot_ms.saturating_sub(since) * 1000
        };
        self.slowest_us.swap(0, Ordering::Relaxed).max(under_way)
    }

    /// Puts background work off for a while: it failed, most likely for want of space.
    pub(crate) fn pause(&self, boot_ms: u64) {
        self.pause_until_ms.store(boot_ms + PAUSE_MS, Ordering::Relaxed);
    }

    /// Whether background work is put off.
    pub(crate) fn is_paused(&self, boot_ms: u64) -> bool {
        boot_ms < self.pause_until_ms.load(Ordering::Relaxed)
    }

    /// Asks the file system how much is free, now and then.
    pub(crate) fn sample(&self, inner: &Inner) {
        let boot_ms = inner.clock.boot_ms();
        let last = self.sampled_ms.load(Ordering::Relaxed);
        let due = boot_ms.saturating_sub(last) >= SAMPLE_MS;
        if !due
            || self
                .sampled_ms
                .compare_exchange(last, boot_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_err()
        {
            return;
        }
        match inner.disk.free_bytes() {
            Ok(free) => {
                self.free_bytes.store(free, Ordering::Relaxed);
                self.space_unknown.store(false, Ordering::Relaxed);
            }
            Err(error) => {
                tracing::warn!(%error, "free space is not known");
                self.space_unknown.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// When to try again if the index of the newest records is behind, milliseconds.
const LAG_RETRY_MS: u64 = 500;
/// Free space is asked for this often.
const SAMPLE_MS: u64 = 200;
/// Background work that failed is put off for this long.
const PAUSE_MS: u64 = 5000;

#[cfg(test)]
mod tests;
