//! `attestore serve`.

use std::sync::Arc;

use attestore_disk::{Clock, SystemClock};
use attestore_engine::Engine;
use attestore_http::serve::Listeners;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::disk;
use crate::cli::ServeArgs;
use crate::failure::Failure;
use crate::output;
use crate::serving::sealed::{self, Root, Sealed};
use crate::serving::server::Server;
use crate::serving::{certificates, listen, process};
use crate::settings::{Log, Settings};

/// Runs the server until SIGTERM or SIGINT.
pub fn run(args: ServeArgs) -> Result<(), Failure> {
    let settings = Settings::load(&args.sources)?.settings;
    if args.print_settings {
        return output::line(settings.to_toml()?.trim_end());
    }
    start_log(&settings.log)?;
    process::harden(settings.lock_memory)?;
    let tls = certificates::load(&settings)?;
    let server = Arc::new(Server::new(settings, args.bootstrap_credential_file)?);
    let settings = server.settings();
    let disk = disk(&settings.data, true)?;
    let root = sealed::root(settings, &disk, args.sealed)?;
    let start = match root {
        Root::Open(root) => Start::Open(server.open(Arc::clone(&disk), root)?),
        Root::Sealed { again } => Start::Sealed { again },
    };

    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if settings.threads > 0 {
        runtime.worker_threads(settings.threads);
    }
    let runtime = runtime.thread_name("attestore-http").enable_all().build()?;
    let served = runtime.block_on(async {
        // Before anybody is told that the server is there: a signal that comes then must already drain it.
        let stop = stop_signal()?;
        let hangup = signal(SignalKind::hangup())?;
        let tcp = listen::tcp(settings, tls.is_some()).await?;
        let unix = listen::unix(&settings.unix)?;
        let address = tcp.as_ref().map(|(_, address)| address.to_string());
        let (router, opening) = match start {
            // After all that may keep the server from starting: the secret is shown once.
            Start::Open(engine) => (server.begin(&engine, address.as_deref())?, None),
            Start::Sealed { again } => {
                let (seal, opening) = Sealed::begin(Arc::clone(&server), disk, again, address.clone());
                (seal.router(), Some(opening))
            }
        };
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
            "{}",
            if opening.is_some() { "sealed" } else { "serving" }
        );
        // A missing notification socket is normal outside of systemd.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
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
        let http = server.http();
        let serving = attestore_http::serve(listeners, router, &http, stop);
        let opening = async {
            match opening {
                Some(opening) => opening.run().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            served = serving => served.map_err(Failure::from),
            failure = opening => Err(failure),
        }
    });
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    tracing::info!("stopping");
    runtime.shutdown_background();
    let closed = server.close();
    served?;
    closed?;
    tracing::info!("stopped");
    Ok(())
}

/// How a server starts.
enum Start {
    Open(Engine),
    Sealed { again: bool },
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
