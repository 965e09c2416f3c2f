//! Jobs on the simulated disk.

mod evidence;

use attestore_disk::Disk;
use attestore_disk::sim::{Fault, SimDisk};
use attestore_export::{Manifest, parse_note_text, sha256_hex};
use attestore_tlog::SignedNote;

use super::*;
use crate::credentials::{Identity, Kind};
use crate::testing::{World, event, settings};
use crate::{Error, Principal, Role, Scope, Settings};

fn spec(query: &str, format: Format) -> ExportSpec {
    ExportSpec {
        query: query.into(),
        from_ns: None,
        to_ns: None,
        format,
        fields: None,
        compression: Compression::None,
        evidence: Evidence::default(),
    }
}

fn small() -> Settings {
    Settings {
        export_part_bytes: 64 << 10,
        ..settings()
    }
}

fn append(world: &World, engine: &Engine, numbers: std::ops::Range<u32>) {
    let events: Vec<String> = numbers.map(|n| event(n % 7)).collect();
    for some in events.chunks(20) {
        world.append(engine, "acme", some);
    }
}

/// Works until there is nothing left to do.
fn finish(engine: &Engine) {
    while engine.export_tick() {}
}

fn read(engine: &Engine, by: &Principal, id: &str, name: &str) -> Vec<u8> {
    let file = engine.export_file("acme", by, id, name).unwrap();
    let all = 0..file.len();
    let file = file.download(&all).unwrap();
    let mut bytes = Vec::new();
    loop {
        let some = file.read(bytes.len() as u64, u64::MAX).unwrap();
        if some.is_empty() {
            break;
        }
        bytes.extend(some);
    }
    assert_eq!(bytes.len() as u64, file.len());
    assert_eq!(sha256_hex(&bytes), file.sha256());
    bytes
}

/// Checks manifest and signature; returns the lines of all files.
fn lines(engine: &Engine, by: &Principal, id: &str) -> Vec<serde_json::Value> {
    let bytes = read(engine, by, id, MANIFEST);
    let manifest: Manifest = serde_json::from_slice(&bytes).unwrap();
    let note = String::from_utf8(read(engine, by, id, NOTE)).unwrap();
    let vkey = engine.vkey("acme").unwrap();
    let note = SignedNote::open(&note, &vkey.parse().unwrap()).unwrap();
    let signed = parse_note_text(note.text()).unwrap();
    assert_eq!(signed.sha256, sha256_hex(&bytes));
    assert_eq!(
        (signed.origin.as_str(), signed.size),
        (manifest.origin.as_str(), manifest.tree_size)
    );
    let mut lines = Vec::new();
    for file in &manifest.files {
        let bytes = read(engine, by, id, &file.name);
        assert_eq!(sha256_hex(&bytes), file.sha256);
        assert_eq!(bytes.len() as u64, file.bytes);
        let text = String::from_utf8(bytes).unwrap();
        let of_file: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(of_file.len() as u64, file.records);
        assert_eq!(
            of_file.first().and_then(|line| line["seq"].as_u64()),
            file.first_seq
        );
        assert_eq!(
            of_file.last().and_then(|line| line["seq"].as_u64()),
            file.last_seq
        );
        lines.extend(of_file);
    }
    assert_eq!(lines.len() as u64, manifest.records);
    lines
}

fn seqs(lines: &[serde_json::Value]) -> Vec<u64> {
    lines.iter().map(|line| line["seq"].as_u64().unwrap()).collect()
}

#[test]
fn an_export_holds_the_whole_log_of_its_tree_in_several_parts() {
    let world = World::new(1);
    let (engine, _) = world.start_with(small());
    world.tenant(&engine, "acme");
    append(&world, &engine, 0..400);
    engine.flush().unwrap();
    append(&world, &engine, 400..700);
    let info = engine
        .create_export("acme", &world.by, spec("", Format::Ndjson))
        .unwrap();
    assert_eq!((info.state, info.tree_size), (ExportState::Queued, 700));
    append(&world, &engine, 0..50);
    finish(&engine);
    let info = engine.export("acme", &world.by, &info.id).unwrap();
    assert_eq!(
        (info.state, info.written.unwrap().records, info.read),
        (ExportState::Done, 700, 700)
    );
    assert!(info.files.len() > 2, "{:?}", info.files);
    let lines = lines(&engine, &world.by, &info.id);
    assert_eq!(seqs(&lines), (0..700).collect::<Vec<_>>());
    for line in lines.iter().step_by(97) {
        let which = crate::read::Which::Seq(line["seq"].as_u64().unwrap());
        let view = engine.get("acme", &world.by, which).unwrap();
        assert_eq!(line["id"], view.id.to_string());
        assert_eq!(
            line["event"],
            serde_json::from_str::<serde_json::Value>(&view.event).unwrap()
        );
    }
}

