//! What a policy's detectors do to an event: what stays public, what becomes personal, what is redacted and refused.

#![expect(clippy::unwrap_used, reason = "tests")]

use attestore_record::detect::{Confidence, Detector, Detectors, SCANNED_BYTES_MAX, scan_event, scan_public};
use attestore_record::event::{Limits, parse};
use attestore_record::group::{Encoded, Envelope, Refusal, encode};
use attestore_record::policy::{Action, BySureness, Detection, PrivacyPolicy, Setting};
use attestore_record::{EventError, Handle, RecordId, TenantId, view};
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use serde_json::{Value, json};

const NOW_MS: u64 = 1_795_312_800_000;

/// A value of each detector, which is found wherever it stands.
const VALUES: [(Detector, &str); 20] = [
    (
        Detector::Jwt,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    ),
    (Detector::AwsKeyId, "AKIAIOSFODNN7EXAMPLE"),
    (Detector::GithubToken, "ghp_a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2"),
    (Detector::SlackToken, "xoxb-123456789012-abcdefghij"),
    (Detector::UrlCredentials, "https://user:pa55@host/x"),
    (Detector::HttpCredentials, "Bearer 0123456789abcdefXYZ"),
    (Detector::PaymentCard, "4111 1111 1111 1111"),
    (Detector::PaymentCard, "5500-0055-5555-5559"),
    (Detector::Iban, "DE89370400440532013000"),
    (Detector::Email, "alice@example.com"),
    (Detector::Phone, "+49 30 1234567"),
    (Detector::UsSsn, "536-90-4399"),
    (Detector::FrNir, "2 85 05 78 057 589 43"),
    (Detector::EsDni, "54362315K"),
    (Detector::ItCodiceFiscale, "RCCMNL83S18D969H"),
    (Detector::BeNrn, "85.07.30-033.28"),
    (Detector::BrCpf, "390.533.447-05"),
    (Detector::Ipv4, "203.0.113.9"),
    (Detector::Ipv6, "2001:db8::8a2e:370:7334"),
    (Detector::Mac, "00:1a:2b:3c:4d:5e"),
];

fn policy(settings: &[(Detector, Action)]) -> PrivacyPolicy {
    let settings = settings
        .iter()
        .map(|(detector, action)| (*detector, Setting::Each(*action)));
    PrivacyPolicy::default().with_detection(Detection::new(settings))
}

fn all(action: Action) -> PrivacyPolicy {
    let settings: Vec<_> = Detector::ALL.iter().map(|detector| (*detector, action)).collect();
    policy(&settings)
}

fn encoded(event: &Value, policy: &PrivacyPolicy) -> Result<Encoded, Refusal> {
    let text = event.to_string();
    let event = parse(text.as_bytes(), &Limits::DEFAULT, NOW_MS).unwrap();
    let envelope = Envelope {
        id: RecordId::new(NOW_MS, [7; 10]),
        tenant: TenantId::from_bytes([1; 16]),
        protocol: "native",
        credential_id: "key",
    };
    encode(&event, &envelope, policy)
}

fn public(encoded: &Encoded) -> Value {
    serde_json::from_slice(&encoded.public).unwrap()
}

fn personal(encoded: &Encoded) -> Vec<Vec<u8>> {
    let handles = |count| (0..count).map(|at| Handle::from_bytes([u8::try_from(at).unwrap(); 16]));
    let groups = encoded.personal.iter();
    groups
        .map(|group| group.bytes(&handles(group.subjects.len()).collect::<Vec<_>>()))
        .collect()
}

/// The event as who may see all of it reads it.
fn whole(encoded: &Encoded) -> Value {
    let groups = personal(encoded);
    let groups: Vec<&[u8]> = groups.iter().map(Vec::as_slice).collect();
    serde_json::from_str(&view::rebuild(&encoded.public, &groups).unwrap()).unwrap()
}

fn by_a_service(metadata: Value) -> Value {
    json!({"action": "a.b", "actor": {"type": "service", "id": "s"}, "metadata": metadata})
}

fn by_a_user(metadata: Value) -> Value {
    json!({"action": "a.b", "actor": {"type": "user", "id": "u"}, "metadata": metadata})
}

#[test]
fn without_settings_nothing_is_looked_for() {
    let event = by_a_service(json!({"note": "mail alice@example.com"}));
    let encoded = encoded(&event, &PrivacyPolicy::default()).unwrap();
    assert_eq!(
        public(&encoded)["event"]["metadata"]["note"],
        "mail alice@example.com"
    );
    assert!(encoded.detected.counts.is_empty());
}

