//! Versions of the policy: what is in force, what is told, what a crash leaves.

use attestore_disk::sim::Fault;
use attestore_record::policy::{BySureness, SubjectRule};
use serde_json::Value;

use super::{Action, Detection, Detector, PolicyChange, PrivacyPolicy, Rule, Setting, Suggestion};
use crate::read::Which;
use crate::testing::{World, event};
use crate::{Engine, Error};

fn rule(path: &str, subject: SubjectRule) -> Rule {
    Rule {
        path: path.to_owned(),
        subject,
    }
}

/// The default policy, and what is added to it.
fn change(rules: &[Rule], settings: &[(Detector, Action)]) -> PolicyChange {
    let default = PrivacyPolicy::default();
    let settings = settings
        .iter()
        .map(|(detector, action)| (*detector, Setting::Each(*action)));
    PolicyChange {
        human_types: default.human_types().to_vec(),
        rules: default.rules().iter().chain(rules).cloned().collect(),
        detect: Detection::new(settings),
        ..PolicyChange::default()
    }
}

fn note(text: &str) -> String {
    format!(r#"{{"action":"a.b","actor":{{"type":"service","id":"s"}},"metadata":{{"note":"{text}"}}}}"#)
}

fn stored(engine: &Engine, world: &World, seq: u64) -> Value {
    let record = engine.get("acme", &world.by, Which::Seq(seq)).unwrap();
    serde_json::from_str(&record.event).unwrap()
}

/// Versions with whether they came into force, newest first.
fn versions(engine: &Engine, world: &World) -> Vec<(u32, bool)> {
    let versions = engine.privacy_versions("acme", &world.by, None).unwrap();
    versions
        .iter()
        .map(|version| (version.policy.version(), version.in_force))
        .collect()
}

/// What the log tells of policies.
fn told(engine: &Engine, world: &World) -> Vec<Value> {
    let size = engine.inner.tenant("acme").unwrap().view().size;
    let records = (0..size).map(|seq| stored(engine, world, seq));
    records
        .filter(|record| record["type"] == "privacy_policy")
        .map(|record| record["policy"].clone())
        .collect()
}

#[test]
fn a_new_version_is_logged_and_holds_for_the_next_event() {
    let world = World::new(1);
    let engine = world.open(false);
    world.tenant(&engine, "acme");
    world.append(&engine, "acme", &[note("mail a@example.com")]);
    assert_eq!(versions(&engine, &world), [(1, true)]);
    let wanted = PolicyChange {
        reason: "leaks".to_owned(),
        based_on: Some(1),
        ..change(
            &[rule("/justification", SubjectRule::All)],
            &[(Detector::Email, Action::Redact)],
        )
    };
    let status = engine.set_privacy("acme", &world.by, wanted.clone()).unwrap();
    assert_eq!((status.policy.version(), status.warnings.len()), (2, 0));
    world.append(&engine, "acme", &[note("mail a@example.com")]);
    assert_eq!(
        stored(&engine, &world, 0)["metadata"]["note"],
        "mail a@example.com"
    );
    assert_eq!(
        stored(&engine, &world, 2)["metadata"]["note"],
        "mail [redacted:email]"
    );
    let told = told(&engine, &world);
    assert_eq!(told, [serde_json::to_value(&*status.policy).unwrap()]);
    // The same again is no change; another version is.
    let again = PolicyChange {
        based_on: None,
        ..wanted.clone()
    };
    assert_eq!(
        engine
            .set_privacy("acme", &world.by, again)
            .unwrap()
            .policy
            .version(),
        2
    );
    let stale = engine.set_privacy("acme", &world.by, wanted).unwrap_err();
    assert_eq!(stale.code(), "changed");
    engine.close().unwrap();
    drop(engine);
    let engine = world.open(false);
    assert_eq!(engine.privacy("acme", &world.by).unwrap().policy, status.policy);
    assert_eq!(versions(&engine, &world), [(2, true), (1, true)]);
    let list = engine.privacy_versions("acme", &world.by, None).unwrap();
    assert_eq!((list[0].reason.as_str(), list[0].seq), ("leaks", Some(1)));
    assert_eq!((list[1].by.as_str(), list[1].seq), ("", None));
    assert_eq!(
        engine.privacy_versions("acme", &world.by, Some(2)).unwrap().len(),
        1
    );
}

#[test]
fn what_makes_less_personal_is_named_and_has_to_be_confirmed() {
    let world = World::new(2);
    let engine = world.open(false);
    world.tenant(&engine, "acme");
    let settings = [
        (Detector::Email, Action::Personal),
        (Detector::Iban, Action::Refuse),
    ];
    engine
        .set_privacy("acme", &world.by, change(&[], &settings))
        .unwrap();
    let mut less = change(
        &[],
        &[(Detector::Email, Action::Flag), (Detector::Iban, Action::Redact)],
    );
    less.human_types.retain(|ty| ty != "guest");
    less.rules.retain(|rule| rule.path != "/payload");
    let refused = engine.set_privacy("acme", &world.by, less.clone()).unwrap_err();
    let Error::Conflict { code, message } = refused else {
        panic!("{refused}")
    };
    assert_eq!(code, "confirmation_needed");
    for part in ["guest", "/payload", "sure email values: flag instead of personal"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(
        !message.contains("iban"),
        "redacting keeps as little as refusing: {message}"
    );
    assert_eq!(versions(&engine, &world), [(2, true), (1, true)]);
    let confirmed = PolicyChange {
        confirm: true,
        ..less
    };
    let status = engine.set_privacy("acme", &world.by, confirmed).unwrap();
    assert_eq!((status.policy.version(), status.warnings.len()), (3, 4));
}

#[test]
fn a_wider_rule_covers_a_narrower_one() {
    let policy = |rules: &[Rule]| PrivacyPolicy::new(1, vec!["user".into()], rules.to_vec()).unwrap();
    let losses = |former: &[Rule], new: &[Rule]| super::losses::losses(&policy(former), &policy(new)).len();
    let narrow = [rule("/changes/0/old/mail", SubjectRule::Actor)];
    for wide in [
        rule("/changes", SubjectRule::All),
        rule("/changes/*/old", SubjectRule::Actor),
        rule("/changes/0/old/mail", SubjectRule::All),
    ] {
        assert_eq!(losses(&narrow, std::slice::from_ref(&wide)), 0, "{wide:?}");
        assert_eq!(losses(std::slice::from_ref(&wide), &narrow), 1, "{wide:?}");
    }
    assert_eq!(losses(&narrow, &[rule("/changes", SubjectRule::Declared)]), 1);
}

#[test]
fn policies_with_mistakes_or_people_in_them_are_refused() {
    let world = World::new(3);
    let engine = world.open(false);
    world.tenant(&engine, "acme");
    let refused = |tenant: &str, change: PolicyChange| {
        engine
            .set_privacy(tenant, &world.by, change)
            .map(drop)
            .unwrap_err()
            .code()
    };
    let with = |path: &str| change(&[rule(path, SubjectRule::All)], &[]);
    assert_eq!(refused("acme", with("/action")), "invalid_privacy_policy");
    assert_eq!(
        refused("acme", with("/metadata/a@example.com")),
        "invalid_privacy_policy"
    );
    assert_eq!(
        refused("acme", with(&format!("/metadata/{}", "x".repeat(600)))),
        "invalid_privacy_policy"
    );
    let mut types = change(&[], &[]);
    types.human_types.push("a@example.com".into());
    assert_eq!(refused("acme", types), "invalid_privacy_policy");
    assert_eq!(
        refused("_system", change(&[], &[(Detector::Email, Action::Refuse)])),
        "invalid_privacy_policy"
    );
    assert_eq!(refused("nobody", change(&[], &[])), "unknown_tenant");
    assert_eq!(versions(&engine, &world), [(1, true)]);
}

#[test]
fn refused_values_refuse_their_event_only_and_are_not_told() {
    let world = World::new(4);
    let engine = world.open(false);
    world.tenant(&engine, "acme");
    let by = Setting::By(BySureness {
        sure: Action::Refuse,
        suspected: Action::Off,
    });
    let wanted = PolicyChange {
        detect: Detection::new([(Detector::PaymentCard, by)]),
        ..change(&[], &[])
    };
    engine.set_privacy("acme", &world.by, wanted).unwrap();
    let events = [note("fine"), note("card 4111 1111 1111 1111")];
    let appended = world.try_append(&engine, "acme", &events).unwrap();
    assert!(appended.items[0].is_ok());
    let error = appended.items[1].as_ref().unwrap_err();
    assert_eq!((error.code, error.status), ("value_refused", 422));
    assert_eq!(error.path, "/metadata/note");
    assert!(!error.message.contains("4111"), "{}", error.message);
}

#[test]
fn an_event_that_comes_again_after_a_change_is_still_the_same() {
    let world = World::new(5);
    let engine = world.open(false);
    world.tenant(&engine, "acme");
    let keyed =
        |key: &str, text: &str| note(text).replacen('{', &format!(r#"{{"idempotency_key":"{key}","#), 1);
    world.append(
        &engine,
        "acme",
        &[keyed("k1", "a@example.com"), keyed("k2", "two")],
    );
    engine.flush().unwrap();
    world.append(&engine, "acme", &[keyed("k3", "a@example.com")]);
    engine
        .set_privacy(
            "acme",
            &world.by,
            change(&[], &[(Detector::Email, Action::Redact)]),
        )
        .unwrap();
    let events = [
        keyed("k1", "a@example.com"),
        keyed("k3", "a@example.com"),
        keyed("k4", "new"),
    ];
    let appended = world.try_append(&engine, "acme", &events).unwrap();
    let duplicates: Vec<bool> = appended
        .items
        .iter()
        .map(|item| item.as_ref().unwrap().duplicate)
        .collect();
    assert_eq!(duplicates, [true, true, false]);
    let other = world
        .try_append(&engine, "acme", &[keyed("k4", "other")])
        .unwrap();
    assert_eq!(other.items[0].as_ref().unwrap_err().code, "idempotency_conflict");
}

#[test]
fn proposals_name_fields_and_never_values() {
    let world = World::new(6);
    let engine = world.open(false);
    world.tenant(&engine, "acme");
    let many: Vec<String> = (0..40).map(|n| note(&format!("mail u{n}@example.com"))).collect();
    world.append(&engine, "acme", &many);
    engine.flush().unwrap();
    world.append(&engine, "acme", &[event(1), note("card 4111 1111 1111 1111")]);
    let found = engine.privacy_proposals("acme", &world.by, 1000).unwrap();
    assert_eq!(
        (found.records, found.cut_short, found.partially_scanned),
        (42, false, 0)
    );
    let shown: Vec<_> = found
        .proposals
        .iter()
        .map(|p| (p.path.as_str(), p.detector, p.sure))
        .collect();
    assert_eq!(
        shown,
        [
            ("/metadata/note", Detector::Email, 40),
            ("/metadata/note", Detector::PaymentCard, 1)
        ],
        "what is personal already is not proposed"
    );
    assert_eq!(
        found.proposals[0].suggestion,
        Suggestion::Rule(rule("/metadata/note", SubjectRule::All))
    );
    assert_eq!(
        found.proposals[1].suggestion,
        Suggestion::Redact(Detector::PaymentCard)
    );
    let few = engine.privacy_proposals("acme", &world.by, 2).unwrap();
    assert_eq!((few.records, few.proposals.len()), (2, 1));
}

/// Crashes at every operation of a change: afterwards the former policy or the new one is in force, the log has told of what is,
/// and no number stands for two policies.
#[test]
fn a_crash_in_any_step_of_a_change_leaves_one_policy_for_each_number() {
    let wanted = |path: &str| change(&[rule(path, SubjectRule::All)], &[]);
    let mut left_behind = 0;
    for fault in [Fault::CrashBefore, Fault::CrashTorn, Fault::CrashAfter] {
        for op in 0.. {
            let mut world = World::new(7);
            let engine = world.open(false);
            world.tenant(&engine, "acme");
            world.disk.fail_at(world.disk.op_count() + op, fault);
            let set = engine.set_privacy("acme", &world.by, wanted("/metadata/one"));
            if !world.disk.has_crashed() {
                assert!(set.is_ok() && op > 4);
                break;
            }
            world.disk = world.disk.crash();
            drop(engine);
            let engine = world.open(false);
            let context = format!("{fault:?} at {op}");
            let now = engine.privacy("acme", &world.by).unwrap().policy;
            assert!(set.is_err() || now.version() == 2, "{context}");
            let next = engine
                .set_privacy("acme", &world.by, wanted("/metadata/two"))
                .map(|status| status.policy);
            let next = match next {
                // Paths that were in force and are no more have to be confirmed.
                Err(error) => {
                    assert_eq!(
                        (error.code(), now.version()),
                        ("confirmation_needed", 2),
                        "{context}"
                    );
                    continue;
                }
                Ok(next) => next,
            };
            left_behind += u32::from(next.version() == 3);
            let told = told(&engine, &world);
            let mut numbers: Vec<u64> = told
                .iter()
                .filter_map(|policy| policy["version"].as_u64())
                .collect();
            assert_eq!(numbers.last(), Some(&u64::from(next.version())), "{context}");
            numbers.dedup();
            assert_eq!(numbers.len(), told.len(), "{context}");
            let listed = versions(&engine, &world);
            assert_eq!(listed.first(), Some(&(next.version(), true)), "{context}");
            assert_eq!(listed.last(), Some(&(1, true)), "{context}");
        }
    }
    assert!(
        left_behind > 2,
        "only {left_behind} crashes left an announced version"
    );
}
