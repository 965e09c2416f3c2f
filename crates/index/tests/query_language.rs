//! The language by example: what is found, what it needs, what is marked.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;
#[path = "support/under.rs"]
mod under;

use attestore_index::{
    Coverage, Error, IndexPolicy, Order, ParseLimits, ParseOptions, PersonalIndex, Query, Split, TextIndex,
    Window, search,
};
use support::{Stored, split};
use under::split_under;

const EVENTS: [&str; 5] = [
    r#"{"action":"s3.get_object","actor":{"type":"user","id":"u_42","name":"Ann Ångström"},
        "context":{"ip":"203.0.113.9","host":"dc1\\ann","http":{"path":"/i/1?x=2","status":404}},
        "outcome_reason":{"message":"wrong one-time code"},
        "payload":{"requestParameters":{"bucketName":"logs","parts":[3,40]},"who":"ann likes tea"}}"#,
    r#"{"action":"s3.put_object","actor":{"type":"service","id":"cron"},"justification":"code wrong",
        "targets":[{"type":"object","id":"a*b","attributes":{"size":12}}],
        "payload":{"requestParameters":{"bucketName":"logs-2"},"token":"699479d4-2a01-4e9e-bf31-4ec5dc88677e"}}"#,
    r#"{"action":"iam.create_user","outcome":"denied","actor":{"type":"service","id":"wrong"},
        "justification":"code red","context":{"http":{"status":199}},"metadata":{"account":"1000","zip":"01234"}}"#,
    r#"{"action":"login","outcome":"failure","actor":{"type":"service","id":"cron"},"metadata":{"a b":{"c":5.0}}}"#,
    r#"{"action":"login","actor":{"type":"service","id":"cron"},"source":{"version":"1.10"}}"#,
];

fn records() -> Vec<Stored> {
    (0..)
        .zip(EVENTS)
        .map(|(seq, event)| Stored::accept(seq, event))
        .collect()
}

