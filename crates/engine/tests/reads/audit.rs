//! What the server records of itself.

use std::{collections::BTreeMap, sync::Arc};

use attestore_engine::{
    Engine, Permission, Principal, Role, SYSTEM_TENANT,
    audit::{Act, Limited, Outcome},
    search::SearchRequest,
};

use crate::world::{World, everything, principal};

fn act(terms: &str) -> Act {
    Act {
        request_id: "r-1".into(),
        by: Some(Arc::new(principal(&[Role::Reader]))),
        credential: None,
        address: Some("192.0.2.77".parse().unwrap()),
        permission: Permission::Search.name(),
        method: "POST",
        route: "/v1/tenants/{tenant}/search".into(),
        tenant: Some("acme".into()),
        targets: Vec::new(),
        outcome: Outcome::Begun,
        terms: Some(terms.into()),
    }
}

fn found(engine: &Engine, by: &Principal, q: &str) -> Vec<serde_json::Value> {
    let request = SearchRequest {
        q: q.into(),
        limit: 100,
        ..Default::default()
    };
    let page = engine.search(SYSTEM_TENANT, by, &request).unwrap();
    page.items
        .iter()
        .map(|item| serde_json::from_str(&item.event).unwrap())
        .collect()
}

fn record(engine: &Engine, acts: &[Act]) {
    let durable = std::pin::pin!(engine.begin_act(acts).durable());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(done) = durable.poll(&mut context) else {
        panic!("it commits in line");
    };
    done.unwrap();
}

#[test]
fn terms_and_addresses_are_sealed_and_the_rest_is_not() {
    let world = World::new(31);
    let engine = world.open();
    record(&engine, &[act("zebra@example.org")]);
    let auditor = principal(&[Role::Auditor]);
    let seen = found(&engine, &auditor, "action:access.search");
    assert_eq!(seen.len(), 1);
    let text = seen[0].to_string();
    assert!(!text.contains("zebra") && !text.contains("192.0.2.77"), "{text}");
    assert_eq!(seen[0]["context"]["request_id"], "r-1");
    assert_eq!(seen[0]["actor"]["id"], "tester000001");
    assert_eq!(seen[0]["targets"][0]["id"], "acme");
    assert_eq!(seen[0]["metadata"]["permission"], "search");
    assert!(found(&engine, &auditor, "zebra").is_empty());
    let both = principal(&[Role::Auditor, Role::Investigator]);
    let seen = found(&engine, &both, "action:access.search");
    assert_eq!(seen[0]["payload"]["terms"], "zebra@example.org");
    assert_eq!(seen[0]["context"]["ip"], "192.0.2.77");
    engine.close().unwrap();
    let engine = world.open();
    assert_eq!(found(&engine, &auditor, "action:access.search").len(), 1);
}

#[test]
fn an_access_log_shows_what_is_about_one_tenant() {
    let world = World::new(32);
    let engine = world.open();
    for tenant in ["acme", "other"] {
        engine.create_tenant(tenant, &everything()).unwrap();
    }
    let foreign = Act {
        tenant: Some("other".into()),
        ..act("secret of others")
    };
    record(&engine, &[act("own"), foreign]);
    let request = || SearchRequest {
        limit: 100,
        ..Default::default()
    };
    let mut by = principal(&[Role::TenantAdmin]);
    by.tenants = attestore_engine::Scope::one("acme");
    let page = engine.access_log("acme", &by, request()).unwrap();
    let text = format!(
        "{:?}",
        page.items.iter().map(|item| &item.event).collect::<Vec<_>>()
    );
    assert!(
        text.contains("access.search") && !text.contains("other"),
        "{text}"
    );
    assert!(!text.contains("own\""), "terms are sealed: {text}");
    assert!(engine.access_log("other", &by, request()).is_err());
    assert!(
        engine
            .access_log("acme", &principal(&[Role::Reader]), request())
            .is_err()
    );
}

