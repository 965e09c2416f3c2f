use std::collections::BTreeMap;
use std::ops::Range;

use attestore_record::control::{Erasable, RetentionMode};
use proptest::prelude::*;

use super::{HoldScope, HoldSpec, HoldState, Person, Release, held};
use crate::credentials::Role;
use crate::forget::approvals::{ApprovalPolicy, Decision, OperationKind};
use crate::forget::rules::{ClassSpec, Selector};
use crate::forget::testing::{holds, manager, officer, who};
use crate::read::Which;
use crate::testing::World;
use crate::{Engine, Error};

fn spec(scope: HoldScope) -> HoldSpec {
    HoldSpec {
        scope,
        matter: "case 7".into(),
        reason: "Bob Canary is suing".into(),
        review_ms: None,
    }
}

fn release() -> Release {
    Release {
        reason: "settled".into(),
    }
}

fn person(id: &str) -> Option<Person> {
    Some(Person {
        ty: "user".into(),
        id: id.to_owned(),
    })
}

fn act(action: &str, actor: u32, about: Option<u32>) -> String {
    let about = about.map_or_else(String::new, |id| {
        format!(r#","data_subjects":[{{"type":"person","id":"u{id}"}}]"#)
    });
    format!(r#"{{"action":"{action}","actor":{{"type":"user","id":"u{actor}"}}{about}}}"#)
}

fn ask(engine: &Engine, class: u16, range: Range<u64>) -> Vec<Range<u64>> {
    let tenant = engine.inner.tenant("acme").unwrap();
    let _deciding = tenant.deciding.lock();
    held(&engine.inner, &tenant, class, range).unwrap()
}

fn one(range: Range<u64>) -> Vec<Range<u64>> {
    std::iter::once(range).collect()
}

/// An instance with one tenant and ten records, of user u0 and u1 in turns.
fn ten(world: &World) -> Engine {
    let engine = world.open(false);
    world.tenant(&engine, "acme");
    let events: Vec<_> = (0..10).map(|n| act("doc.open", n % 2, None)).collect();
    world.append(&engine, "acme", &events);
    engine
}

#[test]
fn what_a_hold_covers_is_held_until_it_is_released() {
    let world = World::new(1);
    let engine = ten(&world);
    let tenant = engine.inner.tenant("acme").unwrap();
    let first = spec(HoldScope {
        ranges: vec![2..5, 4..6],
        ..HoldScope::default()
    });
    let second = spec(HoldScope {
        ranges: one(5..8),
        ..HoldScope::default()
    });
    let first = engine.place_hold("acme", &manager(), &first).unwrap();
    let second = engine.place_hold("acme", &manager(), &second).unwrap();
    assert_eq!(ask(&engine, 1, 0..10), one(2..8));
    assert_eq!(ask(&engine, 1, 3..4), one(3..4));
    assert_eq!(ask(&engine, 1, 8..10), []);
    engine
        .release_hold("acme", &manager(), &first.id, &release())
        .unwrap();
    assert_eq!(ask(&engine, 1, 0..10), one(5..8), "the other one goes on");
    let again = engine
        .release_hold("acme", &manager(), &first.id, &release())
        .unwrap_err();
    assert_eq!(again.code(), "hold_released");
    engine.close().unwrap();
    let engine = world.open(false);
    assert_eq!(ask(&engine, 1, 0..10), one(5..8));
    let logged = holds(&engine, &tenant);
    assert_eq!(
        (logged[&first.id].ranges.clone(), logged[&first.id].released),
        (one(2..6), 1)
    );
    assert_eq!(
        (logged[&second.id].ranges.clone(), logged[&second.id].released),
        (one(5..8), 0)
    );
    let states: Vec<_> = engine
        .holds("acme", &manager())
        .unwrap()
        .iter()
        .map(|hold| hold.state)
        .collect();
    assert_eq!(
        states.iter().filter(|state| **state == HoldState::Active).count(),
        1
    );
}

#[test]
fn newer_matches_are_held_and_in_the_log_before_anybody_is_told_that_they_are_not() {
    let world = World::new(2);
    let engine = ten(&world);
    let tenant = engine.inner.tenant("acme").unwrap();
    let scope = HoldScope {
        query: Some("actor.id:u1 AND action:doc.open".into()),
        ..HoldScope::default()
    };
    let hold = engine.place_hold("acme", &manager(), &spec(scope)).unwrap();
    assert_eq!(hold.records, 5);
    let from = engine.tenant("acme").unwrap().size;
    let events: Vec<_> = (0..4).map(|n| act("doc.open", n % 2, None)).collect();
    world.append(&engine, "acme", &events);
    engine.flush().unwrap();
    assert_eq!(
        ask(&engine, 1, from..from + 4),
        [from + 1..from + 2, from + 3..from + 4]
    );
    let logged = holds(&engine, &tenant);
    assert!(
        logged[&hold.id].ranges.contains(&(from + 3..from + 4)),
        "{logged:?}"
    );
    // Nothing new is nothing new in the log.
    let size = engine.tenant("acme").unwrap().size;
    ask(&engine, 1, 0..size);
    assert_eq!(engine.tenant("acme").unwrap().size, size);
}

#[test]
fn the_thread_looks_for_newer_matches_by_itself() {
    let world = World::new(3);
    let engine = ten(&world);
    let tenant = engine.inner.tenant("acme").unwrap();
    let scope = HoldScope {
        subject: person("u9"),
        ..HoldScope::default()
    };
    let hold = engine.place_hold("acme", &manager(), &spec(scope)).unwrap();
    assert_eq!(hold.records, 0);
    world.append(
        &engine,
        "acme",
        &[act("doc.open", 9, None), act("doc.open", 3, Some(9))],
    );
    super::tick(&engine.inner);
    let first = hold.record.unwrap() + 1;
    assert_eq!(holds(&engine, &tenant)[&hold.id].ranges, one(first..first + 2));
    assert_eq!(engine.hold("acme", &manager(), &hold.id).unwrap().records, 2);
}

#[test]
fn a_class_is_held_whole_and_control_records_never_are() {
    let world = World::new(4);
    let engine = ten(&world);
    let scope = |classes: &[u16]| HoldScope {
        classes: classes.to_vec(),
        ..HoldScope::default()
    };
    assert_eq!(
        engine
            .place_hold("acme", &manager(), &spec(scope(&[0])))
            .unwrap_err()
            .code(),
        "invalid_hold"
    );
    engine.place_hold("acme", &manager(), &spec(scope(&[1]))).unwrap();
    assert_eq!(ask(&engine, 1, 3..400), one(3..400));
    assert_eq!(ask(&engine, 2, 3..400), []);
}

#[test]
fn people_and_reasons_are_shown_to_who_places_holds_and_are_in_no_log() {
    let world = World::new(5);
    let engine = ten(&world);
    let scope = HoldScope {
        query: Some("actor.id:u1".into()),
        actor: person("u-canary"),
        ..HoldScope::default()
    };
    let hold = engine.place_hold("acme", &manager(), &spec(scope)).unwrap();
    assert_eq!(hold.sealed.unwrap().reason, "Bob Canary is suing");
    let reader = who("reader", &[Role::Reader]);
    assert_eq!(engine.hold("acme", &reader, &hold.id).unwrap().sealed, None);
    for seq in 10..engine.tenant("acme").unwrap().size {
        let record = engine.get("acme", &world.by, Which::Seq(seq)).unwrap();
        assert!(record.event.contains("case 7"), "positive control");
        assert!(!record.event.to_lowercase().contains("canary") && !record.event.contains("u1"));
    }
    let refused = engine
        .place_hold("acme", &reader, &spec(HoldScope::default()))
        .unwrap_err();
    assert!(matches!(refused, Error::Forbidden));
}

#[test]
fn two_persons_release_a_hold_where_that_is_the_rule() {
    let world = World::new(6);
    let engine = ten(&world);
    let policy = ApprovalPolicy {
        kinds: [OperationKind::HoldRelease].into(),
        ..ApprovalPolicy::default()
    };
    engine.set_approval_policy("acme", &world.by, policy).unwrap();
    let scope = HoldScope {
        ranges: one(0..3),
        ..HoldScope::default()
    };
    let hold = engine.place_hold("acme", &manager(), &spec(scope)).unwrap();
    let answer = engine.release_hold("acme", &manager(), &hold.id, &release());
    let Err(Error::ApprovalNeeded { approval, .. }) = answer else {
        panic!("released by one")
    };
    assert_eq!(ask(&engine, 1, 0..10), one(0..3));
    engine
        .decide_approval("acme", &officer(), &approval.id, Decision::Approve)
        .unwrap();
    let released = engine
        .release_hold("acme", &manager(), &hold.id, &release())
        .unwrap();
    assert_eq!(released.released_by, ["manager", "officer"]);
    assert_eq!(ask(&engine, 1, 0..10), []);
}

#[derive(Clone, Debug)]
enum Step {
    Append {
        action: usize,
        actor: u32,
        about: Option<u32>,
        count: usize,
    },
    Place {
        what: usize,
        id: u32,
        from: u64,
        length: u64,
    },
    Release(usize),
    Ask {
        from: u64,
        length: u64,
        class: u16,
    },
    Flush,
    Compact,
    Tick,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0usize..3, 0u32..5, prop::option::of(0u32..5), 1usize..6)
            .prop_map(|(action, actor, about, count)| Step::Append { action, actor, about, count }),
        3 => (0usize..7, 0u32..5, 0u64..60, 1u64..12)
            .prop_map(|(what, id, from, length)| Step::Place { what, id, from, length }),
        1 => (0usize..6).prop_map(Step::Release),
        4 => (0u64..80, 1u64..90, 1u16..3).prop_map(|(from, length, class)| Step::Ask { from, length, class }),
        1 => Just(Step::Flush),
        1 => Just(Step::Compact),
        1 => Just(Step::Tick),
        1 => Just(Step::Restart),
    ]
}

