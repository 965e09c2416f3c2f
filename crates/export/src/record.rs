//! A record as it is exported.

use std::fmt::Write as _;

/// One record of a log, as its reader may see it.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its id, a UUID.
    pub id: &'a str,
    /// Its index in the log.
    pub seq: u64,
    /// When it was received, Unix milliseconds.
    pub received_at_ms: u64,
    /// Name of its kind, `event` for what clients send.
    pub kind: &'a str,
    /// Its leaf content.
    pub entry: &'a [u8],
    /// The event or control object, JSON.
    pub event: &'a str,
    /// Whether personal fields of it were erased; they show as `"[personal]"`.
    pub erased: bool,
}

/// Milliseconds since the Unix epoch as RFC 3339, UTC, three digits.
#[must_use]
pub fn rfc3339_ms(ms: u64) -> String {
    let time = i64::try_from(ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| ms.to_string(), |time| format!("{time:.3}"))
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Nanoseconds since the Unix epoch as RFC 3339, UTC, as many digits as it takes.
#[must_use]
pub fn rfc3339_ns(ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(ns)).map_or_else(|_| ns.to_string(), |time| time.to_string())
}
