//! Fetches over HTTPS: TLS 1.2 or 1.3 with a verified certificate, no redirects, no proxies, bounded in bytes and time. Plain
//! HTTP only to loopback addresses, and only where the settings allow it.
//!
//! Addresses of issuers come from the operator and from the issuers themselves, so private ones are fine.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::fetch::{Fetch, FetchError, Fetched};

/// Fetches documents of issuers.
pub struct Client {
    tls: TlsConnector,
    allow_loopback_http: bool,
}

impl Client {
    /// Makes a client that trusts the certificate authorities of the web and those in `pem`.
    ///
    /// # Errors
    /// When `pem` holds no certificate or a broken one.
    pub fn new(pem: Option<&[u8]>, allow_loopback_http: bool) -> Result<Self, String> {
        let mut roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        if let Some(pem) = pem {
            let before = roots.len();
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| error.to_string())?;
                roots.add(certificate).map_err(|error| error.to_string())?;
            }
            if roots.len() == before {
                return Err("no certificate in the file of certificate authorities".into());
            }
        }
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
            allow_loopback_http,
        })
    }

    async fn get(&self, url: &str) -> Result<Bytes, FetchError> {
        let url = Url::parse(url, self.allow_loopback_http)?;
        let request = Request::get(&url.path)
            .header(header::HOST, &url.authority)
            .header(header::ACCEPT, "application/json")
            .header(
                header::USER_AGENT,
                concat!("attestore/", env!("CARGO_PKG_VERSION")),
            )
            .header(header::CONNECTION, "close")
            .body(Empty::new())
            .map_err(failed)?;
        let stream = url.connect().await?;
        if !url.tls {
            return exchange(stream, request).await;
        }
        let name = ServerName::try_from(url.host.clone()).map_err(failed)?;
        let stream = self.tls.connect(name, stream).await.map_err(failed)?;
        exchange(stream, request).await
    }
}

impl Fetch for Client {
    fn fetch<'a>(&'a self, url: &'a str) -> Fetched<'a> {
        Box::pin(async move {
            tokio::time::timeout(TIME_MAX, self.get(url))
                .await
                .map_err(|_| FetchError(format!("no answer within {} s", TIME_MAX.as_secs())))?
        })
    }
}

async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<Bytes, FetchError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_headers(HEADERS_MAX)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(failed)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError(format!("answered {}", response.status().as_u16())));
        }
        let body = Limited::new(response.into_body(), DOCUMENT_BYTES_MAX)
            .collect()
            .await;
        body.map(|body| body.to_bytes())
            .map_err(|_| FetchError("a document that is cut off or too long".into()))
    };
    tokio::pin!(connection, answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        ended = &mut connection => {
            ended.map_err(failed)?;
            answer.await
        }
    }
}

/// An absolute URL that may be asked.
#[derive(Debug)]
pub(crate) struct Url {
    tls: bool,
    host: String,
    port: u16,
    authority: String,
    path: String,
}

impl Url {
    /// Reads a URL: https, or http to a loopback address where that is allowed.
    ///
    /// # Errors
    /// Everything else.
    pub fn parse(url: &str, allow_loopback_http: bool) -> Result<Self, FetchError> {
        let wrong = || FetchError("not an https URL that may be asked".into());
        if url.len() > URL_BYTES_MAX || url.contains(['#', '@']) {
            return Err(wrong());
        }
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if allow_loopback_http && is_loopback_name(host) => false,
            _ => return Err(wrong()),
        };
        if host.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            tls,
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
            path: uri
                .path_and_query()
                .map_or_else(|| "/".to_owned(), ToString::to_string),
        })
    }

    async fn connect(&self) -> Result<TcpStream, FetchError> {
        let addresses = tokio::net::lookup_host((self.host.as_str(), self.port))
            .await
            .map_err(|_| FetchError("the host name does not resolve".into()))?;
        let mut failure = FetchError("the host name has no address that may be asked".into());
        // `localhost` may stand for anything; without TLS only the machine itself is asked.
        let may = |address: &SocketAddr| self.tls || address.ip().is_loopback();
        for address in addresses.filter(may).take(ADDRESSES_MAX) {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = FetchError(format!("cannot connect: {}", error.kind())),
            }
        }
        Err(failure)
    }
}

fn is_loopback_name(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn failed(error: impl std::fmt::Display) -> FetchError {
    FetchError(error.to_string())
}

const TIME_MAX: Duration = Duration::from_secs(5);
/// Bytes of a document.
const DOCUMENT_BYTES_MAX: usize = 256 << 10;
const HEADERS_MAX: usize = 100;
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 3;
const URL_BYTES_MAX: usize = 2048;
