//! Erasure of whole records: what goes, what refuses, what a crash leaves, and what is certified.

use std::sync::Arc;

use attestore_disk::sim::{Fault, SimDisk, Snapshot};

use super::*;
use crate::forget::erase::{ErasureInfo, ErasureState, RecordErasure};
use crate::forget::holds::{HoldScope, HoldSpec};

fn request(seqs: &[u64]) -> RecordErasure {
    RecordErasure {
        seqs: seqs.iter().copied().collect(),
        basis: "classified by mistake".to_owned(),
        bypass: false,
    }
}

fn erase(world: &World, engine: &Engine, seqs: &[u64]) -> Result<ErasureInfo, Error> {
    engine.erase_records("acme", &world.by, &request(seqs))
}

/// Everybody agrees on which records were erased, and that nothing else is gone.
fn erased(world: &World, engine: &Engine) -> BTreeSet<u64> {
    let report = engine.verify("acme", &mut |_, _| {}).unwrap();
    assert_eq!(report.problems, []);
    let is_erased = |seq: &u64| match engine.get("acme", &world.by, Which::Seq(*seq)) {
        Ok(_) => false,
        Err(Error::Gone { why, .. }) => {
            assert_eq!(why, Why::Erased);
            true
        }
        Err(error) => panic!("{seq}: {error}"),
    };
    let erased: BTreeSet<u64> = (0..report.size).filter(is_erased).collect();
    assert_eq!((report.purged, report.erased), (0, erased.len() as u64));
    assert_eq!(report.live + report.erased, report.size);
    assert_eq!(count(world, engine, ""), report.live);
    let range = judged(world, engine);
    assert_eq!(
        (range.erased, range.opened),
        (report.erased, range.end_seq - report.erased)
    );
    erased
}

fn certificate(world: &World, engine: &Engine, id: &str) -> VerifiedStatement {
    let text = engine.erasure_certificate("acme", &world.by, id).unwrap();
    verify_statement(&text, &trust(engine)).unwrap()
}

#[test]
fn erased_records_are_gone_whole_and_every_proof_stays() {
    let world = World::new(340);
    let engine = open(&world);
    let tenant = world.tenant(&engine, "acme");
    set_policy(&engine, &tenant, 1, (DAY_MS, None), RetentionMode::None);
    fill(&engine, &tenant, 1, 2000);
    // Records of another class in between stay.
    append_as(&engine, &tenant, 2, &[event(1)]);
    fill(&engine, &tenant, 1, 2000);
    append_as(&engine, &tenant, 1, &[event(3)]);
    let proofs: Vec<String> = (0..23)
        .map(|seq| engine.proof("acme", &world.by, Which::Seq(seq)).unwrap())
        .collect();
    let id = engine.get("acme", &world.by, Which::Seq(4)).unwrap().id;
    let went: BTreeSet<u64> = [4, 5, 10, 12, 22].into();
    let seqs: Vec<u64> = went.iter().copied().collect();
    let job = erase(&world, &engine, &seqs).unwrap();
    assert_eq!((job.state, job.records), (ErasureState::Approved, 5));
    assert_eq!(erased(&world, &engine), went, "hidden at once");
    let none = engine.erasure_certificate("acme", &world.by, &job.id);
    assert_eq!(none.unwrap_err().code(), "no_certificate_yet");
    finish(&engine);
    assert_eq!(erased(&world, &engine), went);
    let by_id = engine.get("acme", &world.by, Which::Id(id));
    assert!(by_id.is_err(), "{by_id:?}");
    for proof in &proofs {
        verify_tlog_proof(proof, &engine.vkey("acme").unwrap()).unwrap();
    }
    let info = engine.erasure("acme", &world.by, &job.id).unwrap();
    assert_eq!(info.state, ErasureState::Done, "{info:?}");
    assert!(info.unreadable_since_ms.is_some() && info.bytes_gone_since_ms.is_some());
    assert_eq!(
        engine.erasures("acme", &world.by).unwrap(),
        std::slice::from_ref(&info)
    );
    // It is no purge.
    assert!(
        engine
            .purges("acme", &world.by, None, 10)
            .unwrap()
            .items
            .is_empty()
    );
    assert_eq!(
        engine
            .purge_status("acme", &world.by, &job.id)
            .unwrap_err()
            .code(),
        Error::NotFound("purge").code()
    );
    let says = certificate(&world, &engine, &job.id).statement;
    assert_eq!(
        says.predicate_type,
        "urn:attestore:predicate:erasure-certificate:v1"
    );
    assert_eq!(
        says.predicate["check"],
        serde_json::json!({"clean": true, "left": []})
    );
    assert_eq!(says.predicate["scope"], "records");
    assert_eq!(
        says.predicate["ranges"],
        serde_json::json!([[4, 6], [10, 11], [12, 13], [22, 23]])
    );
    engine.close().unwrap();
    let engine = open(&world);
    assert_eq!(erased(&world, &engine), went);
}

#[test]
fn exports_that_may_hold_erased_records_go_with_them() {
    let world = World::new(341);
    let engine = open(&world);
    let tenant = world.tenant(&engine, "acme");
    set_policy(&engine, &tenant, 1, (0, None), RetentionMode::None);
    fill(&engine, &tenant, 1, 200);
    let spec = ExportSpec {
        query: String::new(),
        from_ns: None,
        to_ns: None,
        format: Format::Ndjson,
        fields: Some(vec!["seq".to_owned(), "action".to_owned()]),
        compression: Compression::None,
        evidence: Evidence::default(),
    };
    let export = engine.create_export("acme", &world.by, spec).unwrap();
    while engine.export_tick() {}
    let job = erase(&world, &engine, &[3]).unwrap();
    let left = engine.export("acme", &world.by, &export.id).unwrap();
    assert_eq!(left.state, ExportState::Expired);
    finish(&engine);
    let says = certificate(&world, &engine, &job.id).statement.predicate;
    assert_eq!(says["exports_destroyed"], 1);
}

