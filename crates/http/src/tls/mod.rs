//! TLS 1.3, ended in this process, with certificates that can be replaced while it runs.
//!
//! The cryptography is aws-lc's, named explicitly: nothing depends on which provider a process installed. Only HTTP/1.1 is
//! agreed on (ALPN). Where clients show certificates, sessions are not resumed, so that a revoked certificate or a replaced
//! authority holds from the next connection on.

mod client;

use std::sync::Arc;

use attestore_engine::Principal;
use parking_lot::RwLock;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig, version};
use tokio_rustls::server::TlsStream;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use self::client::Rule;
pub use self::client::{BadRule, RuleSpec};

/// What TLS needs, as PEM.
pub struct Material {
    /// The server's certificate, and those between it and an authority.
    pub certificate: Vec<u8>,
    /// Its private key.
    pub key: Zeroizing<Vec<u8>>,
    /// Authorities of client certificates.
    pub client_ca: Vec<u8>,
    /// Revocation lists of them.
    pub client_crl: Vec<u8>,
}

/// Whether clients show certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// None is asked for.
    #[default]
    Off,
    /// Those that are shown must be good.
    Optional,
    /// No connection without one.
    Required,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not PEM, or nothing in it.
    #[error("the {0} cannot be read: {1}")]
    Pem(&'static str, String),
    /// Key and certificate do not fit, or are of a kind that is not supported.
    #[error("the certificate and its key: {0}")]
    Key(rustls::Error),
    /// The certificate is not valid now.
    #[error("the certificate is not valid {0}")]
    NotNow(&'static str),
    /// The authorities or revocation lists of clients cannot be used.
    #[error("the authorities of client certificates: {0}")]
    Authorities(String),
    /// A rule makes no sense.
    #[error(transparent)]
    Rule(#[from] BadRule),
}

/// What is worth telling about a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Names that it is for.
    pub names: Vec<String>,
    /// When it ends, Unix milliseconds.
    pub not_after_ms: u64,
}

/// The server's side of TLS. See the module.
pub struct Tls {
    config: RwLock<Arc<ServerConfig>>,
    clients: ClientCertificates,
    rules: Vec<Rule>,
}

impl Tls {
    /// Sets it up. A certificate that has expired is served all the same and said so: whether to go on is the clients' decision.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn new(
        material: &Material,
        clients: ClientCertificates,
        rules: &[RuleSpec],
    ) -> Result<(Self, Facts), Error> {
        let (config, facts) = config(material, clients)?;
        let tls = Self {
            config: RwLock::new(Arc::new(config)),
            clients,
            rules: rules.iter().map(Rule::new).collect::<Result<_, _>>()?,
        };
        Ok((tls, facts.told()))
    }

    /// Replaces certificate, key, authorities and revocation lists for connections that are made from now on.
    ///
    /// # Errors
    /// See [`Error`]: then nothing has changed. Also when the new certificate is not valid at `now_ms`.
    pub fn reload(&self, material: &Material, now_ms: u64) -> Result<Facts, Error> {
        let taken = self.take(material, now_ms);
        let outcome = if taken.is_ok() { "taken" } else { "refused" };
        metrics::counter!("attestore_tls_reloads_total", "outcome" => outcome).increment(1);
        taken
    }

    fn take(&self, material: &Material, now_ms: u64) -> Result<Facts, Error> {
        let (config, facts) = config(material, self.clients)?;
        if facts.not_after_ms < now_ms {
            return Err(Error::NotNow("any more"));
        }
        if facts.not_before_ms > now_ms {
            return Err(Error::NotNow("yet"));
        }
        *self.config.write() = Arc::new(config);
        Ok(facts.told())
    }

    /// Agrees on TLS with a client. Also returns who its certificate is of, if it showed one that a rule knows.
    pub(crate) async fn accept<S>(&self, stream: S) -> std::io::Result<(TlsStream<S>, Option<Arc<Principal>>)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.config.read()));
        let stream = acceptor.accept(stream).await?;
        let shown = stream.get_ref().1.peer_certificates();
        let principal = shown
            .and_then(<[_]>::first)
            .and_then(|certificate| client::principal(&self.rules, certificate));
        Ok((stream, principal.map(Arc::new)))
    }
}

