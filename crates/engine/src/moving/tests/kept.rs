//! What was let go of before a move stays gone, with its receipts; what is kept is kept where the tenant goes.

use attestore_record::control::RetentionMode;
use attestore_record::entry::CLASS_DEFAULT;
use attestore_tlog::VerifierKey;
use attestore_verify::Trust;
use attestore_verify::statement::verify_statement;
use serde_json::{Value, json};

use super::*;
use crate::forget::Person;
use crate::forget::erase::{ErasureRequest, ErasureState};
use crate::forget::holds::{HoldScope, HoldSpec};
use crate::forget::purge::{PurgeOrder, Selection};
use crate::forget::rectify::CorrectionOrder;
use crate::testing::set_policy;

fn person(id: &str) -> Vec<Person> {
    vec![Person {
        ty: "user".to_owned(),
        id: id.to_owned(),
    }]
}

fn trust(vkey: &str) -> Trust {
    Trust::Key(vkey.parse::<VerifierKey>().unwrap())
}

/// Moves a tenant, and has the source let go of it.
fn moved(pair: &Pair, source: &Engine, target: &Engine) -> MoveInfo {
    let invited = invite(pair, target);
    let packed = packed(pair, source, &invited);
    let id = &invited.invitation.id;
    target.import_move(&pair.to.by, id, &packed.vkey, None).unwrap();
    let receipt = target.move_receipt(&pair.to.by, id).unwrap();
    source
        .confirm_move("acme", &pair.from.by, "acme", &receipt)
        .unwrap();
    packed
}

/// Every file of a disk, whether it is readable or not.
fn holds_bytes(world: &World, dir: &Path, canary: &[u8]) -> bool {
    world.disk.list(dir).unwrap().iter().any(|entry| {
        let path = dir.join(&entry.name);
        match entry.is_dir {
            true => holds_bytes(world, &path, canary),
            false => whole(world, &path)
                .windows(canary.len())
                .any(|bytes| bytes == canary),
        }
    })
}

#[test]
fn purged_records_stay_gone_and_their_receipt_verifies_with_the_key_of_before() {
    let pair = Pair::new(950);
    let source = filled(&pair.from);
    let by = &pair.from.by;
    let tenant = source.inner.tenant("acme").unwrap();
    set_policy(
        &source,
        &tenant,
        CLASS_DEFAULT,
        (0, None),
        RetentionMode::Governance,
    );
    drop(tenant);
    let proof = source.proof("acme", by, Which::Seq(40)).unwrap();
    let order = PurgeOrder {
        class: Some(CLASS_DEFAULT),
        selection: Selection::Ranges(vec![3..9, 50..52]),
        note: "case 7".into(),
        bypass: false,
    };
    let purge = source.purge("acme", by, &order).unwrap().purges.remove(0);
    // Under way it cannot be packed.
    let target = open(&pair.to);
    let invited = invite(&pair, &target);
    let text = invited.invitation.to_text();
    source.start_move("acme", by, &text, "why").unwrap();
    assert_eq!(code(source.close_move("acme", by)), "tenant_busy");
    source.abort_move("acme", by, "later").unwrap();
    assert_eq!(source.purge_tick().unwrap(), 0);
    let receipt = source.purge_receipt("acme", by, &purge.id).unwrap();
    let before = events(&pair.from, &source, "acme");
    let gone = |engine: &Engine, world: &World, seq| code(engine.get("acme", &world.by, Which::Seq(seq)));
    assert_eq!(gone(&source, &pair.from, 3), "purged");
    let packed = moved(&pair, &source, &target);
    assert_eq!(events(&pair.to, &target, "acme")[..before.len()], before[..]);
    for seq in [3, 8, 50, 51] {
        assert_eq!(gone(&target, &pair.to, seq), "purged");
    }
    let there = target.purge_receipt("acme", &pair.to.by, &purge.id).unwrap();
    assert_eq!(there, receipt);
    verify_statement(&there, &trust(&packed.vkey)).unwrap();
    verify_tlog_proof(&proof, &packed.vkey).unwrap();
    // Here as there: what is purged next.
    let order = PurgeOrder {
        selection: Selection::Ranges(std::iter::once(20..22).collect()),
        ..order
    };
    target.purge("acme", &pair.to.by, &order).unwrap();
    assert_eq!(target.purge_tick().unwrap(), 0);
    assert_eq!(gone(&target, &pair.to, 20), "purged");
    sound(&target, "acme");
    assert_eq!(fsck_of(target, &pair.to), Vec::<String>::new());
}

