//! An act, and the event that it becomes.

use std::{net::IpAddr, sync::Arc};

use serde_json::{Map, Value, json};

use crate::credentials::{Kind, Principal};

/// What somebody did, tried or was refused.
#[derive(Clone, Debug)]
pub struct Act {
    /// Id of the request; the answer carries it too.
    pub request_id: String,
    /// Who; `None` for who was not recognised.
    pub by: Option<Arc<Principal>>,
    /// For who was not recognised: the credential whose secret was brought, in vain.
    pub credential: Option<String>,
    /// Where from. Sealed.
    pub address: Option<IpAddr>,
    /// Name of the permission that it takes.
    pub permission: &'static str,
    /// Method of the request.
    pub method: &'static str,
    /// Template of the route, without values.
    pub route: String,
    /// The tenant that it is about.
    pub tenant: Option<String>,
    /// What else it is about. Types and ids are public.
    pub targets: Vec<Target>,
    /// How it went.
    pub outcome: Outcome,
    /// What was looked for, in the caller's words. Sealed; cut after [`TERMS_BYTES_MAX`].
    pub terms: Option<String>,
}

/// What an act is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its type.
    pub ty: &'static str,
    /// Its id.
    pub id: String,
}

/// How an act went, as far as that is known when its record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is let in and under way. If it fails later, a second record says so.
    Begun,
    /// It was done.
    Done {
        /// HTTP status of the answer.
        status: u16,
    },
    /// It failed.
    Failed {
        /// HTTP status of the answer.
        status: u16,
    },
    /// It was refused: nobody was recognised, or somebody who may not.
    Denied {
        /// HTTP status of the answer.
        status: u16,
        /// Why, as a code.
        reason: &'static str,
    },
    /// What [`Outcome::Begun`] was said of has failed.
    Ended {
        /// HTTP status of the answer.
        status: u16,
    },
}

impl Act {
    /// The event.
    pub(super) fn event(&self) -> Vec<u8> {
        let mut targets = Vec::new();
        if let Some(tenant) = &self.tenant {
            targets.push(json!({ "type": "tenant", "id": short(tenant) }));
        }
        let others = self.targets.iter().take(TARGETS_MAX);
        targets.extend(others.map(|target| json!({ "type": target.ty, "id": short(&target.id) })));
        let mut metadata = Map::new();
        metadata.insert("permission".into(), self.permission.into());
        metadata.insert("method".into(), self.method.into());
        metadata.insert("route".into(), self.route.as_str().into());
        let (outcome, status, reason) = match self.outcome {
            Outcome::Begun => ("success", None, None),
            Outcome::Done { status } => ("success", Some(status), None),
            Outcome::Failed { status } | Outcome::Ended { status } => ("failure", Some(status), None),
            Outcome::Denied { status, reason } => ("denied", Some(status), Some(reason)),
        };
        if let Some(purpose) = self.by.as_ref().and_then(|by| by.purpose()) {
            metadata.insert("purpose".into(), purpose.name().into());
        }
        if let Some(status) = status {
            metadata.insert("status".into(), status.into());
        }
        let mut event = json!({
            "action": self.action(),
            "operation": self.operation(),
            "outcome": outcome,
            "actor": self.actor(),
            "targets": targets,
            "context": { "request_id": self.request_id },
            "metadata": metadata,
        });
        if let Some(reason) = reason {
            event["outcome_reason"] = json!({ "code": reason });
        }
        let mut sealed = Vec::new();
        if self.by.is_some() {
            sealed.push("/actor/name");
        }
        if let Some(address) = self.address {
            event["context"]["ip"] = address.to_string().into();
            sealed.push("/context/ip");
        }
        if let Some(terms) = &self.terms {
            let cut = cut(terms, TERMS_BYTES_MAX);
            event["payload"] = json!({ "terms": cut });
            if cut.len() < terms.len() {
                event["metadata"]["terms_bytes"] = terms.len().into();
            }
            sealed.push("/payload");
        }
        if !sealed.is_empty() {
            // Not the actor: its id stays public.
            let id = match &self.by {
                Some(by) => short(&by.id),
                None => NOBODY.into(),
            };
            event["data_subjects"] = json!([{ "type": SUBJECT, "id": format!("of {id}"), "fields": sealed }]);
        }
        event.to_string().into_bytes()
    }

