//! Completeness of a range: each entry is opened, or gone for a reason that is on record and was allowed.
//!
//! A record that is gone needs a control record behind it in the log that names it: a purge of its class, which cites the
//! retention policy it went by, or an erasure of whole records. The policy must have allowed it at the control's time, and no
//! hold that the bundle shows may have covered it. Control records never go.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use attestore_record::control::{
    Control, Erasable, Erasure, ErasureScope, Hold, Purge, PurgeReason, Ranges, RetentionMode,
    RetentionPolicy,
};
use attestore_record::{Entry, Kind};
use serde::Serialize;

use super::BundleError;

/// Most findings that a report lists; further ones are counted.
pub const RANGE_FINDINGS_MAX: usize = 100;

/// Tells what became of a range.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RangeReport {
    /// First seq of the range.
    pub first_seq: u64,
    /// First seq behind it.
    pub end_seq: u64,
    /// Records of the range that are in the bundle and open their entries.
    pub opened: u64,
    /// Records that were purged, each allowed.
    pub purged: u64,
    /// Records that were erased whole, each allowed.
    pub erased: u64,
    /// Purges and erasures that count, of which the bundle shows that no later policy came between the one they cite and them, and
    /// that no hold covered what they removed: it has all entries from the log's first to them.
    pub reasons_shown_in_force: u64,
    /// The others: that the policy they cite was still the one in force, and that no hold covered what they removed, is the log's
    /// word, which the whole log can prove or refute.
    pub reasons_claimed_in_force: u64,
    /// What is wrong, at most [`RANGE_FINDINGS_MAX`].
    pub findings: Vec<RangeFinding>,
    /// Number of findings beyond those.
    pub findings_omitted: u64,
}

/// Says one thing that is wrong with a range. Seqs are of the first record concerned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum RangeFinding {
    /// Nothing says why records are gone.
    #[error(
        "records {seq} to {end} (not included) of class {class} are neither in the bundle nor gone for a reason on record"
    )]
    Unexplained {
        /// First of them.
        seq: u64,
        /// First behind them.
        end: u64,
        /// Their class.
        class: u16,
    },
    /// A control record is gone, which never goes.
    #[error("control record {seq} is not in the bundle; control records are never removed")]
    ControlGone {
        /// Its seq.
        seq: u64,
    },
    /// The policy that a purge or erasure cites is not in the bundle, or is none of that class before it.
    #[error(
        "record {by} removed record {seq} by policy {policy}, which is no earlier retention policy of class {class} in the bundle"
    )]
    NoPolicy {
        /// The removed record.
        seq: u64,
        /// The purge or erasure.
        by: u64,
        /// What it cites.
        policy: u64,
        /// Class of the removed record.
        class: u16,
    },
    /// A later policy was in force.
    #[error("record {by} removed record {seq} by policy {policy}, which policy {newer} had replaced")]
    Superseded {
        /// The removed record.
        seq: u64,
        /// The purge or erasure.
        by: u64,
        /// What it cites.
        policy: u64,
        /// What was in force.
        newer: u64,
    },
    /// The policy did not allow it.
    #[error("record {by} removed record {seq}, which policy {policy} did not allow: {message}")]
    NotAllowed {
        /// The removed record.
        seq: u64,
        /// The purge or erasure.
        by: u64,
        /// The policy.
        policy: u64,
        /// Why not.
        message: String,
    },
    /// A hold covered it.
    #[error("record {by} removed record {seq}, which the hold of record {hold} covered")]
    Held {
        /// The removed record.
        seq: u64,
        /// The purge or erasure.
        by: u64,
        /// The record that placed the hold.
        hold: u64,
    },
}

/// Entries of a class, one after the other, that are not opened.
#[derive(Clone, Debug)]
struct Gone {
    seqs: Range<u64>,
    class: u16,
    /// Times of the entries: from which seq on which, in order.
    times: Vec<(u64, u64)>,
}

impl Gone {
    /// The newest time in a part of it.
    fn newest_ms(&self, seqs: &Range<u64>) -> u64 {
        let first = self
            .times
            .partition_point(|(from, _)| *from <= seqs.start)
            .saturating_sub(1);
        let times = self.times.iter().skip(first);
        let within = times.take_while(|(from, _)| *from < seqs.end);
        within.map(|(_, time_ms)| *time_ms).max().unwrap_or(u64::MAX)
    }
}

