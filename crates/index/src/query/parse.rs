//! From a query string to a tree of clauses.
//!
//! Parentheses, `AND`, `OR`, `NOT` and signs are read here, in one walk that knows where everything stands and holds
//! the limits as it goes. Each condition between them is read by the query grammar of the search library: its tree
//! tells what a condition says, but not where it stands, and groups `AND` and `OR` that are mixed with conditions
//! side by side by rules of its own.

use std::ops::Range;

use tantivy_query_grammar::{Delimiter, UserInputAst, UserInputBound, UserInputLeaf, parse_query_lenient};

use super::ast::Node;
use super::pattern::{Pattern, is_special};
use super::plan::{Counted, Field, Planner};
use super::{ParseOptions, QueryError};

/// Values that one `IN [...]` may list.
const LIST_MAX: usize = 512;
/// The grammar's remark on a colon inside of a value, which is fine: addresses, times and resource names have them.
const COLON_REMARK: &str = "parsed possible invalid field as term";
/// What the grammar does not take for a part of a field's name.
const NOT_IN_NAMES: &str = "+^`:{}\"'[]()!\\* ";

const DISTANCE: &str = "~ is not supported; put a value that has one in quotation marks";
const WEIGHT: &str = "weights (^) have no meaning here: nothing is ranked";

/// Parses and checks a query string.
pub(crate) fn parse(text: &str, options: &ParseOptions) -> Result<Node, QueryError> {
    parse_in(text, options, None, false, &mut Counted::default())
}

/// The same with a field for values that name none. With `any`, of conditions side by side one must match, and every one with
/// a `+`; those with a `-` must not. Counts on from what was counted.
pub(crate) fn parse_in(
    text: &str,
    options: &ParseOptions,
    field: Option<&Field>,
    any: bool,
    counted: &mut Counted,
) -> Result<Node, QueryError> {
    let max = options.limits.bytes_max;
    if text.len() > max {
        return Err(QueryError::new(format!("query is longer than {max} bytes"), None));
    }
    let mut parser = Parser {
        text,
        at: 0,
        depth: 0,
        planner: Planner::new(text, options),
        options,
        any,
    };
    parser.planner.count_from(*counted);
    parser.skip_blanks();
    if parser.rest().is_empty() {
        return Ok(Node::All);
    }
    let node = parser.side_by_side(field)?;
    *counted = parser.planner.counted();
    match parser.rest().is_empty() {
        true => Ok(node),
        false => Err(parser.error(parser.at, "this parenthesis closes none")),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    planner: Planner<'a>,
    options: &'a ParseOptions,
    /// Of conditions side by side, one must match.
    any: bool,
}

/// The extent of a value (bytes), by its form.
enum Value {
    Word(Range<usize>),
    Quoted(Range<usize>),
    /// In brackets, with the extent of every item.
    Range(Range<usize>, Vec<Range<usize>>),
    /// After a sign.
    Compared(Range<usize>),
    /// With that of every item.
    List(Range<usize>, Vec<Range<usize>>),
}

/// What stands where a condition, or a word between conditions, may stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keyword {
    And,
    Or,
    Not,
}

impl<'a> Parser<'a> {
    /// Conditions side by side: all must match, or one.
    fn side_by_side(&mut self, field: Option<&Field>) -> Result<Node, QueryError> {
        let (mut nodes, mut some) = (Vec::new(), Vec::new());
        loop {
            self.skip_blanks();
            if self.rest().is_empty() || self.rest().starts_with(')') {
                break;
            }
            let must = !self.any
                || matches!(self.rest().as_bytes(), [b'+', next, ..] if !next.is_ascii_whitespace());
            match self.joined(field)? {
                node if must => nodes.push(node),
                node @ Node::Not(_) => nodes.push(node),
                node => some.push(node),
            }
        }
        if nodes.is_empty() && some.is_empty() {
            return Err(self.error(self.at, "a condition is missing here"));
        }
        // What may match decides nothing beside what must.
        if !some.is_empty() && nodes.iter().all(|node| matches!(node, Node::Not(_))) {
            nodes.insert(0, Node::any(some));
        }
        Ok(Node::all(nodes))
    }

