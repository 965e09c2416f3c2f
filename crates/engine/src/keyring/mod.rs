//! Rotation of keys while serving, for how long each is used, and keys that others may have.
//!
//! | module | what |
//! |---|---|
//! | `start` | ordering a rotation |
//! | `work` | bringing one to its end |
//! | `sweep` | everything that is under a tenant's key |
//! | `policy` | after how long keys are rotated |
//! | `due` | rotating those whose time is over |
//! | `list` | every key, since when and until when |
//! | `compromised` | keys that others may have |
//! | `said` | what logs say of it |
//! | `row`, `roots` | what the catalog keeps |
//!
//! The key that signs a log is rotated by [`handover`](crate::handover), the root by `rotation`; here is when.
//!
//! # Rotation of a tenant's key
//! Keys are wrapped anew, data is not encrypted anew, directory and cursors keep their keys.
//!
//! 1. The row of the job, `asked`. 2. A record of kind 6 in the tenant's log, durable. 3. One commit: a new tenant key in a slot of its own,
//!    named beside the former one; the job is `wrapping`. Memory has both from here on: the new key is for everything new, what is old is
//!    looked for under either.
//! 4. The next file of the log is begun, everything in older ones is flushed, and these are freed: no section is under the former key.
//! 5. Keys are wrapped anew, some in each commit, their pages get fresh page keys; over and over until a pass finds nothing to do.
//! 6. Under [`Tenant::deciding`](crate::tenant::Tenant), one commit: parts of rows are sealed anew, the former key leaves the tree; the job is
//!    `unwrapped`. 7. The root is rotated: what leads to the former key and to the former page keys is out of reach, also in old copies of
//!    the catalog. One commit notes when; the job is `destroyed`. 8. A record of kind 6 says so; the job is over.
//!
//! A rotation of *buckets*, the keys of the pages that keys lie in, is the same without 4 and with fresh page keys for 5.
//!
//! # Durability
//! Each step is made again by whoever finds it undone. A start goes on from the row: a tenant with two keys is loaded with both. The records
//! of 2 and 8 are looked for from the size of the log in the row on before they are written. A tenant that is destroyed meanwhile goes with
//! both keys and with its job.

mod compromised;
mod due;
mod list;
mod policy;
mod roots;
mod row;
mod said;
mod start;
mod sweep;
#[cfg(test)]
mod tests;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use attestore_record::TenantId;
use parking_lot::Mutex;

pub use compromised::Compromised;
pub use list::{KeyInfo, KeyList, KeyState};
pub use policy::KeyPolicy;
pub(crate) use roots::made as root_made;
pub(crate) use row::KeysRow;
pub use row::{Cause, JobState, KeyKind};
pub use start::{Rotation, RotationOrder};

use crate::catalog::{Catalog, Update, by_tenant, tables};
use crate::error::Result;
use crate::handover::HandoverRow;
use crate::instance::Inner;
use crate::search::wake::Wake;
use crate::tenant::Ring;

/// Rotations of an instance.
#[derive(Default)]
pub(crate) struct Keyrings {
    /// Tenants with a rotation that has not come to its end.
    open: Mutex<BTreeSet<TenantId>>,
    /// Who may still work with a tenant's keys of before a rotation.
    before: Mutex<BTreeMap<TenantId, Vec<Weak<Ring>>>>,
    /// Held by who works on rotations: one at a time.
    working: Mutex<()>,
    /// Keys whose time is over, at the last look.
    overdue: AtomicU64,
    /// When is looked next whether one is due, boot clock.
    look_ms: AtomicU64,
    wake: Arc<Wake>,
}

impl Keyrings {
    /// Takes up what the catalog knows.
    ///
    /// # Errors
    /// As reads.
    pub(crate) fn load(catalog: &Catalog) -> Result<Self> {
        let rows = by_tenant::all::<KeysRow>(&catalog.read()?, tables::KEYS)?;
        let open = rows.iter().filter(|(_, row)| row.job.is_some());
        let keyrings = Self::default();
        keyrings.open.lock().extend(open.map(|(id, _)| *id));
        Ok(keyrings)
    }

