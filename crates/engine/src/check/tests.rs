//! What may be missing, and why.

use std::sync::Arc;

use crate::Engine;
use crate::tenant::Tenant;
use crate::testing::{World, destroy, event, record_erasure};

/// A tenant whose records are about as many subjects as there are records for each, in one segment.
fn filled(world: &World, engine: &Engine) -> Arc<Tenant> {
    let tenant = world.tenant(engine, "acme");
    append(world, engine, 0..3);
    tenant
}

/// Appends four records about each subject, and flushes.
fn append(world: &World, engine: &Engine, subjects: std::ops::Range<u32>) {
    let events: Vec<_> = (0..4).flat_map(|_| subjects.clone().map(event)).collect();
    world.append(engine, "acme", &events);
    engine.flush().unwrap();
}

/// A subject of the newest segment that has personal groups.
fn a_subject(engine: &Engine, tenant: &Tenant) -> [u8; 16] {
    let view = tenant.view();
    let row = view.flushed.iter().rev().find_map(|set| set.sub.clone()).unwrap();
    let sub = engine.inner.readers.sub(&engine.inner, tenant, &row).unwrap();
    let mut sets = sub.handle_sets();
    sets.next().unwrap()[0]
}

/// What `verify` finds after a start.
fn verify(world: &World, engine: Engine) -> (Vec<String>, u64) {
    drop(engine);
    let report = world.open(false).verify("acme", &mut |_, _| {}).unwrap();
    let reasons = report
        .problems
        .iter()
        .map(|problem| format!("{} {}", problem.offset, problem.reason));
    (reasons.collect(), report.groups_erased)
}

#[test]
fn a_key_that_was_destroyed_without_a_word_is_found() {
    let world = World::new(71);
    let engine = world.open(false);
    let tenant = filled(&world, &engine);
    destroy(&engine, &tenant, &a_subject(&engine, &tenant));
    let (found, erased) = verify(&world, engine);
    assert_eq!((found.len(), erased), (1, 4), "{found:?}");
    assert!(found[0].contains("4 records lack personal groups"), "{found:?}");
}

#[test]
fn an_erasure_on_record_accounts_for_what_came_before_it() {
    let world = World::new(72);
    let engine = world.open(false);
    let tenant = filled(&world, &engine);
    destroy(&engine, &tenant, &a_subject(&engine, &tenant));
    record_erasure(&engine, &tenant, 4);
    let (found, erased) = verify(&world, engine);
    assert_eq!((found, erased), (Vec::new(), 4));
}

#[test]
fn an_erasure_on_record_accounts_for_no_more_than_it_says() {
    let world = World::new(73);
    let engine = world.open(false);
    let tenant = filled(&world, &engine);
    destroy(&engine, &tenant, &a_subject(&engine, &tenant));
    record_erasure(&engine, &tenant, 3);
    let (found, _) = verify(&world, engine);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("1 records lack"), "{found:?}");
}

/// The hole that this closes: once a tenant had an erased subject, any group that was missing counted as erased.
#[test]
fn another_subjects_erasure_accounts_for_nothing_that_came_later() {
    let world = World::new(74);
    let engine = world.open(false);
    let tenant = filled(&world, &engine);
    destroy(&engine, &tenant, &a_subject(&engine, &tenant));
    record_erasure(&engine, &tenant, 4);
    append(&world, &engine, 10..12);
    destroy(&engine, &tenant, &a_subject(&engine, &tenant));
    let (found, erased) = verify(&world, engine);
    assert_eq!((found.len(), erased), (1, 8), "{found:?}");
    assert!(found[0].contains("4 records lack"), "{found:?}");
}
