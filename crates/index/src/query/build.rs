//! Conditions that come as a tree, not as text: what other query languages are translated into.
//!
//! Names and values mean what they mean in a query string, and go the same way from there, but nothing in them is syntax: no
//! value has to be escaped, and none can become anything else.

use std::ops::Bound;

use serde::{Deserialize, Serialize};
use tantivy_query_grammar::UserInputBound;

use super::ast::Node;
use super::names::{self, Target};
use super::parse;
use super::pattern::{Pattern, Piece};
use super::plan::{Field, Planner};
use super::value;
use super::{ParseOptions, Query, QueryError};

/// Values that one [`Condition::Among`] may list.
pub const AMONG_MAX: usize = 512;
/// Values that all lists of one query may have together.
const VALUES_MAX: usize = 4 * AMONG_MAX;
/// Bytes of a value.
const VALUE_BYTES_MAX: usize = 4096;

/// A condition on records, or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// Every record.
    All,
    /// Records that match all of these.
    And(Vec<Condition>),
    /// Records that match at least one of these; none if there are none.
    Or(Vec<Condition>),
    /// Records that do not match.
    Not(Box<Condition>),
    /// A query string.
    Text {
        /// The query string; empty for every record.
        query: String,
        /// The field of values that name none.
        field: Option<String>,
        /// Of conditions side by side, one must match, and all with a `+`; else all must.
        any: bool,
    },
    /// The field has this value.
    Is {
        /// Its name.
        field: String,
        /// The value, as a whole.
        value: String,
    },
    /// The field has one of these values, at most [`AMONG_MAX`].
    Among {
        /// Its name.
        field: String,
        /// The values.
        values: Vec<String>,
    },
    /// The field has a value that starts so.
    Starts {
        /// Its name.
        field: String,
        /// The start.
        start: String,
    },
    /// The field has a value of this form.
    Like {
        /// Its name.
        field: String,
        /// Texts and wildcards.
        form: Vec<Part>,
    },
    /// The field has a value in these bounds.
    Within {
        /// Its name.
        field: String,
        /// The lower bound.
        lower: Bound<Edge>,
        /// The upper bound.
        upper: Bound<Edge>,
    },
    /// The field has a value.
    Has {
        /// Its name.
        field: String,
    },
    /// The text of the record has words; of a field with exact values, it has this value.
    Match {
        /// Its name; `None` for the text and identifiers.
        field: Option<String>,
        /// The words.
        text: String,
        /// Which of them, and how.
        how: Words,
    },
}

/// A piece of a value with wildcards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// This text.
    Text(String),
    /// Any one character.
    One,
    /// Any characters, or none.
    Many,
}

/// An end of a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Edge {
    /// A text, whatever it looks like; times, addresses and numbers of fields that hold such are texts.
    Text(String),
    /// At a path, what reads as a number is one; elsewhere as a text.
    Typed(String),
}

/// How words are matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Words {
    /// All of them, anywhere.
    All,
    /// One of them.
    Any,
    /// Side by side, in this order.
    Phrase,
    /// The same, and the last may go on.
    PhraseStart,
}

impl Query {
    /// Checks conditions, under the same limits as a query string.
    ///
    /// # Errors
    /// [`QueryError`] for unknown fields, values that do not fit their field, and exceeded limits. The column is that of a
    /// query string inside, if that is where the mistake is.
    pub fn build(condition: &Condition, options: &ParseOptions) -> Result<Self, QueryError> {
        let mut builder = Builder {
            options,
            planner: Planner::new("", options),
            values: 0,
        };
        let node = builder.node(condition, 1)?;
        Ok(Self {
            node,
            personal: options.personal,
            terms_max: options.limits.terms_max,
        })
    }

    /// Records that match both. Both were made for the same reader.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let nodes = [self.node, other.node].into_iter();
        Self {
            node: Node::all(nodes.filter(|node| *node != Node::All).collect()),
            personal: self.personal && other.personal,
            terms_max: self.terms_max.min(other.terms_max),
        }
    }
}

struct Builder<'a> {
    options: &'a ParseOptions,
    planner: Planner<'a>,
    /// Values in lists so far.
    values: usize,
}

