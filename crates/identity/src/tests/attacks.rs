use proptest::prelude::*;
use serde_json::json;

use super::world::{NOW_S, Signer, World, b64, claims, issuer_settings};
use crate::{Algorithm, Refusal};

fn hs256(secret: &[u8], header: &serde_json::Value, claims: &serde_json::Value) -> String {
    let signed = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    let tag = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", b64(tag))
}

#[tokio::test]
async fn no_symmetric_algorithm_and_no_none() {
    let key = Signer::rsa(false);
    let world = World::new(&[("k", &key)]);
    let jwk = key.jwk("k");
    let modulus = jwk["n"].as_str().unwrap();
    for secret in [modulus.as_bytes(), jwk.to_string().as_bytes(), b"", b"secret"] {
        for alg in ["HS256", "hs256"] {
            let header = json!({"alg": alg, "typ": "at+jwt", "kid": "k"});
            let token = hs256(secret, &header, &claims(json!({})));
            assert_eq!(world.verify(&token).await.err(), Some(Refusal::Algorithm));
        }
    }
    let good = key.token("k", &claims(json!({})));
    let signature = good.rsplit_once('.').unwrap().1;
    for alg in [
        "none", "None", "NONE", "nOnE", "", "RSA", "RS256 ", "rs256", "ES512", "ES256K",
    ] {
        let header = json!({"alg": alg, "typ": "at+jwt", "kid": "k"});
        let signed = format!(
            "{}.{}",
            b64(header.to_string()),
            b64(claims(json!({})).to_string())
        );
        for signature in ["", signature] {
            let refused = world.verify(&format!("{signed}.{signature}")).await.err();
            assert_eq!(refused, Some(Refusal::Algorithm), "{alg}");
        }
    }
}

#[tokio::test]
async fn a_set_gives_no_symmetric_keys_and_none_for_encryption() {
    let key = Signer::p256();
    let world = World::new(&[]);
    let mut encryption = key.jwk("e");
    encryption["use"] = "enc".into();
    let mut ops = key.jwk("o");
    ops["key_ops"] = json!(["sign"]);
    let mut other = key.jwk("a");
    other["alg"] = "ES384".into();
    let oct = json!({"kty": "oct", "kid": "h", "k": b64("secret"), "alg": "HS256"});
    world.web.keys(&[
        oct,
        encryption,
        ops,
        other,
        json!(7),
        json!({"kty": "EC"}),
        Signer::ed25519().jwk("fine"),
    ]);
    for kid in ["h", "e", "o", "a"] {
        let token = key.token(kid, &claims(json!({})));
        assert_eq!(world.verify(&token).await.err(), Some(Refusal::Key), "{kid}");
    }
}

#[tokio::test]
async fn an_algorithm_of_another_list_or_kind_is_refused() {
    let key = Signer::rsa(false);
    let mut settings = issuer_settings();
    settings.algorithms = vec![Algorithm::PS256, Algorithm::ES256];
    let world = World::with(settings, &[("k", &key)]);
    let token = key.token("k", &claims(json!({})));
    assert_eq!(world.verify(&token).await.err(), Some(Refusal::Algorithm));
    for (alg, want) in [("PS256", Refusal::Signature), ("ES256", Refusal::Key)] {
        let header = json!({"alg": alg, "typ": "at+jwt", "kid": "k"});
        let token = key.raw(&header, &claims(json!({})));
        assert_eq!(world.verify(&token).await.err(), Some(want), "{alg}");
    }
}

#[tokio::test]
async fn a_header_that_brings_its_own_key_is_refused_though_it_fits() {
    let (trusted, own) = (Signer::p256(), Signer::p256());
    let world = World::new(&[("k", &trusted)]);
    world
        .web
        .put("https://evil.example/jwks", &json!({"keys": [own.jwk("k")]}));
    for (name, value) in [
        ("jwk", own.jwk("k")),
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/chain")),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
    ] {
        let mut header = json!({"alg": "ES256", "typ": "at+jwt", "kid": "k"});
        header[name] = value;
        for key in [&own, &trusted] {
            let token = key.raw(&header, &claims(json!({})));
            assert_eq!(world.verify(&token).await.err(), Some(Refusal::Header), "{name}");
        }
    }
    assert_eq!(world.web.count(), 0, "nothing was fetched for them");
    let token = own.token("k", &claims(json!({})));
    assert_eq!(world.verify(&token).await.err(), Some(Refusal::Signature));
}

