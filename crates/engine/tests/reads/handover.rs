//! The keys of a log, one after the other: rotation with its announcement, forks of logs that lost entries.

use attestore_disk::sim::{Fault, SimDisk, Snapshot};
use attestore_engine::check::fsck;
use attestore_engine::handover::{LogKey, LogKeyState};
use attestore_engine::{AppendError, Engine, Error, Item, Mode, Role, read::Which};
use attestore_record::{Entry, Kind};
use attestore_tlog::{
    Handover, HandoverReason, SignedNote, VerifierKey, open_checkpoint, verify_consistency,
};

use crate::world::{World, append_range, event, everything, principal};

const DAY_MS: u64 = 86_400_000;

fn key(vkey: &str) -> VerifierKey {
    VerifierKey::parse(vkey).unwrap()
}

fn states(keys: &[LogKey]) -> Vec<LogKeyState> {
    keys.iter().map(|key| key.state).collect()
}

fn signatures(note: &str) -> usize {
    SignedNote::parse(note).unwrap().signatures().len()
}

fn kind(entry: &[u8; 44]) -> Kind {
    Entry::from_bytes(entry).unwrap().kind
}

/// A copy of an instance whose log of `acme` has 20 entries, and its last checkpoint when it had 30.
fn backed_up(world: &World) -> (Snapshot, String) {
    let engine = world.open();
    engine.create_tenant("acme", &everything()).unwrap();
    append_range(&engine, "acme", 0..20);
    engine.close().unwrap();
    drop(engine);
    let backup = world.disk.snapshot();
    let engine = world.open();
    append_range(&engine, "acme", 20..30);
    let last = engine.checkpoint("acme").unwrap();
    engine.close().unwrap();
    (backup, last)
}

/// An instance whose log of `acme` lost 10 of 30 entries, and the last checkpoint before that.
fn rolled_back(world: &World) -> (Engine, String) {
    let (backup, last) = backed_up(world);
    world.disk.restore(&backup);
    (world.open(), last)
}

fn try_append(engine: &Engine) -> Result<u64, AppendError> {
    let item = Item {
        bytes: event(1).into(),
        fallback_key: None,
    };
    let appended = engine.append_blocking("acme", &everything(), "native", vec![item], Mode::Each)?;
    Ok(appended.items[0].as_ref().unwrap().seq)
}

#[test]
fn a_rotation_is_announced_by_the_old_key_and_both_sign_until_it_is_retired() {
    let world = World::new(40);
    let engine = world.open();
    engine.create_tenant("acme", &everything()).unwrap();
    append_range(&engine, "acme", 0..5);
    let old = key(&engine.vkey("acme").unwrap());
    let rotated = engine.rotate_log_key("acme", &everything(), DAY_MS).unwrap();
    let new = key(&rotated.vkey);
    assert_eq!((rotated.seq, &rotated.former), (5, &old.to_string()));
    assert_ne!(new, old);

    let named = Handover::open(&rotated.handover, &old).unwrap();
    assert_eq!(
        (named.reason, named.next),
        (HandoverReason::Rotation, new.clone())
    );
    let announced = open_checkpoint(&rotated.checkpoint, &old).unwrap();
    assert_eq!((announced.size(), signatures(&rotated.checkpoint)), (6, 1));
    let record = engine.get("acme", &everything(), Which::Seq(5)).unwrap();
    assert_eq!(kind(&record.entry), Kind::Key);
    let proof = engine.proof("acme", &everything(), Which::Seq(5)).unwrap();
    attestore_verify::verify_tlog_proof(&proof, &old.to_string()).unwrap();
    assert!(
        record.event.to_string().contains(&new.to_string()),
        "{}",
        record.event
    );

    append_range(&engine, "acme", 5..8);
    let both = engine.checkpoint("acme").unwrap();
    assert_eq!(signatures(&both), 2);
    open_checkpoint(&both, &old).unwrap();
    open_checkpoint(&both, &new).unwrap();
    use LogKeyState::{Current, Retired, Retiring};
    assert_eq!(states(&engine.log_keys("acme").unwrap()), [Retiring, Current]);

    world.clock.advance_ms(DAY_MS + 1);
    engine.tick();
    append_range(&engine, "acme", 8..9);
    let alone = engine.checkpoint("acme").unwrap();
    assert_eq!(signatures(&alone), 1);
    open_checkpoint(&alone, &new).unwrap();
    assert!(open_checkpoint(&alone, &old).is_err());
    assert_eq!(states(&engine.log_keys("acme").unwrap()), [Retired, Current]);
    engine.close().unwrap();
    drop(engine);
    let engine = world.open();
    assert_eq!(states(&engine.log_keys("acme").unwrap()), [Retired, Current]);
    assert_eq!(engine.vkey("acme").unwrap(), new.to_string());
}

