//! Aggregating the hits of one split, block by block.
//!
//! The values of a block are loaded column by column. Then each aggregation, from the top down, assigns its own buckets to
//! pairs of a record and the bucket above, and hands the new pairs to what is below it.

use std::ops::{Bound, ControlFlow};

use tantivy::DocId;

use super::Budget;
use super::distinct::{self, Distinct};
use super::measure::Measure;
use super::partial::{self, Partial};
use super::quantiles::{BIN_BYTES, Quantiles};
use super::request::{
    Accepted, Aggregations, Dates, DistinctOf, Histogram, MeasureOf, Percentiles, Ranges, Shown, Spec, Terms,
    TimeUnit, Used, What,
};
use super::slots::{NONE, REFUSED, Row, Slots};
use crate::query::{Cursor, resolve};
use crate::search::{Loaded, Place, Scalar, TWO_63, Typed, open};
use crate::{Error, Split};

/// Pairs of one block, at most: overlapping ranges multiply.
const PAIRS_MAX: usize = 1 << 22;
/// Pairs beyond which an aggregation asks whether to stop before it begins.
const PAIRS_MANY: usize = 1 << 15;

pub(super) struct Collector<'a> {
    columns: Vec<Vec<Typed>>,
    loaded: Vec<Vec<Loaded>>,
    used: &'a [Used],
    nodes: Vec<Node<'a>>,
    budget: Budget,
    stop: &'a dyn Fn() -> bool,
}

impl<'a> Collector<'a> {
    pub(super) fn new(
        split: &Split,
        aggregations: &'a Aggregations,
        stop: &'a dyn Fn() -> bool,
    ) -> Result<Self, Error> {
        let columns = aggregations
            .columns
            .iter()
            .map(|used| open(split, &used.column))
            .collect::<Result<Vec<_>, Error>>()?;
        let make = Make {
            split,
            columns: &columns,
            stop,
        };
        Ok(Self {
            nodes: make.nodes(&aggregations.specs)?,
            loaded: columns
                .iter()
                .map(|parts| parts.iter().map(|_| Loaded::default()).collect())
                .collect(),
            columns,
            used: &aggregations.columns,
            budget: Budget::new(&aggregations.limits),
            stop,
        })
    }

    pub(super) fn collect(&mut self, docs: &[DocId]) -> Result<ControlFlow<()>, Error> {
        for ((parts, loaded), used) in self.columns.iter().zip(&mut self.loaded).zip(self.used) {
            for (part, loaded) in parts.iter().zip(loaded) {
                part.load(docs, loaded);
                if used.once {
                    loaded.deduplicate();
                }
            }
        }
        let block = Block {
            docs,
            columns: &self.columns,
            loaded: &self.loaded,
            stop: self.stop,
        };
        for node in &mut self.nodes {
            node.collect(&block, Members::All, 1, &mut self.budget)?;
        }
        Ok(ControlFlow::Continue(()))
    }

    pub(super) fn finish(self, mut partial: Partial, stop: &dyn Fn() -> bool) -> Result<Partial, Error> {
        let Partial { parts, budget, .. } = &mut partial;
        for (node, part) in self.nodes.into_iter().zip(parts) {
            node.finish(&self.columns, part, &[0], budget, stop)?;
        }
        Ok(partial)
    }
}

/// A block of hits with the values of all columns.
struct Block<'a> {
    docs: &'a [DocId],
    columns: &'a [Vec<Typed>],
    loaded: &'a [Vec<Loaded>],
    stop: &'a dyn Fn() -> bool,
}

/// Which records of a block are in which buckets above.
#[derive(Clone, Copy)]
enum Members<'a> {
    /// All are in the one.
    All,
    /// Places in the block, and numbers of buckets.
    Some(&'a [(u32, u32)]),
}

impl Members<'_> {
    #[inline]
    fn for_each(
        self,
        block: &Block<'_>,
        mut each: impl FnMut(u32, u32) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match self {
            Self::All => (0u32..).zip(block.docs).try_for_each(|(at, _)| each(at, 0)),
            Self::Some(pairs) => pairs.iter().try_for_each(|(at, bucket)| each(*at, *bucket)),
        }
    }
}

