//! Power cuts and errors at every operation of a workload.

use super::{
    Database, Disk, Error, Fault, FileRoot, SealedStorage, SimDisk, commit, committed, create, database,
    dynamic, entropy, open, root,
};
use std::io::ErrorKind;
use std::path::Path;

const ROUNDS: u64 = 30;

/// Creates the catalog and commits; returns how many transactions were acknowledged.
fn workload(disk: &SimDisk, root: &FileRoot) -> u64 {
    let mut acknowledged = 0;
    let run = |acknowledged: &mut u64| -> Result<(), Box<dyn std::error::Error>> {
        let storage = create(disk, root)?;
        let database = database(&storage)?;
        commit(&database, 0..ROUNDS, acknowledged)?;
        Ok(())
    };
    let _ = run(&mut acknowledged);
    acknowledged
}

/// Opens what a crash left; a catalog that was never finished is created again.
fn reopen(disk: &SimDisk, root: &FileRoot) -> Result<SealedStorage, Error> {
    if SealedStorage::exists(disk)? {
        open(disk, root)
    } else {
        create(disk, root)
    }
}

fn check(disk: &SimDisk, root: &FileRoot, acknowledged: u64, what: &str) {
    let storage = reopen(disk, root).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(storage.scan(), [], "{what}");
    let database: Database = database(&storage).unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = committed(&database).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(
        found == acknowledged || found == acknowledged + 1,
        "{what}: {found} transactions of {acknowledged} acknowledged"
    );
    let mut again = found;
    commit(&database, found..found + 2, &mut again).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(storage.scan(), [], "{what}: after further commits");
}

#[test]
fn a_crash_at_any_operation_keeps_exactly_the_committed_transactions() {
    let root = root();
    let whole = SimDisk::new(0);
    assert_eq!(workload(&whole, &root), ROUNDS);
    for op in 0..whole.op_count() {
        let fault =
            [Fault::CrashBefore, Fault::CrashTorn, Fault::CrashAfter][usize::try_from(op % 3).unwrap_or(0)];
        for fault in [fault, Fault::CrashTorn] {
            let disk = SimDisk::new(op);
            disk.fail_at(op, fault);
            let acknowledged = workload(&disk, &root);
            for _ in 0..2 {
                check(
                    &disk.crash(),
                    &root,
                    acknowledged,
                    &format!("seed {op}, {fault:?} at {op}"),
                );
            }
        }
    }
}

#[test]
fn a_crash_inside_recovery_is_recovered_from() {
    let root = root();
    let probe = SimDisk::new(0);
    workload(&probe, &root);
    let ops = probe.op_count();
    for op in ops - 60..ops {
        let disk = SimDisk::new(op);
        disk.fail_at(op, Fault::CrashAfter);
        let acknowledged = workload(&disk, &root);
        for second in 0..12 {
            let left = disk.crash();
            let start = left.op_count();
            left.fail_at(start + second, Fault::CrashTorn);
            drop(reopen(&left, &root));
            check(
                &left.crash(),
                &root,
                acknowledged,
                &format!("seed {op}, crash at {op}, then at {second}"),
            );
        }
    }
}

#[test]
fn an_error_at_any_operation_is_the_last_and_loses_nothing_committed() {
    let root = root();
    let whole = SimDisk::new(0);
    workload(&whole, &root);
    for op in 0..whole.op_count() {
        let disk = SimDisk::new(op);
        disk.fail_at(
            op,
            if op % 2 == 0 {
                Fault::Errno(5)
            } else {
                Fault::Error(ErrorKind::StorageFull)
            },
        );
        let acknowledged = workload(&disk, &root);
        // The process is started again over what the page cache says, or after a power cut.
        let crashed = SimDisk::from_snapshot(&disk.snapshot()).crash();
        check(
            &crashed,
            &root,
            acknowledged,
            &format!("seed {op}, error at {op}, power cut"),
        );
        check(
            &disk,
            &root,
            acknowledged,
            &format!("seed {op}, error at {op}, restart"),
        );
    }
}

#[test]
fn a_failed_sync_fails_every_later_call() {
    use redb::StorageBackend as _;
    let (disk, root) = (SimDisk::new(1), root());
    let storage = SealedStorage::create(&dynamic(&disk), &root, entropy(1)).unwrap();
    storage.write(0, b"one").unwrap();
    disk.fail_at(disk.op_count() + 1, Fault::Errno(5));
    assert!(storage.sync_data().is_err());
    assert!(storage.sync_data().is_err(), "the second sync must not succeed");
    assert!(storage.write(0, b"two").is_err());
    assert!(storage.read(0, &mut [0; 3]).is_err());
    assert!(storage.rewrap(&root).is_err());
    assert!(disk.exists(Path::new(super::CATALOG)).unwrap());
}

#[test]
fn a_full_disk_loses_nothing_committed() {
    let root = root();
    for capacity in [20_000, 60_000, 120_000, 240_000, 480_000] {
        let disk = SimDisk::new(capacity);
        disk.set_capacity(capacity);
        let acknowledged = workload(&disk, &root);
        disk.set_capacity(u64::MAX);
        check(&disk, &root, acknowledged, &format!("capacity {capacity}"));
    }
}
