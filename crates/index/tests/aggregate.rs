//! Aggregations: shapes of answers, mistakes in requests, limits, and who sees what.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::cell::Cell;

use attestore_index::{
    AggLimits, Aggregations, Error, IndexPolicy, ParseOptions, Partial, Query, QueryError, Split,
    SplitBuilder, Window, aggregate,
};
use serde_json::{Value, json};
use support::{Stored, split};

const EVENTS: [&str; 5] = [
    r#"{"action":"login","outcome":"denied","occurred_at":"2026-11-20T23:59:59.999999999Z",
        "actor":{"type":"user","id":"u_42","email":"ann@example.org"},"context":{"ip":"203.0.113.9"},
        "metadata":{"ticket":"SEC-12","total":1}}"#,
    r#"{"action":"login","occurred_at":"2026-11-21T00:00:00Z",
        "actor":{"type":"service","id":"cron"},"context":{"ip":"10.1.2.3"},"metadata":{"total":2.5}}"#,
    r#"{"action":"logout","occurred_at":"2026-11-21T12:00:00Z",
        "actor":{"type":"service","id":"u_42"},"context":{"ip":"10.200.0.1"},"metadata":{"total":1000}}"#,
    r#"{"action":"invoice.export","actor":{"type":"service","id":"billing"},"context":{"ip":"2001:db8::7"}}"#,
    r#"{"action":"login","outcome":"failure","actor":{"type":"user","id":"u_7"}}"#,
];

fn events() -> Split {
    let policy = IndexPolicy {
        paths: vec!["metadata.ticket".to_owned(), "metadata.total".to_owned()],
        ..IndexPolicy::default()
    };
    let mut builder = SplitBuilder::new(&policy).unwrap();
    for (seq, event) in (0..).zip(EVENTS) {
        Stored::accept(seq, event).add_to(&mut builder);
    }
    builder.finish().unwrap()
}

fn options(personal: bool) -> ParseOptions {
    ParseOptions {
        personal,
        ..ParseOptions::default()
    }
}

fn parse(request: &Value, personal: bool) -> Result<Aggregations, QueryError> {
    Aggregations::parse(&request.to_string(), &options(personal), AggLimits::default())
}

fn run_limited(split: &Split, request: &Value, limits: AggLimits) -> Result<Value, Error> {
    let request = Aggregations::parse(&request.to_string(), &options(true), limits).unwrap();
    let mut whole = Partial::empty(&request);
    whole.merge(
        aggregate(split, &Query::all(), &Window::default(), &request, &|| false)?,
        &|| false,
    )?;
    Ok(serde_json::from_str(&whole.finish(&request, &|| false)?).unwrap())
}

fn run(request: &Value, personal: bool) -> Value {
    let parsed = parse(request, personal).unwrap_or_else(|error| panic!("{request}: {error}"));
    let partial = aggregate(&events(), &Query::all(), &Window::default(), &parsed, &|| false);
    let partial = partial.unwrap_or_else(|error| panic!("{request}: {error}"));
    serde_json::from_str(&partial.finish(&parsed, &|| false).unwrap()).unwrap()
}

/// Keys and counts of the buckets of `a`.
fn counts(answer: &Value) -> Vec<(String, u64)> {
    let buckets = answer["a"]["buckets"].as_array().unwrap().iter();
    buckets
        .map(|bucket| {
            let key = bucket.get("key_as_string").unwrap_or(&bucket["key"]);
            let key = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
            (key, bucket["doc_count"].as_u64().unwrap())
        })
        .collect()
}

fn expect(request: &Value, personal: bool, expected: &[(&str, u64)]) {
    let expected: Vec<(String, u64)> = expected
        .iter()
        .map(|(key, count)| ((*key).to_owned(), *count))
        .collect();
    assert_eq!(counts(&run(request, personal)), expected, "{request}");
}

