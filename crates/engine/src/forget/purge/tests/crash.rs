//! A purge is interrupted at each of its operations on the disk: what is served is always all or nothing, and it comes to its end.

use attestore_disk::sim::{Fault, SimDisk, Snapshot};

use super::*;

/// Segments of which one goes whole, one in part, and parts of shared files.
fn prepared() -> (World, Snapshot) {
    let world = World::new(320);
    let engine = open(&world);
    let tenant = world.tenant(&engine, "acme");
    set_policy(&engine, &tenant, 1, (0, Some(DAY_MS)), RetentionMode::None);
    fill(&engine, &tenant, 1, 2000);
    append_as(&engine, &tenant, 2, &[event(1)]);
    append_as(&engine, &tenant, 1, &[event(1), event(2)]);
    engine.flush().unwrap();
    world.clock.advance_ms(HOUR_MS);
    fill(&engine, &tenant, 1, 1000);
    fill(&engine, &tenant, 1, 1000);
    engine.compact("acme").unwrap();
    append_as(&engine, &tenant, 1, &[event(3)]);
    world.clock.advance_ms(DAY_MS - HOUR_MS);
    engine.close().unwrap();
    drop(engine);
    let snapshot = world.disk.snapshot();
    (world, snapshot)
}

/// An order of some records, and what is due.
fn purge(world: &World, engine: &Engine) -> Result<(), Error> {
    let ranges = order(1, Selection::Ranges(vec![16..18, 20..22, 33..34]));
    engine.purge("acme", &world.by, &ranges)?;
    engine.purge_tick()?;
    Ok(())
}

fn sweep(fault: Fault) {
    let (mut world, snapshot) = prepared();
    world.disk = SimDisk::from_snapshot(&snapshot);
    let engine = open(&world);
    let first = world.disk.op_count();
    purge(&world, &engine).unwrap();
    finish(&engine);
    let total = world.disk.op_count();
    let wanted = check(&world, &engine);
    assert!(wanted.len() > 15 && total > first + 60, "{wanted:?}");
    let ordered: BTreeSet<u64> = [16, 17, 20, 21, 33].into();
    println!("operations {first} to {total}, {fault:?}");
    drop(engine);
    for op in first..total {
        let context = format!("{fault:?} at operation {op}");
        println!("{context}");
        world.disk = SimDisk::from_snapshot(&snapshot);
        world.disk.fail_at(op, fault);
        let (engine, _) = world.start_with(eager());
        let _ = purge(&world, &engine);
        if !world.disk.has_crashed() && engine.inner.stopped().is_none() {
            check(&world, &engine);
        }
        drop(engine);
        world.disk = world.disk.crash();
        if op.is_multiple_of(4) {
            world.disk.fail_at(op / 4 % 50, Fault::CrashTorn);
            drop(world.try_start_with(eager()));
            world.disk = world.disk.crash();
        }
        let engine = open(&world);
        let went = check(&world, &engine);
        let due: BTreeSet<u64> = wanted.difference(&ordered).copied().collect();
        for all in [&ordered, &due] {
            let some = all.intersection(&went).count();
            assert!(some == 0 || some == all.len(), "{context}: {went:?}");
        }
        // Whoever ordered it and was not told orders it again.
        purge(&world, &engine).unwrap_or_else(|error| panic!("{context}: {error}"));
        finish(&engine);
        assert_eq!(check(&world, &engine), wanted, "{context}");
        let page = engine.purges("acme", &world.by, None, 10).unwrap();
        assert!(page.items.iter().all(|purge| purge.state == PurgeState::Done));
        drop(engine);
        let (engine, opened) = world.start_with(eager());
        let is_sealed = |path: &&PathBuf| {
            path.extension()
                .is_some_and(|extension| ["seg", "sub", "idx"].iter().any(|known| extension == *known))
        };
        let strays: Vec<_> = opened.recovered.strays.iter().filter(is_sealed).collect();
        assert!(strays.is_empty(), "{context}: {strays:?}");
        assert_eq!(check(&world, &engine), wanted, "{context}");
    }
}

#[test]
fn a_crash_before_any_operation_of_a_purge_leaves_nothing_half_done() {
    sweep(Fault::CrashBefore);
}

#[test]
fn a_crash_inside_any_operation_of_a_purge_leaves_nothing_half_done() {
    sweep(Fault::CrashTorn);
}

#[test]
fn a_crash_after_any_operation_of_a_purge_leaves_nothing_half_done() {
    sweep(Fault::CrashAfter);
}

#[test]
fn an_error_of_any_operation_of_a_purge_leaves_nothing_half_done() {
    sweep(Fault::Errno(5));
}