fn parse(text: &str, personal: bool) -> Query {
    let options = ParseOptions {
        personal,
        ..ParseOptions::default()
    };
    Query::parse(text, &options).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

fn run(split: &Split, query: &Query) -> Result<Vec<u64>, Error> {
    let window = Window {
        order: Order::Oldest,
        ..Window::default()
    };
    search(split, query, &window, 100, false, &|| false).map(|found| found.seqs)
}

/// What a query finds under what it needs.
fn find(text: &str, personal: bool) -> Vec<u64> {
    let query = parse(text, personal);
    run(&split_under(&query.needs(), &records()), &query).unwrap()
}

#[test]
fn every_form_finds_its_records() {
    let cases: &[(&str, &[u64])] = &[
        ("action:s3.*Object", &[0, 1]),
        ("action:s3.?et_*", &[0]),
        ("action:IN [log* iam.create_user]", &[2, 3, 4]),
        ("action:IN [\"log*\"]", &[]),
        ("eventName:GetObject", &[0]),
        ("eventName:Create*", &[2]),
        ("eventName:s3.get_object", &[0]),
        ("eventName:(GetObject OR PutObject)", &[0, 1]),
        ("source.version:[1.1 TO 1.2}", &[4]),
        ("context.http.status:[99 TO 1000]", &[0, 2]),
        ("context.http.status:>=400", &[0]),
        ("context.http.status:> \"400\"", &[0]),
        ("payload.who:>=\"ann likes\"", &[0]),
        ("payload.who:<\"ann likes\" OR payload.who:>'ann likes tea'", &[]),
        ("payload.who:<=\"ann likes tea\" seq:<3", &[0]),
        ("url.path:/i/1\\?x=2", &[0]),
        ("url.path:/i/*", &[0]),
        ("context.host:dc1\\ann", &[0]),
        ("targets.id:a\\*b", &[1]),
        ("targets.id:\"a*b\"", &[1]),
        ("targets.id:'a*'", &[]),
        ("targets.attributes.size:>11.5", &[1]),
        ("requestParameters.bucketName:logs*", &[0, 1]),
        ("payload.requestParameters.parts:40", &[0]),
        ("payload.requestParameters.parts:[4 TO 39]", &[]),
        ("payload.requestParameters:*", &[0, 1]),
        ("recipientAccountId:1000", &[2]),
        ("metadata.zip:[\"01000\" TO \"02000\"]", &[2]),
        ("metadata.a\\ b.c:5", &[3]),
        ("labels.a\\ b:*", &[3]),
        ("\"one time\"", &[0]),
        ("\"time one\"", &[]),
        ("\"wrong code\"", &[]),
        ("\"code wrong\"", &[1]),
        ("wrong code", &[0, 1, 2]),
        ("\"wrong one ti\"*", &[0]),
        ("\"tea wrong\"", &[]),
        ("text:(\"code red\" OR \"likes tea\")", &[0, 2]),
        ("699479d4*", &[1]),
        ("699479d4-2a01-4*", &[1]),
        ("\"699479d4-2a01\"*", &[1]),
        ("ån*m", &[0]),
        (
            "outcome:denied OR outcome:failure action:login OR action:s3.*",
            &[3],
        ),
        (
            "action:login AND outcome:failure OR action:iam.create_user",
            &[2, 3],
        ),
        ("-(action:login OR NOT outcome:success)", &[0, 1]),
        ("actor.id:(cron -wrong)", &[1, 3, 4]),
        ("cron\u{3000}login", &[3, 4]),
    ];
    for (text, expected) in cases {
        assert_eq!(find(text, true), *expected, "{text}");
    }
}

#[test]
fn personal_values_are_closed_in_every_clause() {
    for text in [
        "actor.id:u*2",
        "actor.id:u?42",
        "actor.id:[u_40 TO u_50]",
        "actor.id:IN [u_42 u*]",
        "actor.name:*",
        "ip:[203.0.113.0 TO 203.0.113.255]",
        "payload.who:*",
        "payload.who:ann*",
        "payload.who:*tea",
        "requestParameters.parts:>1",
        "requestParameters.parts:[\"3\" TO \"5\"]",
        "\"likes tea\"",
        "\"likes te\"*",
        "li*es",
        "likes",
        "text:\"one time\"",
    ] {
        let options = ParseOptions {
            leading_wildcard: true,
            ..ParseOptions::default()
        };
        let find = |personal: bool| {
            let query = Query::parse(text, &ParseOptions { personal, ..options }).unwrap();
            run(&split_under(&query.needs(), &records()), &query).unwrap()
        };
        assert_eq!(find(false), Vec::<u64>::new(), "{text}");
        assert_eq!(find(true), [0], "{text}");
    }
    assert_eq!(find("NOT actor.id:u*", false), [0, 1, 2, 3, 4]);
    assert_eq!(find("NOT actor.id:u*", true), [1, 2, 3, 4]);
}

#[test]
fn a_split_says_that_it_lacks_what_a_query_needs() {
    let phrase = parse("\"code wrong\"", true);
    assert_eq!(phrase.needs().text, TextIndex::Positions);
    let plain = split(&records());
    assert!(matches!(run(&plain, &phrase), Err(Error::NotCovered)));
    let Coverage::Superset(relaxed) = phrase.coverage(plain.policy()) else {
        panic!("words have no places")
    };
    assert_eq!(run(&plain, &relaxed).unwrap(), [0, 1, 2]);

    let query = parse(
        "payload.requestParameters.bucketName:logs NOT \"code wrong\"",
        true,
    );
    assert_eq!(query.needs().paths, ["payload.requestParameters.bucketName"]);
    let Coverage::Superset(relaxed) = query.coverage(plain.policy()) else {
        panic!("the path is not listed")
    };
    // The value has a word; what is excluded cannot be excluded yet.
    assert_eq!(run(&plain, &relaxed).unwrap(), [0, 1]);
    let number = parse("payload.requestParameters.parts:3", true);
    let Coverage::Superset(relaxed) = number.coverage(plain.policy()) else {
        panic!("the path is not listed")
    };
    assert!(relaxed.is_all());
    let addresses = parse("action:login ip:10.0.0.0/8 seq:>3", true);
    assert!(matches!(
        addresses.coverage(&IndexPolicy::minimal()),
        Coverage::Superset(_)
    ));
    let minimal = IndexPolicy {
        personal: PersonalIndex::Exact,
        ..IndexPolicy::minimal()
    };
    assert!(matches!(addresses.coverage(&minimal), Coverage::Exact));
    let public = parse("action:login ip:10.0.0.0/8 seq:>3", false);
    assert!(matches!(
        public.coverage(&IndexPolicy::minimal()),
        Coverage::Exact
    ));
    assert!(matches!(
        parse("metadata.a:1", true).coverage(&minimal),
        Coverage::Superset(_)
    ));
    let listed = IndexPolicy {
        paths: vec!["metadata.a".to_owned()],
        ..minimal
    };
    assert!(matches!(
        parse("metadata.a:1", true).coverage(&listed),
        Coverage::Exact
    ));
}

#[test]
fn words_and_values_are_marked_where_they_stand() {
    let marked = |query: &str, text: &str| -> Vec<String> {
        let places = parse(query, true).highlight(text);
        places.into_iter().map(|place| text[place].to_owned()).collect()
    };
    assert_eq!(
        marked("clean QUART*", "Quarterly clean-up"),
        ["Quarterly", "clean"]
    );
    assert_eq!(marked("q?art*y", "Quarterly clean-up"), ["Quarterly"]);
    assert_eq!(marked("\"up clean\"", "clean up clean"), ["up", "clean"]);
    assert_eq!(marked("\"clean u\"*", "up clean up"), ["clean", "up"]);
    assert_eq!(marked("NOT clean", "clean"), Vec::<String>::new());
    assert_eq!(marked("actor.id:u_42", "u_42"), ["u_42"]);
    assert_eq!(marked("action:S3.*", "s3.get_object"), ["s3.get_object"]);
    assert_eq!(marked("actor.id:u_42", "u_421"), Vec::<String>::new());
    assert_eq!(marked("ångström", "Ann Ångström!"), ["Ångström"]);
    assert_eq!(marked("", "anything"), Vec::<String>::new());
}

#[test]
fn expansion_is_limited_and_says_what_was_too_broad() {
    let split = split(&records());
    let parse = |text: &str| {
        let limits = ParseLimits {
            terms_max: 1,
            ..ParseLimits::default()
        };
        let options = ParseOptions {
            limits,
            ..ParseOptions::default()
        };
        Query::parse(text, &options).unwrap()
    };
    for text in [
        "action:s3.*",
        "action:s3.*t",
        "action:[a TO z]",
        "cr*",
        "c?*e",
        "eventName:*",
        "metadata:*",
    ] {
        let found = run(&split, &parse(text));
        match text {
            "metadata:*" | "eventName:*" => assert!(found.is_ok(), "{text}"),
            _ => assert!(
                matches!(found, Err(Error::TooBroad { limit: 1, .. })),
                "{text}: {found:?}"
            ),
        }
    }
    assert!(run(&split, &parse("action:s3.g*")).is_ok());
}
