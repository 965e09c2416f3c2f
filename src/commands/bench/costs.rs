//! What the gate and TLS cost on appends: the same load on one engine, with them and without. Only builds made for measuring
//! can leave the gate out.

use std::sync::Arc;

use attestore_http::Settings;
use attestore_http::tls::Tls;
use tokio_rustls::TlsConnector;

use crate::failure::Failure;

/// How a load over HTTP reaches the engine.
#[derive(Default)]
pub struct Way {
    /// Of the server.
    pub settings: Settings,
    /// Of both ends.
    pub tls: Option<(Arc<Tls>, TlsConnector)>,
    /// Whether each request asks for a signed receipt.
    pub signed: bool,
}

/// Understands a mode of the bench.
///
/// # Errors
/// When there is no such mode, or not in this build.
pub fn way(mode: &str) -> Result<Way, Failure> {
    let plain = Way::default();
    match mode {
        "http" => Ok(plain),
        "http-signed" => Ok(Way {
            signed: true,
            ..plain
        }),
        "http-unguarded" | "https" => measured(mode, plain),
        _ => Err(Failure::usage(
            "--mode is in-process, http, http-signed, https or http-unguarded",
        )),
    }
}

#[cfg(not(feature = "bench-costs"))]
fn measured(mode: &str, _: Way) -> Result<Way, Failure> {
    Err(Failure::usage(format!(
        "{mode} needs a build with --features bench-costs"
    )))
}

/// Without the gate there is nothing between a request and its handler: no credential is looked at, no limit asked.
#[cfg(feature = "bench-costs")]
fn measured(mode: &str, plain: Way) -> Result<Way, Failure> {
    if mode == "https" {
        let tls = both_ends().map_err(|error| Failure::failed(format!("TLS of the bench: {error}")))?;
        return Ok(Way {
            tls: Some(tls),
            ..plain
        });
    }
    let settings = Settings {
        unguarded: true,
        ..plain.settings
    };
    Ok(Way { settings, ..plain })
}

/// TLS with a certificate for loopback that is made for this run.
#[cfg(feature = "bench-costs")]
fn both_ends() -> Result<(Arc<Tls>, TlsConnector), Box<dyn std::error::Error>> {
    use attestore_http::tls::{ClientCertificates, Material};
    use tokio_rustls::rustls::crypto::aws_lc_rs;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let material = Material {
        certificate: made.cert.pem().into_bytes(),
        key: made.signing_key.serialize_pem().into_bytes().into(),
        client_ca: Vec::new(),
        client_crl: Vec::new(),
    };
    let (server, _) = Tls::new(&material, ClientCertificates::Off, &[])?;
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone())?;
    let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok((Arc::new(server), TlsConnector::from(Arc::new(client))))
}