struct Node<'a> {
    state: State<'a>,
    subs: Vec<Node<'a>>,
    pairs: Vec<(u32, u32)>,
}

enum State<'a> {
    Terms(TermsState<'a>),
    Dates(DatesState<'a>),
    Histogram(HistogramState<'a>),
    Ranges(RangesState<'a>),
    Filter(FilterState),
    Measure(&'a MeasureOf, Vec<Measure>),
    Count(usize, Vec<u64>),
    Distinct(DistinctState<'a>),
    Percentiles(&'a Percentiles, Vec<Quantiles>),
}

struct TermsState<'a> {
    spec: &'a Terms,
    slots: Slots,
    /// That of records without a value, after all parts of the column.
    missing_part: u8,
    /// By part.
    include: Option<Vec<Vec<(u64, u64)>>>,
    exclude: Vec<Vec<(u64, u64)>>,
}

struct DatesState<'a> {
    spec: &'a Dates,
    slots: Slots,
    /// Indices count from this.
    base: i64,
    /// Times of the interval met last, both included, and its value.
    last: (i64, i64, u64),
}

struct HistogramState<'a> {
    name: &'a str,
    spec: &'a Histogram,
    slots: Slots,
    base: i64,
}

struct RangesState<'a> {
    spec: &'a Ranges,
    slots: Slots,
    /// By part and range: values, both included.
    bounds: Vec<Vec<Option<(u64, u64)>>>,
    hit: Vec<bool>,
}

struct FilterState {
    slots: Slots,
    cursor: Cursor,
    matches: Vec<bool>,
}

struct DistinctState<'a> {
    spec: &'a DistinctOf,
    /// Values whose hashes have to be looked up in the end.
    slots: Slots,
    hashed: Vec<Distinct>,
}

/// Makes the nodes for one split.
struct Make<'a, 'c> {
    split: &'c Split,
    columns: &'c [Vec<Typed>],
    stop: &'c (dyn Fn() -> bool + 'a),
}

