//! Opening and closing.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use attestore_keys::{Key, Provider, Slot, SlotContext, SlotKind, random_array};
use attestore_record::TenantId;
use parking_lot::{Mutex, RwLock};

use super::{Engine, Inner, Opened, Parts, SYSTEM_TENANT};
use crate::append::{Committer, Queue, run_committer};
use crate::catalog::{Catalog, InstanceRow, TenantRow, WalPosition, hex, json, storage, tables};
use crate::credentials::Credentials;
use crate::error::OpenError;
use crate::guard::Guard;
use crate::handover;
use crate::heads::{self, Heads, Register};
use crate::priority;
use crate::read::Readers;
use crate::recovery;
use crate::search::{self, Search};
use crate::settings::SigningKeys;
use crate::tenant::{Registry, Tenant, new_tenant};
use crate::wal_files::WalFiles;
use crate::{Error, Result, Settings};

/// Who does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Threads of its own: committer, flusher, indexer, heads.
    Threads,
    /// The calling thread: an append commits before it returns, and flushes happen when asked for. Deterministic, for
    /// simulation.
    Inline,
}

impl Engine {
    /// Opens the instance in the data directory, or makes it: takes the lock, recovers, starts its threads.
    ///
    /// # Errors
    /// [`OpenError`]; the data is as it was, but for leftovers of an interrupted start.
    pub fn create_or_open(parts: Parts, settings: Settings) -> Result<(Self, Opened), OpenError> {
        Self::open_as(parts, settings, OpenMode::Threads)
    }

    /// [`Engine::create_or_open`], with a say in who does the work.
    ///
    /// # Errors
    /// As [`Engine::create_or_open`].
    pub fn open_as(parts: Parts, settings: Settings, mode: OpenMode) -> Result<(Self, Opened), OpenError> {
        crate::backup::restore::refuse_unfinished(&*parts.disk)?;
        Self::open_any(parts, settings, mode)
    }

