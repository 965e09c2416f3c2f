//! Pages come from one tree, whatever is appended, flushed or restarted between them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::{append, ask, nth, seqs};
use crate::harness::{Client, Server};

const RECORDS: u64 = 400;

#[test]
fn pages_hold_each_record_once_while_others_append() {
    let server = Server::start_with(&[], &[("ATTESTORE_ENGINE__FLUSH_AGE_MS", "500")]);
    let client = server.client();
    append(&client, "default", &(0..RECORDS).map(nth).collect::<Vec<_>>());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let ingest = scope.spawn(|| {
            let client = server.client();
            let mut n = RECORDS;
            while !over.load(Ordering::Relaxed) {
                append(&client, "default", &(n..n + 20).map(nth).collect::<Vec<_>>());
                n += 20;
            }
            n
        });
        {
            let _ends = SetOnDrop(&over); // also when a page is wrong
            for sort in [
                "newest",
                "oldest",
                "occurred_at:desc",
                "occurred_at:asc",
                "actor.id:asc",
                "action:desc",
                "context.ip:desc",
            ] {
                walk(&client, sort);
            }
        }
        let appended = ingest.join().unwrap();
        assert!(appended > RECORDS + 20, "nothing was appended meanwhile");
    });
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Reads every page and checks that together they are the tree that the first one named.
fn walk(client: &Client, sort: &str) {
    let mut body = json!({"query": "NOT outcome:denied", "sort": sort, "limit": 37, "count": true, "fields": ["action", "outcome"]});
    let (mut seen, mut tree, mut count) = (Vec::new(), Value::Null, Value::Null);
    loop {
        let page = ask(client, "default", &body);
        if tree.is_null() {
            tree = page["tree"].clone();
            count = page["count"].clone();
        }
        assert_eq!(page["tree"], tree, "{sort}: pages come from different trees");
        assert_eq!(page["count"], count, "{sort}");
        seen.extend(seqs(&page));
        match page["cursor"].as_str() {
            Some(cursor) => body["cursor"] = json!(cursor),
            None => break,
        }
    }
    let size = tree["size"].as_u64().unwrap();
    let expected: BTreeSet<u64> = (0..size).filter(|n| n % 10 != 0).collect();
    assert_eq!(
        seen.len() as u64,
        count.as_u64().unwrap(),
        "{sort}: a record comes twice or never"
    );
    let distinct: BTreeSet<u64> = seen.iter().copied().collect();
    assert_eq!(distinct, expected, "{sort}");
    match sort {
        "newest" | "occurred_at:desc" => assert!(seen.iter().rev().is_sorted(), "{sort}"),
        "oldest" | "occurred_at:asc" => assert!(seen.is_sorted(), "{sort}"),
        _ => {}
    }
}

#[test]
fn a_cursor_outlives_flush_and_restart() {
    let mut server = Server::start();
    append(
        &server.client(),
        "default",
        &(0..RECORDS).map(nth).collect::<Vec<_>>(),
    );
    for sort in ["newest", "occurred_at:asc", "actor.id:desc"] {
        let body = json!({"sort": sort, "limit": 100});
        let first = ask(&server.client(), "default", &body);
        let mut next = body.clone();
        next["cursor"] = first["cursor"].clone();
        let before = ask(&server.client(), "default", &next);
        server.stop();
        server.run();
        append(&server.client(), "default", &[nth(RECORDS)]);
        let after = ask(&server.client(), "default", &next);
        assert_eq!(seqs(&before), seqs(&after), "{sort}");
        assert_eq!(before["tree"], after["tree"], "{sort}");
        let overlap: BTreeSet<u64> = seqs(&first).into_iter().collect();
        assert!(seqs(&after).iter().all(|seq| !overlap.contains(seq)), "{sort}");
    }
}
