//! Random aggregations over random records in random splits equal a plain computation over the records.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    reason = "tests"
)]

#[expect(dead_code, reason = "splits are built under a policy here")]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use attestore_index::{
    AggLimits, Aggregations, IndexPolicy, ParseOptions, Partial, Query, Split, SplitBuilder, Window,
    aggregate, merge,
};
use serde_json::{Map, Value, json};
use support::{START_MS, Stored};

const CASES: u64 = 60;
const HOUR_NS: i64 = 3_600_000_000_000;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn one<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Cell {
    Bool(bool),
    Number(f64),
    Ip(Ipv4Addr),
    Text(String),
}

/// What a record has in each column.
#[derive(Debug)]
struct Record {
    seq: u64,
    occurred_ns: i64,
    action: &'static str,
    outcome: &'static str,
    is_person: bool,
    actor: String,
    ip: Option<Ipv4Addr>,
    target_types: Vec<&'static str>,
    n: Vec<Cell>,
}

impl Record {
    fn random(random: &mut Random, seq: u64) -> Self {
        // Some times are at the very border of an hour, some a nanosecond before it.
        let hours = random.below(400) as i64 - 401;
        let within = random.one(&[0, -1, 1, 1_800_000_000_123]);
        let numbers = random.below(4).min(2);
        Self {
            seq,
            occurred_ns: START_MS as i64 * 1_000_000 + hours * HOUR_NS + within,
            action: random.one(&["login", "s3.get", "s3.put", "a_b"]),
            outcome: random.one(&["success", "success", "failure", "denied"]),
            is_person: random.below(2) == 0,
            actor: format!("a{}", random.below(6)),
            ip: (random.below(3) > 0).then(|| Ipv4Addr::new(10, 0, random.below(3) as u8, 1)),
            target_types: (0..random.below(4))
                .map(|_| random.one(&["bucket", "ob\"ject"]))
                .collect(),
            n: (0..numbers)
                .map(|_| match random.below(6) {
                    0 => Cell::Bool(random.below(2) == 0),
                    1 => Cell::Text(random.one(&["x", "5"]).to_owned()),
                    2 => Cell::Number(random.one(&[0.5, -2.25, 5.0])),
                    _ => Cell::Number(random.below(40) as f64 - 20.0),
                })
                .collect(),
        }
    }

    fn stored(&self) -> Stored {
        let n: Vec<Value> = self
            .n
            .iter()
            .map(|cell| match cell {
                Cell::Bool(value) => json!(value),
                Cell::Number(number) if number.fract() == 0.0 => json!(*number as i64),
                Cell::Number(number) => json!(number),
                Cell::Text(text) => json!(text),
                Cell::Ip(_) => Value::Null,
            })
            .collect();
        let occurred = jiff::Timestamp::from_nanosecond(i128::from(self.occurred_ns)).unwrap();
        let mut event = json!({
            "action": self.action,
            "outcome": self.outcome,
            "occurred_at": occurred.to_string(),
            "actor": {"type": if self.is_person { "user" } else { "service" }, "id": self.actor},
            "targets": self.target_types.iter().map(|ty| json!({"type": ty, "id": "t"})).collect::<Vec<_>>(),
            "metadata": {"n": n},
        });
        if let Some(ip) = self.ip {
            event["context"] = json!({"ip": ip.to_string()});
        }
        Stored::accept(self.seq, &event.to_string())
    }

    fn received_ms(&self) -> u64 {
        START_MS + self.seq * 1000
    }

    /// The values of a field, each once if `once`.
    fn cells(&self, field: &str, personal: bool, once: bool) -> Vec<Cell> {
        let text = |text: &str| vec![Cell::Text(text.to_owned())];
        let hidden = self.is_person && !personal;
        match field {
            "seq" => vec![Cell::Number(self.seq as f64)],
            "action" => text(self.action),
            "outcome" => text(self.outcome),
            "actor.id" if hidden => text("[personal]"),
            "actor.id" => text(&self.actor),
            "ip" => self.ip.filter(|_| !hidden).map(Cell::Ip).into_iter().collect(),
            // A column has each string of a record once.
            "targets.type" => {
                let types: BTreeSet<_> = self.target_types.iter().collect();
                types.into_iter().map(|ty| Cell::Text((*ty).to_owned())).collect()
            }
            "metadata.n" => {
                let mut cells: Vec<Cell> = Vec::new();
                for cell in &self.n {
                    // A column has each string of a record once, but each number.
                    let is_once = once || matches!(cell, Cell::Text(_));
                    if !is_once || !cells.contains(cell) {
                        cells.push(cell.clone());
                    }
                }
                cells
            }
            other => panic!("{other}"),
        }
    }

