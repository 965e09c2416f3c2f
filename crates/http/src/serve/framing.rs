//! What a head must be like so that everybody in a row of servers reads the same request out of the same bytes (RFC 9112
//! sections 3.2 and 6): one `Host`, and `chunked` as the only transfer coding.

use axum::http::header::{HOST, TRANSFER_ENCODING};
use axum::http::{HeaderMap, StatusCode, Version};

use crate::problem::Problem;

/// Checks a head.
///
/// # Errors
/// 400 `invalid_host`, 400 `invalid_transfer_encoding`. The connection is to be closed.
pub fn check(version: Version, headers: &HeaderMap) -> Result<(), Problem> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_plain = match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(only), None) => only.as_bytes().eq_ignore_ascii_case(b"chunked"),
        _ => false,
    };
    if !is_plain {
        return refuse(
            "invalid_transfer_encoding",
            "the only transfer coding is `chunked`, once",
        );
    }
    let mut hosts = headers.get_all(HOST).iter();
    let is_host = match (hosts.next(), hosts.next()) {
        (None, _) => version < Version::HTTP_11,
        (Some(only), None) => only.as_bytes().iter().all(|byte| is_of_host(*byte)),
        _ => false,
    };
    if !is_host {
        return refuse("invalid_host", "send one Host header with a name or an address");
    }
    Ok(())
}

/// Characters of names, addresses and ports (RFC 3986 sections 3.2.2 and 3.2.3).
fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:[]%".contains(&byte)
}

fn refuse(code: &'static str, detail: &str) -> Result<(), Problem> {
    Err(Problem::new(StatusCode::BAD_REQUEST, code, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(version: Version, given: &[(&'static str, &'static str)]) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, value.parse().unwrap());
        }
        check(version, &headers).err().map(|problem| problem.code)
    }

    #[test]
    fn the_only_coding_is_chunked_once() {
        for (value, fine) in [
            ("chunked", true),
            ("Chunked", true),
            ("chunked, chunked", false),
            ("gzip, chunked", false),
            ("identity", false),
            ("chunked ", true),
            ("", false),
        ] {
            let got = code(
                Version::HTTP_11,
                &[("host", "a"), ("transfer-encoding", value.trim_end())],
            );
            assert_eq!(got.is_none(), fine, "{value}");
        }
        let twice = [
            ("host", "a"),
            ("transfer-encoding", "chunked"),
            ("transfer-encoding", "chunked"),
        ];
        assert_eq!(code(Version::HTTP_11, &twice), Some("invalid_transfer_encoding"));
    }

    #[test]
    fn there_is_one_host_that_is_one() {
        for host in ["a", "audit.example:7117", "127.0.0.1", "[::1]:80", ""] {
            assert_eq!(code(Version::HTTP_11, &[("host", host)]), None, "{host}");
        }
        for host in ["a b", "a/b", "u@a", "a\\b", "a#b", "a?b", "<a>"] {
            assert_eq!(
                code(Version::HTTP_11, &[("host", host)]),
                Some("invalid_host"),
                "{host}"
            );
        }
        assert_eq!(code(Version::HTTP_11, &[]), Some("invalid_host"));
        assert_eq!(code(Version::HTTP_10, &[]), None);
        assert_eq!(
            code(Version::HTTP_10, &[("host", "a"), ("host", "a")]),
            Some("invalid_host")
        );
    }
}
