//! One request: the name is resolved, each address judged, and the connection goes to the very one that was judged. Redirects
//! are not followed, the answer is not read beyond a few bytes, and all of it ends in time.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::address::Allowed;
use crate::signature::Secret;
use crate::target::{Target, TargetError};

/// Sends messages.
#[derive(Clone)]
pub struct Client {
    tls: TlsConnector,
    allowed: Allowed,
    timeout: Duration,
}

/// What is sent.
pub struct Message<'a> {
    /// The same whenever the same message is sent again.
    pub id: &'a str,
    /// When it is sent, seconds since 1970.
    pub timestamp_s: u64,
    /// JSON.
    pub body: Bytes,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Taken: 2xx.
    Delivered,
    /// The receiver wants no more: 410.
    Gone,
    /// Not taken, as far as is known.
    Failed {
        /// Why; holds nothing that the receiver chose but its status.
        reason: String,
        /// When the receiver wants it again, if it says so.
        retry_after: Option<Duration>,
    },
}

impl Client {
    /// Makes a client that trusts the certificate authorities of the web.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(allowed: Allowed, timeout: Duration) -> Result<Self, String> {
        let roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        Self::trusting(roots, allowed, timeout)
    }

    /// Makes a client that trusts these certificate authorities.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn trusting(roots: RootCertStore, allowed: Allowed, timeout: Duration) -> Result<Self, String> {
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
            allowed,
            timeout,
        })
    }

    /// Sends a message to a URL, signed.
    pub async fn send(&self, url: &str, secret: &Secret, message: Message<'_>) -> Outcome {
        match tokio::time::timeout(self.timeout, self.try_send(url, secret, message)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(reason)) => failed(reason),
            Err(_) => failed(format!("no answer within {} ms", self.timeout.as_millis())),
        }
    }

    async fn try_send(&self, url: &str, secret: &Secret, message: Message<'_>) -> Result<Outcome, String> {
        let target = Target::parse(url, &self.allowed).map_err(|error| error.to_string())?;
        let signature = secret.sign(message.id, message.timestamp_s, &message.body);
        let request = Request::post(&target.path)
            .header(header::HOST, &target.authority)
            .header(header::CONTENT_TYPE, "application/json")
            .header(
                header::USER_AGENT,
                concat!("attestore/", env!("CARGO_PKG_VERSION")),
            )
            .header(header::ACCEPT, "*/*")
            .header(header::CONNECTION, "close")
            .header("webhook-id", message.id)
            .header("webhook-timestamp", message.timestamp_s)
            .header("webhook-signature", signature)
            .body(Full::new(message.body))
            .map_err(|error| error.to_string())?;
        let stream = self.connect(&target).await?;
        let response = if target.tls {
            let name = ServerName::try_from(target.host.clone())
                .map_err(|_| "the host is no name that a certificate can have".to_owned())?;
            let stream = self
                .tls
                .connect(name, stream)
                .await
                .map_err(|error| format!("TLS: {error}"))?;
            exchange(stream, request).await?
        } else {
            exchange(stream, request).await?
        };
        Ok(judge(response.status(), &response, message.timestamp_s))
    }

    /// Connects to the first address of the host that may be called and answers.
    async fn connect(&self, target: &Target) -> Result<TcpStream, String> {
        let addresses: Vec<IpAddr> = match target.host.parse() {
            Ok(address) => vec![address],
            Err(_) => tokio::net::lookup_host((target.host.as_str(), target.port))
                .await
                .map_err(|_| "the host name does not resolve".to_owned())?
                .map(|address| address.ip())
                .collect(),
        };
        let mut refused: Option<TargetError> = None;
        let mut failure = "the host name has no address".to_owned();
        let mut tried = 0;
        for address in addresses {
            if let Err(error) = target.judge(address, &self.allowed) {
                refused = Some(error);
                continue;
            }
            tried += 1;
            if tried > ADDRESSES_MAX {
                break;
            }
            match TcpStream::connect(SocketAddr::new(address, target.port)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = format!("cannot connect: {}", error.kind()),
            }
        }
        match refused {
            Some(refused) if tried == 0 => Err(refused.to_string()),
            _ => Err(failure),
        }
    }
}

/// Sends the request and reads the head of the answer, and a little of its body.
async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Response<()>, String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|error| format!("HTTP: {error}"))?;
    tokio::pin!(connection);
    let answer = async {
        let response: Response<Incoming> = sender
            .send_request(request)
            .await
            .map_err(|error| format!("HTTP: {error}"))?;
        let (parts, body) = response.into_parts();
        // Read so that the receiver can end its answer; what is in it does not matter, nor whether it ends.
        let body = Limited::new(body, BODY_BYTES_MAX).collect();
        let _ = tokio::time::timeout(BODY_TIME_MAX, body).await;
        Ok(Response::from_parts(parts, ()))
    };
    tokio::pin!(answer);
    let mut open = true;
    loop {
        tokio::select! {
            answer = &mut answer => return answer,
            _ = &mut connection, if open => open = false,
        }
    }
}

/// Reads a `Retry-After` (RFC 9110 section 10.2.3): seconds, or a date.
fn wait_s(after: &str, now_s: u64) -> Option<u64> {
    let after = after.trim();
    if !after.is_empty() && after.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(after.parse().unwrap_or(u64::MAX));
    }
    let then = jiff::fmt::rfc2822::parse(after).ok()?.timestamp().as_second();
    Some(u64::try_from(then).ok()?.saturating_sub(now_s))
}

fn judge(status: StatusCode, response: &Response<()>, now_s: u64) -> Outcome {
    if status.is_success() {
        return Outcome::Delivered;
    }
    if status == StatusCode::GONE {
        return Outcome::Gone;
    }
    let after = response.headers().get(header::RETRY_AFTER);
    let after = after.and_then(|after| wait_s(after.to_str().ok()?, now_s));
    let what = if status.is_redirection() {
        "a redirect, which is not followed"
    } else {
        "a failure"
    };
    Outcome::Failed {
        reason: format!("the receiver answered {}, {what}", status.as_u16()),
        retry_after: after.map(Duration::from_secs),
    }
}

fn failed(reason: String) -> Outcome {
    Outcome::Failed {
        reason,
        retry_after: None,
    }
}

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 3;
/// Headers of an answer.
const HEADERS_MAX: usize = 100;
/// Bytes of the head of an answer, and of what is read at once.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Bytes of an answer's body that are read.
const BODY_BYTES_MAX: usize = 16 << 10;
/// How long is waited for it.
const BODY_TIME_MAX: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::wait_s;

    #[test]
    fn receivers_say_in_seconds_or_by_date_when_they_want_it_again() {
        // 2026-11-22T17:53:40Z.
        let now_s = 1_795_370_020;
        for (after, wait) in [
            ("120", Some(120)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 22 Nov 2026 19:00:00 GMT", Some(3980)),
            ("Sun, 22 Nov 2026 17:00:00 GMT", Some(0)),
            ("", None),
            ("-5", None),
            ("soon", None),
        ] {
            assert_eq!(wait_s(after, now_s), wait, "{after}");
        }
    }
}
