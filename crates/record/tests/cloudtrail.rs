//! Real CloudTrail records: every shape of identity maps, parses, encodes and comes back.
//!
//! The sample is taken from `invictus-ir/aws_dataset` (MIT licence, see `data/cloudtrail-LICENSE`).

#![expect(clippy::unwrap_used, reason = "tests")]

use attestore_record::event::{Event, Limits, Operation, Outcome, parse};
use attestore_record::group::{Envelope, encode};
use attestore_record::mapping::Mapping;
use attestore_record::policy::PrivacyPolicy;
use attestore_record::view;
use attestore_record::{Handle, RecordId, TenantId};

const NOW_MS: u64 = 1_795_312_800_000;
const SAMPLE: &str = include_str!("data/cloudtrail-sample.ndjson");

fn mapped(line: &str) -> String {
    let mapping = Mapping::builtin("cloudtrail").unwrap();
    String::from_utf8(mapping.apply(line.as_bytes()).unwrap()).unwrap()
}

fn event(native: &str) -> Event<'_> {
    parse(native.as_bytes(), &Limits::DEFAULT, NOW_MS).unwrap_or_else(|error| panic!("{error}: {native}"))
}

/// Maps, parses, encodes and rebuilds every line of a text; returns how many there were.
fn all_pass(text: &str) -> usize {
    let mapping = Mapping::builtin("cloudtrail").unwrap();
    let policy = PrivacyPolicy::default();
    let envelope = Envelope {
        id: RecordId::new(NOW_MS, [7; 10]),
        tenant: TenantId::from_bytes([1; 16]),
        protocol: "cloudtrail",
        credential_id: "key_9",
    };
    let mut count = 0;
    for line in text.lines() {
        let native = mapping.apply(line.as_bytes()).unwrap();
        let event =
            parse(&native, &Limits::DEFAULT, NOW_MS).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(
            event.payload.as_ref().unwrap().as_str(),
            line,
            "the payload is the original, verbatim"
        );
        let encoded = encode(&event, &envelope, &policy).unwrap();
        let groups: Vec<Vec<u8>> = encoded
            .personal
            .iter()
            .map(|group| group.bytes(&vec![Handle::from_bytes([5; 16]); group.subjects.len()]))
            .collect();
        let personal: Vec<&[u8]> = groups.iter().map(Vec::as_slice).collect();
        assert_eq!(
            view::rebuild(&encoded.public, &personal).unwrap(),
            event.to_json()
        );
        view::fields(&encoded.public, &personal).unwrap();
        count += 1;
    }
    count
}

#[test]
fn every_record_of_the_sample_comes_back() {
    assert!(all_pass(SAMPLE) > 30);
}

/// Run with `ATTESTORE_CLOUDTRAIL=<file of records, one a line>` to try a whole data set.
#[test]
#[ignore = "needs a data set"]
fn every_record_of_a_data_set_comes_back() {
    let path = std::env::var("ATTESTORE_CLOUDTRAIL").unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test reads its data set")]
    let text = std::fs::read_to_string(path).unwrap();
    println!("{} records", all_pass(&text));
}

