//! A record's values as the search library takes them.
//!
//! All strings of a document lie in a few buffers, which the next document takes over: a record costs hardly any
//! allocation, however many values it has.
//!
//! # Words
//! A readable string that a record has twice is indexed once. Without places, so is a word. What the public side has
//! is not repeated on the personal side: who may ask the one asks the other too. Never the other way round.
//!
//! Request ids and idempotency keys that are UUIDs are words by their exact terms ([`UUID_LABELS`]); a readable string
//! that repeats one is not indexed again. Unique words are most of a dictionary.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::Range;
use std::sync::Arc;

use attestore_record::event::{Raw, Text};
use attestore_record::view::{FieldValues, PERSONAL_MARKER};
use tantivy::schema::Field;
use tantivy::schema::document::{ReferenceValue, ReferenceValueLeaf, Value};

use crate::frames;
use crate::json::{self, Leaf};
use crate::paths::Paths;
use crate::policy::{IndexPolicy, TextIndex, at_root};
use crate::schema::{Label, PATH_END, PRESENT, Side, UUID_LABELS, VALUE_MAX, fields};
use crate::seen::Seen;
use crate::split::Summary;
use crate::words::{self, cut};

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
    /// Retention class.
    pub class: u16,
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

/// A record's values, by field. Shared with its maker, who takes the buffers back.
pub(crate) struct Document(Arc<Content>);

#[derive(Default)]
struct Content {
    /// Frames of exact values, the personal side behind the public one. Columns point into them.
    terms: String,
    /// Frames of words, as `terms`.
    words: String,
    values: Vec<(Field, Stored)>,
    /// Values of allow-listed paths: the index of the path, and the value.
    json: Vec<(usize, Scalar)>,
    paths: Arc<[String]>,
}

impl Content {
    fn clear(&mut self) {
        self.terms.clear();
        self.words.clear();
        self.values.clear();
        self.json.clear();
    }
}

#[derive(Clone, Copy)]
enum Stored {
    /// In `terms`.
    Term {
        start: usize,
        end: usize,
    },
    /// In `words`.
    Words {
        start: usize,
        end: usize,
    },
    Marker,
    U64(u64),
    I64(i64),
    Ip(Ipv6Addr),
    /// In `json`.
    Json {
        start: usize,
        end: usize,
    },
}

/// A value of an allow-listed path.
#[derive(Clone, Copy)]
enum Scalar {
    /// In `terms`.
    Text {
        start: usize,
        end: usize,
    },
    Marker,
    U64(u64),
    I64(i64),
    F64(f64),
    Bool(bool),
}

/// Makes documents, one after the other.
pub(crate) struct Maker {
    policy: IndexPolicy,
    paths: Paths,
    /// Strings of the record at hand that were cut into words already.
    strings: Seen,
    /// Words of the record at hand, unless they have places.
    words: Seen,
    /// A value on its way.
    scratch: String,
    /// Of the document before.
    content: Arc<Content>,
}

impl Maker {
    pub(crate) fn new(policy: &IndexPolicy) -> Self {
        Self {
            policy: policy.clone(),
            paths: Paths::new(policy),
            strings: Seen::default(),
            words: Seen::default(),
            scratch: String::new(),
            content: Arc::default(),
        }
    }

    pub(crate) fn document(&mut self, input: &DocInput<'_>) -> Document {
        self.strings.clear();
        self.words.clear();
        let mut shared = std::mem::take(&mut self.content);
        if Arc::get_mut(&mut shared).is_none() {
            shared = Arc::default();
        }
        if let Some(document) = Arc::get_mut(&mut shared) {
            document.clear();
            document.paths = self.paths.all();
            let mut making = Making {
                document,
                maker: self,
                side: Side::Public,
                presence: 0,
                json: [Vec::new(), Vec::new()],
            };
            making.record(input);
        }
        self.content = Arc::clone(&shared);
        Document(shared)
    }
}

/// A document in the making.
struct Making<'m> {
    maker: &'m mut Maker,
    document: &'m mut Content,
    side: Side,
    /// Names that this side has a presence term of, by bit.
    presence: u64,
    /// Values of allow-listed paths, side by side.
    json: [Vec<(usize, Scalar)>; 2],
}

const _: () = assert!((Label::Metadata as u32) < u64::BITS);

