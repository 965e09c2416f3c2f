//! From bare values to words.

use super::ast::{Clause, Node};
use super::pattern::{Glob, Pattern, Piece};
use crate::words::{WORD_MAX, cut, words as each_word};

/// A word with fewer letters before or between its wildcards stands for too many words.
const LETTERS_MIN: usize = 2;
const NOTHING: &str = "there is no letter or digit to search for";
const TOO_SHORT: &str = "write at least two letters besides the wildcard";
const LEADING: &str = "a word that starts with * or ? is not supported: every word would be looked at";

/// The words of a value, and how many they are. Quoted ones stand side by side in the text, others anywhere.
pub(crate) fn words(pattern: &Pattern, quoted: bool, leading: bool) -> Result<(Node, usize), &'static str> {
    let found = match (pattern, quoted) {
        (Pattern::Whole(literal), quoted) => {
            let words = of(literal);
            let count = words.len();
            Ok((if quoted { phrase(words) } else { all(words) }, count))
        }
        (Pattern::Start(start), true) => quoted_start(start),
        (Pattern::Start(start), false) => with_wildcards(start, &[Piece::Many], leading),
        (Pattern::Like(Glob { start, rest }), _) => with_wildcards(start, rest, leading),
    };
    // Identifiers are kept as one word, whatever separates their parts.
    let identifier = match pattern {
        Pattern::Start(start) if may_start_identifier(start) => {
            Some(Node::Clause(Clause::WordStarts(lower(start))))
        }
        _ => None,
    };
    match (found, identifier) {
        (Ok((_, 0)), _) => Err(NOTHING),
        (Ok((node, count)), Some(identifier)) => Ok((Node::any(vec![node, identifier]), count)),
        (Err(TOO_SHORT), Some(identifier)) => Ok((identifier, 1)),
        (found, _) => found,
    }
}

fn of(literal: &str) -> Vec<String> {
    let mut words = Vec::new();
    each_word(literal, |word| words.push(word.to_owned()));
    words
}

fn all(words: Vec<String>) -> Node {
    Node::all(words.into_iter().map(Clause::Word).map(Node::Clause).collect())
}

fn phrase(mut words: Vec<String>) -> Node {
    match words.len() {
        0 | 1 => words
            .pop()
            .map_or(Node::All, |word| Node::Clause(Clause::Word(word))),
        _ => Node::Clause(Clause::Phrase(words)),
    }
}

/// `"wrong co"*`: the last word may go on, unless it has ended.
fn quoted_start(start: &str) -> Result<(Node, usize), &'static str> {
    let mut words = of(start);
    let count = words.len();
    if !start.ends_with(char::is_alphanumeric) {
        return Ok((phrase(words), count));
    }
    let last = words.pop().ok_or(NOTHING)?;
    let clause = match words.is_empty() {
        true if last.chars().count() < LETTERS_MIN => return Err(TOO_SHORT),
        true => Clause::WordStarts(last),
        false => Clause::PhraseStarts { words, start: last },
    };
    Ok((Node::Clause(clause), count))
}

/// Cuts a value with wildcards at what separates words.
fn with_wildcards(start: &str, rest: &[Piece], leading: bool) -> Result<(Node, usize), &'static str> {
    let mut cutter = Cutter {
        plain: String::new(),
        run: Vec::new(),
        leading,
        nodes: Vec::new(),
    };
    cutter.text(start)?;
    for piece in rest {
        match piece {
            Piece::Text(text) => cutter.text(text)?,
            wildcard => cutter.run.push(wildcard.clone()),
        }
    }
    cutter.end_run()?;
    cutter.end_plain();
    let count = cutter.nodes.len();
    Ok((Node::all(cutter.nodes), count))
}

struct Cutter {
    /// Text without wildcards since the last word with one.
    plain: String,
    /// The word at hand.
    run: Vec<Piece>,
    leading: bool,
    nodes: Vec<Node>,
}

impl Cutter {
    fn text(&mut self, text: &str) -> Result<(), &'static str> {
        for c in text.chars() {
            if !c.is_alphanumeric() {
                self.end_run()?;
                self.plain.push(c);
            } else if let Some(Piece::Text(run)) = self.run.last_mut() {
                run.push(c);
            } else {
                self.run.push(Piece::Text(c.to_string()));
            }
        }
        Ok(())
    }

    fn end_run(&mut self) -> Result<(), &'static str> {
        let run = std::mem::take(&mut self.run);
        let letters: usize = run.iter().map(letters).sum();
        match run.as_slice() {
            // Beside a word, a lone * says nothing.
            [] | [Piece::Many] => {}
            [Piece::Text(text)] => self.plain.push_str(text),
            [Piece::One | Piece::Many, ..] if !self.leading => return Err(LEADING),
            _ if letters < LETTERS_MIN => return Err(TOO_SHORT),
            [Piece::Text(start), Piece::Many] => {
                self.end_plain();
                self.nodes.push(Node::Clause(Clause::WordStarts(lower(start))));
            }
            _ => {
                self.end_plain();
                let (start, rest) = match run.split_first() {
                    Some((Piece::Text(start), rest)) => (lower(start), rest),
                    _ => (String::new(), run.as_slice()),
                };
                let glob = Glob {
                    start: String::new(),
                    rest: rest.to_vec(),
                };
                let rest = glob.map(|text| text.to_lowercase()).rest;
                self.nodes
                    .push(Node::Clause(Clause::WordLike(Glob { start, rest })));
            }
        }
        Ok(())
    }

    fn end_plain(&mut self) {
        each_word(&self.plain, |word| {
            self.nodes.push(Node::Clause(Clause::Word(word.to_owned())));
        });
        self.plain.clear();
    }
}

fn letters(piece: &Piece) -> usize {
    match piece {
        Piece::Text(text) => text.chars().count(),
        Piece::One | Piece::Many => 0,
    }
}

/// As words are kept: cut first, then in lower case.
fn lower(start: &str) -> String {
    cut(start, WORD_MAX)
        .chars()
        .flat_map(char::to_lowercase)
        .collect()
}

/// Tells whether an identifier that is kept whole, separators included, may start so.
fn may_start_identifier(start: &str) -> bool {
    let of = |fits: &dyn Fn(u8) -> bool| start.bytes().all(fits);
    start.starts_with(|c: char| c.is_ascii_alphanumeric())
        && start.bytes().any(|byte| !byte.is_ascii_alphanumeric())
        && (of(&|byte| byte.is_ascii_hexdigit() || byte == b'-')
            || of(&|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)))
}