impl Builder<'_> {
    fn node(&mut self, condition: &Condition, depth: usize) -> Result<Node, QueryError> {
        let max = self.options.limits.depth_max;
        if depth > max {
            return Err(QueryError::new(
                format!("conditions are nested deeper than {max}"),
                None,
            ));
        }
        match condition {
            Condition::All => Ok(Node::All),
            Condition::And(all) => Ok(Node::all(self.nodes(all, depth)?)),
            Condition::Or(any) => Ok(Node::any(self.nodes(any, depth)?)),
            Condition::Not(inner) => Ok(Node::Not(Box::new(self.node(inner, depth + 1)?))),
            Condition::Text { query, field, any } => {
                self.count()?;
                let field = field.as_deref().map(named);
                let mut counted = self.planner.counted();
                let node = parse::parse_in(query, self.options, field.as_ref(), *any, &mut counted)?;
                self.planner.count_from(counted);
                Ok(node)
            }
            Condition::Is { field, value } => self.is(field, value),
            Condition::Among { field, values } => self.among(field, values),
            Condition::Starts { field, start } => self.starts(field, start),
            Condition::Like { field, form } => self.like(field, form),
            Condition::Within { field, lower, upper } => {
                self.count()?;
                let path = matches!(names::find(field), Ok(Target::Path(_)));
                let (lower, upper) = (edge(lower, path)?, edge(upper, path)?);
                placeless(self.planner.range(Some(&named(field)), &lower, &upper, 0))
            }
            Condition::Has { field } => {
                self.count()?;
                let any = Pattern::Start(String::new());
                placeless(self.planner.condition(Some(&named(field)), any, false, 0))
            }
            Condition::Match { field, text, how } => self.matches(field.as_deref(), text, *how),
        }
    }

    fn nodes(&mut self, conditions: &[Condition], depth: usize) -> Result<Vec<Node>, QueryError> {
        conditions
            .iter()
            .map(|condition| self.node(condition, depth + 1))
            .collect()
    }

    /// A whole value: words where there are only words, side by side.
    fn is(&mut self, field: &str, value: &str) -> Result<Node, QueryError> {
        self.count()?;
        self.whole(field, value)
    }

    fn whole(&mut self, field: &str, value: &str) -> Result<Node, QueryError> {
        check(value)?;
        let pattern = Pattern::Whole(value.to_owned());
        placeless(self.planner.condition(Some(&named(field)), pattern, true, 0))
    }

    fn among(&mut self, field: &str, values: &[String]) -> Result<Node, QueryError> {
        if values.len() > AMONG_MAX {
            return Err(QueryError::new(
                format!("a list has at most {AMONG_MAX} values"),
                None,
            ));
        }
        self.count()?;
        self.values += values.len();
        if self.values > VALUES_MAX {
            return Err(QueryError::new(
                format!("lists have at most {VALUES_MAX} values together"),
                None,
            ));
        }
        // Also without a value the field has to be one.
        names::find(field)?;
        let nodes = values.iter().map(|value| self.whole(field, value));
        Ok(Node::any(nodes.collect::<Result<_, _>>()?))
    }

    fn starts(&mut self, field: &str, start: &str) -> Result<Node, QueryError> {
        self.count()?;
        check(start)?;
        let pattern = Pattern::Start(start.to_owned());
        // Unquoted, an empty start asks for any value, and a word for what starts so.
        placeless(self.planner.condition(Some(&named(field)), pattern, false, 0))
    }

    fn like(&mut self, field: &str, form: &[Part]) -> Result<Node, QueryError> {
        self.count()?;
        let mut pieces = Vec::new();
        for part in form {
            pieces.push(match part {
                Part::Text(text) => {
                    check(text)?;
                    Piece::Text(text.clone())
                }
                Part::One => Piece::One,
                Part::Many => Piece::Many,
            });
        }
        let pattern = Pattern::joined(pieces).map_err(|reason| QueryError::new(reason.to_owned(), None))?;
        placeless(self.planner.condition(Some(&named(field)), pattern, false, 0))
    }

    fn matches(&mut self, field: Option<&str>, text: &str, how: Words) -> Result<Node, QueryError> {
        self.count()?;
        check(text)?;
        let is_text = match field {
            None => true,
            Some(field) => names::find(field)? == Target::Text,
        };
        let field = field.map(named);
        let mut one = |pattern, quoted| placeless(self.planner.condition(field.as_ref(), pattern, quoted, 0));
        let whole = || Pattern::Whole(text.to_owned());
        match (is_text, how) {
            (true, Words::All) => one(whole(), false),
            (true, Words::Any) => {
                let words = text
                    .split_whitespace()
                    .filter(|word| word.contains(char::is_alphanumeric));
                let nodes = words.map(|word| one(Pattern::Whole(word.to_owned()), false));
                Ok(Node::any(nodes.collect::<Result<_, _>>()?))
            }
            (_, Words::PhraseStart) => one(Pattern::Start(text.to_owned()), true),
            (true, Words::Phrase) | (false, _) => one(whole(), true),
        }
    }

    fn count(&mut self) -> Result<(), QueryError> {
        placeless(self.planner.count(0))
    }
}

fn named(field: &str) -> Field {
    Field {
        name: field.to_owned(),
        at: 0,
    }
}

/// There is no text that a mistake could have a place in.
fn placeless<T>(result: Result<T, QueryError>) -> Result<T, QueryError> {
    result.map_err(|error| QueryError {
        message: error
            .message
            .replace("; put a value that has a colon in quotation marks", ""),
        column: None,
        ..error
    })
}

fn check(value: &str) -> Result<(), QueryError> {
    match value.len() > VALUE_BYTES_MAX {
        true => Err(QueryError::new(
            format!("a value is longer than {VALUE_BYTES_MAX} bytes"),
            None,
        )),
        false => Ok(()),
    }
}

/// In quotation marks, of which one pair is taken off again, a text is a text.
fn edge(bound: &Bound<Edge>, path: bool) -> Result<UserInputBound, QueryError> {
    let text = |edge: &Edge| {
        let (Edge::Text(text) | Edge::Typed(text)) = edge;
        check(text)?;
        let typed = path && matches!(edge, Edge::Typed(_)) && value::number(text).is_some();
        Ok(match typed {
            true => text.clone(),
            false => format!("\"{text}\""),
        })
    };
    Ok(match bound {
        Bound::Unbounded => UserInputBound::Unbounded,
        Bound::Included(edge) => UserInputBound::Inclusive(text(edge)?),
        Bound::Excluded(edge) => UserInputBound::Exclusive(text(edge)?),
    })
}

impl Pattern {
    /// Puts pieces together; texts side by side are one, and so are wildcards for any characters.
    fn joined(pieces: Vec<Piece>) -> Result<Self, &'static str> {
        let mut joined: Vec<Piece> = Vec::with_capacity(pieces.len());
        for piece in pieces {
            match (joined.last_mut(), piece) {
                (Some(Piece::Text(before)), Piece::Text(text)) => before.push_str(&text),
                (Some(Piece::Many), Piece::Many) => {}
                (_, Piece::Text(text)) if text.is_empty() => {}
                (_, piece) => joined.push(piece),
            }
        }
        Self::of(joined)
    }
}

#[cfg(test)]
mod tests;