    /// [`Engine::open_as`], also of a directory whose restore has not come to its end.
    pub(crate) fn open_any(
        parts: Parts,
        settings: Settings,
        mode: OpenMode,
    ) -> Result<(Self, Opened), OpenError> {
        crate::formats::check(&*parts.disk)?;
        let settings = settings.clamped();
        let disk = Arc::clone(&parts.disk);
        let lock = disk.try_lock(Path::new(LOCK))?.ok_or(OpenError::InUse)?;
        let free_bytes = disk.free_bytes()?;
        if settings.signing == SigningKeys::Module {
            check_module(&parts)?;
        }
        let (catalog, created) = open_catalog(&parts, free_bytes, settings.signing)?;
        let row = catalog.load()?;
        crate::formats::check_directory(row.format)?;
        let tenants = Registry::default();
        let replayed = recovery::replay(&disk, &catalog, &parts.entropy, &tenants, &row)?;
        let mut report = replayed.report;
        let system = system_tenant(&parts, &catalog, &tenants)?;
        let nonce = random_array(&*parts.entropy);
        let mut warnings = Vec::new();
        let (register, rollback_detection) = open_register(&parts, &system, nonce, &row, &mut warnings)?;
        drop(system);
        warnings.extend(clock_warning(
            parts.clock.now_ms(),
            row.newest_time_ms,
            settings.future_tolerance_ms,
        ));
        attestore_wal::remove_unfinished(&*disk)?;
        let capacity_bytes = row.capacity_bytes.max(free_bytes);
        let inner = Arc::new(Inner {
            guard: Guard::new(
                &*parts.clock,
                settings.future_tolerance_ms,
                settings.reserve_bytes,
                capacity_bytes,
                free_bytes,
            ),
            credentials: Credentials::load(&catalog)?,
            counts: crate::audit::Counts::default(),
            heads: Heads::new(register, heads::WitnessedHeads::load(&catalog)?),
            readers: Readers::new(settings.block_cache_bytes),
            search: Search::new(settings.index_cache_bytes, settings.indexing),
            filters: crate::idempotency::Filters::new(),
            wal: WalFiles::new(settings.wal_budget_bytes),
            queue: Queue::new(),
            committer: Mutex::new(Committer::new(None)),
            lead: crate::append::Lead::default(),
            flusher: search::wake::Wake::default(),
            compactor: crate::compact::Compactor::new(settings.background_bytes_per_s),
            exports: crate::exports::Exports::load(&catalog)?,
            retiring: handover::Retiring::load(&catalog)?,
            scrub: crate::scrub::Scrub::load(&catalog, settings.scrub_bytes_per_s)?,
            quotas: crate::quotas::Quotas::load(&catalog)?,
            purges: crate::forget::purge::Purges::load(&catalog)?,
            erasures: crate::forget::erase::Erasures::load(&catalog)?,
            destructions: crate::forget::destroy::Destructions::load(&catalog)?,
            moves: crate::moving::Moves::default(),
            backups: crate::backup::Backups::new(settings.backup.clone()),
            holding: Arc::default(),
            flushing: Mutex::new(()),
            freeing_log: Mutex::new(()),
            followers: std::sync::atomic::AtomicUsize::new(0),
            turns: crate::follow::Turns::default(),
            watches: crate::searches::watch::Changes::default(),
            mode,
            rollback_detection,
            stopped: RwLock::new(None),
            threads: Mutex::default(),
            lock: Mutex::new(Some(lock)),
            clock: parts.clock,
            entropy: parts.entropy,
            root: parts.root,
            rotation: crate::rotation::Rotation::default(),
            keyrings: crate::keyring::Keyrings::load(&catalog)?,
            disk,
            settings,
            catalog,
            tenants,
        });
        recovery::relog(&inner, replayed.end, &hex(&nonce), capacity_bytes)?;
        inner.resume_rotation()?;
        crate::moving::clean(&inner)?;
        let low = inner.catalog.instance()?.map_or(0, |row| row.wal_low);
        let mut forgetting = inner.purges.tenants();
        forgetting.extend(inner.erasures.tenants());
        report.strays = recovery::clean(&*inner.disk, &inner.catalog, &inner.tenants, low, forgetting)?;
        report
            .strays
            .extend(crate::exports::clean(&*inner.disk, &inner.catalog)?);
        for tenant in inner.tenants.all() {
            inner.search.recovered(&tenant);
            inner.compare_head(&tenant)?;
            inner.search.published(&tenant);
            inner.heads.published(&tenant);
        }
        crate::forget::purge::settle(&inner)?;
        let forked = handover::write_forks(&inner)?;
        if mode == OpenMode::Threads {
            start(&inner)?;
        }
        warnings.extend(handover::finish_forks(&inner, forked)?);
        warnings.extend(crate::forget::finish(&inner));
        Ok((
            Self { inner },
            Opened {
                created,
                recovered: report,
                warnings,
            },
        ))
    }

    /// Closes the instance: commits what waits, writes a closing frame, registers the heads, and joins the threads. Every
    /// later write is refused.
    ///
    /// # Errors
    /// When the engine stopped before, or stops over this.
    pub fn close(&self) -> Result<()> {
        let inner = &self.inner;
        inner.queue.close();
        inner.queue.wake();
        inner.flusher.stop();
        inner.compactor.wake.stop();
        inner.exports.stop();
        inner.scrub.stop();
        inner.purges.stop();
        inner.erasures.stop();
        inner.holding.stop();
        inner.backups.stop();
        inner.keyrings.stop();
        inner.search.stop();
        inner.heads.stop();
        inner.rotation.looking.stop();
        let threads: Vec<JoinHandle<()>> = std::mem::take(&mut *inner.threads.lock());
        for thread in threads {
            if thread.join().is_err() {
                inner.fail_stop("a thread panicked");
            }
        }
        inner.commit_all();
        let stopped = inner.stopped();
        {
            let _flushing = inner.flushing.lock();
            let mut committer = inner.committer.lock();
            committer.close_frame(inner);
            committer.retire();
        }
        let registered = inner.heads.register_moved();
        if stopped.is_none()
            && let Err(error) = crate::credentials::store_uses(inner, true)
        {
            tracing::warn!(%error, "when credentials were last used is not stored");
        }
        if inner.stopped().is_none()
            && let Err(error) = crate::scrub::store(inner, true)
        {
            tracing::warn!(%error, "what the scrub has done is not stored");
        }
        if inner.stopped().is_none()
            && let Err(error) = crate::quotas::store_used(inner, true)
        {
            tracing::warn!(%error, "what is used of quotas is not stored");
        }
        inner.stop("closed".to_owned());
        // While the directory is locked: what comes after belongs to whoever opens it next.
        inner.catalog.close();
        drop(inner.lock.lock().take());
        match stopped {
            Some(reason) => Err(Error::Stopped(reason)),
            None => Ok(registered?),
        }
    }