#[test]
fn times_fall_into_the_interval_that_they_are_in() {
    let days = |setting: &str, interval: &str| json!({"a": {"date_histogram": {"field": "@timestamp", setting: interval}}});
    let by_day = [
        ("2026-11-20T00:00:00Z", 1),
        ("2026-11-21T00:00:00Z", 2),
        ("2026-11-22T00:00:00Z", 2),
    ];
    expect(&days("fixed_interval", "1d"), true, &by_day);
    expect(&days("calendar_interval", "day"), true, &by_day);
    expect(
        &days("calendar_interval", "month"),
        true,
        &[("2026-11-01T00:00:00Z", 5)],
    );
    expect(
        &days("calendar_interval", "1w"),
        true,
        &[("2026-11-16T00:00:00Z", 5)],
    );
    let moved = json!({"a": {"date_histogram":
        {"field": "occurred_at", "calendar_interval": "day", "offset": "+12h", "min_doc_count": 1}}});
    expect(
        &moved,
        true,
        &[("2026-11-20T12:00:00Z", 2), ("2026-11-21T12:00:00Z", 3)],
    );
    let bounded = json!({"a": {"date_histogram": {"field": "occurred_at", "fixed_interval": "1d",
        "hard_bounds": {"min": "2026-11-21", "max": "2026-11-21T23:00:00Z"},
        "extended_bounds": {"min": "2026-11-20", "max": "2026-11-22T00:00:00Z"}}}});
    let expected = [
        ("2026-11-20T00:00:00Z", 0),
        ("2026-11-21T00:00:00Z", 2),
        ("2026-11-22T00:00:00Z", 0),
    ];
    expect(&bounded, true, &expected);
    let keyed = json!({"a": {"date_histogram":
        {"field": "occurred_at", "calendar_interval": "year", "keyed": true}}});
    assert_eq!(
        run(&keyed, true)["a"],
        json!({"buckets": {"2026-01-01T00:00:00Z":
            {"key": 1_767_225_600_000_i64, "key_as_string": "2026-01-01T00:00:00Z", "doc_count": 5}}})
    );
}

#[test]
fn ranges_of_times_numbers_and_addresses() {
    let times = json!({"a": {"date_range": {"field": "occurred_at", "ranges":
        [{"to": "2026-11-21"}, {"from": "2026-11-21", "to": "2026-11-21T12:00:00Z", "key": "morning"}]}}});
    let answer = run(&times, true);
    assert_eq!(
        counts(&answer),
        [
            ("*-2026-11-21T00:00:00Z".to_owned(), 1),
            ("morning".to_owned(), 1)
        ]
    );
    assert_eq!(answer["a"]["buckets"][0]["to_as_string"], "2026-11-21T00:00:00Z");
    let addresses = json!({"a": {"ip_range": {"field": "ip", "ranges":
        [{"mask": "10.0.0.0/8"}, {"from": "10.1.2.3", "to": "10.1.2.4"}, {"from": "203.0.113.9"}]}}});
    let expected = [("10.0.0.0/8", 2), ("10.1.2.3-10.1.2.4", 1), ("203.0.113.9-*", 2)];
    expect(&addresses, true, &expected);
    let numbers = json!({"a": {"range": {"field": "metadata.total", "keyed": true, "ranges":
        [{"to": 2.5}, {"from": 2.5, "to": 1000}, {"from": 1000}]}}});
    let buckets = &run(&numbers, true)["a"]["buckets"];
    assert_eq!(
        buckets["2.5-1000.0"],
        json!({"from": 2.5, "to": 1000.0, "doc_count": 1})
    );
    assert_eq!(buckets["1000.0-*"]["doc_count"], 1);
}

#[test]
fn sub_aggregations_order_and_fill_buckets() {
    let request = json!({"a": {"terms": {"field": "action", "order": [{"largest": "desc"}, {"_key": "asc"}], "size": 2},
        "aggs": {"largest": {"max": {"field": "metadata.total"}},
                 "denied": {"filter": "outcome:denied", "aggs": {"who": {"terms": {"field": "actor"}}}}}}});
    let answer = run(&request, true);
    assert_eq!(
        counts(&answer),
        [("logout".to_owned(), 1), ("login".to_owned(), 3)]
    );
    assert_eq!(answer["a"]["sum_other_doc_count"], 1);
    let login = &answer["a"]["buckets"][1];
    assert_eq!(login["largest"], json!({"value": 2.5}));
    assert_eq!(
        login["denied"]["who"]["buckets"],
        json!([{"key": "u_42", "doc_count": 1}])
    );
    assert_eq!(answer["a"]["buckets"][0]["denied"]["who"]["buckets"], json!([]));
}

