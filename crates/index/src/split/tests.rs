//! What lies in a split, read field by field.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use attestore_record::event::{Limits, parse};
use attestore_record::group::{Envelope, encode};
use attestore_record::{Handle, PrivacyPolicy, RecordId, TenantId, view};
use proptest::prelude::*;
use tantivy::columnar::DynamicColumn;
use tantivy::index::SegmentComponent;
use tantivy::postings::Postings;
use tantivy::schema::{IndexRecordOption, Term};
use tantivy::{DocSet, TERMINATED};

use super::{Split, SplitBuilder, merge};
use crate::schema::{Label, PATH_END, PRESENT, Side, fields, path_column};
use crate::{DocInput, Error, IndexPolicy, PersonalIndex, TextIndex};

const NOW_MS: u64 = 1_795_305_600_000;

/// Builds a split of events with these seqs.
fn split_of(policy: &IndexPolicy, events: &[(u64, String)]) -> Split {
    let mut builder = SplitBuilder::new(policy).unwrap();
    for (seq, event) in events {
        let event =
            parse(event.as_bytes(), &Limits::default(), NOW_MS).unwrap_or_else(|e| panic!("{e}: {event}"));
        let envelope = Envelope {
            id: RecordId::new(NOW_MS, [7; 10]),
            tenant: TenantId::from_bytes([1; 16]),
            protocol: "native",
            credential_id: "cred1",
        };
        let encoded = encode(&event, &envelope, &PrivacyPolicy::default()).unwrap();
        let groups: Vec<Vec<u8>> = encoded
            .personal
            .iter()
            .map(|group| group.bytes(&vec![Handle::from_bytes([3; 16]); group.subjects.len()]))
            .collect();
        let groups: Vec<&[u8]> = groups.iter().map(Vec::as_slice).collect();
        let fields = view::fields(&encoded.public, &groups).unwrap();
        let input = DocInput {
            seq: *seq,
            received_ms: NOW_MS + seq,
            class: 7,
            public: &fields.public,
            personal: &fields.personal,
        };
        builder.add(&input).unwrap();
    }
    builder.finish().unwrap()
}

fn one(policy: &IndexPolicy, event: &str) -> Dump {
    dump(&split_of(policy, &[(0, event.to_owned())]))
}

/// What a split holds: for each field, its terms with their records and places, or the values of its column.
type Dump = BTreeMap<String, BTreeMap<String, String>>;

fn dump(split: &Split) -> Dump {
    let mut dump = Dump::new();
    for (field, entry) in split.schema().fields() {
        let mut lines = BTreeMap::new();
        if entry.is_indexed() {
            let inverted = split.reader().inverted_index(field).unwrap();
            let mut terms = inverted.terms().stream().unwrap();
            while terms.advance() {
                let term = Term::from_field_text(field, std::str::from_utf8(terms.key()).unwrap());
                let option = IndexRecordOption::WithFreqsAndPositions;
                let mut postings = inverted.read_postings(&term, option).unwrap().unwrap();
                let (mut text, mut places) = (String::new(), Vec::new());
                while postings.doc() != TERMINATED {
                    postings.positions(&mut places);
                    write!(text, "{}{places:?} ", postings.doc()).unwrap();
                    postings.advance();
                }
                lines.insert(String::from_utf8(terms.key().to_vec()).unwrap(), text);
            }
        }
        if entry.is_fast() {
            let paths = split.policy().paths.iter();
            let side = |name: &str| {
                if name == "json" {
                    Side::Public
                } else {
                    Side::Personal
                }
            };
            let names: Vec<String> = match entry.name() {
                name @ ("json" | "_p.json") => paths.map(|path| path_column(path, side(name))).collect(),
                name => vec![name.to_owned()],
            };
            for name in names {
                for handle in split
                    .reader()
                    .fast_fields()
                    .dynamic_column_handles(&name)
                    .unwrap()
                {
                    let column = handle.open().unwrap();
                    for doc in 0..split.reader().max_doc() {
                        let values = values(&column, doc);
                        if !values.is_empty() {
                            lines.insert(
                                format!("{name} {:?} {doc}", column.column_type()),
                                values.join("|"),
                            );
                        }
                    }
                }
            }
        }
        dump.insert(entry.name().to_owned(), lines);
    }
    dump
}

