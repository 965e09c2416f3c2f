use serde_json::json;

use super::*;

fn read(aggs: &Value) -> Result<Aggs, Refusal> {
    let seq_of = |_: &str| Ok(None);
    let context = dsl::Context::new(1_795_343_415_500, &seq_of);
    Aggs::read(aggs, &context)
}

fn native(aggs: &Value) -> Value {
    let aggs = read(aggs).unwrap_or_else(|refusal| panic!("{aggs}: {refusal:?}"));
    serde_json::from_str(&aggs.native).unwrap()
}

#[test]
fn grafanas_nested_aggregations_are_translated() {
    let aggs = json!({"3": {
        "terms": {"field": "actor.id", "size": "10", "order": {"1": "desc"}, "min_doc_count": 1, "missing": "none"},
        "aggs": {
            "1": {"avg": {"field": "metadata.n"}},
            "2": {"date_histogram": {
                "field": "@timestamp", "fixed_interval": "30s", "min_doc_count": 0, "format": "epoch_millis",
                "extended_bounds": {"min": 1_000, "max": 60_000},
            }},
        },
    }});
    let expected = json!({"a3": {
        "terms": {"field": "actor.id", "size": 10, "order": {"a1": "desc"}, "min_doc_count": 1, "missing": "none"},
        "aggs": {
            "a1": {"avg": {"field": "metadata.n"}},
            "a2": {"date_histogram": {
                "field": "@timestamp", "fixed_interval": "30s", "min_doc_count": 0,
                "extended_bounds": {"min": 1_000, "max": 60_000},
            }},
        },
    }});
    assert_eq!(native(&aggs), expected);
    let answer = json!({"a3": {"doc_count_error_upper_bound": 0, "sum_other_doc_count": 0, "buckets": [
        {"key": "u", "doc_count": 2, "a1": {"value": 1.5}, "a2": {"buckets": [
            {"key_as_string": "1970-01-01T00:00:00Z", "key": 0, "doc_count": 2},
        ]}},
    ]}});
    let expected = json!({"3": {"doc_count_error_upper_bound": 0, "sum_other_doc_count": 0, "buckets": [
        {"key": "u", "doc_count": 2, "1": {"value": 1.5}, "2": {"buckets": [
            {"key_as_string": "0", "key": 0, "doc_count": 2},
        ]}},
    ]}});
    assert_eq!(
        read(&aggs).unwrap().answer(&answer.to_string()).unwrap(),
        expected
    );
}

#[test]
fn zones_move_the_grid() {
    let dates = |settings: Value| {
        let mut whole = json!({"field": "@timestamp", "min_doc_count": 1});
        whole
            .as_object_mut()
            .unwrap()
            .extend(settings.as_object().unwrap().clone());
        native(&json!({"d": {"date_histogram": whole}}))["a1"]["date_histogram"].clone()
    };
    let zoned = dates(json!({"calendar_interval": "1M", "time_zone": "+02:00"}));
    assert_eq!(zoned["offset"], "-7200000ms");
    let both = dates(json!({"fixed_interval": "1d", "time_zone": "-01:00", "offset": "+6h"}));
    assert_eq!(both["offset"], "25200000ms");
    assert_eq!(
        dates(json!({"fixed_interval": "5m", "time_zone": "Europe/Berlin"}))["offset"],
        Value::Null
    );
    assert_eq!(dates(json!({"interval": "1w"}))["calendar_interval"], "1w");
    assert_eq!(dates(json!({"interval": "1d"}))["fixed_interval"], "1d");
    // Only empty buckets can be added.
    let extended = json!({"fixed_interval": "1d", "extended_bounds": {"min": 0, "max": 1}});
    assert_eq!(dates(extended)["extended_bounds"], Value::Null);
    let named = json!({"d": {"date_histogram": {
        "field": "@timestamp", "fixed_interval": "1d", "time_zone": "Europe/Berlin",
    }}});
    assert!(read(&named).is_err());
}

