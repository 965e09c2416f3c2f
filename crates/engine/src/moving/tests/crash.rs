//! Crashes at every operation of closing and of importing.

use attestore_disk::sim::{Fault, SimDisk, Snapshot};

use super::*;

/// Two servers as their disks hold them: a tenant that is about to be closed, and one that is about to be imported.
struct Prepared {
    open: Snapshot,
    target: Snapshot,
    invited: ImportInfo,
    moved: MoveInfo,
    events: Vec<String>,
}

impl Prepared {
    fn new(seed: u64) -> Self {
        let pair = Pair::new(seed);
        let source = filled(&pair.from);
        let target = open(&pair.to);
        let invited = invite(&pair, &target);
        let text = invited.invitation.to_text();
        source.start_move("acme", &pair.from.by, &text, "why").unwrap();
        let events = events(&pair.from, &source, "acme");
        source.close().unwrap();
        drop(source);
        let open_snapshot = pair.from.disk.snapshot();
        let source = open(&pair.from);
        let moved = source.close_move("acme", &pair.from.by).unwrap();
        source.close().unwrap();
        drop(source);
        carry(&pair, &folder_of(&invited.invitation.id));
        target.close().unwrap();
        drop(target);
        Self {
            open: open_snapshot,
            target: pair.to.disk.snapshot(),
            invited,
            moved,
            events,
        }
    }
}

fn world(snapshot: &Snapshot, seed: u64) -> World {
    let mut world = World::new(seed);
    world.disk = SimDisk::from_snapshot(snapshot);
    world.clock.advance_ms(60_000);
    world
}

const FAULTS: [Fault; 3] = [Fault::CrashBefore, Fault::CrashTorn, Fault::CrashAfter];

#[test]
fn a_crash_at_any_operation_of_closing_is_gone_on_from() {
    let prepared = Prepared::new(920);
    let total = {
        let world = world(&prepared.open, 920);
        let source = open(&world);
        let begin = world.disk.op_count();
        source.close_move("acme", &world.by).unwrap();
        world.disk.op_count() - begin
    };
    assert!(total > 50, "{total} operations");
    for (share, fault) in (0..).zip(FAULTS) {
        for op in (share..total).step_by(STEP) {
            let context = format!("{fault:?} at operation {op} of {total}");
            let mut world = world(&prepared.open, 920);
            let source = open(&world);
            world.disk.fail_at(world.disk.op_count() + op, fault);
            let _ = source.close_move("acme", &world.by);
            drop(source);
            world.disk = world.disk.crash();
            let source = open(&world);
            let state = source.move_of("acme", &world.by).unwrap().state;
            let appended = world.try_append(&source, "acme", &[event(3)]);
            assert_eq!(
                appended.is_ok(),
                state == MoveState::Copying,
                "{context}: {state:?}"
            );
            let packed = source
                .close_move("acme", &world.by)
                .unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(packed.state, MoveState::Packed, "{context}");
            let report = source
                .check_package(&world.by, &packed.invitation.id, None)
                .unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(report.problems, Vec::<String>::new(), "{context}");
            let now = events(&world, &source, "acme");
            assert_eq!(now[..prepared.events.len()], prepared.events[..], "{context}");
            sound(&source, "acme");
        }
    }
}

#[test]
fn a_crash_at_any_operation_of_an_import_leaves_the_whole_tenant_or_nothing() {
    let prepared = Prepared::new(921);
    let id = &prepared.invited.invitation.id;
    let import =
        |world: &World, engine: &Engine| engine.import_move(&world.by, id, &prepared.moved.vkey, None);
    let total = {
        let world = world(&prepared.target, 930);
        let target = open(&world);
        let begin = world.disk.op_count();
        import(&world, &target).unwrap();
        world.disk.op_count() - begin
    };
    assert!(total > 50, "{total} operations");
    for (share, fault) in (0..).zip(FAULTS) {
        for op in (share..total).step_by(STEP) {
            let context = format!("{fault:?} at operation {op} of {total}");
            let mut world = world(&prepared.target, 930);
            let target = open(&world);
            world.disk.fail_at(world.disk.op_count() + op, fault);
            let done = import(&world, &target).is_ok();
            drop(target);
            world.disk = world.disk.crash();
            let target = open(&world);
            let state = target.move_in(&world.by, id).unwrap().state;
            match state {
                ImportState::Imported => {}
                ImportState::Invited => {
                    assert!(!done, "{context}");
                    assert!(target.tenant("acme").is_err(), "{context}");
                    import(&world, &target).unwrap_or_else(|error| panic!("{context}: {error}"));
                }
                ImportState::Importing => panic!("{context}: a start throws it away"),
            }
            let now = events(&world, &target, "acme");
            assert_eq!(now[..prepared.events.len()], prepared.events[..], "{context}");
            let fork = now.get(prepared.events.len() + 1);
            assert!(
                fork.is_some_and(|text| text.contains("\"type\":\"fork\"")),
                "{context}"
            );
            target.move_receipt(&world.by, id).unwrap();
            world.append(&target, "acme", &[event(3)]);
            sound(&target, "acme");
            assert_eq!(fsck_of(target, &world), Vec::<String>::new(), "{context}");
        }
    }
}

#[test]
fn a_crash_at_any_operation_of_taking_back_leaves_a_log_that_ended_or_one_that_goes_on() {
    let prepared = Prepared::new(922);
    let closed = |fault: Option<(u64, Fault)>| {
        let world = world(&prepared.open, 922);
        let source = open(&world);
        source.close_move("acme", &world.by).unwrap();
        let begin = world.disk.op_count();
        if let Some((op, fault)) = fault {
            world.disk.fail_at(begin + op, fault);
        }
        let done = source.abort_move("acme", &world.by, "why").is_ok();
        (world.disk.op_count() - begin, done, world)
    };
    let (total, done, _) = closed(None);
    assert!(done && total > 20, "{total} operations");
    for (share, fault) in (0..).zip(FAULTS) {
        for op in (share..total).step_by(FAULTS.len()) {
            let context = format!("{fault:?} at operation {op} of {total}");
            let (_, done, mut world) = closed(Some((op, fault)));
            world.disk = world.disk.crash();
            let source = open(&world);
            let moves = source.move_of("acme", &world.by).is_ok();
            assert!(!(done && moves), "{context}");
            let appended = world.try_append(&source, "acme", &[event(3)]);
            assert_eq!(appended.is_ok(), !moves, "{context}");
            if moves {
                source
                    .abort_move("acme", &world.by, "why")
                    .unwrap_or_else(|error| panic!("{context}: {error}"));
                world.append(&source, "acme", &[event(3)]);
            }
            let now = events(&world, &source, "acme");
            assert_eq!(now[..prepared.events.len()], prepared.events[..], "{context}");
            let fork = now.get(prepared.events.len() + 1);
            assert!(
                fork.is_some_and(|text| text.contains("\"type\":\"fork\"")),
                "{context}"
            );
            assert_eq!(now.len(), prepared.events.len() + 3, "{context}");
            sound(&source, "acme");
            assert_eq!(fsck_of(source, &world), Vec::<String>::new(), "{context}");
        }
    }
}

/// Operations between two that are tried with one fault.
const STEP: usize = 7;
