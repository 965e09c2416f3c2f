//! What was let go of behind a backup does not come back with it.

use attestore_record::control::RetentionMode;

use super::*;
use crate::credentials::{CredentialSpec, Role, Scope};
use crate::forget::Person;
use crate::forget::destroy::DestroyOrder;
use crate::forget::erase::{ErasureRequest, RecordErasure};
use crate::testing::{append_as, set_policy};
use crate::{Error, SYSTEM_TENANT};

const CANARY: &str = "zq7canary0ann";

fn about(number: u32) -> String {
    format!(
        r#"{{"action":"file.read","actor":{{"type":"user","id":"{CANARY}","name":"{CANARY}-name"}},"metadata":{{"n":{number}}}}}"#
    )
}

/// Erases somebody, to the end.
pub(super) fn erase(site: &Site, engine: &Engine, id: &str) -> String {
    let request = ErasureRequest {
        subjects: vec![Person {
            ty: "user".to_owned(),
            id: id.to_owned(),
        }],
        basis: "Art. 17 GDPR".to_owned(),
        undo_s: 0,
    };
    let info = engine.erase("acme", &site.world.by, &request).unwrap();
    for _ in 0..4 {
        engine.tick();
    }
    info.id
}

fn has_canary(bytes: &[u8]) -> bool {
    bytes
        .windows(CANARY.len())
        .any(|window| window == CANARY.as_bytes())
}

fn said(events: &[String]) -> usize {
    events.iter().filter(|event| has_canary(event.as_bytes())).count()
}

fn all(engine: &Engine, site: &Site) -> Vec<String> {
    events(site, engine, "acme")
}

#[test]
fn who_was_erased_behind_a_backup_stays_erased() {
    let site = Site::new(20);
    let engine = filled(&site);
    // In files, and in the log only.
    site.world.append(&engine, "acme", &[about(1), event(1)]);
    engine.flush().unwrap();
    site.world.append(&engine, "acme", &[about(2)]);
    assert_eq!(said(&all(&engine, &site)), 2, "the check finds it before");
    site.backup(&engine);
    let id = erase(&site, &engine, CANARY);
    assert_eq!(said(&all(&engine, &site)), 0);
    let certificate = engine.erasure_certificate("acme", &site.world.by, &id).unwrap();
    let decoded: serde_json::Value = serde_json::from_str(&certificate).unwrap();
    let payload = decoded["payload"].as_str().unwrap();
    let payload = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, payload).unwrap();
    let payload = String::from_utf8(payload).unwrap();
    assert!(payload.contains("\"escrow_window_s\":604800"), "{payload}");
    assert!(payload.contains("\"ledger_entries\":1"), "{payload}");
    engine.close().unwrap();

    let disk = SimDisk::new(52);
    let restored = site.restore(&disk, &RestoreSpec::default()).unwrap();
    assert_eq!((restored.ledger, restored.again.subjects), (1, 1));
    let engine = site.try_open(&disk).unwrap();
    let events = all(&engine, &site);
    assert_eq!(said(&events), 0, "{events:?}");
    assert!(events.len() > 123);
    sound(&engine, "acme");
    for _ in 0..4 {
        engine.tick();
    }
    let erasures = engine.erasures("acme", &site.world.by).unwrap();
    assert_eq!(erasures.len(), 1);
    assert!(erasures[0].certificate.is_some(), "{erasures:?}");
    engine.close().unwrap();
    assert_eq!(fsck(&site, &disk), Vec::<String>::new());
}

#[test]
fn a_restore_that_did_not_come_to_its_end_is_not_served() {
    // No two of them share a register.
    let made = || {
        let site = Site::new(21);
        let engine = filled(&site);
        site.world.append(&engine, "acme", &[about(1)]);
        site.backup(&engine);
        erase(&site, &engine, CANARY);
        engine.close().unwrap();
        site
    };
    let whole = SimDisk::new(53);
    made().restore(&whole, &RestoreSpec::default()).unwrap();
    for share in 1..8 {
        let (site, disk) = (made(), SimDisk::new(53));
        disk.fail_at(
            whole.op_count() * share / 8,
            attestore_disk::sim::Fault::CrashBefore,
        );
        assert!(site.restore(&disk, &RestoreSpec::default()).is_err());
        let disk = disk.crash();
        let refused = site.try_open(&disk).err().map(|error| error.to_string());
        let refused = refused.expect("nothing is served");
        assert!(refused.contains("has not come to its end"), "{share}: {refused}");
        site.go_on(&disk, &RestoreSpec::default()).unwrap();
        let engine = site.try_open(&disk).unwrap();
        assert_eq!(said(&all(&engine, &site)), 0, "{share}");
    }
}

#[test]
fn a_ledger_that_is_not_the_newest_is_refused_unless_forced() {
    let site = Site::new(22);
    let engine = filled(&site);
    site.world.append(&engine, "acme", &[about(1)]);
    site.backup(&engine);
    erase(&site, &engine, CANARY);
    engine.close().unwrap();
    // As in an old copy of the folder.
    remove(&site.folder, &folder::ledger_path(1));
    let disk = SimDisk::new(54);
    let refused = site.restore(&disk, &RestoreSpec::default());
    let Err(OpenError::Damage { reason, .. }) = &refused else {
        panic!("{refused:?}");
    };
    assert!(reason.contains("the ledger is not the newest"), "{reason}");
    assert!(site.try_open(&disk).is_err());
    let forced = RestoreSpec {
        without_ledger: Some("the folder burnt down".to_owned()),
        ..RestoreSpec::default()
    };
    site.go_on(&disk, &forced).unwrap();
    let engine = site.try_open(&disk).unwrap();
    let said = events(&site, &engine, SYSTEM_TENANT);
    assert!(
        said.iter().any(|event| event.contains("the folder burnt down")),
        "{said:?}"
    );
}

