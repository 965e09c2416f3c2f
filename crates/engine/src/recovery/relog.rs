//! Writes the recovered tails into the new WAL file and frees the old ones.

use std::sync::Arc;

use attestore_record::Handle;
use attestore_tlog::{Frontier, Hash};
use attestore_wal::Position;
use hashbrown::HashMap;

use crate::append::Committer;
use crate::append::section::{self, SectionHead};
use crate::catalog::WalPosition;
use crate::instance::Inner;
use crate::tenant::{Generation, Subject, SubjectState, TailRecord, Tenant};
use crate::{Error, Result};

/// Begins a new WAL file after `end`, writes every tail into it, and then lets the catalog begin the log there.
///
/// # Errors
/// As commits; the next start begins anew.
pub(crate) fn relog(inner: &Inner, end: Position, start_nonce: &str, capacity_bytes: u64) -> Result<()> {
    let mut committer = inner.committer.lock();
    let writer = inner.wal.next(inner, end)?;
    let low = writer.spec().number;
    committer.adopt(writer);
    for tenant in inner.tenants.all() {
        write_tail(inner, &mut committer, &tenant)?;
    }
    committer.close_frame(inner);
    inner.check_running()?;
    // What the log shows, not what the clock says at a start: nobody has looked at that yet.
    let views = inner.tenants.all().into_iter().map(|tenant| tenant.view());
    let newest_ms = views.map(|view| view.last_time_ms).max().unwrap_or(0);
    let durable = committer
        .watermark()
        .ok_or_else(|| Error::Stopped("the log is closed".into()))?;
    inner.catalog.update::<_, Error>(|update| {
        update.free_wal_below(low)?;
        let row = &mut update.instance;
        row.durable = WalPosition {
            wal: durable.wal,
            offset: durable.offset,
        };
        row.starts += 1;
        row.start_nonce = start_nonce.to_owned();
        row.newest_time_ms = row.newest_time_ms.max(newest_ms);
        row.capacity_bytes = row.capacity_bytes.max(capacity_bytes);
        Ok(())
    })
}

fn write_tail(inner: &Inner, committer: &mut Committer, tenant: &Arc<Tenant>) -> Result<()> {
    let view = tenant.view();
    let logged = tenant.directory.logged();
    let mut subjects: HashMap<Handle, Arc<Subject>> = logged
        .into_iter()
        .map(|subject| (subject.handle, subject))
        .collect();
    let mut frontier = tenant.core.lock().flushed_frontier.clone();
    let mut runs: Vec<(u64, u64)> = Vec::new();
    let mut run: Vec<Arc<TailRecord>> = Vec::new();
    let mut bytes = 0;
    for record in view.tail.iter(view.tail.range()) {
        let splits = run
            .last()
            .is_some_and(|last| last.generation != record.generation);
        if splits || bytes > inner.settings.frame_bytes() {
            write_run(
                inner,
                committer,
                tenant,
                &mut frontier,
                &mut subjects,
                &mut run,
                &mut runs,
            )?;
            bytes = 0;
        }
        bytes += record.bytes_len();
        run.push(Arc::clone(record));
    }
    write_run(
        inner,
        committer,
        tenant,
        &mut frontier,
        &mut subjects,
        &mut run,
        &mut runs,
    )?;
    // Nobody in the tail needs these; the next record that does logs them again.
    subjects
        .values()
        .for_each(|subject| subject.set(SubjectState::Pending));
    if frontier.root() != view.root {
        return Err(Error::Stopped(format!(
            "tenant {}: the tail has another root",
            tenant.id
        )));
    }
    let mut core = tenant.core.lock();
    core.wal_runs = runs.into();
    core.tail_since_ms = (!view.tail.is_empty()).then(|| inner.clock.boot_ms());
    Ok(())
}

fn write_run(
    inner: &Inner,
    committer: &mut Committer,
    tenant: &Tenant,
    frontier: &mut Frontier,
    subjects: &mut HashMap<Handle, Arc<Subject>>,
    run: &mut Vec<Arc<TailRecord>>,
    runs: &mut Vec<(u64, u64)>,
) -> Result<()> {
    let Some(first) = run.first() else { return Ok(()) };
    let first_seq = first.seq;
    let generation = generation(tenant, first.generation)?;
    run.iter().for_each(|record| frontier.push(record.leaf));
    let root: Hash = frontier.root();
    let head = SectionHead {
        first_seq,
        generation: &generation,
        size: frontier.size(),
        root,
    };
    // A subject goes with the first record that needs it, so that no frame outgrows the file.
    let needed = run
        .iter()
        .flat_map(|record| &record.groups)
        .flat_map(|group| &group.handles);
    let fresh: Vec<_> = needed.filter_map(|handle| subjects.remove(handle)).collect();
    committer
        .frame()
        .section(*tenant.id.as_bytes(), tenant.keys.ring().current(), |buf| {
            section::write(buf, &head, &fresh, run.iter().map(AsRef::as_ref));
        });
    let wal = committer.write(inner)?;
    if runs.last().is_none_or(|(_, last)| *last != wal) {
        runs.push((first_seq, wal));
    }
    run.clear();
    Ok(())
}

fn generation(tenant: &Tenant, number: u32) -> Result<Arc<Generation>> {
    let known = tenant.generations.read();
    let found = known.iter().find(|known| known.number == number).cloned();
    found.ok_or_else(|| {
        Error::Stopped(format!(
            "tenant {}: salt generation {number} is not known",
            tenant.id
        ))
    })
}
