//! From JSON to checked aggregations.

use std::net::{IpAddr, Ipv6Addr};
use std::ops::Bound;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::field::{Field, Holds};
use super::time::time;
use super::{
    AGGREGATIONS_MAX, Accepted, AggLimits, Aggregations, By, DEPTH_MAX, Dates, DistinctOf, Histogram,
    LIST_MAX, MeasureOf, NAME_BYTES_MAX, OrderBy, Percentiles, REQUEST_BYTES_MAX, RangeOf, Ranges, Shown,
    Spec, Statistic, Terms, TimeUnit, Used, What, body,
};
use crate::aggregate::answer::{address_text, number_text, time_text};
use crate::aggregate::interval::Interval;
use crate::query::column;
use crate::search::Scalar;
use crate::{Condition, ParseOptions, Query, QueryError};

const KINDS: &str = "terms, date_histogram, histogram, range, date_range, ip_range, filter, stats, min, max, avg, sum, \
                     value_count, cardinality, percentiles";
/// Values counted exactly by `cardinality`, unless asked otherwise, and at most.
const EXACT_DEFAULT: u64 = 3000;
const EXACT_MAX: u64 = 40_000;
const PERCENTS_DEFAULT: [f64; 7] = [1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0];
const TERMS_DEFAULT: u64 = 10;

pub(super) fn parse(
    text: &str,
    options: &ParseOptions,
    limits: AggLimits,
    conditions: &[Condition],
) -> Result<Aggregations, QueryError> {
    if text.len() > REQUEST_BYTES_MAX {
        return Err(error(format!(
            "aggregations are longer than {REQUEST_BYTES_MAX} bytes"
        )));
    }
    let value: Value = serde_json::from_str(text).map_err(|problem| QueryError {
        message: format!("aggregations are no JSON: {problem}"),
        column: (problem.line() == 1).then(|| problem.column().saturating_sub(1)),
        suggestion: None,
    })?;
    let mut parser = Parser {
        options,
        limits,
        conditions,
        columns: Vec::new(),
        seen: 0,
    };
    let specs = parser.specs(value, 1, "")?;
    Ok(Aggregations {
        specs,
        columns: parser.columns,
        limits,
    })
}

fn error(message: String) -> QueryError {
    QueryError {
        message,
        column: None,
        suggestion: None,
    }
}

struct Parser<'a> {
    options: &'a ParseOptions,
    limits: AggLimits,
    conditions: &'a [Condition],
    columns: Vec<Used>,
    seen: usize,
}

