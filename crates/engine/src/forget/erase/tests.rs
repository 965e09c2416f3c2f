//! Erasures of whole instances: what is shown, what is left, and what a crash leaves.

use std::sync::Arc;

use attestore_disk::Disk;
use attestore_disk::sim::Fault;
use attestore_record::SubjectRef;

use super::{ErasureInfo, ErasureRequest, ErasureState};
use crate::catalog::FileType;
use crate::forget::Person;
use crate::read::{Which, readers};
use crate::search::SearchRequest;
use crate::tenant::Tenant;
use crate::testing::{World, event, settings};
use crate::{Engine, Error, Settings};

const CANARY: &str = "zq7canary0ann";

/// An event about the person who is erased, with a canary in every kind of field.
fn about(number: u32) -> String {
    format!(
        r#"{{"action":"file.read","actor":{{"type":"user","id":"{CANARY}","name":"{CANARY}-name","email":"{CANARY}@example.org"}},"context":{{"ip":"203.0.113.77","user_agent":"{CANARY}-agent/1.0"}},"targets":[{{"type":"file","id":"f{number}"}}],"metadata":{{"n":{number}}}}}"#
    )
}

fn person(id: &str) -> Person {
    Person {
        ty: "user".to_owned(),
        id: id.to_owned(),
    }
}

fn request(ids: &[&str]) -> ErasureRequest {
    ErasureRequest {
        subjects: ids.iter().map(|id| person(id)).collect(),
        basis: "Art. 17 GDPR".to_owned(),
        undo_s: 0,
    }
}

fn erase(world: &World, engine: &Engine, ids: &[&str]) -> ErasureInfo {
    engine.erase("acme", &world.by, &request(ids)).unwrap()
}

