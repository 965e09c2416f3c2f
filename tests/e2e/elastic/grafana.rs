//! What Grafana's data sources for Elasticsearch and Quickwit send, and what they need of the answers.
//!
//! The requests are written after the public source of `grafana/grafana` (`pkg/tsdb/elasticsearch`) and
//! `quickwit-oss/quickwit-datasource` (`pkg/quickwit`).

use serde_json::{Value, json};

use super::{FIRST_S, fill, with_role};
use crate::harness::{Client, Server};

const FROM_MS: i64 = FIRST_S * 1000;
const TO_MS: i64 = FROM_MS + 300_000 - 1;

/// Sends searches as the data sources do: every one with a header, and `application/x-ndjson`.
fn msearch(client: &Client, base: &str, index: &str, searches: &[Value]) -> Vec<Value> {
    let header = json!({"ignore_unavailable": true, "index": index, "search_type": "query_then_fetch"});
    let lines: String = searches
        .iter()
        .map(|search| format!("{header}\n{search}\n"))
        .collect();
    let path = format!("{base}/_msearch?max_concurrent_shard_requests=5");
    let answer = client.post_ndjson(&path, &lines);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["responses"].as_array().unwrap().clone()
}

fn filters(query: &str) -> Value {
    json!({"bool": {"filter": [
        {"range": {"@timestamp": {"format": "epoch_millis", "gte": FROM_MS, "lte": TO_MS}}},
        {"query_string": {"analyze_wildcard": true, "query": query}},
    ]}})
}

fn server() -> Server {
    let server = Server::start();
    fill(&server.client(), 1000);
    server
}

#[test]
fn grafana_finds_a_healthy_source_with_a_time_field() {
    let server = server();
    let client = server.client();
    let version = client.get("/es/").json();
    assert_eq!(version["version"]["number"], "8.19.0");
    assert_eq!(
        client.get("/es/_cluster/health?wait_for_status=yellow").json()["status"],
        "green"
    );
    let field = client.get("/es/default/_field_caps?fields=@timestamp").json();
    assert_eq!(field["fields"]["@timestamp"]["date"]["aggregatable"], true);
    // The list of fields for its editors, by both ways that versions take.
    let all = client.get("/es/default/_field_caps?fields=*").json();
    assert_eq!(all["fields"]["actor.id"]["keyword"]["aggregatable"], true);
    assert_eq!(all["fields"]["metadata.n"]["keyword"]["searchable"], true);
    let mapping = client.get("/es/default/_mapping").json();
    assert_eq!(
        mapping["default"]["mappings"]["properties"]["@timestamp"]["type"],
        "date"
    );
    assert_eq!(client.get("/es/_mapping").json(), mapping);
}

#[test]
fn grafanas_metric_queries_are_answered() {
    let server = server();
    let count = json!({
        "size": 0, "query": filters("*"), "aggs": {"2": {"date_histogram": {
            "field": "@timestamp", "fixed_interval": "60000ms", "min_doc_count": 0, "format": "epoch_millis",
            "extended_bounds": {"min": FROM_MS, "max": TO_MS},
        }}},
    });
    let nested = json!({
        "size": 0, "query": filters("severity:info"), "aggs": {"3": {
            "terms": {"field": "actor.id", "size": 3, "order": {"_key": "asc"}, "min_doc_count": 1},
            "aggs": {"2": {
                "date_histogram": {
                    "field": "@timestamp", "fixed_interval": "100s", "min_doc_count": 0, "format": "epoch_millis",
                    "extended_bounds": {"min": FROM_MS, "max": TO_MS},
                },
                "aggs": {
                    "1": {"max": {"field": "metadata.n"}},
                    "4": {"percentiles": {"field": "metadata.n", "percents": ["50", "95"]}},
                    "5": {"cardinality": {"field": "targets.id"}},
                },
            }},
        }},
    });
    let filtered = json!({
        "size": 0, "query": filters("*"), "aggs": {"6": {"filters": {"filters": {
            "denied": {"query_string": {"query": "outcome:denied", "analyze_wildcard": true}},
            "reads": {"query_string": {"query": "action:doc.*", "analyze_wildcard": true}},
        }}, "aggs": {"2": {"date_histogram": {
            "field": "@timestamp", "calendar_interval": "1w", "min_doc_count": 0, "format": "epoch_millis",
        }}}}},
    });
    let ordered = json!({
        "size": 0, "query": filters("*"), "aggs": {"3": {
            "terms": {"field": "action", "size": 2, "order": {"1": "desc"}},
            "aggs": {"1": {"avg": {"field": "metadata.n"}}},
        }},
    });
    let refused =
        json!({"size": 0, "query": filters("*"), "aggs": {"1": {"moving_avg": {"buckets_path": "_count"}}}});
    let requests = [count, nested, filtered, ordered, refused];
    let [count, nested, filtered, ordered, refused] = msearch(&server.client(), "/es", "default", &requests)
        .try_into()
        .unwrap();

    let buckets = count["aggregations"]["2"]["buckets"].as_array().unwrap();
    assert_eq!(count["status"], 200);
    assert_eq!(count["hits"]["total"], json!({"value": 300, "relation": "eq"}));
    assert_eq!(buckets.len(), 5);
    assert_eq!(
        buckets[0],
        json!({"key": FROM_MS, "key_as_string": FROM_MS.to_string(), "doc_count": 60})
    );

    let actors = nested["aggregations"]["3"]["buckets"].as_array().unwrap();
    let keys: Vec<&Value> = actors.iter().map(|actor| &actor["key"]).collect();
    assert_eq!(keys, ["svc_0", "svc_1", "svc_2"]);
    let first = &actors[0]["2"]["buckets"][0];
    // Of 0 to 99, those that end on 0 and that 7 does not divide.
    assert_eq!(first["doc_count"], 8);
    assert_eq!(first["1"]["value"], 90.0);
    assert_eq!(first["4"]["values"].as_object().unwrap().len(), 2);
    assert!(
        (first["4"]["values"]["50.0"].as_f64().unwrap() - 50.0).abs() <= 11.0,
        "{first}"
    );
    assert_eq!(actors[0]["2"]["buckets"].as_array().unwrap().len(), 3);

    let named = &filtered["aggregations"]["6"]["buckets"];
    assert_eq!(named["denied"]["doc_count"], 30);
    assert_eq!(named["reads"]["2"]["buckets"][0]["doc_count"], 200);
    let actions = ordered["aggregations"]["3"]["buckets"].as_array().unwrap();
    assert_eq!(actions[0]["key"], "login");
    assert_eq!(actions[0]["1"]["value"], 150.5);
    assert_eq!(refused["status"], 400);
    assert!(
        refused["error"]["reason"]
            .as_str()
            .unwrap()
            .contains("moving_avg"),
        "{refused}"
    );
}

