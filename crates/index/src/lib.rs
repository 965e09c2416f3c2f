//! Splits, queries and search; the only crate that names tantivy.
//!
//! A [`Split`] is an immutable index over some records of one tenant. [`SplitBuilder`] makes one in memory from
//! records in ascending order of seq, [`merge`] makes one of several without indexing again, [`Split::bundle`] turns
//! one into bytes that the caller seals, and [`Split::open`] reads sealed bytes range by range through a bounded
//! [`Cache`]. [`Query::parse`] turns a query string into a checked query, and [`search`] runs it on one split.
//!
//! # Invariants
//! - No file, clock, randomness or thread is used here: bytes come from a [`Source`], deadlines from a `stop` function.
//! - Nothing of a record is stored in a split but terms and column values; hits are seqs.
//! - Values of personal groups are kept in fields of their own. A query that was parsed without
//!   [`ParseOptions::personal`] names none of them, so neither hits nor counts depend on them.
//! - A split is derived data: every error of it can be answered by rebuilding it from the records.
//!
//! # Errors
//! [`QueryError`] is the user's mistake and carries a column; [`Error`] is everything else.

mod aggregate;
mod cache;
mod columns;
mod document;
mod error;
mod json;
mod paths;
mod policy;
mod postings;
mod query;
mod schema;
mod search;
mod seen;
mod split;
mod words;

pub use aggregate::{AggLimits, Aggregations, Partial, aggregate};
pub use cache::{CACHE_BYTES_DEFAULT, Cache};
pub use document::DocInput;
pub use error::Error;
pub use policy::{IndexPolicy, PATH_BYTES_MAX, PATHS_MAX, PersonalIndex, PolicyError, TextIndex};
pub use query::{
    AMONG_MAX, Condition, Coverage, Edge, FieldHolds, FieldInfo, ParseLimits, ParseOptions, Part, Query,
    QueryError, Sieve, Words, fields, find_field, find_path, time_span,
};
pub use schema::FIELD_LIST;
pub use search::{Found, Order, Sort, SortKey, Window, search, top};
pub use split::{Source, Split, SplitBuilder, Summary, merge};
