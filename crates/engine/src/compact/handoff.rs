//! Hands the catalog commit of a compaction to the flusher.
//!
//! The compactor's thread has a low priority. Were it to hold the locks of flushes, catalog and committer while it waits for a
//! core, everybody else would wait with it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::commit::{commit, remove};
use super::plan::Plan;
use super::rewrite::Output;
use super::{Compacted, Failure};
use crate::Result;
use crate::instance::Inner;
use crate::tenant::Tenant;

/// Where one compaction waits for its commit.
#[derive(Default)]
pub(super) struct Handoff {
    stage: Mutex<Stage>,
    changed: Condvar,
}

#[derive(Default)]
enum Stage {
    #[default]
    Empty,
    Waiting(Arc<Tenant>, Plan, Output),
    Committing,
    Done(Result<Compacted, Failure>),
}

/// Has the flusher commit, and waits for it. When the instance is closed before it came to that, nothing happened.
pub(super) fn hand_over(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    plan: &Plan,
    output: Output,
) -> Result<Compacted, Failure> {
    let handoff = &inner.compactor.handoff;
    let mut stage = handoff.stage.lock();
    *stage = Stage::Waiting(Arc::clone(tenant), plan.clone(), output);
    inner.flusher.notify();
    loop {
        handoff.changed.wait_for(&mut stage, LOOK);
        let stopped = inner.compactor.wake.is_stopped() || inner.stopped().is_some();
        match std::mem::take(&mut *stage) {
            Stage::Done(result) => return result,
            Stage::Waiting(_, _, output) if stopped => {
                drop(stage);
                remove(inner, tenant, &output.paths());
                return Err(Failure::Stopped);
            }
            other => *stage = other,
        }
    }
}

/// Commits what waits; called by the flusher.
pub(crate) fn commit_handed(inner: &Inner) {
    let handoff = &inner.compactor.handoff;
    let work = {
        let mut stage = handoff.stage.lock();
        match std::mem::replace(&mut *stage, Stage::Committing) {
            Stage::Waiting(tenant, plan, output) => (tenant, plan, output),
            other => {
                *stage = other;
                return;
            }
        }
    };
    let (tenant, plan, output) = work;
    let result = commit(inner, &tenant, &plan, output);
    *handoff.stage.lock() = Stage::Done(result);
    handoff.changed.notify_all();
}

/// How often who waits looks whether the instance is being closed.
const LOOK: Duration = Duration::from_millis(20);
