//! What keeps a tenant: legal holds, and records of classes with a locked minimum that they have not reached.
//!
//! The log is asked for what was ever locked, not only the catalog for what is in force: a policy that took back what a lock had promised
//! does not help, as little as it does in the judgement of a purge.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use attestore_export::rfc3339_ms;
use attestore_record::Kind;
use attestore_record::control::{Control, RetentionMode, RetentionPolicy};

use crate::error::{Error, Result};
use crate::forget::logged;
use crate::instance::Inner;
use crate::tenant::Tenant;

/// A class some of whose records are younger than their minimum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Locked {
    pub(super) class: u16,
    /// Seq of the policy that locks, if the log has it.
    policy: Option<u64>,
    mode: RetentionMode,
    /// When the last of them is old enough, Unix milliseconds.
    until_ms: u64,
}

/// Refuses what the rules forbid; returns the classes that take a bypass.
///
/// # Errors
/// [`Error::Conflict`] `tenant_held` or `retention_locked`, with what keeps it; as reads.
pub(super) fn check(inner: &Inner, tenant: &Arc<Tenant>, bypass: bool) -> Result<Vec<u16>> {
    let holds: Vec<String> = tenant.holds.load().ids().collect();
    if !holds.is_empty() {
        return Err(Error::Conflict {
            code: "tenant_held",
            message: format!("legal holds are in force: {}", named(&holds)),
        });
    }
    let locked = locked(inner, tenant)?;
    let forbidden = |locked: &&Locked| !bypass || locked.mode == RetentionMode::Compliance;
    let kept: Vec<String> = locked.iter().filter(forbidden).map(Locked::text).collect();
    if kept.is_empty() {
        return Ok(locked.iter().map(|locked| locked.class).collect());
    }
    let way = match locked
        .iter()
        .any(|locked| locked.mode == RetentionMode::Compliance)
    {
        true => "nobody can go below that",
        false => {
            "going below that takes the permission bypass_retention, the word for it in the request, and a second person"
        }
    };
    Err(Error::Conflict {
        code: "retention_locked",
        message: format!(
            "records are younger than a locked minimum: {}; {way}",
            named(&kept)
        ),
    })
}

/// The classes that are locked now, ascending.
fn locked(inner: &Inner, tenant: &Arc<Tenant>) -> Result<Vec<Locked>> {
    let mut policies: BTreeMap<u16, Vec<(Option<u64>, RetentionPolicy)>> = BTreeMap::new();
    for (seq, control) in logged::controls(inner, tenant, Kind::Policy, 0)? {
        if let Control::RetentionPolicy(policy) = control {
            policies
                .entry(policy.class)
                .or_default()
                .push((Some(seq), policy));
        }
    }
    for found in tenant.rules.load().policies() {
        let of_class = policies.entry(found.policy.class).or_default();
        if !of_class.iter().any(|(seq, _)| *seq == Some(found.seq)) {
            of_class.push((None, found.policy.clone()));
        }
    }
    let newest = newest(tenant);
    let now_ms = inner.clock.now_ms();
    let mut locked = Vec::new();
    for (class, policies) in policies {
        let Some(newest_ms) = newest.get(&class) else {
            continue;
        };
        let of = locks(&policies)
            .into_iter()
            .map(|(mode, policy, keep_ms)| Locked {
                class,
                policy,
                mode,
                until_ms: newest_ms.saturating_add(keep_ms),
            });
        locked.extend(
            of.filter(|lock| lock.until_ms > now_ms)
                .max_by_key(|lock| lock.mode == RetentionMode::Compliance),
        );
    }
    Ok(locked)
}

/// What the policies of a class, in the order of the log, lock together: by mode the policy that locks for longest, and for how long. Mode
/// compliance is never taken back; mode governance by a policy that two people approved.
fn locks(policies: &[(Option<u64>, RetentionPolicy)]) -> Vec<(RetentionMode, Option<u64>, u64)> {
    let (mut compliance, mut governance) = (None, None);
    let longer = |lock: &mut Option<(Option<u64>, u64)>, seq: Option<u64>, policy: &RetentionPolicy| {
        if lock.is_none_or(|(_, keep_ms)| keep_ms < policy.keep_min_ms) {
            *lock = Some((seq, policy.keep_min_ms));
        }
    };
    for (seq, policy) in policies {
        if policy.mode == RetentionMode::Compliance {
            longer(&mut compliance, *seq, policy);
        }
        let approved: BTreeSet<&String> = policy.approved_by.iter().collect();
        if approved.len() > 1 {
            governance = None;
        }
        if policy.mode != RetentionMode::None {
            longer(&mut governance, *seq, policy);
        }
    }
    let of = |mode, lock: Option<(Option<u64>, u64)>| lock.map(|(seq, keep_ms)| (mode, seq, keep_ms));
    [
        of(RetentionMode::Compliance, compliance),
        of(RetentionMode::Governance, governance),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Time of the newest record of each class that is there, Unix milliseconds. Of segments of which a part is gone: of all that they held.
fn newest(tenant: &Tenant) -> BTreeMap<u16, u64> {
    let (view, gone) = (tenant.view(), tenant.gone.load());
    let mut newest: BTreeMap<u16, u64> = BTreeMap::new();
    let mut note = |class: u16, ms: u64| {
        let known = newest.entry(class).or_default();
        *known = ms.max(*known);
    };
    for set in view.flushed.iter().filter(|set| !gone.covers(set)) {
        note(set.class, set.seg.max_time_ms);
    }
    for record in view.tail.iter(view.tail.range()) {
        note(record.entry.class, record.entry.time_ms);
    }
    newest
}

impl Locked {
    fn text(&self) -> String {
        let mode = match self.mode {
            RetentionMode::Compliance => "compliance",
            _ => "governance",
        };
        let policy = self
            .policy
            .map_or_else(String::new, |seq| format!(", policy of record {seq}"));
        format!(
            "class {} in mode {mode} until {}{policy}",
            self.class,
            rfc3339_ms(self.until_ms)
        )
    }
}

/// The first few of a list.
fn named(all: &[String]) -> String {
    let shown: Vec<&str> = all.iter().take(SHOWN).map(String::as_str).collect();
    match all.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

const SHOWN: usize = 16;