#[test]
fn estimates_state_their_error() {
    let request = json!({
        "exact": {"cardinality": {"field": "actor.id"}},
        "estimated": {"cardinality": {"field": "actor.id", "precision_threshold": 0}},
        "percentiles": {"percentiles": {"field": "metadata.total", "percents": [0, 50, 100]}},
        "list": {"percentiles": {"field": "metadata.total", "percents": [50], "keyed": false}},
    });
    let answer = run(&request, true);
    assert_eq!(answer["exact"], json!({"value": 4, "relative_error": 0.0}));
    assert_eq!(answer["estimated"], json!({"value": 4, "relative_error": 0.0082}));
    let near = |value: &Value, exact: f64| (value.as_f64().unwrap() / exact - 1.0).abs() <= 0.010_000_1;
    let values = &answer["percentiles"]["values"];
    assert!(
        near(&values["0.0"], 1.0) && near(&values["50.0"], 2.5) && near(&values["100.0"], 1000.0),
        "{values}"
    );
    assert_eq!(answer["percentiles"]["relative_error"], 0.01);
    assert_eq!(answer["list"]["values"][0]["key"], 50.0);
}

#[test]
fn readers_without_permission_learn_nothing_of_personal_values() {
    let actors = json!({"a": {"terms": {"field": "user.id"}}});
    expect(
        &actors,
        true,
        &[("u_42", 2), ("billing", 1), ("cron", 1), ("u_7", 1)],
    );
    expect(
        &actors,
        false,
        &[("[personal]", 2), ("billing", 1), ("cron", 1), ("u_42", 1)],
    );
    let included = json!({"a": {"terms": {"field": "actor.id", "include": ["u_7", "u_42"]}}});
    expect(&included, false, &[("u_42", 1)]);
    let below = json!({"a": {"terms": {"field": "action", "size": 1}, "aggs": {
        "who": {"terms": {"field": "actor.id"}},
        "ip": {"terms": {"field": "ip", "missing": "none"}},
        "filter": {"filter": {"query": "actor.id:u_7 OR ann"}},
        "count": {"cardinality": {"field": "actor.id"}}}}});
    let answer = run(&below, false);
    let login = &answer["a"]["buckets"][0];
    assert_eq!(
        login["who"]["buckets"],
        json!([{"key": "[personal]", "doc_count": 2}, {"key": "cron", "doc_count": 1}])
    );
    assert_eq!(
        login["ip"]["buckets"],
        json!([{"key": "none", "doc_count": 2}, {"key": "10.1.2.3", "doc_count": 1}])
    );
    assert_eq!(
        (&login["filter"]["doc_count"], &login["count"]["value"]),
        (&json!(0), &json!(2))
    );
    assert!(!answer.to_string().contains("u_7"), "{answer}");
    let networks = json!({"a": {"ip_range": {"field": "ip", "ranges": [{"mask": "203.0.113.0/24"}]}}});
    expect(&networks, false, &[("203.0.113.0/24", 0)]);
}

