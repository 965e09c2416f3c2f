//! The head register: rollback, clones, register before checkpoint.

use attestore_engine::{AppendError, Engine, Error, Item, Mode, OpenMode, read::Which};
use attestore_tlog::{VerifierKey, open_checkpoint};

use crate::world::{World, append_range, event, everything, settings};

#[test]
fn older_data_than_the_register_is_rolled_back_reads_work_appends_do_not() {
    let world = World::new(20);
    let engine = world.open();
    engine.create_tenant("acme", &everything()).unwrap();
    engine.create_tenant("still", &everything()).unwrap();
    append_range(&engine, "acme", 0..20);
    engine.checkpoint("acme").unwrap();
    engine.close().unwrap();
    let backup = world.disk.snapshot();
    let engine = world.open();
    append_range(&engine, "acme", 20..30);
    engine.checkpoint("acme").unwrap();
    engine.close().unwrap();
    drop(engine);

    world.disk.restore(&backup);
    let (engine, opened) = world.try_open().unwrap();
    assert!(!opened.warnings.is_empty(), "the nonce has changed");
    assert_eq!(engine.get("acme", &everything(), Which::Seq(19)).unwrap().seq, 19);
    let item = Item {
        bytes: event(1).into(),
        fallback_key: None,
    };
    let refused = engine.append_blocking("acme", &everything(), "native", vec![item.clone()], Mode::Each);
    assert!(
        matches!(refused, Err(AppendError::Rollback { .. })),
        "{refused:?}"
    );
    assert!(
        matches!(engine.checkpoint("acme"), Err(Error::Stopped(_))),
        "no other head of that log is signed"
    );
    engine
        .append_blocking("still", &everything(), "native", vec![item], Mode::Each)
        .unwrap();
    assert!(
        engine
            .status()
            .unwrap()
            .reasons
            .iter()
            .any(|reason| reason.code == "rolled_back")
    );
}

#[test]
fn same_size_with_other_records_is_rolled_back_too() {
    let world = World::new(21);
    let engine = world.open();
    engine.create_tenant("acme", &everything()).unwrap();
    append_range(&engine, "acme", 0..5);
    engine.close().unwrap();
    drop(engine);
    let backup = world.disk.snapshot();
    let register = world.register.snapshot();
    let engine = world.open();
    append_range(&engine, "acme", 5..10);
    engine.close().unwrap();
    drop(engine);
    let ahead = world.register.snapshot();
    world.disk.restore(&backup);
    world.register.restore(&register);
    let engine = world.open();
    append_range(&engine, "acme", 100..120);
    engine.close().unwrap();
    drop(engine);
    world.register.restore(&ahead);
    let engine = world.open();
    let item = Item {
        bytes: event(1).into(),
        fallback_key: None,
    };
    let refused = engine.append_blocking("acme", &everything(), "native", vec![item], Mode::Each);
    assert!(
        matches!(refused, Err(AppendError::Rollback { .. })),
        "{refused:?}"
    );
}

#[test]
fn clone_makes_the_original_stop() {
    let world = World::new(22);
    let original = world.open();
    original.create_tenant("acme", &everything()).unwrap();
    append_range(&original, "acme", 0..5);
    original.checkpoint("acme").unwrap();
    let copy = attestore_disk::sim::SimDisk::from_snapshot(&world.disk.snapshot());
    let (clone, opened) =
        Engine::open_as(world.parts_on(&copy).unwrap(), settings(), OpenMode::Inline).unwrap();
    assert!(opened.warnings.is_empty(), "the copy carries the last nonce");
    append_range(&original, "acme", 5..6);
    assert!(matches!(original.checkpoint("acme"), Err(Error::Stopped(_))));
    assert!(
        original
            .ready()
            .unwrap_err()
            .iter()
            .any(|reason| reason.code == "stopped")
    );
    let item = Item {
        bytes: event(1).into(),
        fallback_key: None,
    };
    let refused = original.append_blocking("acme", &everything(), "native", vec![item], Mode::Each);
    assert!(refused.is_err(), "{refused:?}");
    append_range(&clone, "acme", 5..8);
    clone.checkpoint("acme").unwrap();
}

#[test]
fn no_checkpoint_leaves_before_the_register_holds_it() {
    for op in 0..8 {
        let world = World::new(23);
        let engine = world.open();
        engine.create_tenant("acme", &everything()).unwrap();
        append_range(&engine, "acme", 0..5);
        world.register.fail_at(
            world.register.op_count() + op,
            attestore_disk::sim::Fault::CrashAfter,
        );
        let note = engine.checkpoint("acme");
        let after = world.register.crash();
        let Ok(note) = note else { continue };
        let key = VerifierKey::parse(&engine.vkey("acme").unwrap()).unwrap();
        let checkpoint = open_checkpoint(&note, &key).unwrap();
        drop(engine);
        let world = World {
            register: after,
            ..world
        };
        world
            .disk
            .restore(&attestore_disk::sim::SimDisk::from_snapshot(&world.disk.snapshot()).snapshot());
        let engine = world.open();
        let again = open_checkpoint(&engine.checkpoint("acme").unwrap(), &key).unwrap();
        assert!(again.size() >= checkpoint.size(), "operation {op}");
    }
}

#[test]
fn without_a_register_outside_nobody_is_told_that_rollback_is_detected() {
    let world = World::new(24);
    let mut parts = world.parts().unwrap();
    parts.register = None;
    let (engine, opened) = Engine::open_as(parts, settings(), OpenMode::Inline).unwrap();
    assert!(opened.warnings.iter().any(|warning| warning.contains("rollback")));
    let status = engine.status().unwrap();
    assert!(!status.rollback_detection);
    assert!(
        status
            .reasons
            .iter()
            .any(|reason| reason.code == "no_rollback_detection")
    );
    assert!(engine.ready().is_ok());
}
