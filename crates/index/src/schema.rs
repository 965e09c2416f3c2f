//! The fields of a split: one fixed list, the same for every tenant. Two schemas differ in whether words have places.
//!
//! Exact values of all names share one indexed field, [`Side`] by side: a term there is a [`Label`]'s code followed by
//! the value. Few fields keep small splits cheap to build and to open. Names that people sort, count or range by have
//! a column besides. Readable strings go to a field of words.
//!
//! A value about people is indexed on the personal side only, under fields of its own. Nothing ever copies a value
//! from that side to the public one, so a query that names no personal field cannot observe one.
//!
//! # Columns
//! A column that personal values may enter exists twice, each complete for its readers: `actor.id` has the public
//! values and [`PERSONAL_MARKER`](attestore_record::view::PERSONAL_MARKER) where one is personal, its twin `_p.actor.id`
//! has all values, public ones too. Who may see personal values reads the twin only, who may not never does. (Columns of
//! addresses have no marker.) A record has each string at most once in a column.
//!
//! Allow-listed paths share a JSON field a side, `json` and `_p.json`, by the same rule.

use std::sync::LazyLock;

use tantivy::schema::{
    Field, IndexRecordOption, IpAddrOptions, JsonObjectOptions, NumericOptions, Schema, SchemaBuilder,
    TextFieldIndexing, TextOptions,
};

use crate::policy::{IndexPolicy, TextIndex};

/// Number of the field list, kept in every sealed split. Raised whenever a field, a code or the cutting of words
/// changes. A split of another field list has to be rebuilt from its records.
pub const FIELD_LIST: u32 = 2;
/// Label of the tokeniser of indexed fields. None is registered: terms are made here, not by the search library.
const FRAMES: &str = "frames";
/// Exact values are cut here, when indexed and when queried (bytes).
pub(crate) const VALUE_MAX: usize = 512;
/// Separates a path from the value in terms of [`Label::Metadata`].
pub(crate) const PATH_END: char = '\0';
/// Names whose values are words, too, where they are UUIDs in lower case. Who looks for a word looks there as well.
pub(crate) const UUID_LABELS: [Label; 2] = [Label::RequestId, Label::IdempotencyKey];
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
    Class,
    /// Allow-listed paths of payloads and attributes, by the whole path.
    Json,
    /// Metadata, by the path within.
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

    /// A record may have several values of this name in columns.
    pub(crate) const fn is_list(self) -> bool {
        matches!(self, Self::TargetType | Self::TargetId | Self::DataCategory)
    }

    /// The name's column on one side, if it has one. Only names that may be personal have one on the personal side.
    pub(crate) fn column(self, side: Side) -> Option<Column> {
        *fields().columns.get(self as usize)?.get(side as usize)?
    }

    /// The terms of a side say whether the name has a value there. Without them, its one column does.
    pub(crate) fn has_presence(self) -> bool {
        self.column(Side::Public).is_none() || self.column(Side::Personal).is_some()
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
    /// Without places, with places.
    schemas: [Schema; 2],
    columns: Vec<[Option<Column>; 2]>,
    terms: [Field; 2],
    words: [Field; 2],
}

/// Names of the number columns.
pub(crate) const SEQ: &str = "seq";
pub(crate) const OCCURRED_NS: &str = "occurred_ns";
pub(crate) const RECEIVED_MS: &str = "received_ms";

/// Names with columns; the second name is that of the twin.
const COLUMNS: [(Label, &str, Option<&str>); 19] = [
    (Label::Action, "action", None),
    (Label::Operation, "operation", None),
    (Label::Outcome, "outcome", None),
    (Label::Severity, "severity", None),
    (Label::ActorType, "actor.type", None),
    (Label::ActorId, "actor.id", Some("_p.actor.id")),
    (Label::TargetType, "targets.type", None),
    (Label::TargetId, "targets.id", Some("_p.targets.id")),
    (Label::Ip, "context.ip", Some("_p.context.ip")),
    (Label::Host, "context.host", Some("_p.context.host")),
    (
        Label::SessionId,
        "context.session_id",
        Some("_p.context.session_id"),
    ),
    (Label::Service, "source.service", None),
    (Label::Environment, "source.environment", None),
    (Label::Classification, "classification", None),
    (Label::DataCategory, "data_categories", None),
    (Label::Class, "class", None),
    (Label::Credential, "ingest.credential_id", None),
    (Label::Protocol, "ingest.protocol", None),
    (Label::Kind, "kind", None),
];

/// Names of the fields of allow-listed paths.
const JSON: [&str; 2] = ["json", "_p.json"];

/// The fields: the same in both schemas.
pub(crate) fn fields() -> &'static Fields {
    static FIELDS: LazyLock<Fields> = LazyLock::new(Fields::new);
    &FIELDS
}

/// The name by which the search library knows the column of an allow-listed path (the whole path).
pub(crate) fn path_column(path: &str, side: Side) -> String {
    format!("{}.{path}", JSON[side as usize])
}