    /// `AND` binds tighter than `OR`.
    fn joined(&mut self, field: Option<&Field>) -> Result<Node, QueryError> {
        let (mut any, mut all) = (Vec::new(), vec![self.signed(field)?]);
        loop {
            let before = self.at;
            self.skip_blanks();
            match self.keyword() {
                Some((Keyword::And, length)) => {
                    self.at += length;
                    all.push(self.signed(field)?);
                }
                Some((Keyword::Or, length)) => {
                    self.at += length;
                    any.push(Node::all(std::mem::take(&mut all)));
                    all.push(self.signed(field)?);
                }
                Some((Keyword::Not, _)) | None => {
                    self.at = before;
                    break;
                }
            }
        }
        any.push(Node::all(all));
        Ok(Node::any(any))
    }

    /// One condition or group, perhaps with `NOT` or a sign.
    fn signed(&mut self, field: Option<&Field>) -> Result<Node, QueryError> {
        self.skip_blanks();
        let negates = match (self.keyword(), self.rest().as_bytes()) {
            (Some((Keyword::Not, length)), _) => {
                self.at += length;
                true
            }
            (Some(_), _) => return Err(self.error(self.at, "AND and OR stand between two conditions")),
            (None, [b'-', next, ..]) if !next.is_ascii_whitespace() => {
                self.at += 1;
                true
            }
            (None, [b'+', next, ..]) if !next.is_ascii_whitespace() => {
                self.at += 1;
                false
            }
            (None, [] | [b')', ..]) => return Err(self.error(self.at, "a condition is missing here")),
            (None, _) => return self.condition(field),
        };
        self.deeper()?;
        let node = self.signed(field)?;
        self.depth -= 1;
        Ok(match negates {
            true => Node::Not(Box::new(node)),
            false => node,
        })
    }

    fn condition(&mut self, outer: Option<&Field>) -> Result<Node, QueryError> {
        let start = self.at;
        let field = self.field()?;
        let value = self.at;
        if self.rest().starts_with('(') {
            return self.group(field.as_ref().or(outer));
        }
        match (&field, self.rest().chars().next()) {
            (Some(field), None | Some(')')) => {
                return Err(self.error(value, &format!("a value is missing after {}:", field.name)));
            }
            (_, Some('^')) => return Err(self.error(value, WEIGHT)),
            _ => {}
        }
        self.planner.count(start)?;
        let node = match self.value()? {
            Value::Word(word) => {
                let raw = self.text.get(word.clone()).unwrap_or("");
                let address = field.is_some().then(|| self.text.get(start..word.end)).flatten();
                self.word(field.as_ref().or(outer), address, raw, word)
            }
            Value::Quoted(span) => self.read(start..span.end, field.as_ref().or(outer), value),
            Value::Range(span, items) => self.range(&span, &items, field.as_ref().or(outer)),
            Value::Compared(span) => self.compared(&span, field.as_ref().or(outer)),
            Value::List(span, items) => self.list(start..span.end, field.as_ref().or(outer), value, &items),
        }?;
        match self.rest().chars().next() {
            Some('^') => Err(self.error(self.at, WEIGHT)),
            Some(c) if !c.is_whitespace() && c != ')' => Err(self.error(
                self.at,
                "a blank is missing here, or the value needs quotation marks",
            )),
            _ => Ok(node),
        }
    }

    fn group(&mut self, field: Option<&Field>) -> Result<Node, QueryError> {
        let open = self.at;
        self.deeper()?;
        self.at += 1;
        let node = self.side_by_side(field)?;
        self.skip_blanks();
        if !self.rest().starts_with(')') {
            return Err(self.error(open, "parenthesis is not closed"));
        }
        self.at += 1;
        self.depth -= 1;
        match self.rest().chars().next() {
            Some('^') => Err(self.error(self.at, WEIGHT)),
            _ => Ok(node),
        }
    }

