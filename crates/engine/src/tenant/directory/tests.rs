//! What the directory's rows tell, and what they do not.

use redb::ReadableTable;

use super::lookup_context;
use crate::Error;
use crate::catalog::directory::{DirectoryRow, HandleRow, HandleState};
use crate::catalog::tables;
use crate::read::Which;
use crate::tenant::Tenant;
use crate::testing::{World, event, record_erasure};
use crate::{Engine, check::ProblemKind};

/// A tenant with one record about each of `subjects`, flushed one by one; opened anew, so that nothing is cached.
fn flushed(world: &World, subjects: u32) -> Engine {
    let engine = world.open(false);
    world.tenant(&engine, "acme");
    for subject in 0..subjects {
        world.append(&engine, "acme", &[event(subject)]);
        engine.flush().unwrap();
    }
    engine.close().unwrap();
    drop(engine);
    world.open(false)
}

fn directory(tenant: &Tenant) -> Vec<([u8; 32], Vec<u8>)> {
    let table = tenant
        .catalog
        .read()
        .unwrap()
        .open_table(tables::DIRECTORY)
        .unwrap();
    let rows = table.iter().unwrap().map(|row| {
        let (key, row) = row.unwrap();
        (key.value().0 == tenant.id.as_bytes()).then(|| (*key.value().1, row.value().to_vec()))
    });
    rows.flatten().collect()
}

fn handles(tenant: &Tenant) -> Vec<([u8; 16], HandleRow)> {
    let table = tenant
        .catalog
        .read()
        .unwrap()
        .open_table(tables::HANDLES)
        .unwrap();
    let rows = table.iter().unwrap().map(|row| {
        let (key, row) = row.unwrap();
        let parsed = HandleRow::parse(row.value()).unwrap();
        (key.value().0 == tenant.id.as_bytes()).then(|| (*key.value().1, parsed))
    });
    rows.flatten().collect()
}

/// Puts another row for the only handle, or none.
fn put(tenant: &Tenant, row: Option<HandleRow>, destroy: bool) {
    let (handle, old) = handles(tenant)[0];
    let change = tenant.catalog.update::<_, Error>(|update| {
        let mut table = update.txn().open_table(tables::HANDLES).unwrap();
        let key = (tenant.id.as_bytes(), &handle);
        match row {
            Some(row) => table.insert(key, row.to_bytes().as_slice()).unwrap(),
            None => table.remove(key).unwrap(),
        };
        drop(table);
        if destroy {
            update.destroy_keys(&[old.slot])?;
        }
        Ok(())
    });
    change.unwrap();
}

#[test]
fn a_subject_is_found_again_by_name_and_by_handle() {
    let world = World::new(1);
    let engine = flushed(&world, 3);
    let acme = engine.inner.tenant("acme").unwrap();
    let known = handles(&acme);
    assert_eq!((known.len(), directory(&acme).len()), (3, 3));
    world.append(&engine, "acme", &[event(1), event(2)]);
    engine.flush().unwrap();
    assert_eq!(handles(&acme), known, "nobody is new");
    assert!(acme.directory.logged().is_empty());
    let report = engine.verify("acme", &mut |_, _| {}).unwrap();
    assert_eq!((report.problems, report.groups_erased), (Vec::new(), 0));
    assert!(report.groups_opened >= 5);
}

