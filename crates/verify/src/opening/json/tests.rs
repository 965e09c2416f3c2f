//! The reader agrees with serde_json on everything but what it is there for.

use std::collections::BTreeSet;
use std::fmt;

use proptest::prelude::*;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{DEPTH_MAX, FEW, check, envelope, is_special, special_in};

/// JSON without names that stand twice, read by serde_json.
struct Once;

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Once;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object or a list")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Once, A::Error> {
                let mut names = BTreeSet::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    once(value).map_err(Error::custom)?;
                    if !names.insert(name) {
                        return Err(Error::custom("twice"));
                    }
                }
                Ok(Once)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Once, A::Error> {
                while let Some(value) = list.next_element::<&RawValue>()? {
                    once(value).map_err(Error::custom)?;
                }
                Ok(Once)
            }
        }

        deserializer.deserialize_any(Any)
    }
}

fn once(value: &RawValue) -> Result<(), serde_json::Error> {
    match value.get().as_bytes() {
        [b'{' | b'[', ..] => serde_json::from_str::<Once>(value.get()).map(drop),
        _ => Ok(()),
    }
}

fn by_serde(text: &str) -> Result<(), serde_json::Error> {
    once(serde_json::from_str::<&RawValue>(text)?)
}

/// JSON as text, with what is easily got wrong; if `broken`, some of it is not quite JSON.
fn texts(broken: bool) -> impl Strategy<Value = String> {
    let broken = u32::from(broken);
    let string = prop_oneof![
        400 => "[ !#-\\[\\]-~]{0,9}",
        100 => "[a-z]{0,300}",
        200 => r#"([a-zé😀]|\\["\\/bfnrt]|\\u00[0-9a-fA-F]{2}|\\ud83d\\ude00){0,5}"#,
        9 * broken => r#"(\\u[0-9a-g]{4}|\\[a-z]){1,2}"#,
        3 * broken => "[\u{0}-\u{7f}]{0,4}",
    ];
    let string = string.prop_map(|string| format!("\"{string}\"")).boxed();
    let leaf = prop_oneof![
        300 => string.clone(),
        300 => "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?",
        200 => proptest::sample::select(vec!["true", "false", "null", "{}", "[]"]).prop_map(String::from),
        9 * broken => "-?[0-9]{0,2}(\\.[0-9]{0,1})?([eE][+-]?[0-9]{0,1})?",
        3 * broken => "[a-z]{0,4}",
    ];
    let name = prop_oneof![
        300 => string,
        3 * broken => "\"[abc]\"",
        broken => Just(r#""\u0061""#.to_owned()),
    ];
    leaf.prop_recursive(5, 60, 20, move |value| {
        let space = "[ \t\r\n]{0,2}";
        let member = (name.clone(), space, value.clone())
            .prop_map(|(name, space, value)| format!("{name}{space}:{value}"));
        prop_oneof![
            (proptest::collection::vec(value, 0..20), space)
                .prop_map(|(values, space)| format!("[{}{space}]", values.join(&format!("{space},")))),
            (proptest::collection::vec(member, 0..20), space).prop_map(|(members, space)| {
                format!("{{{space}{}{space}}}", members.join(&format!(",{space}")))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_serde_takes_is_taken(text in texts(true), at: prop::sample::Index, byte in proptest::option::of(any::<u8>())) {
        prop_assert_eq!(check(&text).is_ok(), by_serde(&text).is_ok(), "{}", text);
        if let (false, Some(byte)) = (text.is_empty(), byte) {
            let mut changed = text.into_bytes();
            let at = at.index(changed.len());
            changed[at] = byte;
            if let Ok(changed) = String::from_utf8(changed) {
                prop_assert_eq!(check(&changed).is_ok(), by_serde(&changed).is_ok(), "{}", changed);
            }
        }
    }

    #[test]
    fn the_first_special_byte_of_a_word_is_found(word: [u8; 8], quote in 0usize..9) {
        let mut word = word;
        if let Some(byte) = word.get_mut(quote) {
            *byte = b'"';
        }
        let found = special_in(u64::from_le_bytes(word)).trailing_zeros() / 8;
        let first = word.iter().position(|byte| is_special(*byte)).unwrap_or(8);
        prop_assert_eq!(usize::try_from(found).unwrap(), first);
    }

    #[test]
    fn the_body_is_cut_out(before in "[ -~]{0,30}", event in texts(false), behind in "[ -~]{0,30}") {
        let event = format!("{{\"in\": {event} }}");
        prop_assume!(check(&event).is_ok()); // but for names that stand twice
        let [before, behind] = [before, behind].map(|text| serde_json::to_string(&text).unwrap());
        let frame = |event: &str| format!("{{\"a\":{{\"event\":{{}}}},\"b\":[{{\"control\":{{}}}},{before}], \"event\" : {event},\"c\":{behind}}}");
        let text = frame(&event);
        let body = check(&text).unwrap();
        prop_assert_eq!(text.get(body.clone().unwrap()), Some(&*event));
        prop_assert_eq!(envelope(&text, body), frame("{}"));
    }
}

#[test]
fn a_name_stands_once_in_each_object() {
    for sound in [
        r#"{}"#,
        r#"[[],{},{"a":1},{"a":1}]"#,
        r#"{"a":{"a":{"b":[]},"b":{"a":"a","c":":"}},"b":[{"a":1},{"a":2}],"c":["a","a"]}"#,
        r#"{"a\"":1,"a\\":{"a":"}{"},"a" : "\"a\":\"","\u00e9":1}"#,
    ] {
        assert_eq!(check(sound), Ok(None), "{sound}");
    }
    for twice in [
        r#"{"a":1,"a":2}"#,
        r#"[{"b":{},"c":[{"a":1,"b":[],"a" : 2}]}]"#,
        r#"{"a":{"b":1},"c":{},"a":1}"#,
        r#"{"\u0061":1,"a":2}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"\ud800":1}"#,
    ] {
        assert!(check(twice).is_err(), "{twice}");
    }
}

#[test]
fn of_many_names_each_stands_once_too() {
    for count in [FEW - 1, FEW, FEW + 1, 3 * FEW] {
        let names: Vec<_> = (0..count).map(|n| format!("\"{n}\":{{\"0\":1}}")).collect();
        assert_eq!(check(&format!("{{{}}}", names.join(","))), Ok(None));
        for again in 0..count {
            let text = format!("{{{},\"{again}\":1}}", names.join(","));
            let error = check(&text).unwrap_err();
            assert!(error.contains(&format!("\"{again}\" stands twice")), "{error}");
        }
    }
}

#[test]
fn nothing_is_nested_too_deep() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        assert_eq!(check(&nested(DEPTH_MAX)), Ok(None));
        let error = check(&nested(DEPTH_MAX + 1)).unwrap_err();
        assert!(error.starts_with("it is nested more than 256 deep"), "{error}");
    }
}

#[test]
fn a_body_is_an_object_at_the_top() {
    for (text, body) in [
        (r#"{"event":{"event":{}}}"#, Some(r#"{"event":{}}"#)),
        (r#"{"control":{ }, "event":{}}"#, Some("{ }")),
        (r#"{"event":[{}]}"#, None),
        (r#"[{"event":{}}]"#, None),
        (r#"{"\u0065vent":{"a":[]}}"#, Some(r#"{"a":[]}"#)),
        (r#"{"a":[{}],"event":1,"b":{}}"#, None),
    ] {
        let found = check(text).unwrap().map(|body| &text[body]);
        assert_eq!(found, body, "{text}");
    }
    let _: IgnoredAny = serde_json::from_str(&envelope("{}", None)).unwrap();
}
