//! A walk over the strings, numbers and names of a JSON value, each with its place.
//!
//! The text was checked when it was received: grammar, depth, escapes. On a text that is no JSON the walk ends early
//! and says so ([`Walk::is_complete`]).

use std::borrow::Cow;
use std::ops::Range;

use crate::json::escape::{next_special, unescape};
use crate::json::pointer::push_segment;

/// What the walk comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Token<'t> {
    /// A member's name, before its value.
    Name(Cow<'t, str>),
    /// A string.
    Text(Cow<'t, str>),
    /// The text of a number.
    Number(&'t str),
    /// An object or array ended.
    End,
}

/// A position in a JSON text.
pub(crate) struct Walk<'t> {
    text: &'t str,
    at: usize,
    /// Where the token at hand stands: with its quotes, or from bracket to bracket.
    span: Range<usize>,
    levels: Vec<Level>,
    /// Whether a value has to come next.
    value: bool,
    complete: bool,
    /// Values not to look into, last first.
    passed: Vec<Range<usize>>,
}

/// An open object or array.
struct Level {
    object: bool,
    from: usize,
    /// The member at hand: inside of the name's quotes, or the index.
    name: Range<usize>,
    index: usize,
}

impl<'t> Walk<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self {
            text,
            at: 0,
            span: 0..0,
            levels: Vec::new(),
            value: true,
            complete: false,
            passed: Vec::new(),
        }
    }

    /// Passes the values at these places, which are in the text's order, without looking into them.
    pub(crate) fn passing(self, places: impl DoubleEndedIterator<Item = Range<usize>>) -> Self {
        let passed = places.rev().collect();
        Self { passed, ..self }
    }

    /// Tells whether the walk came to the end of a JSON value.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Where the token that came last stands.
    pub(crate) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// How many objects and arrays are open.
    pub(crate) fn depth(&self) -> usize {
        self.levels.len()
    }

    /// Which member of its object or array is at hand, from 0.
    pub(crate) fn index(&self) -> usize {
        self.levels.last().map_or(0, |level| level.index)
    }

    /// The name of the innermost member at hand, of whatever level has one; empty for none.
    pub(crate) fn name(&self) -> Cow<'t, str> {
        let object = self.levels.iter().rev().find(|level| level.object);
        object.map_or(Cow::Borrowed(""), |level| self.unescaped(level.name.clone()))
    }

    /// Appends the pointer of the value at hand, within the text.
    pub(crate) fn push_pointer(&self, out: &mut String) {
        for level in &self.levels {
            match level.object {
                true => push_segment(out, &self.unescaped(level.name.clone())),
                false => push_segment(out, &level.index.to_string()),
            }
        }
    }

    /// The segments of the pointer of the value at hand: names, or else indices.
    pub(crate) fn segments(&self) -> impl Iterator<Item = Result<Cow<'t, str>, usize>> {
        self.levels.iter().map(|level| match level.object {
            true => Ok(self.unescaped(level.name.clone())),
            false => Err(level.index),
        })
    }

    fn unescaped(&self, inside: Range<usize>) -> Cow<'t, str> {
        let text = &self.text[inside];
        match text.contains('\\') {
            true => unescape(text).map_or(Cow::Borrowed(text), Cow::Owned),
            false => Cow::Borrowed(text),
        }
    }

    /// Goes on to the next token; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Token<'t>> {
        let bytes = self.text.as_bytes();
        loop {
            if self.value {
                if let Some(place) = self.passed.pop_if(|place| place.start == self.at) {
                    self.at = place.end;
                    self.value = false;
                    continue;
                }
                match bytes.get(self.at)? {
                    open @ (b'{' | b'[') => {
                        let object = *open == b'{';
                        self.levels.push(Level {
                            object,
                            from: self.at,
                            name: 0..0,
                            index: 0,
                        });
                        self.at += 1;
                        if matches!(bytes.get(self.at), Some(b'}' | b']')) {
                            self.value = false;
                            continue;
                        }
                        if object {
                            return self.name_token();
                        }
                        continue;
                    }
                    b'"' => {
                        self.value = false;
                        let inside = self.string()?;
                        return Some(Token::Text(self.unescaped(inside)));
                    }
                    b'-' | b'0'..=b'9' => {
                        self.value = false;
                        self.literal();
                        return Some(Token::Number(&self.text[self.span.clone()]));
                    }
                    b't' | b'f' | b'n' => {
                        self.value = false;
                        self.literal();
                        continue;
                    }
                    _ => return None,
                }
            }
            let Some(level) = self.levels.last_mut() else {
                self.complete = self.at == bytes.len();
                return None;
            };
            match bytes.get(self.at)? {
                b',' => {
                    self.at += 1;
                    level.index += 1;
                    self.value = true;
                    if level.object {
                        return self.name_token();
                    }
                }
                b'}' | b']' => {
                    self.at += 1;
                    self.span = level.from..self.at;
                    self.levels.pop();
                    return Some(Token::End);
                }
                _ => return None,
            }
        }
    }

    fn name_token(&mut self) -> Option<Token<'t>> {
        let inside = self.string()?;
        if self.text.as_bytes().get(self.at) != Some(&b':') {
            return None;
        }
        self.at += 1;
        self.value = true;
        self.levels.last_mut()?.name = inside.clone();
        Some(Token::Name(self.unescaped(inside)))
    }

    /// Passes a string; returns its inside.
    fn string(&mut self) -> Option<Range<usize>> {
        let bytes = self.text.as_bytes();
        let from = self.at;
        if bytes.get(from) != Some(&b'"') {
            return None;
        }
        let mut at = next_special(bytes, from + 1);
        while bytes.get(at)? != &b'"' {
            at = next_special(bytes, at + if bytes[at] == b'\\' { 2 } else { 1 });
        }
        self.at = at + 1;
        self.span = from..self.at;
        Some(from + 1..at)
    }

    fn literal(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        let length = rest
            .iter()
            .position(|byte| matches!(byte, b',' | b'}' | b']'))
            .unwrap_or(rest.len());
        self.span = self.at..self.at + length;
        self.at += length;
    }
}