impl Making<'_> {
    fn record(&mut self, input: &DocInput<'_>) {
        let fields = fields();
        self.value(fields.seq, Stored::U64(input.seq));
        self.value(fields.occurred_ns, Stored::I64(input.occurred_ns()));
        self.value(fields.received_ms, Stored::U64(input.received_ms));
        let kind = input.public.control_type.as_deref().unwrap_or(KIND_EVENT);
        self.exact(Label::Kind, kind);
        self.number(Label::Class, input.class);
        for pointer in &input.public.withheld {
            self.withheld(pointer);
        }
        self.values(input.public);
        let (terms, words) = (self.document.terms.len(), self.document.words.len());
        self.side = Side::Personal;
        self.presence = 0;
        self.values(input.personal);
        self.close(Side::Public, 0..terms, 0..words);
        self.close(
            Side::Personal,
            terms..self.document.terms.len(),
            words..self.document.words.len(),
        );
    }

    /// Hands the frames and paths of a side over.
    fn close(&mut self, side: Side, terms: Range<usize>, words: Range<usize>) {
        let fields = fields();
        if !terms.is_empty() {
            self.value(
                fields.terms(side),
                Stored::Term {
                    start: terms.start,
                    end: terms.end,
                },
            );
        }
        if !words.is_empty() {
            self.value(
                fields.words(side),
                Stored::Words {
                    start: words.start,
                    end: words.end,
                },
            );
        }
        let json = std::mem::take(&mut self.json[side as usize]);
        if !json.is_empty() {
            let start = self.document.json.len();
            self.document.json.extend(json);
            self.value(
                fields.json(side),
                Stored::Json {
                    start,
                    end: self.document.json.len(),
                },
            );
        }
    }

    /// Puts the marker where readers of the public side miss a value.
    fn withheld(&mut self, pointer: &str) {
        let label = match pointer {
            "/actor/id" => Label::ActorId,
            "/context/host" => Label::Host,
            "/context/session_id" => Label::SessionId,
            _ if pointer.starts_with("/targets/")
                && pointer.ends_with("/id")
                && pointer.matches('/').count() == 3 =>
            {
                Label::TargetId
            }
            _ => {
                if let Some(path) = self.maker.paths.at_pointer(pointer) {
                    self.json[Side::Public as usize].push((path, Scalar::Marker));
                }
                return;
            }
        };
        if let Some(column) = label.column(Side::Public)
            && !self
                .document
                .values
                .iter()
                .any(|(field, value)| *field == column.field && matches!(value, Stored::Marker))
        {
            self.value(column.field, Stored::Marker);
        }
    }

    fn values(&mut self, values: &FieldValues<'_>) {
        self.who(values);
        self.what(values);
        self.whence(values);
        self.free_form(values);
    }

    fn who(&mut self, values: &FieldValues<'_>) {
        self.text(Label::ActorType, values.actor_type.as_ref());
        self.readable(Label::ActorId, values.actor_id.as_ref());
        self.readable(Label::ActorName, values.actor_name.as_ref());
        self.readable(Label::ActorEmail, values.actor_email.as_ref());
        self.text(Label::ActorCredential, values.actor_credential_id.as_ref());
        self.text(Label::BehalfType, values.on_behalf_of_type.as_ref());
        self.readable(Label::BehalfId, values.on_behalf_of_id.as_ref());
        self.readable(Label::BehalfName, values.on_behalf_of_name.as_ref());
        self.readable(Label::BehalfEmail, values.on_behalf_of_email.as_ref());
        for ty in &values.subject_types {
            self.text(Label::SubjectType, Some(ty));
        }
        self.each_readable(Label::SubjectId, &values.subject_ids);
    }

    fn what(&mut self, values: &FieldValues<'_>) {
        self.readable(Label::Action, values.action.as_ref());
        if let Some(operation) = values.operation {
            self.exact(Label::Operation, operation.as_str());
        }
        if let Some(outcome) = values.outcome {
            self.exact(Label::Outcome, outcome.as_str());
        }
        if let Some(severity) = values.severity {
            self.exact(Label::Severity, severity.as_str());
        }
        if let Some(classification) = values.classification {
            self.exact(Label::Classification, classification.as_str());
        }
        self.readable(Label::OutcomeCode, values.outcome_code.as_ref());
        self.words(values.outcome_message.as_deref());
        self.each_readable(Label::TargetType, &values.target_types);
        self.each_readable(Label::TargetId, &values.target_ids);
        self.each_readable(Label::TargetName, &values.target_names);
        self.each_readable(Label::ChangePath, &values.change_paths);
        self.each_readable(Label::DataCategory, &values.data_categories);
        self.words(values.justification.as_deref());
    }

    fn whence(&mut self, values: &FieldValues<'_>) {
        if let Some(ip) = values.ip {
            self.ip(ip);
        }
        self.readable(Label::Host, values.host.as_ref());
        self.readable(Label::UserAgent, values.user_agent.as_ref());
        self.readable(Label::Location, values.location.as_ref());
        // Identifiers are found by bare words too, but in their own terms: as words they would be indexed twice.
        self.text(Label::SessionId, values.session_id.as_ref());
        self.identifier(Label::RequestId, values.request_id.as_ref());
        self.text(Label::TraceId, values.trace_id.as_ref());
        self.text(Label::SpanId, values.span_id.as_ref());
        self.identifier(Label::IdempotencyKey, values.idempotency_key.as_ref());
        self.text(Label::HttpMethod, values.http_method.as_ref());
        self.readable(Label::HttpPath, values.http_path.as_ref());
        if let Some(status) = values.http_status {
            self.number(Label::HttpStatus, status);
        }
        self.readable(Label::Service, values.source_service.as_ref());
        self.text(Label::SourceVersion, values.source_version.as_ref());
        self.readable(Label::SourceInstance, values.source_instance.as_ref());
        self.readable(Label::Environment, values.environment.as_ref());
        self.text(Label::Credential, values.credential_id.as_ref());
        self.text(Label::Protocol, values.protocol.as_ref());
    }

    fn free_form(&mut self, values: &FieldValues<'_>) {
        let (all, text) = (self.maker.policy.metadata, self.maker.policy.payload_text);
        if let Some(metadata) = &values.metadata {
            self.walk(metadata, "metadata", all, all);
        }
        for attributes in &values.target_attributes {
            self.walk(attributes, "targets.attributes", false, text);
        }
        for value in &values.change_values {
            self.walk(value, "", false, text);
        }
        if let Some(payload) = &values.payload {
            self.walk(payload, "payload", false, text);
        }
        if let Some(control) = &values.control {
            self.walk(control, "", false, true);
        }
    }

    /// Takes the leaves of a free-form value: those of listed paths, or `all`, exactly, and strings as text.
    fn walk(&mut self, raw: &Raw<'_>, root: &str, all: bool, text: bool) {
        let text = text && self.maker.policy.text != TextIndex::None;
        let exact = all || self.maker.paths.lead_into(root);
        if !text && !exact {
            return;
        }
        if !exact {
            json::strings(raw.as_str(), &mut |text| self.words(Some(text)));
            return;
        }
        json::walk(raw.as_str(), root, &mut |path, leaf| {
            self.leaf(path, leaf, all);
            if text && let Leaf::Text(text) = leaf {
                self.words(Some(text));
            }
        });
    }

    fn leaf(&mut self, path: &str, leaf: Leaf<'_>, all: bool) {
        if all && let Some((label, inside)) = at_root(path) {
            self.path_term(label, cut(inside, VALUE_MAX), leaf);
            self.present(label, cut(inside, VALUE_MAX));
        }
        if self.maker.paths.is_empty() {
            return;
        }
        let paths = Arc::clone(&self.document.paths);
        let listed = self.maker.paths.at(path);
        if !all {
            let above: Vec<usize> = self.maker.paths.above(path).chain(listed).collect();
            for (label, inside) in above.into_iter().filter_map(|at| at_root(paths.get(at)?)) {
                self.present(label, inside);
            }
        }
        let Some(listed) = listed else { return };
        let text = match at_root(path) {
            Some((label, inside)) => self.path_term(label, inside, leaf),
            None => return,
        };
        let value = match leaf {
            Leaf::Text(_) => Scalar::Text {
                start: text.start,
                end: text.end,
            },
            Leaf::Signed(number) => Scalar::I64(number),
            Leaf::Unsigned(number) => Scalar::U64(number),
            Leaf::Float(number) => Scalar::F64(number),
            Leaf::Bool(value) => Scalar::Bool(value),
        };
        if self.side == Side::Public {
            self.listed(Side::Public, listed, value);
        }
        self.listed(Side::Personal, listed, value);
    }

    /// Adds the value of a listed path to a side's column.
    fn listed(&mut self, side: Side, path: usize, value: Scalar) {
        let column = &mut self.json[side as usize];
        let terms = &self.document.terms;
        let same = |other: &(usize, Scalar)| match (value, other.1) {
            (Scalar::Text { start, end }, Scalar::Text { start: from, end: to }) => {
                other.0 == path && terms.get(start..end) == terms.get(from..to)
            }
            _ => false,
        };
        if !column.iter().any(same) {
            column.push((path, value));
        }
    }

    /// Adds the exact value at a path; returns where it stands.
    fn path_term(&mut self, label: Label, path: &str, leaf: Leaf<'_>) -> Range<usize> {
        let scratch = &mut self.maker.scratch;
        scratch.clear();
        leaf.push_to(scratch, VALUE_MAX);
        let terms = &mut self.document.terms;
        let (mut code, mut end) = ([0; 4], [0; 4]);
        frames::push(
            terms,
            &[
                label.code().encode_utf8(&mut code),
                path,
                PATH_END.encode_utf8(&mut end),
                scratch,
            ],
        );
        terms.len() - scratch.len()..terms.len()
    }

    fn each_readable(&mut self, label: Label, values: &[Text<'_>]) {
        for value in values {
            self.readable(label, Some(value));
        }
    }

    /// Adds an exact value that is a readable string too.
    fn readable(&mut self, label: Label, value: Option<&Text<'_>>) {
        self.text(label, value);
        self.words(value.map(|value| &**value));
    }

    fn text(&mut self, label: Label, value: Option<&Text<'_>>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.exact(label, value);
        }
    }

    /// Adds an exact value that is a word, too, if it is a UUID.
    fn identifier(&mut self, label: Label, value: Option<&Text<'_>>) {
        debug_assert!(UUID_LABELS.contains(&label), "{label:?}");
        self.text(label, value);
        if let Some(value) = value.filter(|value| words::is_uuid(value)) {
            self.maker.strings.insert(value);
        }
    }

    fn number(&mut self, label: Label, number: u16) {
        let mut text = std::mem::take(&mut self.maker.scratch);
        text.clear();
        // Writing to a string does not fail.
        let _ = write!(text, "{number}");
        self.exact(label, &text);
        self.maker.scratch = text;
    }

    /// Adds an exact value, and to the columns of its name.
    fn exact(&mut self, label: Label, value: &str) {
        let value = cut(value, VALUE_MAX);
        let terms = &mut self.document.terms;
        frames::push(terms, &[label.code().encode_utf8(&mut [0; 4]), value]);
        let (start, end) = (terms.len() - value.len(), terms.len());
        self.columns(label, Stored::Term { start, end });
        self.named(label);
    }

    fn ip(&mut self, ip: IpAddr) {
        let ip = ip.to_canonical();
        let scratch = &mut self.maker.scratch;
        scratch.clear();
        // Writing to a string does not fail.
        let _ = write!(scratch, "{ip}");
        frames::push(
            &mut self.document.terms,
            &[Label::Ip.code().encode_utf8(&mut [0; 4]), scratch],
        );
        self.columns(Label::Ip, Stored::Ip(mapped(ip)));
        self.named(Label::Ip);
    }

    /// Adds a value to the columns whose readers may see it.
    fn columns(&mut self, label: Label, value: Stored) {
        if self.side == Side::Public {
            self.column(label, Side::Public, value);
        }
        self.column(label, Side::Personal, value);
    }

    fn column(&mut self, label: Label, side: Side, value: Stored) {
        let Some(column) = label.column(side) else { return };
        let document = &self.document;
        let same = |other: &(Field, Stored)| match (value, other.1) {
            (Stored::Term { start, end }, Stored::Term { start: from, end: to }) => {
                other.0 == column.field && document.terms.get(start..end) == document.terms.get(from..to)
            }
            _ => false,
        };
        if !(label.is_list() && document.values.iter().any(same)) {
            self.value(column.field, value);
        }
    }

    /// Notes that a name has a value on this side.
    fn named(&mut self, label: Label) {
        let bit = 1 << label as u32;
        if label.has_presence() && self.presence & bit == 0 {
            self.presence |= bit;
            self.present(label, "");
        }
    }

    fn present(&mut self, label: Label, path: &str) {
        let (mut present, mut code) = ([0; 4], [0; 4]);
        frames::push(
            &mut self.document.terms,
            &[
                PRESENT.encode_utf8(&mut present),
                label.code().encode_utf8(&mut code),
                path,
            ],
        );
    }

    /// Adds the words of a readable string.
    fn words(&mut self, text: Option<&str>) {
        let placed = match self.maker.policy.text {
            TextIndex::None => return,
            TextIndex::Words => false,
            TextIndex::Positions => true,
        };
        let Some(text) = text.filter(|text| !text.is_empty() && self.maker.strings.insert(text)) else {
            return;
        };
        let (frames, seen) = (&mut self.document.words, &mut self.maker.words);
        if placed {
            frames::push_gap(frames);
        }
        words::each(text, &mut self.maker.scratch, |_, word| {
            if placed || seen.insert(word) {
                frames::push(frames, &[word]);
            }
        });
    }

    fn value(&mut self, field: Field, value: Stored) {
        self.document.values.push((field, value));
    }
}

