//! Rounds: what is in them, when they are made, what a restart and a crash leave of them.

use std::collections::BTreeSet;

use attestore_disk::sim::Fault;
use attestore_tlog::{EMPTY_SLOT, SlotProof, VerifierKey};
use attestore_verify::{SlotFailure, Trust, VerifiedSlot, verify_later, verify_slot_proof};

use super::{HEADS_TENANT, KEPT_MAX};
use crate::{
    AppendError, Engine, SYSTEM_TENANT,
    append::{Item, Mode},
    error::Error,
    testing::{World, event},
};

/// An instance with some tenants of one record each.
fn with_tenants(world: &World, names: &[&str]) -> Engine {
    let engine = world.open(false);
    for name in names {
        world.tenant(&engine, name);
        world.append(&engine, name, &[event(1)]);
    }
    engine
}

/// Makes a round and has it witnessed, as far as the engine can tell.
fn witnessed_round(engine: &Engine) -> Option<u64> {
    let made = engine.make_round().unwrap();
    let note = engine.checkpoint(HEADS_TENANT).unwrap();
    engine.keep_witnessed(HEADS_TENANT, &note).unwrap();
    made
}

fn trust(engine: &Engine, tenant: &str) -> Trust {
    Trust::Key(VerifierKey::parse(&engine.vkey(tenant).unwrap()).unwrap())
}

fn verified(engine: &Engine, tenant: &str) -> VerifiedSlot {
    let slot = engine.slot(tenant).unwrap();
    let verified =
        verify_slot_proof(&slot.proof, &trust(engine, tenant), &trust(engine, HEADS_TENANT)).unwrap();
    assert_eq!((verified.size, verified.root), (slot.head.size, slot.head.root));
    verified
}

fn rounds_on_record(engine: &Engine) -> Vec<u64> {
    let by = crate::Principal::internal();
    let Ok(log) = engine.tenant(HEADS_TENANT) else {
        return Vec::new();
    };
    (0..log.size)
        .map(|seq| {
            let record = engine
                .get(HEADS_TENANT, &by, crate::read::Which::Seq(seq))
                .unwrap();
            let control: serde_json::Value = serde_json::from_str(&record.event).unwrap();
            control["round"].as_u64().unwrap()
        })
        .collect()
}

#[test]
fn a_round_has_the_head_of_every_log_in_its_slot() {
    let world = World::new(1);
    let engine = with_tenants(&world, &["acme", "globex", "initech"]);
    assert_eq!(witnessed_round(&engine), Some(1));
    for tenant in ["acme", "globex", "initech", SYSTEM_TENANT] {
        let slot = verified(&engine, tenant);
        assert_eq!((slot.round, slot.index, slot.tenants), (1, 0, 4), "{tenant}");
        assert_eq!(slot.size, engine.tenant(tenant).unwrap().size, "{tenant}");
    }
    assert!(matches!(engine.slot(HEADS_TENANT), Err(Error::NotFound(_))));

    // Of another tenant's key nothing holds, nor of another's checkpoint.
    let proof = engine.slot("acme").unwrap().proof;
    let heads = trust(&engine, HEADS_TENANT);
    let stranger = verify_slot_proof(&proof, &trust(&engine, "globex"), &heads);
    assert!(matches!(stranger, Err(SlotFailure::Head { .. })));
    let mut swapped = SlotProof::parse(&proof).unwrap();
    swapped.checkpoint = engine.checkpoint("globex").unwrap();
    let swapped = verify_slot_proof(&swapped.to_text(), &trust(&engine, "globex"), &heads);
    assert_eq!(swapped, Err(SlotFailure::Slot));
}