fn reader() -> Principal {
    principal("r", Role::Reader, Scope::one("acme"))
}

fn principal(id: &str, role: Role, tenants: Scope) -> Principal {
    Principal::of(Identity {
        kind: Kind::Credential,
        subject: id.into(),
        name: id.into(),
        roles: vec![role],
        tenants,
        expires_at_ms: None,
    })
}

/// An instance with 300 records in segments and 100 in the tail, closed.
fn filled(seed: u64) -> World {
    let world = World::new(seed);
    let (engine, _) = world.start_with(small());
    world.tenant(&engine, "acme");
    append(&world, &engine, 0..300);
    engine.flush().unwrap();
    append(&world, &engine, 300..400);
    engine.close().unwrap();
    world
}

fn spec_of(case: u64) -> (ExportSpec, Vec<u64>) {
    match case % 2 {
        0 => (spec("", Format::Ndjson), (0..400).collect()),
        _ => {
            let wanted = (0..400).filter(|seq| seq % 7 != 3).collect();
            (spec("NOT actor.id:u3", Format::Ndjson), wanted)
        }
    }
}

fn exp_files(disk: &SimDisk) -> Vec<String> {
    let names = disk.paths().into_iter().filter_map(|path| {
        let name = path.to_string_lossy().into_owned();
        name.contains(".exp").then_some(name)
    });
    names.collect()
}

/// Sees to it that the export gets done, and that it holds what it should, once, in order, and nothing is left over.
fn check_done(world: &World, engine: &Engine, wanted: &[u64], context: &str) {
    finish(engine);
    let exports = engine.exports("acme", &world.by).unwrap();
    assert_eq!(exports.len(), 1, "{context}");
    let info = engine.export("acme", &world.by, &exports[0].id).unwrap();
    assert_eq!(info.state, ExportState::Done, "{context}: {:?}", info.fault);
    assert_eq!(seqs(&lines(engine, &world.by, &info.id)), wanted, "{context}");
    let files = exp_files(&world.disk);
    assert_eq!(files.len(), info.files.len(), "{context}: {files:?}");
}

/// How many operations an export takes, from its making to its end.
fn operations(world: &World, case: u64) -> u64 {
    let (engine, _) = world.start_with(small());
    let before = world.disk.op_count();
    engine.create_export("acme", &world.by, spec_of(case).0).unwrap();
    finish(&engine);
    world.disk.op_count() - before
}

#[test]
fn killed_at_any_operation_an_export_still_holds_each_match_once() {
    let seed = 7;
    let filled = filled(seed);
    let snapshot = filled.disk.snapshot();
    let mut resumed = 0;
    for case in 0..2 {
        let mut world = filled_again(seed, &snapshot);
        let all = operations(&world, case);
        assert!(all > 40, "{all} operations");
        for op in 0..all {
            let fault = [Fault::CrashBefore, Fault::CrashTorn, Fault::CrashAfter][(op % 3) as usize];
            let context = format!("seed {seed}, case {case}, {fault:?} at operation {op} of {all}");
            world.disk = SimDisk::from_snapshot(&snapshot);
            let (wanted_spec, wanted) = spec_of(case);
            let (engine, _) = world.start_with(small());
            world.disk.fail_at(world.disk.op_count() + op, fault);
            let made = engine.create_export("acme", &world.by, wanted_spec.clone());
            if made.is_ok() {
                finish(&engine);
            }
            drop(engine);
            world.disk = world.disk.crash();
            // Sometimes it is killed again while it opens, or while it goes on.
            if op % 4 == 1 {
                world.disk.fail_at(world.disk.op_count() + op % 60, fault);
                if let Ok((engine, _)) = Engine::open_as(world.parts(), small(), crate::OpenMode::Inline) {
                    finish(&engine);
                }
                world.disk = world.disk.crash();
            }
            let (engine, _) = world.start_with(small());
            let there = engine.exports("acme", &world.by).unwrap();
            match (made.is_ok(), there.first()) {
                (true, None) => panic!("{context}: the export is gone"),
                (false, None) => {
                    engine.create_export("acme", &world.by, wanted_spec).unwrap();
                }
                (_, Some(info)) => resumed += u64::from(info.read > 0 && info.read < 400),
            }
            check_done(&world, &engine, &wanted, &context);
        }
    }
    assert!(resumed > 20, "only {resumed} went on from the middle");
}

