//! Where the words and values that a query asks for stand in a readable string.

use std::ops::Range;

use super::ast::{Clause, Node};
use crate::words::{WORD_MAX, cut, words_at};

/// Byte ranges, ascending, that do not overlap.
pub(crate) fn highlight(node: &Node, text: &str) -> Vec<Range<usize>> {
    let mut wanted = Vec::new();
    collect(node, &mut wanted);
    if wanted.iter().any(|clause| is_whole(clause, text)) {
        return vec![0..text.len()];
    }
    let mut found = Vec::new();
    words_at(text, |range, word| {
        let fits = |clause: &&Clause| match clause {
            Clause::Word(wanted) => wanted == word,
            Clause::WordPrefix(start) => word.starts_with(cut(start, WORD_MAX)),
            _ => false,
        };
        if wanted.iter().any(fits) {
            found.push(range);
        }
    });
    found
}

/// The conditions that a hit may owe its place to: those that are not negated.
fn collect<'a>(node: &'a Node, wanted: &mut Vec<&'a Clause>) {
    match node {
        Node::All | Node::Not(_) => {}
        Node::And(nodes) | Node::Or(nodes) => nodes.iter().for_each(|node| collect(node, wanted)),
        Node::Clause(clause) => wanted.push(clause),
    }
}

/// Tells whether the text as a whole is a value that is asked for.
fn is_whole(clause: &Clause, text: &str) -> bool {
    match clause {
        Clause::Exact { name, value } if name.folds_case() => text.to_lowercase() == *value,
        Clause::Prefix { name, start } if name.folds_case() => text.to_lowercase().starts_with(start),
        Clause::Exact { value, .. } | Clause::Metadata { value, .. } => text == value,
        Clause::Prefix { start, .. } | Clause::MetadataPrefix { start, .. } => text.starts_with(start),
        _ => false,
    }
}