#[test]
fn rounds_are_made_when_something_moved_and_later_heads_extend_earlier_ones() {
    let world = World::new(2);
    let engine = with_tenants(&world, &["acme", "globex"]);
    assert_eq!(witnessed_round(&engine), Some(1));
    assert_eq!(engine.make_round().unwrap(), None);
    let (acme, globex) = (engine.slot("acme").unwrap(), engine.slot("globex").unwrap());
    let earlier = verified(&engine, "acme");
    world.append(&engine, "acme", &[event(2), event(3)]);
    assert_eq!(witnessed_round(&engine), Some(2));
    assert_eq!(engine.make_round().unwrap(), None);
    let later = verified(&engine, "acme");
    let proof = engine.consistency("acme", earlier.size, later.size).unwrap();
    assert_eq!(verify_later(&earlier, &later, &proof.hashes), Ok(()));
    assert!(verify_later(&later, &earlier, &[]).is_err());

    // Who moved cannot be seen from outside: every salt and every path is another.
    for (tenant, before) in [("acme", acme), ("globex", globex)] {
        let before = SlotProof::parse(&before.proof).unwrap();
        let after = SlotProof::parse(&engine.slot(tenant).unwrap().proof).unwrap();
        assert_ne!(before.salt, after.salt, "{tenant}");
        let same = before.siblings.iter().find(|hash| after.siblings.contains(hash));
        assert!(same.is_none_or(|hash| *hash == EMPTY_SLOT), "{tenant}");
    }
}

#[test]
fn a_slot_is_given_out_only_of_a_round_that_is_witnessed() {
    let world = World::new(3);
    let engine = with_tenants(&world, &["acme"]);
    let missing = |engine: &Engine| matches!(engine.slot("acme"), Err(Error::NotFound(_)));
    assert!(missing(&engine), "no log of heads");
    engine.make_round().unwrap();
    assert!(missing(&engine), "not witnessed");
    assert!(
        engine
            .slot("nobody")
            .is_err_and(|error| matches!(error, Error::UnknownTenant))
    );
    witnessed_round(&engine);
    let appended = world.try_append(&engine, "acme", &[event(2)]).unwrap();
    assert_eq!(
        verified(&engine, "acme").size,
        1,
        "of the witnessed round, though the log is longer"
    );
    assert!(engine.slot_receipts("acme", &appended).unwrap().is_none());
    engine.make_round().unwrap();
    assert_eq!(
        verified(&engine, "acme").round,
        1,
        "the second one is not witnessed"
    );
    witnessed_round(&engine);
    let (receipts, proof) = engine.slot_receipts("acme", &appended).unwrap().unwrap();
    assert_eq!(receipts.size, 2);
    assert!(proof.contains(&*receipts.checkpoint));
    assert_eq!(receipts.proofs.iter().flatten().count(), 1);
}

#[test]
fn witnesses_that_come_back_late_go_on_with_the_newest_round() {
    let world = World::new(4);
    let engine = with_tenants(&world, &["acme"]);
    witnessed_round(&engine);
    for n in 0..10 {
        world.append(&engine, "acme", &[event(n)]);
        engine.make_round().unwrap();
        assert_eq!(verified(&engine, "acme").round, 1);
        assert!(engine.inner.heads.rounds.kept.read().len() <= KEPT_MAX);
    }
    witnessed_round(&engine);
    assert_eq!(verified(&engine, "acme").round, 11);
    world.append(&engine, "acme", &[event(11)]);
    witnessed_round(&engine);
    assert_eq!(engine.inner.heads.rounds.kept.read().len(), 2);
}

#[test]
fn a_restart_makes_a_new_round_with_the_next_number() {
    let world = World::new(5);
    let engine = with_tenants(&world, &["acme"]);
    witnessed_round(&engine);
    let earlier = verified(&engine, "acme");
    engine.close().unwrap();
    let engine = world.open(false);
    assert!(
        matches!(engine.slot("acme"), Err(Error::NotFound(_))),
        "trees are not kept"
    );
    assert_eq!(witnessed_round(&engine), Some(2), "though nothing moved");
    let later = verified(&engine, "acme");
    assert_eq!(later.size, earlier.size);
    assert_eq!(verify_later(&earlier, &later, &[]), Ok(()));
}