fn filled_again(seed: u64, snapshot: &attestore_disk::sim::Snapshot) -> World {
    let mut world = World::new(seed);
    world.disk = SimDisk::from_snapshot(snapshot);
    world
}

#[test]
fn whatever_fails_leaves_a_job_that_goes_on() {
    let seed = 8;
    let snapshot = filled(seed).disk.snapshot();
    let mut world = filled_again(seed, &snapshot);
    let all = operations(&world, 0);
    let (mut failed, mut stopped) = (0, 0);
    for op in 0..all {
        let fault = Fault::Errno(if op % 2 == 0 { 28 } else { 5 });
        let context = format!("seed {seed}, {fault:?} at operation {op} of {all}");
        world.disk = SimDisk::from_snapshot(&snapshot);
        let (engine, _) = world.start_with(small());
        world.disk.fail_at(world.disk.op_count() + op, fault);
        let (wanted_spec, wanted) = spec_of(0);
        let made = engine.create_export("acme", &world.by, wanted_spec.clone());
        finish(&engine);
        world.disk.clear_faults();
        if engine.inner.stopped().is_some() {
            stopped += 1;
            drop(engine);
            world.disk = world.disk.crash();
            let (engine, _) = world.start_with(small());
            if engine.exports("acme", &world.by).unwrap().is_empty() {
                assert!(made.is_err(), "{context}: the export is gone");
                engine.create_export("acme", &world.by, wanted_spec).unwrap();
            }
            check_done(&world, &engine, &wanted, &context);
            continue;
        }
        let id = made.unwrap_or_else(|error| panic!("{context}: {error}")).id;
        let info = engine.export("acme", &world.by, &id).unwrap();
        if info.state == ExportState::Failed {
            failed += 1;
            assert!(info.fault.is_some(), "{context}");
            engine.resume_export("acme", &world.by, &id).unwrap();
        }
        check_done(&world, &engine, &wanted, &context);
    }
    assert!(failed > 3 && stopped > 3, "{failed} failed, {stopped} stopped");
}

#[test]
fn flushes_and_compactions_between_parts_change_nothing() {
    let world = filled(9);
    let (engine, _) = world.start_with(small());
    let (wanted_spec, wanted) = spec_of(1);
    engine.create_export("acme", &world.by, wanted_spec).unwrap();
    let mut round = 0;
    while engine.export_tick() {
        append(&world, &engine, 0..20);
        engine.flush().unwrap();
        if round % 2 == 1 {
            engine.compact("acme").unwrap();
        }
        round += 1;
    }
    assert!(round > 1);
    check_done(&world, &engine, &wanted, "with flushes");
}

#[test]
fn a_window_of_time_and_no_match_make_one_file_without_records() {
    let world = filled(10);
    let (engine, _) = world.start_with(small());
    let mut nothing = spec("", Format::Csv);
    nothing.to_ns = Some(1_000);
    let info = engine.create_export("acme", &world.by, nothing).unwrap();
    finish(&engine);
    let info = engine.export("acme", &world.by, &info.id).unwrap();
    assert_eq!(
        (info.state, info.written.unwrap().records, info.files.len()),
        (ExportState::Done, 0, 1)
    );
    let file = String::from_utf8(read(&engine, &world.by, &info.id, "part-00000.csv")).unwrap();
    assert_eq!(file.lines().count(), 1, "{file}");
    let mut all = spec("", Format::Ndjson);
    all.from_ns = Some(1_000);
    let info = engine.create_export("acme", &world.by, all).unwrap();
    finish(&engine);
    assert_eq!(lines(&engine, &world.by, &info.id).len(), 400);
}

