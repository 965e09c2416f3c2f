//! Every operation of the canonical workload, in four ways each.

use std::collections::BTreeSet;
use std::path::PathBuf;

use attestore_disk::sim::{Fault, SimDisk};

use crate::model::Model;
use crate::workload::{Step, canonical, compaction, run};
use crate::world::World;

const SEED: u64 = 7;

#[test]
fn the_canonical_workload_runs_and_survives_a_restart() {
    let (world, disk, mut model) = (World::new(SEED), SimDisk::new(SEED), Model::default());
    let (engine, opened) = world.open(&disk).unwrap();
    assert!(opened.created);
    let steps = canonical();
    assert_eq!(run(&world, &engine, &mut model, &steps), steps.len());
    model.check(&engine);
    engine.close().unwrap();
    drop(engine);
    let (engine, opened) = world.open(&disk).unwrap();
    assert!(!opened.created && opened.recovered.torn.is_none());
    model.check(&engine);
}

/// The sweep is worth what the workload reaches.
#[test]
fn the_canonical_workload_switches_wal_files_and_writes_and_rewrites_parts() {
    let (world, disk, mut model) = (World::new(SEED), SimDisk::new(SEED), Model::default());
    let (engine, _) = world.open(&disk).unwrap();
    let files = |extension: &str| -> BTreeSet<PathBuf> {
        let paths = disk.paths().into_iter();
        paths
            .filter(|path| path.extension().is_some_and(|found| found == extension))
            .collect()
    };
    let (mut logs, mut parts) = (files("wal"), BTreeSet::new());
    assert_eq!(logs.len(), 1);
    for step in canonical() {
        assert_eq!(run(&world, &engine, &mut model, &[step]), 1);
        logs.extend(files("wal"));
        parts.extend(files("l0"));
    }
    assert!(logs.len() > 1, "one WAL file was enough: {logs:?}");
    assert!(!parts.is_empty(), "no tail was small enough for a part");
    // A file of parts goes when every part of it was put into a segment of its own.
    let left = files("l0");
    assert!(
        parts.iter().any(|path| !left.contains(path)),
        "no part was rewritten: {parts:?}"
    );
    assert!(!files("seg").is_empty() && !files("sub").is_empty());
    model.check(&engine);
}

#[test]
fn the_same_seed_does_the_same_operations() {
    assert_eq!(operations(), operations());
}

/// The same for the sweep of compactions.
#[test]
fn the_compactions_put_parts_and_files_together_and_remove_them() {
    let (world, disk, mut model) = (World::new(SEED), SimDisk::new(SEED), Model::default());
    let (engine, _) = world.open(&disk).unwrap();
    let files = || -> BTreeSet<PathBuf> {
        let paths = disk.paths().into_iter();
        paths
            .filter(|path| {
                path.extension()
                    .is_some_and(|found| ["seg", "sub", "l0"].iter().any(|known| found == *known))
            })
            .collect()
    };
    let steps = canonical();
    assert_eq!(run(&world, &engine, &mut model, &steps), steps.len());
    let mut removed = BTreeSet::new();
    for step in compaction() {
        let before = files();
        assert_eq!(run(&world, &engine, &mut model, std::slice::from_ref(&step)), 1);
        if let Step::Compact(_) = step {
            removed.extend(before.difference(&files()).cloned());
        }
    }
    for extension in ["seg", "sub", "l0"] {
        let some = removed
            .iter()
            .any(|path| path.extension().is_some_and(|found| found == extension));
        assert!(some, "no {extension} was put together: {removed:?}");
    }
    model.check(&engine);
}

#[test]
fn a_crash_before_any_operation_of_a_compaction_loses_nothing() {
    sweep_compaction(Fault::CrashBefore);
}

#[test]
fn a_crash_inside_any_operation_of_a_compaction_loses_nothing() {
    sweep_compaction(Fault::CrashTorn);
}

#[test]
fn a_crash_after_any_operation_of_a_compaction_loses_nothing() {
    sweep_compaction(Fault::CrashAfter);
}

#[test]
fn an_error_of_any_operation_of_a_compaction_loses_nothing() {
    sweep_compaction(Fault::Errno(5));
}

#[test]
fn a_full_disk_at_any_operation_of_a_compaction_loses_nothing() {
    sweep_compaction(Fault::Errno(28));
}

#[test]
fn a_crash_before_any_operation_loses_nothing_acknowledged() {
    sweep(Fault::CrashBefore);
}

#[test]
fn a_crash_inside_any_operation_loses_nothing_acknowledged() {
    sweep(Fault::CrashTorn);
}