#[test]
fn who_was_erased_is_nowhere_at_the_target_and_the_certificate_verifies() {
    const CANARY: &str = "Quixota Canary";
    let pair = Pair::new(951);
    let source = filled(&pair.from);
    let by = &pair.from.by;
    let named = |id: &str, name: &str| {
        json!({ "action": "file.read", "actor": { "type": "user", "id": id, "name": name } }).to_string()
    };
    pair.from
        .append(&source, "acme", &[named("gone", CANARY), named("here", "Ann")]);
    source.flush().unwrap();
    let seq = source.tenant("acme").unwrap().size - 2;
    let proof = source.proof("acme", by, Which::Seq(seq)).unwrap();
    let request = ErasureRequest {
        subjects: person("gone"),
        basis: "Art. 17 GDPR".to_owned(),
        undo_s: 0,
    };
    let job = source.erase("acme", by, &request).unwrap();
    for _ in 0..6 {
        source.tick();
    }
    let state = source.erasure("acme", by, &job.id).unwrap().state;
    assert_eq!(state, ErasureState::Done);
    let certificate = source.erasure_certificate("acme", by, &job.id).unwrap();
    let target = open(&pair.to);
    let packed = moved(&pair, &source, &target);
    let by = &pair.to.by;
    let read = |seq: u64| target.get("acme", by, Which::Seq(seq)).unwrap().event;
    assert!(!read(seq).contains(CANARY), "{}", read(seq));
    assert!(read(seq + 1).contains("Ann"), "{}", read(seq + 1));
    assert_eq!(found(&pair.to, &target, "acme", "actor.id:gone"), 0);
    assert_eq!(found(&pair.to, &target, "acme", "actor.id:here"), 1);
    assert!(!holds_bytes(&pair.to, Path::new(""), CANARY.as_bytes()));
    let there = target.erasure_certificate("acme", by, &job.id).unwrap();
    assert_eq!(there, certificate);
    let says = verify_statement(&there, &trust(&packed.vkey))
        .unwrap()
        .statement
        .predicate;
    assert_eq!(says["check"], json!({ "clean": true, "left": [] }));
    verify_tlog_proof(&proof, &packed.vkey).unwrap();
    // Who comes back is somebody new, and is not the one who was erased.
    pair.to.append(&target, "acme", &[named("gone", "again")]);
    assert_eq!(found(&pair.to, &target, "acme", "actor.id:gone"), 1);
    assert!(!read(seq).contains("again"));
    sound(&target, "acme");
    assert_eq!(fsck_of(target, &pair.to), Vec::<String>::new());
}

#[test]
fn corrections_restrictions_and_holds_are_in_force_where_a_tenant_goes() {
    let pair = Pair::new(952);
    let source = filled(&pair.from);
    let by = &pair.from.by;
    let tenant = source.inner.tenant("acme").unwrap();
    set_policy(
        &source,
        &tenant,
        CLASS_DEFAULT,
        (0, None),
        RetentionMode::Governance,
    );
    drop(tenant);
    let fields = vec![("/actor/id".to_owned(), json!("u0-right"))];
    let correction = |fields: Vec<(String, Value)>| CorrectionOrder {
        fields,
        reason: "she said so".into(),
        basis: Some("Art. 16 GDPR".into()),
    };
    source
        .correct("acme", by, Which::Seq(0), &correction(fields.clone()))
        .unwrap();
    let restriction = source
        .restrict("acme", by, &person("u4"), "she disputes it")
        .unwrap();
    let hold = HoldSpec {
        scope: HoldScope {
            query: Some("actor.id:u3".into()),
            ..HoldScope::default()
        },
        matter: "2026-17".into(),
        reason: "a lawsuit".into(),
        review_ms: None,
    };
    let placed = source.place_hold("acme", by, &hold).unwrap();
    source.tick();
    let before = events(&pair.from, &source, "acme");
    let target = open(&pair.to);
    moved(&pair, &source, &target);
    let by = &pair.to.by;
    let corrected = |seq| target.corrections("acme", by, Which::Seq(seq)).unwrap();
    assert_eq!(corrected(0).len(), 1);
    assert_eq!(corrected(0)[0].fields, fields);
    target
        .correct(
            "acme",
            by,
            Which::Seq(1),
            &correction(vec![("/actor/id".into(), json!("u1-right"))]),
        )
        .unwrap();
    assert_eq!(corrected(1).len(), 1);
    let restricted = target.restrictions("acme", by).unwrap();
    assert_eq!(restricted, vec![restriction.clone()]);
    assert_eq!(found(&pair.to, &target, "acme", "actor.id:u4"), 0);
    target
        .end_restriction("acme", by, &restriction.id, "settled")
        .unwrap();
    assert!(found(&pair.to, &target, "acme", "actor.id:u4") > 0);
    // What the hold covers is not purged, and what it does not is.
    let holds = target.holds("acme", by).unwrap();
    assert_eq!(holds.len(), 1);
    assert_eq!((&holds[0].id, &holds[0].sealed), (&placed.id, &placed.sealed));
    let order = PurgeOrder {
        class: Some(CLASS_DEFAULT),
        selection: Selection::Ranges(std::iter::once(2..5).collect()),
        note: "case 7".into(),
        bypass: false,
    };
    target.purge("acme", by, &order).unwrap();
    assert_eq!(target.purge_tick().unwrap(), 0);
    let held = target.get("acme", by, Which::Seq(3)).unwrap();
    assert_eq!(held.event, before[3]);
    for seq in [2, 4] {
        assert_eq!(code(target.get("acme", by, Which::Seq(seq))), "purged");
    }
    let policy = |engine: &Engine| engine.retention("acme", &pair.to.by).unwrap();
    assert_eq!(policy(&target).len(), 1);
    // It grows: a new record that matches is held too.
    pair.to.append(&target, "acme", &[event(3)]);
    target.tick();
    let grown = target.holds("acme", by).unwrap();
    assert!(grown[0].records > holds[0].records, "{grown:?}");
    sound(&target, "acme");
    assert_eq!(fsck_of(target, &pair.to), Vec::<String>::new());
}