#[test]
fn buckets_by_time_are_shown_and_ordered_as_asked() {
    let shown = |settings: Value| {
        let mut whole = json!({"field": "@timestamp", "calendar_interval": "day"});
        whole
            .as_object_mut()
            .unwrap()
            .extend(settings.as_object().unwrap().clone());
        let buckets = json!([
            {"key_as_string": "", "key": 0, "doc_count": 5},
            {"key_as_string": "", "key": 86_400_000, "doc_count": 1},
        ]);
        let aggs = read(&json!({"d": {"date_histogram": whole}})).unwrap();
        aggs.answer(&json!({"a1": {"buckets": buckets}}).to_string())
            .unwrap()["d"]["buckets"]
            .clone()
    };
    assert_eq!(shown(json!({}))[0]["key_as_string"], "1970-01-01T00:00:00.000Z");
    let reversed = shown(json!({"order": {"_key": "desc"}, "format": "yyyy-MM-dd"}));
    assert_eq!(reversed[0]["key_as_string"], "1970-01-02");
    assert_eq!(shown(json!({"order": {"_count": "asc"}}))[0]["doc_count"], 1);
    assert_eq!(
        shown(json!({"keyed": true, "format": "yyyy-MM-dd"}))["1970-01-02"]["doc_count"],
        1
    );
    let zoned = shown(json!({"time_zone": "+02:00"}));
    assert_eq!(zoned[0]["key_as_string"], "1970-01-01T02:00:00.000+02:00");
}

