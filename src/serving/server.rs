//! The server that is behind the listeners: its engine, once there is a root, and everything that runs beside it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use attestore_disk::Disk;
use attestore_engine::{Engine, Opened, Principal};
use attestore_keys::RootProvider;
use parking_lot::Mutex;

use super::{limits, tokens, witnesses};
use crate::commands::assembled;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::{files, output};

/// Tenant that the first start makes.
const FIRST_TENANT: &str = "default";

/// What a server is made of, before and after it is opened.
pub struct Server {
    settings: Settings,
    bootstrap_file: Option<PathBuf>,
    limits: attestore_http::Keeper,
    tokens: attestore_http::Tokens,
    webhooks: attestore_webhook::Client,
    metrics: Option<attestore_http::PrometheusHandle>,
    cosigning: Mutex<Option<witnesses::Configured>>,
    engine: OnceLock<Engine>,
}

impl Server {
    /// Prepares a server: everything that can be wrong with settings is found here.
    ///
    /// # Errors
    /// What does not fit.
    pub fn new(settings: Settings, bootstrap_file: Option<PathBuf>) -> Result<Self, Failure> {
        let timeout = Duration::from_millis(settings.webhook.timeout_ms);
        let webhooks = attestore_webhook::Client::new(settings.webhook.allowed()?, timeout);
        Ok(Self {
            limits: limits::keeper(&settings)?,
            tokens: tokens::tokens(&settings)?,
            cosigning: Mutex::new(witnesses::configured(&settings)?),
            webhooks: webhooks.map_err(Failure::failed)?,
            metrics: attestore_http::install_metrics(),
            engine: OnceLock::new(),
            settings,
            bootstrap_file,
        })
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Opens the engine under that root. Takes as long as replaying the log.
    ///
    /// # Errors
    /// What the engine says.
    pub fn open(&self, disk: Arc<dyn Disk>, root: Arc<dyn RootProvider>) -> Result<Engine, Failure> {
        let settings = &self.settings;
        let parts = assembled(disk, root, settings.head_register.as_deref())?;
        let (engine, opened) = Engine::create_or_open(parts, settings.engine()?)?;
        let _ = self.engine.set(engine.clone());
        report(settings, &opened);
        // Without it nothing but what is public is answered, and `/readyz` has to say why.
        if let Err(error) = engine.record_start(env!("CARGO_PKG_VERSION"), &settings.flat()?, &opened) {
            tracing::error!(%error, "the start could not be recorded: what is not on record is not answered");
        }
        Ok(engine)
    }

    /// Starts what runs beside the engine, and makes the router over it. On the runtime.
    ///
    /// # Errors
    /// When the first credential cannot be made.
    pub fn begin(&self, engine: &Engine, address: Option<&str>) -> Result<attestore_http::Router, Failure> {
        let file = self.bootstrap_file.as_deref();
        let secret = tokio::task::block_in_place(|| first_credential(engine, file))?;
        welcome(&self.settings, address, secret)?;
        let panels = self
            .cosigning
            .lock()
            .take()
            .map(|configured| configured.panels(engine));
        let http = attestore_http::Settings {
            witnesses: witnesses::for_routes(panels.as_ref()),
            ..self.http()
        };
        tokio::spawn(self.limits.clone().run(engine.clone()));
        if let Some(panels) = panels {
            tokio::spawn(witnesses::run(panels));
        }
        tokio::spawn(attestore_webhook::run(
            engine.clone(),
            self.webhooks.clone(),
            self.settings.webhook.retry(),
        ));
        Ok(attestore_http::router(engine.clone(), http, self.metrics.clone()))
    }

    /// Settings of the HTTP side, but for witnesses.
    pub fn http(&self) -> attestore_http::Settings {
        let settings = &self.settings;
        // Looked at when the server was made.
        let allowed = settings.webhook.allowed().unwrap_or_default();
        attestore_http::Settings {
            limits: self.limits.clone(),
            tokens: self.tokens.clone(),
            audit_wait: Duration::from_millis(settings.audit.wait_ms),
            ..settings.http.settings(allowed, settings.proxy.clone())
        }
    }

    /// Closes the engine, if there is one.
    ///
    /// # Errors
    /// What the engine says.
    pub fn close(&self) -> Result<(), Failure> {
        let Some(engine) = self.engine.get() else {
            return Ok(());
        };
        if let Err(error) = engine.record_stop() {
            tracing::error!(%error, "the stop could not be recorded");
        }
        Ok(engine.close()?)
    }
}

fn report(settings: &Settings, opened: &Opened) {
    if opened.created {
        tracing::info!(data = %settings.data.display(), "made a new data directory with a root key in keys/");
    } else {
        let found = &opened.recovered;
        tracing::info!(
            frames = found.frames,
            records = found.records,
            tenants = found.tenants,
            "opened, log replayed"
        );
        if let Some(torn) = &found.torn {
            tracing::warn!(file = %torn.path.display(), offset = torn.offset, bytes = torn.bytes,
                "cut an unfinished write at the end of the log; a copy is in quarantine/");
        }
        for stray in &found.strays {
            tracing::info!(file = %stray.display(), "removed a leftover");
        }
    }
    for warning in &opened.warnings {
        tracing::warn!("{warning}");
    }
}

/// Makes the first tenant and admin credential where there never was a credential. The tenant and the file are there first: where
/// one of them cannot be made, there is no credential that nobody knows the secret of.
fn first_credential(engine: &Engine, file: Option<&Path>) -> Result<Option<String>, Failure> {
    let made = engine.first_credential_kept(|secret| {
        engine.create_tenant(FIRST_TENANT, &Principal::internal())?;
        match file {
            Some(path) => files::write_secret(path, &format!("{}\n", secret.expose())),
            None => Ok(()),
        }
    })?;
    let Some((_, secret)) = made else {
        return Ok(None);
    };
    match file {
        Some(path) => {
            tracing::info!(file = %path.display(), "wrote the first admin credential");
            Ok(None)
        }
        None => Ok(Some(secret.expose().to_owned())),
    }
}

/// Prints what a newcomer needs, once.
fn welcome(settings: &Settings, address: Option<&str>, secret: Option<String>) -> Result<(), Failure> {
    let Some(secret) = secret else { return Ok(()) };
    let host = match (address, &settings.unix.path) {
        (Some(address), _) if settings.tls.certificate_file.is_some() => format!("https://{address}"),
        (None, Some(path)) => format!("--unix-socket {} http://localhost", path.display()),
        (address, _) => format!("http://{}", address.unwrap_or_default()),
    };
    let base = format!("{host}/v1/tenants/{FIRST_TENANT}");
    output::line(format!(
        "\nAdmin credential (shown this once):\n\n  export ATTESTORE_CREDENTIAL={secret}\n\n\
         Append an event, find it, and fetch its proof:\n\n\
         curl -s -H 'Authorization: Bearer {secret}' -H 'Content-Type: application/json' -d '{EXAMPLE}' {base}/events\n\n\
         curl -s -H 'Authorization: Bearer {secret}' '{base}/events?q=actor.id:u_42'\n\n\
         curl -s -H 'Authorization: Bearer {secret}' {base}/events/0/proof\n"
    ))
}

const EXAMPLE: &str = r#"{"action":"invoice.export","actor":{"type":"user","id":"u_42","name":"Ann"},"targets":[{"type":"invoice","id":"inv_1"}],"outcome":"success","context":{"ip":"203.0.113.9"}}"#;
