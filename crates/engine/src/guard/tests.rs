//! Appends that are pushed back, and go on when there is room.

use crate::search::SearchRequest;
use crate::testing::{World, event, leave_waiting, settings};
use crate::{AppendError, Engine, Settings};

/// Why an append is pushed back now; the caller is told when to come again.
fn pushed_back(world: &World, engine: &Engine) -> Option<&'static str> {
    match world.try_append(engine, "acme", &[event(1)]) {
        Ok(_) => None,
        Err(AppendError::Overloaded {
            retry_after_ms,
            reason,
        }) => {
            assert!(retry_after_ms > 0);
            Some(reason)
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_full_queue_pushes_back_until_it_was_committed() {
    let world = World::new(1);
    let limit = Settings {
        queue_records_max: 4,
        ..settings()
    };
    let engine = world.start_with(limit).0;
    let acme = world.tenant(&engine, "acme");
    leave_waiting(&engine, &acme, &vec![event(1); 4]);
    assert_eq!(pushed_back(&world, &engine), Some("queue"));
    engine.tick();
    assert_eq!(pushed_back(&world, &engine), None);
    assert_eq!(acme.view().size, 5, "what was pushed back is not stored");
}

#[test]
fn a_queue_of_too_many_bytes_pushes_back() {
    let world = World::new(2);
    let limit = Settings {
        queue_bytes_max: 1000,
        ..settings()
    };
    let engine = world.start_with(limit).0;
    let acme = world.tenant(&engine, "acme");
    assert_eq!(pushed_back(&world, &engine), None);
    leave_waiting(&engine, &acme, &[event(1)]);
    assert_eq!(pushed_back(&world, &engine), Some("queue"));
    engine.tick();
    assert_eq!(pushed_back(&world, &engine), None);
}

#[test]
fn a_log_over_its_budget_pushes_back_until_it_was_flushed() {
    let world = World::new(3);
    let limit = Settings {
        wal_budget_bytes: 0,
        ..settings()
    };
    let engine = world.start_with(limit).0;
    let acme = world.tenant(&engine, "acme");
    let mut appended = 0;
    while pushed_back(&world, &engine).is_none() {
        appended += 1;
        assert!(appended < 1000, "never pushed back");
    }
    assert_eq!(pushed_back(&world, &engine), Some("wal_budget"));
    assert_eq!(acme.view().size, appended);
    engine.flush().unwrap();
    assert_eq!(pushed_back(&world, &engine), None);
}

#[test]
fn a_tail_that_is_not_indexed_pushes_back_until_it_is() {
    let world = World::new(4);
    let limit = Settings {
        indexing: true,
        index_lag_max: 3,
        ..settings()
    };
    let engine = world.start_with(limit).0;
    world.tenant(&engine, "acme");
    for _ in 0..4 {
        assert_eq!(pushed_back(&world, &engine), None);
    }
    assert_eq!(pushed_back(&world, &engine), Some("index_lag"));
    let request = SearchRequest {
        limit: 10,
        ..SearchRequest::default()
    };
    // A query indexes what it needs.
    assert_eq!(engine.search("acme", &world.by, &request).unwrap().items.len(), 4);
    assert_eq!(pushed_back(&world, &engine), None);
}
