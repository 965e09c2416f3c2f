//! Search beyond hits by seq: sorting, aggregations, highlights, scans, limits, deadlines.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use attestore_engine::{
    Engine, Error, OpenMode, Settings,
    search::{Order, SearchPage, SearchRequest},
};

use crate::world::{World, append, append_range, everything, reader, settings};

fn request(q: &str, limit: usize) -> SearchRequest {
    SearchRequest {
        q: q.into(),
        limit,
        want_count: true,
        ..SearchRequest::default()
    }
}

fn search(engine: &Engine, request: &SearchRequest) -> SearchPage {
    engine.search("acme", &everything(), request).unwrap()
}

fn seqs(page: &SearchPage) -> Vec<u64> {
    page.items.iter().map(|item| item.seq).collect()
}

/// Every page of a search.
fn pages(engine: &Engine, mut request: SearchRequest) -> Vec<u64> {
    let mut all = Vec::new();
    loop {
        let page = search(engine, &request);
        all.extend(seqs(&page));
        request.cursor = page.cursor;
        if request.cursor.is_none() {
            return all;
        }
    }
}

fn open_with(world: &World, change: impl FnOnce(&mut Settings)) -> Engine {
    let mut settings = settings();
    change(&mut settings);
    Engine::open_as(world.parts().unwrap(), settings, OpenMode::Inline)
        .unwrap()
        .0
}

/// Records in segments of their own, in parts and in the tail.
fn grown(world: &World) -> (Engine, u64) {
    let engine = world.open();
    engine.create_tenant("acme", &everything()).unwrap();
    let mut size = 0;
    for grow in [110u64, 4, 95, 3, 20] {
        if size > 0 {
            engine.flush().unwrap();
        }
        append_range(&engine, "acme", size..size + grow);
        size += grow;
    }
    (engine, size)
}

#[test]
fn pages_sorted_by_a_column_are_complete_and_in_order() {
    let world = World::new(50);
    let (engine, size) = grown(&world);
    let target = |n: u64| format!("d_{}", n % 11);
    for (sort, descending) in [("targets.id:asc", false), ("targets.id:desc", true)] {
        let mut expected: Vec<u64> = (0..size).filter(|n| n % 3 == 0).collect();
        expected.sort_by_key(|n| (target(*n), *n));
        if descending {
            expected.reverse();
        }
        for limit in [7, 1000] {
            let request = SearchRequest {
                sort: Some(sort.into()),
                ..request("outcome:failure", limit)
            };
            assert_eq!(pages(&engine, request), expected, "{sort}, {limit} a page");
        }
    }
}

#[test]
fn cursors_of_sorted_pages_are_bound_to_the_sort() {
    let world = World::new(51);
    let (engine, _) = grown(&world);
    let first = SearchRequest {
        sort: Some("targets.id".into()),
        ..request("", 5)
    };
    let cursor = search(&engine, &first).cursor;
    assert!(cursor.is_some());
    for sort in [
        None,
        Some("targets.id:desc".to_owned()),
        Some("action".to_owned()),
    ] {
        let other = SearchRequest {
            sort,
            cursor: cursor.clone(),
            ..first.clone()
        };
        let refused = engine.search("acme", &everything(), &other);
        assert!(matches!(refused, Err(Error::InvalidCursor)));
    }
}

#[test]
fn aggregations_cover_segments_parts_and_the_tail() {
    let world = World::new(52);
    let (engine, size) = grown(&world);
    let request = SearchRequest {
        aggs: Some(
            r#"{"actions":{"terms":{"field":"action"},"aggs":{"failed":{"terms":{"field":"outcome"}}}}}"#
                .into(),
        ),
        want_count: false,
        ..request("outcome:failure", 0)
    };
    let page = search(&engine, &request);
    assert!(page.items.is_empty() && page.cursor.is_none() && !page.scanned);
    let answer: serde_json::Value = serde_json::from_str(&page.aggregations.unwrap()).unwrap();
    let buckets = answer["actions"]["buckets"].as_array().unwrap();
    assert_eq!(buckets.len(), 4);
    for bucket in buckets {
        let action = ["auth.login", "s3.object.read", "doc.update", "key.delete"]
            .iter()
            .position(|name| bucket["key"] == **name)
            .unwrap() as u64;
        let expected = (0..size).filter(|n| n % 3 == 0 && n % 4 == action).count() as u64;
        assert_eq!(bucket["doc_count"], expected, "{bucket}");
        assert_eq!(bucket["failed"]["buckets"][0]["doc_count"], expected);
    }
}

