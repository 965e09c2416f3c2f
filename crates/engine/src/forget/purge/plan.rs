//! What would go, by the rules as they are.

use std::ops::Range;
use std::sync::Arc;

use attestore_record::control::{Erasable, PurgeReason, RANGES_MAX, Ranges, RetentionMode, RetentionPolicy};
use attestore_record::entry::CLASS_CONTROL;
use serde::Serialize;

use super::row::GoneFile;
use super::select::{What, pick};
use crate::error::{Error, Result};
use crate::forget::gone;
use crate::forget::rules::{PolicyInForce, held};
use crate::instance::Inner;
use crate::read::tree;
use crate::tenant::{Tenant, View};

/// Why records are to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// Their retention is over.
    Expire,
    /// Somebody wants them purged.
    Purge,
    /// Somebody wants them erased.
    Erase,
}

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
    pub(super) found: Vec<Found>,
    #[serde(skip)]
    pub(super) files: Vec<GoneFile>,
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
    aim: Aim,
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
    if aim == Aim::Erase && held > 0 {
        return conflict(
            "held",
            format!("a legal hold keeps {held} of the records: nothing was erased"),
        );
    }
    let found = pieces.count(reader.source(), class, ranges_max(inner))?;
    let Some(newest_ms) = found.iter().map(|found| found.newest_ms).max() else {
        return Ok(None);
    };
    let Some(reason) = reason(policy, aim, newest_ms, inner.clock.now_ms())? else {
        return Ok(None);
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
        // Who may erase need not wait for the minimum unless it is locked.
        needs_override: reason == PurgeReason::Override
            && (aim != Aim::Erase || policy.mode != RetentionMode::None),
        ranges,
        found,
        files,
    }))
}

/// Why records of which the newest is of that time may go; `None` if their time has not come.
fn reason(policy: &RetentionPolicy, aim: Aim, newest_ms: u64, now_ms: u64) -> Result<Option<PurgeReason>> {
    let conflict = |code, message: &str| {
        Err(Error::Conflict {
            code,
            message: message.to_owned(),
        })
    };
    let is_older = |age_ms: u64| {
        newest_ms
            .checked_add(age_ms)
            .is_some_and(|due_ms| due_ms <= now_ms)
    };
    let old_enough = is_older(policy.keep_min_ms);
    match aim {
        Aim::Expire if old_enough && policy.keep_max_ms.is_some_and(is_older) => {
            Ok(Some(PurgeReason::Expired))
        }
        // The rules changed since somebody looked.
        Aim::Expire => Ok(None),
        Aim::Erase if policy.erasable != Erasable::Yes => conflict(
            "not_erasable",
            "the policy of the class does not let whole records be erased (`erasable`)",
        ),
        _ if old_enough => Ok(Some(PurgeReason::Ordered)),
        _ if policy.mode == RetentionMode::Compliance => conflict(
            "retention_locked",
            "some of the records are younger than the minimum of a policy in compliance mode: nobody can take them away",
        ),
        _ => Ok(Some(PurgeReason::Override)),
    }
}

/// As many ranges as one record in the log may name.
pub(super) fn ranges_max(inner: &Inner) -> usize {
    let bytes = usize::try_from(inner.settings.request_bytes_max()).unwrap_or(usize::MAX);
    (bytes / RANGE_BYTES).clamp(1, RANGES_MAX)
}

/// The files that hold some of what goes.
pub(super) fn files(view: &View, class: u16, ranges: &Ranges) -> Vec<GoneFile> {
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

/// Bytes that a range takes in a record, about, with room for the rest of it.
const RANGE_BYTES: usize = 64;
