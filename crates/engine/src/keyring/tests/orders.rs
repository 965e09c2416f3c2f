//! Who orders rotations, and when they are ordered by themselves.

use super::*;
use crate::Principal;
use crate::credentials::Role;

#[test]
fn keys_are_rotated_when_the_policy_says_so_and_told_of_when_it_does_not() {
    let world = World::new(904);
    let (engine, tenant) = filled(&world);
    let policy = |automatic| KeyPolicy {
        tenant_days: Some(30),
        signing_days: Some(10),
        root_days: None,
        hash_version: None,
        automatic,
    };
    engine.set_key_policy("acme", &world.by, &policy(true)).unwrap();
    let key = || hex(tenant.keys.ring().current().expose());
    let signing = || engine.log_keys("acme").unwrap().len();
    let first = key();
    let day = |days: u64| {
        for _ in 0..days * 6 {
            world.clock.advance_ms(4 * 3_600_000);
            engine.tick();
        }
    };
    day(9);
    assert_eq!((key() == first, signing()), (true, 1));
    day(2);
    assert_eq!((key() == first, signing()), (true, 2));
    day(20);
    let second = key();
    assert!(second != first);
    assert!(signing() > 2);
    assert_eq!(engine.inner.keyrings.overdue(), 0);
    engine.set_key_policy("acme", &world.by, &policy(false)).unwrap();
    day(31);
    assert_eq!(key(), second, "not automatic");
    assert_eq!(engine.inner.keyrings.overdue(), 2);
    let list = engine.keys("acme", &world.by).unwrap();
    assert_eq!(
        list.items.iter().filter(|item| item.overdue).count(),
        3,
        "{:?}",
        list.items
    );
    let status = engine.status().unwrap();
    assert!(
        status
            .reasons
            .iter()
            .any(|reason| reason.code == "keys_overdue" && !reason.blocks)
    );
    rotated(&world, &engine, "acme", KeyKind::Tenant);
    engine
        .rotate_keys("acme", &world.by, &order(KeyKind::Signing))
        .unwrap();
    world.clock.advance_ms(61_000);
    engine.tick();
    assert_eq!(engine.inner.keyrings.overdue(), 0);
}

#[test]
fn entries_commit_with_the_hash_function_of_the_policy_from_then_on() {
    let world = World::new(908);
    let (engine, tenant) = filled(&world);
    let hash_version = |version| KeyPolicy {
        hash_version: Some(version),
        ..KeyPolicy::default()
    };
    let refused = engine.set_key_policy("acme", &world.by, &hash_version(3));
    assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    let first = engine.tenant("acme").unwrap().size;
    engine
        .set_key_policy("acme", &world.by, &hash_version(2))
        .unwrap();
    world.append(&engine, "acme", &[event(1), event(2)]);
    engine.flush().unwrap();
    world.append(&engine, "acme", &[event(3)]);
    let version = |engine: &Engine, seq| {
        let tenant = engine.inner.tenant("acme").unwrap();
        let view = tenant.view();
        let tree = crate::read::tree::reader(&engine.inner, &tenant, &view);
        tree.source().entries(seq..seq + 1).unwrap()[0][0]
    };
    drop(tenant);
    let engine = {
        engine.close().unwrap();
        drop(engine);
        world.open(false)
    };
    let size = engine.tenant("acme").unwrap().size;
    // The record of the policy is hashed as before: it is in force behind it.
    assert_eq!((version(&engine, first), version(&engine, first + 1)), (1, 2));
    world.append(&engine, "acme", &[event(4)]);
    assert_eq!(version(&engine, size), 2, "after a start too");
    assert_eq!(engine.keys("acme", &world.by).unwrap().hash_version, 2);
    assert_eq!(engine.verify("acme", &mut |_, _| {}).unwrap().problems, []);
    let proof = engine.get("acme", &world.by, Which::Seq(size)).unwrap();
    assert!(proof.event.contains("u4"));
    engine.close().unwrap();
    assert_eq!(fsck(&world), Vec::<String>::new());
}

#[test]
fn a_key_that_others_may_have_is_on_record_and_replaced_at_once() {
    let world = World::new(905);
    let (engine, tenant) = filled(&world);
    let report = |key| Compromised {
        key,
        since_ms: Some(world.clock_ms() - 1000),
        reason: "a laptop was lost".into(),
    };
    let before = tenant.keys.ring().current().duplicate();
    let begun = engine
        .key_compromised("acme", &world.by, &report(KeyKind::Tenant))
        .unwrap();
    assert_eq!(begun.cause, Cause::Compromised);
    assert!(!tenant.keys.ring().current().ct_eq(&before), "at once");
    engine.tick();
    engine
        .key_compromised("acme", &world.by, &report(KeyKind::Signing))
        .unwrap();
    engine
        .key_compromised(SYSTEM_TENANT, &world.by, &report(KeyKind::Root))
        .unwrap();
    engine.tick();
    assert_eq!(said(&world, &engine, "acme", "key_compromised"), 2);
    assert_eq!(said(&world, &engine, SYSTEM_TENANT, "key_compromised"), 1);
    let list = engine.keys("acme", &world.by).unwrap();
    let bad: Vec<_> = list
        .items
        .iter()
        .filter(|item| item.compromised.is_some())
        .collect();
    assert_eq!(bad.len(), 2, "{:?}", list.items);
    assert!(bad.iter().all(|item| item.destroyed_ms.is_some()));
    let future = Compromised {
        since_ms: Some(world.clock_ms() + 1),
        ..report(KeyKind::Tenant)
    };
    for wrong in [future, report(KeyKind::Root)] {
        let refused = engine.key_compromised("acme", &world.by, &wrong);
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    }
}

#[test]
fn who_may_not_manage_keys_neither_rotates_them_nor_says_when() {
    let world = World::new(906);
    let (engine, _) = filled(&world);
    let reader = Principal::internal_as(&[Role::Reader]);
    assert!(matches!(
        engine.rotate_keys("acme", &reader, &order(KeyKind::Tenant)),
        Err(Error::Forbidden)
    ));
    assert!(matches!(
        engine.set_key_policy("acme", &reader, &KeyPolicy::default()),
        Err(Error::Forbidden)
    ));
    let root = engine.rotate_keys("acme", &world.by, &order(KeyKind::Root));
    assert!(matches!(root, Err(Error::Invalid { .. })), "{root:?}");
    engine
        .rotate_keys("acme", &world.by, &order(KeyKind::Tenant))
        .unwrap();
    let again = engine.rotate_keys("acme", &world.by, &order(KeyKind::Buckets));
    assert!(
        matches!(
            again,
            Err(Error::Conflict {
                code: "rotation_under_way",
                ..
            })
        ),
        "{again:?}"
    );
}