    /// A field's name and its colon, if there is one here.
    fn field(&mut self) -> Result<Option<Field>, QueryError> {
        let mut name = String::new();
        let mut chars = self.rest().char_indices().peekable();
        let end = loop {
            match chars.next() {
                Some((0, '-')) | None => return Ok(None),
                Some((_, '\\')) => {
                    match chars.next_if(|(_, next)| NOT_IN_NAMES.contains(*next) || *next == '\\') {
                        Some((_, special)) => name.push(special),
                        None => name.push('\\'),
                    }
                }
                Some((at, c)) if NOT_IN_NAMES.contains(c) || c.is_whitespace() => break at,
                Some((_, c)) => name.push(c),
            }
        };
        let rest = self.rest().get(end..).unwrap_or("");
        let Some(value) = rest.trim_start().strip_prefix(':') else {
            return Ok(None);
        };
        if name.is_empty() {
            return Ok(None);
        }
        let at = self.at;
        let blank = value.starts_with(char::is_whitespace);
        self.at = self.text.len() - value.trim_start().len();
        // `state:OR` asks for Oregon, `state: OR x` has forgotten its value.
        if blank && matches!(self.keyword(), Some((Keyword::And | Keyword::Or, _))) {
            return Err(self.error(self.at, &format!("a value is missing after {name}:")));
        }
        Ok(Some(Field { name, at }))
    }

    /// The extent of a value, up to where the grammar should end too.
    fn value(&mut self) -> Result<Value, QueryError> {
        let start = self.at;
        let rest = self.rest();
        match rest.as_bytes() {
            [b'"' | b'\'', ..] => {
                self.at = self.quoted(start)?;
                if self.rest().starts_with('~') {
                    return Err(self.error(self.at, DISTANCE));
                }
                self.at += usize::from(self.rest().starts_with('*'));
                Ok(Value::Quoted(start..self.at))
            }
            [b'[' | b'{', ..] => {
                let mut items = Vec::new();
                self.closed(&[']', '}'], &mut |item| items.push(item))?;
                Ok(Value::Range(start..self.at, items))
            }
            [b'<' | b'>', ..] => {
                self.at += rest.len() - rest.trim_start_matches(['<', '>', '=']).len();
                self.skip_blanks();
                match self.rest().starts_with(['"', '\'']) {
                    true => self.at = self.quoted(self.at)?,
                    false => self.bare(),
                }
                Ok(Value::Compared(start..self.at))
            }
            [b'I', b'N', after @ ..] if after.trim_ascii_start().starts_with(b"[") => {
                self.at += rest.find('[').unwrap_or(0);
                let mut items = Vec::new();
                self.closed(&[']'], &mut |item| items.push(item))?;
                Ok(Value::List(start..self.at, items))
            }
            _ => {
                self.bare();
                Ok(Value::Word(start..self.at))
            }
        }
    }

    /// Walks over what brackets enclose, with each item's extent; the walk stands on the opening one.
    fn closed(&mut self, closing: &[char], each: &mut dyn FnMut(Range<usize>)) -> Result<(), QueryError> {
        let open = self.at;
        self.at += 1;
        loop {
            self.skip_blanks();
            let start = self.at;
            match self.rest().chars().next() {
                None => return Err(self.error(open, "bracket is not closed")),
                Some(c) if closing.contains(&c) => break,
                Some('"' | '\'') => self.at = self.quoted(start)?,
                Some(_) => self.until(|c| closing.contains(&c)),
            }
            each(start..self.at);
        }
        self.at += 1;
        Ok(())
    }