fn logs(query: &str, more: &Value) -> Value {
    let mut body = json!({
        "size": 500, "query": filters(query),
        "sort": {"@timestamp": {"order": "desc", "unmapped_type": "boolean"}, "_doc": {"order": "desc"}},
        "docvalue_fields": ["@timestamp"], "script_fields": {},
        "fields": [{"field": "@timestamp", "format": "strict_date_optional_time_nanos"}],
        "highlight": {
            "fields": {"*": {}}, "fragment_size": 2_147_483_647_u64,
            "pre_tags": ["@HIGHLIGHT@"], "post_tags": ["@/HIGHLIGHT@"],
        },
        "aggs": {"1": {"date_histogram": {
            "field": "@timestamp", "fixed_interval": "30000ms", "min_doc_count": 0, "format": "epoch_millis",
            "extended_bounds": {"min": FROM_MS, "max": TO_MS},
        }}},
    });
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    body
}

#[test]
fn grafanas_logs_and_their_context_are_answered() {
    let server = server();
    let client = server.client();
    let found = msearch(&client, "/es", "default", &[logs("number3", &json!({}))]).remove(0);
    let hits = found["hits"]["hits"].as_array().unwrap();
    assert_eq!(hits.len(), 60);
    assert_eq!(found["hits"]["total"]["value"], 60);
    assert_eq!(
        found["aggregations"]["1"]["buckets"].as_array().unwrap().len(),
        10
    );
    let newest = &hits[0];
    assert_eq!(newest["_source"]["metadata"]["n"], 298);
    assert_eq!(
        newest["fields"]["@timestamp"],
        json!(["2026-11-22T00:04:58.000Z"])
    );
    assert_eq!(newest["sort"][0], FROM_MS + 298_000);
    assert_eq!(
        newest["highlight"]["justification"],
        json!(["quarterly clean-up @HIGHLIGHT@number3@/HIGHLIGHT@"])
    );
    // The lines after and before one, by its sort values.
    let middle = &hits[30]["sort"];
    let older = logs("number3", &json!({"search_after": middle, "size": 10}));
    let newer = logs(
        "number3",
        &json!({
            "search_after": middle, "size": 10, "sort": {"@timestamp": {"order": "asc"}, "_doc": {"order": "asc"}},
        }),
    );
    let around = msearch(&client, "/es", "default", &[older, newer]);
    let ids = |found: &Value| {
        let hits = found["hits"]["hits"].as_array().unwrap();
        hits.iter().map(|hit| hit["_id"].clone()).collect::<Vec<_>>()
    };
    let all: Vec<Value> = ids(&found);
    assert_eq!(ids(&around[0]), all[31..41]);
    let before: Vec<Value> = all[20..30].iter().rev().cloned().collect();
    assert_eq!(ids(&around[1]), before);
    // Totals and aggregations are of all hits all the same.
    assert_eq!(around[0]["hits"]["total"]["value"], 60);
}

