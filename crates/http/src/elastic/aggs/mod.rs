//! Aggregations: translated into native ones, whose answers are then put into Elasticsearch's exact shape.
//!
//! Names are replaced by short ones on the way, so that any name works. What the native aggregations do not do is refused.

mod answer;
mod bucket;
mod dates;
mod metric;
mod settings;

use attestore_engine::search::Condition;
use jiff::tz::Offset;
use serde_json::{Map, Value};

use super::answer::Refusal;
use super::dates::Shown;
use super::dsl;
use crate::wire;
use settings::Settings;

/// Levels of aggregations in aggregations; the native limit is the same.
const DEPTH_MAX: usize = 8;
/// Filters of one aggregation.
const FILTERS_MAX: usize = 64;
/// Conditions in one request.
const CONDITIONS_MAX: usize = 64;
/// Native aggregations that one request may become, and the bytes of their text; the native limits are the same. What stands in
/// `filters` is written once for each filter, so that both are looked at before anything is.
const NATIVES_MAX: usize = 64;
const NATIVE_BYTES_MAX: usize = 64 * 1024;

/// Aggregations of one request.
pub struct Aggs {
    /// The native request.
    pub native: String,
    /// What its filters refer to.
    pub conditions: Vec<Condition>,
    all: Vec<Agg>,
}

/// One aggregation.
struct Agg {
    name: String,
    /// Names of the native ones, of which there are several for filters.
    natives: Vec<String>,
    shape: Shape,
    subs: Vec<Agg>,
    /// Given back as it came.
    meta: Option<Value>,
}

/// How an answer differs from the native one.
enum Shape {
    Terms,
    Dates {
        shown: Shown,
        zone: Offset,
        keyed: bool,
        order: Order,
    },
    Histogram {
        keyed: bool,
        order: Order,
    },
    /// How bounds are written if they are times.
    Ranges(Option<Shown>),
    Filter,
    /// Keys of the buckets; without any, the buckets are a list.
    Filters(Option<Vec<String>>),
    /// A measure, whose times are written so.
    Metric(Shown),
}

/// Order of buckets that come by key.
#[derive(Clone, Copy)]
struct Order {
    by_count: bool,
    descending: bool,
}

impl Aggs {
    /// Reads `aggs` of a request.
    ///
    /// # Errors
    /// 400 that names the aggregation.
    pub fn read(aggs: &Value, context: &dsl::Context<'_>) -> Result<Self, Refusal> {
        let mut reader = Reader {
            context,
            conditions: Vec::new(),
            named: 0,
            natives: 0,
        };
        let (native, all) = reader.level(aggs, 1, 1)?;
        Ok(Self {
            native: Value::Object(native).to_string(),
            conditions: reader.conditions,
            all,
        })
    }

    /// Puts the native answer into shape.
    ///
    /// # Errors
    /// If it is no JSON; 400 for buckets by key of which two have the same.
    pub fn answer(&self, native: &str) -> Result<Value, Refusal> {
        let mut native: Map<String, Value> = serde_json::from_str(native).map_err(wire::internal)?;
        answer::level(&self.all, &mut native).map(Value::Object)
    }
}

struct Reader<'a> {
    context: &'a dsl::Context<'a>,
    conditions: Vec<Condition>,
    named: usize,
    /// Native aggregations so far, each as often as it will be written.
    natives: usize,
}

