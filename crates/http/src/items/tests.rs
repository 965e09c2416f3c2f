use axum::http::HeaderValue;

use super::*;

fn typed(value: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
    headers
}

fn cut(kind: &'static str, body: &'static str) -> Result<(Vec<String>, bool), &'static str> {
    split(&typed(kind), &Bytes::from_static(body.as_bytes()), 3)
        .map(|i| {
            (
                i.items
                    .iter()
                    .map(|b| String::from_utf8_lossy(b).into_owned())
                    .collect(),
                i.single,
            )
        })
        .map_err(|p| p.code)
}

#[test]
fn objects_arrays_and_lines_are_cut_in_order() {
    assert_eq!(
        cut("application/json", " {\"a\":1} "),
        Ok((vec!["{\"a\":1}".into()], true))
    );
    assert_eq!(
        cut("application/json; charset=utf-8", "[ {\"a\":1},\n{\"b\":[1,2]} ]"),
        Ok((vec!["{\"a\":1}".into(), "{\"b\":[1,2]}".into()], false))
    );
    assert_eq!(
        cut("application/x-ndjson", "{\"a\":1}\r\n\n{broken\n"),
        Ok((vec!["{\"a\":1}".into(), "{broken".into()], false))
    );
}

#[test]
fn bodies_that_hold_no_events_are_refused_with_their_own_codes() {
    assert_eq!(cut("application/json", "  "), Err("empty_batch"));
    assert_eq!(cut("application/json", "[]"), Err("empty_batch"));
    assert_eq!(cut("application/x-ndjson", "\n\n"), Err("empty_batch"));
    assert_eq!(cut("application/json", "[{\"a\":1}"), Err("invalid_json"));
    assert_eq!(cut("text/plain", "{}"), Err("unsupported_content_type"));
    assert_eq!(
        cut("application/x-ndjson", "1\n2\n3\n4\n"),
        Err("too_many_events")
    );
}

#[test]
fn an_array_is_read_no_further_than_events_are_allowed() {
    assert_eq!(cut("application/json", "[1,2,3]").unwrap().0.len(), 3);
    assert_eq!(cut("application/json", "[1,2,3,4]"), Err("too_many_events"));
    // What follows would not be JSON.
    assert_eq!(cut("application/json", "[1,2,3,4,!"), Err("too_many_events"));
    assert_eq!(cut("application/json", "[1,2,3,!"), Err("invalid_json"));
    assert_eq!(cut("application/json", "[1,2,3] 4"), Err("invalid_json"));
}

#[test]
fn an_idempotency_key_comes_once() {
    let mut headers = typed("application/json");
    for key in ["a", "b"] {
        headers.append("idempotency-key", HeaderValue::from_static(key));
    }
    assert_eq!(
        idempotency_key(&headers).unwrap_err().code,
        "invalid_idempotency_key"
    );
}

#[test]
fn idempotency_keys_come_quoted_or_bare() {
    for (sent, want) in [
        ("\"k-1\"", Some("k-1")),
        ("k-1", Some("k-1")),
        ("", None),
        ("a b", None),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert("idempotency-key", HeaderValue::from_static(sent));
        assert_eq!(
            idempotency_key(&headers).ok().flatten().as_deref(),
            want,
            "{sent:?}"
        );
    }
}