    /// Flushes every tenant's tail.
    ///
    /// # Errors
    /// As flushes.
    pub fn flush(&self) -> Result<u64> {
        crate::flush::round(&self.inner, |_| true).map(|report| report.records)
    }

    /// Flushes one tenant's tail.
    ///
    /// # Errors
    /// As flushes.
    pub fn flush_tenant(&self, name: &str) -> Result<u64> {
        let tenant = self.inner.tenant(name)?;
        crate::flush::round(&self.inner, |other| other.id == tenant.id).map(|report| report.records)
    }

    /// Does once what the background threads do in turn, for [`OpenMode::Inline`].
    pub fn tick(&self) {
        self.inner.commit_all();
        self.inner.committer.lock().close_frame(&self.inner);
        search::advance(&self.inner, &|| false);
        crate::flush::tick(&self.inner);
        crate::rotation::look(&self.inner);
        crate::audit::tick(&self.inner);
        heads::tick(&self.inner);
        crate::forget::erase::step(&self.inner);
        crate::forget::holds::tick(&self.inner);
        crate::forget::destroy::tick(&self.inner);
        crate::keyring::tick(&self.inner);
    }
}

impl Inner {
    /// Commits everything that waits, on this thread.
    pub(crate) fn commit_all(&self) {
        while self.committer.lock().step(self) > 0 {}
    }

    /// Compares a tenant with the head register; appends to one that was rolled back are refused.
    pub(crate) fn compare_head(&self, tenant: &Tenant) -> Result<()> {
        if let Some(reason) = heads::compare(self, tenant)? {
            // A restore goes on to a new epoch of every log.
            match crate::backup::restore::is_under_way(&*self.disk)? {
                true => tracing::info!(tenant = %tenant.id, reason, "rolled back, by a restore"),
                false => tracing::error!(tenant = %tenant.id, reason, "rolled back"),
            }
            handover::refuse(self, tenant, &reason)?;
        }
        Ok(())
    }
}

/// Refuses a module that makes no signing keys, before anything is changed.
fn check_module(parts: &Parts) -> Result<(), OpenError> {
    let lacking = |why: String| OpenError::Settings(format!("signing keys in the security module: {why}"));
    let module = parts.root.signing();
    let module = module.ok_or_else(|| lacking("the root is not held by one".to_owned()))?;
    module.check().map_err(|error| match error {
        attestore_keys::Error::MissingKey { what } => lacking(what),
        error => error.into(),
    })
}

fn open_catalog(
    parts: &Parts,
    free_bytes: u64,
    signing: SigningKeys,
) -> Result<(Arc<Catalog>, bool), OpenError> {
    if !parts.disk.exists(Path::new("catalog"))? {
        // Before one is made: what is left of the old one stays as it is.
        refuse_data(parts, "the file is missing")?;
    }
    let catalog = Catalog::open(&parts.disk, Arc::clone(&parts.root), Arc::clone(&parts.entropy))?;
    if catalog.instance()?.is_some() {
        return Ok((Arc::new(catalog), false));
    }
    refuse_data(parts, "there is no instance in it")?;
    let now_ms = parts.clock.now_ms();
    let row = InstanceRow {
        id: hex(&random_array::<16>(&*parts.entropy)),
        format: crate::formats::DATA_DIRECTORY,
        created_ms: now_ms,
        tree_height: 0,
        tree_next_slot: 0,
        root_generation: 0,
        root_page_key: String::new(),
        wal_low: 1,
        wal_next: 1,
        l0_next: 1,
        durable: WalPosition { wal: 0, offset: 0 },
        starts: 0,
        start_nonce: String::new(),
        newest_time_ms: now_ms,
        capacity_bytes: free_bytes,
    };
    let system = catalog.create(row, |update| {
        new_tenant(update, &*parts.entropy, SYSTEM_TENANT, now_ms, None)
    })?;
    if signing == SigningKeys::Module {
        let key = tenant_key(&catalog, &system)?;
        handover::module::begin(&catalog, &*parts.entropy, &system, &key)?;
    }
    Ok((Arc::new(catalog), true))
}

