//! The same values through the search library alone: its own documents, its own tokenisers, a schema of the same
//! fields. What a split costs beyond that is ours.

use attestore_record::view::{FieldValues, Fields};
use tantivy::directory::RamDirectory;
use tantivy::schema::{
    Field, IndexRecordOption, IpAddrOptions, NumericOptions, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::store::Compressor;
use tantivy::{Index, IndexSettings, SingleSegmentIndexWriter, TantivyDocument};

use crate::data::START_MS;

/// Fields by their place in the schema.
pub(crate) struct Bare {
    schema: Schema,
    seq: Field,
    occurred: Field,
    received: Field,
    names: Vec<Field>,
    ip: [Field; 2],
    terms: [Field; 2],
    text: [Field; 2],
}

/// Columns of strings with a twin.
const TWINS: usize = 4;
/// Columns of strings without.
const COLUMNS: usize = 14;

impl Bare {
    pub(crate) fn new(positions: bool) -> Self {
        let mut schema = Schema::builder();
        let number = || NumericOptions::default().set_fast();
        let column = || TextOptions::default().set_fast("raw");
        let indexed = |tokenizer: &str, option| {
            TextOptions::default().set_indexing_options(
                TextFieldIndexing::default()
                    .set_tokenizer(tokenizer)
                    .set_index_option(option)
                    .set_fieldnorms(false),
            )
        };
        let words = if positions {
            IndexRecordOption::WithFreqsAndPositions
        } else {
            IndexRecordOption::Basic
        };
        Self {
            seq: schema.add_u64_field("seq", number()),
            occurred: schema.add_i64_field("occurred", number()),
            received: schema.add_u64_field("received", number()),
            names: (0..2 * TWINS + COLUMNS)
                .map(|n| schema.add_text_field(&format!("column{n}"), column()))
                .collect(),
            ip: ["ip", "_p.ip"]
                .map(|name| schema.add_ip_addr_field(name, IpAddrOptions::default().set_fast())),
            terms: ["terms", "_p.terms"]
                .map(|name| schema.add_text_field(name, indexed("raw", IndexRecordOption::Basic))),
            text: ["text", "_p.text"].map(|name| schema.add_text_field(name, indexed("default", words))),
            schema: schema.build(),
        }
    }

    /// Makes documents; what that costs is not counted.
    pub(crate) fn documents(&self, all: &[Fields<'_>]) -> Vec<TantivyDocument> {
        (0..)
            .zip(all)
            .map(|(seq, fields)| self.document(seq, fields))
            .collect()
    }

    fn document(&self, seq: u64, fields: &Fields<'_>) -> TantivyDocument {
        let mut document = TantivyDocument::new();
        document.add_u64(self.seq, seq);
        document.add_i64(self.occurred, fields.public.occurred_at_ns.unwrap_or(0));
        document.add_u64(self.received, START_MS + seq * 10);
        for (side, values) in [&fields.public, &fields.personal].into_iter().enumerate() {
            for (n, value) in twins(values).into_iter().enumerate() {
                for value in value {
                    document.add_text(self.names[2 * n], if side == 0 { value } else { "[personal]" });
                    document.add_text(self.names[2 * n + 1], value);
                }
            }
            for (n, value) in columns(values).into_iter().enumerate() {
                value
                    .into_iter()
                    .for_each(|value| document.add_text(self.names[2 * TWINS + n], value));
            }
            if let Some(ip) = values.ip {
                let ip = match ip {
                    std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                    std::net::IpAddr::V6(v6) => v6,
                };
                document.add_ip_addr(self.ip[side], ip);
                document.add_text(self.terms[side], format!("ip{ip}"));
            }
            for (n, value) in terms(values).into_iter().enumerate() {
                document.add_text(self.terms[side], format!("{n}{value}"));
            }
            values.for_each_text(&mut |text| document.add_text(self.text[side], text));
            if let Some(payload) = &values.payload {
                attestore_record::view::leaf_strings(payload.as_str(), &mut |text| {
                    document.add_text(self.text[side], text);
                });
            }
        }
        document
    }

    /// Indexes them; returns the number of documents.
    pub(crate) fn index(&self, documents: Vec<TantivyDocument>) -> u32 {
        let settings = IndexSettings {
            docstore_compression: Compressor::None,
            docstore_compress_dedicated_thread: false,
            ..IndexSettings::default()
        };
        let mut writer: SingleSegmentIndexWriter<TantivyDocument> = Index::builder()
            .schema(self.schema.clone())
            .settings(settings)
            .single_segment_index_writer(RamDirectory::create(), 1 << 20)
            .expect("writer");
        for document in documents {
            writer.add_document(document).expect("added");
        }
        let index = writer.finalize().expect("finished");
        let segments = index.searchable_segment_metas().expect("segments");
        segments.iter().map(tantivy::SegmentMeta::num_docs).sum()
    }
}

type Value<'v> = Option<&'v str>;

fn one<'v>(value: &'v Option<std::borrow::Cow<'_, str>>) -> Value<'v> {
    value.as_deref()
}

/// Values of the columns that have a twin.
fn twins<'v>(values: &'v FieldValues<'_>) -> [Vec<&'v str>; TWINS] {
    let single = |value| one(value).into_iter().collect();
    [
        single(&values.actor_id),
        values.target_ids.iter().map(|id| &**id).collect(),
        single(&values.host),
        single(&values.session_id),
    ]
}

/// Values of the others.
fn columns<'v>(values: &'v FieldValues<'_>) -> [Vec<&'v str>; COLUMNS] {
    let single = |value: Value<'v>| value.into_iter().collect::<Vec<_>>();
    let event = values.action.as_ref();
    [
        single(one(&values.action)),
        single(values.operation.map(|value| value.as_str())),
        single(values.outcome.map(|value| value.as_str())),
        single(values.severity.map(|value| value.as_str())),
        single(one(&values.actor_type)),
        values.target_types.iter().map(|ty| &**ty).collect(),
        single(one(&values.source_service)),
        single(one(&values.environment)),
        single(values.classification.map(|value| value.as_str())),
        values
            .data_categories
            .iter()
            .map(|category| &**category)
            .collect(),
        single(event.map(|_| "1")),
        single(one(&values.credential_id)),
        single(one(&values.protocol)),
        single(event.map(|_| "event")),
    ]
}

/// Exact values, the address apart; presence included.
fn terms(values: &FieldValues<'_>) -> Vec<String> {
    let mut terms = Vec::new();
    let twins = twins(values);
    terms.extend(twins.iter().flatten().map(|value| (*value).to_owned()));
    let columns = columns(values);
    terms.extend(columns.iter().flatten().map(|value| (*value).to_owned()));
    let rest = [
        &values.actor_name,
        &values.actor_credential_id,
        &values.outcome_code,
        &values.user_agent,
        &values.location,
        &values.request_id,
        &values.idempotency_key,
        &values.trace_id,
    ];
    for value in rest.into_iter().flatten() {
        terms.push(value.clone().into_owned());
        terms.push("present".to_owned());
    }
    if let Some(metadata) = &values.metadata {
        let metadata: serde_json::Value = serde_json::from_str(metadata.as_str()).expect("JSON");
        for (name, value) in metadata.as_object().into_iter().flatten() {
            terms.push(format!("{name}={value}"));
            terms.push(format!("present {name}"));
        }
    }
    terms
}
