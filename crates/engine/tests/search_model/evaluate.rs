//! What a query matches, by `docs/search.md` alone: every record is looked at, over its JSON.

use std::net::{IpAddr, Ipv6Addr};

use serde_json::Value;

use crate::fields::{FREE, Field, READABLE};
use crate::query::{Bounds, Piece, Query, Test, TimeField, Wanted, Words};
use crate::words::{clip, lower, words};

/// A record as the model knows it.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) seq: u64,
    pub(crate) received_ms: u64,
    /// `event`, or the type of a control record.
    pub(crate) kind: String,
    pub(crate) protocol: &'static str,
    /// What a reader sees, and what an investigator sees.
    pub(crate) seen: [Seen; 2],
}

/// A record through somebody's eyes.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) event: Value,
    /// The words of every readable string.
    texts: Vec<Vec<String>>,
}

/// Who looks: an index into [`Record::seen`].
pub(crate) type Who = usize;

/// What stands for a value that one may not see.
pub(crate) const HIDDEN: &str = "[personal]";

impl Seen {
    pub(crate) fn new(event: Value, is_control: bool) -> Self {
        let mut texts = Vec::new();
        let mut take = |value: &Value| strings(value, &mut |text| texts.push(words(text)));
        if is_control {
            take(&event);
        } else {
            for pointer in READABLE.iter().chain(&FREE) {
                all_at(&event, pointer).into_iter().for_each(&mut take);
            }
        }
        Self { event, texts }
    }
}

impl Record {
    /// Nanoseconds since 1970 of its occurrence: as claimed, else of its receipt.
    pub(crate) fn occurred_ns(&self) -> i128 {
        match self.seen[1].event["occurred_at"].as_str() {
            Some(text) => text.parse::<jiff::Timestamp>().unwrap().as_nanosecond(),
            None => self.received_ns(),
        }
    }

    pub(crate) fn received_ns(&self) -> i128 {
        i128::from(self.received_ms) * 1_000_000
    }

    /// The values of a field that `who` may see.
    pub(crate) fn values(&self, who: Who, field: &Field) -> Vec<String> {
        match field.at {
            "kind" => vec![self.kind.clone()],
            "protocol" => vec![self.protocol.to_owned()],
            "credential" => vec!["tester000001".to_owned()],
            pointer => self.at(who, pointer),
        }
    }

    fn at(&self, who: Who, pointer: &str) -> Vec<String> {
        all_at(&self.seen[who].event, pointer)
            .into_iter()
            .filter_map(leaf)
            .filter(|text| text != HIDDEN)
            .collect()
    }

    /// The values at a path, and whether there is one at it or below.
    pub(crate) fn at_path(&self, who: Who, path: &str) -> (Vec<String>, bool) {
        let (mut at, mut below) = (Vec::new(), false);
        self.leaves(who, &mut |found, value| {
            below |= found == path || found.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
            if found == path {
                at.extend(leaf(value));
            }
        });
        (at, below)
    }

    /// Every scalar in a free-form value that has paths, with its path.
    pub(crate) fn leaves(&self, who: Who, each: &mut dyn FnMut(&str, &Value)) {
        let event = &self.seen[who].event;
        if self.kind != "event" {
            return;
        }
        walk(&event["metadata"], "metadata", each);
        walk(&event["payload"], "payload", each);
        for attributes in all_at(event, "/targets/*/attributes") {
            walk(attributes, "targets.attributes", each);
        }
    }

    pub(crate) fn address(&self, who: Who) -> Option<u128> {
        bits(self.seen[who].event["context"]["ip"].as_str()?)
    }