#[test]
fn an_export_is_changed_by_who_made_it_and_by_admins() {
    let world = filled(12);
    let (engine, _) = world.start_with(small());
    let maker = reader();
    let colleague = principal("another", Role::Reader, Scope::one("acme"));
    let make = || {
        engine
            .create_export("acme", &maker, spec("", Format::Ndjson))
            .unwrap()
            .id
    };
    let (first, second) = (make(), make());
    for id in [&first, &second] {
        let refused = engine.cancel_export("acme", &colleague, id);
        assert!(matches!(refused, Err(Error::Forbidden)), "{refused:?}");
        let refused = engine.resume_export("acme", &colleague, id);
        assert!(matches!(refused, Err(Error::Forbidden)), "{refused:?}");
        let refused = engine.delete_export("acme", &colleague, id);
        assert!(matches!(refused, Err(Error::Forbidden)), "{refused:?}");
    }
    finish(&engine);
    assert_eq!(lines(&engine, &colleague, &first).len(), 400);
    engine.delete_export("acme", &maker, &first).unwrap();
    engine.delete_export("acme", &world.by, &second).unwrap();
}

#[test]
fn who_manages_a_tenant_looks_after_its_exports_without_reading_them() {
    let world = filled(15);
    let (engine, _) = world.start_with(small());
    let manager = principal("m", Role::TenantAdmin, Scope::one("acme"));
    let make = || {
        let spec = spec("actor.id:u3", Format::Ndjson);
        engine.create_export("acme", &world.by, spec).unwrap().id
    };
    let (first, second) = (make(), make());
    assert_eq!(engine.exports("acme", &manager).unwrap().len(), 2);
    let shown = engine.export("acme", &manager, &first).unwrap();
    assert_eq!((shown.spec.query.as_str(), shown.written), ("[personal]", None));
    engine.cancel_export("acme", &manager, &second).unwrap();
    finish(&engine);
    for name in [MANIFEST, NOTE, "part-00000.ndjson"] {
        let refused = engine.export_file("acme", &manager, &first, name);
        assert!(matches!(refused.err(), Some(Error::Forbidden)), "{name}");
    }
    let refused = engine.create_export("acme", &manager, spec("", Format::Ndjson));
    assert!(matches!(refused, Err(Error::Forbidden)), "{refused:?}");
    engine.delete_export("acme", &manager, &first).unwrap();
    engine.delete_export("acme", &manager, &second).unwrap();
}

#[test]
fn every_download_is_logged_with_what_was_taken() {
    let world = filled(16);
    let (engine, _) = world.start_with(small());
    let id = engine
        .create_export("acme", &world.by, spec("", Format::Ndjson))
        .unwrap()
        .id;
    finish(&engine);
    let auditor = principal("a", Role::Auditor, Scope::All);
    let logged = || -> Vec<(String, u64, u64)> {
        let request = crate::search::SearchRequest {
            q: "action:export.download".into(),
            limit: 100,
            order: crate::search::Order::Oldest,
            ..Default::default()
        };
        let found = engine.search("_system", &auditor, &request).unwrap();
        let events = found
            .items
            .iter()
            .map(|view| serde_json::from_str::<serde_json::Value>(&view.event).unwrap());
        events
            .map(|event| {
                let of = &event["metadata"];
                (
                    of["file"].as_str().unwrap().to_owned(),
                    of["first_byte"].as_u64().unwrap(),
                    of["bytes"].as_u64().unwrap(),
                )
            })
            .collect()
    };
    let part = "part-00000.ndjson";
    let find = |name| engine.export_file("acme", &world.by, &id, name).unwrap();
    let length = find(part).len();
    assert_eq!(logged(), [], "looking is no download");
    let _ = find(part).download(&(1..length)).unwrap();
    let _ = find(part).download(&(0..length)).unwrap();
    let _ = find(NOTE).download(&(0..10)).unwrap();
    let expected = [(part, 1, length - 1), (part, 0, length), (NOTE, 0, 10)];
    assert_eq!(
        logged(),
        expected.map(|(name, first, bytes)| (name.to_owned(), first, bytes))
    );
}