    /// The end of a quoted text.
    fn quoted(&self, open: usize) -> Result<usize, QueryError> {
        let bytes = self.text.as_bytes();
        let quote = bytes.get(open);
        let mut at = open + 1;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'\\' => at += 1,
                _ if Some(byte) == quote => return Ok(at + 1),
                _ => {}
            }
            at += 1;
        }
        Err(self.error(open, "quotation mark is not closed"))
    }

    /// Walks over an unquoted value.
    fn bare(&mut self) {
        self.until(|c| matches!(c, '(' | ')' | '^'));
    }

    fn until(&mut self, ends: impl Fn(char) -> bool) {
        let rest = self.rest();
        let mut chars = rest.char_indices();
        let mut end = rest.len();
        while let Some((at, c)) = chars.next() {
            if c == '\\' {
                chars.next();
            } else if c.is_whitespace() || ends(c) {
                end = at;
                break;
            }
        }
        self.at += end;
    }

    /// An unquoted value.
    fn word(
        &mut self,
        field: Option<&Field>,
        address: Option<&str>,
        raw: &str,
        span: Range<usize>,
    ) -> Result<Node, QueryError> {
        if let Some(reason) = unsupported(raw) {
            return Err(self.error(span.start, reason));
        }
        // The grammar agrees on what an unquoted value is, but takes away backslashes that wildcards need.
        let pattern = Pattern::read(raw).map_err(|reason| self.error(span.start, reason))?;
        match address.and_then(|address| self.planner.address(field, address)) {
            Some(node) => Ok(node),
            None => self.planner.condition(field, pattern, false, span.start),
        }
    }

    /// Has the grammar read one condition.
    fn read(&mut self, span: Range<usize>, field: Option<&Field>, value: usize) -> Result<Node, QueryError> {
        match self.leaf(&span, value)? {
            UserInputLeaf::Literal(literal) if literal.delimiter != Delimiter::None => {
                let pattern = match literal.prefix {
                    true => Pattern::Start(literal.phrase),
                    false => Pattern::Whole(literal.phrase),
                };
                self.planner.condition(field, pattern, true, value)
            }
            UserInputLeaf::Range { lower, upper, .. } => self.planner.range(field, &lower, &upper, value),
            _ => Err(self.error(value, "this value cannot be read")),
        }
    }

    /// A range in brackets. Not by the grammar: it takes no blanks in the ends, quoted or not.
    fn range(
        &self,
        span: &Range<usize>,
        items: &[Range<usize>],
        field: Option<&Field>,
    ) -> Result<Node, QueryError> {
        let text = |range: &Range<usize>| self.text.get(range.clone()).unwrap_or("");
        let (lower, upper) = match items {
            [lower, to, upper] if text(to) == "TO" => (text(lower), text(upper)),
            _ => return Err(self.error(span.start, "write a range as [10 TO 20], with * for an open end")),
        };
        let whole = text(span);
        let lower = end(lower, whole.starts_with('['));
        let upper = end(upper, whole.ends_with(']'));
        self.planner.range(field, &lower, &upper, span.start)
    }

    /// A range with one end, after a sign.
    fn compared(&self, span: &Range<usize>, field: Option<&Field>) -> Result<Node, QueryError> {
        let text = self.text.get(span.clone()).unwrap_or("");
        let value = text.trim_start_matches(['<', '>', '=']);
        let sign = text.strip_suffix(value).unwrap_or("");
        let bound = end(value.trim_start(), sign.ends_with('='));
        let open = UserInputBound::Unbounded;
        match sign {
            _ if value.trim_start().is_empty() => Err(self.error(span.end, "a value is missing here")),
            ">" | ">=" => self.planner.range(field, &bound, &open, span.start),
            "<" | "<=" => self.planner.range(field, &open, &bound, span.start),
            _ => Err(self.error(span.start, "write a comparison as >, >=, < or <=")),
        }
    }

    fn list(
        &mut self,
        span: Range<usize>,
        field: Option<&Field>,
        value: usize,
        items: &[Range<usize>],
    ) -> Result<Node, QueryError> {
        if field.is_none() {
            return Err(self.error(value, "IN needs a field, as in outcome:IN [denied failure]"));
        }
        if items.len() > LIST_MAX {
            return Err(self.error(value, &format!("IN lists more than {LIST_MAX} values")));
        }
        let UserInputLeaf::Set { elements, .. } = self.leaf(&span, value)? else {
            return Err(self.error(value, "this list cannot be read"));
        };
        if elements.len() != items.len() {
            return Err(self.error(value, "this list cannot be read"));
        }
        let mut nodes = Vec::with_capacity(elements.len());
        for (element, item) in elements.into_iter().zip(items) {
            let raw = self.text.get(item.clone()).unwrap_or("");
            let quoted = raw.starts_with(['"', '\'']);
            let pattern = match quoted {
                true => Pattern::Whole(element),
                false if raw.ends_with(',') => {
                    return Err(self.error(item.start, "values of a list stand side by side, without commas"));
                }
                false => Pattern::read(raw).map_err(|reason| self.error(item.start, reason))?,
            };
            if !matches!(pattern, Pattern::Whole(_)) {
                self.planner.count(item.start)?;
            }
            nodes.push(self.planner.condition(field, pattern, quoted, item.start)?);
        }
        Ok(Node::any(nodes))
    }

    fn leaf(&self, span: &Range<usize>, value: usize) -> Result<UserInputLeaf, QueryError> {
        let text = self.text.get(span.clone()).unwrap_or("");
        let (ast, errors) = parse_query_lenient(text);
        if let Some(error) = errors.into_iter().find(|error| error.message != COLON_REMARK) {
            return Err(self.error(span.start + error.pos.min(text.len()), &error.message));
        }
        match ast {
            UserInputAst::Leaf(leaf) => Ok(*leaf),
            UserInputAst::Clause(_) | UserInputAst::Boost(..) => {
                Err(self.error(value, "this value cannot be read"))
            }
        }
    }

    fn keyword(&self) -> Option<(Keyword, usize)> {
        let rest = self.rest();
        let (keyword, length) = [(Keyword::And, "AND"), (Keyword::Or, "OR"), (Keyword::Not, "NOT")]
            .into_iter()
            .find(|(_, word)| rest.starts_with(word))
            .map(|(keyword, word)| (keyword, word.len()))?;
        let next = rest.get(length..).and_then(|rest| rest.chars().next());
        next.is_none_or(|c| c.is_whitespace() || matches!(c, '(' | ')'))
            .then_some((keyword, length))
    }

    fn deeper(&mut self) -> Result<(), QueryError> {
        self.depth += 1;
        let max = self.options.limits.depth_max;
        match self.depth > max {
            true => Err(self.error(self.at, &format!("query is nested deeper than {max}"))),
            false => Ok(()),
        }
    }

    fn skip_blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn error(&self, offset: usize, message: &str) -> QueryError {
        self.planner.error(offset, message)
    }
}

/// An end of a range. Quoted ones keep their quotation marks, as the grammar leaves them.
fn end(text: &str, inclusive: bool) -> UserInputBound {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let escapes = c == '\\' && chars.peek().is_some_and(|next| is_special(*next));
        plain.extend(if escapes { chars.next() } else { Some(c) });
    }
    match (text, inclusive) {
        ("*", _) => UserInputBound::Unbounded,
        (_, true) => UserInputBound::Inclusive(plain),
        (_, false) => UserInputBound::Exclusive(plain),
    }
}

/// What people know from elsewhere and would be misunderstood here.
fn unsupported(raw: &str) -> Option<&'static str> {
    let inner = raw.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
    if inner.is_some_and(|inner| inner.contains(['*', '?', '+', '|', '\\'])) {
        return Some("regular expressions are not supported; quote a value that starts with /");
    }
    let (start, distance) = raw.rsplit_once('~')?;
    let is_distance =
        !start.is_empty() && !start.ends_with('\\') && distance.bytes().all(|byte| byte.is_ascii_digit());
    is_distance.then_some(DISTANCE)
}
