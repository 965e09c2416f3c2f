//! Passing over records by their bytes, before anything of them is read.
//!
//! Many conditions hold only where some text stands in the record: the word, the value, the last name of the path. Looking
//! for it costs less than a hundredth of indexing the record. Texts are looked for without regard to the case of ASCII
//! letters, and only in pieces that JSON writes as they are: letters, digits and marks that need no escape. A record that
//! writes characters by their numbers, or has one of the two letters beyond ASCII whose small form is an ASCII letter,
//! passes in any case.

use memchr::memmem::Finder;

use super::ast::{Clause, Key, Node};
use super::pattern::{Glob, Piece};
use super::value;
use crate::schema::Label;

/// Shorter pieces stand in almost every record (bytes).
const PIECE_MIN: usize = 3;
/// Texts that are looked for, at most.
const TEXTS_MAX: usize = 128;
/// `K`, the Kelvin sign, and `İ`.
const FOLDED_TO_ASCII: [&str; 2] = ["\u{212a}", "\u{130}"];

/// Tells which records cannot match a query, by their bytes.
pub struct Sieve {
    wanted: Wanted,
    /// Finds what makes a record pass in any case.
    numbered: Finder<'static>,
    folded: [Finder<'static>; 2],
    /// The bytes of a record in small letters.
    small: Vec<u8>,
}

/// What must stand in a record.
enum Wanted {
    Anything,
    Text(Box<Finder<'static>>),
    All(Vec<Wanted>),
    Any(Vec<Wanted>),
}

impl Sieve {
    /// Returns the sieve of a query; `None` if no record can be passed over by its bytes.
    pub(super) fn of(node: &Node) -> Option<Self> {
        let mut texts = 0;
        let wanted = wanted(node, &mut texts);
        if matches!(wanted, Wanted::Anything) || texts > TEXTS_MAX {
            return None;
        }
        Some(Self {
            wanted,
            numbered: Finder::new("\\u").into_owned(),
            folded: FOLDED_TO_ASCII.map(|letter| Finder::new(letter).into_owned()),
            small: Vec::new(),
        })
    }

    /// Tells whether a record may match, by the bytes of its groups.
    pub fn admits<'a>(&mut self, groups: impl IntoIterator<Item = &'a [u8]>) -> bool {
        self.small.clear();
        for group in groups {
            let is_folded = || self.folded.iter().any(|letter| letter.find(group).is_some());
            if self.numbered.find(group).is_some() || !group.is_ascii() && is_folded() {
                return true;
            }
            self.small.extend_from_slice(group);
            self.small.push(b'\n');
        }
        self.small.make_ascii_lowercase();
        self.wanted.stands_in(&self.small)
    }
}

impl Wanted {
    fn stands_in(&self, small: &[u8]) -> bool {
        match self {
            Self::Anything => true,
            Self::Text(text) => text.find(small).is_some(),
            Self::All(all) => all.iter().all(|wanted| wanted.stands_in(small)),
            Self::Any(any) => any.iter().any(|wanted| wanted.stands_in(small)),
        }
    }

