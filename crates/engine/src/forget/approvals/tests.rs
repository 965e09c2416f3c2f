use serde_json::json;

use super::{ApprovalPolicy, ApprovalState, Decision, Operation, OperationKind, require};
use crate::credentials::{CredentialSpec, Principal, Role, Scope};
use crate::forget::testing::{officer, who};
use crate::testing::World;
use crate::{Engine, Error};

fn erase(subject: &str) -> Operation {
    Operation {
        kind: OperationKind::Erase,
        parameters: json!({ "subject": subject }),
    }
}

/// An instance with one tenant where erasing takes two.
fn two_for_erasing(world: &World) -> Engine {
    let engine = world.open(false);
    world.tenant(&engine, "acme");
    let policy = ApprovalPolicy {
        kinds: [OperationKind::Erase].into(),
        ..ApprovalPolicy::default()
    };
    engine.set_approval_policy("acme", &world.by, policy).unwrap();
    engine
}

/// Asks; `Err` has the id of the request.
fn ask(engine: &Engine, by: &Principal, operation: &Operation) -> Result<Vec<String>, String> {
    let tenant = engine.inner.tenant("acme").unwrap();
    match require(&engine.inner, &tenant, by, operation) {
        Ok(approved) => Ok(approved.by),
        Err(Error::ApprovalNeeded { approval, .. }) => Err(approval.id),
        Err(other) => panic!("{other}"),
    }
}

fn decide(
    engine: &Engine,
    by: &Principal,
    id: &str,
    decision: Decision,
) -> Result<ApprovalState, &'static str> {
    let decided = engine.decide_approval("acme", by, id, decision);
    decided
        .map(|approval| approval.state)
        .map_err(|error| error.code())
}

#[test]
fn one_person_is_enough_where_nobody_said_otherwise() {
    let world = World::new(1);
    let engine = world.open(false);
    world.tenant(&engine, "acme");
    assert_eq!(ask(&engine, &who("a", &[]), &erase("u1")), Ok(vec!["a".into()]));
    let bypass = Operation {
        kind: OperationKind::RetentionBypass,
        parameters: json!({}),
    };
    assert!(ask(&engine, &who("a", &[]), &bypass).is_err(), "always takes two");
}

#[test]
fn an_approval_is_for_one_act_of_one_person_once() {
    let world = World::new(2);
    let engine = two_for_erasing(&world);
    let (asker, other) = (
        who("asker", &[Role::PrivacyOfficer]),
        who("other", &[Role::PrivacyOfficer]),
    );
    let id = ask(&engine, &asker, &erase("u1")).unwrap_err();
    assert_eq!(
        ask(&engine, &asker, &erase("u1")),
        Err(id.clone()),
        "the same request"
    );
    assert_eq!(
        decide(&engine, &asker, &id, Decision::Approve),
        Err("own_request")
    );
    assert_eq!(
        decide(&engine, &who("nobody", &[Role::Reader]), &id, Decision::Approve),
        Err("forbidden")
    );
    assert_eq!(
        decide(&engine, &officer(), &id, Decision::Approve),
        Ok(ApprovalState::Approved)
    );
    assert_eq!(
        decide(&engine, &officer(), &id, Decision::Refuse),
        Err("approval_ended")
    );
    assert_ne!(ask(&engine, &asker, &erase("u2")), Err(id.clone()), "another act");
    assert_ne!(
        ask(&engine, &other, &erase("u1")),
        Err(id.clone()),
        "another person"
    );
    assert_eq!(
        ask(&engine, &asker, &erase("u1")),
        Ok(vec!["asker".into(), "officer".into()])
    );
    let again = ask(&engine, &asker, &erase("u1")).unwrap_err();
    assert_ne!(again, id, "used up");
    let used = engine.approval("acme", &officer(), &id).unwrap();
    assert_eq!((used.state, used.parameters), (ApprovalState::Used, None));
    assert_eq!(used.decided_by.as_deref(), Some("officer"));
}

#[test]
fn a_refusal_ends_a_request_and_time_ends_every_one() {
    let world = World::new(3);
    let engine = two_for_erasing(&world);
    let asker = who("asker", &[Role::PrivacyOfficer]);
    let id = ask(&engine, &asker, &erase("u1")).unwrap_err();
    decide(&engine, &officer(), &id, Decision::Refuse).unwrap();
    let id = ask(&engine, &asker, &erase("u1")).unwrap_err();
    world.clock.advance_ms(24 * 3_600_000);
    assert_eq!(
        decide(&engine, &officer(), &id, Decision::Approve),
        Err("approval_ended")
    );
    let id = ask(&engine, &asker, &erase("u1")).unwrap_err();
    decide(&engine, &officer(), &id, Decision::Approve).unwrap();
    world.clock.advance_ms(24 * 3_600_000);
    assert!(
        ask(&engine, &asker, &erase("u1")).is_err(),
        "approved, and too late"
    );
    super::forget_ended(&engine.inner).unwrap();
    let states: Vec<_> = engine.approvals("acme", &officer()).unwrap();
    let open = states
        .iter()
        .filter(|approval| approval.parameters.is_some())
        .count();
    assert_eq!((states.len(), open), (4, 1));
}

