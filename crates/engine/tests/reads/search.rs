//! Search against a naive model, pages under ingest, permissions.

use attestore_engine::{
    Engine, Error,
    read::Which,
    search::{Order, SearchRequest},
};

use crate::world::{World, append_range, everything, reader};

struct Case {
    q: &'static str,
    matches: fn(u64) -> bool,
}

const CASES: [Case; 9] = [
    Case {
        q: "",
        matches: |_| true,
    },
    Case {
        q: "action:auth.login",
        matches: |n| n % 4 == 0,
    },
    Case {
        q: "action:s3.*",
        matches: |n| n % 4 == 1,
    },
    Case {
        q: "outcome:failure AND NOT action:key.delete",
        matches: |n| n % 3 == 0 && n % 4 != 3,
    },
    Case {
        q: "actor.id:u_3",
        matches: |n| n % 7 == 3,
    },
    Case {
        q: "ip:203.0.113.0/28",
        matches: |n| n % 200 < 16,
    },
    Case {
        q: "target.id:d_5 OR metadata.team:t1",
        matches: |n| n % 11 == 5 || n % 5 == 1,
    },
    Case {
        q: "action:doc.update actor.name:\"Person 2\"",
        matches: |n| n % 4 == 2 && n % 7 == 2,
    },
    Case {
        q: "action:nothing.here",
        matches: |_| false,
    },
];

fn pages(engine: &Engine, q: &str, order: Order, limit: usize) -> (Vec<u64>, Option<u64>) {
    let mut request = SearchRequest {
        q: q.into(),
        order,
        limit,
        want_count: true,
        ..SearchRequest::default()
    };
    let (mut seqs, mut count) = (Vec::new(), None);
    loop {
        let page = engine.search("acme", &everything(), &request).unwrap();
        assert!(page.items.len() <= limit);
        assert!(count.is_none() || count == page.count, "the count stays");
        count = page.count;
        seqs.extend(page.items.iter().map(|item| item.seq));
        match page.cursor {
            Some(cursor) => request.cursor = Some(cursor),
            None => return (seqs, count),
        }
    }
}

fn check(engine: &Engine, size: u64, limit: usize) {
    for case in &CASES {
        let oldest: Vec<u64> = (0..size).filter(|n| (case.matches)(*n)).collect();
        let newest: Vec<u64> = oldest.iter().rev().copied().collect();
        for (order, expected) in [(Order::Oldest, oldest), (Order::Newest, newest)] {
            let (seqs, count) = pages(engine, case.q, order, limit);
            assert_eq!(seqs, expected, "{:?} {order:?} at {size}", case.q);
            assert_eq!(count, Some(expected.len() as u64), "{:?} at {size}", case.q);
        }
    }
}

#[test]
fn search_equals_a_naive_model_at_every_stage_of_storage() {
    let world = World::new(30);
    let mut engine = world.open();
    engine.create_tenant("acme", &everything()).unwrap();
    let mut size = 0;
    // Sizes that end in l0 parts, in segments of their own, and stay in the tail.
    for (stage, grow) in [3u64, 120, 2, 5, 90, 30].into_iter().enumerate() {
        append_range(&engine, "acme", size..size + grow);
        size += grow;
        check(&engine, size, 17);
        engine.flush().unwrap();
        check(&engine, size, 50);
        if stage == 3 {
            engine.close().unwrap();
            drop(engine);
            engine = world.open();
            check(&engine, size, 1000);
        }
    }
}

#[test]
fn acknowledged_records_are_found_by_the_very_next_search() {
    let world = World::new(31);
    let engine = world.open();
    engine.create_tenant("acme", &everything()).unwrap();
    for n in 0..40 {
        append_range(&engine, "acme", n..n + 1);
        let request = SearchRequest {
            limit: 1,
            want_count: true,
            ..SearchRequest::default()
        };
        let page = engine.search("acme", &everything(), &request).unwrap();
        assert_eq!(
            (page.items[0].seq, page.count, page.tree.size),
            (n, Some(n + 1), n + 1)
        );
    }
}

#[test]
fn pages_are_stable_under_ingest_and_flush() {
    let world = World::new(32);
    let engine = world.open();
    engine.create_tenant("acme", &everything()).unwrap();
    append_range(&engine, "acme", 0..50);
    for order in [Order::Newest, Order::Oldest] {
        let mut request = SearchRequest {
            order,
            limit: 7,
            want_count: true,
            ..SearchRequest::default()
        };
        let size = engine.search("acme", &everything(), &request).unwrap().tree.size;
        let mut seqs = Vec::new();
        loop {
            let page = engine.search("acme", &everything(), &request).unwrap();
            assert_eq!((page.tree.size, page.count), (size, Some(size)));
            seqs.extend(page.items.iter().map(|item| item.seq));
            let next = page.tree.size + seqs.len() as u64;
            append_range(&engine, "acme", next..next + 3);
            engine.flush().unwrap();
            match page.cursor {
                Some(cursor) => request.cursor = Some(cursor),
                None => break,
            }
        }
        let mut expected: Vec<u64> = (0..size).collect();
        if order == Order::Newest {
            expected.reverse();
        }
        assert_eq!(seqs, expected);
    }
}