/// IPv4 addresses are kept as mapped IPv6 ones, so that one order holds both.
pub(crate) fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

impl tantivy::Document for Document {
    type Value<'a> = Borrowed<'a>;
    type FieldsValuesIter<'a> = FieldValuesIter<'a>;

    fn iter_fields_and_values(&self) -> Self::FieldsValuesIter<'_> {
        FieldValuesIter {
            document: &self.0,
            values: self.0.values.iter(),
        }
    }
}

/// The values of a document, one by one.
pub(crate) struct FieldValuesIter<'a> {
    document: &'a Content,
    values: std::slice::Iter<'a, (Field, Stored)>,
}

impl<'a> Iterator for FieldValuesIter<'a> {
    type Item = (Field, Borrowed<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let document = self.document;
        let (field, value) = self.values.next()?;
        let leaf = match *value {
            Stored::Term { start, end } => ReferenceValueLeaf::Str(text(&document.terms, start, end)),
            Stored::Words { start, end } => ReferenceValueLeaf::Str(text(&document.words, start, end)),
            Stored::Marker => ReferenceValueLeaf::Str(PERSONAL_MARKER),
            Stored::U64(number) => ReferenceValueLeaf::U64(number),
            Stored::I64(number) => ReferenceValueLeaf::I64(number),
            Stored::Ip(ip) => ReferenceValueLeaf::IpAddr(ip),
            Stored::Json { start, end } => {
                let members = document.json.get(start..end).unwrap_or_default().iter();
                return Some((*field, Borrowed::Object(Members { document, members })));
            }
        };
        Some((*field, Borrowed::Leaf(leaf)))
    }
}

