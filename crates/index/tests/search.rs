//! What queries find, by the kinds of clauses.
#![expect(clippy::cast_possible_truncation, clippy::unwrap_used, reason = "tests")]

mod support;

use std::cell::Cell;

use attestore_index::{
    Error, Found, IndexPolicy, Order, ParseOptions, Query, Split, SplitBuilder, TextIndex, Window, search,
};
use support::{START_MS, Stored, split};

const EVENTS: [&str; 5] = [
    r#"{"action":"s3.bucket.create","outcome":"denied","severity":"warning","occurred_at":"2026-11-21T10:00:00.5Z",
        "actor":{"type":"user","id":"u_42","name":"Ann Ångström","email":"ann@example.org"},
        "targets":[{"type":"bucket","id":"arn:aws:s3:::logs"},{"type":"bucket","id":"b2"}],
        "context":{"ip":"203.0.113.9","user_agent":"curl/8.1","request_id":"GXK985FFMWTE90RA"},
        "metadata":{"ticket":"SEC-12","nested":{"n":5,"ok":true},"list":["a","b"]}}"#,
    r#"{"action":"s3.bucket.delete","occurred_at":"2026-11-21T11:00:00Z",
        "actor":{"type":"service","id":"cron"},"context":{"ip":"10.1.2.3"},
        "metadata":{"ticket":"SEC-13","nested":{"n":12.5}},
        "payload":{"note":"Quarterly clean-up of 699479d4-2a01-4e9e-bf31-4ec5dc88677e"}}"#,
    r#"{"action":"login","outcome":"failure","actor":{"type":"user","id":"u_7","email":"bob@example.org"},
        "context":{"ip":"2001:db8::7"},"outcome_reason":{"code":"mfa","message":"wrong one-time code"}}"#,
    r#"{"action":"login","actor":{"type":"service","id":"u_42"},"context":{"ip":"10.200.0.1"}}"#,
    r#"{"action":"invoice.export","actor":{"type":"service","id":"billing"},"justification":"Audit of November",
        "context":{"http":{"method":"GET","path":"/i/1","status":403}}}"#,
];

fn events() -> Split {
    let records: Vec<Stored> = (0..)
        .zip(EVENTS)
        .map(|(seq, event)| Stored::accept(seq, event))
        .collect();
    split(&records)
}

fn run(split: &Split, text: &str, personal: bool) -> Vec<u64> {
    let query = Query::parse(
        text,
        &ParseOptions {
            personal,
            ..ParseOptions::default()
        },
    );
    let query = query.unwrap_or_else(|error| panic!("{text}: {error:?}"));
    let window = Window {
        order: Order::Oldest,
        ..Window::default()
    };
    let found = search(split, &query, &window, 100, true, &|| false).unwrap();
    assert_eq!(found.count, Some(found.seqs.len() as u64), "{text}");
    let newest = search(split, &query, &Window::default(), 100, false, &|| false).unwrap();
    assert!(newest.seqs.iter().eq(found.seqs.iter().rev()), "{text}");
    found.seqs
}

#[test]
fn clauses_find_their_records() {
    let split = events();
    let cases: &[(&str, &[u64])] = &[
        ("", &[0, 1, 2, 3, 4]),
        ("*", &[0, 1, 2, 3, 4]),
        ("action:login", &[2, 3]),
        ("action:LOGIN", &[2, 3]),
        ("action:s3.*", &[0, 1]),
        ("action:s3.bucket", &[]),
        ("eventName:login", &[2, 3]),
        ("outcome:success", &[1, 3, 4]),
        ("outcome:IN [denied failure]", &[0, 2]),
        ("NOT outcome:success", &[0, 2]),
        ("-outcome:success", &[0, 2]),
        ("action:login AND outcome:failure", &[2]),
        ("action:login outcome:failure", &[2]),
        ("action:login OR action:invoice.export", &[2, 3, 4]),
        ("action:(login OR invoice.export)", &[2, 3, 4]),
        ("(action:login OR action:s3.*) -outcome:denied", &[1, 2, 3]),
        ("actor:u_42", &[0, 3]),
        ("actor.id:u_42 actor.type:user", &[0]),
        ("actor.id:U_42", &[]),
        ("user.email:ann@example.org", &[0]),
        ("actor.email:*", &[0, 2]),
        ("targets.id:\"arn:aws:s3:::logs\"", &[0]),
        ("targets.id:arn:aws:s3:::logs", &[0]),
        ("target:b2", &[0]),
        ("targets.id:arn:*", &[0]),
        ("severity:*", &[0]),
        ("outcome_reason.code:mfa", &[2]),
        ("context.http.status:403", &[4]),
        ("kind:event", &[0, 1, 2, 3, 4]),
        ("protocol:native credential:cred1", &[0, 1, 2, 3, 4]),
    ];
    for (text, expected) in cases {
        assert_eq!(run(&split, text, true), *expected, "{text}");
    }
}

