//! What is saved.

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    search::{Order, PAGE_MAX, SearchRequest, check_request},
};

/// A search to be saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchSpec {
    /// Its name: 1 to 128 characters without control characters, no other saved search of the tenant has it.
    pub name: String,
    /// What it is for: at most 1024 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The query, as in searches; empty for everything.
    pub query: String,
    /// Earliest time of occurrence, inclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<When>,
    /// Latest time of occurrence, exclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<When>,
    /// `newest`, `oldest`, or a field with `:asc` or `:desc`; `None` for newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<String>,
    /// Fields of the events to answer with; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Vec<String>>,
    /// Aggregations: a JSON object of Elasticsearch's shape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggs: Option<String>,
    /// Records in a page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A moment, or how long before the moment at which the search is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Nanoseconds since 1970.
    At(i64),
    /// Seconds before now.
    Ago(u64),
}

impl When {
    /// The moment, seen from `now_ms`.
    pub fn ns(self, now_ms: u64) -> i64 {
        match self {
            Self::At(ns) => ns,
            Self::Ago(seconds) => {
                let ms = now_ms.saturating_sub(seconds.saturating_mul(1000));
                i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1_000_000)
            }
        }
    }
}

impl SearchSpec {
    /// The search that it stands for when it is run at `now_ms`; `limit` unless it names one.
    pub fn request(&self, now_ms: u64, limit: usize) -> SearchRequest {
        let (order, sort) = match self.sort.as_deref() {
            None | Some("newest" | "seq:desc") => (Order::Newest, None),
            Some("oldest" | "seq" | "seq:asc") => (Order::Oldest, None),
            Some(column) => (Order::Newest, Some(column.to_owned())),
        };
        SearchRequest {
            q: self.query.clone(),
            from_ns: self.from.map(|when| when.ns(now_ms)),
            to_ns: self.to.map(|when| when.ns(now_ms)),
            order,
            sort,
            limit: self.limit.unwrap_or(limit),
            aggs: self.aggs.clone(),
            ..SearchRequest::default()
        }
    }

    /// Checks it as if it were run, by somebody who sees everything: who runs it is not known yet.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Query`].
    pub(super) fn check(&self) -> Result<()> {
        let named = (1..=NAME_CHARS_MAX).contains(&self.name.chars().count());
        if !named || self.name.chars().any(char::is_control) || self.name.trim() != self.name {
            return Err(invalid(
                "a saved search has a name of 1 to 128 characters, none of them a control character, without blanks around it",
            ));
        }
        if self.description.chars().count() > DESCRIPTION_CHARS_MAX {
            return Err(invalid("a description has at most 1024 characters"));
        }
        if self.limit.is_some_and(|limit| limit > PAGE_MAX) || self.limit == Some(0) && self.aggs.is_none() {
            return Err(invalid("`limit` is 1 to 1000, or 0 with `aggs`"));
        }
        if self.aggs.as_ref().is_some_and(|aggs| aggs.len() > AGGS_BYTES_MAX) {
            return Err(invalid("aggregations have at most 16,384 bytes"));
        }
        let empty = match (self.from, self.to) {
            (Some(When::At(from)), Some(When::At(to))) => from >= to,
            (Some(When::Ago(from)), Some(When::Ago(to))) => from <= to,
            _ => false,
        };
        if empty {
            return Err(invalid("`from` is not before `to`"));
        }
        check_request(&self.request(0, 1), true)
    }
}

pub(super) fn invalid(message: &str) -> Error {
    Error::Invalid {
        code: "invalid_saved_search",
        message: message.to_owned(),
    }
}

const NAME_CHARS_MAX: usize = 128;
const DESCRIPTION_CHARS_MAX: usize = 1024;
const AGGS_BYTES_MAX: usize = 16 << 10;
