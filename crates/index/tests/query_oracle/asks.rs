//! Random queries, and what they mean.

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};

use crate::events::{ACTIONS, ADDRESSES, Event, OUTCOMES, Scalar, WORDS, a_text, words};
use crate::support::START_MS;

/// A name with strings, by its ways of being written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Name {
    Action,
    Outcome,
    Actor,
    Called,
    Path(&'static str),
}

impl Name {
    fn written(self, alias: bool) -> &'static str {
        match (self, alias) {
            (Self::Action, false) => "action",
            (Self::Action, true) => "event.action",
            (Self::Outcome, false) => "outcome",
            (Self::Outcome, true) => "event.outcome",
            (Self::Actor, false) => "actor.id",
            (Self::Actor, true) => "userIdentity.arn",
            (Self::Called, false) => "actor.name",
            (Self::Called, true) => "user.name",
            (Self::Path("metadata.tag"), true) => "labels.tag",
            (Self::Path("targets.attributes.size"), true) => "target.attributes.size",
            (Self::Path(path), _) => path,
        }
    }

    fn values(self, event: &Event, personal: bool) -> Vec<String> {
        let sees = personal || !event.human;
        match self {
            Self::Action => vec![ACTIONS[event.action].to_owned()],
            Self::Outcome => vec![OUTCOMES[event.outcome].to_owned()],
            Self::Actor => sees.then(|| format!("id-{}", event.actor)).into_iter().collect(),
            Self::Called => event.name.clone().filter(|_| sees).into_iter().collect(),
            Self::Path(path) => event.at(path, personal).iter().map(Scalar::text).collect(),
        }
    }

    fn folds(self) -> bool {
        matches!(self, Self::Action | Self::Outcome)
    }

    fn compared(self, value: &str) -> String {
        match self.folds() {
            true => value.to_lowercase(),
            false => value.to_owned(),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Is(Name, bool, String),
    /// With `*` and `?`.
    Like(Name, bool, String),
    OneOf(Name, Vec<String>),
    Between(Name, Option<String>, Option<String>, bool),
    Numbers(&'static str, Option<i64>, Option<i64>, bool),
    Has(Name),
    HasMetadata,
    EventName(&'static str),
    Word(String),
    WordLike(String),
    Phrase(String, bool),
    PhraseStart(String),
    Status(u16, u16),
    Network(usize, u8),
    Addresses(usize, usize),
    HasIp,
    Seqs(u8, u8),
    Second(u8),
    Before(u8),
    InGroup(Name, Vec<String>),
    Not(Box<Ask>, bool),
    And(Box<Ask>, Box<Ask>),
    Beside(Box<Ask>, Box<Ask>),
    Or(Box<Ask>, Box<Ask>),
}

impl Ask {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Is(name, alias, value) => format!("{}:\"{value}\"", name.written(*alias)),
            Self::Like(name, alias, form) => format!("{}:{}", name.written(*alias), form.replace(' ', "\\ ")),
            Self::OneOf(name, values) => {
                let values: Vec<String> = values.iter().map(|value| format!("'{value}'")).collect();
                format!("{}:IN [{}]", name.written(false), values.join(" "))
            }
            Self::Between(name, low, high, closed) => {
                let end =
                    |end: &Option<String>| end.as_ref().map_or("*".to_owned(), |end| format!("\"{end}\""));
                range(name.written(false), &end(low), &end(high), *closed)
            }
            Self::Numbers(path, low, high, closed) => {
                let end =
                    |end: &Option<i64>| end.map_or("*".to_owned(), |end| (end as f64 / 4.0).to_string());
                range(path, &end(low), &end(high), *closed)
            }
            Self::Has(name) => format!("{}:*", name.written(false)),
            Self::HasMetadata => "metadata:*".to_owned(),
            Self::EventName(name) => format!("eventName:{name}"),
            Self::Word(word) | Self::WordLike(word) => word.clone(),
            Self::Phrase(text, true) => format!("text:\"{text}\""),
            Self::Phrase(text, false) => format!("\"{text}\""),
            Self::PhraseStart(text) => format!("message:'{text}'*"),
            Self::Status(low, high) => format!("http.response.status_code:[{low} TO {high}]"),
            Self::Network(ip, bits) => format!("source.ip:{}/{bits}", ADDRESSES[*ip]),
            Self::Addresses(low, high) => {
                format!("ip:{{\"{}\" TO \"{}\"]", ADDRESSES[*low], ADDRESSES[*high])
            }
            Self::HasIp => "context.ip:*".to_owned(),
            Self::Seqs(low, high) => format!("seq:{{{low} TO {high}]"),
            Self::Second(s) => format!("occurred_at:2026-11-21T00:00:{s:02}Z"),
            Self::Before(s) => format!("@timestamp:<2026-11-21T00:00:{s:02}.250Z"),
            Self::InGroup(name, values) => {
                let values: Vec<String> = values.iter().map(|value| format!("\"{value}\"")).collect();
                format!("{}:({})", name.written(true), values.join(" OR "))
            }
            Self::Not(inner, true) => format!("-({})", inner.text()),
            Self::Not(inner, false) => format!("NOT ({})", inner.text()),
            Self::And(left, right) => format!("({}) AND ({})", left.text(), right.text()),
            Self::Beside(left, right) => format!("({}) +({})", left.text(), right.text()),
            Self::Or(left, right) => format!("({}) OR ({})", left.text(), right.text()),
        }
    }

    pub(crate) fn holds(&self, seq: u64, event: &Event, personal: bool) -> bool {
        let sees = personal || !event.human;
        let strings = || event.strings(personal);
        let has_word = |fits: &dyn Fn(&str) -> bool| strings().iter().flatten().any(|word| fits(word));
        let second = |s: u8| START_MS - 86_400_000 + u64::from(s) * 1000;
        match self {
            Self::Is(name, _, value) => is(*name, value, event, personal),
            Self::OneOf(name, values) | Self::InGroup(name, values) => {
                values.iter().any(|value| is(*name, value, event, personal))
            }
            Self::Like(name, _, form) => {
                let form = name.compared(form);
                name.values(event, personal)
                    .iter()
                    .any(|value| like(&form, value))
            }
            Self::Between(name, low, high, closed) => {
                let within = |value: &String| {
                    let above = low.as_ref().is_none_or(|low| {
                        let low = name.compared(low);
                        *value > low || *closed && *value == low
                    });
                    above
                        && high.as_ref().is_none_or(|high| {
                            let high = name.compared(high);
                            *value < high || *closed && *value == high
                        })
                };
                name.values(event, personal).iter().any(within)
            }
            Self::Numbers(path, low, high, closed) => event.at(path, personal).iter().any(|scalar| {
                let Ok(number) = scalar.text().parse::<f64>() else {
                    return false;
                };
                let above = low.is_none_or(|low| {
                    let low = low as f64 / 4.0;
                    number > low || *closed && number == low
                });
                above
                    && high.is_none_or(|high| {
                        let high = high as f64 / 4.0;
                        number < high || *closed && number == high
                    })
            }),
            Self::Has(name) => !name.values(event, personal).is_empty(),
            Self::HasMetadata => !event.at("metadata", personal).is_empty(),
            Self::EventName(form) => {
                let last = ACTIONS[event.action].rsplit('.').next().unwrap().replace('_', "");
                match form.contains('.') {
                    true => like(&form.to_lowercase(), ACTIONS[event.action]),
                    false => like(&form.to_lowercase().replace('_', ""), &last),
                }
            }
            Self::Word(text) => words(text).iter().all(|wanted| has_word(&|word| word == wanted)),
            Self::WordLike(form) => has_word(&|word| like(&form.to_lowercase(), word)),
            Self::Phrase(text, _) => {
                let wanted = words(text);
                strings()
                    .iter()
                    .any(|string| string.windows(wanted.len()).any(|here| *here == *wanted))
            }
            Self::PhraseStart(text) => {
                let wanted = words(text);
                let (last, before) = wanted.split_last().unwrap();
                strings().iter().any(|string| {
                    string.windows(wanted.len()).any(|here| {
                        let (word, others) = here.split_last().unwrap();
                        *others == *before && word.starts_with(last)
                    })
                })
            }
            Self::Status(low, high) => event
                .status
                .is_some_and(|status| (*low..=*high).contains(&status)),
            Self::Network(ip, bits) => {
                let (_, shift) = bits_of(ADDRESSES[*ip], *bits);
                let network = |ip: usize| bits_of(ADDRESSES[ip], 128).0.checked_shr(shift).unwrap_or(0);
                sees && event.ip.is_some_and(|at| network(at) == network(*ip))
            }
            Self::Addresses(low, high) => {
                let bits = |ip: usize| bits_of(ADDRESSES[ip], 128).0;
                sees && event
                    .ip
                    .is_some_and(|ip| bits(ip) > bits(*low) && bits(ip) <= bits(*high))
            }
            Self::HasIp => sees && event.ip.is_some(),
            Self::Seqs(low, high) => seq > u64::from(*low) && seq <= u64::from(*high),
            Self::Second(s) => (second(*s)..second(*s) + 1000).contains(&event.occurred_ms(seq)),
            Self::Before(s) => event.occurred_ms(seq) < second(*s) + 250,
            Self::Not(inner, _) => !inner.holds(seq, event, personal),
            Self::And(left, right) | Self::Beside(left, right) => {
                left.holds(seq, event, personal) && right.holds(seq, event, personal)
            }
            Self::Or(left, right) => left.holds(seq, event, personal) || right.holds(seq, event, personal),
        }
    }
}

fn range(field: &str, low: &str, high: &str, closed: bool) -> String {
    let (open, close) = if closed { ('[', ']') } else { ('{', '}') };
    format!("{field}:{open}{low} TO {high}{close}")
}

/// Equal texts, and at a path equal numbers.
fn is(name: Name, value: &str, event: &Event, personal: bool) -> bool {
    let number = |text: &str| match name {
        Name::Path(_) => text.parse::<f64>().ok().map(|number| number.to_string()),
        _ => None,
    };
    let wanted = [Some(name.compared(value)), number(value)];
    name.values(event, personal)
        .iter()
        .any(|held| wanted.contains(&Some(held.clone())))
}

fn like(form: &str, text: &str) -> bool {
    let mut rest = form.chars();
    match (rest.next(), text.chars().next()) {
        (None, first) => first.is_none(),
        (Some('*'), None) => like(rest.as_str(), text),
        (Some('*'), Some(first)) => like(rest.as_str(), text) || like(form, &text[first.len_utf8()..]),
        (Some(_), None) => false,
        (Some(c), Some(first)) => (c == '?' || c == first) && like(rest.as_str(), &text[first.len_utf8()..]),
    }
}

/// An address as a number, and how far to shift it to have its network.
fn bits_of(text: &str, bits: u8) -> (u128, u32) {
    match text.parse().unwrap() {
        std::net::IpAddr::V4(v4) => (
            v4.to_ipv6_mapped().to_bits(),
            32_u32.saturating_sub(u32::from(bits)),
        ),
        std::net::IpAddr::V6(v6) => (v6.to_bits(), 128 - u32::from(bits)),
    }
}

fn a_name() -> impl Strategy<Value = Name> {
    prop_oneof![
        Just(Name::Action),
        Just(Name::Outcome),
        Just(Name::Actor),
        Just(Name::Called),
        a_path().prop_map(Name::Path),
        a_path().prop_map(Name::Path),
    ]
}

fn a_path() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("metadata.deep.n"),
        Just("metadata.tag"),
        Just("payload.order.total"),
        Just("payload.order.note"),
        Just("targets.attributes.size"),
    ]
}