    /// Numbers to measure; of times, whole milliseconds.
    fn numbers(&self, field: &str) -> Vec<f64> {
        match field {
            "occurred_at" => vec![self.occurred_ns.div_euclid(1_000_000) as f64],
            "received_at" => vec![self.received_ms() as f64],
            field => self
                .cells(field, true, false)
                .into_iter()
                .filter_map(|cell| match cell {
                    Cell::Number(number) => Some(number),
                    _ => None,
                })
                .collect(),
        }
    }

    fn time_ns(&self, field: &str) -> i64 {
        match field {
            "received_at" => self.received_ms() as i64 * 1_000_000,
            _ => self.occurred_ns,
        }
    }
}

fn sort_key(cell: &Cell) -> (u8, f64, String) {
    match cell {
        Cell::Bool(value) => (0, f64::from(u8::from(*value)), String::new()),
        Cell::Number(number) => (1, *number, String::new()),
        Cell::Ip(ip) => (2, f64::from(u32::from(*ip)), String::new()),
        Cell::Text(text) => (3, 0.0, text.clone()),
    }
}

fn number(number: f64) -> Value {
    if number.fract() == 0.0 {
        json!(number as i64)
    } else {
        json!(number)
    }
}

/// Computes what an aggregation should answer.
fn expected(specs: &Value, records: &[&Record], personal: bool) -> Map<String, Value> {
    let specs = specs.as_object().unwrap();
    specs
        .iter()
        .map(|(name, spec)| (name.clone(), expected_one(spec, records, personal)))
        .collect()
}

