//! From the grammar's syntax tree to checked clauses.

use std::net::Ipv6Addr;
use std::ops::{Bound, RangeInclusive};

use tantivy_query_grammar::{
    Delimiter, Occur, UserInputAst, UserInputBound, UserInputLeaf, UserInputLiteral, parse_query_lenient,
};

use super::ast::{Bounds, Clause, Node};
use super::names::{self, Target};
use super::value::{self, Pattern};
use super::{ParseLimits, QueryError, prescan};
use crate::schema::{Label, VALUE_MAX};
use crate::words::{cut, words};

/// Values that one `IN [...]` may list.
const LIST_MAX: usize = 512;
/// The parser's remark on a colon inside of a value, which is fine: addresses, times and resource names have them.
const COLON_REMARK: &str = "parsed possible invalid field as term";
/// A shorter start of a word stands for too many words.
const WORD_START_MIN: usize = 2;
/// Names that bare words are compared with as a whole, besides the text.
const IDENTIFIERS: [Label; 6] = [
    Label::ActorCredential,
    Label::RequestId,
    Label::TraceId,
    Label::SpanId,
    Label::SessionId,
    Label::IdempotencyKey,
];

/// Parses and checks a query string.
pub(crate) fn plan(text: &str, limits: &ParseLimits) -> Result<Node, QueryError> {
    prescan::check(text, limits)?;
    if text.trim().is_empty() {
        return Ok(Node::All);
    }
    let (ast, errors) = parse_query_lenient(text);
    if let Some(error) = errors.into_iter().find(|error| error.message != COLON_REMARK) {
        let column = prescan::column(text, error.pos.min(text.len()));
        return Err(QueryError {
            message: error.message,
            column: Some(column),
            suggestion: None,
        });
    }
    Planner { text }.tree(ast)
}

struct Planner<'a> {
    text: &'a str,
}

