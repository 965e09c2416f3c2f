use serde_json::json;

use super::world::{Signer, World, claims, issuer_settings, rule};
use crate::{Identity, Rule, Tenants};

async fn mapped(rules: Vec<Rule>, changes: serde_json::Value) -> Identity {
    let key = Signer::ed25519();
    let mut settings = issuer_settings();
    settings.rules = rules;
    settings.name_claim = Some("preferred_username".into());
    let world = World::with(settings, &[("k", &key)]);
    let who = world.verify(&key.token("k", &claims(changes))).await.unwrap();
    (*who).clone()
}

fn roles(who: &Identity) -> Vec<&str> {
    who.roles.iter().map(String::as_str).collect()
}

#[tokio::test]
async fn rules_that_apply_add_up_and_others_grant_nothing() {
    let rules = vec![
        rule("scope", "audit.read", &["reader"]),
        rule("scope", "audit", &["admin"]),
        rule("/realm_access/roles", "siem", &["ingest", "auditor"]),
        rule("/realm_access/roles", "SIEM", &["admin"]),
        rule("groups", "audit.read openid", &["admin"]),
        rule("https://corp.example/level", "7", &["investigator"]),
        rule("email_verified", "true", &["operator"]),
        rule("absent", "", &["admin"]),
    ];
    let who = mapped(
        rules,
        json!({
            "realm_access": {"roles": ["x", "siem"]}, "https://corp.example/level": 7, "email_verified": true,
            "groups": "audit.read openid x",
        }),
    )
    .await;
    assert_eq!(
        roles(&who),
        ["auditor", "ingest", "investigator", "operator", "reader"]
    );
    assert_eq!(who.tenants, Tenants::Of([].into()));
}

#[tokio::test]
async fn a_scope_is_a_word_and_nothing_within_one() {
    let rules = || vec![rule("scope", "read", &["reader"])];
    for (scope, fine) in [
        ("read", true),
        ("a read b", true),
        ("read.all", false),
        ("aread", false),
        ("Read", false),
        ("", false),
    ] {
        let who = mapped(rules(), json!({"scope": scope})).await;
        assert_eq!(!who.roles.is_empty(), fine, "{scope}");
    }
}

#[tokio::test]
async fn tenants_come_from_claims_but_never_the_servers_own() {
    let from = |claim: &str| Rule {
        tenants_from: Some(claim.into()),
        ..Rule::default()
    };
    let named = |tenants: &[&str]| Tenants::Of(tenants.iter().map(ToString::to_string).collect());
    let orgs =
        json!({"orgs": ["acme", "_system", "b-2", "../x", "", "UPPER", "a/b", "*", "-x", 7, "y".repeat(64)]});
    assert_eq!(
        mapped(vec![from("orgs")], orgs).await.tenants,
        named(&["acme", "b-2"])
    );
    assert_eq!(
        mapped(vec![from("org")], json!({"org": "_system"})).await.tenants,
        named(&[])
    );
    let named_by_rule = Rule {
        tenants: vec!["_system".into()],
        ..rule("org", "acme", &[])
    };
    assert_eq!(
        mapped(vec![named_by_rule], json!({})).await.tenants,
        named(&["_system"])
    );
    let all = Rule {
        all_tenants: true,
        ..rule("org", "acme", &[])
    };
    assert_eq!(
        mapped(vec![all.clone(), from("org")], json!({})).await.tenants,
        Tenants::All
    );
    assert_eq!(
        mapped(vec![all], json!({"org": "other"})).await.tenants,
        named(&[])
    );
}

#[tokio::test]
async fn a_name_for_people_is_taken_when_it_can_be_shown() {
    let rules = || vec![rule("scope", "x", &["reader"])];
    assert_eq!(
        mapped(rules(), json!({"preferred_username": "Ann"})).await.name,
        "Ann"
    );
    for name in [
        json!("a\u{1b}[31m"),
        json!(""),
        json!(null),
        json!(5),
        json!("x".repeat(129)),
    ] {
        assert_eq!(
            mapped(rules(), json!({"preferred_username": name})).await.name,
            "u-1"
        );
    }
}
