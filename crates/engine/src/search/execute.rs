//! Runs one search: plans its places, asks them from the nearest to the farthest, opens the hits.

use std::{
    borrow::Cow,
    ops::Range,
    sync::{Arc, atomic::AtomicU64},
    time::Instant,
};

use attestore_index::{
    AggLimits, Aggregations, Coverage, IndexPolicy, Order, ParseOptions, Partial, Query, QueryError, Sort,
    SortKey, Split,
};

use super::{
    cursor::{Cursor, CursorError, query_hash},
    gather::{Failed, Gathered, Hit, Want, ask},
    highlight::highlights,
    index_error,
    plan::{Held, Place, places},
    request::{Explain, PAGE_MAX, SearchPage, SearchRequest, TreeSize, micros},
    scan::{Candidates, scan},
    sealed,
};
use crate::{
    Engine,
    credentials::{Permission, Principal},
    error::{Error, Result},
    forget::gone::Gone,
    forget::hidden::Sight,
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
    /// a limit out of range, [`Error::NotIndexed`] when too much would have to be scanned, [`Error::Deadline`],
    /// [`Error::Cancelled`], or as reads.
    pub fn search_until(
        &self,
        tenant: &str,
        by: &Principal,
        request: &SearchRequest,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<SearchPage> {
        let begin = Instant::now();
        let page = self.run_search(tenant, by, request, stop);
        let outcome = page.as_ref().map_or_else(Error::code, |_| "ok");
        metrics::counter!("attestore_searches_total", "outcome" => outcome).increment(1);
        metrics::histogram!("attestore_search_seconds").record(begin.elapsed().as_secs_f64());
        page
    }

    fn run_search(
        &self,
        tenant: &str,
        by: &Principal,
        request: &SearchRequest,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<SearchPage> {
        by.check(tenant, Permission::Search)?;
        let started = Instant::now();
        let started_ms = self.inner.clock.boot_ms();
        check_limit(request)?;
        if request.cursor.is_some() && (request.after.is_some() || request.size.is_some()) {
            return Err(Error::InvalidCursor);
        }
        let personal = by.may_see_personal();
        let asked = Asked::parse(request, personal)?;
        let tenant = self.inner.tenant(tenant)?;
        let deadline_ms = self.inner.settings.search_deadline_ms;
        let deadline_ms = deadline_ms.min(request.deadline_ms.unwrap_or(u64::MAX));
        let mut page = snapshot(&tenant, |view| {
            let mut run = Run {
                inner: &self.inner,
                tenant: &tenant,
                view,
                request,
                query: &asked.query,
                sort: asked.sort.clone(),
                after: None,
                aggs: asked.aggs.as_ref(),
                columns: &asked.columns,
                needs: asked.query.needs().union(&asked.columns),
                hash: asked.hash,
                sight: Sight::of(by),
                except: Arc::default(),
                scanned: AtomicU64::new(0),
                deadline_ms: started_ms.saturating_add(deadline_ms),
                gone: tenant.gone.load_full(),
                stop,
            };
            run.page(self)
        })?;
        page.explain.took_us = micros(started);
        Ok(page)
    }
}

fn check_limit(request: &SearchRequest) -> Result<()> {
    let nothing = request.limit == 0 && request.aggs.is_none() && !request.want_count;
    if nothing || request.limit > PAGE_MAX {
        return Err(Error::Invalid {
            code: "invalid_limit",
            message: format!("`limit` is 1 to {PAGE_MAX}, or 0 with `aggs` or a count"),
        });
    }
    Ok(())
}

/// Checks a request as a search would, without searching.
///
/// # Errors
/// [`Error::Query`], [`Error::Invalid`].
pub(crate) fn check_request(request: &SearchRequest, personal: bool) -> Result<()> {
    Asked::parse(request, personal).map(drop)
}

/// A request, read.
struct Asked {
    query: Query,
    /// `None`: by seq.
    sort: Option<Sort>,
    aggs: Option<Aggregations>,
    /// What sort and aggregations need of a split.
    columns: IndexPolicy,
    hash: [u8; 16],
}

impl Asked {
    fn parse(request: &SearchRequest, personal: bool) -> Result<Self> {
        let options = ParseOptions {
            personal,
            ..ParseOptions::default()
        };
        let mut query = Query::parse(&request.q, &options).map_err(query_error)?;
        if let Some(filter) = &request.filter {
            query = query.and(Query::build(filter, &options).map_err(query_error)?);
        }
        let sort = request.sort.as_deref().map(|sort| Sort::parse(sort, &options));
        let sort = sort.transpose().map_err(query_error)?;
        let aggs = request
            .aggs
            .as_deref()
            .map(|aggs| Aggregations::parse_with(aggs, &options, AggLimits::default(), &request.conditions));
        let aggs = aggs.transpose().map_err(query_error)?;
        let minimal = IndexPolicy::minimal();
        let of_sort = sort.as_ref().map_or_else(IndexPolicy::minimal, Sort::needs);
        let of_aggs = aggs
            .as_ref()
            .map_or_else(IndexPolicy::minimal, Aggregations::needs);
        Ok(Self {
            columns: minimal.union(&of_sort).union(&of_aggs),
            hash: query_hash(
                &asked_for(request)?,
                request.from_ns,
                request.to_ns,
                request.sort.as_deref(),
                personal,
            ),
            query,
            sort,
            aggs,
        })
    }
}

/// The query as a cursor knows it.
fn asked_for(request: &SearchRequest) -> Result<Cow<'_, str>> {
    let Some(filter) = &request.filter else {
        return Ok(Cow::Borrowed(&request.q));
    };
    let filter = serde_json::to_string(filter).map_err(|error| Error::Io(error.to_string()))?;
    // Whoever makes up a query string that reads the same has made two requests of its own look alike.
    Ok(Cow::Owned(format!("{}\0{filter}", request.q)))
}

pub(super) fn query_error(error: QueryError) -> Error {
    Error::Query {
        message: error.message,
        column: error.column,
        suggestion: error.suggestion,
    }
}

/// One attempt on one snapshot.
pub(super) struct Run<'a> {
    pub(super) inner: &'a Inner,
    pub(super) tenant: &'a Tenant,
    pub(super) view: &'a View,
    pub(super) request: &'a SearchRequest,
    pub(super) query: &'a Query,
    /// By what hits are sorted; `None`: by seq.
    pub(super) sort: Option<Sort>,
    /// The last hit of the page before, if hits are sorted by a column.
    pub(super) after: Option<(SortKey, u64)>,
    pub(super) aggs: Option<&'a Aggregations>,
    /// What sort and aggregations need of a split.
    pub(super) columns: &'a IndexPolicy,
    /// What the whole search needs of a split.
    pub(super) needs: IndexPolicy,
    /// Records scanned so far.
    pub(super) scanned: AtomicU64,
    pub(super) hash: [u8; 16],
    /// What the reader sees.
    pub(super) sight: Sight,
    /// Records that are passed over: about people who are hidden.
    pub(super) except: Arc<[u64]>,
    pub(super) deadline_ms: u64,
    /// What is gone: in segments that still hold it, it is passed over.
    pub(super) gone: Arc<Gone>,
    pub(super) stop: &'a (dyn Fn() -> bool + Sync),
}

