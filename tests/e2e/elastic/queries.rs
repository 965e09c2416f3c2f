//! Queries in Elasticsearch's language find what the native ones find, over records in the tail and in segments.

use serde_json::{Value, json};

use super::{FIRST_S, fill, search};
use crate::harness::{Client, Server, scale};

/// Numbers that a seed gives (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// The same condition in both languages.
fn condition(random: &mut Random, depth: u32) -> (Value, String) {
    let n = random.below(1100);
    let at = |n: u64| jiff::Timestamp::from_second(FIRST_S + i64::try_from(n).unwrap()).unwrap();
    match random.below(if depth == 0 { 16 } else { 20 }) {
        0 => (
            json!({"term": {"actor.id": format!("svc_{}", n % 11)}}),
            format!("actor.id:svc_{}", n % 11),
        ),
        1 => (
            json!({"term": {"event.outcome": "Denied"}}),
            "outcome:denied".to_owned(),
        ),
        2 => (
            json!({"terms": {"target.id": ["d1", "f2", "no"]}}),
            "targets.id:IN [d1 f2 no]".to_owned(),
        ),
        3 => (
            json!({"prefix": {"action": {"value": "doc."}}}),
            "action:doc.*".to_owned(),
        ),
        4 => (
            json!({"wildcard": {"action": "d?c.*e"}}),
            "action:d?c.*e".to_owned(),
        ),
        5 => (
            json!({"range": {"metadata.n": {"gte": n}}}),
            format!("metadata.n:>={n}"),
        ),
        6 => (
            json!({"range": {"seq": {"gt": n, "lte": n + 50}}}),
            format!("seq:{{{n} TO {}]", n + 50),
        ),
        7 => (
            json!({"range": {"@timestamp": {"gte": at(n).to_string(), "lt": at(n + 90).as_millisecond()}}}),
            format!("occurred_at:[\"{}\" TO \"{}\"}}", at(n), at(n + 90)),
        ),
        8 => (
            json!({"match": {"message": "number3 number4"}}),
            "text:number3 OR text:number4".to_owned(),
        ),
        9 => (
            json!({"match": {"message": {"query": "clean number1", "operator": "and"}}}),
            "text:clean text:number1".to_owned(),
        ),
        10 => (
            json!({"match_phrase": {"message": "clean-up number2"}}),
            "text:\"clean up number2\"".to_owned(),
        ),
        11 => (
            json!({"match_phrase_prefix": {"message": "clean-up num"}}),
            "text:\"clean up num\"*".to_owned(),
        ),
        12 => (json!({"exists": {"field": "context.ip"}}), "ip:*".to_owned()),
        13 => (
            json!({"term": {"source.ip": "198.51.100.16/29"}}),
            "ip:198.51.100.16/29".to_owned(),
        ),
        14 => (
            json!({"query_string": {"query": format!("severity:warning svc_{}", n % 10)}}),
            format!("severity:warning OR svc_{}", n % 10),
        ),
        15 => (
            json!({"query_string": {"query": "login denied", "default_operator": "AND"}}),
            "login denied".to_owned(),
        ),
        16 => {
            let (all, text) = several(random, depth - 1);
            (
                json!({"bool": {"filter": all}}),
                format!("({})", text.join(" AND ")),
            )
        }
        17 => {
            let (any, text) = several(random, depth - 1);
            (
                json!({"bool": {"should": any}}),
                format!("({})", text.join(" OR ")),
            )
        }
        18 => {
            let (not, text) = several(random, depth - 1);
            (
                json!({"bool": {"must_not": not}}),
                format!("(NOT {})", text.join(" AND NOT ")),
            )
        }
        _ => {
            let ((must, must_text), (should, should_text)) =
                (several(random, depth - 1), several(random, depth - 1));
            (
                json!({"bool": {"must": must, "should": should, "minimum_should_match": 1}}),
                format!("({} AND ({}))", must_text.join(" AND "), should_text.join(" OR ")),
            )
        }
    }
}

fn several(random: &mut Random, depth: u32) -> (Vec<Value>, Vec<String>) {
    let (queries, texts): (Vec<Value>, Vec<String>) =
        (0..=random.below(2)).map(|_| condition(random, depth)).unzip();
    (
        queries,
        texts.into_iter().map(|text| format!("({text})")).collect(),
    )
}

fn native(client: &Client, query: &str) -> Vec<Value> {
    let body = json!({"query": query, "limit": 1000, "sort": "oldest"});
    let answer = client.post_json("/v1/tenants/default/search", &body);
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    answer.json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["seq"].clone())
        .collect()
}

