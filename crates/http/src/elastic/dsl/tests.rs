use std::ops::Bound;

use attestore_engine::search::{Edge, Part, Words};
use serde_json::json;

use super::*;

/// 2026-11-22T10:30:15.500Z.
const NOW_MS: u64 = 1_795_343_415_500;

fn read(query: &Value) -> Result<Condition, Refusal> {
    let seq_of = |id: &str| Ok(id.strip_prefix("id-").and_then(|seq| seq.parse().ok()));
    Context::new(NOW_MS, &seq_of).query(query)
}

fn is(field: &str, value: &str) -> Condition {
    Condition::Is {
        field: field.to_owned(),
        value: value.to_owned(),
    }
}

fn not(condition: Condition) -> Condition {
    Condition::Not(Box::new(condition))
}

fn words(field: Option<&str>, text: &str, how: Words) -> Condition {
    Condition::Match {
        field: field.map(str::to_owned),
        text: text.to_owned(),
        how,
    }
}

fn same(query: Value, expected: Condition) {
    assert_eq!(
        read(&query).unwrap_or_else(|refusal| panic!("{query}: {refusal:?}")),
        expected,
        "{query}"
    );
}

#[test]
fn values_and_words() {
    same(json!(null), Condition::All);
    same(json!({"match_all": {"boost": 2.0}}), Condition::All);
    same(json!({"match_none": {}}), none());
    same(json!({"term": {"user.id": "u_1"}}), is("user.id", "u_1"));
    same(
        json!({"term": {"metadata.n": {"value": 5, "boost": 1}}}),
        is("metadata.n", "5"),
    );
    same(json!({"term": {"metadata.ok": true}}), is("metadata.ok", "true"));
    let terms = Condition::Among {
        field: "outcome".to_owned(),
        values: vec!["denied".to_owned(), "failure".to_owned()],
    };
    same(
        json!({"terms": {"outcome": ["denied", "failure"], "boost": 1}}),
        terms,
    );
    let seqs = Condition::Among {
        field: "seq".to_owned(),
        values: vec!["7".to_owned()],
    };
    same(json!({"ids": {"values": ["id-7", "nothing"]}}), seqs.clone());
    same(json!({"term": {"_id": "id-7"}}), seqs);
    same(json!({"ids": {"values": ["nothing"]}}), none());
    same(
        json!({"exists": {"field": "actor"}}),
        Condition::Has {
            field: "actor".to_owned(),
        },
    );
    let starts = Condition::Starts {
        field: "action".to_owned(),
        start: "s3.".to_owned(),
    };
    same(json!({"prefix": {"action": "s3."}}), starts);
    let like = Condition::Like {
        field: "action".to_owned(),
        form: vec![
            Part::Text("a*".to_owned()),
            Part::One,
            Part::Many,
            Part::Text("b".to_owned()),
        ],
    };
    same(
        json!({"wildcard": {"action": {"value": "a\\*?*b"}}}),
        like.clone(),
    );
    same(json!({"wildcard": {"action": {"wildcard": "a\\*?*b"}}}), like);
    same(
        json!({"match": {"message": "a b"}}),
        words(Some("message"), "a b", Words::Any),
    );
    let and = json!({"match": {"message": {"query": "a b", "operator": "AND"}}});
    same(and, words(Some("message"), "a b", Words::All));
    same(
        json!({"match_phrase": {"*": "a b"}}),
        words(None, "a b", Words::Phrase),
    );
    let start = json!({"match_phrase_prefix": {"_all": {"query": "a b", "max_expansions": 5}}});
    same(start, words(None, "a b", Words::PhraseStart));
    let multi = json!({"multi_match": {"query": "a", "fields": ["actor.name^2", "*"], "type": "phrase"}});
    let either = vec![
        words(Some("actor.name"), "a", Words::Phrase),
        words(None, "a", Words::Phrase),
    ];
    same(multi, Condition::Or(either));
}