/// What purged or erased records.
struct Removal<'a> {
    seq: u64,
    time_ms: u64,
    ranges: &'a Ranges,
    policy: Option<u64>,
    class: Option<u16>,
    how: How<'a>,
}

enum How<'a> {
    Purge(&'a Purge),
    Erasure(&'a Erasure),
}

/// Takes up entries and controls while a bundle is read.
pub(super) struct Ledger {
    range: Range<u64>,
    opened: u64,
    gone: Vec<Gone>,
    /// Steps in the times of what is gone.
    times: usize,
    controls: Vec<(u64, u64, Control)>,
    /// Items of their lists.
    items: usize,
    /// Policies that are not opened.
    policies_closed: BTreeSet<u64>,
    /// The first hold or release that is not opened.
    hold_closed: Option<u64>,
    findings: Vec<RangeFinding>,
    omitted: u64,
}

impl Ledger {
    pub(super) const fn new(range: Range<u64>) -> Self {
        Self {
            range,
            opened: 0,
            gone: Vec::new(),
            times: 0,
            controls: Vec::new(),
            items: 0,
            policies_closed: BTreeSet::new(),
            hold_closed: None,
            findings: Vec::new(),
            omitted: 0,
        }
    }

    /// Takes up a record that is in the bundle.
    pub(super) fn opened(
        &mut self,
        seq: u64,
        time_ms: u64,
        control: Option<Control>,
    ) -> Result<(), BundleError> {
        self.opened += u64::from(self.range.contains(&seq));
        if let Some(control) = control.filter(|control| *control != Control::Other) {
            self.items += items(&control);
            if self.controls.len() == CONTROLS_MAX || self.items > ITEMS_MAX {
                return Err(BundleError::Bound("control records"));
            }
            self.controls.push((seq, time_ms, control));
        }
        Ok(())
    }

    /// Takes up an entry whose record is not in the bundle.
    pub(super) fn closed(&mut self, seq: u64, entry: &Entry) -> Result<(), BundleError> {
        match entry.kind {
            Kind::Policy if self.policies_closed.len() == CONTROLS_MAX => {
                return Err(BundleError::Bound("policies that are not opened"));
            }
            Kind::Policy => {
                self.policies_closed.insert(seq);
            }
            Kind::Hold => self.hold_closed = self.hold_closed.or(Some(seq)),
            _ => {}
        }
        if !self.range.contains(&seq) {
            return Ok(());
        }
        if entry.kind != Kind::Event {
            self.add(RangeFinding::ControlGone { seq });
            return Ok(());
        }
        let full = self.gone.len() == GONE_MAX;
        match self.gone.last_mut() {
            Some(gone) if gone.seqs.end == seq && gone.class == entry.class => {
                gone.seqs.end = seq + 1;
                if gone
                    .times
                    .last()
                    .is_none_or(|(_, time_ms)| *time_ms != entry.time_ms)
                {
                    self.times += 1;
                    if self.times > TIMES_MAX {
                        return Err(BundleError::Bound("times of what is gone"));
                    }
                    gone.times.push((seq, entry.time_ms));
                }
            }
            _ if full => return Err(BundleError::Bound("gaps")),
            _ => self.gone.push(Gone {
                seqs: seq..seq + 1,
                class: entry.class,
                times: vec![(seq, entry.time_ms)],
            }),
        }
        Ok(())
    }

    /// Judges what is gone, once everything was taken up; `runs` are the entries that the bundle has.
    ///
    /// # Errors
    /// [`BundleError::Bound`] if that takes more steps than any honest log makes necessary.
    pub(super) fn judge(mut self, runs: &[Range<u64>]) -> Result<RangeReport, BundleError> {
        let controls = std::mem::take(&mut self.controls);
        let removals: Vec<_> = controls.iter().filter_map(removal).collect();
        let mut report = RangeReport {
            first_seq: self.range.start,
            end_seq: self.range.end,
            opened: self.opened,
            ..RangeReport::default()
        };
        let (mut used, mut steps) = (BTreeSet::new(), 0_usize);
        for gone in std::mem::take(&mut self.gone) {
            let mut at = gone.seqs.start;
            while at < gone.seqs.end {
                steps = steps.saturating_add(removals.len());
                if steps > STEPS_MAX {
                    return Err(BundleError::Bound("removals of one range"));
                }
                // Further on, other removals may reach further.
                let starts = removals
                    .iter()
                    .filter_map(|removal| removal.start_behind(at, &gone));
                let next = starts.min().unwrap_or(gone.seqs.end);
                let reach = |removal: &Removal<'_>| removal.reach(at, gone.class);
                let Some(furthest) = removals.iter().filter_map(reach).max() else {
                    let (seq, end, class) = (at, next, gone.class);
                    self.add(RangeFinding::Unexplained { seq, end, class });
                    at = next;
                    continue;
                };
                let seqs = at..furthest.min(next);
                // Of several that reach equally far nobody can tell which it was, so each must have been allowed.
                let mut last = None;
                for by in removals.iter().filter(|by| reach(by) == Some(furthest)) {
                    steps = steps.saturating_add(controls.len());
                    match allowed(by, &seqs, &gone, &controls) {
                        Ok(()) => last = Some(by),
                        Err(finding) => {
                            self.add(finding);
                            last = None;
                            break;
                        }
                    }
                }
                if let Some(by) = last {
                    used.insert((by.seq, by.policy.unwrap_or(by.seq)));
                    match by.how {
                        How::Purge(_) => report.purged += seqs.end - seqs.start,
                        How::Erasure(_) => report.erased += seqs.end - seqs.start,
                    }
                }
                at = seqs.end;
            }
        }
        for (by, policy) in used {
            if self.is_shown(runs, policy, by) {
                report.reasons_shown_in_force += 1;
            } else {
                report.reasons_claimed_in_force += 1;
            }
        }
        report.findings = self.findings;
        report.findings_omitted = self.omitted;
        Ok(report)
    }

    /// Whether the bundle has every policy between the one that was cited and the removal, and every hold before the removal: a hold
    /// may be as old as the log.
    fn is_shown(&self, runs: &[Range<u64>], policy: u64, by: u64) -> bool {
        runs.iter().any(|run| run.start == 0 && by <= run.end)
            && self.hold_closed.is_none_or(|hold| by < hold)
            && self.policies_closed.range(policy..by).next().is_none()
    }

    fn add(&mut self, finding: RangeFinding) {
        if self.findings.len() < RANGE_FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.omitted += 1;
        }
    }
}

