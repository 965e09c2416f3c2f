//! Crashes at every operation of the disk while policies are set and holds are placed, extended and released.

use attestore_disk::sim::Fault;
use attestore_record::control::{Erasable, RetentionMode};

use super::approvals::{ApprovalPolicy, OperationKind};
use super::holds::{HoldScope, HoldSpec, HoldState, Person, Release};
use super::rules::{ClassSpec, Selector};
use super::testing::{holds, manager, policies};
use crate::testing::{World, event};
use crate::{Engine, OpenMode, Result};

fn class(class: u16, keep_min_ms: u64) -> ClassSpec {
    ClassSpec {
        class,
        name: "files".into(),
        keep_min_ms,
        keep_max_ms: None,
        basis: "contract".into(),
        mode: RetentionMode::Compliance,
        erasable: Erasable::No,
        select: (class > 1).then(|| Selector {
            actions: vec!["file.*".into()],
            ..Selector::default()
        }),
    }
}

fn spec(scope: HoldScope) -> HoldSpec {
    HoldSpec {
        scope,
        matter: "case 7".into(),
        reason: "because".into(),
        review_ms: None,
    }
}

/// What was answered before the crash.
#[derive(Debug, Default)]
struct Told {
    policies: Vec<(u16, u64)>,
    held: Vec<String>,
    released: Vec<String>,
    two: bool,
}

fn work(world: &World, engine: &Engine, told: &mut Told) -> Result<()> {
    let by = manager();
    let set = |spec: ClassSpec, told: &mut Told| {
        engine.set_retention("acme", &by, &spec, false)?;
        told.policies.push((spec.class, spec.keep_min_ms));
        Ok::<_, crate::Error>(())
    };
    set(class(1, 10), told)?;
    set(class(2, 10), told)?;
    set(class(2, 20), told)?;
    let user = HoldScope {
        actor: Some(Person {
            ty: "user".into(),
            id: "u3".into(),
        }),
        ..HoldScope::default()
    };
    let first = engine.place_hold("acme", &by, &spec(user))?.id;
    told.held.push(first.clone());
    let some = HoldScope {
        ranges: vec![1..3, 5..9],
        classes: vec![2],
        ..HoldScope::default()
    };
    told.held.push(engine.place_hold("acme", &by, &spec(some))?.id);
    let events: Vec<_> = (0..6).map(event).collect();
    world.try_append(engine, "acme", &events)?;
    engine.flush()?;
    super::holds::tick(&engine.inner);
    engine.inner.check_running()?;
    let release = Release {
        reason: "over".into(),
    };
    engine.release_hold("acme", &by, &first, &release)?;
    told.released.push(first);
    let policy = ApprovalPolicy {
        kinds: [OperationKind::Erase].into(),
        ..ApprovalPolicy::default()
    };
    engine.set_approval_policy("acme", &world.by, policy)?;
    told.two = true;
    Ok(())
}

/// An instance with some records, before the work.
fn begin(world: &World) -> Engine {
    let engine = world.open(false);
    world.tenant(&engine, "acme");
    let events: Vec<_> = (0..12).map(event).collect();
    world.append(&engine, "acme", &events);
    engine
}