#[test]
fn mistakes_are_named() {
    let terms = |body: Value| json!({"a": {"terms": body}});
    let cases = [
        (json!([]), "object"),
        (json!({"a": {}}), "exactly one of"),
        (json!({"a": {"termz": {}}}), "termz"),
        (
            json!({"a": {"terms": {"field": "action"}, "avg": {"field": "seq"}}}),
            "exactly one of",
        ),
        (json!({"": {"terms": {"field": "action"}}}), "name"),
        (json!({"doc_count": {"terms": {"field": "action"}}}), "reserved"),
        (terms(json!({})), "field"),
        (terms(json!({"field": "action", "sizes": 3})), "sizes"),
        (terms(json!({"field": "action", "size": 0})), "size"),
        (terms(json!({"field": "action", "size": 70_000})), "size"),
        (
            terms(json!({"field": "action", "min_doc_count": 0})),
            "min_doc_count",
        ),
        (
            terms(json!({"field": "action", "order": {"x": "asc"}})),
            "sub-aggregation",
        ),
        (
            terms(json!({"field": "action", "order": {"_count": "up"}})),
            "order",
        ),
        (terms(json!({"field": "action", "include": "(a+)+$"})), "regular"),
        (terms(json!({"field": "ip", "include": ["nonsense"]})), "include"),
        (terms(json!({"field": "occurred_at"})), "date_histogram"),
        (terms(json!({"field": "text"})), "column"),
        (terms(json!({"field": "actor.email"})), "column"),
        (json!({"a": {"avg": {"field": "action"}}}), "numbers"),
        (
            json!({"a": {"avg": {"field": "seq"}, "aggs": {"b": {"avg": {"field": "seq"}}}}}),
            "buckets",
        ),
        (json!({"a": {"percentiles": {"field": "occurred_at"}}}), "times"),
        (
            json!({"a": {"percentiles": {"field": "seq", "percents": [101]}}}),
            "percents",
        ),
        (
            json!({"a": {"histogram": {"field": "seq", "interval": 0}}}),
            "interval",
        ),
        (
            json!({"a": {"date_histogram": {"field": "occurred_at"}}}),
            "interval",
        ),
        (
            json!({"a": {"date_histogram": {"field": "occurred_at", "fixed_interval": "1M"}}}),
            "1M",
        ),
        (
            json!({"a": {"date_histogram": {"field": "seq", "fixed_interval": "1d"}}}),
            "times",
        ),
        (
            json!({"a": {"date_histogram": {"field": "occurred_at", "fixed_interval": "1d", "time_zone": "Z"}}}),
            "time_zone",
        ),
        (json!({"a": {"range": {"field": "seq", "ranges": []}}}), "ranges"),
        (
            json!({"a": {"ip_range": {"field": "ip", "ranges": [{"mask": "10.0.0.0/33"}]}}}),
            "range",
        ),
        (json!({"a": {"filter": "acton:login"}}), "acton"),
    ];
    for (request, part) in cases {
        let error = parse(&request, true)
            .err()
            .unwrap_or_else(|| panic!("{request} was taken"));
        assert!(error.message.contains(part), "{request}: {error}");
    }
    let unknown = parse(&terms(json!({"field": "actor.idd"})), true).unwrap_err();
    assert_eq!(unknown.suggestion.as_deref(), Some("actor.id"));
    assert!(unknown.message.starts_with("aggregation \"a\""), "{unknown}");
    let broken = Aggregations::parse(r#"{"a": }"#, &options(true), AggLimits::default()).unwrap_err();
    assert_eq!(broken.column, Some(6));
}

#[test]
fn abuse_is_refused_before_any_split_is_read() {
    let mut nested = json!({"a": {"terms": {"field": "action"}}});
    for _ in 0..8 {
        nested = json!({"a": {"terms": {"field": "action"}, "aggs": nested}});
    }
    assert!(parse(&nested, true).unwrap_err().message.contains("nested"));
    let many: serde_json::Map<String, Value> = (0..65)
        .map(|n| (format!("a{n}"), json!({"terms": {"field": "action"}})))
        .collect();
    assert!(
        parse(&Value::Object(many), true)
            .unwrap_err()
            .message
            .contains("more than 64")
    );
    let long = format!("{{\"a\":{{\"terms\":{{\"field\":\"{}\"}}}}}}", "x".repeat(70_000));
    assert!(Aggregations::parse(&long, &options(true), AggLimits::default()).is_err());
    let deep = "[".repeat(10_000);
    assert!(Aggregations::parse(&deep, &options(true), AggLimits::default()).is_err());
    let ranges: Vec<Value> = (0..600).map(|n| json!({"from": n})).collect();
    let request = json!({"a": {"range": {"field": "seq", "ranges": ranges}}});
    assert!(parse(&request, true).unwrap_err().message.contains("ranges"));
}

#[test]
fn too_many_buckets_are_an_error() {
    let limits = AggLimits {
        buckets_max: 3,
        ..AggLimits::default()
    };
    let too_many = |request: &Value| {
        let result = run_limited(&events(), request, limits);
        assert!(
            matches!(&result, Err(Error::TooManyBuckets { aggregation, limit: 3 }) if aggregation == "a"),
            "{result:?}"
        );
    };
    too_many(&json!({"a": {"date_histogram": {"field": "occurred_at", "fixed_interval": "1ms"}}}));
    too_many(&json!({"a": {"histogram": {"field": "metadata.total", "interval": 1e-9}}}));
    too_many(
        &json!({"0": {"terms": {"field": "outcome", "size": 3}}, "a": {"terms": {"field": "actor.id", "size": 3}}}),
    );
    let few = json!({"a": {"terms": {"field": "actor.id", "size": 2}}});
    assert_eq!(
        run_limited(&events(), &few, limits).unwrap()["a"]["sum_other_doc_count"],
        2
    );
}

#[test]
fn too_much_memory_is_an_error() {
    let limits = AggLimits {
        memory_bytes_max: 20_000,
        ..AggLimits::default()
    };
    let event = |n: u64| {
        format!(
            r#"{{"action":"a","actor":{{"type":"service","id":"actor{n}"}},"context":{{"ip":"10.0.{}.{}"}}}}"#,
            n / 250,
            n % 250
        )
    };
    let records: Vec<Stored> = (0..2000).map(|seq| Stored::accept(seq, &event(seq))).collect();
    let split = split(&records);
    for request in [
        json!({"a": {"terms": {"field": "actor.id"}}}),
        json!({"a": {"terms": {"field": "ip"}}}),
        json!({"a": {"histogram": {"field": "seq", "interval": 1}, "aggs": {"b": {"stats": {"field": "seq"}}}}}),
        json!({"a": {"cardinality": {"field": "actor.id"}}}),
        json!({"a": {"histogram": {"field": "seq", "interval": 10}, "aggs": {"b": {"percentiles": {"field": "seq"}}}}}),
    ] {
        let result = run_limited(&split, &request, limits);
        assert!(
            matches!(result, Err(Error::TooMuchMemory { limit: 20_000 })),
            "{request}: {result:?}"
        );
        assert!(
            run_limited(&split, &request, AggLimits::default()).is_ok(),
            "{request}"
        );
    }
}

#[test]
fn splits_without_the_column_say_so() {
    let split = split(&[Stored::accept(0, EVENTS[0])]);
    let request = json!({"a": {"terms": {"field": "metadata.ticket"}, "aggs": {"b": {"avg": {"field": "metadata.total"}}}}});
    let parsed = parse(&request, true).unwrap();
    assert_eq!(parsed.needs().paths, ["metadata.ticket", "metadata.total"]);
    assert!(events().policy().covers(&parsed.needs()));
    let result = aggregate(&split, &Query::all(), &Window::default(), &parsed, &|| false);
    assert!(matches!(result, Err(Error::NoColumn { .. })), "{result:?}");
    let filtered = parse(&json!({"a": {"filter": "metadata.ticket:SEC-12"}}), true).unwrap();
    assert!(!IndexPolicy::minimal().covers(&filtered.needs()));
}

#[test]
fn numbers_that_no_bucket_is_numbered_for_are_an_error() {
    let event =
        |n: &str| format!(r#"{{"action":"a","actor":{{"type":"service","id":"x"}},"metadata":{{"n":{n}}}}}"#);
    let policy = IndexPolicy {
        paths: vec!["metadata.n".to_owned()],
        ..IndexPolicy::default()
    };
    let records: Vec<Stored> = (0..)
        .zip(["1", "9e17", "-3e18", "2e19"])
        .map(|(seq, n)| Stored::accept(seq, &event(n)))
        .collect();
    let mut builder = SplitBuilder::new(&policy).unwrap();
    records.iter().for_each(|record| record.add_to(&mut builder));
    let split = builder.finish().unwrap();
    let run = |request: &Value| {
        let parsed = parse(request, true).unwrap();
        let mut whole = Partial::empty(&parsed);
        let part = aggregate(&split, &Query::all(), &Window::default(), &parsed, &|| false)?;
        whole.merge(part, &|| false)?;
        whole.finish(&parsed, &|| false)
    };
    let histogram = |settings: Value| {
        let mut body = json!({"field": "metadata.n", "interval": 1, "min_doc_count": 1});
        body.as_object_mut()
            .unwrap()
            .extend(settings.as_object().unwrap().clone());
        json!({"h": {"histogram": body}})
    };
    let refused = run(&histogram(json!({})));
    assert!(
        matches!(&refused, Err(Error::BeyondBuckets { aggregation, .. }) if aggregation == "h"),
        "{refused:?}"
    );
    let within = run(&histogram(json!({"hard_bounds": {"min": -1e19, "max": 1e19}}))).unwrap();
    let within: Value = serde_json::from_str(&within).unwrap();
    let keys: Vec<f64> = within["h"]["buckets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| b["key"].as_f64().unwrap())
        .collect();
    assert_eq!(keys, [-3e18, 1.0, 9e17]);
    let wide = run(&histogram(json!({"interval": 100}))).unwrap();
    let wide: Value = serde_json::from_str(&wide).unwrap();
    assert_eq!(wide["h"]["buckets"].as_array().unwrap().len(), 4);
    assert!(
        parse(
            &histogram(json!({"min_doc_count": 0, "extended_bounds": {"min": 0, "max": 1e30}})),
            true
        )
        .is_err()
    );
}

#[test]
fn stopping_is_possible_everywhere() {
    let event = |n: u64| format!(r#"{{"action":"a","actor":{{"type":"service","id":"actor{n}"}}}}"#);
    let records: Vec<Stored> = (0..5000).map(|seq| Stored::accept(seq, &event(seq))).collect();
    let split = split(&records);
    let request = json!({"a": {"terms": {"field": "actor.id", "size": 1000}}});
    let parsed = parse(&request, true).unwrap();
    let whole = |stop: &dyn Fn() -> bool| {
        let mut whole = Partial::empty(&parsed);
        whole.merge(
            aggregate(&split, &Query::all(), &Window::default(), &parsed, stop)?,
            stop,
        )?;
        whole.finish(&parsed, stop)
    };
    let asked = Cell::new(0);
    whole(&|| {
        asked.set(asked.get() + 1);
        false
    })
    .unwrap();
    assert!(asked.get() > 8, "{}", asked.get());
    for after in 0..asked.get() {
        let left = Cell::new(after);
        let stop = || {
            left.get() == 0 || {
                left.set(left.get() - 1);
                false
            }
        };
        assert!(matches!(whole(&stop), Err(Error::Stopped)), "{after}");
    }
}

#[test]
fn nothing_found_is_answered_in_the_same_shape() {
    let request = json!({
        "d": {"date_histogram": {"field": "occurred_at", "fixed_interval": "1d"}},
        "f": {"filter": "outcome:denied", "aggs": {"m": {"min": {"field": "seq"}}}},
        "r": {"range": {"field": "seq", "ranges": [{"to": 3}]}},
        "s": {"stats": {"field": "occurred_at"}},
        "t": {"terms": {"field": "action"}},
    });
    let parsed = parse(&request, true).unwrap();
    let answer = Partial::empty(&parsed).finish(&parsed, &|| false).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&answer).unwrap(),
        json!({
            "d": {"buckets": []},
            "f": {"doc_count": 0, "m": {"value": null}},
            "r": {"buckets": [{"key": "*-3.0", "to": 3.0, "doc_count": 0}]},
            "s": {"count": 0, "min": null, "max": null, "avg": null, "sum": 0.0},
            "t": {"doc_count_error_upper_bound": 0, "sum_other_doc_count": 0, "buckets": []},
        })
    );
}
