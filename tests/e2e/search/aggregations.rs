//! Aggregations over real CloudTrail records equal what `jq` counts in the source.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};

use super::ask;
use crate::harness::Server;

const SAMPLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/crates/record/tests/data/cloudtrail-sample.ndjson"
);

#[test]
fn aggregations_equal_a_recount_by_jq() {
    let mut server = Server::start();
    server.cli_ok(&["append", SAMPLE, "--mapping", "cloudtrail"]);
    recount(&server);
    // Once more from sealed files.
    server.stop();
    server.run();
    recount(&server);
}

fn recount(server: &Server) {
    let aggs = json!({
        "addresses": {"terms": {"field": "context.ip", "size": 100}},
        "services": {"terms": {"field": "source.service", "size": 100}, "aggs": {
            "hours": {"date_histogram": {"field": "occurred_at", "fixed_interval": "1h"}}}},
        "hours": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1h"}},
        "actors": {"cardinality": {"field": "actor.id"}},
        "top": {"terms": {"field": "userIdentity.arn", "size": 3}},
        "seqs": {"stats": {"field": "seq"}},
        "failed": {"filter": {"query": "outcome:IN [failure denied]"}},
    });
    let page = ask(
        &server.client(),
        "default",
        &json!({"aggs": aggs, "limit": 0, "count": true}),
    );
    let got = &page["aggregations"];
    let total = jq("length").as_u64().unwrap();
    assert_eq!(page["count"].as_u64(), Some(total));

    let with_address = "map(select(.sourceIPAddress | test(\"^[0-9.]+$\"))) | group_by(.sourceIPAddress)";
    assert_eq!(
        buckets(&got["addresses"]),
        counts(with_address, ".sourceIPAddress")
    );
    assert_eq!(
        buckets(&got["services"]),
        counts("group_by(.eventSource)", ".eventSource")
    );
    let hour = "(.eventTime[0:13] + \":00:00Z\")";
    assert_eq!(
        buckets(&got["hours"]),
        counts(&format!("group_by({hour})"), hour),
        "by hour"
    );
    for service in got["services"]["buckets"].as_array().unwrap() {
        let only = format!(
            "map(select(.eventSource == {})) | group_by({hour})",
            service["key"]
        );
        assert_eq!(
            buckets(&service["hours"]),
            counts(&only, hour),
            "{}",
            service["key"]
        );
    }
    let actor = "(.userIdentity | .arn // .principalId // .invokedBy // .accountId // \"unknown\")";
    assert_eq!(
        got["actors"]["value"].as_u64(),
        jq(&format!("[.[] | {actor}] | unique | length")).as_u64()
    );
    let all = counts(&format!("group_by({actor})"), actor);
    let most = all.values().max().copied();
    let top = buckets(&got["top"]);
    assert_eq!(top.len(), 3.min(all.len()));
    assert_eq!(top.values().max().copied(), most);
    assert!(
        top.iter().all(|(key, count)| all.get(key) == Some(count)),
        "{top:?}"
    );
    let others = got["top"]["sum_other_doc_count"].as_u64().unwrap();
    assert_eq!(top.values().sum::<u64>() + others, total);
    assert_eq!(got["seqs"]["count"].as_u64(), Some(total));
    assert_eq!(got["seqs"]["max"].as_f64(), Some((total - 1) as f64));
    let failed = jq(
        "[.[] | select(.errorCode != null or .errorMessage != null or .responseElements.ConsoleLogin? == \"Failure\")] | length",
    );
    assert_eq!(got["failed"]["doc_count"].as_u64(), failed.as_u64());
}

/// Counts by key of groups, as `jq` sees them.
fn counts(groups: &str, key: &str) -> BTreeMap<String, u64> {
    let pairs = jq(&format!("{groups} | map([(.[0] | {key}), length])"));
    let pairs = pairs.as_array().unwrap().iter();
    pairs
        .map(|pair| (pair[0].as_str().unwrap().to_owned(), pair[1].as_u64().unwrap()))
        .collect()
}

