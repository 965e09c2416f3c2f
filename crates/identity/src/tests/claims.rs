use serde_json::{Value, json};

use super::world::{NOW_S, Signer, World, claims};
use crate::Refusal;

async fn verdict(world: &World, key: &Signer, changes: Value) -> Result<(), Refusal> {
    world.verify(&key.token("k", &claims(changes))).await.map(|_| ())
}

#[tokio::test]
async fn a_good_token_is_accepted_under_every_algorithm() {
    for key in [
        Signer::p256(),
        Signer::p384(),
        Signer::ed25519(),
        Signer::rsa(false),
        Signer::rsa(true),
    ] {
        let world = World::new(&[("k", &key)]);
        let who = world.verify(&key.token("k", &claims(json!({})))).await.unwrap();
        assert_eq!(
            (who.issuer.as_str(), who.subject.as_str()),
            ("corp", "u-1"),
            "{}",
            key.alg()
        );
        assert_eq!(who.expires_at_ms, (NOW_S + 3600 + 30) * 1000);
    }
}

#[tokio::test]
async fn audience_and_issuer_must_be_ours() {
    let key = Signer::p256();
    let world = World::new(&[("k", &key)]);
    for (aud, fine) in [
        (json!("attestore"), true),
        (json!(["other", "attestore"]), true),
        (json!(["other"]), false),
        (json!("other"), false),
        (json!("attestore "), false),
        (json!("Attestore"), false),
        (json!(["attestore", 1]), false),
        (json!([]), false),
        (json!({"attestore": true}), false),
        (json!(null), false),
    ] {
        let want = if fine { Ok(()) } else { Err(Refusal::Audience) };
        assert_eq!(verdict(&world, &key, json!({"aud": aud})).await, want, "{aud}");
    }
    for iss in [
        "https://issuer.example/realms/x/",
        "https://ISSUER.example/realms/x",
        "",
    ] {
        assert_eq!(
            verdict(&world, &key, json!({"iss": iss})).await,
            Err(Refusal::Issuer),
            "{iss}"
        );
    }
    assert_eq!(
        verdict(&world, &key, json!({"iss": null})).await,
        Err(Refusal::Malformed)
    );
    assert_eq!(
        verdict(&world, &key, json!({"iss": ["https://issuer.example/realms/x"]})).await,
        Err(Refusal::Malformed)
    );
}

#[tokio::test]
async fn times_hold_to_the_second_with_leeway() {
    let key = Signer::p256();
    let world = World::new(&[("k", &key)]);
    for (changes, want) in [
        (json!({"iat": NOW_S - 100, "exp": NOW_S - 29}), Ok(())),
        (
            json!({"iat": NOW_S - 100, "exp": NOW_S - 30}),
            Err(Refusal::Expired),
        ),
        (json!({"nbf": NOW_S + 30}), Ok(())),
        (json!({"nbf": NOW_S + 31}), Err(Refusal::NotYet)),
        (json!({"iat": NOW_S + 30, "exp": NOW_S + 60}), Ok(())),
        (
            json!({"iat": NOW_S + 31, "exp": NOW_S + 60}),
            Err(Refusal::NotYet),
        ),
        (json!({"iat": NOW_S, "exp": NOW_S + 86_400}), Ok(())),
        (
            json!({"iat": NOW_S, "exp": NOW_S + 86_401}),
            Err(Refusal::Lifetime),
        ),
        (
            json!({"iat": NOW_S - 86_400, "exp": NOW_S + 1}),
            Err(Refusal::Lifetime),
        ),
        (json!({"iat": null, "exp": NOW_S + 86_400}), Ok(())),
        (
            json!({"iat": null, "exp": NOW_S + 86_401}),
            Err(Refusal::Lifetime),
        ),
        (json!({"exp": u64::MAX}), Err(Refusal::Malformed)),
        (
            json!({"iat": NOW_S + 20, "exp": NOW_S + 10}),
            Err(Refusal::Malformed),
        ),
        (json!({"exp": f64::from(u32::MAX)}), Err(Refusal::Malformed)),
        (json!({"exp": 1_800_000_000.9}), Ok(())),
        (json!({"iat": -1.0}), Err(Refusal::Malformed)),
        (json!({"exp": null}), Err(Refusal::Malformed)),
    ] {
        assert_eq!(verdict(&world, &key, changes.clone()).await, want, "{changes}");
    }
}

/// A time that cannot be read is no time that is absent.
#[tokio::test]
async fn a_time_of_the_wrong_type_is_refused() {
    let key = Signer::p256();
    let world = World::new(&[("k", &key)]);
    for name in ["exp", "nbf", "iat"] {
        for value in [
            json!("1800003600"),
            json!("never"),
            json!([1]),
            json!({}),
            json!(true),
            json!(-5),
        ] {
            let refused = verdict(&world, &key, json!({name: value})).await;
            assert_eq!(refused, Err(Refusal::Malformed), "{name}: {value}");
        }
    }
    let whole = claims(json!({})).to_string();
    let null = whole.replacen("\"exp\":1800003600", "\"exp\":null", 1);
    assert_ne!(null, whole);
    let token = key.token("k", &serde_json::from_str(&null).unwrap());
    assert_eq!(world.verify(&token).await.err(), Some(Refusal::Malformed));
}

#[tokio::test]
async fn only_access_tokens_are_taken() {
    let key = Signer::p256();
    let world = World::new(&[("k", &key)]);
    for (typ, fine) in [
        (json!("at+jwt"), true),
        (json!("application/at+jwt"), true),
        (json!("AT+JWT"), true),
        (json!("JWT"), true),
        (json!("logout+jwt"), false),
        (json!("secevent+jwt"), false),
        (json!("dpop+jwt"), false),
        (json!("JOSE"), false),
        (json!(""), false),
        (json!(null), false),
    ] {
        let token = key.raw(
            &json!({"alg": "ES256", "kid": "k", "typ": typ}),
            &claims(json!({})),
        );
        let want = if fine { None } else { Some(Refusal::Type) };
        assert_eq!(world.verify(&token).await.err(), want, "{typ}");
    }
}

#[tokio::test]
async fn a_subject_names_somebody() {
    let key = Signer::p256();
    let world = World::new(&[("k", &key)]);
    for sub in [
        json!(null),
        json!(""),
        json!(7),
        json!("a\nb"),
        json!("a\u{7f}"),
        json!("x".repeat(256)),
    ] {
        assert_eq!(
            verdict(&world, &key, json!({"sub": sub})).await,
            Err(Refusal::Subject),
            "{sub}"
        );
    }
    assert_eq!(
        verdict(&world, &key, json!({"sub": "x".repeat(255)})).await,
        Ok(())
    );
}
