use crate::testing::{World, event, settings};
use crate::{AppendError, Engine, Quota, Settings};

fn events(count: u32) -> Vec<String> {
    (0..count).map(event).collect()
}

fn refused(world: &World, engine: &Engine, tenant: &str, count: u32) -> Option<(&'static str, Option<u64>)> {
    match world.try_append(engine, tenant, &events(count)) {
        Ok(_) => None,
        Err(AppendError::Quota {
            quota,
            retry_after_ms,
        }) => Some((quota, retry_after_ms)),
        Err(error) => panic!("{error}"),
    }
}

fn set(world: &World, engine: &Engine, quota: Quota) {
    engine.set_quota("acme", &world.by, quota).unwrap();
}

#[test]
fn events_of_a_second_are_bounded_and_come_back() {
    let world = World::new(1);
    let engine = world.open(false);
    world.tenant(&engine, "acme");
    world.tenant(&engine, "other");
    set(
        &world,
        &engine,
        Quota {
            events_per_second: Some(10),
            ..Quota::default()
        },
    );
    assert_eq!(refused(&world, &engine, "acme", 6), None);
    assert_eq!(refused(&world, &engine, "acme", 4), None);
    let (quota, after) = refused(&world, &engine, "acme", 1).unwrap();
    assert_eq!(quota, "events_per_second");
    assert_eq!(refused(&world, &engine, "other", 12), None);
    world.clock.advance_ms(after.unwrap());
    assert_eq!(refused(&world, &engine, "acme", 6), None);
    assert_eq!(engine.quota("acme", &world.by).unwrap().events_last_second, 6);
    set(&world, &engine, Quota::default());
    assert_eq!(refused(&world, &engine, "acme", 12), None);
}

#[test]
fn bytes_of_a_day_outlive_a_restart_and_a_changed_quota_and_begin_again_at_midnight() {
    let world = World::new(2);
    let bytes = event(0).len() as u64;
    let quota = Quota {
        bytes_per_day: Some(3 * bytes + 1),
        ..Quota::default()
    };
    let engine = world.open(false);
    world.tenant(&engine, "acme");
    set(&world, &engine, quota.clone());
    assert_eq!(refused(&world, &engine, "acme", 2), None);
    engine.close().unwrap();
    drop(engine);
    let engine = world.open(false);
    let status = engine.quota("acme", &world.by).unwrap();
    assert_eq!(
        (status.quota.clone(), status.bytes_today),
        (quota.clone(), 2 * bytes)
    );
    set(
        &world,
        &engine,
        Quota {
            searches: Some(1),
            ..quota
        },
    );
    let (name, after) = refused(&world, &engine, "acme", 2).unwrap();
    assert_eq!(name, "bytes_per_day");
    assert_eq!(
        refused(&world, &engine, "acme", 1),
        None,
        "what is refused costs nothing"
    );
    world.clock.advance_ms(after.unwrap());
    assert_eq!(refused(&world, &engine, "acme", 3), None);
}

#[test]
fn storage_is_counted_over_tail_and_segments() {
    let world = World::new(3);
    let engine = world.open(false);
    world.tenant(&engine, "acme");
    let storage = || engine.quota("acme", &world.by).unwrap().storage_bytes;
    let empty = storage();
    world.append(&engine, "acme", &events(20));
    let tail = storage();
    assert!(tail > empty);
    engine.flush().unwrap();
    let flushed = storage();
    assert!(flushed > empty);
    set(
        &world,
        &engine,
        Quota {
            storage_bytes: Some(flushed + 3000),
            ..Quota::default()
        },
    );
    let mut stored = 0;
    let refusal = loop {
        match refused(&world, &engine, "acme", 1) {
            None => stored += 1,
            Some(refusal) => break refusal,
        }
        world.clock.advance_ms(100);
        assert!(stored < 1000);
    };
    assert_eq!(refusal, ("storage_bytes", None));
    assert!(stored > 3);
}

#[test]
fn quotas_are_set_by_who_may_and_make_sense() {
    let world = World::new(4);
    let (engine, _) = world.start_with(Settings { ..settings() });
    world.tenant(&engine, "acme");
    let set = |tenant: &str, quota: Quota| {
        engine
            .set_quota(tenant, &world.by, quota)
            .map_err(|error| error.code())
    };
    let events = |count| Quota {
        events_per_second: Some(count),
        ..Quota::default()
    };
    assert_eq!(set("acme", events(0)).unwrap_err(), "invalid_quota");
    assert_eq!(set("acme", events(u32::MAX)).unwrap_err(), "invalid_quota");
    assert_eq!(set("nobody", events(1)).unwrap_err(), "unknown_tenant");
    assert_eq!(set("_system", events(1)).unwrap_err(), "invalid_quota");
    assert_eq!(set("acme", events(7)).unwrap().quota, events(7));
    assert_eq!(engine.places("acme"), events(7));
    assert_eq!(engine.places("nobody"), Quota::default());
}