#[test]
fn flagged_values_are_counted_and_stay() {
    let event = by_a_service(json!({"a": "alice@example.com", "b": ["bob@example.com"]}));
    let encoded = encoded(&event, &policy(&[(Detector::Email, Action::Flag)])).unwrap();
    assert_eq!(public(&encoded)["event"]["metadata"], event["metadata"]);
    assert_eq!(encoded.detected.counts[&(Detector::Email, Action::Flag)], 2);
}

#[test]
fn fields_with_found_values_become_personal_about_all_subjects() {
    let mut event = by_a_user(json!({"note": "mail alice@example.com", "n": 1}));
    event["data_subjects"] = json!([{"type": "customer", "id": "c"}]);
    event["justification"] = json!("asked by alice@example.com");
    let encoded = encoded(&event, &policy(&[(Detector::Email, Action::Personal)])).unwrap();
    let text = String::from_utf8(encoded.public.clone()).unwrap();
    assert!(!text.contains("example.com"), "{text}");
    assert_eq!(
        public(&encoded)["event"]["metadata"],
        json!({"note": null, "n": 1})
    );
    let withheld = &public(&encoded)["withheld"];
    assert!(
        withheld.as_array().unwrap().contains(&json!("/metadata/note")),
        "{withheld}"
    );
    assert!(
        withheld.as_array().unwrap().contains(&json!("/justification")),
        "{withheld}"
    );
    let group = encoded
        .personal
        .iter()
        .find(|group| group.subjects.len() == 2)
        .unwrap();
    assert!(String::from_utf8_lossy(&group.body).contains("alice@example.com"));
    assert_eq!(whole(&encoded)["metadata"], event["metadata"]);
    assert_eq!(whole(&encoded)["justification"], event["justification"]);
}

#[test]
fn where_nobody_is_a_subject_the_actor_becomes_one() {
    let event = by_a_service(json!({"note": "alice@example.com"}));
    let encoded = encoded(&event, &policy(&[(Detector::Email, Action::Personal)])).unwrap();
    assert_eq!(encoded.personal.len(), 1);
    assert_eq!(encoded.personal[0].subjects[0].id, "s");
    assert_eq!(
        public(&encoded)["event"]["actor"]["id"],
        "s",
        "the actor itself stays public"
    );
    assert_eq!(whole(&encoded)["metadata"], event["metadata"]);
}

#[test]
fn fields_that_cannot_be_personal_are_redacted_instead() {
    let mut event = by_a_user(json!({}));
    event["action"] = json!("pay.card_4111111111111111");
    event["source"] = json!({"service": "bob@example.com"});
    event["outcome_reason"] = json!({"code": "carol@example.com"});
    let policy = policy(&[
        (Detector::Email, Action::Personal),
        (Detector::PaymentCard, Action::Personal),
    ]);
    let encoded = encoded(&event, &policy).unwrap();
    let text = String::from_utf8(encoded.public.clone()).unwrap();
    assert!(!text.contains("example.com"), "{text}");
    assert_eq!(
        public(&encoded)["event"]["action"],
        "pay.card_redacted_payment_card"
    );
    assert_eq!(public(&encoded)["event"]["source"]["service"], "[redacted:email]");
    assert_eq!(
        public(&encoded)["event"]["outcome_reason"]["code"],
        "[redacted:email]"
    );
}

#[test]
fn redacted_values_are_in_no_group() {
    let mut event = by_a_user(json!({"note": "mail alice@example.com now", "card": "4111 1111 1111 1111"}));
    event["payload"] =
        json!({"text": "card 5500-0055-5555-5559", "token": "ghp_a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2"});
    let encoded = encoded(&event, &all(Action::Redact)).unwrap();
    let whole = whole(&encoded);
    assert_eq!(whole["metadata"]["note"], "mail [redacted:email] now");
    assert_eq!(
        whole["metadata"]["card"],
        "[redacted:payment_card:411111******1111]"
    );
    // Cards and secrets in personal fields too: nobody is to keep them.
    assert_eq!(
        whole["payload"]["text"],
        "card [redacted:payment_card:550000******5559]"
    );
    assert_eq!(whole["payload"]["token"], "[redacted:github_token]");
}

#[test]
fn what_is_personal_already_keeps_what_belongs_there() {
    let mut event = by_a_user(json!({}));
    event["payload"] = json!({"mail": "alice@example.com"});
    event["actor"]["email"] = json!("alice@example.com");
    let encoded = encoded(&event, &all(Action::Redact)).unwrap();
    assert_eq!(whole(&encoded)["payload"]["mail"], "alice@example.com");
    assert_eq!(whole(&encoded)["actor"]["email"], "alice@example.com");
}