impl Planner<'_> {
    fn tree(&self, ast: UserInputAst) -> Result<Node, QueryError> {
        match ast {
            UserInputAst::Clause(parts) => self.parts(parts),
            UserInputAst::Boost(..) => Err(self.at(
                "^",
                "weights (^) have no meaning here: results are in order of seq",
            )),
            UserInputAst::Leaf(leaf) => self.leaf(*leaf),
        }
    }

    /// Juxtaposed parts must all match. Of parts joined with `OR`, one must.
    fn parts(&self, parts: Vec<(Option<Occur>, UserInputAst)>) -> Result<Node, QueryError> {
        let (mut all, mut any) = (Vec::new(), Vec::new());
        for (occur, part) in parts {
            let node = self.tree(part)?;
            match occur {
                None | Some(Occur::Must) => all.push(node),
                Some(Occur::MustNot) => all.push(Node::Not(Box::new(node))),
                Some(Occur::Should) => any.push(node),
            }
        }
        if !any.is_empty() {
            all.push(single(any, Node::Or));
        }
        Ok(if all.is_empty() {
            Node::All
        } else {
            single(all, Node::And)
        })
    }

    fn leaf(&self, leaf: UserInputLeaf) -> Result<Node, QueryError> {
        match leaf {
            UserInputLeaf::All => Ok(Node::All),
            UserInputLeaf::Literal(literal) => self.literal(&literal),
            UserInputLeaf::Range { field, lower, upper } => self.range(field.as_deref(), &lower, &upper),
            UserInputLeaf::Set { field, elements } => self.set(field.as_deref(), &elements),
            UserInputLeaf::Exists { field } => self.present(&self.target(&field)?, &field),
            UserInputLeaf::Regex { field, .. } => {
                let place = field.unwrap_or_else(|| "/".to_owned());
                Err(self.at(
                    &place,
                    "regular expressions are not supported; quote a value that starts with /",
                ))
            }
        }
    }

    fn target(&self, field: &str) -> Result<Target, QueryError> {
        names::target(field).ok_or_else(|| QueryError {
            message: format!("unknown field {field:?}; put a value that has a colon in quotation marks"),
            column: self.column(field),
            suggestion: names::nearest(field).map(str::to_owned),
        })
    }

    fn literal(&self, literal: &UserInputLiteral) -> Result<Node, QueryError> {
        let place = literal.field_name.as_deref().unwrap_or(&literal.phrase);
        if literal.slop > 0 {
            return Err(self.at(place, "~ is not supported"));
        }
        let quoted = literal.delimiter != Delimiter::None;
        let pattern = match (quoted, literal.prefix) {
            (true, true) => Pattern::Start(literal.phrase.clone()),
            (true, false) => Pattern::Whole(literal.phrase.clone()),
            (false, prefix) => {
                let text = if prefix {
                    format!("{}*", literal.phrase)
                } else {
                    literal.phrase.clone()
                };
                value::pattern(&text).map_err(|reason| self.at(place, reason))?
            }
        };
        match &literal.field_name {
            None => self.words(&pattern, true),
            Some(field) => match (
                self.target(field),
                value::network(&format!("{field}:{}", literal.phrase)),
            ) {
                // An IPv6 address, typed without quotation marks.
                (Err(_), Some(range)) => Ok(ip(range)),
                (target, _) => self.condition(&target?, field, &pattern),
            },
        }
    }

    fn condition(&self, target: &Target, field: &str, pattern: &Pattern) -> Result<Node, QueryError> {
        match (target, pattern) {
            (_, Pattern::Start(start)) if start.is_empty() => self.present(target, field),
            (Target::Text, pattern) => self.words(pattern, false),
            (Target::Label(Label::Ip), pattern) => self.ip(field, pattern),
            (Target::Label(name), Pattern::Whole(value)) => Ok(exact(*name, value)),
            (Target::Label(name), Pattern::Start(start)) => Ok(Node::Clause(Clause::Prefix {
                name: *name,
                start: fold(*name, start),
            })),
            (Target::Metadata(path), pattern) => self.metadata(path, field, pattern),
            (_, Pattern::Start(_)) => Err(self.at(field, "a * makes no sense on times and numbers")),
            (Target::Seq | Target::Occurred | Target::Received, Pattern::Whole(value)) => {
                let bound = UserInputBound::Inclusive(value.clone());
                self.range(Some(field), &bound, &bound)
            }
        }
    }

    fn metadata(&self, path: &str, field: &str, pattern: &Pattern) -> Result<Node, QueryError> {
        if path.is_empty() {
            return Err(self.at(
                field,
                "name a path, as in metadata.ticket:SEC-12, or use metadata:* or a bare word",
            ));
        }
        let path = cut(path, VALUE_MAX).to_owned();
        Ok(match pattern {
            Pattern::Whole(value) => {
                let spellings = value::spellings(value).into_iter();
                let clauses = spellings.map(|value| {
                    let value = cut(&value, VALUE_MAX).to_owned();
                    Node::Clause(Clause::Metadata {
                        path: path.clone(),
                        value,
                    })
                });
                single(clauses.collect(), Node::Or)
            }
            Pattern::Start(start) => Node::Clause(Clause::MetadataPrefix {
                path,
                start: cut(start, VALUE_MAX).to_owned(),
            }),
        })
    }

    /// An address or a network; anything else is a host name that a source put in an address's place.
    fn ip(&self, field: &str, pattern: &Pattern) -> Result<Node, QueryError> {
        match pattern {
            Pattern::Whole(value) => match value::network(value) {
                Some(range) => Ok(ip(range)),
                None if looks_like_ip(value) => Err(self.at(field, "not an IP address or network")),
                None => Ok(exact(Label::Host, value)),
            },
            Pattern::Start(_) => Err(self.at(field, "use a network, as in ip:10.0.0.0/8, instead of a *")),
        }
    }

    fn present(&self, target: &Target, field: &str) -> Result<Node, QueryError> {
        Ok(match target {
            Target::Label(name) => Node::Clause(Clause::Present { name: *name }),
            Target::Metadata(path) => Node::Clause(Clause::MetadataPresent { path: path.clone() }),
            Target::Seq | Target::Occurred | Target::Received => Node::All,
            Target::Text => return Err(self.at(field, "text:* is not supported")),
        })
    }

    /// Words of the text: all of them, in any order and place. A bare literal also finds identifiers and addresses.
    fn words(&self, pattern: &Pattern, bare: bool) -> Result<Node, QueryError> {
        let (Pattern::Whole(literal) | Pattern::Start(literal)) = pattern;
        let mut nodes = Vec::new();
        words(literal, |word| {
            nodes.push(Node::Clause(Clause::Word(word.to_owned())))
        });
        if let Pattern::Start(start) = pattern {
            match nodes.pop() {
                Some(Node::Clause(Clause::Word(word))) if word.len() >= WORD_START_MIN => {
                    nodes.push(Node::Clause(Clause::WordPrefix(word)));
                }
                _ => return Err(self.at(start, "write at least two letters before the *")),
            }
        }
        if nodes.is_empty() {
            return Err(self.at(literal, "there is no letter or digit to search for"));
        }
        let mut any = vec![single(nodes, Node::And)];
        if let (Pattern::Whole(literal), true) = (pattern, bare) {
            any.extend(IDENTIFIERS.map(|name| exact(name, literal)));
            any.extend(value::network(literal).map(ip));
        }
        Ok(single(any, Node::Or))
    }

    fn set(&self, field: Option<&str>, elements: &[String]) -> Result<Node, QueryError> {
        let field =
            field.ok_or_else(|| self.at("IN", "IN needs a field, as in outcome:IN [denied failure]"))?;
        if elements.len() > LIST_MAX {
            return Err(self.at(field, &format!("IN lists more than {LIST_MAX} values")));
        }
        let target = self.target(field)?;
        let mut nodes = Vec::with_capacity(elements.len());
        for element in elements {
            nodes.push(self.condition(&target, field, &Pattern::Whole(element.clone()))?);
        }
        Ok(single(nodes, Node::Or))
    }

    fn range(
        &self,
        field: Option<&str>,
        lower: &UserInputBound,
        upper: &UserInputBound,
    ) -> Result<Node, QueryError> {
        let field = field.ok_or_else(|| self.at("[", "a range needs a field, as in seq:[10 TO 20]"))?;
        let target = self.target(field)?;
        let clause = match &target {
            Target::Occurred => Clause::Occurred(self.times(field, lower, upper)?),
            Target::Received => {
                let ns = self.times(field, lower, upper)?;
                Clause::Received(milliseconds(&ns))
            }
            Target::Seq => Clause::Seq(self.seqs(field, lower, upper)?),
            Target::Label(Label::Ip) => Clause::Ip(self.addresses(field, lower, upper)?),
            Target::Metadata(path) if !path.is_empty() => Clause::MetadataRange {
                path: path.clone(),
                bounds: self.numbers(field, lower, upper)?,
            },
            _ => return Err(self.at(field, "ranges work on times, seq, ip and numbers in metadata")),
        };
        Ok(Node::Clause(clause))
    }

    fn times(
        &self,
        field: &str,
        lower: &UserInputBound,
        upper: &UserInputBound,
    ) -> Result<RangeInclusive<i64>, QueryError> {
        let read = |text: &str| {
            value::time(unquoted(text)).ok_or_else(|| {
                self.at(
                    field,
                    &format!("{text:?} is no time; write 2026-11-22, 2026-11-22T02:06:14Z or ms since 1970"),
                )
            })
        };
        let start = match lower {
            UserInputBound::Unbounded => i64::MIN,
            UserInputBound::Inclusive(text) => *read(text)?.start(),
            UserInputBound::Exclusive(text) => read(text)?.end().saturating_add(1),
        };
        let end = match upper {
            UserInputBound::Unbounded => i64::MAX,
            UserInputBound::Inclusive(text) => *read(text)?.end(),
            UserInputBound::Exclusive(text) => read(text)?.start().saturating_sub(1),
        };
        Ok(start..=end)
    }

    fn seqs(
        &self,
        field: &str,
        lower: &UserInputBound,
        upper: &UserInputBound,
    ) -> Result<RangeInclusive<u64>, QueryError> {
        let read = |text: &str| {
            unquoted(text)
                .parse::<u64>()
                .map_err(|_| self.at(field, &format!("{text:?} is no whole number")))
        };
        let start = match lower {
            UserInputBound::Unbounded => 0,
            UserInputBound::Inclusive(text) => read(text)?,
            UserInputBound::Exclusive(text) => read(text)?.saturating_add(1),
        };
        let end = match upper {
            UserInputBound::Unbounded => Some(u64::MAX),
            UserInputBound::Inclusive(text) => Some(read(text)?),
            UserInputBound::Exclusive(text) => read(text)?.checked_sub(1),
        };
        Ok(end.map_or_else(no_number, |end| start..=end))
    }

    fn addresses(
        &self,
        field: &str,
        lower: &UserInputBound,
        upper: &UserInputBound,
    ) -> Result<RangeInclusive<Ipv6Addr>, QueryError> {
        let read = |text: &str| {
            value::network(unquoted(text))
                .ok_or_else(|| self.at(field, &format!("{text:?} is no IP address")))
        };
        let nothing = RangeInclusive::new(Ipv6Addr::from_bits(1), Ipv6Addr::from_bits(0));
        let start = match lower {
            UserInputBound::Unbounded => Some(0),
            UserInputBound::Inclusive(text) => Some(read(text)?.start().to_bits()),
            UserInputBound::Exclusive(text) => read(text)?.end().to_bits().checked_add(1),
        };
        let end = match upper {
            UserInputBound::Unbounded => Some(u128::MAX),
            UserInputBound::Inclusive(text) => Some(read(text)?.end().to_bits()),
            UserInputBound::Exclusive(text) => read(text)?.start().to_bits().checked_sub(1),
        };
        let bounds = start.zip(end);
        Ok(bounds.map_or(nothing, |(start, end)| {
            Ipv6Addr::from_bits(start)..=Ipv6Addr::from_bits(end)
        }))
    }

    fn numbers(
        &self,
        field: &str,
        lower: &UserInputBound,
        upper: &UserInputBound,
    ) -> Result<Bounds<f64>, QueryError> {
        let bound = |bound: &UserInputBound| {
            let read = |text: &str| {
                value::number(unquoted(text)).ok_or_else(|| self.at(field, &format!("{text:?} is no number")))
            };
            Ok(match bound {
                UserInputBound::Unbounded => Bound::Unbounded,
                UserInputBound::Inclusive(text) => Bound::Included(read(text)?),
                UserInputBound::Exclusive(text) => Bound::Excluded(read(text)?),
            })
        };
        Ok(Bounds {
            lower: bound(lower)?,
            upper: bound(upper)?,
        })
    }

    fn at(&self, place: &str, message: &str) -> QueryError {
        QueryError {
            message: message.to_owned(),
            column: self.column(place),
            suggestion: None,
        }
    }

    fn column(&self, place: &str) -> Option<usize> {
        let anywhere = || {
            self.text
                .find(place)
                .map(|offset| prescan::column(self.text, offset))
        };
        prescan::column_of(self.text, place).or_else(anywhere)
    }
}