#[test]
fn a_ledger_with_a_gap_is_refused() {
    let site = Site::new(23);
    let engine = filled(&site);
    site.backup(&engine);
    erase(&site, &engine, "u1");
    erase(&site, &engine, "u2");
    engine.close().unwrap();
    remove(&site.folder, &folder::ledger_path(1));
    let refused = site.restore(&SimDisk::new(55), &RestoreSpec::default());
    assert!(matches!(refused, Err(OpenError::Damage { .. })), "{refused:?}");
}

#[test]
fn records_tenants_and_credentials_that_went_stay_gone() {
    let site = Site::new(24);
    let engine = filled(&site);
    let tenant = engine.inner.tenant("acme").unwrap();
    append_as(&engine, &tenant, 1, &[event(1), event(2), event(3)]);
    engine.flush().unwrap();
    let spec = CredentialSpec {
        name: "reader".to_owned(),
        roles: vec![Role::Reader],
        tenants: Scope::All,
        networks: Vec::new(),
        expires_at_ms: None,
    };
    let (credential, secret) = engine.create_credential(spec, &site.world.by).unwrap();
    site.backup(&engine);
    // The policy comes behind the backup too.
    set_policy(&engine, &tenant, 1, (0, None), RetentionMode::None);
    let erasure = RecordErasure {
        seqs: [123, 124].into(),
        basis: "classified by mistake".to_owned(),
        bypass: false,
    };
    engine.erase_records("acme", &site.world.by, &erasure).unwrap();
    let order = DestroyOrder {
        confirm: "small".into(),
        reason: "the contract ended".into(),
        bypass: false,
    };
    engine.destroy_tenant("small", &site.world.by, &order).unwrap();
    engine.revoke_credential(&credential.id, &site.world.by).unwrap();
    engine.close().unwrap();

    let disk = SimDisk::new(56);
    let restored = site.restore(&disk, &RestoreSpec::default()).unwrap();
    let again = restored.again;
    assert_eq!(
        (again.records, again.tenants, again.credentials),
        (2, 1, 1),
        "{restored:?}"
    );
    let engine = site.try_open(&disk).unwrap();
    assert!(matches!(engine.tenant("small"), Err(Error::UnknownTenant)));
    for seq in [123, 124] {
        let gone = engine.get("acme", &site.world.by, Which::Seq(seq));
        assert!(matches!(gone, Err(Error::Gone { .. })), "{seq}: {gone:?}");
    }
    engine.get("acme", &site.world.by, Which::Seq(122)).unwrap();
    assert!(engine.authenticate(secret.expose()).is_none());
    assert_eq!(engine.purge_tick().unwrap(), 0);
    for _ in 0..4 {
        engine.tick();
    }
    sound(&engine, "acme");
    engine.close().unwrap();
    assert_eq!(fsck(&site, &disk), Vec::<String>::new());
}

#[test]
fn what_a_folder_holds_of_who_was_erased_opens_with_its_own_key_only() {
    let site = Site::new(25);
    let engine = filled(&site);
    site.world.append(&engine, "acme", &[about(1)]);
    engine.flush().unwrap();
    site.backup(&engine);
    for path in site.folder.paths() {
        assert!(!has_canary(&bytes(&site.folder, &path)), "{}", path.display());
    }
    erase(&site, &engine, CANARY);
    // A newer one does not have it any more; once it is the only one, nothing does.
    site.world.clock.advance_ms(8 * DAY_MS);
    site.backup(&engine);
    assert_eq!(engine.backups(&site.world.by).unwrap().len(), 1);
    let report = site.verify();
    assert_eq!((report.problems.len(), report.leftovers), (0, 0));
    engine.close().unwrap();
    let disk = SimDisk::new(57);
    let restored = site.restore(&disk, &RestoreSpec::default()).unwrap();
    assert_eq!(restored.again.subjects, 0, "nothing was left to do");
    let engine = site.try_open(&disk).unwrap();
    assert_eq!(said(&all(&engine, &site)), 0);
}

#[test]
fn a_second_restore_of_the_same_backup_knows_what_was_erased_after_the_first() {
    let site = Site::new(26);
    let engine = filled(&site);
    site.world.append(&engine, "acme", &[about(1)]);
    let old = site.backup(&engine);
    engine.close().unwrap();
    let first = SimDisk::new(58);
    site.restore(&first, &RestoreSpec::default()).unwrap();
    let engine = site.try_open(&first).unwrap();
    assert_eq!(said(&all(&engine, &site)), 1);
    erase(&site, &engine, CANARY);
    engine.close().unwrap();
    let second = SimDisk::new(59);
    let spec = RestoreSpec {
        backup: Some(old.id),
        ..RestoreSpec::default()
    };
    let restored = site.restore(&second, &spec).unwrap();
    assert_eq!(restored.again.subjects, 1);
    let engine = site.try_open(&second).unwrap();
    assert_eq!(said(&all(&engine, &site)), 0);
}
