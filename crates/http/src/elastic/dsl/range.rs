//! `range`.

use std::ops::Bound;

use attestore_engine::search::{Condition, Edge, FieldHolds, find_field};
use jiff::tz::Offset;

use super::{Body, Context};
use crate::elastic::answer::Refusal;
use crate::elastic::dates::{self, Reading, iso};

impl Context<'_> {
    pub(super) fn range(&self, body: &Body<'_>) -> Result<Condition, Refusal> {
        let (field, value) = body.field()?;
        let body = Body::new("range", value)?;
        body.only(&[
            "gt",
            "gte",
            "lt",
            "lte",
            "format",
            "time_zone",
            "boost",
            "relation",
        ])?;
        for (one, other) in [("gt", "gte"), ("lt", "lte")] {
            if body.get(one).is_some() && body.get(other).is_some() {
                return Err(body.error(&format!("has both [{one}] and [{other}]")));
            }
        }
        let is_time = find_field(field).is_some_and(|field| field.holds == FieldHolds::Times);
        let (lower, upper) = match is_time {
            true => self.times(&body)?,
            false => values(&body)?,
        };
        Ok(Condition::Within {
            field: field.to_owned(),
            lower,
            upper,
        })
    }

    /// A time stands for a span: `gt` begins after it, `lte` ends with it.
    fn times(&self, body: &Body<'_>) -> Result<(Bound<Edge>, Bound<Edge>), Refusal> {
        let format = body.text("format")?;
        if format.is_some_and(|format| !dates::is_readable(format)) {
            return Err(body.error("supports the formats epoch_millis, epoch_second and ISO 8601 ones"));
        }
        let zone = match body.text("time_zone")? {
            None => Offset::UTC,
            Some(name) => dates::zone(name)
                .ok_or_else(|| body.error("supports fixed offsets as [time_zone], like +02:00"))?,
        };
        let reading = Reading {
            now_ms: self.now_ms,
            format,
            zone,
        };
        let span = |name: &str| {
            let value = body.get(name);
            let span = value.map(|value| {
                reading
                    .span(value)
                    .ok_or_else(|| body.error(&format!("[{name}] is no time that is understood")))
            });
            span.transpose()
        };
        let edge = |ns: i64| Edge::Text(iso(ns, Offset::UTC, true));
        let lower = match (span("gt")?, span("gte")?) {
            (Some((_, end)), _) if end < i64::MAX => Bound::Included(edge(end + 1)),
            (Some((_, end)), _) => Bound::Excluded(edge(end)),
            (None, Some((start, _))) => Bound::Included(edge(start)),
            (None, None) => Bound::Unbounded,
        };
        let upper = match (span("lt")?, span("lte")?) {
            (Some((start, _)), _) => Bound::Excluded(edge(start)),
            (None, Some((_, i64::MAX))) | (None, None) => Bound::Unbounded,
            (None, Some((_, end))) => Bound::Excluded(edge(end + 1)),
        };
        Ok((lower, upper))
    }
}

fn values(body: &Body<'_>) -> Result<(Bound<Edge>, Bound<Edge>), Refusal> {
    for name in ["format", "time_zone"] {
        if body.get(name).is_some() {
            return Err(body.error(&format!("has a [{name}] for a field that holds no times")));
        }
    }
    let edge = |name: &str| {
        let value = body.get(name).map(|value| body.scalar(value).map(Edge::Typed));
        value.transpose()
    };
    let bound = |exclusive: Option<Edge>, inclusive: Option<Edge>| match (exclusive, inclusive) {
        (Some(edge), _) => Bound::Excluded(edge),
        (None, Some(edge)) => Bound::Included(edge),
        (None, None) => Bound::Unbounded,
    };
    Ok((bound(edge("gt")?, edge("gte")?), bound(edge("lt")?, edge("lte")?)))
}
