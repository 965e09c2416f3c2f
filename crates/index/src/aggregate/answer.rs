//! The answer, in Elasticsearch's shape.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use jiff::Timestamp;

use super::distinct;
use super::measure::Measure;
use super::partial::{Buckets, Part, Partial};
use super::quantiles::{self, Quantiles};
use super::request::{
    Aggregations, By, Dates, Histogram, OrderBy, Percentiles, Ranges, Shown, Spec, Statistic, Terms,
    TimeUnit, What,
};
use crate::Error;
use crate::search::Scalar;

const NS_PER_MS: i128 = 1_000_000;
/// Buckets written between two questions whether to stop.
const STOP_EVERY: usize = 256;

impl Partial {
    /// Returns the answer, a JSON object with a member for each aggregation.
    ///
    /// # Errors
    /// [`Error::TooManyBuckets`], [`Error::Stopped`].
    pub fn finish(self, aggregations: &Aggregations, stop: &dyn Fn() -> bool) -> Result<String, Error> {
        let levels: Vec<Level<'_>> = self.parts.iter().map(Level::new).collect();
        let mut writer = Writer {
            out: String::new(),
            buckets: 0,
            buckets_max: aggregations.limits.buckets_max,
            stop,
        };
        writer.out.push('{');
        writer.members(&aggregations.specs, &levels, Some(0), true)?;
        writer.out.push('}');
        Ok(writer.out)
    }
}

/// A part whose buckets can be found by the bucket above.
enum Level<'a> {
    Buckets {
        all: &'a Buckets,
        /// Numbers of buckets, by parent.
        by_parent: Vec<u32>,
        subs: Vec<Level<'a>>,
    },
    Leaf(&'a Part),
}

impl<'a> Level<'a> {
    fn new(part: &'a Part) -> Self {
        let Part::Buckets(all) = part else {
            return Self::Leaf(part);
        };
        let mut by_parent: Vec<u32> = (0u32..).zip(&all.rows).map(|(number, _)| number).collect();
        by_parent.sort_unstable_by_key(|number| all.rows[*number as usize].parent);
        Self::Buckets {
            all,
            by_parent,
            subs: all.subs.iter().map(Level::new).collect(),
        }
    }

    /// The buckets in one above; none in one that is not there.
    fn within(&self, above: Option<u32>) -> &[u32] {
        let (Self::Buckets { all, by_parent, .. }, Some(above)) = (self, above) else {
            return &[];
        };
        let parent = |number: &u32| all.rows[*number as usize].parent;
        let start = by_parent.partition_point(|number| parent(number) < above);
        let end = by_parent.partition_point(|number| parent(number) <= above);
        by_parent.get(start..end).unwrap_or_default()
    }

    fn subs(&self) -> &[Self] {
        match self {
            Self::Buckets { subs, .. } => subs,
            Self::Leaf(_) => &[],
        }
    }

    fn count(&self, number: u32) -> u64 {
        match self {
            Self::Buckets { all, .. } => all.rows[number as usize].count,
            Self::Leaf(_) => 0,
        }
    }

    fn key(&self, number: u32) -> &Scalar {
        match self {
            Self::Buckets { all, .. } => &all.rows[number as usize].key,
            Self::Leaf(_) => &Scalar::Bool(false),
        }
    }

    /// A whole-number key.
    fn index(&self, number: u32) -> i64 {
        match self.key(number) {
            Scalar::Int(index) => *index,
            _ => 0,
        }
    }

