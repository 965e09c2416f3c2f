//! Proposals: what detectors find in the public fields of records that are stored.
//!
//! A bounded number of the newest records is looked through. What comes out are paths, detectors and counts, never a value; a
//! member's name that holds one shows as `*`.

use std::collections::BTreeMap;

use attestore_record::detect::{Confidence, Detector, Detectors, Family, scan_public};
use attestore_record::policy::{Rule, SubjectRule};

use crate::credentials::{Permission, Principal};
use crate::forget::gone::Filter;
use crate::read::{records, snapshot, tree};
use crate::{Engine, Result};

/// Records that are looked through unless asked otherwise.
pub const SAMPLE_DEFAULT: u64 = 10_000;
/// Most records that are looked through.
pub const SAMPLE_MAX: u64 = 100_000;

/// What was found in the newest records.
#[derive(Clone, Debug, Default)]
pub struct Proposals {
    /// Records that were looked through.
    pub records: u64,
    /// Those of them that have more text than is looked through of one.
    pub partially_scanned: u64,
    /// Whether time or places ran out before the sample was through.
    pub cut_short: bool,
    /// Field by field, those with the most hits first.
    pub proposals: Vec<Proposal>,
}

/// What one detector found in one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// JSON pointer of the field; `*` stands for any index.
    pub path: String,
    /// The detector.
    pub detector: Detector,
    /// Sure hits.
    pub sure: u64,
    /// Suspected hits.
    pub suspected: u64,
    /// What could be done.
    pub suggestion: Suggestion,
}

/// What could be done about values in a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Suggestion {
    /// Make the field personal.
    Rule(Rule),
    /// Redact what the detector finds.
    Redact(Detector),
}

impl Engine {
    /// Looks through the newest records of a tenant for what its policy could cover.
    ///
    /// # Errors
    /// [`crate::Error::UnknownTenant`], [`crate::Error::Forbidden`], or as reads.
    pub fn privacy_proposals(&self, tenant: &str, by: &Principal, sample: u64) -> Result<Proposals> {
        by.check(tenant, Permission::ManagePrivacy)?;
        let inner = &self.inner;
        let tenant = inner.tenant(tenant)?;
        let ends_ms = inner.clock.boot_ms().saturating_add(TIME_MS_MAX);
        let mut counts: BTreeMap<(String, Detector), Counted> = BTreeMap::new();
        let mut found = Proposals::default();
        let size = tenant.view().size;
        let last = size.saturating_sub(sample.min(SAMPLE_MAX));
        let mut end = size;
        while end > last && !found.cut_short {
            let start = end.saturating_sub(AT_ONCE).max(last);
            let read = snapshot(&tenant, |view| {
                let tree = tree::reader(inner, &tenant, view);
                let mut filter = Filter::new(&tenant, tree.source(), view.size);
                let mut seqs = Vec::new();
                for seq in start..end {
                    if !filter.is_gone(seq)? {
                        seqs.push(seq);
                    }
                }
                records::read_many(inner, &tenant, view, &seqs, false, &|| Ok(()))
            })?;
            for record in &read {
                let scan = scan_public(&record.public, Detectors::ALL)
                    .map_err(|error| records::malformed(record.seq, &error))?;
                found.records += 1;
                found.partially_scanned += u64::from(scan.partially_scanned);
                for hit in scan.found {
                    let key = (hit.path, hit.detector);
                    if counts.len() >= PLACES_MAX && !counts.contains_key(&key) {
                        found.cut_short = true;
                        continue;
                    }
                    let counted = counts.entry(key).or_default();
                    counted.can_be_personal |= hit.can_be_personal;
                    match hit.confidence {
                        Confidence::Sure => counted.sure += 1,
                        Confidence::Suspected => counted.suspected += 1,
                    }
                }
            }
            end = start;
            found.cut_short |= end > last && inner.clock.boot_ms() >= ends_ms;
            inner.check_running()?;
        }
        found.proposals = counts.into_iter().map(proposal).collect();
        found
            .proposals
            .sort_by_key(|proposal| std::cmp::Reverse((proposal.sure, proposal.suspected)));
        Ok(found)
    }
}

#[derive(Default)]
struct Counted {
    sure: u64,
    suspected: u64,
    can_be_personal: bool,
}

fn proposal(((path, detector), counted): ((String, Detector), Counted)) -> Proposal {
    // What opens or pays for something is nobody's to keep, whomever it is about.
    let kept = detector.family() != Family::Secret && detector != Detector::PaymentCard;
    let suggestion = match counted.can_be_personal && kept {
        true => Suggestion::Rule(Rule {
            path: path.clone(),
            subject: SubjectRule::All,
        }),
        false => Suggestion::Redact(detector),
    };
    Proposal {
        path,
        detector,
        sure: counted.sure,
        suspected: counted.suspected,
        suggestion,
    }
}

/// Records that are read at once.
const AT_ONCE: u64 = 512;
/// Fields and detectors that are counted apart.
const PLACES_MAX: usize = 1000;
/// How long it may take (ms).
const TIME_MS_MAX: u64 = 20_000;