impl Parser<'_> {
    fn specs(&mut self, value: Value, depth: usize, above: &str) -> Result<Vec<Spec>, QueryError> {
        let Value::Object(named) = value else {
            return Err(error(format!("aggregations{} are an object of names", of(above))));
        };
        if depth > DEPTH_MAX {
            return Err(error(format!(
                "aggregations are nested more than {DEPTH_MAX} deep"
            )));
        }
        self.seen += named.len();
        if self.seen > AGGREGATIONS_MAX {
            return Err(error(format!(
                "there are more than {AGGREGATIONS_MAX} aggregations"
            )));
        }
        named
            .into_iter()
            .map(|(name, value)| self.spec(name, value, depth, above))
            .collect()
    }

    fn spec(&mut self, name: String, value: Value, depth: usize, above: &str) -> Result<Spec, QueryError> {
        const RESERVED: [&str; 8] = [
            "key",
            "key_as_string",
            "doc_count",
            "from",
            "to",
            "from_as_string",
            "to_as_string",
            "buckets",
        ];
        let path = if above.is_empty() {
            name.clone()
        } else {
            format!("{above}.{name}")
        };
        let bad = |c: char| matches!(c, '[' | ']' | '>' | '.') || c.is_control();
        if name.is_empty()
            || name.len() > NAME_BYTES_MAX
            || name.contains(bad)
            || RESERVED.contains(&name.as_str())
        {
            return Err(error(format!(
                "{path:?} cannot be the name of an aggregation: it is empty, too long, reserved, or has one of [ ] > ."
            )));
        }
        let Value::Object(mut parts) = value else {
            return Err(error(format!("aggregation {path:?} is no object")));
        };
        let subs = match (parts.remove("aggs"), parts.remove("aggregations")) {
            (Some(_), Some(_)) => {
                return Err(error(format!(
                    "aggregation {path:?} has both aggs and aggregations"
                )));
            }
            (Some(subs), None) | (None, Some(subs)) => self.specs(subs, depth + 1, &path)?,
            (None, None) => Vec::new(),
        };
        let mut kinds = parts.into_iter();
        let (Some((kind, body)), None) = (kinds.next(), kinds.next()) else {
            return Err(error(format!(
                "aggregation {path:?} needs exactly one of {KINDS}"
            )));
        };
        let what = self.what(&kind, body, &subs).map_err(|problem| QueryError {
            message: format!("aggregation {path:?}: {}", problem.message),
            ..problem
        })?;
        let is_bucket = matches!(
            what,
            What::Terms(_) | What::Dates(_) | What::Histogram(_) | What::Ranges(_) | What::Filter(_)
        );
        if !is_bucket && !subs.is_empty() {
            return Err(error(format!(
                "aggregation {path:?}: {kind} has no buckets to aggregate in"
            )));
        }
        Ok(Spec { name, what, subs })
    }

    fn what(&mut self, kind: &str, body: Value, subs: &[Spec]) -> Result<What, QueryError> {
        match kind {
            "terms" => self.terms(read(body)?, subs),
            "date_histogram" => self.dates(read(body)?),
            "histogram" => self.histogram(read(body)?),
            "range" | "date_range" | "ip_range" => self.ranges(kind, read(body)?),
            "filter" => self.filter(body),
            "stats" => self.measure(read(body)?, Statistic::All),
            "min" => self.measure(read(body)?, Statistic::Min),
            "max" => self.measure(read(body)?, Statistic::Max),
            "avg" => self.measure(read(body)?, Statistic::Avg),
            "sum" => self.measure(read(body)?, Statistic::Sum),
            "value_count" => {
                let body: body::Count = read(body)?;
                Ok(What::Count(self.field(&body.field, false)?.at))
            }
            "cardinality" => self.distinct(read(body)?),
            "percentiles" => self.percentiles(read(body)?),
            _ => Err(error(format!("{kind:?} is not supported; there are {KINDS}"))),
        }
    }

    /// Finds a column on the side that the reader may see.
    fn field(&mut self, name: &str, once: bool) -> Result<Field, QueryError> {
        let column = column(name, self.options.personal)?;
        let holds = Holds::of(&column);
        let used = Used { column, once };
        let at = match self.columns.iter().position(|known| *known == used) {
            Some(at) => at,
            None => {
                self.columns.push(used);
                self.columns.len() - 1
            }
        };
        Ok(Field {
            name: name.to_owned(),
            at,
            holds,
        })
    }

    fn terms(&mut self, body: body::Terms, subs: &[Spec]) -> Result<What, QueryError> {
        let field = self.field(&body.field, true)?;
        if let Holds::Times(_) = field.holds {
            return Err(error(format!("{:?} holds times: use date_histogram", field.name)));
        }
        let size = body.size.unwrap_or(TERMS_DEFAULT);
        let size = usize::try_from(size)
            .ok()
            .filter(|size| (1..=self.limits.buckets_max).contains(size));
        let size = size.ok_or_else(|| error(format!("size is 1 to {}", self.limits.buckets_max)))?;
        if body.min_doc_count == Some(0) {
            return Err(error(
                "min_doc_count of terms is at least 1: values without hits are not listed".to_owned(),
            ));
        }
        // Any string may stand for no address.
        let text = |value: &Value| value.as_str().map(|text| Scalar::Text(text.into()));
        let missing = |value: Value| {
            let scalar = field.holds.scalar(&value).or_else(|| text(&value));
            scalar.ok_or_else(|| unfit(&field, "missing"))
        };
        let missing = body.missing.map(missing).transpose()?;
        let include = body
            .include
            .map(|value| accepted(&field, &value, "include"))
            .transpose()?;
        let exclude = body
            .exclude
            .map(|value| accepted(&field, &value, "exclude"))
            .transpose()?;
        Ok(What::Terms(Terms {
            column: field.at,
            size,
            min_count: body.min_doc_count.unwrap_or(1),
            order: order(body.order, subs)?,
            missing,
            include,
            exclude: exclude.unwrap_or_default(),
        }))
    }

    fn dates(&mut self, body: body::Dates) -> Result<What, QueryError> {
        let field = self.field(&body.field, true)?;
        let Holds::Times(unit) = field.holds else {
            return Err(error(format!("{:?} holds no times", field.name)));
        };
        let mut interval = match (&body.fixed_interval, &body.calendar_interval) {
            (Some(text), None) => Interval::fixed(text).ok_or_else(|| {
                error(format!(
                    "fixed_interval {text:?} is no number of ms, s, m, h or d"
                ))
            })?,
            (None, Some(text)) => Interval::calendar(text).ok_or_else(|| {
                error(format!(
                    "calendar_interval {text:?} is none of minute, hour, day, week, month, quarter, year"
                ))
            })?,
            _ => {
                return Err(error(
                    "either fixed_interval or calendar_interval is needed".to_owned(),
                ));
            }
        };
        if let Some(offset) = &body.offset {
            interval = interval
                .moved(offset)
                .ok_or_else(|| error(format!("offset {offset:?} is no number of ms, s, m, h or d")))?;
        }
        let min_count = min_count(body.min_doc_count, body.extended_bounds.is_some())?;
        Ok(What::Dates(Dates {
            column: field.at,
            unit,
            interval,
            min_count,
            keyed: body.keyed,
            hard: bounds(body.hard_bounds, time)?,
            extended: bounds(body.extended_bounds, time)?,
        }))
    }

    fn histogram(&mut self, body: body::Histogram) -> Result<What, QueryError> {
        let field = self.field(&body.field, true)?;
        match field.holds {
            Holds::Numbers | Holds::Anything => {}
            Holds::Times(_) => {
                return Err(error(format!("{:?} holds times: use date_histogram", field.name)));
            }
            Holds::Addresses | Holds::Strings => return Err(unmeasured(&field)),
        }
        let offset = body.offset.unwrap_or(0.0);
        if !(body.interval > 0.0 && body.interval.is_finite() && offset.is_finite()) {
            return Err(error("interval is a number above 0".to_owned()));
        }
        let min_count = min_count(body.min_doc_count, body.extended_bounds.is_some())?;
        let histogram = Histogram {
            column: field.at,
            interval: body.interval,
            offset,
            min_count,
            keyed: body.keyed,
            hard: bounds(body.hard_bounds, Value::as_f64)?,
            extended: bounds(body.extended_bounds, Value::as_f64)?,
        };
        let beyond =
            |(min, max): (f64, f64)| histogram.index(min).is_none() || histogram.index(max).is_none();
        if histogram.extended.is_some_and(beyond) {
            return Err(error("extended_bounds lie beyond 2^63 intervals".to_owned()));
        }
        Ok(What::Histogram(histogram))
    }

    fn ranges(&mut self, kind: &str, body: body::Ranges) -> Result<What, QueryError> {
        let field = self.field(&body.field, true)?;
        let shown = match (field.holds, kind) {
            (Holds::Numbers | Holds::Anything, "range") => Shown::Number,
            (Holds::Times(unit), "range" | "date_range") => Shown::Time(unit),
            (Holds::Addresses, "range" | "ip_range") => Shown::Address,
            _ => return Err(error(format!("{:?} has no values for {kind}", field.name))),
        };
        if body.ranges.is_empty() || body.ranges.len() > LIST_MAX {
            return Err(error(format!("there are 1 to {LIST_MAX} ranges")));
        }
        let ranges = body.ranges.into_iter().map(|range| range_of(range, shown));
        Ok(What::Ranges(Ranges {
            column: field.at,
            keyed: body.keyed,
            shown,
            ranges: ranges.collect::<Result<_, _>>()?,
        }))
    }

    fn filter(&self, body: Value) -> Result<What, QueryError> {
        let text = match read(body)? {
            body::Filter::Text(text) => text,
            body::Filter::Query(body) => body.query,
            body::Filter::Named(body) => body.query_string.query,
            body::Filter::Numbered(body) => {
                let condition = self.conditions.get(body.condition);
                let condition = condition.ok_or_else(|| error("no such condition".to_owned()))?;
                return Ok(What::Filter(Query::build(condition, self.options)?));
            }
        };
        Ok(What::Filter(Query::parse(&text, self.options)?))
    }

    fn measure(&mut self, body: body::Measure, which: Statistic) -> Result<What, QueryError> {
        let field = self.field(&body.field, false)?;
        let shown = field.holds.measured().ok_or_else(|| unmeasured(&field))?;
        let missing = missing_number(&field, body.missing.as_ref(), shown)?;
        Ok(What::Measure(MeasureOf {
            column: field.at,
            which,
            shown,
            missing,
        }))
    }

    fn distinct(&mut self, body: body::Distinct) -> Result<What, QueryError> {
        let exact_max = body.precision_threshold.unwrap_or(EXACT_DEFAULT).min(EXACT_MAX);
        Ok(What::Distinct(DistinctOf {
            column: self.field(&body.field, true)?.at,
            exact_max: usize::try_from(exact_max).unwrap_or(usize::MAX),
        }))
    }

    fn percentiles(&mut self, body: body::Percentiles) -> Result<What, QueryError> {
        let field = self.field(&body.field, false)?;
        match field.holds {
            Holds::Numbers | Holds::Anything => {}
            Holds::Times(_) => {
                return Err(error(format!(
                    "{:?} holds times, of which a percentile would be off by months: use date_histogram",
                    field.name
                )));
            }
            Holds::Addresses | Holds::Strings => return Err(unmeasured(&field)),
        }
        let percents = body.percents.unwrap_or_else(|| PERCENTS_DEFAULT.to_vec());
        if percents.len() > LIST_MAX || !percents.iter().all(|percent| (0.0..=100.0).contains(percent)) {
            return Err(error(format!(
                "percents are at most {LIST_MAX} numbers of 0 to 100"
            )));
        }
        Ok(What::Percentiles(Percentiles {
            column: field.at,
            percents,
            keyed: body.keyed.unwrap_or(true),
            missing: missing_number(&field, body.missing.as_ref(), Shown::Number)?,
        }))
    }
}