fn values(column: &DynamicColumn, doc: u32) -> Vec<String> {
    match column {
        DynamicColumn::Str(column) => {
            let texts = column.term_ords(doc).map(|ord| {
                let mut text = String::new();
                column.ord_to_str(ord, &mut text).unwrap();
                text
            });
            texts.collect()
        }
        DynamicColumn::I64(column) => column.values_for_doc(doc).map(|v| v.to_string()).collect(),
        DynamicColumn::U64(column) => column.values_for_doc(doc).map(|v| v.to_string()).collect(),
        DynamicColumn::F64(column) => column.values_for_doc(doc).map(|v| v.to_string()).collect(),
        DynamicColumn::Bool(column) => column.values_for_doc(doc).map(|v| v.to_string()).collect(),
        DynamicColumn::IpAddr(column) => column.values_for_doc(doc).map(|v| v.to_string()).collect(),
        DynamicColumn::DateTime(_) | DynamicColumn::Bytes(_) => panic!("no such column"),
    }
}

fn keys<'d>(dump: &'d Dump, field: &str) -> Vec<&'d str> {
    dump[field].keys().map(String::as_str).collect()
}

fn column<'d>(dump: &'d Dump, field: &str) -> Vec<&'d str> {
    dump[field].values().map(String::as_str).collect()
}

fn everything() -> IndexPolicy {
    let paths = [
        "metadata.m",
        "metadata.n",
        "payload.a.b",
        "payload.list",
        "payload.n",
        "targets.attributes.t",
    ];
    IndexPolicy {
        text: TextIndex::Positions,
        paths: paths.map(str::to_owned).to_vec(),
        ..IndexPolicy::default()
    }
    .checked()
    .unwrap()
}

/// Every field that can be personal says so in its value.
const PERSON: &str = r#"{"action":"doc.read","outcome":"failure","outcome_reason":{"code":"c","message":"secret01 says"},
    "actor":{"type":"user","id":"secret02","name":"secret03","email":"secret04@x.org","credential_id":"secret05",
        "on_behalf_of":{"type":"user","id":"secret06","name":"secret07","email":"secret08@x.org"}},
    "targets":[{"type":"customer","id":"secret09","name":"secret10","attributes":{"t":"secret11"}},{"type":"doc","id":"d1"}],
    "context":{"ip":"203.0.113.9","host":"secret12.org","user_agent":"secret13","session_id":"secret14"},
    "changes":[{"path":"p","old":"secret15","new":{"x":"secret16"}}],
    "data_subjects":[{"type":"customer","id":"secret09","fields":["/metadata/m"]}],
    "metadata":{"m":"secret17","n":5},
    "payload":{"a":{"b":"secret18"},"list":["secret19",3],"n":1.5}}"#;

#[test]
fn nothing_on_the_public_side_holds_a_personal_value() {
    let exact_only = IndexPolicy {
        personal: PersonalIndex::Exact,
        ..IndexPolicy::minimal()
    };
    for policy in [exact_only, IndexPolicy::default(), everything()] {
        let dump = one(&policy, PERSON);
        let (mut public, mut personal) = (String::new(), String::new());
        for (field, lines) in &dump {
            let target = if field.starts_with("_p.") {
                &mut personal
            } else {
                &mut public
            };
            writeln!(target, "{field} {lines:?}").unwrap();
        }
        assert!(
            !public.contains("secret") && !public.contains("203.0.113.9"),
            "{public}"
        );
        let hidden = if policy.text == TextIndex::None {
            2..=14
        } else {
            1..=19
        };
        for n in hidden.filter(|n| policy.text != TextIndex::None || ![11].contains(n)) {
            assert!(personal.contains(&format!("secret{n:02}")), "{n}: {personal}");
        }
        assert!(personal.contains("203.0.113.9"));
    }
}

#[test]
fn policies_say_what_is_indexed_of_people() {
    let with = |personal| {
        let policy = IndexPolicy {
            personal,
            ..everything()
        };
        one(&policy, PERSON)
    };
    let none = format!("{:?}", with(PersonalIndex::None));
    assert!(
        !none.contains("secret") && !none.contains("203.0.113.9"),
        "{none}"
    );
    let exact = with(PersonalIndex::Exact);
    assert_eq!(keys(&exact, "_p.text"), [""; 0]);
    let all = with(PersonalIndex::All);
    assert!(!keys(&all, "_p.text").is_empty());
    for field in ["_p.terms", "_p.actor.id", "_p.context.ip", "_p.json"] {
        assert_eq!(exact[field], all[field], "{field}");
    }
    for personal in [PersonalIndex::None, PersonalIndex::Exact] {
        let dump = with(personal);
        for (field, lines) in all.iter().filter(|(field, _)| !field.starts_with("_p.")) {
            assert_eq!(&dump[field], lines, "{field}");
        }
    }
    let none = with(PersonalIndex::None);
    assert_eq!(
        column(&none, "_p.targets.id"),
        ["d1"],
        "the twin keeps what is public"
    );
}

