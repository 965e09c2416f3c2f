//! What a query needs of a split, and what is left of it where a split lacks that.
//!
//! A query that a split does not answer exactly is relaxed: every condition that the split lacks the terms for gives
//! way to a wider one. Inside of `NOT` it gives way to a narrower one, so that the whole only ever grows. A relaxed
//! query therefore finds every record that the exact one finds, and others besides.

use super::Query;
use super::ast::{Clause, JsonPath, Key, Node};
use super::pattern::Glob;
use super::value;
use crate::policy::{IndexPolicy, PersonalIndex, TextIndex};
use crate::schema::VALUE_MAX;
use crate::words::{WORD_MAX, cut, words};

/// Shorter starts of words narrow nothing.
const START_MIN: usize = 3;

/// How well a split that was built under some policy answers a query.
#[derive(Clone, Debug)]
pub enum Coverage {
    /// The query finds exactly its records.
    Exact,
    /// This query finds all of them, and possibly others: each hit has to be judged by its record.
    Superset(Query),
}

/// The least policy under which a split answers exactly, to a reader who sees `personal` values or does not.
pub(crate) fn needs(node: &Node, personal: bool) -> IndexPolicy {
    let mut policy = IndexPolicy::minimal();
    node.for_each(&mut |clause| {
        if personal {
            policy.personal = policy.personal.max(of_people(clause));
        }
        match need(clause) {
            Need::Nothing => {}
            Need::Text(text) => {
                policy.text = policy.text.max(text);
                policy.metadata = true;
                policy.payload_text = true;
            }
            Need::Metadata => policy.metadata = true,
            Need::Path(path) if path.is_metadata() => policy.metadata = true,
            Need::Path(path) => policy.paths.push(path.0.clone()),
        }
    });
    policy.paths.sort_unstable();
    policy.paths.dedup();
    policy
}

/// The query as far as a split under `policy` can answer it; nothing when it can wholly. Who sees no `personal` values misses
/// none either.
pub(crate) fn relax(node: &Node, policy: &IndexPolicy, personal: bool) -> Option<Node> {
    let complete;
    let policy = match personal {
        true => policy,
        false => {
            complete = IndexPolicy {
                personal: PersonalIndex::All,
                ..policy.clone()
            };
            &complete
        }
    };
    let mut covered = true;
    node.for_each(&mut |clause| covered &= covers(policy, clause));
    (!covered).then(|| bound(node, policy, true))
}

/// What a condition is looked up in.
enum Need<'a> {
    Nothing,
    Text(TextIndex),
    Metadata,
    Path(&'a JsonPath),
}

fn need(clause: &Clause) -> Need<'_> {
    match clause {
        Clause::Equals { key, .. }
        | Clause::Starts { key, .. }
        | Clause::Like { key, .. }
        | Clause::Texts { key, .. }
        | Clause::Numbers { key, .. }
        | Clause::Present(key) => match key {
            Key::Label(_) => Need::Nothing,
            Key::Path(path) => Need::Path(path),
        },
        Clause::PresentMetadata => Need::Metadata,
        Clause::Word(_) | Clause::WordStarts(_) | Clause::WordLike(_) => Need::Text(TextIndex::Words),
        Clause::Phrase(_) | Clause::PhraseStarts { .. } => Need::Text(TextIndex::Positions),
        Clause::EventName(_) | Clause::Ip(_) | Clause::Seq(_) | Clause::Occurred(_) | Clause::Received(_) => {
            Need::Nothing
        }
    }
}

/// What a condition takes of what is indexed of personal values.
fn of_people(clause: &Clause) -> PersonalIndex {
    match need(clause) {
        _ if !clause.looks_at_people() => PersonalIndex::None,
        Need::Text(_) => PersonalIndex::All,
        Need::Nothing | Need::Metadata | Need::Path(_) => PersonalIndex::Exact,
    }
}

fn covers(policy: &IndexPolicy, clause: &Clause) -> bool {
    let people = policy.personal >= of_people(clause);
    people
        && match need(clause) {
            Need::Nothing => true,
            Need::Text(text) => has_text(policy, text),
            Need::Metadata => policy.metadata,
            Need::Path(path) => (path.is_metadata() && policy.metadata) || policy.paths.contains(&path.0),
        }
}

