use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::json;
use tokio::sync::Notify;

use super::world::{ISSUER, JWKS, Signer, World, claims, issuer_settings};
use crate::Refusal;

fn unavailable(refusal: Option<Refusal>) -> bool {
    matches!(refusal, Some(Refusal::KeysUnavailable { .. }))
}

#[tokio::test]
async fn a_new_key_is_found_by_one_fetch() {
    let (old, new) = (Signer::p256(), Signer::p256());
    let world = World::new(&[("old", &old)]);
    world.verify(&old.token("old", &claims(json!({})))).await.unwrap();
    world.web.keys(&[old.jwk("old"), new.jwk("new")]);
    world.pass(11);
    world.verify(&new.token("new", &claims(json!({})))).await.unwrap();
    world
        .verify(&old.token("old", &claims(json!({"sub": "u-2"}))))
        .await
        .unwrap();
    assert_eq!(world.web.count(), 2);
}

#[tokio::test]
async fn a_thousand_invented_keys_cost_one_fetch_per_cool_down() {
    let key = Signer::p256();
    let world = World::new(&[("k", &key)]);
    world.verify(&key.token("k", &claims(json!({})))).await.unwrap();
    world.pass(11);
    for round in 1..=3 {
        for n in 0..1000 {
            let token = key.token(&format!("invented-{n}"), &claims(json!({})));
            assert_eq!(world.verify(&token).await.err(), Some(Refusal::Key));
        }
        assert_eq!(world.web.count(), 1 + round);
        world.pass(10);
    }
}

#[tokio::test]
async fn those_who_ask_at_once_share_a_fetch() {
    let key = Signer::p256();
    let world = World::new(&[("k", &key)]);
    let gate = Arc::new(Notify::new());
    *world.web.gate.lock() = Some(gate.clone());
    let tasks: Vec<_> = (0..50)
        .map(|n| {
            let resource = world.resource.clone();
            let token = key.token("k", &claims(json!({"sub": format!("u-{n}")})));
            tokio::spawn(async move { resource.verify(&token).await.is_ok() })
        })
        .collect();
    while world.web.count() == 0 {
        tokio::task::yield_now().await;
    }
    gate.notify_one();
    for task in tasks {
        assert!(task.await.unwrap());
    }
    assert_eq!(world.web.count(), 1);
}

/// Else whoever hangs up could keep new keys from being found.
#[tokio::test]
async fn a_client_that_hangs_up_ends_no_fetch() {
    let (old, new) = (Signer::p256(), Signer::p256());
    let world = World::new(&[("old", &old)]);
    world.verify(&old.token("old", &claims(json!({})))).await.unwrap();
    world.web.keys(&[new.jwk("new")]);
    world.pass(11);
    let gate = Arc::new(Notify::new());
    *world.web.gate.lock() = Some(gate.clone());
    let resource = world.resource.clone();
    let invented = old.token("invented", &claims(json!({})));
    let hangs_up = tokio::spawn(async move { resource.verify(&invented).await.is_ok() });
    while world.web.count() < 2 {
        tokio::task::yield_now().await;
    }
    hangs_up.abort();
    assert!(hangs_up.await.unwrap_err().is_cancelled());
    gate.notify_one();
    world.verify(&new.token("new", &claims(json!({})))).await.unwrap();
    assert_eq!(world.web.count(), 2);
}

#[tokio::test]
async fn old_keys_are_used_while_new_ones_cannot_be_had_but_not_for_ever() {
    let key = Signer::p256();
    let world = World::new(&[("k", &key)]);
    let mut n = 0;
    let mut token = || {
        n += 1;
        key.token(
            "k",
            &claims(json!({"sub": format!("u-{n}"), "exp": super::world::NOW_S + 80_000})),
        )
    };
    world.verify(&token()).await.unwrap();
    world.web.down();
    world.pass(1250);
    world.verify(&token()).await.unwrap();
    assert_eq!(world.web.count(), 2, "asked again first");
    world.pass(2349);
    world.verify(&token()).await.unwrap();
    world.pass(1);
    let refused = world.verify(&token()).await.err();
    assert!(unavailable(refused), "{refused:?}");
    let asked = world.web.count();
    assert!(unavailable(world.verify(&token()).await.err()));
    assert_eq!(world.web.count(), asked, "the cool-down holds for failures too");
    world.web.keys(&[key.jwk("k")]);
    world.pass(10);
    world.verify(&token()).await.unwrap();
}

#[tokio::test]
async fn keys_are_fetched_again_behind_the_back_before_anybody_waits() {
    let key = Signer::p256();
    let world = World::new(&[("k", &key)]);
    world.verify(&key.token("k", &claims(json!({})))).await.unwrap();
    world.pass(601);
    let gate = Arc::new(Notify::new());
    *world.web.gate.lock() = Some(gate.clone());
    world
        .verify(&key.token("k", &claims(json!({"sub": "u-2"}))))
        .await
        .unwrap();
    while world.web.count() < 2 {
        tokio::task::yield_now().await;
    }
    gate.notify_one();
}

