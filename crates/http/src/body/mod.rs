//! Request bodies: collected under a limit and a deadline, decoded under a second limit.
//!
//! Both the bytes on the wire and the decoded bytes are capped while they stream, so a decompression bomb costs at
//! most [`Limits::decoded_bytes_max`]. Stacked and unknown encodings are refused.

mod memory;

use std::io::Read;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

pub use self::memory::Memory;
use self::memory::Share;
use crate::problem::Problem;

/// Limits of one request body.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes on the wire.
    pub wire_bytes_max: usize,
    /// Bytes after decompression.
    pub decoded_bytes_max: usize,
    /// Time that the client has to send the whole body, and to take any of an answer.
    pub deadline: Duration,
    /// Events in one request.
    pub events_max: usize,
    /// What the bodies of all requests under way may take together.
    pub memory: Memory,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wire_bytes_max: 16 << 20,
            decoded_bytes_max: 64 << 20,
            deadline: Duration::from_secs(30),
            events_max: 10_000,
            memory: Memory::new(512 << 20),
        }
    }
}

/// Reads what is left of a body that nobody wants, so that the connection can be used again: a little, for a moment. Returns
/// whether that was all of it.
pub async fn leave(headers: &HeaderMap, mut body: Body) -> bool {
    if body.is_end_stream() {
        return true;
    }
    // Whoever asks before sending is told by the answer.
    if headers.contains_key(header::EXPECT) {
        return false;
    }
    let read = async {
        let mut left = UNWANTED_BYTES_MAX;
        while let Some(frame) = body.frame().await {
            let bytes = frame.ok().and_then(|frame| frame.into_data().ok());
            left = left.checked_sub(bytes.map_or(0, |bytes| bytes.len()))?;
        }
        Some(())
    };
    let read = tokio::time::timeout(UNWANTED_WAIT, read).await;
    matches!(read, Ok(Some(())))
}

const UNWANTED_BYTES_MAX: usize = 64 << 10;
const UNWANTED_WAIT: Duration = Duration::from_millis(100);

/// The largest window that a zstd frame may ask for: 8 MiB (RFC 8878 section 3.1.1.1.2 recommends it).
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let refuse = |what: &str| {
            Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_encoding",
                format!("{what}; send gzip, zstd or no Content-Encoding"),
            ))
        };
        let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
        let Some(value) = values.next() else {
            return Ok(Self::Identity);
        };
        if values.next().is_some() {
            return refuse("encodings cannot be stacked");
        }
        match value.to_str().unwrap_or("").trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            other if other.contains(',') => refuse("encodings cannot be stacked"),
            _ => refuse("unknown Content-Encoding"),
        }
    }
}

/// Reads and decodes a request body.
///
/// # Errors
/// 413 `body_too_large`, 408 `body_timeout`, 415 `unsupported_encoding`, 400 `invalid_encoding` or `body_incomplete`, 503
/// `bodies_full`.
pub async fn read(headers: &HeaderMap, body: Body, limits: &Limits) -> Result<Bytes, Problem> {
    let encoding = Encoding::of(headers)?;
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|n| n > limits.wire_bytes_max as u64) {
        return Err(too_large("on the wire", limits.wire_bytes_max));
    }
    let mut share = limits.memory.share();
    let wire = tokio::time::timeout(limits.deadline, collect(body, limits.wire_bytes_max, &mut share))
        .await
        .map_err(|_| {
            Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "body_timeout",
                "the body did not arrive in time",
            )
        })??;
    let max = limits.decoded_bytes_max;
    match encoding {
        Encoding::Identity => Ok(wire),
        Encoding::Gzip => decode(flate2::read::MultiGzDecoder::new(&wire[..]), max, &mut share),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(&wire[..]).map_err(|_| invalid_encoding())?;
            decoder
                .window_log_max(ZSTD_WINDOW_LOG_MAX)
                .map_err(|_| invalid_encoding())?;
            decode(decoder, max, &mut share)
        }
    }
}

async fn collect(mut body: Body, max: usize, share: &mut Share<'_>) -> Result<Bytes, Problem> {
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|_| Problem::bad_request("body_incomplete", "the body ended before its end"))?;
        let Ok(data) = frame.into_data() else { continue };
        let so_far = first.as_ref().map_or(0, Bytes::len).max(rest.len());
        if so_far + data.len() > max {
            return Err(too_large("on the wire", max));
        }
        if !share.grow(data.len()) {
            return Err(full());
        }
        match first.take() {
            None if rest.is_empty() => first = Some(data),
            None => rest.extend_from_slice(&data),
            Some(head) => {
                rest.reserve(head.len() + data.len());
                rest.extend_from_slice(&head);
                rest.extend_from_slice(&data);
            }
        }
    }
    Ok(first.unwrap_or_else(|| rest.freeze()))
}

fn decode(mut reader: impl Read, max: usize, share: &mut Share<'_>) -> Result<Bytes, Problem> {
    let mut out = Vec::new();
    loop {
        // Doubled while it fills, but never beyond the limit: else a bomb would cost twice of what it may hold.
        let more = out.len().max(DECODE_BYTES_FIRST).min(max + 1 - out.len());
        if !share.grow(more) {
            return Err(full());
        }
        out.reserve_exact(more);
        let read = (&mut reader)
            .take(more as u64)
            .read_to_end(&mut out)
            .map_err(|_| invalid_encoding())?;
        if out.len() > max {
            return Err(too_large("after decompression", max));
        }
        if read < more {
            return Ok(Bytes::from(out));
        }
    }
}

/// Room for the first decoded bytes.
const DECODE_BYTES_FIRST: usize = 16 << 10;

fn full() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "bodies_full",
        "the bodies of other requests take all the memory that there is for them",
    )
    .retry_after_ms(1000)
}

fn invalid_encoding() -> Problem {
    Problem::bad_request(
        "invalid_encoding",
        "the body is not valid in its Content-Encoding",
    )
}

fn too_large(what: &str, max: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!("the body exceeds {max} bytes {what}"),
    )
}

#[cfg(test)]
mod tests;
