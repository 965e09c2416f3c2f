//! Runs one search: plans its sources, asks them from the nearest to the farthest, opens the hits.

use std::{ops::Range, sync::Arc};

use attestore_index::{Found, Order, ParseOptions, Query, Split, Window, search as search_split};

use super::{
    cursor::{Cursor, CursorError, query_hash},
    index_error, loose,
    request::{Explain, PAGE_MAX, SearchPage, SearchRequest, TreeSize},
    sealed::{self, Opened},
    tail,
};
use crate::{
    Engine,
    credentials::Principal,
    error::{Error, Result},
    instance::Inner,
    read::snapshot,
    tenant::{FileSet, Tenant, View},
};

impl Engine {
    /// [`Engine::search_until`] for callers who do not go away.
    ///
    /// # Errors
    /// As [`Engine::search_until`].
    pub fn search(&self, tenant: &str, by: &Principal, request: &SearchRequest) -> Result<SearchPage> {
        self.search_until(tenant, by, request, &|| false)
    }

    /// Searches a tenant's records. Blocking: takes the time that the query takes, up to
    /// [`Settings::search_deadline_ms`](crate::Settings::search_deadline_ms). `stop` is asked now and then whether nobody waits
    /// for the answer any more.
    ///
    /// Whatever was acknowledged before the call is found. Pages that follow a cursor come from exactly the tree that the
    /// first page named, whatever has been appended since.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], [`Error::Query`], [`Error::InvalidCursor`], [`Error::Invalid`] for
    /// a limit out of range, [`Error::Deadline`], or as reads.
    pub fn search_until(
        &self,
        tenant: &str,
        by: &Principal,
        request: &SearchRequest,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<SearchPage> {
        let started = std::time::Instant::now();
        by.check_read(tenant)?;
        let started_ms = self.inner.clock.boot_ms();
        if !(1..=PAGE_MAX).contains(&request.limit) {
            return Err(Error::Invalid {
                code: "invalid_limit",
                message: format!("`limit` is 1 to {PAGE_MAX}"),
            });
        }
        let personal = by.may_see_personal();
        let query = parse(&request.q, personal)?;
        let tenant = self.inner.tenant(tenant)?;
        let mut page = snapshot(&tenant, |view| {
            let search = Run {
                inner: &self.inner,
                tenant: &tenant,
                view,
                request,
                query: &query,
                query_hash: query_hash(&request.q, request.from_ns, request.to_ns, personal),
                deadline_ms: started_ms.saturating_add(
                    self.inner
                        .settings
                        .search_deadline_ms
                        .min(request.deadline_ms.unwrap_or(u64::MAX)),
                ),
                stop,
            };
            search.page(self, personal)
        })?;
        page.explain.took_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        Ok(page)
    }
}

fn parse(q: &str, personal: bool) -> Result<Query> {
    let options = ParseOptions {
        personal,
        ..ParseOptions::default()
    };
    Query::parse(q, &options).map_err(|error| Error::Query {
        message: error.message,
        column: error.column,
        suggestion: error.suggestion,
    })
}

/// One attempt on one snapshot.
struct Run<'a> {
    inner: &'a Inner,
    tenant: &'a Tenant,
    view: &'a View,
    request: &'a SearchRequest,
    query: &'a Query,
    query_hash: [u8; 16],
    deadline_ms: u64,
    stop: &'a (dyn Fn() -> bool + Sync),
}

/// Something to ask, for the seqs in `seqs` only.
struct Place {
    seqs: Range<u64>,
    split: Held,
}

enum Held {
    Open(Split),
    Sealed(Arc<FileSet>),
}