fn search(world: &World, engine: &Engine, q: &str) -> Found {
    let request = SearchRequest {
        q: q.to_owned(),
        limit: 100,
        want_count: true,
        highlight: true,
        aggs: Some(r#"{"who":{"terms":{"field":"actor.id","size":100}}}"#.to_owned()),
        ..SearchRequest::default()
    };
    let page = engine.search("acme", &world.by, &request).unwrap();
    Found {
        count: page.count.unwrap(),
        seqs: page.items.iter().map(|item| item.seq).collect(),
        text: format!("{page:?}"),
    }
}

struct Found {
    count: u64,
    seqs: Vec<u64>,
    text: String,
}

/// Everything of a tenant's files that keys open, and whether the canary is in it.
fn canaries(engine: &Engine, tenant: &Arc<Tenant>) -> Vec<(FileType, bool)> {
    let mut found = Vec::new();
    for set in tenant.view().flushed.iter() {
        for row in set.files() {
            let container = readers::container(&engine.inner, tenant, row).unwrap();
            let bytes = container.read(0..container.len()).unwrap();
            found.push((row.ty, has_canary(&bytes)));
        }
        crate::read::records::scan_set(&engine.inner, tenant, set, |record| {
            for bytes in record.personal_bytes() {
                found.push((FileType::Sub, has_canary(bytes)));
            }
            Ok(())
        })
        .unwrap();
    }
    found
}

fn has_canary(bytes: &[u8]) -> bool {
    let bytes = bytes.to_ascii_lowercase();
    bytes
        .windows(CANARY.len())
        .any(|window| window == CANARY.as_bytes())
}

fn has(found: &[(FileType, bool)], ty: FileType) -> bool {
    found.iter().any(|(of, canary)| *of == ty && *canary)
}

fn indexed(world: &World) -> Engine {
    world
        .start_with(Settings {
            indexing: true,
            l0_tail_bytes_max: 64,
            ..settings()
        })
        .0
}

/// Some records about the person and some about others, in segments of their own, in the log and in both.
fn filled(world: &World, indexing: bool) -> (Engine, Arc<Tenant>) {
    let engine = match indexing {
        true => indexed(world),
        false => world.open(false),
    };
    let tenant = world.tenant(&engine, "acme");
    for round in 0..3 {
        world.append(
            &engine,
            "acme",
            &[about(round), event(1), event(2), about(100 + round)],
        );
        engine.flush().unwrap();
    }
    world.append(&engine, "acme", &[about(7), event(1)]);
    (engine, tenant)
}

#[test]
fn an_erasure_hides_at_once_and_ends_without_a_trace() {
    let world = World::new(1);
    let (engine, tenant) = filled(&world, true);
    engine.flush().unwrap();
    let before = canaries(&engine, &tenant);
    assert!(
        has(&before, FileType::Sub) && has(&before, FileType::Idx),
        "the check finds it before: {before:?}"
    );
    assert_eq!(search(&world, &engine, &format!("actor.id:{CANARY}")).count, 7);
    world.append(&engine, "acme", &[about(8)]);
    let proofs: Vec<String> = (0..15)
        .map(|seq| engine.proof("acme", &world.by, Which::Seq(seq)).unwrap())
        .collect();

    let job = erase(&world, &engine, &[CANARY]);
    assert_eq!(job.state, ErasureState::Received);
    let hidden = |engine: &Engine| {
        for seq in 0..15 {
            let text = engine.get("acme", &world.by, Which::Seq(seq)).unwrap().event;
            assert!(!text.contains(CANARY), "record {seq}: {text}");
            let proof = engine.proof("acme", &world.by, Which::Seq(seq)).unwrap();
            assert!(!has_canary(proof.as_bytes()));
        }
        for q in [
            format!("actor.id:{CANARY}"),
            format!("actor.email:{CANARY}*"),
            "ip:203.0.113.77".to_owned(),
            CANARY.to_owned(),
            String::new(),
        ] {
            let found = search(&world, engine, &q);
            assert!(!found.text.contains(CANARY), "{q}: {}", found.text);
            if !q.is_empty() {
                assert_eq!((found.count, found.seqs), (0, vec![]), "{q}");
            }
        }
    };
    hidden(&engine);
    // What others did is found as before, also by what is theirs.
    assert_eq!(search(&world, &engine, "actor.id:u1").count, 4);

    engine.tick();
    let done = engine.erasure("acme", &world.by, &job.id).unwrap();
    assert_eq!((done.state, done.records), (ErasureState::Done, 8), "{done:?}");
    assert!(
        done.unreadable_since_ms.is_some()
            && done.terms_gone_since_ms.is_some()
            && done.bytes_gone_since_ms.is_some()
    );
    assert!(tenant.hidden.load().is_empty());
    hidden(&engine);
    let after = canaries(&engine, &tenant);
    assert!(!after.iter().any(|(_, canary)| *canary), "{after:?}");
    assert_eq!(search(&world, &engine, "actor.id:u1").count, 4);

    let report = engine.verify("acme", &mut |_, _| {}).unwrap();
    assert_eq!(report.problems, []);
    let row = engine.inner.catalog.read().unwrap();
    let row: super::ErasureRow =
        crate::catalog::of_tenant::of(&row, crate::catalog::tables::ERASURES, &tenant.id)
            .unwrap()
            .remove(0)
            .1;
    assert!(row.subjects.is_empty() && row.handles.is_empty());
    for proof in &proofs {
        attestore_verify::verify_tlog_proof(proof, &engine.vkey("acme").unwrap()).unwrap();
    }
    let certificate = engine.erasure_certificate("acme", &world.by, &job.id).unwrap();
    assert!(!has_canary(certificate.as_bytes()));
    let key: attestore_tlog::VerifierKey = engine.vkey("acme").unwrap().parse().unwrap();
    let says =
        attestore_verify::statement::verify_statement(&certificate, &attestore_verify::Trust::Key(key))
            .unwrap();
    let says = says.statement.predicate;
    assert_eq!(says["check"], serde_json::json!({"clean": true, "left": []}));
    assert_eq!((&says["records"], &says["scope"]), (&8.into(), &"subject".into()));
    assert!(says["unreadable_since"].is_string() && says["bytes_gone_since"].is_string());
    let hash = attestore_export::sha256_hex(certificate.as_bytes());
    assert_eq!(done.certificate.as_ref(), Some(&hash));
    let named = (0..tenant.view().size).any(|seq| {
        let text = engine.get("acme", &world.by, Which::Seq(seq)).unwrap().event;
        text.contains(&hash)
    });
    assert!(named, "the log names the certificate");
    drop(engine);
    let engine = indexed(&world);
    hidden(&engine);
    assert_eq!(engine.verify("acme", &mut |_, _| {}).unwrap().problems, []);
}

#[test]
fn the_log_tells_how_many_records_an_erasure_concerned() {
    let world = World::new(2);
    let (engine, _) = filled(&world, false);
    let job = erase(&world, &engine, &[CANARY, "u1"]);
    engine.tick();
    let done = engine.erasure("acme", &world.by, &job.id).unwrap();
    assert_eq!((done.records, done.subjects), (11, 2));
    let record = engine
        .get("acme", &world.by, Which::Seq(done.seq.unwrap()))
        .unwrap();
    assert_eq!(record.kind, "erasure");
    assert!(record.event.contains(r#""records":11"#), "{}", record.event);
    assert!(!record.event.contains(CANARY));
}

#[test]
fn who_comes_back_is_somebody_new() {
    let world = World::new(3);
    let (engine, tenant) = filled(&world, false);
    let handle = |engine: &Engine| {
        let subject = SubjectRef::new("user", CANARY);
        let found = tenant
            .directory
            .resolve(&tenant, &subject, &*engine.inner.entropy);
        found.unwrap().handle
    };
    let old = handle(&engine);
    erase(&world, &engine, &[CANARY]);
    world.append(&engine, "acme", &[about(50)]);
    let new = handle(&engine);
    assert_ne!(old, new);
    let last = tenant.view().size - 1;
    assert!(
        engine
            .get("acme", &world.by, Which::Seq(last))
            .unwrap()
            .event
            .contains(CANARY)
    );
    engine.tick();
    assert!(
        engine
            .get("acme", &world.by, Which::Seq(last))
            .unwrap()
            .event
            .contains(CANARY)
    );
    assert_eq!(handle(&engine), new);
    assert_eq!(
        search(&world, &engine, &format!("actor.id:{CANARY}")).seqs,
        [last]
    );
    engine.flush().unwrap();
    drop(engine);
    let engine = world.open(false);
    assert!(
        engine
            .get("acme", &world.by, Which::Seq(last))
            .unwrap()
            .event
            .contains(CANARY)
    );
}

#[test]
fn an_event_about_somebody_who_was_erased_is_known_by_its_key_when_it_comes_again() {
    let world = World::new(31);
    let engine = world.open(false);
    world.tenant(&engine, "acme");
    let keyed = about(1).replacen('{', r#"{"idempotency_key":"k1","#, 1);
    let other = event(1).replacen('{', r#"{"idempotency_key":"k2","#, 1);
    world.append(&engine, "acme", &[keyed.clone(), other.clone()]);
    erase(&world, &engine, &[CANARY]);
    let known = |engine: &Engine| -> Vec<bool> {
        let again = world.try_append(engine, "acme", &[keyed.clone(), other.clone()]);
        let items = again.unwrap().items.into_iter();
        items.map(|item| item.unwrap().duplicate).collect()
    };
    assert_eq!(known(&engine), [true, true], "in the tail");
    engine.flush().unwrap();
    assert_eq!(known(&engine), [true, true], "in a segment");
    engine.tick();
    let done = engine.erasures("acme", &world.by).unwrap();
    assert_eq!(done[0].state, ErasureState::Done);
    assert_eq!(known(&engine), [true, true], "nothing of them is left");
    engine.close().unwrap();
    drop(engine);
    assert_eq!(known(&world.open(false)), [true, true], "after a start");
}

#[test]
fn an_append_that_was_prepared_before_is_written_about_the_new_handle() {
    let world = World::new(4);
    let (engine, tenant) = filled(&world, false);
    crate::testing::leave_waiting(&engine, &tenant, &[about(60)]);
    erase(&world, &engine, &[CANARY]);
    // Nobody waits for it: it was not stored under the key that goes.
    engine.inner.commit_all();
    let view = tenant.view();
    let hidden = tenant.hidden.load();
    for record in view.tail.iter(view.tail.range()) {
        let mut about = record.groups.iter().flat_map(|group| &group.handles);
        assert!(
            !about.any(|handle| hidden.is_leaving(handle)),
            "record {}",
            record.seq
        );
    }
    drop(hidden);
    engine.tick();
    assert_eq!(engine.verify("acme", &mut |_, _| {}).unwrap().problems, []);
}

#[test]
fn an_erasure_can_be_taken_back_in_time() {
    let world = World::new(5);
    let (engine, tenant) = filled(&world, true);
    let asked = ErasureRequest {
        undo_s: 60,
        ..request(&[CANARY])
    };
    let job = engine.erase("acme", &world.by, &asked).unwrap();
    engine.tick();
    assert_eq!(
        engine.erasure("acme", &world.by, &job.id).unwrap().state,
        ErasureState::Received
    );
    assert_eq!(search(&world, &engine, &format!("actor.id:{CANARY}")).count, 0);
    // Somebody new meanwhile.
    world.append(&engine, "acme", &[about(70)]);
    engine.undo_erasure("acme", &world.by, &job.id).unwrap();
    assert_eq!(search(&world, &engine, &format!("actor.id:{CANARY}")).count, 8);
    assert!(tenant.hidden.load().is_empty());
    drop(engine);
    let engine = indexed(&world);
    assert_eq!(search(&world, &engine, &format!("actor.id:{CANARY}")).count, 8);
    // Both handles are known and go together.
    let again = erase(&world, &engine, &[CANARY]);
    assert_eq!(again.subjects, 2);
    engine.tick();
    assert_eq!(search(&world, &engine, &format!("actor.id:{CANARY}")).count, 0);
    let late = engine.undo_erasure("acme", &world.by, &again.id);
    assert!(matches!(
        late,
        Err(Error::Conflict {
            code: "erasure_decided",
            ..
        })
    ));
    assert_eq!(engine.verify("acme", &mut |_, _| {}).unwrap().problems, []);
}

#[test]
fn nobody_is_erased_whom_the_tenant_does_not_know() {
    let world = World::new(6);
    let (engine, _) = filled(&world, false);
    let unknown = engine.erase("acme", &world.by, &request(&["nobody"]));
    assert!(matches!(unknown, Err(Error::NotFound("data subject"))));
    erase(&world, &engine, &[CANARY]);
    engine.tick();
    let again = engine.erase("acme", &world.by, &request(&[CANARY]));
    assert!(matches!(again, Err(Error::NotFound("data subject"))));
}

#[test]
fn what_is_restricted_is_read_for_a_purpose_only() {
    use crate::credentials::Purpose;
    let world = World::new(7);
    let (engine, _) = filled(&world, true);
    let restriction = engine
        .restrict("acme", &world.by, &[person(CANARY)], "contested")
        .unwrap();
    let q = format!("actor.id:{CANARY}");
    let with_purpose = world.by.clone().reading_for(Purpose::LegalClaims);
    let check = |engine: &Engine| {
        let seen = engine.get("acme", &world.by, Which::Seq(0)).unwrap();
        assert!(seen.restricted && !seen.event.contains(CANARY), "{seen:?}");
        assert_eq!(search(&world, engine, &q).count, 0);
        let seen = engine.get("acme", &with_purpose, Which::Seq(0)).unwrap();
        assert!(seen.restricted && seen.event.contains(CANARY), "{seen:?}");
        let request = SearchRequest {
            q: q.clone(),
            limit: 100,
            ..SearchRequest::default()
        };
        assert_eq!(
            engine
                .search("acme", &with_purpose, &request)
                .unwrap()
                .items
                .len(),
            7
        );
        assert!(!engine.get("acme", &world.by, Which::Seq(1)).unwrap().restricted);
    };
    check(&engine);
    drop(engine);
    let engine = indexed(&world);
    check(&engine);
    engine
        .end_restriction("acme", &world.by, &restriction.id, "settled")
        .unwrap();
    assert_eq!(search(&world, &engine, &q).count, 7);
    assert_eq!(engine.restrictions("acme", &world.by).unwrap(), []);
    // An erasure takes the restriction along.
    engine
        .restrict("acme", &world.by, &[person(CANARY)], "contested")
        .unwrap();
    erase(&world, &engine, &[CANARY]);
    engine.tick();
    assert_eq!(engine.restrictions("acme", &world.by).unwrap(), []);
}

#[test]
fn a_compaction_between_the_destruction_and_the_cleaning_brings_no_terms_back() {
    let world = World::new(8);
    let (engine, tenant) = filled(&world, true);
    engine.flush().unwrap();
    let job = erase(&world, &engine, &[CANARY]);
    super::work::destroy_step(&engine.inner);
    assert_eq!(
        engine.erasure("acme", &world.by, &job.id).unwrap().state,
        ErasureState::Unreadable
    );
    assert!(
        has(&canaries(&engine, &tenant), FileType::Idx),
        "terms are there until the cleaning"
    );
    engine.compact("acme").unwrap();
    let after = canaries(&engine, &tenant);
    assert!(!after.iter().any(|(_, canary)| *canary), "{after:?}");
    engine.tick();
    assert_eq!(
        engine.erasure("acme", &world.by, &job.id).unwrap().state,
        ErasureState::Done
    );
}

#[test]
fn parts_of_shared_files_are_overwritten() {
    let world = World::new(9);
    let (engine, tenant) = filled(&world, false);
    // Another tenant keeps the shared file alive.
    world.tenant(&engine, "globex");
    world.append(&engine, "globex", &[event(5)]);
    world.append(&engine, "acme", &[about(80)]);
    engine.flush().unwrap();
    let parts: Vec<_> = tenant
        .view()
        .flushed
        .iter()
        .filter_map(|set| set.sub.clone())
        .filter(|row| row.is_part())
        .collect();
    assert!(!parts.is_empty());
    erase(&world, &engine, &[CANARY]);
    engine.tick();
    let mut overwritten = 0;
    for row in parts {
        let Ok(file) = world.disk.open(&row.path, attestore_disk::Mode::Read) else {
            continue;
        };
        let mut bytes = vec![1; usize::try_from(row.length).unwrap()];
        file.read_exact_at(&mut bytes, row.offset).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0), "{row:?}");
        overwritten += 1;
    }
    assert!(overwritten > 0);
    assert_eq!(engine.verify("globex", &mut |_, _| {}).unwrap().problems, []);
}

/// Runs an erasure with a fault at one operation; checks what the next start makes of it. Says whether it was over before.
fn crash_at(op: u64, fault: Fault) -> bool {
    let context = format!("operation {op}, {fault:?}");
    let mut world = World::new(1000 + op);
    let (engine, _) = filled(&world, false);
    let first = world.disk.op_count();
    world.disk.fail_at(first + op, fault);
    let asked = engine.erase("acme", &world.by, &request(&[CANARY]));
    engine.tick();
    let over = world.disk.op_count() - first <= op;
    let shown = asked.is_ok().then(|| {
        (0..14)
            .filter_map(|seq| engine.get("acme", &world.by, Which::Seq(seq)).ok())
            .any(|record| record.event.contains(CANARY))
    });
    assert_ne!(shown, Some(true), "{context}: shown after it was answered");
    drop(engine);
    world.disk = world.disk.crash();
    if op.is_multiple_of(3) {
        world
            .disk
            .fail_at(world.disk.op_count() + op / 2, Fault::CrashTorn);
        if let Ok((engine, _)) = world.try_start() {
            engine.tick();
        }
        world.disk = world.disk.crash();
    }
    let engine = world.open(false);
    let jobs = engine.erasures("acme", &world.by).unwrap();
    if asked.is_ok() {
        assert_eq!(jobs.len(), 1, "{context}");
    }
    if !jobs.is_empty() {
        for seq in 0..14 {
            let record = engine.get("acme", &world.by, Which::Seq(seq)).unwrap();
            assert!(!record.event.contains(CANARY), "{context}: record {seq}");
        }
    }
    engine.tick();
    engine.tick();
    let tenant = engine.inner.tenant("acme").unwrap();
    for job in engine.erasures("acme", &world.by).unwrap() {
        assert_eq!(job.state, ErasureState::Done, "{context}: {job:?}");
        assert_eq!(job.records, 7, "{context}");
        let after = canaries(&engine, &tenant);
        assert!(!after.iter().any(|(_, canary)| *canary), "{context}: {after:?}");
    }
    let view = tenant.view();
    let named: Vec<_> = view
        .flushed
        .iter()
        .flat_map(|set| set.files().map(|file| file.path.clone()))
        .collect();
    let is_sealed = |path: &std::path::Path| {
        let extension = path.extension().and_then(std::ffi::OsStr::to_str);
        path.starts_with("tenants") && matches!(extension, Some("seg" | "sub" | "idx"))
    };
    let own = format!("tenants/{}", tenant.id);
    for path in world
        .disk
        .paths()
        .into_iter()
        .filter(|path| path.starts_with(&own))
    {
        assert!(
            !is_sealed(&path) || named.contains(&path),
            "{context}: {}",
            path.display()
        );
    }
    let texts: Vec<String> = (0..tenant.view().size)
        .map(|seq| engine.get("acme", &world.by, Which::Seq(seq)).unwrap())
        .filter(|record| record.kind == "erasure")
        .map(|record| record.event)
        .collect();
    for part in ["\"scope\":\"subject\"", "\"type\":\"receipt\""] {
        let records = texts.iter().filter(|text| text.contains(part)).count();
        assert_eq!(records, jobs.len(), "{context}: {part} in {texts:?}");
    }
    let report = engine.verify("acme", &mut |_, _| {}).unwrap();
    assert_eq!(report.problems, [], "{context}");
    world.append(&engine, "acme", &[about(90)]);
    over
}

fn sweep(fault: Fault) {
    let mut op = 0;
    while !crash_at(op, fault) {
        op += 1;
    }
    assert!(op > 60, "only {op} operations");
}

#[test]
fn a_crash_before_any_operation_of_an_erasure_is_gone_on_from() {
    sweep(Fault::CrashBefore);
}

#[test]
fn a_crash_inside_any_operation_of_an_erasure_is_gone_on_from() {
    sweep(Fault::CrashTorn);
}

#[test]
fn a_crash_after_any_operation_of_an_erasure_is_gone_on_from() {
    sweep(Fault::CrashAfter);
}

#[test]
fn an_error_of_any_operation_of_an_erasure_is_gone_on_from() {
    sweep(Fault::Errno(5));
}

#[test]
fn nothing_that_todays_keys_open_has_a_canary_afterwards() {
    use crate::check::{Needles, Place, residue};
    let world = World::new(20);
    let (engine, _) = filled(&world, true);
    engine.flush().unwrap();
    world.append(&engine, "acme", &[about(8)]);
    drop(engine);
    let email = format!("{CANARY}@example.org");
    let agent = format!("{CANARY}-agent/1.0");
    let needles = Needles::new([CANARY, email.as_str(), agent.as_str(), "203.0.113.77"]).unwrap();
    let before = residue(&world.parts(), &needles, &mut |_, _| {}).unwrap();
    for place in [Place::Wal, Place::Personal, Place::Index, Place::Record] {
        assert!(
            before.places[&place].hits > 0,
            "{place:?} is not looked through: {before:?}"
        );
    }
    let engine = indexed(&world);
    erase(&world, &engine, &[CANARY]);
    engine.tick();
    drop(engine);
    let after = residue(&world.parts(), &needles, &mut |_, _| {}).unwrap();
    assert_eq!(after.found(), 0, "{:?}", after.hits);
}

#[test]
fn old_copies_do_not_open_with_todays_keys() {
    use attestore_disk::Mode;
    use std::path::Path;
    let world = World::new(21);
    let (engine, _) = filled(&world, false);
    let old = world.disk.snapshot();
    let copy = |roots: &attestore_disk::sim::SimDisk| {
        let disk = attestore_disk::sim::SimDisk::from_snapshot(&old);
        for path in disk.paths().iter().filter(|path| path.starts_with("keys")) {
            disk.remove(path).unwrap();
        }
        for path in roots.paths().iter().filter(|path| path.starts_with("keys")) {
            let from = roots.open(path, Mode::Read).unwrap();
            let mut bytes = vec![0; usize::try_from(from.len().unwrap()).unwrap()];
            from.read_exact_at(&mut bytes, 0).unwrap();
            let to = disk.open(path, Mode::Create).unwrap();
            to.write_all_at(&bytes, 0).unwrap();
            to.sync_data().unwrap();
        }
        disk.sync_dir(Path::new("keys")).unwrap();
        let mut other = World::new(22);
        other.disk = disk;
        other
    };
    let (opened, _) = copy(&world.disk)
        .try_start()
        .expect("before the erasure it opens");
    assert!(
        opened
            .get("acme", &world.by, Which::Seq(0))
            .unwrap()
            .event
            .contains(CANARY)
    );
    drop(opened);
    erase(&world, &engine, &[CANARY]);
    engine.tick();
    let refused = copy(&world.disk).try_start();
    assert!(matches!(refused, Err(crate::OpenError::Key(_))));
}

/// Puts a policy for class 1 in force, or takes it away, as of the next start.
fn policy(engine: &Engine, tenant: &Tenant, erasable: Option<&str>) {
    use crate::catalog::{by_tenant, tables};
    let row = erasable.map(|erasable| {
        serde_json::json!({ "classes": { "1": {
            "policy": {
                "class": 1, "name": "kept", "keep_min_ms": 0, "keep_max_ms": null, "basis": "law",
                "mode": "none", "erasable": erasable,
            },
            "seq": 0, "changed_ms": 0, "changed_by": "tester",
        } } })
    });
    let changed = engine.inner.change(|update| match &row {
        Some(row) => by_tenant::put(update, tables::RETENTION, &tenant.id, row),
        None => by_tenant::remove(update, tables::RETENTION, &tenant.id),
    });
    changed.unwrap();
}

#[test]
fn what_a_policy_forbids_waits_and_is_read_for_a_purpose_meanwhile() {
    use crate::credentials::Purpose;
    let world = World::new(23);
    let (engine, tenant) = filled(&world, false);
    policy(&engine, &tenant, Some("no"));
    drop((engine, tenant));
    let engine = world.open(false);
    let job = erase(&world, &engine, &[CANARY]);
    let with_purpose = world.by.clone().reading_for(Purpose::LegalClaims);
    let shown = |engine: &Engine, by| {
        engine
            .get("acme", by, Which::Seq(0))
            .unwrap()
            .event
            .contains(CANARY)
    };
    assert!(
        !shown(&engine, &with_purpose),
        "until it is known that it has to wait"
    );
    engine.tick();
    let waits = engine.erasure("acme", &world.by, &job.id).unwrap();
    assert_eq!(
        (waits.state, waits.deferred.as_deref()),
        (ErasureState::Deferred, Some("policy"))
    );
    assert_eq!(waits.seq, None);
    assert!(!shown(&engine, &world.by) && shown(&engine, &with_purpose));
    drop(engine);
    let engine = world.open(false);
    assert!(!shown(&engine, &world.by) && shown(&engine, &with_purpose));
    engine.tick();
    assert_eq!(
        engine.erasure("acme", &world.by, &job.id).unwrap().state,
        ErasureState::Deferred
    );
    let tenant = engine.inner.tenant("acme").unwrap();
    policy(&engine, &tenant, None);
    drop((engine, tenant));
    let engine = world.open(false);
    engine.tick();
    let done = engine.erasure("acme", &world.by, &job.id).unwrap();
    assert_eq!((done.state, done.deferred), (ErasureState::Done, None));
    assert!(!shown(&engine, &with_purpose));
}