fn text(strings: &str, start: usize, end: usize) -> &str {
    strings.get(start..end).unwrap_or_default()
}

/// One value, borrowed from a [`Document`].
#[derive(Clone)]
pub(crate) enum Borrowed<'a> {
    Leaf(ReferenceValueLeaf<'a>),
    Object(Members<'a>),
}

impl std::fmt::Debug for Borrowed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Leaf(leaf) => leaf.fmt(f),
            Self::Object(_) => f.write_str("object"),
        }
    }
}

impl<'a> Value<'a> for Borrowed<'a> {
    type ArrayIter = std::iter::Empty<Self>;
    type ObjectIter = Members<'a>;

    fn as_value(&self) -> ReferenceValue<'a, Self> {
        match self {
            Self::Leaf(leaf) => ReferenceValue::Leaf(leaf.clone()),
            Self::Object(members) => ReferenceValue::Object(members.clone()),
        }
    }
}

/// Paths and their values. A path with several values comes several times.
#[derive(Clone)]
pub(crate) struct Members<'a> {
    document: &'a Content,
    members: std::slice::Iter<'a, (usize, Scalar)>,
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, Borrowed<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (path, value) = self.members.next()?;
        let leaf = match *value {
            Scalar::Text { start, end } => ReferenceValueLeaf::Str(text(&self.document.terms, start, end)),
            Scalar::Marker => ReferenceValueLeaf::Str(PERSONAL_MARKER),
            Scalar::U64(number) => ReferenceValueLeaf::U64(number),
            Scalar::I64(number) => ReferenceValueLeaf::I64(number),
            Scalar::F64(number) => ReferenceValueLeaf::F64(number),
            Scalar::Bool(value) => ReferenceValueLeaf::Bool(value),
        };
        let path = self.document.paths.get(*path)?;
        Some((path, Borrowed::Leaf(leaf)))
    }
}
