//! Certificate authorities that servers may be vouched for by.

use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Those of the web.
#[must_use]
pub fn roots_of_the_web() -> RootCertStore {
    RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    }
}

/// Those of the web, and those in a PEM file.
///
/// # Errors
/// When the file holds no certificate or a broken one.
pub fn roots_with(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = roots_of_the_web();
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.len() == before {
        return Err("no certificate in the file of certificate authorities".into());
    }
    Ok(roots)
}

/// TLS 1.2 and 1.3 with HTTP/1.1 inside, and no certificate of our own.
pub(crate) fn connector(roots: RootCertStore) -> Result<TlsConnector, String> {
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
