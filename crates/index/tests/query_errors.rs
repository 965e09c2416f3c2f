//! Mistakes in query strings: what is refused, where it points, what it suggests.

use attestore_index::{Coverage, IndexPolicy, ParseOptions, Query, QueryError};

fn refused(text: &str) -> QueryError {
    match Query::parse(text, &ParseOptions::default()) {
        Ok(query) => panic!("{text} was accepted as {query:?}"),
        Err(error) => error,
    }
}

#[test]
fn unknown_fields_are_pointed_at_and_corrected() {
    let error = refused("ö outcome:denied actr.id:u_42");
    assert_eq!(
        (error.column, error.suggestion.as_deref()),
        (Some(17), Some("actor.id"))
    );
    let error = refused("(eventname:x)");
    assert_eq!(
        (error.column, error.suggestion.as_deref()),
        (Some(1), Some("eventName"))
    );
    let error = refused("-zzzzzzzzzzzzzz:x");
    assert_eq!((error.column, error.suggestion), (Some(1), None));
    assert_eq!(refused("\"nope:\" nope:1").column, Some(8));
    assert!(refused("metadatax:1").message.contains("unknown field"));
    assert!(refused("_p.text:ann").message.contains("unknown field"));
    assert!(refused("_p.actor.id:ann").message.contains("unknown field"));
}

#[test]
fn what_is_not_supported_is_said_so() {
    let accepted = |text: &str| Query::parse(text, &ParseOptions::default()).ok();
    let cases = [
        ("action:*login", "leading *"),
        ("action:?ogin", "leading *"),
        ("*gin", "starts with *"),
        ("s3.*Object", "starts with *"),
        ("action:/lo.*/", "regular expressions"),
        ("/lo.*/", "regular expressions"),
        ("action:login^2", "weights"),
        ("(action:login)^2", "weights"),
        ("\"a b\"~2", "~"),
        ("login~1", "~"),
        ("login~", "~"),
        ("[1 TO 2]", "needs a field"),
        (">5", "needs a field"),
        ("IN [a b]", "needs a field"),
        ("outcome:IN [denied, failure]", "without commas"),
        ("seq:x", "no whole number"),
        ("seq:1*", "makes no sense"),
        ("seq:1?", "makes no sense"),
        ("seq:-1", "no whole number"),
        ("occurred_at:yesterday", "no time"),
        ("occurred_at:[2026-13-01 TO *]", "no time"),
        ("ip:10.0.0.300", "no IP address"),
        ("ip:10.0.0.0/33", "no IP address"),
        ("ip:10.*", "network"),
        ("context.http.status:>x", "no number"),
        ("metadata.n:[1 TO x]", "one end"),
        ("action:[a* TO b]", "no wildcards"),
        ("metadata:x", "path"),
        ("payload:x", "path"),
        ("payload:*", "path"),
        ("payload:>1", "path"),
        ("text:*", "not supported"),
        ("text:>a", "ranges"),
        ("a*", "two letters"),
        ("a?", "two letters"),
        ("?", "starts with *"),
        ("…", "letter or digit"),
        ("foo:", "a value is missing"),
        ("action:", "a value is missing"),
        ("action: OR login", "a value is missing"),
        ("(action: )", "a value is missing"),
        ("(action:login", "not closed"),
        ("action:(login", "not closed"),
        ("action:login)", "closes none"),
        ("()", "condition is missing"),
        ("login AND", "condition is missing"),
        ("login OR )", "condition is missing"),
        ("NOT", "condition is missing"),
        ("AND login", "between two"),
        ("login AND OR x", "between two"),
        ("foo(bar)", "blank is missing"),
        ("\"a\"b", "blank is missing"),
        ("action:\"login", "not closed"),
        ("seq:[1 TO 2", "not closed"),
        ("seq:[1 2]", ""),
        ("seq:[]", ""),
        ("action:IN [a b", "not closed"),
        ("login\\", "backslash"),
    ];
    let wrong: Vec<_> = cases
        .iter()
        .filter_map(|(text, _)| Some((*text, accepted(text)?)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (text, word) in cases {
        let error = refused(text);
        assert!(error.message.contains(word), "{text}: {}", error.message);
    }
}

#[test]
fn limits_are_named_when_exceeded() {
    assert!(refused(&"a".repeat(5000)).message.contains("4096 bytes"));
    assert!(refused(&"ab ".repeat(65)).message.contains("64 clauses"));
    assert!(
        refused(&format!("{}ab{}", "(".repeat(17), ")".repeat(17)))
            .message
            .contains("nested")
    );
    assert!(
        refused(&format!("{}ab", "NOT ".repeat(17)))
            .message
            .contains("nested")
    );
    let list = format!("action:IN [{}]", "ab ".repeat(600));
    assert!(refused(&list).message.contains("512"));
    let fits = format!("action:IN [{}]", "ab ".repeat(300));
    assert!(Query::parse(&fits, &ParseOptions::default()).is_ok());
}

#[test]
fn no_query_string_panics_or_breaks_its_promises() {
    let pieces = [
        "a",
        "ab",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "'",
        ":",
        "*",
        "?",
        "\\",
        " ",
        "IN [",
        " TO ",
        "NOT ",
        "-",
        "seq:",
        "ip:",
        "^",
        "~",
        "/",
        "é",
        ">=",
        "action:",
        "metadata.x:",
        "payload.x:",
        " OR ",
        " AND ",
        "5",
        "text:",
        "10.0.0.0/8",
    ];
    let cases = std::env::var("QUERY_CASES").map_or(20_000, |cases| cases.parse().unwrap_or(0));
    let mut state = 42_u64;
    let mut parsed = 0;
    for _ in 0..cases {
        let mut text = String::new();
        for _ in 0..12 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            text.push_str(pieces[(state >> 33) as usize % pieces.len()]);
        }
        let options = ParseOptions {
            personal: state.is_multiple_of(2),
            leading_wildcard: state.is_multiple_of(3),
            ..ParseOptions::default()
        };
        match Query::parse(&text, &options) {
            Ok(query) => {
                parsed += 1;
                assert!(
                    matches!(query.coverage(&query.needs()), Coverage::Exact),
                    "{text}"
                );
                if let Coverage::Superset(relaxed) = query.coverage(&IndexPolicy::default()) {
                    assert!(
                        matches!(relaxed.coverage(&IndexPolicy::default()), Coverage::Exact),
                        "{text}"
                    );
                }
                assert!(
                    query
                        .highlight(&text)
                        .iter()
                        .all(|place| text.get(place.clone()).is_some()),
                    "{text}"
                );
            }
            Err(error) => assert!(
                error.column.is_some_and(|column| column <= text.chars().count()),
                "{text}"
            ),
        }
    }
    assert!(parsed > cases / 100, "{parsed} of {cases} were queries");
}
