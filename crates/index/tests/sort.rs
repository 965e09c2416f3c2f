//! Hits in the order of columns, over splits and pages.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::unwrap_used,
    reason = "tests"
)]

mod support;

use std::cmp::Ordering;

use attestore_index::{
    Error, IndexPolicy, ParseOptions, Query, Sort, SortKey, Split, SplitBuilder, Window, search, top,
};
use serde_json::{Value, json};
use support::{START_MS, Stored, split};

const CASES: u64 = 60;

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

struct Record {
    seq: u64,
    event: Value,
}

impl Record {
    fn random(random: &mut Random, seq: u64) -> Self {
        let ms = START_MS - random.below(5) * 1000;
        let occurred = jiff::Timestamp::from_millisecond(ms as i64).unwrap().to_string();
        let value = |random: &mut Random| match random.below(7) {
            0 => json!(true),
            1 => json!(random.one(&["", "a", "ab", "ü"])),
            2 => json!(random.one(&[0.5, -2.5, 1e300, -1e300, 5.0])),
            // Columns keep numbers of a path as doubles where one of them is none else.
            3 => json!(random.one(&[1u64 << 63, 7])),
            _ => json!(random.below(9) as i64 - 4),
        };
        let values: Vec<Value> = (0..random.below(3)).map(|_| value(random)).collect();
        let mut event = json!({
            "action": "login",
            "outcome": random.one(&["success", "failure"]),
            "occurred_at": occurred,
            "actor": {"type": random.one(&["service", "user"]), "id": format!("a{}", random.below(4))},
            "metadata": {"v": values},
        });
        if random.below(3) > 0 {
            let ip = random.one(&["10.0.0.1", "9.255.0.1", "2001:db8::1", "255.0.0.1"]);
            event["context"] = json!({"ip": ip});
        }
        Self { seq, event }
    }

