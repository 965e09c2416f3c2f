//! `attestore serve`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use attestore_disk::{Clock, SystemClock};
use attestore_engine::{Engine, Opened, Principal};
use attestore_http::serve::Listeners;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::parts;
use crate::cli::ServeArgs;
use crate::failure::Failure;
use crate::serving::{certificates, limits, listen, process, tokens, witnesses};
use crate::settings::{Log, Settings};
use crate::{files, output};

/// Tenant that the first start makes.
const FIRST_TENANT: &str = "default";

/// Runs the server until SIGTERM or SIGINT.
pub fn run(args: ServeArgs) -> Result<(), Failure> {
    let settings = Settings::load(&args.sources)?.settings;
    if args.print_settings {
        return output::line(settings.to_toml()?.trim_end());
    }
    start_log(&settings.log)?;
    process::harden(settings.lock_memory)?;
    let tls = certificates::load(&settings)?;
    let limits = limits::keeper(&settings)?;
    let tokens = tokens::tokens(&settings)?;
    let cosigning = witnesses::configured(&settings)?;
    let allowed = settings.webhook.allowed()?;
    let timeout = Duration::from_millis(settings.webhook.timeout_ms);
    let webhooks = attestore_webhook::Client::new(allowed.clone(), timeout).map_err(Failure::failed)?;
    let metrics = attestore_http::install_metrics();
    let parts = parts(&settings.data, settings.head_register.as_deref(), true)?;
    let (engine, opened) = Engine::create_or_open(parts, settings.engine()?)?;
    report(&settings, &opened);
    let panels = cosigning.map(|configured| configured.panels(&engine));
    // Without it nothing but what is public is answered, and `/readyz` has to say why.
    if let Err(error) = engine.record_start(env!("CARGO_PKG_VERSION"), &settings.flat()?, &opened) {
        tracing::error!(%error, "the start could not be recorded: what is not on record is not answered");
    }

    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if settings.threads > 0 {
        runtime.worker_threads(settings.threads);
    }
    let runtime = runtime.thread_name("attestore-http").enable_all().build()?;
    let served = runtime.block_on(async {
        // Before anybody is told that the server is there: a signal that comes then must already drain it.
        let stop = stop_signal()?;
        let hangup = signal(SignalKind::hangup())?;
        let tcp = listen::tcp(&settings, tls.is_some()).await?;
        let unix = listen::unix(&settings.unix)?;
        let address = tcp.as_ref().map(|(_, address)| address.to_string());
        // After all that may keep the server from starting: the secret is shown once.
        let file = args.bootstrap_credential_file.as_deref();
        let secret = tokio::task::block_in_place(|| first_credential(&engine, file))?;
        welcome(&settings, address.as_deref(), secret)?;
        if let Some((_, facts)) = &tls {
            certificates::tell(facts, SystemClock.now_ms());
        }
        if let Some(path) = &settings.unix.path {
            tracing::info!(socket = %path.display(), mode = %settings.unix.mode, "serving on a Unix socket");
        }
        tracing::info!(
            address = address.unwrap_or_default(),
            tls = tls.is_some(),
            data = %settings.data.display(),
            "serving"
        );
        // A missing notification socket is normal outside of systemd.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        let http = attestore_http::Settings {
            witnesses: witnesses::for_routes(panels.as_ref()),
            limits: limits.clone(),
            tokens,
            audit_wait: Duration::from_millis(settings.audit.wait_ms),
            ..settings.http.settings(allowed, settings.proxy.clone())
        };
        tokio::spawn(limits.run(engine.clone()));
        if let Some(panels) = panels {
            tokio::spawn(witnesses::run(panels));
        }
        tokio::spawn(attestore_webhook::run(
            engine.clone(),
            webhooks,
            settings.webhook.retry(),
        ));
        let router = attestore_http::router(engine.clone(), http.clone(), metrics);
        let tls = tls.map(|(tls, _)| tls);
        tokio::spawn(certificates::watch(
            tls.clone(),
            settings.clone(),
            Arc::new(SystemClock),
            hangup,
        ));
        let mut listeners = Listeners::default();
        if let Some((listener, _)) = tcp {
            listeners = listeners.tcp(listener, tls);
        }
        // Its file is removed when serving is over.
        let _socket = unix.map(|(listener, socket)| {
            listeners = std::mem::take(&mut listeners).unix(listener);
            socket
        });
        attestore_http::serve(listeners, router, &http, stop)
            .await
            .map_err(Failure::from)
    });
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    tracing::info!("stopping");
    runtime.shutdown_background();
    if let Err(error) = engine.record_stop() {
        tracing::error!(%error, "the stop could not be recorded");
    }
    let closed = engine.close();
    served?;
    closed?;
    tracing::info!("stopped");
    Ok(())
}

/// Starts the log of the process.
pub fn start_log(log: &Log) -> Result<(), Failure> {
    let filter =
        EnvFilter::try_new(&log.level).map_err(|e| Failure::usage(format!("settings: log.level: {e}")))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = if log.format == "json" {
        builder.json().try_init()
    } else {
        builder.try_init()
    };
    started.map_err(|e| Failure::failed(e.to_string()))
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

fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