fn a_value() -> impl Strategy<Value = String> {
    prop_oneof![
        a_text(3),
        (-6..12_i64).prop_map(|n| n.to_string()),
        (-9..9_i64).prop_map(|n| (n as f64 / 4.0).to_string()),
        (-6..12_i64).prop_map(|n| format!("{n}.0")),
        any::<bool>().prop_map(|value| value.to_string()),
        (0..ACTIONS.len()).prop_map(|n| ACTIONS[n].to_uppercase()),
        (0..OUTCOMES.len()).prop_map(|n| OUTCOMES[n].to_owned()),
        (0..5_u8).prop_map(|n| format!("id-{n}")),
    ]
}

fn a_form() -> impl Strategy<Value = String> {
    let some = prop_oneof![
        Just("s3.*"),
        Just("s3.*Object"),
        Just("*object"),
        Just("?3.*"),
        Just("s3.???_*"),
        Just("id-?"),
        Just("id*"),
        Just("a*"),
        Just("al*a*"),
        Just("*a*t"),
        Just("alpha?beta"),
        Just("1*"),
        Just("*.5"),
        Just("-?"),
        Just("t*e"),
        Just("den*"),
        Just("*"),
    ];
    prop_oneof![
        some.prop_map(str::to_owned),
        (a_value(), 0..4_usize).prop_map(|(value, at)| {
            let at = value.char_indices().nth(at).map_or(value.len(), |(at, _)| at);
            format!("{}*", &value[..at])
        }),
    ]
}

