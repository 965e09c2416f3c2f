//! Asking for backups, listing them, and the ones that nobody has to ask for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use attestore_export::rfc3339_ms;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Value, json};

use super::folder::Known;
use super::manifest::Manifest;
use super::{ShippingStatus, Target, between, create, expire, folder, ledger, manifest, ship};
use crate::catalog::{hex, unhex};
use crate::credentials::{Permission, Principal};
use crate::error::{Error, Result};
use crate::instance::{Engine, Inner, OpenMode};

/// How far a backup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupState {
    /// It waits for its turn.
    Waiting,
    /// It is being made.
    Running,
    /// It is there.
    Done,
    /// It was not made.
    Failed,
}

/// What is told of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackupInfo {
    /// Its id, hex.
    pub id: String,
    /// How far it is.
    pub state: BackupState,
    /// When it was asked for, or its snapshot was taken, Unix milliseconds.
    pub at_ms: u64,
    /// Bytes that were copied so far, and that are to be copied.
    pub progress: (u64, u64),
    /// Bytes of everything that it names.
    pub bytes: u64,
    /// Bytes of that which no earlier backup had.
    pub bytes_copied: u64,
    /// Tenants in it.
    pub tenants: u64,
    /// Entries of their logs.
    pub entries: u64,
    /// Entries of the ledger that it covers.
    pub ledger: u64,
    /// For whom its keys are sealed.
    pub recipient: String,
    /// When its keys are destroyed, if there is a newer one by then; Unix milliseconds.
    pub keys_until_ms: Option<u64>,
    /// Whether it was made only for chunks to follow it.
    pub base: bool,
    /// Why it was not made.
    pub error: Option<String>,
}

/// One that is not in the target.
pub(super) struct Job {
    id: [u8; 16],
    at_ms: u64,
    state: Mutex<(BackupState, Option<String>)>,
    /// Whether it is made only for chunks to follow it.
    pub(super) base: bool,
    pub(super) done: AtomicU64,
    pub(super) all: AtomicU64,
}

impl Engine {
    /// Asks for a backup. With [`OpenMode::Inline`] it is made on return.
    ///
    /// # Errors
    /// [`Error::Forbidden`]; [`Error::Conflict`] with the code `no_backup_target`, or `backup_running` if one is waiting already.
    pub fn start_backup(&self, by: &Principal) -> Result<BackupInfo> {
        by.check_instance(Permission::ManageBackups)?;
        let inner = &self.inner;
        inner.check_running()?;
        let target = target(inner)?;
        let job = queue(inner, false)?;
        if inner.mode == OpenMode::Inline {
            make(inner, &target, &job)?;
            return self.backup(&hex(&job.id), by);
        }
        inner.backups.wake.notify();
        Ok(job.info(&target))
    }

    /// Lists backups, the newest first, with those that are waiting, under way, or failed since the start.
    ///
    /// # Errors
    /// [`Error::Forbidden`]; [`Error::Conflict`] with the code `no_backup_target`; [`Error::TargetUnavailable`].
    pub fn backups(&self, by: &Principal) -> Result<Vec<BackupInfo>> {
        by.check_instance(Permission::ManageBackups)?;
        let target = target(&self.inner)?;
        let known = Known::read(&*target.disk).map_err(unavailable)?;
        let mut all: Vec<BackupInfo> = known.manifests.iter().map(|found| info(found, &target)).collect();
        let jobs = self.inner.backups.jobs.lock();
        all.extend(jobs.values().map(|job| job.info(&target)));
        all.sort_by(|a, b| b.id.cmp(&a.id));
        Ok(all)
    }

    /// How far the target is behind what was acknowledged; `None` where nothing is shipped between backups.
    ///
    /// # Errors
    /// [`Error::Forbidden`]; as reads.
    pub fn shipping(&self, by: &Principal) -> Result<Option<ShippingStatus>> {
        by.check_instance(Permission::ManageBackups)?;
        ship::status(&self.inner)
    }

    /// Shows one.
    ///
    /// # Errors
    /// As [`Engine::backups`]; [`Error::NotFound`].
    pub fn backup(&self, id: &str, by: &Principal) -> Result<BackupInfo> {
        by.check_instance(Permission::ManageBackups)?;
        let target = target(&self.inner)?;
        let missing = || Error::NotFound("backup");
        unhex::<16>(id).ok_or_else(missing)?;
        // First, as it leaves the jobs when it is in the folder.
        if let Some(job) = self.inner.backups.jobs.lock().get(id) {
            return Ok(job.info(&target));
        }
        let path = folder::manifest_path(id);
        let bytes = match folder::read(&*target.disk, &path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(missing()),
            Err(error) => return Err(unavailable(error.into())),
            Ok(bytes) => bytes,
        };
        let found = manifest::decode(&bytes).map_err(|reason| Error::damage(&path, 0, reason))?;
        Ok(info(&found.manifest, &target))
    }
}