#[test]
fn personal_columns_are_closed_to_those_who_may_not_see_them() {
    let world = World::new(53);
    let (engine, size) = grown(&world);
    let request = SearchRequest {
        aggs: Some(r#"{"who":{"terms":{"field":"actor.id","size":100}}}"#.into()),
        sort: Some("actor.id".into()),
        ..request("", 1000)
    };
    let answer = |page: SearchPage| -> serde_json::Value {
        serde_json::from_str(&page.aggregations.unwrap()).unwrap()
    };
    let open = engine.search("acme", &everything(), &request).unwrap();
    assert_eq!(answer(open)["who"]["buckets"].as_array().unwrap().len(), 7);
    let closed = engine.search("acme", &reader(), &request).unwrap();
    assert_eq!(seqs(&closed), (0..size).collect::<Vec<_>>(), "all alike: by seq");
    let closed = answer(closed);
    let buckets = closed["who"]["buckets"].as_array().unwrap();
    assert_eq!(buckets.len(), 1, "{closed}");
    assert_eq!(
        (&buckets[0]["key"], &buckets[0]["doc_count"]),
        (&"[personal]".into(), &size.into())
    );
}

#[test]
fn highlights_show_what_was_found() {
    let world = World::new(54);
    let (engine, _) = grown(&world);
    let request = SearchRequest {
        highlight: true,
        ..request("\"Person 2\"", 3)
    };
    let page = search(&engine, &request);
    assert_eq!(page.highlights.len(), 3);
    for found in &page.highlights {
        assert!(
            found
                .iter()
                .any(|one| one.path == "/actor/name" && !one.ranges.is_empty()),
            "{found:?}"
        );
    }
    let none = engine.search("acme", &reader(), &request).unwrap();
    assert!(none.items.is_empty() && none.highlights.is_empty());
}

#[test]
fn a_phrase_is_found_without_positions_by_a_scan_that_says_so() {
    let world = World::new(55);
    let (engine, mut size) = grown(&world);
    let two = |n: u64| {
        format!(
            r#"{{"action":"note.add","actor":{{"type":"service","id":"noter"}},"justification":"{n} red green {} blue"}}"#,
            n % 3
        )
    };
    append(&engine, "acme", &(0..30).map(two).collect::<Vec<_>>());
    for _ in 0..2 {
        let page = search(&engine, &request("\"green 1 blue\"", 5));
        let expected: Vec<u64> = (0..30).filter(|n| n % 3 == 1).map(|n| size + n).rev().collect();
        assert_eq!((seqs(&page), page.count), (expected[..5].to_vec(), Some(10)));
        assert!(page.scanned && page.explain.scanned > 0 && page.explain.records_scanned >= 10);
        assert!(
            page.explain.records_scanned <= 30,
            "candidates come from the index: {:?}",
            page.explain
        );
        engine.flush().unwrap();
    }
    let page = search(&engine, &request("green", 5));
    assert!(!page.scanned && page.count == Some(30));
    append_range(&engine, "acme", size..size + 1);
    size += 1;
    assert!(size > 0);
}

#[test]
fn a_scan_of_too_many_records_is_refused_with_a_remedy() {
    let world = World::new(56);
    drop(grown(&world));
    let engine = open_with(&world, |settings| settings.scan_records_max = 20);
    let all = SearchRequest {
        aggs: Some(r#"{"n":{"histogram":{"field":"metadata.n","interval":10}}}"#.into()),
        ..request("", 0)
    };
    let refused = engine.search("acme", &everything(), &all);
    let Err(Error::NotIndexed { message }) = refused else {
        panic!("{refused:?}")
    };
    assert!(
        message.contains("metadata.n") && message.contains("20"),
        "{message}"
    );
    // A page of few candidates is within the limit.
    let few = search(&engine, &request("outcome:failure", 2));
    assert!(!few.scanned);
}

#[test]
fn who_does_not_wait_any_more_and_who_is_late_get_no_answer() {
    let world = World::new(57);
    let (engine, _) = grown(&world);
    let cancelled = engine.search_until("acme", &everything(), &request("", 5), &|| true);
    assert!(matches!(cancelled, Err(Error::Cancelled)), "{cancelled:?}");
    let asked = AtomicU64::new(0);
    let slow = || {
        asked.fetch_add(1, Ordering::Relaxed);
        world.clock.advance_ms(3000);
        false
    };
    let late = engine.search_until("acme", &everything(), &request("", 5), &slow);
    assert!(matches!(late, Err(Error::Deadline)), "{late:?}");
    let all = asked.swap(0, Ordering::Relaxed);
    let sooner = SearchRequest {
        deadline_ms: Some(3000),
        ..request("", 5)
    };
    let late = engine.search_until("acme", &everything(), &sooner, &slow);
    assert!(matches!(late, Err(Error::Deadline)));
    assert!(
        asked.load(Ordering::Relaxed) < all,
        "a request lowers the deadline"
    );
    assert_eq!(search(&engine, &request("", 5)).items.len(), 5);
}

#[test]
fn limits_out_of_range_are_refused() {
    let world = World::new(58);
    let (engine, size) = grown(&world);
    for limit in [0, 1001] {
        let refused = engine.search(
            "acme",
            &everything(),
            &SearchRequest {
                limit,
                ..SearchRequest::default()
            },
        );
        assert!(matches!(
            refused,
            Err(Error::Invalid {
                code: "invalid_limit",
                ..
            })
        ));
    }
    let counted = search(&engine, &request("", 0));
    assert_eq!((counted.items.len(), counted.count), (0, Some(size)));
}

#[test]
fn segments_outside_of_the_time_range_are_not_opened() {
    let world = World::new(59);
    let engine = world.open();
    engine.create_tenant("acme", &everything()).unwrap();
    for day in 0..4u64 {
        append_range(&engine, "acme", day * 100..day * 100 + 100);
        engine.flush().unwrap();
        world.clock.advance_ms(24 * 3_600_000);
    }
    let since_ms = crate::world::NOW_MS + 3 * 24 * 3_600_000;
    let page = search(
        &engine,
        &SearchRequest {
            from_ns: Some(i64::try_from(since_ms).unwrap() * 1_000_000),
            order: Order::Oldest,
            ..request("", 1000)
        },
    );
    assert_eq!(seqs(&page), (300..400).collect::<Vec<_>>());
    assert_eq!(
        (page.explain.sealed_splits, page.explain.pruned, page.explain.read),
        (4, 3, 1)
    );
    assert!(page.explain.bytes_opened > 0);
}

#[test]
fn a_full_tail_after_a_start_holds_up_searches_and_no_appends() {
    let world = World::new(60);
    let engine = world.open();
    engine.create_tenant("acme", &everything()).unwrap();
    append_range(&engine, "acme", 0..400);
    drop(engine); // as a crash
    let engine = open_with(&world, |settings| settings.index_lag_max = 20);
    let status = engine.index_status("acme", &everything()).unwrap();
    assert_eq!(
        (status.tail_records, status.backlog_records, status.lag_records),
        (400, 400, 0)
    );
    append_range(&engine, "acme", 400..416);
    // Stopped while it indexes the backlog; what was indexed stays.
    let asked = Cell::new(0u32);
    let _ = asked.replace(1);
    let late = engine.search_until("acme", &everything(), &request("", 5), &|| true);
    assert!(matches!(late, Err(Error::Cancelled)));
    let page = search(&engine, &request("", 1000));
    assert_eq!((page.items.len(), page.count), (416, Some(416)));
    let status = engine.index_status("acme", &everything()).unwrap();
    assert_eq!((status.backlog_records, status.lag_records), (0, 0));
}