#[test]
fn grafanas_documents_annotations_and_variables_are_answered() {
    let server = server();
    let raw = json!({
        "size": 100, "query": filters("outcome:denied"),
        "sort": {"@timestamp": {"order": "desc", "unmapped_type": "boolean"}, "_doc": {"order": "desc"}},
        "docvalue_fields": ["@timestamp"], "script_fields": {},
    });
    let annotations = json!({"size": 10_000, "query": {"bool": {"filter": [
        {"bool": {"minimum_should_match": 1, "should": [
            {"range": {"@timestamp": {"from": null, "gte": FROM_MS, "lte": TO_MS, "format": "epoch_millis"}}},
        ]}},
        {"query_string": {"query": "action:login"}},
    ]}}});
    let mut annotations = annotations;
    annotations["query"]["bool"]["filter"][0]["bool"]["should"][0]["range"]["@timestamp"]
        .as_object_mut()
        .unwrap()
        .remove("from");
    let variable = json!({
        "size": 0, "query": {"bool": {"filter": [{"range": {"@timestamp": {
            "gte": FROM_MS, "lte": TO_MS, "format": "epoch_millis"}}}]}},
        "aggs": {"1": {"terms": {"field": "actor.id", "size": 500, "order": {"_key": "asc"}}}},
    });
    let found = msearch(&server.client(), "/es", "default", &[raw, annotations, variable]);
    let documents = found[0]["hits"]["hits"].as_array().unwrap();
    assert_eq!(documents.len(), 30);
    assert_eq!(documents[0]["_source"]["@timestamp"], "2026-11-22T00:04:50Z");
    assert_eq!(
        documents[0]["fields"]["@timestamp"],
        json!(["2026-11-22T00:04:50.000Z"])
    );
    assert_eq!(found[1]["hits"]["hits"].as_array().unwrap().len(), 100);
    let values = found[2]["aggregations"]["1"]["buckets"].as_array().unwrap();
    assert_eq!(values.len(), 10);
    assert_eq!(values[9], json!({"key": "svc_9", "doc_count": 30}));
}

#[test]
fn quickwits_data_source_is_answered() {
    let server = server();
    let (client, _) = with_role(&server, "reader", Some("default"));
    let one = client.get("/api/v1/indexes/default").json();
    let mapping = &one["index_config"]["doc_mapping"];
    assert_eq!(mapping["timestamp_field"], "@timestamp");
    let first = &mapping["field_mappings"][0];
    assert_eq!(
        (first["name"].as_str(), first["type"].as_str()),
        (Some("@timestamp"), Some("datetime"))
    );
    assert_eq!(first["output_format"], "rfc3339");
    let all = client.get("/api/v1/indexes?index_id_patterns=def*").json();
    assert_eq!(all, json!([one]));
    let fields = client.get("/api/v1/_elastic/default/_field_caps").json();
    assert_eq!(fields["fields"]["actor.id"]["keyword"]["aggregatable"], true);
    let at = |ms: i64| jiff::Timestamp::from_millisecond(ms).unwrap().to_string();
    let filters = json!({"bool": {"filter": [
        {"range": {"@timestamp": {"gte": at(FROM_MS), "lte": at(TO_MS)}}},
        {"query_string": {"query": "actor.id:svc_5", "analyze_wildcard": true}},
    ]}});
    let logs = json!({"size": 100, "query": filters, "sort": [{"@timestamp": {"order": "desc"}}]});
    let counts = json!({"size": 0, "query": filters, "aggs": {"2": {"date_histogram": {
        "field": "@timestamp", "fixed_interval": "60000ms", "min_doc_count": 0,
        "extended_bounds": {"min": FROM_MS, "max": TO_MS},
    }}}});
    let found = msearch(&client, "/api/v1/_elastic", "default", &[logs.clone(), counts]);
    let hits = found[0]["hits"]["hits"].as_array().unwrap();
    assert_eq!(hits.len(), 30);
    assert_eq!(found[1]["aggregations"]["2"]["buckets"][4]["doc_count"], 6);
    let mut context = logs;
    context["search_after"] = hits[9]["sort"].clone();
    let older = msearch(&client, "/api/v1/_elastic", "default", &[context.clone()]).remove(0);
    assert_eq!(older["hits"]["hits"][0]["_id"], hits[10]["_id"]);
    // The first value alone will do where no times are equal.
    context["search_after"] = json!([hits[9]["sort"][0]]);
    let older = msearch(&client, "/api/v1/_elastic", "default", &[context]).remove(0);
    assert_eq!(older["hits"]["hits"].as_array().unwrap().len(), 20);
    assert_eq!(client.get("/api/v1/indexes/other").status, 404);
}
