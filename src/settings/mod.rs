//! Settings of the server: one tree, from defaults, a TOML file, `ATTESTORE_…` variables and the command line, in that order.
//!
//! A variable names a key in upper case; `__` separates levels: `ATTESTORE_ENGINE__FLUSH_AGE_MS=60000`. docs/operations.md
//! lists every key; its table is made from the comments here.

mod audit;
mod backup;
mod check;
mod http;
mod listen;
mod root;
mod source;
mod webhook;
mod witness;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use self::audit::Audit;
pub use self::backup::Backup;
pub use self::http::Http;
pub use self::listen::{Mtls, Tls, Unix};
pub use self::root::{Root, RootProviderName};
pub use self::source::Loaded;
pub use self::webhook::Webhook;
pub use self::witness::Witness;
use crate::cli::Sources;
use crate::failure::Failure;

/// Everything that an operator may set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Data directory.
    pub data: PathBuf,
    /// Address to listen on; empty for none, if there is a Unix socket.
    pub listen: String,
    /// Whether to listen beyond loopback without TLS. Said at every start.
    pub allow_plaintext: bool,
    /// What remembers signed tree heads outside of the data directory: a file, or
    /// `s3://bucket/key?endpoint=…&region=…&ca_file=…`; nothing for none.
    pub head_register: Option<PathBuf>,
    /// Threads that serve connections; 0 for one per core.
    pub threads: usize,
    /// Whether to keep all memory of the process from being swapped out: `auto` where the limit on locked memory
    /// (`LimitMEMLOCK=infinity`) allows it, `on` to refuse to start otherwise, or `off`.
    pub lock_memory: LockMemory,
    /// Who holds the root key.
    pub root: Root,
    /// The server's own log.
    pub log: Log,
    /// Limits of the HTTP side.
    pub http: Http,
    /// TLS on the address.
    pub tls: Tls,
    /// Client certificates.
    pub mtls: Mtls,
    /// A Unix socket.
    pub unix: Unix,
    /// Proxies that are believed about who their client is.
    pub proxy: attestore_limit::Trusted,
    /// Rate limits.
    pub limits: attestore_limit::Settings,
    /// A Redis over which several servers keep rate limits together.
    pub redis: attestore_limit::Redis,
    /// Identity providers whose tokens are accepted.
    pub oidc: attestore_identity::Settings,
    /// The server's account of itself.
    pub audit: Audit,
    /// Backups.
    pub backup: Backup,
    /// Webhooks of watches.
    pub webhook: Webhook,
    /// Witnesses of this server's logs.
    pub witness: Witness,
    /// The storage engine.
    pub engine: attestore_engine::Settings,
}

/// The server's own log; it never holds event values.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// error, warn, info, debug or trace, or a filter such as `info,attestore_http::requests=debug`.
    pub level: String,
    /// `text` or `json`.
    pub format: String,
}

/// Whether memory is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LockMemory {
    /// Where it is allowed.
    #[default]
    Auto,
    /// Or no start.
    On,
    /// No.
    Off,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: "attestore-data".into(),
            listen: "127.0.0.1:7117".into(),
            allow_plaintext: false,
            head_register: None,
            threads: 0,
            lock_memory: LockMemory::default(),
            root: Root::default(),
            log: Log::default(),
            http: Http::default(),
            tls: Tls::default(),
            mtls: Mtls::default(),
            unix: Unix::default(),
            proxy: attestore_limit::Trusted::default(),
            limits: attestore_limit::Settings::default(),
            redis: attestore_limit::Redis::default(),
            oidc: attestore_identity::Settings::default(),
            audit: Audit::default(),
            backup: Backup::default(),
            webhook: Webhook::default(),
            witness: Witness::default(),
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

impl Settings {
    /// Reads the settings of a server.
    ///
    /// # Errors
    /// Usage, with every key that is unknown and every value that does not fit.
    pub fn load(sources: &Sources) -> Result<Loaded, Failure> {
        source::load(sources)
    }

    /// The settings of the engine, with where backups go.
    ///
    /// # Errors
    /// As [`Backup::target`].
    pub fn engine(&self) -> Result<attestore_engine::Settings, Failure> {
        Ok(attestore_engine::Settings {
            backup: self.backup.target()?,
            signing: self.root.signing.into(),
            ..self.engine.clone()
        })
    }

    /// All keys with the values in force, secrets hidden.
    ///
    /// # Errors
    /// Never in practice: every value has a TOML form.
    pub fn to_toml(&self) -> Result<String, Failure> {
        let mut tree = serde_json::to_value(self)?;
        source::hide_secrets(&mut tree);
        source::drop_nulls(&mut tree);
        toml::to_string_pretty(&tree).map_err(|e| Failure::failed(e.to_string()))
    }
}

#[cfg(test)]
mod tests;