fn expected_one(spec: &Value, records: &[&Record], personal: bool) -> Value {
    let empty = json!({});
    let subs = spec.get("aggs").unwrap_or(&empty);
    let (kind, body) = spec
        .as_object()
        .unwrap()
        .iter()
        .find(|(key, _)| *key != "aggs")
        .unwrap();
    let field = body.get("field").and_then(Value::as_str).unwrap_or_default();
    let bucket = |own: Value, within: &[&Record]| {
        let mut bucket = own.as_object().unwrap().clone();
        bucket.insert("doc_count".to_owned(), json!(within.len()));
        bucket.extend(expected(subs, within, personal));
        Value::Object(bucket)
    };
    match kind.as_str() {
        "terms" => {
            let mut buckets: Vec<(Cell, Vec<&Record>)> = Vec::new();
            for record in records {
                let mut cells = record.cells(field, personal, true);
                if let (true, Some(missing)) = (cells.is_empty(), body.get("missing")) {
                    cells.push(Cell::Text(missing.as_str().unwrap().to_owned()));
                }
                if let Some(start) = body.get("include").and_then(Value::as_str) {
                    let start = start.trim_end_matches('*');
                    cells.retain(|cell| matches!(cell, Cell::Text(text) if text.starts_with(start)));
                }
                for cell in cells {
                    match buckets.iter_mut().find(|(key, _)| *key == cell) {
                        Some((_, within)) => within.push(record),
                        None => buckets.push((cell, vec![record])),
                    }
                }
            }
            buckets.retain(|(_, within)| within.len() as u64 >= body["min_doc_count"].as_u64().unwrap_or(1));
            buckets.sort_by(|(left, _), (right, _)| {
                let (left, right) = (sort_key(left), sort_key(right));
                left.0
                    .cmp(&right.0)
                    .then(left.1.total_cmp(&right.1))
                    .then(left.2.cmp(&right.2))
            });
            if body.get("order").is_none() {
                buckets.sort_by_key(|(_, within)| std::cmp::Reverse(within.len()));
            } else {
                buckets.reverse();
            }
            let size = body["size"].as_u64().unwrap_or(10) as usize;
            let others: usize = buckets.iter().skip(size).map(|(_, within)| within.len()).sum();
            let buckets: Vec<Value> = buckets
                .iter()
                .take(size)
                .map(|(key, within)| {
                    let own = match key {
                        Cell::Bool(value) => {
                            json!({"key": u8::from(*value), "key_as_string": value.to_string()})
                        }
                        Cell::Number(key) => json!({"key": number(*key)}),
                        Cell::Ip(ip) => json!({"key": ip.to_string()}),
                        Cell::Text(text) => json!({"key": text}),
                    };
                    bucket(own, within)
                })
                .collect();
            json!({"doc_count_error_upper_bound": 0, "sum_other_doc_count": others, "buckets": buckets})
        }
        "date_histogram" => {
            let hours = match (
                body["fixed_interval"].as_str(),
                body["calendar_interval"].as_str(),
            ) {
                (Some("1h"), _) => 1,
                (Some("7h"), _) => 7,
                _ => 24,
            };
            let index = |record: &Record| record.time_ns(field).div_euclid(hours * HOUR_NS);
            let buckets = filled(records, index, body["min_doc_count"].as_u64() != Some(1));
            let buckets = buckets.into_iter().map(|(index, within)| {
                let start = i128::from(index) * i128::from(hours * HOUR_NS);
                let text = jiff::Timestamp::from_nanosecond(start).unwrap().to_string();
                bucket(
                    json!({"key": (start / 1_000_000) as i64, "key_as_string": text}),
                    &within,
                )
            });
            json!({"buckets": buckets.collect::<Vec<_>>()})
        }
        "histogram" => {
            let (interval, offset) = (
                body["interval"].as_f64().unwrap(),
                body["offset"].as_f64().unwrap_or(0.0),
            );
            let mut within: BTreeMap<i64, Vec<&Record>> = BTreeMap::new();
            for record in records {
                let numbers = record.numbers(field);
                let own: BTreeSet<i64> = numbers
                    .iter()
                    .map(|n| ((n - offset) / interval).floor() as i64)
                    .collect();
                for index in own {
                    within.entry(index).or_default().push(record);
                }
            }
            let bounds = within
                .keys()
                .next()
                .copied()
                .zip(within.keys().next_back().copied());
            let all = bounds.map_or(0..0, |(first, last)| first..last + 1);
            let buckets = all.map(|index| {
                let empty = Vec::new();
                let within = within.get(&index).unwrap_or(&empty);
                bucket(json!({"key": index as f64 * interval + offset}), within)
            });
            json!({"buckets": buckets.collect::<Vec<_>>()})
        }
        "range" => {
            let mut buckets = Vec::new();
            for range in body["ranges"].as_array().unwrap() {
                let (from, to) = (range["from"].as_f64(), range["to"].as_f64());
                let is_in = |n: &f64| from.is_none_or(|from| *n >= from) && to.is_none_or(|to| *n < to);
                let within: Vec<&Record> = records
                    .iter()
                    .copied()
                    .filter(|record| record.numbers(field).iter().any(is_in))
                    .collect();
                let text =
                    |bound: Option<f64>| bound.map_or("*".to_owned(), |bound| json!(bound).to_string());
                let mut own = json!({"key": format!("{}-{}", text(from), text(to))});
                for (name, bound) in [("from", from), ("to", to)] {
                    if let Some(bound) = bound {
                        own[name] = json!(bound);
                    }
                }
                buckets.push(bucket(own, &within));
            }
            json!({"buckets": buckets})
        }
        "filter" => {
            let wanted = body.as_str().unwrap().strip_prefix("outcome:").unwrap();
            let within: Vec<&Record> = records
                .iter()
                .copied()
                .filter(|record| record.outcome == wanted)
                .collect();
            bucket(json!({}), &within)
        }
        "value_count" => {
            let count: usize = records
                .iter()
                .map(|record| record.cells(field, personal, false).len())
                .sum();
            json!({"value": count})
        }
        "cardinality" => {
            let mut seen: Vec<Cell> = Vec::new();
            for cell in records
                .iter()
                .flat_map(|record| record.cells(field, personal, true))
            {
                if !seen.contains(&cell) {
                    seen.push(cell);
                }
            }
            json!({"value": seen.len(), "relative_error": 0.0})
        }
        measure => {
            let numbers: Vec<f64> = records.iter().flat_map(|record| record.numbers(field)).collect();
            let sum: f64 = numbers.iter().sum();
            let some = |value: f64| {
                if numbers.is_empty() {
                    Value::Null
                } else {
                    json!(value)
                }
            };
            let min = some(numbers.iter().copied().fold(f64::INFINITY, f64::min));
            let max = some(numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max));
            let avg = some(sum / numbers.len() as f64);
            let mut answer = match measure {
                "min" => json!({"value": min}),
                "max" => json!({"value": max}),
                "avg" => json!({"value": avg}),
                "sum" => json!({"value": sum}),
                "stats" => json!({"count": numbers.len(), "min": min, "max": max, "avg": avg, "sum": sum}),
                other => panic!("{other}"),
            };
            if field.ends_with("_at") {
                for (name, value) in answer.as_object().unwrap().clone() {
                    if name == "sum" || name == "count" || measure == "sum" || value.is_null() {
                        continue;
                    }
                    let ms = value.as_f64().unwrap() as i128;
                    answer[format!("{name}_as_string")] = json!(
                        jiff::Timestamp::from_nanosecond(ms * 1_000_000)
                            .unwrap()
                            .to_string()
                    );
                }
            }
            answer
        }
    }
}