#[test]
fn addresses_match_by_value_and_network() {
    let split = events();
    let cases: &[(&str, &[u64])] = &[
        ("ip:10.1.2.3", &[1]),
        ("source.ip:10.0.0.0/8", &[1, 3]),
        ("context.ip:203.0.113.0/24", &[0]),
        ("ip:2001:db8::7", &[2]),
        ("ip:\"2001:0db8:0::7\"", &[2]),
        ("ip:[10.0.0.0 TO 10.100.0.0]", &[1]),
        ("ip:\"::/0\"", &[0, 1, 2, 3]),
        ("ip:*", &[0, 1, 2, 3]),
        ("10.1.2.3", &[1]),
    ];
    for (text, expected) in cases {
        assert_eq!(run(&split, text, true), *expected, "{text}");
    }
}

#[test]
fn ranges_cover_times_seqs_and_numbers() {
    let split = events();
    let cases: &[(&str, &[u64])] = &[
        ("occurred_at:2026-11-21", &[0, 1]),
        ("@timestamp:>=2026-11-22", &[2, 3, 4]),
        ("occurred_at:2026-11-21T10:00:00.5Z", &[0]),
        ("occurred_at:[2026-11-21T10:00:00Z TO 2026-11-21T11:00:00Z}", &[0]),
        (
            "occurred_at:[2026-11-21T10:00:00Z TO 2026-11-21T11:00:00Z]",
            &[0, 1],
        ),
        ("occurred_at:{2026-11-21T10:00:00Z TO *}", &[1, 2, 3, 4]),
        ("occurred_at:<2026-11-21T10:30:00+00:00", &[0]),
        ("received_at:2026-11-22T00:00:02Z", &[2]),
        ("received_at:>2026-11-22T00:00:02Z", &[3, 4]),
        ("seq:3", &[3]),
        ("seq:>=3", &[3, 4]),
        ("seq:{1 TO 3}", &[2]),
        ("seq:<0", &[]),
        ("metadata.nested.n:>=5", &[0, 1]),
        ("metadata.nested.n:{5 TO 13]", &[1]),
        ("metadata.nested.n:5.0", &[0]),
        ("metadata.nested.n:12.50", &[1]),
    ];
    for (text, expected) in cases {
        assert_eq!(run(&split, text, true), *expected, "{text}");
    }
    assert_eq!(
        run(&split, &format!("received_at:{}", START_MS + 1000), true),
        [1]
    );
}

#[test]
fn metadata_is_found_by_path() {
    let split = events();
    let cases: &[(&str, &[u64])] = &[
        ("metadata.ticket:SEC-12", &[0]),
        ("metadata.ticket:sec-12", &[]),
        ("metadata.ticket:SEC-*", &[0, 1]),
        ("metadata.nested.ok:true", &[0]),
        ("metadata.list:b", &[0]),
        ("metadata.nested:*", &[0, 1]),
        ("metadata.nested.ok:*", &[0]),
        ("metadata.nest:*", &[]),
        ("metadata:*", &[0, 1]),
    ];
    for (text, expected) in cases {
        assert_eq!(run(&split, text, true), *expected, "{text}");
    }
}

#[test]
fn bare_words_search_text_and_identifiers() {
    let split = events();
    let cases: &[(&str, &[u64])] = &[
        ("quarterly", &[1]),
        ("QUARTERLY clean-up", &[1]),
        ("699479d4-2a01-4e9e-bf31-4ec5dc88677e", &[1]),
        ("699479D4-2A01-4E9E-BF31-4EC5DC88677E", &[1]),
        ("ångström", &[0]),
        ("ÅNG*", &[0]),
        ("novem*", &[4]),
        ("text:november", &[4]),
        ("curl", &[0]),
        ("GXK985FFMWTE90RA", &[0]),
        ("text:GXK985FFMWTE90RA", &[]),
        ("wrong code", &[2]),
        ("sec", &[0, 1]),
    ];
    for (text, expected) in cases {
        assert_eq!(run(&split, text, true), *expected, "{text}");
    }
}

