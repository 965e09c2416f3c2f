//! From an event to the bytes that are stored and hashed: groups.
//!
//! # Format
//! UTF-8 JSON without insignificant white space, names in this order. The public group:
//!
//! ```text
//! {"v":1,"id":"<uuid>","tenant":"<32 hex>","protocol":"native","credential":"<id>","privacy":1,
//!  "withheld":["/actor/id",…],"event":{…}}
//! ```
//!
//! `withheld` lists the pointers of the personal fields in schema order and is absent when there are none. In
//! `event`, personal fields are absent; inside free-form values a personal value is replaced with `null`, so that
//! its place is kept. A personal group:
//!
//! ```text
//! {"v":1,"subjects":["<32 hex handle>",…],"fields":{"/actor/id":"u_42",…}}
//! ```
//!
//! Handles ascend; fields are in schema order. There is one personal group for each distinct set of subjects.

mod free_form;
mod guard;
mod people;
mod split;

use crate::event::Event;
use crate::event::write::write;
use crate::ids::{Handle, RecordId, TenantId, push_hex, push_record_id};
use crate::json::escape::push_string;
use crate::policy::PrivacyPolicy;

use guard::Guard;
pub use guard::{Detected, Refusal};
use people::People;
use split::Split;

/// Most bytes of pointers to personal values *inside* free-form values of one event. A value that would need more
/// is personal as a whole, so that a policy's `*` cannot make many times the event's bytes.
pub const PART_POINTER_BYTES_MAX: usize = 16 * 1024;

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
    /// What detectors found.
    pub detected: Detected,
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
    /// Kind of subject, ASCII letters in lower case.
    pub ty: String,
    /// The tenant's id of the subject.
    pub id: String,
}

impl SubjectRef {
    /// Names a subject. The case of ASCII letters of a type does not count; ids are exact.
    pub fn new(ty: &str, id: impl Into<String>) -> Self {
        Self {
            ty: ty.to_ascii_lowercase(),
            id: id.into(),
        }
    }
}

impl PersonalGroup {
    /// Returns the bytes of the group: `handles` are those of [`PersonalGroup::subjects`], in any order.
    pub fn bytes(&self, handles: &[Handle]) -> Vec<u8> {
        let mut sorted = handles.to_vec();
        sorted.sort_unstable();
        let mut out = Vec::with_capacity(40 + 35 * sorted.len() + self.body.len());
        out.extend_from_slice(b"{\"v\":1,\"subjects\":[");
        for (index, handle) in sorted.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b"\"" } else { b",\"" });
            push_hex(&mut out, handle.as_bytes());
            out.push(b'"');
        }
        out.extend_from_slice(b"],\"fields\":");
        out.extend_from_slice(&self.body);
        out.push(b'}');
        out
    }
}

/// Encodes an event into its groups under a privacy policy. What the policy's detectors find is made personal, redacted
/// or refused on the way.
///
/// # Errors
/// [`Refusal`] when the event holds a value that the policy refuses.
pub fn encode(
    event: &Event<'_>,
    envelope: &Envelope<'_>,
    policy: &PrivacyPolicy,
) -> Result<Encoded, Refusal> {
    let mut guard = Guard::of(policy.detection());
    let cut = guard.as_mut().and_then(|guard| guard.cut_declared(event));
    let event = cut.as_ref().unwrap_or(event);
    let people = People::of(event, policy);
    let claims = people.claims(event, policy);
    let mut split = Split::new(event, policy, &people, claims.as_ref(), guard);
    let mut body = Vec::with_capacity(event.length_hint());
    write(&mut body, event, &mut split);
    let Split {
        groups,
        withheld,
        guard,
        ..
    } = split;
    let mut detected = Detected::default();
    if let Some(guard) = guard {
        if let Some(refusal) = guard.refusal {
            return Err(refusal);
        }
        detected = guard.detected;
    }
    let mut public = Vec::with_capacity(body.len() + withheld.len() + envelope.credential_id.len() + 224);
    push_envelope(&mut public, envelope, policy.version());
    if !withheld.is_empty() {
        public.extend_from_slice(b",\"withheld\":[");
        public.extend_from_slice(&withheld);
        public.push(b']');
    }
    public.extend_from_slice(b",\"event\":");
    public.extend_from_slice(&body);
    public.push(b'}');
    let personal = groups.into_iter().map(|group| group.finish(&people)).collect();
    Ok(Encoded {
        public,
        personal,
        detected,
    })
}

/// Appends the opening of a public group, up to and including the privacy policy's version.
pub(crate) fn push_envelope(out: &mut Vec<u8>, envelope: &Envelope<'_>, privacy: u32) {
    out.extend_from_slice(b"{\"v\":1,\"id\":\"");
    push_record_id(out, &envelope.id);
    out.extend_from_slice(b"\",\"tenant\":\"");
    push_hex(out, envelope.tenant.as_bytes());
    out.extend_from_slice(b"\",\"protocol\":");
    push_string(out, envelope.protocol);
    out.extend_from_slice(b",\"credential\":");
    push_string(out, envelope.credential_id);
    out.extend_from_slice(b",\"privacy\":");
    out.extend_from_slice(privacy.to_string().as_bytes());
}

#[cfg(test)]
mod tests;
