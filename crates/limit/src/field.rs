//! Header fields that tell a client where it stands: `RateLimit-Policy` and `RateLimit`, structured fields of
//! draft-ietf-httpapi-ratelimit-headers-10.

use std::fmt::Write;

use crate::Standing;

/// Name of the field that says what is allowed.
pub const POLICY: &str = "ratelimit-policy";
/// Name of the field that says what is left.
pub const LIMIT: &str = "ratelimit";

/// The value of `RateLimit-Policy`: `"tenant";q=1000;w=60`.
pub fn policy(standing: &Standing) -> String {
    let mut text = String::with_capacity(VALUE_BYTES);
    // Writing into a string cannot fail.
    let _ = write!(text, "\"{}\";q={}", standing.policy, standing.quota);
    if standing.window_ms > 0 {
        let _ = write!(text, ";w={}", standing.window_ms.div_ceil(1000));
    }
    text
}

/// The value of `RateLimit`: `"tenant";r=17;t=12`.
pub fn limit(standing: &Standing) -> String {
    let mut text = String::with_capacity(VALUE_BYTES);
    let _ = write!(
        text,
        "\"{}\";r={};t={}",
        standing.policy,
        standing.remaining,
        standing.wait_ns.div_ceil(1_000_000_000)
    );
    text
}

const VALUE_BYTES: usize = 48;
