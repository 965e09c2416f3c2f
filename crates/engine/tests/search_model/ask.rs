//! One case: a query with all that goes with it, asked of the instance and of the model.

use std::cmp::Ordering;

use attestore_engine::search::SearchRequest;
use attestore_index::Order;
use serde_json::{Value, json};

use crate::aggregations::{self, Aggregation, difference};
use crate::columns::{COLUMNS, Column};
use crate::evaluate::{Record, Who};
use crate::query::{self, Query};
use crate::random::Random;
use crate::world::World;

/// Cases that are asked at once.
pub(crate) const CASES: usize = 25;
/// Pages that are turned.
const PAGES_MAX: usize = 12;

#[derive(Clone, Debug)]
pub(crate) struct Case {
    who: Who,
    query: Query,
    sort: Sort,
    limit: usize,
    /// Earliest time of occurrence, and the first that is too late.
    window: (Option<i64>, Option<i64>),
    aggregations: Option<Aggregation>,
}

#[derive(Clone, Debug)]
enum Sort {
    Seq(Order),
    Column(Column, bool),
}

pub(crate) fn cases(random: &mut Random, size: u64) -> Vec<Case> {
    (0..CASES).map(|_| case(&mut random.fork(), size)).collect()
}

fn case(random: &mut Random, size: u64) -> Case {
    let sort = match random.below(4) {
        0 | 1 => Sort::Seq(*random.pick(&[Order::Newest, Order::Oldest])),
        _ => Sort::Column(*random.pick(&COLUMNS), random.chance(50)),
    };
    let end = |random: &mut Random| {
        let ms = i64::try_from(crate::events::NOW_MS).unwrap() - 21_600_000
            + i64::try_from(random.below(28_800_000)).unwrap();
        random.chance(15).then_some(ms * 1_000_000)
    };
    Case {
        who: random.below(2),
        query: query::random(random, size),
        sort,
        limit: *random.pick(&[1, 2, 5, 10, 1000]),
        window: (end(random), end(random)),
        aggregations: random.chance(40).then(|| aggregations::random(random, size)),
    }
}

impl Case {
    /// Asks; the error is what differs.
    pub(crate) fn check(&self, world: &World) -> Result<(), String> {
        let expected = self.expected(&world.records);
        let mut request = SearchRequest {
            q: self.query.text(),
            from_ns: self.window.0,
            to_ns: self.window.1,
            limit: self.limit,
            want_count: true,
            ..SearchRequest::default()
        };
        match &self.sort {
            Sort::Seq(order) => request.order = *order,
            Sort::Column(column, descending) => {
                let direction = if *descending { "desc" } else { "asc" };
                request.sort = Some(format!("{}:{direction}", column.name));
            }
        }
        if let Some(aggregation) = &self.aggregations {
            request.aggs = Some(json!({"a": aggregation.request()}).to_string());
        }
        let mut found = Vec::new();
        for _ in 0..PAGES_MAX {
            let page = world.search(self.who, &request)?;
            for item in &page.items {
                let record = world.records.get(usize::try_from(item.seq).unwrap());
                let record = record.ok_or_else(|| format!("record {} is none of ours", item.seq))?;
                let event: Value = serde_json::from_str(&item.event).unwrap();
                if event != record.seen[self.who].event {
                    return Err(format!("record {} shows as {}", item.seq, item.event));
                }
                found.push(item.seq);
            }
            if page.items.len() > self.limit {
                return Err(format!("a page of {} items", page.items.len()));
            }
            if request.cursor.is_none() {
                self.check_first(&page, &expected, world)?;
            }
            request.want_count = false;
            request.aggs = None;
            request.cursor = page.cursor;
            if request.cursor.is_none() {
                break;
            }
        }
        let seqs: Vec<u64> = expected.iter().map(|record| record.seq).collect();
        let complete = request.cursor.is_none();
        if found
            != seqs[..if complete {
                seqs.len()
            } else {
                found.len().min(seqs.len())
            }]
        {
            return Err(format!("found {found:?}, expected {seqs:?}"));
        }
        if !complete && found.len() != self.limit * PAGES_MAX {
            return Err(format!("{} items in {PAGES_MAX} full pages", found.len()));
        }
        Ok(())
    }

