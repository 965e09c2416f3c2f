//! The matches in one run of seqs, oldest first: what [`crate::follow`] stands on. Only places that hold some of the run are
//! looked at, and of the tail only what is in the run is indexed.

use std::{
    ops::Range,
    sync::{Arc, atomic::AtomicU64},
};

use attestore_index::{IndexPolicy, Order, ParseOptions, Query};

use super::{
    execute::{Run, query_error},
    gather::Want,
    plan::places,
    request::{Explain, SearchRequest},
};
use crate::{
    error::Result,
    forget::hidden::Sight,
    instance::Inner,
    tenant::{Tenant, View},
};

/// A query that is asked again and again.
pub(crate) struct Filter {
    request: SearchRequest,
    query: Query,
    columns: IndexPolicy,
    personal: bool,
    /// Whether people who are being erased, or whose data is restricted, are looked at too.
    hidden: bool,
    /// After how long one look gives up, milliseconds.
    deadline_ms: u64,
}

/// What a run of seqs holds.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    /// The matches, ascending.
    pub(crate) seqs: Vec<u64>,
    /// Every match below it is among them.
    pub(crate) end: u64,
    /// Runs below `end` that no place holds any more.
    pub(crate) gaps: Vec<Range<u64>>,
}

impl Filter {
    /// Reads a query, for somebody who does or does not see personal fields.
    ///
    /// # Errors
    /// [`crate::Error::Query`].
    pub(crate) fn parse(q: &str, personal: bool) -> Result<Self> {
        let options = ParseOptions {
            personal,
            ..ParseOptions::default()
        };
        Ok(Self {
            query: Query::parse(q, &options).map_err(query_error)?,
            request: SearchRequest {
                q: q.to_owned(),
                order: Order::Oldest,
                ..SearchRequest::default()
            },
            columns: IndexPolicy::minimal(),
            personal,
            hidden: false,
            deadline_ms: u64::MAX,
        })
    }

    /// Only what occurred in a window of time, nanoseconds since 1970. The gaps it finds are then of no use.
    pub(crate) fn between(mut self, from_ns: Option<i64>, to_ns: Option<i64>) -> Self {
        self.request.from_ns = from_ns;
        self.request.to_ns = to_ns;
        self
    }

    /// Looks at people who are being erased, or whose data is restricted, too: for what decides whether their records may go.
    pub(crate) fn with_hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// Gives up one look after so long, milliseconds; the instance's own deadline holds all the same.
    pub(crate) fn give_up_after(&mut self, deadline_ms: u64) {
        self.deadline_ms = deadline_ms;
    }

    /// What its reader sees.
    pub(crate) const fn sight(&self) -> Sight {
        Sight::ordinary(self.personal)
    }
}

/// Finds the first `limit` matches in `seqs` of a snapshot, and says how far it looked.
///
/// # Errors
/// As searches.
pub(crate) fn follow(
    inner: &Inner,
    tenant: &Tenant,
    view: &View,
    filter: &Filter,
    seqs: Range<u64>,
    limit: usize,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Followed> {
    let seqs = seqs.start..seqs.end.min(view.size);
    let mut run = Run {
        inner,
        tenant,
        view,
        request: &filter.request,
        query: &filter.query,
        sort: None,
        after: None,
        aggs: None,
        columns: &filter.columns,
        needs: filter.query.needs().union(&filter.columns),
        scanned: AtomicU64::new(0),
        hash: [0; 16],
        sight: filter.sight(),
        except: Arc::default(),
        deadline_ms: inner
            .clock
            .boot_ms()
            .saturating_add(inner.settings.search_deadline_ms.min(filter.deadline_ms)),
        gone: tenant.gone.load_full(),
        stop,
    };
    let want = Want {
        limit,
        page: seqs.clone(),
        count: false,
        aggregate: false,
    };
    let mut explain = Explain::default();
    if !filter.hidden {
        run.pass_over_hidden()?;
    }
    let places = places(&run, seqs.clone(), &mut explain)?;
    let gathered = run.gather(&places, seqs.end, &want, &mut explain)?;
    let found: Vec<u64> = gathered.hits.into_iter().map(|(_, seq)| seq).collect();
    let end = match found.last() {
        Some(last) if found.len() >= limit => last.saturating_add(1),
        _ => seqs.end,
    };
    let held = places.iter().map(|place| place.seqs.clone());
    Ok(Followed {
        gaps: gaps(held, seqs.start..end),
        seqs: found,
        end,
    })
}

/// The runs of `seqs` that none of `held` has, which ascend by start.
fn gaps(held: impl Iterator<Item = Range<u64>>, seqs: Range<u64>) -> Vec<Range<u64>> {
    let mut gaps = Vec::new();
    let mut at = seqs.start;
    for place in held {
        if place.start >= seqs.end {
            break;
        }
        if place.start > at {
            gaps.push(at..place.start);
        }
        at = at.max(place.end);
    }
    if at < seqs.end {
        gaps.push(at..seqs.end);
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::gaps;

    #[test]
    fn what_no_place_holds_is_named() {
        let held = [0..10, 5..8, 12..20, 20..30];
        let one = |gap| std::iter::once(gap).collect::<Vec<_>>();
        assert_eq!(gaps(held.clone().into_iter(), 3..30), one(10..12));
        assert_eq!(gaps(held.clone().into_iter(), 11..35), [11..12, 30..35]);
        assert_eq!(gaps(held.into_iter(), 0..10), []);
        assert_eq!(gaps([].into_iter(), 4..6), one(4..6));
    }
}
