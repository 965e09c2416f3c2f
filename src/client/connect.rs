//! How a server is reached: over TCP, over TLS with an authority and a certificate of one's own, or over a Unix socket.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::crypto::aws_lc_rs;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, TlsProvider, parse_pem};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Agent, Error};

use crate::cli::Remote;
use crate::failure::Failure;
use crate::files;

/// Makes an agent for a server, and the base of its URLs.
///
/// # Errors
/// Usage when the URL makes no sense, or files cannot be used.
pub fn agent(remote: &Remote) -> Result<(Agent, String), Failure> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(5)))
        .timeout_global(Some(Duration::from_secs(120)))
        .tls_config(tls(
            remote.ca_file.as_deref(),
            remote
                .client_certificate
                .as_deref()
                .zip(remote.client_key.as_deref()),
        )?);
    let url = remote.url.trim_end_matches('/');
    if let Some(path) = url.strip_prefix("unix:") {
        let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
        let agent = Agent::with_parts(config.build(), UnixConnector(path), Nowhere);
        return Ok((agent, "http://localhost".to_owned()));
    }
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(Failure::usage("--url must start with https://, http:// or unix:"));
    }
    Ok((config.build().into(), url.to_owned()))
}

/// TLS with authorities of one's own, or those of the web, and with a certificate and its key to show.
///
/// # Errors
/// Usage when files cannot be used.
pub fn tls(ca_file: Option<&Path>, shown: Option<(&Path, &Path)>) -> Result<TlsConfig, Failure> {
    let mut tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()));
    if let Some(path) = ca_file {
        let pem = files::read(path)?;
        let authorities: Vec<_> = certificates(&pem);
        if authorities.is_empty() {
            return Err(Failure::usage(format!(
                "{}: there is no certificate in it",
                path.display()
            )));
        }
        tls = tls.root_certs(RootCerts::new_with_certs(&authorities));
    }
    if let Some((certificate, key)) = shown {
        let chain = certificates(&files::read(certificate)?);
        let key = PrivateKey::from_pem(&files::read(key)?)
            .map_err(|error| Failure::usage(format!("{}: {error}", key.display())))?;
        tls = tls.client_cert(Some(ClientCert::new_with_certs(&chain, key)));
    }
    Ok(tls.build())
}

fn certificates(pem: &[u8]) -> Vec<Certificate<'static>> {
    let items = parse_pem(pem).filter_map(Result::ok);
    items
        .filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect()
}

/// Connects to a Unix socket, whatever the URL says.
#[derive(Debug)]
struct UnixConnector(PathBuf);

impl Connector for UnixConnector {
    type Out = UnixTransport;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<UnixTransport>, Error> {
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        let stream = UnixStream::connect(&self.0)?;
        Ok(Some(UnixTransport { stream, buffers }))
    }
}

/// A Unix socket has no address; the library wants one.
#[derive(Debug)]
struct Nowhere;

impl Resolver for Nowhere {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut addresses = self.empty();
        addresses.push(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0));
        Ok(addresses)
    }
}

struct UnixTransport {
    stream: UnixStream,
    buffers: LazyBuffers,
}

impl std::fmt::Debug for UnixTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UnixTransport")
    }
}

impl Transport for UnixTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream
            .set_write_timeout(timeout.not_zero().map(|time| *time))?;
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        self.stream
            .write_all(output)
            .map_err(|error| late(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream
            .set_read_timeout(timeout.not_zero().map(|time| *time))?;
        let input = self.buffers.input_append_buf();
        let amount = self.stream.read(input).map_err(|error| late(error, timeout))?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // A server that has closed has something to read: an end.
        let open = self
            .stream
            .set_nonblocking(true)
            .and_then(|()| self.stream.read(&mut [0]))
            .is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        open && self.stream.set_nonblocking(false).is_ok()
    }
}

fn late(error: std::io::Error, timeout: NextTimeout) -> Error {
    match error.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => Error::Timeout(timeout.reason),
        _ => Error::Io(error),
    }
}