#[test]
fn refused_events_say_where_and_never_what() {
    let event = by_a_service(json!({"a": {"b": [1, "alice@example.com"]}}));
    let refusal = encoded(&event, &policy(&[(Detector::Email, Action::Refuse)])).unwrap_err();
    assert_eq!(
        (refusal.detector, refusal.path.as_str()),
        (Detector::Email, "/metadata/a/b/1")
    );
    let error = EventError::from(refusal);
    assert_eq!(
        (error.code.as_str(), error.path.as_str()),
        ("value_refused", "/metadata/a/b/1")
    );
    assert!(!error.message.contains("alice"), "{}", error.message);
    // The name of a member can be a value too.
    let event = by_a_service(json!({"list": {"alice@example.com": 1}}));
    let refusal = encoded(&event, &policy(&[(Detector::Email, Action::Refuse)])).unwrap_err();
    assert_eq!(refusal.path, "/metadata/list");
}

#[test]
fn sure_and_suspected_hits_can_differ() {
    let by = Setting::By(BySureness {
        sure: Action::Redact,
        suspected: Action::Flag,
    });
    let policy = PrivacyPolicy::default().with_detection(Detection::new([(Detector::PaymentCard, by)]));
    let event = by_a_service(json!({"x": "4111111111111111", "card": "4111111111111111"}));
    let encoded = encoded(&event, &policy).unwrap();
    let metadata = &public(&encoded)["event"]["metadata"];
    assert_eq!(metadata["x"], "4111111111111111");
    assert_eq!(metadata["card"], "[redacted:payment_card:411111******1111]");
}

#[test]
fn numbers_and_names_of_members_are_looked_through() {
    let event = by_a_service(json!({"card": 4111111111111111u64, "alice@example.com": {"x": 1}, "z": 2}));
    let encoded = encoded(&event, &all(Action::Redact)).unwrap();
    let metadata = public(&encoded)["event"]["metadata"].clone();
    let text = metadata.to_string();
    assert!(
        !text.contains("alice") && !text.contains("4111111111111111"),
        "{text}"
    );
    assert_eq!(metadata["card"], "[redacted:payment_card:411111******1111]");
    assert_eq!(metadata["z"], 2);
    assert!(
        metadata
            .as_object()
            .unwrap()
            .keys()
            .any(|name| name.starts_with("[redacted:email:")),
        "{text}"
    );
}

#[test]
fn more_text_than_is_looked_through_is_told() {
    let half = "x".repeat(SCANNED_BYTES_MAX / 2 + 1);
    let mut event = by_a_service(json!({"a": half}));
    event["payload"] = json!({"b": half});
    assert!(
        encoded(&event, &all(Action::Redact))
            .unwrap()
            .detected
            .partially_scanned
    );
    let event = by_a_service(json!({"a": "short"}));
    assert!(
        !encoded(&event, &all(Action::Redact))
            .unwrap()
            .detected
            .partially_scanned
    );
}

#[test]
fn scans_tell_paths_and_never_values() {
    let event = by_a_service(
        json!({"list": [{"mail": "alice@example.com"}], "bob@example.com": {"k": "carol@example.com"}}),
    );
    let encoded = encoded(&event, &PrivacyPolicy::default()).unwrap();
    let scan = scan_public(&encoded.public, Detectors::ALL).unwrap();
    let paths: Vec<&str> = scan.found.iter().map(|found| found.path.as_str()).collect();
    assert_eq!(
        paths,
        ["/metadata", "/metadata/*/k", "/metadata/list/*/mail"],
        "{paths:?}"
    );
    assert!(
        scan.found
            .iter()
            .all(|found| found.confidence == Confidence::Sure && found.can_be_personal)
    );
}

#[test]
fn settings_are_read_as_they_are_written_and_unknown_detectors_refused() {
    let text = r#"{"version":3,"human_types":["user"],"rules":[],"detect":{"email":"personal","payment_card":{"sure":"redact","suspected":"flag"}}}"#;
    let policy: PrivacyPolicy = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&policy).unwrap(), text);
    assert_eq!(
        policy.detection().action(Detector::Email, Confidence::Suspected),
        Action::Personal
    );
    assert_eq!(
        policy
            .detection()
            .action(Detector::PaymentCard, Confidence::Suspected),
        Action::Flag
    );
    assert_eq!(
        policy.detection().action(Detector::Iban, Confidence::Sure),
        Action::Off
    );
    let unknown = text.replace("email", "emial");
    assert!(serde_json::from_str::<PrivacyPolicy>(&unknown).is_err());
    let before = r#"{"version":3,"human_types":["user"],"rules":[]}"#;
    assert!(
        serde_json::from_str::<PrivacyPolicy>(before)
            .unwrap()
            .detection()
            .is_empty()
    );
}