#[test]
fn query_strings_are_our_own_with_their_operator() {
    let text = |query: &str, field: Option<&str>, any| Condition::Text {
        query: query.to_owned(),
        field: field.map(str::to_owned),
        any,
    };
    let grafana = json!({"query_string": {"query": "a b", "analyze_wildcard": true}});
    same(grafana, text("a b", None, true));
    let and =
        json!({"query_string": {"query": "a b", "default_operator": "and", "default_field": "actor.id"}});
    same(and, text("a b", Some("actor.id"), false));
    let fields = json!({"simple_query_string": {"query": "a", "fields": ["actor.id", "*"]}});
    same(
        fields,
        Condition::Or(vec![text("a", Some("actor.id"), true), text("a", None, true)]),
    );
    same(json!({"query_string": {"query": "*:*"}}), Condition::All);
}

#[test]
fn clauses_of_clauses() {
    let (a, b, c) = (
        json!({"term": {"kind": "a"}}),
        json!({"term": {"kind": "b"}}),
        json!({"term": {"kind": "c"}}),
    );
    let [is_a, is_b, is_c] = ["a", "b", "c"].map(|value| is("kind", value));
    same(json!({"bool": {}}), Condition::All);
    same(
        json!({"bool": {"filter": a, "must": [b]}}),
        Condition::And(vec![is_b.clone(), is_a.clone()]),
    );
    same(json!({"bool": {"must_not": [a]}}), not(is_a.clone()));
    same(
        json!({"bool": {"should": [a, b]}}),
        Condition::Or(vec![is_a.clone(), is_b.clone()]),
    );
    same(json!({"bool": {"should": [a, b], "filter": [c]}}), is_c.clone());
    same(
        json!({"bool": {"should": [a, b], "filter": [c], "minimum_should_match": "1"}}),
        Condition::And(vec![
            is_c.clone(),
            Condition::Or(vec![is_a.clone(), is_b.clone()]),
        ]),
    );
    for least in [json!(2), json!("100%"), json!("2")] {
        let query = json!({"bool": {"should": [a, b], "minimum_should_match": least}});
        same(query, Condition::And(vec![is_a.clone(), is_b.clone()]));
    }
    same(
        json!({"bool": {"should": [a, b], "minimum_should_match": -1}}),
        Condition::Or(vec![is_a.clone(), is_b.clone()]),
    );
    same(
        json!({"bool": {"should": [a], "minimum_should_match": 0}}),
        Condition::All,
    );
    same(json!({"constant_score": {"filter": a, "boost": 1}}), is_a.clone());
    same(
        json!({"dis_max": {"queries": [a, b], "tie_breaker": 0.5}}),
        Condition::Or(vec![is_a, is_b]),
    );
}