#[test]
fn filters_become_conditions() {
    let aggs = json!({"f": {
        "filters": {"filters": {
            "b": {"query_string": {"query": "kind:b", "analyze_wildcard": true}}, "a": {"term": {"kind": "a"}},
        }, "other_bucket_key": "rest"},
        "aggs": {"s": {"sum": {"field": "seq"}}},
        "meta": {"x": 1},
    }, "m": {"missing": {"field": "ip"}}});
    let aggs = read(&aggs).unwrap();
    assert_eq!(aggs.conditions.len(), 4);
    let answer = json!({
        "a2": {"doc_count": 1, "a1": {"value": 1.0}}, "a3": {"doc_count": 2, "a1": {"value": 2.0}},
        "a4": {"doc_count": 3, "a1": {"value": 3.0}}, "a5": {"doc_count": 4},
    });
    let expected = json!({
        "f": {"buckets": {
            "a": {"doc_count": 1, "s": {"value": 1.0}}, "b": {"doc_count": 2, "s": {"value": 2.0}},
            "rest": {"doc_count": 3, "s": {"value": 3.0}},
        }, "meta": {"x": 1}},
        "m": {"doc_count": 4},
    });
    assert_eq!(aggs.answer(&answer.to_string()).unwrap(), expected);
    let list = read(&json!({"f": {"filters": {"filters": [{"match_all": {}}]}}})).unwrap();
    let answer = list.answer(r#"{"a1":{"doc_count":9}}"#).unwrap();
    assert_eq!(answer, json!({"f": {"buckets": [{"doc_count": 9}]}}));
}

#[test]
fn ranges_have_keys_as_in_elasticsearch() {
    let aggs = json!({"r": {"range": {"field": "metadata.n", "ranges": [{"from": 50}, {"to": "50"}]}}});
    let expected = json!([{"key": "*-50.0", "to": 50.0}, {"key": "50.0-*", "from": 50.0}]);
    assert_eq!(native(&aggs)["a1"]["range"]["ranges"], expected);
    let dates = json!({"r": {"date_range": {"field": "@timestamp", "format": "yyyy-MM", "ranges": [{"to": "now/M"}]}}});
    let expected = json!([{"key": "*-2026-11", "to": 1_793_491_200_000_u64}]);
    assert_eq!(native(&dates)["a1"]["date_range"]["ranges"], expected);
    let answer = json!({"a1": {"buckets": [
        {"key": "*-2026-11", "to": 1_793_491_200_000_u64, "to_as_string": "x", "doc_count": 3},
    ]}});
    let answer = read(&dates).unwrap().answer(&answer.to_string()).unwrap();
    assert_eq!(
        answer["r"]["buckets"],
        json!([{"key": "*-2026-11", "to": 1_793_491_200_000.0, "to_as_string": "2026-11", "doc_count": 3}])
    );
}

#[test]
fn measures_say_nothing_that_is_ours_alone() {
    let aggs = json!({
        "c": {"cardinality": {"field": "actor.id", "precision_threshold": "100"}},
        "p": {"percentiles": {"field": "metadata.n", "percents": ["25", 99]}},
        "x": {"max": {"field": "@timestamp"}},
    });
    let native = native(&aggs);
    assert_eq!(native["a1"]["cardinality"]["precision_threshold"], 100);
    assert_eq!(native["a2"]["percentiles"]["percents"], json!([25.0, 99.0]));
    let answer = json!({
        "a1": {"value": 3, "relative_error": 0.0}, "a2": {"values": {"25.0": 1.0}, "relative_error": 0.01},
        "a3": {"value": 1000.0, "value_as_string": "1970-01-01T00:00:01Z"},
    });
    let expected = json!({
        "c": {"value": 3}, "p": {"values": {"25.0": 1.0}},
        "x": {"value": 1000.0, "value_as_string": "1970-01-01T00:00:01.000Z"},
    });
    assert_eq!(
        read(&aggs).unwrap().answer(&answer.to_string()).unwrap(),
        expected
    );
}

#[test]
fn what_cannot_be_done_is_refused_by_name() {
    for (aggs, named) in [
        (json!({"x": {"top_hits": {"size": 1}}}), "top_hits"),
        (json!({"x": {"derivative": {"buckets_path": "1"}}}), "derivative"),
        (
            json!({"x": {"extended_stats": {"field": "seq"}}}),
            "extended_stats",
        ),
        (
            json!({"x": {"terms": {"field": "kind", "script": "x"}}}),
            "script",
        ),
        (
            json!({"x": {"terms": {"field": "kind", "include": "a|b"}}}),
            "include",
        ),
        (
            json!({"x": {"terms": {"field": "kind", "order": {"9": "asc"}}}}),
            "order",
        ),
        (json!({"x": {"terms": {}}}), "field"),
        (
            json!({"x": {"date_histogram": {"field": "@timestamp"}}}),
            "interval",
        ),
        (
            json!({"x": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1d", "format": "EEE"}}}),
            "format",
        ),
        (
            json!({"x": {"histogram": {"field": "seq", "interval": "wide"}}}),
            "interval",
        ),
        (
            json!({"x": {"avg": {"field": "seq"}, "aggs": {"y": {"max": {"field": "seq"}}}}}),
            "buckets",
        ),
        (json!({"x": {"filter": {"fuzzy": {"kind": "a"}}}}), "fuzzy"),
        (json!({"x": {}}), "type"),
        (json!([]), "object"),
    ] {
        let refusal = read(&aggs).err().unwrap_or_else(|| panic!("{aggs}"));
        let body = refusal.body();
        let reason = body["error"]["reason"].as_str().unwrap();
        assert!(reason.contains(named), "{aggs}: {reason}");
    }
}

/// `filters` of `filters` of …, `depth` deep, each with as many filters.
fn nested_filters(filters: usize, depth: usize) -> Value {
    let mut agg = json!({"filters": {"filters": vec![json!({"match_all": {}}); filters]}});
    if depth > 1 {
        agg["aggs"] = json!({"x": nested_filters(filters, depth - 1)});
    }
    agg
}

#[test]
fn filters_in_filters_are_refused_before_they_are_written() {
    // 8 to the power of 8 native aggregations: the test ends at all only where they are not built.
    let refusal = read(&json!({"x": nested_filters(8, 8)})).err().unwrap();
    assert!(
        format!("{refusal:?}").contains("beyond 64 aggregations"),
        "{refusal:?}"
    );
    assert!(read(&json!({"x": nested_filters(2, 5)})).is_ok());
    assert!(read(&json!({"x": nested_filters(2, 6)})).is_err());
}

#[test]
fn long_aggregations_are_refused_before_they_are_written_for_each_filter() {
    let mut agg = nested_filters(32, 1);
    agg["aggs"] = json!({"t": {"terms": {"field": "actor.id", "include": ["x".repeat(4096)]}}});
    let refusal = read(&json!({"x": agg})).err().unwrap();
    assert!(
        format!("{refusal:?}").contains("longer than 65536 bytes"),
        "{refusal:?}"
    );
}

#[test]
fn no_bucket_is_lost_to_another_of_the_same_key() {
    let named = |key: &str| json!({"f": {"filters": {"filters": {"_other_": {"match_all": {}}, "a": {"match_all": {}}}, "other_bucket_key": key}}});
    assert!(read(&named("_other_")).is_err());
    assert!(read(&named("rest")).is_ok());
    let days = json!({"d": {"date_histogram": {
        "field": "@timestamp", "fixed_interval": "1m", "format": "yyyy", "keyed": true,
    }}});
    let native = json!({"a1": {"buckets": [
        {"key_as_string": "", "key": 0, "doc_count": 5}, {"key_as_string": "", "key": 60_000, "doc_count": 1},
    ]}});
    assert!(read(&days).unwrap().answer(&native.to_string()).is_err());
}
