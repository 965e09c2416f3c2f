//! Random records and random queries of the whole language, against an evaluator that knows events and nothing of
//! indexes; and what coverage promises: a query is exact under what it needs, and a relaxed one finds all that the
//! exact one finds.
#![expect(clippy::unwrap_used, clippy::cast_precision_loss, reason = "tests")]

mod support;
#[path = "support/under.rs"]
mod under;

#[path = "query_oracle/asks.rs"]
mod asks;
#[path = "query_oracle/events.rs"]
mod events;

use asks::{Ask, an_ask};
use attestore_index::{
    Coverage, IndexPolicy, Order, ParseLimits, ParseOptions, PersonalIndex, Query, Split, TextIndex, Window,
    search,
};
use events::{Event, an_event};
use proptest::prelude::{Just, TestCaseError};
use proptest::prelude::{ProptestConfig, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};
use support::{Stored, split};
use under::split_under;

const PATHS: [&str; 6] = [
    "metadata.deep.n",
    "metadata.tag",
    "payload.order",
    "payload.order.note",
    "payload.order.total",
    "targets.attributes.size",
];

fn a_policy() -> impl Strategy<Value = IndexPolicy> {
    let text = prop_oneof![
        Just(TextIndex::None),
        Just(TextIndex::Words),
        Just(TextIndex::Positions)
    ];
    let paths = prop::sample::subsequence(PATHS.to_vec(), 0..PATHS.len());
    let personal = prop_oneof![
        Just(PersonalIndex::None),
        Just(PersonalIndex::Exact),
        Just(PersonalIndex::All)
    ];
    (text, any::<bool>(), any::<bool>(), paths, personal).prop_map(
        |(text, metadata, payload_text, paths, personal)| IndexPolicy {
            text,
            metadata,
            payload_text,
            paths: paths.into_iter().map(str::to_owned).collect(),
            personal,
        },
    )
}

fn everything() -> IndexPolicy {
    IndexPolicy {
        text: TextIndex::Positions,
        paths: PATHS.map(str::to_owned).to_vec(),
        ..IndexPolicy::default()
    }
}

fn hits(split: &Split, query: &Query) -> Vec<u64> {
    let window = Window {
        order: Order::Oldest,
        ..Window::default()
    };
    let found = search(split, query, &window, 1000, true, &|| false).unwrap();
    assert_eq!(found.count, Some(found.seqs.len() as u64));
    let newest = search(split, query, &Window::default(), 1000, false, &|| false).unwrap();
    assert!(newest.seqs.iter().eq(found.seqs.iter().rev()));
    found.seqs
}

fn options(personal: bool) -> ParseOptions {
    ParseOptions {
        personal,
        leading_wildcard: true,
        limits: ParseLimits {
            clauses_max: 1000,
            depth_max: 100,
            ..ParseLimits::default()
        },
    }
}

fn check(events: &[Event], asks: &[Ask], policy: &IndexPolicy, personal: bool) -> Result<(), TestCaseError> {
    let records: Vec<Stored> = (0..)
        .zip(events)
        .map(|(seq, event)| Stored::accept(seq, &event.json()))
        .collect();
    let full = split_under(&everything(), &records);
    let (partly, plain) = (split_under(policy, &records), split(&records));
    for ask in asks {
        let text = ask.text();
        let query =
            Query::parse(&text, &options(personal)).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        let expected: Vec<u64> = (0..)
            .zip(events)
            .filter(|(seq, event)| ask.holds(*seq, event, personal))
            .map(|(seq, _)| seq)
            .collect();
        prop_assert_eq!(&hits(&full, &query), &expected, "{}", text);
        let needs = query.needs();
        assert!(everything().covers(&needs), "{text} needs {needs:?}");
        assert!(
            matches!(query.coverage(&needs), Coverage::Exact),
            "{text} needs {needs:?}"
        );
        prop_assert_eq!(
            &hits(&split_under(&needs, &records), &query),
            &expected,
            "{}",
            text
        );
        for split in [&partly, &plain] {
            covered(split, &query, &expected, &text)?;
        }
    }
    Ok(())
}

/// A split answers exactly, or with a query that loses nothing.
fn covered(split: &Split, query: &Query, expected: &[u64], text: &str) -> Result<(), TestCaseError> {
    let policy = split.policy();
    match query.coverage(policy) {
        Coverage::Exact => prop_assert_eq!(&hits(split, query), expected, "{} {:?}", text, policy),
        Coverage::Superset(relaxed) => {
            assert!(matches!(relaxed.coverage(policy), Coverage::Exact), "{text}");
            let found = hits(split, &relaxed);
            let lost: Vec<&u64> = expected.iter().filter(|seq| !found.contains(seq)).collect();
            assert!(
                lost.is_empty(),
                "{text} under {policy:?} loses {lost:?} as {relaxed:?}"
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn queries_find_what_they_say_and_relaxed_ones_find_more(
        events in prop::collection::vec(an_event(), 1..24),
        asks in prop::collection::vec(an_ask(), 16),
        policy in a_policy(),
        personal in any::<bool>(),
    ) {
        check(&events, &asks, &policy, personal)?;
    }

    #[test]
    fn columns_are_ranged_like_the_numbers_they_hold(
        numbers in prop::collection::vec(prop_oneof![
            any::<i64>().prop_map(|n| n.to_string()),
            (0_u64..9).prop_map(|n| (u64::MAX - n * 700).to_string()),
            (-20_i64..20).prop_map(|n| n.to_string()),
            (-20_i64..20).prop_map(|n| format!("{}", n as f64 / 4.0)),
            (-20_i64..20).prop_map(|n| format!("\"{n}\"")),
            (-9_i64..9).prop_map(|n| format!("{}", (1_i64 << 53) + n)),
            Just("-0.0".to_owned()), Just("1e300".to_owned()), Just("\"x\"".to_owned()), Just("true".to_owned()),
        ], 1..30),
        ends in prop::collection::vec((0_usize..40, 0_usize..40, any::<bool>(), any::<bool>()), 8),
    ) {
        let records: Vec<Stored> = (0..).zip(&numbers).map(|(seq, number)| {
            let event = format!(r#"{{"action":"a","actor":{{"type":"service","id":"x"}},"payload":{{"n":{number}}}}}"#);
            Stored::accept(seq, &event)
        }).collect();
        let path = IndexPolicy { paths: vec!["payload.n".to_owned()], ..IndexPolicy::minimal() };
        let split = split_under(&path, &records);
        let value = |text: &str| text.trim_matches('"').parse::<f64>().ok();
        for (low, high, closed_low, closed_high) in ends {
            let end = |at: usize| numbers.get(at).filter(|number| value(number).is_some())
                .map_or("*".to_owned(), |number| number.trim_matches('"').to_owned());
            let (low, high) = (end(low), end(high));
            if low == "*" && high == "*" { continue; }
            let (open, close) = (if closed_low { '[' } else { '{' }, if closed_high { ']' } else { '}' });
            let text = format!("payload.n:{open}{low} TO {high}{close}");
            let holds = |number: f64| {
                let above = value(&low).is_none_or(|low| if closed_low { number >= low } else { number > low });
                above && value(&high).is_none_or(|high| if closed_high { number <= high } else { number < high })
            };
            let expected: Vec<u64> = (0..).zip(&numbers)
                .filter(|(_, number)| value(number).is_some_and(holds)).map(|(seq, _)| seq).collect();
            let query = Query::parse(&text, &options(false)).unwrap();
            prop_assert_eq!(hits(&split, &query), expected, "{} of {:?}", text, numbers);
        }
    }
}
