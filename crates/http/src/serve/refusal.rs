//! Answers to what never becomes a request: bytes that are no HTTP, heads that are too long or too slow, connections beyond
//! the limits. They are problem documents like all others, written without the HTTP library.

use axum::http::StatusCode;

use super::headers;
use super::request_id::RequestId;
use crate::problem::Problem;

/// A refusal that needs no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The bytes are no HTTP/1.1 request.
    Malformed,
    /// They are TLS, and this is not.
    TlsToPlain,
    /// They are HTTP, and this is TLS.
    PlainToTls,
    /// They are HTTP/2.
    Http2,
    /// The head is too long, or has too many lines.
    HeadTooLarge,
    /// The path is too long.
    UriTooLong,
    /// The head did not come in time.
    HeadTimeout,
    /// There are too many connections.
    Crowded,
    /// There are too many connections from this address.
    CrowdedAddress,
}

impl Refusal {
    /// Status, stable code and explanation.
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Malformed => (
                StatusCode::BAD_REQUEST,
                "malformed_http",
                "this is no HTTP/1.1 request: look at the request line, the names of headers, Content-Length and Transfer-Encoding",
            ),
            Self::TlsToPlain => (
                StatusCode::BAD_REQUEST,
                "tls_to_plain",
                "this looks like TLS, and this address speaks HTTP without it: use http://, or set up [tls]",
            ),
            Self::PlainToTls => (
                StatusCode::BAD_REQUEST,
                "plain_to_tls",
                "this address speaks TLS 1.3: use https://",
            ),
            Self::Http2 => (
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "http2_unsupported",
                "HTTP/2 is not spoken here: use HTTP/1.1",
            ),
            Self::HeadTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "head_too_large",
                "the head of the request is too long, or has more than 64 headers",
            ),
            Self::UriTooLong => (
                StatusCode::URI_TOO_LONG,
                "uri_too_long",
                "the path is too long: long queries can be sent by POST",
            ),
            Self::HeadTimeout => (
                StatusCode::REQUEST_TIMEOUT,
                "head_timeout",
                "the head of the request did not come in time (http.header_timeout_ms)",
            ),
            Self::Crowded => (
                StatusCode::SERVICE_UNAVAILABLE,
                "too_many_connections",
                "the server has as many connections as it serves (http.connections_max), and all are at work",
            ),
            Self::CrowdedAddress => (
                StatusCode::SERVICE_UNAVAILABLE,
                "too_many_connections",
                "this address has as many connections as one may have (http.address_connections_max), and all are at work",
            ),
        }
    }

    /// What the library's own answer means, which it writes without a body.
    pub fn of_library(answer: &[u8], first: &[u8]) -> Option<Self> {
        let (head, rest) = (
            answer.get(..b"HTTP/1.1 400".len())?,
            answer.get(b"HTTP/1.1 400".len()..)?,
        );
        let is_whole = answer.len() <= LIBRARY_ANSWER_MAX && rest.ends_with(b"\r\n\r\n");
        match head {
            _ if !is_whole => None,
            b"HTTP/1.1 400" if first.first() == Some(&TLS_HANDSHAKE) => Some(Self::TlsToPlain),
            b"HTTP/1.1 400" => Some(Self::Malformed),
            b"HTTP/1.1 431" => Some(Self::HeadTooLarge),
            b"HTTP/1.1 414" => Some(Self::UriTooLong),
            _ => None,
        }
    }

    /// The stable code: also what refusals are counted under.
    pub const fn code(self) -> &'static str {
        self.parts().1
    }

    /// The whole answer, after which the connection ends.
    pub fn bytes(self, secure: bool) -> Vec<u8> {
        let (status, code, detail) = self.parts();
        let id = RequestId::made();
        let mut problem = Problem::new(status, code, detail);
        problem.request_id = Some(id.as_str().into());
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut answer = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\nConnection: close\r\n\
             {}: {id}\r\n",
            status.as_u16(),
            status.canonical_reason().unwrap_or_default(),
            body.len(),
            RequestId::HEADER,
        );
        if status == StatusCode::SERVICE_UNAVAILABLE {
            answer.push_str("Retry-After: 1\r\n");
        }
        for (name, value) in headers::of(secure) {
            answer.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap_or_default()));
        }
        answer.push_str("\r\n");
        let mut answer = answer.into_bytes();
        answer.extend_from_slice(&body);
        answer
    }
}

/// The first byte of a TLS handshake (RFC 8446, section 5.1).
pub const TLS_HANDSHAKE: u8 = 22;
/// What a client that speaks HTTP/2 without asking begins with (RFC 9113, section 3.4).
pub const HTTP2: &[u8] = b"PRI * HTTP/2.0";
/// The library's own answers have a head of three or four lines.
const LIBRARY_ANSWER_MAX: usize = 256;
