//! Archives of whole instances: what is in them, what is not, and when they go.

use std::collections::BTreeMap;

use attestore_disk::sim::{Fault, SimDisk};
use attestore_export::{parse_note_text, sha256_hex};
use attestore_tlog::SignedNote;
use attestore_verify::bundle::Archive;
use attestore_verify::verify_tlog_proof;
use serde_json::Value;

use super::*;
use crate::credentials::{Principal, Role};
use crate::exports::FoundFile;
use crate::forget::Person;
use crate::forget::erase::ErasureRequest;
use crate::forget::testing::who;
use crate::testing::World;
use crate::{Engine, Error};

const ANN: &str = "zq7canary0ann";
const BEN: &str = "zq7canary0ben";
const CAT: &str = "zq7canary0cat";

fn officer() -> Principal {
    who("officer", &[Role::PrivacyOfficer])
}

fn person(id: &str) -> Person {
    Person {
        ty: "user".to_owned(),
        id: id.to_owned(),
    }
}

fn request(ids: &[&str]) -> AccessRequest {
    AccessRequest {
        subjects: ids.iter().map(|id| person(id)).collect(),
        kind: AccessKind::Access,
        basis: Some("Art. 15 GDPR".to_owned()),
        expires_in_s: None,
    }
}

/// Events by one, by the other about the first, about both, and about the other only: each value says whom it is about.
fn events() -> Vec<String> {
    let own = |id: &str, n: u32| {
        format!(
            r#"{{"action":"file.read","actor":{{"type":"user","id":"{id}","name":"{id}-name","email":"{id}@example.org"}},"context":{{"ip":"203.0.113.77","user_agent":"{id}-agent"}},"targets":[{{"type":"file","id":"f{n}"}}],"data_categories":["hr"],"metadata":{{"n":{n}}}}}"#
        )
    };
    vec![
        own(ANN, 0),
        own(BEN, 1),
        // What Ben did to Ann.
        format!(
            r#"{{"action":"customer.update","actor":{{"type":"user","id":"{BEN}","email":"{BEN}@example.org"}},"targets":[{{"type":"user","id":"{ANN}","name":"{ANN}-target"}}],"changes":[{{"path":"/mail","old":"{ANN}-{BEN}-old","new":"{BEN}-new"}}],"data_subjects":[{{"type":"user","id":"{ANN}","fields":["/metadata/about"]}}],"metadata":{{"about":"{ANN}-meta"}}}}"#
        ),
        // A person among the targets whom nobody declared.
        format!(
            r#"{{"action":"user.view","actor":{{"type":"user","id":"{ANN}"}},"targets":[{{"type":"user","id":"{CAT}","name":"{CAT}-name"}}]}}"#
        ),
        own(CAT, 4),
        format!(
            r#"{{"action":"job.run","actor":{{"type":"service","id":"cron"}},"data_subjects":[{{"type":"user","id":"{ANN}","fields":["/metadata/a"]}},{{"type":"user","id":"{BEN}","fields":["/metadata/b"]}}],"metadata":{{"a":"{ANN}-payload","b":"{BEN}-payload"}}}}"#
        ),
    ]
}

fn filled(world: &World) -> Engine {
    let engine = world.open(false);
    world.tenant(&engine, "acme");
    world.append(&engine, "acme", &events());
    engine.flush().unwrap();
    world.append(&engine, "acme", &events());
    engine
}

fn finish(engine: &Engine) {
    while engine.export_tick() {}
}

fn asked(engine: &Engine, request: &AccessRequest) -> AccessInfo {
    let info = engine.request_access("acme", &officer(), request).unwrap();
    finish(engine);
    engine.access_request("acme", &officer(), &info.id).unwrap()
}

fn found(engine: &Engine, id: &str) -> Result<FoundFile, Error> {
    engine.access_file("acme", &officer(), id)
}

fn fetched(engine: &Engine, id: &str) -> Vec<u8> {
    let file = found(engine, id).unwrap();
    let length = file.len();
    let file = file.download(&(0..length)).unwrap();
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < length {
        bytes.extend(file.read(bytes.len() as u64, u64::MAX).unwrap());
    }
    assert_eq!(sha256_hex(&bytes), file.sha256());
    bytes
}

/// The members of an archive, whose headers are checked.
fn members(bytes: Vec<u8>) -> BTreeMap<String, Vec<u8>> {
    let archive = Archive::open(&bytes[..]).unwrap();
    let members = archive.members().iter();
    members
        .map(|member| (member.name.clone(), archive.read(member, u64::MAX).unwrap()))
        .collect()
}

