//! `attestore witness`.

use std::path::Path;
use std::sync::Arc;

use attestore_disk::{Disk, LockGuard, RealDisk, SystemClock};
use attestore_http::serve::Listeners;
use attestore_http::tls::{ClientCertificates, Material, Tls};
use attestore_keys::SystemEntropy;
use attestore_tlog::{Policy, VerifierKey};
use attestore_witness::{Identity, IdentityError, StoreError, Witness};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{Logs, Output, WitnessAction, WitnessArgs, WitnessServeArgs};
use crate::failure::{DAMAGE, Failure};
use crate::serving::process;
use crate::settings::LockMemory;
use crate::{files, output};

/// Runs what the arguments name.
pub fn run(args: &WitnessArgs) -> Result<(), Failure> {
    match &args.action {
        WitnessAction::Serve(args) => serve(args),
        WitnessAction::Vkey { data } => {
            let identity =
                Identity::open(&existing(data)?, Arc::new(SystemEntropy)).map_err(identity_failure)?;
            output::line(identity.verifier())
        }
        WitnessAction::Status { data, logs, output } => status(data, logs, *output),
    }
}

fn serve(args: &WitnessServeArgs) -> Result<(), Failure> {
    super::serve::start_log(&crate::settings::Log::default())?;
    process::harden(LockMemory::Auto)?;
    let keys = logs(&args.logs)?;
    if keys.is_empty() {
        return Err(Failure::usage("no log: name one with --log or --policy"));
    }
    let tls = tls(args)?;
    if tls.is_none() && !args.listen.ip().is_loopback() && !args.allow_insecure {
        return Err(Failure::usage(format!(
            "{} is not of this machine: give --tls-cert and --tls-key, or say --allow-insecure if something in front of it ends TLS",
            args.listen
        )));
    }
    let (disk, _lock) = locked(&args.data)?;
    let identity = open_identity(&disk, args.name.as_deref())?;
    let witness = Witness::open(disk, Arc::new(SystemClock), identity, keys).map_err(store_failure)?;
    let witness = Arc::new(witness);
    let metrics = attestore_http::install_metrics();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("attestore-http")
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let listener = tokio::net::TcpListener::bind(args.listen).await?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let address = listener.local_addr()?;
        output::line(format!(
            "# for the policy of whoever runs a log (put the address that it reaches you by):\nwitness {} {} {scheme}://{address}/",
            witness.key().name(),
            witness.key()
        ))?;
        tracing::info!(%address, logs = witness.status().len(), "witnessing");
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        let settings = attestore_http::Settings::default();
        let router = attestore_http::witness_router(witness, metrics);
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        attestore_http::serve(Listeners::default().tcp(listener, tls), router, &settings, stop).await?;
        tracing::info!("stopped");
        Ok(())
    })
}

fn tls(args: &WitnessServeArgs) -> Result<Option<Arc<Tls>>, Failure> {
    let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) else {
        return Ok(None);
    };
    let material = Material {
        certificate: files::read(certificate)?,
        key: files::read(key)?.into(),
        client_ca: Vec::new(),
        client_crl: Vec::new(),
    };
    let (tls, _) = Tls::new(&material, ClientCertificates::Off, &[])
        .map_err(|error| Failure::failed(format!("TLS: {error}")))?;
    Ok(Some(Arc::new(tls)))
}