#[tokio::test]
async fn every_changed_character_is_refused() {
    let key = Signer::p256();
    let world = World::new(&[("k", &key)]);
    let token = key.token("k", &claims(json!({})));
    world.verify(&token).await.unwrap();
    for at in 0..token.len() {
        for by in [b'A', b'_', b'.', b'=', b' '] {
            let mut bad = token.clone().into_bytes();
            if bad[at] == by {
                continue;
            }
            bad[at] = by;
            let bad = String::from_utf8(bad).unwrap();
            assert!(world.verify(&bad).await.is_err(), "character {at}");
            assert!(world.resource.recognise(&bad).is_none());
        }
    }
    for bad in [
        format!("{token}="),
        format!("{token}A"),
        format!("{token}.x"),
        format!(" {token}"),
        format!("{token}\n"),
        token[..token.len() - 1].to_owned(),
    ] {
        assert!(world.verify(&bad).await.is_err(), "{bad}");
    }
}

#[tokio::test]
async fn members_that_come_twice_are_refused() {
    let key = Signer::p256();
    let world = World::new(&[("k", &key)]);
    let payload = claims(json!({})).to_string();
    for header in [
        r#"{"alg":"ES256","alg":"none","typ":"at+jwt","kid":"k"}"#,
        r#"{"alg":"ES256","typ":"at+jwt","typ":"at+jwt","kid":"k"}"#,
        r#"["ES256"]"#,
        "",
        "null",
    ] {
        let signed = format!("{}.{}", b64(header), b64(&payload));
        let token = format!("{signed}.{}", b64(key.sign(signed.as_bytes())));
        assert_eq!(
            world.verify(&token).await.err(),
            Some(Refusal::Malformed),
            "{header}"
        );
    }
}

#[tokio::test]
async fn long_and_deep_tokens_are_refused_before_anything_is_fetched() {
    let key = Signer::p256();
    let world = World::new(&[("k", &key)]);
    let token = key.token("k", &claims(json!({"pad": "x".repeat(9000)})));
    assert_eq!(world.verify(&token).await.err(), Some(Refusal::TooLong));
    let deep = format!("{{\"iss\":{}{}}}", "[".repeat(2000), "]".repeat(2000));
    let signed = format!(
        "{}.{}",
        b64(r#"{"alg":"ES256","typ":"at+jwt","kid":"k"}"#),
        b64(deep)
    );
    assert_eq!(
        world.verify(&format!("{signed}.AA")).await.err(),
        Some(Refusal::Malformed)
    );
    assert_eq!(world.web.count(), 0);
}

#[tokio::test]
async fn a_key_of_one_issuer_signs_nothing_for_another() {
    let (ours, theirs) = (Signer::p256(), Signer::p256());
    let mut second = issuer_settings();
    second.name = "other".into();
    second.issuer = "https://other.example".into();
    second.jwks_url = Some("https://other.example/jwks".into());
    let settings = crate::Settings {
        issuers: vec![issuer_settings(), second],
        ..crate::Settings::default()
    };
    let world = World::new(&[("k", &ours)]);
    world
        .web
        .put("https://other.example/jwks", &json!({"keys": [theirs.jwk("k")]}));
    let resource = crate::Resource::new(&settings, world.web.clone(), world.clock.clone(), Some);
    let forged = theirs.token("k", &claims(json!({})));
    assert_eq!(resource.verify(&forged).await.err(), Some(Refusal::Signature));
    let theirs = theirs.token("k", &claims(json!({"iss": "https://other.example"})));
    assert_eq!(resource.verify(&theirs).await.unwrap().issuer, "other");
}

#[tokio::test]
async fn a_token_stays_known_no_longer_than_it_is_valid() {
    let key = Signer::p256();
    let mut settings = issuer_settings();
    settings.recheck_s = 100_000;
    let world = World::with(settings, &[("k", &key)]);
    let token = key.token("k", &claims(json!({"exp": NOW_S + 100})));
    assert!(world.resource.recognise(&token).is_none());
    world.verify(&token).await.unwrap();
    world.pass(129);
    assert!(world.resource.recognise(&token).is_some());
    world.pass(1);
    assert!(world.resource.recognise(&token).is_none());
    assert_eq!(world.verify(&token).await.err(), Some(Refusal::Expired));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn garbage_never_passes_and_never_panics(bytes in "[A-Za-z0-9_.=-]{0,300}", header in ".{0,60}", payload in ".{0,60}") {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let world = World::new(&[]);
        for token in [bytes.clone(), format!("{}.{}.{bytes}", b64(&header), b64(&payload))] {
            prop_assert!(runtime.block_on(world.verify(&token)).is_err());
        }
    }
}
