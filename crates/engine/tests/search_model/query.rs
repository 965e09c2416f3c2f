//! Queries as trees, random ones, and how a user writes them.

use crate::events as vocabulary;
use crate::fields::{FIELDS, Field};
use crate::random::Random;
use crate::words::words;

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Query {
    All,
    And(Vec<Query>),
    /// As [`Query::And`], written side by side.
    Beside(Vec<Query>),
    Or(Vec<Query>),
    Not(Box<Query>),
    /// A named field, by one of its names.
    Field(&'static Field, &'static str, Test),
    /// A field before a group: one of these, or all.
    Group(&'static Field, &'static str, bool, Vec<Test>),
    /// A path into a free-form value, as the query names it, and as it is.
    Path(&'static str, &'static str, Test),
    Metadata,
    EventName(Test),
    Address(Network),
    /// Addresses from the first to the last.
    Addresses(&'static str, &'static str),
    Time(TimeField, &'static str, Bounds<Span>),
    Seq(&'static str, Bounds<u64>),
    Words(Words),
}

/// A condition on a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Test {
    Any,
    Is(String),
    Starts(String),
    Like(Vec<Piece>),
    In(Vec<String>),
    Texts(Bounds<String>),
    Numbers(Bounds<f64>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    Text(String),
    One,
    Many,
}

/// Ends of a range, each with whether it is in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bounds<T> {
    pub(crate) lower: Option<(T, bool)>,
    pub(crate) upper: Option<(T, bool)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeField {
    Occurred,
    Received,
}

/// A time as written, and all that it names (nanoseconds since 1970, both ends in it).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Span {
    pub(crate) text: String,
    pub(crate) first: i128,
    pub(crate) last: i128,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Network {
    pub(crate) name: &'static str,
    pub(crate) address: &'static str,
    pub(crate) bits: Option<u32>,
}

/// Words of the text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Words {
    /// With `text:`, so that identifiers are not looked at.
    pub(crate) only_text: Option<&'static str>,
    pub(crate) quoted: bool,
    pub(crate) what: Wanted,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wanted {
    Whole(String),
    Starts(String),
    /// One word with wildcards.
    Like(Vec<Piece>),
}

/// A random query.
pub(crate) fn random(random: &mut Random, size: u64) -> Query {
    if random.chance(3) {
        return Query::All;
    }
    tree(random, 3, size)
}

fn tree(random: &mut Random, depth: usize, size: u64) -> Query {
    if depth == 0 || random.chance(45) {
        return leaf(random, size);
    }
    let children = |random: &mut Random| -> Vec<Query> {
        let count = 2 + random.below(2);
        (0..count).map(|_| tree(random, depth - 1, size)).collect()
    };
    match random.below(8) {
        0 | 1 => Query::And(children(random)),
        2 | 3 => Query::Beside(children(random)),
        4 | 5 => Query::Or(children(random)),
        _ => Query::Not(Box::new(tree(random, depth - 1, size))),
    }
}

fn leaf(random: &mut Random, size: u64) -> Query {
    match random.below(20) {
        0..=7 => {
            let field: &'static Field = random.pick(FIELDS);
            let name = *random.pick(field.names);
            if random.chance(10) {
                let tests = (0..2).map(|_| plain_test(random, field.values)).collect();
                return Query::Group(field, name, random.chance(20), tests);
            }
            let test = match (field.is_number, random.below(12)) {
                (true, 0..=4) => Test::Numbers(bounds(random, |random| {
                    random.pick(field.values).parse().unwrap()
                })),
                (false, 0) => Test::Texts(bounds(random, |random| text_end(random, field.values))),
                (_, 1) => Test::Any,
                (_, 2) => Test::In(
                    (0..1 + random.below(3))
                        .map(|_| value(random, field.values))
                        .collect(),
                ),
                _ => plain_test(random, field.values),
            };
            Query::Field(field, name, test)
        }
        8..=10 => path(random),
        11 => Query::Metadata,
        12 => match random.below(3) {
            0 => Query::EventName(Test::Is((*random.pick(&EVENT_NAMES)).into())),
            1 => Query::EventName(Test::Is((*random.pick(&vocabulary::ACTIONS)).into())),
            _ => Query::EventName(Test::Starts(
                (*random.pick(&["Get", "put", "s3.", "logi"])).into(),
            )),
        },
        13 => {
            let name = *random.pick(&["ip", "context.ip", "source.ip", "client.ip", "sourceIPAddress"]);
            if random.chance(20) {
                let (first, last) = *random.pick(&ADDRESS_RANGES);
                return Query::Addresses(first, last);
            }
            let (address, bits) = match random.chance(50) {
                true => (*random.pick(&vocabulary::IPS), None),
                false => *random.pick(&NETWORKS),
            };
            let network = Network { name, address, bits };
            match random.chance(20) {
                true => Query::Words(Words {
                    only_text: None,
                    quoted: true,
                    what: Wanted::Whole(network.value()),
                }),
                false => Query::Address(network),
            }
        }
        14 => {
            let names = [
                "occurred_at",
                "@timestamp",
                "timestamp",
                "eventTime",
                "event.created",
            ];
            let name = *random.pick(&names);
            Query::Time(TimeField::Occurred, name, bounds(random, span))
        }
        15 => {
            let names = ["received_at", "event.ingested"];
            let name = *random.pick(&names);
            Query::Time(TimeField::Received, name, bounds(random, span))
        }
        16 => {
            let name = *random.pick(&["seq", "event.sequence"]);
            Query::Seq(name, bounds(random, |random| random.next() % (size + 2)))
        }
        _ => Query::Words(text(random)),
    }
}

fn path(random: &mut Random) -> Query {
    let (name, path, kind) = *random.pick(&PATHS);
    let texts: &[&str] = match kind {
        Kind::Number => &vocabulary::NUMBERS,
        Kind::Ticket => &vocabulary::TICKETS,
        Kind::Team => &vocabulary::TEAMS,
        Kind::Text => &vocabulary::TEXTS,
        Kind::Truth => &["true", "false", "maybe"],
    };
    let is_number = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) && text.parse::<f64>().is_ok()
    };
    let test = match random.below(8) {
        0 => Test::Any,
        1 => Test::Numbers(bounds(random, |random| {
            random.pick(&vocabulary::NUMBERS).parse().unwrap()
        })),
        2 => {
            let texts: Vec<&str> = texts.iter().copied().filter(|text| !is_number(text)).collect();
            match texts.is_empty() {
                true => Test::Any,
                false => Test::Texts(bounds(random, |random| text_end(random, &texts))),
            }
        }
        3 => Test::In((0..1 + random.below(3)).map(|_| value(random, texts)).collect()),
        4 if matches!(kind, Kind::Number) => {
            Test::Is((*random.pick(&["5", "5.0", "05", "1000.0", "1e3", "0.0", "-0", "2.50"])).into())
        }
        _ => plain_test(random, texts),
    };
    Query::Path(name, path, test)
}

