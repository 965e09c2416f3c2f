//! Properties: what is encoded comes back; the minifier agrees with another JSON reader.

#![expect(clippy::unwrap_used, reason = "tests")]

use attestore_record::event::{Limits, parse};
use attestore_record::group::{Envelope, encode};
use attestore_record::json::minify;
use attestore_record::policy::PrivacyPolicy;
use attestore_record::{Handle, RecordId, TenantId, view};
use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use serde_json::Value;

const NOW_MS: u64 = 1_795_312_800_000;

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e300_f64..1e300).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-c~/\"é\\\\]{0,3}", inner, 0..24)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("a".to_owned()),
        Just("b".to_owned()),
        "[^\\x00-\\x1f\\x7f]{1,8}"
    ]
}

fn ty() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("user".to_owned()),
        Just("service".to_owned()),
        Just("customer".to_owned())
    ]
}

fn event() -> impl Strategy<Value = Value> {
    let metadata = prop::collection::btree_map("[a-d]{1,2}", json(), 0..6);
    let targets = prop::collection::vec((ty(), id(), prop::option::of(".{0,8}")), 0..4);
    let subjects = prop::collection::vec((ty(), id(), any::<[bool; 4]>()), 0..4);
    (ty(), id(), ".{0,8}", targets, subjects, metadata, json(), json()).prop_map(
        |(actor_type, actor_id, name, targets, subjects, metadata, change, payload)| {
            let mut pointers = vec!["/actor/name", "/changes/0"];
            pointers.push(if targets.is_empty() {
                "/actor"
            } else {
                "/targets/0/id"
            });
            pointers.push(if metadata.contains_key("a") {
                "/metadata/a"
            } else {
                "/metadata"
            });
            let targets: Vec<Value> = targets
                .into_iter()
                .map(|(ty, id, name)| serde_json::json!({"type": ty, "id": id, "name": name}))
                .collect();
            let subjects: Vec<Value> = subjects
                .into_iter()
                .map(|(ty, id, chosen)| {
                    let fields: Vec<_> = pointers
                        .iter()
                        .zip(chosen)
                        .filter(|(_, chosen)| *chosen)
                        .map(|(p, _)| p)
                        .collect();
                    serde_json::json!({"type": ty, "id": id, "fields": fields})
                })
                .collect();
            serde_json::json!({
                "action": "thing.update",
                "actor": {"type": actor_type, "id": actor_id, "name": name.replace('\0', "")},
                "targets": targets.into_iter().map(without_nul).collect::<Vec<_>>(),
                "changes": [{"path": "p", "old": change}],
                "data_subjects": subjects,
                "metadata": metadata,
                "payload": payload,
            })
        },
    )
}

fn without_nul(value: Value) -> Value {
    serde_json::from_str(&value.to_string().replace("\\u0000", "")).unwrap()
}

