//! Who does the work: a thread that decides and destroys, which others wait for, and one of low priority that rewrites files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use attestore_record::TenantId;
use parking_lot::Mutex;

use super::row::{ErasureRow, ErasureState};
use super::{clean, destroy};
use crate::catalog::of_tenant::RowKey;
use crate::catalog::{Catalog, of_tenant, tables};
use crate::error::{Error, Result};
use crate::forget::sweep;
use crate::instance::Inner;
use crate::search::wake::Wake;
use crate::tenant::Tenant;

/// Erasures of an instance that are under way.
#[derive(Default)]
pub(crate) struct Erasures {
    open: Mutex<BTreeMap<RowKey, Open>>,
    /// Files that should be gone and are not.
    left: Mutex<BTreeMap<TenantId, Vec<PathBuf>>>,
    /// Wakes the thread that destroys.
    wake: Arc<Wake>,
    /// Wakes the thread that rewrites.
    rewrites: Arc<Wake>,
    /// Not before this time, boot clock.
    pause_ms: AtomicU64,
}

/// How far one is.
#[derive(Clone, Copy)]
struct Open {
    state: ErasureState,
    /// When it goes on, Unix milliseconds.
    due_ms: u64,
    /// Whether it is known since when it is unreadable.
    dated: bool,
}

impl Erasures {
    /// Takes up what the catalog knows.
    ///
    /// # Errors
    /// As reads.
    pub(crate) fn load(catalog: &Catalog) -> Result<Self> {
        let erasures = Self::default();
        let rows: Vec<(RowKey, ErasureRow)> = of_tenant::all(&catalog.read()?, tables::ERASURES)?;
        for (key, row) in &rows {
            erasures.note(*key, row);
        }
        Ok(erasures)
    }

    /// Takes up those of a tenant that came from another server.
    ///
    /// # Errors
    /// As reads.
    pub(crate) fn take_up(&self, catalog: &Catalog, tenant: &TenantId) -> Result<()> {
        for (id, row) in of_tenant::of::<ErasureRow>(&catalog.read()?, tables::ERASURES, tenant)? {
            self.note((*tenant, id), &row);
        }
        Ok(())
    }

    /// Whose erasures are not over.
    pub(crate) fn tenants(&self) -> BTreeSet<TenantId> {
        self.open.lock().keys().map(|(tenant, _)| *tenant).collect()
    }

    /// Takes up how far an erasure is.
    #[expect(clippy::cast_precision_loss, reason = "a gauge")]
    pub(super) fn note(&self, key: RowKey, row: &ErasureRow) {
        let mut open = self.open.lock();
        if row.state.is_over() {
            open.remove(&key);
        } else {
            let due_ms = match row.state {
                ErasureState::Received => row.undo_until_ms,
                _ => 0,
            };
            let state = Open {
                state: row.state,
                due_ms,
                dated: row.unreadable_since_ms.is_some(),
            };
            open.insert(key, state);
        }
        metrics::gauge!("attestore_erasures_open").set(open.len() as f64);
    }

    /// Forgets the erasures of a tenant that was destroyed.
    pub(crate) fn forget(&self, tenant: &TenantId) {
        self.open.lock().retain(|(of, _), _| of != tenant);
        self.left.lock().remove(tenant);
    }

    /// Has everything done that is due.
    pub(super) fn wake(&self) {
        self.wake.notify();
    }

    /// Tells the threads to end.
    pub(crate) fn stop(&self) {
        self.wake.stop();
        self.rewrites.stop();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.rewrites.is_stopped()
    }

    /// Rests; returns whether the thread is to end.
    pub(super) fn rest(&self, pause: Duration) -> bool {
        self.rewrites.pause(pause)
    }

    /// Remembers files that should be gone.
    pub(super) fn leave(&self, tenant: TenantId, paths: Vec<PathBuf>) {
        if !paths.is_empty() {
            self.left.lock().entry(tenant).or_default().extend(paths);
        }
    }

    /// Removes what should be gone.
    ///
    /// # Errors
    /// [`Error::Io`] as long as something is there.
    pub(super) fn remove_left(&self, inner: &Inner, tenant: &Tenant) -> Result<()> {
        let Some(paths) = self.left.lock().remove(&tenant.id) else {
            return Ok(());
        };
        let left = sweep::remove(inner, &paths);
        if left.is_empty() {
            return sweep::sync_dir(inner, tenant);
        }
        self.leave(tenant.id, left);
        Err(Error::Io("erasure: a file cannot be removed".into()))
    }