impl Removal<'_> {
    /// How far from a record on it names records of the class; `None` if not that record, or one behind it in the log.
    fn reach(&self, seq: u64, class: u16) -> Option<u64> {
        let named = seq < self.seq && self.class.is_none_or(|own| own == class);
        let end = self.ranges.find(seq).filter(|_| named)?.end;
        Some(end.min(self.seq))
    }

    /// Where its first range behind `at` starts, if among those gone.
    fn start_behind(&self, at: u64, gone: &Gone) -> Option<u64> {
        let end = gone.seqs.end;
        let first = self.ranges.overlap(&(at + 1..end))?;
        let start = if first.start > at {
            first.start
        } else {
            self.ranges.overlap(&(first.end..end))?.start
        };
        self.reach(start, gone.class).map(|_| start)
    }
}

fn removal((seq, time_ms, control): &(u64, u64, Control)) -> Option<Removal<'_>> {
    let (ranges, policy, class, how) = match control {
        Control::Purge(purge) => (
            &purge.ranges,
            Some(purge.policy),
            Some(purge.class),
            How::Purge(purge),
        ),
        Control::Erasure(erasure) if erasure.scope == ErasureScope::Records => {
            (&erasure.ranges, erasure.policy, None, How::Erasure(erasure))
        }
        _ => return None,
    };
    Some(Removal {
        seq: *seq,
        time_ms: *time_ms,
        ranges,
        policy,
        class,
        how,
    })
}

