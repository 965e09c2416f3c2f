use serde_json::{Value, json};

use super::CorrectionOrder;
use crate::credentials::Role;
use crate::forget::Person;
use crate::forget::erase::ErasureRequest;
use crate::forget::testing::who;
use crate::read::Which;
use crate::testing::World;
use crate::{Engine, Error, Principal};

const NAME: &str = "Ann Canary";
const RIGHT: &str = "Anne Canary";

fn event(id: &str, name: &str) -> String {
    json!({
        "action": "file.read",
        "actor": { "type": "user", "id": id, "name": name },
        "targets": [{ "type": "file", "id": "f1", "name": "old" }],
        "severity": "info",
    })
    .to_string()
}

fn filled(world: &World) -> Engine {
    let engine = world.open(false);
    world.tenant(&engine, "acme");
    world.append(&engine, "acme", &[event("u1", NAME), event("u2", "Bob")]);
    engine
}

fn order(fields: &[(&str, Value)]) -> CorrectionOrder {
    CorrectionOrder {
        fields: fields
            .iter()
            .map(|(at, value)| ((*at).to_owned(), value.clone()))
            .collect(),
        reason: "she said so".into(),
        basis: Some("Art. 16 GDPR".into()),
    }
}

fn officer() -> Principal {
    who("officer", &[Role::PrivacyOfficer])
}

/// The corrections of record 0 as somebody sees them.
fn shown(engine: &Engine, by: &Principal) -> Vec<(u64, Vec<(String, Value)>)> {
    let all = engine.corrections("acme", by, Which::Seq(0)).unwrap();
    all.into_iter().map(|one| (one.seq, one.fields)).collect()
}

#[test]
fn a_correction_is_found_in_the_tail_and_in_segments_and_the_record_stays() {
    let world = World::new(801);
    let engine = filled(&world);
    let before = engine.get("acme", &world.by, Which::Seq(0)).unwrap();
    assert_eq!(shown(&engine, &world.by), []);
    let fields = order(&[("/actor/name", json!(RIGHT)), ("/targets/0/name", json!("new"))]);
    let made = engine
        .correct("acme", &officer(), Which::Seq(0), &fields)
        .unwrap();
    assert_eq!(made.items.len(), 2, "what is about nobody stands apart");
    let wanted = vec![
        (2, vec![("/targets/0/name".to_owned(), json!("new"))]),
        (3, vec![("/actor/name".to_owned(), json!(RIGHT))]),
    ];
    assert_eq!(shown(&engine, &world.by), wanted);
    let reader = who("reader", &[Role::Reader]);
    assert_eq!(shown(&engine, &reader)[1].1[0].1, "[personal]");
    engine.flush().unwrap();
    assert_eq!(shown(&engine, &world.by), wanted);
    let after = engine.get("acme", &world.by, Which::Seq(0)).unwrap();
    assert_eq!(before, after);
    let found = engine.corrected_by("acme", &world.by, &[(0, after.id)]).unwrap();
    assert_eq!(found.get(&0), Some(&vec![2, 3]));
    engine.close().unwrap();
    drop(engine);
    let engine = world.open(false);
    assert_eq!(shown(&engine, &world.by), wanted);
    assert_eq!(engine.verify("acme", &mut |_, _| {}).unwrap().problems, []);
}

#[test]
fn what_corrects_somebody_is_erased_with_them() {
    let world = World::new(802);
    let engine = filled(&world);
    let fields = order(&[("/actor/name", json!(RIGHT)), ("/severity", json!("notice"))]);
    engine
        .correct("acme", &officer(), Which::Seq(0), &fields)
        .unwrap();
    let request = ErasureRequest {
        subjects: vec![Person {
            ty: "user".into(),
            id: "u1".into(),
        }],
        basis: "Art. 17 GDPR".into(),
        undo_s: 0,
    };
    engine.erase("acme", &world.by, &request).unwrap();
    let is_hidden = |engine: &Engine| {
        let all = shown(engine, &world.by);
        let values: Vec<Value> = all
            .iter()
            .flat_map(|(_, fields)| fields)
            .map(|(_, value)| value.clone())
            .collect();
        assert_eq!(values, [json!("notice"), json!("[personal]")]);
        for seq in 0..engine.tenant("acme").unwrap().size {
            let text = engine.get("acme", &world.by, Which::Seq(seq)).unwrap().event;
            assert!(!text.contains("Canary"), "{text}");
        }
    };
    is_hidden(&engine);
    engine.tick();
    is_hidden(&engine);
    // Nothing new is sealed under keys that are gone.
    let again = engine.correct(
        "acme",
        &officer(),
        Which::Seq(0),
        &order(&[("/actor/name", json!("x"))]),
    );
    assert!(matches!(again, Err(Error::Erased(_))), "{again:?}");
    engine
        .correct(
            "acme",
            &officer(),
            Which::Seq(0),
            &order(&[("/severity", json!("info"))]),
        )
        .unwrap();
}