proptest! {
    #[test]
    fn encoded_events_come_back(event in event(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&event).unwrap() } else { event.to_string() };
        let parsed = match parse(text.as_bytes(), &Limits::DEFAULT, NOW_MS) {
            Ok(parsed) => parsed,
            Err(error) => panic!("{error}: {text}"),
        };
        let normalised = parsed.to_json();
        let again = parse(normalised.as_bytes(), &Limits::DEFAULT, NOW_MS).unwrap();
        prop_assert_eq!(again.to_json(), normalised.clone());
        let envelope = Envelope {
            id: RecordId::new(NOW_MS, [7; 10]),
            tenant: TenantId::from_bytes([1; 16]),
            protocol: "native",
            credential_id: "key",
        };
        let encoded = encode(&parsed, &envelope, &PrivacyPolicy::default()).unwrap();
        let groups: Vec<Vec<u8>> = encoded
            .personal
            .iter()
            .map(|group| group.bytes(&vec![Handle::from_bytes([2; 16]); group.subjects.len()]))
            .collect();
        let slices: Vec<&[u8]> = groups.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(view::rebuild(&encoded.public, &slices).unwrap(), normalised);
        let marked = view::rebuild(&encoded.public, &[]).unwrap();
        let withheld = view::open(&encoded.public).unwrap().withheld.len();
        prop_assert_eq!(marked.contains("\"[personal]\""), withheld > 0);
        let mut sets: Vec<_> = encoded.personal.iter().map(|group| group.subjects.clone()).collect();
        let count = sets.len();
        sets.sort();
        sets.dedup();
        prop_assert_eq!(sets.len(), count, "one group for each set");
        view::fields(&encoded.public, &slices).unwrap();
    }

    #[test]
    fn minifying_keeps_the_value(value in json(), spaces in "[ \t\r\n]{0,3}") {
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        let text = format!("{spaces}{pretty}{spaces}");
        let minified = minify(text.as_bytes(), 32).unwrap();
        prop_assert_eq!(minified.as_ref(), value.to_string());
        prop_assert_eq!(minify(minified.as_bytes(), 32).unwrap(), minified.as_ref());
    }

    #[test]
    fn what_is_accepted_is_json(text in "[\\[\\]{}:,\"\\\\ue0-3+.Entrufalsdb \t\u{1f600}\u{1}-]{0,24}") {
        let other = serde_json::from_str::<Value>(&text);
        match minify(text.as_bytes(), 32) {
            Ok(minified) => prop_assert_eq!(serde_json::from_str::<Value>(&minified).unwrap(), other.unwrap()),
            Err(error) if error.code.as_str() == "invalid_json" || error.code.as_str() == "invalid_utf8" => {
                prop_assert!(other.is_err(), "{error}: {text:?}");
            }
            Err(_) => {}
        }
    }

    #[test]
    fn accepted_strings_are_read_alike(inside in "(\\\\[\"\\\\/bfnrtu]|\\\\u[dD][89abcdEF][0-9a-f]{2}|\\\\u00[0-9a-f]{2}|[ -!#-\\[\\]-~é\u{1f600}]){0,6}") {
        let text = format!("{{\"action\":\"a\",\"actor\":{{\"type\":\"job\",\"id\":\"x\"}},\"justification\":\"{inside}\"}}");
        let other = serde_json::from_str::<Value>(&text);
        match parse(text.as_bytes(), &Limits::DEFAULT, NOW_MS) {
            Ok(event) => {
                let other = other.unwrap();
                prop_assert_eq!(event.justification.as_deref(), other["justification"].as_str());
                let written: Value = serde_json::from_str(&event.to_json()).unwrap();
                prop_assert_eq!(&written["justification"], &other["justification"]);
            }
            Err(error) if error.code.as_str() == "invalid_value" => prop_assert!(inside.contains("\\u0000")),
            Err(_) => prop_assert!(other.is_err(), "{text}"),
        }
    }

    #[test]
    fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        drop(parse(&bytes, &Limits::DEFAULT, NOW_MS));
        drop(view::open(&bytes));
        drop(view::handles(&bytes));
    }

    #[test]
    fn times_agree_with_another_implementation(ns in 0_i64..=i64::MAX, offset in -23_i64..=23, digits in 0_usize..=9) {
        let unit = 10_i64.pow(u32::try_from(9 - digits).unwrap());
        let ns = ns / unit * unit;
        let stamp = jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap();
        let zoned = stamp.to_zoned(jiff::tz::Offset::constant(i8::try_from(offset).unwrap()).to_time_zone());
        let local = zoned.strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string();
        let text = format!(r#"{{"action":"a","actor":{{"type":"job","id":"x"}},"occurred_at":"{local}"}}"#);
        let event = parse(text.as_bytes(), &Limits::DEFAULT, u64::MAX / 2).unwrap();
        prop_assert_eq!(event.occurred_at_ns, Some(ns), "{}", local);
        let expected = format!("\"occurred_at\":\"{stamp}\"");
        prop_assert!(event.to_json().contains(&expected), "{} {}", event.to_json(), expected);
    }
}
