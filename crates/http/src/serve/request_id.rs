//! The name of a request, by which its answer, the server's log and the record of the act are joined.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// A request's id: 1 to 64 letters, digits, `.`, `_` or `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The header that it comes in and goes out with.
    pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");
    /// The longest one.
    pub const LEN_MAX: usize = 64;

    /// Takes the client's, if there is exactly one and it is well-formed; makes one else.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut all = headers.get_all(Self::HEADER).iter();
        match (all.next(), all.next()) {
            (Some(id), None) if is_well_formed(id.as_bytes()) => Self(id.clone()),
            _ => Self::made(),
        }
    }

    /// Makes one that no other request to this process has, and hardly one to another. It is no secret.
    pub fn made() -> Self {
        static PROCESS: OnceLock<u64> = OnceLock::new();
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        // What the hash maps of this process are seeded with tells it from others.
        let process = PROCESS.get_or_init(|| RandomState::new().hash_one(0));
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let text = format!("{process:016x}-{number:x}");
        Self(HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("-")))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// As the value of a header.
    pub fn value(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn is_well_formed(id: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    (1..=RequestId::LEN_MAX).contains(&id.len()) && id.iter().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> RequestId {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(RequestId::HEADER, HeaderValue::from_str(value).unwrap());
        }
        RequestId::of(&headers)
    }

    #[test]
    fn a_well_formed_id_is_taken() {
        for id in [
            "a",
            "3f1c2a-77.B_9",
            "0190163d-8694-739b-aea5-966c26f8ad91",
            &"x".repeat(64),
        ] {
            assert_eq!(of(&[id]).as_str(), id);
        }
    }

    #[test]
    fn any_other_is_replaced() {
        for ids in [
            &["" as &str][..],
            &["a b"],
            &["a\tb"],
            &["a=b"],
            &["\"a\""],
            &["a", "a"],
            &[],
            &[&"x".repeat(65)],
        ] {
            let made = of(ids);
            assert!(!ids.contains(&made.as_str()));
            assert!(is_well_formed(made.as_str().as_bytes()), "{made}");
        }
    }

    #[test]
    fn made_ids_differ() {
        assert_ne!(RequestId::made(), RequestId::made());
    }
}
