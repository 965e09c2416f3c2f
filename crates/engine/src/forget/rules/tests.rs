use attestore_record::control::{Erasable, RetentionMode};

use super::{ClassSpec, Selector, Standing};
use crate::catalog::hex;
use crate::credentials::Role;
use crate::forget::approvals::Decision;
use crate::forget::holds::{HoldScope, HoldSpec};
use crate::forget::testing::{manager, officer, policies, who};
use crate::read::Which;
use crate::testing::{World, event};
use crate::{Engine, Error};

const DAY_MS: u64 = 24 * 3_600_000;

fn class(class: u16, min_days: u64, max_days: Option<u64>, mode: RetentionMode) -> ClassSpec {
    ClassSpec {
        class,
        name: format!("class {class}"),
        keep_min_ms: min_days * DAY_MS,
        keep_max_ms: max_days.map(|days| days * DAY_MS),
        basis: "contract".into(),
        mode,
        erasable: Erasable::PersonalOnly,
        select: None,
    }
}

fn actions(globs: &[&str]) -> Option<Selector> {
    Some(Selector {
        actions: globs.iter().map(|glob| (*glob).to_owned()).collect(),
        ..Selector::default()
    })
}

fn act(action: &str) -> String {
    format!(r#"{{"action":"{action}","actor":{{"type":"service","id":"s"}}}}"#)
}

fn class_at(engine: &Engine, seq: u64) -> u16 {
    engine
        .retention_verdict("acme", &manager(), Which::Seq(seq))
        .unwrap()
        .class
}

#[test]
fn an_event_is_of_the_lowest_class_that_takes_it_and_stays_so() {
    let world = World::new(1);
    let engine = world.open(false);
    world.tenant(&engine, "acme");
    world.append(&engine, "acme", &[act("card.read")]);
    for (number, globs) in [(7, &["card.*"][..]), (3, &["*.read", "login"])] {
        let spec = ClassSpec {
            select: actions(globs),
            ..class(number, 0, None, RetentionMode::None)
        };
        engine.set_retention("acme", &manager(), &spec, false).unwrap();
    }
    let before = engine.tenant("acme").unwrap().size;
    let events: Vec<_> = ["card.read", "card.write", "login", "logout"].map(act).into();
    world.append(&engine, "acme", &events);
    let classes: Vec<u16> = (before..before + 4).map(|seq| class_at(&engine, seq)).collect();
    assert_eq!(classes, [3, 7, 3, 1]);
    assert_eq!(class_at(&engine, 0), 1);
    engine.flush().unwrap();
    // A class that takes nothing more keeps what it has.
    engine
        .set_retention("acme", &manager(), &class(3, 0, None, RetentionMode::None), false)
        .unwrap();
    world.append(&engine, "acme", &[act("login")]);
    let last = engine.tenant("acme").unwrap().size - 1;
    assert_eq!((class_at(&engine, last), class_at(&engine, before + 2)), (1, 3));
    assert!(engine.verify("acme", &mut |_, _| {}).unwrap().is_sound());
    engine.close().unwrap();
    let engine = world.open(false);
    world.append(&engine, "acme", &[act("card.read")]);
    let last = engine.tenant("acme").unwrap().size - 1;
    assert_eq!((class_at(&engine, last), class_at(&engine, before)), (7, 3));
}

#[test]
fn the_log_has_each_policy_once_and_the_catalog_knows_where() {
    let world = World::new(2);
    let engine = world.open(false);
    let tenant = world.tenant(&engine, "acme");
    let spec = class(1, 10, Some(30), RetentionMode::None);
    let (set, warnings) = engine.set_retention("acme", &manager(), &spec, false).unwrap();
    assert_eq!(warnings, []);
    // The same again is the same.
    let (again, _) = engine.set_retention("acme", &manager(), &spec, false).unwrap();
    assert_eq!(again, set);
    assert_eq!(policies(&engine, &tenant), [(set.seq, set.policy.clone())]);
    engine.close().unwrap();
    let engine = world.open(false);
    assert_eq!(engine.retention("acme", &manager()).unwrap(), [set]);
}

#[test]
fn policies_that_make_no_sense_are_refused_and_odd_ones_get_warnings() {
    let world = World::new(3);
    let engine = world.open(false);
    world.tenant(&engine, "acme");
    let set = |spec: &ClassSpec| engine.set_retention("acme", &manager(), spec, false);
    for wrong in [
        class(0, 0, None, RetentionMode::None),
        class(2, 31, Some(30), RetentionMode::None),
        ClassSpec {
            select: actions(&["*"]),
            ..class(1, 0, None, RetentionMode::None)
        },
        ClassSpec {
            select: Some(Selector::default()),
            ..class(2, 0, None, RetentionMode::None)
        },
        ClassSpec {
            name: String::new(),
            ..class(2, 0, None, RetentionMode::None)
        },
    ] {
        assert_eq!(set(&wrong).unwrap_err().status(), 400, "{wrong:?}");
    }
    let codes = |spec: &ClassSpec| -> Vec<&str> {
        let (_, warnings) = set(spec).unwrap();
        warnings.iter().map(|warning| warning.code).collect()
    };
    let bare = ClassSpec {
        basis: String::new(),
        ..class(2, 0, Some(800), RetentionMode::None)
    };
    assert_eq!(codes(&bare), ["no_basis", "long_maximum", "takes_nothing"]);
    assert_eq!(
        codes(&class(1, 1, None, RetentionMode::Compliance)),
        ["kept_for_ever", "locked"]
    );
    let reader = who("reader", &[Role::Reader]);
    let refused = engine.set_retention("acme", &reader, &bare, false).unwrap_err();
    assert!(matches!(refused, Error::Forbidden));
}

#[test]
fn compliance_is_weakened_by_nobody_and_governance_by_two_who_say_so() {
    let world = World::new(4);
    let engine = world.open(false);
    let tenant = world.tenant(&engine, "acme");
    let both = who("both", &[Role::RetentionManager, Role::RetentionBypass]);
    engine
        .set_retention(
            "acme",
            &both,
            &class(1, 10, None, RetentionMode::Governance),
            false,
        )
        .unwrap();
    engine
        .set_retention(
            "acme",
            &both,
            &class(2, 10, None, RetentionMode::Compliance),
            false,
        )
        .unwrap();
    let weaker = |number| class(number, 9, None, RetentionMode::None);
    let code = |by, number, bypass| {
        let answer = engine.set_retention("acme", by, &weaker(number), bypass);
        answer.unwrap_err().code()
    };
    for (by, bypass) in [(&both, true), (&both, false), (&world.by, true)] {
        assert_eq!(code(by, 2, bypass), "retention_locked");
    }
    assert_eq!(code(&both, 1, false), "retention_locked");
    let without = manager();
    assert_eq!(code(&without, 1, true), "retention_locked");
    assert_eq!(code(&both, 1, true), "approval_needed");
    let open = engine.approvals("acme", &officer()).unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(
        open[0].parameters.as_ref().unwrap()["policy"]["keep_min_ms"],
        9 * DAY_MS
    );
    engine
        .decide_approval("acme", &officer(), &open[0].id, Decision::Approve)
        .unwrap();
    // Not for other parameters.
    let other = class(1, 8, None, RetentionMode::None);
    assert_eq!(
        engine
            .set_retention("acme", &both, &other, true)
            .unwrap_err()
            .code(),
        "approval_needed"
    );
    let (set, _) = engine.set_retention("acme", &both, &weaker(1), true).unwrap();
    assert_eq!(set.policy.approved_by, ["both", "officer"]);
    let last = policies(&engine, &tenant).pop().unwrap();
    assert_eq!(last, (set.seq, set.policy));
}

#[test]
fn a_verdict_says_what_becomes_of_a_record_and_why() {
    let world = World::new(5);
    let engine = world.open(false);
    world.tenant(&engine, "acme");
    world.append(&engine, "acme", &[event(1), event(2)]);
    let verdict = |seq| {
        engine
            .retention_verdict("acme", &manager(), Which::Seq(seq))
            .unwrap()
    };
    let free = verdict(0);
    assert_eq!(
        (free.standing, free.policy.is_none(), free.kept_until_ms),
        (Standing::Kept, true, None)
    );
    let (set, _) = engine
        .set_retention(
            "acme",
            &manager(),
            &class(1, 10, Some(30), RetentionMode::Governance),
            false,
        )
        .unwrap();
    let received_ms = free.received_ms;
    let kept = verdict(0);
    assert_eq!(kept.standing, Standing::Kept);
    assert_eq!(kept.kept_until_ms, Some(received_ms + 10 * DAY_MS));
    assert_eq!(kept.due_ms, Some(received_ms + 30 * DAY_MS));
    assert_eq!(
        (kept.policy.unwrap().seq, kept.lock),
        (set.seq, RetentionMode::Governance)
    );
    world.clock.advance_ms(10 * DAY_MS);
    assert_eq!(verdict(0).standing, Standing::MayGo);
    world.clock.advance_ms(20 * DAY_MS);
    assert_eq!(verdict(0).standing, Standing::Due);
    assert_eq!(verdict(set.seq).standing, Standing::Control);
    let spec = HoldSpec {
        scope: HoldScope {
            ranges: std::iter::once(0..1).collect(),
            ..HoldScope::default()
        },
        matter: "case 7".into(),
        reason: "because".into(),
        review_ms: None,
    };
    let hold = engine.place_hold("acme", &manager(), &spec).unwrap();
    let held = verdict(0);
    assert_eq!((held.standing, &held.held_by[0].id), (Standing::Held, &hold.id));
    assert_eq!(verdict(1).standing, Standing::Due);
    let unknown = engine.retention_verdict("acme", &manager(), Which::Seq(99));
    assert!(matches!(unknown, Err(Error::UnknownRecord)));
    assert_ne!(hold.id, hex(&[0; 16]));
}

#[test]
fn a_preview_counts_what_would_go_and_what_is_held_of_it() {
    let world = World::new(6);
    let engine = world.open(false);
    let tenant = world.tenant(&engine, "acme");
    let events: Vec<_> = (0..40).map(event).collect();
    world.append(&engine, "acme", &events[..20]);
    engine.flush().unwrap();
    world.clock.advance_ms(5 * DAY_MS);
    world.append(&engine, "acme", &events[20..30]);
    world.clock.advance_ms(DAY_MS);
    world.append(&engine, "acme", &events[30..]);
    engine.flush().unwrap();
    world.append(&engine, "acme", &events[..3]);
    engine
        .set_retention(
            "acme",
            &manager(),
            &class(1, 0, Some(10), RetentionMode::None),
            false,
        )
        .unwrap();
    let spec = HoldSpec {
        scope: HoldScope {
            ranges: vec![2..5, 25..33],
            ..HoldScope::default()
        },
        matter: "case 7".into(),
        reason: "because".into(),
        review_ms: None,
    };
    engine.place_hold("acme", &manager(), &spec).unwrap();
    let now_ms = engine.now_ms();
    let at = |days: u64| {
        let preview = engine
            .retention_preview("acme", &manager(), Some(now_ms + days * DAY_MS))
            .unwrap();
        let class = preview.classes[&1];
        (class.due_records, class.held_records, class.whole_segments)
    };
    assert_eq!(at(0), (0, 0, 0));
    assert_eq!(at(4), (20, 3, 1));
    assert_eq!(at(9), (30, 8, 1));
    assert_eq!(at(10), (43, 11, tenant.view().flushed.len() as u64));
    let first = engine
        .retention_preview("acme", &manager(), Some(now_ms + 4 * DAY_MS))
        .unwrap();
    let length: u64 = tenant.view().flushed[0].files().map(|row| row.length).sum();
    assert_eq!(first.classes[&1].due_bytes, length);
}
