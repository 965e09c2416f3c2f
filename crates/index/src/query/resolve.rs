//! From clauses to what the search library runs, for one split.
//!
//! Starts of values and ranges of metadata are looked up in the split's dictionary here and become sets of records, so
//! that their cost is bounded and a search can be stopped within them.

use std::ops::Bound;

use tantivy::query::{
    AllQuery, BitSetDocSet, BooleanQuery, ConstScorer, EmptyQuery, EnableScoring, ExistsQuery, Explanation,
    Occur, Query as Runnable, RangeQuery, Scorer, TermQuery, Weight,
};
use tantivy::schema::{Field, IndexRecordOption, Term};
use tantivy::{BitSet, DocId, Score, SegmentReader};

use super::{Clause, Node, Query};
use crate::query::value;
use crate::schema::{Label, PATH_END, PRESENT, Side, fields};
use crate::{Error, Split};

/// Dictionary entries looked at between two questions whether to stop.
const STOP_EVERY: usize = 512;

/// Makes a query runnable on one split.
pub(crate) fn resolve(
    query: &Query,
    split: &Split,
    stop: &dyn Fn() -> bool,
) -> Result<Box<dyn Runnable>, Error> {
    Resolver {
        query,
        reader: split.reader(),
        stop,
    }
    .node(query.node())
}

struct Resolver<'a> {
    query: &'a Query,
    reader: &'a SegmentReader,
    stop: &'a dyn Fn() -> bool,
}

impl Resolver<'_> {
    fn node(&self, node: &Node) -> Result<Box<dyn Runnable>, Error> {
        Ok(match node {
            Node::All => Box::new(AllQuery),
            Node::And(nodes) => {
                // Exclusions stand beside what they are taken from: on their own they would be expanded.
                let mut parts = Vec::with_capacity(nodes.len() + 1);
                for node in nodes {
                    parts.push(match node {
                        Node::Not(inner) => (Occur::MustNot, self.node(inner)?),
                        other => (Occur::Must, self.node(other)?),
                    });
                }
                if parts.iter().all(|(occur, _)| *occur == Occur::MustNot) {
                    parts.push((Occur::Must, Box::new(AllQuery)));
                }
                Box::new(BooleanQuery::new(parts))
            }
            Node::Or(nodes) => any(nodes
                .iter()
                .map(|node| self.node(node))
                .collect::<Result<Vec<_>, Error>>()?),
            Node::Not(inner) => Box::new(BooleanQuery::new(vec![
                (Occur::Must, Box::new(AllQuery)),
                (Occur::MustNot, self.node(inner)?),
            ])),
            Node::Clause(clause) => self.clause(clause)?,
        })
    }

    fn clause(&self, clause: &Clause) -> Result<Box<dyn Runnable>, Error> {
        let fields = fields();
        Ok(match clause {
            Clause::Exact { name, value } => self.term(&format!("{}{value}", name.code())),
            Clause::Prefix { name, start } => self.starts(&format!("{}{start}", name.code()), start)?,
            Clause::Present { name } => self.present(*name)?,
            Clause::Metadata { path, value } => self.term(&metadata_term(path, value)),
            Clause::MetadataPrefix { path, start } => self.starts(&metadata_term(path, start), start)?,
            Clause::MetadataPresent { path } => self.metadata_present(path)?,
            Clause::MetadataRange { path, bounds } => {
                let accept =
                    |value: &str| value::number(value).is_some_and(|number| bounds.contains(&number));
                self.expand(|side| fields.terms(side), &metadata_term(path, ""), path, &accept)?
            }
            Clause::Word(word) => self.both(|side| term_query(fields.words(side), word)),
            Clause::WordPrefix(start) => self.expand(|side| fields.words(side), start, start, &|_| true)?,
            Clause::Ip(range) => {
                let term = |field, at| Term::from_field_ip_addr(field, at);
                self.both(|side| match Label::Ip.column(side) {
                    Some(column) => between(
                        term(column.field, *range.start()),
                        term(column.field, *range.end()),
                    ),
                    None => Box::new(EmptyQuery),
                })
            }
            Clause::Seq(range) => {
                let term = |at| Term::from_field_u64(fields.seq, at);
                between(term(*range.start()), term(*range.end()))
            }
            Clause::Received(range) => {
                let term = |at| Term::from_field_u64(fields.received_ms, at);
                between(term(*range.start()), term(*range.end()))
            }
            Clause::Occurred(range) => {
                let term = |at| Term::from_field_i64(fields.occurred_ns, at);
                between(term(*range.start()), term(*range.end()))
            }
        })
    }

    fn term(&self, term: &str) -> Box<dyn Runnable> {
        self.both(|side| term_query(fields().terms(side), term))
    }

    fn starts(&self, start: &str, shown: &str) -> Result<Box<dyn Runnable>, Error> {
        self.expand(|side| fields().terms(side), start, shown, &|_| true)
    }

    fn present(&self, name: Label) -> Result<Box<dyn Runnable>, Error> {
        if name == Label::Metadata {
            return self.metadata_present("");
        }
        Ok(self.both(|side| match name.column(side) {
            Some(column) => Box::new(ExistsQuery::new(column.name.to_owned(), false)),
            None => term_query(fields().terms(side), &format!("{PRESENT}{}", name.code())),
        }))
    }

    fn metadata_present(&self, path: &str) -> Result<Box<dyn Runnable>, Error> {
        let start = format!("{PRESENT}{}{path}", Label::Metadata.code());
        let below = |rest: &str| path.is_empty() || rest.is_empty() || rest.starts_with('.');
        self.expand(|side| fields().terms(side), &start, path, &below)
    }

    fn both(&self, make: impl Fn(Side) -> Box<dyn Runnable>) -> Box<dyn Runnable> {
        any(self.query.sides().iter().map(|side| make(*side)).collect())
    }

    /// The records with a term that starts with `start` and whose rest is accepted.
    fn expand(
        &self,
        field: impl Fn(Side) -> Field,
        start: &str,
        shown: &str,
        accept: &dyn Fn(&str) -> bool,
    ) -> Result<Box<dyn Runnable>, Error> {
        let mut docs = BitSet::with_max_value(self.reader.max_doc());
        let mut seen = 0;
        for side in self.query.sides() {
            let inverted = self.reader.inverted_index(field(*side))?;
            let mut terms = inverted
                .terms()
                .range()
                .ge(start)
                .lt(after(start))
                .into_stream()?;
            while let Some((key, info)) = terms.next() {
                seen += 1;
                if seen > self.query.terms_max() {
                    return Err(Error::TooBroad {
                        clause: format!("{shown}*"),
                        limit: self.query.terms_max(),
                    });
                }
                if seen % STOP_EVERY == 0 && (self.stop)() {
                    return Err(Error::Stopped);
                }
                let rest = key
                    .get(start.len()..)
                    .and_then(|rest| std::str::from_utf8(rest).ok());
                if !rest.is_some_and(accept) {
                    continue;
                }
                let mut postings =
                    inverted.read_block_postings_from_terminfo(info, IndexRecordOption::Basic)?;
                while !postings.docs().is_empty() {
                    for doc in postings.docs() {
                        docs.insert(*doc);
                    }
                    postings.advance();
                }
            }
        }
        Ok(if docs.len() == 0 {
            Box::new(EmptyQuery)
        } else {
            Box::new(Docs { docs })
        })
    }
}