impl Run<'_> {
    fn page(&self, engine: &Engine, personal: bool) -> Result<SearchPage> {
        let cursor = self.cursor()?;
        let size = cursor.as_ref().map_or(self.view.size, |cursor| cursor.size);
        if size > self.view.size {
            return Err(Error::InvalidCursor);
        }
        let seqs = match (&cursor, self.request.order) {
            (None, _) => 0..size,
            (Some(cursor), Order::Newest) => 0..cursor.last.min(size),
            (Some(cursor), Order::Oldest) => cursor.last.saturating_add(1)..size,
        };
        let places = self.places()?;
        let mut explain = Explain::default();
        for place in &places {
            match place.split {
                Held::Open(_) => explain.memory_splits += 1,
                Held::Sealed(_) => explain.sealed_splits += 1,
            }
        }
        let whole = seqs == (0..size);
        let count_here = self.request.want_count && whole;
        let (mut hits, count) =
            self.hits(&places, &seqs, self.request.limit + 1, count_here, &mut explain)?;
        let count = match count {
            None if self.request.want_count => self.hits(&places, &(0..size), 0, true, &mut explain)?.1,
            count => count,
        };
        let more = hits.len() > self.request.limit;
        hits.truncate(self.request.limit);
        let next = hits.last().filter(|_| more).map(|last| self.seal(size, *last));
        let mut items = Vec::with_capacity(hits.len());
        for seq in hits {
            if self.is_late() {
                return Err(Error::Deadline);
            }
            items.push(engine.record_view(self.tenant, self.view, seq, personal)?);
        }
        let tree = TreeSize {
            origin: self.tenant.origin.clone(),
            size,
        };
        Ok(SearchPage {
            items,
            highlights: Vec::new(),
            cursor: next,
            tree,
            count,
            aggregations: None,
            scanned: false,
            explain,
        })
    }

    /// Everything there is to ask, nearest first. Together the places hold each record once.
    fn places(&self) -> Result<Vec<Place>> {
        let mut places = Vec::new();
        let mut without = Vec::new();
        for set in self.view.flushed.iter() {
            if set.idx.is_none() {
                without.push(Arc::clone(set));
            } else {
                places.push(Place {
                    seqs: set.min_seq()..set.max_seq().saturating_add(1),
                    split: Held::Sealed(Arc::clone(set)),
                });
            }
        }
        for part in loose::covering(self.inner, self.tenant, self.view, &without)?.iter() {
            places.push(Place {
                seqs: part.seqs.clone(),
                split: Held::Open(part.split.clone()),
            });
        }
        let tail = self.view.tail.range();
        // Moved past this snapshot: the error makes the caller take a newer one.
        let parts = tail::covering(self.inner, self.tenant, self.view)?
            .ok_or_else(|| Error::Io("the tail was flushed meanwhile".to_owned()))?;
        for part in parts {
            let seqs = part.seqs.start.max(tail.start)..part.seqs.end.min(tail.end);
            places.push(Place {
                seqs,
                split: Held::Open(part.split),
            });
        }
        match self.request.order {
            Order::Newest => places.sort_by_key(|place| std::cmp::Reverse(place.seqs.end)),
            Order::Oldest => places.sort_by_key(|place| place.seqs.start),
        }
        Ok(places)
    }

    /// The first `limit` hits within `seqs`, in order, and the number of all of them if wanted.
    fn hits(
        &self,
        places: &[Place],
        seqs: &Range<u64>,
        limit: usize,
        want_count: bool,
        explain: &mut Explain,
    ) -> Result<(Vec<u64>, Option<u64>)> {
        let mut hits: Vec<u64> = Vec::new();
        let mut count = want_count.then_some(0u64);
        for place in places {
            let within = place.seqs.start.max(seqs.start)..place.seqs.end.min(seqs.end);
            if within.is_empty() {
                continue;
            }
            if !want_count && self.is_enough(&hits, limit, place) {
                break;
            }
            let window = Window {
                from_ns: self.request.from_ns,
                to_ns: self.request.to_ns,
                seq: within,
                order: self.request.order,
            };
            let found = self.ask(place, &window, limit, want_count)?;
            explain.read += 1;
            explain.hits_visited += found.scanned;
            count = count.zip(found.count).map(|(all, one)| all + one);
            hits.extend(found.seqs);
            match self.request.order {
                Order::Newest => hits.sort_unstable_by(|a, b| b.cmp(a)),
                Order::Oldest => hits.sort_unstable(),
            }
            hits.truncate(limit);
        }
        Ok((hits, count))
    }

    /// Whether no hit of `place`, nor of any after it, can still get in.
    fn is_enough(&self, hits: &[u64], limit: usize, place: &Place) -> bool {
        let last = if hits.len() < limit { None } else { hits.last() };
        last.is_some_and(|last| match self.request.order {
            Order::Newest => place.seqs.end <= *last,
            Order::Oldest => place.seqs.start > *last,
        })
    }

    /// Searches one place. A sealed split that cannot be used never keeps its records from being found.
    fn ask(&self, place: &Place, window: &Window, limit: usize, want_count: bool) -> Result<Found> {
        use attestore_index::Error as Index;
        let run =
            |split: &Split| search_split(split, self.query, window, limit, want_count, &|| self.is_late());
        let set = match &place.split {
            Held::Open(split) => return run(split).map_err(index_error),
            Held::Sealed(set) => set,
        };
        if let Opened::Split(split) = sealed::open(self.inner, self.tenant, set)? {
            match run(&split) {
                Err(error @ (Index::Io(_) | Index::Malformed(_) | Index::Tantivy(_))) => {
                    tracing::warn!(set = set.set, %error, "split is unusable; its records are indexed again");
                }
                answer => return answer.map_err(index_error),
            }
        }
        let split = loose::instead_of(self.inner, self.tenant, self.view, set)?;
        run(&split).map_err(index_error)
    }

    fn cursor(&self) -> Result<Option<Cursor>> {
        let Some(token) = &self.request.cursor else {
            return Ok(None);
        };
        let cursor = Cursor::open(token, &self.tenant.keys.directory)?;
        cursor.check(&self.tenant.origin, self.request.order, &self.query_hash)?;
        Ok(Some(cursor))
    }

    fn seal(&self, size: u64, last: u64) -> String {
        let cursor = Cursor {
            origin: self.tenant.origin.clone(),
            size,
            last,
            order: self.request.order,
            query: self.query_hash,
        };
        cursor.seal(&self.tenant.keys.directory, &*self.inner.entropy)
    }

    fn is_late(&self) -> bool {
        (self.stop)() || self.inner.clock.boot_ms() > self.deadline_ms
    }
}

impl From<CursorError> for Error {
    fn from(_: CursorError) -> Self {
        Self::InvalidCursor
    }
}