/// Bounds of a range keep their quotation marks in the grammar.
fn unquoted(text: &str) -> &str {
    let inner = |quote| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(text)
}

fn exact(name: Label, value: &str) -> Node {
    Node::Clause(Clause::Exact {
        name,
        value: fold(name, value),
    })
}

fn fold(name: Label, value: &str) -> String {
    let value = cut(value, VALUE_MAX);
    if name.folds_case() {
        value.to_lowercase()
    } else {
        value.to_owned()
    }
}

/// A single address has a term; a network needs the column.
fn ip(range: RangeInclusive<Ipv6Addr>) -> Node {
    if range.start() == range.end() {
        return exact(Label::Ip, &range.start().to_canonical().to_string());
    }
    Node::Clause(Clause::Ip(range))
}

fn looks_like_ip(text: &str) -> bool {
    text.contains('/')
        || text.contains("::")
        || text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// The whole milliseconds whose start lies in a range of nanoseconds.
fn milliseconds(ns: &RangeInclusive<i64>) -> RangeInclusive<u64> {
    let start = ns.start().div_euclid(1_000_000) + i64::from(ns.start().rem_euclid(1_000_000) > 0);
    let end = ns.end().div_euclid(1_000_000);
    match u64::try_from(end) {
        Ok(end) => u64::try_from(start).unwrap_or(0)..=end,
        Err(_) => no_number(),
    }
}

/// A range that holds nothing.
fn no_number() -> RangeInclusive<u64> {
    RangeInclusive::new(1, 0)
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
