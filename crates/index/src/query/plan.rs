//! From what a condition says to clauses: names are resolved, values are checked against their field.

use std::borrow::Cow;
use std::net::Ipv6Addr;
use std::ops::{Bound, RangeInclusive};

use tantivy_query_grammar::UserInputBound;

use super::ast::{Bounds, Clause, JsonPath, Key, Node};
use super::names::{self, Target};
use super::pattern::Pattern;
use super::{ParseOptions, QueryError, text, value};
use crate::schema::{Label, VALUE_MAX};
use crate::words::cut;

/// A field as the query names it.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// Where it stands (bytes).
    pub(crate) at: usize,
}

/// Makes clauses, and counts them.
pub(crate) struct Planner<'a> {
    text: &'a str,
    options: &'a ParseOptions,
    counted: Counted,
}

/// What counts against the limits so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counted {
    clauses: usize,
    words: usize,
}

impl<'a> Planner<'a> {
    pub(crate) const fn new(text: &'a str, options: &'a ParseOptions) -> Self {
        Self {
            text,
            options,
            counted: Counted { clauses: 0, words: 0 },
        }
    }

    /// Goes on counting from here.
    pub(crate) const fn count_from(&mut self, counted: Counted) {
        self.counted = counted;
    }

    /// What was counted so far.
    pub(crate) const fn counted(&self) -> Counted {
        self.counted
    }

    /// Counts a condition at a place.
    pub(crate) fn count(&mut self, at: usize) -> Result<(), QueryError> {
        self.counted.clauses += 1;
        let max = self.options.limits.clauses_max;
        match self.counted.clauses > max {
            true => Err(self.error(at, &format!("query has more than {max} clauses"))),
            false => Ok(()),
        }
    }

    /// A value, of a field or bare, that stands at `at`.
    pub(crate) fn condition(
        &mut self,
        field: Option<&Field>,
        pattern: Pattern,
        quoted: bool,
        at: usize,
    ) -> Result<Node, QueryError> {
        let any = !quoted && pattern == Pattern::Start(String::new());
        let target = match field {
            Some(field) => self.target(field)?,
            None if any => return Ok(Node::All),
            None => return self.words(&pattern, quoted, true, at),
        };
        if any {
            return self.present(target, at);
        }
        if target == Target::Text {
            return self.words(&pattern, quoted, false, at);
        }
        if pattern.leads_with_wildcard() && !self.options.leading_wildcard {
            return Err(self.error(
                at,
                "a leading * or ? is not supported: every value of the field would be looked at",
            ));
        }
        match (target, pattern) {
            (Target::Label(Label::Ip), pattern) => self.ip(&pattern, at),
            (Target::Label(label), pattern) => Ok(values(Key::Label(label), pattern)),
            (Target::Path(path), pattern) => Ok(at_path(path, pattern)),
            (Target::EventName, pattern) => Ok(event_name(pattern)),
            (Target::Free(_), _) => Err(self.error(at, NAME_A_PATH)),
            (target @ (Target::Seq | Target::Occurred | Target::Received), Pattern::Whole(value)) => {
                let bound = UserInputBound::Inclusive(value);
                self.bounded(target, &bound, &bound, at)
            }
            (Target::Seq | Target::Occurred | Target::Received | Target::Text, _) => {
                Err(self.error(at, "a wildcard makes no sense on times and numbers"))
            }
        }
    }

    /// A range of a field, that stands at `at`.
    pub(crate) fn range(
        &self,
        field: Option<&Field>,
        lower: &UserInputBound,
        upper: &UserInputBound,
        at: usize,
    ) -> Result<Node, QueryError> {
        let field =
            field.ok_or_else(|| self.error(at, "a range needs a field, as in seq:[10 TO 20] or seq:>=10"))?;
        let target = self.target(field)?;
        match (lower, upper) {
            (UserInputBound::Unbounded, UserInputBound::Unbounded) => self.present(target, at),
            _ => self.bounded(target, lower, upper, at),
        }
    }

    /// An IPv6 address that was typed without quotation marks, whose first part looks like a field's name.
    pub(crate) fn address(&self, field: Option<&Field>, text: &str) -> Option<Node> {
        let unknown = field.is_some_and(|field| names::find(&field.name).is_err());
        unknown.then(|| value::network(text)).flatten().map(ip)
    }

    /// A mistake at a place (bytes).
    pub(crate) fn error(&self, offset: usize, message: &str) -> QueryError {
        let before = self.text.get(..offset).unwrap_or(self.text);
        QueryError::new(message.to_owned(), Some(before.chars().count()))
    }

    fn target(&self, field: &Field) -> Result<Target, QueryError> {
        names::find(&field.name).map_err(|error| QueryError {
            message: format!(
                "{}; put a value that has a colon in quotation marks",
                error.message
            ),
            suggestion: error.suggestion,
            ..self.error(field.at, "")
        })
    }

