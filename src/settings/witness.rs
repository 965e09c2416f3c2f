//! `[witness]`: who cosigns this server's logs.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Witnesses of this server's logs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Witness {
    /// File with the policy (C2SP tlog-policy): the witnesses with their keys and URLs, and how many make a quorum; nothing for no
    /// witnesses.
    pub policy_file: Option<PathBuf>,
    /// Tenants whose logs are witnessed; `*` for all.
    pub tenants: Vec<String>,
    /// Milliseconds between rounds in which checkpoints of logs that grew are cosigned.
    pub interval_ms: u64,
    /// Whether rounds that commit to the heads of all logs are made in the log `_heads`, which is witnessed whatever `tenants` says.
    pub heads: bool,
    /// Milliseconds between such rounds, at least 100; none is made while no head moves.
    pub heads_interval_ms: u64,
    /// Milliseconds that one witness has for an answer.
    pub timeout_ms: u64,
    /// Further authorities that certificates of witnesses may come from, PEM.
    pub ca_file: Option<PathBuf>,
    /// Whether witnesses on this machine may be asked without TLS.
    pub allow_loopback_http: bool,
}

impl Default for Witness {
    fn default() -> Self {
        Self {
            policy_file: None,
            tenants: vec!["*".to_owned()],
            interval_ms: 10_000,
            heads: false,
            heads_interval_ms: 10_000,
            timeout_ms: 10_000,
            ca_file: None,
            allow_loopback_http: false,
        }
    }
}
