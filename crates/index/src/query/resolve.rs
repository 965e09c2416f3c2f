//! From clauses to what the search library runs, for one split.
//!
//! Starts, wildcards and ranges of values are looked up in the split's dictionary here and become sets of records, so
//! that their cost is bounded and a search can be stopped within them. Ranges of columns are looked up as the records
//! are met.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::ops::RangeInclusive;

use tantivy::columnar::{DynamicColumn, StrColumn};
use tantivy::query::{
    AllQuery, BooleanQuery, EmptyQuery, EnableScoring, ExistsQuery, Occur, PhrasePrefixQuery, PhraseQuery,
    Query as Runnable, TermQuery, Weight,
};
use tantivy::schema::{Field, IndexRecordOption, Schema, Term};
use tantivy::{DocId, SegmentReader};

use super::ast::{Bounds, Clause, JsonPath, Key, Node};
use super::coverage::relax;
use super::docs::{Collector, Plain, between, span};
use super::expand::{Limit, Terms, each_term, expand};
use super::numbers;
use super::pattern::Glob;
use super::{Query, value};
use crate::schema::{Label, OCCURRED_NS, PRESENT, RECEIVED_MS, SEQ, Side, UUID_LABELS, fields, path_column};
use crate::words::{is_uuid, starts_uuid};
use crate::{Error, Split};

/// Terms that the last word of a phrase may stand for: each is read at the same time.
const PHRASE_TERMS_MAX: usize = 1024;
/// More values side by side than this are one set.
const VALUES_APART_MAX: usize = 16;
/// Strings looked at between two questions whether to stop.
const STOP_EVERY: usize = 512;

/// Makes a query runnable on one split.
///
/// # Errors
/// [`Error::NotCovered`] when the split's policy does not cover the query, [`Error::TooBroad`], [`Error::Stopped`],
/// [`Error::Io`].
pub(crate) fn resolve(
    query: &Query,
    split: &Split,
    stop: &dyn Fn() -> bool,
) -> Result<Box<dyn Runnable>, Error> {
    if relax(query.node(), split.policy()).is_some() {
        return Err(Error::NotCovered);
    }
    Resolver {
        query,
        split,
        reader: split.reader(),
        stop,
    }
    .node(query.node())
}

