//! Random aggregations, and what they come to when every record is looked at.

use serde_json::{Map, Value, json};

use crate::columns::{COLUMNS, Column, Key};
use crate::evaluate::{Record, Who};
use crate::query::{self, Query};
use crate::random::Random;

/// One aggregation.
#[derive(Clone, Debug)]
pub(crate) struct Aggregation {
    what: What,
    within: Option<Box<Aggregation>>,
}

#[derive(Clone, Debug)]
enum What {
    Terms(Column, usize),
    /// By so many milliseconds.
    Dates(Column, i128, &'static str),
    Histogram(Column, f64),
    Ranges(Column, Vec<(Option<f64>, Option<f64>)>),
    Filter(Query),
    Stats(Column),
    Count(Column),
    Different(Column),
}

pub(crate) fn random(random: &mut Random, size: u64) -> Aggregation {
    aggregation(random, 2, size)
}

fn aggregation(random: &mut Random, depth: usize, size: u64) -> Aggregation {
    let any = *random.pick(&COLUMNS);
    let numbers: Vec<Column> = COLUMNS.into_iter().filter(Column::is_number).collect();
    let times: Vec<Column> = COLUMNS.into_iter().filter(Column::is_time).collect();
    let number = *random.pick(&numbers);
    let what = match random.below(10) {
        0..=2 if !any.is_time() => What::Terms(any, *random.pick(&[1, 3, 10, 1000])),
        3 => {
            let (ms, text) = *random.pick(&[
                (900_000, "15m"),
                (3_600_000, "1h"),
                (86_400_000, "1d"),
                (1, "1ms"),
            ]);
            What::Dates(*random.pick(&times), ms, text)
        }
        4 => What::Histogram(number, *random.pick(&[1.0, 10.0, 2.5])),
        5 => What::Ranges(
            number,
            vec![(None, Some(2.5)), (Some(2.5), Some(1000.0)), (Some(5.0), None)],
        ),
        6 => What::Filter(query::random(random, size)),
        7 => What::Stats(number),
        8 => What::Count(any),
        _ => What::Different(any),
    };
    let has_buckets = !matches!(what, What::Stats(_) | What::Count(_) | What::Different(_));
    let within = (has_buckets && depth > 0 && random.chance(60))
        .then(|| Box::new(aggregation(random, depth - 1, size)));
    Aggregation { what, within }
}

impl Aggregation {
    /// As it is asked for.
    pub(crate) fn request(&self) -> Value {
        let mut body = match &self.what {
            What::Terms(column, size) => json!({"terms": {"field": column.name, "size": size}}),
            What::Dates(column, _, interval) => {
                json!({"date_histogram": {"field": column.name, "fixed_interval": interval, "min_doc_count": 1}})
            }
            What::Histogram(column, interval) => {
                json!({"histogram": {"field": column.name, "interval": interval, "min_doc_count": 1}})
            }
            What::Ranges(column, ranges) => {
                let ranges = ranges.iter().map(|(from, to)| {
                    let ends = [("from", from), ("to", to)];
                    let ends = ends
                        .into_iter()
                        .filter_map(|(name, end)| Some((name.to_owned(), json!((*end)?))));
                    Value::Object(ends.collect::<Map<_, _>>())
                });
                json!({"range": {"field": column.name, "ranges": ranges.collect::<Vec<_>>()}})
            }
            What::Filter(query) => json!({"filter": {"query": query.text()}}),
            What::Stats(column) => json!({"stats": {"field": column.name}}),
            What::Count(column) => json!({"value_count": {"field": column.name}}),
            What::Different(column) => json!({"cardinality": {"field": column.name}}),
        };
        if let Some(within) = &self.within {
            body["aggs"] = json!({"in": within.request()});
        }
        body
    }