#[test]
fn public_columns_mark_what_their_twins_hold() {
    let dump = one(&everything(), PERSON);
    let expected = [
        ("actor.id", "[personal]", "secret02"),
        ("targets.id", "[personal]|d1", "d1|secret09"),
        ("context.host", "[personal]", "secret12.org"),
        ("context.session_id", "[personal]", "secret14"),
    ];
    for (name, public, personal) in expected {
        let sorted = |field: &str| {
            let text = column(&dump, field).join("|");
            let mut values: Vec<&str> = text.split('|').collect();
            values.sort_unstable();
            values.join("|")
        };
        assert_eq!(
            (sorted(name), sorted(&format!("_p.{name}"))),
            (public.to_owned(), personal.to_owned())
        );
    }
    assert_eq!(column(&dump, "context.ip"), [""; 0]);
    assert_eq!(column(&dump, "_p.context.ip"), ["::ffff:203.0.113.9"]);
    assert_eq!(
        dump["json"]
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect::<Vec<_>>(),
        ["json.metadata.m Str 0=[personal]", "json.metadata.n I64 0=5"]
    );
    assert_eq!(
        dump["_p.json"]
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect::<Vec<_>>(),
        [
            "_p.json.metadata.m Str 0=secret17",
            "_p.json.metadata.n I64 0=5",
            "_p.json.payload.a.b Str 0=secret18",
            "_p.json.payload.list I64 0=3",
            "_p.json.payload.list Str 0=secret19",
            "_p.json.payload.n F64 0=1.5",
            "_p.json.targets.attributes.t Str 0=secret11",
        ]
    );
}

#[test]
fn every_name_has_exact_values_and_says_that_it_has() {
    let event = r#"{"action":"a.b","operation":"read","outcome":"denied","outcome_reason":{"code":"c","message":"m"},
        "severity":"error","actor":{"type":"service","id":"i","name":"n","email":"e@x","credential_id":"cr",
        "on_behalf_of":{"type":"service","id":"bi","name":"bn","email":"b@x"}},
        "targets":[{"type":"t","id":"ti","name":"tn"},{"type":"t","id":"ti"}],
        "context":{"ip":"::ffff:10.0.0.1","host":"h","user_agent":"u","location":"l","session_id":"s","request_id":"r",
        "trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331",
        "http":{"method":"GET","path":"/p","status":403}},
        "source":{"service":"sv","version":"v1","instance":"in","environment":"en"},"justification":"j",
        "changes":[{"path":"cp"}],"data_subjects":[{"type":"dt","id":"di"}],"classification":"public",
        "data_categories":["x","x"],"idempotency_key":"k","metadata":{"a":{"b":[1,"two"]}},"payload":{"p":1}}"#;
    let policy = IndexPolicy {
        paths: vec!["payload.p".to_owned()],
        ..IndexPolicy::default()
    };
    let dump = one(&policy, event);
    for code in 1..=Label::Metadata as u8 {
        let code = char::from(code);
        let side = |field: &str| keys(&dump, field).iter().any(|term| term.starts_with(code));
        assert!(side("terms") || side("_p.terms"), "code {}", code as u32);
    }
    let present = |label: Label, path: &str| format!("{PRESENT}{}{path}", label.code());
    let terms = keys(&dump, "terms");
    for label in [
        Label::ActorId,
        Label::UserAgent,
        Label::Ip,
        Label::RequestId,
        Label::HttpStatus,
    ] {
        assert!(terms.contains(&&*present(label, "")), "{label:?}");
    }
    assert!(
        !terms.contains(&&*present(Label::Action, "")),
        "its column says so"
    );
    assert!(terms.contains(&&*present(Label::Metadata, "a.b")));
    assert!(terms.contains(&&*format!("{}a.b{PATH_END}two", Label::Metadata.code())));
    let personal = keys(&dump, "_p.terms");
    assert!(
        personal.contains(&&*format!("{}payload.p{PATH_END}1", Label::Json.code())),
        "of a subject"
    );
    assert!(terms.contains(&&*format!("{}10.0.0.1", Label::Ip.code())));
    assert_eq!(column(&dump, "targets.id"), ["ti"], "once");
    assert_eq!(column(&dump, "class"), ["7"]);
    assert_eq!(column(&dump, "kind"), ["event"]);
    assert_eq!(column(&dump, "received_ms"), [NOW_MS.to_string()]);
}

