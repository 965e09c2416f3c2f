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
    assert!(engine.first_credential().unwrap().is_none());
    let by = engine.authenticate(replacement.expose()).unwrap();
    engine.revoke_credential(&by.id, &by).unwrap();
    assert!(
        engine.first_credential().unwrap().is_none(),
        "where nobody administrates any more, another takes who asks for it"
    );
    assert!(engine.bootstrap_credential().is_ok());
}

#[test]
fn a_first_credential_whose_secret_cannot_be_kept_is_none() {
    let world = World::new(22);
    let engine = world.open();
    let refuse =
        |_: &attestore_engine::credentials::Secret| Err(Error::Io("the file is there already".into()));
    assert!(engine.first_credential_kept(refuse).is_err());
    assert!(
        engine
            .list_credentials(&everything(), None, 10)
            .unwrap()
            .is_empty()
    );
    assert!(engine.first_credential().unwrap().is_some());
}

#[test]
fn who_does_not_work_any_more_changes_no_credentials() {
    let world = World::new(23);
    let engine = world.open();
    let (other, _) = engine
        .create_credential(spec("other", &[Role::Reader], None), &everything())
        .unwrap();
    let until = crate::world::NOW_MS + 1000;
    let mut foreign = principal(&[Role::Admin]);
    foreign.id = "jwt:ann".into();
    foreign.kind = attestore_engine::credentials::Kind::Jwt;
    foreign.expires_at_ms = Some(until);
    let make = |roles: &[Role], by: &attestore_engine::Principal| {
        engine.create_credential(spec("x", roles, None), by)
    };
    let (revoked, secret) = make(&[Role::Admin], &foreign).unwrap();
    let revoked_by = engine.authenticate(secret.expose()).unwrap();
    engine.revoke_credential(&revoked.id, &everything()).unwrap();
    let short = CredentialSpec {
        expires_at_ms: Some(until),
        ..spec("short", &[Role::Admin], None)
    };
    let (_, secret) = engine.create_credential(short, &everything()).unwrap();
    let expired = engine.authenticate(secret.expose()).unwrap();
    world.clock.advance_ms(1000);
    let before = engine.list_credentials(&everything(), None, 100).unwrap();
    for by in [&*revoked_by, &*expired, &foreign, &principal(&[Role::Admin])] {
        assert!(matches!(make(&[Role::Admin], by), Err(Error::Unauthenticated)));
        assert!(matches!(
            engine.rotate_credential(&other.id, 0, by),
            Err(Error::Unauthenticated)
        ));
        assert!(matches!(
            engine.revoke_credential(&other.id, by),
            Err(Error::Unauthenticated)
        ));
    }
    assert_eq!(engine.list_credentials(&everything(), None, 100).unwrap(), before);
    assert_eq!(Error::Unauthenticated.status(), 401);
}

#[test]
fn nobody_sheds_their_own_bounds() {
    let world = World::new(24);
    let engine = world.open();
    let until = crate::world::NOW_MS + 60_000;
    let bound = |networks: &[&str], expires_at_ms, roles: &[Role]| CredentialSpec {
        networks: networks.iter().map(|network| network.parse().unwrap()).collect(),
        expires_at_ms,
        ..spec("bound", roles, None)
    };
    let admin = bound(&["10.0.0.0/8", "192.0.2.0/24"], Some(until), &[Role::Admin]);
    let (_, secret) = engine.create_credential(admin, &everything()).unwrap();
    let by = engine
        .recognise(secret.expose(), Some("10.0.0.1".parse().unwrap()))
        .unwrap();
    let make = |networks: &[&str], end| {
        let made = engine.create_credential(bound(networks, end, &[Role::Admin]), &by);
        made.map(|(info, _)| info.id)
    };
    assert!(make(&["10.1.0.0/16", "192.0.2.0/24"], Some(until)).is_ok());
    for (networks, end) in [
        (&[][..], Some(until)),
        (&["11.0.0.0/16"], Some(until)),
        (&["10.1.0.0/16", "192.0.0.0/16"], Some(until)),
        (&["::/0"], Some(until)),
        (&["10.1.0.0/16"], None),
        (&["10.1.0.0/16"], Some(until + 1)),
    ] {
        let made = make(networks, end);
        assert!(matches!(made, Err(Error::Forbidden)), "{networks:?} {end:?}");
    }
    // Whoever rotates is given the secret: of what they could have made only.
    let (free, _) = engine
        .create_credential(spec("free", &[Role::Reader], None), &everything())
        .unwrap();
    assert!(matches!(
        engine.rotate_credential(&free.id, 0, &by),
        Err(Error::Forbidden)
    ));
    let own = make(&["10.1.0.0/16"], Some(until - 1)).unwrap();
    assert!(engine.rotate_credential(&own, 0, &by).is_ok());
    assert!(
        engine.revoke_credential(&free.id, &by).is_ok(),
        "taking away gives nobody anything"
    );
}

