//! Parameters of the URL. Those that say nothing here are taken, unknown ones refused.

use std::collections::BTreeMap;
use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;

use super::answer::Refusal;

/// They choose between copies of data, name what is not here, or change how an answer is printed.
const WITHOUT_EFFECT: [&str; 22] = [
    "allow_no_indices",
    "allow_partial_search_results",
    "batched_reduce_size",
    "ccs_minimize_roundtrips",
    "cluster_manager_timeout",
    "error_trace",
    "expand_wildcards",
    "flat_settings",
    "human",
    "ignore_throttled",
    "ignore_unavailable",
    "include_defaults",
    "local",
    "master_timeout",
    "max_concurrent_searches",
    "max_concurrent_shard_requests",
    "pre_filter_shard_size",
    "preference",
    "pretty",
    "realtime",
    "request_cache",
    "search_type",
];

/// The parameters of a request, each once.
#[derive(Debug, Default)]
pub struct Params {
    raw: String,
    values: BTreeMap<String, String>,
}

impl Params {
    /// Reads the query of a URL.
    pub fn read(query: &str) -> Self {
        let decode = |text: &str| {
            let text = text.replace('+', " ");
            percent_decode_str(&text).decode_utf8_lossy().into_owned()
        };
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self {
            raw: query.to_owned(),
            values: pairs.map(|(name, value)| (decode(name), decode(value))).collect(),
        }
    }

    /// As they were written.
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// Refuses parameters other than these and those without effect.
    ///
    /// # Errors
    /// 400 that names one.
    pub fn allow(&self, known: &[&str]) -> Result<(), Refusal> {
        let unknown = self
            .values
            .keys()
            .find(|name| !known.contains(&name.as_str()) && !WITHOUT_EFFECT.contains(&name.as_str()));
        match unknown {
            None => Ok(()),
            Some(name) => Err(Refusal::argument(format!(
                "request contains an unrecognized or unsupported parameter: [{name}]"
            ))),
        }
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Whether a parameter says yes; without a value it does.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some("" | "true"))
    }

    /// A list, separated by commas.
    pub fn list(&self, name: &str) -> Option<Vec<&str>> {
        let items = self.get(name)?.split(',');
        Some(items.map(str::trim).filter(|item| !item.is_empty()).collect())
    }

    /// A whole number.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn number(&self, name: &str) -> Result<Option<usize>, Refusal> {
        let parsed = self.get(name).map(str::parse);
        parsed
            .transpose()
            .map_err(|_| Refusal::argument(format!("[{name}] must be a whole number")))
    }
}

impl<T: Sync> FromRequestParts<T> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &T) -> Result<Self, Infallible> {
        Ok(Self::read(parts.uri.query().unwrap_or("")))
    }
}