#[test]
fn personal_fields_are_for_who_may_see_them_also_at_the_download() {
    let world = filled(11);
    let (engine, _) = world.start_with(small());
    let reader = reader();
    let plain = engine
        .create_export("acme", &reader, spec("", Format::Ndjson))
        .unwrap();
    let personal = engine
        .create_export("acme", &world.by, spec("actor.id:u3", Format::Ndjson))
        .unwrap();
    // Who does not see personal fields does not find anything by them either.
    let probe = engine
        .create_export("acme", &reader, spec("actor.id:u3", Format::Ndjson))
        .unwrap();
    finish(&engine);
    let all = lines(&engine, &reader, &plain.id);
    assert_eq!(all.len(), 400);
    assert!(
        all.iter()
            .all(|line| line["event"]["actor"]["id"] == "[personal]"),
        "{}",
        all[0]
    );
    assert!(lines(&engine, &reader, &probe.id).is_empty());
    let found = lines(&engine, &world.by, &personal.id);
    assert!(found.len() > 50 && found.iter().all(|line| line["event"]["actor"]["id"] == "u3"));
    for name in [MANIFEST, NOTE, "part-00000.ndjson"] {
        let refused = engine.export_file("acme", &reader, &personal.id, name);
        assert!(matches!(refused.err(), Some(Error::Forbidden)), "{name}");
    }
    let refused = engine.delete_export("acme", &reader, &personal.id);
    assert!(matches!(refused, Err(Error::Forbidden)));
    // Hashes and counts would tell a reader what the values are.
    let shown = engine.export("acme", &reader, &personal.id).unwrap();
    assert_eq!(shown.spec.query, "[personal]");
    assert_eq!((shown.written, shown.files), (None, Vec::new()));
    let listed = engine.exports("acme", &reader).unwrap();
    assert!(listed.iter().all(|info| info.written.is_some() != info.personal));
    let shown = engine.export("acme", &world.by, &personal.id).unwrap();
    assert_eq!(shown.spec.query, "actor.id:u3");
    assert_eq!(shown.written.unwrap().records, found.len() as u64);
    assert_eq!(shown.files.len(), 1);
    let other = principal("r", Role::Reader, Scope::one("other"));
    assert!(matches!(
        engine.export("acme", &other, &plain.id),
        Err(Error::UnknownTenant)
    ));
}

#[test]
fn nothing_of_an_export_is_readable_on_the_disk() {
    let world = filled(12);
    let (engine, _) = world.start_with(small());
    let info = engine
        .create_export("acme", &world.by, spec("", Format::Ndjson))
        .unwrap();
    finish(&engine);
    assert_eq!(
        engine.export("acme", &world.by, &info.id).unwrap().state,
        ExportState::Done
    );
    for name in exp_files(&world.disk) {
        let file = world
            .disk
            .open(name.as_ref(), attestore_disk::Mode::Read)
            .unwrap();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        for secret in ["file.read", "example.org", "received_at"] {
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} in {name}");
        }
    }
}

#[test]
fn cancelled_deleted_and_expired_exports_leave_no_file_and_no_key() {
    let world = filled(13);
    let (engine, _) = world.start_with(small());
    let by = &world.by;
    let make = || {
        engine
            .create_export("acme", by, spec("", Format::Ndjson))
            .unwrap()
            .id
    };
    let (cancelled, deleted, expired) = (make(), make(), make());
    // One part of each.
    for _ in 0..3 {
        engine.export_tick();
    }
    assert_eq!(exp_files(&world.disk).len(), 3);
    assert_eq!(
        engine.cancel_export("acme", by, &cancelled).unwrap().state,
        ExportState::Cancelled
    );
    engine.delete_export("acme", by, &deleted).unwrap();
    assert_eq!(exp_files(&world.disk).len(), 1);
    finish(&engine);
    assert!(matches!(
        engine.export("acme", by, &deleted),
        Err(Error::NotFound(_))
    ));
    assert!(matches!(
        engine.cancel_export("acme", by, &expired),
        Err(Error::Conflict { .. })
    ));
    assert!(engine.export_file("acme", by, &expired, MANIFEST).is_ok());
    let gone = engine.export_file("acme", by, &cancelled, MANIFEST);
    assert!(matches!(gone.err(), Some(Error::Erased(_))));
    world.clock.advance_ms(25 * 3_600_000);
    finish(&engine);
    assert_eq!(
        engine.export("acme", by, &expired).unwrap().state,
        ExportState::Expired
    );
    let gone = engine.export_file("acme", by, &expired, "part-00000.ndjson");
    assert!(matches!(gone.err(), Some(Error::Erased(_))));
    assert_eq!(exp_files(&world.disk), Vec::<String>::new());
    drop(engine);
    let (engine, _) = world.start_with(small());
    let states: Vec<_> = engine
        .exports("acme", by)
        .unwrap()
        .into_iter()
        .map(|info| info.state)
        .collect();
    assert_eq!(states.len(), 2, "{states:?}");
    world.clock.advance_ms(8 * 24 * 3_600_000);
    finish(&engine);
    assert!(engine.exports("acme", by).unwrap().is_empty());
}

