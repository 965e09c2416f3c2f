//! A record's values, taken into the terms and columns of a split in the making.
//!
//! # Words
//! A readable string that a record has twice is indexed once. Without places, so is a word. What the public side has
//! is not repeated on the personal side: who may ask the one asks the other too. Never the other way round.
//!
//! Request ids and idempotency keys that are UUIDs are words by their exact terms ([`UUID_LABELS`]); a readable string
//! that repeats one is not indexed again. Unique words are most of a dictionary.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};

use attestore_record::event::{Raw, Text};
use attestore_record::view::{FieldValues, PERSONAL_MARKER};
use tantivy::schema::Field;

use crate::columns::{Columns, Scalar};
use crate::json::{self, Leaf};
use crate::paths::Paths;
use crate::policy::{IndexPolicy, PersonalIndex, TextIndex, at_root};
use crate::postings::Postings;
use crate::schema::{Label, PATH_END, PRESENT, Side, UUID_LABELS, VALUE_MAX};
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

/// Takes records, one after the other.
pub(crate) struct Maker {
    policy: IndexPolicy,
    paths: Paths,
    postings: Postings,
    columns: Columns,
    /// Numbers of the keys that say that a name has a value, where known.
    presence: [Option<u32>; Label::Metadata as usize + 1],
    /// The key of the last value of each name: most names have the same value in record after record.
    last: [u32; Label::Metadata as usize + 1],
    /// A value on its way.
    scratch: String,
    /// With places: strings of the record at hand that were cut into words already.
    strings: Option<Seen>,
    /// Keys of the record's identifiers that are UUIDs.
    uuids: Vec<u32>,
    /// The record's values in columns that take several: which column, and the value's key.
    lists: Vec<(Field, u32)>,
    /// The record's texts at listed paths: side, path, and the value's key.
    listed: Vec<(Side, usize, u32)>,
}

impl Maker {
    pub(crate) fn new(policy: &IndexPolicy) -> Self {
        let placed = policy.text == TextIndex::Positions;
        Self {
            policy: policy.clone(),
            paths: Paths::new(policy),
            postings: Postings::new(placed),
            columns: Columns::new(policy),
            presence: [None; _],
            last: [0; _],
            scratch: String::new(),
            strings: placed.then(Seen::default),
            uuids: Vec::new(),
            lists: Vec::new(),
            listed: Vec::new(),
        }
    }

    /// Adds a record.
    pub(crate) fn add(&mut self, input: &DocInput<'_>) {
        if let Some(strings) = &mut self.strings {
            strings.clear();
        }
        self.uuids.clear();
        self.lists.clear();
        self.listed.clear();
        let mut making = Making {
            maker: self,
            side: Side::Public,
            presence: 0,
            withheld: 0,
        };
        making.record(input);
        self.postings.end_record();
        self.columns.end_record();
    }

    /// What was gathered.
    pub(crate) fn finish(self) -> (Postings, Columns) {
        (self.postings, self.columns)
    }

    /// Memory in use, roughly (bytes).
    pub(crate) fn memory(&self) -> usize {
        self.postings.memory() + self.columns.memory()
    }
}

/// A record on its way.
struct Making<'m> {
    maker: &'m mut Maker,
    side: Side,
    /// Names that this side has a presence term of, by bit.
    presence: u64,
    /// Names whose public column has the marker, by bit.
    withheld: u64,
}

const _: () = assert!((Label::Metadata as u32) < u64::BITS);

