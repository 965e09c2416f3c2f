//! From an event to the bytes that are stored and hashed.

use crate::event::Event;
use crate::ids::{Handle, RecordId, TenantId};
use crate::policy::PrivacyPolicy;

/// What the server adds to the public group of a record.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// The record's id.
    pub id: RecordId,
    /// The tenant.
    pub tenant: TenantId,
    /// Ingest protocol, as `native` or `otlp`; `internal` for control records.
    pub protocol: &'a str,
    /// The credential that the sender used.
    pub credential_id: &'a str,
}

/// A record's groups, before handles are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Bytes of the public group, final.
    pub public: Vec<u8>,
    /// One group for each distinct set of data subjects, in order of first occurrence in the event.
    pub personal: Vec<PersonalGroup>,
}

/// The fields that are about one set of data subjects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonalGroup {
    /// The subjects: sorted, each once, never empty.
    pub subjects: Vec<SubjectRef>,
    /// The fields, as a JSON object from pointer to value.
    pub body: Vec<u8>,
}

/// A data subject as the tenant knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectRef {
    /// Kind of subject.
    pub ty: String,
    /// The tenant's id of the subject.
    pub id: String,
}

impl PersonalGroup {
    /// Returns the bytes of the group: `handles` are those of [`PersonalGroup::subjects`], in any order.
    pub fn bytes(&self, handles: &[Handle]) -> Vec<u8> {
        let _ = handles;
        todo!()
    }
}

/// Encodes an event into its groups under a privacy policy.
pub fn encode(event: &Event<'_>, envelope: &Envelope<'_>, policy: &PrivacyPolicy) -> Encoded {
    let _ = (event, envelope, policy);
    todo!()
}