/// Who asks what is in the target is told that it cannot be read, and not that the instance failed.
fn unavailable(error: Error) -> Error {
    match error {
        Error::Io(why) => Error::TargetUnavailable(why),
        other => other,
    }
}

impl Job {
    /// What copies without being a backup.
    pub(super) fn ahead(inner: &Inner) -> Self {
        Self::new(inner, [0; 16], true)
    }

    fn new(inner: &Inner, id: [u8; 16], base: bool) -> Self {
        Self {
            id,
            at_ms: inner.clock.now_ms(),
            state: Mutex::new((BackupState::Waiting, None)),
            base,
            done: AtomicU64::new(0),
            all: AtomicU64::new(0),
        }
    }

    fn info(&self, target: &Target) -> BackupInfo {
        let (state, error) = self.state.lock().clone();
        BackupInfo {
            id: hex(&self.id),
            state,
            at_ms: self.at_ms,
            progress: (
                self.done.load(Ordering::Relaxed),
                self.all.load(Ordering::Relaxed),
            ),
            bytes: 0,
            bytes_copied: 0,
            tenants: 0,
            entries: 0,
            ledger: 0,
            recipient: target.recipient.to_string(),
            keys_until_ms: None,
            base: self.base,
            error,
        }
    }
}

fn info(manifest: &Manifest, target: &Target) -> BackupInfo {
    BackupInfo {
        id: manifest.id.clone(),
        state: BackupState::Done,
        at_ms: manifest.made_ms,
        progress: (manifest.bytes_copied, manifest.bytes_copied),
        bytes: manifest.bytes,
        bytes_copied: manifest.bytes_copied,
        tenants: manifest.tenants.len() as u64,
        entries: manifest.tenants.iter().map(|tenant| tenant.size).sum(),
        ledger: manifest.ledger,
        recipient: manifest.recipient.clone(),
        keys_until_ms: Some(manifest.made_ms.saturating_add(target.window_ms)),
        base: manifest.base,
        error: None,
    }
}

fn target(inner: &Inner) -> Result<Arc<Target>> {
    inner.backups.target().ok_or_else(|| Error::Conflict {
        code: "no_backup_target",
        message: "no folder for backups is set (`[backup] to`)".to_owned(),
    })
}

/// Puts a backup in line; one waits at most.
fn queue(inner: &Inner, base: bool) -> Result<Arc<Job>> {
    let id = create::fresh_id(inner);
    let mut jobs = inner.backups.jobs.lock();
    if jobs.values().any(|job| job.state.lock().0 != BackupState::Failed) {
        return Err(Error::Conflict {
            code: "backup_running",
            message: "a backup is being made already".to_owned(),
        });
    }
    // Why earlier ones failed is told until there is a newer one.
    jobs.clear();
    let job = Arc::new(Job::new(inner, id, base));
    jobs.insert(hex(&id), Arc::clone(&job));
    Ok(job)
}

fn make(inner: &Inner, target: &Target, job: &Job) -> Result<()> {
    let _one_at_a_time = inner.backups.making.lock();
    job.state.lock().0 = BackupState::Running;
    let made = create::run(inner, target, job.id, job);
    match &made {
        Ok(manifest) => {
            inner.backups.jobs.lock().remove(&hex(&job.id));
            tracing::info!(backup = %manifest.id, bytes = manifest.bytes, copied = manifest.bytes_copied, "a backup was made");
            metrics::counter!("attestore_backups_total", "state" => "done").increment(1);
            metrics::counter!("attestore_backup_bytes_total").increment(manifest.bytes_copied);
        }
        Err(error) => {
            *job.state.lock() = (BackupState::Failed, Some(error.to_string()));
            tracing::error!(%error, "a backup was not made");
            metrics::counter!("attestore_backups_total", "state" => "failed").increment(1);
        }
    }
    let made = made?;
    if !made.base {
        *inner.backups.lasting_ms.lock() = Some(Some(made.made_ms));
    }
    expire::end(target, inner.clock.now_ms())?;
    Ok(())
}

/// Makes what is waiting or due, ships what is left of the ledger, and removes backups whose time is over.
pub(super) fn tick(inner: &Inner) {
    let Some(target) = inner.backups.target() else {
        return;
    };
    if let Err(error) = told(inner) {
        tracing::debug!(%error, "how far the ledger is shipped is not known");
    }
    let waiting = inner
        .backups
        .jobs
        .lock()
        .values()
        .find(|job| job.state.lock().0 == BackupState::Waiting)
        .cloned();
    if let Some(job) = waiting {
        // Said by itself.
        let _ = make(inner, &target, &job);
        return;
    }
    between::tick(inner, &target);
    let boot_ms = inner.clock.boot_ms();
    if boot_ms < inner.backups.pause_ms.load(Ordering::Relaxed) {
        return;
    }
    inner
        .backups
        .pause_ms
        .store(boot_ms.saturating_add(LOOK_MS), Ordering::Relaxed);
    let done = unasked(inner, &target).and_then(|()| late(inner, &target));
    *inner.backups.fault.lock() = match &done {
        Ok(late) => late.clone(),
        Err(error) => Some(error.to_string()),
    };
    if let Err(error) = done {
        tracing::warn!(%error, "backups are not as they should be; it is tried again");
        inner
            .backups
            .pause_ms
            .store(boot_ms.saturating_add(RETRY_MS), Ordering::Relaxed);
    }
}

