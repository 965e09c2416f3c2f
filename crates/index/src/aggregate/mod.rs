//! Aggregations over the hits of a query, in Elasticsearch's shape.
//!
//! A request is parsed once ([`Aggregations::parse`]), run on each split ([`aggregate`]), and the parts are merged and
//! finished to one JSON object ([`Partial::finish`]).
//!
//! # Exactness
//! Every bucket that a split has is kept until all splits are merged: counts are exact, whatever `size` is, and do not depend
//! on how records are spread over splits. What would take too many buckets or too much memory is an error, never cut short.
//! Times are compared in whole nanoseconds. Only `percentiles` and large `cardinality` are estimates, and say so beside
//! their value.
//!
//! The search library's own aggregations are not used: they compute with times as doubles, which are off by some hundred
//! nanoseconds at borders, cut terms split by split, know no calendar, and bound neither what is merged nor how long it takes.
//!
//! # Who sees what
//! Names become columns where queries resolve them, on the side that the reader may see; nothing else is ever opened.

mod answer;
mod collect;
mod distinct;
mod interval;
mod measure;
mod partial;
mod quantiles;
mod request;
mod slots;

pub use partial::Partial;
pub use request::Aggregations;

use crate::query::resolve;
use crate::search::{Scope, Walk};
use crate::{Error, Query, Split, Window};
use collect::Collector;

/// Bounds on what aggregations may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AggLimits {
    /// Buckets in the answer, on all levels together.
    pub buckets_max: usize,
    /// What one split's buckets, and what all merged ones, may take (bytes, roughly).
    pub memory_bytes_max: usize,
}

impl Default for AggLimits {
    fn default() -> Self {
        Self {
            buckets_max: 65_536,
            memory_bytes_max: 128 * 1024 * 1024,
        }
    }
}

/// Aggregates the hits of one split. `stop` is asked as by [`search`](crate::search()); the order of the window has no effect.
///
/// # Errors
/// As [`search`](crate::search()); [`Error::NoColumn`] when the split was built without a column that is needed, and
/// [`Error::TooMuchMemory`].
pub fn aggregate(
    split: &Split,
    query: &Query,
    window: &Window,
    aggregations: &Aggregations,
    stop: &dyn Fn() -> bool,
) -> Result<Partial, Error> {
    if stop() {
        return Err(Error::Stopped);
    }
    let partial = Partial::empty(aggregations);
    let Some(scope) = Scope::open(split, window)? else {
        return Ok(partial);
    };
    let walk = Walk {
        matching: &resolve(query, split, stop)?,
        docs: scope.docs.clone(),
        scope: &scope,
        stop,
    };
    let mut collector = Collector::new(split, aggregations, stop)?;
    walk.blocks(|docs| collector.collect(docs))?;
    collector.finish(partial, stop)
}

/// Memory that is spoken for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    taken: usize,
    max: usize,
}

impl Budget {
    pub(crate) fn new(limits: &AggLimits) -> Self {
        Self {
            taken: 0,
            max: limits.memory_bytes_max,
        }
    }

    /// Nothing was ever taken.
    pub(crate) fn is_untouched(&self) -> bool {
        self.taken == 0
    }

    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), Error> {
        self.taken = self.taken.saturating_add(bytes);
        if self.taken > self.max {
            return Err(Error::TooMuchMemory { limit: self.max });
        }
        Ok(())
    }
}
