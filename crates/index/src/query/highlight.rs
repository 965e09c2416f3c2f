//! Where the words and values that a query asks for stand in a readable string.

use std::ops::Range;

use super::ast::{Clause, Key, Node};
use crate::words::words_at;

/// Byte ranges, ascending, that do not overlap.
pub(crate) fn highlight(node: &Node, text: &str) -> Vec<Range<usize>> {
    let mut wanted = Vec::new();
    collect(node, &mut wanted);
    if !text.is_empty() && wanted.iter().any(|clause| is_value(clause, text)) {
        return std::iter::once(0..text.len()).collect();
    }
    let mut places = Vec::new();
    let mut found = Vec::new();
    words_at(text, |place, word| {
        found.push((word.to_owned(), wanted.iter().any(|clause| is_word(clause, word))));
        places.push(place);
    });
    for clause in wanted {
        mark(clause, &mut found);
    }
    let marked = places.into_iter().zip(found);
    marked
        .filter(|(_, (_, is_wanted))| *is_wanted)
        .map(|(place, _)| place)
        .collect()
}

/// The conditions that a hit may owe its place to: those that are not negated.
fn collect<'a>(node: &'a Node, wanted: &mut Vec<&'a Clause>) {
    match node {
        Node::All | Node::Not(_) => {}
        Node::And(nodes) | Node::Or(nodes) => nodes.iter().for_each(|node| collect(node, wanted)),
        Node::Clause(clause) | Node::Hint(clause) => wanted.push(clause),
    }
}

/// Tells whether the text as a whole is a value that is asked for.
fn is_value(clause: &Clause, text: &str) -> bool {
    match clause {
        Clause::Equals { key, value } => folded(key, text, |text| text == value),
        Clause::Starts { key, start } => folded(key, text, |text| text.starts_with(&**start)),
        Clause::Like { key, glob } => folded(key, text, |text| glob.matches(text)),
        _ => false,
    }
}

fn folded(key: &Key, text: &str, fits: impl Fn(&str) -> bool) -> bool {
    match key.folds_case() {
        true => fits(&text.to_lowercase()),
        false => fits(text),
    }
}

fn is_word(clause: &Clause, word: &str) -> bool {
    match clause {
        Clause::Word(wanted) => wanted == word,
        Clause::WordStarts(start) => word.starts_with(&**start),
        Clause::WordLike(glob) => glob.matches(word),
        _ => false,
    }
}

/// Marks the words of a phrase wherever it stands.
fn mark(clause: &Clause, found: &mut [(String, bool)]) {
    let (words, start) = match clause {
        Clause::Phrase(words) => (words, None),
        Clause::PhraseStarts { words, start } => (words, Some(start)),
        _ => return,
    };
    let length = words.len() + usize::from(start.is_some());
    for at in 0..found.len() {
        let Some(here) = found.get_mut(at..at + length) else {
            return;
        };
        let same = here.iter().zip(words).all(|((word, _), wanted)| word == wanted);
        let goes_on = |start: &String| here.last().is_some_and(|(word, _)| word.starts_with(&**start));
        if same && start.is_none_or(goes_on) {
            here.iter_mut().for_each(|(_, is_wanted)| *is_wanted = true);
        }
    }
}
