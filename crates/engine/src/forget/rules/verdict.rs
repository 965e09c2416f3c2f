//! What the rules say of one record, and why.

use std::sync::Arc;

use attestore_record::Kind;
use attestore_record::control::{Erasable, RetentionMode};
use attestore_record::entry::CLASS_CONTROL;

use super::PolicyInForce;
use crate::Engine;
use crate::credentials::{Permission, Principal};
use crate::error::{Error, Result};
use crate::forget::Why;
use crate::instance::Inner;
use crate::read::{Which, find, snapshot, tree};
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
    /// Until when it is not purged, Unix milliseconds; `None` for a control record and a class without a policy: never.
    pub kept_until_ms: Option<u64>,
    /// From when on it is due, Unix milliseconds; `None` for never.
    pub due_ms: Option<u64>,
    /// How its minimum is locked.
    pub lock: RetentionMode,
    /// What of it may be erased on request, holds aside.
    pub erasable: Erasable,
    /// Holds that cover it, by id.
    pub held_by: Vec<HeldBy>,
    /// By what it is gone, and since when.
    pub gone: Option<GoneBy>,
}

/// What took a record away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoneBy {
    /// Seq of the control record.
    pub seq: u64,
    /// Since when no read shows it, Unix milliseconds.
    pub since_ms: u64,
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is a control record and stays for ever.
    Control,
    /// A hold keeps it.
    Held,
    /// It is younger than the minimum of its class, or the class has no policy by which it could go.
    Kept,
    /// It may be purged when somebody orders it.
    MayGo,
    /// It is older than the maximum of its class: the next purge takes it.
    Due,
    /// It is gone: its retention was over, or somebody ordered it.
    Purged,
    /// It is gone: it was erased whole.
    Erased,
}

/// A hold that covers a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBy {
    /// Id of the hold.
    pub id: String,
    /// What it is about, as the log says.
    pub matter: String,
}

impl Engine {
    /// Explains what the rules say of a record, and why.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], [`Error::UnknownRecord`], or as reads and searches.
    pub fn retention_verdict(&self, tenant: &str, by: &Principal, which: Which) -> Result<Verdict> {
        by.check(tenant, Permission::SeeRetention)?;
        let tenant = self.inner.tenant(tenant)?;
        let seq = snapshot(&tenant, |view| find::seq(&self.inner, &tenant, view, which))?;
        verdict(&self.inner, &tenant, seq)
    }
}

/// What the rules say of a record.
///
/// # Errors
/// [`Error::UnknownRecord`], or as reads.
fn verdict(inner: &Inner, tenant: &Arc<Tenant>, seq: u64) -> Result<Verdict> {
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
    let gone = tenant.gone.load();
    let gone = gone.find(entry.class, seq).filter(|_| !is_control);
    let held_by = match gone {
        Some(_) => Vec::new(),
        None => super::super::holds::covering(inner, tenant, entry.class, seq)?,
    };
    let standing = match () {
        () if is_control => Standing::Control,
        () if gone.is_some_and(|gone| gone.why == Why::Purged) => Standing::Purged,
        () if gone.is_some() => Standing::Erased,
        () if !held_by.is_empty() => Standing::Held,
        () if due_ms.is_some_and(|due| due <= now_ms) => Standing::Due,
        () if policy.is_none() || age_ms < keep_min_ms => Standing::Kept,
        () => Standing::MayGo,
    };
    Ok(Verdict {
        seq,
        kind: entry.kind,
        class: entry.class,
        received_ms: entry.time_ms,
        age_ms,
        standing,
        kept_until_ms: policy
            .as_ref()
            .filter(|_| gone.is_none())
            .map(|_| entry.time_ms.saturating_add(keep_min_ms)),
        due_ms: due_ms.filter(|_| gone.is_none()),
        lock: policy
            .as_ref()
            .map_or(RetentionMode::None, |found| found.policy.mode),
        erasable: match (&policy, is_control || gone.is_some()) {
            (_, true) => Erasable::No,
            (Some(found), false) => found.policy.erasable,
            (None, false) => Erasable::PersonalOnly,
        },
        policy,
        held_by,
        gone: gone.map(|gone| GoneBy {
            seq: gone.by,
            since_ms: gone.since_ms,
        }),
    })
}

impl Standing {
    /// Returns the name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Held => "held",
            Self::Kept => "kept",
            Self::MayGo => "may_go",
            Self::Due => "due",
            Self::Purged => Why::Purged.name(),
            Self::Erased => Why::Erased.name(),
        }
    }
}

impl Verdict {
    /// The verdict in a sentence; `time` writes Unix milliseconds for people.
    pub fn explanation(&self, time: impl Fn(u64) -> String) -> String {
        let class = match &self.policy {
            Some(found) => format!(
                "class {} ({}, policy of record {})",
                self.class, found.policy.name, found.seq
            ),
            None => format!("class {}, which has no retention policy", self.class),
        };
        let until =
            |ms: Option<u64>| ms.map_or_else(|| "for ever".to_owned(), |ms| format!("until {}", time(ms)));
        match self.standing {
            Standing::Control => "a control record: it stays for ever".to_owned(),
            Standing::Held => {
                let holds: Vec<String> = self
                    .held_by
                    .iter()
                    .map(|by| format!("{} ({})", by.id, by.matter))
                    .collect();
                format!("{class}: held by {}, whatever its age", holds.join(", "))
            }
            Standing::Kept if self.policy.is_none() => format!("{class}: nothing purges it"),
            Standing::Kept => {
                let lock = match self.lock {
                    RetentionMode::None => "",
                    RetentionMode::Governance => ", in mode governance: two people can go below that",
                    RetentionMode::Compliance => ", in mode compliance: nobody can go below that",
                };
                format!("{class}: kept {}{lock}", until(self.kept_until_ms))
            }
            Standing::MayGo => match self.due_ms {
                Some(due) => format!("{class}: may be purged on order, and is due at {}", time(due)),
                None => format!("{class}: may be purged on order, and never falls due"),
            },
            Standing::Purged | Standing::Erased => {
                let gone = self.gone.unwrap_or(GoneBy { seq: 0, since_ms: 0 });
                format!(
                    "class {}: {} since {}, as record {} says; its entry stays",
                    self.class,
                    self.standing.name(),
                    time(gone.since_ms),
                    gone.seq
                )
            }
            Standing::Due => format!(
                "{class}: due since {}, the next purge takes it",
                time(self.due_ms.unwrap_or(0))
            ),
        }
    }
}
