//! The client commands' side of the HTTP API: one agent, clear errors, retries where the server asks for them.

mod connect;

pub use connect::tls;

use std::time::Duration;

use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, RequestBuilder};

use crate::cli::Remote;
use crate::failure::Failure;

/// How often a request is tried again when the server is busy or, if it may be repeated, away.
const RETRIES_MAX: u32 = 8;
/// The longest wait between two tries.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// A connection to one server under one credential.
pub struct Client {
    agent: Agent,
    base: String,
    authorization: Option<String>,
}

/// What a request answered: status and body.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: Vec<u8>,
}

/// How a stream was answered.
pub enum Streaming {
    /// It is open.
    Open(ureq::BodyReader<'static>),
    /// Not now; perhaps when this is over.
    Busy(Option<Duration>),
    /// Not at all.
    Refused(Failure),
}

impl Client {
    /// Makes a client; nothing is sent yet.
    ///
    /// # Errors
    /// Usage when there is neither a credential nor a client certificate, or the URL makes no sense.
    pub fn new(remote: &Remote) -> Result<Self, Failure> {
        let authorization = match remote.credential.as_deref().map(str::trim) {
            Some(credential) => Some(format!("Bearer {credential}")),
            None if remote.client_certificate.is_some() => None,
            None => {
                return Err(Failure::usage(
                    "no credential: set ATTESTORE_CREDENTIAL or pass --credential (or --client-certificate)",
                ));
            }
        };
        let (agent, base) = connect::agent(remote)?;
        Ok(Self {
            agent,
            base,
            authorization,
        })
    }

    /// Makes a client for what takes no credential.
    ///
    /// # Errors
    /// Usage when the URL makes no sense.
    pub fn public(remote: &Remote) -> Result<Self, Failure> {
        let (agent, base) = connect::agent(remote)?;
        Ok(Self {
            agent,
            base,
            authorization: None,
        })
    }

    /// POST of a JSON document, once, whatever comes of it; the caller judges the status.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub fn post_once(&self, path: &str, body: &Value) -> Result<Answer, Failure> {
        let body = zeroize::Zeroizing::new(serde_json::to_vec(body)?);
        let request = self.authorised(self.agent.post(self.url(path)));
        let answer = request.header("content-type", "application/json").send(&body[..]);
        Answer::read(answer.map_err(|error| Failure::failed(format!("{}: {error}", self.base)))?)
    }

    /// GET, expecting success.
    ///
    /// # Errors
    /// The server's own words when it refuses.
    pub fn get(&self, path: &str) -> Result<Vec<u8>, Failure> {
        self.answer(path)?.success()
    }