#[test]
fn an_api_call_by_a_user_is_mapped_field_by_field() {
    let line = SAMPLE
        .lines()
        .find(|line| line.contains(r#""eventName":"GetBucketPolicy""#));
    let line = line.unwrap_or_else(|| {
        SAMPLE
            .lines()
            .find(|line| line.contains("s3.amazonaws.com"))
            .unwrap()
    });
    let native = mapped(line);
    let event = event(&native);
    assert!(event.action.starts_with("s3."), "{}", event.action);
    assert_eq!(event.actor.ty, "user");
    assert!(event.actor.id.as_deref().unwrap().starts_with("arn:aws:iam::"));
    assert!(event.actor.name.is_some());
    assert!(event.actor.credential_id.is_some());
    assert_eq!(event.source.service.as_deref(), Some("s3.amazonaws.com"));
    assert!(event.context.location.is_some());
    assert!(event.idempotency_key.is_some());
}

#[test]
fn identities_outcomes_and_addresses_are_told_apart() {
    let record = |identity: &str, rest: &str| {
        mapped(&format!(
            r#"{{"eventID":"e","eventTime":"2023-07-10T11:42:23Z","eventSource":"s3.amazonaws.com","eventName":"GetBucketPolicy","userIdentity":{identity}{rest}}}"#
        ))
    };
    let arn = r#""arn":"arn:aws:sts::1:assumed-role/ops/i-0""#;
    for (identity, ty, id) in [
        (
            format!(r#"{{"type":"IAMUser",{arn}}}"#),
            "user",
            "arn:aws:sts::1:assumed-role/ops/i-0",
        ),
        (
            format!(r#"{{"type":"AssumedRole",{arn}}}"#),
            "role_session",
            "arn:aws:sts::1:assumed-role/ops/i-0",
        ),
        (
            r#"{"type":"Role","arn":"arn:aws:iam::1:role/ops"}"#.into(),
            "role",
            "arn:aws:iam::1:role/ops",
        ),
        (
            r#"{"type":"Unknown","principalId":"9","userName":"ann"}"#.into(),
            "user",
            "9",
        ),
        (r#"{"type":"Unknown","principalId":"9"}"#.into(), "unknown", "9"),
        (r#"{"type":"Root","principalId":"123"}"#.into(), "root", "123"),
        (
            r#"{"type":"AWSService","invokedBy":"rds.amazonaws.com"}"#.into(),
            "service",
            "rds.amazonaws.com",
        ),
        (
            r#"{"accountId":"123","invokedBy":"health.amazonaws.com"}"#.into(),
            "service",
            "health.amazonaws.com",
        ),
        (r#"{"accountId":"123"}"#.into(), "unknown", "123"),
        ("null".into(), "unknown", "unknown"),
        (r#"{"type":"Martian","accountId":"5"}"#.into(), "unknown", "5"),
    ] {
        let native = record(&identity, "");
        let event = event(&native);
        assert_eq!(
            (&*event.actor.ty, event.actor.id.as_deref()),
            (ty, Some(id)),
            "{identity}"
        );
        assert_eq!(event.action, "s3.get_bucket_policy");
        assert_eq!(event.operation, Operation::Read);
    }
    let named = record(&format!(r#"{{"type":"AssumedRole",{arn}}}"#), "");
    assert_eq!(event(&named).actor.name.as_deref(), Some("i-0"));

    for (rest, outcome) in [
        ("", Outcome::Success),
        (r#","errorCode":"AccessDenied""#, Outcome::Denied),
        (r#","errorCode":"AccessDeniedException""#, Outcome::Denied),
        (r#","errorCode":"UnauthorizedOperation""#, Outcome::Denied),
        (r#","errorCode":"Client.UnauthorizedOperation""#, Outcome::Denied),
        (
            r#","errorCode":"ThrottlingException","errorMessage":"Rate exceeded""#,
            Outcome::Failure,
        ),
    ] {
        let native = record("{}", rest);
        assert_eq!(event(&native).outcome, outcome, "{rest}");
    }

    let by_address = record("{}", r#","sourceIPAddress":"2001:db8::1""#);
    assert_eq!(event(&by_address).context.ip.as_deref(), Some("2001:db8::1"));
    assert_eq!(event(&by_address).context.host, None);
    let by_service = record("{}", r#","sourceIPAddress":"AWS Internal""#);
    assert_eq!(event(&by_service).context.ip, None);
    assert_eq!(event(&by_service).context.host.as_deref(), Some("AWS Internal"));
}

#[test]
fn resources_become_targets() {
    let native = mapped(
        r#"{"eventSource":"s3.amazonaws.com","eventName":"X","readOnly":true,"resources":[{"ARN":"arn:1","type":"AWS::S3::Bucket"},{"accountId":"1"},{"ARN":"arn:2"}]}"#,
    );
    let event = event(&native);
    let targets: Vec<_> = event
        .targets
        .iter()
        .map(|target| (&*target.ty, target.id.as_deref().unwrap()))
        .collect();
    assert_eq!(targets, [("AWS::S3::Bucket", "arn:1"), ("resource", "arn:2")]);
    assert_eq!(event.operation, Operation::Read);
}

#[test]
fn sessions_of_people_are_personal_and_services_are_not() {
    let identity = |text: &str| {
        mapped(&format!(
            r#"{{"eventSource":"iam.amazonaws.com","eventName":"GetUser","errorMessage":"User: arn:s/ann is not authorized","sourceIPAddress":"192.0.2.1","userIdentity":{text},"resources":[{{"type":"AWS::IAM::User","ARN":"arn:s/ann"}}]}}"#
        ))
    };
    let envelope = Envelope {
        id: RecordId::new(NOW_MS, [7; 10]),
        tenant: TenantId::from_bytes([1; 16]),
        protocol: "cloudtrail",
        credential_id: "key_9",
    };
    for (ty, human) in [
        ("AssumedRole", true),
        ("IAMUser", true),
        ("Root", true),
        ("AWSService", false),
    ] {
        let native = identity(&format!(
            r#"{{"type":"{ty}","arn":"arn:s/ann","accessKeyId":"ASIA1"}}"#
        ));
        let encoded = encode(&event(&native), &envelope, &PrivacyPolicy::default()).unwrap();
        let public = String::from_utf8(encoded.public).unwrap();
        for word in ["ann", "192.0.2.1", "ASIA1"] {
            assert_eq!(public.contains(word), !human, "{ty}: {public}");
        }
        assert_eq!(encoded.personal.len(), usize::from(human));
    }
}

#[test]
fn numbers_keep_all_their_digits() {
    let mapping = Mapping::from_toml(
        "name = 'x'\n[[set]]\nto = '/actor/id'\nfrom = ['/id']\n[[set]]\nto = '/actor/name'\nfrom = ['/list/1/a~1b']",
    )
    .unwrap();
    for number in [
        "18446744073709551615",
        "18446744073709551616",
        "123456789012345678901234567890",
        "-9223372036854775809",
        "9007199254740993",
        "0.10000000000000000000001",
        "1e3",
    ] {
        let mapped = mapping.apply(format!(r#"{{"id":{number},"list":[0,{{"a/b":true}}]}}"#).as_bytes());
        assert_eq!(
            String::from_utf8(mapped.unwrap()).unwrap(),
            format!(r#"{{"actor":{{"id":"{number}","name":"true"}}}}"#)
        );
    }
}

#[test]
fn records_that_cannot_be_mapped_say_where() {
    let mapping = Mapping::builtin("cloudtrail").unwrap();
    assert_eq!(
        mapping.apply(br#"{"eventSource":"s3"}"#).unwrap_err().path,
        "/eventName"
    );
    assert_eq!(mapping.apply(br#"{"a":{"b":1,"b":2}}"#).unwrap_err().path, "/a/b");
    assert!(mapping.apply(b"{").is_err());
    assert!(mapping.apply(br#"[]"#).is_err());
}

#[test]
fn mapping_files_with_mistakes_are_refused() {
    for (text, part) in [
        ("", "name"),
        ("name = 'x'\n[[set]]\nto = 'action'\nconst = 'a'", "JSON pointer"),
        ("name = 'x'\n[[set]]\nto = '/action'", "exactly one"),
        (
            "name = 'x'\n[[set]]\nto = '/action'\nfrom = ['/a']\ntransforms = ['shout']",
            "shout",
        ),
        (
            "name = 'x'\n[[set]]\nto = '/action'\nfrom = ['/a']\nlookup = 'none'",
            "none",
        ),
        (
            "name = 'x'\n[[set]]\nto = '/action'\nfrom = ['/a']\ntest = 'odd'",
            "odd",
        ),
        ("name = 'x'\nextra = 1", "extra"),
        (
            "name = 'x'\n[[set]]\nto = '/actor'\nconst = 'a'\n[[set]]\nto = '/actor/id'\nconst = 'b'",
            "/actor:",
        ),
        (
            "name = 'x'\n[[set]]\nto = '/a/b'\nconst = 'b'\n[[each]]\nto = '/a'\nfrom = '/a'\nmax = 1\nset = []",
            "/a:",
        ),
        (
            "name = 'x'\n[[each]]\nto = '/a'\nfrom = '/a'\nmax = 1\n[[each.set]]\nto = '/c'\nconst = 'a'\n[[each.set]]\nto = '/c/d'\nconst = 'b'",
            "/a/*/c:",
        ),
        (
            "name = 'x'\n[[each]]\nto = '/a'\nfrom = '/a'\nmax = 1\nset = []\n[[each]]\nto = '/a'\nfrom = '/b'\nmax = 1\nset = []",
            "/a:",
        ),
    ] {
        let error = Mapping::from_toml(text).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    for name in Mapping::builtin_names() {
        assert_eq!(Mapping::builtin(name).unwrap().name(), name);
    }
}

#[test]
fn a_record_larger_than_any_event_is_not_taken_apart() {
    let mapping = Mapping::builtin("cloudtrail").unwrap();
    let record = |bytes: usize| format!("{{\"eventName\": [0{}]}}", ",0".repeat(bytes / 2));
    let refused = mapping.apply(record(262_144).as_bytes()).unwrap_err();
    assert_eq!(refused.message, "a record has at most 262144 bytes");
    let refused = mapping.apply(record(1000).as_bytes()).unwrap_err();
    assert_eq!(refused.path, "/eventName");
}
