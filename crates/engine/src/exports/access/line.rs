//! What the person sees of one record: a line of `records.ndjson`.

use attestore_export::rfc3339_ms;
use attestore_record::view::{self, About, Disclosed, Part};
use attestore_record::{Handle, PrivacyPolicy, SubjectRef, commitment};
use hashbrown::HashSet;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::catalog::hex;
use crate::exports::source::Found;
use crate::read::records::{self, Personal, SetSalts};
use crate::tenant::Tenant;
use crate::{Error, Result};

/// Whom a file is about, as each record is looked at.
pub(super) struct Person {
    pub(super) handles: HashSet<[u8; 16]>,
    pub(super) people: Vec<SubjectRef>,
    /// What is personal today.
    pub(super) policy: PrivacyPolicy,
}

impl Person {
    pub(super) fn about(&self, handles: &[Handle]) -> About {
        let theirs = |handle: &&Handle| self.handles.contains(handle.as_bytes());
        match handles.iter().filter(theirs).count() {
            0 => About::Others,
            some if some == handles.len() => About::Them,
            _ => About::Shared,
        }
    }
}

/// A record as the person sees it.
pub(super) struct Seen {
    pub(super) disclosed: Disclosed,
    /// Groups that it does not see.
    pub(super) withheld: Vec<Withheld>,
    /// The groups that it sees, as stored.
    pub(super) own: Vec<Vec<u8>>,
}

/// A group that the person does not see.
#[derive(Serialize)]
pub(super) struct Withheld {
    /// `third_party`, `shared` or `erased`.
    pub(super) why: &'static str,
    /// Pointers of its fields; not known of one that was erased.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<String>,
    /// What the log holds of it, hex.
    commitment: String,
}

/// A line.
#[derive(Serialize)]
struct Line<'a> {
    id: String,
    seq: u64,
    received_at: String,
    kind: &'static str,
    entry: String,
    event: &'a RawValue,
    withheld: &'a [Withheld],
    concealed: &'a [String],
}

impl Seen {
    /// Looks at a record.
    ///
    /// # Errors
    /// Damage; as reads of keys.
    pub(super) fn of(
        tenant: &Tenant,
        found: &Found<'_>,
        person: &Person,
        salts: &mut SetSalts,
    ) -> Result<Self> {
        let record = found.record;
        let id = record.id()?;
        let mut left = record.commitments.clone();
        let (mut parts, mut commitments, mut own) = (Vec::new(), Vec::new(), Vec::new());
        for group in &record.personal {
            let Personal::Opened { handles, bytes } = group else {
                continue;
            };
            // A key of its subjects was destroyed since it was read.
            let Some(salt) = salts.salt(tenant, &id, handles)? else {
                continue;
            };
            let commitment = commitment::group_commitment(found.entry.version, &salt, bytes);
            left.retain(|other| *other != commitment);
            let about = person.about(handles);
            if about == About::Them {
                own.push(bytes.clone());
            }
            parts.push(Part { bytes, about });
            commitments.push(commitment);
        }
        let disclosed = view::disclose(&record.public, &parts, &person.people, &person.policy)
            .map_err(|error| records::malformed(record.seq, &error))?;
        let given = parts.iter().zip(&commitments).zip(&disclosed.pointers);
        let mut withheld: Vec<Withheld> = given
            .filter_map(|((part, commitment), pointers)| {
                let why = match part.about {
                    About::Them => return None,
                    About::Shared => "shared",
                    About::Others => "third_party",
                };
                Some(Withheld {
                    why,
                    fields: pointers.clone(),
                    commitment: hex(commitment),
                })
            })
            .collect();
        withheld.extend(left.iter().map(|commitment| Withheld {
            why: "erased",
            fields: Vec::new(),
            commitment: hex(commitment),
        }));
        Ok(Self {
            disclosed,
            withheld,
            own,
        })
    }

    /// The line, with its end.
    ///
    /// # Errors
    /// Damage, if the event is no JSON.
    pub(super) fn line(&self, found: &Found<'_>) -> Result<Vec<u8>> {
        let seq = found.record.seq;
        let damaged =
            |error: serde_json::Error| Error::damage("records", seq, format!("record {seq}: {error}"));
        let event: &RawValue = serde_json::from_str(&self.disclosed.event).map_err(damaged)?;
        let line = Line {
            id: found.record.id()?.to_string(),
            seq,
            received_at: rfc3339_ms(found.entry.time_ms),
            kind: found.entry.kind.name(),
            entry: hex(&found.entry.to_bytes()),
            event,
            withheld: &self.withheld,
            concealed: &self.disclosed.concealed,
        };
        let mut bytes = serde_json::to_vec(&line).map_err(damaged)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Whether the record can be opened for the person without showing anything of others: stored bytes that show more than the
    /// line cannot.
    pub(super) fn opens(&self) -> bool {
        self.disclosed.concealed.is_empty()
    }
}
