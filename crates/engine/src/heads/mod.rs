//! Signed heads: what may leave the process, and the register that remembers what did.
//!
//! A head is signed only when its records are durable (readers see no others), and leaves the process only when the
//! register holds it. One background batch per interval registers the heads of all tenants that moved; a request for a
//! checkpoint that is behind does the same at once, and requests that come meanwhile share its write.
//!
//! Also here: what is found at start. A log that is shorter than its registered head, or has another root there, was
//! rolled back (`compare`).

use std::sync::{Arc, Weak};

use attestore_keys::{Key, derive};
use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::{
    error::{Error, Result},
    handover,
    instance::Inner,
    read,
    search::wake::Wake,
    tenant::Tenant,
};

pub mod checkpoint;
pub mod register;
mod rounds;
mod witnessed;

pub use register::{
    Head, HeadStore, HeadWriter, Heads as RegisteredHeads, Nonce, Register, RegisterAt, RegisterError,
    Started,
};
pub use rounds::{HEADS_TENANT, Slot};
pub use witnessed::Witnessed;
pub(crate) use witnessed::WitnessedHeads;

/// The heads of a running instance.
pub struct Heads {
    register: Register,
    /// Tenants that moved since their heads were registered.
    moved: Mutex<HashMap<attestore_record::TenantId, Arc<Tenant>>>,
    signed: checkpoint::Cache,
    witnessed: WitnessedHeads,
    rounds: rounds::Rounds,
    wake: Arc<Wake>,
}

impl Heads {
    /// Works on a register that this run has started.
    pub(crate) fn new(register: Register, witnessed: WitnessedHeads) -> Self {
        Self {
            register,
            moved: Mutex::default(),
            signed: checkpoint::Cache::new(),
            witnessed,
            rounds: rounds::Rounds::default(),
            wake: Arc::default(),
        }
    }

    /// The register.
    pub fn register(&self) -> &Register {
        &self.register
    }

    /// Notes that a tenant has a new head; registered with the next batch.
    pub(crate) fn published(&self, tenant: &Arc<Tenant>) {
        let mut moved = self.moved.lock();
        if !moved.contains_key(&tenant.id) {
            moved.insert(tenant.id, Arc::clone(tenant));
        }
    }

    /// Has the next checkpoint of a log signed anew: its keys changed.
    pub(crate) fn forget_signed(&self, tenant: &attestore_record::TenantId) {
        self.signed.forget(tenant);
    }

    /// Forgets a log whose tenant was destroyed. Its last head stays registered.
    pub(crate) fn forget(&self, tenant: &attestore_record::TenantId) {
        self.moved.lock().remove(tenant);
        self.signed.forget(tenant);
        self.witnessed.forget(tenant);
    }

    /// What the background thread waits on.
    pub(crate) fn wake(&self) -> Arc<Wake> {
        Arc::clone(&self.wake)
    }

    /// Tells the background thread to end.
    pub(crate) fn stop(&self) {
        self.wake.stop();
    }

    /// Number of tenants whose heads wait for the next batch.
    pub(crate) fn waiting(&self) -> usize {
        self.moved.lock().len()
    }

    /// Registers the heads of every tenant that moved, in one write.
    pub(crate) fn register_moved(&self) -> Result<(), RegisterError> {
        let moved = std::mem::take(&mut *self.moved.lock());
        let heads: Vec<_> = moved
            .values()
            .filter(|tenant| tenant.rolled_back().is_none())
            .map(|tenant| {
                let view = tenant.view();
                (
                    tenant.origin.as_str(),
                    Head {
                        size: view.size,
                        root: view.root,
                    },
                )
            })
            .collect();
        let result = self.advance(&heads);
        if result.is_err() {
            let mut again = self.moved.lock();
            for (id, tenant) in moved {
                again.entry(id).or_insert(tenant);
            }
        }
        result
    }