/// What was answered holds, and log and catalog say the same.
fn check(engine: &Engine, told: &Told, context: &str) {
    let tenant = engine.inner.tenant("acme").unwrap();
    let by = manager();
    let logged = policies(engine, &tenant);
    let in_force = engine.retention("acme", &by).unwrap();
    for (class, keep_min_ms) in &told.policies {
        let found = in_force.iter().find(|info| info.policy.class == *class);
        let kept = found.is_some_and(|info| info.policy.keep_min_ms >= *keep_min_ms);
        assert!(kept, "{context}: class {class} of {in_force:?}");
    }
    for info in &in_force {
        let last = logged
            .iter()
            .rfind(|(_, policy)| policy.class == info.policy.class);
        assert_eq!(last, Some(&(info.seq, info.policy.clone())), "{context}");
    }
    let known = |class: u16| in_force.iter().any(|info| info.policy.class == class);
    assert!(
        logged.iter().all(|(_, policy)| known(policy.class)),
        "{context}: {logged:?}"
    );
    let mut once: Vec<_> = logged
        .iter()
        .map(|(_, policy)| (policy.class, policy.keep_min_ms))
        .collect();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), logged.len(), "{context}: logged twice");

    let logged = holds(engine, &tenant);
    let shown = engine.holds("acme", &by).unwrap();
    assert_eq!(shown.len(), logged.len(), "{context}: {shown:?} {logged:?}");
    for id in &told.held {
        assert!(shown.iter().any(|hold| hold.id == *id), "{context}: {id}");
    }
    for hold in &shown {
        let log = &logged[&hold.id];
        let released = hold.state == HoldState::Released;
        assert_eq!(log.released, usize::from(released), "{context}: {hold:?}");
        assert!(released || !told.released.contains(&hold.id), "{context}");
        let mut seqs: Vec<u64> = log.ranges.iter().cloned().flatten().collect();
        seqs.sort_unstable();
        seqs.dedup();
        if !hold.asks {
            assert_eq!(
                (seqs.len() as u64, &hold.classes),
                (hold.records, &log.classes),
                "{context}"
            );
        }
        if !released {
            let _deciding = tenant.deciding.lock();
            let held = super::holds::held(&engine.inner, &tenant, 1, 0..12).unwrap();
            let all: Vec<u64> = held.into_iter().flatten().collect();
            assert!(
                seqs.iter().filter(|seq| **seq < 12).all(|seq| all.contains(seq)),
                "{context}"
            );
        }
    }
    let policy = engine.approval_policy("acme", &by).unwrap();
    assert!(
        policy.kinds.contains(&OperationKind::Erase) || !told.two,
        "{context}"
    );
    assert!(
        engine.verify("acme", &mut |_, _| {}).unwrap().is_sound(),
        "{context}"
    );
}

fn sweep(fault: Fault) {
    let operations = {
        let world = World::new(7);
        let engine = begin(&world);
        let first = world.disk.op_count();
        let mut told = Told::default();
        work(&world, &engine, &mut told).unwrap();
        check(&engine, &told, "without a crash");
        first..world.disk.op_count()
    };
    assert!(operations.end - operations.start > 50, "{operations:?}");
    for op in operations {
        let context = format!("{fault:?} at operation {op}");
        let mut world = World::new(7);
        let engine = begin(&world);
        let mut told = Told::default();
        world.disk.fail_at(op, fault);
        // What fails without a crash leaves nothing in between either, once somebody starts anew.
        let _ = work(&world, &engine, &mut told);
        drop(engine);
        world.disk = world.disk.crash();
        if op.is_multiple_of(3) {
            let (parts, at) = (world.parts(), world.disk.op_count() + op / 3 % 40);
            world.disk.fail_at(at, Fault::CrashTorn);
            drop(Engine::open_as(
                parts,
                crate::testing::settings(),
                OpenMode::Inline,
            ));
            world.disk = world.disk.crash();
        }
        let (engine, opened) = world.start(false);
        assert_eq!(
            opened.warnings.iter().find(|text| text.contains("gone on with")),
            None,
            "{context}"
        );
        check(&engine, &told, &context);
        drop(engine);
        world.disk = world.disk.crash();
        check(&world.open(false), &told, &context);
    }
}

#[test]
fn a_crash_before_any_operation_leaves_log_and_catalog_of_one_mind() {
    sweep(Fault::CrashBefore);
}

#[test]
fn a_crash_inside_any_operation_leaves_log_and_catalog_of_one_mind() {
    sweep(Fault::CrashTorn);
}

#[test]
fn a_crash_after_any_operation_leaves_log_and_catalog_of_one_mind() {
    sweep(Fault::CrashAfter);
}

#[test]
fn an_error_of_any_operation_leaves_log_and_catalog_of_one_mind() {
    sweep(Fault::Errno(5));
}
