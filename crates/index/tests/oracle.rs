//! Random records and random queries, against an evaluator that walks all records.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use attestore_index::{Order, ParseOptions, Query, Split, Window, merge, search};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};
use support::{START_MS, Stored, split};

const WORDS: [&str; 6] = ["alpha", "beta", "gamma", "alphabet", "Delta", "résumé"];
const ACTIONS: [&str; 4] = ["login", "s3.get", "s3.put", "s3x.get"];
const OUTCOMES: [&str; 4] = ["success", "failure", "denied", "unknown"];

#[derive(Clone, Debug)]
struct Event {
    action: usize,
    outcome: usize,
    human: bool,
    actor: u8,
    ip: Option<u8>,
    n: Option<i8>,
    note: Vec<usize>,
    occurred_s: Option<u8>,
}

impl Event {
    fn json(&self) -> String {
        let ty = if self.human { "user" } else { "service" };
        let ip = self.ip.map_or(String::new(), |ip| {
            format!(r#","context":{{"ip":"10.0.0.{ip}"}}"#)
        });
        let n = self.n.map_or(String::new(), |n| {
            format!(r#","metadata":{{"deep":{{"n":{n}}}}}"#)
        });
        let note: Vec<&str> = self.note.iter().map(|word| WORDS[*word]).collect();
        let at = self.occurred_s.map_or(String::new(), |s| {
            format!(r#","occurred_at":"2026-11-21T00:00:{:02}.250Z""#, s % 60)
        });
        format!(
            r#"{{"action":"{}","outcome":"{}","actor":{{"type":"{ty}","id":"id-{}"}},"payload":["{}"]{ip}{n}{at}}}"#,
            ACTIONS[self.action],
            OUTCOMES[self.outcome],
            self.actor,
            note.join(" ")
        )
    }

    fn occurred_ms(&self, received_ms: u64) -> u64 {
        const DAY_BEFORE_MS: u64 = START_MS - 86_400_000;
        self.occurred_s
            .map_or(received_ms, |s| DAY_BEFORE_MS + u64::from(s % 60) * 1000 + 250)
    }
}

#[derive(Clone, Debug)]
enum Ask {
    Action(usize),
    ActionStart(&'static str),
    Outcomes(Vec<usize>),
    Actor(u8),
    HasActor,
    Ip(u8),
    Network(u8),
    HasIp,
    Number(i8),
    Numbers(i8, i8),
    HasNumber,
    Word(usize),
    WordStart(&'static str),
    Seqs(u8, u8),
    OccurredSecond(u8),
    OccurredBefore(u8),
    Not(Box<Ask>),
    And(Box<Ask>, Box<Ask>),
    Or(Box<Ask>, Box<Ask>),
}

impl Ask {
    fn text(&self) -> String {
        match self {
            Self::Action(action) => format!("action:{}", ACTIONS[*action]),
            Self::ActionStart(start) => format!("event.action:{start}*"),
            Self::Outcomes(list) => {
                let list: Vec<&str> = list.iter().map(|outcome| OUTCOMES[*outcome]).collect();
                format!("outcome:IN [{}]", list.join(" "))
            }
            Self::Actor(actor) => format!("actor.id:\"id-{actor}\""),
            Self::HasActor => "actor:*".to_owned(),
            Self::Ip(ip) => format!("ip:10.0.0.{ip}"),
            Self::Network(ip) => format!("source.ip:10.0.0.{ip}/30"),
            Self::HasIp => "context.ip:*".to_owned(),
            Self::Number(n) => format!("metadata.deep.n:{n}"),
            Self::Numbers(low, high) => format!("metadata.deep.n:[{low} TO {high}}}"),
            Self::HasNumber => "metadata.deep:*".to_owned(),
            Self::Word(word) => WORDS[*word].to_uppercase(),
            Self::WordStart(start) => format!("{start}*"),
            Self::Seqs(low, high) => format!("seq:{{{low} TO {high}]"),
            Self::OccurredSecond(s) => format!("occurred_at:2026-11-21T00:00:{:02}Z", s % 60),
            Self::OccurredBefore(s) => format!("@timestamp:<2026-11-21T00:00:{:02}.250Z", s % 60),
            Self::Not(inner) => format!("NOT ({})", inner.text()),
            Self::And(left, right) => format!("({}) AND ({})", left.text(), right.text()),
            Self::Or(left, right) => format!("({}) OR ({})", left.text(), right.text()),
        }
    }

    fn holds(&self, seq: u64, event: &Event, personal: bool) -> bool {
        let sees = personal || !event.human;
        let second = |s: u8| START_MS - 86_400_000 + u64::from(s % 60) * 1000;
        let at = event.occurred_ms(START_MS + seq * 1000);
        let has_word = |fits: &dyn Fn(&str) -> bool| {
            let action = ACTIONS[event.action].split('.').map(str::to_owned);
            // A payload belongs to the actor as soon as the actor is a person.
            let note = event
                .note
                .iter()
                .map(|word| WORDS[*word].to_lowercase())
                .filter(|_| sees);
            action.chain(note).any(|word| fits(&word))
        };
        match self {
            Self::Action(action) => event.action == *action,
            Self::ActionStart(start) => ACTIONS[event.action].starts_with(start),
            Self::Outcomes(list) => list.contains(&event.outcome),
            Self::Actor(actor) => sees && event.actor == *actor,
            Self::HasActor => sees,
            Self::Ip(ip) => sees && event.ip == Some(*ip),
            Self::Network(ip) => sees && event.ip.is_some_and(|at| at / 4 == ip / 4),
            Self::HasIp => sees && event.ip.is_some(),
            Self::Number(n) => event.n == Some(*n),
            Self::Numbers(low, high) => event.n.is_some_and(|n| (*low..*high).contains(&n)),
            Self::HasNumber => event.n.is_some(),
            Self::Word(word) => has_word(&|found| found == WORDS[*word].to_lowercase()),
            Self::WordStart(start) => has_word(&|found| found.starts_with(start)),
            Self::Seqs(low, high) => seq > u64::from(*low) && seq <= u64::from(*high),
            Self::OccurredSecond(s) => (second(*s)..second(*s) + 1000).contains(&at),
            Self::OccurredBefore(s) => at < second(*s) + 250,
            Self::Not(inner) => !inner.holds(seq, event, personal),
            Self::And(left, right) => left.holds(seq, event, personal) && right.holds(seq, event, personal),
            Self::Or(left, right) => left.holds(seq, event, personal) || right.holds(seq, event, personal),
        }
    }
}

fn an_event() -> impl Strategy<Value = Event> {
    let small = || prop::option::of(0_u8..12);
    let note = prop::collection::vec(0..WORDS.len(), 0..4);
    (
        0..4_usize,
        0..4_usize,
        any::<bool>(),
        0..5_u8,
        small(),
        prop::option::of(-5..5_i8),
        note,
        small(),
    )
        .prop_map(|(action, outcome, human, actor, ip, n, note, occurred_s)| Event {
            action,
            outcome,
            human,
            actor,
            ip,
            n,
            note,
            occurred_s,
        })
}

fn an_ask() -> impl Strategy<Value = Ask> {
    let leaf = prop_oneof![
        (0..4_usize).prop_map(Ask::Action),
        prop_oneof![Just("s3"), Just("s3."), Just("lo"), Just("zz")].prop_map(Ask::ActionStart),
        prop::collection::vec(0..4_usize, 1..3).prop_map(Ask::Outcomes),
        (0..5_u8).prop_map(Ask::Actor),
        Just(Ask::HasActor),
        (0..12_u8).prop_map(Ask::Ip),
        (0..12_u8).prop_map(Ask::Network),
        Just(Ask::HasIp),
        (-5..5_i8).prop_map(Ask::Number),
        (-5..5_i8, -5..5_i8).prop_map(|(low, high)| Ask::Numbers(low, high)),
        Just(Ask::HasNumber),
        (0..WORDS.len()).prop_map(Ask::Word),
        prop_oneof![Just("alpha"), Just("ré"), Just("lo"), Just("zz")].prop_map(Ask::WordStart),
        (0..40_u8, 0..40_u8).prop_map(|(low, high)| Ask::Seqs(low, high)),
        (0..12_u8).prop_map(Ask::OccurredSecond),
        (0..12_u8).prop_map(Ask::OccurredBefore),
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|ask| Ask::Not(Box::new(ask))),
            (inner.clone(), inner.clone())
                .prop_map(|(left, right)| Ask::And(Box::new(left), Box::new(right))),
            (inner.clone(), inner).prop_map(|(left, right)| Ask::Or(Box::new(left), Box::new(right))),
        ]
    })
}

fn hits(
    split: &Split,
    text: &str,
    personal: bool,
    window: &Window,
    limit: usize,
    count: bool,
) -> (Vec<u64>, Option<u64>) {
    let query = Query::parse(
        text,
        &ParseOptions {
            personal,
            ..ParseOptions::default()
        },
    );
    let query = query.unwrap_or_else(|error| panic!("{text}: {error:?}"));
    let found = search(split, &query, window, limit, count, &|| false).unwrap();
    (found.seqs, found.count)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn searches_agree_with_walking_all_records(
        events in prop::collection::vec(an_event(), 1..40),
        asks in prop::collection::vec(an_ask(), 12),
        cut in 0..40_usize,
        personal in any::<bool>(),
        newest in any::<bool>(),
        limit in 0..50_usize,
        low in 0..20_u64,
        high in 10..50_u64,
    ) {
        let records: Vec<Stored> = (0..).zip(&events).map(|(seq, event)| Stored::accept(seq, &event.json())).collect();
        let whole = split(&records);
        let cut = cut.min(records.len());
        let parts: Vec<Split> = [&records[..cut], &records[cut..]].into_iter().filter(|part| !part.is_empty()).map(split).collect();
        let merged = merge(&parts).unwrap();
        let window = Window { seq: low..high, order: if newest { Order::Newest } else { Order::Oldest }, ..Window::default() };
        for ask in &asks {
            let text = ask.text();
            let mut expected: Vec<u64> = (0..).zip(&events)
                .filter(|(seq, event)| (low..high).contains(seq) && ask.holds(*seq, event, personal))
                .map(|(seq, _)| seq)
                .collect();
            let count = Some(expected.len() as u64);
            if newest {
                expected.reverse();
            }
            expected.truncate(limit);
            for split in [&whole, &merged] {
                prop_assert_eq!(&hits(split, &text, personal, &window, limit, true), &(expected.clone(), count), "{}", text);
                prop_assert_eq!(&hits(split, &text, personal, &window, limit, false).0, &expected, "{}", text);
            }
        }
    }

    #[test]
    fn personal_values_never_change_what_others_find(
        events in prop::collection::vec(an_event(), 1..20),
        asks in prop::collection::vec(an_ask(), 12),
    ) {
        let records: Vec<Stored> = (0..).zip(&events).map(|(seq, event)| Stored::accept(seq, &event.json())).collect();
        let without: Vec<Stored> =
            records.iter().map(|record| Stored { personal: Vec::new(), ..record.clone() }).collect();
        let (with, without) = (split(&records), split(&without));
        for ask in &asks {
            let find = |split| hits(split, &ask.text(), false, &Window::default(), 100, true);
            prop_assert_eq!(find(&with), find(&without), "{}", ask.text());
        }
    }
}

#[test]
fn and_binds_tighter_than_or() {
    let events = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(action, outcome)| Event {
        action,
        outcome,
        human: false,
        actor: 0,
        ip: None,
        n: None,
        note: Vec::new(),
        occurred_s: None,
    });
    let records: Vec<Stored> = (0..)
        .zip(&events)
        .map(|(seq, event)| Stored::accept(seq, &event.json()))
        .collect();
    let split = split(&records);
    let window = Window {
        order: Order::Oldest,
        ..Window::default()
    };
    let find = |text: &str| hits(&split, text, false, &window, 10, false).0;
    assert_eq!(
        find("action:login AND outcome:success OR action:s3.get AND outcome:failure"),
        [0, 3]
    );
    assert_eq!(
        find("action:s3.get OR action:login AND outcome:failure"),
        [1, 2, 3]
    );
    assert_eq!(find("action:login OR NOT outcome:success"), [0, 1, 3]);
    assert_eq!(find("NOT action:login outcome:success"), [2]);
    assert_eq!(find("action:login outcome:success OR outcome:failure"), [0, 1]);
    assert_eq!(find("outcome:success OR outcome:failure action:login"), [0, 1]);
}
