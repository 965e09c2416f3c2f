//! What is shipped between backups: it is there after a loss, exactly up to where the lag said, and what was let go of stays gone.

use attestore_disk::sim::Fault;

use super::*;
use crate::backup::restore::UseChunks;
use crate::backup::{api, chunk, ship};
use crate::testing::set_policy;
use crate::{OpenError, SYSTEM_TENANT};

fn site(seed: u64) -> Site {
    Site {
        ship_ms: 10_000,
        ..Site::new(seed)
    }
}

/// One step of both threads.
fn step(site: &Site, engine: &Engine) {
    site.world.clock.advance_ms(20_000);
    api::tick(&engine.inner);
    ship::tick(&engine.inner);
}

fn status(engine: &Engine) -> crate::backup::ShippingStatus {
    engine.status().unwrap().shipping.unwrap()
}

fn restored_from(site: &Site, disk: &SimDisk, chunks: UseChunks) -> Result<Restored, OpenError> {
    let spec = RestoreSpec {
        chunks,
        ..RestoreSpec::default()
    };
    match disk.exists(Path::new("restore")).unwrap() {
        true => site.go_on(disk, &spec),
        false => site.restore(disk, &spec),
    }
}

fn of<'a>(restored: &'a Restored, name: &str) -> &'a super::super::restore::RestoredTenant {
    restored
        .tenants
        .iter()
        .find(|tenant| tenant.name == name)
        .unwrap()
}

