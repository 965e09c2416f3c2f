//! Takes what is gone out of files: a segment all of whose records are gone is taken out as it is, whatever its size; any other is
//! written again without them.

use std::sync::Arc;

use super::plan::Plan;
use super::rewrite::Output;
use super::{Committing, Failure, OVERTAKEN_MAX, commit, compact, report};
use crate::error::Result;
use crate::instance::Inner;
use crate::tenant::{FileSet, Tenant};

/// Takes out the segments of a tenant of which nothing is left, in one catalog commit; returns them.
///
/// # Errors
/// What keeps the catalog from changing.
pub(crate) fn drop_gone(inner: &Inner, tenant: &Arc<Tenant>) -> Result<Vec<Arc<FileSet>>> {
    let mut overtaken = 0;
    loop {
        inner.check_running()?;
        let gone = tenant.gone.load_full();
        let view = tenant.view();
        let covered = view.flushed.iter().filter(|set| gone.covers(set));
        let sets: Vec<_> = covered.cloned().collect();
        let Some(class) = sets.first().map(|set| set.class) else {
            return Ok(sets);
        };
        let plan = Plan { class, sets };
        // Held while files are removed, so that the note of leftovers outlives them.
        let mut leftovers = inner.compactor.leftovers.lock();
        let dropped = leftovers
            .expect(inner, tenant)
            .and_then(|()| commit::commit(inner, tenant, &plan, Output::nothing(tenant)));
        match dropped {
            Ok(_) => {
                if !inner.compactor.state.lock().is_unclean(&tenant.id) {
                    leftovers.done(tenant.id);
                }
                return Ok(plan.sets);
            }
            Err(Failure::Overtaken) if overtaken < OVERTAKEN_MAX => overtaken += 1,
            Err(failure) => return Err(report(inner, tenant, failure)),
        }
    }
}

/// Writes the segments of a tenant that hold something that is gone again without it, on this thread.
///
/// # Errors
/// Why that failed; what was done until then stays.
pub(crate) fn sweep_now(inner: &Inner, tenant: &Arc<Tenant>) -> Result<()> {
    let mut overtaken = 0;
    loop {
        inner.check_running()?;
        let mut leftovers = inner.compactor.leftovers.lock();
        let Some(plan) = next(inner, tenant) else {
            return Ok(());
        };
        match compact(inner, tenant, &plan, &mut leftovers, Committing::Here) {
            Ok(_) => {}
            Err(Failure::Overtaken) if overtaken < OVERTAKEN_MAX => overtaken += 1,
            Err(failure) => return Err(report(inner, tenant, failure)),
        }
    }
}

/// Writes one segment of some tenant again; says whether there was one.
pub(super) fn tick(inner: &Inner) -> bool {
    let now_ms = inner.clock.boot_ms();
    for tenant in inner.tenants.all() {
        if tenant.gone.load().is_empty() || inner.compactor.state.lock().is_held_off(&tenant.id, now_ms) {
            continue;
        }
        let Some(plan) = next(inner, &tenant) else {
            continue;
        };
        let mut leftovers = inner.compactor.leftovers.lock();
        match compact(inner, &tenant, &plan, &mut leftovers, Committing::Handed) {
            Ok(_) | Err(Failure::Overtaken) => return true,
            Err(Failure::Stopped) => return false,
            Err(failure) => drop(report(inner, &tenant, failure)),
        }
    }
    false
}

/// The next segment that holds something that is gone.
fn next(inner: &Inner, tenant: &Tenant) -> Option<Plan> {
    let gone = tenant.gone.load();
    let view = tenant.view();
    let state = inner.compactor.state.lock();
    let readable = |set: &&Arc<FileSet>| !state.is_unreadable(&tenant.id, set.set);
    let mut sets = view
        .flushed
        .iter()
        .filter(|set| gone.touches(set))
        .filter(readable);
    let set = sets.next()?;
    Some(Plan {
        class: set.class,
        sets: vec![Arc::clone(set)],
    })
}
