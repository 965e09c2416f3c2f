//! What an append uses of its tenant's quota.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use attestore_limit::window::Window;
use attestore_limit::{MS, Rate};
use parking_lot::Mutex;

use super::row::QuotaRow;
use crate::append::Item;
use crate::error::{AppendError, Error, Result};
use crate::instance::Inner;
use crate::tenant::Tenant;

/// A tenant's quota in memory.
pub(crate) struct State {
    pub(super) row: QuotaRow,
    events: Option<Rate>,
    used: Mutex<Used>,
    /// Bytes on disk as last counted, and when, boot clock.
    storage_bytes: AtomicU64,
    counted_ms: AtomicU64,
}

#[derive(Default)]
struct Used {
    events: Window,
    day: u64,
    day_bytes: u64,
    /// Whether the catalog does not know yet.
    changed: bool,
}

/// What an append was charged.
pub(crate) struct Charge(Option<(Arc<State>, u32, u64)>);

/// Charges an append before anything of it is looked at.
///
/// # Errors
/// [`AppendError::Quota`].
pub(crate) fn charge(inner: &Inner, tenant: &str, items: &[Item]) -> Result<Charge, AppendError> {
    if !inner.quotas.any.load(Ordering::Acquire) {
        return Ok(Charge(None));
    }
    let tenant = inner.tenant(tenant)?;
    let Some(state) = inner.quotas.of(&tenant.id) else {
        return Ok(Charge(None));
    };
    let events = u32::try_from(items.len()).unwrap_or(u32::MAX);
    let bytes = items.iter().map(|item| item.bytes.len() as u64).sum();
    state.check_storage(inner, &tenant, bytes)?;
    state.take(inner, events, bytes)?;
    Ok(Charge(Some((state, events, bytes))))
}

impl Charge {
    /// Nothing was stored: what was charged is free again.
    pub(crate) fn give_back(self) {
        if let Some((state, events, bytes)) = self.0 {
            let mut used = state.used.lock();
            used.events.give_back(events);
            used.day_bytes = used.day_bytes.saturating_sub(bytes);
        }
    }
}

impl State {
    pub(super) fn new(row: QuotaRow) -> Result<Self> {
        let rate = |events| {
            Rate::window(events, 1000).map_err(|error| Error::damage("catalog", 0, error.to_string()))
        };
        Ok(Self {
            events: row.quota.events_per_second.map(rate).transpose()?,
            used: Mutex::new(Used {
                events: Window::default(),
                day: row.day,
                day_bytes: row.day_bytes,
                changed: false,
            }),
            storage_bytes: AtomicU64::new(0),
            counted_ms: AtomicU64::new(u64::MAX),
            row,
        })
    }

    fn take(&self, inner: &Inner, events: u32, bytes: u64) -> Result<(), AppendError> {
        let now_ms = inner.clock.now_ms();
        let day = now_ms / DAY_MS;
        let mut used = self.used.lock();
        // A clock that is set back does not begin a day again.
        if day > used.day {
            used.day = day;
            used.day_bytes = 0;
        }
        let day_bytes = used.day_bytes.saturating_add(bytes);
        if self.row.quota.bytes_per_day.is_some_and(|most| day_bytes > most) {
            return Err(AppendError::Quota {
                quota: "bytes_per_day",
                retry_after_ms: Some(((used.day + 1) * DAY_MS).saturating_sub(now_ms)),
            });
        }
        if let Some(rate) = &self.events {
            let outcome = used.events.take(inner.clock.boot_ms() * MS, rate, events);
            if !outcome.passes {
                return Err(AppendError::Quota {
                    quota: "events_per_second",
                    retry_after_ms: Some(outcome.wait_ns.div_ceil(MS)),
                });
            }
        }
        used.day_bytes = day_bytes;
        used.changed = true;
        Ok(())
    }

    fn check_storage(&self, inner: &Inner, tenant: &Tenant, bytes: u64) -> Result<(), AppendError> {
        let Some(most) = self.row.quota.storage_bytes else {
            return Ok(());
        };
        let now_ms = inner.clock.boot_ms();
        let counted_ms = self.counted_ms.load(Ordering::Relaxed);
        if counted_ms == u64::MAX || now_ms.saturating_sub(counted_ms) >= COUNT_EVERY_MS {
            self.counted_ms.store(now_ms, Ordering::Relaxed);
            self.storage_bytes.store(storage_bytes(tenant), Ordering::Relaxed);
        }
        let before = self.storage_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > most {
            self.storage_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(AppendError::Quota {
                quota: "storage_bytes",
                retry_after_ms: None,
            });
        }
        Ok(())
    }

    /// Exports whose files are kept, at most.
    pub(crate) fn exports_max(&self) -> Option<u32> {
        self.row.quota.exports
    }

    /// Bytes used of the day of that time.
    pub(super) fn day_bytes(&self, now_ms: u64) -> u64 {
        let used = self.used.lock();
        if now_ms / DAY_MS > used.day {
            0
        } else {
            used.day_bytes
        }
    }

    /// Events of the last second.
    pub(super) fn events(&self, boot_ms: u64) -> u64 {
        let Some(rate) = &self.events else { return 0 };
        self.used.lock().events.used(boot_ms * MS, rate)
    }

    /// The row with what is used, if the catalog does not know it yet.
    pub(super) fn changed(&self) -> Option<QuotaRow> {
        let mut used = self.used.lock();
        std::mem::take(&mut used.changed).then(|| QuotaRow {
            day: used.day,
            day_bytes: used.day_bytes,
            ..self.row.clone()
        })
    }

    /// The day and its bytes, for a quota that takes this one's place.
    pub(super) fn day(&self) -> (u64, u64) {
        let used = self.used.lock();
        (used.day, used.day_bytes)
    }
}

/// Bytes of a tenant on disk, about: what is in the log and in segments at the same time counts once.
pub(super) fn storage_bytes(tenant: &Tenant) -> u64 {
    let view = tenant.view();
    let files: u64 = view
        .flushed
        .iter()
        .flat_map(|set| set.files())
        .map(|row| row.length)
        .sum();
    files + tenant.core.lock().tail_bytes + view.size * ENTRY_BYTES
}

const DAY_MS: u64 = 86_400_000;
/// How often bytes on disk are counted anew; in between appends add to them.
const COUNT_EVERY_MS: u64 = 2000;
/// Of a record in `entries`.
const ENTRY_BYTES: u64 = 44;
