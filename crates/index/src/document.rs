//! A record's values as the search library takes them.
//!
//! All strings of a document lie in one buffer: a record costs a handful of allocations, however many values it has.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};

use attestore_record::event::{Raw, Text};
use attestore_record::view::FieldValues;
use tantivy::schema::Field;
use tantivy::schema::document::{ReferenceValue, ReferenceValueLeaf, Value};

use crate::json;
use crate::schema::{Label, PATH_END, PRESENT, Side, VALUE_MAX, fields};
use crate::split::Summary;
use crate::words::cut;

/// Value of [`Label::Kind`] of records that are events.
const KIND_EVENT: &str = "event";
const NS_PER_MS: i64 = 1_000_000;

/// A record to index.
#[derive(Clone, Copy, Debug)]
pub struct DocInput<'a> {
    /// The record's seq.
    pub seq: u64,
    /// Time of receipt (ms since 1970).
    pub received_ms: u64,
    /// Values of the public group.
    pub public: &'a FieldValues<'a>,
    /// Values of the personal groups, or of those that may still be read.
    pub personal: &'a FieldValues<'a>,
}

impl DocInput<'_> {
    /// Time of occurrence: as claimed, else that of receipt.
    fn occurred_ns(&self) -> i64 {
        let received = || {
            i64::try_from(self.received_ms)
                .unwrap_or(i64::MAX)
                .saturating_mul(NS_PER_MS)
        };
        self.public.occurred_at_ns.unwrap_or_else(received)
    }

    pub(crate) fn summary(&self) -> Summary {
        let occurred_ns = self.occurred_ns();
        Summary {
            docs: 1,
            min_seq: self.seq,
            max_seq: self.seq,
            min_occurred_ns: occurred_ns,
            max_occurred_ns: occurred_ns,
            min_received_ms: self.received_ms,
            max_received_ms: self.received_ms,
        }
    }
}

/// A record's values, by field.
pub(crate) struct Document {
    strings: String,
    values: Vec<(Field, Stored)>,
}

#[derive(Clone, Copy)]
enum Stored {
    Str { start: usize, end: usize },
    U64(u64),
    I64(i64),
    Ip(Ipv6Addr),
}

impl Document {
    pub(crate) fn new(input: &DocInput<'_>) -> Self {
        let mut document = Self {
            strings: String::with_capacity(2048),
            values: Vec::with_capacity(48),
        };
        let fields = fields();
        document.values.push((fields.seq, Stored::U64(input.seq)));
        document
            .values
            .push((fields.occurred_ns, Stored::I64(input.occurred_ns())));
        document
            .values
            .push((fields.received_ms, Stored::U64(input.received_ms)));
        document.exact(
            Side::Public,
            Label::Kind,
            input.public.control_type.as_deref().unwrap_or(KIND_EVENT),
        );
        document.side(Side::Public, input.public);
        document.side(Side::Personal, input.personal);
        document
    }

    fn side(&mut self, side: Side, values: &FieldValues<'_>) {
        let mut words = String::with_capacity(1024);
        self.who(side, values, &mut words);
        self.what(side, values, &mut words);
        self.whence(side, values, &mut words);
        self.free_form(side, values, &mut words);
        if !words.is_empty() {
            let start = self.strings.len();
            self.strings.push_str(&words);
            self.values.push((
                fields().words(side),
                Stored::Str {
                    start,
                    end: self.strings.len(),
                },
            ));
        }
    }

    fn who(&mut self, side: Side, values: &FieldValues<'_>, words: &mut String) {
        self.text(side, Label::ActorType, values.actor_type.as_ref(), None);
        self.text(side, Label::ActorId, values.actor_id.as_ref(), Some(words));
        self.text(side, Label::ActorName, values.actor_name.as_ref(), Some(words));
        self.text(side, Label::ActorEmail, values.actor_email.as_ref(), Some(words));
        self.text(
            side,
            Label::ActorCredential,
            values.actor_credential_id.as_ref(),
            None,
        );
        self.text(side, Label::BehalfType, values.on_behalf_of_type.as_ref(), None);
        self.text(
            side,
            Label::BehalfId,
            values.on_behalf_of_id.as_ref(),
            Some(words),
        );
        self.text(
            side,
            Label::BehalfName,
            values.on_behalf_of_name.as_ref(),
            Some(words),
        );
        self.text(
            side,
            Label::BehalfEmail,
            values.on_behalf_of_email.as_ref(),
            Some(words),
        );
        self.texts(side, Label::SubjectType, &values.subject_types, None);
        self.texts(side, Label::SubjectId, &values.subject_ids, Some(words));
    }

