//! The values of a record that an index needs, typed.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::event::{Classification, Operation, Outcome, Raw, Severity, Text};

/// What an index needs of a record. Every field is optional: a value stands either in the public or in the
/// personal half of [`super::Fields`].
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct FieldValues<'a> {
    /// Nanoseconds since 1970; the time of receipt stands in when absent.
    pub occurred_at_ns: Option<i64>,
    /// `action`.
    pub action: Option<Text<'a>>,
    /// `operation`.
    pub operation: Option<Operation>,
    /// `outcome`.
    pub outcome: Option<Outcome>,
    /// `outcome_reason.code`.
    pub outcome_code: Option<Text<'a>>,
    /// `outcome_reason.message`.
    pub outcome_message: Option<Text<'a>>,
    /// `severity`.
    pub severity: Option<Severity>,
    /// `actor.type`.
    pub actor_type: Option<Text<'a>>,
    /// `actor.id`.
    pub actor_id: Option<Text<'a>>,
    /// `actor.name`.
    pub actor_name: Option<Text<'a>>,
    /// `actor.email`.
    pub actor_email: Option<Text<'a>>,
    /// `actor.credential_id`.
    pub actor_credential_id: Option<Text<'a>>,
    /// `actor.on_behalf_of.type`.
    pub on_behalf_of_type: Option<Text<'a>>,
    /// `actor.on_behalf_of.id`.
    pub on_behalf_of_id: Option<Text<'a>>,
    /// `actor.on_behalf_of.name`.
    pub on_behalf_of_name: Option<Text<'a>>,
    /// `actor.on_behalf_of.email`.
    pub on_behalf_of_email: Option<Text<'a>>,
    /// `targets[].type`.
    pub target_types: Vec<Text<'a>>,
    /// `targets[].id`.
    pub target_ids: Vec<Text<'a>>,
    /// `targets[].name`.
    pub target_names: Vec<Text<'a>>,
    /// `targets[].attributes`, each a JSON object or a part of one.
    pub target_attributes: Vec<Raw<'a>>,
    /// `data_subjects[].type`.
    pub subject_types: Vec<Text<'a>>,
    /// `data_subjects[].id`.
    pub subject_ids: Vec<Text<'a>>,
    /// `context.ip`.
    pub ip: Option<IpAddr>,
    /// `context.host`.
    pub host: Option<Text<'a>>,
    /// `context.user_agent`.
    pub user_agent: Option<Text<'a>>,
    /// `context.location`.
    pub location: Option<Text<'a>>,
    /// `context.session_id`.
    pub session_id: Option<Text<'a>>,
    /// `context.request_id`.
    pub request_id: Option<Text<'a>>,
    /// `context.trace_id`.
    pub trace_id: Option<Text<'a>>,
    /// `context.span_id`.
    pub span_id: Option<Text<'a>>,
    /// `context.http.method`.
    pub http_method: Option<Text<'a>>,
    /// `context.http.path`.
    pub http_path: Option<Text<'a>>,
    /// `context.http.status`.
    pub http_status: Option<u16>,
    /// `source.service`.
    pub source_service: Option<Text<'a>>,
    /// `source.version`.
    pub source_version: Option<Text<'a>>,
    /// `source.instance`.
    pub source_instance: Option<Text<'a>>,
    /// `source.environment`.
    pub environment: Option<Text<'a>>,
    /// `justification`.
    pub justification: Option<Text<'a>>,
    /// `changes[].path`.
    pub change_paths: Vec<Text<'a>>,
    /// `changes[].old` and `changes[].new`.
    pub change_values: Vec<Raw<'a>>,
    /// `classification`.
    pub classification: Option<Classification>,
    /// `data_categories[]`.
    pub data_categories: Vec<Text<'a>>,
    /// `idempotency_key`.
    pub idempotency_key: Option<Text<'a>>,
    /// `metadata`, a JSON object; what is personal inside it shows as `null` in the public half and stands
    /// alone, at its place, in the personal half.
    pub metadata: Option<Raw<'a>>,
    /// `payload`, as `metadata`; any JSON value.
    pub payload: Option<Raw<'a>>,
    /// Ingest protocol.
    pub protocol: Option<Text<'a>>,
    /// Ingest credential.
    pub credential_id: Option<Text<'a>>,
    /// `type` of a control record; its absence means an event.
    pub control_type: Option<Text<'a>>,
    /// The control object, JSON.
    pub control: Option<Raw<'a>>,
}

impl FieldValues<'_> {
    /// Calls `each` for every string of the record that free-text search should find: known text fields, and
    /// leaf strings of metadata, target attributes and changes. Not the payload: see [`leaf_strings`].
    pub fn for_each_text(&self, each: &mut dyn FnMut(&str)) {
        let _ = each;
        todo!()
    }

    /// Returns those strings, one a line.
    pub fn text(&self) -> String {
        todo!()
    }
}

/// Calls `each` for every string value (not name) in a JSON text.
pub fn leaf_strings(json: &str, each: &mut dyn FnMut(Cow<'_, str>)) {
    let _ = (json, each);
    todo!()
}
