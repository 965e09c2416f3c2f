//! The keys that sign a log's checkpoints, one after the other: rotation, and forks.
//!
//! Each key but the first is named by the one before it, in a handover that the old key signs ([`attestore_tlog::Handover`]) and that
//! the log itself holds as a record.
//!
//! - A *rotation* is announced a checkpoint ahead: the record, then a checkpoint by the old key that covers it, then the new key
//!   signs. For a while both do, so that who only knows the old key can follow; then the old key is destroyed.
//! - A *fork* is for a log that lost entries ([`Engine::fork`]): the new epoch has a new origin and key, the surviving entries as they
//!   are, and then a record of kind `fork`, written at the next start. The old key is destroyed at once, so that nobody signs for the old origin again.

mod fork;
pub(crate) mod module;
mod rotate;
mod row;
mod signing;

pub use fork::{Forked, LastKnown};
pub(crate) use fork::{begin_here, finish as finish_forks, refuse, write as write_forks};
pub(crate) use module::ModuleKeys;
pub use rotate::Rotated;
pub(crate) use rotate::{Retiring, retire_due, rotate};
pub(crate) use row::{FormerRow, HandoverRow};
pub(crate) use signing::Signing;

use attestore_keys::{SigningKey, Slot, SlotContext, SlotKind};
use attestore_record::TenantId;
use attestore_tlog::{Handover, HandoverError, HandoverReason, Hash, NoteError, VerifierKey};
use serde::Serialize;

use crate::heads::checkpoint::Signer;
use crate::tenant::{Ring, Tenant};
use crate::{Engine, Error, Result};

/// A key of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogKey {
    /// The vkey. Its name is the origin that it signs for.
    pub vkey: String,
    /// What it does.
    pub state: LogKeyState,
    /// Number of entries of the last tree that it may sign or have signed; `None` of keys that sign.
    pub until: Option<u64>,
    /// The handover to the key after it.
    pub handover: Option<String>,
}

/// What a key of a log does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogKeyState {
    /// It signs.
    Current,
    /// It signs beside the current key, for those who do not know that yet.
    Retiring,
    /// It is destroyed.
    Retired,
}

impl Engine {
    /// The keys of a tenant's log, the oldest first.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`].
    pub fn log_keys(&self, tenant: &str) -> Result<Vec<LogKey>> {
        let tenant = self.inner.tenant(tenant)?;
        let signing = tenant.keys.signing.load();
        let retiring = signing.retiring.as_ref().map(SigningKey::public);
        let mut keys: Vec<LogKey> = signing
            .former
            .iter()
            .map(|former| {
                let signs = retiring == Some(former.key.public());
                LogKey {
                    vkey: former.key.to_string(),
                    state: if signs {
                        LogKeyState::Retiring
                    } else {
                        LogKeyState::Retired
                    },
                    until: (!signs).then_some(former.until),
                    handover: Some(former.handover.clone()).filter(|note| !note.is_empty()),
                }
            })
            .collect();
        keys.push(LogKey {
            vkey: signing.verifier(&tenant.origin).to_string(),
            state: LogKeyState::Current,
            until: None,
            handover: None,
        });
        Ok(keys)
    }
}

/// What a handover leads to.
struct Next<'a> {
    reason: HandoverReason,
    origin: &'a str,
    key: &'a SigningKey,
    size: u64,
    root: Hash,
}

/// Has the current key of a log name the key that the log goes on under on another server.
///
/// # Errors
/// When the key is of the same log; [`Error::SigningUnavailable`].
pub(crate) fn hand_over_to(tenant: &Tenant, next: &VerifierKey, size: u64, root: Hash) -> Result<String> {
    let handover = Handover {
        reason: HandoverReason::Fork,
        origin: tenant.origin.clone(),
        size,
        root,
        next: next.clone(),
    };
    let _unchanged = tenant.keys.changing.read();
    signed(tenant, &tenant.keys.signing.load(), &handover)
}

/// Has the current key of a log name the next.
fn sign(tenant: &Tenant, signing: &Signing, next: Next<'_>) -> Result<String> {
    let invalid = |error: &dyn std::fmt::Display| Error::Stopped(format!("handover: {error}"));
    let handover = Handover {
        reason: next.reason,
        origin: tenant.origin.clone(),
        size: next.size,
        root: next.root,
        next: VerifierKey::new(next.origin, next.key.public()).map_err(|error| invalid(&error))?,
    };
    signed(tenant, signing, &handover)
}

fn signed(tenant: &Tenant, signing: &Signing, handover: &Handover) -> Result<String> {
    let signer = Signer {
        name: &tenant.origin,
        key: &signing.current,
    };
    handover.sign(&signer).map_err(|error| match error {
        HandoverError::Note(NoteError::Signer) => tenant.catalog.modules().unavailable(),
        error => Error::Stopped(format!("handover: {error}")),
    })
}

/// What a signing key is bound to in the tree of keys.
pub(crate) const fn signing_context(tenant: &TenantId) -> SlotContext {
    SlotContext {
        kind: SlotKind::Signing,
        tenant: *tenant.as_bytes(),
        owner: [0; 16],
    }
}

/// A signing key: out of the tree of keys, or where the tree only says that the module has it.
pub(crate) fn signing_key(
    catalog: &crate::catalog::Catalog,
    tenant: &TenantId,
    ring: &Ring,
    slot: u64,
) -> Result<SigningKey> {
    if let Some(key) = module::load(catalog, slot)? {
        return Ok(key);
    }
    let seed = ring.open(catalog, Slot(slot), &signing_context(tenant))?;
    Ok(SigningKey::from_seed(&seed))
}