    /// How many keys were past their time at the last look.
    pub(crate) fn overdue(&self) -> u64 {
        self.overdue.load(Ordering::Relaxed)
    }

    /// Has it looked at once whether a key is due.
    fn look_soon(&self) {
        self.look_ms.store(0, Ordering::Relaxed);
        self.wake.notify();
    }

    /// Tells the thread to end.
    pub(crate) fn stop(&self) {
        self.wake.stop();
    }

    fn is_stopped(&self) -> bool {
        self.wake.is_stopped()
    }
}

/// The thread that rotates.
pub(crate) fn run(inner: &Weak<Inner>) {
    let Some(wake) = inner.upgrade().map(|inner| Arc::clone(&inner.keyrings.wake)) else {
        return;
    };
    while !wake.wait(TICK) {
        let Some(strong) = inner.upgrade() else { return };
        if strong.stopped().is_some() {
            return;
        }
        tick(&strong);
    }
}

/// Goes on with rotations as far as they get, and begins those that are due.
pub(crate) fn tick(inner: &Inner) {
    work::all(inner);
    let now_ms = inner.clock.boot_ms();
    if now_ms >= inner.keyrings.look_ms.load(Ordering::Relaxed) {
        let next_ms = now_ms.saturating_add(LOOK_MS);
        inner.keyrings.look_ms.store(next_ms, Ordering::Relaxed);
        if let Err(error) = due::look(inner) {
            tracing::warn!(%error, "which keys are due is not known; it is looked again");
        }
        work::all(inner);
    }
}

/// Notes, in the change that puts a new signing key in force, which one is former.
///
/// # Errors
/// As writes.
pub(crate) fn signing_rotated(
    update: &Update<'_>,
    tenant: &TenantId,
    handed: &HandoverRow,
    now_ms: u64,
) -> Result<()> {
    let mut row = stored(update, tenant)?;
    row.destroyed(KeyKind::Signing, now_ms);
    row.replace(KeyKind::Signing, now_ms);
    if let Some(former) = row.former.last_mut() {
        former.vkey = handed.newest_former().map(str::to_owned);
        let signs = handed.retiring.is_some();
        former.ended_ms = (!signs).then_some(now_ms);
        former.destroyed_ms = (!signs).then_some(now_ms);
    }
    by_tenant::put(update, tables::KEYS, tenant, &row)
}

/// Notes, in the change that takes up a tenant of another server, that the log has another signing key here and that its pages have
/// others: the tenant key and the policy are what came.
///
/// # Errors
/// As writes.
pub(crate) fn moved_here(
    update: &Update<'_>,
    tenant: &TenantId,
    handed: &HandoverRow,
    now_ms: u64,
) -> Result<()> {
    signing_rotated(update, tenant, handed, now_ms)?;
    let mut row = stored(update, tenant)?;
    row.replace(KeyKind::Buckets, now_ms);
    row.destroyed(KeyKind::Buckets, now_ms);
    row.job = None;
    by_tenant::put(update, tables::KEYS, tenant, &row)
}

/// Notes, in the change that destroys former signing keys, that they are.
///
/// # Errors
/// As writes.
pub(crate) fn signing_retired(update: &Update<'_>, tenant: &TenantId, now_ms: u64) -> Result<()> {
    let mut row = stored(update, tenant)?;
    row.destroyed(KeyKind::Signing, now_ms);
    by_tenant::put(update, tables::KEYS, tenant, &row)
}

fn stored(update: &Update<'_>, tenant: &TenantId) -> Result<KeysRow> {
    by_tenant::stored(update, tables::KEYS, tenant).map(Option::unwrap_or_default)
}

fn read(inner: &Inner, tenant: &TenantId) -> Result<KeysRow> {
    by_tenant::get(&inner.catalog.read()?, tables::KEYS, tenant).map(Option::unwrap_or_default)
}

/// How often is looked whether something is left to do.
const TICK: Duration = Duration::from_secs(5);
/// How often is looked whether a key is due.
const LOOK_MS: u64 = 60_000;