/// The same name as it stands in the file: the library puts this character between the steps of a path.
pub(crate) fn path_column_stored(path: &str, side: Side) -> String {
    format!("{}\u{1}{}", JSON[side as usize], path.replace('.', "\u{1}"))
}

impl Fields {
    fn new() -> Self {
        let (mut plain, mut placed) = (Schema::builder(), Schema::builder());
        let mut fields = Self::build(&mut plain, IndexRecordOption::Basic);
        Self::build(&mut placed, IndexRecordOption::WithFreqsAndPositions);
        fields.schemas = [plain.build(), placed.build()];
        fields
    }

    fn build(builder: &mut SchemaBuilder, words: IndexRecordOption) -> Self {
        let number = || NumericOptions::default().set_fast();
        builder.add_u64_field(SEQ, number());
        builder.add_i64_field(OCCURRED_NS, number());
        builder.add_u64_field(RECEIVED_MS, number());
        let fields = Self {
            columns: columns(builder),
            terms: ["terms", "_p.terms"]
                .map(|name| builder.add_text_field(name, indexed(IndexRecordOption::Basic))),
            words: ["text", "_p.text"].map(|name| builder.add_text_field(name, indexed(words))),
            schemas: [Schema::builder().build(), Schema::builder().build()],
        };
        for name in JSON {
            let options = JsonObjectOptions::default()
                .set_fast("raw")
                .set_expand_dots_enabled();
            builder.add_json_field(name, options);
        }
        fields
    }

    /// The schema of splits under a policy.
    pub(crate) fn schema(&self, policy: &IndexPolicy) -> &Schema {
        let [plain, placed] = &self.schemas;
        match policy.text {
            TextIndex::Positions => placed,
            TextIndex::None | TextIndex::Words => plain,
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

fn columns(builder: &mut SchemaBuilder) -> Vec<[Option<Column>; 2]> {
    let mut columns = vec![[None; 2]; Label::Metadata as usize + 1];
    for (label, public, personal) in COLUMNS {
        columns[label as usize] = [Some(public), personal].map(|name| Some(column(builder, label, name?)));
    }
    columns
}

fn column(builder: &mut SchemaBuilder, label: Label, name: &'static str) -> Column {
    let field = match label {
        Label::Ip => builder.add_ip_addr_field(name, IpAddrOptions::default().set_fast()),
        _ => builder.add_text_field(name, TextOptions::default().set_fast("raw")),
    };
    Column { field, name }
}

/// No frequencies or lengths where there are no places: nothing here is ranked.
fn indexed(option: IndexRecordOption) -> TextOptions {
    TextOptions::default().set_indexing_options(
        TextFieldIndexing::default()
            .set_tokenizer(FRAMES)
            .set_index_option(option)
            .set_fieldnorms(false),
    )
}

#[cfg(test)]
mod tests {
    use super::{FIELD_LIST, Label, Side, fields, path_column};
    use crate::policy::{IndexPolicy, TextIndex};

    /// Both schemas as text: change this only together with [`FIELD_LIST`] and the document of the format.
    const LIST_2: &str = "seq occurred_ns received_ms action operation outcome severity actor.type actor.id \
        _p.actor.id targets.type targets.id _p.targets.id context.ip _p.context.ip context.host _p.context.host \
        context.session_id _p.context.session_id source.service source.environment classification data_categories \
        class ingest.credential_id ingest.protocol kind terms _p.terms text _p.text json _p.json";

    #[test]
    fn the_field_list_has_its_number() {
        assert_eq!(FIELD_LIST, 2);
        for text in [TextIndex::None, TextIndex::Words, TextIndex::Positions] {
            let policy = IndexPolicy {
                text,
                ..IndexPolicy::default()
            };
            let schema = fields().schema(&policy);
            let names: Vec<&str> = schema.fields().map(|(_, entry)| entry.name()).collect();
            assert_eq!(names.join(" "), LIST_2);
            for side in [Side::Public, Side::Personal] {
                let words = schema.get_field_entry(fields().words(side)).field_type();
                let option = words.get_index_record_option();
                let placed = option.is_some_and(tantivy::schema::IndexRecordOption::has_positions);
                assert_eq!(placed, text == TextIndex::Positions);
            }
        }
        let codes = [
            Label::Action,
            Label::Kind,
            Label::Class,
            Label::Json,
            Label::Metadata,
        ];
        assert_eq!(codes.map(|label| label as u8), [1, 41, 42, 43, 44]);
    }

    #[test]
    fn names_that_may_be_personal_have_presence_terms() {
        assert!(Label::ActorId.has_presence() && Label::Ip.has_presence() && Label::UserAgent.has_presence());
        assert!(!Label::Action.has_presence() && !Label::Class.has_presence());
        assert_eq!(path_column("payload.a.b", Side::Personal), "_p.json.payload.a.b");
    }
}