impl<'a> Make<'a, '_> {
    fn nodes(&self, specs: &'a [Spec]) -> Result<Vec<Node<'a>>, Error> {
        specs.iter().map(|spec| self.node(spec)).collect()
    }

    fn node(&self, spec: &'a Spec) -> Result<Node<'a>, Error> {
        let state = match &spec.what {
            What::Terms(spec) => State::Terms(self.terms(spec)?),
            What::Dates(spec) => State::Dates(self.dates(spec)),
            What::Histogram(histogram) => State::Histogram(self.histogram(&spec.name, histogram)),
            What::Ranges(spec) => State::Ranges(self.ranges(spec)?),
            What::Filter(query) => {
                let max_doc = self.split.reader().max_doc();
                let matching = resolve(query, self.split, self.stop)?;
                State::Filter(FilterState {
                    slots: Slots::new([Some(1)]),
                    cursor: Cursor::open(&matching, 0..max_doc, max_doc)?,
                    matches: Vec::new(),
                })
            }
            What::Measure(spec) => State::Measure(spec, Vec::new()),
            What::Count(column) => State::Count(*column, Vec::new()),
            What::Distinct(spec) => State::Distinct(DistinctState {
                spec,
                slots: Slots::new(self.columns[spec.column].iter().map(Typed::table_len)),
                hashed: Vec::new(),
            }),
            What::Percentiles(spec) => State::Percentiles(spec, Vec::new()),
        };
        Ok(Node {
            state,
            subs: self.nodes(&spec.subs)?,
            pairs: Vec::new(),
        })
    }

    fn terms(&self, spec: &'a Terms) -> Result<TermsState<'a>, Error> {
        let parts = &self.columns[spec.column];
        let accepted = |accepted: &[Accepted]| {
            parts
                .iter()
                .map(|part| spans(part, accepted))
                .collect::<Result<Vec<_>, Error>>()
        };
        Ok(TermsState {
            spec,
            slots: Slots::new(parts.iter().map(Typed::table_len).chain([Some(1)])),
            missing_part: u8::try_from(parts.len()).unwrap_or(u8::MAX),
            include: spec.include.as_deref().map(accepted).transpose()?,
            exclude: match spec.exclude.as_slice() {
                [] => Vec::new(),
                exclude => accepted(exclude)?,
            },
        })
    }

    fn dates(&self, spec: &'a Dates) -> DatesState<'a> {
        let (base, len) = match self.columns[spec.column].first() {
            None => (0, None),
            Some(part) => {
                let (low, high) = part.bounds();
                let index = |value| spec.interval.index(nanoseconds(value, spec.unit));
                table(index(low), index(high))
            }
        };
        DatesState {
            spec,
            slots: Slots::new([len]),
            base,
            last: (1, 0, 0),
        }
    }

    fn histogram(&self, name: &'a str, spec: &'a Histogram) -> HistogramState<'a> {
        let numeric = self.columns[spec.column]
            .iter()
            .find_map(|part| Some((part.number(part.bounds().0)?, part.number(part.bounds().1)?)));
        let (base, len) = match numeric {
            None => (0, None),
            Some((low, high)) => match (spec.index(low), spec.index(high)) {
                (Some(low), Some(high)) => table(low, high),
                _ => (0, None),
            },
        };
        HistogramState {
            name,
            spec,
            slots: Slots::new([len]),
            base,
        }
    }

    fn ranges(&self, spec: &'a Ranges) -> Result<RangesState<'a>, Error> {
        let rank = match spec.shown {
            Shown::Number | Shown::Time(_) => 1,
            Shown::Address => 2,
        };
        let bounds = self.columns[spec.column].iter().map(|part| {
            let bound = |bound: &Bound<Scalar>| match bound {
                Bound::Unbounded => Ok(None),
                Bound::Included(scalar) | Bound::Excluded(scalar) => part.place(scalar).map(Some),
            };
            spec.ranges
                .iter()
                .map(|range| {
                    if part.rank() != rank {
                        return Ok(None);
                    }
                    let low = match bound(&range.from)? {
                        None => 0,
                        Some(Place::At(value) | Place::Before(value)) => value,
                        Some(Place::End) => return Ok(None),
                    };
                    let high = match (bound(&range.to)?, &range.to) {
                        (None | Some(Place::End), _) => Some(u64::MAX),
                        (Some(Place::At(value)), Bound::Included(_)) => Some(value),
                        (Some(Place::At(value) | Place::Before(value)), _) => value.checked_sub(1),
                    };
                    Ok(high.filter(|high| low <= *high).map(|high| (low, high)))
                })
                .collect::<Result<Vec<_>, Error>>()
        });
        Ok(RangesState {
            spec,
            slots: Slots::new([Some(spec.ranges.len())]),
            bounds: bounds.collect::<Result<_, _>>()?,
            hit: vec![false; spec.ranges.len()],
        })
    }
}

/// Where indices begin, and how many there can be.
fn table(first: i64, last: i64) -> (i64, Option<usize>) {
    let len = last.checked_sub(first).and_then(|len| len.checked_add(1));
    (first, len.and_then(|len| usize::try_from(len).ok()))
}

/// The values of a part that a list names, both ends included.
fn spans(part: &Typed, accepted: &[Accepted]) -> Result<Vec<(u64, u64)>, Error> {
    let mut spans = Vec::with_capacity(accepted.len());
    for one in accepted {
        match one {
            Accepted::Value(scalar) if scalar.rank() == part.rank() => {
                if let Place::At(value) = part.place(scalar)? {
                    spans.push((value, value));
                }
            }
            Accepted::Value(_) => {}
            Accepted::Start(start) => spans.extend(part.starting(start)?),
        }
    }
    spans.sort_unstable();
    Ok(spans)
}

fn is_in(spans: &[(u64, u64)], value: u64) -> bool {
    spans
        .iter()
        .any(|(first, last)| (*first..=*last).contains(&value))
}

/// The time that a value of a column stands for (ns since 1970).
#[inline]
fn nanoseconds(value: u64, unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Ns => tantivy::u64_to_i64(value),
        TimeUnit::Ms => i64::try_from(value).unwrap_or(i64::MAX).saturating_mul(1_000_000),
    }
}

/// The number that is measured.
#[expect(clippy::cast_precision_loss, reason = "whole milliseconds are below 2^53")]
fn measured(part: &Typed, shown: Shown, value: u64) -> Option<f64> {
    match shown {
        Shown::Time(TimeUnit::Ns) => Some(tantivy::u64_to_i64(value).div_euclid(1_000_000) as f64),
        Shown::Time(TimeUnit::Ms) | Shown::Number => part.number(value),
        Shown::Address => None,
    }
}

impl Histogram {
    /// The number of the bucket that a number is in; `None` beyond 2^63.
    #[expect(clippy::cast_possible_truncation, reason = "whole and in bounds")]
    pub(super) fn index(&self, number: f64) -> Option<i64> {
        let index = ((number - self.offset) / self.interval).floor();
        (-TWO_63..TWO_63).contains(&index).then_some(index as i64)
    }
}

impl Node<'_> {
    /// `above`: number of buckets above so far.
    fn collect(
        &mut self,
        block: &Block<'_>,
        members: Members<'_>,
        above: usize,
        budget: &mut Budget,
    ) -> Result<(), Error> {
        if matches!(members, Members::Some(pairs) if pairs.len() > PAIRS_MANY) && (block.stop)() {
            return Err(Error::Stopped);
        }
        self.pairs.clear();
        let mut hits = Hits {
            pairs: (!self.subs.is_empty()).then_some(&mut self.pairs),
        };
        let buckets = match &mut self.state {
            State::Terms(state) => {
                state.collect(block, members, &mut hits, budget)?;
                state.slots.rows.len()
            }
            State::Dates(state) => {
                state.collect(block, members, &mut hits, budget)?;
                state.slots.rows.len()
            }
            State::Histogram(state) => {
                state.collect(block, members, &mut hits, budget)?;
                state.slots.rows.len()
            }
            State::Ranges(state) => {
                state.collect(block, members, &mut hits, budget)?;
                state.slots.rows.len()
            }
            State::Filter(state) => {
                state.collect(block, members, &mut hits, budget)?;
                state.slots.rows.len()
            }
            State::Measure(spec, measures) => {
                return collect_measures(spec, measures, block, members, above, budget);
            }
            State::Count(column, counts) => {
                grow(counts, above, size_of::<u64>(), budget)?;
                let loaded = &block.loaded[*column];
                return members.for_each(block, |at, bucket| {
                    let values: usize = loaded.iter().map(|loaded| loaded.of(at as usize).len()).sum();
                    counts[bucket as usize] += values as u64;
                    Ok(())
                });
            }
            State::Distinct(state) => return state.collect(block, members, above, budget),
            State::Percentiles(spec, quantiles) => {
                return collect_quantiles(spec, quantiles, block, members, above, budget);
            }
        };
        let pairs = std::mem::take(&mut self.pairs);
        if !pairs.is_empty() {
            for sub in &mut self.subs {
                sub.collect(block, Members::Some(&pairs), buckets, budget)?;
            }
        }
        self.pairs = pairs;
        Ok(())
    }
}

/// Gives every bucket above a place.
fn grow<T: Default>(
    places: &mut Vec<T>,
    above: usize,
    bytes: usize,
    budget: &mut Budget,
) -> Result<(), Error> {
    if places.len() < above {
        budget.take((above - places.len()) * bytes)?;
        places.resize_with(above, T::default);
    }
    Ok(())
}

/// Counts hits of buckets, and passes them on if something is below.
struct Hits<'p> {
    pairs: Option<&'p mut Vec<(u32, u32)>>,
}