#[test]
fn nothing_is_erased_where_a_rule_keeps_one_of_the_records() {
    let world = World::new(342);
    let engine = open(&world);
    let tenant = world.tenant(&engine, "acme");
    fill(&engine, &tenant, 1, 20);
    fill(&engine, &tenant, 2, 20);
    fill(&engine, &tenant, 3, 20);
    let code = |request: &RecordErasure| match engine.erase_records("acme", &world.by, request) {
        Err(error) => error.code(),
        Ok(_) => "ok",
    };
    assert_eq!(code(&request(&[3, 4])), "no_policy");
    assert_eq!(code(&request(&[3, 14])), "several_classes");
    assert_eq!(code(&request(&[])), "invalid_erasure");
    assert_eq!(code(&request(&[9999])), Error::UnknownRecord.code());
    let bypass = |seq| RecordErasure {
        bypass: true,
        ..request(&[seq])
    };
    set_policy(&engine, &tenant, 2, (DAY_MS, None), RetentionMode::Compliance);
    assert_eq!(code(&request(&[14])), "retention_locked");
    assert_eq!(code(&bypass(14)), "retention_locked");
    set_policy(&engine, &tenant, 3, (DAY_MS, None), RetentionMode::Governance);
    assert_eq!(code(&request(&[24])), "retention_minimum");
    assert_eq!(code(&bypass(24)), "approval_needed");
    let control = tenant.view().size;
    set_policy(&engine, &tenant, 1, (DAY_MS, None), RetentionMode::None);
    assert_eq!(code(&request(&[control])), "control_records");
    let hold = HoldSpec {
        scope: HoldScope {
            ranges: std::iter::once(5..6).collect(),
            ..HoldScope::default()
        },
        matter: "case 9".to_owned(),
        reason: "a dispute".to_owned(),
        review_ms: None,
    };
    engine.place_hold("acme", &world.by, &hold).unwrap();
    assert_eq!(code(&request(&[5])), "held");
    assert_eq!(code(&request(&[3, 5])), "held");
    assert!(erased(&world, &engine).is_empty());
    assert_eq!(code(&request(&[3])), "ok");
    assert_eq!(code(&request(&[3, 4])), "erased");
    finish(&engine);
    assert_eq!(erased(&world, &engine), [3].into());
}

/// Records in a segment, in a part of a shared file and in the log.
fn prepared() -> (World, Snapshot) {
    let world = World::new(343);
    let engine = open(&world);
    let tenant = world.tenant(&engine, "acme");
    set_policy(&engine, &tenant, 1, (0, None), RetentionMode::None);
    fill(&engine, &tenant, 1, 1000);
    append_as(&engine, &tenant, 1, &[event(1), event(2)]);
    engine.flush().unwrap();
    append_as(&engine, &tenant, 1, &[event(3)]);
    engine.close().unwrap();
    drop(engine);
    let snapshot = world.disk.snapshot();
    (world, snapshot)
}

#[test]
fn a_crash_at_any_operation_of_an_erasure_of_records_leaves_nothing_half_done() {
    let (mut world, snapshot) = prepared();
    let wanted: BTreeSet<u64> = [2, 3, 11, 13].into();
    let seqs: Vec<u64> = wanted.iter().copied().collect();
    world.disk = SimDisk::from_snapshot(&snapshot);
    let engine = open(&world);
    let first = world.disk.op_count();
    erase(&world, &engine, &seqs).unwrap();
    finish(&engine);
    let total = world.disk.op_count();
    drop(engine);
    assert!(total > first + 40, "{first} {total}");
    for op in first..total {
        let fault = [
            Fault::CrashBefore,
            Fault::CrashTorn,
            Fault::CrashAfter,
            Fault::Errno(5),
        ][usize::try_from(op % 4).unwrap()];
        println!("{fault:?} at operation {op} of {total}");
        world.disk = SimDisk::from_snapshot(&snapshot);
        world.disk.fail_at(op, fault);
        let (engine, _) = world.start_with(eager());
        let _ = erase(&world, &engine, &seqs).map(|_| engine.purge_tick());
        drop(engine);
        world.disk = world.disk.crash();
        let engine = open(&world);
        let went = erased(&world, &engine);
        assert!(went.is_empty() || went == wanted, "{went:?}");
        if went.is_empty() {
            erase(&world, &engine, &seqs).unwrap();
        }
        finish(&engine);
        assert_eq!(erased(&world, &engine), wanted);
        let all = engine.erasures("acme", &world.by).unwrap();
        assert_eq!(all.len(), 1, "{all:?}");
        let says = certificate(&world, &engine, &all[0].id).statement.predicate;
        assert_eq!(says["check"]["clean"], true, "{says}");
    }
}

#[test]
fn whoever_waits_for_the_approval_of_a_second_person_erases_nothing() {
    let world = World::new(344);
    let engine = open(&world);
    let tenant: Arc<Tenant> = world.tenant(&engine, "acme");
    set_policy(&engine, &tenant, 1, (DAY_MS, None), RetentionMode::Governance);
    fill(&engine, &tenant, 1, 20);
    let bypass = RecordErasure {
        bypass: true,
        ..request(&[3])
    };
    for _ in 0..2 {
        let asked = engine.erase_records("acme", &world.by, &bypass);
        assert_eq!(asked.unwrap_err().code(), "approval_needed");
    }
    assert!(erased(&world, &engine).is_empty());
}