fn of(above: &str) -> String {
    if above.is_empty() {
        String::new()
    } else {
        format!(" of {above:?}")
    }
}

fn read<T: DeserializeOwned>(body: Value) -> Result<T, QueryError> {
    serde_json::from_value(body).map_err(|problem| error(problem.to_string()))
}

fn unfit(field: &Field, setting: &str) -> QueryError {
    error(format!("{setting} does not fit the values of {:?}", field.name))
}

fn unmeasured(field: &Field) -> QueryError {
    error(format!("{:?} holds no numbers", field.name))
}

fn accepted(field: &Field, value: &Value, setting: &str) -> Result<Vec<Accepted>, QueryError> {
    match field.holds.accepted(value) {
        Some(values) if values.len() <= LIST_MAX => Ok(values),
        Some(_) => Err(error(format!("{setting} lists at most {LIST_MAX} values"))),
        None => Err(error(format!(
            "{setting} is a list of values, or how strings start, with a * at the end; regular expressions are not supported"
        ))),
    }
}

fn missing_number(field: &Field, value: Option<&Value>, shown: Shown) -> Result<Option<f64>, QueryError> {
    let Some(value) = value else { return Ok(None) };
    let number = match shown {
        Shown::Time(_) => time(value).map(ms_of),
        Shown::Number | Shown::Address => value.as_f64(),
    };
    number.map(Some).ok_or_else(|| unfit(field, "missing"))
}

