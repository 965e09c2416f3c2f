//! What the event parser accepts, what it refuses, and where it says so.

use attestore_record::event::{ErrorCode, Limits, Operation, Outcome, parse};

const NOW_MS: u64 = 1_795_312_800_000;

fn refused(text: &str) -> (ErrorCode, String) {
    let error = parse(text.as_bytes(), &Limits::DEFAULT, NOW_MS).expect_err(text);
    (error.code, error.path)
}

fn with(field: &str) -> String {
    format!(r#"{{"action":"a.read","actor":{{"type":"user","id":"u"}},{field}}}"#)
}

#[test]
fn the_smallest_event_gets_its_defaults() {
    let text = r#" { "action" : "invoice.export" , "actor" : { "id" : "u_1", "type" : "user" } } "#;
    let event = parse(text.as_bytes(), &Limits::DEFAULT, NOW_MS).unwrap();
    assert_eq!(event.operation, Operation::Export);
    assert_eq!(event.outcome, Outcome::Success);
    assert_eq!(
        event.to_json(),
        r#"{"action":"invoice.export","operation":"export","outcome":"success","actor":{"type":"user","id":"u_1"}}"#
    );
}

#[test]
fn a_full_event_is_written_in_schema_order() {
    let text = include_str!("data/full-event.json");
    let event = parse(text.as_bytes(), &Limits::DEFAULT, NOW_MS).unwrap();
    let json = event.to_json();
    assert_eq!(json, include_str!("data/full-event.normalised.json").trim_end());
    let again = parse(json.as_bytes(), &Limits::DEFAULT, NOW_MS).unwrap();
    assert_eq!(again, event);
}

#[test]
fn every_error_code_names_its_place() {
    let long = "x".repeat(300);
    let cases: &[(String, ErrorCode, &str)] = &[
        ("{".into(), ErrorCode::InvalidJson, ""),
        (
            with(r#""metadata":{"a":01}"#),
            ErrorCode::InvalidJson,
            "/metadata",
        ),
        (
            with(r#""metadata":{"a":NaN}"#),
            ErrorCode::InvalidJson,
            "/metadata/a",
        ),
        (
            with(r#""metadata":{"a":"\x"}"#),
            ErrorCode::InvalidJson,
            "/metadata/a",
        ),
        (
            with(r#""metadata":{"a":1,}"#),
            ErrorCode::InvalidJson,
            "/metadata",
        ),
        (with(r#""severity":"info"} {"#), ErrorCode::InvalidJson, ""),
        (with(r#""action":"b""#), ErrorCode::DuplicateKey, "/action"),
        (with(r#""\u0061ction":"b""#), ErrorCode::DuplicateKey, "/action"),
        (
            with(r#""metadata":{"a":{"b":1,"\u0062":2}}"#),
            ErrorCode::DuplicateKey,
            "/metadata/a/b",
        ),
        (
            with(r#""payload":[{"x":1},{"y":1,"y":1}]"#),
            ErrorCode::DuplicateKey,
            "/payload/1/y",
        ),
        (with(r#""extra":1"#), ErrorCode::UnknownField, "/extra"),
        (
            with(r#""context":{"adress":"x"}"#),
            ErrorCode::UnknownField,
            "/context/adress",
        ),
        (
            r#"{"actor":{"type":"user","id":"u"}}"#.into(),
            ErrorCode::MissingField,
            "/action",
        ),
        (r#"{"action":"a"}"#.into(), ErrorCode::MissingField, "/actor"),
        (
            r#"{"action":"a","actor":{"type":"user"}}"#.into(),
            ErrorCode::MissingField,
            "/actor/id",
        ),
        (
            with(r#""targets":[{"type":"t","id":"1"},{"id":"2"}]"#),
            ErrorCode::MissingField,
            "/targets/1/type",
        ),
        (
            with(r#""changes":[{"old":1}]"#),
            ErrorCode::MissingField,
            "/changes/0/path",
        ),
        (r#"{"action":7}"#.into(), ErrorCode::WrongType, "/action"),
        ("[]".into(), ErrorCode::WrongType, ""),
        (with(r#""metadata":[]"#), ErrorCode::WrongType, "/metadata"),
        (with(r#""targets":{}"#), ErrorCode::WrongType, "/targets"),
        (
            with(r#""context":{"http":{"status":"200"}}"#),
            ErrorCode::WrongType,
            "/context/http/status",
        ),
        (
            with(&format!(r#""payload":{}{}"#, "[".repeat(33), "]".repeat(33))),
            ErrorCode::TooDeep,
            &deep(32),
        ),
        (
            with(&format!(r#""idempotency_key":"{long}""#)),
            ErrorCode::TooLong,
            "/idempotency_key",
        ),
        (
            with(&format!(r#""context":{{"host":"{long}"}}"#)),
            ErrorCode::TooLong,
            "/context/host",
        ),
        (
            with(&format!(r#""metadata":{{"a":"{}"}}"#, "y".repeat(65_536))),
            ErrorCode::TooLong,
            "/metadata",
        ),
        (with(&targets(65)), ErrorCode::TooMany, "/targets/64"),
        (with(&metadata(257)), ErrorCode::TooMany, "/metadata"),
        (with(r#""payload":"\ud800""#), ErrorCode::InvalidUtf8, "/payload"),
        (
            with(r#""payload":{"a":"\udc00\ud800"}"#),
            ErrorCode::InvalidUtf8,
            "/payload/a",
        ),
        (
            with(r#""justification":"\ud83d\u0041""#),
            ErrorCode::InvalidUtf8,
            "/justification",
        ),
        (
            with(r#""occurred_at":"yesterday""#),
            ErrorCode::InvalidTime,
            "/occurred_at",
        ),
        (
            with(r#""occurred_at":"1969-12-31T23:59:59Z""#),
            ErrorCode::InvalidTime,
            "/occurred_at",
        ),
        (
            with(r#""occurred_at":"2300-01-01T00:00:00Z""#),
            ErrorCode::OccurredInFuture,
            "/occurred_at",
        ),
        (
            with(r#""occurred_at":"2026-11-22T02:05:00.001Z""#),
            ErrorCode::OccurredInFuture,
            "/occurred_at",
        ),
        (
            r#"{"action":"Invoice.Export"}"#.into(),
            ErrorCode::InvalidValue,
            "/action",
        ),
        (r#"{"action":"a..b"}"#.into(), ErrorCode::InvalidValue, "/action"),
        (with(r#""severity":"loud""#), ErrorCode::InvalidValue, "/severity"),
        (
            with(r#""context":{"ip":"s3.amazonaws.com"}"#),
            ErrorCode::InvalidValue,
            "/context/ip",
        ),
        (
            with(r#""context":{"http":{"status":42}}"#),
            ErrorCode::InvalidValue,
            "/context/http/status",
        ),
        (
            with(r#""context":{"trace_id":"xyz"}"#),
            ErrorCode::InvalidValue,
            "/context/trace_id",
        ),
        (
            with(r#""targets":[{"type":"t","id":"a\u0000"}]"#),
            ErrorCode::InvalidValue,
            "/targets/0/id",
        ),
        (
            with(r#""metadata":{"a":1e999}"#),
            ErrorCode::InvalidValue,
            "/metadata/a",
        ),
        (
            with(r#""data_subjects":[{"type":"c","id":"1","fields":["/metadata/email"]}]"#),
            ErrorCode::InvalidValue,
            "/data_subjects/0/fields/0",
        ),
        (
            with(r#""data_subjects":[{"type":"c","id":"1","fields":["/actor/id","/action"]}]"#),
            ErrorCode::InvalidValue,
            "/data_subjects/0/fields/1",
        ),
        (
            with(&format!(
                r#""data_subjects":[{{"type":"c","id":"1","fields":["/actor/id","{}"]}}]"#,
                "/".repeat(37)
            )),
            ErrorCode::TooDeep,
            "/data_subjects/0/fields/1",
        ),
        (
            with(&format!(
                r#""data_subjects":[{{"type":"c","id":"1","fields":["{}"]}}]"#,
                "/".repeat(36)
            )),
            ErrorCode::InvalidValue,
            "/data_subjects/0/fields/0",
        ),
        (with(r#""id":"x""#), ErrorCode::ServerField, "/id"),
        (with(r#""seq":1"#), ErrorCode::ServerField, "/seq"),
        (with(r#""tenant":"x""#), ErrorCode::ServerField, "/tenant"),
        (
            with(r#""received_at":"x""#),
            ErrorCode::ServerField,
            "/received_at",
        ),
        (with(r#""ingest":{}"#), ErrorCode::ServerField, "/ingest"),
        (
            with(&format!(r#""payload":"{}""#, "z".repeat(262_144))),
            ErrorCode::TooLong,
            "/payload",
        ),
        (
            with(&format!(r#""payload":"{}""#, "z".repeat(262_100))),
            ErrorCode::EventTooLarge,
            "",
        ),
        (" ".repeat(4 * 262_144 + 1), ErrorCode::EventTooLarge, ""),
    ];
    for (text, code, path) in cases {
        let shown = &text[..text.len().min(120)];
        assert_eq!(refused(text), (*code, (*path).to_owned()), "{shown}");
    }
    // What a policy refuses is no matter of parsing.
    for code in ErrorCode::ALL
        .into_iter()
        .filter(|code| *code != ErrorCode::ValueRefused)
    {
        assert!(cases.iter().any(|case| case.1 == code), "{code} has a case");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_refused() {
    let error = parse(b"{\"action\":\"\xff\"}", &Limits::DEFAULT, NOW_MS).unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidUtf8);
}

#[test]
fn the_limits_themselves_are_accepted() {
    let fields = [
        format!(r#""context":{{"host":"{}"}}"#, "h".repeat(253)),
        format!(r#""idempotency_key":"{}""#, "k".repeat(128)),
        format!(r#""payload":{}{}"#, "[".repeat(32), "]".repeat(32)),
        targets(64),
        metadata(256),
        r#""occurred_at":"2026-11-22T02:05:00Z""#.to_owned(),
        r#""metadata":{"nul":"\u0000","big":123456789012345678901234567890,"e":1e308}"#.to_owned(),
        r#""payload":"\ud83d\ude00","severity":null,"targets":null,"context":null,"metadata":null"#
            .to_owned(),
        format!(r#""payload":{}[]"#, " ".repeat(300_000)),
    ];
    for field in fields {
        let text = with(&field);
        if let Err(error) = parse(text.as_bytes(), &Limits::DEFAULT, NOW_MS) {
            panic!("{error}: {}", &text[..text.len().min(120)]);
        }
    }
}

#[test]
fn times_become_utc() {
    for (given, stored) in [
        ("2026-11-22T03:00:00+01:00", "2026-11-22T02:00:00Z"),
        ("2024-02-29t00:00:00.120000z", "2024-02-29T00:00:00.12Z"),
        ("1970-01-01T00:00:00.000000001Z", "1970-01-01T00:00:00.000000001Z"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
        ("2000-12-31T23:30:00-00:30", "2001-01-01T00:00:00Z"),
    ] {
        let text = with(&format!(r#""occurred_at":"{given}""#));
        let event = parse(text.as_bytes(), &Limits::DEFAULT, NOW_MS).unwrap();
        assert!(
            event.to_json().contains(&format!(r#""occurred_at":"{stored}""#)),
            "{}",
            event.to_json()
        );
    }
    for wrong in [
        "2026-11-22T03:00:00",
        "2026-11-22",
        "2026-13-01T00:00:00Z",
        "2025-02-29T00:00:00Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22 03:00:00Z",
        "2026-11-22T03:00:00.Z",
        "2026-11-22T03:00:00.1234567890Z",
        "2026-11-22T03:00:00+0100",
        "2026-11-22T03:00:00+24:00",
        "",
    ] {
        let text = with(&format!(r#""occurred_at":"{wrong}""#));
        assert_eq!(refused(&text).0, ErrorCode::InvalidTime, "{wrong}");
    }
}

#[test]
fn operations_follow_the_action() {
    for (action, operation) in [
        ("invoice.export", Operation::Export),
        ("s3.get_bucket_policy", Operation::Read),
        ("user.created", Operation::Create),
        ("user.login", Operation::Login),
        ("doc.frobnicate", Operation::Other),
        ("iam.bulk_delete", Operation::Delete),
    ] {
        assert_eq!(Operation::of_action(action), operation, "{action}");
    }
}

fn targets(count: usize) -> String {
    format!(
        r#""targets":[{}]"#,
        vec![r#"{"type":"t","id":"1"}"#; count].join(",")
    )
}

fn metadata(count: usize) -> String {
    let members: Vec<String> = (0..count).map(|n| format!(r#""k{n}":{n}"#)).collect();
    format!(r#""metadata":{{{}}}"#, members.join(","))
}

fn deep(levels: usize) -> String {
    format!("/payload{}", "/0".repeat(levels))
}