#[test]
fn cursors_are_bound_to_query_order_permission_and_tenant() {
    let world = World::new(33);
    let engine = world.open();
    for tenant in ["acme", "other"] {
        engine.create_tenant(tenant, &everything()).unwrap();
        append_range(&engine, tenant, 0..20);
    }
    let request = SearchRequest {
        q: "outcome:success".into(),
        limit: 3,
        ..SearchRequest::default()
    };
    let cursor = engine.search("acme", &everything(), &request).unwrap().cursor;
    let with = SearchRequest { cursor, ..request };
    engine.search("acme", &everything(), &with).unwrap();
    let wrong = [
        engine.search("acme", &reader(), &with),
        engine.search("other", &everything(), &with),
        engine.search(
            "acme",
            &everything(),
            &SearchRequest {
                q: String::new(),
                ..with.clone()
            },
        ),
        engine.search(
            "acme",
            &everything(),
            &SearchRequest {
                order: Order::Oldest,
                ..with.clone()
            },
        ),
        engine.search(
            "acme",
            &everything(),
            &SearchRequest {
                from_ns: Some(1),
                ..with.clone()
            },
        ),
        engine.search(
            "acme",
            &everything(),
            &SearchRequest {
                cursor: Some("x".into()),
                ..with.clone()
            },
        ),
    ];
    for (at, wrong) in wrong.into_iter().enumerate() {
        assert!(matches!(wrong, Err(Error::InvalidCursor)), "case {at}");
    }
    assert!(
        engine
            .search(
                "acme",
                &everything(),
                &SearchRequest {
                    limit: 0,
                    ..with.clone()
                }
            )
            .is_err()
    );
    assert!(
        engine
            .search("acme", &everything(), &SearchRequest { limit: 1001, ..with })
            .is_err()
    );
}

#[test]
fn personal_fields_cannot_be_searched_without_permission() {
    let world = World::new(34);
    let engine = world.open();
    engine.create_tenant("acme", &everything()).unwrap();
    append_range(&engine, "acme", 0..30);
    for _ in 0..2 {
        for q in [
            "actor.id:u_3",
            "actor.name:\"Person 3\"",
            "ip:203.0.113.0/24",
            "203.0.113.3",
            "Person",
        ] {
            let request = SearchRequest {
                q: q.into(),
                limit: 5,
                want_count: true,
                ..SearchRequest::default()
            };
            assert_eq!(
                engine.search("acme", &reader(), &request).unwrap().count,
                Some(0),
                "{q}"
            );
            assert_ne!(
                engine.search("acme", &everything(), &request).unwrap().count,
                Some(0),
                "{q}"
            );
        }
        let request = SearchRequest {
            q: "outcome:failure".into(),
            limit: 50,
            want_count: true,
            ..SearchRequest::default()
        };
        let page = engine.search("acme", &reader(), &request).unwrap();
        assert_eq!(page.count, Some(10));
        assert!(
            page.items
                .iter()
                .all(|item| !item.event.contains("u_") && !item.event.contains("203.0"))
        );
        engine.flush().unwrap();
    }
}

#[test]
fn damaged_split_does_not_keep_records_from_being_found() {
    let world = World::new(35);
    let engine = world.open();
    engine.create_tenant("acme", &everything()).unwrap();
    append_range(&engine, "acme", 0..150);
    engine.flush().unwrap();
    engine.close().unwrap();
    drop(engine);
    let splits: Vec<_> = world
        .disk
        .paths()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ext| ext == "idx"))
        .collect();
    assert!(
        !splits.is_empty(),
        "the tail was large enough for a segment of its own"
    );
    for path in splits {
        world.disk.flip(&path, 5000, 0xff).unwrap();
        world.disk.flip(&path, 200, 0xff).unwrap();
    }
    let engine = world.open();
    check(&engine, 150, 40);
    assert_eq!(
        engine.get("acme", &everything(), Which::Seq(149)).unwrap().seq,
        149
    );
}

#[test]
fn bad_queries_name_the_column() {
    let world = World::new(36);
    let engine = world.open();
    engine.create_tenant("acme", &everything()).unwrap();
    let request = SearchRequest {
        q: "acton:login".into(),
        limit: 5,
        ..SearchRequest::default()
    };
    let error = engine.search("acme", &everything(), &request).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Query {
                column: Some(0),
                suggestion: Some(_),
                ..
            }
        ),
        "{error:?}"
    );
}
