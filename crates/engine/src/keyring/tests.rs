//! Rotations: what they leave where, what old copies are good for after, and who may order them.

use std::sync::Arc;

use super::*;
use crate::catalog::{TenantRow, hex};
use crate::error::Error;
use crate::exports::{Evidence, ExportSpec};
use crate::forget::Person;
use crate::forget::approvals::{ApprovalPolicy, OperationKind};
use crate::forget::erase::ErasureRequest;
use crate::forget::holds::{HoldScope, HoldSpec};
use crate::read::Which;
use crate::tenant::{Tenant, own_context};
use crate::testing::{World, event};
use crate::{Engine, SYSTEM_TENANT};
use attestore_keys::{Slot, SlotKind};

mod copies;
mod crash;
mod load;
mod orders;

/// Much of what can be under a tenant's key: segments, a tail, subjects, a hold, a watch, a request for approval, an export.
fn filled(world: &World) -> (Engine, Arc<Tenant>) {
    let engine = world.open(false);
    let tenant = world.tenant(&engine, "acme");
    for subject in 0..6 {
        world.append(&engine, "acme", &[event(subject), event(subject + 1)]);
        if subject % 2 == 1 {
            engine.flush().unwrap();
        }
    }
    let hold = HoldSpec {
        scope: HoldScope {
            query: Some("actor.id:u5".into()),
            ..HoldScope::default()
        },
        matter: "case 7".into(),
        reason: "a lawsuit".into(),
        review_ms: None,
    };
    engine.place_hold("acme", &world.by, &hold).unwrap();
    let search = serde_json::json!({ "name": "seen", "query": "action:file.read" });
    let search = serde_json::from_value(search).unwrap();
    let search = engine.save_search("acme", &world.by, search).unwrap();
    let watch = crate::searches::watch::WatchSpec {
        url: "https://example.org/hook".into(),
        secret: None,
        enabled: true,
        records: false,
    };
    engine.set_watch("acme", &world.by, &search.id, watch).unwrap();
    let export = ExportSpec {
        query: String::new(),
        from_ns: None,
        to_ns: None,
        format: attestore_export::Format::Ndjson,
        fields: None,
        compression: attestore_export::Compression::None,
        evidence: Evidence::default(),
    };
    engine.create_export("acme", &world.by, export).unwrap();
    world.append(&engine, "acme", &[event(3), event(9)]);
    (engine, tenant)
}

fn order(key: KeyKind) -> RotationOrder {
    RotationOrder {
        key,
        reason: (key != KeyKind::Signing).then(|| "as every year".into()),
    }
}

fn user(id: &str) -> Person {
    Person {
        ty: "user".into(),
        id: id.into(),
    }
}

/// Every record as it reads.
fn records(world: &World, engine: &Engine, tenant: &str) -> Vec<String> {
    let size = engine.tenant(tenant).unwrap().size;
    (0..size)
        .map(|seq| engine.get(tenant, &world.by, Which::Seq(seq)).unwrap().event)
        .collect()
}

fn row(engine: &Engine, tenant: &Tenant) -> TenantRow {
    let txn = engine.inner.catalog.read().unwrap();
    by_tenant::get(&txn, tables::TENANTS, &tenant.id)
        .unwrap()
        .unwrap()
}

fn said(world: &World, engine: &Engine, tenant: &str, what: &str) -> usize {
    let all = records(world, engine, tenant);
    all.iter().filter(|record| record.contains(what)).count()
}

fn fsck(world: &World) -> Vec<String> {
    let report = crate::check::fsck(&world.parts(), &mut |_, _, _| {}).unwrap();
    report
        .problems
        .iter()
        .map(|problem| format!("{problem:?}"))
        .collect()
}

fn rotated(world: &World, engine: &Engine, tenant: &str, key: KeyKind) -> KeyList {
    engine.rotate_keys(tenant, &world.by, &order(key)).unwrap();
    engine.tick();
    let list = engine.keys(tenant, &world.by).unwrap();
    assert_eq!(list.rotation, None);
    list
}

