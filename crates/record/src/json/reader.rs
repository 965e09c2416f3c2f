//! A pull reader over JSON text: one pass, borrowed strings, errors that know their JSON pointer.
//!
//! The pointer of an error is put together while the error travels outwards, so that reading costs nothing for it.

use std::borrow::Cow;
use std::ops::Range;

use super::escape::{check_escapes, next_special, unescape};
use crate::event::{ErrorCode, EventError, Raw, Text};

/// What reading fails with.
pub(crate) type Fail = Box<EventError>;

/// A position in a JSON text.
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Bytes of insignificant white space passed so far.
    spaces: usize,
    /// Nesting allowed inside one free-form value.
    depth_max: usize,
    /// Names of the free-form objects that are open, innermost last.
    names: Vec<Cow<'a, str>>,
    /// Members of the free-form object that ended last.
    members: usize,
}

/// Up to this many names of an object are compared pairwise; more are sorted when the object ends.
const PAIRWISE_NAMES_MAX: usize = 16;

impl<'a> Reader<'a> {
    /// Starts reading a text; checks that it is UTF-8.
    pub(crate) fn new(bytes: &'a [u8], depth_max: usize) -> Result<Self, Fail> {
        let text = str::from_utf8(bytes).map_err(|error| {
            EventError::new(
                ErrorCode::InvalidUtf8,
                format!("not UTF-8 at byte {}", error.valid_up_to()),
            )
        })?;
        Ok(Self::of_text(text, depth_max))
    }

    /// Starts reading a text.
    pub(crate) fn of_text(text: &'a str, depth_max: usize) -> Self {
        Self {
            text,
            at: 0,
            spaces: 0,
            depth_max,
            names: Vec::new(),
            members: 0,
        }
    }

    /// Returns how many bytes of insignificant white space were passed.
    pub(crate) fn spaces(&self) -> usize {
        self.spaces
    }