#[test]
fn limits_hold() {
    let world = filled(14);
    let settings = Settings {
        export_jobs_max: 2,
        export_bytes_max: 150 << 10,
        ..small()
    };
    let (engine, _) = world.start_with(settings.clone());
    let by = &world.by;
    let make = || engine.create_export("acme", by, spec("", Format::Ndjson));
    let first = make().unwrap().id;
    make().unwrap();
    assert!(matches!(
        make(),
        Err(Error::TooMany {
            code: "too_many_exports",
            ..
        })
    ));
    finish(&engine);
    let info = engine.export("acme", by, &first).unwrap();
    assert_eq!(info.state, ExportState::Failed);
    assert_eq!(info.fault.unwrap().code, "export_bytes");
    engine.delete_export("acme", by, &first).unwrap();
    assert!(make().is_ok());
    drop(engine);
    // Without room a job fails, says so, and goes on when there is some.
    world.disk.set_capacity(64 << 20);
    let (engine, _) = world.start_with(Settings {
        export_part_bytes: 256 << 20,
        ..small()
    });
    finish(&engine);
    let failed = engine.exports("acme", by).unwrap().remove(0);
    assert_eq!(failed.fault.unwrap().code, "no_space");
    drop(engine);
    let (engine, _) = world.start_with(small());
    engine.resume_export("acme", by, &failed.id).unwrap();
    finish(&engine);
    assert_eq!(lines(&engine, by, &failed.id).len(), 400);
}

#[test]
fn what_cannot_be_exported_is_refused_when_it_is_asked_for() {
    let world = filled(15);
    let (engine, _) = world.start_with(small());
    let refused = |spec| engine.create_export("acme", &world.by, spec).unwrap_err();
    assert!(matches!(
        refused(spec("action:(", Format::Ndjson)),
        Error::Query { .. }
    ));
    let mut fields = spec("", Format::Csv);
    fields.fields = Some(vec!["nothing".into()]);
    assert_eq!(refused(fields.clone()).code(), "invalid_fields");
    fields.format = Format::Ocsf;
    fields.fields = Some(vec!["action".into()]);
    assert_eq!(refused(fields).code(), "invalid_export");
    if !cfg!(feature = "parquet") {
        assert_eq!(refused(spec("", Format::Parquet)).code(), "format_not_available");
    }
    let admin = principal("a", Role::Admin, Scope::All);
    let by_admin = engine.create_export("acme", &admin, spec("", Format::Ndjson));
    assert!(matches!(by_admin, Err(Error::Forbidden)));
    assert!(matches!(
        engine.export("acme", &world.by, "zz"),
        Err(Error::NotFound(_))
    ));
}

#[test]
fn fsck_reads_every_file_of_an_export() {
    let world = filled(16);
    let (engine, _) = world.start_with(small());
    let info = engine
        .create_export("acme", &world.by, spec("", Format::Ndjson))
        .unwrap();
    finish(&engine);
    assert_eq!(
        engine.export("acme", &world.by, &info.id).unwrap().state,
        ExportState::Done
    );
    engine.close().unwrap();
    drop(engine);
    let check = || crate::check::fsck(&world.parts(), &mut |_, _, _| {}).unwrap();
    let report = check();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    let file = exp_files(&world.disk).remove(0);
    world.disk.flip(&file, 700, 1).unwrap();
    let report = check();
    assert!(
        report
            .problems
            .iter()
            .any(|problem| problem.path.to_string_lossy() == file)
    );
}