/// The least byte string above all that start with `start`, which is UTF-8 and not empty: no byte of it is 255.
fn after(start: &str) -> Vec<u8> {
    let mut bytes = start.as_bytes().to_vec();
    if let Some(last) = bytes.last_mut() {
        *last = last.saturating_add(1);
    }
    bytes
}

fn metadata_term(path: &str, value: &str) -> String {
    format!("{}{path}{PATH_END}{value}", Label::Metadata.code())
}

fn term_query(field: Field, term: &str) -> Box<dyn Runnable> {
    Box::new(TermQuery::new(
        Term::from_field_text(field, term),
        IndexRecordOption::Basic,
    ))
}

fn between(lower: Term, upper: Term) -> Box<dyn Runnable> {
    if lower > upper {
        return Box::new(EmptyQuery);
    }
    Box::new(RangeQuery::new(Bound::Included(lower), Bound::Included(upper)))
}

fn any(mut queries: Vec<Box<dyn Runnable>>) -> Box<dyn Runnable> {
    match queries.pop() {
        None => Box::new(EmptyQuery),
        Some(only) if queries.is_empty() => only,
        Some(last) => {
            queries.push(last);
            Box::new(BooleanQuery::union(queries))
        }
    }
}

/// A fixed set of records of one split.
#[derive(Clone)]
struct Docs {
    docs: BitSet,
}

impl std::fmt::Debug for Docs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Docs").field("len", &self.docs.len()).finish()
    }
}

impl Runnable for Docs {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(self.clone()))
    }
}

impl Weight for Docs {
    fn scorer(&self, _: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        Ok(Box::new(ConstScorer::new(
            BitSetDocSet::from(self.docs.clone()),
            boost,
        )))
    }

    fn explain(&self, _: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        Ok(Explanation::new(
            if self.docs.contains(doc) {
                "in the set"
            } else {
                "not in the set"
            },
            1.0,
        ))
    }
}