impl Hits<'_> {
    #[inline]
    fn hit(&mut self, slots: &mut Slots, at: u32, bucket: u32, budget: &Budget) -> Result<(), Error> {
        slots.counts[bucket as usize] += 1;
        if let Some(pairs) = &mut self.pairs {
            if pairs.len() >= PAIRS_MAX {
                return Err(Error::TooMuchMemory { limit: budget.max });
            }
            pairs.push((at, bucket));
        }
        Ok(())
    }
}

impl TermsState<'_> {
    fn collect(
        &mut self,
        block: &Block<'_>,
        members: Members<'_>,
        hits: &mut Hits<'_>,
        budget: &mut Budget,
    ) -> Result<(), Error> {
        let loaded = &block.loaded[self.spec.column];
        if let (Members::All, [only]) = (members, loaded.as_slice())
            && let Some(values) = only.one_each()
        {
            return self.collect_all(values, hits, budget);
        }
        members.for_each(block, |at, above| {
            let mut has_value = false;
            for (part, loaded) in (0u8..).zip(loaded) {
                for value in loaded.of(at as usize) {
                    has_value = true;
                    self.value(at, above, part, *value, hits, budget)?;
                }
            }
            if !has_value && self.spec.missing.is_some() {
                self.missing(at, above, hits, budget)?;
            }
            Ok(())
        })
    }

    /// Every record is in the one bucket above and has one value.
    fn collect_all(&mut self, values: &[u64], hits: &mut Hits<'_>, budget: &mut Budget) -> Result<(), Error> {
        let done = match hits.pairs {
            None => self.slots.count_known(values),
            Some(_) => 0,
        };
        for (at, value) in (0u32..).zip(values).skip(done) {
            self.value(at, 0, 0, *value, hits, budget)?;
        }
        Ok(())
    }

    #[inline]
    fn value(
        &mut self,
        at: u32,
        above: u32,
        part: u8,
        value: u64,
        hits: &mut Hits<'_>,
        budget: &mut Budget,
    ) -> Result<(), Error> {
        let mut slot = self.slots.find(above, usize::from(part), value);
        if slot == NONE {
            let accept = self.accepts(part, value);
            let row = Row {
                parent: above,
                part,
                value,
            };
            slot = self.slots.insert(row, accept, budget)?;
        }
        if slot == REFUSED {
            return Ok(());
        }
        hits.hit(&mut self.slots, at, slot, budget)
    }

    fn missing(
        &mut self,
        at: u32,
        above: u32,
        hits: &mut Hits<'_>,
        budget: &mut Budget,
    ) -> Result<(), Error> {
        let part = self.missing_part;
        let mut slot = self.slots.find(above, usize::from(part), 0);
        if slot == NONE {
            let row = Row {
                parent: above,
                part,
                value: 0,
            };
            slot = self.slots.insert(row, true, budget)?;
        }
        hits.hit(&mut self.slots, at, slot, budget)
    }

    fn accepts(&self, part: u8, value: u64) -> bool {
        let part = usize::from(part);
        let included = self
            .include
            .as_ref()
            .is_none_or(|parts| parts.get(part).is_some_and(|spans| is_in(spans, value)));
        included && !self.exclude.get(part).is_some_and(|spans| is_in(spans, value))
    }
}