struct Resolver<'a> {
    query: &'a Query,
    split: &'a Split,
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
            Node::Or(nodes) => self.any(nodes)?,
            Node::Not(inner) => Box::new(BooleanQuery::new(vec![
                (Occur::Must, Box::new(AllQuery)),
                (Occur::MustNot, self.node(inner)?),
            ])),
            Node::Clause(clause) => self.clause(clause)?,
            Node::Hint(clause) => match self.clause(clause) {
                Err(Error::TooBroad { .. }) => Box::new(AllQuery),
                other => other?,
            },
        })
    }

    /// Many values are one set: each on its own would be read at the same time as all others.
    fn any(&self, nodes: &[Node]) -> Result<Box<dyn Runnable>, Error> {
        let value = |node: &Node| match node {
            Node::Clause(Clause::Equals { key, value }) => Some(key.term(value)),
            _ => None,
        };
        let mut values: Vec<String> = match nodes.len() > VALUES_APART_MAX {
            true => nodes.iter().filter_map(value).collect(),
            false => Vec::new(),
        };
        let mut parts = Vec::new();
        for node in nodes {
            if values.is_empty() || value(node).is_none() {
                parts.push(self.node(node)?);
            }
        }
        if !values.is_empty() {
            values.sort_unstable();
            parts.push(self.values(&values)?);
        }
        Ok(any(parts))
    }

    fn clause(&self, clause: &Clause) -> Result<Box<dyn Runnable>, Error> {
        Ok(match clause {
            Clause::Equals { key, value } => self.term(key, &key.term(value)),
            Clause::Starts { key, start } => self.expand(key, &Terms::starting(key.term(start)), start)?,
            Clause::Like { key, glob } => self.like(key, glob)?,
            Clause::Texts { key, bounds } => self.texts(key, bounds)?,
            Clause::Numbers {
                key: Key::Path(path),
                bounds,
            } if self.split.policy().paths.contains(&path.0) => self.column_numbers(path, bounds)?,
            Clause::Numbers { key, bounds } => {
                let accept = |rest: &str| value::number(rest).is_some_and(|number| bounds.contains(&number));
                let terms = Terms {
                    accept: &accept,
                    ..Terms::starting(key.term(""))
                };
                self.expand(key, &terms, shown(key))?
            }
            Clause::Present(key) => self.present(key)?,
            Clause::PresentMetadata => {
                let start = format!("{PRESENT}{}", Label::Metadata.code());
                self.expand_all(&Terms::starting(start))?
            }
            Clause::EventName(glob) => self.event_name(glob)?,
            Clause::Word(word) => self.word(word),
            Clause::WordStarts(start) => self.expand_words(&Terms::starting(&**start), start)?,
            Clause::WordLike(glob) => {
                let terms = Terms {
                    accept: &|rest| glob.matches_rest(rest),
                    ..Terms::starting(&*glob.start)
                };
                self.expand_words(&terms, &glob.start)?
            }
            Clause::Phrase(words) => self.both(|side| self.phrase(side, words)),
            Clause::PhraseStarts { words, start } => self.phrase_start(words, start)?,
            Clause::Ip(range) => self.addresses(range)?,
            Clause::Seq(range) => self.seqs(range)?,
            Clause::Received(range) => {
                let summary = self.split.summary();
                let values = summary.min_received_ms..=summary.max_received_ms;
                self.between(&values, range, |columns| columns.u64(RECEIVED_MS))?
            }
            Clause::Occurred(range) => {
                let summary = self.split.summary();
                let values = summary.min_occurred_ns..=summary.max_occurred_ns;
                self.between(&values, range, |columns| columns.i64(OCCURRED_NS))?
            }
        })
    }

    fn like(&self, key: &Key, glob: &Glob) -> Result<Box<dyn Runnable>, Error> {
        let terms = Terms {
            accept: &|rest| glob.matches_rest(rest),
            ..Terms::starting(key.term(&glob.start))
        };
        self.expand(key, &terms, &glob.start)
    }

    fn event_name(&self, glob: &Glob) -> Result<Box<dyn Runnable>, Error> {
        let key = Key::Label(Label::Action);
        let accept = |action: &str| {
            let name = action.rsplit('.').next().unwrap_or(action);
            glob.matches(&name.replace('_', ""))
        };
        let terms = Terms {
            accept: &accept,
            ..Terms::starting(key.term(""))
        };
        self.expand(&key, &terms, &glob.start)
    }

    fn texts(&self, key: &Key, bounds: &Bounds<String>) -> Result<Box<dyn Runnable>, Error> {
        let terms = Terms {
            from: bounds.lower.as_ref().map(String::as_str),
            to: bounds.upper.as_ref().map(String::as_str),
            ..Terms::starting(key.term(""))
        };
        self.expand(key, &terms, shown(key))
    }

    fn present(&self, key: &Key) -> Result<Box<dyn Runnable>, Error> {
        Ok(match key {
            Key::Label(label) => match label.column(Side::Public).filter(|_| !label.has_presence()) {
                Some(column) => Box::new(ExistsQuery::new(column.name.to_owned(), false)),
                None => self.term(key, &key.present()),
            },
            // Of a listed path, the terms say so whether the value is at it or below.
            Key::Path(path) if !path.is_metadata() || !self.split.policy().metadata => {
                self.term(key, &key.present())
            }
            Key::Path(_) => {
                let terms = Terms {
                    accept: &|rest| rest.is_empty() || rest.starts_with('.'),
                    ..Terms::starting(key.present())
                };
                self.expand_all(&terms)?
            }
        })
    }

    /// Numbers of a path that has a column, and its strings that read as numbers.
    fn column_numbers(&self, path: &JsonPath, bounds: &Bounds<f64>) -> Result<Box<dyn Runnable>, Error> {
        let side = match self.query.sides() {
            [Side::Public] => Side::Public,
            _ => Side::Personal,
        };
        let max_doc = self.reader.max_doc();
        let columns = self.reader.fast_fields();
        let mut parts = Vec::new();
        for handle in columns.dynamic_column_handles(&path_column(&path.0, side))? {
            match handle.open()? {
                DynamicColumn::I64(column) => {
                    parts.extend(numbers::signed(bounds).map(|range| between(column, &range, max_doc)));
                }
                DynamicColumn::U64(column) => {
                    parts.extend(numbers::unsigned(bounds).map(|range| between(column, &range, max_doc)));
                }
                DynamicColumn::F64(column) => parts.push(between(column, &numbers::float(bounds), max_doc)),
                DynamicColumn::Str(strings) => parts.push(self.numeric_strings(path, &strings, bounds)?),
                DynamicColumn::Bool(_)
                | DynamicColumn::IpAddr(_)
                | DynamicColumn::DateTime(_)
                | DynamicColumn::Bytes(_) => {}
            }
        }
        Ok(any(parts))
    }

    fn numeric_strings(
        &self,
        path: &JsonPath,
        strings: &StrColumn,
        bounds: &Bounds<f64>,
    ) -> Result<Box<dyn Runnable>, Error> {
        let key = Key::Path(path.clone());
        let mut wanted = BTreeSet::new();
        // What starts a number: + - . and digits, and little else.
        let mut stream = strings.dictionary().range().ge("+").lt(":").into_stream()?;
        let mut seen = 0_usize;
        while stream.advance() {
            seen += 1;
            if seen.is_multiple_of(STOP_EVERY) && (self.stop)() {
                return Err(Error::Stopped);
            }
            let Ok(text) = std::str::from_utf8(stream.key()) else {
                continue;
            };
            if value::number(text).is_some_and(|number| bounds.contains(&number)) {
                wanted.insert(key.term(text));
            }
            if wanted.len() > self.query.terms_max() {
                return Err(self.limit(&path.0).exceeded());
            }
        }
        self.values(&wanted.into_iter().collect::<Vec<_>>())
    }

    /// The records with one of these terms, which ascend.
    fn values(&self, terms: &[String]) -> Result<Box<dyn Runnable>, Error> {
        let mut docs = Collector::new(self.reader.max_doc());
        for side in self.query.sides() {
            let field = fields().terms(*side);
            let inverted = self.reader.inverted_index(field)?;
            for (at, term) in terms.iter().enumerate() {
                if (at + 1).is_multiple_of(STOP_EVERY) && (self.stop)() {
                    return Err(Error::Stopped);
                }
                let term = Term::from_field_text(field, term);
                let Some(mut postings) = inverted.read_block_postings(&term, IndexRecordOption::Basic)?
                else {
                    continue;
                };
                while !postings.docs().is_empty() {
                    docs.extend(postings.docs());
                    postings.advance();
                }
            }
        }
        Ok(docs.finish())
    }

    /// Words that stand side by side, in one field.
    fn phrase(&self, side: Side, words: &[String]) -> Box<dyn Runnable> {
        Box::new(Placed {
            query: PhraseQuery::new(word_terms(side, words)),
            schema: self.split.schema(),
        })
    }

    fn phrase_start(&self, words: &[String], start: &String) -> Result<Box<dyn Runnable>, Error> {
        let mut parts = Vec::new();
        for side in self.query.sides() {
            let inverted = self.reader.inverted_index(fields().words(*side))?;
            let limit = Limit {
                terms_max: self.query.terms_max().min(PHRASE_TERMS_MAX),
                ..self.limit(start)
            };
            let mut count = 0;
            each_term(&inverted, &Terms::starting(&**start), &limit, &mut |_, _| {
                count += 1;
                match count > limit.terms_max {
                    true => Err(limit.exceeded()),
                    false => Ok(()),
                }
            })?;
            if count > 0 {
                let mut terms = word_terms(*side, words);
                terms.extend(word_terms(*side, std::slice::from_ref(start)));
                let mut query = PhrasePrefixQuery::new(terms);
                query.set_max_expansions(u32::try_from(count).unwrap_or(u32::MAX));
                let schema = self.split.schema();
                parts.push(Box::new(Placed { query, schema }) as Box<dyn Runnable>);
            }
        }
        Ok(any(parts))
    }

    fn addresses(&self, range: &RangeInclusive<Ipv6Addr>) -> Result<Box<dyn Runnable>, Error> {
        // Who may see personal values finds all of them in the twin.
        let side = self.query.sides().last().copied().unwrap_or(Side::Public);
        let name = Label::Ip.column(side).map(|column| column.name);
        let column = match name {
            Some(name) => self.reader.fast_fields().column_opt::<Ipv6Addr>(name)?,
            None => None,
        };
        Ok(match column {
            Some(column) => between(column, range, self.reader.max_doc()),
            None => Box::new(EmptyQuery),
        })
    }

    /// Records are in the order of seq.
    fn seqs(&self, range: &RangeInclusive<u64>) -> Result<Box<dyn Runnable>, Error> {
        let summary = self.split.summary();
        if let Some(decided) = decided(&(summary.min_seq..=summary.max_seq), range) {
            return Ok(decided);
        }
        let column = self.reader.fast_fields().u64(SEQ)?;
        let first = |seq: u64| {
            let mut docs = 0..self.reader.max_doc();
            while docs.start < docs.end {
                let middle: DocId = docs.start + (docs.end - docs.start) / 2;
                match column.values.get_val(middle) < seq {
                    true => docs.start = middle + 1,
                    false => docs.end = middle,
                }
            }
            docs.start
        };
        let end = match range.end().checked_add(1) {
            Some(end) => first(end),
            None => self.reader.max_doc(),
        };
        Ok(span(first(*range.start())..end))
    }

    /// Records by a column of which every record has a value in `values`.
    fn between<T>(
        &self,
        values: &RangeInclusive<T>,
        range: &RangeInclusive<T>,
        column: impl Fn(&tantivy::fastfield::FastFieldReaders) -> tantivy::Result<tantivy::columnar::Column<T>>,
    ) -> Result<Box<dyn Runnable>, Error>
    where
        T: PartialOrd + Copy + std::fmt::Debug + Send + Sync + 'static,
    {
        Ok(match decided(values, range) {
            Some(decided) => decided,
            None => between(column(self.reader.fast_fields())?, range, self.reader.max_doc()),
        })
    }

    fn term(&self, key: &Key, term: &str) -> Box<dyn Runnable> {
        match key.is_public() {
            true => term_query(fields().terms(Side::Public), term),
            false => self.both(|side| term_query(fields().terms(side), term)),
        }
    }

    fn expand(&self, key: &Key, terms: &Terms<'_>, shown: &str) -> Result<Box<dyn Runnable>, Error> {
        let sides = match key.is_public() {
            true => &[Side::Public],
            false => self.query.sides(),
        };
        expand(
            self.reader,
            sides,
            |side| fields().terms(side),
            terms,
            &self.limit(shown),
        )
    }

    /// The same for terms that say that there is a value: they are few, and no mistake of the user's.
    fn expand_all(&self, terms: &Terms<'_>) -> Result<Box<dyn Runnable>, Error> {
        let limit = Limit {
            terms_max: usize::MAX,
            ..self.limit("")
        };
        expand(
            self.reader,
            self.query.sides(),
            |side| fields().terms(side),
            terms,
            &limit,
        )
    }

    fn word(&self, word: &str) -> Box<dyn Runnable> {
        let mut parts = vec![self.both(|side| term_query(fields().words(side), word))];
        if is_uuid(word) {
            let keys = UUID_LABELS.map(Key::Label);
            parts.extend(keys.iter().map(|key| self.term(key, &key.term(word))));
        }
        any(parts)
    }

    fn expand_words(&self, terms: &Terms<'_>, shown: &str) -> Result<Box<dyn Runnable>, Error> {
        let sides = self.query.sides();
        let limit = self.limit(shown);
        let mut parts = vec![expand(
            self.reader,
            sides,
            |side| fields().words(side),
            terms,
            &limit,
        )?];
        if starts_uuid(&terms.start) {
            for key in UUID_LABELS.map(Key::Label) {
                let accept = |rest: &str| is_uuid(&format!("{}{rest}", terms.start)) && (terms.accept)(rest);
                let terms = Terms {
                    accept: &accept,
                    ..Terms::starting(key.term(&terms.start))
                };
                parts.push(self.expand(&key, &terms, shown)?);
            }
        }
        Ok(any(parts))
    }

    fn both(&self, make: impl Fn(Side) -> Box<dyn Runnable>) -> Box<dyn Runnable> {
        any(self.query.sides().iter().map(|side| make(*side)).collect())
    }

    fn limit<'a>(&'a self, shown: &'a str) -> Limit<'a> {
        Limit {
            terms_max: self.query.terms_max(),
            shown,
            stop: self.stop,
        }
    }
}

