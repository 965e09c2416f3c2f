//! What compactions did, do and have to do.

use attestore_record::TenantId;
use hashbrown::{HashMap, HashSet};
use serde::Serialize;

use super::plan::Plan;
use super::{Compacted, Failure};
use crate::Result;

/// How compaction is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CompactionStatus {
    /// The tenant that is being compacted.
    pub running: Option<String>,
    /// Segments that wait to be put together with others, of tenants in memory.
    pub backlog_sets: u64,
    /// Bytes of their files.
    pub backlog_bytes: u64,
    /// Compactions since the start.
    pub done: u64,
    /// Segments that went into them.
    pub sets_in: u64,
    /// Bytes of files that went into them.
    pub bytes_in: u64,
    /// Bytes of files that came out.
    pub bytes_out: u64,
    /// Compactions that failed since the start; each is tried again.
    pub failed: u64,
    /// Why the last one failed; `None` when one has succeeded since.
    pub last_error: Option<String>,
    /// Segments that cannot be read and are left as they are.
    pub unreadable_sets: u64,
}

/// The state behind it.
#[derive(Default)]
pub(super) struct State {
    status: CompactionStatus,
    failed: HashMap<TenantId, HeldOff>,
    unreadable: HashSet<(TenantId, u64)>,
    /// Tenants whose folders hold leftovers that could not be removed.
    unclean: HashSet<TenantId>,
    look: Look,
}

/// A tenant whose last compaction failed.
struct HeldOff {
    times: u32,
    until_ms: u64,
}

/// Where the look at tenants that are not in memory stands.
#[derive(Default)]
struct Look {
    after: Option<String>,
    not_before_ms: u64,
}

impl State {
    pub(super) fn status(&self) -> CompactionStatus {
        CompactionStatus {
            unreadable_sets: self.unreadable.len() as u64,
            ..self.status.clone()
        }
    }

    /// Forgets a tenant that was destroyed.
    pub(super) fn forget(&mut self, tenant: &TenantId) {
        self.failed.remove(tenant);
        self.unreadable.retain(|(of, _)| of != tenant);
        self.unclean.remove(tenant);
    }

    pub(super) fn is_held_off(&self, tenant: &TenantId, now_ms: u64) -> bool {
        self.failed
            .get(tenant)
            .is_some_and(|failed| now_ms < failed.until_ms)
    }

    pub(super) fn is_unreadable(&self, tenant: &TenantId, set: u64) -> bool {
        !self.unreadable.is_empty() && self.unreadable.contains(&(*tenant, set))
    }

    /// Notes that a tenant's folder holds leftovers until the next start.
    pub(super) fn note_unclean(&mut self, tenant: TenantId) {
        self.unclean.insert(tenant);
    }

    pub(super) fn is_unclean(&self, tenant: &TenantId) -> bool {
        self.unclean.contains(tenant)
    }

    pub(super) fn set_backlog(&mut self, (sets, bytes): (u64, u64)) {
        (self.status.backlog_sets, self.status.backlog_bytes) = (sets, bytes);
        gauge("attestore_compaction_backlog_segments", sets);
        gauge("attestore_compaction_backlog_bytes", bytes);
    }

    pub(super) fn begin(&mut self, tenant: &str, plan: &Plan) {
        tracing::debug!(tenant, sets = plan.sets.len(), bytes = plan.bytes(), "compaction");
        self.status.running = Some(tenant.to_owned());
    }

    pub(super) fn end(&mut self, tenant: &TenantId, now_ms: u64, result: &Result<Compacted, Failure>) {
        self.status.running = None;
        match result {
            Ok(one) => {
                self.failed.remove(tenant);
                let status = &mut self.status;
                status.done += 1;
                status.sets_in += one.sets_in;
                status.bytes_in += one.bytes_in;
                status.bytes_out += one.bytes_out;
                status.last_error = None;
                metrics::counter!("attestore_compactions_total").increment(1);
                metrics::counter!("attestore_compaction_in_bytes_total").increment(one.bytes_in);
                metrics::counter!("attestore_compaction_out_bytes_total").increment(one.bytes_out);
            }
            Err(Failure::Stopped | Failure::Overtaken) => {}
            Err(Failure::Unreadable(set, error)) => {
                // The rest of the tenant can go on without it.
                if self.unreadable.len() < UNREADABLE_MAX {
                    self.unreadable.insert((*tenant, *set));
                }
                self.failed(tenant, now_ms, error.to_string());
            }
            Err(Failure::Sync(reason)) => self.failed(tenant, now_ms, reason.clone()),
            Err(Failure::Later(error)) => self.failed(tenant, now_ms, error.to_string()),
        }
    }

    /// Where to go on with the look at other tenants; `None` when it is not yet time. The inner `None` is the beginning.
    pub(super) fn next_look(&self, now_ms: u64) -> Option<Option<String>> {
        (now_ms >= self.look.not_before_ms).then(|| self.look.after.clone())
    }

    /// Notes how far the look came; `None` when it came to the end.
    pub(super) fn looked(&mut self, last: Option<String>, now_ms: u64) {
        self.look.not_before_ms = if last.is_none() { now_ms + LOOK_MS } else { 0 };
        self.look.after = last;
    }

    fn failed(&mut self, tenant: &TenantId, now_ms: u64, reason: String) {
        let held_off = self.failed.entry(*tenant).or_insert(HeldOff {
            times: 0,
            until_ms: 0,
        });
        let wait_ms = (RETRY_MS << held_off.times.min(RETRY_DOUBLINGS)).min(RETRY_MS_MAX);
        held_off.times = held_off.times.saturating_add(1);
        held_off.until_ms = now_ms.saturating_add(wait_ms);
        self.status.failed += 1;
        self.status.last_error = Some(reason);
        metrics::counter!("attestore_compactions_failed_total").increment(1);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn gauge(name: &'static str, value: u64) {
    metrics::gauge!(name).set(value as f64);
}

/// A failed compaction is tried again after this long, then after twice as long, and so on.
const RETRY_MS: u64 = 5000;
const RETRY_DOUBLINGS: u32 = 7;
const RETRY_MS_MAX: u64 = 600_000;
/// Unreadable segments that are remembered.
const UNREADABLE_MAX: usize = 4096;
/// Tenants that are not in memory are looked at this often.
const LOOK_MS: u64 = 3_600_000;