impl Reader<'_> {
    /// Reads aggregations that will be written `copies` times.
    fn level(
        &mut self,
        aggs: &Value,
        depth: usize,
        copies: usize,
    ) -> Result<(Map<String, Value>, Vec<Agg>), Refusal> {
        let Value::Object(named) = aggs else {
            return Err(Refusal::parsing("aggregations are an object of names"));
        };
        if depth > DEPTH_MAX {
            return Err(Refusal::parsing(format!(
                "aggregations are nested more than {DEPTH_MAX} deep"
            )));
        }
        let mut native = Map::new();
        let mut all = Vec::new();
        for (name, body) in named {
            let (bodies, agg) = self.one(name, body, depth, copies)?;
            native.extend(agg.natives.iter().cloned().zip(bodies));
            all.push(agg);
        }
        Ok((native, all))
    }

    /// The native bodies of one aggregation, and what it is.
    fn one(
        &mut self,
        name: &str,
        body: &Value,
        depth: usize,
        copies: usize,
    ) -> Result<(Vec<Value>, Agg), Refusal> {
        let error = |reason: &str| Refusal::parsing(format!("aggregation [{name}] {reason}"));
        let Value::Object(parts) = body else {
            return Err(error("is no object"));
        };
        let mut subs = None;
        let mut meta = None;
        let mut kinds = Vec::new();
        for (part, value) in parts {
            match part.as_str() {
                "aggs" | "aggregations" if subs.is_some() => return Err(error("has aggs twice")),
                "aggs" | "aggregations" => subs = Some(value),
                "meta" => meta = Some(value.clone()),
                kind => kinds.push((kind, value)),
            }
        }
        let [(kind, value)] = kinds.as_slice() else {
            return Err(error("needs exactly one type"));
        };
        let settings = Settings::new(name, kind, value)?;
        let copies = copies.saturating_mul(natives_of(&settings)?);
        self.natives = self.natives.saturating_add(copies);
        if self.natives > NATIVES_MAX {
            return Err(error(&format!(
                "is beyond {NATIVES_MAX} aggregations in one request: each counts once for every filter that it is in"
            )));
        }
        let (native_subs, subs) = match subs {
            Some(subs) => self.level(subs, depth + 1, copies)?,
            None => (Map::new(), Vec::new()),
        };
        let (mut bodies, shape) = self.kind(&settings, &subs)?;
        if !native_subs.is_empty() {
            let length = serde_json::to_string(&native_subs).map_or(usize::MAX, |text| text.len());
            if length.saturating_mul(bodies.len()) > NATIVE_BYTES_MAX {
                return Err(error(&format!(
                    "is longer than {NATIVE_BYTES_MAX} bytes when what is in it is written for each of its filters"
                )));
            }
            for body in &mut bodies {
                body["aggs"] = Value::Object(native_subs.clone());
            }
        }
        let natives = bodies.iter().map(|_| self.name()).collect();
        let agg = Agg {
            name: name.to_owned(),
            natives,
            shape,
            subs,
            meta,
        };
        Ok((bodies, agg))
    }

    fn kind(&mut self, settings: &Settings<'_>, subs: &[Agg]) -> Result<(Vec<Value>, Shape), Refusal> {
        let is_bucket = match settings.kind {
            "terms" | "date_histogram" | "histogram" | "range" | "date_range" | "ip_range" | "filter"
            | "filters" | "missing" => true,
            "avg" | "min" | "max" | "sum" | "stats" | "value_count" | "cardinality" | "percentiles" => false,
            _ => return Err(settings.error("has an unknown or unsupported type")),
        };
        if !is_bucket && !subs.is_empty() {
            return Err(settings.error("has no buckets to aggregate in"));
        }
        let (native, shape) = match settings.kind {
            "terms" => bucket::terms(settings, subs)?,
            "histogram" => bucket::histogram(settings)?,
            "date_histogram" => dates::histogram(settings, self.context.now_ms)?,
            "range" | "date_range" | "ip_range" => dates::ranges(settings, self.context.now_ms)?,
            "missing" => {
                settings.only(&["field"])?;
                let has = Condition::Has {
                    field: settings.field()?.to_owned(),
                };
                (
                    self.condition(settings, Condition::Not(Box::new(has)))?,
                    Shape::Filter,
                )
            }
            "filter" => {
                let condition = self.context.query(settings.whole)?;
                (self.condition(settings, condition)?, Shape::Filter)
            }
            "filters" => return self.filters(settings),
            _ => metric::metric(settings)?,
        };
        Ok((vec![native], shape))
    }

    fn filters(&mut self, settings: &Settings<'_>) -> Result<(Vec<Value>, Shape), Refusal> {
        settings.only(&["filters", "other_bucket", "other_bucket_key", "keyed"])?;
        let (mut keys, queries): (Vec<String>, Vec<&Value>) = match settings.get("filters") {
            Some(Value::Object(named)) => named.iter().map(|(key, query)| (key.clone(), query)).unzip(),
            filters => (
                Vec::new(),
                filters.and_then(Value::as_array).into_iter().flatten().collect(),
            ),
        };
        let conditions = queries.into_iter().map(|query| self.context.query(query));
        let mut conditions: Vec<Condition> = conditions.collect::<Result<_, _>>()?;
        let is_keyed = !keys.is_empty();
        if has_other(settings)? {
            conditions.push(Condition::Not(Box::new(Condition::Or(conditions.clone()))));
            let other = settings.text("other_bucket_key")?.unwrap_or("_other_").to_owned();
            if keys.contains(&other) {
                return Err(
                    settings.error("has a filter of the name of its other bucket: set [other_bucket_key]")
                );
            }
            keys.push(other);
        }
        let natives = conditions
            .into_iter()
            .map(|condition| self.condition(settings, condition));
        let natives = natives.collect::<Result<_, _>>()?;
        let as_list = settings.get("keyed") == Some(&Value::Bool(false));
        if is_keyed && as_list {
            return Err(settings.error("supports [keyed] of true only"));
        }
        Ok((natives, Shape::Filters(is_keyed.then_some(keys))))
    }

    /// A native aggregation of the records that meet a condition.
    fn condition(&mut self, settings: &Settings<'_>, condition: Condition) -> Result<Value, Refusal> {
        if self.conditions.len() >= CONDITIONS_MAX {
            return Err(settings.error(&format!("is beyond {CONDITIONS_MAX} filters in one request")));
        }
        self.conditions.push(condition);
        Ok(serde_json::json!({"filter": {"condition": self.conditions.len() - 1}}))
    }

    fn name(&mut self) -> String {
        self.named += 1;
        format!("a{}", self.named)
    }
}

/// How many native aggregations one becomes: for `filters`, one for each.
fn natives_of(settings: &Settings<'_>) -> Result<usize, Refusal> {
    if settings.kind != "filters" {
        return Ok(1);
    }
    let filters = match settings.get("filters") {
        Some(Value::Object(named)) => named.len(),
        Some(Value::Array(queries)) => queries.len(),
        _ => return Err(settings.error("needs [filters]")),
    };
    match (1..=FILTERS_MAX).contains(&filters) {
        true => Ok(filters + usize::from(has_other(settings)?)),
        false => Err(settings.error(&format!("has 1 to {FILTERS_MAX} filters"))),
    }
}

/// Whether `filters` has a bucket for what fits none of them.
fn has_other(settings: &Settings<'_>) -> Result<bool, Refusal> {
    Ok(settings.flag("other_bucket")? || settings.get("other_bucket_key").is_some())
}

#[cfg(test)]
mod tests;