#[test]
fn who_made_a_credential_or_got_its_secret_is_no_second_person() {
    let world = World::new(4);
    let engine = two_for_erasing(&world);
    let admin = who("admin0000000", &[Role::Admin]);
    let spec = |roles: &[Role]| CredentialSpec {
        name: "c".into(),
        roles: roles.to_vec(),
        tenants: Scope::All,
        networks: Vec::new(),
        expires_at_ms: None,
    };
    let (made, _) = engine
        .create_credential(spec(&[Role::PrivacyOfficer]), &world.by)
        .unwrap();
    let second = who(&made.id, &[Role::PrivacyOfficer]);
    let (helper, _) = engine.create_credential(spec(&[Role::Admin]), &world.by).unwrap();
    let helper = who(&helper.id, &[Role::Admin]);
    let id = ask(&engine, &helper, &erase("u1")).unwrap_err();
    engine.rotate_credential(&made.id, 0, &helper).unwrap();
    assert_eq!(
        decide(&engine, &second, &id, Decision::Approve),
        Err("own_request")
    );
    let theirs = ask(&engine, &second, &erase("u1")).unwrap_err();
    assert_eq!(
        decide(&engine, &helper, &theirs, Decision::Approve),
        Err("own_request")
    );
    assert_eq!(
        decide(&engine, &admin, &theirs, Decision::Approve),
        Ok(ApprovalState::Approved)
    );
}

#[test]
fn letting_one_person_do_it_takes_two() {
    let world = World::new(5);
    let engine = two_for_erasing(&world);
    let asker = who("asker", &[Role::TenantAdmin]);
    let set = |kinds: &[OperationKind]| {
        let policy = ApprovalPolicy {
            kinds: kinds.iter().copied().collect(),
            ..ApprovalPolicy::default()
        };
        engine.set_approval_policy("acme", &asker, policy)
    };
    set(&[OperationKind::Erase, OperationKind::HoldRelease]).unwrap();
    let Err(Error::ApprovalNeeded { approval, .. }) = set(&[OperationKind::HoldRelease]) else {
        panic!("turned off by one");
    };
    assert_eq!(approval.kind, OperationKind::OnePerson);
    decide(&engine, &officer(), &approval.id, Decision::Approve).unwrap();
    set(&[OperationKind::HoldRelease]).unwrap();
    engine.close().unwrap();
    let engine = world.open(false);
    let policy = engine.approval_policy("acme", &officer()).unwrap();
    assert_eq!(policy.kinds, [OperationKind::HoldRelease].into());
    assert!(ask(&engine, &asker, &erase("u1")).is_ok());
}

#[test]
fn what_is_asked_for_is_not_in_the_catalogs_bytes() {
    let world = World::new(6);
    let engine = two_for_erasing(&world);
    let asker = who("asker", &[Role::PrivacyOfficer]);
    let id = ask(&engine, &asker, &erase("canary-17")).unwrap_err();
    let tenant = engine.inner.tenant("acme").unwrap();
    let row: serde_json::Value = crate::catalog::of_tenant::get(
        &engine.inner.catalog.read().unwrap(),
        crate::catalog::tables::APPROVALS,
        &(tenant.id, crate::catalog::unhex(&id).unwrap()),
    )
    .unwrap()
    .unwrap();
    assert!(!row.to_string().contains("canary"));
    let shown = engine.approval("acme", &officer(), &id).unwrap();
    assert_eq!(
        shown.parameters.unwrap()["subject"],
        "canary-17",
        "positive control"
    );
    let reader = who("reader", &[Role::Reader]);
    assert_eq!(engine.approval("acme", &reader, &id).unwrap().parameters, None);
}

#[test]
fn an_approval_is_not_used_up_where_the_log_would_refuse_the_act() {
    let world = World::new(9);
    let engine = two_for_erasing(&world);
    let asker = who("asker", &[Role::PrivacyOfficer]);
    let id = ask(&engine, &asker, &erase("u1")).unwrap_err();
    decide(&engine, &officer(), &id, Decision::Approve).unwrap();
    let tenant = engine.inner.tenant("acme").unwrap();
    *tenant.rolled_back.write() = Some("older than what was signed".to_owned());
    let refused = require(&engine.inner, &tenant, &asker, &erase("u1"));
    assert!(matches!(refused, Err(Error::Append(_))), "{refused:?}");
    *tenant.rolled_back.write() = None;
    assert_eq!(
        ask(&engine, &asker, &erase("u1")),
        Ok(vec!["asker".into(), "officer".into()])
    );
}
