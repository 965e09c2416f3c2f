//! Settings of the server: defaults, then a TOML file, then `ATTESTORE_…` variables, then the command line.
//!
//! A variable names a key in upper case; `__` separates levels: `ATTESTORE_ENGINE__FLUSH_AGE_MS=60000`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use attestore_engine::searches::watch::Retry;
use attestore_webhook::Allowed;
use config::{Config, Environment, File, FileFormat};
use serde::{Deserialize, Serialize};

use crate::cli::ServeArgs;
use crate::failure::Failure;
use crate::files;

/// Everything that an operator may set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Data directory.
    pub data: PathBuf,
    /// Address to listen on.
    pub listen: String,
    /// File that remembers signed tree heads outside of the data directory; empty for none.
    pub head_register: Option<PathBuf>,
    /// Threads that serve connections; 0 for one per core.
    pub threads: usize,
    /// The server's own log.
    pub log: Log,
    /// Limits of the HTTP side.
    pub http: Http,
    /// Webhooks of watches.
    pub webhook: Webhook,
    /// The storage engine.
    pub engine: attestore_engine::Settings,
}

/// The server's own log; it never holds event values.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// error, warn, info, debug or trace, or a filter such as `info,attestore_engine=debug`.
    pub level: String,
    /// `text` or `json`.
    pub format: String,
}

/// Limits of the HTTP side.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Bytes of a request body on the wire.
    pub body_bytes_max: usize,
    /// Bytes of a request body after decompression.
    pub decoded_bytes_max: usize,
    /// Events in one request.
    pub events_max: usize,
    /// Connections served at once.
    pub connections_max: usize,
    /// Milliseconds that a client has for the head of a request.
    pub header_timeout_ms: u64,
    /// Milliseconds that a client has for the body of a request.
    pub body_timeout_ms: u64,
    /// Milliseconds that requests under way get when the server stops.
    pub drain_timeout_ms: u64,
    /// Tails at once, of all tenants; each is a connection.
    pub tails_max: usize,
    /// Tails of one tenant at once.
    pub tenant_tails_max: usize,
}

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

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: "attestore-data".into(),
            listen: "127.0.0.1:7117".into(),
            head_register: None,
            threads: 0,
            log: Log::default(),
            http: Http::default(),
            webhook: Webhook::default(),
            engine: attestore_engine::Settings::default(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".into(),
            format: "text".into(),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        let http = attestore_http::Settings::default();
        let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        Self {
            body_bytes_max: http.body.wire_bytes_max,
            decoded_bytes_max: http.body.decoded_bytes_max,
            events_max: http.body.events_max,
            connections_max: http.connections_max,
            header_timeout_ms: ms(http.header_timeout),
            body_timeout_ms: ms(http.body.deadline),
            drain_timeout_ms: ms(http.drain_timeout),
            tails_max: http.tails_max,
            tenant_tails_max: http.tenant_tails_max,
        }
    }
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

impl Http {
    /// As the HTTP side wants it.
    pub fn settings(&self) -> attestore_http::Settings {
        attestore_http::Settings {
            body: attestore_http::Limits {
                wire_bytes_max: self.body_bytes_max,
                decoded_bytes_max: self.decoded_bytes_max,
                deadline: Duration::from_millis(self.body_timeout_ms),
                events_max: self.events_max,
            },
            connections_max: self.connections_max,
            header_timeout: Duration::from_millis(self.header_timeout_ms),
            drain_timeout: Duration::from_millis(self.drain_timeout_ms),
            tails_max: self.tails_max,
            tenant_tails_max: self.tenant_tails_max,
            webhooks: Allowed::default(),
        }
    }
}

/// Variables with our prefix that are not settings of the server.
const NOT_SETTINGS: &[&str] = &[
    "URL",
    "CREDENTIAL",
    "TENANT",
    "CONFIG",
    "BOOTSTRAP_CREDENTIAL_FILE",
];
const PREFIX: &str = "ATTESTORE_";

impl Settings {
    /// Reads the settings of a server.
    ///
    /// # Errors
    /// Usage, naming the key, when a key is unknown or a value does not fit.
    pub fn load(args: &ServeArgs) -> Result<Self, Failure> {
        let usage = |e: config::ConfigError| Failure::usage(format!("settings: {e}"));
        let mut builder = Config::builder();
        if let Some(path) = &args.config {
            let text = files::read_text(path)?;
            builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
        }
        let variables: HashMap<String, String> = std::env::vars()
            .filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?.to_owned(), value)))
            .filter(|(name, _)| !NOT_SETTINGS.contains(&name.as_str()))
            .collect();
        let environment = Environment::default()
            .separator("__")
            .try_parsing(true)
            .list_separator(",")
            .with_list_parse_key("webhook.allow")
            .source(Some(variables));
        let mut settings: Self = builder
            .add_source(environment)
            .build()
            .and_then(Config::try_deserialize)
            .map_err(usage)?;
        if let Some(data) = &args.data {
            settings.data.clone_from(data);
        }
        if let Some(listen) = &args.listen {
            settings.listen.clone_from(listen);
        }
        if args.head_register.is_some() {
            settings.head_register.clone_from(&args.head_register);
        }
        if !["text", "json"].contains(&settings.log.format.as_str()) {
            return Err(Failure::usage("settings: log.format is text or json"));
        }
        Ok(settings)
    }

    /// All keys with the values in force.
    ///
    /// # Errors
    /// Never in practice: every value has a TOML form.
    pub fn to_toml(&self) -> Result<String, Failure> {
        toml::to_string_pretty(self).map_err(|e| Failure::failed(e.to_string()))
    }
}

#[cfg(test)]
mod tests;