/// Counts by key of buckets; empty ones are left out.
fn buckets(aggregation: &Value) -> BTreeMap<String, u64> {
    let buckets = aggregation["buckets"]
        .as_array()
        .unwrap_or_else(|| panic!("{aggregation}"));
    let pairs = buckets.iter().map(|bucket| {
        let key = bucket["key_as_string"]
            .as_str()
            .or_else(|| bucket["key"].as_str())
            .unwrap();
        (key.to_owned(), bucket["doc_count"].as_u64().unwrap())
    });
    pairs.filter(|(_, count)| *count > 0).collect()
}

fn jq(program: &str) -> Value {
    let output = Command::new("jq")
        .args(["-c", "-s", program, SAMPLE])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_command_line_prints_fields_and_aggregations_as_tables() {
    let server = Server::start();
    server.cli_ok(&["append", SAMPLE, "--mapping", "cloudtrail"]);
    let rows = server.cli_ok(&[
        "search",
        "",
        "--fields",
        "action,metadata.account",
        "--sort",
        "occurred_at:asc",
        "-n",
        "4",
    ]);
    assert!(
        rows.lines().next().unwrap().contains("metadata.account"),
        "{rows}"
    );
    assert_eq!(rows.lines().count(), 5, "{rows}");
    let aggs = server.home().join("aggs.json");
    std::fs::write(
        &aggs,
        r#"{"services": {"terms": {"field": "source.service"}, "aggs": {"actions": {"terms": {"field": "action", "size": 2}}}}}"#,
    )
    .unwrap();
    let table = server.cli_ok(&["search", "--aggs", aggs.to_str().unwrap(), "--count"]);
    assert!(table.contains("s3.amazonaws.com"), "{table}");
    assert!(
        table
            .lines()
            .any(|line| line.contains("actions") && line.contains("COUNT")),
        "{table}"
    );
    let total = jq("length").to_string();
    assert!(table.contains(&format!("{total} records match")), "{table}");
    let explained = server.cli(&["search", "us-east-1", "--explain"]);
    let said = String::from_utf8_lossy(&explained.stderr).into_owned();
    assert!(explained.status.success() && said.contains("splits:"), "{said}");
    let wrong = server.cli(&["search", "actr.id:x"]);
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(said.contains("did you mean actor.id"), "{said}");
}

#[test]
fn an_index_policy_is_set_shown_and_indexed_after() {
    let mut server = Server::start();
    server.cli_ok(&["append", SAMPLE, "--mapping", "cloudtrail"]);
    let phrase = json!({"query": "\"aws internal\"", "count": true, "limit": 0, "explain": true});
    let before = ask(&server.client(), "default", &phrase);
    server.cli_ok(&[
        "tenant",
        "index",
        "set",
        "default",
        "--text",
        "positions",
        "--path",
        "payload.eventVersion",
    ]);
    let shown = server.cli_ok(&["tenant", "index", "show", "default", "--output", "json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["policy"]["text"], "positions", "{shown}");
    assert_eq!(shown["policy"]["paths"], json!(["payload.eventVersion"]));
    let after = ask(&server.client(), "default", &phrase);
    assert_eq!(
        before["count"], after["count"],
        "what is not indexed is found by scanning"
    );
    let versions = ask(
        &server.client(),
        "default",
        &json!({"aggs": {"v": {"terms": {"field": "payload.eventVersion"}}}, "limit": 0}),
    );
    assert_eq!(
        buckets(&versions["aggregations"]["v"]),
        counts("group_by(.eventVersion)", ".eventVersion")
    );
    server.stop();
    server.run();
    let shown = server.cli_ok(&["tenant", "index", "show", "default", "--output", "json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        shown["policy"]["text"], "positions",
        "a restart keeps it: {shown}"
    );
    let refused = server.cli(&["tenant", "index", "set", "default", "--path", "actor.id"]);
    assert_eq!(refused.status.code(), Some(1));
    let client = server.client();
    let body = json!({"text": "words", "fulltext": true});
    let answer = client.request(
        "PUT",
        "/v1/tenants/default/index",
        &[("content-type", "application/json")],
        &serde_json::to_vec(&body).unwrap(),
    );
    assert_eq!(answer.problem(400, "invalid_index_policy")["path"], "/fulltext");
}
