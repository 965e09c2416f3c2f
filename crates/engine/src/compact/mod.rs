//! Compaction: from many segments to few.
//!
//! What belongs together ([`plan`]) is read block by block and written again as one segment: public groups in larger blocks,
//! personal groups set by set of subjects, splits merged. Proofs, cursors and seqs do not change. Order of durable steps:
//!
//! 1. a note in the catalog that the tenant's folder may hold leftovers;
//! 2. sealed files under temporary names, synced, renamed, the folder synced;
//! 3. under the lock of flushes, one catalog commit: the new files' rows and keys, the old ones' rows and keys gone;
//! 4. the view replaced; the old files removed. The note goes with the next one.
//!
//! What is gone (`forget::gone`) is left out; a segment without anything else is only taken out.
//!
//! A crash before 3 leaves files that nothing names, after it files that nothing names any more: the next start removes both.
//! A reader of an older view goes on with the files that it has open, and is sent to the newer view for others.
//!
//! Nothing here ever stops the instance but a failed sync or commit: what fails is reported and tried again later.

mod commit;
mod handoff;
pub(crate) mod left;
mod leftovers;
mod plan;
mod rewrite;
mod status;
mod sweep;
pub(crate) mod throttle;

use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use attestore_record::TenantId;
use parking_lot::Mutex;
use serde::Serialize;

pub(crate) use handoff::commit_handed;
pub(crate) use leftovers::{noted, unnote};
pub(crate) use plan::WINDOW_MS;
pub use status::CompactionStatus;
pub(crate) use sweep::{drop_gone, sweep_now};

use crate::instance::{Inner, OpenMode};
use crate::search::wake::Wake;
use crate::tenant::{FileSet, Tenant};
use crate::{Engine, Error, Result};
use handoff::Handoff;
use leftovers::Leftovers;
use plan::{Plan, Rules, plans};
use status::State;
use throttle::Throttle;

/// What compactions of one instance share.
pub(crate) struct Compactor {
    pub(crate) throttle: Throttle,
    pub(crate) wake: Wake,
    /// Held by who compacts: one compaction at a time.
    leftovers: Mutex<Leftovers>,
    state: Mutex<State>,
    handoff: Handoff,
}

/// What a compaction that somebody asked for did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Compacted {
    /// Segments that became fewer.
    pub sets_in: u64,
    /// Segments that they became.
    pub sets_out: u64,
    /// Bytes of the files of the former.
    pub bytes_in: u64,
    /// Bytes of the files of the latter.
    pub bytes_out: u64,
}

/// Why segments were not put together.
enum Failure {
    /// The instance is being closed.
    Stopped,
    /// One of the segments was replaced, or a subject was erased, meanwhile: plan again.
    Overtaken,
    /// This segment cannot be read.
    Unreadable(u64, Error),
    /// A sync failed: nothing is known about the medium.
    Sync(String),
    /// Anything else; later it may work.
    Later(Error),
}

impl Compactor {
    pub(crate) fn new(bytes_per_s: u64) -> Self {
        Self {
            throttle: Throttle::new(bytes_per_s),
            wake: Wake::default(),
            leftovers: Mutex::default(),
            state: Mutex::default(),
            handoff: Handoff::default(),
        }
    }
}

impl Compactor {
    /// How it is doing.
    pub(crate) fn status(&self) -> CompactionStatus {
        self.state.lock().status()
    }
}

impl Engine {
    /// Puts together now whatever of a tenant's segments may be put together, without waiting for their windows to close.
    /// Blocking; runs beside appends and searches.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Stopped`], or why it failed; what was done until then stays.
    pub fn compact(&self, tenant: &str) -> Result<Compacted> {
        let inner = &self.inner;
        let tenant = inner.tenant(tenant)?;
        let mut done = Compacted::default();
        let mut overtaken = 0;
        loop {
            inner.check_running()?;
            let mut leftovers = inner.compactor.leftovers.lock();
            let Some(plan) = todo(inner, &tenant, true).pop() else {
                return Ok(done);
            };
            match compact(inner, &tenant, &plan, &mut leftovers, Committing::Here) {
                Ok(one) => done.add(&one),
                Err(Failure::Overtaken) if overtaken < OVERTAKEN_MAX => overtaken += 1,
                Err(failure) => return Err(report(inner, &tenant, failure)),
            }
        }
    }
}

impl Compacted {
    fn add(&mut self, one: &Self) {
        self.sets_in += one.sets_in;
        self.sets_out += one.sets_out;
        self.bytes_in += one.bytes_in;
        self.bytes_out += one.bytes_out;
    }
}