/// Equality, a start, or wildcards.
fn plain_test(random: &mut Random, values: &[&str]) -> Test {
    let value = value(random, values);
    let characters: Vec<char> = value.chars().collect();
    match random.below(5) {
        0 if !characters.is_empty() => {
            let keep = 1 + random.below(characters.len());
            Test::Starts(characters[..keep].iter().collect())
        }
        1 if characters.len() > 2 && is_plain(&value.replace('*', "")) => {
            let keep = 1 + random.below(characters.len() - 2);
            let skip = random.below(characters.len() - keep);
            let start = Piece::Text(characters[..keep].iter().collect());
            let end: String = characters[keep + skip..].iter().collect();
            let middle = if skip == 1 && random.chance(50) {
                Piece::One
            } else {
                Piece::Many
            };
            let mut pieces = vec![start, middle];
            if !end.is_empty() {
                pieces.push(Piece::Text(end));
            }
            Test::Like(pieces)
        }
        _ => Test::Is(value),
    }
}

/// A value, at times in another case or with something behind.
fn value(random: &mut Random, values: &[&str]) -> String {
    let value = (*random.pick(values)).to_owned();
    match random.below(12) {
        0 => value.to_uppercase(),
        1 => value.to_lowercase(),
        2 => format!("{value}0"),
        _ => value,
    }
}

/// An end of a range of texts, which must not read as a number.
fn text_end(random: &mut Random, values: &[&str]) -> String {
    let value = *random.pick(values);
    let keep = 1 + random.below(value.chars().count());
    value.chars().take(keep).collect()
}

fn bounds<T>(random: &mut Random, mut end: impl FnMut(&mut Random) -> T) -> Bounds<T> {
    let mut side = |random: &mut Random, there: bool| there.then(|| (end(random), random.chance(70)));
    let which = random.below(4);
    Bounds {
        lower: side(random, which != 0),
        upper: side(random, which != 1),
    }
}