fn filled<'r>(
    records: &[&'r Record],
    index: impl Fn(&Record) -> i64,
    fill: bool,
) -> BTreeMap<i64, Vec<&'r Record>> {
    let mut within: BTreeMap<i64, Vec<&Record>> = BTreeMap::new();
    for record in records {
        within.entry(index(record)).or_default().push(record);
    }
    let bounds = within
        .keys()
        .next()
        .copied()
        .zip(within.keys().next_back().copied());
    if let (true, Some((first, last))) = (fill, bounds) {
        for index in first..=last {
            within.entry(index).or_default();
        }
    }
    within
}

fn random_specs(random: &mut Random, depth: u32) -> Value {
    let mut specs = Map::new();
    for at in 0..1 + random.below(2) {
        let mut spec = random_spec(random);
        let is_bucket = ["terms", "date_histogram", "histogram", "range", "filter"]
            .iter()
            .any(|kind| spec.get(*kind).is_some());
        if is_bucket && depth < 2 && random.below(2) == 0 {
            spec["aggs"] = random_specs(random, depth + 1);
        }
        specs.insert(format!("agg{at}"), spec);
    }
    Value::Object(specs)
}

fn random_spec(random: &mut Random) -> Value {
    const ANY: [&str; 7] = [
        "action",
        "outcome",
        "actor.id",
        "ip",
        "targets.type",
        "metadata.n",
        "seq",
    ];
    const NUMBERS: [&str; 4] = ["metadata.n", "seq", "occurred_at", "received_at"];
    let any = random.one(&ANY);
    let measured = random.one(&NUMBERS);
    let time = random.one(&["occurred_at", "received_at"]);
    match random.below(9) {
        0 | 1 => {
            let mut body = json!({"field": any, "size": 1 + random.below(8)});
            match random.below(5) {
                0 => body["missing"] = json!(random.one(&["none", "bucket", "x"])),
                1 => body["include"] = json!(random.one(&["a*", "s*", "5*"])),
                2 => body["min_doc_count"] = json!(2),
                3 => body["order"] = json!({"_key": "desc"}),
                _ => {}
            }
            json!({"terms": body})
        }
        2 => json!({"date_histogram": {"field": time, "fixed_interval": random.one(&["1h", "7h"])}}),
        3 => {
            json!({"date_histogram": {"field": time, "calendar_interval": "day", "min_doc_count": random.below(2)}})
        }
        4 => {
            let field = random.one(&["metadata.n", "seq"]);
            json!({"histogram": {"field": field, "interval": random.one(&[5.0, 0.5]), "offset": random.one(&[0.0, 0.25])}})
        }
        5 => {
            let field = random.one(&["metadata.n", "seq"]);
            json!({"range": {"field": field, "ranges": [{"to": 5}, {"from": -2.25, "to": 7.5}, {"from": 0}]}})
        }
        6 => json!({"filter": random.one(&["outcome:success", "outcome:denied", "outcome:unknown"])}),
        7 => {
            let kind = random.one(&["value_count", "cardinality"]);
            json!({kind: {"field": any}})
        }
        _ => {
            let kind = random.one(&["stats", "min", "max", "avg", "sum"]);
            json!({kind: {"field": measured}})
        }
    }
}