/// Who makes the catalog commit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Committing {
    /// The calling thread.
    Here,
    /// The flusher: this thread has a low priority, and others would wait for the locks that it holds.
    Handed,
}

/// The background thread.
pub(crate) fn run(inner: &Weak<Inner>) {
    loop {
        let Some(strong) = inner.upgrade() else { return };
        let more = sweep::tick(&strong) || strong.settings.compaction && tick(&strong);
        let pause = if more { Duration::ZERO } else { TICK };
        if strong.compactor.wake.pause(pause) || strong.stopped().is_some() {
            return;
        }
        drop(strong);
    }
}

/// Does the one thing that is most worth doing; says whether anything was done.
fn tick(inner: &Inner) -> bool {
    let now_ms = inner.clock.boot_ms();
    let mut backlog = (0, 0);
    let mut best: Option<(Arc<Tenant>, Plan)> = None;
    for tenant in inner.tenants.all() {
        for plan in todo(inner, &tenant, false) {
            backlog.0 += plan.sets.len() as u64;
            backlog.1 += plan.bytes();
            let held_off = inner.compactor.state.lock().is_held_off(&tenant.id, now_ms);
            if !held_off
                && best
                    .as_ref()
                    .is_none_or(|(_, best)| best.sets.len() < plan.sets.len())
            {
                best = Some((Arc::clone(&tenant), plan));
            }
        }
    }
    inner.compactor.state.lock().set_backlog(backlog);
    let Some((tenant, plan)) = best else {
        return look_further(inner, now_ms);
    };
    let mut leftovers = inner.compactor.leftovers.lock();
    match compact(inner, &tenant, &plan, &mut leftovers, Committing::Handed) {
        Ok(_) | Err(Failure::Overtaken) => true,
        Err(Failure::Stopped) => false,
        Err(failure) => {
            report(inner, &tenant, failure);
            false
        }
    }
}

/// What a tenant's segments need.
fn todo(inner: &Inner, tenant: &Tenant, whole: bool) -> Vec<Plan> {
    let rules = Rules {
        now_ms: inner.clock.now_ms(),
        bytes_max: inner.settings.segment_bytes_max,
        whole,
    };
    let sets = Arc::clone(&tenant.view.load().flushed);
    if sets.is_empty() {
        return Vec::new();
    }
    let state = inner.compactor.state.lock();
    plans(&sets, &rules, |set| state.is_unreadable(&tenant.id, set))
}

/// Loads a tenant that is not in memory and has something to do, if there is one among the next few; says whether to look
/// again at once. Idle tenants are looked at now and then: their windows close too.
fn look_further(inner: &Inner, now_ms: u64) -> bool {
    let Some(after) = inner.compactor.state.lock().next_look(now_ms) else {
        return false;
    };
    let names = match inner.catalog.tenant_names(after.as_deref(), LOOK_TENANTS) {
        Ok(names) => names,
        Err(error) => {
            tracing::warn!(%error, "tenants cannot be listed");
            inner.compactor.state.lock().looked(None, now_ms);
            return false;
        }
    };
    let mut found = false;
    for (_, id) in names.iter().filter(|(_, id)| inner.tenants.get(id).is_none()) {
        let sets = inner
            .catalog
            .read()
            .and_then(|txn| crate::tenant::file_sets(&txn, id));
        let rules = Rules {
            now_ms: inner.clock.now_ms(),
            bytes_max: inner.settings.segment_bytes_max,
            whole: false,
        };
        let unreadable = |set| inner.compactor.state.lock().is_unreadable(id, set);
        if sets.is_ok_and(|sets| !plans(&sets, &rules, unreadable).is_empty()) {
            found = true;
        }
        if found {
            break;
        }
    }
    if found {
        let wanted = names.iter().filter(|(_, id)| inner.tenants.get(id).is_none());
        for (name, _) in wanted {
            if let Err(error) = inner.tenant(name) {
                tracing::warn!(tenant = name, %error, "a tenant was not loaded for compaction");
            }
        }
        // What was loaded is compacted before the look goes on, from behind these.
    }
    let last = (names.len() == LOOK_TENANTS)
        .then(|| names.last().map(|(name, _)| name.clone()))
        .flatten();
    let more = last.is_some() || found;
    inner.compactor.state.lock().looked(last, now_ms);
    more
}