/// Whether the removal of some of what is gone was allowed, as far as the controls tell.
fn allowed(
    by: &Removal<'_>,
    seqs: &Range<u64>,
    gone: &Gone,
    controls: &[(u64, u64, Control)],
) -> Result<(), RangeFinding> {
    let (seq, class, cited) = (seqs.start, gone.class, by.policy.unwrap_or(u64::MAX));
    let policies = controls.iter().filter_map(|(at, _, control)| match control {
        Control::RetentionPolicy(policy) if policy.class == class && *at < by.seq => Some((*at, policy)),
        _ => None,
    });
    let newest = policies.clone().next_back();
    let Some((policy_seq, policy)) = policies.clone().find(|(at, _)| *at == cited) else {
        return Err(RangeFinding::NoPolicy {
            seq,
            by: by.seq,
            policy: cited,
            class,
        });
    };
    if let Some((newer, _)) = newest.filter(|(newest, _)| *newest != policy_seq) {
        return Err(RangeFinding::Superseded {
            seq,
            by: by.seq,
            policy: policy_seq,
            newer,
        });
    }
    permits(policy, by, gone.newest_ms(seqs)).map_err(|message| RangeFinding::NotAllowed {
        seq,
        by: by.seq,
        policy: policy_seq,
        message: message.to_owned(),
    })?;
    locks(policies.clone(), by, gone.newest_ms(seqs)).map_err(|(locking, message)| {
        RangeFinding::NotAllowed {
            seq,
            by: by.seq,
            policy: locking,
            message: message.to_owned(),
        }
    })?;
    match held(seqs, class, by.seq, controls) {
        Some(hold) => Err(RangeFinding::Held {
            seq,
            by: by.seq,
            hold,
        }),
        None => Ok(()),
    }
}