/// A time in any of its forms.
fn span(random: &mut Random) -> Span {
    const SECOND: i128 = 1_000_000_000;
    let (day, days) = *random.pick(&DAYS);
    let midnight = i128::from(days) * 86_400 * SECOND;
    let (hour, minute, second) = (
        random.below(24),
        random.below(4) * 15,
        *random.pick(&[0, 1, 30, 59]),
    );
    let clock = i128::try_from(hour * 3600 + minute * 60).unwrap() * SECOND;
    let whole = midnight + clock + i128::from(second) * SECOND;
    let named = |text: String, first: i128, length: i128| Span {
        text,
        first,
        last: first + length - 1,
    };
    match random.below(6) {
        0 => named(day.to_owned(), midnight, 86_400 * SECOND),
        1 => named(
            format!("{day}T{hour:02}:{minute:02}"),
            midnight + clock,
            60 * SECOND,
        ),
        2 => named(format!("{day}T{hour:02}:{minute:02}:{second:02}"), whole, SECOND),
        3 => named(format!("{day}T{hour:02}:{minute:02}:{second:02}Z"), whole, SECOND),
        4 => named(
            format!("{day}T{hour:02}:{minute:02}:{second:02}.5Z"),
            whole + SECOND / 2,
            SECOND / 10,
        ),
        _ => named((whole / 1_000_000).to_string(), whole, 1_000_000),
    }
}

fn text(random: &mut Random) -> Words {
    let source = *random.pick(&[
        &vocabulary::TEXTS[..],
        &vocabulary::IDS,
        &vocabulary::NAMES,
        &vocabulary::AGENTS,
        &vocabulary::ACTIONS,
        &vocabulary::TICKETS,
        &vocabulary::REQUESTS,
        &vocabulary::SESSIONS,
        &vocabulary::TRACES,
        &vocabulary::SPANS,
        &vocabulary::HOSTS,
    ]);
    let only_text = random.chance(30).then(|| *random.pick(&["text", "message"]));
    loop {
        let whole = *random.pick(source);
        let found = words(whole);
        let quoted = random.chance(40);
        let what = match random.below(6) {
            // A run of the text's words.
            0 | 1 if found.len() > 1 => {
                let from = random.below(found.len() - 1);
                let to = from + 2 + random.below(found.len() - from - 1).min(2);
                let run = found[from..to.min(found.len())].join(" ");
                Wanted::Whole(if random.chance(30) {
                    run.to_uppercase()
                } else {
                    run
                })
            }
            2 if !found.is_empty() => Wanted::Whole(random.pick(&found).clone()),
            3 => {
                let characters: Vec<char> = whole.chars().collect();
                let keep = 1 + random.below(characters.len());
                Wanted::Starts(characters[..keep].iter().collect())
            }
            4 if !found.is_empty() => {
                let word: Vec<char> = random.pick(&found).chars().collect();
                if word.len() < 4 || !word.iter().all(|c| c.is_alphanumeric()) {
                    continue;
                }
                let middle = if random.chance(50) {
                    Piece::One
                } else {
                    Piece::Many
                };
                let pieces = vec![
                    Piece::Text(word[..2].iter().collect()),
                    middle,
                    Piece::Text(word[3..].iter().collect()),
                ];
                return Words {
                    only_text,
                    quoted: false,
                    what: Wanted::Like(pieces),
                };
            }
            _ => Wanted::Whole(whole.to_owned()),
        };
        let fits = match &what {
            Wanted::Whole(text) => !words(text).is_empty(),
            // At least two letters or digits before the star, and none of them is cut off from it.
            Wanted::Starts(text) => text.chars().rev().take_while(|c| c.is_alphanumeric()).count() >= 2,
            Wanted::Like(_) => true,
        };
        if fits {
            let quoted =
                quoted || matches!(&what, Wanted::Whole(text) | Wanted::Starts(text) if !is_plain(text));
            return Words {
                only_text,
                quoted,
                what,
            };
        }
    }
}