    /// What the record is sorted by: the value that counts, in a form that sorts.
    fn key(&self, field: &str, personal: bool, descending: bool) -> Option<Key> {
        let hidden = self.event["actor"]["type"] == "user" && !personal;
        let keys: Vec<Key> = match field {
            "seq" => vec![Key::Number(i128::from(self.seq) * 2)],
            "received_at" => vec![Key::Number(i128::from(self.seq) * 2)],
            "occurred_at" => vec![Key::Text(self.event["occurred_at"].as_str().unwrap().to_owned())],
            "outcome" => vec![Key::Text(self.event["outcome"].as_str().unwrap().to_owned())],
            "actor.id" if hidden => vec![Key::Text("[personal]".to_owned())],
            "actor.id" => vec![Key::Text(self.event["actor"]["id"].as_str().unwrap().to_owned())],
            "ip" if hidden => Vec::new(),
            "ip" => {
                let ip = self.event["context"]["ip"].as_str();
                let ip = ip.map(|ip| match ip.parse().unwrap() {
                    std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                    std::net::IpAddr::V6(v6) => v6,
                });
                ip.map(|ip| Key::Ip(ip.to_bits())).into_iter().collect()
            }
            "metadata.v" => self.event["metadata"]["v"]
                .as_array()
                .unwrap()
                .iter()
                .map(Key::of)
                .collect(),
            other => panic!("{other}"),
        };
        if descending {
            keys.into_iter().max()
        } else {
            keys.into_iter().min()
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Bool(bool),
    /// Twice the number: all that occur are multiples of one half.
    Number(i128),
    Ip(u128),
    Text(String),
}

impl Key {
    fn of(value: &Value) -> Self {
        match value {
            Value::Bool(value) => Self::Bool(*value),
            Value::String(text) => Self::Text(text.clone()),
            Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => Self::Number(i128::from(number) * 2),
                (_, Some(number)) => Self::Number(i128::from(number) * 2),
                _ => Self::Number((number.as_f64().unwrap() * 2.0) as i128),
            },
            other => panic!("{other}"),
        }
    }
}

fn splits(random: &mut Random, records: &[Record]) -> Vec<Split> {
    let policy = IndexPolicy {
        paths: vec!["metadata.v".to_owned()],
        ..IndexPolicy::default()
    };
    let mut splits = Vec::new();
    let mut rest = records;
    while !rest.is_empty() {
        let (part, after) = rest.split_at(1 + random.below(rest.len() as u64) as usize);
        let mut builder = SplitBuilder::new(&policy).unwrap();
        for record in part {
            Stored::accept(record.seq, &record.event.to_string()).add_to(&mut builder);
        }
        splits.push(builder.finish().unwrap());
        rest = after;
    }
    splits
}

#[test]
fn pages_over_splits_are_the_sorted_records() {
    const FIELDS: [&str; 7] = [
        "seq",
        "occurred_at",
        "received_at",
        "outcome",
        "actor.id",
        "ip",
        "metadata.v",
    ];
    for case in 0..CASES {
        let mut random = Random(case);
        let count = 1 + random.below(50);
        let records: Vec<Record> = (0..count).map(|seq| Record::random(&mut random, seq)).collect();
        let splits = splits(&mut random, &records);
        for field in FIELDS {
            let personal = random.below(2) == 0;
            let descending = random.below(2) == 0;
            let options = ParseOptions {
                personal,
                ..ParseOptions::default()
            };
            let direction = if descending { "desc" } else { "asc" };
            let sort = Sort::parse(&format!("{field}:{direction}"), &options).unwrap();
            let wanted = random.one(&["", "outcome:success"]);
            let query = Query::parse(wanted, &options).unwrap();
            let limit = 1 + random.below(7) as usize;
            let shown = format!(
                "seed {case}, {} splits, {field}:{direction}, personal {personal}, {wanted:?}",
                splits.len()
            );

            let mut expected: Vec<&Record> = records
                .iter()
                .filter(|record| wanted.is_empty() || record.event["outcome"] == "success")
                .collect();
            expected.sort_by(|left, right| {
                let of = |record: &Record| record.key(field, personal, descending);
                match (of(left), of(right)) {
                    (Some(left_key), Some(right_key)) => {
                        let by_key = left_key.cmp(&right_key).then(left.seq.cmp(&right.seq));
                        if descending { by_key.reverse() } else { by_key }
                    }
                    (Some(_), None) => Ordering::Less,
                    (None, Some(_)) => Ordering::Greater,
                    (None, None) if descending => right.seq.cmp(&left.seq),
                    (None, None) => left.seq.cmp(&right.seq),
                }
            });

            let mut got: Vec<(SortKey, u64)> = Vec::new();
            loop {
                let last = got
                    .last()
                    .map(|(key, seq)| (SortKey::from_bytes(&key.to_bytes()).unwrap(), *seq));
                let after = last.as_ref().map(|(key, seq)| (key, *seq));
                let mut page: Vec<(SortKey, u64)> = Vec::new();
                for split in &splits {
                    let full = page.len() == limit;
                    if full && sort.cannot_beat(&split.summary(), page.last().unwrap()) {
                        let hits =
                            top(split, &query, &Window::default(), &sort, after, limit, &|| false).unwrap();
                        let best = hits.first();
                        assert!(
                            best.is_none_or(|best| sort.compare(best, page.last().unwrap()).is_gt()),
                            "{shown}"
                        );
                        continue;
                    }
                    page.extend(
                        top(split, &query, &Window::default(), &sort, after, limit, &|| false).unwrap(),
                    );
                    page.sort_by(|left, right| sort.compare(left, right));
                    page.truncate(limit);
                }
                if page.is_empty() {
                    break;
                }
                got.extend(page);
            }
            let got: Vec<u64> = got.into_iter().map(|(_, seq)| seq).collect();
            let expected: Vec<u64> = expected.into_iter().map(|record| record.seq).collect();
            assert_eq!(got, expected, "{shown}");
        }
    }
}

#[test]
fn windows_bound_sorted_hits() {
    let mut random = Random(1);
    let records: Vec<Record> = (0..40).map(|seq| Record::random(&mut random, seq)).collect();
    let options = ParseOptions::default();
    let sort = Sort::parse("@timestamp:desc", &options).unwrap();
    let window = Window {
        from_ns: Some((START_MS - 3000) as i64 * 1_000_000),
        to_ns: Some((START_MS - 1000) as i64 * 1_000_000),
        seq: 5..30,
        ..Window::default()
    };
    for split in splits(&mut random, &records) {
        let hits = top(&split, &Query::all(), &window, &sort, None, 100, &|| false).unwrap();
        let mut seqs: Vec<u64> = hits.into_iter().map(|(_, seq)| seq).collect();
        seqs.sort_unstable();
        let mut found = search(&split, &Query::all(), &window, 100, false, &|| false)
            .unwrap()
            .seqs;
        found.sort_unstable();
        assert_eq!(seqs, found);
    }
}

#[test]
fn sorts_that_cannot_be_are_refused() {
    let options = ParseOptions::default();
    let error = |text: &str| Sort::parse(text, &options).unwrap_err();
    assert_eq!(error("occured_at").suggestion.as_deref(), Some("occurred_at"));
    assert!(
        error("actor.email").message.contains("column"),
        "{:?}",
        error("actor.email")
    );
    assert_eq!(error("seq:up").column, Some(4));
    let split = split(&[Stored::accept(
        0,
        r#"{"action":"a","actor":{"type":"service","id":"x"}}"#,
    )]);
    let sort = Sort::parse("metadata.total", &options).unwrap();
    assert_eq!(sort.needs().paths, ["metadata.total"]);
    let result = top(&split, &Query::all(), &Window::default(), &sort, None, 1, &|| {
        false
    });
    assert!(matches!(result, Err(Error::NoColumn { .. })), "{result:?}");
}

#[test]
fn keys_that_nobody_wrote_are_refused() {
    for bytes in [&[][..], &[0, 0], &[0x80], &[3, 1], &[7, 0xff], &[6, 1], &[9]] {
        assert_eq!(SortKey::from_bytes(bytes), None, "{bytes:?}");
    }
}

#[test]
fn a_stopped_sort_says_so() {
    let split = split(&[Stored::accept(
        0,
        r#"{"action":"a","actor":{"type":"service","id":"x"}}"#,
    )]);
    let sort = Sort::parse("action", &ParseOptions::default()).unwrap();
    let result = top(&split, &Query::all(), &Window::default(), &sort, None, 1, &|| {
        true
    });
    assert!(matches!(result, Err(Error::Stopped)));
}
