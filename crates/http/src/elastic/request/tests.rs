use serde_json::json;

use super::*;

fn read(body: Value, params: &str) -> Result<Spec, Refusal> {
    Spec::read(body.to_string().as_bytes(), &Params::read(params))
}

#[test]
fn a_search_is_read_from_body_and_url() {
    let spec = read(
        json!({"size": 3, "timeout": "2s", "track_total_hits": 100}),
        "from=5&_source=actor,seq",
    )
    .unwrap();
    assert_eq!(
        (spec.from, spec.size, spec.deadline_ms, spec.total),
        (5, 3, Some(2000), true)
    );
    assert_eq!(
        spec.source,
        Filter::Parts(vec!["actor".into(), "seq".into()], Vec::new())
    );
    let spec = read(json!({}), "q=a+b%3A1&df=kind&sort=seq:asc&track_total_hits=false").unwrap();
    assert_eq!(
        spec.query,
        json!({"query_string": {"query": "a b:1", "default_field": "kind"}})
    );
    assert!(!spec.total);
    assert_eq!(spec.size, SIZE_DEFAULT);
    assert_eq!(Spec::read(b"", &Params::default()).unwrap().query, Value::Null);
}

#[test]
fn grafanas_logs_request_is_read() {
    let spec = read(
        json!({
            "size": 500,
            "query": {"bool": {"filter": [
                {"range": {"@timestamp": {"format": "epoch_millis", "gte": 1, "lte": 2}}},
                {"query_string": {"analyze_wildcard": true, "query": "x"}},
            ]}},
            "sort": {"@timestamp": {"order": "desc", "unmapped_type": "boolean"}, "_doc": {"order": "desc"}},
            "docvalue_fields": ["@timestamp"], "script_fields": {},
            "fields": [{"field": "@timestamp", "format": "strict_date_optional_time_nanos"}],
            "highlight": {
                "fields": {"*": {}}, "fragment_size": 2_147_483_647, "post_tags": ["@/HIGHLIGHT@"],
                "pre_tags": ["@HIGHLIGHT@"],
            },
            "aggs": {"1": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1000ms"}}},
        }),
        "",
    )
    .unwrap();
    assert_eq!(spec.fields.len(), 2);
    assert!(spec.highlight.is_some() && spec.aggs.is_some());
    assert_eq!(spec.sorted.native().1.as_deref(), Some("@timestamp:desc"));
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    for (body, named) in [
        (json!({"knn": {}}), "knn"),
        (json!({"post_filter": {}}), "post_filter"),
        (json!({"min_score": 1}), "min_score"),
        (json!({"terminate_after": 10}), "terminate_after"),
        (json!({"script_fields": {"x": {}}}), "script_fields"),
        (json!({"explain": true}), "explain"),
        (json!({"collapse": {"field": "x"}}), "collapse"),
        (json!({"slice": {"id": 0, "max": 2}}), "slice"),
        (json!({"from": 9_000, "size": 1_001}), "10000"),
        (json!({"size": -1}), "size"),
        (
            json!({"from": 1, "search_after": [1], "sort": "_doc"}),
            "search_after",
        ),
        (json!({"timeout": "soon"}), "timeout"),
        (json!({"_source": 5}), "_source"),
        (json!({"fields": "x"}), "fields"),
        (json!({"pit": {}}), "pit"),
        (json!({"aggs": {}, "aggregations": {}}), "aggs"),
    ] {
        let refusal = read(body.clone(), "").unwrap_err();
        let reason = refusal.body()["error"]["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains(named), "{body}: {reason}");
    }
    assert!(Spec::read(b"[]", &Params::default()).is_err());
    assert!(Spec::read(b"{", &Params::default()).is_err());
    assert!(read(json!({"size": 0}), "scroll=1m").is_err());
    assert!(Params::read("routin=1").allow(&PARAMS).is_err());
    assert!(Params::read("pretty&q=x").allow(&PARAMS).is_ok());
}

#[test]
fn stored_fields_leave_documents_out() {
    assert_eq!(
        read(json!({"stored_fields": ["_none_"]}), "").unwrap().source,
        Filter::Nothing
    );
    assert_eq!(
        read(json!({"stored_fields": ["_source"]}), "").unwrap().source,
        Filter::Whole
    );
}
