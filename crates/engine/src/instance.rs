//! One instance: opened, running, closed.

mod open;
mod tenants;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::thread::JoinHandle;

use attestore_disk::{Clock, Disk, LockGuard};
use attestore_keys::{Entropy, Key, RootProvider, Slot, SlotContext, SlotKind};
use parking_lot::{Mutex, RwLock};

use crate::append::{Committer, Queue};
use crate::catalog::{Catalog, FileRow, Update};
use crate::credentials::Credentials;
use crate::guard::Guard;
use crate::heads::{HeadStore, Heads, RegisterAt, register::DEFAULT_PATH};
use crate::read::Readers;
use crate::recovery::RecoveryReport;
use crate::search::Search;
use crate::tenant::{Registry, Tenant};
use crate::wal_files::WalFiles;
use crate::{Error, Result, Settings};

pub(crate) use open::LOCK;
pub use open::OpenMode;

/// Name of the tenant where Attestore logs its own actions.
pub const SYSTEM_TENANT: &str = "_system";

/// A running instance. Clones share it; when the last is dropped without [`Engine::close`], that is like a crash.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

/// What an instance stands on.
#[derive(Clone)]
pub struct Parts {
    /// The data directory.
    pub disk: Arc<dyn Disk>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The holder of the root key.
    pub root: Arc<dyn RootProvider>,
    /// Where the head register is; outside of the data directory a restore of that does not touch it. `None` puts it inside,
    /// and then rollback cannot be detected.
    pub register: Option<Arc<dyn HeadStore>>,
}

impl Parts {
    /// The store of the head register.
    pub(crate) fn head_store(&self) -> Arc<dyn HeadStore> {
        self.register.clone().unwrap_or_else(|| {
            Arc::new(RegisterAt {
                disk: Arc::clone(&self.disk),
                path: DEFAULT_PATH.into(),
            })
        })
    }
}

/// What opening did.
#[derive(Debug)]
pub struct Opened {
    /// Whether the instance was made just now.
    pub created: bool,
    /// What recovery found.
    pub recovered: RecoveryReport,
    /// What an operator should know.
    pub warnings: Vec<String>,
}

/// The parts of a running instance.
pub struct Inner {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) root: Arc<dyn RootProvider>,
    pub(crate) rotation: crate::rotation::Rotation,
    pub(crate) keyrings: crate::keyring::Keyrings,
    pub(crate) settings: Settings,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) tenants: Registry,
    pub(crate) credentials: Credentials,
    pub(crate) counts: crate::audit::Counts,
    pub(crate) heads: Heads,
    pub(crate) readers: Readers,
    pub(crate) search: Search,
    pub(crate) filters: crate::idempotency::Filters,
    pub(crate) wal: WalFiles,
    pub(crate) queue: Queue,
    /// The committer; whoever holds the lock commits. Taken away for good when the engine stops.
    pub(crate) committer: Mutex<Committer>,
    pub(crate) lead: crate::append::Lead,
    pub(crate) guard: Guard,
    pub(crate) flusher: crate::search::wake::Wake,
    pub(crate) compactor: crate::compact::Compactor,
    pub(crate) exports: crate::exports::Exports,
    pub(crate) retiring: crate::handover::Retiring,
    pub(crate) scrub: crate::scrub::Scrub,
    pub(crate) quotas: crate::quotas::Quotas,
    pub(crate) purges: crate::forget::purge::Purges,
    pub(crate) erasures: crate::forget::erase::Erasures,
    pub(crate) destructions: crate::forget::destroy::Destructions,
    pub(crate) moves: crate::moving::Moves,
    pub(crate) backups: crate::backup::Backups,
    /// What the thread waits on that looks for newer matches of legal holds.
    pub(crate) holding: Arc<crate::search::wake::Wake>,
    /// Held for a whole flush round, so that there is one at a time.
    pub(crate) flushing: Mutex<()>,
    /// Held while the whole log is freed: each time begins a file of it.
    pub(crate) freeing_log: Mutex<()>,
    /// How many follow logs, of all tenants.
    pub(crate) followers: std::sync::atomic::AtomicUsize,
    pub(crate) turns: crate::follow::Turns,
    /// Tells that a watch was set, changed or removed.
    pub(crate) watches: crate::searches::watch::Changes,
    pub(crate) mode: OpenMode,
    pub(crate) rollback_detection: bool,
    stopped: RwLock<Option<String>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    lock: Mutex<Option<Box<dyn LockGuard>>>,
}

