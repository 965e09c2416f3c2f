//! `manifest.json`: what was asked, and what Art. 15 (1) GDPR wants told beside the data, as far as the log knows.

use std::collections::BTreeMap;

use attestore_export::{rfc3339_ms, sha256_hex};
use attestore_record::view;
use serde::Serialize;
use serde_json::Value;

use super::line::Seen;
use super::row::{AccessRow, Asked};
use crate::catalog::hex;
use crate::exports::row::{JobKey, JobRow};
use crate::exports::source::Found;
use crate::read::records;
use crate::tenant::Tenant;
use crate::{Error, Result};

/// The document. Members are written in this order.
#[derive(Serialize)]
pub(super) struct Account {
    version: &'static str,
    request: String,
    pub(super) kind: &'static str,
    pub(super) tenant: String,
    pub(super) subjects: Vec<Subject>,
    basis: Option<String>,
    requested_at: String,
    requested_by: String,
    pub(super) generated_at: String,
    pub(super) origin: String,
    pub(super) tree_size: u64,
    root: String,
    checkpoint: String,
    pub(super) records: u64,
    pub(super) withheld: Counted,
    /// Records with fields about the person and others together, which somebody may weigh by hand.
    shared_records: Vec<u64>,
    pub(super) retention: Vec<Retention>,
    pub(super) sources: Vec<Source>,
    pub(super) categories: Vec<Category>,
    purposes: &'static str,
    pub(super) recipients: Option<Vec<RecipientOf>>,
    pub(super) restricted: bool,
    automated_decisions: &'static str,
    proofs: Proofs,
    pub(super) notes: Vec<&'static str>,
    pub(super) files: Vec<Member>,
}

#[derive(Serialize)]
pub(super) struct Subject {
    #[serde(rename = "type")]
    pub(super) ty: String,
    pub(super) id: String,
}

/// What was taken out, in numbers.
#[derive(Clone, Copy, Default, Serialize)]
pub(super) struct Counted {
    pub(super) third_party: u64,
    pub(super) shared: u64,
    pub(super) erased: u64,
    /// Fields that no group of others holds.
    pub(super) concealed: u64,
}

#[derive(Serialize)]
pub(super) struct Retention {
    pub(super) class: u16,
    pub(super) records: u64,
    /// Null: kept until a policy is set.
    pub(super) policy: Option<Policy>,
}

#[derive(Serialize)]
pub(super) struct Policy {
    pub(super) name: String,
    pub(super) basis: String,
    pub(super) keep_min_ms: u64,
    pub(super) keep_max_ms: Option<u64>,
    seq: u64,
}

#[derive(Serialize)]
pub(super) struct Source {
    pub(super) protocol: String,
    pub(super) credential: String,
    pub(super) records: u64,
}

#[derive(Serialize)]
pub(super) struct Category {
    pub(super) name: String,
    pub(super) records: u64,
}

#[derive(Serialize)]
pub(super) struct RecipientOf {
    pub(super) id: String,
    pub(super) requests: BTreeMap<String, u64>,
}

/// How many records come with a proof.
#[derive(Clone, Copy, Default, Serialize)]
pub(super) struct Proofs {
    /// With an opening of what is about the person.
    pub(super) opened: u64,
    /// That the entry is in the tree, without an opening: it would show something about others.
    pub(super) entries_only: u64,
}

/// A member of the archive.
#[derive(Clone, Serialize)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

impl Member {
    pub(super) fn of(name: &str, bytes: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            bytes: bytes.len() as u64,
            sha256: sha256_hex(bytes),
        }
    }
}

