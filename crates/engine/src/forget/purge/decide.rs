//! Whether records may go, and the point from which they do.

use std::sync::Arc;

use attestore_keys::random_array;
use attestore_record::control::Control;
use serde_json::json;

use super::plan::{Aim, Plan, plan};
use super::row::{self, JobKey, PurgeRow, PurgeState};
use super::select::What;
use crate::append::append_control;
use crate::backup::ledger::{self, Fact, Records};
use crate::credentials::{Permission, Principal};
use crate::error::{Error, Result};
use crate::forget::Why;
use crate::forget::approvals::{self, Operation, OperationKind};
use crate::forget::erase::Recipient;
use crate::forget::gone::{self, GoneRange};
use crate::forget::logged;
use crate::instance::Inner;
use crate::tenant::Tenant;

/// Who wants it.
#[derive(Clone, Copy)]
pub(in crate::forget) enum Wanted<'a> {
    /// Nobody in particular: the retention of the records is over.
    Schedule,
    /// Somebody, who wants the records purged.
    Purge(By<'a>),
    /// Somebody, who wants them erased.
    Erasure(By<'a>, Ground<'a>),
}

/// Somebody.
#[derive(Clone, Copy)]
pub(in crate::forget) struct By<'a> {
    pub(in crate::forget) principal: &'a Principal,
    /// Whether it may go below the minimum, as far as the caller has a say in it.
    pub(in crate::forget) bypass: bool,
    /// Why, as it was typed.
    pub(in crate::forget) note: &'a str,
    /// What the approval of it covers.
    pub(in crate::forget) parameters: &'a serde_json::Value,
}

/// On what ground records are erased.
#[derive(Clone, Copy)]
pub(in crate::forget) struct Ground<'a> {
    pub(in crate::forget) basis: &'a str,
    /// How many records: no others, and not fewer.
    pub(in crate::forget) records: u64,
    /// Who may have been shown them; `None` if that is not known.
    pub(in crate::forget) recipients: Option<&'a [Recipient]>,
}

impl Wanted<'_> {
    fn aim(&self) -> Aim {
        match self {
            Self::Schedule => Aim::Expire,
            Self::Purge(_) => Aim::Purge,
            Self::Erasure(..) => Aim::Erase,
        }
    }
}

/// Decides about records of a class and puts it on record; `None` if there are none that may go. They are gone on return.
///
/// # Errors
/// [`Error::Conflict`] where the rules forbid it, [`Error::ApprovalNeeded`], or as appends and changes of the catalog. After an error nothing
/// is gone, but for a stop of the instance, after which the next start knows.
pub(in crate::forget) fn decide(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    class: u16,
    what: &What,
    wanted: Wanted<'_>,
) -> Result<Option<JobKey>> {
    inner.check_running()?;
    check_clock(inner)?;
    let _deciding = tenant.deciding.lock();
    tenant.check_open()?;
    let Some(plan) = plan(inner, tenant, class, what, wanted.aim())? else {
        return Ok(None);
    };
    if matches!(wanted, Wanted::Erasure(_, ground) if ground.records != plan.records) {
        return Err(Error::Conflict {
            code: "changed",
            message: "some of the records went meanwhile: look again".to_owned(),
        });
    }
    let approved_by = approved(inner, tenant, &plan, &wanted)?;
    let (by, note, ground) = match wanted {
        Wanted::Schedule => (Principal::INTERNAL, "", None),
        Wanted::Purge(by) => (by.principal.id.as_str(), by.note, None),
        Wanted::Erasure(by, ground) => (by.principal.id.as_str(), by.note, Some(ground)),
    };
    let now_ms = inner.clock.now_ms();
    let key = (tenant.id, job_id(inner, now_ms));
    let row = PurgeRow {
        state: PurgeState::Decided,
        class,
        policy: plan.policy,
        reason: plan.reason,
        ranges: plan.ranges.clone(),
        counts: plan.found.iter().map(|found| found.records).collect(),
        records: plan.records,
        held: plan.held,
        by: by.to_owned(),
        approved_by,
        note: note.to_owned(),
        basis: ground.map(|ground| ground.basis.to_owned()),
        recipients: ground.and_then(|ground| ground.recipients.map(<[_]>::to_vec)),
        exports: 0,
        log_from: tenant.view().size,
        decided_ms: now_ms,
        control: None,
        recorded_ms: None,
        wal: 0,
        files: plan.files,
        swept_ms: None,
        unreadable_since_ms: None,
        gone_since_ms: None,
        receipt: None,
        done_ms: None,
    };
    if matches!(wanted, Wanted::Schedule) {
        inner.append_internal(&event(tenant, &row))?;
    }
    inner.change(|update| row::put(update, &key, &row))?;
    inner.purges.open.lock().insert(key);
    let receipt = match append_control(inner, tenant, by, row.kind(), &row.control()) {
        Ok(receipt) => receipt,
        Err(error) => {
            // Refused: nothing happened. Where it is not known, the instance has stopped, and the next start looks.
            if inner.stopped().is_none() {
                forget(inner, &key)?;
            }
            return Err(error);
        }
    };
    record(inner, tenant, key, row, receipt.seq, receipt.received_at_ms)?;
    inner.purges.wake.notify();
    Ok(Some(key))
}

/// Refuses while it is not sure what time it is.
///
/// # Errors
/// [`Error::Conflict`].
pub(crate) fn check_clock(inner: &Inner) -> Result<()> {
    match inner.guard.clock_ahead_ms(&*inner.clock) {
        None => Ok(()),
        Some(ahead_ms) => Err(Error::Conflict {
            code: "clock_jump",
            message: format!(
                "the clock stepped {ahead_ms} ms ahead: nothing is purged until somebody confirms it"
            ),
        }),
    }
}

