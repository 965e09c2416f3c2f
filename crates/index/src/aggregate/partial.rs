//! What some splits' hits were aggregated to.
//!
//! Buckets of one aggregation lie in one list, each with the number of the bucket above it; what is below them lies in lists
//! by their numbers. Merging gives every bucket of the other its number here, from the top down.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::Budget;
use super::distinct::Distinct;
use super::measure::Measure;
use super::quantiles::{BIN_BYTES, Quantiles};
use super::request::{Aggregations, Spec, What};
use crate::Error;
use crate::search::Scalar;

/// Buckets between two questions whether to stop.
const STOP_EVERY: usize = 4096;
/// Memory of a bucket beside its key's own (bytes).
const ROW_BYTES: usize = size_of::<Row>() + 8;

/// Aggregated hits of some splits, to be merged and finished. Only parts of one and the same [`Aggregations`] fit together.
pub struct Partial {
    pub(super) parts: Vec<Part>,
    pub(super) budget: Budget,
}

/// What one aggregation has, for all buckets above it.
pub(super) enum Part {
    Buckets(Buckets),
    Measures(Vec<Measure>),
    Counts(Vec<u64>),
    /// With how many are counted exactly.
    Distinct(Vec<Distinct>, usize),
    Quantiles(Vec<Quantiles>),
}

#[derive(Default)]
pub(super) struct Buckets {
    pub(super) rows: Vec<Row>,
    pub(super) subs: Vec<Part>,
    /// Numbers of buckets, by parent and key.
    numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

/// A bucket.
pub(super) struct Row {
    pub(super) parent: u32,
    pub(super) key: Scalar,
    pub(super) count: u64,
}

impl Partial {
    /// No hits at all.
    pub fn empty(aggregations: &Aggregations) -> Self {
        Self {
            parts: Part::all(&aggregations.specs),
            budget: Budget::new(&aggregations.limits),
        }
    }

    /// Adds the hits of other splits.
    ///
    /// # Errors
    /// [`Error::TooMuchMemory`], [`Error::Stopped`]. This part is of no use afterwards.
    pub fn merge(&mut self, other: Self, stop: &dyn Fn() -> bool) -> Result<(), Error> {
        if self.budget.is_untouched() {
            *self = other;
            return Ok(());
        }
        for (part, other) in self.parts.iter_mut().zip(other.parts) {
            part.merge(other, &[0], &mut self.budget, stop)?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Partial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Partial")
            .field("parts", &self.parts.len())
            .finish_non_exhaustive()
    }
}

impl Part {
    fn all(specs: &[Spec]) -> Vec<Self> {
        specs.iter().map(Self::new).collect()
    }

    fn new(spec: &Spec) -> Self {
        match &spec.what {
            What::Terms(_) | What::Dates(_) | What::Histogram(_) | What::Ranges(_) | What::Filter(_) => {
                Self::Buckets(Buckets {
                    subs: Self::all(&spec.subs),
                    ..Buckets::default()
                })
            }
            What::Measure(_) => Self::Measures(Vec::new()),
            What::Count(_) => Self::Counts(Vec::new()),
            What::Distinct(of) => Self::Distinct(Vec::new(), of.exact_max),
            What::Percentiles(_) => Self::Quantiles(Vec::new()),
        }
    }

    /// `above` says which bucket here each bucket above the other part is.
    fn merge(
        &mut self,
        other: Self,
        above: &[u32],
        budget: &mut Budget,
        stop: &dyn Fn() -> bool,
    ) -> Result<(), Error> {
        let bucket = |parent: usize| above.get(parent).copied().unwrap_or(0);
        match (self, other) {
            (Self::Buckets(all), Self::Buckets(other)) => {
                let mut numbers = Vec::with_capacity(other.rows.len());
                all.reserve(other.rows.len() / 2);
                for row in other.rows {
                    if numbers.len() % STOP_EVERY == 0 && stop() {
                        return Err(Error::Stopped);
                    }
                    let number = all.bucket(bucket(row.parent as usize), row.key, budget)?;
                    all.rows[number as usize].count += row.count;
                    numbers.push(number);
                }
                for (part, other) in all.subs.iter_mut().zip(other.subs) {
                    part.merge(other, &numbers, budget, stop)?;
                }
                Ok(())
            }
            (Self::Measures(all), Self::Measures(other)) => add(all, other, bucket, budget, |all, other| {
                all.merge(&other);
                0
            }),
            (Self::Counts(all), Self::Counts(other)) => add(all, other, bucket, budget, |all, other| {
                *all += other;
                0
            }),
            (Self::Distinct(all, exact_max), Self::Distinct(other, _)) => {
                add(all, other, bucket, budget, |all, other| {
                    all.merge(&other, *exact_max)
                })
            }
            (Self::Quantiles(all), Self::Quantiles(other)) => {
                add(all, other, bucket, budget, merge_quantiles)
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn merge_quantiles(all: &mut Quantiles, other: Quantiles) -> usize {
    let before = all.bins();
    all.merge(&other);
    (all.bins() - before) * BIN_BYTES
}

/// Adds each of `other` to the place that `bucket` says. `merge` returns the memory it took (bytes).
pub(super) fn add<T: Default>(
    all: &mut Vec<T>,
    other: Vec<T>,
    bucket: impl Fn(usize) -> u32,
    budget: &mut Budget,
    merge: impl Fn(&mut T, T) -> usize,
) -> Result<(), Error> {
    for (parent, other) in other.into_iter().enumerate() {
        let at = bucket(parent) as usize;
        if at >= all.len() {
            budget.take((at + 1 - all.len()) * size_of::<T>())?;
            all.resize_with(at + 1, T::default);
        }
        budget.take(merge(&mut all[at], other))?;
    }
    Ok(())
}

impl Buckets {
    /// Makes room for so many more.
    pub(super) fn reserve(&mut self, more: usize) {
        let Self {
            rows,
            numbers,
            hasher,
            ..
        } = self;
        rows.reserve(more);
        numbers.reserve(more, |number| {
            let row = &rows[*number as usize];
            hasher.hash_one((row.parent, &row.key))
        });
    }

    /// The number of a bucket, which is made if it is new.
    pub(super) fn bucket(&mut self, parent: u32, key: Scalar, budget: &mut Budget) -> Result<u32, Error> {
        let Self {
            rows,
            numbers,
            hasher,
            ..
        } = self;
        let hash = |parent: u32, key: &Scalar| hasher.hash_one((parent, key));
        let is_it = |number: &u32| {
            let row = &rows[*number as usize];
            row.parent == parent && row.key == key
        };
        let own = hash(parent, &key);
        if let Some(number) = numbers.find(own, is_it) {
            return Ok(*number);
        }
        let number = u32::try_from(rows.len()).map_err(|_| Error::TooMuchMemory { limit: budget.max })?;
        budget.take(ROW_BYTES + key.heap_bytes())?;
        rows.push(Row {
            parent,
            key,
            count: 0,
        });
        numbers.insert_unique(own, number, |number| {
            let row = &rows[*number as usize];
            hash(row.parent, &row.key)
        });
        Ok(number)
    }
}