impl DatesState<'_> {
    fn collect(
        &mut self,
        block: &Block<'_>,
        members: Members<'_>,
        hits: &mut Hits<'_>,
        budget: &mut Budget,
    ) -> Result<(), Error> {
        let [loaded] = block.loaded[self.spec.column].as_slice() else {
            return Ok(());
        };
        if let (Members::All, Some(values)) = (members, loaded.one_each())
            && self.spec.hard.is_none()
            && hits.pairs.is_none()
        {
            return self.collect_all(values, budget);
        }
        members.for_each(block, |at, above| {
            for value in loaded.of(at as usize) {
                let time = nanoseconds(*value, self.spec.unit);
                if self
                    .spec
                    .hard
                    .is_some_and(|(min, max)| !(min..=max).contains(&time))
                {
                    continue;
                }
                let value = self.value(time);
                let slot = self.slot(above, value, budget)?;
                hits.hit(&mut self.slots, at, slot, budget)?;
            }
            Ok(())
        })
    }

    /// Every record is in the one bucket above and has one time. Times near each other are mostly of one interval: runs of
    /// it are counted at once.
    fn collect_all(&mut self, values: &[u64], budget: &mut Budget) -> Result<(), Error> {
        let mut rest = values;
        while let Some(first) = rest.first() {
            let value = self.value(nanoseconds(*first, self.spec.unit));
            let slot = self.slot(0, value, budget)?;
            let (low, high) = (self.last.0, self.last.1);
            let run = rest
                .iter()
                .take_while(|value| (low..=high).contains(&nanoseconds(**value, self.spec.unit)))
                .count()
                // The first time is of the interval, or its own would be wrong.
                .max(1);
            self.slots.counts[slot as usize] += run as u64;
            rest = rest.get(run..).unwrap_or_default();
        }
        Ok(())
    }

    #[inline]
    fn value(&mut self, time: i64) -> u64 {
        let (low, high, value) = self.last;
        if (low..=high).contains(&time) {
            return value;
        }
        let index = self.spec.interval.index(time);
        let (low, high) = self.spec.interval.span(index);
        let value = index.wrapping_sub(self.base).cast_unsigned();
        self.last = (low, high, value);
        value
    }

    #[inline]
    fn slot(&mut self, above: u32, value: u64, budget: &mut Budget) -> Result<u32, Error> {
        slot(&mut self.slots, above, value, budget)
    }
}