fn status(data: &Path, known: &Logs, output: Output) -> Result<(), Failure> {
    let disk = existing(data)?;
    let identity = Identity::open(&disk, Arc::new(SystemEntropy)).map_err(identity_failure)?;
    let key = identity.verifier();
    let seen = attestore_witness::seen(disk, &key).map_err(store_failure)?;
    let wanted = logs(known)?;
    let seen: Vec<_> = seen
        .into_iter()
        .filter(|log| wanted.is_empty() || wanted.iter().any(|key| key.name() == log.origin))
        .collect();
    if output != Output::Table {
        let logs: Vec<_> = seen
            .iter()
            .map(|log| {
                json!({
                    "origin": log.origin,
                    "size": log.head.map(|(size, _)| size),
                    "root": log.head.map(|(_, root)| root.to_string()),
                    "cosigned_s": log.cosigned_s,
                    "evidence": log.evidence,
                })
            })
            .collect();
        return output::json(&json!({"vkey": key.to_string(), "logs": logs}));
    }
    output::line(&key)?;
    let rows = seen.iter().map(|log| {
        let (size, root) = log.head.map_or_else(Default::default, |(size, root)| {
            (size.to_string(), root.to_string())
        });
        let time = log.cosigned_s.and_then(|time_s| i64::try_from(time_s).ok());
        let time = time.and_then(|time_s| jiff::Timestamp::from_second(time_s).ok());
        let time = time.map(|time| time.to_string()).unwrap_or_default();
        [log.origin.clone(), size, root, time, log.evidence.to_string()]
    });
    output::table(["ORIGIN", "SIZE", "ROOT", "COSIGNED", "EVIDENCE"], rows)
}

/// The keys of the logs that the arguments name.
fn logs(logs: &Logs) -> Result<Vec<VerifierKey>, Failure> {
    let mut keys = Vec::new();
    for vkey in &logs.log {
        let key = VerifierKey::parse(vkey.trim());
        keys.push(key.map_err(|error| Failure::usage(format!("--log {vkey}: {error}")))?);
    }
    if let Some(path) = &logs.policy {
        let policy = Policy::parse(&files::read(path)?)
            .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        keys.extend(policy.logs().iter().map(|log| log.key().clone()));
    }
    Ok(keys)
}

/// Opens the identity of a directory, or makes the one of that name.
pub fn open_identity(disk: &Arc<dyn Disk>, name: Option<&str>) -> Result<Identity, Failure> {
    let entropy = Arc::new(SystemEntropy);
    let identity = match name {
        Some(name) => Identity::open_or_create(disk, entropy, name),
        None => Identity::open(disk, entropy),
    };
    identity.map_err(identity_failure)
}

/// A directory, and what keeps others out of it.
pub type Locked = (Arc<dyn Disk>, Box<dyn LockGuard>);

/// Opens a directory for this process alone; made if it is not there.
pub fn locked(data: &Path) -> Result<Locked, Failure> {
    let named = |error: std::io::Error| Failure::failed(format!("{}: {error}", data.display()));
    let disk = RealDisk::new(data).map_err(named)?;
    let lock = disk.try_lock("attestore.lock".as_ref()).map_err(named)?;
    let in_use = || Failure::new(IN_USE, format!("{}: in use by another process", data.display()));
    Ok((Arc::new(disk), lock.ok_or_else(in_use)?))
}

fn existing(data: &Path) -> Result<Arc<dyn Disk>, Failure> {
    if !data.is_dir() {
        return Err(Failure::failed(format!("{}: no such directory", data.display())));
    }
    let disk =
        RealDisk::new(data).map_err(|error| Failure::failed(format!("{}: {error}", data.display())))?;
    Ok(Arc::new(disk))
}

fn identity_failure(error: IdentityError) -> Failure {
    let code = match &error {
        IdentityError::Missing | IdentityError::OtherName(_) | IdentityError::Name => crate::failure::USAGE,
        IdentityError::Damaged => DAMAGE,
        IdentityError::Keys(keys) if keys.is_key() => KEYS,
        IdentityError::Keys(keys) if keys.is_damage() => DAMAGE,
        IdentityError::Keys(_) | IdentityError::Io(_) => crate::failure::FAILED,
    };
    Failure::new(code, error.to_string())
}

fn store_failure(error: StoreError) -> Failure {
    match error {
        StoreError::Damaged { .. } => Failure::damage(format!(
            "{error}: a witness that does not know what it cosigned must not cosign. Do not restore an older copy: \
             start a new witness, with a new directory and name"
        )),
        StoreError::Io { .. } => Failure::failed(error.to_string()),
    }
}

/// The key is missing or another.
const KEYS: u8 = 4;
/// Another process has the directory.
const IN_USE: u8 = 5;
