//! Flushes of a tenant with records of several classes, and what a flush lets go of.

use attestore_keys::{Slot, SlotContext, SlotKind};
use redb::ReadableTable;

use crate::catalog::{WalRow, json, tables};
use crate::instance::file_context;
use crate::read::Which;
use crate::search::SearchRequest;
use crate::testing::{World, append_as, event};

#[test]
fn records_of_two_classes_are_found_once_each_wherever_they_are() {
    let world = World::new(1);
    let engine = world.open(true);
    let acme = world.tenant(&engine, "acme");
    let mut ids = Vec::new();
    let check = |ids: &[_]| {
        let request = SearchRequest {
            q: "action:file.read".into(),
            limit: 1000,
            want_count: true,
            ..SearchRequest::default()
        };
        let page = engine.search("acme", &world.by, &request).unwrap();
        let seqs: Vec<u64> = page.items.iter().map(|item| item.seq).collect();
        let size = ids.len() as u64;
        assert_eq!(seqs, (0..size).rev().collect::<Vec<_>>());
        assert_eq!(page.count, Some(size));
        for (seq, id) in (0..).zip(ids) {
            assert_eq!(engine.get("acme", &world.by, Which::Id(*id)).unwrap().seq, seq);
        }
        let report = engine.verify("acme", &mut |_, _| {}).unwrap();
        assert_eq!((report.problems, report.records), (Vec::new(), size));
    };
    // Parts, parts again, files over all of them, and a tail.
    for (round, classes) in [[0, 1, 1], [1, 1, 1], [1, 0, 1], [0, 1, 0]]
        .into_iter()
        .enumerate()
    {
        for class in classes {
            let count = if round == 2 { 9 } else { 2 };
            ids.extend(append_as(&engine, &acme, class, &vec![event(1); count]));
        }
        check(&ids);
        if round < 3 {
            engine.flush().unwrap();
            check(&ids);
        }
    }
    let view = acme.view();
    assert!(view.flushed.len() >= 2 && view.flushed.iter().all(|set| !set.seg.is_part()));
    assert!(
        view.flushed.iter().all(|set| set.idx.is_some()),
        "both classes are indexed"
    );
    assert!(view.flushed.iter().any(|set| set.class == 0) && view.flushed.iter().any(|set| set.class == 1));
}

#[test]
fn a_scattered_class_goes_without_a_split_and_is_found() {
    let world = World::new(2);
    let engine = world.open(true);
    let acme = world.tenant(&engine, "acme");
    for _ in 0..70 {
        append_as(&engine, &acme, 0, &[event(1)]);
        append_as(&engine, &acme, 1, &[event(1)]);
    }
    engine.flush().unwrap();
    let request = SearchRequest {
        limit: 1000,
        want_count: true,
        ..SearchRequest::default()
    };
    let page = engine.search("acme", &world.by, &request).unwrap();
    assert_eq!((page.items.len(), page.count), (140, Some(140)));
}

#[test]
fn appended_events_have_the_default_class() {
    let world = World::new(3);
    let engine = world.open(false);
    let acme = world.tenant(&engine, "acme");
    world.append(&engine, "acme", &[event(1)]);
    let view = acme.view();
    assert_eq!(
        view.tail.get(0).unwrap().entry.class,
        attestore_record::entry::CLASS_DEFAULT
    );
}

#[test]
fn keys_of_freed_wal_files_are_destroyed_with_them() {
    let world = World::new(4);
    let engine = world.open(false);
    world.tenant(&engine, "acme");
    let inner = &engine.inner;
    let rows = || -> Vec<(u64, WalRow)> {
        let table = inner.catalog.read().unwrap().open_table(tables::WAL).unwrap();
        let rows = table.iter().unwrap().map(|row| {
            let (number, row) = row.unwrap();
            (number.value(), json(row.value()).unwrap())
        });
        rows.collect()
    };
    let before = rows();
    while rows().len() < before.len() + 2 {
        world.append(&engine, "acme", &vec![event(1); 20]);
    }
    let full = rows();
    engine.flush().unwrap();
    let kept = rows();
    let key = |row: &WalRow| {
        let context = SlotContext {
            kind: SlotKind::WalFile,
            tenant: [0; 16],
            owner: row.file_id,
        };
        inner.catalog.key(Slot(row.key_slot), &context, None)
    };
    let mut freed = 0;
    for (number, row) in full {
        if kept.iter().any(|(held, _)| *held == number) {
            assert!(key(&row).is_ok());
        } else {
            assert!(
                matches!(key(&row), Err(attestore_keys::Error::Destroyed { .. })),
                "file {number}"
            );
            freed += 1;
        }
    }
    assert!(freed > 0);
    assert!(inner.catalog.verify_keys().unwrap().damage.is_empty());
}

#[test]
fn keys_of_replaced_parts_are_destroyed_with_them() {
    let world = World::new(5);
    let engine = world.open(false);
    let acme = world.tenant(&engine, "acme");
    world.append(&engine, "acme", &[event(1)]);
    engine.flush().unwrap();
    let old = acme.view();
    let part = &old.flushed[0];
    assert!(part.seg.is_part());
    for _ in 0..10 {
        world.append(&engine, "acme", &vec![event(1); 20]);
    }
    engine.flush().unwrap();
    assert!(acme.view().flushed.iter().all(|set| !set.seg.is_part()));
    for row in [Some(&part.seg), part.sub.as_ref()].into_iter().flatten() {
        let context = file_context(&acme, row.container_id().unwrap(), true);
        let key = engine
            .inner
            .catalog
            .key(Slot(row.slot), &context, Some(acme.keys.ring().current()));
        assert!(matches!(key, Err(attestore_keys::Error::Destroyed { .. })));
        // A reader of the older snapshot is sent to look again; nothing was erased and nothing is damaged.
        assert!(matches!(
            engine.inner.file_key(&acme, row),
            Err(crate::Error::Io(_))
        ));
    }
    assert_eq!(engine.get("acme", &world.by, Which::Seq(0)).unwrap().seq, 0);
}

#[test]
fn many_that_free_the_log_at_once_begin_one_file_of_it_and_appends_go_on() {
    let world = World::new(6);
    let engine = world.open(false);
    world.tenant(&engine, "acme");
    world.append(&engine, "acme", &[event(1)]);
    let inner = &engine.inner;
    let before = inner.wal.newest().unwrap();
    let flushing = inner.flushing.lock();
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| super::free_log(inner).unwrap()))
            .collect();
        while inner.wal.newest() == Some(before) {
            std::thread::yield_now();
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert_eq!(inner.wal.newest(), Some(before + 1));
        assert!(!inner.wal.over_budget());
        world.append(&engine, "acme", &[event(2)]);
        drop(flushing);
        all.into_iter().for_each(|one| one.join().unwrap());
    });
    assert!(inner.wal.newest().unwrap() <= before + 2, "who waited was served");
    let row = inner.catalog.instance().unwrap().unwrap();
    assert!(row.wal_low > before, "what there was when they asked is gone");
}
