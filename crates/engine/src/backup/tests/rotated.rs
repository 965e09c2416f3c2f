//! Backups of instances whose keys were rotated, or are being rotated.

use super::*;
use crate::SYSTEM_TENANT;
use crate::keyring::{KeyKind, RotationOrder};

fn restored(name: &str, ended: bool) {
    let site = Site::new(41);
    let engine = filled(&site);
    let order = RotationOrder {
        key: KeyKind::Tenant,
        reason: None,
    };
    engine.rotate_keys(name, &site.world.by, &order).unwrap();
    if ended {
        engine.tick();
    }
    let under_way = engine.keys(name, &site.world.by).unwrap().rotation.is_some();
    assert_eq!(under_way, !ended);
    site.backup(&engine);
    let before = events(&site, &engine, "acme");
    engine.close().unwrap();
    let report = site.verify();
    assert_eq!(report.problems, []);
    assert!(report.backups.iter().all(|backup| backup.sound && backup.opened));
    let disk = SimDisk::new(43);
    site.restore(&disk, &RestoreSpec::default()).unwrap();
    let engine = site.try_open(&disk).unwrap();
    assert_eq!(events(&site, &engine, "acme")[..before.len()], before);
    engine.tick();
    assert!(engine.keys(name, &site.world.by).unwrap().rotation.is_none());
    assert_eq!(events(&site, &engine, "acme")[..before.len()], before);
    site.world.append(&engine, "acme", &[event(10)]);
    sound(&engine, "acme");
    engine.close().unwrap();
    assert_eq!(fsck(&site, &disk), Vec::<String>::new());
}

#[test]
fn a_backup_from_after_a_rotation_is_restored() {
    restored("acme", true);
    restored(SYSTEM_TENANT, true);
}

#[test]
fn a_backup_from_within_a_rotation_is_restored_and_the_rotation_ends() {
    restored("acme", false);
    restored(SYSTEM_TENANT, false);
}
