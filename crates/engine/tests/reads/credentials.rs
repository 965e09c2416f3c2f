//! Credentials through their life.

use attestore_engine::{
    Error, Permission, Role, SYSTEM_TENANT, Scope, credentials::CredentialSpec, read::Which,
    search::SearchRequest,
};

use crate::world::{World, everything, principal};

fn spec(name: &str, roles: &[Role], tenant: Option<&str>) -> CredentialSpec {
    CredentialSpec {
        name: name.into(),
        roles: roles.to_vec(),
        tenants: tenant.map_or(Scope::All, Scope::one),
        networks: Vec::new(),
        expires_at_ms: None,
    }
}

#[test]
fn token_works_until_it_is_revoked_also_after_a_restart() {
    let world = World::new(10);
    let engine = world.open();
    engine.create_tenant("acme", &everything()).unwrap();
    let (info, secret) = engine
        .create_credential(
            spec("app", &[Role::Ingest, Role::Reader], Some("acme")),
            &everything(),
        )
        .unwrap();
    let by = engine.authenticate(secret.expose()).unwrap();
    assert_eq!(
        (by.id.as_str(), by.tenants.only()),
        (info.id.as_str(), Some("acme"))
    );
    assert!(matches!(
        engine.get(SYSTEM_TENANT, &by, Which::Seq(0)),
        Err(Error::UnknownTenant)
    ));
    engine.close().unwrap();
    let engine = world.open();
    assert_eq!(engine.authenticate(secret.expose()), Some(by));
    let mut forged = secret.expose().to_owned();
    forged.replace_range(20..21, if &forged[20..21] == "a" { "b" } else { "a" });
    assert_eq!(engine.authenticate(&forged), None);
    engine.revoke_credential(&info.id, &everything()).unwrap();
    assert_eq!(engine.authenticate(secret.expose()), None);
    engine.close().unwrap();
    assert_eq!(world.open().authenticate(secret.expose()), None);
}

#[test]
fn expired_tokens_do_not_work() {
    let world = World::new(11);
    let engine = world.open();
    let until = crate::world::NOW_MS + 1000;
    let spec = CredentialSpec {
        expires_at_ms: Some(until),
        ..spec("short", &[Role::Reader], None)
    };
    let (_, secret) = engine.create_credential(spec, &everything()).unwrap();
    assert!(engine.authenticate(secret.expose()).is_some());
    world.clock.advance_ms(1000);
    assert!(engine.authenticate(secret.expose()).is_none());
}

#[test]
fn first_credential_can_do_everything_and_is_made_once() {
    let world = World::new(12);
    let engine = world.open();
    let (info, secret) = engine.first_credential().unwrap().unwrap();
    let by = engine.authenticate(secret.expose()).unwrap();
    assert!(by.check_instance(Permission::CreateTenants).is_ok() && by.may_see_personal());
    assert!(by.check("x", Permission::Append).is_ok() && by.check(SYSTEM_TENANT, Permission::Search).is_ok());
    assert!(engine.first_credential().unwrap().is_none());
    let (_, replacement) = engine.bootstrap_credential().unwrap();
    assert!(
        engine
            .authenticate(replacement.expose())
            .unwrap()
            .check_instance(Permission::ManageCredentials)
            .is_ok()
    );
    engine.revoke_credential(&info.id, &by).unwrap();
    assert!(engine.authenticate(secret.expose()).is_none());
    assert!(
        engine.first_credential().unwrap().is_none(),
        "the replacement still administrates"
    );
}

#[test]
fn tenant_admins_stay_within_their_tenant() {
    let world = World::new(13);
    let engine = world.open();
    for tenant in ["acme", "other"] {
        engine.create_tenant(tenant, &everything()).unwrap();
    }
    let (_, secret) = engine
        .create_credential(spec("boss", &[Role::Admin], Some("acme")), &everything())
        .unwrap();
    let boss = engine.authenticate(secret.expose()).unwrap();
    let (foreign, _) = engine
        .create_credential(spec("x", &[Role::Reader], Some("other")), &everything())
        .unwrap();
    assert!(
        engine
            .create_credential(spec("a", &[Role::Reader], Some("acme")), &boss)
            .is_ok()
    );
    let other = engine.create_credential(spec("b", &[Role::Reader], Some("other")), &boss);
    assert!(matches!(other, Err(Error::UnknownTenant)));
    let whole = engine.create_credential(spec("c", &[Role::Reader], None), &boss);
    assert!(matches!(whole, Err(Error::Forbidden)));
    assert!(matches!(
        engine.revoke_credential(&foreign.id, &boss),
        Err(Error::NotFound(_))
    ));
    let seen = engine.list_credentials(&boss, None, 100).unwrap();
    assert_eq!(seen.len(), 2);
    assert!(matches!(
        engine.list_credentials(&principal(&[Role::Reader]), None, 1),
        Err(Error::Forbidden)
    ));
}

#[test]
fn every_act_is_an_event_in_the_system_tenant() {
    let world = World::new(14);
    let engine = world.open();
    let (info, secret) = engine
        .create_credential(spec("app", &[Role::Reader], None), &everything())
        .unwrap();
    engine.revoke_credential(&info.id, &everything()).unwrap();
    let request = SearchRequest {
        q: format!("target.id:{}", info.id),
        limit: 10,
        want_count: true,
        ..Default::default()
    };
    let page = engine.search(SYSTEM_TENANT, &everything(), &request).unwrap();
    assert_eq!(page.count, Some(2));
    assert!(
        page.items[0].event.contains("credential.revoke")
            && page.items[1].event.contains("credential.create")
    );
    assert!(
        !page
            .items
            .iter()
            .any(|item| item.event.contains(&secret.expose()[18..]))
    );
}

#[test]
fn of_many_that_ask_for_the_first_credential_one_gets_it() {
    let world = World::new(77);
    let engine = world.open();
    let ask = || {
        let engine = engine.clone();
        std::thread::spawn(move || engine.first_credential().unwrap().is_some())
    };
    let threads: Vec<_> = (0..8).map(|_| ask()).collect();
    let got = threads.into_iter().map(|thread| thread.join().unwrap());
    assert_eq!(got.filter(|got| *got).count(), 1);
}

#[test]
fn the_secret_of_another_credential_does_not_open_this_one() {
    let world = World::new(16);
    let engine = world.open();
    let make = |name| {
        engine
            .create_credential(spec(name, &[Role::Reader], None), &everything())
            .unwrap()
    };
    let ((_, one), (_, two)) = (make("one"), make("two"));
    // `atst_<id 12>_<secret 43><check 6>`, with the check that belongs to it.
    let (id, secret) = (&one.expose()[..18], &two.expose()[18..61]);
    let body = format!("{id}{secret}");
    let forged = format!("{body}{}", check(&body));
    let (body, end) = one.expose().split_at(61);
    assert_eq!(end, check(body), "the check is made as the server makes it");
    assert!(
        engine.authenticate(&forged).is_none(),
        "before the right one was seen"
    );
    assert!(engine.authenticate(one.expose()).is_some());
    assert!(engine.authenticate(&forged).is_none(), "after");
}

/// CRC-32 in six digits of base62.
fn check(body: &str) -> String {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut digits = Vec::new();
    for _ in 0..6 {
        digits.push(char::from(DIGITS[(rest % 62) as usize]));
        rest /= 62;
    }
    digits.iter().rev().collect()
}
