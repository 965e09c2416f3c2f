//! Evidence bundles: made by the engine, checked by what outsiders check with.

use attestore_record::Kind;
use attestore_record::control::{Control, Erasable, RetentionMode, RetentionPolicy};
use attestore_tlog::{CosignerKey, Policy, VerifierKey};
use attestore_verify::Trust;
use attestore_verify::bundle::{BundleOptions, BundleReport, verify_bundle};

use super::*;
use crate::append::append_control;
use crate::read::Which;

fn bundle(scope: EvidenceScope) -> ExportSpec {
    ExportSpec {
        evidence: Evidence {
            scope,
            ..Evidence::default()
        },
        ..spec("", Format::Evidence)
    }
}

fn range(first: u64, end: u64) -> ExportSpec {
    bundle(EvidenceScope::Range { first, end })
}

fn check(engine: &Engine, bytes: &[u8]) -> BundleReport {
    let key: VerifierKey = engine.vkey("acme").unwrap().parse().unwrap();
    verify_bundle(bytes, &Trust::Key(key), BundleOptions::default()).unwrap()
}

/// Makes an export; returns what is shown of it and its one file.
fn made(engine: &Engine, by: &Principal, spec: ExportSpec) -> (ExportInfo, Vec<u8>) {
    let info = engine.create_export("acme", by, spec).unwrap();
    finish(engine);
    let info = engine.export("acme", by, &info.id).unwrap();
    assert_eq!(info.state, ExportState::Done, "{:?}", info.fault);
    let [file] = &info.files[..] else {
        panic!("{:?}", info.files)
    };
    assert_eq!(file.name, format!("{}.evidence", info.id));
    let bytes = read(engine, by, &info.id, &file.name);
    assert_eq!(sha256_hex(&bytes), file.sha256);
    (info, bytes)
}

fn failed(engine: &Engine, by: &Principal, spec: ExportSpec) -> String {
    let info = engine.create_export("acme", by, spec).unwrap();
    finish(engine);
    let info = engine.export("acme", by, &info.id).unwrap();
    assert_eq!(info.state, ExportState::Failed);
    info.fault.unwrap().code
}

#[test]
fn named_records_and_matches_verify_with_their_groups() {
    let world = filled(20);
    let (engine, _) = world.start_with(small());
    let by = &world.by;
    let id = engine.get("acme", by, Which::Seq(350)).unwrap().id;
    let named = [Which::Seq(7), Which::Id(id), Which::Seq(7), Which::Seq(2)];
    let seqs = engine.export_records("acme", by, &named).unwrap();
    assert_eq!(seqs, [2, 7, 350]);
    let (info, bytes) = made(&engine, by, bundle(EvidenceScope::Records(seqs)));
    let written = info.written.unwrap();
    assert_eq!((written.records, written.records_expected), (3, Some(3)));
    let report = check(&engine, &bytes);
    assert_eq!((report.records, report.size, report.proofs), (3, 400, 3));
    assert_eq!((report.groups_opened, report.groups_withheld), (3, 0));
    // Manifest and note are those in the bundle.
    let manifest = read(&engine, by, &info.id, MANIFEST);
    assert!(bytes.windows(manifest.len()).any(|some| some == manifest));
    let manifest: Manifest = serde_json::from_slice(&manifest).unwrap();
    assert_eq!((manifest.export, manifest.records), (info.id.clone(), 3));
    let note = String::from_utf8(read(&engine, by, &info.id, NOTE)).unwrap();
    SignedNote::open(&note, &engine.vkey("acme").unwrap().parse().unwrap()).unwrap();

    let (_, bytes) = made(&engine, by, spec("actor.id:u3", Format::Evidence));
    let report = check(&engine, &bytes);
    assert_eq!(report.records, (0..400).filter(|seq| seq % 7 == 3).count() as u64);
    assert_eq!(report.unproved_query.as_deref(), Some("actor.id:u3"));
    let (_, bytes) = made(&engine, by, spec("", Format::Evidence));
    assert_eq!(check(&engine, &bytes).records, 400);
    assert_eq!(
        failed(&engine, by, spec("actor.id:nobody", Format::Evidence)),
        "no_records"
    );
    assert_eq!(exp_files(&world.disk).len(), 3);
}