/// Checks rules about client certificates.
///
/// # Errors
/// The first that makes no sense.
pub fn check_rules(rules: &[RuleSpec]) -> Result<(), BadRule> {
    rules.iter().try_for_each(|rule| Rule::new(rule).map(drop))
}

struct Certificate {
    names: Vec<String>,
    not_before_ms: u64,
    not_after_ms: u64,
}

impl Certificate {
    #[expect(clippy::cast_precision_loss, reason = "gauges are doubles")]
    fn told(self) -> Facts {
        metrics::gauge!("attestore_tls_certificate_not_after_seconds").set((self.not_after_ms / 1000) as f64);
        Facts {
            names: self.names,
            not_after_ms: self.not_after_ms,
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    // What is recorded today must not be readable once there are quantum computers: the hybrid goes first.
    provider.kx_groups = vec![
        aws_lc_rs::kx_group::X25519MLKEM768,
        aws_lc_rs::kx_group::X25519,
        aws_lc_rs::kx_group::SECP256R1,
        aws_lc_rs::kx_group::SECP384R1,
    ];
    Arc::new(provider)
}

fn config(material: &Material, clients: ClientCertificates) -> Result<(ServerConfig, Certificate), Error> {
    let provider = provider();
    let chain = certificates("certificate", &material.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&material.key).map_err(|e| Error::Pem("key", e.to_string()))?;
    let facts = facts(chain.first())?;
    let certified = CertifiedKey::from_der(chain, key, &provider).map_err(Error::Key)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&version::TLS13])
        .map_err(Error::Key)?;
    let builder = match clients {
        ClientCertificates::Off => builder.with_no_client_auth(),
        _ => builder.with_client_cert_verifier(verifier(material, clients, provider)?),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if clients != ClientCertificates::Off {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok((config, facts))
}

fn verifier(
    material: &Material,
    clients: ClientCertificates,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, Error> {
    let bad = |error: &dyn std::fmt::Display| Error::Authorities(error.to_string());
    let mut roots = RootCertStore::empty();
    for authority in certificates("authorities of client certificates", &material.client_ca)? {
        roots.add(authority).map_err(|e| bad(&e))?;
    }
    let lists: Result<Vec<_>, _> =
        CertificateRevocationListDer::pem_slice_iter(&material.client_crl).collect();
    let lists = lists.map_err(|e| Error::Pem("revocation list", e.to_string()))?;
    let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    if !lists.is_empty() {
        // A list that is past its next update may lack the one that counts.
        verifier = verifier
            .with_crls(lists)
            .only_check_end_entity_revocation()
            .enforce_revocation_expiration();
    }
    if clients == ClientCertificates::Optional {
        verifier = verifier.allow_unauthenticated();
    }
    verifier.build().map_err(|e: VerifierBuilderError| bad(&e))
}

fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|e| Error::Pem(what, e.to_string()))?;
    if all.is_empty() {
        return Err(Error::Pem(what, "there is no certificate in it".into()));
    }
    Ok(all)
}

fn facts(certificate: Option<&CertificateDer<'_>>) -> Result<Certificate, Error> {
    let der = certificate.map(AsRef::as_ref).unwrap_or_default();
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|e| Error::Pem("certificate", e.to_string()))?;
    let ms = |time: i64| u64::try_from(time.saturating_mul(1000)).unwrap_or(0);
    let validity = certificate.validity();
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map_or_else(Vec::new, |names| {
        names
            .value
            .general_names
            .iter()
            .filter_map(client::readable)
            .collect()
    });
    Ok(Certificate {
        names,
        not_before_ms: ms(validity.not_before.timestamp()),
        not_after_ms: ms(validity.not_after.timestamp()),
    })
}

#[cfg(test)]
mod tests;