/// Whether the newest backup is older than its keys should be.
fn late(inner: &Inner, target: &Target) -> Result<Option<String>> {
    let newest = folder::ids(&*target.disk, folder::BACKUPS)?
        .last()
        .map(|(_, begun_ms)| *begun_ms);
    let over = |newest: &u64| newest.saturating_add(target.window_ms) <= inner.clock.now_ms();
    Ok(newest.filter(over).map(|newest| {
        format!(
            "the newest backup is of {}: its keys are kept beyond the window, as there is no newer one",
            rfc3339_ms(newest)
        )
    }))
}

/// What nobody has to ask for.
fn unasked(inner: &Inner, target: &Target) -> Result<()> {
    ledger::ship(inner)?;
    let now_ms = inner.clock.now_ms();
    {
        let _one_at_a_time = inner.backups.making.lock();
        expire::expire(target, now_ms)?;
    }
    let newest = lasting(inner, target)?;
    let is_due = newest.is_none_or(|newest| newest.saturating_add(target.every_ms) <= now_ms);
    if target.every_ms == 0 || !is_due {
        return Ok(());
    }
    make_unasked(inner, target, None)
}

/// When the newest backup was made that stays.
fn lasting(inner: &Inner, target: &Target) -> Result<Option<u64>> {
    let mut lasting_ms = inner.backups.lasting_ms.lock();
    if let Some(lasting_ms) = *lasting_ms {
        return Ok(lasting_ms);
    }
    let known = Known::read(&*target.disk)?;
    let lasting = known.manifests.iter().filter(|manifest| !manifest.base);
    let newest = lasting.map(|manifest| manifest.made_ms).next_back();
    *lasting_ms = Some(newest);
    Ok(newest)
}

/// Makes one and says so in `_system`; `base` is why chunks need it.
pub(super) fn make_unasked(inner: &Inner, target: &Target, base: Option<&str>) -> Result<()> {
    let job = queue(inner, base.is_some())?;
    let mut event = json!({
        "action": "backup.create",
        "operation": "create",
        "actor": { "type": "server", "id": "internal" },
        "targets": [{ "type": "backup", "id": hex(&job.id) }],
    });
    if let Some(why) = base {
        event["metadata"] = json!({ "for_chunks": why });
    }
    inner.append_internal(event.to_string().as_bytes())?;
    make(inner, target, &job)
}

#[expect(clippy::cast_precision_loss, reason = "a gauge")]
fn told(inner: &Inner) -> Result<()> {
    metrics::gauge!("attestore_backup_ledger_waiting").set(ledger::waiting(inner)? as f64);
    Ok(())
}

/// What receipts and certificates say of copies of keys that somebody keeps on purpose. What the ledger has to say about them is in
/// the target on return.
///
/// # Errors
/// What the target says: then nothing is signed yet.
pub(crate) fn said_on_receipts(inner: &Inner) -> Result<Value> {
    let Some(target) = inner.backups.target() else {
        return Ok(crate::forget::statement::KEY_BACKUPS.into());
    };
    let entries = ledger::ship(inner)?;
    // One that is being made may have keys from before what is signed about. Its keys are in the folder before it leaves the jobs.
    let jobs = inner.backups.jobs.lock();
    let under_way = jobs
        .values()
        .filter(|job| job.state.lock().0 == BackupState::Running);
    let mut begun: Vec<u64> = under_way.map(|job| job.at_ms).collect();
    drop(jobs);
    begun.extend(
        folder::ids(&*target.disk, folder::ESCROW)?
            .into_iter()
            .map(|(_, begun_ms)| begun_ms),
    );
    Ok(json!({
        "escrow_window_s": target.window_ms / 1000,
        "escrows": begun.len(),
        "oldest_escrow_at": begun.iter().min().map(|begun_ms| rfc3339_ms(*begun_ms)),
        "sealed_for": hex(&target.recipient.id()),
        "ledger_entries": entries,
        // Opened by the newest of these escrows, and gone with it.
        "chunks_shipped": target.ship_ms > 0,
    }))
}

/// How often is looked whether a backup is due or over.
const LOOK_MS: u64 = 60_000;
/// How long what failed waits.
const RETRY_MS: u64 = 600_000;