/// Who stands for it.
fn approved(inner: &Inner, tenant: &Tenant, plan: &Plan, wanted: &Wanted<'_>) -> Result<Vec<String>> {
    let (by, kind) = match wanted {
        Wanted::Schedule => return Ok(Vec::new()),
        Wanted::Purge(_) if !plan.needs_override => return Ok(Vec::new()),
        Wanted::Purge(by) => (by, OperationKind::PurgeOverride),
        Wanted::Erasure(by, _) if !plan.needs_override => (by, OperationKind::Erase),
        Wanted::Erasure(by, _) => (by, OperationKind::PurgeOverride),
    };
    if plan.needs_override {
        if !by.bypass {
            return Err(Error::Conflict {
                code: "retention_minimum",
                message: "some of the records are younger than the minimum of their policy: leave them out, or ask for a bypass, \
                          which takes two persons"
                    .to_owned(),
            });
        }
        by.principal.check(&tenant.name, Permission::BypassRetention)?;
    }
    let operation = Operation {
        kind,
        parameters: by.parameters.clone(),
    };
    Ok(approvals::require(inner, tenant, by.principal, &operation)?.by)
}

/// The point from which the records are gone.
pub(super) fn record(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    key: JobKey,
    mut row: PurgeRow,
    seq: u64,
    since_ms: u64,
) -> Result<()> {
    let wal = inner.committer.lock().watermark().map(|watermark| watermark.wal);
    row.wal = wal.ok_or_else(|| Error::Stopped("the log is closed".into()))?;
    row.control = Some(seq);
    row.recorded_ms = Some(inner.clock.now_ms());
    row.state = PurgeState::Recorded;
    let why = row.why();
    let ranges = row.ranges.iter().zip(&row.counts);
    let ranges = ranges.map(|(seqs, records)| GoneRange {
        seqs,
        why,
        by: seq,
        records: *records,
        since_ms,
        swept: false,
    });
    let fact = fact(tenant, &row, seq);
    gone::put(inner, tenant, row.class, ranges.collect(), |update| {
        ledger::note(update, since_ms, fact)?;
        row::put(update, &key, &row)
    })?;
    ledger::ship_soon(inner);
    match why {
        Why::Purged => metrics::counter!("attestore_purged_records_total").increment(row.records),
        Why::Erased => metrics::counter!("attestore_erased_records_total").increment(row.records),
    }
    let_exports_go(inner, tenant, &key, &mut row)?;
    tracing::info!(tenant = %tenant.id, class = row.class, records = row.records, why = why.name(), "records are gone");
    Ok(())
}

/// What the ledger has of it.
fn fact(tenant: &Tenant, row: &PurgeRow, seq: u64) -> Fact {
    Fact::Records(Box::new(Records {
        tenant: tenant.id.to_string(),
        class: row.class,
        ranges: row.ranges.clone(),
        why: row.why(),
        reason: row.reason,
        policy: tenant
            .rules
            .load()
            .policy(row.class)
            .map(|found| found.policy.clone()),
        basis: row.basis.clone(),
        by: row.by.clone(),
        approved_by: row.approved_by.clone(),
        note: row.note.clone(),
        origin: tenant.origin.clone(),
        seq,
    }))
}

/// Destroys the files of exports, which may hold what is erased; after a purge they stay until they expire.
///
/// # Errors
/// As changes of the catalog.
pub(super) fn let_exports_go(inner: &Inner, tenant: &Tenant, key: &JobKey, row: &mut PurgeRow) -> Result<()> {
    if row.why() != Why::Erased {
        return Ok(());
    }
    let gone = crate::exports::let_go_all(inner, tenant)?;
    if gone > 0 {
        row.exports += gone;
        inner.change(|update| row::put(update, key, row))?;
    }
    Ok(())
}

/// Finishes or takes back what was decided when the instance ended; called before anything is served.
///
/// # Errors
/// As reads and changes of the catalog.
pub(crate) fn settle(inner: &Inner) -> Result<()> {
    let open = inner.purges.open.lock().clone();
    for key in open {
        let row = row::get(&inner.catalog.read()?, &key)?;
        if row.state != PurgeState::Decided {
            continue;
        }
        let tenant = inner.tenant_of(&key.0)?;
        let control = row.control();
        let found = logged::find(inner, &tenant, row.kind(), row.log_from, &|public| {
            Control::parse(row.kind(), public).is_ok_and(|found| found == control)
        })?;
        match found {
            Some((seq, entry)) => record(inner, &tenant, key, row, seq, entry.time_ms)?,
            None => forget(inner, &key)?,
        }
    }
    Ok(())
}

/// Takes back what is not on record.
fn forget(inner: &Inner, key: &JobKey) -> Result<()> {
    inner.change(|update| row::remove(update, key))?;
    inner.purges.open.lock().remove(key);
    Ok(())
}

/// An id that sorts by time.
pub(super) fn job_id(inner: &Inner, now_ms: u64) -> [u8; 16] {
    let mut id: [u8; 16] = random_array(&*inner.entropy);
    for (to, from) in id.iter_mut().zip(&now_ms.to_be_bytes()[2..]) {
        *to = *from;
    }
    id
}

/// What `_system` is told of a purge that nobody ordered.
fn event(tenant: &Tenant, row: &PurgeRow) -> Vec<u8> {
    let event = json!({
        "action": "records.purge",
        "operation": "delete",
        "actor": { "type": "server", "id": "internal" },
        "targets": [{ "type": "tenant", "id": tenant.name }],
        "metadata": { "class": row.class, "records": row.records, "held": row.held, "policy": row.policy },
    });
    event.to_string().into_bytes()
}