    fn present(&self, target: Target, at: usize) -> Result<Node, QueryError> {
        Ok(match target {
            Target::Label(label) => Node::Clause(Clause::Present(Key::Label(label))),
            Target::EventName => Node::Clause(Clause::Present(Key::Label(Label::Action))),
            Target::Path(path) => Node::Clause(Clause::Present(Key::Path(path))),
            Target::Free(true) => Node::Clause(Clause::PresentMetadata),
            Target::Free(false) => return Err(self.error(at, NAME_A_PATH)),
            Target::Seq | Target::Occurred | Target::Received => Node::All,
            Target::Text => return Err(self.error(at, "text:* is not supported")),
        })
    }

    fn words(&mut self, pattern: &Pattern, quoted: bool, bare: bool, at: usize) -> Result<Node, QueryError> {
        let leading = self.options.leading_wildcard;
        let (node, words) = text::words(pattern, quoted, leading).map_err(|reason| self.error(at, reason))?;
        self.counted.words += words;
        let max = self.options.limits.words_max;
        if self.counted.words > max {
            return Err(self.error(at, &format!("query has more than {max} words")));
        }
        let Pattern::Whole(literal) = pattern else {
            return Ok(node);
        };
        if !bare {
            return Ok(node);
        }
        let mut any = vec![node];
        any.extend(identifiers(literal));
        any.extend(value::network(literal).map(ip));
        Ok(Node::any(any))
    }

    /// An address or a network; anything else is a host name that a source put in an address's place.
    fn ip(&self, pattern: &Pattern, at: usize) -> Result<Node, QueryError> {
        match pattern {
            Pattern::Whole(value) => match value::network(value) {
                Some(range) => Ok(ip(range)),
                None if looks_like_ip(value) => Err(self.error(at, "this is no IP address or network")),
                None => Ok(values(Key::Label(Label::Host), Pattern::Whole(value.clone()))),
            },
            Pattern::Start(_) | Pattern::Like(_) => {
                Err(self.error(at, "use a network, as in ip:10.0.0.0/8, instead of a wildcard"))
            }
        }
    }

    fn bounded(
        &self,
        target: Target,
        lower: &UserInputBound,
        upper: &UserInputBound,
        at: usize,
    ) -> Result<Node, QueryError> {
        Ok(Node::Clause(match target {
            Target::Occurred => Clause::Occurred(self.times(lower, upper, at)?),
            Target::Received => Clause::Received(milliseconds(&self.times(lower, upper, at)?)),
            Target::Seq => Clause::Seq(self.seqs(lower, upper, at)?),
            Target::Label(Label::Ip) => Clause::Ip(self.addresses(lower, upper, at)?),
            Target::Label(label @ (Label::HttpStatus | Label::Class)) => Clause::Numbers {
                key: Key::Label(label),
                bounds: self.numbers(lower, upper, at)?,
            },
            Target::Label(label) => self.texts(Key::Label(label), lower, upper, at)?,
            Target::EventName => self.texts(Key::Label(Label::Action), lower, upper, at)?,
            Target::Path(path) => {
                let key = Key::Path(path);
                match (is_number(lower), is_number(upper)) {
                    (Some(true), Some(true) | None) | (None, Some(true)) => Clause::Numbers {
                        key,
                        bounds: self.numbers(lower, upper, at)?,
                    },
                    (Some(true), Some(false)) | (Some(false), Some(true)) => {
                        return Err(self.error(at, "one end of this range is a number, the other is not"));
                    }
                    (Some(false) | None, Some(false) | None) => self.texts(key, lower, upper, at)?,
                }
            }
            Target::Free(_) => return Err(self.error(at, NAME_A_PATH)),
            Target::Text => return Err(self.error(at, "ranges do not work on words")),
        }))
    }