/// The bucket of a value of the only part; made if it is new.
#[inline]
fn slot(slots: &mut Slots, parent: u32, value: u64, budget: &mut Budget) -> Result<u32, Error> {
    match slots.find(parent, 0, value) {
        NONE => slots.insert(
            Row {
                parent,
                part: 0,
                value,
            },
            true,
            budget,
        ),
        slot => Ok(slot),
    }
}

impl HistogramState<'_> {
    fn collect(
        &mut self,
        block: &Block<'_>,
        members: Members<'_>,
        hits: &mut Hits<'_>,
        budget: &mut Budget,
    ) -> Result<(), Error> {
        let column = self.spec.column;
        for (part, loaded) in block.columns[column].iter().zip(&block.loaded[column]) {
            members.for_each(block, |at, above| {
                let mut last = None;
                for value in loaded.of(at as usize) {
                    let Some(number) = part.number(*value) else {
                        continue;
                    };
                    if self
                        .spec
                        .hard
                        .is_some_and(|(min, max)| !(min..=max).contains(&number))
                    {
                        continue;
                    }
                    let Some(index) = self.spec.index(number) else {
                        return Err(Error::BeyondBuckets {
                            aggregation: self.name.to_owned(),
                            value: number,
                        });
                    };
                    let value = index.wrapping_sub(self.base).cast_unsigned();
                    // Values of a record ascend: those of one bucket stand side by side.
                    if last.replace(value) != Some(value) {
                        let slot = slot(&mut self.slots, above, value, budget)?;
                        hits.hit(&mut self.slots, at, slot, budget)?;
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

impl RangesState<'_> {
    fn collect(
        &mut self,
        block: &Block<'_>,
        members: Members<'_>,
        hits: &mut Hits<'_>,
        budget: &mut Budget,
    ) -> Result<(), Error> {
        let loaded = &block.loaded[self.spec.column];
        members.for_each(block, |at, above| {
            let mut any = false;
            for (bounds, loaded) in self.bounds.iter().zip(loaded) {
                for value in loaded.of(at as usize) {
                    for (bound, hit) in bounds.iter().zip(&mut self.hit) {
                        let is_hit = bound.is_some_and(|(low, high)| (low..=high).contains(value));
                        *hit |= is_hit;
                        any |= is_hit;
                    }
                }
            }
            if !any {
                return Ok(());
            }
            for (range, hit) in (0u64..).zip(&mut self.hit) {
                if std::mem::take(hit) {
                    let slot = slot(&mut self.slots, above, range, budget)?;
                    hits.hit(&mut self.slots, at, slot, budget)?;
                }
            }
            Ok(())
        })
    }
}

impl FilterState {
    fn collect(
        &mut self,
        block: &Block<'_>,
        members: Members<'_>,
        hits: &mut Hits<'_>,
        budget: &mut Budget,
    ) -> Result<(), Error> {
        self.matches.clear();
        let cursor = &mut self.cursor;
        self.matches
            .extend(block.docs.iter().map(|doc| cursor.contains(*doc)));
        members.for_each(block, |at, above| {
            if self.matches[at as usize] {
                let slot = slot(&mut self.slots, above, 0, budget)?;
                hits.hit(&mut self.slots, at, slot, budget)?;
            }
            Ok(())
        })
    }
}

fn collect_measures(
    spec: &MeasureOf,
    measures: &mut Vec<Measure>,
    block: &Block<'_>,
    members: Members<'_>,
    above: usize,
    budget: &mut Budget,
) -> Result<(), Error> {
    grow(measures, above, size_of::<Measure>(), budget)?;
    let (columns, loaded) = (&block.columns[spec.column], &block.loaded[spec.column]);
    members.for_each(block, |at, bucket| {
        let measure = &mut measures[bucket as usize];
        let mut has_number = false;
        for (part, loaded) in columns.iter().zip(loaded) {
            for value in loaded.of(at as usize) {
                if let Some(number) = measured(part, spec.shown, *value) {
                    has_number = true;
                    measure.add(number);
                }
            }
        }
        if let Some(missing) = spec.missing.filter(|_| !has_number) {
            measure.add(missing);
        }
        Ok(())
    })
}

fn collect_quantiles(
    spec: &Percentiles,
    quantiles: &mut Vec<Quantiles>,
    block: &Block<'_>,
    members: Members<'_>,
    above: usize,
    budget: &mut Budget,
) -> Result<(), Error> {
    grow(quantiles, above, size_of::<Quantiles>(), budget)?;
    let (columns, loaded) = (&block.columns[spec.column], &block.loaded[spec.column]);
    members.for_each(block, |at, bucket| {
        let quantiles = &mut quantiles[bucket as usize];
        let mut has_number = false;
        for (part, loaded) in columns.iter().zip(loaded) {
            for value in loaded.of(at as usize) {
                if let Some(number) = part.number(*value) {
                    has_number = true;
                    if quantiles.add(number) {
                        budget.take(BIN_BYTES)?;
                    }
                }
            }
        }
        if let Some(missing) = spec.missing.filter(|_| !has_number)
            && quantiles.add(missing)
        {
            budget.take(BIN_BYTES)?;
        }
        Ok(())
    })
}

impl DistinctState<'_> {
    fn collect(
        &mut self,
        block: &Block<'_>,
        members: Members<'_>,
        above: usize,
        budget: &mut Budget,
    ) -> Result<(), Error> {
        grow(&mut self.hashed, above, size_of::<Distinct>(), budget)?;
        let column = self.spec.column;
        for ((number, part), loaded) in (0u8..).zip(&block.columns[column]).zip(&block.loaded[column]) {
            let hashes_at_once = part.number(0).is_some();
            members.for_each(block, |at, parent| {
                for value in loaded.of(at as usize) {
                    if hashes_at_once {
                        let taken = match part.scalar(*value) {
                            Some(scalar) => {
                                self.hashed[parent as usize].add(distinct::of(&scalar), self.spec.exact_max)
                            }
                            None => 0,
                        };
                        budget.take(taken)?;
                    } else if self.slots.find(parent, usize::from(number), *value) == NONE {
                        let row = Row {
                            parent,
                            part: number,
                            value: *value,
                        };
                        self.slots.insert(row, true, budget)?;
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

impl Node<'_> {
    /// Adds what was collected to the part of the whole. `above` says which bucket there each bucket above is.
    fn finish(
        self,
        columns: &[Vec<Typed>],
        part: &mut partial::Part,
        above: &[u32],
        budget: &mut Budget,
        stop: &dyn Fn() -> bool,
    ) -> Result<(), Error> {
        use partial::Part;
        let bucket = |parent: usize| above.get(parent).copied().unwrap_or(0);
        let (slots, key): (Slots, Keys<'_>) = match (self.state, &mut *part) {
            (State::Terms(state), _) => (
                state.slots,
                Keys::Values(&columns[state.spec.column], state.spec.missing.as_ref()),
            ),
            (State::Dates(state), _) => (state.slots, Keys::From(state.base)),
            (State::Histogram(state), _) => (state.slots, Keys::From(state.base)),
            (State::Ranges(state), _) => (state.slots, Keys::From(0)),
            (State::Filter(state), _) => (state.slots, Keys::From(0)),
            (State::Measure(_, own), Part::Measures(all)) => {
                return partial::add(all, own, bucket, budget, |all, own| {
                    all.merge(&own);
                    0
                });
            }
            (State::Count(_, own), Part::Counts(all)) => {
                return partial::add(all, own, bucket, budget, |all, own| {
                    *all += own;
                    0
                });
            }
            (State::Percentiles(_, own), Part::Quantiles(all)) => {
                return partial::add(all, own, bucket, budget, partial::merge_quantiles);
            }
            (State::Distinct(mut state), Part::Distinct(all, _)) => {
                let exact_max = state.spec.exact_max;
                let rows = std::mem::take(&mut state.slots.rows);
                look_up(&rows, &columns[state.spec.column], None, stop, |at, scalar| {
                    let taken = state.hashed[rows[at].parent as usize].add(distinct::of(&scalar), exact_max);
                    budget.take(taken)
                })?;
                return partial::add(all, state.hashed, bucket, budget, |all, own| {
                    all.merge(&own, exact_max)
                });
            }
            _ => return Ok(()),
        };
        let Part::Buckets(all) = part else { return Ok(()) };
        let Slots { rows, counts, .. } = slots;
        all.reserve(rows.len());
        let mut numbers = vec![0; rows.len()];
        let mut add = |at: usize, scalar: Scalar| -> Result<(), Error> {
            let number = all.bucket(bucket(rows[at].parent as usize), scalar, budget)?;
            all.rows[number as usize].count += counts[at];
            numbers[at] = number;
            Ok(())
        };
        match key {
            Keys::Values(parts, missing) => look_up(&rows, parts, missing, stop, add)?,
            Keys::From(base) => {
                for (at, row) in rows.iter().enumerate() {
                    add(at, Scalar::Int(base.wrapping_add(row.value.cast_signed())))?;
                }
            }
        }
        for (sub, part) in self.subs.into_iter().zip(&mut all.subs) {
            sub.finish(columns, part, &numbers, budget, stop)?;
        }
        Ok(())
    }
}

/// What the values of rows stand for.
enum Keys<'a> {
    /// Values of columns, and the one of records without.
    Values(&'a [Typed], Option<&'a Scalar>),
    /// Numbers from this on.
    From(i64),
}

/// Calls `each` with every row and what its value stands for, in the order of values.
fn look_up(
    rows: &[Row],
    parts: &[Typed],
    missing: Option<&Scalar>,
    stop: &dyn Fn() -> bool,
    mut each: impl FnMut(usize, Scalar) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_unstable_by_key(|at| (rows[*at].part, rows[*at].value));
    for of_part in order.chunk_by(|a, b| rows[*a].part == rows[*b].part) {
        let Some(part) = of_part.first().map(|at| usize::from(rows[*at].part)) else {
            continue;
        };
        let Some(part) = parts.get(part) else {
            for at in of_part {
                each(*at, missing.cloned().unwrap_or(Scalar::Bool(false)))?;
            }
            continue;
        };
        let mut values: Vec<u64> = of_part.iter().map(|at| rows[*at].value).collect();
        values.dedup();
        let mut groups = of_part.chunk_by(|a, b| rows[*a].value == rows[*b].value);
        part.scalars(&values, stop, |scalar| {
            let Some((last, others)) = groups.next().and_then(<[usize]>::split_last) else {
                return Ok(());
            };
            others.iter().try_for_each(|at| each(*at, scalar.clone()))?;
            each(*last, scalar)
        })?;
    }
    Ok(())
}
