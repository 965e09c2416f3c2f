//! The headers that every answer has, whatever made it: nothing here is a page, and nothing may be kept by caches unless the
//! route says so.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// One year, as scanners ask for (RFC 6797).
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");
const ALWAYS: [(HeaderName, HeaderValue); 4] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// The headers, over TLS or not.
pub fn of(secure: bool) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let hsts = secure.then_some((STRICT_TRANSPORT_SECURITY, HSTS));
    ALWAYS.into_iter().chain(hsts)
}

/// Adds those that the route did not set itself.
pub fn add(headers: &mut HeaderMap, secure: bool) {
    headers.reserve(ALWAYS.len() + 2);
    for (name, value) in of(secure) {
        headers.entry(name).or_insert(value);
    }
}