#[test]
fn rows_without_keys_do_not_lead_from_a_person_to_a_handle() {
    let world = World::new(2);
    let engine = flushed(&world, 12);
    let acme = engine.inner.tenant("acme").unwrap();
    let handles = handles(&acme);
    let mut order = Vec::new();
    for (blind, bytes) in directory(&acme) {
        let row = DirectoryRow::parse(&bytes).unwrap();
        assert!(
            handles.iter().all(|(_, held)| held.slot != row.lookup),
            "a shared slot"
        );
        for (handle, held) in &handles {
            assert!(!bytes.windows(16).any(|window| window == handle));
            assert!(!held.to_bytes().windows(8).any(|window| blind.starts_with(window)));
        }
        let context = lookup_context(&acme.id, &blind);
        let key = acme
            .catalog
            .key(row.lookup, &context, Some(acme.keys.ring().current()))
            .unwrap();
        let (handle, slot) = row.open(&key, &acme.id, &blind).unwrap();
        assert!(
            handles
                .iter()
                .any(|(held, row)| held == handle.as_bytes() && row.slot == slot)
        );
        order.push((slot, row.lookup));
    }
    // Own slots are in the order of flushes; lookup slots must not be.
    order.sort_unstable_by_key(|(slot, _)| slot.0);
    assert!(!order.is_sorted_by_key(|(_, lookup)| lookup.0), "{order:?}");
}

#[test]
fn a_tombstone_is_an_erasure_and_not_damage() {
    let world = World::new(3);
    let engine = flushed(&world, 1);
    let acme = engine.inner.tenant("acme").unwrap();
    let row = HandleRow {
        state: HandleState::Destroyed,
        slot: handles(&acme)[0].1.slot,
    };
    put(&acme, Some(row), true);
    record_erasure(&engine, &acme, 1);
    let report = engine.verify("acme", &mut |_, _| {}).unwrap();
    assert_eq!(report.problems, []);
    assert!(report.groups_erased > 0 && report.groups_opened == 0);
    let event = engine.get("acme", &world.by, Which::Seq(0)).unwrap().event;
    assert!(!event.contains("u0@example.org"), "{event}");
}

#[test]
fn a_handle_without_a_row_is_damage() {
    let world = World::new(4);
    let engine = flushed(&world, 1);
    put(&engine.inner.tenant("acme").unwrap(), None, false);
    is_damage(&world, &engine);
}

#[test]
fn a_live_handle_without_a_key_is_damage() {
    let world = World::new(5);
    let engine = flushed(&world, 1);
    let acme = engine.inner.tenant("acme").unwrap();
    put(&acme, Some(handles(&acme)[0].1), true);
    is_damage(&world, &engine);
    let name = attestore_record::SubjectRef::new("user", "u0");
    let resolved = acme.directory.resolve(&acme, &name, &*engine.inner.entropy);
    assert!(matches!(resolved.map(|_| ()), Err(Error::Damage { .. })));
}

fn is_damage(world: &World, engine: &Engine) {
    let report = engine.verify("acme", &mut |_, _| {}).unwrap();
    assert!(
        report
            .problems
            .iter()
            .any(|problem| problem.kind == ProblemKind::Damage),
        "{report:?}"
    );
    let got = engine.get("acme", &world.by, Which::Seq(0));
    assert!(matches!(got, Err(Error::Damage { .. })), "{got:?}");
}

#[test]
fn a_replayed_section_that_was_flushed_brings_no_subject_back() {
    let world = World::new(6);
    let engine = world.open(false);
    for name in ["acme", "other"] {
        world.tenant(&engine, name);
        world.append(&engine, name, &[event(1)]);
    }
    // The file stays: the other tenant needs it.
    engine.flush_tenant("acme").unwrap();
    let acme = engine.inner.tenant("acme").unwrap();
    let rows = handles(&acme);
    drop((acme, engine));
    let (engine, opened) = world.start(false);
    assert!(opened.recovered.records > 0);
    let acme = engine.inner.tenant("acme").unwrap();
    assert!(acme.directory.logged().is_empty());
    let other = engine.inner.tenant("other").unwrap();
    assert_eq!(other.directory.logged().len(), 1, "that one is in the log only");
    let keys = || engine.inner.catalog.verify_keys().unwrap().keys;
    world.append(&engine, "acme", &[event(1)]);
    let before = keys();
    engine.flush_tenant("acme").unwrap();
    assert_eq!(handles(&acme), rows);
    // Two parts, and nobody's keys again.
    assert_eq!(keys(), before + 2);
}