#[expect(clippy::cast_precision_loss, reason = "whole milliseconds are below 2^53")]
fn ms_of(ns: i64) -> f64 {
    ns.div_euclid(1_000_000) as f64
}

fn min_count(given: Option<u64>, extended: bool) -> Result<u64, QueryError> {
    match given {
        Some(1..) if extended => Err(error("extended_bounds need min_doc_count 0".to_owned())),
        given => Ok(given.unwrap_or(0)),
    }
}

fn bounds<T: PartialOrd>(
    given: Option<body::Bounds>,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Option<(T, T)>, QueryError> {
    let Some(given) = given else { return Ok(None) };
    match (read(&given.min), read(&given.max)) {
        (Some(min), Some(max)) if min <= max => Ok(Some((min, max))),
        _ => Err(error("bounds need a min and a max, in order".to_owned())),
    }
}

fn order(given: Option<Value>, subs: &[Spec]) -> Result<Vec<OrderBy>, QueryError> {
    let orders = match given {
        None => {
            return Ok(vec![OrderBy {
                by: By::Count,
                descending: true,
            }]);
        }
        Some(Value::Array(orders)) if orders.len() <= LIST_MAX => orders,
        Some(one) => vec![one],
    };
    orders.into_iter().map(|one| order_by(one, subs)).collect()
}

fn order_by(value: Value, subs: &[Spec]) -> Result<OrderBy, QueryError> {
    let expected =
        || error(r#"an order is {"_count", "_key" or a sub-aggregation: "asc" or "desc"}"#.to_owned());
    let one: Map<String, Value> = serde_json::from_value(value).map_err(|_| expected())?;
    let mut entries = one.into_iter();
    let (Some((target, direction)), None) = (entries.next(), entries.next()) else {
        return Err(expected());
    };
    let descending = match direction.as_str() {
        Some("asc") => false,
        Some("desc") => true,
        _ => return Err(expected()),
    };
    let by = match target.as_str() {
        "_count" => By::Count,
        "_key" | "_term" => By::Key,
        path => sub_statistic(path, subs)?,
    };
    Ok(OrderBy { by, descending })
}

/// `name` of a single number, or `name.avg` of several.
fn sub_statistic(path: &str, subs: &[Spec]) -> Result<By, QueryError> {
    let (name, part) = match path.split_once('.') {
        Some((name, part)) => (name, Some(part)),
        None => (path, None),
    };
    let at = subs.iter().position(|sub| sub.name == name);
    let at = at.ok_or_else(|| error(format!("order: there is no sub-aggregation {name:?}")))?;
    let statistic = match (&subs[at].what, part) {
        (What::Measure(measure), None | Some("value")) if measure.which != Statistic::All => measure.which,
        (What::Measure(measure), Some(part)) if measure.which == Statistic::All => match part {
            "count" => Statistic::Count,
            "min" => Statistic::Min,
            "max" => Statistic::Max,
            "avg" => Statistic::Avg,
            "sum" => Statistic::Sum,
            _ => return Err(error(format!("order: stats have no {part:?}"))),
        },
        (What::Count(_) | What::Distinct(_), None | Some("value")) => Statistic::Count,
        _ => return Err(error(format!("order: {path:?} is no single number"))),
    };
    Ok(By::Sub(at, statistic))
}

fn range_of(range: body::Range, shown: Shown) -> Result<RangeOf, QueryError> {
    let unfit = || error("a range has a from, a to, or both, that fit the field".to_owned());
    if let Some(mask) = &range.mask {
        let network =
            network(mask).filter(|_| shown == Shown::Address && range.from.is_none() && range.to.is_none());
        let (first, last) = network.ok_or_else(unfit)?;
        return Ok(RangeOf {
            key: range.key.unwrap_or_else(|| mask.clone()),
            from: Bound::Included(Scalar::Ip(first)),
            to: Bound::Included(Scalar::Ip(last)),
        });
    }
    let bound = |value: &Option<Value>| match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => bound(value, shown).map(Some).ok_or_else(unfit),
    };
    let (from, to) = (bound(&range.from)?, bound(&range.to)?);
    let text = |bound: &Option<Scalar>| match bound {
        None => "*".to_owned(),
        Some(scalar) => bound_text(scalar, shown),
    };
    Ok(RangeOf {
        key: range
            .key
            .unwrap_or_else(|| format!("{}-{}", text(&from), text(&to))),
        from: from.map_or(Bound::Unbounded, Bound::Included),
        to: to.map_or(Bound::Unbounded, Bound::Excluded),
    })
}

fn bound(value: &Value, shown: Shown) -> Option<Scalar> {
    match shown {
        Shown::Number => value.as_f64().map(Scalar::float),
        Shown::Time(TimeUnit::Ns) => time(value).map(Scalar::Int),
        // Within a millisecond there are no times of receipt: the first at or after the bound counts.
        Shown::Time(TimeUnit::Ms) => time(value).map(|ns| Scalar::Int(-(-ns).div_euclid(1_000_000))),
        Shown::Address => Holds::Addresses
            .scalar(value)
            .filter(|scalar| scalar.ip().is_some()),
    }
}

fn bound_text(scalar: &Scalar, shown: Shown) -> String {
    match (shown, scalar) {
        (Shown::Time(TimeUnit::Ns), Scalar::Int(ns)) => time_text(i128::from(*ns)),
        (Shown::Time(TimeUnit::Ms), Scalar::Int(ms)) => time_text(i128::from(*ms) * 1_000_000),
        (Shown::Address, scalar) => address_text(scalar),
        (_, scalar) => number_text(scalar.as_f64().unwrap_or_default()),
    }
}

/// First and last address of `10.0.0.0/8`.
fn network(text: &str) -> Option<([u8; 16], [u8; 16])> {
    let (address, length) = text.split_once('/')?;
    let (address, length) = (address.parse::<IpAddr>().ok()?, length.parse::<u32>().ok()?);
    let prefix = match address {
        IpAddr::V4(_) => 96 + Some(length).filter(|length| *length <= 32)?,
        IpAddr::V6(_) => Some(length).filter(|length| *length <= 128)?,
    };
    let host_bits = u128::MAX.checked_shr(prefix).unwrap_or(0);
    let bits = crate::document::mapped(address).to_bits();
    let octets = |bits: u128| Ipv6Addr::from_bits(bits).octets();
    Some((octets(bits & !host_bits), octets(bits | host_bits)))
}