    fn check_first(
        &self,
        page: &attestore_engine::search::SearchPage,
        expected: &[&Record],
        world: &World,
    ) -> Result<(), String> {
        if page.count != Some(expected.len() as u64) {
            return Err(format!("count {:?}, expected {}", page.count, expected.len()));
        }
        if page.tree.size != world.records.len() as u64 {
            return Err(format!(
                "tree of {}, expected {}",
                page.tree.size,
                world.records.len()
            ));
        }
        let Some(aggregation) = &self.aggregations else {
            return Ok(());
        };
        let found: Value = serde_json::from_str(page.aggregations.as_deref().unwrap_or("null")).unwrap();
        let wanted = aggregation.answer(expected, self.who);
        match difference(&wanted, &found["a"], "") {
            Some(difference) => Err(format!(
                "aggregation{difference}\nexpected {wanted}\nfound    {}",
                found["a"]
            )),
            None => Ok(()),
        }
    }

    fn expected<'r>(&self, records: &'r [Record]) -> Vec<&'r Record> {
        let inside = |record: &&Record| {
            let time = record.occurred_ns();
            self.window.0.is_none_or(|from| time >= i128::from(from))
                && self.window.1.is_none_or(|to| time < i128::from(to))
        };
        let matches = |record: &&Record| record.matches(self.who, &self.query);
        let mut found: Vec<&Record> = records.iter().filter(inside).filter(matches).collect();
        match self.sort {
            Sort::Seq(Order::Oldest) => {}
            Sort::Seq(Order::Newest) => found.reverse(),
            Sort::Column(column, descending) => {
                let key = |record: &Record| column.sort_key(record, self.who, descending);
                found.sort_by(|a, b| {
                    let by_value = match (key(a), key(b)) {
                        (Some(a), Some(b)) if descending => b.compare(&a),
                        (Some(a), Some(b)) => a.compare(&b),
                        // Those without a value come last.
                        (a, b) => b.is_some().cmp(&a.is_some()),
                    };
                    let by_seq = if descending {
                        b.seq.cmp(&a.seq)
                    } else {
                        a.seq.cmp(&b.seq)
                    };
                    match by_value {
                        Ordering::Equal => by_seq,
                        other => other,
                    }
                });
            }
        }
        found
    }

    /// Simpler cases that may fail in the same way.
    pub(crate) fn simpler(&self) -> Vec<Self> {
        let mut all = Vec::new();
        let mut with = |change: &dyn Fn(&mut Self)| {
            let mut other = self.clone();
            change(&mut other);
            all.push(other);
        };
        if self.aggregations.is_some() {
            with(&|case| case.aggregations = None);
        }
        if self.window != (None, None) {
            with(&|case| case.window = (None, None));
        }
        if !matches!(self.sort, Sort::Seq(_)) {
            with(&|case| case.sort = Sort::Seq(Order::Oldest));
        }
        if self.limit < 1000 {
            with(&|case| case.limit = 1000);
        }
        if self.query != Query::All {
            with(&|case| case.query = Query::All);
        }
        for query in self.query.simpler() {
            with(&|case| case.query = query.clone());
        }
        for aggregation in self.aggregations.iter().flat_map(Aggregation::simpler) {
            with(&|case| case.aggregations = Some(aggregation.clone()));
        }
        all
    }

    pub(crate) fn told(&self) -> String {
        let who = ["reader", "investigator"][self.who];
        let aggregations = self.aggregations.as_ref().map(|one| one.request().to_string());
        let limit = self.limit;
        format!(
            "{who} asks: {}\nsort {:?}, limit {limit}, window {:?}, aggregations {aggregations:?}",
            self.query.text(),
            self.sort,
            self.window,
        )
    }
}