    pub(crate) fn matches(&self, who: Who, query: &Query) -> bool {
        match query {
            Query::All => true,
            Query::And(parts) | Query::Beside(parts) => parts.iter().all(|part| self.matches(who, part)),
            Query::Or(parts) => parts.iter().any(|part| self.matches(who, part)),
            Query::Not(inner) => !self.matches(who, inner),
            Query::Field(field, _, test) => passes(&self.values(who, field), test, field.folds),
            Query::Group(field, _, all, tests) => {
                let values = self.values(who, field);
                let mut results = tests.iter().map(|test| passes(&values, test, field.folds));
                if *all {
                    results.all(|result| result)
                } else {
                    results.any(|result| result)
                }
            }
            Query::Path(_, path, test) => {
                let (values, below) = self.at_path(who, path);
                match test {
                    Test::Any => below,
                    Test::Is(text) => values.iter().any(|value| same_at_path(value, text)),
                    Test::In(texts) => values
                        .iter()
                        .any(|value| texts.iter().any(|text| same_at_path(value, text))),
                    test => passes(&values, test, false),
                }
            }
            Query::Metadata => {
                let mut any = false;
                self.leaves(who, &mut |path, _| any |= path.starts_with("metadata."));
                any
            }
            Query::EventName(test) => self.values(who, &crate::fields::FIELDS[0]).iter().any(|action| {
                let last = letters(action.rsplit('.').next().unwrap());
                match test {
                    Test::Is(name) if name.contains('.') => action == name,
                    Test::Starts(start) if start.contains('.') => action.starts_with(start.as_str()),
                    Test::Is(name) => last == letters(name),
                    Test::Starts(start) => last.starts_with(&letters(start)),
                    _ => unreachable!("no such query is made"),
                }
            }),
            Query::Address(network) => {
                let value = match network.bits {
                    Some(bits) => format!("{}/{bits}", network.address),
                    None => network.address.to_owned(),
                };
                self.is_from(who, &value)
            }
            Query::Addresses(first, last) => {
                let range = bits(first).unwrap()..=bits(last).unwrap();
                self.address(who).is_some_and(|address| range.contains(&address))
            }
            Query::Time(field, _, bounds) => {
                let time = match field {
                    TimeField::Occurred => self.occurred_ns(),
                    TimeField::Received => self.received_ns(),
                };
                let lower = bounds
                    .lower
                    .as_ref()
                    .is_none_or(|(span, included)| match included {
                        true => time >= span.first,
                        false => time > span.last,
                    });
                let upper = bounds
                    .upper
                    .as_ref()
                    .is_none_or(|(span, included)| match included {
                        true => time <= span.last,
                        false => time < span.first,
                    });
                lower && upper
            }
            Query::Seq(_, bounds) => within(&self.seq, bounds),
            Query::Words(words) => self.has_words(who, words),
        }
    }

    fn has_words(&self, who: Who, wanted: &Words) -> bool {
        let texts = &self.seen[who].texts;
        let has = |fits: &dyn Fn(&str) -> bool| texts.iter().flatten().any(|word| fits(word));
        // A run of words in one string, the last of which `last` judges.
        let run = |wanted: &[String], last: &dyn Fn(&str, &str) -> bool| {
            let (end, start) = wanted.split_last().unwrap();
            texts.iter().any(|words| {
                words.windows(wanted.len()).any(|window| {
                    let (found, before) = window.split_last().unwrap();
                    before == start && last(found, end)
                })
            })
        };
        match &wanted.what {
            Wanted::Whole(text) => {
                let all = words(text);
                let found = match wanted.quoted {
                    true => run(&all, &|found, wanted| found == wanted),
                    false => all.iter().all(|wanted| has(&|word| word == wanted)),
                };
                found || (wanted.only_text.is_none() && self.is_called(who, text))
            }
            Wanted::Starts(text) => {
                let all = words(text);
                let (end, before) = all.split_last().unwrap();
                let found = match wanted.quoted {
                    true => run(&all, &|found, wanted| found.starts_with(wanted)),
                    false => {
                        before.iter().all(|wanted| has(&|word| word == wanted))
                            && has(&|word| word.starts_with(end.as_str()))
                    }
                };
                found || has(&|word| word.starts_with(&lower(text)))
            }
            Wanted::Like(pieces) => has(&|word| like(word, pieces, true)),
        }
    }

    /// Whether a bare value is one of the record's identifiers, or its address.
    fn is_called(&self, who: Who, text: &str) -> bool {
        let pointers = [
            "/actor/credential_id",
            "/context/session_id",
            "/context/request_id",
            "/context/trace_id",
            "/context/span_id",
            "/idempotency_key",
        ];
        let identifier = pointers
            .iter()
            .flat_map(|pointer| self.at(who, pointer))
            .any(|value| value == text);
        identifier || (network(text).is_some() && self.is_from(who, text))
    }

    fn is_from(&self, who: Who, value: &str) -> bool {
        let (first, last) = network(value).unwrap();
        self.address(who)
            .is_some_and(|address| (first..=last).contains(&address))
    }
}

/// The address or network as the first and last address of it, IPv4 as mapped IPv6.
fn network(text: &str) -> Option<(u128, u128)> {
    let Some((address, length)) = text.split_once('/') else {
        let address = bits(text)?;
        return Some((address, address));
    };
    let is_v4 = address.parse::<IpAddr>().ok()?.is_ipv4();
    let length: u32 = length.parse().ok()?;
    let host = if is_v4 { 32 - length } else { 128 - length };
    let mask = u128::MAX.checked_shl(host).unwrap_or(0);
    let bits = bits(address)?;
    Some((bits & mask, bits | !mask))
}