#[test]
fn a_key_that_others_may_have_is_destroyed_at_once() {
    let world = World::new(41);
    let engine = world.open();
    engine.create_tenant("acme", &everything()).unwrap();
    append_range(&engine, "acme", 0..5);
    let first = engine.rotate_log_key("acme", &everything(), DAY_MS).unwrap();
    let second = engine.rotate_log_key("acme", &everything(), 0).unwrap();
    assert_eq!((second.former, second.retires_ms), (first.vkey, None));
    let note = engine.checkpoint("acme").unwrap();
    assert_eq!(signatures(&note), 1);
    open_checkpoint(&note, &key(&second.vkey)).unwrap();
    use LogKeyState::{Current, Retired};
    assert_eq!(
        states(&engine.log_keys("acme").unwrap()),
        [Retired, Retired, Current]
    );
    assert!(!engine.retire_log_key("acme", &everything()).unwrap());
}

#[test]
fn keys_are_changed_by_who_may() {
    let world = World::new(42);
    let engine = world.open();
    engine.create_tenant("acme", &everything()).unwrap();
    for role in [
        Role::TenantAdmin,
        Role::Operator,
        Role::Reader,
        Role::RetentionManager,
    ] {
        let by = principal(&[role]);
        assert!(
            matches!(engine.rotate_log_key("acme", &by, 0), Err(Error::Forbidden)),
            "{role:?}"
        );
        assert!(
            matches!(engine.retire_log_key("acme", &by), Err(Error::Forbidden)),
            "{role:?}"
        );
    }
}

#[test]
fn a_rotation_that_a_crash_ends_leaves_a_log_that_its_chain_of_keys_verifies() {
    let mut finished = false;
    for op in 0.. {
        let world = World::new(43);
        let engine = world.open();
        engine.create_tenant("acme", &everything()).unwrap();
        append_range(&engine, "acme", 0..5);
        let first = key(&engine.vkey("acme").unwrap());
        world.disk.fail_at(world.disk.op_count() + op, Fault::CrashTorn);
        finished = engine.rotate_log_key("acme", &everything(), DAY_MS).is_ok() && !world.disk.has_crashed();
        drop(engine);
        let after = World {
            disk: world.disk.crash(),
            register: SimDisk::from_snapshot(&world.register.snapshot()),
            ..world
        };
        let engine = after.open();
        // What was begun comes to its end with the next call, and every key is named by the one before it.
        engine.rotate_log_key("acme", &everything(), DAY_MS).unwrap();
        let keys = engine.log_keys("acme").unwrap();
        assert_eq!(keys[0].vkey, first.to_string(), "operation {op}");
        for pair in keys.windows(2) {
            let named = Handover::open(pair[0].handover.as_ref().unwrap(), &key(&pair[0].vkey)).unwrap();
            assert_eq!(named.next.to_string(), pair[1].vkey, "operation {op}");
        }
        let last = key(&keys.last().unwrap().vkey);
        open_checkpoint(&engine.checkpoint("acme").unwrap(), &last).unwrap();
        if finished {
            break;
        }
    }
    assert!(finished);
}

#[test]
fn a_log_that_lost_entries_goes_on_as_another_after_a_fork() {
    let world = World::new(44);
    let (engine, last) = rolled_back(&world);
    let old = key(&engine.vkey("acme").unwrap());
    assert!(matches!(try_append(&engine), Err(AppendError::Rollback { .. })));
    let forked = engine
        .fork("acme", "restored from last night's backup", None, false)
        .unwrap();
    assert_eq!((forked.survived, forked.former.as_str()), (20, old.name()));
    assert_eq!(forked.known.as_ref().map(|known| known.size), Some(30));
    assert!(try_append(&engine).is_err(), "only a start puts it in force");
    engine.close().unwrap();
    drop(engine);

    let (engine, opened) = world.try_open().unwrap();
    assert!(
        opened
            .warnings
            .iter()
            .any(|warning| warning.contains("goes on as")),
        "{:?}",
        opened.warnings
    );
    assert_eq!(try_append(&engine).unwrap(), 21);
    let fork = engine.get("acme", &everything(), Which::Seq(20)).unwrap();
    assert_eq!(kind(&fork.entry), Kind::Fork);
    let new = key(&engine.vkey("acme").unwrap());
    assert_eq!(new.to_string(), forked.vkey);
    let named = Handover::open(&forked.handover, &old).unwrap();
    assert_eq!(
        (named.reason, named.size, named.next),
        (HandoverReason::Fork, 20, new.clone())
    );
    let checkpoint = open_checkpoint(&engine.checkpoint("acme").unwrap(), &new).unwrap();
    let proof = engine.consistency("acme", 20, checkpoint.size()).unwrap().hashes;
    verify_consistency(20, checkpoint.size(), named.root, checkpoint.root(), &proof).unwrap();
    let known = open_checkpoint(&last, &old).unwrap();
    assert!(
        known.size() > named.size,
        "what is lost is what the old origin had beyond"
    );
    assert_eq!(engine.tenant("acme").unwrap().epoch, 1);
    engine.close().unwrap();
    drop(engine);

    let report = fsck(&world.parts().unwrap(), &mut |_, _, _| {}).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    let engine = world.open();
    assert_eq!(try_append(&engine).unwrap(), 22);
}

