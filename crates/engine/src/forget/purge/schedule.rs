//! Purges that nobody has to order: what is older than the maximum of its class.
//!
//! Whole segments go as soon as their newest record is due. One that is due only in part is written again once its oldest record
//! has been due for longer than the grace, so that records which come one after the other do not cost a rewrite each.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use attestore_record::TenantId;
use attestore_record::control::RetentionPolicy;

use super::decide::{Wanted, check_clock, decide};
use super::row::{self, JobKey, PurgeState};
use super::select::What;
use crate::error::Result;
use crate::forget::rules::Rules;
use crate::instance::Inner;
use crate::tenant::{FileSet, file_sets};

/// Looks at the schedule if it is time to.
pub(super) fn tick(inner: &Inner) {
    let interval_ms = u64::from(inner.settings.purge_interval_s) * 1000;
    let now_ms = inner.clock.boot_ms();
    let looked_ms = inner.purges.looked_ms.load(Ordering::Relaxed);
    if interval_ms == 0 || now_ms < looked_ms.saturating_add(interval_ms) {
        return;
    }
    let done = run(inner).unwrap_or_else(|error| {
        tracing::warn!(%error, "the schedule of purges was broken off; it is tried again");
        Looked::default()
    });
    // What waits for its turn does not wait for the next look.
    let next_ms = match done.waiting {
        true => now_ms.saturating_add(AGAIN_MS).saturating_sub(interval_ms),
        false => now_ms,
    };
    inner.purges.looked_ms.store(next_ms, Ordering::Relaxed);
}

/// What a look at the schedule came to.
#[derive(Default)]
pub(super) struct Looked {
    /// Purges that were begun.
    pub(super) begun: u64,
    /// Whether something is due that has to wait for its turn.
    waiting: bool,
    overdue_bytes: u64,
}

/// Purges what is due, of as many tenants as may be worked on at once.
///
/// # Errors
/// As reads. What does not work for one tenant is told, and the others have their turn.
pub(super) fn run(inner: &Inner) -> Result<Looked> {
    let mut looked = Looked::default();
    if check_clock(inner).is_err() {
        tracing::warn!("nothing is purged until somebody confirms the clock");
        return Ok(looked);
    }
    let mut after: Option<String> = None;
    loop {
        let names = inner.tenant_names(after.as_deref(), TENANTS_AT_ONCE)?;
        for (name, id) in &names {
            if inner.purges.wake.is_stopped() {
                return Ok(looked);
            }
            if let Err(error) = of_tenant(inner, name, id, &mut looked) {
                tracing::warn!(tenant = name, %error, "what is due of a tenant was not purged");
            }
        }
        let Some((last, _)) = names.last() else { break };
        after = Some(last.clone());
    }
    #[expect(clippy::cast_precision_loss, reason = "gauges")]
    {
        metrics::gauge!("attestore_purge_overdue_bytes").set(looked.overdue_bytes as f64);
        metrics::gauge!("attestore_purge_last_run_timestamp_seconds")
            .set(inner.clock.now_ms() as f64 / 1000.0);
    }
    Ok(looked)
}

fn of_tenant(inner: &Inner, name: &str, id: &TenantId, looked: &mut Looked) -> Result<()> {
    let (rules, sets) = state(inner, id)?;
    for policy in rules.policies().map(|found| &found.policy) {
        let Some(what) = due(inner, policy) else { continue };
        let overdue: Vec<&Arc<FileSet>> = sets.iter().filter(|set| is_due(set, policy, &what)).collect();
        if overdue.is_empty() {
            continue;
        }
        looked.overdue_bytes += overdue
            .iter()
            .flat_map(|set| set.files())
            .map(|file| file.length)
            .sum::<u64>();
        if is_busy(inner, id, policy.class)? {
            looked.waiting = true;
            continue;
        }
        let tenant = inner.tenant(name)?;
        if tenant.is_moved() {
            return Ok(());
        }
        let begun = decide(inner, &tenant, policy.class, &what, Wanted::Schedule)?;
        looked.begun += u64::from(begun.is_some());
    }
    Ok(())
}

/// Segments of a tenant.
type Sets = Arc<Vec<Arc<FileSet>>>;

/// A tenant's rules and segments, whether it is in memory or not.
fn state(inner: &Inner, id: &TenantId) -> Result<(Arc<Rules>, Sets)> {
    if let Some(tenant) = inner.tenants.get(id) {
        return Ok((tenant.rules.load_full(), Arc::clone(&tenant.view().flushed)));
    }
    let txn = inner.catalog.read()?;
    let rules = Rules::load(&txn, id)?;
    let sets = match rules.policies().next() {
        Some(_) => file_sets(&txn, id)?,
        None => Vec::new(),
    };
    Ok((Arc::new(rules), Arc::new(sets)))
}

/// What of a class is due now; `None` if its records stay for ever.
pub(super) fn due(inner: &Inner, policy: &RetentionPolicy) -> Option<What> {
    let keep_ms = policy.keep_max_ms?.max(policy.keep_min_ms);
    let until_ms = inner.clock.now_ms().checked_sub(keep_ms)?;
    let grace_ms = u64::from(inner.settings.purge_grace_hours) * HOUR_MS;
    Some(What::Until {
        until_ms,
        cut_ms: until_ms.checked_sub(grace_ms),
    })
}

fn is_due(set: &FileSet, policy: &RetentionPolicy, what: &What) -> bool {
    let What::Until { until_ms, cut_ms } = what else {
        return false;
    };
    let seg = &set.seg;
    set.class == policy.class
        && (seg.max_time_ms <= *until_ms || cut_ms.is_some_and(|cut_ms| seg.min_time_ms <= cut_ms))
}

/// Whether enough is under way: of this class, or of all tenants together.
fn is_busy(inner: &Inner, id: &TenantId, class: u16) -> Result<bool> {
    let open: Vec<JobKey> = inner.purges.open.lock().iter().copied().collect();
    let txn = inner.catalog.read()?;
    let mut writing = 0;
    for key in open {
        let row = row::get(&txn, &key)?;
        if row.state < PurgeState::Swept {
            writing += 1;
            if key.0 == *id && row.class == class {
                return Ok(true);
            }
        }
    }
    Ok(writing >= JOBS_AT_ONCE)
}

/// What waits for its turn is looked at again after this long.
const AGAIN_MS: u64 = 10_000;
const TENANTS_AT_ONCE: usize = 256;
/// Purges whose files are still there, at most: the others wait for their turn.
const JOBS_AT_ONCE: usize = 8;
const HOUR_MS: u64 = 3_600_000;
