//! What a query says, independent of any split.

use std::net::Ipv6Addr;
use std::ops::RangeInclusive;

use super::pattern::Glob;
use crate::schema::{Label, PATH_END, PRESENT};

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
    /// A condition that only narrows a relaxed query: where it stands for too many terms, every record matches.
    Hint(Clause),
}

impl Node {
    /// The node that no record matches.
    pub(crate) const fn none() -> Self {
        Self::Or(Vec::new())
    }

    /// Joins nodes of which all must match.
    pub(crate) fn all(nodes: Vec<Self>) -> Self {
        match nodes.len() {
            0 => Self::All,
            _ => single(nodes, Self::And),
        }
    }

    /// Joins nodes of which one must match.
    pub(crate) fn any(nodes: Vec<Self>) -> Self {
        single(nodes, Self::Or)
    }

    /// Calls `each` with every condition.
    pub(crate) fn for_each<'a>(&'a self, each: &mut dyn FnMut(&'a Clause)) {
        match self {
            Self::All => {}
            Self::And(nodes) | Self::Or(nodes) => nodes.iter().for_each(|node| node.for_each(each)),
            Self::Not(inner) => inner.for_each(each),
            Self::Clause(clause) | Self::Hint(clause) => each(clause),
        }
    }
}

fn single(mut nodes: Vec<Node>, join: fn(Vec<Node>) -> Node) -> Node {
    match nodes.pop() {
        Some(node) if nodes.is_empty() => node,
        Some(node) => {
            nodes.push(node);
            join(nodes)
        }
        None => join(nodes),
    }
}

/// One condition on a record: on its public values, and on its personal ones if the reader may see these.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Clause {
    /// Has this very value.
    Equals { key: Key, value: String },
    /// Has a value that starts so.
    Starts { key: Key, start: String },
    /// Has a value of this form.
    Like { key: Key, glob: Glob },
    /// Has a value in these bounds, byte by byte.
    Texts { key: Key, bounds: Bounds<String> },
    /// Has a value that reads as a number in these bounds.
    Numbers { key: Key, bounds: Bounds<f64> },
    /// Has a value; of a path, at it or below.
    Present(Key),
    /// Has a value anywhere in `metadata`.
    PresentMetadata,
    /// The last part of the action has this form, apart from `_`: `GetObject` for `s3.get_object`.
    EventName(Glob),
    /// The text has this word.
    Word(String),
    /// The text has a word that starts so.
    WordStarts(String),
    /// The text has a word of this form.
    WordLike(Glob),
    /// The text has these words, at least two, in this order with nothing between, in one string.
    Phrase(Vec<String>),
    /// The same with a last word that starts so, after at least one other.
    PhraseStarts { words: Vec<String>, start: String },
    /// Address in this range (IPv4 as mapped IPv6).
    Ip(RangeInclusive<Ipv6Addr>),
    /// Seq in these bounds.
    Seq(RangeInclusive<u64>),
    /// Time of occurrence in these bounds (ns since 1970).
    Occurred(RangeInclusive<i64>),
    /// Time of receipt in these bounds (ms since 1970).
    Received(RangeInclusive<u64>),
}

impl Clause {
    /// Whether values about people can make it hold.
    pub(crate) const fn looks_at_people(&self) -> bool {
        match self {
            Self::Equals { key, .. }
            | Self::Starts { key, .. }
            | Self::Like { key, .. }
            | Self::Texts { key, .. }
            | Self::Numbers { key, .. }
            | Self::Present(key) => !key.is_public(),
            Self::PresentMetadata
            | Self::Word(_)
            | Self::WordStarts(_)
            | Self::WordLike(_)
            | Self::Phrase(_)
            | Self::PhraseStarts { .. }
            | Self::Ip(_) => true,
            Self::EventName(_) | Self::Seq(_) | Self::Occurred(_) | Self::Received(_) => false,
        }
    }
}

/// Whose values a condition is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// A name.
    Label(Label),
    /// A path into a free-form value.
    Path(JsonPath),
}

/// A path into a free-form value, whole: `metadata.ticket`, `payload.order.total`, `targets.attributes.size`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonPath(pub(crate) String);

impl JsonPath {
    /// The kind of the path's terms, and the path as they have it.
    fn parts(&self) -> (Label, &str) {
        match self.0.strip_prefix("metadata.") {
            Some(inside) => (Label::Metadata, inside),
            None => (Label::Json, &self.0),
        }
    }

    /// Tells whether the path leads into `metadata`.
    pub(crate) fn is_metadata(&self) -> bool {
        self.parts().0 == Label::Metadata
    }
}

impl Key {
    /// The term of a value, or the start of the terms of values that start so.
    pub(crate) fn term(&self, value: &str) -> String {
        match self {
            Self::Label(label) => format!("{}{value}", label.code()),
            Self::Path(path) => {
                let (label, inside) = path.parts();
                format!("{}{inside}{PATH_END}{value}", label.code())
            }
        }
    }

    /// The term that says that there is a value.
    pub(crate) fn present(&self) -> String {
        match self {
            Self::Label(label) => format!("{PRESENT}{}", label.code()),
            Self::Path(path) => {
                let (label, inside) = path.parts();
                format!("{PRESENT}{}{inside}", label.code())
            }
        }
    }

    /// No value is ever personal.
    pub(crate) const fn is_public(&self) -> bool {
        use Label as L;
        matches!(
            self,
            Self::Label(
                L::Action
                    | L::Operation
                    | L::Outcome
                    | L::OutcomeCode
                    | L::Severity
                    | L::ActorType
                    | L::BehalfType
                    | L::TargetType
                    | L::SubjectType
                    | L::HttpMethod
                    | L::HttpStatus
                    | L::Service
                    | L::SourceVersion
                    | L::Environment
                    | L::ChangePath
                    | L::Classification
                    | L::DataCategory
                    | L::IdempotencyKey
                    | L::Credential
                    | L::Protocol
                    | L::Kind
                    | L::Class
            )
        )
    }

    /// Values are compared in lower case.
    pub(crate) fn folds_case(&self) -> bool {
        matches!(self, Self::Label(label) if label.folds_case())
    }
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