/// Whether the policy permits to remove records of which the newest is of that time.
fn permits(policy: &RetentionPolicy, by: &Removal<'_>, newest_ms: u64) -> Result<(), &'static str> {
    let older_than = |age: u64| newest_ms.checked_add(age).is_some_and(|due| due <= by.time_ms);
    let old_enough = older_than(policy.keep_min_ms);
    match by.how {
        How::Purge(purge) => match purge.reason {
            PurgeReason::Expired if !policy.keep_max_ms.is_some_and(older_than) => Err("it had not expired"),
            PurgeReason::Ordered if !old_enough => Err("it was younger than the minimum"),
            PurgeReason::Override if policy.mode == RetentionMode::Compliance && !old_enough => {
                Err("nobody can go below the minimum in compliance mode")
            }
            PurgeReason::Override if !old_enough && distinct(&purge.approved_by) < 2 => {
                Err("going below the minimum takes two approvals")
            }
            _ if !old_enough && purge.reason != PurgeReason::Override => {
                Err("it was younger than the minimum")
            }
            _ => Ok(()),
        },
        How::Erasure(erasure) => match policy.erasable {
            Erasable::Yes if policy.mode == RetentionMode::Compliance && !old_enough => {
                Err("whole records are locked until the minimum in compliance mode")
            }
            Erasable::Yes if distinct(&erasure.approved_by) == 0 => Err("nobody approved the erasure"),
            Erasable::Yes => Ok(()),
            Erasable::PersonalOnly | Erasable::No => Err("whole records of the class cannot be erased"),
        },
    }
}

/// What earlier policies of the class have locked, whatever the last one says: mode compliance never weakens, mode governance only if
/// two people approved. `Err` names the policy that locked, and why it does not permit the removal.
fn locks<'a>(
    policies: impl Iterator<Item = (u64, &'a RetentionPolicy)>,
    by: &Removal<'_>,
    newest_ms: u64,
) -> Result<(), (u64, &'static str)> {
    let (mut compliance, mut governance): (Option<Lock>, Option<Lock>) = (None, None);
    for (seq, policy) in policies {
        match policy.mode {
            RetentionMode::Compliance => Lock::add(&mut compliance, seq, policy),
            RetentionMode::Governance | RetentionMode::None => {}
        }
        if distinct(&policy.approved_by) > 1 {
            governance = None;
        }
        if policy.mode != RetentionMode::None {
            Lock::add(&mut governance, seq, policy);
        }
    }
    let old_enough = |lock: &Lock| {
        let due = newest_ms.checked_add(lock.keep_min_ms);
        lock.keep_min_ms == 0 || due.is_some_and(|due| due <= by.time_ms)
    };
    if let Some(lock) = &compliance
        && (!old_enough(lock) || lock.forbids(by))
    {
        return Err((
            lock.seq,
            "mode compliance had locked it, and nobody can weaken that",
        ));
    }
    let two_of_them = matches!(by.how, How::Purge(purge)
        if purge.reason == PurgeReason::Override && distinct(&purge.approved_by) > 1);
    let early = |lock: &Lock| matches!(by.how, How::Purge(_)) && !old_enough(lock) && !two_of_them;
    match &governance {
        Some(lock) if early(lock) || lock.forbids(by) => Err((
            lock.seq,
            "mode governance had locked it, and weakening that takes two approvals",
        )),
        _ => Ok(()),
    }
}

/// What policies of a class have locked together.
struct Lock {
    /// The last of them that locked more than those before.
    seq: u64,
    keep_min_ms: u64,
    erasable: Erasable,
}

impl Lock {
    /// Adds a policy: what was locked stays locked.
    fn add(lock: &mut Option<Self>, seq: u64, policy: &RetentionPolicy) {
        let before = lock.take();
        let more = before.as_ref().is_none_or(|before| {
            policy.keep_min_ms > before.keep_min_ms || policy.erasable > before.erasable
        });
        let of = |one: &Self| (one.seq, one.keep_min_ms, one.erasable);
        let (at, keep_min_ms, erasable) = before.as_ref().map_or((seq, 0, Erasable::Yes), of);
        *lock = Some(Self {
            seq: if more { seq } else { at },
            keep_min_ms: keep_min_ms.max(policy.keep_min_ms),
            erasable: erasable.max(policy.erasable),
        });
    }

    /// Whether it keeps whole records from being erased.
    fn forbids(&self, by: &Removal<'_>) -> bool {
        matches!(by.how, How::Erasure(_)) && self.erasable != Erasable::Yes
    }
}

/// The record that placed a hold over some of the records, which was not released when they were removed.
fn held(seqs: &Range<u64>, class: u16, by: u64, controls: &[(u64, u64, Control)]) -> Option<u64> {
    let covers = |hold: &Hold| hold.classes.contains(&class) || hold.ranges.overlap(seqs).is_some();
    // The last release of each hold before the removal.
    let before = controls.iter().filter(|(at, ..)| *at < by);
    let released: BTreeMap<&str, u64> = before
        .clone()
        .filter_map(|(at, _, control)| match control {
            Control::HoldRelease(release) => Some((release.hold.as_str(), *at)),
            _ => None,
        })
        .collect();
    before.clone().find_map(|(placed, _, control)| match control {
        Control::Hold(hold) if covers(hold) => {
            let is_released = released.get(hold.hold.as_str()).is_some_and(|at| placed < at);
            (!is_released).then_some(*placed)
        }
        _ => None,
    })
}

fn items(control: &Control) -> usize {
    match control {
        Control::Purge(purge) => purge.ranges.iter().count() + purge.approved_by.len(),
        Control::Erasure(erasure) => erasure.ranges.iter().count() + erasure.approved_by.len(),
        Control::Hold(hold) => hold.ranges.iter().count() + hold.classes.len(),
        Control::HoldRelease(release) => release.approved_by.len(),
        Control::RetentionPolicy(_) | Control::Other => 0,
    }
}

fn distinct(approvals: &[String]) -> usize {
    approvals.iter().collect::<BTreeSet<_>>().len()
}

/// Most controls of a bundle that are judged.
const CONTROLS_MAX: usize = 65_536;
/// Most gaps in a range, of one class each.
const GONE_MAX: usize = 1_000_000;
/// Most times in them, neighbours of one time counted once.
const TIMES_MAX: usize = 10_000_000;
/// Most ranges, classes and approvals of all controls together.
const ITEMS_MAX: usize = 4_000_000;
/// Most looks at a removal or a control.
const STEPS_MAX: usize = 1_000_000_000;