    fn times(
        &self,
        lower: &UserInputBound,
        upper: &UserInputBound,
        at: usize,
    ) -> Result<RangeInclusive<i64>, QueryError> {
        let read = |text: &str| {
            value::time(unquoted(text)).ok_or_else(|| {
                let hint = "write 2026-11-22, 2026-11-22T02:06:14Z or ms since 1970";
                self.error(at, &format!("{text:?} is no time; {hint}"))
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
        lower: &UserInputBound,
        upper: &UserInputBound,
        at: usize,
    ) -> Result<RangeInclusive<u64>, QueryError> {
        let read = |text: &str| {
            unquoted(text)
                .parse::<u64>()
                .map_err(|_| self.error(at, &format!("{text:?} is no whole number")))
        };
        let start = match lower {
            UserInputBound::Unbounded => Some(0),
            UserInputBound::Inclusive(text) => Some(read(text)?),
            UserInputBound::Exclusive(text) => read(text)?.checked_add(1),
        };
        let end = match upper {
            UserInputBound::Unbounded => Some(u64::MAX),
            UserInputBound::Inclusive(text) => Some(read(text)?),
            UserInputBound::Exclusive(text) => read(text)?.checked_sub(1),
        };
        Ok(start.zip(end).map_or_else(no_number, |(start, end)| start..=end))
    }

    fn addresses(
        &self,
        lower: &UserInputBound,
        upper: &UserInputBound,
        at: usize,
    ) -> Result<RangeInclusive<Ipv6Addr>, QueryError> {
        let read = |text: &str| {
            value::network(unquoted(text))
                .ok_or_else(|| self.error(at, &format!("{text:?} is no IP address or network")))
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
        lower: &UserInputBound,
        upper: &UserInputBound,
        at: usize,
    ) -> Result<Bounds<f64>, QueryError> {
        let bound = |bound: &UserInputBound| {
            let read = |text: &str| {
                value::number(unquoted(text)).ok_or_else(|| self.error(at, &format!("{text:?} is no number")))
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

    fn texts(
        &self,
        key: Key,
        lower: &UserInputBound,
        upper: &UserInputBound,
        at: usize,
    ) -> Result<Clause, QueryError> {
        let read = |text: &str| {
            let plain = unquoted(text);
            if plain.len() == text.len() && plain.contains(['*', '?']) {
                return Err(self.error(
                    at,
                    "an end of a range has no wildcards; quote it if it has a * or ?",
                ));
            }
            Ok(normal(&key, plain).into_owned())
        };
        let bound = |bound: &UserInputBound| {
            Ok(match bound {
                UserInputBound::Unbounded => Bound::Unbounded,
                UserInputBound::Inclusive(text) => Bound::Included(read(text)?),
                UserInputBound::Exclusive(text) => Bound::Excluded(read(text)?),
            })
        };
        let bounds = Bounds {
            lower: bound(lower)?,
            upper: bound(upper)?,
        };
        Ok(Clause::Texts { key, bounds })
    }
}

const NAME_A_PATH: &str = "name a path, as in metadata.ticket:SEC-12, or search for words";

/// Names that bare values are compared with as a whole, besides the text.
fn identifiers(literal: &str) -> impl Iterator<Item = Node> {
    let is_hex = literal.bytes().all(|byte| byte.is_ascii_hexdigit());
    let labels = [
        Some(Label::ActorCredential),
        Some(Label::RequestId),
        Some(Label::SessionId),
        Some(Label::IdempotencyKey),
        (is_hex && literal.len() == 32).then_some(Label::TraceId),
        (is_hex && literal.len() == 16).then_some(Label::SpanId),
    ];
    let value = Pattern::Whole(literal.to_owned());
    labels
        .into_iter()
        .flatten()
        .map(move |label| values(Key::Label(label), value.clone()))
}

/// A condition on the values of a key.
fn values(key: Key, pattern: Pattern) -> Node {
    let pattern = pattern.map(|text| normal(&key, text).into_owned());
    Node::Clause(match pattern {
        Pattern::Whole(value) => Clause::Equals { key, value },
        Pattern::Start(start) => Clause::Starts { key, start },
        Pattern::Like(glob) => Clause::Like { key, glob },
    })
}

/// The same at a path, where equal numbers have equal texts.
fn at_path(path: JsonPath, pattern: Pattern) -> Node {
    let key = Key::Path(path);
    match pattern {
        Pattern::Whole(value) => {
            let spellings = value::spellings(&value).into_iter();
            Node::any(
                spellings
                    .map(|value| values(key.clone(), Pattern::Whole(value)))
                    .collect(),
            )
        }
        pattern => values(key, pattern),
    }
}

/// A whole action, or its last part in the spelling of CloudTrail.
fn event_name(pattern: Pattern) -> Node {
    match pattern {
        Pattern::Whole(name) if name.contains('.') => values(Key::Label(Label::Action), Pattern::Whole(name)),
        Pattern::Start(start) if start.contains('.') => {
            values(Key::Label(Label::Action), Pattern::Start(start))
        }
        Pattern::Like(glob) if glob.start.contains('.') => {
            values(Key::Label(Label::Action), Pattern::Like(glob))
        }
        pattern => {
            let letters = |text: &str| {
                text.chars()
                    .filter(|c| c.is_ascii_alphanumeric())
                    .collect::<String>()
            };
            let glob = pattern.into_glob().map(|text| letters(text).to_ascii_lowercase());
            Node::Clause(Clause::EventName(glob))
        }
    }
}

/// A value as it is compared.
fn normal<'a>(key: &Key, value: &'a str) -> Cow<'a, str> {
    let value = cut(value, VALUE_MAX);
    match key.folds_case() {
        true => Cow::Owned(value.to_lowercase()),
        false => Cow::Borrowed(value),
    }
}

/// A single address has a term; a network needs the column.
fn ip(range: RangeInclusive<Ipv6Addr>) -> Node {
    if range.start() == range.end() {
        let value = range.start().to_canonical().to_string();
        return values(Key::Label(Label::Ip), Pattern::Whole(value));
    }
    Node::Clause(Clause::Ip(range))
}

fn looks_like_ip(text: &str) -> bool {
    text.contains('/')
        || text.contains("::")
        || text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// Tells whether an end of a range is a number; quotation marks make it a text.
fn is_number(bound: &UserInputBound) -> Option<bool> {
    match bound {
        UserInputBound::Unbounded => None,
        UserInputBound::Inclusive(text) | UserInputBound::Exclusive(text) => {
            Some(value::number(text).is_some())
        }
    }
}

/// Ends of a range keep their quotation marks in the grammar.
fn unquoted(text: &str) -> &str {
    let inner = |quote| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(text)
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
