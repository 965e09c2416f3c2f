//! Crashes at every operation of a backup, on its folder and on the data, and of a restore.

use attestore_disk::sim::{Fault, Snapshot};

use super::*;

/// An instance with one backup and something new since, as its disks hold it.
struct Prepared {
    disks: [Snapshot; 3],
    first: BackupInfo,
}

impl Prepared {
    fn new(seed: u64) -> Self {
        let site = Site::new(seed);
        let engine = filled(&site);
        let first = site.backup(&engine);
        site.world.append(&engine, "acme", &[event(3), event(4)]);
        engine.close().unwrap();
        drop(engine);
        let disks = [&site.world.disk, &site.folder, &site.outside];
        Self {
            disks: disks.map(SimDisk::snapshot),
            first,
        }
    }

    fn site(&self, seed: u64) -> Site {
        let mut site = Site::new(seed);
        let [data, folder, outside] = self.disks.each_ref().map(SimDisk::from_snapshot);
        (site.world.disk, site.folder, site.outside) = (data, folder, outside);
        site.world.clock.advance_ms(60_000);
        site
    }

    /// What the target holds is sound, the first backup among it and the one that was made; returns how many files nothing names.
    fn are_there(&self, site: &Site, made: Option<&BackupInfo>, context: &str) -> u64 {
        let report = site.verify();
        assert_eq!(report.problems, [], "{context}");
        for backup in [Some(&self.first), made].into_iter().flatten() {
            assert!(
                report.backups.iter().any(|found| found.id == backup.id),
                "{context}"
            );
        }
        report.leftovers
    }
}

#[test]
fn a_crash_at_any_operation_on_the_folder_leaves_the_earlier_backup_and_no_half_one() {
    let prepared = Prepared::new(30);
    let total = {
        let site = prepared.site(30);
        let engine = site.open();
        let begin = site.folder.op_count();
        site.backup(&engine);
        site.folder.op_count() - begin
    };
    assert!(total > 20, "{total} operations");
    let faults = [
        Fault::CrashBefore,
        Fault::CrashTorn,
        Fault::CrashAfter,
        Fault::Errno(28),
    ];
    for fault in faults {
        for op in 0..total {
            let context = format!("{fault:?} at operation {op} of {total}");
            let mut site = prepared.site(30);
            let engine = site.open();
            site.folder.fail_at(site.folder.op_count() + op, fault);
            let made = engine.start_backup(&site.world.by).ok();
            engine.close().unwrap();
            drop(engine);
            site.folder = site.folder.crash();
            prepared.are_there(&site, made.as_ref(), &context);
            let engine = site.open();
            let next = site.backup(&engine);
            assert_eq!(prepared.are_there(&site, Some(&next), &context), 0, "{context}");
        }
    }
}

#[test]
fn a_crash_at_any_operation_on_the_data_during_a_backup_loses_nothing_and_the_next_backup_is_whole() {
    let prepared = Prepared::new(32);
    let (total, wanted) = {
        let site = prepared.site(32);
        let engine = site.open();
        let wanted = events(&site, &engine, "acme");
        let begin = site.world.disk.op_count();
        site.backup(&engine);
        (site.world.disk.op_count() - begin, wanted)
    };
    assert!(total > 20, "{total} operations");
    for fault in [Fault::CrashBefore, Fault::CrashTorn, Fault::CrashAfter] {
        for op in 0..total {
            let context = format!("{fault:?} at operation {op} of {total}");
            let mut site = prepared.site(32);
            let engine = site.open();
            assert_eq!(events(&site, &engine, "acme"), wanted, "{context}");
            let data = &site.world.disk;
            data.fail_at(data.op_count() + op, fault);
            let made = engine.start_backup(&site.world.by).ok();
            drop(engine);
            site.world.disk = site.world.disk.crash();
            site.folder = site.folder.crash();
            prepared.are_there(&site, made.as_ref(), &context);
            let engine = site.open();
            assert_eq!(events(&site, &engine, "acme"), wanted, "{context}");
            sound(&engine, "acme");
            let next = site.backup(&engine);
            assert_eq!(prepared.are_there(&site, Some(&next), &context), 0, "{context}");
            drop(engine);
            assert_eq!(fsck(&site, &site.world.disk), Vec::<String>::new(), "{context}");
        }
    }
}

#[test]
fn a_crash_at_any_operation_of_a_restore_is_gone_on_from() {
    let mut prepared = Prepared::new(31);
    {
        let site = prepared.site(31);
        let engine = site.open();
        forgotten::erase(&site, &engine, "u1");
        engine.close().unwrap();
        prepared.disks = [&site.world.disk, &site.folder, &site.outside].map(SimDisk::snapshot);
    }
    let (total, wanted) = {
        let (site, disk) = (prepared.site(31), SimDisk::new(60));
        site.restore(&disk, &RestoreSpec::default()).unwrap();
        let total = disk.op_count();
        let engine = site.try_open(&disk).unwrap();
        (total, events(&site, &engine, "acme")[..100].to_vec())
    };
    assert!(total > 100, "{total} operations");
    for (share, fault) in (0..).zip([Fault::CrashBefore, Fault::CrashTorn, Fault::CrashAfter]) {
        // Each fault takes its share of the operations.
        for op in (share..total).step_by(STEP) {
            let context = format!("{fault:?} at operation {op} of {total}");
            let (site, disk) = (prepared.site(31), SimDisk::new(60));
            disk.fail_at(op, fault);
            let restored = site.restore(&disk, &RestoreSpec::default());
            let disk = disk.crash();
            let unfinished = disk.exists(Path::new("restore")).unwrap();
            if unfinished {
                assert!(restored.is_err(), "{context}");
                assert!(site.try_open(&disk).is_err(), "{context}: it is not served");
            }
            // Without the mark either nothing had begun, or all was done.
            if unfinished || !disk.exists(Path::new("catalog")).unwrap() {
                site.go_on(&disk, &RestoreSpec::default())
                    .unwrap_or_else(|error| panic!("{context}: {error}"));
            }
            let engine = site
                .try_open(&disk)
                .unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(events(&site, &engine, "acme")[..100], wanted, "{context}");
            sound(&engine, "acme");
        }
    }
}

/// Operations between two that are tried with one fault.
const STEP: usize = 7;
