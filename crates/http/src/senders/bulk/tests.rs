use super::*;

/// Action, index, id, document.
type Read = (String, Option<String>, Option<String>, Option<String>);

fn read(body: &'static str) -> Result<Vec<Read>, &'static str> {
    actions(&Bytes::from_static(body.as_bytes()), Some("acme"))
        .map(|actions| {
            actions
                .into_iter()
                .map(|action| {
                    let document = action
                        .document
                        .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
                    (action.name.to_owned(), action.index, action.id, document)
                })
                .collect()
        })
        .map_err(|problem| problem.code)
}

#[test]
fn actions_and_documents_are_paired_over_blank_lines() {
    let own = |text: &str| Some(text.to_owned());
    assert_eq!(
        read(
            "{\"index\": {\"_index\": \"audit\"} }\n{ \"a\": 1 }\n\n{\"create\":{\"_id\":7}}\r\n{\"b\":2}\n{\"delete\":{\"_id\":\"x\"}}\n{\"update\":{}}\n{\"doc\":{}}"
        ),
        Ok(vec![
            ("index".into(), own("audit"), None, own("{ \"a\": 1 }")),
            ("create".into(), own("acme"), own("7"), own("{\"b\":2}")),
            ("delete".into(), own("acme"), own("x"), None),
            ("update".into(), own("acme"), None, None),
        ])
    );
}

#[test]
fn what_is_no_action_refuses_the_request() {
    for body in [
        "{\"index\":{}}",
        "{\"a\":1}\n{}",
        "nonsense\n{}",
        "{}\n{}",
        "{\"index\":{},\"create\":{}}\n{}",
        "{\"index\":{\"_id\":[]}}\n{}",
    ] {
        assert_eq!(read(body), Err("malformed_action"), "{body}");
    }
    assert_eq!(read("\n\n"), Ok(vec![]));
}

#[test]
fn native_events_are_told_from_other_documents() {
    for (document, expected) in [
        (r#"{"action":"a.b","actor":{"type":"user","id":"u"}}"#, true),
        (r#"{"actor":{"id":"u","type":"user"},"x":1,"action":"a"}"#, true),
        (r#"{"action":"a.b"}"#, false),
        (r#"{"action":{"x":1},"actor":{"id":"u"}}"#, false),
        (r#"{"action":"a","actor":"u"}"#, false),
        ("broken", false),
    ] {
        assert_eq!(is_native(document.as_bytes()), expected, "{document}");
    }
}

#[test]
fn results_have_the_shape_that_clients_read() {
    let action = |id: Option<&str>| Action {
        name: "create",
        index: Some("acme".into()),
        id: id.map(str::to_owned),
        document: None,
    };
    let receipt = Receipt {
        id: attestore_record::RecordId::new(1_763_777_174_123, [7; 10]),
        seq: 5,
        received_at_ms: 1_763_777_174_123,
        entry: [0; 44],
        duplicate: false,
    };
    let items = vec![
        Item::new(action(Some("k")), Done::Stored(receipt)),
        Item::new(
            action(None),
            Done::Stored(Receipt {
                duplicate: true,
                ..receipt
            }),
        ),
        Item::new(
            action(Some("k")),
            Done::refused(409, "version_conflict_engine_exception", "no"),
        ),
    ];
    let id = receipt.id.to_string();
    let stored = |result: &str, status: u16, id: &str| {
        json!({"create": {"_index": "acme", "_id": id, "status": status, "result": result, "_version": 1, "_seq_no": 5,
            "_primary_term": 1, "_shards": {"total": 1, "successful": 1, "failed": 0}}})
    };
    assert_eq!(
        serde_json::to_value(Answer {
            errors: true,
            took: 3,
            items
        })
        .unwrap(),
        json!({"errors": true, "took": 3, "items": [
            stored("created", 201, "k"),
            stored("noop", 200, &id),
            {"create": {"_index": "acme", "_id": "k", "status": 409,
                "error": {"type": "version_conflict_engine_exception", "reason": "no"}}},
        ]})
    );
}

#[test]
fn refusals_say_which_product_they_come_from() {
    let response = Refusal::from(Problem::tenant_not_found()).into_response();
    assert_eq!(response.status(), 404);
    assert_eq!(response.headers()["x-elastic-product"], "Elasticsearch");
    assert_eq!(response.headers()["content-type"], "application/json");
}