    fn what(&mut self, side: Side, values: &FieldValues<'_>, words: &mut String) {
        self.text(side, Label::Action, values.action.as_ref(), Some(words));
        if let Some(operation) = values.operation {
            self.exact(side, Label::Operation, operation.as_str());
        }
        if let Some(outcome) = values.outcome {
            self.exact(side, Label::Outcome, outcome.as_str());
        }
        if let Some(severity) = values.severity {
            self.exact(side, Label::Severity, severity.as_str());
        }
        if let Some(classification) = values.classification {
            self.exact(side, Label::Classification, classification.as_str());
        }
        self.text(
            side,
            Label::OutcomeCode,
            values.outcome_code.as_ref(),
            Some(words),
        );
        push_words(words, values.outcome_message.as_deref());
        self.texts(side, Label::TargetType, &values.target_types, Some(words));
        self.texts(side, Label::TargetId, &values.target_ids, Some(words));
        self.texts(side, Label::TargetName, &values.target_names, Some(words));
        self.texts(side, Label::ChangePath, &values.change_paths, Some(words));
        self.texts(side, Label::DataCategory, &values.data_categories, Some(words));
        push_words(words, values.justification.as_deref());
    }

    fn whence(&mut self, side: Side, values: &FieldValues<'_>, words: &mut String) {
        if let Some(ip) = values.ip {
            self.ip(side, ip);
        }
        self.text(side, Label::Host, values.host.as_ref(), Some(words));
        self.text(side, Label::UserAgent, values.user_agent.as_ref(), Some(words));
        self.text(side, Label::Location, values.location.as_ref(), Some(words));
        // Identifiers are found by bare words too, but in their own terms: as words they would be indexed twice.
        self.text(side, Label::SessionId, values.session_id.as_ref(), None);
        self.text(side, Label::RequestId, values.request_id.as_ref(), None);
        self.text(side, Label::TraceId, values.trace_id.as_ref(), None);
        self.text(side, Label::SpanId, values.span_id.as_ref(), None);
        self.text(side, Label::IdempotencyKey, values.idempotency_key.as_ref(), None);
        self.text(side, Label::HttpMethod, values.http_method.as_ref(), None);
        self.text(side, Label::HttpPath, values.http_path.as_ref(), Some(words));
        if let Some(status) = values.http_status {
            self.exact(side, Label::HttpStatus, &status.to_string());
        }
        self.text(side, Label::Service, values.source_service.as_ref(), Some(words));
        self.text(side, Label::SourceVersion, values.source_version.as_ref(), None);
        self.text(
            side,
            Label::SourceInstance,
            values.source_instance.as_ref(),
            Some(words),
        );
        self.text(side, Label::Environment, values.environment.as_ref(), Some(words));
        self.text(side, Label::Credential, values.credential_id.as_ref(), None);
        self.text(side, Label::Protocol, values.protocol.as_ref(), None);
    }

    fn free_form(&mut self, side: Side, values: &FieldValues<'_>, words: &mut String) {
        if let Some(metadata) = &values.metadata {
            json::walk(metadata.as_str(), &mut |path, leaf| {
                self.metadata(side, path, &leaf);
                if let json::Leaf::Text(text) = leaf {
                    push_words(words, Some(text));
                }
            });
        }
        let parts = values.target_attributes.iter().chain(&values.change_values);
        for raw in parts.chain(&values.payload).chain(&values.control) {
            walk_words(raw, words);
        }
    }

