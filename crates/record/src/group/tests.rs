//! A value that cannot be walked is personal as a whole.

use super::{Envelope, encode};
use crate::event::{Event, Limits, Raw, parse};
use crate::ids::{RecordId, TenantId};
use crate::policy::{PrivacyPolicy, Rule, SubjectRule};

/// An event of `c:1` and the actor, both with claims inside the metadata, which is set to `metadata`.
fn groups(metadata: &str, policy: &PrivacyPolicy) -> (String, Vec<(Vec<String>, String)>) {
    let text = r#"{"action":"a.b","actor":{"type":"user","id":"u"},"metadata":{"x":1},"data_subjects":[{"type":"c","id":"1","fields":["/metadata/x"]}]}"#;
    let mut event: Event<'_> = parse(text.as_bytes(), &Limits::DEFAULT, 0).unwrap();
    event.metadata = Some(Raw(metadata.into()));
    let envelope = Envelope {
        id: RecordId::new(0, [7; 10]),
        tenant: TenantId::from_bytes([1; 16]),
        protocol: "native",
        credential_id: "key_9",
    };
    let encoded = encode(&event, &envelope, policy).unwrap();
    let groups = encoded.personal.into_iter().map(|group| {
        let ids = group.subjects.into_iter().map(|subject| subject.id).collect();
        (ids, String::from_utf8(group.body).unwrap())
    });
    (String::from_utf8(encoded.public).unwrap(), groups.collect())
}

#[test]
fn a_value_that_cannot_be_walked_goes_to_everybody_with_a_claim_inside() {
    let rules = vec![Rule {
        path: "/metadata/a/*/b".to_owned(),
        subject: SubjectRule::Actor,
    }];
    let policy = PrivacyPolicy::new(1, vec!["user".to_owned()], rules).unwrap();
    let deep = format!(
        r#"{{"a":{{"secret":{}"{}}},"x":1}}"#,
        r#"{"b":"#.repeat(129),
        "}".repeat(129)
    );
    for broken in [r#"{"secret":1,"x":}"#, r#"{"a":{"q":{"b":"secret"#, &deep] {
        let (public, groups) = groups(broken, &policy);
        assert!(!public.contains("secret"), "{public}");
        let whole = format!(r#""/metadata":{broken}"#);
        assert!(
            groups
                .iter()
                .any(|(ids, body)| *ids == ["1", "u"] && body.contains(&whole)),
            "{groups:?}"
        );
    }
    let (public, _) = groups(r#"{"secret":1,"x":2}"#, &policy);
    assert!(public.contains("secret"), "what nobody claims stays: {public}");
}
