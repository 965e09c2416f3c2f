//! `[webhook]`: where the webhooks of watches may go, and how hard is tried.

use attestore_engine::searches::watch::Retry;
use attestore_webhook::Allowed;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// Webhooks of watches. They go to addresses of the internet, with TLS; anything else is allowed here by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhook {
    /// Host names, addresses and networks that may be called though they are not of the internet.
    pub allow: Vec<String>,
    /// Whether what is in `allow` may be called without TLS.
    pub allow_http: bool,
    /// Milliseconds for one attempt, from looking up the name to the head of the answer.
    pub timeout_ms: u64,
    /// Milliseconds to wait after the first failure; each further one doubles it.
    pub retry_first_ms: u64,
    /// The longest wait, in milliseconds.
    pub retry_last_ms: u64,
    /// Attempts, after which a message is a dead letter.
    pub attempts_max: u32,
    /// Milliseconds for which nothing may have been taken before a watch is turned off.
    pub disable_after_ms: u64,
}

impl Default for Webhook {
    fn default() -> Self {
        let retry = Retry::default();
        Self {
            allow: Vec::new(),
            allow_http: false,
            timeout_ms: 15_000,
            retry_first_ms: retry.first_ms,
            retry_last_ms: retry.last_ms,
            attempts_max: retry.attempts_max,
            disable_after_ms: retry.disable_after_ms,
        }
    }
}

impl Webhook {
    /// Where webhooks may go.
    ///
    /// # Errors
    /// Usage, naming the entry that makes no sense.
    pub fn allowed(&self) -> Result<Allowed, Failure> {
        Allowed::parse(&self.allow, self.allow_http)
            .map_err(|error| Failure::usage(format!("settings: webhook.allow: {error}")))
    }

    /// How hard is tried.
    pub fn retry(&self) -> Retry {
        Retry {
            first_ms: self.retry_first_ms,
            last_ms: self.retry_last_ms,
            attempts_max: self.attempts_max,
            disable_after_ms: self.disable_after_ms,
        }
    }
}
