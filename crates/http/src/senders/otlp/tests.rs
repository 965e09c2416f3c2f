use super::*;

/// A request as the JavaScript exporter writes it: numbers of 64 bits as strings, ids in hex.
const JSON: &str = r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}],
"droppedAttributesCount":0},"scopeLogs":[{"scope":{"name":"audit","version":"1"},"logRecords":[
{"timeUnixNano":"1763777174123456789","observedTimeUnixNano":"1763777174200000000","severityNumber":9,"severityText":"INFO",
"body":{"stringValue":"hello"},"eventName":"user.login","traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174",
"attributes":[{"key":"n","value":{"intValue":"9007199254740993"}},{"key":"list","value":{"arrayValue":{"values":[{"boolValue":true},{"doubleValue":1.5}]}}}],
"droppedAttributesCount":0},{"body":{"kvlistValue":{"values":[{"key":"a","value":{"stringValue":"b"}}]}},"attributes":[]}]}]}]}"#;

fn mapping() -> &'static Mapping {
    super::super::preset("otlp").unwrap_or_else(|problem| panic!("{problem:?}"))
}

fn parsed(body: &[u8], encoding: Encoding) -> Vec<Value> {
    let request = encoding
        .parse(body)
        .unwrap_or_else(|problem| panic!("{problem:?}"));
    records(request, "r", mapping())
        .into_iter()
        .map(|incoming| {
            let bytes = incoming.record.unwrap();
            mapping().apply(&bytes).unwrap();
            serde_json::from_slice(&bytes).unwrap()
        })
        .collect()
}

#[test]
fn json_and_protobuf_become_the_same_records() {
    let from_json = parsed(JSON.as_bytes(), Encoding::Json);
    assert_eq!(
        from_json,
        [
            json!({
                "resource": {"service.name": "shop"},
                "scope": {"name": "audit", "version": "1", "attributes": {}},
                "time": "2025-11-22T02:06:14.123456789Z", "observed_time": "2025-11-22T02:06:14.2Z",
                "severity_number": 9, "severity_text": "INFO", "body": "hello", "event_name": "user.login",
                "trace_id": "5b8efff798038103d269b633813fc60c", "span_id": "eee19b7ec3c1b174",
                "attributes": {"n": 9_007_199_254_740_993_i64, "list": [true, 1.5]},
            }),
            json!({
                "resource": {"service.name": "shop"},
                "scope": {"name": "audit", "version": "1", "attributes": {}},
                "body": {"a": "b"}, "attributes": {},
            }),
        ]
    );
    let request: ExportLogsServiceRequest = serde_json::from_str(JSON).unwrap();
    assert_eq!(parsed(&request.encode_to_vec(), Encoding::Protobuf), from_json);
}

#[test]
fn records_of_one_request_have_keys_of_their_own() {
    let request = Encoding::Json.parse(JSON.as_bytes());
    let records = records(request.unwrap_or_else(|p| panic!("{p:?}")), "r", mapping());
    let keys: Vec<_> = records.into_iter().filter_map(|record| record.key).collect();
    assert_eq!(keys, ["otlp:r/0", "otlp:r/1"]);
}

#[test]
fn attributes_of_one_name_are_all_kept() {
    let pair = |value: Any| KeyValue {
        key: "a".into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    };
    let pairs = [
        Any::IntValue(1),
        Any::DoubleValue(f64::NAN),
        Any::BytesValue(vec![7]),
    ];
    assert_eq!(
        Value::Object(attributes(pairs.into_iter().map(pair).collect())),
        json!({"a": [1, "NaN", "07"]})
    );
}

#[test]
fn what_is_no_request_is_refused_without_repeating_it() {
    for (body, encoding) in [
        (&b"{\"resourceLogs\":\"secret\"}"[..], Encoding::Json),
        (b"secret", Encoding::Protobuf),
    ] {
        let problem = encoding.parse(body).err().unwrap();
        assert_eq!((problem.status, problem.code), (400, "invalid_otlp"));
        assert!(!problem.detail.contains("secret"));
    }
}

#[tokio::test]
async fn refusals_are_statuses_and_keep_when_to_repeat() {
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "later").retry_after_ms(1500);
    let response = Encoding::Protobuf.refuse(problem);
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "2");
    assert_eq!(response.headers()["content-type"], "application/x-protobuf");
    let body = axum::body::to_bytes(response.into_body(), 1000).await.unwrap();
    let status = Status::decode(body).unwrap();
    assert_eq!((status.code, status.message.as_str()), (14, "overloaded: later"));
}

#[test]
fn exporters_are_told_to_come_back_when_space_has_run_out() {
    let problem = Problem::new(StatusCode::INSUFFICIENT_STORAGE, "no_space", "full");
    let response = Encoding::Json.refuse(problem);
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "30");
}