impl Inner {
    /// The tenant of that name, loaded if need be.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], or what the catalog says.
    pub(crate) fn tenant(&self, name: &str) -> Result<Arc<Tenant>> {
        let tenant = match self.tenants.named(name) {
            Some(tenant) => tenant,
            None => self.load_named(name)?,
        };
        tenant.touch(self.clock.boot_ms());
        Ok(tenant)
    }

    /// The tenants in memory.
    pub(crate) fn loaded_tenants(&self) -> Vec<Arc<Tenant>> {
        self.tenants.all()
    }

    /// The key of a sealed file or part.
    ///
    /// # Errors
    /// What the catalog says. A missing key is damage while a row names the file; a file that was replaced meanwhile is
    /// [`Error::Io`], and the newer view says where its records are.
    pub(crate) fn file_key(&self, tenant: &Tenant, row: &FileRow) -> Result<Key> {
        let context = file_context(tenant, row.container_id()?, row.is_part());
        match tenant.keys.open(&self.catalog, Slot(row.slot), &context) {
            Err(attestore_keys::Error::Destroyed { .. }) => {}
            key => return Ok(key?),
        }
        self.unless_replaced(tenant, row, "the file's key is not in the catalog")
            .and_then(Err)
    }

    /// Why a file that a row names is not there.
    ///
    /// # Errors
    /// What the catalog says.
    pub(crate) fn missing(&self, tenant: &Tenant, row: &FileRow) -> Result<Error> {
        self.unless_replaced(tenant, row, "the file is missing")
    }

    /// Damage while a row names the file, else [`Error::Io`].
    fn unless_replaced(&self, tenant: &Tenant, row: &FileRow, damage: &'static str) -> Result<Error> {
        if tenant.is_ended() {
            return Ok(Error::UnknownTenant);
        }
        if self.catalog.has_file(&tenant.id, row)? {
            return Ok(Error::damage(&row.path, row.offset, damage));
        }
        // What replaced it has committed; its end shows the newer view. Who replaces reads only what is named.
        drop(self.flushing.lock());
        Ok(Error::Io(format!(
            "{} was replaced meanwhile",
            row.path.display()
        )))
    }

    /// Stops all writing for good: what reached the medium is not known, only a new start can tell.
    pub(crate) fn fail_stop(&self, reason: impl Into<String>) {
        let reason = reason.into();
        if self.stop(reason.clone()) {
            tracing::error!(reason, "stopped");
        }
    }

    /// Refuses all writing from now on; false if something did before.
    fn stop(&self, reason: String) -> bool {
        let mut stopped = self.stopped.write();
        let first = stopped.is_none();
        stopped.get_or_insert(reason);
        drop(stopped);
        self.queue.wake();
        self.flusher.notify();
        self.compactor.wake.notify();
        first
    }

    /// Why the engine stopped; `None` while it runs.
    pub(crate) fn stopped(&self) -> Option<String> {
        self.stopped.read().clone()
    }

    /// Refuses when the engine stopped.
    pub(crate) fn check_running(&self) -> Result<()> {
        match &*self.stopped.read() {
            Some(reason) => Err(Error::Stopped(reason.clone())),
            None => Ok(()),
        }
    }

    /// Changes the catalog. When that fails for good, nothing more is written.
    ///
    /// # Errors
    /// What `change` returns, or as changes of the catalog.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Update<'_>) -> Result<T>) -> Result<T> {
        self.catalog.update(change).inspect_err(|_| {
            if let Some(reason) = self.catalog.poisoned() {
                self.fail_stop(reason);
            }
        })
    }

    /// Appends an event to `_system`, durable on return.
    ///
    /// # Errors
    /// As appends.
    pub(crate) fn append_internal(&self, event: &[u8]) -> Result<()> {
        crate::append::append_internal(self, event)
    }
}

/// What a file's key is bound to in the tree of keys.
pub(crate) fn file_context(tenant: &Tenant, id: [u8; 16], part: bool) -> SlotContext {
    let kind = if part {
        SlotKind::Part
    } else {
        SlotKind::SealedFile
    };
    SlotContext {
        kind,
        tenant: *tenant.id.as_bytes(),
        owner: id,
    }
}