impl Query {
    /// As a user writes it.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::All => "*".into(),
            Self::And(parts) => join(parts, " AND ", |part| part.atom()),
            Self::Beside(parts) => join(parts, " ", |part| match part {
                // `OR` and `AND` bind tighter than standing side by side.
                Self::Or(_) | Self::And(_) => part.text(),
                _ => part.atom(),
            }),
            Self::Or(parts) => join(parts, " OR ", |part| match part {
                Self::And(_) => part.text(),
                _ => part.atom(),
            }),
            Self::Not(inner) => match **inner {
                Self::Words(_) | Self::Field(..) => format!("-{}", inner.atom()),
                _ => format!("NOT {}", inner.atom()),
            },
            Self::Field(_, name, test) | Self::Path(name, _, test) => format!("{name}:{}", test.text()),
            Self::Group(_, name, all, tests) => {
                // Within a group, `word:` would be a field.
                let text = |test: &Test| match test {
                    Test::Is(value) if value.contains(':') => in_quotes(value),
                    Test::Starts(start) if start.contains(':') => format!("{}*", in_quotes(start)),
                    test => test.text(),
                };
                let tests: Vec<String> = tests.iter().map(text).collect();
                format!("{name}:({})", tests.join(if *all { " AND " } else { " OR " }))
            }
            Self::Metadata => "metadata:*".into(),
            Self::EventName(test) => format!("eventName:{}", test.text()),
            Self::Address(network) => network.text(),
            Self::Addresses(first, last) => format!("ip:[{} TO {}]", quote(first), quote(last)),
            Self::Time(_, name, bounds) => format!("{name}:{}", bounds.text(|span| quote(&span.text))),
            Self::Seq(name, bounds) => format!("{name}:{}", bounds.text(u64::to_string)),
            Self::Words(words) => words.text(),
        }
    }

    /// The same where it must not come apart.
    fn atom(&self) -> String {
        match self {
            Self::And(_) | Self::Or(_) | Self::Beside(_) | Self::Not(_) => format!("({})", self.text()),
            _ => self.text(),
        }
    }

    /// Simpler queries that may fail in the same way.
    pub(crate) fn simpler(&self) -> Vec<Self> {
        match self {
            Self::All => Vec::new(),
            Self::And(parts) => simpler_parts(parts, Self::And),
            Self::Beside(parts) => simpler_parts(parts, Self::Beside),
            Self::Or(parts) => simpler_parts(parts, Self::Or),
            Self::Not(inner) => {
                let mut all = vec![(**inner).clone()];
                all.extend(
                    inner
                        .simpler()
                        .into_iter()
                        .map(|inner| Self::Not(Box::new(inner))),
                );
                all
            }
            Self::Group(field, name, _, tests) => tests
                .iter()
                .map(|test| Self::Field(field, name, test.clone()))
                .collect(),
            Self::Field(field, name, Test::In(values)) => values
                .iter()
                .map(|value| Self::Field(field, name, Test::Is(value.clone())))
                .collect(),
            _ => Vec::new(),
        }
    }
}

fn simpler_parts(parts: &[Query], make: fn(Vec<Query>) -> Query) -> Vec<Query> {
    let mut all = parts.to_vec();
    if parts.len() > 2 {
        for at in 0..parts.len() {
            let mut fewer = parts.to_vec();
            fewer.remove(at);
            all.push(make(fewer));
        }
    }
    for (at, part) in parts.iter().enumerate() {
        for simpler in part.simpler() {
            let mut parts = parts.to_vec();
            parts[at] = simpler;
            all.push(make(parts));
        }
    }
    all
}

fn join(parts: &[Query], between: &str, text: impl Fn(&Query) -> String) -> String {
    parts.iter().map(text).collect::<Vec<_>>().join(between)
}

impl Test {
    fn text(&self) -> String {
        match self {
            Self::Any => "*".into(),
            Self::Is(value) => quote(value),
            Self::Starts(start) => format!("{}*", quote(start)),
            Self::Like(pieces) => pieces_text(pieces),
            Self::In(values) => {
                let values: Vec<String> = values.iter().map(|value| quote(value)).collect();
                format!("IN [{}]", values.join(" "))
            }
            Self::Texts(bounds) => bounds.text(|text| quote(text)),
            Self::Numbers(bounds) => bounds.text(|number| number.to_string()),
        }
    }
}

impl<T> Bounds<T> {
    fn text(&self, text: impl Fn(&T) -> String) -> String {
        match (&self.lower, &self.upper) {
            (Some((lower, true)), None) => format!(">={}", text(lower)),
            (Some((lower, false)), None) => format!(">{}", text(lower)),
            (None, Some((upper, true))) => format!("<={}", text(upper)),
            (None, Some((upper, false))) => format!("<{}", text(upper)),
            (lower, upper) => {
                let end = |end: &Option<(T, bool)>| end.as_ref().map_or("*".into(), |(end, _)| text(end));
                let open = |end: &Option<(T, bool)>| end.as_ref().is_some_and(|(_, included)| !included);
                let (left, right) = (
                    if open(lower) { '{' } else { '[' },
                    if open(upper) { '}' } else { ']' },
                );
                format!("{left}{} TO {}{right}", end(lower), end(upper))
            }
        }
    }
}

impl Network {
    fn value(&self) -> String {
        match self.bits {
            None => self.address.to_owned(),
            Some(bits) => format!("{}/{bits}", self.address),
        }
    }

