//! One request and its answer.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONNECTION, HOST, HeaderValue, USER_AGENT};
use hyper::{HeaderMap, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::rule::Rule;
use crate::trust;
use crate::url::Url;

/// Sends requests.
#[derive(Clone)]
pub struct Client {
    tls: TlsConnector,
}

/// How far an exchange may go.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// All of it: resolving the name, connecting, asking, and reading the answer.
    pub time: Duration,
    /// What is done with the body of the answer.
    pub body: Body,
}

/// What is done with the body of an answer.
#[derive(Clone, Copy, Debug)]
pub enum Body {
    /// It is read; one of more than so many bytes, or one that is cut off, is an error.
    Whole(usize),
    /// It does not matter. Up to so many bytes are read, for at most so long, so that the other side can end its answer.
    Ignored(usize, Duration),
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Response {
    /// Status.
    pub status: StatusCode,
    /// Header fields.
    pub headers: HeaderMap,
    /// Body; empty where it was ignored.
    pub body: Bytes,
}

/// Why there is no answer. Displays nothing that the other side chose.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The name does not resolve.
    #[error("the host name does not resolve")]
    Resolve,
    /// The rule refuses all addresses of the name.
    #[error("{0}")]
    Refused(String),
    /// No address that may be called takes the connection.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// TLS cannot be agreed on, or the certificate is not the host's.
    #[error("TLS: {0}")]
    Tls(String),
    /// What comes is no answer in HTTP.
    #[error("HTTP: {0}")]
    Http(String),
    /// The body is cut off or too long.
    #[error("an answer that is cut off or too long")]
    Body,
    /// It took longer than it may.
    #[error("no answer within {} ms", .0.as_millis())]
    Time(Duration),
}

impl Client {
    /// Makes a client that trusts these certificate authorities.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(roots: RootCertStore) -> Result<Self, String> {
        trust::connector(roots).map(|tls| Self { tls })
    }

    /// Sends a request to the URL and reads the answer. The request's own URI is not looked at; `Host`, `User-Agent` and
    /// `Connection` are added.
    ///
    /// # Errors
    /// [`Error`]; an answer of any status is none.
    pub async fn send(
        &self,
        url: &Url,
        rule: &dyn Rule,
        request: Request<Bytes>,
        limits: Limits,
    ) -> Result<Response, Error> {
        tokio::time::timeout(limits.time, self.exchange(url, rule, request, limits.body))
            .await
            .map_err(|_| Error::Time(limits.time))?
    }

    async fn exchange(
        &self,
        url: &Url,
        rule: &dyn Rule,
        request: Request<Bytes>,
        body: Body,
    ) -> Result<Response, Error> {
        let request = addressed(request, url)?;
        let stream = connect(url, rule).await?;
        if !url.tls {
            return ask(stream, request, body).await;
        }
        let name = ServerName::try_from(url.host.clone())
            .map_err(|_| Error::Tls("the host is no name that a certificate can have".into()))?;
        let stream = self.tls.connect(name, stream).await;
        ask(
            stream.map_err(|error| Error::Tls(error.to_string()))?,
            request,
            body,
        )
        .await
    }
}

fn addressed(request: Request<Bytes>, url: &Url) -> Result<Request<Full<Bytes>>, Error> {
    let malformed = |_| Error::Http("the URL has no place in a request".into());
    let mut request = request.map(Full::new);
    *request.uri_mut() = url.path.parse::<Uri>().map_err(malformed)?;
    let host = HeaderValue::from_str(&url.authority);
    let host = host.map_err(|_| Error::Http("the host has no place in a request".into()))?;
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}

/// Connects to the first address of the host that may be called and answers.
async fn connect(url: &Url, rule: &dyn Rule) -> Result<TcpStream, Error> {
    let addresses: Vec<IpAddr> = match url.host.parse() {
        Ok(address) => vec![address],
        Err(_) => tokio::net::lookup_host((url.host.as_str(), url.port))
            .await
            .map_err(|_| Error::Resolve)?
            .map(|address| address.ip())
            .collect(),
    };
    let mut failure = Error::Resolve;
    let mut tried = 0;
    for address in addresses {
        if let Err(reason) = rule.judge(url, address) {
            if tried == 0 {
                failure = Error::Refused(reason);
            }
            continue;
        }
        tried += 1;
        if tried > ADDRESSES_MAX {
            break;
        }
        match TcpStream::connect(SocketAddr::new(address, url.port)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = Error::Connect(error.kind().to_string()),
        }
    }
    Err(failure)
}

/// Sends the request and reads the answer.
async fn ask<S>(stream: S, request: Request<Full<Bytes>>, body: Body) -> Result<Response, Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let failed = |error: hyper::Error| Error::Http(error.to_string());
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(failed)?;
        let (parts, incoming) = response.into_parts();
        let body = match body {
            Body::Whole(bytes_max) => {
                let body = Limited::new(incoming, bytes_max).collect().await;
                body.map_err(|_| Error::Body)?.to_bytes()
            }
            Body::Ignored(bytes_max, time) => {
                let body = Limited::new(incoming, bytes_max).collect();
                let _ = tokio::time::timeout(time, body).await;
                Bytes::new()
            }
        };
        Ok(Response {
            status: parts.status,
            headers: parts.headers,
            body,
        })
    };
    tokio::pin!(connection, answer);
    let mut open = true;
    loop {
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            _ = &mut connection, if open => open = false,
        }
    }
}

const AGENT: &str = concat!("attestore/", env!("CARGO_PKG_VERSION"));
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 3;
/// Header fields of an answer.
const HEADERS_MAX: usize = 100;
/// Bytes of the head of an answer, and of what is read at once.
const HEAD_BYTES_MAX: usize = 64 << 10;
