//! Keys that are rotated, before a move, behind it, and not in between.

use super::*;
use crate::keyring::{KeyKind, KeyList, KeyPolicy, KeyState, RotationOrder};

const DAY_MS: u64 = 86_400_000;

fn rotate(world: &World, engine: &Engine, key: KeyKind) -> Result<(), Error> {
    let reason = (key != KeyKind::Signing).then(|| "as every year".to_owned());
    let order = RotationOrder { key, reason };
    engine.rotate_keys("acme", &world.by, &order).map(drop)
}

/// Numbers of the keys of a kind, the oldest first, and what they do.
fn states(list: &KeyList, kind: KeyKind) -> Vec<(u64, KeyState)> {
    let of = list.items.iter().filter(|item| item.key == kind);
    of.map(|item| (item.generation, item.state)).collect()
}

#[test]
fn a_tenant_with_two_keys_stays_until_it_has_one_and_keeps_the_policy_and_dates_of_its_keys() {
    let pair = Pair::new(913);
    let source = filled(&pair.from);
    let by = &pair.from.by;
    let policy = KeyPolicy {
        tenant_days: Some(10),
        signing_days: Some(10),
        ..KeyPolicy::default()
    };
    source.set_key_policy("acme", by, &policy).unwrap();
    let target = open(&pair.to);
    let invited = invite(&pair, &target);
    rotate(&pair.from, &source, KeyKind::Tenant).unwrap();
    pair.from.append(&source, "acme", &[event(11)]);
    let text = invited.invitation.to_text();
    source.start_move("acme", by, &text, "why").unwrap();
    assert_eq!(code(source.close_move("acme", by)), "tenant_busy");
    source.tick();
    assert_eq!(source.keys("acme", by).unwrap().rotation, None);
    let before = events(&pair.from, &source, "acme");
    let moved = packed(&pair, &source, &invited);
    target
        .import_move(&pair.to.by, &invited.invitation.id, &moved.vkey, None)
        .unwrap();
    assert_eq!(events(&pair.to, &target, "acme")[..before.len()], before[..]);
    let (retired, current) = (KeyState::Retired, KeyState::Current);
    let came = target.keys("acme", &pair.to.by).unwrap();
    assert_eq!(came.policy, policy);
    assert_eq!(states(&came, KeyKind::Tenant), [(1, retired), (2, current)]);
    assert_eq!(states(&came, KeyKind::Signing), [(1, retired), (2, current)]);
    let pages = states(&came, KeyKind::Buckets);
    assert_eq!(pages, [(1, retired), (2, retired), (3, current)]);
    // Here as there.
    rotate(&pair.to, &target, KeyKind::Tenant).unwrap();
    target.tick();
    assert_eq!(target.keys("acme", &pair.to.by).unwrap().rotation, None);
    assert_eq!(events(&pair.to, &target, "acme")[..before.len()], before[..]);
    assert_eq!(found(&pair.to, &target, "acme", "actor.id:u7"), 5);
    sound(&target, "acme");
    assert_eq!(fsck_of(target, &pair.to), Vec::<String>::new());
}

#[test]
fn keys_of_a_log_that_ended_are_not_replaced_when_their_time_is_over() {
    let pair = Pair::new(914);
    let source = filled(&pair.from);
    let by = &pair.from.by;
    let policy = KeyPolicy {
        tenant_days: Some(10),
        signing_days: Some(10),
        ..KeyPolicy::default()
    };
    source.set_key_policy("acme", by, &policy).unwrap();
    let target = open(&pair.to);
    let invited = invite(&pair, &target);
    let moved = packed(&pair, &source, &invited);
    for key in [KeyKind::Tenant, KeyKind::Buckets, KeyKind::Signing] {
        assert_eq!(code(rotate(&pair.from, &source, key)), "tenant_moved");
    }
    let refused = source.set_key_policy("acme", by, &KeyPolicy::default());
    assert_eq!(code(refused), "tenant_moved");
    let before = source.keys("acme", by).unwrap();
    for _ in 0..66 {
        pair.from.clock.advance_ms(DAY_MS / 6);
        source.tick();
    }
    assert_eq!(source.inner.keyrings.overdue(), 0);
    let after = source.keys("acme", by).unwrap();
    assert_eq!((&after.rotation, &after.policy), (&None, &policy));
    assert_eq!(states(&after, KeyKind::Tenant), states(&before, KeyKind::Tenant));
    assert_eq!(source.vkey("acme").unwrap(), moved.vkey);
    let shown = source.close_move("acme", by).unwrap();
    assert_eq!(shown.package, moved.package);
}
