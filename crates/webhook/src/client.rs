//! One message: the name is resolved, each address judged, and the connection goes to the very one that was judged. Redirects
//! are not followed, the answer is not read beyond a few bytes, and all of it ends in time.

use std::time::Duration;

use attestore_outbound::{
    Body, HeaderMap, Limits, Request, RootCertStore, StatusCode, header, roots_of_the_web,
};
use bytes::Bytes;

use crate::address::Allowed;
use crate::signature::Secret;
use crate::target::target;

/// Sends messages.
#[derive(Clone)]
pub struct Client {
    http: attestore_outbound::Client,
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
        Self::trusting(roots_of_the_web(), allowed, timeout)
    }

    /// Makes a client that trusts these certificate authorities.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn trusting(roots: RootCertStore, allowed: Allowed, timeout: Duration) -> Result<Self, String> {
        Ok(Self {
            http: attestore_outbound::Client::new(roots)?,
            allowed,
            timeout,
        })
    }

    /// Sends a message to a URL, signed.
    pub async fn send(&self, url: &str, secret: &Secret, message: Message<'_>) -> Outcome {
        self.try_send(url, secret, message).await.unwrap_or_else(failed)
    }

    async fn try_send(&self, url: &str, secret: &Secret, message: Message<'_>) -> Result<Outcome, String> {
        let url = target(url, &self.allowed).map_err(|error| error.to_string())?;
        let signature = secret.sign(message.id, message.timestamp_s, &message.body);
        let request = Request::post("/")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "*/*")
            .header("webhook-id", message.id)
            .header("webhook-timestamp", message.timestamp_s)
            .header("webhook-signature", signature)
            .body(message.body)
            .map_err(|error| error.to_string())?;
        let limits = Limits {
            time: self.timeout,
            body: Body::Ignored(BODY_BYTES_MAX, BODY_TIME_MAX),
        };
        let response = self.http.send(&url, &self.allowed, request, limits).await;
        let response = response.map_err(|error| error.to_string())?;
        Ok(judge(response.status, &response.headers, message.timestamp_s))
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

fn judge(status: StatusCode, headers: &HeaderMap, now_s: u64) -> Outcome {
    if status.is_success() {
        return Outcome::Delivered;
    }
    if status == StatusCode::GONE {
        return Outcome::Gone;
    }
    let after = headers.get(header::RETRY_AFTER);
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