#[test]
fn a_crash_after_any_operation_loses_nothing_acknowledged() {
    sweep(Fault::CrashAfter);
}

#[test]
fn an_error_of_any_operation_loses_nothing_acknowledged() {
    sweep(Fault::Errno(5));
}

/// How many operations the workload has.
fn operations() -> u64 {
    let (world, disk, mut model) = (World::new(SEED), SimDisk::new(SEED), Model::default());
    let (engine, _) = world.open(&disk).unwrap();
    run(&world, &engine, &mut model, &canonical());
    disk.op_count()
}

fn sweep(fault: Fault) {
    let total = operations();
    println!("seed {SEED}: {total} operations, {fault:?}");
    for op in 0..total {
        case(op, fault);
    }
}

/// Plays a fault at each operation of the compactions and of what is in between.
fn sweep_compaction(fault: Fault) {
    let first = operations();
    let total = {
        let (world, disk, mut model) = (World::new(SEED), SimDisk::new(SEED), Model::default());
        let (engine, _) = world.open(&disk).unwrap();
        run(&world, &engine, &mut model, &canonical());
        run(&world, &engine, &mut model, &compaction());
        disk.op_count()
    };
    println!("seed {SEED}: operations {first} to {total}, {fault:?}");
    assert!(total > first + 50);
    for op in first..total {
        let context = format!("seed {SEED}, {fault:?} at operation {op}");
        println!("{context}");
        let (world, mut disk, mut model) = (World::new(SEED), SimDisk::new(SEED), Model::default());
        disk.fail_at(op, fault);
        if let Ok((engine, _)) = world.open(&disk) {
            run(&world, &engine, &mut model, &canonical());
            run(&world, &engine, &mut model, &compaction());
            if !disk.has_crashed() && engine.verify("acme", &mut |_, _| {}).is_ok() {
                // An error that the process outlived: whatever readers see is whole.
                for name in ["acme", "globex", "_system"] {
                    let report = engine.verify(name, &mut |_, _| {}).unwrap();
                    assert!(report.is_sound(), "{context}: {name}: {:?}", report.problems);
                }
            }
        }
        disk = disk.crash();
        if op.is_multiple_of(3) {
            disk.fail_at(op / 3 % 40, Fault::CrashTorn);
            if let Ok((engine, _)) = world.open(&disk) {
                drop(engine);
            }
            disk = disk.crash();
        }
        let (engine, _) = world
            .open(&disk)
            .unwrap_or_else(|error| panic!("{context}: does not open: {error}"));
        model.check(&engine);
        for name in ["acme", "globex", "_system"] {
            engine
                .compact(name)
                .unwrap_or_else(|error| panic!("{context}: {name}: {error}"));
        }
        model.check(&engine);
        drop(engine);
        let strays: Vec<PathBuf> = disk
            .paths()
            .into_iter()
            .filter(|path| path.extension().is_some_and(|found| found == "tmp"))
            .collect();
        assert!(strays.is_empty(), "{context}: {strays:?}");
        let (engine, opened) = world
            .open(&disk)
            .unwrap_or_else(|error| panic!("{context}: does not open again: {error}"));
        let sealed: Vec<&PathBuf> = opened
            .recovered
            .strays
            .iter()
            .filter(|path| path.extension().is_some_and(|found| found == "seg"))
            .collect();
        assert!(
            sealed.is_empty(),
            "{context}: left over at the second start: {sealed:?}"
        );
        model.check(&engine);
    }
}

fn case(op: u64, fault: Fault) {
    let context = format!("seed {SEED}, {fault:?} at operation {op}");
    println!("{context}");
    let (world, mut disk, mut model) = (World::new(SEED), SimDisk::new(SEED), Model::default());
    disk.fail_at(op, fault);
    if let Ok((engine, _)) = world.open(&disk) {
        run(&world, &engine, &mut model, &canonical());
    }
    disk = disk.crash();
    // Every third time, another crash inside of the reopening: at an operation that moves along with `op`.
    if op.is_multiple_of(3) {
        disk.fail_at(
            op / 3 % 40,
            [Fault::CrashBefore, Fault::CrashTorn, Fault::CrashAfter][(op / 3 % 3) as usize],
        );
        if let Ok((engine, _)) = world.open(&disk) {
            drop(engine);
        }
        disk = disk.crash();
    }
    let (engine, _) = world
        .open(&disk)
        .unwrap_or_else(|error| panic!("{context}: does not open: {error}"));
    model.check(&engine);
    drop(engine);
    let disk = disk.crash();
    let (engine, _) = world
        .open(&disk)
        .unwrap_or_else(|error| panic!("{context}: does not open again: {error}"));
    model.check(&engine);
}
