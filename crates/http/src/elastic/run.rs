//! Runs one search: translated, in its turn, page by page as far as the request reaches.

use std::sync::Arc;
use std::time::{Duration, Instant};

use attestore_engine::read::{RecordView, Which};
use attestore_engine::search::{Condition, Highlight, PAGE_MAX, SearchPage, SearchRequest, SortKey};
use attestore_engine::{Engine, Error, Principal};
use serde_json::Value;

use super::aggs::Aggs;
use super::answer::Refusal;
use super::dsl;
use super::request::Spec;
use super::sort::After;
use crate::peer::Peer;
use crate::routes::search;
use crate::server::App;
use crate::wire;

/// Time that one answer may take: lookups of ids, all pages, and writing them (ms). Each search has the engine's own deadline
/// besides.
const BUDGET_MS: u64 = 60_000;
/// Bytes of documents in one answer, with the texts in which places are marked.
pub const DOCUMENTS_BYTES_MAX: usize = 64 << 20;

/// Where and as of when to search.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The tenant.
    pub index: String,
    /// What `now` means, milliseconds since 1970.
    pub now_ms: u64,
    /// The tree to search; `None` for all there is.
    pub size: Option<u64>,
    /// Where a scroll goes on.
    pub cursor: Option<String>,
    /// Bytes that documents may have together.
    pub bytes_max: usize,
}

/// What a search found.
pub struct Found {
    /// The hits.
    pub hits: Vec<Hit>,
    /// Where the next page begins.
    pub cursor: Option<String>,
    /// Number of all hits, if it was wanted.
    pub total: Option<u64>,
    /// Aggregations, in Elasticsearch's shape.
    pub aggs: Option<Value>,
}

/// A record that was found.
pub struct Hit {
    /// The record.
    pub record: RecordView,
    /// What it is sorted by, if not by seq.
    pub key: Option<SortKey>,
    /// What the query found in it.
    pub highlights: Vec<Highlight>,
}

impl Hit {
    /// Bytes that it takes in memory, about.
    fn bytes(&self) -> usize {
        let places = self.highlights.iter().map(|place| {
            place.path.len() + place.text.len() + place.ranges.len() * size_of::<std::ops::Range<usize>>()
        });
        self.record.event.len() + places.sum::<usize>()
    }
}

/// How long there is for an answer, and whether anybody waits for it still.
#[derive(Clone, Copy)]
pub struct Turn<'a> {
    gone: &'a (dyn Fn() -> bool + Sync),
    until: Instant,
}

impl<'a> Turn<'a> {
    /// Begins now, and has at most so long.
    pub fn new(gone: &'a (dyn Fn() -> bool + Sync), most_ms: Option<u64>) -> Self {
        let most_ms = most_ms.unwrap_or(u64::MAX).min(BUDGET_MS);
        Self {
            gone,
            until: Instant::now() + Duration::from_millis(most_ms),
        }
    }

    /// What is left (ms).
    ///
    /// # Errors
    /// That nothing is, or that nobody waits any more.
    pub fn left_ms(&self) -> Result<u64, Refusal> {
        if (self.gone)() {
            return Err(wire::problem(Error::Cancelled).into());
        }
        let left = self.until.saturating_duration_since(Instant::now());
        match u64::try_from(left.as_millis()).unwrap_or(u64::MAX) {
            0 => Err(wire::problem(Error::Deadline).into()),
            left => Ok(left),
        }
    }
}

/// Searches, and makes of what was found what is wanted, all in the search's turn. It is given up when the client is gone.
///
/// # Errors
/// What cannot be translated, and as the native search.
pub async fn run<T: Send + 'static>(
    app: &App,
    peer: &Peer,
    principal: &Arc<Principal>,
    scope: Scope,
    spec: Arc<Spec>,
    finish: impl FnOnce(Found, Turn<'_>) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let engine = app.engine().clone();
    let by = Arc::clone(principal);
    let index = scope.index.clone();
    let patience = spec.deadline_ms;
    let found = search::in_turn_of(app, peer, &index, patience, move |gone| {
        let turn = Turn::new(gone, patience);
        let job = Job {
            engine: &engine,
            by: &by,
            scope: &scope,
            spec: &spec,
            turn,
        };
        finish(job.run()?, turn)
    })
    .await?;
    found.map_err(|refusal: Refusal| refusal.of_index(&index))
}

struct Job<'a> {
    engine: &'a Engine,
    by: &'a Principal,
    scope: &'a Scope,
    spec: &'a Spec,
    turn: Turn<'a>,
}

