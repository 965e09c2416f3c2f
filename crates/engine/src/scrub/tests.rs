use attestore_record::Kind;

use crate::testing::{World, event, settings};
use crate::{Engine, ScrubReport, Settings};

const DAY_MS: u64 = 24 * 3_600_000;

fn open(world: &World) -> Engine {
    let settings = Settings {
        scrub_days: 7,
        ..settings()
    };
    world.start_with(settings).0
}

fn with_records(world: &World, count: u32) -> Engine {
    let engine = open(world);
    world.tenant(&engine, "acme");
    append(world, &engine, count);
    engine
}

fn append(world: &World, engine: &Engine, count: u32) {
    let events: Vec<_> = (0..count).map(event).collect();
    for some in events.chunks(10) {
        world.append(engine, "acme", some);
    }
    engine.flush().unwrap();
}

fn report(world: &World, engine: &Engine) -> ScrubReport {
    engine.scrub_report("acme", &world.by).unwrap()
}

/// What `_system` says of passes over `acme`: their outcomes.
fn told(world: &World, engine: &Engine) -> Vec<String> {
    let size = engine.tenant(crate::SYSTEM_TENANT).unwrap().size;
    let records = (0..size).map(|seq| {
        engine
            .get(crate::SYSTEM_TENANT, &world.by, crate::read::Which::Seq(seq))
            .unwrap()
    });
    records
        .filter(|record| record.kind == Kind::Event.name())
        .filter_map(|record| serde_json::from_str::<serde_json::Value>(&record.event).ok())
        .filter(|event| event["action"] == "log.scrub" && event["targets"][0]["id"] == "acme")
        .map(|event| event["outcome"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_pass_covers_every_record_and_says_so_once_in_system() {
    let world = World::new(1);
    let engine = with_records(&world, 40);
    let before = report(&world, &engine);
    assert_eq!(
        (before.finished_ms, before.records, before.unverified),
        (None, 0, 40)
    );
    assert!(before.oldest_unverified_ms.is_some());
    engine.scrub_tick().unwrap();
    let after = report(&world, &engine);
    assert_eq!((after.size, after.records, after.unverified), (40, 40, 0));
    assert_eq!(after.root, engine.tenant("acme").unwrap().root.to_string());
    assert!(after.groups_opened >= 40, "{after:?}");
    assert!(after.finished_ms.is_some() && after.findings.is_empty() && after.under_way.is_none());
    engine.scrub_tick().unwrap();
    assert_eq!(told(&world, &engine), ["success"]);
}

#[test]
fn passes_come_again_in_time_and_when_somebody_asks() {
    let world = World::new(2);
    let engine = with_records(&world, 5);
    assert!(engine.scrub_tick().unwrap() >= 1);
    assert_eq!(engine.scrub_tick().unwrap(), 0, "nothing is due");
    engine.scrub_now("acme", &world.by).unwrap();
    assert_eq!(engine.scrub_tick().unwrap(), 1);
    let first = report(&world, &engine).finished_ms;
    world.clock.advance_ms(7 * DAY_MS + 1);
    assert!(engine.scrub_tick().unwrap() >= 1);
    assert!(report(&world, &engine).finished_ms > first);
}

#[test]
fn a_flipped_byte_is_found_where_it_is_and_stays_known_after_a_restart() {
    let world = World::new(3);
    let engine = with_records(&world, 40);
    engine.scrub_tick().unwrap();
    let view = engine.inner.tenant("acme").unwrap().view();
    let seg = view.flushed.first().unwrap().seg.clone();
    engine.close().unwrap();
    world
        .disk
        .flip(&seg.path, seg.offset + seg.length / 2, 0x10)
        .unwrap();
    let engine = open(&world);
    engine.scrub_now("acme", &world.by).unwrap();
    engine.scrub_tick().unwrap();
    let found = report(&world, &engine).findings;
    assert!(
        found.iter().any(|problem| problem.path == seg.path),
        "{found:?}, but {} was damaged",
        seg.path.display()
    );
    assert_eq!(told(&world, &engine), ["success", "failure"]);
    engine.close().unwrap();
    let engine = open(&world);
    assert_eq!(report(&world, &engine).findings, found);
}

#[test]
fn a_flipped_bit_of_an_entry_is_found() {
    let world = World::new(4);
    let engine = with_records(&world, 40);
    let tenant = engine.inner.tenant("acme").unwrap();
    let path = tenant.dir().join("entries");
    world.disk.flip(&path, 44 * 7 + 20, 1).unwrap();
    engine.scrub_tick().unwrap();
    let found = report(&world, &engine).findings;
    assert!(found.iter().any(|problem| problem.path == path), "{found:?}");
}

#[test]
fn a_pass_that_was_broken_off_goes_on_where_it_was() {
    let world = World::new(5);
    let engine = with_records(&world, 20);
    append(&world, &engine, 40);
    let tenant = engine.inner.tenant("acme").unwrap();
    let sets = tenant.view().flushed.len();
    assert!(sets >= 2, "{sets}");
    let row = super::pass::begin_for_tests(&engine.inner, &tenant, 1);
    assert_eq!(row.done.len(), 1);
    engine.close().unwrap();
    let engine = open(&world);
    let under_way = report(&world, &engine).under_way.expect("it goes on");
    assert!(under_way.records > 0 && under_way.records < 60);
    engine.scrub_tick().unwrap();
    let after = report(&world, &engine);
    assert_eq!((after.records, after.unverified), (60, 0));
    assert_eq!(told(&world, &engine), ["success"]);
}