#[test]
fn the_directory_before_a_fork_cannot_come_back() {
    let world = World::new(45);
    let (engine, _) = rolled_back(&world);
    engine.close().unwrap_or_default();
    let before = world.disk.snapshot();
    drop(engine);
    let engine = world.open();
    engine.fork("acme", "test", None, false).unwrap();
    engine.close().unwrap();
    drop(engine);
    drop(world.open());
    world.disk.restore(&before);
    let engine = world.open();
    assert!(matches!(try_append(&engine), Err(AppendError::Rollback { .. })));
}

#[test]
fn a_log_that_contradicts_nothing_is_forked_by_force_or_over_a_checkpoint_only() {
    let world = World::new(46);
    let engine = world.open();
    engine.create_tenant("acme", &everything()).unwrap();
    append_range(&engine, "acme", 0..20);
    let extended = engine.checkpoint("acme").unwrap();
    let code = |result: Result<_, Error>| match result {
        Err(Error::Invalid { code, .. }) => code,
        other => panic!("{other:?}"),
    };
    assert_eq!(code(engine.fork("acme", "test", None, false)), "nothing_to_fork");
    assert_eq!(
        code(engine.fork("acme", "test", Some(&extended), false)),
        "invalid_checkpoint"
    );
    let foreign = engine.checkpoint(attestore_engine::SYSTEM_TENANT).unwrap();
    assert_eq!(
        code(engine.fork("acme", "test", Some(&foreign), true)),
        "invalid_checkpoint"
    );
    let forked = engine.fork("acme", "test", None, true).unwrap();
    assert_eq!((forked.survived, forked.known), (20, None));
}

#[test]
fn without_a_register_a_checkpoint_that_somebody_kept_is_ground_for_a_fork() {
    let world = World::new(47);
    let (engine, last) = rolled_back(&world);
    engine.close().unwrap_or_default();
    drop(engine);
    let world = World {
        register: SimDisk::new(1),
        ..world
    };
    let engine = world.open();
    let forked = engine.fork("acme", "restored", Some(&last), false).unwrap();
    assert_eq!(forked.known.map(|known| known.size), Some(30));
}

#[test]
fn a_fork_that_a_crash_ends_is_done_or_not_done() {
    let mut finished = 0;
    for op in 0.. {
        let world = World::new(48);
        let (engine, _) = rolled_back(&world);
        world.disk.fail_at(world.disk.op_count() + op, Fault::CrashTorn);
        let forked = engine.fork("acme", "test", None, false);
        let closed = engine.close();
        drop(engine);
        // The start that writes the record may be what the crash ends.
        let opened = if world.disk.has_crashed() {
            None
        } else {
            world.try_open().ok()
        };
        let whole = forked.is_ok() && closed.is_ok() && opened.is_some() && !world.disk.has_crashed();
        drop(opened);
        let after = World {
            disk: world.disk.crash(),
            register: SimDisk::from_snapshot(&world.register.snapshot()),
            ..world
        };
        let engine = after.open();
        match engine.tenant("acme").unwrap().epoch {
            0 => assert!(
                matches!(try_append(&engine), Err(AppendError::Rollback { .. })),
                "operation {op}"
            ),
            _ => {
                assert_eq!(
                    try_append(&engine).unwrap(),
                    21,
                    "operation {op}: one record of the fork"
                );
                let fork = engine.get("acme", &everything(), Which::Seq(20)).unwrap();
                assert_eq!(kind(&fork.entry), Kind::Fork, "operation {op}");
            }
        }
        finished += usize::from(whole);
        if finished > 0 {
            break;
        }
    }
}

#[test]
fn a_fork_found_out_late_says_what_survived_and_keeps_what_came_since() {
    let world = World::new(49);
    let register = world.register.snapshot();
    let (backup, last) = backed_up(&world);
    // Nobody remembers here; the log takes on records until somebody brings what it once signed.
    world.disk.restore(&backup);
    world.register.restore(&register);
    let engine = world.open();
    let old = key(&engine.vkey("acme").unwrap());
    append_range(&engine, "acme", 50..53);
    assert!(engine.hold_against("acme", &last).unwrap().is_some());
    assert!(matches!(try_append(&engine), Err(AppendError::Rollback { .. })));
    let forked = engine.fork("acme", "restored", Some(&last), false).unwrap();
    assert_eq!(
        (forked.survived, forked.known.map(|known| known.size)),
        (20, Some(30))
    );
    let named = Handover::open(&forked.handover, &old).unwrap();
    assert_eq!(named.size, 20);
    engine.close().unwrap_or_default();
    drop(engine);
    let engine = world.open();
    let fork = engine.get("acme", &everything(), Which::Seq(23)).unwrap();
    assert_eq!(kind(&fork.entry), Kind::Fork);
    assert_eq!(try_append(&engine).unwrap(), 24);
}