    fn keys(&self, of: impl Fn(&Open) -> bool) -> Vec<RowKey> {
        let open = self.open.lock();
        open.iter()
            .filter(|(_, one)| of(one))
            .map(|(key, _)| *key)
            .collect()
    }
}

/// The thread that destroys.
pub(crate) fn run(inner: &Weak<Inner>) {
    loop {
        let Some(strong) = inner.upgrade() else { return };
        destroy_due(&strong);
        let wake = Arc::clone(&strong.erasures.wake);
        let stopped = strong.stopped().is_some();
        drop(strong);
        // What comes together is done together.
        if stopped || wake.wait(LOOK) || wake.pause(GATHER) {
            return;
        }
    }
}

/// The thread that rewrites.
pub(crate) fn run_cleaner(inner: &Weak<Inner>) {
    loop {
        let Some(strong) = inner.upgrade() else { return };
        clean_due(&strong);
        let wake = Arc::clone(&strong.erasures.rewrites);
        let stopped = strong.stopped().is_some();
        drop(strong);
        if stopped || wake.wait(LOOK) {
            return;
        }
    }
}

/// Does what both threads do, once.
pub(crate) fn step(inner: &Inner) {
    inner.erasures.pause_ms.store(0, Ordering::Relaxed);
    destroy_due(inner);
    clean_due(inner);
}

/// Does what the first of them does, once.
pub(crate) fn destroy_step(inner: &Inner) {
    inner.erasures.pause_ms.store(0, Ordering::Relaxed);
    destroy_due(inner);
}

fn destroy_due(inner: &Inner) {
    let erasures = &inner.erasures;
    if inner.stopped().is_some() || erasures.open.lock().is_empty() {
        return;
    }
    let undated = erasures.keys(|one| one.state == ErasureState::Unreadable && !one.dated);
    if !undated.is_empty()
        && let Err(error) = date(inner, &undated)
    {
        tracing::error!(%error, "it is not known yet since when an erasure is unreadable");
    }
    let (now_ms, boot_ms) = (inner.clock.now_ms(), inner.clock.boot_ms());
    let waits = boot_ms < erasures.pause_ms.load(Ordering::Relaxed);
    let due = erasures.keys(|one| match one.state {
        ErasureState::Received => one.due_ms <= now_ms,
        ErasureState::Approved | ErasureState::Deferred => !waits,
        _ => false,
    });
    if !due.is_empty() {
        erasures
            .pause_ms
            .store(boot_ms.saturating_add(AGAIN_MS), Ordering::Relaxed);
        if let Err(error) = destroy::destroy(inner, &due) {
            tracing::error!(%error, "an erasure did not come to an end; it goes on later");
        }
    }
    if !erasures.keys(|one| one.dated).is_empty() {
        erasures.rewrites.notify();
    }
}

/// Goes on behind a crash between the destruction and the date of it.
fn date(inner: &Inner, keys: &[RowKey]) -> Result<()> {
    let txn = inner.catalog.read()?;
    let mut rows = Vec::new();
    for key in keys {
        let row: Option<ErasureRow> = of_tenant::get(&txn, tables::ERASURES, key)?;
        rows.extend(row.map(|row| (*key, row)));
    }
    drop(txn);
    destroy::date(inner, rows)
}

fn clean_due(inner: &Inner) {
    let mut by_tenant: BTreeMap<TenantId, Vec<RowKey>> = BTreeMap::new();
    let of =
        |one: &Open| one.dated && matches!(one.state, ErasureState::Unreadable | ErasureState::IndexClean);
    for key in inner.erasures.keys(of) {
        by_tenant.entry(key.0).or_default().push(key);
    }
    for (id, keys) in by_tenant {
        if inner.erasures.is_stopped() || inner.stopped().is_some() {
            return;
        }
        if let Err(error) = clean::clean(inner, &id, &keys) {
            tracing::warn!(tenant = %id, %error, "files were not written anew after an erasure; they will be");
        }
    }
}

/// How often is looked what is due.
const LOOK: Duration = Duration::from_secs(1);
/// What comes within it is destroyed together.
const GATHER: Duration = Duration::from_millis(100);
/// After how long is asked again what has to wait.
const AGAIN_MS: u64 = 10_000;