    fn metadata(&mut self, side: Side, path: &str, leaf: &json::Leaf<'_>) {
        let path = cut(path, VALUE_MAX);
        let start = self.strings.len();
        self.strings.push(Label::Metadata.code());
        self.strings.push_str(path);
        self.strings.push(PATH_END);
        leaf.push_to(&mut self.strings, VALUE_MAX);
        self.term(side, start);
        self.present(side, Label::Metadata, path);
    }

    fn texts(&mut self, side: Side, name: Label, values: &[Text<'_>], mut words: Option<&mut String>) {
        for value in values {
            self.text(side, name, Some(value), words.as_deref_mut());
        }
    }

    fn text(&mut self, side: Side, name: Label, value: Option<&Text<'_>>, words: Option<&mut String>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.exact(side, name, value);
            if let Some(words) = words {
                push_words(words, Some(value));
            }
        }
    }

    fn exact(&mut self, side: Side, name: Label, value: &str) {
        let start = self.strings.len();
        self.strings.push(name.code());
        self.strings.push_str(cut(value, VALUE_MAX));
        self.term(side, start);
        match name.column(side) {
            Some(column) => {
                let end = self.strings.len();
                self.values.push((
                    column.field,
                    Stored::Str {
                        start: start + name.code().len_utf8(),
                        end,
                    },
                ));
            }
            None => self.present(side, name, ""),
        }
    }

    fn ip(&mut self, side: Side, ip: IpAddr) {
        let start = self.strings.len();
        self.strings.push(Label::Ip.code());
        let ip = ip.to_canonical();
        // Writing to a string does not fail.
        let _ = write!(self.strings, "{ip}");
        self.term(side, start);
        if let Some(column) = Label::Ip.column(side) {
            self.values.push((column.field, Stored::Ip(mapped(ip))));
        }
    }

    fn present(&mut self, side: Side, name: Label, path: &str) {
        let start = self.strings.len();
        self.strings.push(PRESENT);
        self.strings.push(name.code());
        self.strings.push_str(path);
        self.term(side, start);
    }

    fn term(&mut self, side: Side, start: usize) {
        self.values.push((
            fields().terms(side),
            Stored::Str {
                start,
                end: self.strings.len(),
            },
        ));
    }
}

/// IPv4 addresses are kept as mapped IPv6 ones, so that one order holds both.
pub(crate) fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

fn walk_words(raw: &Raw<'_>, words: &mut String) {
    json::walk(raw.as_str(), &mut |_, leaf| {
        if let json::Leaf::Text(text) = leaf {
            push_words(words, Some(text));
        }
    });
}

fn push_words(words: &mut String, text: Option<&str>) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        if !words.is_empty() {
            words.push('\n');
        }
        words.push_str(text);
    }
}

impl tantivy::Document for Document {
    type Value<'a> = Borrowed<'a>;
    type FieldsValuesIter<'a> = Box<dyn Iterator<Item = (Field, Borrowed<'a>)> + 'a>;

    fn iter_fields_and_values(&self) -> Self::FieldsValuesIter<'_> {
        Box::new(self.values.iter().map(|(field, value)| {
            let leaf = match *value {
                Stored::Str { start, end } => ReferenceValueLeaf::Str(&self.strings[start..end]),
                Stored::U64(number) => ReferenceValueLeaf::U64(number),
                Stored::I64(number) => ReferenceValueLeaf::I64(number),
                Stored::Ip(ip) => ReferenceValueLeaf::IpAddr(ip),
            };
            (*field, Borrowed(leaf))
        }))
    }
}

/// One value, borrowed from a [`Document`].
#[derive(Clone, Debug)]
pub(crate) struct Borrowed<'a>(ReferenceValueLeaf<'a>);

impl<'a> Value<'a> for Borrowed<'a> {
    type ArrayIter = std::iter::Empty<Self>;
    type ObjectIter = std::iter::Empty<(&'a str, Self)>;

    fn as_value(&self) -> ReferenceValue<'a, Self> {
        ReferenceValue::Leaf(self.0.clone())
    }
}