    /// A number of a bucket's own, by which it can be sorted.
    #[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
    fn statistic(&self, above: u32, statistic: Statistic) -> Option<f64> {
        let Self::Leaf(part) = self else { return None };
        let at = above as usize;
        match part {
            Part::Measures(all) => all.get(at).and_then(|measure| value(measure, statistic)),
            Part::Counts(all) => all.get(at).map(|count| *count as f64),
            Part::Distinct(all, _) => all.get(at).map(|distinct| distinct.count() as f64),
            Part::Quantiles(_) | Part::Buckets(_) => None,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
fn value(measure: &Measure, statistic: Statistic) -> Option<f64> {
    match statistic {
        Statistic::Count | Statistic::All => Some(measure.count as f64),
        Statistic::Sum => Some(measure.sum()),
        _ if measure.count == 0 => None,
        Statistic::Min => Some(measure.min),
        Statistic::Max => Some(measure.max),
        Statistic::Avg => Some(measure.avg()),
    }
}

struct Writer<'a> {
    out: String,
    buckets: usize,
    buckets_max: usize,
    stop: &'a dyn Fn() -> bool,
}

impl Writer<'_> {
    /// Writes `"name":…` for each aggregation, of the bucket `above`, or of one that is empty.
    fn members(
        &mut self,
        specs: &[Spec],
        levels: &[Level<'_>],
        above: Option<u32>,
        mut first: bool,
    ) -> Result<(), Error> {
        for (at, spec) in specs.iter().enumerate() {
            if !first {
                self.out.push(',');
            }
            first = false;
            self.string(&spec.name);
            self.out.push(':');
            let level = levels.get(at);
            self.aggregation(spec, level, above)?;
        }
        Ok(())
    }

    fn aggregation(
        &mut self,
        spec: &Spec,
        level: Option<&Level<'_>>,
        above: Option<u32>,
    ) -> Result<(), Error> {
        let nothing = Level::Leaf(&Part::Counts(Vec::new()));
        let level = level.unwrap_or(&nothing);
        match &spec.what {
            What::Terms(terms) => self.terms(spec, terms, level, above)?,
            What::Dates(dates) => self.dates(spec, dates, level, above)?,
            What::Histogram(histogram) => self.histogram(spec, histogram, level, above)?,
            What::Ranges(ranges) => self.ranges(spec, ranges, level, above)?,
            What::Filter(_) => {
                let bucket = level.within(above).first().copied();
                self.bucket(spec)?;
                self.out.push('{');
                self.rest(spec, level, bucket)?;
            }
            What::Measure(of) => {
                let empty = Measure::default();
                let measure = match (level, above) {
                    (Level::Leaf(Part::Measures(all)), Some(above)) => all.get(above as usize),
                    _ => None,
                };
                self.measure(measure.unwrap_or(&empty), of.which, of.shown);
            }
            What::Count(_) => {
                let count = match (level, above) {
                    (Level::Leaf(Part::Counts(all)), Some(above)) => all.get(above as usize),
                    _ => None,
                };
                self.write(format_args!("{{\"value\":{}}}", count.unwrap_or(&0)));
            }
            What::Distinct(_) => {
                let distinct = match (level, above) {
                    (Level::Leaf(Part::Distinct(all, _)), Some(above)) => all.get(above as usize),
                    _ => None,
                };
                let (count, error) = match distinct {
                    Some(distinct) if distinct.is_exact() => (distinct.count(), 0.0),
                    Some(distinct) => (distinct.count(), distinct::RELATIVE_ERROR),
                    None => (0, 0.0),
                };
                let error = number_text(error);
                self.write(format_args!("{{\"value\":{count},\"relative_error\":{error}}}"));
            }
            What::Percentiles(of) => {
                let empty = Quantiles::default();
                let quantiles = match (level, above) {
                    (Level::Leaf(Part::Quantiles(all)), Some(above)) => all.get(above as usize),
                    _ => None,
                };
                self.percentiles(of, quantiles.unwrap_or(&empty));
            }
        }
        Ok(())
    }

    fn terms(
        &mut self,
        spec: &Spec,
        terms: &Terms,
        level: &Level<'_>,
        above: Option<u32>,
    ) -> Result<(), Error> {
        let mut buckets: Vec<u32> = level.within(above).to_vec();
        buckets.retain(|bucket| level.count(*bucket) >= terms.min_count);
        let compare = |left: &u32, right: &u32| compare(&terms.order, level, *left, *right);
        let mut others = 0;
        if buckets.len() > terms.size {
            buckets.select_nth_unstable_by(terms.size, compare);
            let rest = buckets.split_off(terms.size);
            others = rest.iter().map(|bucket| level.count(*bucket)).sum();
        }
        if (self.stop)() {
            return Err(Error::Stopped);
        }
        buckets.sort_unstable_by(compare);
        self.write(format_args!(
            "{{\"doc_count_error_upper_bound\":0,\"sum_other_doc_count\":{others},\"buckets\":["
        ));
        for (at, bucket) in buckets.into_iter().enumerate() {
            self.separate(at);
            self.bucket(spec)?;
            self.out.push('{');
            self.term(level.key(bucket));
            self.out.push(',');
            self.rest(spec, level, Some(bucket))?;
        }
        self.out.push_str("]}");
        Ok(())
    }

    fn term(&mut self, key: &Scalar) {
        match key {
            Scalar::Bool(value) => {
                self.write(format_args!(
                    "\"key\":{},\"key_as_string\":\"{value}\"",
                    u8::from(*value)
                ));
            }
            Scalar::Int(number) => self.write(format_args!("\"key\":{number}")),
            Scalar::Big(number) => self.write(format_args!("\"key\":{number}")),
            Scalar::Float(number) => self.write(format_args!("\"key\":{}", number_text(*number))),
            Scalar::Ip(_) => self.write(format_args!("\"key\":\"{}\"", address_text(key))),
            Scalar::Text(text) => {
                self.out.push_str("\"key\":");
                self.string(text);
            }
        }
    }

    fn dates(
        &mut self,
        spec: &Spec,
        dates: &Dates,
        level: &Level<'_>,
        above: Option<u32>,
    ) -> Result<(), Error> {
        let index = |ns: i64| dates.interval.index(ns);
        let extended = dates.extended.map(|(min, max)| (index(min), index(max)));
        let buckets = self.filled(spec, level, above, dates.min_count, extended)?;
        self.open(dates.keyed);
        for (at, (index, bucket)) in buckets.into_iter().enumerate() {
            let start = dates.interval.start_ns(index);
            let text = time_text(start);
            self.separate(at);
            self.bucket(spec)?;
            if dates.keyed {
                self.write(format_args!("\"{text}\":"));
            }
            let ms = start.div_euclid(NS_PER_MS);
            self.write(format_args!("{{\"key_as_string\":\"{text}\",\"key\":{ms},"));
            self.rest(spec, level, bucket)?;
        }
        self.close(dates.keyed);
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "bounds of buckets are doubles")]
    fn histogram(
        &mut self,
        spec: &Spec,
        histogram: &Histogram,
        level: &Level<'_>,
        above: Option<u32>,
    ) -> Result<(), Error> {
        let extended = histogram
            .extended
            .and_then(|(min, max)| Some((histogram.index(min)?, histogram.index(max)?)));
        let buckets = self.filled(spec, level, above, histogram.min_count, extended)?;
        self.open(histogram.keyed);
        for (at, (index, bucket)) in buckets.into_iter().enumerate() {
            let key = number_text(index as f64 * histogram.interval + histogram.offset);
            self.separate(at);
            self.bucket(spec)?;
            if histogram.keyed {
                self.write(format_args!("\"{key}\":"));
            }
            self.write(format_args!("{{\"key\":{key},"));
            self.rest(spec, level, bucket)?;
        }
        self.close(histogram.keyed);
        Ok(())
    }

    /// Buckets by ascending index; those without records too, if they are wanted.
    fn filled(
        &self,
        spec: &Spec,
        level: &Level<'_>,
        above: Option<u32>,
        min_count: u64,
        extended: Option<(i64, i64)>,
    ) -> Result<Vec<(i64, Option<u32>)>, Error> {
        let buckets: BTreeMap<i64, u32> = level
            .within(above)
            .iter()
            .filter(|bucket| level.count(**bucket) >= min_count)
            .map(|bucket| (level.index(*bucket), *bucket))
            .collect();
        let bounds = || Some((*buckets.first_key_value()?.0, *buckets.last_key_value()?.0));
        let bounds = match (bounds(), extended) {
            _ if min_count > 0 => None,
            (Some(own), Some(extended)) => Some((own.0.min(extended.0), own.1.max(extended.1))),
            (own, extended) => own.or(extended),
        };
        let Some((first, last)) = bounds else {
            return Ok(buckets
                .into_iter()
                .map(|(index, bucket)| (index, Some(bucket)))
                .collect());
        };
        let room = i128::try_from(self.buckets_max - self.buckets).unwrap_or(i128::MAX);
        if i128::from(last) - i128::from(first) >= room {
            return Err(self.too_many(spec));
        }
        Ok((first..=last)
            .map(|index| (index, buckets.get(&index).copied()))
            .collect())
    }

    fn ranges(
        &mut self,
        spec: &Spec,
        ranges: &Ranges,
        level: &Level<'_>,
        above: Option<u32>,
    ) -> Result<(), Error> {
        use std::ops::Bound;
        let buckets: BTreeMap<i64, u32> = level
            .within(above)
            .iter()
            .map(|bucket| (level.index(*bucket), *bucket))
            .collect();
        self.open(ranges.keyed);
        for (at, range) in ranges.ranges.iter().enumerate() {
            self.separate(at);
            self.bucket(spec)?;
            if ranges.keyed {
                self.string(&range.key);
                self.out.push_str(":{");
            } else {
                self.out.push_str("{\"key\":");
                self.string(&range.key);
                self.out.push(',');
            }
            for (name, bound) in [("from", &range.from), ("to", &range.to)] {
                if let Bound::Included(scalar) | Bound::Excluded(scalar) = bound {
                    self.bound(name, scalar, ranges.shown);
                }
            }
            let bucket = i64::try_from(at).ok().and_then(|at| buckets.get(&at)).copied();
            self.rest(spec, level, bucket)?;
        }
        self.close(ranges.keyed);
        Ok(())
    }

    fn bound(&mut self, name: &str, scalar: &Scalar, shown: Shown) {
        let ns = match (shown, scalar) {
            (Shown::Time(TimeUnit::Ns), Scalar::Int(ns)) => i128::from(*ns),
            (Shown::Time(TimeUnit::Ms), Scalar::Int(ms)) => i128::from(*ms) * NS_PER_MS,
            (Shown::Address, scalar) => {
                return self.write(format_args!("\"{name}\":\"{}\",", address_text(scalar)));
            }
            (_, scalar) => {
                let number = number_text(scalar.as_f64().unwrap_or_default());
                return self.write(format_args!("\"{name}\":{number},"));
            }
        };
        let (ms, text) = (ns.div_euclid(NS_PER_MS), time_text(ns));
        self.write(format_args!("\"{name}\":{ms},\"{name}_as_string\":\"{text}\","));
    }

    fn measure(&mut self, measure: &Measure, which: Statistic, shown: Shown) {
        self.out.push('{');
        if which == Statistic::All {
            self.write(format_args!("\"count\":{}", measure.count));
            for (name, statistic) in [
                ("min", Statistic::Min),
                ("max", Statistic::Max),
                ("avg", Statistic::Avg),
                ("sum", Statistic::Sum),
            ] {
                self.out.push(',');
                self.number(
                    name,
                    value(measure, statistic),
                    shown,
                    statistic != Statistic::Sum,
                );
            }
        } else {
            self.number("value", value(measure, which), shown, which != Statistic::Sum);
        }
        self.out.push('}');
    }

    /// Writes a number, and beside it the time that it is, if it is one.
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    fn number(&mut self, name: &str, number: Option<f64>, shown: Shown, is_time: bool) {
        let text = number.map_or_else(|| "null".to_owned(), number_text);
        self.write(format_args!("\"{name}\":{text}"));
        if let (Some(ms), Shown::Time(_), true) = (number, shown, is_time) {
            let text = time_text((ms as i128).saturating_mul(NS_PER_MS));
            let name = if name == "value" {
                "value_as_string".to_owned()
            } else {
                format!("{name}_as_string")
            };
            self.write(format_args!(",\"{name}\":\"{text}\""));
        }
    }

    fn percentiles(&mut self, of: &Percentiles, quantiles: &Quantiles) {
        self.out.push_str(if of.keyed {
            "{\"values\":{"
        } else {
            "{\"values\":["
        });
        for (at, percent) in of.percents.iter().enumerate() {
            self.separate(at);
            let value = quantiles
                .at(*percent)
                .map_or_else(|| "null".to_owned(), number_text);
            let percent = number_text(*percent);
            if of.keyed {
                self.write(format_args!("\"{percent}\":{value}"));
            } else {
                self.write(format_args!("{{\"key\":{percent},\"value\":{value}}}"));
            }
        }
        let error = number_text(quantiles::RELATIVE_ERROR);
        let end = if of.keyed { '}' } else { ']' };
        self.write(format_args!("{end},\"relative_error\":{error}}}"));
    }

    /// Counts a bucket.
    fn bucket(&mut self, spec: &Spec) -> Result<(), Error> {
        self.buckets += 1;
        if self.buckets > self.buckets_max {
            return Err(self.too_many(spec));
        }
        if self.buckets.is_multiple_of(STOP_EVERY) && (self.stop)() {
            return Err(Error::Stopped);
        }
        Ok(())
    }

    fn too_many(&self, spec: &Spec) -> Error {
        Error::TooManyBuckets {
            aggregation: spec.name.clone(),
            limit: self.buckets_max,
        }
    }

    /// Writes the count of a bucket and what is in it, to its end.
    fn rest(&mut self, spec: &Spec, level: &Level<'_>, bucket: Option<u32>) -> Result<(), Error> {
        let count = bucket.map_or(0, |bucket| level.count(bucket));
        self.write(format_args!("\"doc_count\":{count}"));
        self.members(&spec.subs, level.subs(), bucket, false)?;
        self.out.push('}');
        Ok(())
    }

    fn open(&mut self, keyed: bool) {
        self.out
            .push_str(if keyed { "{\"buckets\":{" } else { "{\"buckets\":[" });
    }

    fn close(&mut self, keyed: bool) {
        self.out.push_str(if keyed { "}}" } else { "]}" });
    }

    fn separate(&mut self, at: usize) {
        if at > 0 {
            self.out.push(',');
        }
    }

    fn string(&mut self, text: &str) {
        // Strings always serialise.
        self.out
            .push_str(&serde_json::to_string(text).unwrap_or_default());
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.out.write_fmt(text);
    }
}

/// In the order asked for; equals, and those without the number, by key.
fn compare(order: &[OrderBy], level: &Level<'_>, left: u32, right: u32) -> Ordering {
    let by_key = || level.key(left).cmp(level.key(right));
    let one = |order: &OrderBy| {
        let ascending = match order.by {
            By::Count => level.count(left).cmp(&level.count(right)),
            By::Key => by_key(),
            By::Sub(at, statistic) => {
                let number = |bucket| {
                    level
                        .subs()
                        .get(at)
                        .and_then(|sub| sub.statistic(bucket, statistic))
                };
                match (number(left), number(right)) {
                    (Some(left), Some(right)) => left.total_cmp(&right),
                    // Last, in both directions.
                    (left, right) => return right.is_some().cmp(&left.is_some()),
                }
            }
        };
        if order.descending {
            ascending.reverse()
        } else {
            ascending
        }
    };
    order
        .iter()
        .map(one)
        .find(|ordering| *ordering != Ordering::Equal)
        .unwrap_or_else(by_key)
}

/// A number as JSON has it; `null` if JSON has none.
pub(super) fn number_text(number: f64) -> String {
    serde_json::Number::from_f64(number).map_or_else(|| "null".to_owned(), |number| number.to_string())
}

/// A time as RFC 3339; beyond year 9999, the milliseconds.
pub(super) fn time_text(ns: i128) -> String {
    match Timestamp::from_nanosecond(ns) {
        Ok(at) => at.to_string(),
        Err(_) => ns.div_euclid(NS_PER_MS).to_string(),
    }
}

pub(super) fn address_text(scalar: &Scalar) -> String {
    let ip = scalar.ip().map(|ip| IpAddr::V6(ip).to_canonical());
    ip.map(|ip| ip.to_string()).unwrap_or_default()
}
