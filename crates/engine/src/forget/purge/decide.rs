//! Whether records may go, and the point from which they do.

use std::ops::Range;
use std::sync::Arc;

use attestore_keys::random_array;
use attestore_record::control::{Control, PurgeReason, RANGES_MAX, Ranges, RetentionMode};
use attestore_record::entry::CLASS_CONTROL;
use attestore_record::{Entry, Kind};
use serde::Serialize;
use serde_json::json;

use super::row::{self, GoneFile, JobKey, PurgeRow, PurgeState};
use super::select::{What, pick};
use crate::append::append_control;
use crate::credentials::{Permission, Principal};
use crate::error::{Error, Result};
use crate::forget::Why;
use crate::forget::approvals::{self, Operation, OperationKind};
use crate::forget::gone::{self, GoneRange};
use crate::forget::rules::{PolicyInForce, held};
use crate::instance::Inner;
use crate::read::{records, tree};
use crate::tenant::Tenant;

/// Records that may go together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) seqs: Range<u64>,
    pub(super) records: u64,
    /// Time of the newest of them.
    pub(super) newest_ms: u64,
}

/// What a purge would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// The class.
    pub class: u16,
    /// Seq of the policy in force.
    pub policy: u64,
    /// Why the records may go.
    pub reason: PurgeReason,
    /// Where they stand.
    pub ranges: Ranges,
    /// How many there are.
    pub records: u64,
    /// How many of those that are due or asked for a hold keeps.
    pub held: u64,
    /// Bytes of files that hold nothing else.
    pub bytes_dropped: u64,
    /// Bytes of files that would be written again without them.
    pub bytes_rewritten: u64,
    /// Whether going below the minimum takes a bypass and a second person.
    pub needs_override: bool,
    #[serde(skip)]
    found: Vec<Found>,
    #[serde(skip)]
    files: Vec<GoneFile>,
}

/// Who wants it.
#[derive(Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// Nobody in particular: the retention of the records is over.
    Schedule,
    /// Somebody, with what the approval of it covers.
    By {
        principal: &'a Principal,
        /// Whether it may go below the minimum, as far as the caller has a say in it.
        bypass: bool,
        note: &'a str,
        parameters: &'a serde_json::Value,
    },
}

