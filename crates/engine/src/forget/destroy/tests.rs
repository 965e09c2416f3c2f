//! Tenants are destroyed on whole instances: nothing of them is left, others are as they were, and `_system` tells of it.

mod crash;
mod rules;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use attestore_disk::{Disk, Mode as FileMode};
use attestore_export::{Compression, Format};
use attestore_record::Kind;
use attestore_tlog::VerifierKey;
use attestore_verify::Trust;
use attestore_verify::statement::verify_statement;

use super::{DestroyOrder, DestroyedState, DestroyedTenant};
use crate::append::{Mode, append_control};
use crate::catalog::{by_tenant, tables, tenant_rows};
use crate::credentials::{CredentialSpec, Principal, Role, Scope};
use crate::exports::{Evidence, ExportSpec};
use crate::follow::Start;
use crate::quotas::Quota;
use crate::read::Which;
use crate::search::SearchRequest;
use crate::searches::SearchSpec;
use crate::tenant::Tenant;
use crate::testing::{World, event, settings};
use crate::{Engine, Error, Permission, SYSTEM_TENANT, Settings};

fn order() -> DestroyOrder {
    DestroyOrder {
        confirm: "acme".into(),
        reason: "the contract ended".into(),
        bypass: false,
    }
}

fn eager() -> Settings {
    Settings {
        indexing: true,
        ..settings()
    }
}

fn open(world: &World) -> Engine {
    world.start_with(eager()).0
}

