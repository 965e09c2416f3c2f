use std::sync::atomic::{AtomicUsize, Ordering};

use attestore_engine::read::RecordView;

use super::*;
use crate::elastic::params::Params;

fn found(hits: usize) -> Found {
    let hit = |seq: usize| Hit {
        record: RecordView {
            origin: "logs.example/acme".to_owned(),
            seq: seq as u64,
            id: "01980000-0000-7000-8000-000000000000".parse().unwrap(),
            received_at_ms: 1_795_343_415_500,
            entry: [0; _],
            event: r#"{"action":"a b","metadata":{"m":"a a a"}}"#.to_owned(),
            kind: "event",
            restricted: false,
        },
        key: None,
        highlights: vec![Highlight {
            path: "/metadata/m".to_owned(),
            text: "a a a".to_owned(),
            ranges: vec![0..1, 2..3, 4..5],
        }],
    };
    Found {
        hits: (0..hits).map(hit).collect(),
        cursor: None,
        total: None,
        aggs: None,
    }
}

fn spec() -> Spec {
    let tag = "<".repeat(256);
    let body =
        json!({"_source": false, "highlight": {"fields": {"*": {}}, "pre_tags": [tag], "post_tags": [tag]}});
    Spec::read(body.to_string().as_bytes(), &Params::default()).unwrap()
}

#[test]
fn hits_beyond_the_room_are_refused_before_all_are_written() {
    let written = AtomicUsize::new(0);
    let gone = || {
        written.fetch_add(1, Ordering::Relaxed);
        false
    };
    // Each hit has six tags: about 1700 bytes.
    let answer = Answer::new("acme", &spec(), found(1000), 0, Turn::new(&gone, None), 10_000);
    let refusal = format!("{:?}", answer.err().unwrap());
    assert!(refusal.contains("ask for less at once"), "{refusal}");
    assert!(written.load(Ordering::Relaxed) < 10, "{written:?}");
    let answer = Answer::new("acme", &spec(), found(5), 0, Turn::new(&gone, None), 10_000).unwrap();
    assert!(answer.write(10_000).is_ok());
}

#[test]
fn writing_hits_ends_with_the_time_of_the_request() {
    let answer = Answer::new(
        "acme",
        &spec(),
        found(1),
        0,
        Turn::new(&|| false, Some(0)),
        10_000,
    );
    let refusal = format!("{:?}", answer.err().unwrap());
    assert!(refusal.contains("408"), "{refusal}");
}