fn lines(members: &BTreeMap<String, Vec<u8>>) -> Vec<Value> {
    let text = std::str::from_utf8(&members["records.ndjson"]).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn manifest(engine: &Engine, members: &BTreeMap<String, Vec<u8>>) -> Value {
    let bytes = &members["manifest.json"];
    let vkey = engine.vkey("acme").unwrap();
    let note = std::str::from_utf8(&members["manifest.note"]).unwrap();
    let note = SignedNote::open(note, &vkey.parse().unwrap()).unwrap();
    assert_eq!(parse_note_text(note.text()).unwrap().sha256, sha256_hex(bytes));
    let manifest: Value = serde_json::from_slice(bytes).unwrap();
    for file in manifest["files"].as_array().unwrap() {
        let name = file["name"].as_str().unwrap();
        assert_eq!(file["sha256"], sha256_hex(&members[name]), "{name}");
    }
    manifest
}

/// Whether a value is in bytes, as it is or in one of the ways in which it could be hidden.
fn has(bytes: &[u8], value: &str) -> bool {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    let within = |needle: &[u8]| {
        let low = bytes.to_ascii_lowercase();
        let needle = needle.to_ascii_lowercase();
        low.windows(needle.len()).any(|window| window == needle)
    };
    let utf16: Vec<u8> = value.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let hex = crate::catalog::hex(value.as_bytes());
    // Whatever comes before it, the middle of it has one of three spellings in base64.
    let base64 = (0..3usize).any(|skip| {
        let inner = &value.as_bytes()[skip..value.len() - (value.len() - skip) % 3];
        let text = STANDARD_NO_PAD.encode(inner);
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    });
    within(value.as_bytes()) || within(&utf16) || within(hex.as_bytes()) || base64
}

/// What a proof opens, out of base64.
fn opened(proof: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(proof).unwrap();
    let parsed = attestore_tlog::TlogProof::parse(text).unwrap();
    parsed.extra.unwrap_or_default()
}

#[test]
fn somebody_gets_everything_about_them_and_nothing_about_others() {
    let world = World::new(1);
    let engine = filled(&world);
    let info = asked(&engine, &request(&[ANN]));
    assert_eq!((info.state, info.records), (AccessState::Done, 8), "{info:?}");
    let members = members(fetched(&engine, &info.id));
    for (name, bytes) in &members {
        for other in [BEN, CAT] {
            assert!(!has(bytes, other), "{other} in {name}");
            if name.ends_with(".tlog-proof") {
                assert!(!has(&opened(bytes), other), "{other} opened in {name}");
            }
        }
    }
    let lines = lines(&members);
    let seqs: Vec<u64> = lines.iter().map(|line| line["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [0, 2, 3, 5, 6, 8, 9, 11]);
    let records = &members["records.ndjson"];
    for own in [
        "",
        "-name",
        "@example.org",
        "-agent",
        "-target",
        "-meta",
        "-payload",
    ] {
        assert!(has(records, &format!("{ANN}{own}")), "{own}");
        let report = &members["report.html"];
        assert!(has(report, &format!("{ANN}{own}")), "{own} in the report");
    }
    assert!(!has(records, &format!("{ANN}-{BEN}-old")));
    let updated = &lines[1];
    assert_eq!(updated["event"]["actor"]["id"], "[third party]");
    assert_eq!(updated["event"]["changes"][0]["old"], "[shared]");
    let why = |line: &Value| -> Vec<String> {
        let withheld = line["withheld"].as_array().unwrap().iter();
        withheld
            .map(|one| one["why"].as_str().unwrap().to_owned())
            .collect()
    };
    let mut withheld = why(updated);
    withheld.sort();
    assert_eq!(withheld, ["shared", "third_party"]);
    assert_eq!(lines[2]["event"]["targets"][0]["id"], "[third party]");
    assert_eq!(lines[2]["concealed"].as_array().unwrap().len(), 2);

    let manifest = manifest(&engine, &members);
    assert_eq!(manifest["subjects"][0]["id"], ANN);
    assert_eq!(manifest["records"], 8);
    assert_eq!(manifest["shared_records"], serde_json::json!([2, 8]));
    assert_eq!(manifest["retention"][0]["policy"], Value::Null);
    assert_eq!(manifest["sources"][0]["protocol"], "native");
    assert_eq!(manifest["categories"][0]["name"], "hr");
    assert_eq!(manifest["restricted"], false);
    assert_eq!(
        manifest["proofs"],
        serde_json::json!({"opened": 6, "entries_only": 2})
    );
    assert_eq!(manifest["purposes"], "unknown to this system");
}

#[test]
fn what_senders_wrote_is_text_on_the_page_for_people() {
    let world = World::new(9);
    let engine = world.open(false);
    world.tenant(&engine, "acme");
    let hostile = "</td><script>alert(1)</script><img src=x onerror=alert(2)>\u{202e}\"'&amp;";
    let event = serde_json::json!({
        "action": "user.update",
        "actor": {"type": "user", "id": ANN, "name": hostile, "email": hostile},
        "context": {"user_agent": hostile},
        "data_subjects": [{"type": "user", "id": ANN, "fields": ["/metadata"]}],
        "data_categories": ["hr"],
        "metadata": {hostile: hostile, "nested": {"<b>": [hostile, {"</table>": hostile}]}},
    });
    world.append(&engine, "acme", &[event.to_string()]);
    let info = asked(&engine, &request(&[ANN]));
    let members = members(fetched(&engine, &info.id));
    let records = String::from_utf8(members["records.ndjson"].clone()).unwrap();
    assert!(records.contains("<script>alert(1)"), "{records}");
    let report = String::from_utf8(members["report.html"].clone()).unwrap();
    assert!(report.contains("&lt;script&gt;alert(1)"), "{report}");
    for tag in ["<script", "<img", "<b>&", "</td><s", "\u{202e}"] {
        assert!(!report.contains(tag), "{tag} in {report}");
    }
    assert_eq!(
        report.matches("</table>").count(),
        report.matches("<table").count()
    );
}

#[test]
fn its_proofs_verify_with_the_key_of_the_log() {
    let world = World::new(2);
    let engine = filled(&world);
    let info = asked(&engine, &request(&[ANN]));
    let members = members(fetched(&engine, &info.id));
    let vkey = engine.vkey("acme").unwrap();
    let proofs: Vec<_> = members
        .iter()
        .filter(|(name, _)| name.ends_with(".tlog-proof"))
        .collect();
    assert_eq!(proofs.len(), 8);
    let mut whole = 0;
    for (name, proof) in proofs {
        let verified = verify_tlog_proof(std::str::from_utf8(proof).unwrap(), &vkey);
        match opened(proof).is_empty() {
            // Nothing but that the entry is there.
            true => assert!(name.contains("/3.") || name.contains("/9."), "{name}"),
            false => {
                whole += 1;
                verified.unwrap_or_else(|error| panic!("{name}: {error:?}"));
            }
        }
    }
    assert_eq!(whole, 6);
}

#[test]
fn portability_is_what_they_did_themselves() {
    let world = World::new(3);
    let engine = filled(&world);
    let info = asked(
        &engine,
        &AccessRequest {
            kind: AccessKind::Portability,
            ..request(&[ANN])
        },
    );
    let members = members(fetched(&engine, &info.id));
    let names: Vec<&str> = members.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["manifest.json", "manifest.note", "records.ndjson", "schema.json"]
    );
    let seqs: Vec<u64> = lines(&members)
        .iter()
        .map(|line| line["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(seqs, [0, 3, 6, 9]);
    assert_eq!(manifest(&engine, &members)["kind"], "portability");
}

#[test]
fn one_download_is_all_there_is_and_leaves_nothing_behind() {
    let world = World::new(4);
    let engine = filled(&world);
    let info = asked(&engine, &request(&[ANN]));
    let (first, second) = (
        found(&engine, &info.id).unwrap(),
        found(&engine, &info.id).unwrap(),
    );
    assert!(first.is_once());
    let length = first.len();
    let file = first.download(&(0..length)).unwrap();
    // Before its first byte was read.
    assert!(files(&world).is_empty());
    assert!(!file.read(0, 10).unwrap().is_empty());
    for late in [
        second.download(&(0..length)).err(),
        found(&engine, &info.id).err(),
    ] {
        assert!(
            matches!(
                late,
                Some(Error::Conflict {
                    code: "already_fetched",
                    ..
                })
            ),
            "{late:?}"
        );
    }
    let shown = engine.access_request("acme", &officer(), &info.id).unwrap();
    assert_eq!(
        (shown.state, shown.fetched_by.as_deref()),
        (AccessState::Fetched, Some("officer"))
    );
    let rows = engine.inner.catalog.read().unwrap();
    let tenant = engine.inner.tenant("acme").unwrap();
    let row = crate::exports::row::jobs(&rows, &tenant.id).unwrap().remove(0).1;
    assert!(row.slot.is_none() && row.access.unwrap().sealed.is_none());
}

#[test]
fn who_is_unknown_and_who_was_erased_look_the_same() {
    let world = World::new(6);
    let engine = filled(&world);
    let refused = |id: &str| {
        engine
            .request_access("acme", &officer(), &request(&[id]))
            .unwrap_err()
    };
    let unknown = refused("nobody").to_string();
    let erase = ErasureRequest {
        subjects: vec![person(ANN)],
        basis: "Art. 17 GDPR".to_owned(),
        undo_s: 0,
    };
    engine.erase("acme", &world.by, &erase).unwrap();
    assert_eq!(refused(ANN).to_string(), unknown);
    engine.tick();
    assert_eq!(refused(ANN).to_string(), unknown);
    // Others see of the erased one nothing either.
    let info = asked(&engine, &request(&[BEN]));
    let members = members(fetched(&engine, &info.id));
    assert!(members.values().all(|bytes| !has(bytes, ANN)));
    let lines = lines(&members);
    assert!(
        lines
            .iter()
            .any(|line| line["withheld"].to_string().contains("erased"))
    );
}

#[test]
fn an_erasure_takes_the_archive_along_also_while_it_is_made_and_no_others() {
    let world = World::new(7);
    let engine = filled(&world);
    let there = asked(&engine, &request(&[ANN]));
    let others = asked(&engine, &request(&[CAT]));
    let waiting = engine
        .request_access("acme", &officer(), &request(&[ANN]))
        .unwrap();
    let erase = ErasureRequest {
        subjects: vec![person(ANN)],
        basis: "Art. 17 GDPR".to_owned(),
        undo_s: 3600,
    };
    engine.erase("acme", &world.by, &erase).unwrap();
    finish(&engine);
    for id in [&there.id, &waiting.id] {
        let info = engine.access_request("acme", &officer(), id).unwrap();
        assert_eq!(info.state, AccessState::Gone);
        assert!(matches!(found(&engine, id), Err(Error::Erased(_))));
    }
    assert!(has(&fetched(&engine, &others.id), CAT));
    assert!(files(&world).is_empty());
}

#[test]
fn restricted_people_get_their_data_and_gone_records_are_not_in_it() {
    let world = World::new(8);
    let engine = filled(&world);
    engine
        .restrict("acme", &world.by, &[person(ANN)], "disputed")
        .unwrap();
    let info = asked(&engine, &request(&[ANN]));
    let before = members(fetched(&engine, &info.id));
    assert!(has(&before["records.ndjson"], &format!("{ANN}@example.org")));
    assert_eq!(manifest(&engine, &before)["restricted"], true);
}

#[test]
fn its_time_ends() {
    let world = World::new(9);
    let engine = filled(&world);
    let info = asked(
        &engine,
        &AccessRequest {
            expires_in_s: Some(60),
            ..request(&[ANN])
        },
    );
    world.clock.advance_ms(59_000);
    assert!(found(&engine, &info.id).is_ok());
    world.clock.advance_ms(2_000);
    assert!(matches!(found(&engine, &info.id), Err(Error::Erased(_))));
    finish(&engine);
    let shown = engine.access_request("acme", &officer(), &info.id).unwrap();
    assert_eq!(shown.state, AccessState::Gone);
    assert!(files(&world).is_empty());
}

#[test]
fn access_requests_are_no_exports_and_need_their_permission() {
    let world = World::new(10);
    let engine = filled(&world);
    let info = asked(&engine, &request(&[ANN]));
    assert!(engine.exports("acme", &world.by).unwrap().is_empty());
    assert!(matches!(
        engine.export("acme", &world.by, &info.id),
        Err(Error::NotFound(_))
    ));
    let name = format!("{}.zip", info.id);
    for name in [name.as_str(), "part-00000.ndjson", "manifest.json"] {
        assert!(engine.export_file("acme", &world.by, &info.id, name).is_err());
    }
    for role in [Role::Admin, Role::Investigator, Role::Auditor, Role::TenantAdmin] {
        let other = who("other", &[role]);
        let refused = engine.request_access("acme", &other, &request(&[ANN]));
        assert!(matches!(refused, Err(Error::Forbidden)), "{role:?}");
        assert!(matches!(
            engine.access_file("acme", &other, &info.id),
            Err(Error::Forbidden)
        ));
    }
    // What `_system` has of who looked for what is not to be had this way.
    let system = crate::SYSTEM_TENANT;
    for roles in [
        &[Role::PrivacyOfficer][..],
        &[Role::PrivacyOfficer, Role::Auditor],
        &[Role::Admin],
    ] {
        let refused = engine.request_access(system, &who("other", roles), &request(&[ANN]));
        assert!(matches!(refused, Err(Error::Forbidden)), "{roles:?}");
    }
    engine
        .delete_access_request("acme", &officer(), &info.id)
        .unwrap();
    assert!(matches!(found(&engine, &info.id), Err(Error::NotFound(_))));
    for (wrong, field) in [
        (
            AccessRequest {
                expires_in_s: Some(1),
                ..request(&[ANN])
            },
            "expires_in_s",
        ),
        (
            AccessRequest {
                basis: Some(String::new()),
                ..request(&[ANN])
            },
            "basis",
        ),
    ] {
        let error = engine.request_access("acme", &officer(), &wrong).unwrap_err();
        assert!(error.to_string().contains(field), "{error}");
    }
}

#[test]
fn killed_at_any_operation_a_request_is_still_finished_by_the_next_start() {
    let seed = 11;
    let filled = {
        let world = World::new(seed);
        drop(filled(&world));
        world.disk.snapshot()
    };
    let again = || {
        let mut world = World::new(seed);
        world.disk = SimDisk::from_snapshot(&filled);
        world
    };
    let all = {
        let world = again();
        let engine = world.open(false);
        let before = world.disk.op_count();
        engine
            .request_access("acme", &officer(), &request(&[ANN]))
            .unwrap();
        finish(&engine);
        world.disk.op_count() - before
    };
    assert!(all > 15, "{all} operations");
    let mut unfinished = 0;
    for op in 0..all {
        let fault = [Fault::CrashBefore, Fault::CrashTorn, Fault::CrashAfter][(op % 3) as usize];
        let context = format!("{fault:?} at operation {op} of {all}");
        let mut world = again();
        let engine = world.open(false);
        world.disk.fail_at(world.disk.op_count() + op, fault);
        let made = engine.request_access("acme", &officer(), &request(&[ANN]));
        if made.is_ok() {
            finish(&engine);
        }
        drop(engine);
        world.disk = world.disk.crash();
        let engine = world.open(false);
        let there = engine.access_requests("acme", &officer()).unwrap();
        let id = match (&made, there.first()) {
            (Ok(made), Some(there)) => {
                assert_eq!(made.id, there.id, "{context}");
                unfinished += u64::from(there.state != AccessState::Done);
                made.id.clone()
            }
            (Ok(_), None) => panic!("{context}: the request is gone"),
            (Err(_), Some(there)) => there.id.clone(),
            (Err(_), None) => continue,
        };
        finish(&engine);
        let shown = engine.access_request("acme", &officer(), &id).unwrap();
        assert_eq!(shown.state, AccessState::Done, "{context}");
        assert_eq!(lines(&members(fetched(&engine, &id))).len(), 8, "{context}");
        assert!(files(&world).is_empty(), "{context}");
    }
    assert!(unfinished > 2, "only {unfinished} went on");
}

#[test]
fn killed_while_it_is_handed_out_the_file_is_there_or_is_gone() {
    let seed = 12;
    for op in 0..12 {
        let mut world = World::new(seed);
        let engine = filled(&world);
        let info = asked(&engine, &request(&[ANN]));
        let file = found(&engine, &info.id).unwrap();
        let length = file.len();
        world.disk.fail_at(world.disk.op_count() + op, Fault::CrashAfter);
        let handed_out = file.download(&(0..length)).is_ok();
        drop(engine);
        world.disk = world.disk.crash();
        let engine = world.open(false);
        finish(&engine);
        let shown = engine.access_request("acme", &officer(), &info.id).unwrap();
        match shown.state {
            AccessState::Done => {
                assert!(!handed_out, "handed out, and there again: operation {op}");
                assert_eq!(fetched(&engine, &info.id).len() as u64, length);
            }
            state => {
                assert_eq!(state, AccessState::Fetched, "operation {op}");
                assert!(files(&world).is_empty(), "operation {op}");
            }
        }
    }
}

/// Files of jobs on the disk.
fn files(world: &World) -> Vec<std::path::PathBuf> {
    let mut paths = world.disk.paths();
    paths.retain(|path| path.to_string_lossy().contains(".exp"));
    paths
}