#[test]
fn after_a_rotation_everything_is_under_the_new_key_and_nothing_under_the_old() {
    let world = World::new(901);
    let (engine, tenant) = filled(&world);
    let before = records(&world, &engine, "acme");
    let old = tenant.keys.ring().current().duplicate();
    let old_slot = row(&engine, &tenant).key_slot;
    let two = ApprovalPolicy {
        kinds: [OperationKind::HoldRelease].into(),
        expires_ms: 86_400_000,
    };
    engine.set_approval_policy("acme", &world.by, two).unwrap();
    let hold = engine.holds("acme", &world.by).unwrap().remove(0);
    let release = crate::forget::holds::Release {
        reason: "it is over".into(),
    };
    assert!(
        engine
            .release_hold("acme", &world.by, &hold.id, &release)
            .is_err()
    );
    let approval = engine.approvals("acme", &world.by).unwrap().remove(0);
    let list = rotated(&world, &engine, "acme", KeyKind::Tenant);
    assert_eq!(engine.holds("acme", &world.by).unwrap()[0].sealed, hold.sealed);
    assert_eq!(engine.approvals("acme", &world.by).unwrap(), [approval]);
    while engine.export_tick() {}

    let new = tenant.keys.ring();
    assert!(!new.current().ct_eq(&old));
    assert!(new.former().is_none());
    let mut keys = 0;
    let txn = engine.inner.catalog.read().unwrap();
    sweep::each(&txn, &tenant, &mut |places| {
        keys += places.len();
        assert_eq!(engine.inner.catalog.not_under(places, new.current()).unwrap(), []);
        assert_eq!(
            engine.inner.catalog.not_under(places, &old).unwrap().len(),
            places.len()
        );
        Ok(())
    })
    .unwrap();
    assert!(keys > 20, "{keys}");
    let context = own_context(&tenant.id, SlotKind::TenantKey);
    let gone = engine.inner.catalog.key(Slot(old_slot), &context, None);
    assert!(matches!(gone, Err(attestore_keys::Error::Destroyed { .. })));

    let after = records(&world, &engine, "acme");
    assert_eq!(after[..before.len()], before);
    assert_eq!(said(&world, &engine, "acme", "key_rotation_begun"), 1);
    assert_eq!(said(&world, &engine, "acme", "key_rotation_ended"), 1);
    assert_eq!(said(&world, &engine, SYSTEM_TENANT, "key.rotation.begin"), 1);
    let of = |key| {
        list.items
            .iter()
            .filter(move |item| item.key == key)
            .collect::<Vec<_>>()
    };
    let keys = of(KeyKind::Tenant);
    assert_eq!(keys.iter().map(|key| key.generation).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(keys[0].destroyed_ms, Some(world.clock_ms()));
    assert_eq!((keys[1].destroyed_ms, keys[1].originator_ended_ms), (None, None));
    assert_eq!(of(KeyKind::Buckets).len(), 2);

    drop(txn);
    engine.close().unwrap();
    assert_eq!(fsck(&world), Vec::<String>::new());
    let engine = world.open(false);
    assert_eq!(records(&world, &engine, "acme"), after);
    world.append(&engine, "acme", &[event(1)]);
    assert_eq!(engine.verify("acme", &mut |_, _| {}).unwrap().problems, []);
}

#[test]
fn an_erasure_that_waits_and_one_that_is_taken_back_survive_a_rotation() {
    let world = World::new(902);
    let (engine, _) = filled(&world);
    let request = |id: &str| ErasureRequest {
        subjects: vec![user(id)],
        basis: "Art. 17 GDPR".into(),
        undo_s: 3600,
    };
    let waits = engine.erase("acme", &world.by, &request("u1")).unwrap();
    let back = engine.erase("acme", &world.by, &request("u2")).unwrap();
    engine.undo_erasure("acme", &world.by, &back.id).unwrap();
    rotated(&world, &engine, "acme", KeyKind::Tenant);
    world.clock.advance_ms(3_700_000);
    engine.tick();
    engine.tick();
    let waits = engine.erasure("acme", &world.by, &waits.id).unwrap();
    assert!(waits.unreadable_since_ms.is_some(), "{waits:?}");
    let shown = records(&world, &engine, "acme");
    assert!(!shown.iter().any(|record| record.contains("u1@example.org")));
    assert!(shown.iter().any(|record| record.contains("u2@example.org")));
    engine.close().unwrap();
    assert_eq!(fsck(&world), Vec::<String>::new());
}

#[test]
fn the_key_of_the_system_tenant_is_rotated_like_others_and_so_are_all_pages() {
    let world = World::new(903);
    let (engine, _) = filled(&world);
    let directory = hex(engine
        .inner
        .tenant(SYSTEM_TENANT)
        .unwrap()
        .keys
        .directory
        .expose());
    rotated(&world, &engine, SYSTEM_TENANT, KeyKind::Tenant);
    let list = rotated(&world, &engine, SYSTEM_TENANT, KeyKind::Buckets);
    assert!(list.items.iter().any(|item| item.key == KeyKind::Root));
    engine
        .rotate_keys(SYSTEM_TENANT, &world.by, &order(KeyKind::Root))
        .unwrap();
    let wanted = records(&world, &engine, "acme");
    engine.close().unwrap();
    assert_eq!(fsck(&world), Vec::<String>::new());
    let engine = world.open(false);
    let system = engine.inner.tenant(SYSTEM_TENANT).unwrap();
    assert_eq!(
        hex(system.keys.directory.expose()),
        directory,
        "what opens the ledger stays"
    );
    assert_eq!(records(&world, &engine, "acme"), wanted);
}

#[test]
fn a_rotation_that_is_half_done_is_no_damage_and_goes_on_after_a_start() {
    let world = World::new(909);
    let (engine, _) = filled(&world);
    engine
        .rotate_keys("acme", &world.by, &order(KeyKind::Tenant))
        .unwrap();
    world.append(&engine, "acme", &[event(70)]);
    let wanted = records(&world, &engine, "acme");
    engine.close().unwrap();
    // Sections of the log are under either key, and so are segments.
    assert_eq!(fsck(&world), Vec::<String>::new());
    let engine = world.open(false);
    assert_eq!(records(&world, &engine, "acme"), wanted);
    assert!(engine.keys("acme", &world.by).unwrap().rotation.is_some());
    engine.tick();
    assert!(engine.keys("acme", &world.by).unwrap().rotation.is_none());
    assert_eq!(records(&world, &engine, "acme")[..wanted.len()], wanted);
    engine.close().unwrap();
    assert_eq!(fsck(&world), Vec::<String>::new());
}

#[test]
fn a_tenant_that_is_destroyed_while_its_key_is_rotated_goes_with_both_keys() {
    let world = World::new(907);
    let (engine, tenant) = filled(&world);
    let hold = engine.holds("acme", &world.by).unwrap().remove(0);
    let release = crate::forget::holds::Release {
        reason: "it is over".into(),
    };
    engine
        .release_hold("acme", &world.by, &hold.id, &release)
        .unwrap();
    engine
        .rotate_keys("acme", &world.by, &order(KeyKind::Tenant))
        .unwrap();
    let row = row(&engine, &tenant);
    let slots = [row.key_slot, row.former_key_slot.unwrap()];
    let id = tenant.id;
    drop(tenant);
    let destroy = crate::forget::destroy::DestroyOrder {
        confirm: "acme".into(),
        reason: "the contract ended".into(),
        bypass: false,
    };
    engine.destroy_tenant("acme", &world.by, &destroy).unwrap();
    engine.tick();
    for slot in slots {
        let context = own_context(&id, SlotKind::TenantKey);
        let gone = engine.inner.catalog.key(Slot(slot), &context, None);
        assert!(matches!(gone, Err(attestore_keys::Error::Destroyed { .. })));
    }
    assert!(engine.inner.keyrings.open.lock().is_empty());
    let left = crate::catalog::tenant_rows::count(&engine.inner.catalog.read().unwrap(), &id).unwrap();
    assert_eq!(left, []);
    engine.close().unwrap();
    assert_eq!(fsck(&world), Vec::<String>::new());
}
