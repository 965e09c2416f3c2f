//! What goes into which group, and that everything comes back.

#![expect(clippy::unwrap_used, reason = "tests")]

use attestore_record::event::{ErrorCode, Event, Limits, parse};
use attestore_record::group::{Encoded, Envelope, encode};
use attestore_record::policy::{PolicyError, PrivacyPolicy, Rule, SubjectRule};
use attestore_record::{Handle, RecordId, SubjectRef, TenantId, control, view};

const NOW_MS: u64 = 1_795_312_800_000;
const FULL: &str = include_str!("data/full-event.json");

fn event(text: &str) -> Event<'_> {
    parse(text.as_bytes(), &Limits::DEFAULT, NOW_MS).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn envelope() -> Envelope<'static> {
    Envelope {
        id: RecordId::new(NOW_MS, [7; 10]),
        tenant: TenantId::from_bytes([1; 16]),
        protocol: "native",
        credential_id: "key_9",
    }
}

fn personal(encoded: &Encoded) -> Vec<Vec<u8>> {
    let handle = |at: usize| Handle::from_bytes([u8::try_from(at).unwrap(); 16]);
    encoded
        .personal
        .iter()
        .map(|group| group.bytes(&(0..group.subjects.len()).map(handle).collect::<Vec<_>>()))
        .collect()
}

fn slices(groups: &[Vec<u8>]) -> Vec<&[u8]> {
    groups.iter().map(Vec::as_slice).collect()
}

fn describe(encoded: &Encoded) -> Vec<(String, String)> {
    let subjects = |group: &attestore_record::PersonalGroup| {
        group
            .subjects
            .iter()
            .map(|s| format!("{}:{}", s.ty, s.id))
            .collect::<Vec<_>>()
            .join("+")
    };
    encoded
        .personal
        .iter()
        .map(|group| (subjects(group), String::from_utf8(group.body.clone()).unwrap()))
        .collect()
}

#[test]
fn a_service_has_one_public_group() {
    let event = event(
        r#"{"action":"a.read","actor":{"type":"service","id":"s"},"context":{"ip":"::1"},"payload":{"x":1}}"#,
    );
    let encoded = encode(&event, &envelope(), &PrivacyPolicy::default()).unwrap();
    assert_eq!(
        String::from_utf8(encoded.public).unwrap(),
        r#"{"v":1,"id":"01a20306-3d00-7707-8707-070707070707","tenant":"01010101010101010101010101010101","protocol":"native","credential":"key_9","privacy":1,"event":{"action":"a.read","operation":"read","outcome":"success","actor":{"type":"service","id":"s"},"context":{"ip":"::1"},"payload":{"x":1}}}"#
            .replace("01a20306-3d00-7707-8707-070707070707", &envelope().id.to_string())
    );
    assert!(encoded.personal.is_empty());
}

#[test]
fn fields_about_a_human_actor_leave_the_public_group() {
    let event = event(
        r#"{"action":"a.read","actor":{"type":"User","id":"u_42","name":"Ann"},"context":{"ip":"203.0.113.9"},"payload":[1]}"#,
    );
    let encoded = encode(&event, &envelope(), &PrivacyPolicy::default()).unwrap();
    let public = String::from_utf8(encoded.public.clone()).unwrap();
    assert!(public.ends_with(
        r#""privacy":1,"withheld":["/actor/id","/actor/name","/context/ip","/payload"],"event":{"action":"a.read","operation":"read","outcome":"success","actor":{"type":"User"}}}"#
    ), "{public}");
    assert_eq!(
        describe(&encoded),
        [(
            "user:u_42".to_owned(),
            r#"{"/actor/id":"u_42","/actor/name":"Ann","/context/ip":"203.0.113.9","/payload":[1]}"#
                .to_owned()
        )]
    );
    assert_eq!(
        String::from_utf8(encoded.personal[0].bytes(&[Handle::from_bytes([0xab; 16])])).unwrap(),
        format!(
            r#"{{"v":1,"subjects":["{}"],"fields":{}}}"#,
            "ab".repeat(16),
            describe(&encoded)[0].1
        )
    );
    assert_eq!(
        view::rebuild(&encoded.public, &[]).unwrap(),
        r#"{"action":"a.read","operation":"read","outcome":"success","actor":{"type":"User","id":"[personal]","name":"[personal]"},"context":{"ip":"[personal]"},"payload":"[personal]"}"#
    );
}