impl Run<'_> {
    fn page(&mut self, engine: &Engine) -> Result<SearchPage> {
        let begin = Instant::now();
        let opened = sealed::opened_bytes();
        let mut explain = Explain::default();
        let cursor = self.cursor()?;
        let size = cursor.as_ref().map(|cursor| cursor.size).or(self.request.size);
        let size = size.unwrap_or(self.view.size);
        if size > self.view.size {
            return Err(Error::InvalidCursor);
        }
        self.pass_over_hidden()?;
        let mut page = 0..size;
        if let Some(last) = self.request.after {
            self.go_on_after(last, size, &mut page)?;
        }
        match (&cursor, &self.sort, self.request.order) {
            (None, _, _) => {}
            (Some(cursor), Some(_), _) => self.after = Some(sort_key(cursor)?),
            (Some(cursor), None, Order::Newest) => page.end = cursor.last.min(size),
            (Some(cursor), None, Order::Oldest) => page.start = cursor.last.saturating_add(1).min(size),
        }
        let want = Want {
            limit: if self.request.limit == 0 {
                0
            } else {
                self.request.limit + 1
            },
            page,
            count: self.request.want_count,
            aggregate: self.aggs.is_some(),
        };
        let places = places(self, 0..size, &mut explain)?;
        explain.phases.plan_us = micros(begin).saturating_sub(explain.phases.tail_us);
        let gathered = self.gather(&places, size, &want, &mut explain)?;
        let mut hits = gathered.hits;
        let more = hits.len() > self.request.limit;
        hits.truncate(self.request.limit);
        let next = hits.last().filter(|_| more).map(|last| self.seal(size, last));
        let begin = Instant::now();
        let aggregations = self.finish(gathered.partial)?;
        explain.phases.aggregate_us += micros(begin);
        let begin = Instant::now();
        let seqs: Vec<u64> = hits.iter().map(|(_, seq)| *seq).collect();
        let keys = hits.into_iter().filter_map(|(key, _)| key).collect();
        let items = engine.record_views(self.tenant, self.view, &seqs, self.sight, &|| self.check())?;
        let highlights = match self.request.highlight {
            true => items
                .iter()
                .map(|item| highlights(self.query, &item.event))
                .collect(),
            false => Vec::new(),
        };
        explain.phases.fetch_us = micros(begin);
        explain.bytes_opened = sealed::opened_bytes().wrapping_sub(opened);
        Ok(SearchPage {
            items,
            keys,
            highlights,
            cursor: next,
            tree: TreeSize {
                origin: self.tenant.origin.clone(),
                size,
            },
            count: self.request.want_count.then_some(gathered.count),
            aggregations,
            scanned: explain.scanned > 0,
            explain,
        })
    }

    /// Leaves records about hidden people out, if the request looks at values about people: splits still have them.
    ///
    /// # Errors
    /// As reads.
    pub(super) fn pass_over_hidden(&mut self) -> Result<()> {
        let looks = self.query.looks_at_people()
            || self.sort.as_ref().is_some_and(Sort::looks_at_people)
            || self.aggs.is_some_and(Aggregations::looks_at_people);
        if self.sight.personal && looks {
            let hidden = self.tenant.hidden.load();
            self.except = hidden.seqs(self.inner, self.tenant, self.view, self.sight.purpose)?;
        }
        Ok(())
    }

    /// Asks the places, nearest first, as long as they can add something.
    pub(super) fn gather(
        &self,
        places: &[Place],
        size: u64,
        want: &Want,
        explain: &mut Explain,
    ) -> Result<Gathered> {
        let mut all = Gathered::default();
        for place in places {
            let seqs = place.seqs.start..place.seqs.end.min(size);
            let enough = self.is_enough(&all.hits, want, place);
            if seqs.is_empty() || enough && !want.all() {
                explain.pruned += 1;
                continue;
            }
            let limit = if enough { 0 } else { want.limit };
            let one = self.ask(
                place,
                seqs,
                &Want {
                    limit,
                    ..want.clone()
                },
                &all.hits,
                explain,
            )?;
            all.add(one, self, want.limit).map_err(index_error)?;
        }
        Ok(all)
    }

    /// Whether no hit of `place` can still get into the page.
    fn is_enough(&self, hits: &[Hit], want: &Want, place: &Place) -> bool {
        if want.limit == 0 {
            return true;
        }
        if self.sort.is_some() || hits.len() < want.limit {
            return place.seqs.start >= want.page.end || place.seqs.end <= want.page.start;
        }
        hits.last().is_some_and(|(_, last)| match self.request.order {
            Order::Newest => place.seqs.end <= *last,
            Order::Oldest => place.seqs.start > *last,
        })
    }

    /// Asks one place. A sealed split that cannot be used never keeps its records from being found.
    fn ask(
        &self,
        place: &Place,
        seqs: Range<u64>,
        want: &Want,
        hits: &[Hit],
        explain: &mut Explain,
    ) -> Result<Gathered> {
        self.check()?;
        let set: &FileSet = match &place.held {
            Held::Open(split) => return Ok(self.ask_split(split, place, &seqs, want, hits, explain)?),
            Held::Sealed(set) => set,
        };
        if let Some(split) = sealed::open(self.inner, self.tenant, set)? {
            match self.ask_split(&split, place, &seqs, want, hits, explain) {
                Err(Failed::Index(error)) if is_fault_of_split(&error) => {
                    if !self
                        .inner
                        .catalog
                        .has_file(&self.tenant.id, set.idx.as_ref().unwrap_or(&set.seg))?
                    {
                        return Err(index_error(error));
                    }
                    sealed::damaged(self.inner, self.tenant, set, &error);
                }
                answer => return Ok(answer?),
            }
        }
        Ok(scan(self, &Candidates::All(set), &seqs, want, explain)?)
    }

    /// Asks a split, or scans its records if it lacks what the search needs.
    fn ask_split(
        &self,
        split: &Split,
        place: &Place,
        seqs: &Range<u64>,
        want: &Want,
        hits: &[Hit],
        explain: &mut Explain,
    ) -> Result<Gathered, Failed> {
        let mut want = want.clone();
        if let Some(sort) = &self.sort
            && want.limit > 0
            && hits.len() >= want.limit
            && let Some((Some(key), seq)) = hits.last()
            && sort.cannot_beat(&split.summary(), &(key.clone(), *seq))
        {
            want.limit = 0;
        }
        if want.limit == 0 && !want.all() {
            explain.pruned += 1;
            return Ok(Gathered::default());
        }
        let relaxed = match self.query.coverage(split.policy()) {
            Coverage::Exact if split.policy().covers(self.columns) => {
                explain.read += 1;
                return Ok(ask(
                    self,
                    split,
                    self.query,
                    seqs,
                    &place.without,
                    &want,
                    explain,
                )?);
            }
            Coverage::Exact => self.query.clone(),
            Coverage::Superset(relaxed) => relaxed,
        };
        let found = Candidates::Found(split, relaxed, Arc::clone(&place.without));
        scan(self, &found, seqs, &want, explain)
    }

    /// Finishes the aggregations; those that met no split are empty.
    fn finish(&self, partial: Option<Partial>) -> Result<Option<String>> {
        let Some(aggs) = self.aggs else {
            return Ok(None);
        };
        let partial = partial.unwrap_or_else(|| Partial::empty(aggs));
        partial
            .finish(aggs, &|| self.is_late())
            .map(Some)
            .map_err(index_error)
    }

    fn cursor(&self) -> Result<Option<Cursor>> {
        let Some(token) = &self.request.cursor else {
            return Ok(None);
        };
        let cursor = Cursor::open(token, &self.tenant.keys.directory)?;
        cursor.check(&self.tenant.origin, self.request.order, &self.hash)?;
        Ok(Some(cursor))
    }

    fn seal(&self, size: u64, (key, last): &Hit) -> String {
        let cursor = Cursor {
            origin: self.tenant.origin.clone(),
            size,
            last: *last,
            key: key.as_ref().map(SortKey::to_bytes),
            order: self.request.order,
            query: self.hash,
        };
        cursor.seal(&self.tenant.keys.directory, &*self.inner.entropy)
    }

    /// Whether to give up.
    pub(super) fn is_late(&self) -> bool {
        (self.stop)() || self.inner.clock.boot_ms() > self.deadline_ms
    }

    /// Gives up if it is time to.
    ///
    /// # Errors
    /// [`Error::Cancelled`], [`Error::Deadline`].
    pub(super) fn check(&self) -> Result<()> {
        if (self.stop)() {
            Err(Error::Cancelled)
        } else if self.is_late() {
            Err(Error::Deadline)
        } else {
            Ok(())
        }
    }
}

fn sort_key(cursor: &Cursor) -> Result<(SortKey, u64)> {
    let key = cursor.key.as_deref().and_then(SortKey::from_bytes);
    Ok((key.ok_or(Error::InvalidCursor)?, cursor.last))
}

/// Whether a failure comes from the bytes of a split, not from what was asked of it.
fn is_fault_of_split(error: &attestore_index::Error) -> bool {
    use attestore_index::Error as Index;
    matches!(
        error,
        Index::Io(_) | Index::Malformed(_) | Index::Tantivy(_) | Index::Version { .. }
    )
}

impl From<CursorError> for Error {
    fn from(_: CursorError) -> Self {
        Self::InvalidCursor
    }
}