    /// Skips white space and returns the byte there, without taking it.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        let from = self.at;
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(self.at) {
            self.at += 1;
        }
        self.spaces += self.at - from;
        bytes.get(self.at).copied()
    }

    /// Expects the end of the text.
    pub(crate) fn end(&mut self) -> Result<(), Fail> {
        if self.peek().is_some() {
            Err(self.syntax("something follows the value"))
        } else {
            Ok(())
        }
    }

    /// Takes `null` if it is next.
    #[inline]
    pub(crate) fn null(&mut self) -> Result<bool, Fail> {
        if self.peek() == Some(b'n') {
            self.literal("null")?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Takes a string.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Text<'a>, Fail> {
        self.expect(b'"', "a string")?;
        let (inside, escaped) = self.string_inside()?;
        if escaped {
            Ok(Cow::Owned(unescape(inside)?))
        } else {
            Ok(Cow::Borrowed(inside))
        }
    }

    /// Takes an object: calls `member` with each name, before its value.
    #[inline]
    pub(crate) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &str) -> Result<(), Fail>,
    ) -> Result<(), Fail> {
        self.expect(b'{', "an object")?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.syntax("expected a name"));
            }
            let name = self.string()?;
            self.colon()?;
            member(self, &name).map_err(|error| error.under(&name))?;
            if !self.more(b'}')? {
                return Ok(());
            }
        }
    }

    /// Takes an array: calls `element` with each index, before its value.
    #[inline]
    pub(crate) fn array(
        &mut self,
        mut element: impl FnMut(&mut Self, usize) -> Result<(), Fail>,
    ) -> Result<(), Fail> {
        self.expect(b'[', "an array")?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        let mut index = 0;
        loop {
            element(self, index).map_err(|error| error.under_index(index))?;
            index += 1;
            if !self.more(b']')? {
                return Ok(());
            }
        }
    }

    /// Takes a whole number of 32 bits.
    pub(crate) fn number_u32(&mut self) -> Result<u32, Fail> {
        match self.peek() {
            Some(b'0'..=b'9') => {}
            _ => return Err(self.mismatch("a whole number")),
        }
        let span = self.number()?;
        self.text[span]
            .parse()
            .map_err(|_| EventError::new(ErrorCode::InvalidValue, "expected a whole number"))
    }

    /// Takes a free-form value, checked, and returns its text without insignificant white space.
    pub(crate) fn raw(&mut self) -> Result<Raw<'a>, Fail> {
        let span = self.span()?;
        Ok(span.1)
    }

    /// Takes a free-form object; returns its minified text and how many members it has.
    pub(crate) fn raw_object(&mut self) -> Result<(Raw<'a>, usize), Fail> {
        self.members = 0;
        let raw = self.raw()?;
        Ok((raw, self.members))
    }

    /// Takes a free-form value; returns where it stands and its minified text.
    pub(crate) fn span(&mut self) -> Result<(Range<usize>, Raw<'a>), Fail> {
        self.peek();
        let (from, spaces) = (self.at, self.spaces);
        self.value(self.depth_max)?;
        let text = &self.text[from..self.at];
        let spaces = self.spaces - spaces;
        let raw = if spaces == 0 {
            Cow::Borrowed(text)
        } else {
            Cow::Owned(without_spaces(text, spaces))
        };
        Ok((from..self.at, Raw(raw)))
    }

    /// Checks and passes a free-form value in which `depth` more levels may nest.
    fn value(&mut self, depth: usize) -> Result<(), Fail> {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                let (inside, escaped) = self.string_inside()?;
                if escaped { check_escapes(inside) } else { Ok(()) }
            }
            Some(b'{') => self.free_object(depth),
            Some(b'[') => self.free_array(depth),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            Some(b'-' | b'0'..=b'9') => self.number().map(|_| ()),
            _ => Err(self.syntax("expected a value")),
        }
    }

    fn free_object(&mut self, depth: usize) -> Result<(), Fail> {
        let depth = deeper(depth)?;
        self.at += 1;
        if self.peek() == Some(b'}') {
            self.at += 1;
            self.members = 0;
            return Ok(());
        }
        let base = self.names.len();
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.syntax("expected a name"));
            }
            let name = self.string()?;
            self.colon()?;
            self.check_name(base, &name)?;
            self.names.push(name);
            let last = self.names.len() - 1;
            if let Err(error) = self.value(depth) {
                return Err(error.under(&self.names[last]));
            }
            if !self.more(b'}')? {
                break;
            }
        }
        self.check_names(base)?;
        self.members = self.names.len() - base;
        self.names.truncate(base);
        Ok(())
    }

    fn free_array(&mut self, depth: usize) -> Result<(), Fail> {
        let depth = deeper(depth)?;
        self.array(|reader, _| reader.value(depth))
    }

    #[inline]
    fn check_name(&self, base: usize, name: &str) -> Result<(), Fail> {
        let names = &self.names[base..];
        if names.len() < PAIRWISE_NAMES_MAX && names.iter().any(|known| known == name) {
            return Err(duplicate().under(name));
        }
        Ok(())
    }

    fn check_names(&mut self, base: usize) -> Result<(), Fail> {
        let names = &mut self.names[base..];
        if names.len() <= PAIRWISE_NAMES_MAX {
            return Ok(());
        }
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(duplicate().under(&pair[0])),
            None => Ok(()),
        }
    }

    /// Passes a string whose opening quote was taken; returns its inside and whether it holds escapes.
    #[inline]
    fn string_inside(&mut self) -> Result<(&'a str, bool), Fail> {
        let bytes = self.text.as_bytes();
        let from = self.at;
        let mut escaped = false;
        loop {
            self.at = next_special(bytes, self.at);
            match bytes.get(self.at) {
                Some(b'"') => {
                    let inside = &self.text[from..self.at];
                    self.at += 1;
                    return Ok((inside, escaped));
                }
                Some(b'\\') => {
                    escaped = true;
                    // What follows is checked when the escapes are; only a quote or backslash matters here.
                    self.at += 1 + usize::from(matches!(bytes.get(self.at + 1), Some(b'"' | b'\\')));
                }
                Some(_) => return Err(self.syntax("control character in a string")),
                None => return Err(self.syntax("unfinished string")),
            }
        }
    }

    fn number(&mut self) -> Result<Range<usize>, Fail> {
        let bytes = self.text.as_bytes();
        let from = self.at;
        if bytes.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        if bytes.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        let mut finite = self.at - from <= 300;
        if bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = bytes.get(self.at) {
            finite = false;
            self.at += 1;
            if let Some(b'+' | b'-') = bytes.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        let span = from..self.at;
        if !finite && !self.text[span.clone()].parse::<f64>().is_ok_and(f64::is_finite) {
            return Err(EventError::new(
                ErrorCode::InvalidValue,
                "number is not finite as a double",
            ));
        }
        Ok(span)
    }

    fn digits(&mut self) -> Result<(), Fail> {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.text.as_bytes().get(self.at) {
            self.at += 1;
        }
        if self.at == from {
            Err(self.syntax("expected a digit"))
        } else {
            Ok(())
        }
    }

    fn literal(&mut self, literal: &str) -> Result<(), Fail> {
        if self.text.as_bytes()[self.at..].starts_with(literal.as_bytes()) {
            self.at += literal.len();
            return Ok(());
        }
        Err(self.syntax("expected a value"))
    }

    #[inline]
    fn colon(&mut self) -> Result<(), Fail> {
        if self.peek() != Some(b':') {
            return Err(self.syntax("expected `:`"));
        }
        self.at += 1;
        Ok(())
    }

    /// Takes `,` (true) or the closing bracket (false).
    #[inline]
    fn more(&mut self, close: u8) -> Result<bool, Fail> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.syntax("expected `,` or a closing bracket")),
        }
    }

    #[inline]
    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Fail> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.mismatch(what))
    }

    /// Returns the error for a value of another type than `what`.
    #[cold]
    pub(crate) fn mismatch(&mut self, what: &'static str) -> Fail {
        match self.peek() {
            Some(b'"' | b'{' | b'[' | b't' | b'f' | b'n' | b'-' | b'0'..=b'9') => {
                EventError::new(ErrorCode::WrongType, format!("expected {what}"))
            }
            _ => self.syntax("expected a value"),
        }
    }

    #[cold]
    fn syntax(&self, what: &'static str) -> Fail {
        EventError::new(ErrorCode::InvalidJson, format!("{what} (byte {})", self.at))
    }
}

#[cold]
fn duplicate() -> Fail {
    EventError::new(ErrorCode::DuplicateKey, "this name occurs twice")
}

fn deeper(depth: usize) -> Result<usize, Fail> {
    depth
        .checked_sub(1)
        .ok_or_else(|| EventError::new(ErrorCode::TooDeep, "nested too deeply"))
}

/// Copies a checked JSON text without its insignificant white space, of which there are `spaces` bytes.
fn without_spaces(text: &str, spaces: usize) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len() - spaces);
    let (mut from, mut at) = (0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while bytes[at] != b'"' {
                    at = next_special(bytes, at + usize::from(bytes[at] == b'\\') * 2);
                }
                at += 1;
            }
            b' ' | b'\n' | b'\r' | b'\t' => {
                out.push_str(&text[from..at]);
                at += 1;
                from = at;
            }
            _ => at += 1,
        }
    }
    out.push_str(&text[from..]);
    out
}
