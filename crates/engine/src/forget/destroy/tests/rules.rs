//! What keeps a tenant.

use attestore_record::control::{Control, Erasable, RetentionMode};

use super::*;
use crate::forget::approvals::{ApprovalPolicy, Decision, OperationKind};
use crate::forget::holds::{HoldScope, HoldSpec, Release};
use crate::forget::testing::{manager, officer, who};
use crate::testing::{append_as, set_policy};

const DAY_MS: u64 = 24 * 3_600_000;

fn refused(engine: &Engine, by: &Principal, order: &DestroyOrder) -> (String, String) {
    let error = engine.destroy_tenant("acme", by, order).unwrap_err();
    (error.code().to_owned(), error.to_string())
}

/// It takes appends as before.
fn goes_on(world: &World, engine: &Engine) {
    let before = engine.tenant("acme").unwrap().size;
    world.append(engine, "acme", &[event(7)]);
    assert!(engine.tenant("acme").unwrap().size > before);
}

#[test]
fn a_legal_hold_keeps_the_tenant_until_it_is_released() {
    let world = World::new(711);
    let engine = filled(&world);
    let spec = HoldSpec {
        scope: HoldScope {
            ranges: std::iter::once(0..1).collect(),
            ..HoldScope::default()
        },
        matter: "case 7".into(),
        reason: "they sue".into(),
        review_ms: None,
    };
    let hold = engine.place_hold("acme", &manager(), &spec).unwrap();
    let (code, message) = refused(&engine, &world.by, &order());
    assert_eq!(code, "tenant_held");
    assert!(message.contains(&hold.id), "{message}");
    goes_on(&world, &engine);
    let release = Release {
        reason: "settled".into(),
    };
    engine
        .release_hold("acme", &manager(), &hold.id, &release)
        .unwrap();
    destroy(&world, &engine);
}

#[test]
fn mode_compliance_keeps_the_tenant_until_the_youngest_record_is_old_enough() {
    let world = World::new(712);
    let engine = filled(&world);
    let tenant = engine.inner.tenant("acme").unwrap();
    set_policy(&engine, &tenant, 2, (DAY_MS, None), RetentionMode::Compliance);
    // A class without records keeps nothing; one with some does.
    append_as(&engine, &tenant, 2, &[event(1)]);
    drop(tenant);
    let bypass = DestroyOrder {
        bypass: true,
        ..order()
    };
    for order in [&order(), &bypass] {
        let (code, message) = refused(&engine, &world.by, order);
        assert_eq!(code, "retention_locked");
        assert!(
            message.contains("class 2 in mode compliance until 2026-11-1"),
            "{message}"
        );
    }
    goes_on(&world, &engine);
    engine.flush().unwrap();
    world.clock.advance_ms(DAY_MS - 1);
    assert_eq!(refused(&engine, &world.by, &order()).0, "retention_locked");
    world.clock.advance_ms(1);
    destroy(&world, &engine);
}

#[test]
fn a_policy_that_took_back_a_lock_in_the_catalog_alone_or_unapproved_does_not_help() {
    let world = World::new(713);
    let engine = filled(&world);
    let tenant = engine.inner.tenant("acme").unwrap();
    for (class, mode) in [(2, RetentionMode::Compliance), (3, RetentionMode::Governance)] {
        set_policy(&engine, &tenant, class, (DAY_MS, None), mode);
        append_as(&engine, &tenant, class, &[event(1)]);
        set_policy(&engine, &tenant, class, (0, None), RetentionMode::None);
    }
    let (code, message) = refused(&engine, &world.by, &order());
    assert_eq!(code, "retention_locked");
    assert!(
        message.contains("class 2 in mode compliance") && message.contains("class 3 in mode governance"),
        "{message}"
    );
    // Two people took back what mode governance had locked: nothing keeps class 3 any more.
    let policy = attestore_record::control::RetentionPolicy {
        class: 3,
        name: "class 3".into(),
        keep_min_ms: 0,
        keep_max_ms: None,
        basis: "contract".into(),
        mode: RetentionMode::None,
        erasable: Erasable::Yes,
        approved_by: vec!["a".into(), "b".into()],
    };
    let control = Control::RetentionPolicy(policy);
    append_control(&engine.inner, &tenant, "tester", Kind::Policy, &control).unwrap();
    let (_, message) = refused(&engine, &world.by, &order());
    assert!(
        message.contains("class 2") && !message.contains("class 3"),
        "{message}"
    );
}

#[test]
fn going_below_mode_governance_takes_the_word_for_it_the_permission_and_a_second_person() {
    let world = World::new(714);
    let engine = filled(&world);
    let tenant = engine.inner.tenant("acme").unwrap();
    set_policy(&engine, &tenant, 2, (DAY_MS, None), RetentionMode::Governance);
    append_as(&engine, &tenant, 2, &[event(1)]);
    drop(tenant);
    let bypass = DestroyOrder {
        bypass: true,
        ..order()
    };
    assert_eq!(refused(&engine, &world.by, &order()).0, "retention_locked");
    let admin = who("admin", &[Role::Admin]);
    assert_eq!(refused(&engine, &admin, &bypass).0, "forbidden");
    let asker = who("asker", &[Role::Admin, Role::RetentionBypass]);
    let Err(Error::ApprovalNeeded { approval, .. }) = engine.destroy_tenant("acme", &asker, &bypass) else {
        panic!("it takes two");
    };
    assert_eq!(approval.kind, OperationKind::TenantDestroy);
    goes_on(&world, &engine);
    engine
        .decide_approval("acme", &officer(), &approval.id, Decision::Approve)
        .unwrap();
    let destroyed = engine.destroy_tenant("acme", &asker, &bypass).unwrap();
    assert_eq!(destroyed.approved_by, ["asker", "officer"]);
    assert_eq!(destroyed.bypassed, [2]);
}

#[test]
fn where_the_tenant_wants_two_persons_one_is_not_enough() {
    let world = World::new(715);
    let engine = filled(&world);
    let policy = ApprovalPolicy {
        kinds: [OperationKind::TenantDestroy].into(),
        ..ApprovalPolicy::default()
    };
    engine.set_approval_policy("acme", &world.by, policy).unwrap();
    let asker = who("asker", &[Role::Admin]);
    let Err(Error::ApprovalNeeded { approval, .. }) = engine.destroy_tenant("acme", &asker, &order()) else {
        panic!("it takes two");
    };
    // For another reason it is another act.
    let other = DestroyOrder {
        reason: "another".into(),
        ..order()
    };
    engine
        .decide_approval("acme", &officer(), &approval.id, Decision::Approve)
        .unwrap();
    assert!(matches!(
        engine.destroy_tenant("acme", &asker, &other),
        Err(Error::ApprovalNeeded { .. })
    ));
    engine.destroy_tenant("acme", &asker, &order()).unwrap();
}