    fn all(mut all: Vec<Self>) -> Self {
        all.retain(|wanted| !matches!(wanted, Self::Anything));
        match all.is_empty() {
            true => Self::Anything,
            false => Self::All(all),
        }
    }
}

fn wanted(node: &Node, texts: &mut usize) -> Wanted {
    match node {
        Node::All | Node::Not(_) | Node::Hint(_) => Wanted::Anything,
        Node::And(nodes) => Wanted::all(nodes.iter().map(|node| wanted(node, texts)).collect()),
        Node::Or(nodes) => {
            let any: Vec<Wanted> = nodes.iter().map(|node| wanted(node, texts)).collect();
            match any.iter().any(|wanted| matches!(wanted, Wanted::Anything)) {
                true => Wanted::Anything,
                false => Wanted::Any(any),
            }
        }
        Node::Clause(clause) => {
            let mut all = Vec::new();
            of_clause(clause, &mut |text| pieces(text, &mut all));
            *texts += all.len();
            Wanted::all(all)
        }
    }
}

/// Calls `each` with texts that stand wherever a condition holds.
fn of_clause(clause: &Clause, each: &mut dyn FnMut(&str)) {
    match clause {
        Clause::Word(text) | Clause::WordStarts(text) => each(text),
        Clause::WordLike(glob) => of_glob(glob, each),
        Clause::Phrase(words) => words.iter().for_each(|word| each(word)),
        Clause::PhraseStarts { words, start } => {
            words.iter().for_each(|word| each(word));
            each(start);
        }
        Clause::Equals { key, value } => of_key(key, value, each, |each| each(value)),
        Clause::Starts { key, start } => of_key(key, start, each, |each| each(start)),
        Clause::Like { key, glob } => of_key(key, &glob.start, each, |each| of_glob(glob, each)),
        Clause::Texts { key, .. } | Clause::Numbers { key, .. } | Clause::Present(key) => of_path(key, each),
        Clause::PresentMetadata => each("metadata"),
        Clause::EventName(_) | Clause::Ip(_) | Clause::Seq(_) | Clause::Occurred(_) | Clause::Received(_) => {
        }
    }
}

fn of_glob(glob: &Glob, each: &mut dyn FnMut(&str)) {
    each(&glob.start);
    for piece in &glob.rest {
        if let Piece::Text(text) = piece {
            each(text);
        }
    }
}

/// A value begins with `start`; `values` names its texts.
fn of_key(key: &Key, start: &str, each: &mut dyn FnMut(&str), values: impl FnOnce(&mut dyn FnMut(&str))) {
    of_path(key, each);
    let as_written = match key {
        Key::Label(label) => is_as_written(*label),
        // Numbers have several spellings.
        Key::Path(_) => value::number(start).is_none() && !starts_number(start),
    };
    if as_written {
        values(each);
    }
}

fn starts_number(start: &str) -> bool {
    start.is_empty() || start.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
}

/// The last name of a path stands in the record, as a key or in a pointer.
fn of_path(key: &Key, each: &mut dyn FnMut(&str)) {
    if let Key::Path(path) = key {
        each(path.0.rsplit('.').next().unwrap_or_default());
    }
}

/// Whether values of a name stand in the record as they are compared, but for their case.
fn is_as_written(label: Label) -> bool {
    use Label as L;
    matches!(
        label,
        L::ActorId
            | L::ActorName
            | L::ActorEmail
            | L::ActorCredential
            | L::BehalfId
            | L::BehalfName
            | L::BehalfEmail
            | L::TargetId
            | L::TargetName
            | L::SubjectId
            | L::Host
            | L::UserAgent
            | L::SessionId
            | L::RequestId
            | L::HttpPath
            | L::IdempotencyKey
    )
}

/// The pieces of a text that JSON writes as they are.
fn pieces(text: &str, all: &mut Vec<Wanted>) {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b" -_.:@+=,;()#".contains(&byte);
    for piece in text.as_bytes().split(|byte| !is_plain(*byte)) {
        if piece.len() >= PIECE_MIN {
            let small = piece.to_ascii_lowercase();
            all.push(Wanted::Text(Box::new(Finder::new(&small).into_owned())));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{ParseOptions, Query};

    fn admits(query: &str, record: &str) -> Option<bool> {
        let query = Query::parse(query, &ParseOptions::default()).unwrap();
        query.sieve().map(|mut sieve| sieve.admits([record.as_bytes()]))
    }

    #[test]
    fn records_without_what_must_stand_in_them_are_passed_over() {
        let record = r#"{"event":{"actor":{"id":"u_42"},"payload":{"Order":{"total":5},"note":"Clean Up"}}}"#;
        for (query, expected) in [
            ("payload.order.total:>3", Some(true)),
            ("payload.order.sum:>3", Some(false)),
            ("payload.order.sum:>3 OR outcome:denied", None),
            ("payload.order.sum:>3 outcome:denied", Some(false)),
            ("clean", Some(true)),
            ("\"clean up\"", Some(true)),
            ("\"clean down\"", Some(false)),
            ("NOT clean", None),
            ("cl*n", None),
            ("clea*p", Some(true)),
            ("clew*p", Some(false)),
            ("actor.id:u_42", Some(true)),
            ("actor.id:u_43", Some(false)),
            ("payload.note:clean*", Some(true)),
            ("payload.total:5", Some(true)),
            ("outcome:denied", None),
            ("", None),
        ] {
            assert_eq!(admits(query, record), expected, "{query}");
        }
    }

    #[test]
    fn other_spellings_of_letters_pass() {
        assert_eq!(admits("clean", r#"{"a":"\u0063lean"}"#), Some(true));
        assert_eq!(admits("kelvin", "{\"a\":\"\u{212a}elvin\"}"), Some(true));
        assert_eq!(admits("über", "{\"a\":\"ÜBER\"}"), Some(true));
        assert_eq!(admits("übergang", "{\"a\":\"ÜBERGANG\"}"), Some(true));
        assert_eq!(admits("übergang", "{\"a\":\"ÜBERTRAG\"}"), Some(false));
    }
}