#[tokio::test]
async fn a_key_that_was_taken_back_ends_tokens_that_are_remembered() {
    let (stolen, new) = (Signer::p256(), Signer::p256());
    let world = World::new(&[("stolen", &stolen)]);
    let token = stolen.token("stolen", &claims(json!({})));
    world.verify(&token).await.unwrap();
    assert!(world.resource.recognise(&token).is_some());
    world.web.keys(&[new.jwk("new")]);
    world.pass(11);
    // Anybody's new token brings the new set, and with it the old one's end.
    world.verify(&new.token("new", &claims(json!({})))).await.unwrap();
    assert!(world.resource.recognise(&token).is_none());
    assert_eq!(world.verify(&token).await.err(), Some(Refusal::Key));
}

#[tokio::test]
async fn without_other_tokens_it_ends_too_by_looking_again() {
    let (stolen, new) = (Signer::p256(), Signer::p256());
    let world = World::new(&[("stolen", &stolen)]);
    let token = stolen.token("stolen", &claims(json!({})));
    world.verify(&token).await.unwrap();
    world.web.keys(&[new.jwk("new")]);
    for _ in 0..4 {
        world.pass(300);
        assert!(
            world.resource.recognise(&token).is_none(),
            "looked at again every 300 s"
        );
        let _ = world.verify(&token).await;
        while world.web.count() == 1 && world.passed_s() > 600 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(world.verify(&token).await.err(), Some(Refusal::Key));
}

#[tokio::test]
async fn the_same_set_again_forgets_no_tokens() {
    let key = Signer::p256();
    let mut settings = issuer_settings();
    settings.recheck_s = 100_000;
    let world = World::with(settings, &[("k", &key)]);
    let token = key.token("k", &claims(json!({})));
    world.verify(&token).await.unwrap();
    world.pass(1300);
    world
        .verify(&key.token("k", &claims(json!({"sub": "u-2"}))))
        .await
        .unwrap();
    assert_eq!(world.web.count(), 2);
    assert!(world.resource.recognise(&token).is_some());
}

#[tokio::test]
async fn discovery_names_its_issuer_and_an_address_that_may_be_asked() {
    let key = Signer::p256();
    let mut settings = issuer_settings();
    settings.jwks_url = None;
    let at = format!("{ISSUER}/.well-known/openid-configuration");
    for (issuer, jwks, fine) in [
        (ISSUER, JWKS, true),
        ("https://evil.example", JWKS, false),
        ("https://issuer.example/realms/x/", JWKS, false),
        (ISSUER, "http://keys.example/jwks.json", false),
        (ISSUER, "http://127.0.0.1/jwks.json", false),
        (ISSUER, "file:///etc/passwd", false),
        (ISSUER, "https://user@keys.example/jwks.json", false),
    ] {
        let world = World::with(settings.clone(), &[("k", &key)]);
        world.web.put(jwks, &json!({"keys": [key.jwk("k")]}));
        world.web.put(&at, &json!({"issuer": issuer, "jwks_uri": jwks}));
        let verdict = world.verify(&key.token("k", &claims(json!({})))).await;
        assert_eq!(verdict.is_ok(), fine, "{issuer} {jwks}");
        assert!(fine || unavailable(verdict.err()));
    }
}

#[tokio::test]
async fn an_empty_or_broken_set_does_not_replace_a_good_one() {
    let key = Signer::p256();
    let world = World::new(&[("k", &key)]);
    world.verify(&key.token("k", &claims(json!({})))).await.unwrap();
    for broken in [
        json!({"keys": []}),
        json!({"keys": {}}),
        json!([]),
        json!({"keys": [{"kty": "oct", "k": "AA"}]}),
    ] {
        world.web.put(JWKS, &broken);
        world.pass(15);
        let token = key.token("new", &claims(json!({})));
        assert_eq!(world.verify(&token).await.err(), Some(Refusal::Key));
        world
            .verify(&key.token("k", &claims(json!({"sub": broken.to_string()}))))
            .await
            .unwrap();
    }
    assert_eq!(world.web.fetches.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn a_token_without_a_key_id_needs_a_set_with_one_fitting_key() {
    let (one, two) = (Signer::p256(), Signer::p256());
    let header = json!({"alg": "ES256", "typ": "at+jwt"});
    let token = one.raw(&header, &claims(json!({})));
    let world = World::new(&[("k", &one), ("r", &Signer::ed25519())]);
    world.verify(&token).await.unwrap();
    let world = World::new(&[("k", &one), ("l", &two)]);
    assert_eq!(world.verify(&token).await.err(), Some(Refusal::Key));
}