/// A text with values in it, between others.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => prop::sample::select(&VALUES[..]).prop_map(|(_, value)| value.to_owned()),
        2 => "[ a-zé\"\\\\/.,:@0-9-]{0,6}",
        1 => Just("[redacted:email]".to_owned()),
        1 => Just("@".to_owned()),
        1 => "[0-9]{1,8}",
    ];
    let separator = prop_oneof![Just(" "), Just(""), Just(": "), Just("-"), Just("=")];
    prop::collection::vec((piece, separator), 0..5).prop_map(|pieces| {
        pieces
            .into_iter()
            .map(|(piece, separator)| piece + separator)
            .collect()
    })
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => text().prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        1 => Just(json!(4_111_111_111_111_111_u64)),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let name = prop_oneof![2 => "[a-c]{1,2}", 1 => Just("card".to_owned()), 1 => Just("[redacted:email:0]".to_owned()), 1 => text()];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name, inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn events() -> impl Strategy<Value = Value> {
    let metadata =
        prop::collection::btree_map(prop_oneof!["[a-c]{1,2}".boxed(), text().boxed()], value(), 0..4);
    let ty = prop_oneof![Just("user"), Just("service")];
    (ty, text(), text(), value(), value(), metadata, any::<bool>()).prop_map(
        |(ty, justification, name, change, payload, metadata, declares)| {
            let mut event = json!({
                "action": "a.b",
                "actor": {"type": ty, "id": "x"},
                "targets": [{"type": "t", "id": "1", "name": name, "attributes": {"v": change}}],
                "changes": [{"path": "p", "old": change}],
                "metadata": metadata,
                "payload": payload,
            });
            if !justification.is_empty() {
                event["justification"] = json!(justification);
            }
            if declares {
                event["data_subjects"] = json!([{"type": "c", "id": "9", "fields": ["/metadata"]}]);
            }
            event
        },
    )
}

fn taken(event: &Value) -> bool {
    parse(event.to_string().as_bytes(), &Limits::DEFAULT, NOW_MS).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nothing_that_is_found_stays_in_public_bytes(event in events(), personal in any::<bool>()) {
        if !taken(&event) {
            return Ok(());
        }
        let policy = all(if personal { Action::Personal } else { Action::Redact });
        let encoded = encoded(&event, &policy).unwrap();
        let scan = scan_public(&encoded.public, Detectors::ALL).unwrap();
        prop_assert!(!scan.partially_scanned);
        prop_assert_eq!(scan.found, vec![], "{}", String::from_utf8_lossy(&encoded.public));
        // What was written can be read by those who may.
        whole(&encoded);
    }

    #[test]
    fn encoding_is_the_same_each_time_and_loses_nothing_that_is_only_flagged(event in events()) {
        if !taken(&event) {
            return Ok(());
        }
        let flag = all(Action::Flag);
        let first = encoded(&event, &flag).unwrap();
        prop_assert_eq!(&first, &encoded(&event, &flag).unwrap());
        let plain = encoded(&event, &PrivacyPolicy::default()).unwrap();
        prop_assert_eq!(first.public, plain.public);
        prop_assert_eq!(first.personal, plain.personal);
        let redact = all(Action::Redact);
        prop_assert_eq!(encoded(&event, &redact).unwrap(), encoded(&event, &redact).unwrap());
    }

    #[test]
    fn refusing_refuses_exactly_what_is_found_in_public(event in events()) {
        if !taken(&event) {
            return Ok(());
        }
        let settings: Vec<_> = Detector::ALL.iter().map(|detector| (*detector, Action::Refuse)).collect();
        let plain = encoded(&event, &PrivacyPolicy::default()).unwrap();
        let scan = scan_public(&plain.public, Detectors::ALL).unwrap();
        let refused = encoded(&event, &policy(&settings)).is_err();
        prop_assert!(refused || scan.found.is_empty(), "{:?}", scan.found);
        let text = event.to_string();
        let parsed = parse(text.as_bytes(), &Limits::DEFAULT, NOW_MS).unwrap();
        let all = scan_event(&parsed, Detectors::ALL);
        prop_assert!(!refused || !all.found.is_empty());
    }
}

#[test]
fn the_values_of_the_properties_are_found() {
    for (detector, value) in VALUES {
        let event = by_a_service(json!({"x": format!("a {value} b")}));
        let encoded = encoded(&event, &PrivacyPolicy::default()).unwrap();
        let scan = scan_public(&encoded.public, Detectors::ALL).unwrap();
        assert!(
            scan.found.iter().any(|found| found.detector == detector),
            "{detector}: {value}"
        );
    }
}
