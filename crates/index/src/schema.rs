//! The fields of a split: one fixed list, the same for every tenant.
//!
//! Exact values of all names share one indexed field, [`Side`] by side: a term there is a [`Label`]'s code followed by
//! the value. Few fields keep small splits cheap to build and to open. Names that people sort, count or range by have
//! a column besides. Readable strings go to a field of words.
//!
//! A value about people is indexed on the personal side only, under fields of its own. Nothing ever copies a value
//! from that side to the public one, so a query that names no personal field cannot observe one.

use std::sync::LazyLock;

use tantivy::schema::{
    Field, IndexRecordOption, IpAddrOptions, NumericOptions, Schema, SchemaBuilder, TextFieldIndexing,
    TextOptions,
};

/// Number of the field list, kept in every sealed split. Raised whenever a field, a code or the cutting of words
/// changes.
pub(crate) const FIELD_LIST: u32 = 1;
/// Label under which the tokeniser of words is registered.
pub(crate) const WORDS: &str = "words";
/// Exact values are cut here, when indexed and when queried (bytes).
pub(crate) const VALUE_MAX: usize = 512;
/// Separates a path from the value in terms of [`Label::Metadata`].
pub(crate) const PATH_END: char = '\0';
/// Starts terms that say that a name, or a path, has a value.
pub(crate) const PRESENT: char = '\u{7f}';

/// Which groups a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    /// The public group.
    Public,
    /// Personal groups.
    Personal,
}

/// Names with exact values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Label {
    Action = 1,
    Operation,
    Outcome,
    OutcomeCode,
    Severity,
    ActorType,
    ActorId,
    ActorName,
    ActorEmail,
    ActorCredential,
    BehalfType,
    BehalfId,
    BehalfName,
    BehalfEmail,
    TargetType,
    TargetId,
    TargetName,
    SubjectType,
    SubjectId,
    Ip,
    Host,
    UserAgent,
    Location,
    SessionId,
    RequestId,
    TraceId,
    SpanId,
    HttpMethod,
    HttpPath,
    HttpStatus,
    Service,
    SourceVersion,
    SourceInstance,
    Environment,
    ChangePath,
    Classification,
    DataCategory,
    IdempotencyKey,
    Credential,
    Protocol,
    Kind,
    Metadata,
}

impl Label {
    /// The character that starts this name's terms.
    pub(crate) const fn code(self) -> char {
        self as u8 as char
    }

    /// Values are compared in lower case.
    pub(crate) const fn folds_case(self) -> bool {
        matches!(
            self,
            Self::Action | Self::Operation | Self::Outcome | Self::Severity | Self::Classification
        )
    }

    /// The name's column on one side, if it has one.
    pub(crate) fn column(self, side: Side) -> Option<Column> {
        let columns = fields().columns.iter();
        columns
            .copied()
            .find(|(name, at, _)| *name == self && *at == side)
            .map(|(_, _, column)| column)
    }
}

const _: () = assert!((Label::Metadata as u8) < PRESENT as u8);

/// A column of strings or addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) field: Field,
    pub(crate) name: &'static str,
}

/// The fields, resolved once.
pub(crate) struct Fields {
    pub(crate) schema: Schema,
    pub(crate) seq: Field,
    pub(crate) occurred_ns: Field,
    pub(crate) received_ms: Field,
    columns: Vec<(Label, Side, Column)>,
    terms: [Field; 2],
    words: [Field; 2],
}

/// Names of the number columns.
pub(crate) const SEQ: &str = "seq";
pub(crate) const OCCURRED_NS: &str = "occurred_ns";
pub(crate) const RECEIVED_MS: &str = "received_ms";

const COLUMNS: [(Label, Side, &str); 19] = [
    (Label::Action, Side::Public, "action"),
    (Label::Operation, Side::Public, "operation"),
    (Label::Outcome, Side::Public, "outcome"),
    (Label::Severity, Side::Public, "severity"),
    (Label::ActorType, Side::Public, "actor.type"),
    (Label::ActorId, Side::Public, "actor.id"),
    (Label::ActorId, Side::Personal, "_p.actor.id"),
    (Label::TargetType, Side::Public, "targets.type"),
    (Label::TargetId, Side::Public, "targets.id"),
    (Label::TargetId, Side::Personal, "_p.targets.id"),
    (Label::Ip, Side::Public, "context.ip"),
    (Label::Ip, Side::Personal, "_p.context.ip"),
    (Label::Service, Side::Public, "source.service"),
    (Label::Environment, Side::Public, "source.environment"),
    (Label::Classification, Side::Public, "classification"),
    (Label::DataCategory, Side::Public, "data_categories"),
    (Label::Credential, Side::Public, "ingest.credential_id"),
    (Label::Protocol, Side::Public, "ingest.protocol"),
    (Label::Kind, Side::Public, "kind"),
];

/// The one schema.
pub(crate) fn fields() -> &'static Fields {
    static FIELDS: LazyLock<Fields> = LazyLock::new(Fields::build);
    &FIELDS
}

impl Fields {
    fn build() -> Self {
        let mut builder = Schema::builder();
        let number = || NumericOptions::default().set_fast();
        Self {
            seq: builder.add_u64_field(SEQ, number()),
            occurred_ns: builder.add_i64_field(OCCURRED_NS, number()),
            received_ms: builder.add_u64_field(RECEIVED_MS, number()),
            columns: COLUMNS
                .iter()
                .map(|(name, side, text)| (*name, *side, column(&mut builder, *name, text)))
                .collect(),
            terms: ["terms", "_p.terms"].map(|name| builder.add_text_field(name, indexed("raw"))),
            words: ["text", "_p.text"].map(|name| builder.add_text_field(name, indexed(WORDS))),
            schema: builder.build(),
        }
    }

    /// The field of exact values.
    pub(crate) fn terms(&self, side: Side) -> Field {
        self.terms[side as usize]
    }

    /// The field of words.
    pub(crate) fn words(&self, side: Side) -> Field {
        self.words[side as usize]
    }
}

fn column(builder: &mut SchemaBuilder, name: Label, text: &'static str) -> Column {
    let field = match name {
        Label::Ip => builder.add_ip_addr_field(text, IpAddrOptions::default().set_fast()),
        _ => builder.add_text_field(text, TextOptions::default().set_fast("raw")),
    };
    Column { field, name: text }
}

/// No positions, frequencies or lengths: nothing here is ranked.
fn indexed(tokenizer: &str) -> TextOptions {
    TextOptions::default().set_indexing_options(
        TextFieldIndexing::default()
            .set_tokenizer(tokenizer)
            .set_index_option(IndexRecordOption::Basic)
            .set_fieldnorms(false),
    )
}
