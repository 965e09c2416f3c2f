//! What is asked of a search, and what it answers.

use attestore_index::{Condition, Order, SortKey};

use crate::read::RecordView;

/// What is searched for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchRequest {
    /// The query string; empty for everything.
    pub q: String,
    /// What must match besides: conditions that another query language was translated into.
    pub filter: Option<Condition>,
    /// Earliest time of occurrence, inclusive, nanoseconds since 1970. Records without one count by their receipt.
    pub from_ns: Option<i64>,
    /// Latest time of occurrence, exclusive, nanoseconds since 1970.
    pub to_ns: Option<i64>,
    /// Newest or oldest first, by seq; without effect when `sort` names a column.
    pub order: Order,
    /// By which column hits are sorted, as the index writes it: `occurred_at:desc`, `actor.id`. `None`: by seq, as `order`
    /// says. Ties go by seq.
    pub sort: Option<String>,
    /// Records in a page: 1 to [`PAGE_MAX`], or 0 with `aggs` or `want_count`.
    pub limit: usize,
    /// Where to go on: [`SearchPage::cursor`] of the page before. Query, window, order and sort must be the same.
    pub cursor: Option<String>,
    /// Where to go on without a cursor: after the record of this seq, which is among what the search goes through, in its order.
    /// Appends meanwhile may add hits to pages, unless `size` is set.
    pub after: Option<u64>,
    /// The tree to search, as a number of records; `None` for all that there are, or for that of the cursor.
    pub size: Option<u64>,
    /// Whether the number of all hits is wanted. It is exact, and costs a pass over all of them.
    pub want_count: bool,
    /// Whether the places in the records' strings that the query names are wanted.
    pub highlight: bool,
    /// Aggregations over all hits, whatever the page: a JSON object of Elasticsearch's shape.
    pub aggs: Option<String>,
    /// What `{"filter": {"condition": 0}}` in `aggs` means, by place.
    pub conditions: Vec<Condition>,
    /// After how long to give up, milliseconds; at most the instance's own deadline, which `None` means.
    pub deadline_ms: Option<u64>,
}

/// One page of hits.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchPage {
    /// The hits, in the order asked for.
    pub items: Vec<RecordView>,
    /// For each item, what it is sorted by; empty if that is its seq.
    pub keys: Vec<SortKey>,
    /// For each item, what the query found in it; empty if that was not wanted.
    pub highlights: Vec<Vec<Highlight>>,
    /// Where the next page begins; `None` when there is none.
    pub cursor: Option<String>,
    /// The tree that all pages of this search come from.
    pub tree: TreeSize,
    /// Number of all hits in that tree, if it was wanted.
    pub count: Option<u64>,
    /// Results of the aggregations, a JSON object of Elasticsearch's shape.
    pub aggregations: Option<String>,
    /// Whether records had to be scanned, because no index answers this query for all of them.
    pub scanned: bool,
    /// What the search did.
    pub explain: Explain,
}

/// Names a state of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeSize {
    /// Name of the log.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
}

/// A string of a record in which the query found something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Highlight {
    /// JSON pointer to the string in [`RecordView::event`].
    pub path: String,
    /// The string, or the part of it around the first place.
    pub text: String,
    /// The places: byte ranges of `text`, ascending.
    pub ranges: Vec<std::ops::Range<usize>>,
}

/// What a search did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Explain {
    /// Sealed splits that there were.
    pub sealed_splits: u64,
    /// Splits in memory that there were.
    pub memory_splits: u64,
    /// Segments without a usable split that there were.
    pub bare_segments: u64,
    /// Splits and segments that were left out: nothing in them can be asked for, or the page was full.
    pub pruned: u64,
    /// Splits that answered.
    pub read: u64,
    /// Splits and segments whose records were scanned.
    pub scanned: u64,
    /// Records that were scanned.
    pub records_scanned: u64,
    /// Hits of the query that were looked at.
    pub hits_visited: u64,
    /// Bytes of sealed splits that were opened, past the cache.
    pub bytes_opened: u64,
    /// Where the time went.
    pub phases: Phases,
    /// Time it took, microseconds.
    pub took_us: u64,
}

/// Time by phase of a search, microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Parsing the query and finding what to ask.
    pub plan_us: u64,
    /// Indexing, or waiting for the index of, the newest records.
    pub tail_us: u64,
    /// Asking splits.
    pub search_us: u64,
    /// Scanning records.
    pub scan_us: u64,
    /// Aggregating.
    pub aggregate_us: u64,
    /// Opening the records of the page.
    pub fetch_us: u64,
}

/// Most records in a page.
pub const PAGE_MAX: usize = 1000;

/// Microseconds since a moment.
pub(super) fn micros(since: std::time::Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
