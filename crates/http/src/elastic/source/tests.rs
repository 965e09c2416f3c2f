use serde_json::json;

use super::*;

const SOURCE: &str = r#"{"@timestamp":"t","seq":7,"actor":{"type":"user","id":"u\"1","name":"Ann"},"targets":[{"type":"a","id":"1"},{"type":"b"}],"metadata":{"n":1.50,"e":{},"x":null}}"#;

fn kept(source: Value) -> String {
    let filter = Filter::read(Some(&source)).unwrap();
    filter
        .apply(SOURCE)
        .unwrap()
        .map_or_else(String::new, |raw| raw.get().to_owned())
}

#[test]
fn parts_are_kept_byte_for_byte() {
    assert_eq!(kept(json!(true)), SOURCE);
    assert_eq!(kept(json!(false)), "");
    assert_eq!(kept(json!("actor.id")), r#"{"actor":{"id":"u\"1"}}"#);
    assert_eq!(
        kept(json!(["metadata", "seq"])),
        r#"{"seq":7,"metadata":{"n":1.50,"e":{},"x":null}}"#
    );
    assert_eq!(
        kept(json!("*.id")),
        r#"{"actor":{"id":"u\"1"},"targets":[{"id":"1"}]}"#
    );
    assert_eq!(kept(json!([])), SOURCE);
    assert_eq!(kept(json!("nothing")), "{}");
    assert_eq!(
        kept(json!({"includes": ["actor", "meta*"], "excludes": ["actor.n*", "metadata.n"]})),
        r#"{"actor":{"type":"user","id":"u\"1"},"metadata":{"e":{},"x":null}}"#
    );
    assert_eq!(
        kept(json!({"excludes": ["actor", "targets.id", "metadata", "@timestamp"]})),
        r#"{"seq":7,"targets":[{"type":"a"},{"type":"b"}]}"#
    );
}

#[test]
fn what_is_no_filter_is_refused() {
    for source in [
        json!(1),
        json!([1]),
        json!({"only": "a"}),
        json!({"includes": {}}),
    ] {
        assert!(Filter::read(Some(&source)).is_err(), "{source}");
    }
}

#[test]
fn values_come_with_their_paths() {
    let mut values = Vec::new();
    each_value(SOURCE, &mut |path, raw| {
        values.push(format!("{path}={}", raw.get()))
    })
    .unwrap();
    assert_eq!(
        values,
        [
            "@timestamp=\"t\"",
            "seq=7",
            "actor.type=\"user\"",
            "actor.id=\"u\\\"1\"",
            "actor.name=\"Ann\"",
            "targets.type=\"a\"",
            "targets.id=\"1\"",
            "targets.type=\"b\"",
            "metadata.n=1.50",
            "metadata.x=null",
        ]
    );
}
