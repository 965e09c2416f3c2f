//! The files of TLS: read at the start, and again when they change or on SIGHUP.
//!
//! They are compared by content, not by time: tools replace them by renames and by links. Files that do not fit together,
//! as they are for a moment while they are being replaced, change nothing, and are said so once.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use attestore_disk::Clock;
use attestore_http::tls::{Facts, Material, Tls};
use tokio::signal::unix::Signal;

use crate::failure::Failure;
use crate::files;
use crate::settings::{self, Settings};

/// Sets up TLS, if there are files for it.
///
/// # Errors
/// When they cannot be read or used.
pub fn load(settings: &Settings) -> Result<Option<(Arc<Tls>, Facts)>, Failure> {
    if settings.tls.certificate_file.is_none() {
        return Ok(None);
    }
    let material = read(settings)?;
    let (tls, facts) = Tls::new(&material, settings.mtls.mode, &settings.mtls.rules)
        .map_err(|error| Failure::failed(format!("TLS: {error}")))?;
    Ok(Some((Arc::new(tls), facts)))
}

fn read(settings: &Settings) -> Result<Material, Failure> {
    let settings::Tls {
        certificate_file,
        key_file,
        ..
    } = &settings.tls;
    let optional = |path: &Option<_>| path.as_deref().map_or(Ok(Vec::new()), files::read);
    let needed = |path: Option<&Path>, key: &str| {
        path.map_or_else(
            || Err(Failure::usage(format!("settings: {key}: there is no file"))),
            files::read,
        )
    };
    Ok(Material {
        certificate: needed(certificate_file.as_deref(), "tls.certificate_file")?,
        key: needed(key_file.as_deref(), "tls.key_file")?.into(),
        client_ca: optional(&settings.mtls.ca_file)?,
        client_crl: optional(&settings.mtls.crl_file)?,
    })
}

/// Says what the certificate is for and until when.
pub fn tell(facts: &Facts, now_ms: u64) {
    let days = facts.not_after_ms.saturating_sub(now_ms) / MS_PER_DAY;
    let names = facts.names.join(", ");
    if facts.not_after_ms <= now_ms {
        tracing::error!(%names, "the TLS certificate has expired");
    } else if days < DAYS_WARNED {
        tracing::warn!(%names, days, "the TLS certificate expires soon");
    } else {
        tracing::info!(%names, days, "TLS 1.3 with this certificate");
    }
}

const MS_PER_DAY: u64 = 86_400_000;
/// Certificates are renewed earlier than that.
const DAYS_WARNED: u64 = 14;

/// Keeps TLS up to date until the runtime ends.
pub async fn watch(tls: Option<Arc<Tls>>, settings: Settings, clock: Arc<dyn Clock>, mut hangup: Signal) {
    let Some(tls) = tls else {
        while hangup.recv().await.is_some() {
            tracing::info!("SIGHUP: there is no TLS whose files could be read again");
        }
        return;
    };
    let every = Duration::from_millis(settings.tls.reload_check_ms);
    let mut seen = read(&settings).ok().map(|material| digest(&material));
    loop {
        let asked = tokio::select! {
            signal = hangup.recv() => signal.is_some(),
            () = tokio::time::sleep(every), if !every.is_zero() => false,
        };
        let now_ms = clock.now_ms();
        let material = read(&settings);
        let found = material.as_ref().map_or(None, |material| Some(digest(material)));
        if found == seen && !asked {
            continue;
        }
        seen = found;
        let reloaded = material
            .map_err(|failure| failure.message)
            .and_then(|material| tls.reload(&material, now_ms).map_err(|error| error.to_string()));
        match reloaded {
            Ok(facts) => {
                tracing::info!("the files of TLS were read again");
                tell(&facts, now_ms);
            }
            Err(error) => {
                tracing::error!(%error, "the files of TLS were NOT taken: the old certificate stays in use")
            }
        }
    }
}

/// Tells one content from another; nobody chooses these files to be confused.
fn digest(material: &Material) -> u64 {
    let mut hasher = DefaultHasher::new();
    let all = [
        &material.certificate,
        &*material.key,
        &material.client_ca,
        &material.client_crl,
    ];
    all.hash(&mut hasher);
    hasher.finish()
}
