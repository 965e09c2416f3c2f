//! What an operator may choose. Everything has a default; by default no append, read or search is limited by rate.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{Class, Rate, Scope, address::Network};

/// Rate limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Limits of one network: a /32 of IPv4, a /64 of IPv6. They hold before a credential is looked at.
    pub address: Classes,
    /// Limits of one credential.
    pub credential: Classes,
    /// Limits of one tenant, whoever asks.
    pub tenant: Classes,
    /// Networks whose requests are not limited by address. Default: loopback, behind which a proxy may speak for everybody.
    pub exempt: Vec<Network>,
    /// Keys that are counted at once, at most, per table. Default 65,536, from 1024 on.
    pub keys_max: usize,
    /// Requests of reads at once, at most, when there is no load; under load it goes down with it. Default 1024.
    pub reads_max: u32,
    /// The same of appends. Default 4096.
    pub appends_max: u32,
    /// Limits that follow the load.
    pub adaptive: Adaptive,
    /// Limits for who fails often.
    pub tighten: Tighten,
}

/// Limits by what a request does, such as `1000/s` or `600/m gcra burst=20`; one that is `off` or not there limits nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Classes {
    /// Everything together.
    #[serde(deserialize_with = "maybe")]
    pub all: Option<Rate>,
    /// Appends.
    #[serde(deserialize_with = "maybe")]
    pub append: Option<Rate>,
    /// Reads of records and documents.
    #[serde(deserialize_with = "maybe")]
    pub read: Option<Rate>,
    /// Searches.
    #[serde(deserialize_with = "maybe")]
    pub search: Option<Rate>,
    /// Proofs and tiles.
    #[serde(deserialize_with = "maybe")]
    pub proof: Option<Rate>,
    /// Exports.
    #[serde(deserialize_with = "maybe")]
    pub export: Option<Rate>,
    /// Beginnings of tails.
    #[serde(deserialize_with = "maybe")]
    pub tail: Option<Rate>,
    /// Administration.
    #[serde(deserialize_with = "maybe")]
    pub admin: Option<Rate>,
    /// What needs no credential.
    #[serde(deserialize_with = "maybe")]
    pub public: Option<Rate>,
}

/// Limits that follow the load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adaptive {
    /// Whether they do. Default true.
    pub enabled: bool,
    /// Milliseconds that a commit may take before reads are cut. Default 500.
    pub commit_target_ms: u32,
    /// Percent of the committer's queue that may be full before reads are cut. Default 50.
    pub queue_target_percent: u32,
}

/// Limits for who fails often: logins of a network, denials of a credential.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tighten {
    /// Failures, halved every half-life, from which on somebody is limited; 0 for never. Default 500.
    pub threshold: u32,
    /// Milliseconds after which a failure counts half. Default 60,000.
    pub half_life_ms: u64,
    /// What is allowed then; half of it at twice the threshold, and so on. Default `20/s gcra burst=20`.
    pub rate: Rate,
}

/// A Redis, or whatever speaks its protocol, that several servers share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    /// `redis://[user:password@]host:port[/database]` or `rediss://…` with TLS; empty (default): each server limits for itself.
    pub url: String,
    /// Begins the names of keys. Default `attestore:`. Servers that share limits have the same.
    pub prefix: String,
    /// Goes into the names of keys, so that they do not tell who is counted. Servers that share limits have the same.
    pub secret: String,
    /// How many servers there are when Redis cannot be asked: each then lets through its share. Default 1; what Redis last said
    /// if that is more.
    pub servers: u32,
    /// Milliseconds that Redis has for an answer. Default 100.
    pub timeout_ms: u64,
    /// Milliseconds between attempts while it does not answer. Default 500.
    pub retry_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        let even = |count, burst| Rate::gcra(count, 1000, burst).ok();
        Self {
            address: Classes {
                admin: even(50, 200),
                public: even(200, 400),
                ..Classes::default()
            },
            credential: Classes::default(),
            tenant: Classes::default(),
            exempt: ["127.0.0.0/8", "::1"]
                .iter()
                .filter_map(|n| n.parse().ok())
                .collect(),
            keys_max: 65_536,
            reads_max: 1024,
            appends_max: 4096,
            adaptive: Adaptive::default(),
            tighten: Tighten::default(),
        }
    }
}

impl Default for Adaptive {
    fn default() -> Self {
        Self {
            enabled: true,
            commit_target_ms: 500,
            queue_target_percent: 50,
        }
    }
}

impl Default for Tighten {
    fn default() -> Self {
        Self {
            threshold: 500,
            half_life_ms: 60_000,
            rate: Rate::gcra(20, 1000, 20).expect("the default is a rate"),
        }
    }
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            url: String::new(),
            prefix: "attestore:".into(),
            secret: String::new(),
            servers: 1,
            timeout_ms: 100,
            retry_ms: 500,
        }
    }
}

impl Settings {
    /// The limits of a scope.
    pub fn of(&self, scope: Scope) -> &Classes {
        match scope {
            Scope::Address => &self.address,
            Scope::Credential => &self.credential,
            Scope::Tenant => &self.tenant,
        }
    }
}

impl Classes {
    /// The limit of a class alone.
    pub fn of(&self, class: Class) -> Option<Rate> {
        match class {
            Class::Append => self.append,
            Class::Read => self.read,
            Class::Search => self.search,
            Class::Proof => self.proof,
            Class::Export => self.export,
            Class::Tail => self.tail,
            Class::Admin => self.admin,
            Class::Public => self.public,
        }
    }
}

/// A rate; `off` and nothing are none.
fn maybe<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Rate>, D::Error> {
    match Option::<String>::deserialize(from)?.as_deref() {
        None | Some("" | "off") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(D::Error::custom),
    }
}