#[test]
fn the_records_of_the_system_are_for_admins_to_hand_out() {
    let world = World::new(25);
    let engine = world.open();
    engine.create_tenant("acme", &everything()).unwrap();
    let (_, secret) = engine
        .create_credential(spec("ta", &[Role::TenantAdmin], None), &everything())
        .unwrap();
    let by = engine.authenticate(secret.expose()).unwrap();
    let auditor = |tenant| engine.create_credential(spec("a", &[Role::Auditor], tenant), &by);
    assert!(matches!(auditor(None), Err(Error::Forbidden)));
    assert!(auditor(Some("acme")).is_ok());
    let (wide, _) = engine
        .create_credential(spec("wide", &[Role::Auditor], None), &everything())
        .unwrap();
    assert!(matches!(
        engine.rotate_credential(&wide.id, 0, &by),
        Err(Error::Forbidden)
    ));
}

#[test]
fn each_tenant_of_a_credential_has_its_changes_in_its_access_log() {
    let world = World::new(26);
    let engine = world.open();
    for tenant in ["a", "b", "c"] {
        engine.create_tenant(tenant, &everything()).unwrap();
    }
    let several = CredentialSpec {
        tenants: of(&["a", "b"]),
        ..spec("several", &[Role::Reader], None)
    };
    let (info, _) = engine.create_credential(several, &everything()).unwrap();
    engine.rotate_credential(&info.id, 0, &everything()).unwrap();
    engine.revoke_credential(&info.id, &everything()).unwrap();
    let log = |tenant: &str| -> Vec<serde_json::Value> {
        let request = SearchRequest {
            limit: 100,
            ..Default::default()
        };
        let page = engine.access_log(tenant, &everything(), request).unwrap();
        let events = page
            .items
            .iter()
            .map(|item| serde_json::from_str::<serde_json::Value>(&item.event).unwrap());
        events
            .filter(|event| event["action"].as_str().unwrap().starts_with("credential."))
            .collect()
    };
    for tenant in ["a", "b"] {
        let seen = log(tenant);
        let actions: Vec<_> = seen.iter().map(|event| event["action"].clone()).collect();
        assert_eq!(
            actions,
            ["credential.revoke", "credential.rotate", "credential.create"]
        );
        for event in seen {
            assert_eq!(event["metadata"]["tenants"], serde_json::json!([tenant]));
            assert_eq!(event["targets"].as_array().unwrap().len(), 2, "{event}");
            assert_eq!(event["targets"][0]["id"], info.id.as_str());
        }
    }
    assert!(log("c").is_empty());
    let (one, _) = engine
        .create_credential(spec("one", &[Role::Reader], Some("c")), &everything())
        .unwrap();
    let seen = log("c");
    assert_eq!((seen.len(), &seen[0]["targets"][0]["id"]), (1, &one.id.into()));
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

fn of(tenants: &[&str]) -> Scope {
    Scope::Of(tenants.iter().map(|name| (*name).to_owned()).collect())
}

#[test]
fn a_rotated_credential_keeps_its_id_and_both_secrets_work_for_a_while() {
    let world = World::new(17);
    let engine = world.open();
    let (info, first) = engine
        .create_credential(spec("app", &[Role::Reader], None), &everything())
        .unwrap();
    assert!(engine.authenticate(first.expose()).is_some());
    let (rotated, second) = engine.rotate_credential(&info.id, 5000, &everything()).unwrap();
    assert_eq!(
        (&rotated.id, rotated.overlap_ends_ms),
        (&info.id, Some(crate::world::NOW_MS + 5000))
    );
    let works =
        |secret: &attestore_engine::credentials::Secret| engine.authenticate(secret.expose()).is_some();
    assert!(works(&first) && works(&second));
    world.clock.advance_ms(5000);
    assert!(!works(&first) && works(&second));
    let (_, third) = engine.rotate_credential(&info.id, 0, &everything()).unwrap();
    assert!(
        !works(&second) && works(&third),
        "without an overlap it ends at once"
    );
    engine.rotate_credential(&info.id, 60_000, &everything()).unwrap();
    let (_, fifth) = engine.rotate_credential(&info.id, 60_000, &everything()).unwrap();
    assert!(!works(&third) && works(&fifth), "only the one before overlaps");
    engine.close().unwrap();
    let engine = world.open();
    assert!(engine.authenticate(fifth.expose()).is_some());
    engine.revoke_credential(&info.id, &everything()).unwrap();
    assert!(engine.authenticate(fifth.expose()).is_none());
    let again = engine.rotate_credential(&info.id, 0, &everything());
    assert!(matches!(again, Err(Error::Conflict { .. })), "{:?}", again.err());
}

#[test]
fn a_credential_of_several_tenants_knows_these_and_no_others() {
    let world = World::new(18);
    let engine = world.open();
    for tenant in ["a", "b", "c"] {
        engine.create_tenant(tenant, &everything()).unwrap();
    }
    let make = |roles: &[Role], tenants, by: &attestore_engine::Principal| {
        let spec = CredentialSpec {
            tenants,
            ..spec("several", roles, None)
        };
        engine.create_credential(spec, by)
    };
    let (_, secret) = make(&[Role::Admin], of(&["a", "b"]), &everything()).unwrap();
    let by = engine.authenticate(secret.expose()).unwrap();
    assert!(by.check("a", Permission::SeeTenant).is_ok() && by.check("b", Permission::SeeTenant).is_ok());
    assert!(matches!(
        by.check("c", Permission::SeeTenant),
        Err(Error::UnknownTenant)
    ));
    assert!(by.check_instance(Permission::CreateTenants).is_err());
    assert!(make(&[Role::Reader], of(&["a"]), &by).is_ok());
    assert!(matches!(
        make(&[Role::Reader], of(&["a", "c"]), &by),
        Err(Error::UnknownTenant)
    ));
    assert!(matches!(
        make(&[Role::Reader], Scope::All, &by),
        Err(Error::Forbidden)
    ));
    let (wide, _) = make(&[Role::Reader], of(&["b", "c"]), &everything()).unwrap();
    assert!(matches!(
        engine.revoke_credential(&wide.id, &by),
        Err(Error::NotFound(_))
    ));
    assert!(
        engine
            .list_credentials(&by, None, 100)
            .unwrap()
            .iter()
            .all(|one| one.id != wide.id)
    );
    for tenants in [of(&[]), of(&[SYSTEM_TENANT])] {
        assert!(matches!(
            make(&[Role::Reader], tenants, &everything()),
            Err(Error::Invalid { .. } | Error::Forbidden)
        ));
    }
}

#[test]
fn nobody_hands_out_or_takes_over_more_than_they_may() {
    let world = World::new(19);
    let engine = world.open();
    engine.create_tenant("acme", &everything()).unwrap();
    let (_, secret) = engine
        .create_credential(spec("ta", &[Role::TenantAdmin], Some("acme")), &everything())
        .unwrap();
    let by = engine.authenticate(secret.expose()).unwrap();
    let make = |role| engine.create_credential(spec("x", &[role], Some("acme")), &by);
    for role in Role::ALL {
        let above = matches!(
            role,
            Role::Admin | Role::TenantAdmin | Role::Operator | Role::RetentionBypass
        );
        let may = !above;
        assert_eq!(make(role).is_ok(), may, "{role:?}");
    }
    let (admin, _) = engine
        .create_credential(spec("admin", &[Role::Admin], Some("acme")), &everything())
        .unwrap();
    assert!(matches!(
        engine.rotate_credential(&admin.id, 0, &by),
        Err(Error::Forbidden)
    ));
    assert!(matches!(
        engine.revoke_credential(&admin.id, &by),
        Err(Error::Forbidden)
    ));
    let both = engine.create_credential(
        spec("both", &[Role::KeyAdmin, Role::RetentionManager], Some("acme")),
        &everything(),
    );
    assert!(matches!(both, Err(Error::Invalid { .. })), "{:?}", both.err());
    for role in [Role::Reader, Role::Operator, Role::Auditor] {
        let refused = engine.create_credential(spec("x", &[Role::Reader], None), &principal(&[role]));
        assert!(matches!(refused, Err(Error::Forbidden)));
    }
}

#[test]
fn a_credential_of_a_network_works_from_there_only() {
    use attestore_engine::credentials::Reason;
    let world = World::new(20);
    let engine = world.open();
    let spec = CredentialSpec {
        networks: vec!["10.0.0.0/8".parse().unwrap()],
        ..spec("inside", &[Role::Reader], None)
    };
    let (_, secret) = engine.create_credential(spec, &everything()).unwrap();
    let from = |address: &str| engine.recognise(secret.expose(), Some(address.parse().unwrap()));
    for _ in 0..2 {
        assert!(from("10.1.2.3").is_ok() && from("::ffff:10.1.2.3").is_ok());
        assert_eq!(from("192.0.2.1").unwrap_err().reason, Reason::Network);
        assert!(
            engine.authenticate(secret.expose()).is_none(),
            "from nowhere is not from there"
        );
    }
}

#[test]
fn when_a_credential_was_last_used_is_known_after_a_restart() {
    let world = World::new(21);
    let engine = world.open();
    let (info, secret) = engine
        .create_credential(spec("app", &[Role::Reader], None), &everything())
        .unwrap();
    assert_eq!(
        engine.credential(&info.id, &everything()).unwrap().last_used_ms,
        None
    );
    world.clock.advance_ms(1234);
    engine.authenticate(secret.expose()).unwrap();
    engine.close().unwrap();
    let used = world
        .open()
        .credential(&info.id, &everything())
        .unwrap()
        .last_used_ms;
    assert_eq!(used, Some(crate::world::NOW_MS + 1234));
}