#[test]
fn policies_say_what_is_indexed() {
    let event = r#"{"action":"a.b","actor":{"type":"service","id":"x"},"metadata":{"m":{"deep":"alpha"},"n":1},
        "payload":{"a":{"b":{"c":"beta"}},"list":[1,"2"]},"justification":"gamma"}"#;
    let with = |text, metadata, payload_text, paths: &[&str]| {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        one(
            &IndexPolicy {
                text,
                metadata,
                payload_text,
                paths,
                personal: PersonalIndex::All,
            },
            event,
        )
    };
    let none = with(TextIndex::None, false, false, &[]);
    assert_eq!(keys(&none, "text"), [""; 0]);
    assert!(!keys(&none, "terms").iter().any(|term| term.contains("alpha")));
    let words = with(TextIndex::Words, false, false, &[]);
    assert_eq!(keys(&words, "text"), ["a", "b", "gamma", "x"]);
    assert_eq!(
        keys(&with(TextIndex::Words, true, false, &[]), "text"),
        ["a", "alpha", "b", "gamma", "x"]
    );
    assert_eq!(
        keys(&with(TextIndex::Words, false, true, &[]), "text"),
        ["2", "a", "b", "beta", "gamma", "x"]
    );
    let listed = with(
        TextIndex::None,
        false,
        false,
        &["metadata.m", "metadata.n", "payload.a.b", "payload.list"],
    );
    let terms = keys(&listed, "terms");
    let json = Label::Json.code();
    assert!(
        terms.contains(&&*format!("{PRESENT}{}m", Label::Metadata.code())),
        "something is below"
    );
    assert!(
        terms.contains(&&*format!("{PRESENT}{json}payload.a.b")),
        "something is below"
    );
    assert!(
        !terms
            .iter()
            .any(|term| term.contains("alpha") || term.contains("beta"))
    );
    assert!(terms.contains(&&*format!("{}n{PATH_END}1", Label::Metadata.code())));
    assert!(terms.contains(&&*format!("{json}payload.list{PATH_END}2")));
    assert_eq!(
        keys(&listed, "json"),
        [
            "json.metadata.n I64 0",
            "json.payload.list I64 0",
            "json.payload.list Str 0"
        ]
    );
}

#[test]
fn a_gap_lies_between_strings() {
    let event =
        r#"{"action":"a.b","actor":{"type":"service","id":"x"},"payload":["one two","three","one two"]}"#;
    let dump = one(&everything(), event);
    let place = |word: &str| -> u32 {
        let line = &dump["text"][word];
        line.trim_start_matches("0[")
            .trim_end_matches("] ")
            .parse()
            .unwrap_or_else(|_| panic!("{word}: {line}"))
    };
    assert_eq!(place("two"), place("one") + 1);
    assert!(place("three") > place("two") + 10);
    assert!(place("one") > place("x") + 10);
}

#[test]
fn words_are_repeated_only_where_others_read_them() {
    let uuid = "699479d4-2a01-4e9e-bf31-4ec5dc88677e";
    let person = format!(
        r#"{{"action":"doc.read","actor":{{"type":"user","id":"anna"}},"context":{{"request_id":"{uuid}"}},
        "justification":"anna was here","payload":["doc.read","here","{uuid}","{uuid} x","anna"]}}"#
    );
    let dump = one(&IndexPolicy::default(), &person);
    assert_eq!(keys(&dump, "text"), ["anna", "doc", "here", "read", "was"]);
    assert_eq!(keys(&dump, "_p.text"), [uuid, "x"]);
    let public = format!(
        r#"{{"action":"a.b","actor":{{"type":"user","id":"anna"}},"idempotency_key":"{uuid}",
        "metadata":{{"a":"anna","b":"{uuid}","c":"{}"}}}}"#,
        uuid.to_uppercase()
    );
    let dump = one(&IndexPolicy::default(), &public);
    assert_eq!(
        keys(&dump, "text"),
        [uuid, "a", "anna", "b"],
        "of the upper-case one"
    );
}