#[test]
fn both_languages_find_the_same() {
    let mut server = Server::start();
    fill(&server.client(), 990);
    let seed = scale("ATTESTORE_SEED", 0x00a7_7e57);
    println!("seed {seed}");
    let mut random = Random(seed);
    let mut found = 0;
    for round in 0..scale("ATTESTORE_QUERIES", 240) {
        if round == 120 {
            // The other half from sealed files.
            server.stop();
            server.run();
        }
        let client = server.client();
        let (query, text) = condition(&mut random, 2);
        let expected = native(&client, &text);
        let body = json!({"query": query, "size": 1000, "sort": [{"seq": "asc"}], "_source": ["seq"],
            "aggs": {"f": {"filter": query}}});
        let page = search(&client, &body);
        let hits = page["hits"]["hits"].as_array().unwrap();
        let seqs: Vec<Value> = hits.iter().map(|hit| hit["_source"]["seq"].clone()).collect();
        assert_eq!(seqs, expected, "{query} and {text}");
        assert_eq!(page["hits"]["total"]["value"], expected.len(), "{query}");
        assert_eq!(page["aggregations"]["f"]["doc_count"], expected.len(), "{query}");
        found += usize::from(!expected.is_empty() && expected.len() < 990);
    }
    assert!(found > 60, "most queries say nothing: {found}");
}

#[test]
fn pages_by_search_after_hold_every_record_once_whatever_is_rounded() {
    let server = Server::start();
    let client = server.client();
    // Many within one millisecond, apart by nanoseconds, and in another order than they were appended.
    let lines: String = (0..300_u64)
        .map(|n| {
            let at = format!("2026-11-22T00:00:00.0005{:05}Z", n * 7919 % 300);
            format!(
                "{{\"index\":{{}}}}\n{}\n",
                json!({"action": "a", "occurred_at": at,
                "actor": {"type": "service", "id": format!("s{}", n % 3)}})
            )
        })
        .collect();
    assert_eq!(
        client.post_ndjson("/es/default/_bulk", &lines).json()["errors"],
        false
    );
    for sort in [
        json!([{"@timestamp": "asc"}]),
        json!([{"@timestamp": "desc"}, {"_doc": "desc"}]),
        json!(["actor.id", "_shard_doc"]),
        json!([{"_doc": "asc"}]),
    ] {
        let mut seen = Vec::new();
        let mut after = Value::Null;
        loop {
            let mut body = json!({"query": {"term": {"action": "a"}}, "size": 17, "sort": sort});
            if !after.is_null() {
                body["search_after"] = after;
            }
            let page = search(&client, &body);
            let hits = page["hits"]["hits"].as_array().unwrap();
            assert_eq!(page["hits"]["total"]["value"], 300);
            let Some(last) = hits.last() else { break };
            after = last["sort"].clone();
            seen.extend(hits.iter().map(|hit| hit["_source"]["seq"].as_u64().unwrap()));
        }
        seen.sort_unstable();
        let mut once = seen.clone();
        once.dedup();
        assert_eq!((seen.len(), once.len()), (300, 300), "{sort}");
    }
}

#[test]
fn a_scroll_ends_where_the_log_ended_when_it_began() {
    let server = Server::start();
    let client = server.client();
    fill(&client, 250);
    let body = json!({"size": 60, "sort": "_doc", "query": {"range": {"@timestamp": {"lte": "now"}}},
        "aggs": {"n": {"value_count": {"field": "seq"}}}});
    let mut page = client.post_json("/es/default/_search?scroll=1m", &body).json();
    let total = page["hits"]["total"]["value"].as_u64().unwrap();
    assert_eq!(page["aggregations"]["n"]["value"], total);
    let mut seen = 0;
    loop {
        let hits = page["hits"]["hits"].as_array().unwrap().len() as u64;
        assert_eq!(page["hits"]["total"]["value"], total);
        if hits == 0 {
            break;
        }
        seen += hits;
        fill(&client, 3);
        page = client
            .post_json(
                "/es/_search/scroll",
                &json!({"scroll": "1m", "scroll_id": page["_scroll_id"]}),
            )
            .json();
    }
    assert_eq!(seen, total);
    let freed = client.request(
        "DELETE",
        "/es/_search/scroll",
        &[("content-type", "application/json")],
        b"{}",
    );
    assert_eq!(freed.status, 200);
    let forged = client.post_json("/es/_search/scroll", &json!({"scroll_id": "eyJh"}));
    assert_eq!(forged.status, 400);
}
