//! Query strings: parsed, checked, and turned into what a split can answer.

mod ast;
mod build;
mod catalogue;
mod column;
mod coverage;
mod cursor;
mod docs;
mod expand;
mod highlight;
mod matching;
mod names;
mod numbers;
mod parse;
mod pattern;
mod phrase;
mod plan;
mod ranged;
mod resolve;
mod sieve;
mod text;
mod value;

use ast::Node;
pub use build::{AMONG_MAX, Condition, Edge, Part, Words};
pub use catalogue::{FieldHolds, FieldInfo, fields, find_field, find_path};
pub(crate) use column::{ColumnField, ColumnRef, column};
pub use coverage::Coverage;
pub(crate) use cursor::{Cursor, WINDOW, count, each_doc};
pub(crate) use matching::Matching;
pub(crate) use resolve::resolve;
pub use sieve::Sieve;

use std::ops::Range;

use crate::policy::IndexPolicy;
use crate::schema::Side;

/// Bounds on what a query may cost before it meets any data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseLimits {
    /// Length of the query string (bytes).
    pub bytes_max: usize,
    /// Number of clauses, values of `IN [...]` not counted.
    pub clauses_max: usize,
    /// Nesting of parentheses and of `NOT`.
    pub depth_max: usize,
    /// Number of words, in all bare values and phrases.
    pub words_max: usize,
    /// Different terms that one start, wildcard or range may stand for in one split.
    pub terms_max: usize,
}

impl Default for ParseLimits {
    fn default() -> Self {
        Self {
            bytes_max: 4096,
            clauses_max: 64,
            depth_max: 16,
            words_max: 256,
            terms_max: 16_384,
        }
    }
}

/// How a query string is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ParseOptions {
    /// The reader may see personal fields. Without it the query knows nothing of them.
    pub personal: bool,
    /// A value may start with a `*` or `?`. Without it, that is refused: every value of the field is looked at.
    pub leading_wildcard: bool,
    /// Bounds.
    pub limits: ParseLimits,
}

/// A mistake in a query string, for the user's eyes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct QueryError {
    /// What is wrong.
    pub message: String,
    /// Where: characters before it.
    pub column: Option<usize>,
    /// What was perhaps meant.
    pub suggestion: Option<String>,
}

/// The span (ns since 1970, both ends included) that a time in a query names, `None` if it is none: `2026-11-22` is the whole
/// day, a plain number a millisecond.
pub fn time_span(text: &str) -> Option<std::ops::RangeInclusive<i64>> {
    value::time(text)
}

impl QueryError {
    pub(crate) const fn new(message: String, column: Option<usize>) -> Self {
        Self {
            message,
            column,
            suggestion: None,
        }
    }
}

/// A checked query. Cheap to clone, good for every split.
#[derive(Clone, Debug)]
pub struct Query {
    node: Node,
    personal: bool,
    terms_max: usize,
}

impl Query {
    /// Parses a query string; an empty one matches everything.
    ///
    /// # Errors
    /// [`QueryError`] for syntax, unknown fields, values that do not fit their field, and exceeded limits.
    pub fn parse(text: &str, options: &ParseOptions) -> Result<Self, QueryError> {
        let node = parse::parse(text, options)?;
        Ok(Self {
            node,
            personal: options.personal,
            terms_max: options.limits.terms_max,
        })
    }

    /// The query that matches every record.
    pub fn all() -> Self {
        Self {
            node: Node::All,
            personal: false,
            terms_max: ParseLimits::default().terms_max,
        }
    }

    /// Tells whether the query matches every record.
    pub fn is_all(&self) -> bool {
        matches!(self.node, Node::All)
    }

    /// Whether values about people can decide what matches.
    pub fn looks_at_people(&self) -> bool {
        let mut found = false;
        self.node
            .for_each(&mut |clause| found |= clause.looks_at_people());
        self.personal && found
    }

    /// The least policy under which a split answers the query exactly.
    pub fn needs(&self) -> IndexPolicy {
        coverage::needs(&self.node, self.personal)
    }

    /// How well a split that was built under `policy` answers the query.
    pub fn coverage(&self, policy: &IndexPolicy) -> Coverage {
        match coverage::relax(&self.node, policy, self.personal) {
            None => Coverage::Exact,
            Some(node) => Coverage::Superset(Self { node, ..*self }),
        }
    }

    /// Tells which records cannot match by their bytes; `None` if any may.
    pub fn sieve(&self) -> Option<Sieve> {
        Sieve::of(&self.node)
    }

    /// Where words and values that the query asks for stand in a readable string: byte ranges, ascending, apart.
    pub fn highlight(&self, text: &str) -> Vec<Range<usize>> {
        highlight::highlight(&self.node, text)
    }

    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    pub(crate) fn terms_max(&self) -> usize {
        self.terms_max
    }

    /// The sides that this query may look at.
    pub(crate) fn sides(&self) -> &'static [Side] {
        if self.personal {
            &[Side::Public, Side::Personal]
        } else {
            &[Side::Public]
        }
    }
}