/// How a condition on a key is called.
fn shown(key: &Key) -> &str {
    match key {
        Key::Label(_) => "the range",
        Key::Path(path) => &path.0,
    }
}

/// Whether all records or none match, by the values that they have.
fn decided<T: PartialOrd>(
    values: &RangeInclusive<T>,
    range: &RangeInclusive<T>,
) -> Option<Box<dyn Runnable>> {
    if range.start() > values.end() || range.end() < values.start() || range.start() > range.end() {
        return Some(Box::new(EmptyQuery));
    }
    (range.start() <= values.start() && range.end() >= values.end())
        .then(|| Box::new(AllQuery) as Box<dyn Runnable>)
}

fn word_terms(side: Side, words: &[String]) -> Vec<Term> {
    let field = fields().words(side);
    words
        .iter()
        .map(|word| Term::from_field_text(field, word))
        .collect()
}

fn term_query(field: Field, term: &str) -> Box<dyn Runnable> {
    Box::new(TermQuery::new(
        Term::from_field_text(field, term),
        IndexRecordOption::Basic,
    ))
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

/// A query on places of words: it asks the schema whether there are any, so it is given the split's own.
#[derive(Clone, Debug)]
struct Placed<Q> {
    query: Q,
    schema: &'static Schema,
}

impl<Q: Runnable + Clone> Runnable for Placed<Q> {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        let weight = self
            .query
            .weight(EnableScoring::disabled_from_schema(self.schema))?;
        Ok(Box::new(Plain(weight)))
    }
}