/// Puts segments together.
fn compact(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    plan: &Plan,
    leftovers: &mut Leftovers,
    committing: Committing,
) -> Result<Compacted, Failure> {
    inner.check_running().map_err(Failure::Later)?;
    inner.guard.sample(inner);
    if !inner.guard.has_room(plan.bytes()) {
        return Err(Failure::Later(Error::Append(Box::new(
            crate::AppendError::NoSpace,
        ))));
    }
    leftovers.expect(inner, tenant)?;
    inner.compactor.state.lock().begin(&tenant.name, plan);
    let written = crate::priority::in_idle_time(inner, || rewrite::rewrite(inner, tenant, plan));
    let result = match written {
        Ok(output) => match committing {
            Committing::Here => commit::commit(inner, tenant, plan, output),
            Committing::Handed => handoff::hand_over(inner, tenant, plan, output),
        },
        Err((paths, failure)) => {
            commit::remove(inner, tenant, &paths);
            Err(failure)
        }
    };
    let now_ms = inner.clock.boot_ms();
    inner.compactor.state.lock().end(&tenant.id, now_ms, &result);
    if result.is_ok() && !inner.compactor.state.lock().is_unclean(&tenant.id) {
        leftovers.done(tenant.id);
    }
    result
}

/// Gives a part of a shared file files of its own, without the groups of people who were erased; returns their bytes. `None`
/// when it was replaced meanwhile.
///
/// # Errors
/// As compactions.
pub(crate) fn rewrite_part(inner: &Inner, tenant: &Arc<Tenant>, set: &Arc<FileSet>) -> Result<Option<u64>> {
    let mut leftovers = inner.compactor.leftovers.lock();
    let plan = Plan {
        class: set.class,
        sets: vec![Arc::clone(set)],
    };
    match compact(inner, tenant, &plan, &mut leftovers, Committing::Here) {
        Ok(done) => Ok(Some(done.bytes_out)),
        Err(Failure::Overtaken) => Ok(None),
        Err(failure) => Err(report(inner, tenant, failure)),
    }
}

/// Forgets what is known of a tenant that was destroyed.
pub(crate) fn forget(inner: &Inner, tenant: &TenantId) {
    inner.compactor.state.lock().forget(tenant);
}

/// Notes durably that a tenant's folder may hold files that nothing names: the next start removes them.
///
/// # Errors
/// As changes of the catalog.
pub(crate) fn expect_leftovers(inner: &Inner, tenant: &Arc<Tenant>) -> Result<()> {
    let expected = inner.compactor.leftovers.lock().expect(inner, tenant);
    expected.map_err(|failure| report(inner, tenant, failure))
}

/// Notes a failure; stops the instance over a failed sync.
fn report(inner: &Inner, tenant: &Tenant, failure: Failure) -> Error {
    let error = match failure {
        Failure::Stopped => Error::Stopped("closed".into()),
        Failure::Overtaken => Error::Io("segments were replaced meanwhile".into()),
        Failure::Sync(reason) => {
            let reason = format!("compaction: {reason}");
            inner.fail_stop(reason.clone());
            Error::Stopped(reason)
        }
        Failure::Unreadable(set, error) => {
            tracing::error!(tenant = %tenant.id, set, %error, "a segment cannot be compacted");
            error
        }
        Failure::Later(error) => {
            tracing::warn!(tenant = %tenant.id, %error, "compaction failed");
            error
        }
    };
    if let Some(reason) = inner.catalog.poisoned() {
        inner.fail_stop(reason);
    }
    error
}

/// Waits until a compaction may write; fails once the instance is being closed.
///
/// # Errors
/// [`io::ErrorKind::Interrupted`].
pub(crate) fn pace(inner: &Inner, bytes: usize) -> io::Result<()> {
    if inner.mode == OpenMode::Inline {
        return Ok(());
    }
    let compactor = &inner.compactor;
    while compactor.throttle.is_urgent() {
        if compactor.wake.pause(URGENT) {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
    let wait = compactor.throttle.take(inner.clock.boot_ms(), bytes);
    if compactor.wake.pause(wait) {
        return Err(io::ErrorKind::Interrupted.into());
    }
    Ok(())
}

/// How often is looked whether there is something to do.
const TICK: Duration = Duration::from_millis(1000);
/// How long what can wait waits for what cannot, before it looks again.
const URGENT: Duration = Duration::from_millis(5);
/// Flushes and rebuilds that a compaction which somebody asked for may be overtaken by.
const OVERTAKEN_MAX: u32 = 16;
/// Tenants that are looked at in one go when they are not in memory.
const LOOK_TENANTS: usize = 64;

#[cfg(test)]
mod tests;