fn a_word_form() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("alpha*"),
        Just("al*"),
        Just("ré*"),
        Just("RÉS*É"),
        Just("al*t"),
        Just("?l*a"),
        Just("*eta"),
        Just("g?mma"),
        Just("get*"),
        Just("zz*"),
    ]
    .prop_map(str::to_owned)
}

pub(crate) fn an_ask() -> impl Strategy<Value = Ask> {
    let a_phrase = || a_text(4).prop_filter("words", |text| !text.is_empty());
    let values = prop_oneof![
        (a_name(), any::<bool>(), a_value()).prop_map(|(name, alias, value)| Ask::Is(name, alias, value)),
        (a_name(), any::<bool>(), a_form()).prop_map(|(name, alias, form)| Ask::Like(name, alias, form)),
        (a_name(), prop::collection::vec(a_value(), 1..20))
            .prop_map(|(name, values)| Ask::OneOf(name, values)),
        (a_name(), prop::collection::vec(a_value(), 1..3))
            .prop_map(|(name, values)| Ask::InGroup(name, values)),
        (a_name(), prop::option::of(a_value()), a_value(), any::<bool>())
            .prop_map(|(name, low, high, closed)| Ask::Between(name, low, Some(high), closed)),
        (
            a_path(),
            -40..40_i64,
            prop::option::of(-40..40_i64),
            any::<bool>()
        )
            .prop_map(|(path, low, high, closed)| Ask::Numbers(path, Some(low), high, closed)),
        prop_oneof![
            a_name(),
            Just(Name::Path("metadata.deep")),
            Just(Name::Path("payload.order"))
        ]
        .prop_map(Ask::Has),
        Just(Ask::HasMetadata),
        prop_oneof![
            Just("GetObject"),
            Just("Get*"),
            Just("get_o"),
            Just("s3.get_object"),
            Just("S3.*"),
            Just("*Object")
        ]
        .prop_map(Ask::EventName),
    ];
    let texts = prop_oneof![
        (0..WORDS.len()).prop_map(|n| Ask::Word(WORDS[n].to_uppercase())),
        (0..ACTIONS.len()).prop_map(|n| Ask::Word(ACTIONS[n].to_owned())),
        a_word_form().prop_map(Ask::WordLike),
        (a_phrase(), any::<bool>()).prop_map(|(text, named)| Ask::Phrase(text, named)),
        a_phrase()
            .prop_filter("two words", |text| words(text).len() > 1)
            .prop_map(|text| {
                // Half of the last word.
                let end = text.char_indices().rev().nth(1).map_or(text.len(), |(at, _)| at);
                let cut = if text[..end].ends_with(char::is_alphanumeric) {
                    end
                } else {
                    text.len()
                };
                Ask::PhraseStart(text[..cut].to_owned())
            }),
    ];
    let columns = prop_oneof![
        (0..600_u16, 0..600_u16).prop_map(|(low, high)| Ask::Status(low, high)),
        (0..3_usize, 0..=32_u8).prop_map(|(ip, bits)| Ask::Network(ip, bits)),
        (96..=128_u8).prop_map(|bits| Ask::Network(3, bits)),
        (0..4_usize, 0..4_usize).prop_map(|(low, high)| Ask::Addresses(low, high)),
        Just(Ask::HasIp),
        (0..24_u8, 0..24_u8).prop_map(|(low, high)| Ask::Seqs(low, high)),
        (0..60_u8).prop_map(Ask::Second),
        (0..60_u8).prop_map(Ask::Before),
    ];
    let leaf = prop_oneof![3 => values, 2 => texts, 1 => columns];
    leaf.prop_recursive(3, 10, 2, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            2 => (inner, any::<bool>()).prop_map(|(ask, sign)| Ask::Not(Box::new(ask), sign)),
            1 => two.clone().prop_map(|(left, right)| Ask::And(Box::new(left), Box::new(right))),
            1 => two.clone().prop_map(|(left, right)| Ask::Beside(Box::new(left), Box::new(right))),
            2 => two.prop_map(|(left, right)| Ask::Or(Box::new(left), Box::new(right))),
        ]
    })
}