    /// GET; the caller judges the status.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub fn answer(&self, path: &str) -> Result<Answer, Failure> {
        self.with_retries(true, || self.authorised(self.agent.get(self.url(path))).call())
    }

    /// GET, whatever the status.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub fn get_any(&self, path: &str) -> Result<Vec<u8>, Failure> {
        let answer = self.with_retries(false, || self.agent.get(self.url(path)).call())?;
        Ok(answer.body)
    }

    /// GET, expecting success; `None` when the credential may not.
    ///
    /// # Errors
    /// The server's own words when it refuses for another reason.
    pub fn try_get(&self, path: &str) -> Result<Option<Vec<u8>>, Failure> {
        let answer = self.answer(path)?;
        if answer.status == 403 {
            return Ok(None);
        }
        answer.success().map(Some)
    }

    /// GET of a JSON document.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn get_json(&self, path: &str) -> Result<Value, Failure> {
        Ok(serde_json::from_slice(&self.get(path)?)?)
    }

    /// GET of a text.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn get_text(&self, path: &str) -> Result<String, Failure> {
        String::from_utf8(self.get(path)?)
            .map_err(|_| Failure::failed("the server answered with bytes, not text"))
    }

    /// POST with extra headers; the caller judges the status. With an `idempotency-key` it is tried again when the
    /// connection broke; without one only when the server cannot have acted on it.
    ///
    /// # Errors
    /// When the server cannot be reached, stays busy, or may have acted on a request that must not be repeated.
    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, Failure> {
        let keyed = headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("idempotency-key"));
        self.with_retries(keyed, || {
            let mut request = self.authorised(self.agent.post(self.url(path)));
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            request.send(body)
        })
    }

    /// POST of a JSON document that only asks, and may be sent again; expecting success.
    ///
    /// # Errors
    /// The server's own words when it refuses.
    pub fn ask_json(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let body = serde_json::to_vec(body)?;
        let answer = self.with_retries(true, || {
            self.authorised(self.agent.post(self.url(path)))
                .header("content-type", "application/json")
                .send(&body[..])
        })?;
        Ok(serde_json::from_slice(&answer.success()?)?)
    }

    /// PUT of a JSON document, expecting success.
    ///
    /// # Errors
    /// The server's own words when it refuses.
    pub fn put_json(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let body = serde_json::to_vec(body)?;
        let answer = self.with_retries(true, || {
            self.authorised(self.agent.put(self.url(path)))
                .header("content-type", "application/json")
                .send(&body[..])
        })?;
        Ok(serde_json::from_slice(&answer.success()?)?)
    }

    /// PUT with headers; the caller judges the status.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub fn put(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, Failure> {
        self.with_retries(true, || {
            let mut request = self.authorised(self.agent.put(self.url(path)));
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            request.send(body)
        })
    }

    /// DELETE, expecting success.
    ///
    /// # Errors
    /// The server's own words when it refuses.
    pub fn delete(&self, path: &str) -> Result<(), Failure> {
        let answer = self.with_retries(true, || self.authorised(self.agent.delete(self.url(path))).call())?;
        answer.success().map(drop)
    }

    /// DELETE with extra headers of what must not be repeated; the caller judges the status.
    ///
    /// # Errors
    /// When the server cannot be reached, stays busy, or may have acted on it.
    pub fn delete_once(&self, path: &str, headers: &[(&str, &str)]) -> Result<Answer, Failure> {
        self.with_retries(false, || {
            let mut request = self.authorised(self.agent.delete(self.url(path)));
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            request.call()
        })
    }

    /// GET of a stream that goes on until somebody ends it. Tried once.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub fn stream(&self, path: &str, headers: &[(&str, &str)]) -> Result<Streaming, Failure> {
        let mut request = self
            .agent
            .get(self.url(path))
            .config()
            .timeout_global(None)
            .timeout_recv_response(Some(Duration::from_secs(30)))
            .build();
        request = self.authorised(request);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request
            .call()
            .map_err(|error| Failure::failed(format!("{}: {error}", self.base)))?;
        match response.status().as_u16() {
            200 | 206 => Ok(Streaming::Open(response.into_body().into_reader())),
            429 | 502..=504 => {
                let after = response.headers().get("retry-after");
                let after = after.and_then(|v| v.to_str().ok()?.parse().ok());
                Ok(Streaming::Busy(after.map(Duration::from_secs)))
            }
            _ => {
                let refused = Answer::read(response)?.success().map(drop);
                Ok(Streaming::Refused(refused.err().unwrap_or_else(|| {
                    Failure::failed("the server answers without a stream")
                })))
            }
        }
    }

    fn authorised<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        match &self.authorization {
            Some(value) => request.header("authorization", value),
            None => request,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// `repeatable` says that sending twice does what sending once does.
    fn with_retries(
        &self,
        repeatable: bool,
        send: impl Fn() -> Result<Response<ureq::Body>, ureq::Error>,
    ) -> Result<Answer, Failure> {
        let mut wait = Duration::from_millis(100);
        for attempt in 0.. {
            let busy = match send() {
                Ok(response) => {
                    let status = response.status().as_u16();
                    let header = response.headers().get("retry-after");
                    // A server that names a time has not acted on the request.
                    let again = matches!(status, 429 | 503) && (repeatable || header.is_some());
                    if !again || attempt == RETRIES_MAX {
                        return Answer::read(response);
                    }
                    let after = header.and_then(|v| v.to_str().ok()?.parse().ok());
                    after.map(Duration::from_secs)
                }
                Err(error) if attempt == RETRIES_MAX || !passing(&error) => {
                    return Err(Failure::failed(format!("{}: {error}", self.base)));
                }
                Err(error) if !repeatable && !unsent(&error) => {
                    return Err(Failure::failed(format!(
                        "{}: {error}; the server may have acted on the request: look before trying again",
                        self.base
                    )));
                }
                Err(_) => None,
            };
            std::thread::sleep(busy.unwrap_or(wait).min(WAIT_MAX));
            wait = (wait * 2).min(WAIT_MAX);
        }
        unreachable!("the last attempt returns")
    }
}

fn passing(error: &ureq::Error) -> bool {
    matches!(
        error,
        ureq::Error::Io(_) | ureq::Error::ConnectionFailed | ureq::Error::Timeout(_)
    )
}

/// Whether the request cannot have reached a server.
fn unsent(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        ureq::Error::ConnectionFailed => true,
        ureq::Error::Timeout(phase) => matches!(phase, ureq::Timeout::Resolve | ureq::Timeout::Connect),
        _ => false,
    }
}

impl Answer {
    fn read(mut response: Response<ureq::Body>) -> Result<Self, Failure> {
        let status = response.status().as_u16();
        let body = response
            .body_mut()
            .with_config()
            .limit(1 << 30)
            .read_to_vec()
            .map_err(|e| Failure::failed(format!("the answer broke off: {e}")))?;
        Ok(Self { status, body })
    }

    /// The body of a 2xx answer.
    ///
    /// # Errors
    /// Title, code and detail of the problem document otherwise.
    pub fn success(self) -> Result<Vec<u8>, Failure> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        Err(Failure::failed(self.problem()))
    }

    /// A refusal in one line.
    pub fn problem(&self) -> String {
        let problem: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let text = |key: &str| problem.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
        match (text("code"), text("detail")) {
            (code, _) if code.is_empty() => format!("the server answered {}", self.status),
            (code, detail) => {
                let column = problem.get("column").and_then(Value::as_u64);
                let place = column.map_or_else(String::new, |column| format!(" at column {column}"));
                let meant = match text("suggestion") {
                    none if none.is_empty() => none,
                    suggestion => format!("; did you mean {suggestion}?"),
                };
                format!("{detail}{place}{meant} ({code}, {})", self.status)
            }
        }
    }
}

/// Percent-encodes a query value or path segment (RFC 3986 section 2.3 unreserved characters stay).
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests;
