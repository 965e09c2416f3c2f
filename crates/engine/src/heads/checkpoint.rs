//! Signs checkpoints of what is durable and registered.

use std::sync::Arc;

use attestore_keys::SigningKey;
use attestore_record::TenantId;
use attestore_tlog::{Checkpoint, CheckpointError, Frontier, Hash, NoteError, NoteSigner, VerifierKey};
use parking_lot::Mutex;
use quick_cache::sync::Cache as QuickCache;

use super::{Head, stop_on};
use crate::{
    error::{Error, Result},
    instance::Inner,
    tenant::{Tenant, View},
};

/// A signed checkpoint and what it says.
#[derive(Clone, Debug)]
pub struct Signed {
    /// Number of entries.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
    /// The note, as clients get it.
    pub note: Arc<str>,
    /// The tree's right edge at that size, if it was at hand.
    pub(crate) frontier: Option<Frontier>,
}

/// The newest signed checkpoint of the tenants asked for most.
pub(super) struct Cache {
    signed: QuickCache<TenantId, Signed>,
    /// Held by the request that registers; those that wait for it find its work done.
    batch: Mutex<()>,
}

impl Cache {
    pub(super) fn new() -> Self {
        Self {
            signed: QuickCache::new(SIGNED_MAX),
            batch: Mutex::new(()),
        }
    }

    pub(super) fn forget(&self, tenant: &TenantId) {
        self.signed.remove(tenant);
    }
}

/// Returns a signed checkpoint of at least `size_min` entries, else the newest one of what is durable now.
///
/// # Errors
/// [`Error::BeyondTree`] if the log has fewer entries; [`Error::Stopped`] if the head cannot be registered.
pub(crate) fn at_least(inner: &Inner, tenant: &Arc<Tenant>, size_min: u64) -> Result<Signed> {
    if let Some(signed) = covering(inner, tenant, size_min) {
        return Ok(signed);
    }
    let signed = newest(inner, tenant)?;
    if signed.size < size_min {
        Err(Error::BeyondTree { size: signed.size })
    } else {
        Ok(signed)
    }
}

/// Returns the newest checkpoint that was signed, if it is kept and has at least `size_min` entries.
pub(crate) fn covering(inner: &Inner, tenant: &Tenant, size_min: u64) -> Option<Signed> {
    let kept = inner.heads.signed.signed.get(&tenant.id);
    kept.filter(|signed| signed.size >= size_min)
}

/// Returns a signed checkpoint of what is durable now.
///
/// # Errors
/// [`Error::Stopped`] if the head cannot be registered.
pub(crate) fn newest(inner: &Inner, tenant: &Arc<Tenant>) -> Result<Signed> {
    let view = tenant.view();
    if let Some(signed) = cached(inner, tenant, &view) {
        return Ok(signed);
    }
    let head = registered(inner, tenant, &view)?;
    let _unchanged = tenant.keys.changing.read();
    sign_changing(inner, tenant, head, Some(view.frontier.clone()))
}

/// Has the register hold the head that a reader sees, for it to be signed.
///
/// # Errors
/// [`Error::Stopped`] if it cannot be registered, or the log was rolled back.
pub(crate) fn registered(inner: &Inner, tenant: &Arc<Tenant>, view: &View) -> Result<Head> {
    if let Some(reason) = tenant.rolled_back() {
        return Err(Error::Stopped(format!("no checkpoint is signed: {reason}")));
    }
    let heads = &inner.heads;
    let registered = |view: &View| {
        heads
            .register
            .head(&tenant.origin)
            .is_some_and(|head| head.size >= view.size)
    };
    if !registered(view) {
        heads.published(tenant);
        let _batch = heads.signed.batch.lock();
        if !registered(view) {
            heads
                .register_moved()
                .inspect_err(|error| stop_on(inner, error))?;
        }
    }
    Ok(Head {
        size: view.size,
        root: view.root,
    })
}

/// Returns the newest checkpoint that was signed, if there is one; registers and signs nothing.
pub(crate) fn latest_size(inner: &Inner, tenant: &Tenant) -> u64 {
    inner
        .heads
        .register
        .head(&tenant.origin)
        .map_or(0, |head| head.size)
}

/// Returns the key that verifies the tenant's checkpoints.
pub(crate) fn verifier(tenant: &Tenant) -> VerifierKey {
    tenant.keys.signing.load().verifier(&tenant.origin)
}

fn cached(inner: &Inner, tenant: &Tenant, view: &View) -> Option<Signed> {
    inner
        .heads
        .signed
        .signed
        .get(&tenant.id)
        .filter(|signed| signed.size == view.size && signed.root == view.root)
}

/// Signs a head that the register holds or has gone beyond on the same log.
pub(super) fn sign(inner: &Inner, tenant: &Tenant, head: Head) -> Result<Signed> {
    let _unchanged = tenant.keys.changing.read();
    sign_changing(inner, tenant, head, None)
}

/// As [`sign`], for who changes the log's keys and holds the lock.
pub(crate) fn sign_changing(
    inner: &Inner,
    tenant: &Tenant,
    head: Head,
    frontier: Option<Frontier>,
) -> Result<Signed> {
    let invalid = |error| not_signed(tenant, error);
    let checkpoint = Checkpoint::new(tenant.origin.as_str(), head.size, head.root).map_err(invalid)?;
    let note = (tenant.keys.signing.load())
        .note(&tenant.origin, &checkpoint.to_text())
        .map_err(|error| invalid(error.into()))?;
    let signed = Signed {
        size: head.size,
        root: head.root,
        note: note.into(),
        frontier,
    };
    let cache = &inner.heads.signed.signed;
    if cache.get(&tenant.id).is_none_or(|held| held.size < signed.size) {
        cache.insert(tenant.id, signed.clone());
    }
    Ok(signed)
}

/// Why a checkpoint was not signed.
pub(crate) fn not_signed(tenant: &Tenant, error: CheckpointError) -> Error {
    match error {
        CheckpointError::Note(NoteError::Signer) => tenant.catalog.modules().unavailable(),
        error => Error::Stopped(format!("checkpoint: {error}")),
    }
}

/// Signs under the key of a tenant's log.
pub(crate) struct Signer<'a> {
    pub(crate) name: &'a str,
    pub(crate) key: &'a SigningKey,
}

impl NoteSigner for Signer<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn public(&self) -> [u8; 32] {
        self.key.public()
    }

    fn sign(&self, msg: &[u8]) -> Result<[u8; 64], NoteError> {
        self.key.sign(msg).map_err(|_| NoteError::Signer)
    }
}

/// Checkpoints kept in memory, about 600 bytes each.
const SIGNED_MAX: usize = 10_000;
