//! The settings of each aggregation, as they are written.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Terms {
    pub(super) field: String,
    pub(super) size: Option<u64>,
    pub(super) min_doc_count: Option<u64>,
    pub(super) order: Option<Value>,
    pub(super) missing: Option<Value>,
    pub(super) include: Option<Value>,
    pub(super) exclude: Option<Value>,
    /// Counts are exact: these have no effect.
    #[serde(rename = "shard_size")]
    _shard_size: Option<IgnoredAny>,
    #[serde(rename = "show_term_doc_count_error")]
    _show_error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dates {
    pub(super) field: String,
    pub(super) fixed_interval: Option<String>,
    pub(super) calendar_interval: Option<String>,
    pub(super) offset: Option<String>,
    pub(super) min_doc_count: Option<u64>,
    pub(super) hard_bounds: Option<Bounds>,
    pub(super) extended_bounds: Option<Bounds>,
    #[serde(default)]
    pub(super) keyed: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Histogram {
    pub(super) field: String,
    pub(super) interval: f64,
    pub(super) offset: Option<f64>,
    pub(super) min_doc_count: Option<u64>,
    pub(super) hard_bounds: Option<Bounds>,
    pub(super) extended_bounds: Option<Bounds>,
    #[serde(default)]
    pub(super) keyed: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bounds {
    pub(super) min: Value,
    pub(super) max: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ranges {
    pub(super) field: String,
    pub(super) ranges: Vec<Range>,
    #[serde(default)]
    pub(super) keyed: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Range {
    pub(super) key: Option<String>,
    pub(super) from: Option<Value>,
    pub(super) to: Option<Value>,
    /// A network.
    pub(super) mask: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Filter {
    Text(String),
    Query(FilterQuery),
    Named(NamedQuery),
    Numbered(NumberedQuery),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FilterQuery {
    pub(super) query: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedQuery {
    pub(super) query_string: FilterQuery,
}

/// One of the conditions that came with the request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NumberedQuery {
    pub(super) condition: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Measure {
    pub(super) field: String,
    pub(super) missing: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Count {
    pub(super) field: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Distinct {
    pub(super) field: String,
    pub(super) precision_threshold: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Percentiles {
    pub(super) field: String,
    pub(super) percents: Option<Vec<f64>>,
    pub(super) keyed: Option<bool>,
    pub(super) missing: Option<Value>,
}