#[test]
fn each_set_of_subjects_has_its_own_group() {
    let event = event(FULL);
    let encoded = encode(&event, &envelope(), &PrivacyPolicy::default()).unwrap();
    let groups = describe(&encoded);
    let of = |set: &str| {
        groups
            .iter()
            .find(|(subjects, _)| subjects == set)
            .map_or("", |(_, body)| body.as_str())
    };
    assert_eq!(groups.len(), 5, "{groups:#?}");
    assert!(of("user:u_42").contains(r#""/data_subjects/1/id":"u_42""#));
    assert_eq!(
        of("user:u_42+user:u_7"),
        r#"{"/outcome_reason/message":"second factor missing","/context/ip":"203.0.113.9","/context/host":"laptop.example.com","/context/user_agent":"curl/8","/context/session_id":"s-1"}"#
    );
    assert_eq!(
        of("user:u_7"),
        r#"{"/actor/on_behalf_of/id":"u_7","/actor/on_behalf_of/name":"Bo","/actor/on_behalf_of/email":"b@example.com"}"#
    );
    assert_eq!(
        of("customer:c_9"),
        r#"{"/targets/1/id":"c_9","/targets/1/name":"Cleo","/targets/1/attributes":{"tier":"gold"},"/data_subjects/0/id":"c_9","/metadata/email":"ann@example.com","/metadata/nested/phones/1":"+2"}"#
    );
    assert!(of("customer:c_9+user:u_42+user:u_7").starts_with(
        r#"{"/changes/0/old":10,"/changes/0/new":{"value":20},"/changes/1/old":null,"/payload":{"#
    ));
    let public = String::from_utf8(encoded.public.clone()).unwrap();
    assert!(
        public.contains(r#""metadata":{"k":"v","email":null,"nested":{"phones":["+1",null]}}"#),
        "{public}"
    );
    for word in ["Ann", "u_42", "u_7", "c_9", "ann@", "gold", "203.0.113.9", "+2"] {
        assert!(!public.contains(word), "{word}");
    }

    let groups = personal(&encoded);
    assert_eq!(
        view::rebuild(&encoded.public, &slices(&groups)).unwrap(),
        event.to_json()
    );
    for left_out in 0..groups.len() {
        let mut some = slices(&groups);
        some.remove(left_out);
        let text = view::rebuild(&encoded.public, &some).unwrap();
        assert!(text.contains("[personal]"));
        assert_ne!(text, event.to_json());
    }
}

#[test]
fn a_field_claimed_by_two_subjects_belongs_to_both() {
    let event = event(
        r#"{"action":"a.b","actor":{"type":"job","id":"j"},"metadata":{"m":{"x":1,"y":2}},"data_subjects":[{"type":"c","id":"1","fields":["/metadata/m"]},{"type":"c","id":"2","fields":["/metadata/m/x"]},{"type":"c","id":"3","fields":["/actor"]}]}"#,
    );
    let encoded = encode(&event, &envelope(), &PrivacyPolicy::default()).unwrap();
    let groups = describe(&encoded);
    assert!(
        groups.contains(&(
            "c:1+c:2".to_owned(),
            r#"{"/metadata/m":{"x":1,"y":2}}"#.to_owned()
        )),
        "{groups:?}"
    );
    assert!(
        groups
            .iter()
            .any(|(set, body)| set == "c:3" && body.contains(r#""/actor/id":"j""#)),
        "{groups:?}"
    );
    let groups = personal(&encoded);
    assert_eq!(
        view::rebuild(&encoded.public, &slices(&groups)).unwrap(),
        event.to_json()
    );
}

#[test]
fn policy_rules_reach_into_free_form_values() {
    let rule = |path: &str, subject| Rule {
        path: path.to_owned(),
        subject,
    };
    let policy = PrivacyPolicy::new(
        7,
        vec!["Nurse".to_owned()],
        vec![
            rule("/metadata/email", SubjectRule::Actor),
            rule("/changes/*/old", SubjectRule::Actor),
            rule("/targets/0/name", SubjectRule::Actor),
            rule("/payload/*/ssn", SubjectRule::All),
        ],
    )
    .unwrap();
    let text = r#"{"action":"a.b","actor":{"type":"nurse","id":"n"},"targets":[{"type":"t","id":"1","name":"N"},{"type":"t","id":"2","name":"M"}],"changes":[{"path":"p","old":1,"new":2}],"metadata":{"email":"e","k":1},"payload":[{"ssn":"s"},{"ok":1}]}"#;
    let event = event(text);
    let encoded = encode(&event, &envelope(), &policy).unwrap();
    assert_eq!(
        describe(&encoded),
        [(
            "nurse:n".to_owned(),
            r#"{"/targets/0/name":"N","/changes/0/old":1,"/metadata/email":"e","/payload/0/ssn":"s"}"#
                .to_owned()
        )]
    );
    let opened = view::open(&encoded.public).unwrap();
    assert_eq!(opened.privacy, 7);
    assert_eq!(
        opened.withheld,
        [
            "/targets/0/name",
            "/changes/0/old",
            "/metadata/email",
            "/payload/0/ssn"
        ]
    );
    let groups = personal(&encoded);
    assert_eq!(
        view::rebuild(&encoded.public, &slices(&groups)).unwrap(),
        event.to_json()
    );

    let fields = view::fields(&encoded.public, &slices(&groups)).unwrap();
    assert_eq!(
        fields.public.metadata.unwrap().as_str(),
        r#"{"email":null,"k":1}"#
    );
    assert_eq!(fields.personal.metadata.unwrap().as_str(), r#"{"email":"e"}"#);
    assert_eq!(fields.personal.payload.unwrap().as_str(), r#"{"ssn":"s"}"#);
    assert_eq!(fields.public.target_names, ["M"]);
    assert_eq!(fields.personal.target_names, ["N"]);
}

#[test]
fn the_case_of_a_type_makes_no_other_subject() {
    let event = event(
        r#"{"action":"a.b","actor":{"type":"User","id":"alice","on_behalf_of":{"type":"USER","id":"alice"}},"targets":[{"type":"uSER","id":"alice"}],"data_subjects":[{"type":"user","id":"alice"}]}"#,
    );
    let encoded = encode(&event, &envelope(), &PrivacyPolicy::default()).unwrap();
    assert_eq!(
        describe(&encoded),
        [(
            "user:alice".to_owned(),
            r#"{"/actor/id":"alice","/actor/on_behalf_of/id":"alice","/targets/0/id":"alice","/data_subjects/0/id":"alice"}"#
                .to_owned()
        )]
    );
    let subject = &encoded.personal[0].subjects[0];
    assert_eq!(*subject, SubjectRef::new("USER", "alice"));
    assert_ne!(*subject, SubjectRef::new("user", "Alice"), "ids are exact");
}

#[test]
fn a_target_with_the_id_of_a_subject_is_that_subject() {
    let event = event(
        r#"{"action":"a.b","actor":{"type":"user","id":"arn:a"},"targets":[{"type":"AWS::IAM::User","id":"arn:a","name":"Ann","attributes":{"x":1}},{"type":"AWS::IAM::User","id":"arn:b"},{"type":"customer","id":"9"},{"type":"invoice","id":"9"}],"data_subjects":[{"type":"customer","id":"9"},{"type":"patient","id":"9"}]}"#,
    );
    assert_eq!(
        describe(&encode(&event, &envelope(), &PrivacyPolicy::default()).unwrap()),
        [
            (
                "user:arn:a".to_owned(),
                r#"{"/actor/id":"arn:a","/targets/0/id":"arn:a","/targets/0/name":"Ann","/targets/0/attributes":{"x":1}}"#
                    .to_owned()
            ),
            (
                "customer:9".to_owned(),
                r#"{"/targets/2/id":"9","/data_subjects/0/id":"9"}"#.to_owned()
            ),
            (
                "customer:9+patient:9".to_owned(),
                r#"{"/targets/3/id":"9"}"#.to_owned()
            ),
            ("patient:9".to_owned(), r#"{"/data_subjects/1/id":"9"}"#.to_owned()),
        ]
    );
    let by_a_service =
        r#"{"action":"a.b","actor":{"type":"service","id":"s"},"targets":[{"type":"service","id":"s"}]}"#;
    assert!(
        encode(&self::event(by_a_service), &envelope(), &PrivacyPolicy::default())
            .unwrap()
            .personal
            .is_empty()
    );
}

#[test]
fn where_a_service_acts_for_a_person_the_context_is_about_that_person() {
    let event = event(
        r#"{"action":"a.b","outcome_reason":{"code":"c","message":"Bo is locked"},"actor":{"type":"service","id":"s","name":"proxy","on_behalf_of":{"type":"user","id":"u_7"}},"context":{"ip":"::1","host":"h","user_agent":"a","location":"DE","session_id":"x"},"changes":[{"path":"p","old":1,"new":{"x":2}}]}"#,
    );
    let encoded = encode(&event, &envelope(), &PrivacyPolicy::default()).unwrap();
    assert_eq!(
        describe(&encoded),
        [(
            "user:u_7".to_owned(),
            r#"{"/outcome_reason/message":"Bo is locked","/actor/on_behalf_of/id":"u_7","/context/ip":"::1","/context/host":"h","/context/user_agent":"a","/context/session_id":"x","/changes/0/old":1,"/changes/0/new":{"x":2}}"#
                .to_owned()
        )]
    );
}

#[test]
fn every_record_that_is_accepted_can_be_read_again() {
    let limits = Limits {
        free_form_depth_max: 1000,
        ..Limits::DEFAULT
    };
    let nested = |depth: usize| {
        let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        format!(
            r#"{{"action":"a","actor":{{"type":"user","id":"u"}},"targets":[{{"type":"t","id":"1","attributes":{{"x":{}}}}}],"changes":[{{"path":"p","old":{nested}}}],"metadata":{{"x":{}}},"payload":{nested}}}"#,
            &nested[1..2 * depth - 1],
            &nested[1..2 * depth - 1]
        )
    };
    let text = nested(64);
    let event = parse(text.as_bytes(), &limits, NOW_MS).unwrap();
    let encoded = encode(&event, &envelope(), &PrivacyPolicy::default()).unwrap();
    let groups = personal(&encoded);
    assert_eq!(
        view::rebuild(&encoded.public, &slices(&groups)).unwrap(),
        event.to_json()
    );
    view::fields(&encoded.public, &slices(&groups)).unwrap();
    for depth in [65, 120, 200] {
        let error = parse(nested(depth).as_bytes(), &limits, NOW_MS).unwrap_err();
        assert_eq!(error.code, ErrorCode::TooDeep, "{depth}");
    }
}

/// The document names every human type and every rule of the default policy.
#[test]
fn the_default_policy_is_documented() {
    let document = include_str!("../../../docs/event.md");
    let (_, section) = document.split_once("### Version 1").unwrap();
    let section = section.split("\n#").next().unwrap();
    let policy = PrivacyPolicy::default();
    for ty in policy.human_types() {
        assert!(section.contains(&format!("`{ty}`")), "{ty}");
    }
    for rule in policy.rules() {
        let subject = serde_json::to_value(rule.subject).unwrap();
        let row = section
            .lines()
            .find(|line| line.contains(&format!("`{}`", rule.path)));
        let row = row.unwrap_or_else(|| panic!("{}", rule.path));
        assert!(
            row.contains(&format!("`{}`", subject.as_str().unwrap())),
            "{}: {row}",
            rule.path
        );
    }
}

#[test]
fn a_value_with_too_many_personal_parts_is_personal_as_a_whole() {
    let rules = vec![Rule {
        path: "/payload/*".to_owned(),
        subject: SubjectRule::Actor,
    }];
    let policy = PrivacyPolicy::new(1, vec!["user".to_owned()], rules).unwrap();
    let zeros = vec!["0"; 5000].join(",");
    let text = format!(r#"{{"action":"a","actor":{{"type":"user","id":"u"}},"payload":[{zeros}]}}"#);
    let event = event(&text);
    let encoded = encode(&event, &envelope(), &policy).unwrap();
    assert_eq!(view::open(&encoded.public).unwrap().withheld, ["/payload"]);
    let groups = personal(&encoded);
    assert_eq!(
        view::rebuild(&encoded.public, &slices(&groups)).unwrap(),
        event.to_json()
    );
}

#[test]
fn policies_with_mistakes_are_refused() {
    let rules = |path: &str| {
        vec![Rule {
            path: path.to_owned(),
            subject: SubjectRule::All,
        }]
    };
    for path in [
        "/action",
        "/actor/type",
        "/nothing",
        "actor/id",
        "",
        "/metadata~2",
        "/actor/id/x",
    ] {
        assert_eq!(
            PrivacyPolicy::new(1, vec![], rules(path)),
            Err(PolicyError::Path(path.to_owned())),
            "{path}"
        );
    }
    for path in [
        "/actor",
        "/context",
        "/targets/*/name",
        "/targets/3",
        "/metadata/a/*/b",
        "/changes/*/old/x",
    ] {
        assert!(PrivacyPolicy::new(1, vec![], rules(path)).is_ok(), "{path}");
    }
    assert_eq!(PrivacyPolicy::new(0, vec![], vec![]), Err(PolicyError::Version));
    let policy = PrivacyPolicy::default();
    let json = serde_json::to_string(&policy).unwrap();
    assert_eq!(serde_json::from_str::<PrivacyPolicy>(&json).unwrap(), policy);
    assert!(serde_json::from_str::<PrivacyPolicy>(r#"{"version":0,"human_types":[],"rules":[]}"#).is_err());
}

#[test]
fn fields_say_which_half_they_come_from() {
    let event = event(FULL);
    let encoded = encode(&event, &envelope(), &PrivacyPolicy::default()).unwrap();
    let groups = personal(&encoded);
    let fields = view::fields(&encoded.public, &slices(&groups)).unwrap();
    assert_eq!(fields.public.actor_id, None);
    assert_eq!(fields.personal.actor_id.as_deref(), Some("u_42"));
    assert_eq!(fields.personal.ip, Some("203.0.113.9".parse().unwrap()));
    assert_eq!(fields.public.target_ids, ["inv_1"]);
    assert_eq!(fields.personal.target_ids, ["c_9"]);
    assert_eq!(fields.public.occurred_at_ns, Some(1_795_312_800_123_456_000));
    assert_eq!(fields.public.protocol.as_deref(), Some("native"));
    assert!(fields.personal.text().contains("Ann\n"));
    assert!(!fields.public.text().contains("Ann"));
    assert!(fields.public.text().contains("+1\n"));
    let alone = view::fields(&encoded.public, &[]).unwrap();
    assert_eq!(alone.public, fields.public);
    assert_eq!(alone.personal, view::FieldValues::default());
    let mut strings = Vec::new();
    view::leaf_strings(r#"{"a":["x",{"b":"y\n"}],"c":1}"#, &mut |text| {
        strings.push(text.to_owned())
    });
    assert_eq!(strings, ["x", "y\n"]);
}

#[test]
fn groups_of_other_records_are_refused() {
    let one = encode(&event(FULL), &envelope(), &PrivacyPolicy::default()).unwrap();
    let two = encode(
        &event(r#"{"action":"a.b","actor":{"type":"user","id":"u"}}"#),
        &envelope(),
        &PrivacyPolicy::default(),
    )
    .unwrap();
    let groups = personal(&one);
    for group in &groups {
        if !String::from_utf8_lossy(group).contains("\"/actor/id\"") {
            assert!(view::rebuild(&two.public, &[group]).is_err());
            assert!(view::fields(&two.public, &[group]).is_err());
        }
    }
    assert!(
        view::rebuild(&one.public, &[&groups[0], &groups[0]]).is_err(),
        "a group given twice"
    );
    assert!(view::open(&groups[0]).is_err());
    assert!(view::handles(&one.public).is_err());
    for (group, encoded) in groups.iter().zip(&one.personal) {
        assert_eq!(view::handles(group).unwrap().len(), encoded.subjects.len());
    }
}

#[test]
fn damaged_groups_never_panic() {
    let encoded = encode(&event(FULL), &envelope(), &PrivacyPolicy::default()).unwrap();
    let groups = personal(&encoded);
    for at in 0..encoded.public.len() {
        for mask in [0x01, 0x10, 0x80] {
            let mut public = encoded.public.clone();
            public[at] ^= mask;
            drop(view::rebuild(&public, &slices(&groups)));
            drop(view::fields(&public, &slices(&groups)));
        }
    }
    for at in 0..groups[0].len() {
        let mut group = groups[0].clone();
        group[at] ^= 0x02;
        drop(view::rebuild(&encoded.public, &[&group]));
        drop(view::fields(&encoded.public, &[&group]));
    }
}

#[test]
fn control_records_carry_their_object() {
    #[derive(serde::Serialize)]
    #[serde(tag = "type", rename_all = "snake_case")]
    enum Control {
        Purge { before_ms: u64 },
    }
    let envelope = Envelope {
        protocol: "internal",
        ..envelope()
    };
    let public = control::encode(&envelope, &Control::Purge { before_ms: 5 }).unwrap();
    assert!(std::str::from_utf8(&public).unwrap().ends_with(
        r#""protocol":"internal","credential":"key_9","privacy":0,"control":{"type":"purge","before_ms":5}}"#
    ));
    assert_eq!(
        view::rebuild(&public, &[]).unwrap(),
        r#"{"type":"purge","before_ms":5}"#
    );
    let fields = view::fields(&public, &[]).unwrap();
    assert_eq!(fields.public.control_type.as_deref(), Some("purge"));
    assert!(control::encode(&envelope, &1).is_err());
    assert!(control::encode(&envelope, &std::collections::BTreeMap::from([("a", 1)])).is_err());
}
