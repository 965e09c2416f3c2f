//! Reads the JSON of a group in one pass: that it is one JSON text (RFC 8259), that no object in it has a name twice, so that two
//! readers cannot see two events, and that nothing is nested too deep for one.
//!
//! Of an event nothing more is looked at. A parser for the rest need not read it again: see [`envelope`].

use std::borrow::Cow;
use std::ops::Range;

/// Checks a JSON text; names are compared as they are spelled without escapes. Returns where the event or control of a public
/// group stands: the first object at the top that is named so.
pub(super) fn check(text: &str) -> Result<Option<Range<usize>>, String> {
    let mut reader = Reader {
        text,
        rest: text.as_bytes(),
        names: Vec::with_capacity(32),
        open: Vec::with_capacity(8),
        body: None,
    };
    match reader.read() {
        Ok(()) => Ok(reader.body.map(|(start, end)| start..end)),
        Err(message) => Err(format!("{message} at byte {}", reader.at())),
    }
}

/// The text of a public group that was checked, with an empty object in place of its event or control.
pub(super) fn envelope(text: &str, body: Option<Range<usize>>) -> Cow<'_, str> {
    let cut = body.and_then(|body| Some((text.get(..body.start)?, text.get(body.end..)?)));
    cut.map_or(Cow::Borrowed(text), |(before, behind)| {
        Cow::Owned([before, "{}", behind].concat())
    })
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a [u8],
    /// Of the objects that are open.
    names: Vec<Cow<'a, str>>,
    /// The objects and lists that are open: an object with the number of names that stand before its own.
    open: Vec<Option<usize>>,
    /// Start and end of the event or control.
    body: Option<(usize, usize)>,
}

impl<'a> Reader<'a> {
    fn read(&mut self) -> Result<(), Cow<'static, str>> {
        loop {
            let mut whole = self.value()?;
            while whole {
                let Some(&open) = self.open.last() else {
                    self.space();
                    return if self.rest.is_empty() {
                        Ok(())
                    } else {
                        Err("there is more".into())
                    };
                };
                self.space();
                match (self.take()?, open) {
                    (b',', Some(_)) => {
                        self.name()?;
                        whole = false;
                    }
                    (b',', None) => whole = false,
                    (b'}', Some(_)) | (b']', None) => self.close()?,
                    _ => return Err("`,` or an end is missing".into()),
                }
            }
        }
    }

    /// Reads a value, or the start of an object or list that has something in it; tells whether it is whole.
    fn value(&mut self) -> Result<bool, Cow<'static, str>> {
        self.space();
        match self.take()? {
            b'"' => self.string().map(|_| true),
            b'{' => {
                let is_body = self.body.is_none()
                    && matches!(*self.open, [Some(_)])
                    && self.names.last().is_some_and(|name| BODIES.contains(&&**name));
                if is_body {
                    self.body = Some((self.at() - 1, 0));
                }
                self.open(Some(self.names.len()))?;
                if self.skip(b'}') {
                    self.close()?;
                    return Ok(true);
                }
                self.name().map(|()| false)
            }
            b'[' => {
                self.open(None)?;
                if self.skip(b']') {
                    self.close()?;
                    return Ok(true);
                }
                Ok(false)
            }
            first @ (b'-' | b'0'..=b'9') => self.number(first).map(|()| true),
            b't' => self.word(b"rue"),
            b'f' => self.word(b"alse"),
            b'n' => self.word(b"ull"),
            _ => Err("a value is missing".into()),
        }
    }

    fn open(&mut self, open: Option<usize>) -> Result<(), Cow<'static, str>> {
        if self.open.len() == DEPTH_MAX {
            return Err(format!("it is nested more than {DEPTH_MAX} deep").into());
        }
        self.open.push(open);
        Ok(())
    }

    /// Ends an object or list.
    fn close(&mut self) -> Result<(), Cow<'static, str>> {
        if let Some(Some(start)) = self.open.pop() {
            let own = self.names.get_mut(start..).unwrap_or_default();
            if own.len() > FEW {
                own.sort_unstable();
                if let Some([name, _]) = own.array_windows().find(|[a, b]| a == b) {
                    return Err(twice(name));
                }
            }
            self.names.truncate(start);
        }
        let at = self.at();
        if let (1, Some((_, end @ 0))) = (self.open.len(), &mut self.body) {
            *end = at;
        }
        Ok(())
    }

    /// Reads a name and its colon.
    fn name(&mut self) -> Result<(), Cow<'static, str>> {
        self.space();
        if self.take()? != b'"' {
            return Err("a name is missing".into());
        }
        let (name, is_escaped) = self.string()?;
        let name = if is_escaped {
            let decoded = serde_json::from_str(&format!("\"{name}\""));
            Cow::Owned(decoded.map_err(|error| error.to_string())?)
        } else {
            Cow::Borrowed(name)
        };
        let start = self.open.last().copied().flatten().unwrap_or_default();
        let own = self.names.get(start..).unwrap_or_default();
        // Of many names, which are rare, all are compared when the object ends.
        if own.len() < FEW && own.contains(&name) {
            return Err(twice(&name));
        }
        self.names.push(name);
        self.space();
        if self.take()? == b':' {
            Ok(())
        } else {
            Err("`:` is missing".into())
        }
    }

    /// Reads a string behind its first quote; returns it as it is spelled, and whether it has escapes.
    fn string(&mut self) -> Result<(&'a str, bool), Cow<'static, str>> {
        let (start, mut is_escaped) = (self.at(), false);
        loop {
            self.rest = behind_plain(self.rest);
            match self.take()? {
                b'"' => {
                    let string = self.text.get(start..self.at() - 1);
                    return Ok((string.unwrap_or_default(), is_escaped));
                }
                b'\\' => {
                    is_escaped = true;
                    self.escape()?;
                }
                _ => return Err("a control character is not escaped".into()),
            }
        }
    }

    /// Reads an escape behind its backslash.
    fn escape(&mut self) -> Result<(), Cow<'static, str>> {
        match self.take()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => match self.rest.split_first_chunk::<4>() {
                Some((digits, rest)) if digits.iter().all(u8::is_ascii_hexdigit) => {
                    self.rest = rest;
                    Ok(())
                }
                _ => Err("an escape is not of four hexadecimal digits".into()),
            },
            _ => Err("an escape is unknown".into()),
        }
    }

    /// Reads a number behind its first character.
    fn number(&mut self, first: u8) -> Result<(), Cow<'static, str>> {
        let first = if first == b'-' { self.take()? } else { first };
        match first {
            b'0' => {}
            b'1'..=b'9' => _ = self.digits(),
            _ => return Err("a number is malformed".into()),
        }
        let mut whole = true;
        if self.next_is(b'.') {
            whole = self.digits();
        }
        if whole && (self.next_is(b'e') || self.next_is(b'E')) {
            let _ = self.next_is(b'+') || self.next_is(b'-');
            whole = self.digits();
        }
        if whole {
            Ok(())
        } else {
            Err("a number is malformed".into())
        }
    }

    /// Reads digits; tells whether there are any.
    fn digits(&mut self) -> bool {
        let before = self.rest.len();
        while let [b'0'..=b'9', rest @ ..] = self.rest {
            self.rest = rest;
        }
        self.rest.len() < before
    }

    /// Reads the rest of `true`, `false` or `null`.
    fn word(&mut self, rest: &[u8]) -> Result<bool, Cow<'static, str>> {
        self.rest = self.rest.strip_prefix(rest).ok_or("a value is missing")?;
        Ok(true)
    }

    fn space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// Takes the byte behind white space, if it is the one.
    fn skip(&mut self, byte: u8) -> bool {
        self.space();
        self.next_is(byte)
    }

    /// Takes the next byte, if it is the one.
    fn next_is(&mut self, byte: u8) -> bool {
        let rest = self.rest.strip_prefix(&[byte]);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn take(&mut self) -> Result<u8, Cow<'static, str>> {
        let (first, rest) = self.rest.split_first().ok_or("it ends")?;
        self.rest = rest;
        Ok(*first)
    }

    const fn at(&self) -> usize {
        self.text.len() - self.rest.len()
    }
}

