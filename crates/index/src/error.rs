//! What can go wrong while a split is built, opened, merged or searched. Query mistakes are [`QueryError`](crate::QueryError).

use std::io;

/// Failure of a split operation. An index is derived data: the remedy for all but [`Error::Io`] of a passing
/// kind and [`Error::Stopped`] is to rebuild the split from the records.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The source of a sealed split could not be read; damage of the sealed bytes arrives here too.
    #[error("split cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The bytes were read but are no split, or one of another layout.
    #[error("split is malformed: {0}")]
    Malformed(String),
    /// The split was written under another field list; it has to be rebuilt.
    #[error("split has field list {found}, this program needs {expected}")]
    Version {
        /// Field list number found in the split.
        found: u32,
        /// Field list number of this program.
        expected: u32,
    },
    /// Records were added, or splits merged, out of the order of seq.
    #[error("seq {next} after {last}: records of a split must ascend")]
    Order {
        /// Highest seq so far.
        last: u64,
        /// The seq that does not follow it.
        next: u64,
    },
    /// Splits were built under different policies: they have to be built anew from their records.
    #[error("splits of different index policies cannot be merged")]
    Policy,
    /// The policy of the split does not cover the query: its records have to be scanned.
    #[error("the split's index policy does not cover the query")]
    NotCovered,
    /// A split needs at least one record, a merge at least one split.
    #[error("nothing to index")]
    Empty,
    /// A prefix or range matches more terms than may be expanded.
    #[error("{clause} matches more than {limit} different terms; make it more specific")]
    TooBroad {
        /// The clause as the user would recognise it.
        clause: String,
        /// Limit of terms that one clause may expand to.
        limit: usize,
    },
    /// The split was built without a column that the search needs: its records have to be scanned.
    #[error("the index has no column of {column}")]
    NoColumn {
        /// Name of the column.
        column: String,
    },
    /// An aggregation has more buckets than an answer may have.
    #[error(
        "aggregation {aggregation:?} has more than {limit} buckets; narrow the query, or use wider intervals or fewer levels"
    )]
    TooManyBuckets {
        /// Name of the aggregation.
        aggregation: String,
        /// Limit of buckets in an answer.
        limit: usize,
    },
    /// A number has no bucket: intervals are numbered from -2^63 to 2^63.
    #[error(
        "aggregation {aggregation:?}: {value:e} lies beyond 2^63 intervals; use wider intervals, or hard_bounds without it"
    )]
    BeyondBuckets {
        /// Name of the aggregation.
        aggregation: String,
        /// The number.
        value: f64,
    },
    /// Aggregations keep more than may be kept.
    #[error(
        "aggregations need more than {limit} bytes of memory; narrow the query, or aggregate by fields with fewer values"
    )]
    TooMuchMemory {
        /// Limit (bytes).
        limit: usize,
    },
    /// The caller's `stop` said so (deadline passed or client gone).
    #[error("search was stopped")]
    Stopped,
    /// The search library failed.
    #[error("index failure: {0}")]
    Tantivy(#[source] Box<tantivy::TantivyError>),
}

impl From<tantivy::TantivyError> for Error {
    fn from(error: tantivy::TantivyError) -> Self {
        match error {
            tantivy::TantivyError::IoError(io) => Self::Io(io::Error::new(io.kind(), io)),
            other => Self::Tantivy(Box::new(other)),
        }
    }
}