    /// An address has colons, which is fine after a field's name.
    fn text(&self) -> String {
        match self.address.starts_with(char::is_alphanumeric) {
            true => format!("{}:{}", self.name, self.value()),
            false => format!("{}:{}", self.name, in_quotes(&self.value())),
        }
    }
}

impl Words {
    fn text(&self) -> String {
        let value = match &self.what {
            Wanted::Whole(text) if self.quoted => in_quotes(text),
            Wanted::Starts(text) if self.quoted => format!("{}*", in_quotes(text)),
            Wanted::Whole(text) => text.clone(),
            Wanted::Starts(text) => format!("{text}*"),
            Wanted::Like(pieces) => pieces_text(pieces),
        };
        match self.only_text {
            Some(name) => format!("{name}:{value}"),
            None => value,
        }
    }
}

/// Without quotation marks where that is possible.
fn quote(text: &str) -> String {
    match is_plain(&text.replace(['/', ':'], "")) && text.starts_with(char::is_alphanumeric) {
        true => text.to_owned(),
        false => in_quotes(text),
    }
}

fn in_quotes(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// What can stand without quotation marks.
fn is_plain(text: &str) -> bool {
    text.starts_with(char::is_alphanumeric)
        && text.chars().all(|c| c.is_alphanumeric() || "_.@-".contains(c))
        && !["AND", "OR", "NOT", "IN", "TO"].contains(&text)
}

fn pieces_text(pieces: &[Piece]) -> String {
    let text = |piece: &Piece| match piece {
        Piece::Text(text) => text.replace('*', "\\*"),
        Piece::One => "?".to_owned(),
        Piece::Many => "*".to_owned(),
    };
    pieces.iter().map(text).collect()
}

#[derive(Clone, Copy)]
enum Kind {
    Number,
    Ticket,
    Team,
    Text,
    Truth,
}

/// Names of paths in queries, the paths that they name, and what is there.
const PATHS: [(&str, &str, Kind); 22] = [
    ("metadata.ticket", "metadata.ticket", Kind::Ticket),
    ("labels.ticket", "metadata.ticket", Kind::Ticket),
    ("metadata.n", "metadata.n", Kind::Number),
    ("metadata.n", "metadata.n", Kind::Number),
    ("metadata.team", "metadata.team", Kind::Team),
    ("metadata.order.total", "metadata.order.total", Kind::Number),
    (
        "metadata.order.lines.sku",
        "metadata.order.lines.sku",
        Kind::Ticket,
    ),
    (
        "metadata.order.lines.count",
        "metadata.order.lines.count",
        Kind::Number,
    ),
    ("metadata.order", "metadata.order", Kind::Ticket),
    ("metadata.a.b.c", "metadata.a.b.c", Kind::Number),
    ("metadata.note", "metadata.note", Kind::Text),
    ("metadata.flag", "metadata.flag", Kind::Truth),
    ("metadata.mixed", "metadata.mixed", Kind::Text),
    ("metadata.mixed.k", "metadata.mixed.k", Kind::Number),
    ("metadata.nothing", "metadata.nothing", Kind::Ticket),
    ("payload.order.total", "payload.order.total", Kind::Number),
    ("payload.order.lines.sku", "payload.order.lines.sku", Kind::Ticket),
    ("payload.note", "payload.note", Kind::Text),
    ("payload.order", "payload.order", Kind::Number),
    ("targets.attributes.size", "targets.attributes.size", Kind::Number),
    ("target.attributes.tags", "targets.attributes.tags", Kind::Team),
    ("targets.attributes.note", "targets.attributes.note", Kind::Text),
];

const EVENT_NAMES: [&str; 5] = ["GetObject", "PutObject", "Login", "get_object", "C"];

const NETWORKS: [(&str, Option<u32>); 6] = [
    ("10.0.0.0", Some(8)),
    ("10.0.0.0", Some(24)),
    ("10.0.0.1", Some(32)),
    ("0.0.0.0", Some(0)),
    ("2001:db8::", Some(32)),
    ("2001:db8::", Some(48)),
];

const ADDRESS_RANGES: [(&str, &str); 3] = [
    ("10.0.0.0", "10.0.0.255"),
    ("10.0.0.1", "192.168.7.7"),
    ("2001:db8::", "2001:db8:ffff::"),
];

/// Days, and how many days after 1970-01-01 they are.
const DAYS: [(&str, u32); 5] = [
    ("2026-11-21", 20_778),
    ("2026-11-22", 20_779),
    ("2025-02-28", 20_147),
    ("1999-12-31", 10_956),
    ("2026-11-23", 20_780),
];