#[test]
fn an_event_that_only_looks_like_a_correction_is_none() {
    let world = World::new(803);
    let engine = filled(&world);
    engine
        .correct(
            "acme",
            &officer(),
            Which::Seq(1),
            &order(&[("/severity", json!("notice"))]),
        )
        .unwrap();
    let record = engine.get("acme", &world.by, Which::Seq(0)).unwrap();
    let forged = json!({
        "action": "record.correct",
        "actor": { "type": "credential", "id": "x" },
        "targets": [{ "type": "record", "id": record.id.to_string() }],
        "changes": [{ "path": "/severity", "new": "debug" }],
        "metadata": { "corrects": { "seq": 0 } },
    });
    world.append(&engine, "acme", &[forged.to_string()]);
    assert_eq!(shown(&engine, &world.by), []);
}

#[test]
fn only_fields_that_an_event_has_are_corrected_and_only_so_that_it_stays_one() {
    let world = World::new(804);
    let engine = filled(&world);
    let code = |which, fields: &[(&str, Value)]| {
        engine
            .correct("acme", &officer(), which, &order(fields))
            .unwrap_err()
            .code()
    };
    for (pointer, value) in [
        ("", json!({})),
        ("/actor/email", json!("a@example.org")),
        ("/actor", json!({ "type": "user", "id": "u9" })),
        ("/severity", json!("loud")),
        ("/actor/name", json!("[personal]")),
        ("/action", json!(null)),
    ] {
        assert_eq!(
            code(Which::Seq(0), &[(pointer, value)]),
            "invalid_correction",
            "{pointer}"
        );
    }
    assert_eq!(
        code(Which::Seq(9), &[("/severity", json!("info"))]),
        "unknown_record"
    );
    let made = engine
        .correct(
            "acme",
            &officer(),
            Which::Seq(0),
            &order(&[("/severity", json!("error"))]),
        )
        .unwrap();
    let seq = made.items[0].as_ref().unwrap().seq;
    assert_eq!(
        code(Which::Seq(seq), &[("/justification", json!("x"))]),
        "invalid_correction"
    );
    let tenant = engine.inner.tenant("acme").unwrap();
    crate::testing::record_erasure(&engine, &tenant, 0);
    let control = engine.tenant("acme").unwrap().size - 1;
    assert_eq!(
        code(Which::Seq(control), &[("/type", json!("x"))]),
        "control_record"
    );
    let refused = engine.correct(
        "acme",
        &who("a", &[Role::Admin]),
        Which::Seq(0),
        &order(&[("/severity", json!("info"))]),
    );
    assert!(matches!(refused, Err(Error::Forbidden)));
}

#[test]
fn a_purged_record_is_not_corrected() {
    use attestore_record::control::RetentionMode;

    use crate::forget::purge::{PurgeOrder, Selection};
    let world = World::new(805);
    let engine = filled(&world);
    let tenant = engine.inner.tenant("acme").unwrap();
    crate::testing::set_policy(&engine, &tenant, 1, (0, None), RetentionMode::None);
    let purge = PurgeOrder {
        class: Some(1),
        selection: Selection::Ranges(std::iter::once(0..1).collect()),
        note: String::new(),
        bypass: false,
    };
    engine.purge("acme", &world.by, &purge).unwrap();
    let refused = engine.correct(
        "acme",
        &officer(),
        Which::Seq(0),
        &order(&[("/severity", json!("info"))]),
    );
    assert!(matches!(refused, Err(Error::Gone { seq: 0, .. })), "{refused:?}");
}