    fn action(&self) -> String {
        match (&self.outcome, &self.by) {
            (Outcome::Denied { .. }, None) => "access.login".to_owned(),
            (Outcome::Ended { .. }, _) => "access.outcome".to_owned(),
            _ => format!("access.{}", self.permission),
        }
    }

    fn operation(&self) -> &'static str {
        match (&self.outcome, &self.by) {
            (Outcome::Denied { .. }, None) => return "login",
            (Outcome::Ended { .. }, _) => return "other",
            _ => {}
        }
        match (self.permission, self.method) {
            ("export", "POST") => "export",
            ("read" | "search" | "tail" | "prove" | "read_log" | "read_access_log", _) => "read",
            (_, "GET" | "HEAD") => "read",
            (_, "POST") => "create",
            (_, "PUT" | "PATCH") => "update",
            (_, "DELETE") => "delete",
            _ => "other",
        }
    }

    fn actor(&self) -> Value {
        match (&self.by, &self.credential) {
            (Some(by), _) => json!({ "type": by.kind.name(), "id": short(&by.id), "name": name(by) }),
            (None, Some(id)) => json!({ "type": Kind::Credential.name(), "id": id }),
            (None, None) => json!({ "type": NOBODY, "id": NOBODY }),
        }
    }
}

/// Ids of foreign identities may be longer than ids of events: then they are named by their hash.
fn short(id: &str) -> std::borrow::Cow<'_, str> {
    match id.len() <= ID_BYTES_MAX && !id.is_empty() && !id.contains(char::is_control) {
        true => id.into(),
        false => format!("hash:{}", blake3::hash(id.as_bytes()).to_hex()).into(),
    }
}

fn name(by: &Principal) -> &str {
    match cut(&by.name, ID_BYTES_MAX) {
        "" => "-",
        name => name,
    }
}

fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// Longest search terms that are kept whole.
pub const TERMS_BYTES_MAX: usize = 8 << 10;
const TARGETS_MAX: usize = 16;
const ID_BYTES_MAX: usize = 200;
/// The type of data subject that sealed fields are about.
const SUBJECT: &str = "access";
const NOBODY: &str = "unknown";

#[cfg(test)]
mod tests {
    use super::*;

    fn act(outcome: Outcome) -> Act {
        Act {
            request_id: "r-1".into(),
            by: Some(Arc::new(Principal::internal())),
            credential: None,
            address: Some("192.0.2.1".parse().unwrap()),
            permission: "search",
            method: "POST",
            route: "/v1/tenants/{tenant}/search".into(),
            tenant: Some("acme".into()),
            targets: Vec::new(),
            outcome,
            terms: Some("ann@example.org".into()),
        }
    }

    #[test]
    fn terms_and_addresses_are_claimed_for_a_subject() {
        let event: Value = serde_json::from_slice(&act(Outcome::Begun).event()).unwrap();
        let fields = &event["data_subjects"][0]["fields"];
        assert_eq!(*fields, json!(["/actor/name", "/context/ip", "/payload"]));
        assert_eq!(event["action"], "access.search");
    }

    #[test]
    fn long_ids_and_terms_are_cut() {
        let mut long = act(Outcome::Denied {
            status: 401,
            reason: "unknown",
        });
        long.by = None;
        long.tenant = Some("x".repeat(5000));
        long.terms = Some("ä".repeat(TERMS_BYTES_MAX));
        let event: Value = serde_json::from_slice(&long.event()).unwrap();
        assert!(event["targets"][0]["id"].as_str().unwrap().starts_with("hash:"));
        assert_eq!(event["payload"]["terms"].as_str().unwrap().len(), TERMS_BYTES_MAX);
        assert_eq!(
            (&event["action"], &event["outcome"]),
            (&json!("access.login"), &json!("denied"))
        );
    }
}