impl Making<'_> {
    fn record(&mut self, input: &DocInput<'_>) {
        self.maker
            .columns
            .when(input.seq, input.occurred_ns(), input.received_ms);
        let kind = input.public.control_type.as_deref().unwrap_or(KIND_EVENT);
        self.exact(Label::Kind, kind);
        self.number(Label::Class, input.class);
        for pointer in &input.public.withheld {
            self.withheld(pointer);
        }
        self.values(input.public);
        self.side = Side::Personal;
        self.presence = 0;
        if self.maker.policy.personal > PersonalIndex::None {
            self.values(input.personal);
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
                    let marker = Scalar::Text(PERSONAL_MARKER);
                    self.maker.columns.listed(path, Side::Public, marker);
                }
                return;
            }
        };
        let bit = 1 << label as u32;
        if let Some(column) = label.column(Side::Public)
            && self.withheld & bit == 0
        {
            self.withheld |= bit;
            self.maker.columns.string(column.name, PERSONAL_MARKER);
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
        let paths = self.maker.paths.all();
        let listed = self.maker.paths.at(path);
        if !all {
            let above: Vec<usize> = self.maker.paths.above(path).chain(listed).collect();
            for (label, inside) in above.into_iter().filter_map(|at| at_root(paths.get(at)?)) {
                self.present(label, inside);
            }
        }
        let (Some(listed), Some((label, inside))) = (listed, at_root(path)) else {
            return;
        };
        let key = self.path_term(label, inside, leaf);
        if self.side == Side::Public {
            self.listed(Side::Public, listed, leaf, key);
        }
        self.listed(Side::Personal, listed, leaf, key);
    }

    /// Adds the value of a listed path, which has this key, to a side's column.
    fn listed(&mut self, side: Side, path: usize, leaf: Leaf<'_>, key: u32) {
        let value = match leaf {
            Leaf::Text(text) => {
                let entry = (side, path, key);
                if self.maker.listed.contains(&entry) {
                    return;
                }
                self.maker.listed.push(entry);
                Scalar::Text(cut(text, VALUE_MAX))
            }
            Leaf::Signed(number) => Scalar::Signed(number),
            Leaf::Unsigned(number) => Scalar::Unsigned(number),
            Leaf::Float(number) => Scalar::Float(number),
            Leaf::Bool(value) => Scalar::Bool(value),
        };
        self.maker.columns.listed(path, side, value);
    }

    /// Adds the exact value at a path; returns its key.
    fn path_term(&mut self, label: Label, path: &str, leaf: Leaf<'_>) -> u32 {
        let Maker {
            scratch, postings, ..
        } = &mut *self.maker;
        let value = match leaf {
            Leaf::Text(text) => cut(text, VALUE_MAX),
            other => {
                scratch.clear();
                other.push_to(scratch, VALUE_MAX);
                scratch
            }
        };
        let (mut code, mut end) = ([0; 4], [0; 4]);
        let key = postings.number(&[
            label.code().encode_utf8(&mut code),
            path,
            PATH_END.encode_utf8(&mut end),
            value,
        ]);
        postings.note(key, self.side);
        key
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
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return;
        };
        let key = self.exact(label, value);
        if words::is_uuid(value) {
            self.maker.uuids.push(key);
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

    /// Adds an exact value, and to the columns of its name; returns its key.
    fn exact(&mut self, label: Label, value: &str) -> u32 {
        let value = cut(value, VALUE_MAX);
        let key = self.key(label, value);
        if self.side == Side::Public {
            self.column(label, Side::Public, value, key);
        }
        self.column(label, Side::Personal, value, key);
        self.named(label);
        key
    }

    fn key(&mut self, label: Label, value: &str) -> u32 {
        let Maker { postings, last, .. } = &mut *self.maker;
        let is_value = |key: &[u8]| key.split_first() == Some((&(label as u8), value.as_bytes()));
        let mut key = last.get(label as usize).copied().unwrap_or_default();
        if !is_value(postings.exact(key)) {
            key = postings.number(&[label.code().encode_utf8(&mut [0; 4]), value]);
            if let Some(last) = last.get_mut(label as usize) {
                *last = key;
            }
        }
        postings.note(key, self.side);
        key
    }

    fn ip(&mut self, ip: IpAddr) {
        let ip = ip.to_canonical();
        let mut text = std::mem::take(&mut self.maker.scratch);
        text.clear();
        // Writing to a string does not fail.
        let _ = write!(text, "{ip}");
        self.key(Label::Ip, &text);
        self.maker.scratch = text;
        for side in [Side::Public, Side::Personal] {
            if (side == Side::Personal || self.side == Side::Public)
                && let Some(column) = Label::Ip.column(side)
            {
                self.maker.columns.address(column.name, mapped(ip));
            }
        }
        self.named(Label::Ip);
    }

    /// Adds a value, which has this key, to the column of a side.
    fn column(&mut self, label: Label, side: Side, value: &str, key: u32) {
        let Some(column) = label.column(side) else { return };
        if label.is_list() {
            let entry = (column.field, key);
            if self.maker.lists.contains(&entry) {
                return;
            }
            self.maker.lists.push(entry);
        }
        self.maker.columns.string(column.name, value);
    }

    /// Notes that a name has a value on this side.
    fn named(&mut self, label: Label) {
        let bit = 1 << label as u32;
        if !label.has_presence() || self.presence & bit != 0 {
            return;
        }
        self.presence |= bit;
        let Maker {
            postings, presence, ..
        } = &mut *self.maker;
        let key = presence.get(label as usize).copied().flatten();
        let key = key.unwrap_or_else(|| presence_key(postings, label, ""));
        if let Some(known) = presence.get_mut(label as usize) {
            *known = Some(key);
        }
        postings.note(key, self.side);
    }

    fn present(&mut self, label: Label, path: &str) {
        let key = presence_key(&mut self.maker.postings, label, path);
        self.maker.postings.note(key, self.side);
    }

    /// Adds the words of a readable string.
    fn words(&mut self, text: Option<&str>) {
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return;
        };
        let Maker {
            policy,
            postings,
            strings,
            uuids,
            scratch,
            ..
        } = &mut *self.maker;
        let known = |key: &u32| postings.exact(*key).get(1..) == Some(text.as_bytes());
        if policy.text == TextIndex::None
            || (self.side == Side::Personal && policy.personal < PersonalIndex::All)
            || uuids.iter().any(known)
            || strings.as_mut().is_some_and(|strings| !strings.insert(text))
        {
            return;
        }
        postings.note_words(text, self.side, scratch);
    }
}

/// The key that says that a name, or a path, has a value.
fn presence_key(postings: &mut Postings, label: Label, path: &str) -> u32 {
    let (mut present, mut code) = ([0; 4], [0; 4]);
    postings.number(&[
        PRESENT.encode_utf8(&mut present),
        label.code().encode_utf8(&mut code),
        path,
    ])
}

/// IPv4 addresses are kept as mapped IPv6 ones, so that one order holds both.
pub(crate) fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}