fn some_event(n: u64, person: bool) -> String {
    let ty = if person { "user" } else { "service" };
    let value = match n % 4 {
        0 => format!("{n}"),
        1 => format!("-{n}.5"),
        2 => format!("\"text {n}\""),
        _ => "true".to_owned(),
    };
    format!(
        r#"{{"action":"s3.{}","actor":{{"type":"{ty}","id":"actor{}"}},"context":{{"ip":"10.0.{}.{n}","host":"h{}"}},
        "targets":[{{"type":"doc","id":"d{}"}},{{"type":"doc","id":"e{n}"}}],"metadata":{{"m":"m{}","n":{n}}},
        "payload":{{"a":{{"b":{value}}},"list":[{n},"w{n}"],"n":{value}}}}}"#,
        n % 3,
        n % 5,
        n % 2,
        n % 7,
        n % 4,
        n % 6
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_merge_holds_what_a_split_of_all_holds(
        kinds in prop::collection::vec(any::<(u8, bool)>(), 2..60),
        cuts in prop::collection::btree_set(1..59_usize, 1..4),
        policy in prop_oneof![Just(IndexPolicy::minimal()), Just(IndexPolicy::default()), Just(everything())],
    ) {
        let events: Vec<(u64, String)> = (0..)
            .zip(&kinds)
            .map(|(seq, (n, person))| (seq * 3, some_event(u64::from(*n), *person)))
            .collect();
        let mut parts = Vec::new();
        let mut from = 0;
        for cut in cuts.into_iter().filter(|cut| *cut < events.len()).chain([events.len()]) {
            parts.push(split_of(&policy, &events[from..cut]));
            from = cut;
        }
        let (whole, merged) = (split_of(&policy, &events), merge(&parts).unwrap());
        prop_assert_eq!(merged.policy(), &policy);
        prop_assert_eq!(merged.summary(), whole.summary());
        for component in [
            SegmentComponent::Terms,
            SegmentComponent::Postings,
            SegmentComponent::Positions,
        ] {
            prop_assert!(bytes(&whole, component.clone()) == bytes(&merged, component.clone()), "{:?}", component);
        }
        let (whole, merged) = (dump(&whole), dump(&merged));
        for (field, lines) in &whole {
            prop_assert_eq!(&merged[field], lines, "{}", field);
        }
    }
}

#[test]
fn long_lists_merge_to_what_a_split_of_all_has() {
    for text in [TextIndex::Words, TextIndex::Positions] {
        let policy = IndexPolicy {
            text,
            ..IndexPolicy::default()
        };
        let event = |seq: u64| {
            let even = if seq.is_multiple_of(2) { "even even" } else { "odd" };
            format!(
                r#"{{"action":"a.b","actor":{{"type":"service","id":"x{seq}"}},"justification":"{even} all"}}"#
            )
        };
        let events: Vec<_> = (0..1_000).map(|seq| (seq, event(seq))).collect();
        // Parts with fewer records than a block has, with one block, with several, and with some left over.
        let parts: Vec<Split> = [0..1, 1..128, 128..256, 256..700, 700..1_000]
            .map(|range: Range<usize>| split_of(&policy, &events[range]))
            .into();
        let (whole, merged) = (split_of(&policy, &events), merge(&parts).unwrap());
        for component in [
            SegmentComponent::Terms,
            SegmentComponent::Postings,
            SegmentComponent::Positions,
        ] {
            assert!(
                bytes(&whole, component.clone()) == bytes(&merged, component.clone()),
                "{component:?}"
            );
        }
    }
}

fn bytes(split: &Split, component: SegmentComponent) -> Vec<u8> {
    split
        .open_read(component)
        .unwrap()
        .read_bytes()
        .unwrap()
        .as_slice()
        .to_vec()
}

#[test]
fn splits_of_different_policies_do_not_merge() {
    let event = |seq| [(seq, some_event(seq, true))];
    let parts = [
        split_of(&IndexPolicy::default(), &event(1)),
        split_of(&everything(), &event(2)),
    ];
    assert!(matches!(merge(&parts), Err(Error::Policy)));
    assert!(fields().schema(parts[0].policy()) != fields().schema(parts[1].policy()));
}
