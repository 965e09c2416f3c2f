//! Searches that name their place themselves: after a record, in a tree, under conditions.

use attestore_engine::{
    Engine, Error,
    search::{Condition, Order, SearchPage, SearchRequest},
};

use crate::world::{World, append_range, everything, reader};

fn search(engine: &Engine, request: &SearchRequest) -> SearchPage {
    engine.search("acme", &everything(), request).unwrap()
}

fn seqs(page: &SearchPage) -> Vec<u64> {
    page.items.iter().map(|item| item.seq).collect()
}

/// Records in a segment of their own, in a part, and in the tail.
fn grown(world: &World) -> Engine {
    let engine = world.open();
    engine.create_tenant("acme", &everything()).unwrap();
    append_range(&engine, "acme", 0..110);
    engine.flush().unwrap();
    append_range(&engine, "acme", 110..114);
    engine.flush().unwrap();
    append_range(&engine, "acme", 114..130);
    engine
}

#[test]
fn pages_after_a_record_are_those_that_a_cursor_gives() {
    let engine = grown(&World::new(71));
    for (order, sort) in [
        (Order::Newest, None),
        (Order::Oldest, None),
        (Order::Newest, Some("occurred_at:desc")),
        (Order::Newest, Some("action:asc")),
        (Order::Newest, Some("outcome:desc")),
    ] {
        let first = SearchRequest {
            order,
            sort: sort.map(str::to_owned),
            limit: 13,
            ..SearchRequest::default()
        };
        let mut by_cursor = first.clone();
        let mut by_record = first.clone();
        loop {
            let (one, other) = (search(&engine, &by_cursor), search(&engine, &by_record));
            assert_eq!(seqs(&one), seqs(&other), "{order:?} {sort:?}");
            assert_eq!(one.keys.len(), if sort.is_some() { one.items.len() } else { 0 });
            let Some(cursor) = one.cursor else { break };
            by_cursor.cursor = Some(cursor);
            by_record.after = seqs(&other).last().copied();
        }
    }
}

#[test]
fn a_tree_that_is_named_stays_as_it_was() {
    let engine = grown(&World::new(71));
    let request = SearchRequest {
        limit: 1000,
        want_count: true,
        size: Some(100),
        ..SearchRequest::default()
    };
    let page = search(&engine, &request);
    assert_eq!(
        (page.count, page.items.len(), page.tree.size),
        (Some(100), 100, 100)
    );
    append_range(&engine, "acme", 130..140);
    assert_eq!(search(&engine, &request).items, page.items);
    for bad in [
        SearchRequest {
            size: Some(1_000_000),
            ..request.clone()
        },
        SearchRequest {
            after: Some(100),
            ..request.clone()
        },
        SearchRequest {
            after: Some(u64::MAX),
            sort: Some("action".to_owned()),
            ..request.clone()
        },
        SearchRequest {
            cursor: Some("x".to_owned()),
            ..request.clone()
        },
    ] {
        let refused = engine.search("acme", &everything(), &bad).unwrap_err();
        assert!(matches!(refused, Error::InvalidCursor), "{bad:?}: {refused:?}");
    }
}

#[test]
fn conditions_narrow_the_query_and_bind_the_cursor() {
    let engine = grown(&World::new(71));
    let within = |end: &str| Condition::Text {
        query: format!("seq:<{end}"),
        field: None,
        any: false,
    };
    let request = SearchRequest {
        q: "seq:>=5".to_owned(),
        filter: Some(within("40")),
        conditions: vec![within("10")],
        aggs: Some(r#"{"few": {"filter": {"condition": 0}}}"#.to_owned()),
        limit: 10,
        want_count: true,
        ..SearchRequest::default()
    };
    let page = search(&engine, &request);
    assert_eq!(page.count, Some(35));
    assert_eq!(page.aggregations.as_deref(), Some(r#"{"few":{"doc_count":5}}"#));
    let next = SearchRequest {
        cursor: page.cursor.clone(),
        ..request.clone()
    };
    assert_eq!(seqs(&search(&engine, &next)), (20..30).rev().collect::<Vec<_>>());
    let other = SearchRequest {
        filter: Some(within("41")),
        ..next
    };
    let refused = engine.search("acme", &everything(), &other).unwrap_err();
    assert!(matches!(refused, Error::InvalidCursor));
    let missing = SearchRequest {
        conditions: Vec::new(),
        ..request
    };
    let refused = engine.search("acme", &reader(), &missing).unwrap_err();
    assert!(matches!(refused, Error::Query { .. }), "{refused:?}");
}