#[test]
fn refusals_by_limits_are_counted_first_and_recorded_then() {
    let world = World::new(33);
    let engine = world.open();
    for _ in 0..1000 {
        engine.limited(Limited::from_address("2001:db8::1".parse().unwrap()), "search");
    }
    for n in 0..3000u32 {
        engine.limited(Limited::Principal(format!("p{n}")), "read");
    }
    world.clock.advance_ms(5000);
    engine.tick();
    let records = found(
        &engine,
        &everything(),
        "action:access.limited AND actor.type:network",
    );
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["metadata"]["count"], 1000);
    assert_eq!(records[0]["context"]["ip"], "2001:db8::");
    let sealed = found(&engine, &principal(&[Role::Auditor]), "actor.type:network");
    assert!(!sealed[0].to_string().contains("2001:db8"), "{}", sealed[0]);
    let others = found(
        &engine,
        &everything(),
        "action:access.limited AND actor.id:others",
    );
    assert_eq!(others[0]["metadata"]["count"], 3001 - 1024);
    world.clock.advance_ms(60_000);
    engine.tick();
    assert_eq!(
        found(&engine, &everything(), "actor.id:others").len(),
        1,
        "nothing new, no record"
    );
}

#[test]
fn counts_that_cannot_be_recorded_are_recorded_later() {
    let world = World::new(36);
    let engine = world.open();
    for _ in 0..7 {
        engine.limited(Limited::from_address("192.0.2.9".parse().unwrap()), "search");
    }
    for n in 0..1500u32 {
        engine.limited(Limited::Principal(format!("p{n}")), "read");
    }
    world.disk.set_capacity(1);
    world.clock.advance_ms(60_000);
    engine.tick();
    world.disk.set_capacity(u64::MAX);
    let limited = |q: &str| {
        let found = found(&engine, &everything(), &format!("action:access.limited AND {q}"));
        found
            .iter()
            .map(|event| event["metadata"]["count"].as_u64().unwrap())
            .sum::<u64>()
    };
    world.clock.advance_ms(1);
    assert_eq!(limited("actor.type:network"), 0, "there was no room for it");
    world.clock.advance_ms(60_000);
    engine.tick();
    assert_eq!(limited("actor.type:network"), 7);
    assert_eq!(limited("actor.id:others"), 1501 - 1024);
}

#[test]
fn a_tenant_named_like_an_id_sees_nothing_of_others() {
    let world = World::new(37);
    let engine = world.open();
    for tenant in ["acme", "0"] {
        engine.create_tenant(tenant, &everything()).unwrap();
    }
    let foreign = Act {
        targets: vec![attestore_engine::audit::Target {
            ty: "record",
            id: "0".into(),
        }],
        ..act("x")
    };
    let own = Act {
        tenant: Some("0".into()),
        ..act("y")
    };
    // So many of others between its own that one search does not fill a page.
    for _ in 0..4 {
        record(&engine, &[own.clone(), foreign.clone(), foreign.clone()]);
    }
    let mut by = principal(&[Role::TenantAdmin]);
    by.tenants = attestore_engine::Scope::one("0");
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let request = SearchRequest {
            limit: 2,
            cursor,
            want_count: true,
            ..Default::default()
        };
        let page = engine.access_log("0", &by, request).unwrap();
        assert!(page.items.len() <= 2 && page.count.is_none());
        seen.extend(page.items.into_iter().map(|item| (item.seq, item.event)));
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert!(seen.iter().all(|(_, event)| !event.contains("acme")), "{seen:?}");
    let acts = seen.iter().filter(|(_, event)| event.contains("access.search"));
    assert_eq!(acts.count(), 4);
    assert_eq!(seen.len(), 5, "with the record of its making: {seen:?}");
    assert!(seen.is_sorted_by(|a, b| a.0 > b.0), "each once, newest first");
}

#[test]
fn starts_say_which_settings_changed_and_no_values() {
    let world = World::new(34);
    let settings = |secret: &str| {
        BTreeMap::from([
            ("redis.url".to_owned(), secret.to_owned()),
            ("log.level".into(), "info".into()),
        ])
    };
    for secret in ["hunter2", "hunter2", "correct horse"] {
        let (engine, opened) = world.try_open().unwrap();
        engine.record_start("1.0.0", &settings(secret), &opened).unwrap();
        engine.record_stop().unwrap();
        engine.close().unwrap();
    }
    let engine = world.open();
    assert_eq!(found(&engine, &everything(), "action:server.start").len(), 3);
    assert_eq!(found(&engine, &everything(), "action:server.stop").len(), 3);
    let changes = found(&engine, &everything(), "action:settings.change");
    assert_eq!(changes.len(), 1);
    assert_eq!(
        changes[0]["metadata"]["changed"],
        serde_json::json!(["redis.url"])
    );
    let all = format!("{:?}", found(&engine, &everything(), ""));
    assert!(!all.contains("hunter2") && !all.contains("horse"));
}