/// Two tenants whose records lie in the same files of the log and in the same shared file, with something in many tables.
fn filled(world: &World) -> Engine {
    let engine = open(world);
    for name in ["acme", "other"] {
        let tenant = world.tenant(&engine, name);
        let events: Vec<String> = (0..10).map(event).collect();
        world.append(&engine, name, &events);
        let by = &world.by;
        let search = serde_json::json!({ "name": "seen", "query": "actor.id:u1" });
        let search: SearchSpec = serde_json::from_value(search).unwrap();
        engine.save_search(name, by, search).unwrap();
        let quota = Quota {
            events_per_second: Some(1000),
            ..Quota::default()
        };
        engine.set_quota(name, by, quota).unwrap();
        drop(tenant);
    }
    engine.flush().unwrap();
    for name in ["acme", "other"] {
        let export = ExportSpec {
            query: String::new(),
            from_ns: None,
            to_ns: None,
            format: Format::Ndjson,
            fields: None,
            compression: Compression::None,
            evidence: Evidence::default(),
        };
        engine.create_export(name, &world.by, export).unwrap();
    }
    while engine.export_tick() {}
    // Files of its own, then a part of a shared one, then a tail.
    let many: Vec<String> = (0..40)
        .map(|n| {
            event(n).replace(
                r#""action""#,
                &format!(r#""metadata":{{"b":"{}"}},"action""#, "x".repeat(400)),
            )
        })
        .collect();
    for some in many.chunks(10) {
        world.append(&engine, "acme", some);
    }
    engine.flush().unwrap();
    for name in ["acme", "other"] {
        world.append(&engine, name, &[event(50), event(51)]);
    }
    engine.flush().unwrap();
    for name in ["acme", "other"] {
        world.append(&engine, name, &[event(60)]);
    }
    engine
}

fn destroy(world: &World, engine: &Engine) -> DestroyedTenant {
    engine.destroy_tenant("acme", &world.by, &order()).unwrap()
}

/// Everything that can be read of the other tenant.
fn others(world: &World, engine: &Engine) -> Vec<String> {
    let size = engine.tenant("other").unwrap().size;
    let read = |seq| engine.get("other", &world.by, Which::Seq(seq)).unwrap().event;
    let records: Vec<String> = (0..size).map(read).collect();
    let request = SearchRequest {
        q: "actor.id:u1".into(),
        limit: 100,
        want_count: true,
        ..SearchRequest::default()
    };
    let found = engine.search("other", &world.by, &request).unwrap();
    assert_eq!(found.count, Some(1));
    assert_eq!(engine.verify("other", &mut |_, _| {}).unwrap().problems, []);
    records
}

/// Checks a directory that nobody has open.
fn fsck(world: &World) -> Vec<String> {
    let report = crate::check::fsck(&world.parts(), &mut |_, _, _| {}).unwrap();
    report
        .problems
        .iter()
        .map(|problem| format!("{problem:?}"))
        .collect()
}

fn folder(id: &str) -> PathBuf {
    Path::new("tenants").join(id)
}

#[test]
fn nothing_of_a_destroyed_tenant_is_left_and_others_are_as_they_were() {
    let world = World::new(701);
    let engine = filled(&world);
    let tenant = engine.inner.tenant("acme").unwrap();
    let id = tenant.id;
    let named = tenant_rows::count(&engine.inner.catalog.read().unwrap(), &id).unwrap();
    let tables: BTreeSet<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
    for table in [
        "tenants",
        "files",
        "directory",
        "handles",
        "exports",
        "searches",
        "quotas",
    ] {
        assert!(tables.contains(table), "{tables:?}");
    }
    let parts = |tenant: &Tenant| -> BTreeSet<PathBuf> {
        let view = tenant.view();
        let rows = view.flushed.iter().flat_map(|set| set.files());
        rows.filter(|row| row.is_part())
            .map(|row| row.path.clone())
            .collect()
    };
    let shared: Vec<PathBuf> = parts(&tenant)
        .intersection(&parts(&engine.inner.tenant("other").unwrap()))
        .cloned()
        .collect();
    assert!(!shared.is_empty(), "they share a file");
    let bytes_of = |path: &Path| {
        let file = world.disk.open(path, FileMode::Read).unwrap();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    };
    let part = tenant
        .view()
        .flushed
        .iter()
        .flat_map(|set| set.files().cloned().collect::<Vec<_>>())
        .find(|row| shared.contains(&row.path))
        .unwrap();
    let (vkey, size) = (engine.vkey("acme").unwrap(), engine.tenant("acme").unwrap().size);
    let before = others(&world, &engine);
    drop(tenant);

    let destroyed = destroy(&world, &engine);
    assert_eq!(destroyed.state, DestroyedState::Done);
    assert_eq!((destroyed.size, &destroyed.id), (size, &id.to_string()));
    assert_eq!(destroyed.vkeys, std::slice::from_ref(&vkey));
    let checkpoint = attestore_tlog::open_checkpoint(&destroyed.checkpoint, &vkey.parse().unwrap()).unwrap();
    assert_eq!(
        (checkpoint.size(), checkpoint.root().to_string()),
        (size, destroyed.root.clone())
    );

    let check = |engine: &Engine| {
        assert!(matches!(engine.tenant("acme"), Err(Error::UnknownTenant)));
        assert!(matches!(
            engine.get("acme", &world.by, Which::Seq(0)),
            Err(Error::UnknownTenant)
        ));
        let names: Vec<String> = engine
            .tenants(None, 10)
            .unwrap()
            .into_iter()
            .map(|info| info.name)
            .collect();
        assert_eq!(names, [SYSTEM_TENANT, "other"]);
        assert_eq!(
            tenant_rows::count(&engine.inner.catalog.read().unwrap(), &id).unwrap(),
            []
        );
        assert!(!world.disk.exists(&folder(&destroyed.id)).unwrap());
        let start = usize::try_from(part.offset).unwrap();
        let end = start + usize::try_from(part.length).unwrap();
        assert!(bytes_of(&part.path)[start..end].iter().all(|byte| *byte == 0));
        assert_eq!(others(&world, engine), before);
        let said = engine
            .get(SYSTEM_TENANT, &world.by, Which::Seq(destroyed.control.unwrap()))
            .unwrap();
        assert!(
            said.event.contains(&destroyed.id) && said.event.contains(&destroyed.root),
            "{}",
            said.event
        );
        let text = engine.destruction_receipt(&world.by, &destroyed.id).unwrap();
        let key: VerifierKey = engine.vkey(SYSTEM_TENANT).unwrap().parse().unwrap();
        let receipt = verify_statement(&text, &Trust::Key(key)).unwrap();
        let says = &receipt.statement.predicate;
        assert_eq!(says["check"], serde_json::json!({"clean": true, "left": []}));
        assert_eq!(says["final"]["size"], size);
        assert!(says["unreadable_since"].is_string() && says["gone_since"].is_string());
        let sha256 = attestore_export::sha256_hex(text.as_bytes());
        assert_eq!(destroyed.receipt_sha256.as_deref(), Some(sha256.as_str()));
        let last = engine.tenant(SYSTEM_TENANT).unwrap().size - 1;
        let logged = (0..=last).any(|seq| {
            engine
                .get(SYSTEM_TENANT, &world.by, Which::Seq(seq))
                .unwrap()
                .event
                .contains(&sha256)
        });
        assert!(logged, "the log names the receipt");
    };
    check(&engine);
    engine.close().unwrap();
    drop(engine);
    assert_eq!(fsck(&world), Vec::<String>::new());
    check(&open(&world));
}

#[test]
fn a_name_can_be_had_again_and_is_another_tenant() {
    let world = World::new(702);
    let engine = filled(&world);
    let first = engine.tenant("acme").unwrap();
    let spec = |name: &str, tenants: &[&str]| CredentialSpec {
        name: name.into(),
        roles: vec![Role::Reader],
        tenants: Scope::Of(tenants.iter().map(|name| (*name).to_owned()).collect()),
        networks: Vec::new(),
        expires_at_ms: None,
    };
    let (alone, secret) = engine
        .create_credential(spec("alone", &["acme"]), &world.by)
        .unwrap();
    let (both, other_secret) = engine
        .create_credential(spec("both", &["acme", "other"]), &world.by)
        .unwrap();
    let destroyed = destroy(&world, &engine);
    assert_eq!(destroyed.credentials_revoked, 1);
    world.clock.advance_ms(10);
    let second = engine.create_tenant("acme", &world.by).unwrap().0;
    assert_ne!(
        (first.id, first.origin),
        (second.id.clone(), second.origin.clone())
    );
    assert_eq!(second.size, 0);
    world.append(&engine, "acme", &[event(1)]);
    let check = |engine: &Engine| {
        assert_eq!(engine.tenant("acme").unwrap().id, second.id);
        let refused = engine.authenticate(secret.expose());
        assert!(refused.is_none(), "made for the first of that name");
        let who = engine.authenticate(other_secret.expose()).unwrap();
        assert!(who.check("acme", Permission::Read).is_err());
        assert!(who.check("other", Permission::Read).is_ok());
        let shown = |id: &str| engine.credential(id, &world.by).unwrap();
        assert!(shown(&alone.id).revoked_at_ms.is_some());
        assert_eq!(shown(&both.id).tenants, Scope::one("other"));
        // Who looks after the second does not see who looked into the first.
        let request = SearchRequest {
            limit: 100,
            ..SearchRequest::default()
        };
        let seen = engine.access_log("acme", &world.by, request).unwrap().items;
        let creations = seen.iter().filter(|item| item.event.contains("tenant.create"));
        assert_eq!((creations.count(), seen.len()), (1, 1), "{seen:?}");
    };
    check(&engine);
    engine.close().unwrap();
    drop(engine);
    assert_eq!(fsck(&world), Vec::<String>::new());
    check(&open(&world));
}

#[test]
fn an_older_copy_of_the_directory_does_not_open_with_the_keys_of_today() {
    let world = World::new(703);
    let engine = filled(&world);
    engine.flush().unwrap();
    let old = world.disk.snapshot();
    let copy = || {
        let disk = attestore_disk::sim::SimDisk::from_snapshot(&old);
        for path in disk.paths().iter().filter(|path| path.starts_with("keys")) {
            disk.remove(path).unwrap();
        }
        for path in world.disk.paths().iter().filter(|path| path.starts_with("keys")) {
            let from = world.disk.open(path, FileMode::Read).unwrap();
            let mut bytes = vec![0; usize::try_from(from.len().unwrap()).unwrap()];
            from.read_exact_at(&mut bytes, 0).unwrap();
            let to = disk.open(path, FileMode::Create).unwrap();
            to.write_all_at(&bytes, 0).unwrap();
            to.sync_data().unwrap();
        }
        disk.sync_dir(Path::new("keys")).unwrap();
        let mut other = World::new(704);
        other.disk = disk;
        other
    };
    let before = copy().try_start().expect("before the destruction it opens");
    drop(before);
    destroy(&world, &engine);
    let refused = copy().try_start();
    assert!(matches!(refused, Err(crate::OpenError::Key(_))));
}

#[test]
fn whoever_works_with_it_meanwhile_leaves_nothing_behind() {
    let world = World::new(705);
    let engine = filled(&world);
    let tenant: Arc<Tenant> = engine.inner.tenant("acme").unwrap();
    let follower = engine.follow("acme", &world.by, "", &Start::Now).unwrap();
    assert!(follower.is_allowed());
    let destroyed = destroy(&world, &engine);
    assert_eq!(
        destroyed.state,
        DestroyedState::Unreadable,
        "somebody has it still"
    );
    assert!(!follower.is_allowed());
    drop(follower);
    // Nothing is acknowledged for it, whoever asks.
    let control = serde_json::json!({ "type": "late" });
    let refused = append_control(&engine.inner, &tenant, "tester", Kind::Policy, &control);
    assert_eq!(refused.unwrap_err().code(), "unknown_tenant");
    let late = serde_json::json!({ "late": true });
    engine
        .inner
        .change(|update| {
            by_tenant::put(update, tables::SCRUBS, &tenant.id, &late)?;
            let view = tenant.view();
            update.put_file(&tenant.id, &view.flushed.first().unwrap().seg)
        })
        .unwrap();
    let stray = folder(&destroyed.id).join("0000000000000063.00000000.seg.tmp");
    world.disk.open(&stray, FileMode::Create).unwrap();
    engine.tick();
    assert_eq!(
        engine.destroyed_tenant(&world.by, &destroyed.id).unwrap().state,
        DestroyedState::Unreadable
    );
    let id = tenant.id;
    drop(tenant);
    engine.tick();
    let shown = engine.destroyed_tenant(&world.by, &destroyed.id).unwrap();
    assert_eq!(shown.state, DestroyedState::Done);
    assert_eq!(
        tenant_rows::count(&engine.inner.catalog.read().unwrap(), &id).unwrap(),
        []
    );
    assert!(!world.disk.exists(&folder(&destroyed.id)).unwrap());
    engine.tick();
    engine.close().unwrap();
    drop(engine);
    assert_eq!(fsck(&world), Vec::<String>::new());
}

#[test]
fn it_takes_the_permission_the_name_twice_and_a_reason() {
    let world = World::new(706);
    let engine = filled(&world);
    let code = |by: &Principal, name: &str, order: &DestroyOrder| {
        engine.destroy_tenant(name, by, order).unwrap_err().code()
    };
    let admin = crate::forget::testing::who("a", &[Role::Admin]);
    for roles in [
        &[Role::Operator][..],
        &[Role::TenantAdmin, Role::RetentionManager, Role::PrivacyOfficer],
    ] {
        assert_eq!(
            code(&crate::forget::testing::who("b", roles), "acme", &order()),
            "forbidden"
        );
    }
    let other = DestroyOrder {
        confirm: "acne".into(),
        ..order()
    };
    assert_eq!(code(&admin, "acme", &other), "not_confirmed");
    let silent = DestroyOrder {
        reason: " ".into(),
        ..order()
    };
    assert_eq!(code(&admin, "acme", &silent), "invalid_reason");
    let own = DestroyOrder {
        confirm: SYSTEM_TENANT.into(),
        ..order()
    };
    assert_eq!(code(&admin, SYSTEM_TENANT, &own), "own_log");
    assert!(
        engine
            .destroyed_tenants(&admin, None, 10)
            .unwrap()
            .items
            .is_empty()
    );
    world.append(&engine, "acme", &[event(1)]);
    engine.destroy_tenant("acme", &admin, &order()).unwrap();
    assert_eq!(code(&admin, "acme", &order()), "unknown_tenant");
    let reader = crate::forget::testing::who("r", &[Role::Operator]);
    assert!(matches!(
        engine.destroyed_tenants(&reader, None, 10),
        Err(Error::Forbidden)
    ));
    let page = engine.destroyed_tenants(&admin, None, 10).unwrap();
    assert_eq!((page.items.len(), page.cursor), (1, None));
}

#[test]
fn what_a_check_finds_of_a_destroyed_tenant_is_told() {
    let world = World::new(707);
    let engine = filled(&world);
    let destroyed = destroy(&world, &engine);
    let id = attestore_record::TenantId::from_bytes(crate::catalog::unhex(&destroyed.id).unwrap());
    let row = super::row::get(&engine.inner.catalog.read().unwrap(), &id).unwrap();
    let found = |row: &super::DestroyedRow| super::contradictions(&engine.inner, &id, row, None).unwrap();
    assert_eq!(found(&row), Vec::<String>::new());
    let shorter = super::DestroyedRow {
        size: row.size - 1,
        ..row.clone()
    };
    assert_eq!(found(&shorter).len(), 1);
    let elsewhere = super::DestroyedRow {
        control: Some(0),
        ..row
    };
    assert_eq!(found(&elsewhere).len(), 1);
    let mode = Mode::Each;
    let late = engine.append_blocking("acme", &world.by, "native", Vec::new(), mode);
    assert!(late.is_err());
}
