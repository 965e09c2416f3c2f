//! What a query says, independent of any split.

use std::net::Ipv6Addr;
use std::ops::RangeInclusive;

use crate::schema::Label;

/// A tree of clauses.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    /// Every record.
    All,
    /// Records that match all of these.
    And(Vec<Node>),
    /// Records that match at least one of these; none if there are none.
    Or(Vec<Node>),
    /// Records that do not match.
    Not(Box<Node>),
    /// One condition.
    Clause(Clause),
}

impl Node {
    /// Calls `each` with every condition.
    pub(crate) fn for_each<'a>(&'a self, each: &mut dyn FnMut(&'a Clause)) {
        match self {
            Self::All => {}
            Self::And(nodes) | Self::Or(nodes) => nodes.iter().for_each(|node| node.for_each(each)),
            Self::Not(inner) => inner.for_each(each),
            Self::Clause(clause) => each(clause),
        }
    }
}

/// One condition on a record. On both sides, if the reader may see both.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Clause {
    /// A name has this very value.
    Exact { name: Label, value: String },
    /// A name has a value that starts so.
    Prefix { name: Label, start: String },
    /// A name has a value.
    Present { name: Label },
    /// Metadata at a path has this value; numbers match by number.
    Metadata { path: String, value: String },
    /// Metadata at a path starts so.
    MetadataPrefix { path: String, start: String },
    /// Metadata at a path, or below it, has a value; an empty path is any.
    MetadataPresent { path: String },
    /// Metadata at a path is a number in these bounds.
    MetadataRange { path: String, bounds: Bounds<f64> },
    /// The text has this word.
    Word(String),
    /// The text has a word that starts so.
    WordPrefix(String),
    /// Address in this range (IPv4 as mapped IPv6).
    Ip(RangeInclusive<Ipv6Addr>),
    /// Seq in these bounds.
    Seq(RangeInclusive<u64>),
    /// Time of occurrence in these bounds (ns since 1970).
    Occurred(RangeInclusive<i64>),
    /// Time of receipt in these bounds (ms since 1970).
    Received(RangeInclusive<u64>),
}

/// Bounds of a range; each may be missing, and exclusive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds<T> {
    pub(crate) lower: std::ops::Bound<T>,
    pub(crate) upper: std::ops::Bound<T>,
}

impl<T: PartialOrd> Bounds<T> {
    pub(crate) fn contains(&self, value: &T) -> bool {
        use std::ops::RangeBounds;
        (self.lower.as_ref(), self.upper.as_ref()).contains(value)
    }
}