/// All readable strings are indexed so, those about people too.
fn has_text(policy: &IndexPolicy, text: TextIndex) -> bool {
    policy.text >= text && policy.metadata && policy.payload_text && policy.personal == PersonalIndex::All
}

/// A node that holds wherever `node` does (`upper`), or only where `node` does.
fn bound(node: &Node, policy: &IndexPolicy, upper: bool) -> Node {
    let each =
        |nodes: &[Node]| -> Vec<Node> { nodes.iter().map(|node| bound(node, policy, upper)).collect() };
    match node {
        Node::All => Node::All,
        Node::And(nodes) => {
            let mut nodes = each(nodes);
            nodes.retain(|node| *node != Node::All);
            match nodes.contains(&Node::none()) {
                true => Node::none(),
                false => Node::all(nodes),
            }
        }
        Node::Or(nodes) => {
            let mut nodes = each(nodes);
            nodes.retain(|node| *node != Node::none());
            match nodes.contains(&Node::All) {
                true => Node::All,
                false => Node::any(nodes),
            }
        }
        Node::Not(inner) => match bound(inner, policy, !upper) {
            Node::All => Node::none(),
            inner if inner == Node::none() => Node::All,
            inner => Node::Not(Box::new(inner)),
        },
        Node::Clause(clause) | Node::Hint(clause) => match (covers(policy, clause), upper) {
            (true, _) => node.clone(),
            (false, true) => superset(clause, policy),
            (false, false) => Node::none(),
        },
    }
}

/// What holds wherever the clause does.
fn superset(clause: &Clause, policy: &IndexPolicy) -> Node {
    match clause {
        Clause::Phrase(words) if has_text(policy, TextIndex::Words) => each_word(words),
        Clause::PhraseStarts { words, start } if has_text(policy, TextIndex::Words) => Node::And(vec![
            each_word(words),
            Node::Hint(Clause::WordStarts(start.clone())),
        ]),
        // Strings of a payload are readable strings, if the text is indexed at all.
        Clause::Equals {
            key: Key::Path(path),
            value,
        } if is_readable(path, policy) => words_of(value),
        Clause::Starts {
            key: Key::Path(path),
            start,
        }
        | Clause::Like {
            key: Key::Path(path),
            glob: Glob { start, .. },
        } if is_readable(path, policy) => first_word_of(start),
        _ => Node::All,
    }
}

fn is_readable(path: &JsonPath, policy: &IndexPolicy) -> bool {
    has_text(policy, TextIndex::Words) && !path.is_metadata()
}

fn each_word(words: &[String]) -> Node {
    Node::all(
        words
            .iter()
            .cloned()
            .map(Clause::Word)
            .map(Node::Clause)
            .collect(),
    )
}

/// The words of a string value. Other scalars have none, and of a value that is cut the rest is not known.
fn words_of(value: &str) -> Node {
    if value.len() >= VALUE_MAX || value::number(value).is_some() || matches!(value, "true" | "false") {
        return Node::All;
    }
    let mut nodes = Vec::new();
    words(value, |word| {
        nodes.push(Node::Clause(Clause::Word(word.to_owned())))
    });
    Node::all(nodes)
}

/// The start of the first word of whatever starts so. Its later words depend on what follows: an identifier is one
/// word, whatever separates its parts.
fn first_word_of(start: &str) -> Node {
    let may_be_scalar = start.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
        || ["true", "false"].iter().any(|value| value.starts_with(start));
    let word = start.trim_start_matches(|c: char| !c.is_alphanumeric());
    let end = word.find(|c: char| !c.is_alphanumeric()).unwrap_or(word.len());
    let word = cut(word.get(..end).unwrap_or(""), WORD_MAX);
    if may_be_scalar || word.chars().count() < START_MIN {
        return Node::All;
    }
    Node::Hint(Clause::WordStarts(
        word.chars().flat_map(char::to_lowercase).collect(),
    ))
}