fn twice(name: &str) -> Cow<'static, str> {
    format!("{name:?} stands twice in one object").into()
}

/// What follows the bytes that stand for themselves in a string.
fn behind_plain(mut rest: &[u8]) -> &[u8] {
    loop {
        // Most strings end within the first words; long ones are worth the wide steps.
        for _ in 0..WORDS {
            let Some((word, behind)) = rest.split_first_chunk() else {
                let end = rest.iter().position(|byte| is_special(*byte));
                return end.and_then(|end| rest.get(end..)).unwrap_or_default();
            };
            let special = special_in(u64::from_le_bytes(*word));
            if special != 0 {
                let plain = usize::try_from(special.trailing_zeros() / u8::BITS).unwrap_or_default();
                return rest.get(plain..).unwrap_or_default();
            }
            rest = behind;
        }
        while let Some((chunk, behind)) = rest.split_first_chunk::<WIDE>()
            && !chunk.iter().fold(false, |any, byte| any | is_special(*byte))
        {
            rest = behind;
        }
    }
}

const fn is_special(byte: u8) -> bool {
    (byte < b' ') | (byte == b'"') | (byte == b'\\')
}

/// The highest bit of the first byte that [`is_special`], and of some behind it.
const fn special_in(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    const fn zeros(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word
    }
    let quote = zeros(word ^ (ONES * b'"' as u64));
    let backslash = zeros(word ^ (ONES * b'\\' as u64));
    let control = word.wrapping_sub(ONES * b' ' as u64) & !word;
    (quote | backslash | control) & (ONES << 7)
}

/// Names of the fields of a public group that are not read.
const BODIES: [&str; 2] = ["event", "control"];
/// Deepest nesting of objects and lists, far beyond what is ever recorded: other readers recurse.
const DEPTH_MAX: usize = 256;
/// Names of an object that are compared as they come.
const FEW: usize = 16;
/// Words of eight bytes that are looked at before wide steps.
const WORDS: usize = 8;
/// Bytes that are looked at together.
const WIDE: usize = 128;

#[cfg(test)]
mod tests;
