//! From clauses to what the search library runs, for one split.
//!
//! Starts of values and ranges of metadata are looked up in the split's dictionary here and become sets of records, so
//! that their cost is bounded and a search can be stopped within them.

use std::net::Ipv6Addr;
use std::ops::RangeInclusive;

use tantivy::columnar::Column;
use tantivy::query::{
    AllQuery, BitSetDocSet, BooleanQuery, ConstScorer, EmptyQuery, EnableScoring, ExistsQuery, Explanation,
    Occur, Query as Runnable, Scorer, TermQuery, Weight,
};
use tantivy::schema::{Field, IndexRecordOption, Term};
use tantivy::{BitSet, DocId, Score, SegmentReader};

use super::{Clause, Node, Query};
use crate::query::value;
use crate::schema::{Label, OCCURRED_NS, PATH_END, PRESENT, RECEIVED_MS, SEQ, Side, fields};
use crate::{Error, Split};

/// Dictionary entries looked at between two questions whether to stop.
const STOP_EVERY: usize = 512;
/// Records whose column values are looked at between two such questions.
const SCAN_DOCS: u32 = 65_536;

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
            Clause::Ip(range) => self.addresses(range)?,
            Clause::Seq(range) => self.between(&self.reader.fast_fields().u64(SEQ)?, range)?,
            Clause::Received(range) => self.between(&self.reader.fast_fields().u64(RECEIVED_MS)?, range)?,
            Clause::Occurred(range) => self.between(&self.reader.fast_fields().i64(OCCURRED_NS)?, range)?,
        })
    }

    fn addresses(&self, range: &RangeInclusive<Ipv6Addr>) -> Result<Box<dyn Runnable>, Error> {
        let mut queries = Vec::new();
        for side in self.query.sides() {
            if let Some(name) = Label::Ip.column(*side).map(|column| column.name)
                && let Some(column) = self.reader.fast_fields().column_opt::<Ipv6Addr>(name)?
            {
                queries.push(self.between(&column, range)?);
            }
        }
        Ok(any(queries))
    }

    /// The records with a value in a range. Looked up here, not by the library's range query: that one computes a
    /// negative distance when it is sought in beyond its end.
    fn between<T>(&self, column: &Column<T>, range: &RangeInclusive<T>) -> Result<Box<dyn Runnable>, Error>
    where
        T: PartialOrd + Copy + std::fmt::Debug + Send + Sync + 'static,
    {
        let mut docs = BitSet::with_max_value(self.reader.max_doc());
        let mut found = Vec::new();
        // Bounds beyond the column's values are brought in: the library's codecs wrap around on some of them.
        let (low, high) = (column.min_value(), column.max_value());
        let from = if *range.start() < low { low } else { *range.start() };
        let to = if *range.end() > high { high } else { *range.end() };
        let clamped = from..=to;
        let mut start = 0;
        while start < self.reader.max_doc() && !clamped.is_empty() {
            if (self.stop)() {
                return Err(Error::Stopped);
            }
            let end = start.saturating_add(SCAN_DOCS).min(self.reader.max_doc());
            found.clear();
            column.get_docids_for_value_range(clamped.clone(), start..end, &mut found);
            for doc in &found {
                if column.values_for_doc(*doc).any(|value| range.contains(&value)) {
                    docs.insert(*doc);
                }
            }
            start = end;
        }
        Ok(in_set(docs))
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
        Ok(
            self.both(|side| match name.column(side).filter(|_| !name.has_presence()) {
                Some(column) => Box::new(ExistsQuery::new(column.name.to_owned(), false)),
                None => term_query(fields().terms(side), &format!("{PRESENT}{}", name.code())),
            }),
        )
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
        Ok(in_set(docs))
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

fn in_set(docs: BitSet) -> Box<dyn Runnable> {
    if docs.len() == 0 {
        Box::new(EmptyQuery)
    } else {
        Box::new(Docs { docs })
    }
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