const ACTIONS: [&str; 3] = ["card.read", "doc.open", "login"];

/// An event as the test remembers it.
struct Known {
    action: usize,
    actor: u32,
    about: Option<u32>,
    class: u16,
}

/// What a hold covers, by looking at each event.
type Covers = Box<dyn Fn(u64, &Known) -> bool>;

fn placing(what: usize, id: u32, range: Range<u64>) -> (HoldScope, Covers) {
    let none = HoldScope::default();
    let name = format!("u{id}");
    let about = move |known: &Known| known.actor == id || known.about == Some(id);
    match what {
        0 => (
            HoldScope {
                ranges: one(range.clone()),
                ..none
            },
            Box::new(move |seq, _| range.contains(&seq)),
        ),
        1 => (
            HoldScope {
                classes: vec![2],
                ..none
            },
            Box::new(|_, known| known.class == 2),
        ),
        2 => (
            HoldScope {
                query: Some("action:doc.open".into()),
                ..none
            },
            Box::new(|_, known| known.action == 1),
        ),
        3 => (
            HoldScope {
                actor: person(&name),
                ..none
            },
            Box::new(move |_, known| known.actor == id),
        ),
        4 => (
            HoldScope {
                subject: person(&name),
                ..none
            },
            Box::new(move |_, known| about(known)),
        ),
        5 => (
            HoldScope {
                query: Some(format!("actor.id:{name} action:login")),
                ..none
            },
            Box::new(move |_, known| known.actor == id && known.action == 2),
        ),
        _ => (
            HoldScope {
                actor: person(&name),
                ranges: one(range.clone()),
                ..none
            },
            Box::new(move |seq, known| known.actor == id || range.contains(&seq)),
        ),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Overlapping holds of every kind, against a look at every event.
    #[test]
    fn held_is_what_a_look_at_every_event_says(steps in prop::collection::vec(step(), 5..40)) {
        let world = World::new(99);
        let mut engine = world.open(false);
        world.tenant(&engine, "acme");
        let cards = ClassSpec {
            class: 2,
            name: "cards".into(),
            keep_min_ms: 0,
            keep_max_ms: None,
            basis: "PCI".into(),
            mode: RetentionMode::None,
            erasable: Erasable::No,
            select: Some(Selector { actions: vec!["card.*".into()], ..Selector::default() }),
        };
        engine.set_retention("acme", &manager(), &cards, false).unwrap();
        let mut events: BTreeMap<u64, Known> = BTreeMap::new();
        let mut placed: Vec<(String, Covers)> = Vec::new();
        for step in steps {
            let size = engine.tenant("acme").unwrap().size;
            match step {
                Step::Append { action, actor, about, count } => {
                    let some = vec![act(ACTIONS[action], actor, about); count];
                    world.append(&engine, "acme", &some);
                    for seq in size..size + count as u64 {
                        let class = if action == 0 { 2 } else { 1 };
                        events.insert(seq, Known { action, actor, about, class });
                    }
                }
                Step::Place { what, id, from, length } => {
                    let range = from.min(size - 1)..size.min(from.min(size - 1) + length);
                    let (scope, covers) = placing(what, id, range);
                    let hold = engine.place_hold("acme", &manager(), &spec(scope)).unwrap();
                    placed.push((hold.id, covers));
                }
                Step::Release(which) => {
                    if which < placed.len() {
                        let (id, _) = placed.remove(which);
                        engine.release_hold("acme", &manager(), &id, &release()).unwrap();
                    }
                }
                Step::Ask { from, length, class } => {
                    let range = from..from + length;
                    let told = ask(&engine, class, range.clone());
                    prop_assert!(told.is_sorted_by(|a, b| a.end < b.start), "{told:?}");
                    for (seq, known) in events.range(range).filter(|(_, known)| known.class == class) {
                        let wanted = placed.iter().any(|(_, covers)| covers(*seq, known));
                        let is = told.iter().any(|range| range.contains(seq));
                        prop_assert_eq!(is, wanted, "record {} of class {}", seq, class);
                        let verdict = engine.retention_verdict("acme", &manager(), Which::Seq(*seq)).unwrap();
                        let by = placed.iter().filter(|(_, covers)| covers(*seq, known)).count();
                        prop_assert_eq!(verdict.held_by.len(), by);
                    }
                }
                Step::Flush => drop(engine.flush().unwrap()),
                Step::Compact => drop(engine.compact("acme").unwrap()),
                Step::Tick => super::tick(&engine.inner),
                Step::Restart => {
                    engine.close().unwrap();
                    drop(engine);
                    engine = world.open(false);
                }
            }
        }
    }
}