#[test]
fn a_range_is_complete_and_has_every_policy_beside_it() {
    let world = World::new(21);
    let (engine, _) = world.start_with(small());
    let tenant = world.tenant(&engine, "acme");
    let policy = |class: u16| {
        let policy = Control::RetentionPolicy(RetentionPolicy {
            class,
            name: "short".into(),
            keep_min_ms: 0,
            keep_max_ms: Some(1),
            basis: "contract".into(),
            mode: RetentionMode::None,
            erasable: Erasable::No,
            approved_by: vec![],
        });
        append_control(&engine.inner, &tenant, "system", Kind::Policy, &policy).unwrap()
    };
    let other = serde_json::json!({"type": "notice"});
    append(&world, &engine, 0..50);
    policy(1);
    append_control(&engine.inner, &tenant, "system", Kind::Incident, &other).unwrap();
    append(&world, &engine, 0..50);
    engine.flush().unwrap();
    policy(2);
    append(&world, &engine, 0..20);
    policy(3);
    // 0 … 49, policy, incident, 52 … 101, policy 102, 103 … 122, policy 123
    let (info, bytes) = made(&engine, &world.by, range(60, 110));
    assert_eq!(info.read, info.tree_size);
    let report = check(&engine, &bytes);
    assert!(report.is_sound(), "{report:?}");
    let found = report.range.unwrap();
    assert_eq!((found.first_seq, found.end_seq, found.opened), (60, 110, 50));
    assert_eq!((report.records, report.control_records), (52, 3));
    let (_, bytes) = made(&engine, &world.by, range(0, 124));
    let report = check(&engine, &bytes);
    assert_eq!((report.records, report.control_records), (124, 4));
    assert!(matches!(
        engine.create_export("acme", &world.by, range(0, 125)),
        Err(Error::BeyondTree { size: 124 })
    ));
}

#[test]
fn who_may_not_see_personal_fields_gets_a_bundle_that_verifies_without_them() {
    let world = filled(22);
    let (engine, _) = world.start_with(small());
    let reader = reader();
    let (_, bytes) = made(&engine, &reader, range(290, 310));
    let report = check(&engine, &bytes);
    assert!(report.is_sound());
    assert_eq!((report.groups_opened, report.groups_withheld), (0, 20));
    let secret = |bytes: &[u8]| bytes.windows(12).any(|some| some == b"@example.org");
    assert!(!secret(&bytes));
    let (info, bytes) = made(&engine, &world.by, bundle(EvidenceScope::Records(vec![290, 310])));
    assert_eq!(check(&engine, &bytes).groups_opened, 2);
    assert!(secret(&bytes));
    // Which ones an investigator chose is not told to others, nor is the file theirs.
    let shown = engine.export("acme", &reader, &info.id).unwrap();
    assert_eq!(shown.spec.evidence.scope, EvidenceScope::Records(Vec::new()));
    assert!(shown.files.is_empty() && shown.written.is_none());
    assert!(matches!(
        engine.export_file("acme", &reader, &info.id, &format!("{}.evidence", info.id)),
        Err(Error::Forbidden)
    ));
}

