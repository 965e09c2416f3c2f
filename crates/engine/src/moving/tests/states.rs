//! What a tenant has beside its records comes along: who was erased, what was purged, what holds and locks keep.

use attestore_record::control::RetentionMode;

use super::*;
use crate::forget::Person;
use crate::forget::erase::{ErasureRequest, ErasureState};
use crate::forget::holds::{HoldScope, HoldSpec, Release};
use crate::quotas::Quota;
use crate::testing::set_policy;

/// Erases somebody, to the end.
fn erase(world: &World, engine: &Engine, id: &str) {
    let request = ErasureRequest {
        subjects: vec![Person {
            ty: "user".to_owned(),
            id: id.to_owned(),
        }],
        basis: "Art. 17 GDPR".to_owned(),
        undo_s: 0,
    };
    let info = engine.erase("acme", &world.by, &request).unwrap();
    for _ in 0..6 {
        engine.tick();
    }
    let info = engine.erasure("acme", &world.by, &info.id).unwrap();
    assert_eq!(info.state, ErasureState::Done);
}

#[test]
fn who_was_erased_stays_erased_and_who_is_there_can_be() {
    let pair = Pair::new(910);
    let source = filled(&pair.from);
    erase(&pair.from, &source, "u1");
    let before = events(&pair.from, &source, "acme");
    assert_eq!(found(&pair.from, &source, "acme", "actor.id:u1"), 0);
    let target = open(&pair.to);
    let invited = invite(&pair, &target);
    let moved = packed(&pair, &source, &invited);
    target
        .import_move(&pair.to.by, &invited.invitation.id, &moved.vkey, None)
        .unwrap();
    assert_eq!(events(&pair.to, &target, "acme")[..before.len()], before[..]);
    assert_eq!(found(&pair.to, &target, "acme", "actor.id:u1"), 0);
    assert_eq!(found(&pair.to, &target, "acme", "actor.id:u2"), 3);
    erase(&pair.to, &target, "u2");
    assert_eq!(found(&pair.to, &target, "acme", "actor.id:u2"), 0);
    sound(&target, "acme");
    assert_eq!(fsck_of(target, &pair.to), Vec::<String>::new());
}

#[test]
fn a_lock_keeps_a_tenant_here_until_somebody_else_has_it() {
    let pair = Pair::new(911);
    let source = filled(&pair.from);
    let tenant = source.inner.tenant("acme").unwrap();
    set_policy(&source, &tenant, 0, (1 << 40, None), RetentionMode::Compliance);
    drop(tenant);
    let quota = Quota {
        events_per_second: Some(1000),
        ..Quota::default()
    };
    source.set_quota("acme", &pair.from.by, quota.clone()).unwrap();
    let target = open(&pair.to);
    let invited = invite(&pair, &target);
    let moved = packed(&pair, &source, &invited);
    let order = crate::forget::destroy::DestroyOrder {
        confirm: "acme".into(),
        reason: "it is there".into(),
        bypass: false,
    };
    let by = &pair.from.by;
    assert_eq!(
        code(source.destroy_tenant("acme", by, &order)),
        "retention_locked"
    );
    target
        .import_move(&pair.to.by, &invited.invitation.id, &moved.vkey, None)
        .unwrap();
    assert_eq!(
        code(target.destroy_tenant("acme", &pair.to.by, &order)),
        "retention_locked"
    );
    assert_eq!(target.quota("acme", &pair.to.by).unwrap().quota, quota);
    let receipt = target.move_receipt(&pair.to.by, &invited.invitation.id).unwrap();
    source.confirm_move("acme", by, "acme", &receipt).unwrap();
    assert!(source.tenant("acme").is_err());
    // It does not come back to who let go of it.
    let back = source.invite_tenant(by, "back").unwrap();
    let to = pair.to.by.clone();
    target
        .start_move("acme", &to, &back.invitation.to_text(), "back")
        .unwrap();
    let packed = target.close_move("acme", &to).unwrap();
    let swapped = Pair {
        from: pair.to,
        to: pair.from,
    };
    carry(&swapped, &folder_of(&back.invitation.id));
    let refused = source.import_move(&swapped.to.by, &back.invitation.id, &packed.vkey, None);
    assert_eq!(code(refused), "tenant_known");
}

#[test]
fn an_erasure_that_a_hold_keeps_waiting_waits_on_and_the_hold_holds() {
    let pair = Pair::new(912);
    let source = filled(&pair.from);
    let hold = HoldSpec {
        scope: HoldScope {
            query: Some("actor.id:u3".into()),
            ..HoldScope::default()
        },
        matter: "2026-17".into(),
        reason: "a lawsuit".into(),
        review_ms: None,
    };
    source.place_hold("acme", &pair.from.by, &hold).unwrap();
    let request = ErasureRequest {
        subjects: vec![Person {
            ty: "user".to_owned(),
            id: "u3".to_owned(),
        }],
        basis: "Art. 17 GDPR".to_owned(),
        undo_s: 0,
    };
    let waiting = source.erase("acme", &pair.from.by, &request).unwrap();
    for _ in 0..3 {
        source.tick();
    }
    let state =
        |engine: &Engine, world: &World| engine.erasure("acme", &world.by, &waiting.id).unwrap().state;
    assert_eq!(state(&source, &pair.from), ErasureState::Deferred);
    let before = events(&pair.from, &source, "acme");
    let target = open(&pair.to);
    let invited = invite(&pair, &target);
    let moved = packed(&pair, &source, &invited);
    let receipt = target
        .import_move(&pair.to.by, &invited.invitation.id, &moved.vkey, None)
        .and_then(|_| target.move_receipt(&pair.to.by, &invited.invitation.id))
        .unwrap();
    target.tick();
    assert_eq!(events(&pair.to, &target, "acme")[..before.len()], before[..]);
    assert_eq!(state(&target, &pair.to), ErasureState::Deferred);
    let holds = target.holds("acme", &pair.to.by).unwrap();
    assert_eq!(holds.len(), 1);
    let release = Release {
        reason: "settled".into(),
    };
    // A hold keeps the tenant with who has it.
    source
        .confirm_move("acme", &pair.from.by, "acme", &receipt)
        .unwrap();
    target
        .release_hold("acme", &pair.to.by, &holds[0].id, &release)
        .unwrap();
    for _ in 0..6 {
        target.tick();
    }
    assert_eq!(state(&target, &pair.to), ErasureState::Done);
    assert_eq!(found(&pair.to, &target, "acme", "actor.id:u3"), 0);
    sound(&target, "acme");
    assert_eq!(fsck_of(target, &pair.to), Vec::<String>::new());
}
