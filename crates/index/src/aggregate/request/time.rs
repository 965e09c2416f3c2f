//! Times in requests.

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};
use serde_json::Value;

const NS_PER_MS: i64 = 1_000_000;

/// Milliseconds since 1970, RFC 3339, a time without an offset, which is UTC, or a date. Nanoseconds since 1970.
pub(super) fn time(value: &Value) -> Option<i64> {
    match value {
        Value::Number(ms) => ms.as_i64()?.checked_mul(NS_PER_MS),
        Value::String(text) => {
            let civil = || text.parse::<civil::DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
            let at = match text.parse::<Timestamp>() {
                Ok(at) => at,
                Err(_) => civil()?.timestamp(),
            };
            i64::try_from(at.as_nanosecond()).ok()
        }
        _ => None,
    }
}
