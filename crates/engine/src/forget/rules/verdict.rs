//! What the rules say of one record, and why.

use std::sync::Arc;

use attestore_record::Kind;
use attestore_record::control::{Erasable, RetentionMode};
use attestore_record::entry::CLASS_CONTROL;

use super::PolicyInForce;
use crate::error::{Error, Result};
use crate::instance::Inner;
use crate::read::{snapshot, tree};
use crate::tenant::Tenant;

/// What the rules say of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Its seq.
    pub seq: u64,
    /// What kind of record it is.
    pub kind: Kind,
    /// Its retention class.
    pub class: u16,
    /// When it was received, Unix milliseconds: what its age counts from.
    pub received_ms: u64,
    /// Its age, milliseconds.
    pub age_ms: u64,
    /// What becomes of it.
    pub standing: Standing,
    /// The policy of its class; `None` if there is none.
    pub policy: Option<PolicyInForce>,
    /// Until when it is not purged, Unix milliseconds; `None` for a control record, which never is.
    pub kept_until_ms: Option<u64>,
    /// From when on it is due, Unix milliseconds; `None` for never.
    pub due_ms: Option<u64>,
    /// How its minimum is locked.
    pub lock: RetentionMode,
    /// What of it may be erased on request, holds aside.
    pub erasable: Erasable,
    /// Holds that cover it, by id.
    pub held_by: Vec<HeldBy>,
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is a control record and stays for ever.
    Control,
    /// A hold keeps it.
    Held,
    /// It is younger than the minimum of its class.
    Kept,
    /// It may be purged when somebody orders it.
    MayGo,
    /// It is older than the maximum of its class: the next purge takes it.
    Due,
}

/// A hold that covers a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBy {
    /// Id of the hold.
    pub id: String,
    /// What it is about, as the log says.
    pub matter: String,
}

/// What the rules say of a record.
///
/// # Errors
/// [`Error::UnknownRecord`], or as reads.
pub(crate) fn verdict(inner: &Inner, tenant: &Arc<Tenant>, seq: u64) -> Result<Verdict> {
    let entry = snapshot(tenant, |view| {
        if seq >= view.size {
            return Err(Error::UnknownRecord);
        }
        tree::reader(inner, tenant, view).source().entry(seq)
    })?;
    let now_ms = inner.clock.now_ms();
    let rules = tenant.rules.load();
    let is_control = entry.kind != Kind::Event || entry.class == CLASS_CONTROL;
    let policy = rules.policy(entry.class).filter(|_| !is_control).cloned();
    let age_ms = now_ms.saturating_sub(entry.time_ms);
    let keep_min_ms = policy.as_ref().map_or(0, |found| found.policy.keep_min_ms);
    let keep_max_ms = policy.as_ref().and_then(|found| found.policy.keep_max_ms);
    let due_ms = keep_max_ms.map(|max| entry.time_ms.saturating_add(max.max(keep_min_ms)));
    let held_by = super::super::holds::covering(inner, tenant, entry.class, seq)?;
    let standing = match () {
        () if is_control => Standing::Control,
        () if !held_by.is_empty() => Standing::Held,
        () if due_ms.is_some_and(|due| due <= now_ms) => Standing::Due,
        () if age_ms < keep_min_ms => Standing::Kept,
        () => Standing::MayGo,
    };
    Ok(Verdict {
        seq,
        kind: entry.kind,
        class: entry.class,
        received_ms: entry.time_ms,
        age_ms,
        standing,
        kept_until_ms: (!is_control).then(|| entry.time_ms.saturating_add(keep_min_ms)),
        due_ms,
        lock: policy
            .as_ref()
            .map_or(RetentionMode::None, |found| found.policy.mode),
        erasable: match (&policy, is_control) {
            (_, true) => Erasable::No,
            (Some(found), false) => found.policy.erasable,
            (None, false) => Erasable::PersonalOnly,
        },
        policy,
        held_by,
    })
}