impl Job<'_> {
    fn run(&self) -> Result<Found, Refusal> {
        let seq_of = |id: &str| self.seq_of(id);
        let context = dsl::Context::new(self.scope.now_ms, &seq_of);
        let spec = self.spec;
        let filter = context.query(&spec.query)?;
        // A later page of a scroll says nothing of all hits again.
        let first = self.scope.cursor.is_none();
        let aggs = spec.aggs.as_ref().filter(|_| first);
        let aggs = aggs.map(|aggs| Aggs::read(aggs, &context)).transpose()?;
        let mut after = None;
        if let Some(values) = &spec.search_after {
            match spec.sorted.after(values)? {
                After::Seq(seq) => after = Some(seq),
                After::Beyond(condition) => {
                    return self.beyond(&filter, condition, aggs.as_ref());
                }
            }
        }
        let (order, sort) = spec.sorted.native();
        let request = SearchRequest {
            filter: Some(filter),
            order,
            sort,
            after,
            cursor: self.scope.cursor.clone(),
            size: self.scope.size.filter(|_| first),
            want_count: spec.total && first || spec.size == 0 && aggs.is_none(),
            highlight: spec.highlight.is_some(),
            aggs: aggs.as_ref().map(|aggs| aggs.native.clone()),
            conditions: aggs
                .as_ref()
                .map(|aggs| aggs.conditions.clone())
                .unwrap_or_default(),
            ..SearchRequest::default()
        };
        let mut found = self.pages(request)?;
        if let (Some(aggs), Some(native)) = (&aggs, found.native.take()) {
            found.found.aggs = Some(aggs.answer(&native)?);
        }
        Ok(found.found)
    }

    /// Hits beyond a time. What is counted and aggregated is everything that the query finds, so it is asked apart.
    fn beyond(&self, filter: &Condition, beyond: Condition, aggs: Option<&Aggs>) -> Result<Found, Refusal> {
        let (order, sort) = self.spec.sorted.native();
        let request = SearchRequest {
            filter: Some(filter.clone()),
            order,
            sort,
            size: self.scope.size,
            ..SearchRequest::default()
        };
        let page = SearchRequest {
            filter: Some(Condition::And(vec![filter.clone(), beyond])),
            highlight: self.spec.highlight.is_some(),
            want_count: self.spec.size == 0,
            ..request.clone()
        };
        let mut found = self.pages(page)?.found;
        found.total = None;
        if self.spec.total || aggs.is_some() {
            let all = SearchRequest {
                limit: 0,
                want_count: true,
                aggs: aggs.map(|aggs| aggs.native.clone()),
                conditions: aggs.map(|aggs| aggs.conditions.clone()).unwrap_or_default(),
                ..request
            };
            let page = self.page(&all)?;
            found.total = page.count.filter(|_| self.spec.total);
            if let (Some(aggs), Some(native)) = (aggs, &page.aggregations) {
                found.aggs = Some(aggs.answer(native)?);
            }
        }
        Ok(found)
    }

    /// Skips what the request skips, and takes what it takes.
    fn pages(&self, mut request: SearchRequest) -> Result<Pages, Refusal> {
        let mut skip = self.spec.from;
        let mut wanted = self.spec.size;
        let mut pages = Pages {
            found: Found {
                hits: Vec::new(),
                cursor: None,
                total: None,
                aggs: None,
            },
            native: None,
        };
        let mut bytes = 0;
        for number in 0.. {
            request.limit = match wanted {
                0 => 0,
                wanted => (skip + wanted).min(PAGE_MAX),
            };
            let mut page = self.page(&request)?;
            if number == 0 {
                pages.found.total = page.count;
                pages.native = page.aggregations.take();
            }
            let cursor = page.cursor.take();
            let skipped = skip.min(page.items.len());
            let hits = hits(page).skip(skipped);
            for hit in hits {
                bytes += hit.bytes();
                pages.found.hits.push(hit);
                wanted = wanted.saturating_sub(1);
            }
            if bytes > self.scope.bytes_max {
                return Err(Refusal::argument(format!(
                    "the documents are more than {DOCUMENTS_BYTES_MAX} bytes together: ask for fewer at once"
                )));
            }
            skip -= skipped;
            match cursor {
                Some(cursor) if wanted > 0 => {
                    request = SearchRequest {
                        cursor: Some(cursor),
                        after: None,
                        size: None,
                        want_count: false,
                        aggs: None,
                        conditions: Vec::new(),
                        ..request
                    };
                }
                cursor => {
                    pages.found.cursor = cursor;
                    break;
                }
            }
        }
        Ok(pages)
    }

    /// Searches in the time that is left.
    fn page(&self, request: &SearchRequest) -> Result<SearchPage, Refusal> {
        let request = SearchRequest {
            deadline_ms: Some(self.turn.left_ms()?),
            ..request.clone()
        };
        let page = self
            .engine
            .search_until(&self.scope.index, self.by, &request, self.turn.gone);
        search::note(&page);
        page.map_err(|error| Refusal::from(wire::problem(error)))
    }

    /// The seq of a record by its id, or by its event's own idempotency key.
    fn seq_of(&self, id: &str) -> Result<Option<u64>, Refusal> {
        let record = find(self.engine, &self.scope.index, self.by, id, self.turn)?;
        Ok(record.map(|record| record.seq))
    }
}

struct Pages {
    found: Found,
    native: Option<String>,
}

fn hits(page: SearchPage) -> impl Iterator<Item = Hit> {
    let mut keys = page.keys.into_iter();
    let mut highlights = page.highlights.into_iter();
    page.items.into_iter().map(move |record| Hit {
        record,
        key: keys.next(),
        highlights: highlights.next().unwrap_or_default(),
    })
}

/// Finds a record by its id, or by its event's own idempotency key. Blocking.
///
/// # Errors
/// As searches.
pub fn find(
    engine: &Engine,
    index: &str,
    by: &Principal,
    id: &str,
    turn: Turn<'_>,
) -> Result<Option<RecordView>, Refusal> {
    let refuse = |error| Refusal::from(wire::problem(error)).of_index(index);
    let deadline_ms = Some(turn.left_ms()?);
    if let Ok(id) = id.parse() {
        match engine.get(index, by, Which::Id(id)) {
            Err(Error::UnknownRecord) => {}
            found => return found.map(Some).map_err(refuse),
        }
    }
    if id.len() > ID_BYTES_MAX {
        return Ok(None);
    }
    let by_key = SearchRequest {
        filter: Some(Condition::Is {
            field: "idempotency_key".to_owned(),
            value: id.to_owned(),
        }),
        limit: 1,
        deadline_ms,
        ..SearchRequest::default()
    };
    let page = engine.search_until(index, by, &by_key, turn.gone);
    let mut page = page.map_err(refuse)?;
    Ok(page.items.pop())
}

/// No key is longer (bytes).
const ID_BYTES_MAX: usize = 4096;
