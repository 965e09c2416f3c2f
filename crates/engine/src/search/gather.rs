//! What places answer, put together.

use std::{cmp::Ordering, ops::Range, sync::Arc, time::Instant};

use attestore_index::{Order, Partial, Query, Sort, SortKey, Split, Window, aggregate, search, top};

use super::{
    execute::Run,
    request::{Explain, micros},
};
use crate::error::Error;

/// A hit: its seq, and what it is sorted by unless that is its seq.
pub(super) type Hit = (Option<SortKey>, u64);

/// What some places answered.
#[derive(Default)]
pub(super) struct Gathered {
    /// The first hits, in the order asked for.
    pub(super) hits: Vec<Hit>,
    /// Number of all hits, if it was wanted.
    pub(super) count: u64,
    /// The aggregations, if any were wanted.
    pub(super) partial: Option<Partial>,
}

/// Why a place did not answer.
pub(super) enum Failed {
    /// The index failed.
    Index(attestore_index::Error),
    /// Something else did.
    Engine(Error),
}

/// What is wanted of a place.
#[derive(Clone)]
pub(super) struct Want {
    /// Hits.
    pub(super) limit: usize,
    /// Seqs that hits are taken from.
    pub(super) page: Range<u64>,
    /// Whether all hits are counted.
    pub(super) count: bool,
    /// Whether they are aggregated.
    pub(super) aggregate: bool,
}

impl Want {
    /// Whether every hit matters, not only the first.
    pub(super) fn all(&self) -> bool {
        self.count || self.aggregate
    }
}

impl Gathered {
    /// Takes up what another place answered.
    ///
    /// # Errors
    /// [`attestore_index::Error`] when the aggregations become too large.
    pub(super) fn add(
        &mut self,
        other: Self,
        run: &Run<'_>,
        limit: usize,
    ) -> Result<(), attestore_index::Error> {
        self.count += other.count;
        match (&mut self.partial, other.partial) {
            (Some(all), Some(one)) => all.merge(one, &|| run.is_late())?,
            (all @ None, one) => *all = one,
            (Some(_), None) => {}
        }
        if !other.hits.is_empty() {
            self.hits.extend(other.hits);
            self.hits
                .sort_unstable_by(|a, b| compare(run.sort.as_ref(), run.request.order, a, b));
            self.hits.truncate(limit);
        }
        Ok(())
    }
}

/// Asks one split for the seqs in `seqs`, but for those in `without`.
///
/// # Errors
/// As the index.
pub(super) fn ask(
    run: &Run<'_>,
    split: &Split,
    query: &Query,
    seqs: &Range<u64>,
    without: &Arc<[Range<u64>]>,
    want: &Want,
    explain: &mut Explain,
) -> Result<Gathered, attestore_index::Error> {
    let begin = Instant::now();
    let stop = || run.is_late();
    let all = Window {
        from_ns: run.request.from_ns,
        to_ns: run.request.to_ns,
        seq: seqs.clone(),
        without: Arc::clone(without),
        except: run.except.clone(),
        order: run.request.order,
    };
    let page = Window {
        seq: seqs.start.max(want.page.start)..seqs.end.min(want.page.end),
        ..all.clone()
    };
    let mut gathered = Gathered::default();
    let mut counted = !want.count;
    if let Some(sort) = &run.sort {
        if want.limit > 0 {
            let after = run.after.as_ref().map(|(key, seq)| (key, *seq));
            let hits = top(split, query, &all, sort, after, want.limit, &stop)?;
            gathered.hits = hits.into_iter().map(|(key, seq)| (Some(key), seq)).collect();
        }
    } else if !page.seq.is_empty() && (want.limit > 0 || !counted) {
        let count_here = want.count && page.seq == all.seq;
        let found = search(split, query, &page, want.limit, count_here, &stop)?;
        explain.hits_visited += found.scanned;
        gathered.hits = found.seqs.into_iter().map(|seq| (None, seq)).collect();
        gathered.count = found.count.unwrap_or_default();
        counted |= count_here;
    }
    if !counted {
        let found = search(split, query, &all, 0, true, &stop)?;
        explain.hits_visited += found.scanned;
        gathered.count = found.count.unwrap_or_default();
    }
    explain.phases.search_us += micros(begin);
    if let Some(aggs) = run.aggs.as_ref().filter(|_| want.aggregate) {
        let begin = Instant::now();
        gathered.partial = Some(aggregate(split, query, &all, aggs, &stop)?);
        explain.phases.aggregate_us += micros(begin);
    }
    Ok(gathered)
}

impl From<attestore_index::Error> for Failed {
    fn from(error: attestore_index::Error) -> Self {
        Self::Index(error)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

/// The order of hits.
fn compare(sort: Option<&Sort>, order: Order, left: &Hit, right: &Hit) -> Ordering {
    let by_seq = || match order {
        Order::Newest => right.1.cmp(&left.1),
        Order::Oldest => left.1.cmp(&right.1),
    };
    match (sort, left, right) {
        (Some(sort), (Some(a), a_seq), (Some(b), b_seq)) => {
            // Keys are compared by reference: they may be strings.
            a.cmp(b).then_with(|| match sort.descending {
                true => b_seq.cmp(a_seq),
                false => a_seq.cmp(b_seq),
            })
        }
        _ => by_seq(),
    }
}