/// Decides about records of a class and puts it on record; `None` if there are none that may go. They are gone on return.
///
/// # Errors
/// [`Error::Conflict`] where the rules forbid it, [`Error::ApprovalNeeded`], or as appends and changes of the catalog. After an error nothing
/// is gone, but for a stop of the instance, after which the next start knows.
pub(super) fn decide(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    class: u16,
    what: &What,
    wanted: Wanted<'_>,
) -> Result<Option<JobKey>> {
    inner.check_running()?;
    check_clock(inner)?;
    let _deciding = tenant.deciding.lock();
    let Some(plan) = plan(inner, tenant, class, what, matches!(wanted, Wanted::Schedule))? else {
        return Ok(None);
    };
    let (by, note, approved_by) = match wanted {
        Wanted::Schedule => ("internal", "", Vec::new()),
        Wanted::By {
            principal,
            bypass,
            note,
            parameters,
        } => {
            let approved = approved(inner, tenant, &plan, principal, bypass, parameters)?;
            (principal.id.as_str(), note, approved)
        }
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
    let receipt = match append_control(inner, tenant, by, Kind::Purge, &row.control()) {
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

/// What would go, by the rules as they are; `None` if nothing would. The caller holds [`Tenant::deciding`].
///
/// # Errors
/// [`Error::Conflict`] for a class without a policy or without records that ever go; as reads, and as holds are looked up.
pub(super) fn plan(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    class: u16,
    what: &What,
    expired: bool,
) -> Result<Option<Plan>> {
    let conflict = |code, message: String| Err(Error::Conflict { code, message });
    if class == CLASS_CONTROL {
        return conflict("control_records", "control records are never purged".to_owned());
    }
    let rules = tenant.rules.load();
    let Some(PolicyInForce { policy, seq }) = rules.policy(class) else {
        return conflict(
            "no_policy",
            format!(
                "class {class} has no retention policy: set one, so that the log can say by which rule records went"
            ),
        );
    };
    let view = tenant.view();
    let gone = tenant.gone.load();
    let reader = tree::reader(inner, tenant, &view);
    let mut pieces = pick(reader.source(), &view, &gone, class, what)?;
    if pieces.is_empty() {
        return Ok(None);
    }
    let held = held(inner, tenant, class, pieces.hull())?;
    let kept = pieces.leave(&held);
    let held = gone::count_class(reader.source(), class, &kept)?;
    let found = pieces.count(reader.source(), class, ranges_max(inner))?;
    let Some(newest_ms) = found.iter().map(|found| found.newest_ms).max() else {
        return Ok(None);
    };
    let now_ms = inner.clock.now_ms();
    let is_older = |age_ms: u64| {
        newest_ms
            .checked_add(age_ms)
            .is_some_and(|due_ms| due_ms <= now_ms)
    };
    let old_enough = is_older(policy.keep_min_ms);
    let reason = match (expired, old_enough) {
        (true, true) if policy.keep_max_ms.is_some_and(is_older) => PurgeReason::Expired,
        // The rules changed since somebody looked.
        (true, _) => return Ok(None),
        (false, true) => PurgeReason::Ordered,
        (false, false) if policy.mode == RetentionMode::Compliance => {
            return conflict(
                "retention_locked",
                "some of the records are younger than the minimum of a policy in compliance mode: nobody can purge them"
                    .to_owned(),
            );
        }
        (false, false) => PurgeReason::Override,
    };
    let ranges = Ranges::new(found.iter().map(|found| found.seqs.clone()))
        .map_err(|error| Error::Io(error.to_string()))?;
    let files = files(&view, class, &ranges);
    let bytes = |whole| {
        let of = files.iter().filter(|file: &&GoneFile| file.whole == whole);
        of.map(|file| file.bytes).sum()
    };
    Ok(Some(Plan {
        class,
        policy: *seq,
        reason,
        records: found.iter().map(|found| found.records).sum(),
        held,
        bytes_dropped: bytes(true),
        bytes_rewritten: bytes(false),
        needs_override: reason == PurgeReason::Override,
        ranges,
        found,
        files,
    }))
}

/// As many ranges as one record in the log may name.
fn ranges_max(inner: &Inner) -> usize {
    let bytes = usize::try_from(inner.settings.request_bytes_max()).unwrap_or(usize::MAX);
    (bytes / RANGE_BYTES).clamp(1, RANGES_MAX)
}

/// Who stands for it.
fn approved(
    inner: &Inner,
    tenant: &Tenant,
    plan: &Plan,
    principal: &Principal,
    bypass: bool,
    parameters: &serde_json::Value,
) -> Result<Vec<String>> {
    if !plan.needs_override {
        return Ok(Vec::new());
    }
    if !bypass {
        return Err(Error::Conflict {
            code: "retention_minimum",
            message: "some of the records are younger than the minimum of their policy: leave them out, or ask for a bypass, which \
                      takes two persons"
                .to_owned(),
        });
    }
    let operation = Operation {
        kind: OperationKind::PurgeOverride,
        parameters: parameters.clone(),
    };
    principal.check(&tenant.name, Permission::BypassRetention)?;
    Ok(approvals::require(inner, tenant, principal, &operation)?.by)
}

/// The files that hold some of what goes.
fn files(view: &crate::tenant::View, class: u16, ranges: &Ranges) -> Vec<GoneFile> {
    let mut files = Vec::new();
    for set in view.flushed.iter().filter(|set| set.class == class) {
        let all = set.min_seq()..set.max_seq().saturating_add(1);
        if ranges.overlap(&all).is_none() {
            continue;
        }
        let whole = ranges.find(all.start).is_some_and(|range| range.end >= all.end);
        files.extend(set.files().map(|row| GoneFile {
            path: row.path.clone(),
            bytes: row.length,
            slot: row.slot,
            id: row.id.clone(),
            whole,
        }));
    }
    files
}

/// The point from which the records are gone.
fn record(
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
    let ranges = row.ranges.iter().zip(&row.counts);
    let ranges = ranges.map(|(seqs, records)| GoneRange {
        seqs,
        why: Why::Purged,
        by: seq,
        records: *records,
        since_ms,
        swept: false,
    });
    gone::put(inner, tenant, row.class, ranges.collect(), |update| {
        row::put(update, &key, &row)
    })?;
    metrics::counter!("attestore_purged_records_total").increment(row.records);
    tracing::info!(tenant = %tenant.id, class = row.class, records = row.records, "records were purged");
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
        let found = find(inner, &tenant, row.log_from, &|public| {
            Control::parse(Kind::Purge, public).is_ok_and(|found| found == control)
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

/// Finds a record of kind purge from a seq on.
///
/// # Errors
/// As reads.
pub(crate) fn find(
    inner: &Inner,
    tenant: &Tenant,
    from: u64,
    is_it: &dyn Fn(&[u8]) -> bool,
) -> Result<Option<(u64, Entry)>> {
    crate::read::snapshot(tenant, |view| {
        let reader = tree::reader(inner, tenant, view);
        let mut seqs = Vec::new();
        gone::each_entry(
            reader.source(),
            CLASS_CONTROL,
            std::slice::from_ref(&(from.min(view.size)..view.size)),
            &mut |seq, entry| {
                if entry.kind == Kind::Purge {
                    seqs.push((seq, *entry));
                }
                Ok(())
            },
        )?;
        for (seq, entry) in seqs {
            let record = records::read(inner, tenant, view, seq, false)?;
            if is_it(&record.public) {
                return Ok(Some((seq, entry)));
            }
        }
        Ok(None)
    })
}

/// An id that sorts by time.
fn job_id(inner: &Inner, now_ms: u64) -> [u8; 16] {
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

/// Bytes that a range takes in a record, about, with room for the rest of it.
const RANGE_BYTES: usize = 64;
