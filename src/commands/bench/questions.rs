//! What `bench search` asks: the questions that investigators ask most, in many variants each.

use attestore_engine::search::SearchRequest;
use serde_json::{Value, json};

use super::dataset::{Dataset, RARE, RARE_ACCOUNT, RARE_COST_CENTER, Sample};

/// One kind of question.
pub struct Question {
    /// Short name, stable.
    pub name: &'static str,
    /// What is asked about one sampled event.
    pub ask: fn(&Dataset, &Sample) -> Ask,
    /// Whether every record is looked at.
    pub is_pass: bool,
}

/// One question.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// Query string.
    pub q: String,
    /// Window, Unix milliseconds.
    pub window_ms: Option<[i64; 2]>,
    /// Records wanted.
    pub limit: usize,
    /// Aggregations wanted.
    pub aggs: Option<Value>,
    /// How many records have to come, if that is known.
    pub expect: Option<usize>,
}

/// Every kind.
pub const QUESTIONS: [Question; 9] = [
    Question {
        name: "actor in a time range",
        is_pass: false,
        ask: |_, sample| Ask {
            q: format!("actor.id:{}", quoted(&sample.actor)),
            window_ms: Some([sample.occurred_ms - DAY_MS / 2, sample.occurred_ms + DAY_MS / 2]),
            limit: PAGE,
            ..Ask::default()
        },
    },
    Question {
        name: "rare JSON value",
        is_pass: false,
        ask: |dataset, _| Ask {
            q: if dataset.shape == "native" {
                format!("metadata.cost_center:{RARE_COST_CENTER}")
            } else {
                format!("metadata.account:{RARE_ACCOUNT}")
            },
            limit: PAGE,
            expect: usize::try_from(RARE.min(dataset.events)).ok(),
            ..Ask::default()
        },
    },
    Question {
        name: "request id",
        is_pass: false,
        ask: |_, sample| Ask {
            q: format!("request_id:{}", quoted(&sample.request)),
            limit: PAGE,
            expect: Some(1),
            ..Ask::default()
        },
    },
    Question {
        name: "two words",
        is_pass: false,
        ask: |_, sample| Ask {
            q: format!("{} {}", last_word(&sample.actor), sample.service),
            limit: PAGE,
            ..Ask::default()
        },
    },
    Question {
        name: "phrase",
        is_pass: false,
        ask: |dataset, sample| Ask {
            q: if dataset.shape == "native" {
                format!("\"User {}\"", number(last_word(&sample.actor)))
            } else {
                format!("\"{} is not allowed\"", last_word(&sample.actor))
            },
            limit: PAGE,
            ..Ask::default()
        },
    },
    Question {
        name: "newest denied",
        is_pass: false,
        ask: |_, _| Ask {
            q: "outcome:denied".into(),
            limit: PAGE,
            ..Ask::default()
        },
    },
    Question {
        name: "hourly histogram",
        is_pass: true,
        ask: |_, _| Ask {
            aggs: Some(
                json!({"hours": {"date_histogram": {"field": "occurred_at", "fixed_interval": "1h"}}}),
            ),
            ..Ask::default()
        },
    },
    Question {
        name: "top actors",
        is_pass: true,
        ask: |_, _| Ask {
            aggs: Some(json!({"actors": {"terms": {"field": "actor.id", "size": 10}}})),
            ..Ask::default()
        },
    },
    Question {
        name: "top actors by day",
        is_pass: true,
        ask: |_, _| Ask {
            aggs: Some(
                json!({"days": {"date_histogram": {"field": "occurred_at", "fixed_interval": "1d"},
                "aggs": {"actors": {"terms": {"field": "actor.id", "size": 10}}}}}),
            ),
            ..Ask::default()
        },
    },
];

const PAGE: usize = 50;
const DAY_MS: i64 = 86_400_000;

impl Ask {
    /// As the engine takes it.
    pub fn request(&self) -> SearchRequest {
        SearchRequest {
            q: self.q.clone(),
            from_ns: self.window_ms.map(|[from, _]| from.saturating_mul(1_000_000)),
            to_ns: self.window_ms.map(|[_, to]| to.saturating_mul(1_000_000)),
            limit: self.limit,
            aggs: self.aggs.as_ref().map(Value::to_string),
            ..SearchRequest::default()
        }
    }

    /// As `POST …/search` takes it.
    pub fn body(&self) -> String {
        let mut body = json!({"query": self.q, "limit": self.limit});
        if let Some([from, to]) = self.window_ms {
            let time = |ms| jiff::Timestamp::from_millisecond(ms).map(|t| t.to_string());
            body["from"] = json!(time(from).ok());
            body["to"] = json!(time(to).ok());
        }
        if let Some(aggs) = &self.aggs {
            body["aggs"] = aggs.clone();
        }
        body.to_string()
    }

    /// Whether so many records, or aggregations over so many, can be right.
    pub fn accepts(&self, items: usize, aggregations: Option<&Value>, events: u64) -> bool {
        if self.expect.is_some_and(|expect| expect != items) || items > self.limit {
            return false;
        }
        let Some(aggs) = &self.aggs else { return true };
        let Some(aggregations) = aggregations else {
            return false;
        };
        let Some(name) = aggs.as_object().and_then(|aggs| aggs.keys().next()) else {
            return false;
        };
        let Some(buckets) = aggregations[name]["buckets"].as_array() else {
            return false;
        };
        let counted: u64 = buckets.iter().filter_map(|b| b["doc_count"].as_u64()).sum();
        // Histograms put every event into a bucket; of the top actors, the rest is told.
        let others = aggregations[name]["sum_other_doc_count"].as_u64().unwrap_or(0);
        counted + others == events
    }
}

fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

fn last_word(actor: &str) -> &str {
    actor
        .rsplit(|c: char| !c.is_ascii_alphanumeric())
        .next()
        .unwrap_or(actor)
}

/// Without leading zeros, as in the names of actors.
fn number(digits: &str) -> &str {
    let number = digits.trim_start_matches('0');
    if number.is_empty() { "0" } else { number }
}
