//! Who was shown records of a tenant, as far as `_system` tells: whom to tell that somebody was erased (Art. 19 GDPR), and whom
//! somebody is told of who asks (Art. 15).
//!
//! `_system` says who read, searched, followed, proved and exported what tenant's records, and not which fields they saw. So this
//! names everybody who may have been shown the data. It does not know what they did with it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Engine;
use crate::credentials::{Principal, Role};
use crate::error::{Error, Result};
use crate::instance::SYSTEM_TENANT;
use crate::search::SearchRequest;

/// Somebody who was let see records of the tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Id of the credential, or of the foreign identity.
    pub id: String,
    /// How often, by permission: `read`, `search`, `tail`, `prove`, `export`, `access_requests`.
    pub requests: Vec<(String, u64)>,
}

/// Everybody, at most [`RECIPIENTS_MAX`].
///
/// # Errors
/// As searches.
pub(crate) fn recipients(engine: &Engine, tenant: &str) -> Result<Vec<Recipient>> {
    let reader = Principal::internal_as(&[Role::Auditor]);
    let actions = SHOWS.map(|name| format!("access.{name}")).join(" ");
    let request = SearchRequest {
        q: format!("target.type:tenant AND target.id:\"{tenant}\" AND action:IN [{actions}]"),
        limit: 0,
        aggs: Some(format!(
            r#"{{"who":{{"terms":{{"field":"actor.id","size":{RECIPIENTS_MAX}}},"aggs":{{"how":{{"terms":{{"field":"action","size":8}}}}}}}}}}"#
        )),
        ..SearchRequest::default()
    };
    let page = engine.search(SYSTEM_TENANT, &reader, &request)?;
    let answer = page.aggregations.unwrap_or_default();
    let answer: Value = serde_json::from_str(&answer).map_err(|error| Error::Io(error.to_string()))?;
    let buckets = |value: &Value| value["buckets"].as_array().cloned().unwrap_or_default();
    let name = |bucket: &Value| bucket["key"].as_str().unwrap_or_default().to_owned();
    let who = buckets(&answer["who"]);
    let all = who.iter().map(|who| Recipient {
        id: name(who),
        requests: buckets(&who["how"])
            .iter()
            .map(|how| {
                let permission = name(how).trim_start_matches("access.").to_owned();
                (permission, how["doc_count"].as_u64().unwrap_or_default())
            })
            .collect(),
    });
    Ok(all.collect())
}

const SHOWS: [&str; 6] = ["read", "search", "tail", "prove", "export", "access_requests"];
const RECIPIENTS_MAX: usize = 1000;
