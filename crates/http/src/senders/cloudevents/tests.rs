use axum::http::{HeaderName, HeaderValue};

use super::*;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect()
}

fn json(headers: &HeaderMap, body: &[u8]) -> serde_json::Value {
    let bytes = binary(headers, body).unwrap_or_else(|problem| panic!("{problem:?}"));
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn an_event_in_headers_is_the_same_as_one_in_the_body() {
    let headers = headers(&[
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "/a%20b"),
        ("ce-type", "x"),
        ("content-type", "application/json; charset=utf-8"),
        ("host", "ignored"),
    ]);
    let bytes = binary(&headers, b"{\"n\": 1.10}").unwrap_or_else(|problem| panic!("{problem:?}"));
    assert_eq!(
        bytes,
        r#"{"data":{"n": 1.10},"datacontenttype":"application/json","id":"1","source":"/a b","specversion":"1.0","type":"x"}"#
    );
}

#[test]
fn data_that_is_not_json_is_text_or_base64() {
    let typed = headers(&[("ce-id", "1"), ("content-type", "text/plain")]);
    assert_eq!(json(&typed, b"hi")["data"], "hi");
    assert_eq!(json(&typed, &[0xff, 0])["data_base64"], "/wA=");
    assert_eq!(json(&typed, b"").get("data"), None);
    let claims = headers(&[("ce-id", "1"), ("content-type", "application/json")]);
    assert_eq!(
        binary(&claims, b"{broken").map_err(|p| p.code),
        Err("invalid_json")
    );
}

#[test]
fn modes_are_told_by_the_content_type() {
    for (pairs, expected) in [
        (
            &[("content-type", "application/cloudevents+json; charset=UTF-8")][..],
            Some(ContentMode::Structured),
        ),
        (
            &[("content-type", "application/cloudevents-batch+json")],
            Some(ContentMode::Batch),
        ),
        (&[("ce-specversion", "1.0")], Some(ContentMode::Binary)),
        (
            &[
                ("ce-specversion", "1.0"),
                ("content-type", "application/cloudevents+avro"),
            ],
            None,
        ),
        (&[("content-type", "application/json")], None),
    ] {
        let mode = ContentMode::of(&headers(pairs));
        assert!(mode.ok() == expected, "{pairs:?}");
    }
}

#[test]
fn events_without_what_they_must_have_are_refused() {
    for (event, path) in [
        (r#"{"specversion":"1.0","id":"1","source":"s"}"#, ""),
        (r#"{"specversion":"1.0","id":1,"source":"s","type":"t"}"#, ""),
        (
            r#"{"specversion":"0.3","id":"1","source":"s","type":"t"}"#,
            "/specversion",
        ),
        (r#"{"specversion":"1.0","id":"","source":"s","type":"t"}"#, "/id"),
        ("{", ""),
        ("[]", ""),
    ] {
        let error = check(Bytes::from(event)).unwrap_err();
        assert_eq!(
            (error.code, error.path.as_str()),
            ("invalid_cloudevent", path),
            "{event}"
        );
    }
    assert!(
        check(Bytes::from(
            r#"{"specversion":"1.0","id":"a\"b","source":"s","type":"t"}"#
        ))
        .is_ok()
    );
}