#[test]
fn readers_without_permission_learn_nothing_of_personal_values() {
    let split = events();
    for text in [
        "actor.id:u_7",
        "actor.id:u_7*",
        "ann",
        "ang*",
        "ångström",
        "actor.email:*",
        "bob@example.org",
        "curl",
        "user_agent:*",
        "user_agent:curl/8.1",
        "ip:203.0.113.9",
        "ip:203.0.113.0/24",
        "2001:db8::7",
    ] {
        assert_eq!(run(&split, text, false), Vec::<u64>::new(), "{text}");
    }
    assert_eq!(run(&split, "actor:u_42", false), [3]);
    assert_eq!(run(&split, "NOT actor:u_42", false), [0, 1, 2, 4]);
    assert_eq!(run(&split, "actor.id:*", false), [1, 3, 4]);
    assert_eq!(run(&split, "ip:\"::/0\"", false), [1, 3]);
}

#[test]
fn windows_bound_times_and_seqs() {
    let split = events();
    let login = Query::parse("", &ParseOptions::default()).unwrap();
    let in_window = |window: Window| search(&split, &login, &window, 10, true, &|| false).unwrap();
    let ns = |text: &str| Some(text.parse::<jiff::Timestamp>().unwrap().as_nanosecond() as i64);
    let day = Window {
        from_ns: ns("2026-11-21T00:00:00Z"),
        to_ns: ns("2026-11-21T11:00:00Z"),
        ..Window::default()
    };
    assert_eq!(in_window(day).seqs, [0]);
    let found = in_window(Window {
        seq: 1..4,
        ..Window::default()
    });
    assert_eq!((found.seqs, found.count), (vec![3, 2, 1], Some(3)));
    assert_eq!(
        in_window(Window {
            seq: 5..9,
            ..Window::default()
        }),
        Found {
            count: Some(0),
            ..Found::default()
        }
    );
    let reversed = std::ops::Range { start: 3, end: 1 };
    assert_eq!(
        in_window(Window {
            seq: reversed,
            ..Window::default()
        })
        .count,
        Some(0)
    );
}

#[test]
fn limits_cut_hits_but_not_counts() {
    let split = events();
    let query = Query::all();
    for order in [Order::Newest, Order::Oldest] {
        for seq in [0..u64::MAX, 1..5] {
            let window = Window {
                order,
                seq: seq.clone(),
                ..Window::default()
            };
            let found = search(&split, &query, &window, 2, true, &|| false).unwrap();
            let all: Vec<u64> = (0..5).filter(|at| seq.contains(at)).collect();
            let expected: Vec<u64> = match order {
                Order::Newest => all.iter().rev().take(2).copied().collect(),
                Order::Oldest => all.iter().take(2).copied().collect(),
            };
            assert_eq!((found.seqs, found.count), (expected, Some(all.len() as u64)));
        }
    }
    let none = search(&split, &query, &Window::default(), 0, true, &|| false).unwrap();
    assert_eq!((none.seqs.len(), none.count), (0, Some(5)));
}

#[test]
fn a_stopped_search_says_so() {
    let result = search(&events(), &Query::all(), &Window::default(), 1, false, &|| true);
    assert!(matches!(result, Err(Error::Stopped)));
}

/// Records of which every second is denied, and every third has a ticket; no word is in both of two halves.
fn many() -> Split {
    let event = |seq: u64| {
        let outcome = if seq.is_multiple_of(2) {
            "denied"
        } else {
            "success"
        };
        let word = if seq.is_multiple_of(2) { "even" } else { "odd" };
        let ticket = if seq.is_multiple_of(3) {
            r#","metadata":{"ticket":"SEC-1"}"#
        } else {
            ""
        };
        format!(
            r#"{{"action":"a.b","outcome":"{outcome}","actor":{{"type":"service","id":"x"}},
                "context":{{"ip":"10.0.0.{}"}},"justification":"{word} words stand here"{ticket}}}"#,
            seq % 250
        )
    };
    let records: Vec<Stored> = (0..MANY).map(|seq| Stored::accept(seq, &event(seq))).collect();
    let policy = IndexPolicy {
        text: TextIndex::Positions,
        ..IndexPolicy::default()
    };
    let mut builder = SplitBuilder::new(&policy).unwrap();
    records.iter().for_each(|record| record.add_to(&mut builder));
    builder.finish().unwrap()
}

const MANY: u64 = 12_000;