/// What is counted while records are written.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) records: u64,
    pub(super) erased: u64,
    pub(super) first: Option<u64>,
    pub(super) last: Option<u64>,
    pub(super) withheld: Counted,
    pub(super) proofs: Proofs,
    shared: Vec<u64>,
    classes: BTreeMap<u16, u64>,
    sources: BTreeMap<(String, String), u64>,
    categories: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts a record.
    ///
    /// # Errors
    /// Damage.
    pub(super) fn add(&mut self, found: &Found<'_>, seen: &Seen) -> Result<()> {
        let seq = found.record.seq;
        let opened = view::open(&found.record.public).map_err(|error| records::malformed(seq, &error))?;
        self.records += 1;
        self.first.get_or_insert(seq);
        self.last = Some(seq);
        let count = |why: &str| seen.withheld.iter().filter(|group| group.why == why).count() as u64;
        self.withheld.third_party += count("third_party");
        self.withheld.shared += count("shared");
        self.withheld.erased += count("erased");
        self.erased += u64::from(count("erased") > 0);
        self.withheld.concealed += seen.disclosed.concealed.len() as u64;
        if count("shared") > 0 && self.shared.len() < LISTED_MAX {
            self.shared.push(seq);
        }
        *self.classes.entry(found.entry.class).or_default() += 1;
        let source = (opened.protocol.into_owned(), opened.credential_id.into_owned());
        add(&mut self.sources, source);
        let event: Value = serde_json::from_str(&seen.disclosed.event).unwrap_or_default();
        for category in event["data_categories"].as_array().into_iter().flatten() {
            if let Some(name) = category.as_str() {
                add(&mut self.categories, name.to_owned());
            }
        }
        Ok(())
    }

    /// Makes the document.
    pub(super) fn account(
        self,
        (tenant, key, row): (&Tenant, &JobKey, &JobRow),
        (access, asked): (&AccessRow, &Asked),
        checkpoint: &str,
        generated_ms: u64,
        restricted: bool,
    ) -> Account {
        let rules = tenant.rules.load();
        let retention = self.classes.into_iter().map(|(class, records)| Retention {
            class,
            records,
            policy: rules.policy(class).map(|found| Policy {
                name: found.policy.name.clone(),
                basis: found.policy.basis.clone(),
                keep_min_ms: found.policy.keep_min_ms,
                keep_max_ms: found.policy.keep_max_ms,
                seq: found.seq,
            }),
        });
        let sources = self.sources.into_iter();
        let sources = sources.map(|((protocol, credential), records)| Source {
            protocol,
            credential,
            records,
        });
        let categories = self.categories.into_iter();
        let recipients = access.recipients.clone().map(|all| {
            let of = |one: crate::forget::erase::Recipient| RecipientOf {
                id: one.id,
                requests: one.requests.into_iter().collect(),
            };
            all.into_iter().map(of).collect()
        });
        Account {
            version: "attestore access v1",
            request: hex(&key.1),
            kind: access.kind.name(),
            tenant: row.tenant.clone(),
            subjects: asked
                .people
                .iter()
                .map(|(ty, id)| Subject {
                    ty: ty.clone(),
                    id: id.clone(),
                })
                .collect(),
            basis: access.basis.clone(),
            requested_at: rfc3339_ms(row.created_ms),
            requested_by: row.created_by.clone(),
            generated_at: rfc3339_ms(generated_ms),
            origin: row.origin.clone(),
            tree_size: row.size,
            root: row.root.clone(),
            checkpoint: checkpoint.to_owned(),
            records: self.records,
            withheld: self.withheld,
            shared_records: self.shared,
            retention: retention.collect(),
            sources: sources.collect(),
            categories: categories
                .map(|(name, records)| Category { name, records })
                .collect(),
            purposes: UNKNOWN,
            recipients,
            restricted,
            automated_decisions: UNKNOWN,
            proofs: self.proofs,
            notes: NOTES.to_vec(),
            files: Vec::new(),
        }
    }
}

impl Account {
    /// The bytes that are hashed, signed and handed out.
    ///
    /// # Errors
    /// When it does not serialise.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|error| Error::Io(error.to_string()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// Counts in a table of a bounded number of names; what comes beyond is counted as `(others)`.
fn add<K: Ord + Others>(table: &mut BTreeMap<K, u64>, name: K) {
    let name = match table.len() < LISTED_MAX || table.contains_key(&name) {
        true => name,
        false => K::others(),
    };
    *table.entry(name).or_default() += 1;
}

trait Others {
    fn others() -> Self;
}

impl Others for String {
    fn others() -> Self {
        OTHERS.to_owned()
    }
}

impl Others for (String, String) {
    fn others() -> Self {
        (OTHERS.to_owned(), OTHERS.to_owned())
    }
}

const OTHERS: &str = "(others)";
const UNKNOWN: &str = "unknown to this system";
const LISTED_MAX: usize = 1000;
const NOTES: [&str; 6] = [
    "Records are those with fields that were declared, or are by the privacy policy, about the subjects. Where a public field \
     names somebody in passing, nothing leads from the person to it.",
    "Fields about others stand as [third party], fields about the subjects and others together as [shared]: what they hold of the \
     others is not the subjects' to see without somebody weighing it (Art. 15 (4) GDPR). shared_records names the records.",
    "[personal] stands where data about others was erased, or is being erased.",
    "Records that were purged or erased as a whole are not in it, and are not counted: nothing is left that says whom they were \
     about.",
    "recipients are the credentials and identities that were let see records of this log, whether or not they saw these. To whom \
     they passed anything on is not known here.",
    "purposes and automated decisions are not known to this system: whoever runs it answers that.",
];