fn tenant_key(catalog: &Catalog, id: &TenantId) -> Result<Key> {
    let table = catalog.read()?.open_table(tables::TENANTS).map_err(storage)?;
    let row = table
        .get(id.as_bytes())
        .map_err(storage)?
        .ok_or(Error::UnknownTenant)?;
    let row: TenantRow = json(row.value())?;
    let context = SlotContext {
        kind: SlotKind::TenantKey,
        tenant: *id.as_bytes(),
        owner: [0; 16],
    };
    Ok(catalog.key(Slot(row.key_slot), &context, None)?)
}

/// Refuses a directory that holds what only an instance leaves, without one.
fn refuse_data(parts: &Parts, fault: &str) -> Result<(), OpenError> {
    for dir in ["wal", "tenants", "l0"] {
        if parts.disk.exists(Path::new(dir))? {
            return Err(OpenError::damage(
                "catalog",
                0,
                format!("{fault}, yet there is {dir}/"),
            ));
        }
    }
    Ok(())
}

/// Compares the clock with the newest time that a commit trusted. How long nobody was here is not known, so a clock that is
/// ahead cannot be told from a long pause: only a very long one is mentioned.
fn clock_warning(now_ms: u64, newest_ms: u64, tolerance_ms: u64) -> Option<String> {
    let (behind_ms, ahead_ms) = (newest_ms.saturating_sub(now_ms), now_ms.saturating_sub(newest_ms));
    if behind_ms > tolerance_ms {
        Some(format!(
            "the clock is {} s behind the newest record: times of receipt stand still until it has caught up",
            behind_ms / 1000
        ))
    } else if ahead_ms > PAUSE_MS_MAX {
        Some(format!(
            "the newest record is {} days old: check the clock if this instance was not stopped for so long",
            ahead_ms / DAY_MS
        ))
    } else {
        None
    }
}

fn system_tenant(
    parts: &Parts,
    catalog: &Arc<Catalog>,
    tenants: &Registry,
) -> Result<Arc<Tenant>, OpenError> {
    if let Some(tenant) = tenants.named(SYSTEM_TENANT) {
        return Ok(tenant);
    }
    let id = super::tenants::id_of(catalog, SYSTEM_TENANT)?
        .ok_or_else(|| OpenError::damage("catalog", 0, "there is no system tenant"))?;
    let tenant = Arc::new(Tenant::load(catalog, &*parts.disk, &*parts.entropy, id)?);
    tenants.insert(&tenant);
    Ok(tenant)
}

fn open_register(
    parts: &Parts,
    system: &Tenant,
    nonce: [u8; 16],
    row: &InstanceRow,
    warnings: &mut Vec<String>,
) -> Result<(Register, bool), OpenError> {
    let outside = parts.register.is_some();
    if !outside {
        warnings.push("the head register is inside the data directory: rollback cannot be detected".into());
    }
    let key = heads::register_key(&system.keys.directory);
    let (register, found) = Register::start(&*parts.head_store(), key, nonce).map_err(Error::from)?;
    match found {
        Some(found) if hex(&found.nonce) != row.start_nonce => {
            warnings.push(
                "another start used the head register since: is there a clone of this instance?".into(),
            );
        }
        None if row.starts > 0 => {
            warnings.push("the head register is gone: rollback cannot be detected".into())
        }
        Some(_) | None => {}
    }
    Ok((register, outside))
}