    /// Registers heads that may be older than what the register holds by now: those have nothing to do.
    fn advance(&self, heads: &[(&str, Head)]) -> Result<(), RegisterError> {
        let ahead: Vec<_> = heads
            .iter()
            .copied()
            .filter(|(origin, head)| {
                self.register
                    .head(origin)
                    .is_none_or(|held| held.size <= head.size)
            })
            .collect();
        match self.register.advance(&ahead) {
            // Another batch went further between the look and the write; what it wrote covers this.
            Err(RegisterError::Backwards { .. }) => {
                heads
                    .iter()
                    .try_for_each(|(origin, head)| match self.register.advance(&[(origin, *head)]) {
                        Err(RegisterError::Backwards { .. }) => Ok(()),
                        other => other,
                    })
            }
            other => other,
        }
    }
}

impl Drop for Heads {
    fn drop(&mut self) {
        self.wake.stop();
    }
}

/// Registers moved heads once per interval, until it is told to stop or the instance is gone.
pub(crate) fn run(inner: Weak<Inner>, wake: Arc<Wake>) {
    loop {
        let Some(strong) = inner.upgrade() else { return };
        let interval = strong.settings.head_interval_ms.max(1);
        drop(strong);
        if wake.pause(std::time::Duration::from_millis(interval)) {
            return;
        }
        let Some(strong) = inner.upgrade() else { return };
        tick(&strong);
        if strong.heads.waiting() == 0 {
            continue;
        }
        if let Err(error) = strong.heads.register_moved() {
            stop_on(&strong, &error);
        }
    }
}

/// What is done once per interval beside registering.
pub(crate) fn tick(inner: &Inner) {
    handover::retire_due(inner);
}

/// Ends the process's writing when the register says that it must.
fn stop_on(inner: &Inner, error: &RegisterError) {
    match error {
        RegisterError::Busy | RegisterError::Poisoned | RegisterError::Unwritten(_) => {
            tracing::warn!(%error, "heads were not registered");
        }
        _ => inner.fail_stop(error.to_string()),
    }
}

/// Derives the key that authenticates the register, from the directory key of `_system`: stable for the life of an
/// instance.
pub fn register_key(system_directory: &Key) -> Key {
    derive("attestore 2026 head register v1", &[system_directory.expose()])
}

/// Compares a tenant's log with its registered head. `Some` says why it counts as rolled back.
///
/// # Errors
/// What reading the tree returns.
pub(crate) fn compare(inner: &Inner, tenant: &Tenant) -> Result<Option<String>> {
    match inner.heads.register.head(&tenant.origin) {
        Some(head) => contradiction(inner, tenant, head, "registered"),
        None => Ok(None),
    }
}

/// Says how a log contradicts a head that was once published of it, as `known` tells; `None` if the log extends it.
///
/// # Errors
/// What reading the tree returns.
pub(crate) fn contradiction(
    inner: &Inner,
    tenant: &Tenant,
    head: Head,
    known: &str,
) -> Result<Option<String>> {
    let view = tenant.view();
    if view.size < head.size {
        return Ok(Some(format!(
            "the log has {} entries, and a head of {} was {known}",
            view.size, head.size
        )));
    }
    let root = if view.size == head.size {
        view.root
    } else {
        read::tree::root_at(inner, tenant, &view, head.size)?
    };
    Ok((root != head.root).then(|| {
        format!(
            "the log has another root at size {} than the head that was {known}",
            head.size
        )
    }))
}

impl From<RegisterError> for Error {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Damage { path, source } => {
                let offset = match source {
                    register::DecodeError::Damaged { offset, .. } => offset,
                    register::DecodeError::Key => 0,
                };
                Self::Damage {
                    path,
                    offset,
                    reason: source.to_string(),
                }
            }
            RegisterError::Key { .. } => Self::Key(error.to_string()),
            RegisterError::Io(error) => Self::from(error),
            other => Self::Stopped(other.to_string()),
        }
    }
}