fn about(id: &str) -> String {
    format!(r#"{{"action":"file.read","actor":{{"type":"user","id":"{id}","name":"{id}-name"}}}}"#)
}

#[test]
fn what_was_shipped_is_restored_and_what_is_lost_is_what_the_lag_said() {
    let site = site(40);
    let engine = filled(&site);
    step(&site, &engine);
    assert_eq!(
        engine.backups(&site.world.by).unwrap().len(),
        1,
        "chunks need one to follow"
    );
    // In the tail, flushed since, in parts and in files, and flushed before anything was shipped.
    for round in 0..6 {
        let some: Vec<String> = (0..7).map(|n| about(&format!("new-{round}-{n}"))).collect();
        site.world.append(&engine, "acme", &some);
        site.world
            .append(&engine, "small", &[about(&format!("small-{round}"))]);
        if round % 2 == 0 {
            engine.flush().unwrap();
        }
        if round % 3 == 1 {
            ship::tick(&engine.inner);
        }
    }
    ship::tick(&engine.inner);
    assert_eq!(status(&engine).lag_entries, Some(0));
    assert_eq!(status(&engine).lag_ms, Some(0));
    let before = events(&site, &engine, "acme");
    assert_eq!(engine.backups(&site.world.by).unwrap().len(), 1);
    site.world.clock.advance_ms(4_000);
    site.world
        .append(&engine, "acme", &[event(1), event(2), event(3)]);
    let lag = status(&engine);
    assert_eq!((lag.lag_entries, lag.lag_ms), (Some(3), Some(4_000)));
    // What is known of heads goes to the register as it is closed.
    engine.close().unwrap();
    let report = site.verify();
    assert_eq!(report.problems, []);
    assert!(report.chunks > 1 && report.chunk_entries >= 48, "{report:?}");

    let disk = SimDisk::new(60);
    let restored = restored_from(&site, &disk, UseChunks::All).unwrap();
    let acme = of(&restored, "acme");
    assert_eq!((acme.entries, acme.from_chunks), (122, 42));
    assert_eq!((acme.known, acme.lost), (Some(167), Some(3)));
    let engine = site.try_open(&disk).unwrap();
    let after = events(&site, &engine, "acme");
    assert_eq!(
        after[..before.len()],
        before,
        "people are known by their names as well"
    );
    assert_eq!(after.len(), before.len() + 1, "the record of the fork");
    for tenant in ["acme", "small", SYSTEM_TENANT] {
        sound(&engine, tenant);
    }
    // It ships on, behind a backup of its own.
    step(&site, &engine);
    site.world.append(&engine, "acme", &[about("later")]);
    ship::tick(&engine.inner);
    assert_eq!(status(&engine).lag_entries, Some(0));
    engine.close().unwrap();
    assert_eq!(fsck(&site, &disk), Vec::<String>::new());
    let report = site.verify();
    assert_eq!((report.problems.len(), report.leftovers), (0, 0), "{report:?}");
}

#[test]
fn who_came_and_was_erased_behind_the_backup_stays_erased() {
    let site = site(41);
    let engine = filled(&site);
    step(&site, &engine);
    site.world
        .append(&engine, "acme", &[about("zq-canary"), event(1)]);
    ship::tick(&engine.inner);
    // Nothing is shipped behind the erasure: only the ledger is.
    forgotten::erase(&site, &engine, "zq-canary");
    engine.close().unwrap();
    let disk = SimDisk::new(61);
    let restored = restored_from(&site, &disk, UseChunks::All).unwrap();
    assert_eq!(of(&restored, "acme").from_chunks, 2);
    assert_eq!(restored.again.subjects, 1, "{restored:?}");
    let engine = site.try_open(&disk).unwrap();
    let all = events(&site, &engine, "acme");
    assert!(all.iter().all(|event| !event.contains("zq-canary")), "{all:?}");
    sound(&engine, "acme");
    engine.close().unwrap();
    assert_eq!(fsck(&site, &disk), Vec::<String>::new());
}

#[test]
fn what_only_a_backup_can_have_gets_one_at_once_and_the_one_before_goes() {
    let site = site(42);
    let engine = filled(&site);
    step(&site, &engine);
    let first = engine.backups(&site.world.by).unwrap()[0].id.clone();
    let tenant = engine.inner.tenant("acme").unwrap();
    set_policy(
        &engine,
        &tenant,
        1,
        (0, None),
        attestore_record::control::RetentionMode::None,
    );
    site.world.append(&engine, "acme", &[event(1), event(2)]);
    ship::tick(&engine.inner);
    let lag = status(&engine);
    assert_eq!(lag.lag_entries, Some(3), "{lag:?}");
    assert!(lag.waits_for_backup.is_some());
    step(&site, &engine);
    assert_eq!(status(&engine).lag_entries, Some(0));
    let left = engine.backups(&site.world.by).unwrap();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_ne!(left[0].id, first);
    assert!(left[0].base && !site.folder.exists(&folder::escrow_path(&first)).unwrap());
    // A tenant that is new has rows too.
    site.world.tenant(&engine, "new");
    site.world.append(&engine, "new", &[event(1)]);
    ship::tick(&engine.inner);
    assert_ne!(status(&engine).lag_entries, Some(0));
    step(&site, &engine);
    assert_eq!(status(&engine).lag_entries, Some(0));
    engine.close().unwrap();
    let report = site.verify();
    assert_eq!((report.problems.len(), report.leftovers), (0, 0), "{report:?}");
    let disk = SimDisk::new(62);
    let restored = restored_from(&site, &disk, UseChunks::All).unwrap();
    assert_eq!(of(&restored, "new").lost, Some(0));
}

#[test]
fn backups_that_chunks_need_push_out_no_other() {
    let site = site(43);
    let engine = filled(&site);
    let kept: Vec<String> = (0..3).map(|_| site.backup(&engine).id).collect();
    for round in 0..4 {
        site.world.tenant(&engine, &format!("t{round}"));
        step(&site, &engine);
    }
    let left: Vec<String> = engine
        .backups(&site.world.by)
        .unwrap()
        .into_iter()
        .map(|backup| backup.id)
        .collect();
    assert_eq!(left.len(), 4, "{left:?}");
    assert!(kept.iter().all(|id| left.contains(id)));
}

#[test]
fn a_target_that_is_away_delays_nothing_and_the_lag_says_so() {
    let site = site(44);
    let engine = filled(&site);
    step(&site, &engine);
    site.world.clock.advance_ms(10_000);
    for round in 0..5 {
        site.folder.fail_at(site.folder.op_count(), Fault::Errno(5));
        site.world.append(&engine, "acme", &[event(round)]);
        engine.flush().unwrap();
        site.world.clock.advance_ms(10_000);
        ship::tick(&engine.inner);
        let lag = status(&engine);
        assert_eq!(lag.lag_entries, Some(u64::from(round) + 1));
        assert!(lag.error.is_some(), "{lag:?}");
    }
    assert!(status(&engine).lag_ms > Some(49_000));
    site.world.clock.advance_ms(60_000);
    let reasons = engine.status().unwrap().reasons;
    assert!(
        reasons.iter().any(|reason| reason.code == "backup_lag"),
        "{reasons:?}"
    );
    ship::tick(&engine.inner);
    assert_eq!(status(&engine).lag_entries, Some(0));
    engine.close().unwrap();
    let disk = SimDisk::new(64);
    let restored = restored_from(&site, &disk, UseChunks::All).unwrap();
    assert_eq!(of(&restored, "acme").from_chunks, 5);
}

#[test]
fn a_chunk_that_is_damaged_or_missing_is_named_and_nothing_behind_it_is_used() {
    let site = site(45);
    let engine = filled(&site);
    step(&site, &engine);
    for round in 0..4 {
        site.world.append(&engine, "acme", &[about(&format!("p{round}"))]);
        ship::tick(&engine.inner);
    }
    engine.close().unwrap();
    let id = folder::Known::read(&site.folder).unwrap().manifests[0].id.clone();
    let path = folder::chunk_path(&id, 3);
    let len = site.folder.len(&path).unwrap();
    for at in [0, 20, 33, 41, 73, 90, len / 2, len - 1] {
        site.folder.flip(&path, at, 2).unwrap();
        let report = verify(&site.folder, None, &mut |_, _| {}).unwrap();
        assert_eq!((report.exit_code(), report.chunks), (3, 2), "byte {at}");
        assert_eq!(report.problems[0].path, path, "byte {at}");
        site.folder.flip(&path, at, 2).unwrap();
    }
    let whole = bytes(&site.folder, &path);
    remove(&site.folder, &path);
    let report = site.verify();
    assert_eq!((report.exit_code(), report.problems[0].path == path), (3, true));
    let disk = SimDisk::new(65);
    let refused = restored_from(&site, &disk, UseChunks::All);
    let Err(OpenError::Damage { path: named, .. }) = &refused else {
        panic!("{refused:?}");
    };
    assert_eq!(*named, path);
    assert!(site.try_open(&disk).is_err(), "nothing is served");
    let restored = restored_from(&site, &disk, UseChunks::Sound).unwrap();
    let acme = of(&restored, "acme");
    assert_eq!((restored.chunks, acme.from_chunks, acme.lost), (2, 2, Some(2)));
    assert!(
        restored
            .warnings
            .iter()
            .any(|warning| warning.contains("left out")),
        "{restored:?}"
    );
    let engine = site.try_open(&disk).unwrap();
    sound(&engine, "acme");
    engine.close().unwrap();
    // As if nothing had been shipped.
    folder::write(&site.folder, &path, &whole).unwrap();
    let other = SimDisk::new(66);
    let restored = restored_from(&site, &other, UseChunks::None).unwrap();
    assert_eq!((restored.chunks, of(&restored, "acme").from_chunks), (0, 0));
}

#[test]
fn a_crash_at_any_operation_of_shipping_leaves_chunks_that_follow_one_another() {
    let rounds = |site: &Site, engine: &Engine| {
        for round in 0..3 {
            site.world
                .append(engine, "acme", &[about(&format!("q{round}")), event(round)]);
            ship::tick(&engine.inner);
        }
    };
    let begun = |seed| {
        let site = site(seed);
        let engine = filled(&site);
        step(&site, &engine);
        (site, engine)
    };
    let total = {
        let (site, engine) = begun(46);
        let begin = site.folder.op_count();
        rounds(&site, &engine);
        site.folder.op_count() - begin
    };
    assert!(total > 10, "{total} operations");
    for fault in [
        Fault::CrashBefore,
        Fault::CrashTorn,
        Fault::CrashAfter,
        Fault::Errno(28),
    ] {
        for op in 0..total {
            let context = format!("{fault:?} at operation {op} of {total}");
            let (mut site, engine) = begun(46);
            site.folder.fail_at(site.folder.op_count() + op, fault);
            rounds(&site, &engine);
            let lost = status(&engine).lag_entries.unwrap();
            let size = engine.tenant("acme").unwrap().size;
            engine.close().unwrap();
            drop(engine);
            site.folder = site.folder.crash();
            let report = site.verify();
            assert_eq!(report.problems, [], "{context}");
            let disk = SimDisk::new(67);
            let restored = restored_from(&site, &disk, UseChunks::All).unwrap();
            let acme = of(&restored, "acme");
            // What was written and not answered for may be there as well.
            assert!(acme.lost.unwrap() <= lost, "{context}: {lost} {restored:?}");
            assert_eq!(
                acme.entries + acme.from_chunks + acme.lost.unwrap(),
                size,
                "{context}"
            );
        }
    }
}

#[test]
fn a_newer_backup_has_what_chunks_had_and_they_go() {
    let site = site(47);
    let engine = filled(&site);
    step(&site, &engine);
    site.world.append(&engine, "acme", &[event(1)]);
    ship::tick(&engine.inner);
    let old = engine.backups(&site.world.by).unwrap()[0].id.clone();
    assert!(site.folder.exists(&folder::chunk_path(&old, 1)).unwrap());
    let new = site.backup(&engine);
    assert!(!site.folder.exists(&folder::chunk_path(&old, 1)).unwrap());
    site.world.append(&engine, "acme", &[event(2)]);
    ship::tick(&engine.inner);
    assert!(site.folder.exists(&folder::chunk_path(&new.id, 1)).unwrap());
    assert_eq!(status(&engine).follows, Some(new.id));
    let id = crate::catalog::unhex(&folder::Known::read(&site.folder).unwrap().manifests[0].id).unwrap();
    assert_eq!(chunk::ends(&site.folder, id).unwrap().0.len(), 1);
}