#[test]
fn a_witnessed_bundle_is_about_what_witnesses_have_seen() {
    let world = World::new(23);
    let (engine, _) = world.start_with(small());
    world.tenant(&engine, "acme");
    append(&world, &engine, 0..40);
    let witnessed = |scope| {
        let mut spec = bundle(scope);
        spec.evidence.witnessed = true;
        spec
    };
    let refused = |spec| {
        let refused = engine.create_export("acme", &world.by, spec);
        assert!(
            matches!(
                refused,
                Err(Error::Conflict {
                    code: "not_witnessed",
                    ..
                })
            ),
            "{refused:?}"
        );
    };
    refused(witnessed(EvidenceScope::Query));
    let note = engine.checkpoint("acme").unwrap();
    engine.keep_witnessed("acme", &note).unwrap();
    append(&world, &engine, 0..40);
    refused(witnessed(EvidenceScope::Range { first: 30, end: 41 }));
    refused(witnessed(EvidenceScope::Records(vec![40])));
    let mut spec = witnessed(EvidenceScope::Query);
    spec.evidence.policy = Some("quorum none\n".into());
    let (info, bytes) = made(&engine, &world.by, spec);
    assert_eq!(info.tree_size, 40);
    let report = check(&engine, &bytes);
    assert_eq!((report.size, report.records), (40, 40));
    let archive = attestore_verify::bundle::Archive::open(&bytes[..]).unwrap();
    let member = |name| archive.read(archive.find(name).unwrap(), 1 << 20).unwrap();
    assert_eq!(member("checkpoint"), note.as_bytes());
    assert_eq!(member("policy"), b"quorum none\n");
}

#[test]
fn a_proposed_policy_says_who_must_cosign_and_not_where_they_are() {
    let key = |n: u8| {
        let public =
            attestore_keys::SigningKey::from_seed(&attestore_keys::Key::from_bytes([n; 32])).public();
        CosignerKey::ed25519(&format!("w{n}.example/w"), public).unwrap()
    };
    let kept = |url: &str| {
        format!(
            "witness a {}{url}\nwitness b {}\ngroup g 1 a b\nquorum g\n",
            key(1),
            key(2)
        )
    };
    let policy = Policy::parse(kept(" https://inside.example/w").as_bytes()).unwrap();
    let proposed = Evidence::proposed(&policy);
    assert_eq!(proposed, kept(""));
    Policy::parse(proposed.as_bytes()).unwrap();
}

#[test]
fn a_bundle_killed_at_any_operation_is_made_anew() {
    let seed = 24;
    let snapshot = filled(seed).disk.snapshot();
    let mut world = filled_again(seed, &snapshot);
    let wanted = range(250, 400);
    let all = {
        let (engine, _) = world.start_with(small());
        let before = world.disk.op_count();
        made(&engine, &world.by, wanted.clone());
        world.disk.op_count() - before
    };
    assert!(all > 20, "{all} operations");
    for op in 0..all {
        let fault = [Fault::CrashBefore, Fault::CrashTorn, Fault::CrashAfter][(op % 3) as usize];
        let context = format!("seed {seed}, {fault:?} at operation {op} of {all}");
        world.disk = SimDisk::from_snapshot(&snapshot);
        let (engine, _) = world.start_with(small());
        world.disk.fail_at(world.disk.op_count() + op, fault);
        let asked = engine.create_export("acme", &world.by, wanted.clone());
        if asked.is_ok() {
            finish(&engine);
        }
        drop(engine);
        world.disk = world.disk.crash();
        let (engine, _) = world.start_with(small());
        let there = engine.exports("acme", &world.by).unwrap();
        let id = match (asked.is_ok(), there.first()) {
            (true, None) => panic!("{context}: the export is gone"),
            (false, None) => {
                engine
                    .create_export("acme", &world.by, wanted.clone())
                    .unwrap()
                    .id
            }
            (_, Some(info)) => info.id.clone(),
        };
        finish(&engine);
        let info = engine.export("acme", &world.by, &id).unwrap();
        assert_eq!(info.state, ExportState::Done, "{context}: {:?}", info.fault);
        let report = check(&engine, &read(&engine, &world.by, &id, &info.files[0].name));
        assert!(
            report.is_sound() && report.records == 150,
            "{context}: {report:?}"
        );
        assert_eq!(exp_files(&world.disk).len(), 1, "{context}");
    }
}

