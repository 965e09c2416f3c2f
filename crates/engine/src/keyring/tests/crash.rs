//! A rotation is interrupted at each of its operations on the disk: it comes to its end or never began, and everything reads as before.

use attestore_disk::sim::{Fault, SimDisk, Snapshot};

use super::*;

fn prepared() -> (World, Snapshot) {
    let world = World::new(920);
    let (engine, _) = filled(&world);
    let request = ErasureRequest {
        subjects: vec![user("u4")],
        basis: "Art. 17 GDPR".into(),
        undo_s: 86_400,
    };
    engine.erase("acme", &world.by, &request).unwrap();
    engine.close().unwrap();
    drop(engine);
    let snapshot = world.disk.snapshot();
    (world, snapshot)
}

/// Orders it and brings it to its end; whether somebody was told that it began.
fn go(world: &World, engine: &Engine, key: KeyKind) -> bool {
    let begun = engine.rotate_keys("acme", &world.by, &order(key)).is_ok();
    let _ = world.try_append(engine, "acme", &[event(40)]);
    engine.tick();
    begun
}

fn events(world: &World, engine: &Engine) -> Vec<String> {
    let all = records(world, engine, "acme").into_iter();
    all.filter(|record| record.contains("file.read")).collect()
}

fn sweep(fault: Fault, key: KeyKind, every: u64) {
    let (mut world, snapshot) = prepared();
    world.disk = SimDisk::from_snapshot(&snapshot);
    let engine = world.open(false);
    let first = world.disk.op_count();
    let wanted = events(&world, &engine);
    assert!(go(&world, &engine, key));
    let total = world.disk.op_count();
    assert!(engine.keys("acme", &world.by).unwrap().rotation.is_none());
    assert!(total > first + 30, "operations {first} to {total}");
    println!("operations {first} to {total}, {fault:?}");
    drop(engine);
    for op in (first..total).step_by(usize::try_from(every).unwrap()) {
        let context = format!("{key:?}, {fault:?} at operation {op}");
        world.disk = SimDisk::from_snapshot(&snapshot);
        world.disk.fail_at(op, fault);
        let engine = world.open(false);
        let begun = go(&world, &engine, key);
        drop(engine);
        world.disk = world.disk.crash();
        if op.is_multiple_of(3) {
            world.disk.fail_at(op / 3 % 60, Fault::CrashTorn);
            if let Ok((engine, _)) = world.try_start() {
                engine.tick();
            }
            world.disk = world.disk.crash();
        }
        let engine = world.open(false);
        // Half done, everything is there.
        assert_eq!(events(&world, &engine)[..wanted.len()], wanted, "{context}");
        engine.tick();
        let list = engine.keys("acme", &world.by).unwrap();
        assert_eq!(list.rotation, None, "{context}");
        let times = said(&world, &engine, "acme", "key_rotation_begun");
        assert_eq!(
            said(&world, &engine, "acme", "key_rotation_ended"),
            times,
            "{context}"
        );
        assert!(times <= 1 && (times == 1 || !begun), "{context}: {times}");
        let tenant = engine.inner.tenant("acme").unwrap();
        let generation = list
            .items
            .iter()
            .filter(|item| item.key == key)
            .map(|item| item.generation)
            .max();
        assert_eq!(generation, Some(1 + times as u64), "{context}");
        let ring = tenant.keys.ring();
        assert!(ring.former().is_none(), "{context}");
        assert_eq!(row(&engine, &tenant).former_key_slot, None, "{context}");
        let txn = engine.inner.catalog.read().unwrap();
        sweep::each(&txn, &tenant, &mut |places| {
            let others = engine.inner.catalog.not_under(places, ring.current()).unwrap();
            assert_eq!(others, [], "{context}");
            Ok(())
        })
        .unwrap();
        drop(txn);
        assert_eq!(events(&world, &engine)[..wanted.len()], wanted, "{context}");
        world.append(&engine, "acme", &[event(1)]);
        engine.close().unwrap();
        drop((engine, tenant, ring));
        if op.is_multiple_of(8) {
            assert_eq!(fsck(&world), Vec::<String>::new(), "{context}");
        }
    }
}

#[test]
fn a_crash_before_any_operation_of_a_rotation_leaves_it_to_the_next_start() {
    sweep(Fault::CrashBefore, KeyKind::Tenant, 1);
}

#[test]
fn a_crash_inside_any_operation_of_a_rotation_leaves_it_to_the_next_start() {
    sweep(Fault::CrashTorn, KeyKind::Tenant, 1);
}

#[test]
fn a_crash_after_any_operation_of_a_rotation_leaves_it_to_the_next_start() {
    sweep(Fault::CrashAfter, KeyKind::Tenant, 1);
}

#[test]
fn an_error_of_any_operation_of_a_rotation_leaves_it_to_the_next_start() {
    sweep(Fault::Errno(5), KeyKind::Tenant, 1);
}

#[test]
fn a_crash_inside_any_operation_leaves_pages_with_their_former_or_their_new_keys() {
    sweep(Fault::CrashTorn, KeyKind::Buckets, 1);
}