fn bits(address: &str) -> Option<u128> {
    let address = match address.parse::<IpAddr>().ok()? {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    Some(Ipv6Addr::to_bits(address))
}

fn letters(text: &str) -> String {
    text.chars()
        .filter(|c| *c != '_')
        .flat_map(char::to_lowercase)
        .collect()
}

/// Whether one of the values passes.
fn passes(values: &[String], test: &Test, folds: bool) -> bool {
    let form = |text: &str| {
        let text = clip(text, 512);
        if folds { lower(&text) } else { text }
    };
    values.iter().any(|value| {
        let value = form(value);
        match test {
            Test::Any => true,
            Test::Is(wanted) => value == form(wanted),
            Test::Starts(start) => value.starts_with(&form(start)),
            Test::Like(pieces) => like(&value, pieces, folds),
            Test::In(wanted) => wanted.iter().any(|wanted| value == form(wanted)),
            Test::Texts(bounds) => {
                let end = |end: &Option<(String, bool)>| {
                    end.as_ref().map(|(text, included)| (form(text), *included))
                };
                within(
                    &value,
                    &Bounds {
                        lower: end(&bounds.lower),
                        upper: end(&bounds.upper),
                    },
                )
            }
            Test::Numbers(bounds) => number(&value).is_some_and(|number| within(&number, bounds)),
        }
    })
}

/// Numbers match by value, everything else as stored.
fn same_at_path(value: &str, wanted: &str) -> bool {
    let canonical = |text: &str| -> Option<String> {
        let number = number(text)?;
        if number == 0.0 {
            return Some("0".into());
        }
        let whole = text.parse::<i128>().ok();
        let whole = whole.filter(|whole| (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(whole));
        Some(whole.map_or_else(|| number.to_string(), |whole| whole.to_string()))
    };
    clip(value, 512) == clip(wanted, 512)
        || canonical(wanted).is_some_and(|wanted| value == wanted || (wanted == "0" && value == "-0"))
}

fn number(text: &str) -> Option<f64> {
    let starts = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    text.parse()
        .ok()
        .filter(|number: &f64| starts && number.is_finite())
}

fn within<T: PartialOrd>(value: &T, bounds: &Bounds<T>) -> bool {
    let lower = bounds
        .lower
        .as_ref()
        .is_none_or(|(end, included)| value > end || (*included && value == end));
    let upper = bounds
        .upper
        .as_ref()
        .is_none_or(|(end, included)| value < end || (*included && value == end));
    lower && upper
}

/// Whether the whole text has this form.
fn like(text: &str, pieces: &[Piece], folds: bool) -> bool {
    let Some((piece, rest)) = pieces.split_first() else {
        return text.is_empty();
    };
    match piece {
        Piece::Text(wanted) => {
            let wanted = if folds { lower(wanted) } else { wanted.clone() };
            text.strip_prefix(wanted.as_str())
                .is_some_and(|text| like(text, rest, folds))
        }
        Piece::One => text
            .chars()
            .next()
            .is_some_and(|c| like(&text[c.len_utf8()..], rest, folds)),
        Piece::Many => text
            .char_indices()
            .map(|(at, _)| at)
            .chain([text.len()])
            .any(|at| like(&text[at..], rest, folds)),
    }
}

/// Everything at a pointer in which `*` stands for every item.
pub(crate) fn all_at<'a>(value: &'a Value, pointer: &str) -> Vec<&'a Value> {
    let Some(rest) = pointer.strip_prefix('/') else {
        return vec![value];
    };
    let (name, rest) = match rest.split_once('/') {
        Some((name, _)) => (name, &rest[name.len()..]),
        None => (rest, ""),
    };
    let found: Vec<&Value> = match name {
        "*" => value.as_array().into_iter().flatten().collect(),
        name => value.get(name).into_iter().collect(),
    };
    found.into_iter().flat_map(|value| all_at(value, rest)).collect()
}

fn strings(value: &Value, each: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) if text != HIDDEN => each(text),
        Value::Array(items) => items.iter().for_each(|item| strings(item, each)),
        Value::Object(members) => members.values().for_each(|member| strings(member, each)),
        _ => {}
    }
}

/// Items of an array have its path; a name with dots reads as a path.
fn walk(value: &Value, path: &str, each: &mut dyn FnMut(&str, &Value)) {
    match value {
        Value::Null => {}
        Value::String(text) if text == HIDDEN => {}
        Value::Array(items) => items.iter().for_each(|item| walk(item, path, each)),
        Value::Object(members) => {
            for (name, member) in members {
                walk(member, &format!("{path}.{name}"), each);
            }
        }
        scalar => each(path, scalar),
    }
}

/// The text of a scalar.
fn leaf(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) => Some(match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => whole.to_string(),
            (None, Some(whole)) => whole.to_string(),
            (None, None) => number.as_f64()?.to_string(),
        }),
        _ => None,
    }
}
