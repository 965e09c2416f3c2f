//! From clauses to what can be walked over, for one split.
//!
//! Terms are looked up in the split's dictionary here, each once. Starts, wildcards and ranges of values become sets of
//! records, so that their cost is bounded and a search can be stopped within them. Ranges of columns are looked up as the
//! records are met.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use tantivy::columnar::{DynamicColumn, StrColumn};
use tantivy::schema::{Field, IndexRecordOption, Term};
use tantivy::{DocId, SegmentReader};

use super::ast::{Bounds, Clause, JsonPath, Key, Node};
use super::coverage::relax;
use super::docs::{Collector, Set};
use super::expand::{Limit, Terms, each_term, expand};
use super::matching::{Matching, Phrase, Posted};
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

/// Looks a query up in one split.
///
/// # Errors
/// [`Error::NotCovered`] when the split's policy does not cover the query, [`Error::TooBroad`], [`Error::Stopped`],
/// [`Error::Io`].
pub(crate) fn resolve(query: &Query, split: &Split, stop: &dyn Fn() -> bool) -> Result<Matching, Error> {
    if relax(query.node(), split.policy(), query.personal).is_some() {
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
    fn node(&self, node: &Node) -> Result<Matching, Error> {
        Ok(match node {
            Node::All => Matching::All,
            Node::And(nodes) => self.all(nodes)?,
            Node::Or(nodes) => self.any(nodes)?,
            Node::Not(inner) => Matching::and(Vec::new(), vec![self.node(inner)?]),
            Node::Clause(clause) => self.clause(clause)?,
            Node::Hint(clause) => match self.clause(clause) {
                Err(Error::TooBroad { .. }) => Matching::All,
                other => other?,
            },
        })
    }

    /// Exclusions stand beside what they are taken from. Once nothing is left, the rest is not looked up.
    fn all(&self, nodes: &[Node]) -> Result<Matching, Error> {
        let mut all = Vec::with_capacity(nodes.len());
        for node in nodes.iter().filter(|node| !matches!(node, Node::Not(_))) {
            match self.node(node)? {
                Matching::None => return Ok(Matching::None),
                part => all.push(part),
            }
        }
        let mut not = Vec::new();
        for node in nodes {
            if let Node::Not(inner) = node {
                not.push(self.node(inner)?);
            }
        }
        Ok(Matching::and(all, not))
    }

    /// Many values are one set: each on its own would be read at the same time as all others.
    fn any(&self, nodes: &[Node]) -> Result<Matching, Error> {
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
        Ok(Matching::or(parts))
    }

    fn clause(&self, clause: &Clause) -> Result<Matching, Error> {
        Ok(match clause {
            Clause::Equals { key, value } => self.term(key, &key.term(value))?,
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
            Clause::Word(word) => self.word(word)?,
            Clause::WordStarts(start) => self.expand_words(&Terms::starting(&**start), start)?,
            Clause::WordLike(glob) => {
                let terms = Terms {
                    accept: &|rest| glob.matches_rest(rest),
                    ..Terms::starting(&*glob.start)
                };
                self.expand_words(&terms, &glob.start)?
            }
            Clause::Phrase(words) => self.both(|side| self.phrase(side, words, None))?,
            Clause::PhraseStarts { words, start } => {
                self.both(|side| self.phrase(side, words, Some(start)))?
            }
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

    fn like(&self, key: &Key, glob: &Glob) -> Result<Matching, Error> {
        let terms = Terms {
            accept: &|rest| glob.matches_rest(rest),
            ..Terms::starting(key.term(&glob.start))
        };
        self.expand(key, &terms, &glob.start)
    }

    fn event_name(&self, glob: &Glob) -> Result<Matching, Error> {
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

    fn texts(&self, key: &Key, bounds: &Bounds<String>) -> Result<Matching, Error> {
        let terms = Terms {
            from: bounds.lower.as_ref().map(String::as_str),
            to: bounds.upper.as_ref().map(String::as_str),
            ..Terms::starting(key.term(""))
        };
        self.expand(key, &terms, shown(key))
    }

    fn present(&self, key: &Key) -> Result<Matching, Error> {
        Ok(match key {
            Key::Label(label) => match label.column(Side::Public).filter(|_| !label.has_presence()) {
                Some(column) => self.has_value(column.name)?,
                None => self.term(key, &key.present())?,
            },
            // Of a listed path, the terms say so whether the value is at it or below.
            Key::Path(path) if !path.is_metadata() || !self.split.policy().metadata => {
                self.term(key, &key.present())?
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

    fn has_value(&self, column: &str) -> Result<Matching, Error> {
        let mut parts = Vec::new();
        for handle in self.reader.fast_fields().dynamic_column_handles(column)? {
            parts.push(Matching::present(handle.open()?.into_column_index()));
        }
        Ok(Matching::or(parts))
    }

    /// Numbers of a path that has a column, and its strings that read as numbers.
    fn column_numbers(&self, path: &JsonPath, bounds: &Bounds<f64>) -> Result<Matching, Error> {
        let side = match self.query.sides() {
            [Side::Public] => Side::Public,
            _ => Side::Personal,
        };
        let columns = self.reader.fast_fields();
        let mut parts = Vec::new();
        for handle in columns.dynamic_column_handles(&path_column(&path.0, side))? {
            match handle.open()? {
                DynamicColumn::I64(column) => {
                    parts.extend(numbers::signed(bounds).map(|range| Matching::between(column, &range)));
                }
                DynamicColumn::U64(column) => {
                    parts.extend(numbers::unsigned(bounds).map(|range| Matching::between(column, &range)));
                }
                DynamicColumn::F64(column) => {
                    parts.push(Matching::between(column, &numbers::float(bounds)));
                }
                DynamicColumn::Str(strings) => parts.push(self.numeric_strings(path, &strings, bounds)?),
                DynamicColumn::Bool(_)
                | DynamicColumn::IpAddr(_)
                | DynamicColumn::DateTime(_)
                | DynamicColumn::Bytes(_) => {}
            }
        }
        Ok(Matching::or(parts))
    }

    fn numeric_strings(
        &self,
        path: &JsonPath,
        strings: &StrColumn,
        bounds: &Bounds<f64>,
    ) -> Result<Matching, Error> {
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
    fn values(&self, terms: &[String]) -> Result<Matching, Error> {
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

    /// Words that stand side by side, in one field, and maybe another after them that starts so.
    fn phrase(&self, side: Side, words: &[String], start: Option<&str>) -> Result<Matching, Error> {
        let field = fields().words(side);
        let inverted = self.reader.inverted_index(field)?;
        let mut infos = Vec::with_capacity(words.len());
        for word in words {
            match inverted.get_term_info(&Term::from_field_text(field, word))? {
                Some(info) => infos.push(info),
                None => return Ok(Matching::None),
            }
        }
        let mut last = Vec::new();
        if let Some(start) = start {
            let limit = Limit {
                terms_max: self.query.terms_max().min(PHRASE_TERMS_MAX),
                ..self.limit(start)
            };
            each_term(&inverted, &Terms::starting(start), &limit, &mut |_, info| {
                last.push(info.clone());
                match last.len() > limit.terms_max {
                    true => Err(limit.exceeded()),
                    false => Ok(()),
                }
            })?;
            if last.is_empty() {
                return Ok(Matching::None);
            }
        }
        Ok(Matching::Phrase(Arc::new(Phrase {
            inverted,
            words: infos,
            last,
        })))
    }

    fn addresses(&self, range: &RangeInclusive<Ipv6Addr>) -> Result<Matching, Error> {
        // Who may see personal values finds all of them in the twin.
        let side = self.query.sides().last().copied().unwrap_or(Side::Public);
        let name = Label::Ip.column(side).map(|column| column.name);
        let column = match name {
            Some(name) => self.reader.fast_fields().column_opt::<Ipv6Addr>(name)?,
            None => None,
        };
        Ok(match column {
            Some(column) => Matching::between(column, range),
            None => Matching::None,
        })
    }

    /// Records are in the order of seq.
    fn seqs(&self, range: &RangeInclusive<u64>) -> Result<Matching, Error> {
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
        let docs = first(*range.start())..end;
        Ok(match docs.is_empty() {
            true => Matching::None,
            false => Matching::Set(Set::Span(docs)),
        })
    }

    /// Records by a column of which every record has a value in `values`.
    fn between<T>(
        &self,
        values: &RangeInclusive<T>,
        range: &RangeInclusive<T>,
        column: impl Fn(&tantivy::fastfield::FastFieldReaders) -> tantivy::Result<tantivy::columnar::Column<T>>,
    ) -> Result<Matching, Error>
    where
        T: PartialOrd + Copy + std::fmt::Debug + Send + Sync + 'static,
    {
        Ok(match decided(values, range) {
            Some(decided) => decided,
            None => Matching::between(column(self.reader.fast_fields())?, range),
        })
    }

    fn term(&self, key: &Key, term: &str) -> Result<Matching, Error> {
        match key.is_public() {
            true => self.posted(fields().terms(Side::Public), term),
            false => self.both(|side| self.posted(fields().terms(side), term)),
        }
    }

    fn posted(&self, field: Field, term: &str) -> Result<Matching, Error> {
        let inverted = self.reader.inverted_index(field)?;
        let info = inverted.get_term_info(&Term::from_field_text(field, term))?;
        Ok(info.map_or(Matching::None, |info| Matching::Term(Posted { inverted, info })))
    }

    fn expand(&self, key: &Key, terms: &Terms<'_>, shown: &str) -> Result<Matching, Error> {
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
    fn expand_all(&self, terms: &Terms<'_>) -> Result<Matching, Error> {
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

    fn word(&self, word: &str) -> Result<Matching, Error> {
        let mut parts = vec![self.both(|side| self.posted(fields().words(side), word))?];
        if is_uuid(word) {
            for key in UUID_LABELS.map(Key::Label) {
                parts.push(self.term(&key, &key.term(word))?);
            }
        }
        Ok(Matching::or(parts))
    }

    fn expand_words(&self, terms: &Terms<'_>, shown: &str) -> Result<Matching, Error> {
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
        Ok(Matching::or(parts))
    }

    fn both(&self, make: impl Fn(Side) -> Result<Matching, Error>) -> Result<Matching, Error> {
        let sides = self.query.sides().iter().map(|side| make(*side));
        Ok(Matching::or(sides.collect::<Result<_, _>>()?))
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
fn decided<T: PartialOrd>(values: &RangeInclusive<T>, range: &RangeInclusive<T>) -> Option<Matching> {
    if range.start() > values.end() || range.end() < values.start() || range.start() > range.end() {
        return Some(Matching::None);
    }
    (range.start() <= values.start() && range.end() >= values.end()).then_some(Matching::All)
}