fn start(inner: &Arc<Inner>) -> Result<(), OpenError> {
    let mut threads = Vec::new();
    let mut spawn = |name: &str, body: Box<dyn FnOnce() + Send>| -> Result<(), OpenError> {
        threads.push(std::thread::Builder::new().name(name.to_owned()).spawn(body)?);
        Ok(())
    };
    let weak: Weak<Inner> = Arc::downgrade(inner);
    spawn("attestore-commit", {
        let weak = Weak::clone(&weak);
        Box::new(move || run_committer(&weak))
    })?;
    spawn("attestore-flush", {
        let weak = Weak::clone(&weak);
        Box::new(move || crate::flush::run(&weak))
    })?;
    spawn("attestore-index", {
        let (weak, wake) = (Weak::clone(&weak), inner.search.wake());
        Box::new(move || {
            priority::lower(priority::INDEX);
            search::run(weak, wake);
        })
    })?;
    spawn("attestore-rebuild", {
        let (weak, wake) = (Weak::clone(&weak), inner.search.rebuilds.wake());
        Box::new(move || {
            priority::lower(priority::REBUILD);
            search::rebuild::run(&weak, &wake);
        })
    })?;
    spawn("attestore-compact", {
        let weak = Weak::clone(&weak);
        Box::new(move || {
            priority::lower(priority::COMPACT);
            crate::compact::run(&weak);
        })
    })?;
    spawn("attestore-export", {
        let weak = Weak::clone(&weak);
        Box::new(move || {
            priority::lower(priority::REBUILD);
            crate::exports::run(&weak);
        })
    })?;
    spawn("attestore-scrub", {
        let weak = Weak::clone(&weak);
        Box::new(move || {
            priority::lower(priority::COMPACT);
            crate::scrub::run(&weak);
        })
    })?;
    spawn("attestore-purge", {
        let weak = Weak::clone(&weak);
        Box::new(move || crate::forget::purge::run(&weak))
    })?;
    spawn("attestore-erase", {
        let weak = Weak::clone(&weak);
        Box::new(move || crate::forget::erase::run(&weak))
    })?;
    spawn("attestore-clean", {
        let weak = Weak::clone(&weak);
        Box::new(move || {
            priority::lower(priority::REBUILD);
            crate::forget::erase::run_cleaner(&weak);
        })
    })?;
    spawn("attestore-holds", {
        let weak = Weak::clone(&weak);
        Box::new(move || crate::forget::holds::run(&weak))
    })?;
    spawn("attestore-backup", {
        let weak = Weak::clone(&weak);
        // Copying takes a second of a core for a gigabyte. With less of one it would take for ever beside full ingest.
        Box::new(move || crate::backup::run(&weak))
    })?;
    spawn("attestore-keys", {
        let weak = Weak::clone(&weak);
        Box::new(move || crate::keyring::run(&weak))
    })?;
    spawn("attestore-ship", {
        let weak = Weak::clone(&weak);
        Box::new(move || crate::backup::ship::run(&weak))
    })?;
    if !matches!(inner.root.provider(), Provider::File | Provider::Passphrase) {
        spawn("attestore-root", {
            let weak = Weak::clone(&weak);
            Box::new(move || crate::rotation::run(&weak))
        })?;
    }
    spawn("attestore-heads", {
        let wake = inner.heads.wake();
        Box::new(move || heads::run(weak, wake))
    })?;
    *inner.threads.lock() = threads;
    Ok(())
}

const DAY_MS: u64 = 24 * 3_600_000;
/// A pause between two starts that is longer is mentioned.
const PAUSE_MS_MAX: u64 = 30 * DAY_MS;
pub(crate) const LOCK: &str = "attestore.lock";

#[cfg(test)]
mod tests {
    use super::{DAY_MS, clock_warning};

    #[test]
    fn a_clock_that_cannot_be_right_is_mentioned() {
        let newest = 1_795_000_000_000;
        let said = |now_ms| clock_warning(now_ms, newest, 300_000).unwrap_or_default();
        for quiet in [newest - 300_000, newest, newest + 30 * DAY_MS] {
            assert_eq!(said(quiet), "");
        }
        assert!(said(newest - 301_000).contains("301 s behind"));
        assert!(said(newest + 31 * DAY_MS).contains("31 days old"));
    }
}