    /// What it comes to.
    pub(crate) fn answer(&self, records: &[&Record], who: Who) -> Value {
        match &self.what {
            What::Terms(column, size) => {
                let mut buckets = self.by(records, |record| column.different(record, who));
                buckets.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| a.0.compare(&b.0)));
                let rest = buckets.split_off(buckets.len().min(*size));
                let others: usize = rest.iter().map(|(_, records)| records.len()).sum();
                json!({"sum_other_doc_count": others, "buckets": self.buckets(buckets, who)})
            }
            What::Dates(column, ms, _) => {
                let floor = |key: Key| match key {
                    Key::Time(ns) => Key::Time(ns.div_euclid(ms * 1_000_000) * ms * 1_000_000),
                    other => other,
                };
                self.histogram(records, who, |record| {
                    column.different(record, who).into_iter().map(floor).collect()
                })
            }
            What::Histogram(column, interval) => self.histogram(records, who, |record| {
                let numbers = column
                    .values(record, who)
                    .into_iter()
                    .filter_map(|key| key.number());
                numbers
                    .map(|number| Key::Number((number / interval).floor() * interval))
                    .collect()
            }),
            What::Ranges(column, ranges) => {
                let buckets = ranges.iter().map(|(from, to)| {
                    let inside = |number: f64| {
                        from.is_none_or(|from| number >= from) && to.is_none_or(|to| number < to)
                    };
                    let has = |record: &&&Record| {
                        column
                            .values(record, who)
                            .iter()
                            .filter_map(Key::number)
                            .any(inside)
                    };
                    let records: Vec<&Record> = records.iter().filter(has).copied().collect();
                    self.bucket(&records, who)
                });
                json!({"buckets": buckets.collect::<Vec<_>>()})
            }
            What::Filter(query) => {
                let records: Vec<&Record> = records
                    .iter()
                    .filter(|record| record.matches(who, query))
                    .copied()
                    .collect();
                self.bucket(&records, who)
            }
            What::Stats(column) => {
                let numbers: Vec<f64> = records
                    .iter()
                    .flat_map(|record| column.values(record, who))
                    .filter_map(|key| key.number())
                    .collect();
                if numbers.is_empty() {
                    return json!({"count": 0});
                }
                let sum: f64 = numbers.iter().sum();
                json!({
                    "count": numbers.len(),
                    "min": numbers.iter().copied().fold(f64::INFINITY, f64::min),
                    "max": numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                    "sum": sum,
                    "avg": sum / numbers.len() as f64,
                })
            }
            What::Count(column) => {
                // A text that a record has twice is one value; numbers count as often as they come.
                let count = |record: &&Record| {
                    let texts = column.different(record, who);
                    let texts = texts.iter().filter(|key| key.number().is_none()).count();
                    texts + column.values(record, who).iter().filter_map(Key::number).count()
                };
                let count: usize = records.iter().map(count).sum();
                json!({"value": count})
            }
            What::Different(column) => {
                let mut keys: Vec<Key> = records
                    .iter()
                    .flat_map(|record| column.values(record, who))
                    .collect();
                keys.sort_by(Key::compare);
                keys.dedup();
                json!({"value": keys.len()})
            }
        }
    }

    fn by<'r>(
        &self,
        records: &[&'r Record],
        keys: impl Fn(&Record) -> Vec<Key>,
    ) -> Vec<(Key, Vec<&'r Record>)> {
        let mut buckets: Vec<(Key, Vec<&Record>)> = Vec::new();
        for record in records {
            let mut own = keys(record);
            own.sort_by(Key::compare);
            own.dedup();
            for key in own {
                match buckets.iter_mut().find(|(other, _)| *other == key) {
                    Some((_, records)) => records.push(record),
                    None => buckets.push((key, vec![record])),
                }
            }
        }
        buckets
    }

    fn histogram(&self, records: &[&Record], who: Who, keys: impl Fn(&Record) -> Vec<Key>) -> Value {
        let mut buckets = self.by(records, keys);
        buckets.sort_by(|a, b| a.0.compare(&b.0));
        json!({"buckets": self.buckets(buckets, who)})
    }

    fn buckets(&self, buckets: Vec<(Key, Vec<&Record>)>, who: Who) -> Vec<Value> {
        let mut all = Vec::new();
        for (key, records) in buckets {
            let mut bucket = self.bucket(&records, who);
            bucket["key"] = key.json();
            all.push(bucket);
        }
        all
    }

    fn bucket(&self, records: &[&Record], who: Who) -> Value {
        let mut bucket = json!({"doc_count": records.len()});
        if let Some(within) = &self.within {
            bucket["in"] = within.answer(records, who);
        }
        bucket
    }

    /// Simpler aggregations that may fail in the same way.
    pub(crate) fn simpler(&self) -> Vec<Self> {
        let mut all = Vec::new();
        if let Some(within) = &self.within {
            all.push((**within).clone());
            let mut alone = self.clone();
            alone.within = None;
            all.push(alone);
            for within in within.simpler() {
                all.push(Self {
                    what: self.what.clone(),
                    within: Some(Box::new(within)),
                });
            }
        }
        if let What::Filter(query) = &self.what {
            for query in query.simpler() {
                all.push(Self {
                    what: What::Filter(query),
                    within: self.within.clone(),
                });
            }
        }
        all
    }
}

/// Where what was answered is not what was expected; members that are not expected do not count.
pub(crate) fn difference(expected: &Value, found: &Value, at: &str) -> Option<String> {
    match (expected, found) {
        (Value::Object(members), found) => members
            .iter()
            .find_map(|(name, member)| difference(member, &found[name], &format!("{at}/{name}"))),
        (Value::Array(items), Value::Array(others)) if items.len() == others.len() => items
            .iter()
            .zip(others)
            .enumerate()
            .find_map(|(index, (item, other))| difference(item, other, &format!("{at}/{index}"))),
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            let near = (a - b).abs() <= a.abs().max(b.abs()) * 1e-9;
            (!near).then(|| format!("{at}: {a} expected, {b} found"))
        }
        (expected, found) => (expected != found).then(|| format!("{at}: {expected} expected, {found} found")),
    }
}