#[test]
fn a_bundle_that_grows_beyond_the_limit_fails_and_leaves_nothing() {
    let world = filled(25);
    let settings = Settings {
        export_part_bytes: 1 << 10,
        export_bytes_max: 64 << 10,
        ..small()
    };
    let (engine, _) = world.start_with(settings);
    assert_eq!(failed(&engine, &world.by, range(0, 400)), "export_bytes");
    assert_eq!(exp_files(&world.disk), Vec::<String>::new());
    let id = engine.exports("acme", &world.by).unwrap().remove(0).id;
    drop(engine);
    let (engine, _) = world.start_with(small());
    engine.resume_export("acme", &world.by, &id).unwrap();
    finish(&engine);
    let info = engine.export("acme", &world.by, &id).unwrap();
    assert_eq!(
        check(&engine, &read(&engine, &world.by, &id, &info.files[0].name)).records,
        400
    );
    // Sealed: not even the names of members are readable.
    let path = exp_files(&world.disk).remove(0);
    let file = world
        .disk
        .open(path.as_ref(), attestore_disk::Mode::Read)
        .unwrap();
    let mut sealed = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut sealed, 0).unwrap();
    assert!(!sealed.windows(11).any(|some| some == b"records.bin"));
    engine.delete_export("acme", &world.by, &id).unwrap();
    assert_eq!(exp_files(&world.disk), Vec::<String>::new());
}

#[test]
fn wishes_that_no_bundle_can_meet_are_refused() {
    let world = filled(26);
    let (engine, _) = world.start_with(small());
    let refused = |spec: ExportSpec, code: &str| {
        let error = engine.create_export("acme", &world.by, spec).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    };
    refused(range(5, 5), "invalid_export");
    refused(bundle(EvidenceScope::Records(Vec::new())), "invalid_export");
    refused(bundle(EvidenceScope::Records(vec![3, 3])), "invalid_export");
    refused(
        bundle(EvidenceScope::Records((0..1001).collect())),
        "invalid_export",
    );
    refused(bundle(EvidenceScope::Records(vec![400])), "beyond_tree");
    for (query, from_ns) in [("action:a", None), ("", Some(1))] {
        let spec = ExportSpec {
            query: query.into(),
            from_ns,
            ..range(0, 5)
        };
        refused(spec, "invalid_export");
    }
    let ndjson = ExportSpec {
        format: Format::Ndjson,
        ..range(0, 5)
    };
    refused(ndjson, "invalid_export");
    let packed = ExportSpec {
        compression: Compression::Zstd,
        ..range(0, 5)
    };
    refused(packed, "invalid_export");
    let missing = engine.export_records("acme", &world.by, &[Which::Seq(400)]);
    assert!(matches!(missing, Err(Error::UnknownRecord)));
}

#[test]
fn a_damaged_log_gives_no_bundle_and_says_where() {
    let world = filled(27);
    let path = |end: &str| {
        let paths = world.disk.paths().into_iter();
        paths
            .filter(|path| path.to_string_lossy().ends_with(end))
            .min()
            .unwrap()
    };
    // The entry of a record beside those that are wanted: the proof would need its hash.
    let entries = path("/entries");
    world.disk.flip(&entries, 44 * 100 + 20, 1).unwrap();
    let (engine, _) = world.start_with(small());
    let wanted = || bundle(EvidenceScope::Records(vec![101, 102]));
    let info = engine.create_export("acme", &world.by, wanted()).unwrap();
    finish(&engine);
    let fault = engine.export("acme", &world.by, &info.id).unwrap().fault.unwrap();
    assert_eq!(fault.code, "damaged");
    assert!(fault.message.contains("root"), "{}", fault.message);
    world.disk.flip(&entries, 44 * 100 + 20, 1).unwrap();
    // The file of entries cannot be read.
    world.disk.read_error_at(&entries, 44 * 100..44 * 101).unwrap();
    assert_ne!(failed(&engine, &world.by, wanted()), "damaged");
    world.disk.clear_read_errors();
    made(&engine, &world.by, wanted());
    assert_eq!(exp_files(&world.disk).len(), 1);
}