#[test]
fn nobody_appends_to_the_log_of_heads_or_takes_its_name() {
    let world = World::new(6);
    let engine = with_tenants(&world, &["acme"]);
    assert!(matches!(
        engine.create_tenant(HEADS_TENANT, &world.by),
        Err(Error::InvalidName { .. })
    ));
    engine.make_round().unwrap();
    let item = Item {
        bytes: event(1).into(),
        fallback_key: None,
    };
    let appended = engine.append_blocking(HEADS_TENANT, &world.by, "native", vec![item], Mode::Each);
    assert!(
        matches!(&appended, Err(AppendError::Internal(error)) if matches!(**error, Error::Forbidden)),
        "{appended:?}"
    );
}

#[test]
fn records_of_rounds_say_nothing_of_tenants() {
    let world = World::new(7);
    let engine = with_tenants(&world, &["acme"]);
    engine.make_round().unwrap();
    let by = crate::Principal::internal();
    let proof = engine
        .proof(HEADS_TENANT, &by, crate::read::Which::Seq(0))
        .unwrap();
    let record = engine.get(HEADS_TENANT, &by, crate::read::Which::Seq(0)).unwrap();
    let control: serde_json::Value = serde_json::from_str(&record.event).unwrap();
    let names: BTreeSet<_> = control.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, BTreeSet::from(["type", "round", "root", "tenants"]));
    let opened = attestore_verify::verify_tlog_proof(&proof, &engine.vkey(HEADS_TENANT).unwrap()).unwrap();
    let public = String::from_utf8(opened.record.public).unwrap();
    for secret in [
        "acme",
        &engine.tenant("acme").unwrap().origin,
        &engine.tenant("acme").unwrap().id,
    ] {
        assert!(!public.contains(secret), "{secret}");
    }
}

/// Crashes at every operation of a round, the first one too, which makes the log: afterwards rounds go on, each number stands once,
/// and no slot is of a round that is not on record.
#[test]
fn a_crash_in_any_step_of_a_round_leaves_rounds_that_go_on() {
    let mut operations = 0;
    for fault in [Fault::CrashBefore, Fault::CrashTorn, Fault::CrashAfter] {
        for op in 0.. {
            let mut world = World::new(8);
            let engine = with_tenants(&world, &["acme"]);
            let start = world.disk.op_count();
            world.disk.fail_at(start + op, fault);
            let mut held = None;
            let mut round = |n| {
                if n > 0 {
                    world.try_append(&engine, "acme", &[event(n)]).ok()?;
                }
                engine.make_round().ok()?;
                let note = engine.checkpoint(HEADS_TENANT).ok()?;
                engine.keep_witnessed(HEADS_TENANT, &note).ok()?;
                held = Some(engine.slot("acme").ok()?.proof);
                Some(())
            };
            let done = (0..2).all(|n| round(n).is_some());
            if !world.disk.has_crashed() {
                assert!(done);
                operations += op;
                break;
            }
            world.disk = world.disk.crash();
            drop(engine);
            let engine = world.open(false);
            let made = witnessed_round(&engine).unwrap();
            let numbers = rounds_on_record(&engine);
            assert_eq!(numbers.last(), Some(&made), "{fault:?} at {op}");
            assert!(
                numbers.is_sorted_by(|a, b| a < b),
                "{fault:?} at {op}: {numbers:?}"
            );
            let later = verified(&engine, "acme");
            if let Some(proof) = held {
                let heads = trust(&engine, HEADS_TENANT);
                let earlier = verify_slot_proof(&proof, &trust(&engine, "acme"), &heads).unwrap();
                let hashes = engine
                    .consistency("acme", earlier.size, later.size)
                    .unwrap()
                    .hashes;
                assert_eq!(
                    verify_later(&earlier, &later, &hashes),
                    Ok(()),
                    "{fault:?} at {op}"
                );
            }
        }
    }
    println!("{operations} operations");
    assert!(operations > 30);
}
