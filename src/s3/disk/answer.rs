//! What a store answered, and sums of what is sent.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use ureq::Body;
use ureq::http::{HeaderMap, Response, StatusCode};

use super::super::failed;

/// What a store answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn read(response: Response<Body>) -> io::Result<Self> {
        let (parts, mut body) = response.into_parts();
        let body = body.with_config().limit(ANSWER_BYTES_MAX);
        let mut answer = Self {
            body: body.read_to_vec().map_err(failed)?,
            status: parts.status,
            headers: parts.headers,
        };
        // What takes long is answered with 200 at first, and may fail then.
        if answer.status == StatusCode::OK && answer.between("<Error>", "</Error>").is_some() {
            answer.status = StatusCode::INTERNAL_SERVER_ERROR;
        }
        Ok(answer)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether the same request may be answered otherwise soon.
    pub(super) fn may_pass(&self) -> bool {
        let status = self.status;
        let passing = [
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::CONFLICT,
            StatusCode::TOO_MANY_REQUESTS,
        ];
        let damaged = ["BadDigest", "IncompleteBody", "RequestTimeout"];
        status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
            || passing.contains(&status)
            || damaged.contains(&self.code().as_str())
    }

    /// The store's own code; empty without one.
    pub(super) fn code(&self) -> String {
        let code = self.between("<Code>", "</Code>").unwrap_or_default();
        code.chars()
            .filter(char::is_ascii_alphanumeric)
            .take(64)
            .collect()
    }

    /// Status, code and message.
    pub(super) fn said(&self) -> String {
        let message = self.between("<Message>", "</Message>").unwrap_or_default();
        let message: String = message
            .chars()
            .filter(|char| !char.is_control())
            .take(200)
            .collect();
        match self.code() {
            code if code.is_empty() => self.status.to_string(),
            code if message.is_empty() => format!("{} ({code})", self.status),
            code => format!("{} ({code}: {message})", self.status),
        }
    }

    fn between(&self, begin: &str, end: &str) -> Option<String> {
        let bytes = &self.body[..self.body.len().min(ERROR_BYTES_MAX)];
        let text = String::from_utf8_lossy(bytes);
        let (_, rest) = text.split_once(begin)?;
        Some(rest.split_once(end)?.0.to_owned())
    }
}

/// What tells damage on the way: MD5, as every store knows it. Not against who means harm; that is what the formats' own hashes are for.
pub(super) struct Sum(pub(super) [u8; 16]);

impl Sum {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(Md5::digest(bytes).into())
    }

    pub(super) fn base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    pub(super) fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A tag without its quotation marks.
pub(super) fn plain(tag: &str) -> &str {
    tag.trim_matches('"')
}

/// Longest answer.
const ANSWER_BYTES_MAX: u64 = 32 << 20;
/// Where errors are looked for.
const ERROR_BYTES_MAX: usize = 64 << 10;
