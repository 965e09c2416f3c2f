//! What is asked for, checked.

mod body;
mod field;
mod parse;
mod time;

use std::ops::Bound;

use super::AggLimits;
use super::interval::Interval;
use crate::query::ColumnRef;
use crate::schema::Side;
use crate::search::Scalar;
use crate::{Condition, IndexPolicy, ParseOptions, Query, QueryError};

/// Length of a request (bytes).
const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// Aggregations in one request, on all levels together.
const AGGREGATIONS_MAX: usize = 64;
/// Levels of aggregations in aggregations.
const DEPTH_MAX: usize = 8;
/// Length of an aggregation's name (bytes).
const NAME_BYTES_MAX: usize = 256;
/// Ranges, percentiles, orders, or values to include of one aggregation.
const LIST_MAX: usize = 512;

/// Aggregations, checked and resolved. Good for every split.
#[derive(Clone, Debug)]
pub struct Aggregations {
    pub(super) specs: Vec<Spec>,
    /// The columns that are read, each once.
    pub(super) columns: Vec<Used>,
    pub(super) limits: AggLimits,
}

impl Aggregations {
    /// Reads a JSON object of names and aggregations, as Elasticsearch's `aggs`:
    /// `{"by_actor": {"terms": {"field": "actor.id"}, "aggs": {…}}}`.
    ///
    /// # Errors
    /// [`QueryError`] for text that is no such object, unknown aggregations, settings and fields, fields without a column or of
    /// an unfit type, and exceeded limits.
    pub fn parse(text: &str, options: &ParseOptions, limits: AggLimits) -> Result<Self, QueryError> {
        parse::parse(text, options, limits, &[])
    }

    /// Whether values about people are counted or measured.
    pub fn looks_at_people(&self) -> bool {
        let mut filtered = false;
        Spec::for_each(&self.specs, &mut |spec| {
            filtered |= matches!(&spec.what, What::Filter(query) if query.looks_at_people());
        });
        filtered || self.columns.iter().any(|used| used.column.side == Side::Personal)
    }

    /// The same with conditions, which the request refers to by their place: `{"filter": {"condition": 0}}`.
    ///
    /// # Errors
    /// As [`Aggregations::parse`], and [`Query::build`].
    pub fn parse_with(
        text: &str,
        options: &ParseOptions,
        limits: AggLimits,
        conditions: &[Condition],
    ) -> Result<Self, QueryError> {
        parse::parse(text, options, limits, conditions)
    }

    /// The least policy under which a split can be aggregated.
    pub fn needs(&self) -> IndexPolicy {
        let columns = self.columns.iter().map(|used| used.column.needs());
        let mut policy = columns.fold(IndexPolicy::minimal(), |all, one| all.union(&one));
        Spec::for_each(&self.specs, &mut |spec| {
            if let What::Filter(query) = &spec.what {
                policy = policy.union(&query.needs());
            }
        });
        policy
    }
}

/// A column that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) column: ColumnRef,
    /// Values that a record has twice count once: for buckets and different values, not for sums.
    pub(super) once: bool,
}

/// Which of [`Aggregations::columns`].
pub(super) type ColumnAt = usize;

/// One aggregation.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub(super) name: String,
    pub(super) what: What,
    pub(super) subs: Vec<Spec>,
}

impl Spec {
    fn for_each<'a>(specs: &'a [Self], each: &mut dyn FnMut(&'a Self)) {
        for spec in specs {
            each(spec);
            Self::for_each(&spec.subs, each);
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Terms(Terms),
    Dates(Dates),
    Histogram(Histogram),
    Ranges(Ranges),
    Filter(Query),
    Measure(MeasureOf),
    /// How many values there are.
    Count(ColumnAt),
    Distinct(DistinctOf),
    Percentiles(Percentiles),
}

/// Buckets by value.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) column: ColumnAt,
    pub(super) size: usize,
    pub(super) min_count: u64,
    pub(super) order: Vec<OrderBy>,
    /// The value of records without one.
    pub(super) missing: Option<Scalar>,
    pub(super) include: Option<Vec<Accepted>>,
    pub(super) exclude: Vec<Accepted>,
}

/// Values that are let in, or kept out.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Accepted {
    Value(Scalar),
    /// Strings that start so.
    Start(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OrderBy {
    pub(super) by: By,
    pub(super) descending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Count,
    Key,
    /// A number of the sub-aggregation at this place.
    Sub(usize, Statistic),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Statistic {
    Count,
    Min,
    Max,
    Avg,
    Sum,
    /// All five.
    All,
}

/// Buckets by time.
#[derive(Clone, Debug)]
pub(super) struct Dates {
    pub(super) column: ColumnAt,
    pub(super) unit: TimeUnit,
    pub(super) interval: Interval,
    pub(super) min_count: u64,
    pub(super) keyed: bool,
    /// Times (ns) beyond these count in no bucket.
    pub(super) hard: Option<(i64, i64)>,
    /// Buckets of these times are there even if they are empty.
    pub(super) extended: Option<(i64, i64)>,
}

/// What a column of times holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeUnit {
    Ns,
    Ms,
}

/// Buckets by number.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    pub(super) column: ColumnAt,
    pub(super) interval: f64,
    pub(super) offset: f64,
    pub(super) min_count: u64,
    pub(super) keyed: bool,
    pub(super) hard: Option<(f64, f64)>,
    pub(super) extended: Option<(f64, f64)>,
}

/// Buckets by bounds.
#[derive(Clone, Debug)]
pub(super) struct Ranges {
    pub(super) column: ColumnAt,
    pub(super) keyed: bool,
    pub(super) shown: Shown,
    pub(super) ranges: Vec<RangeOf>,
}

/// How bounds and measures of a column are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Number,
    /// Milliseconds since 1970, and as RFC 3339.
    Time(TimeUnit),
    Address,
}

#[derive(Clone, Debug)]
pub(super) struct RangeOf {
    pub(super) key: String,
    /// In the unit of the column.
    pub(super) from: Bound<Scalar>,
    pub(super) to: Bound<Scalar>,
}

/// Statistics of numbers.
#[derive(Clone, Debug)]
pub(super) struct MeasureOf {
    pub(super) column: ColumnAt,
    pub(super) which: Statistic,
    pub(super) shown: Shown,
    pub(super) missing: Option<f64>,
}

/// How many different values there are.
#[derive(Clone, Debug)]
pub(super) struct DistinctOf {
    pub(super) column: ColumnAt,
    /// So many are counted exactly.
    pub(super) exact_max: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Percentiles {
    pub(super) column: ColumnAt,
    pub(super) percents: Vec<f64>,
    pub(super) keyed: bool,
    pub(super) missing: Option<f64>,
}
