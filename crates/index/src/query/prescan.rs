//! One pass over a query string before it is parsed: holds the limits that keep the parser's recursion and work
//! bounded, and finds where things are, which the syntax tree does not tell.

use crate::query::{ParseLimits, QueryError};

/// A word outside of quotes, with its place.
struct Word<'a> {
    text: &'a str,
    start: usize,
}

/// Checks the limits.
pub(crate) fn check(text: &str, limits: &ParseLimits) -> Result<(), QueryError> {
    if text.len() > limits.bytes_max {
        return Err(error(
            format!("query is longer than {} bytes", limits.bytes_max),
            None,
        ));
    }
    let mut scan = Scan {
        text,
        limits,
        depth: 0,
        words: 0,
        nots: 0,
        in_list: false,
    };
    scan.run()
}

/// Where the field `name` is first used: characters before it.
pub(crate) fn column_of(text: &str, name: &str) -> Option<usize> {
    let mut quoted = Vec::new();
    for_each_token(text, &mut |token| {
        if let Token::Quoted { start, end } = token {
            quoted.push(start..end);
        }
        Ok(())
    })
    .ok()?;
    let is_use = |at: usize| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + name.len()..).map(str::trim_start);
        before.is_none_or(|c| c.is_whitespace() || matches!(c, '-' | '+' | '('))
            && after.is_some_and(|after| after.starts_with(':'))
            && !quoted.iter().any(|span| span.contains(&at))
    };
    text.match_indices(name)
        .map(|(at, _)| at)
        .find(|at| is_use(*at))
        .map(|at| column(text, at))
}

/// Turns a byte offset into a number of characters.
pub(crate) fn column(text: &str, offset: usize) -> usize {
    text.char_indices().take_while(|(at, _)| *at < offset).count()
}

struct Scan<'a> {
    text: &'a str,
    limits: &'a ParseLimits,
    depth: usize,
    words: usize,
    nots: usize,
    in_list: bool,
}

impl Scan<'_> {
    fn run(&mut self) -> Result<(), QueryError> {
        for_each_token(self.text, &mut |token| match token {
            Token::Open(at) => {
                self.depth += 1;
                self.check_depth(at)
            }
            Token::Close => {
                self.depth = self.depth.saturating_sub(1);
                Ok(())
            }
            Token::List(open) => {
                self.in_list = open;
                Ok(())
            }
            Token::Word(word) => self.word(&word),
            Token::Quoted { start, .. } => self.count(start),
            Token::Unclosed(at) => Err(error(
                "quotation mark is not closed".to_owned(),
                Some(column(self.text, at)),
            )),
        })
    }

    fn word(&mut self, word: &Word<'_>) -> Result<(), QueryError> {
        match word.text {
            "AND" | "OR" | "IN" | "TO" => Ok(()),
            "NOT" => {
                self.nots += 1;
                self.check_depth(word.start)
            }
            _ => self.count(word.start),
        }
    }

    fn count(&mut self, at: usize) -> Result<(), QueryError> {
        self.nots = 0;
        if self.in_list {
            return Ok(());
        }
        self.words += 1;
        if self.words > self.limits.clauses_max {
            let message = format!("query has more than {} clauses", self.limits.clauses_max);
            return Err(error(message, Some(column(self.text, at))));
        }
        Ok(())
    }

    fn check_depth(&self, at: usize) -> Result<(), QueryError> {
        if self.depth + self.nots > self.limits.depth_max {
            let message = format!("query is nested deeper than {}", self.limits.depth_max);
            return Err(error(message, Some(column(self.text, at))));
        }
        Ok(())
    }
}

enum Token<'a> {
    Open(usize),
    Close,
    List(bool),
    Word(Word<'a>),
    Quoted { start: usize, end: usize },
    Unclosed(usize),
}

/// A coarse tokeniser: it may split finer than the grammar does, never coarser.
fn for_each_token<'a>(
    text: &'a str,
    each: &mut dyn FnMut(Token<'a>) -> Result<(), QueryError>,
) -> Result<(), QueryError> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' | b'\'' => match closing(bytes, at) {
                Some(end) => {
                    each(Token::Quoted { start: at, end })?;
                    at = end + 1;
                }
                None => return each(Token::Unclosed(at)),
            },
            b'(' => {
                each(Token::Open(at))?;
                at += 1;
            }
            b')' => {
                each(Token::Close)?;
                at += 1;
            }
            b'[' | b'{' | b']' | b'}' => {
                each(Token::List(matches!(byte, b'[' | b'{')))?;
                at += 1;
            }
            _ if byte.is_ascii_whitespace() => at += 1,
            _ => {
                let end = word_end(bytes, at);
                if let Some(word) = text.get(at..end) {
                    each(Token::Word(Word {
                        text: word,
                        start: at,
                    }))?;
                }
                at = end;
            }
        }
    }
    Ok(())
}

fn closing(bytes: &[u8], open: usize) -> Option<usize> {
    let quote = bytes.get(open)?;
    let mut at = open + 1;
    while let Some(byte) = bytes.get(at) {
        if *byte == b'\\' {
            at += 1;
        } else if byte == quote {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// A word ends at white space, a bracket, or a quotation mark that follows a colon.
fn word_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(&byte) = bytes.get(at) {
        let quote = matches!(byte, b'"' | b'\'') && at > start && bytes.get(at - 1) == Some(&b':');
        if byte.is_ascii_whitespace() || matches!(byte, b'(' | b')' | b'[' | b']' | b'{' | b'}') || quote {
            break;
        }
        at += if byte == b'\\' { 2 } else { 1 };
    }
    at.min(bytes.len()).max(start + 1)
}

fn error(message: String, column: Option<usize>) -> QueryError {
    QueryError {
        message,
        column,
        suggestion: None,
    }
}