fn split(records: &[Record]) -> Split {
    let policy = IndexPolicy {
        paths: vec!["metadata.n".to_owned()],
        ..IndexPolicy::default()
    };
    let mut builder = SplitBuilder::new(&policy).unwrap();
    for record in records {
        record.stored().add_to(&mut builder);
    }
    builder.finish().unwrap()
}

/// Cuts records into splits at random; some are merged again.
fn splits(random: &mut Random, records: &[Record]) -> Vec<Split> {
    let mut splits = Vec::new();
    let mut rest = records;
    while !rest.is_empty() {
        let (part, after) = rest.split_at(1 + random.below(rest.len() as u64) as usize);
        splits.push(split(part));
        rest = after;
    }
    if splits.len() > 2 && random.below(2) == 0 {
        let merged = merge(&splits[..2]).unwrap();
        splits.splice(..2, [merged]);
    }
    splits
}

#[test]
fn aggregations_equal_a_plain_computation() {
    for case in 0..CASES {
        let mut random = Random(case);
        let count = 1 + random.below(60);
        let records: Vec<Record> = (0..count).map(|seq| Record::random(&mut random, seq)).collect();
        let splits = splits(&mut random, &records);
        for _ in 0..40 {
            let specs = random_specs(&mut random, 0);
            let personal = random.below(2) == 0;
            let options = ParseOptions {
                personal,
                ..ParseOptions::default()
            };
            let shown = format!(
                "seed {case}, {} splits, personal {personal}: {specs}",
                splits.len()
            );
            let aggregations = Aggregations::parse(&specs.to_string(), &options, AggLimits::default());
            let aggregations = aggregations.unwrap_or_else(|error| panic!("{shown}: {error}"));
            let (query, wanted) = random.one(&[("", None), ("outcome:success", Some("success"))]);
            let query = Query::parse(query, &options).unwrap();
            let mut window = Window::default();
            if random.below(2) == 0 {
                window.seq = random.below(count)..random.below(count + 1);
            }
            if random.below(2) == 0 {
                window.from_ns = Some(records[random.below(count) as usize].occurred_ns);
            }
            if random.below(2) == 0 {
                window.to_ns = Some(records[random.below(count) as usize].occurred_ns);
            }
            let hits: Vec<&Record> = records
                .iter()
                .filter(|record| window.seq.contains(&record.seq))
                .filter(|record| window.from_ns.is_none_or(|from| record.occurred_ns >= from))
                .filter(|record| window.to_ns.is_none_or(|to| record.occurred_ns < to))
                .filter(|record| wanted.is_none_or(|outcome| record.outcome == outcome))
                .collect();
            let mut whole = Partial::empty(&aggregations);
            let mut order: Vec<&Split> = splits.iter().collect();
            if random.below(2) == 0 {
                order.reverse();
            }
            for split in order {
                let part = aggregate(split, &query, &window, &aggregations, &|| false);
                whole
                    .merge(part.unwrap_or_else(|error| panic!("{shown}: {error}")), &|| false)
                    .unwrap();
            }
            let answer = whole.finish(&aggregations, &|| false).unwrap();
            let answer: Value =
                serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{shown}: {error}: {answer}"));
            // Through text, as the answer: reading a number may round it.
            let expected = Value::Object(expected(&specs, &hits, personal)).to_string();
            let expected: Value = serde_json::from_str(&expected).unwrap();
            assert_eq!(answer, expected, "{shown}, window {window:?}");
        }
    }
}