/// Whatever is asked of a split, it is asked often enough whether to stop, and stops.
#[test]
fn a_search_can_be_stopped_within_a_split() {
    let split = many();
    let cut = Window {
        from_ns: Some(i64::try_from(START_MS).unwrap() * 1_000_000 + 1_000_000_000),
        ..Window::default()
    };
    for (text, matching) in [
        ("outcome:denied metadata.ticket:SEC-1", MANY / 6),
        ("outcome:denied OR metadata.ticket:SEC-1", MANY * 2 / 3),
        ("NOT outcome:denied", MANY / 2),
        ("outcome:denied -metadata.ticket:SEC-1", MANY / 3),
        ("even odd", 0),
        ("even words", MANY / 2),
        ("\"words stand\"", MANY),
        ("\"even words st\"*", MANY / 2),
        ("\"words even\"", 0),
        ("ip:10.0.0.0/25", MANY / 250 * 128),
        ("session_id:* OR outcome:denied metadata.ticket:*", MANY / 6),
    ] {
        let query = Query::parse(text, &ParseOptions::default()).unwrap();
        for window in [&Window::default(), &cut] {
            let asked = Cell::new(0_u64);
            let count = |stop: &dyn Fn() -> bool| {
                asked.set(0);
                search(&split, &query, window, 0, true, &|| {
                    asked.set(asked.get() + 1);
                    stop()
                })
            };
            let found = count(&|| false).unwrap();
            let outside = if window.from_ns.is_some() { 3 } else { 0 };
            let counted = found.count.unwrap();
            assert!(
                counted <= matching && counted + outside >= matching,
                "{text}: {counted}"
            );
            let all = asked.get();
            assert!(all >= MANY / 4096, "{text}: asked {all} times");
            for after in [1, all / 2, all - 1] {
                let stopped = count(&|| asked.get() > after);
                assert!(
                    matches!(stopped, Err(Error::Stopped)),
                    "{text} after {after} of {all}"
                );
                assert_eq!(asked.get(), after + 1, "{text}");
            }
        }
    }
}

#[test]
fn starts_that_stand_for_too_many_terms_are_refused() {
    let mut options = ParseOptions {
        personal: true,
        ..ParseOptions::default()
    };
    options.limits.terms_max = 1;
    let query = Query::parse("action:s3.*", &options).unwrap();
    let result = search(&events(), &query, &Window::default(), 1, false, &|| false);
    assert!(
        matches!(result, Err(Error::TooBroad { limit: 1, .. })),
        "{result:?}"
    );
}

#[test]
fn newest_hits_come_without_looking_at_all() {
    let event = r#"{"action":"a.b","actor":{"type":"service","id":"x"}}"#;
    let records: Vec<Stored> = (0..6000).map(|seq| Stored::accept(seq, event)).collect();
    let split = split(&records);
    let query = Query::parse("action:a.b", &ParseOptions::default()).unwrap();
    let found = search(&split, &query, &Window::default(), 3, false, &|| false).unwrap();
    assert_eq!(found.seqs, [5999, 5998, 5997]);
    assert!(found.scanned < 3000, "{}", found.scanned);
    let seq = Query::parse("seq:<10", &ParseOptions::default()).unwrap();
    let found = search(&split, &seq, &Window::default(), 3, false, &|| false).unwrap();
    assert_eq!(found.seqs, [9, 8, 7]);
}

#[test]
fn records_that_are_passed_over_are_not_there() {
    let split = events();
    for (text, found) in [
        ("", &[0, 4][..]),
        ("action:login", &[]),
        ("NOT action:login", &[0, 4]),
        ("outcome:IN [denied failure]", &[0]),
    ] {
        let query = Query::parse(text, &ParseOptions::default()).unwrap();
        for order in [Order::Oldest, Order::Newest] {
            let window = Window {
                order,
                // Beyond the split too, and one that is not in the window.
                except: [1, 2, 3, 77].into(),
                ..Window::default()
            };
            let mut page = search(&split, &query, &window, 100, true, &|| false).unwrap();
            page.seqs.sort_unstable();
            assert_eq!(
                (page.seqs.as_slice(), page.count),
                (found, Some(found.len() as u64)),
                "{text}"
            );
            let count = search(&split, &query, &window, 0, true, &|| false).unwrap().count;
            assert_eq!(count, Some(found.len() as u64), "{text}");
            let one = search(&split, &query, &window, 1, false, &|| false).unwrap().seqs;
            assert_eq!(one.len(), found.len().min(1), "{text}");
        }
    }
}

#[test]
fn a_query_says_whether_it_looks_at_people() {
    let options = ParseOptions {
        personal: true,
        ..ParseOptions::default()
    };
    for (text, looks) in [
        ("", false),
        ("action:login outcome:failure seq:[1 TO 5]", false),
        ("actor.type:user", false),
        ("actor.id:u_42", true),
        ("NOT actor.email:*", true),
        ("action:login OR ip:10.0.0.0/8", true),
        ("curl", true),
        ("metadata.ticket:SEC-12", true),
    ] {
        let query = Query::parse(text, &options).unwrap();
        assert_eq!(query.looks_at_people(), looks, "{text}");
        let public = Query::parse(text, &ParseOptions::default());
        assert!(!public.is_ok_and(|query| query.looks_at_people()), "{text}");
    }
}