#[test]
fn ranges() {
    let within = |field: &str, lower, upper| Condition::Within {
        field: field.to_owned(),
        lower,
        upper,
    };
    let at = |text: &str| Edge::Text(text.to_owned());
    let typed = |text: &str| Edge::Typed(text.to_owned());
    let grafana = json!({"range": {"@timestamp": {"gte": 1_000, "lte": 2_000, "format": "epoch_millis"}}});
    let bounds = (
        Bound::Included(at("1970-01-01T00:00:01.000Z")),
        Bound::Excluded(at("1970-01-01T00:00:02.001Z")),
    );
    same(grafana, within("@timestamp", bounds.0, bounds.1));
    same(
        json!({"range": {"occurred_at": {"gt": "2026-11-21", "lt": "now/d", "time_zone": "+01:00"}}}),
        within(
            "occurred_at",
            Bound::Included(at("2026-11-21T23:00:00.000Z")),
            Bound::Excluded(at("2026-11-21T23:00:00.000Z")),
        ),
    );
    same(
        json!({"range": {"metadata.n": {"gte": 5, "lt": "7", "gt": null}}}),
        within(
            "metadata.n",
            Bound::Included(typed("5")),
            Bound::Excluded(typed("7")),
        ),
    );
    let last = json!({"range": {"@timestamp": {"lte": "9999-12-31T23:59:59Z"}}});
    same(last, within("@timestamp", Bound::Unbounded, Bound::Unbounded));
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    for (query, named) in [
        (json!({"fuzzy": {"action": "a"}}), "fuzzy"),
        (json!({"regexp": {"action": "a"}}), "regexp"),
        (json!({"nested": {"path": "targets", "query": {}}}), "nested"),
        (json!({"script": {"script": "x"}}), "script"),
        (
            json!({"term": {"action": {"value": "a", "case_insensitive": true}}}),
            "case_insensitive",
        ),
        (json!({"term": {"action": "a", "outcome": "b"}}), "several fields"),
        (json!({"term": {"action": null}}), "value"),
        (
            json!({"terms": {"action": {"index": "x", "id": "1", "path": "y"}}}),
            "list",
        ),
        (
            json!({"match": {"message": {"query": "a", "fuzziness": "AUTO"}}}),
            "fuzziness",
        ),
        (
            json!({"match_phrase": {"message": {"query": "a b", "slop": 2}}}),
            "slop",
        ),
        (json!({"range": {"seq": {"from": 1}}}), "from"),
        (json!({"range": {"seq": {"gt": 1, "gte": 2}}}), "gte"),
        (json!({"range": {"@timestamp": {"gte": "x"}}}), "gte"),
        (
            json!({"range": {"@timestamp": {"gte": "2026", "format": "dd/MM/yyyy"}}}),
            "formats",
        ),
        (
            json!({"range": {"@timestamp": {"gte": "2026", "time_zone": "Europe/Berlin"}}}),
            "time_zone",
        ),
        (
            json!({"bool": {"must": [{"term": {"a": "b"}}], "filters": []}}),
            "filters",
        ),
        (
            json!({"bool": {"should": [{"match_all": {}}], "minimum_should_match": 2}}),
            "minimum_should_match",
        ),
        (json!({"bool": {"must": "x"}}), "object"),
        (
            json!({"query_string": {"query": "a", "fuzziness": 2}}),
            "fuzziness",
        ),
        (
            json!({"query_string": {"query": "a", "fields": ["actor.*"]}}),
            "patterns",
        ),
        (json!({"match_all": {}, "term": {}}), "one clause"),
        (json!({}), "one clause"),
        (json!([]), "object"),
    ] {
        let refusal = read(&query).unwrap_err();
        assert_eq!(refusal.status(), 400);
        let body = refusal.body();
        let reason = body["error"]["reason"].as_str().unwrap();
        assert!(reason.contains(named), "{query}: {reason}");
        assert_eq!(body["error"]["type"], "parsing_exception");
    }
    let mut deep = json!({"match_all": {}});
    for _ in 0..DEPTH_MAX {
        deep = json!({"bool": {"filter": deep}});
    }
    assert!(read(&deep).is_err());
}

#[test]
fn ids_are_counted_over_the_whole_request_and_looked_up_once() {
    let asked = std::cell::Cell::new(0);
    let seq_of = |_: &str| {
        asked.set(asked.get() + 1);
        Ok(None)
    };
    let ids = |from: u32, to: u32| {
        let values: Vec<String> = (from..to).map(|id| id.to_string()).collect();
        json!({"ids": {"values": values}})
    };
    let of = |clauses: &[Value]| Context::new(NOW_MS, &seq_of).query(&json!({"bool": {"should": clauses}}));
    assert!(of(&vec![ids(0, 100); 600]).is_ok());
    assert_eq!(asked.take(), 100);
    assert!(of(&[ids(0, 60), json!({"term": {"_id": "z"}}), ids(60, 100)]).is_err());
    assert_eq!(asked.get(), 61);
}
