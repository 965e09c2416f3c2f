use super::world::{issuer_settings, rule};
use crate::{IssuerSettings, Rule, Settings};

fn check(change: impl FnOnce(&mut IssuerSettings)) -> Result<(), String> {
    let mut issuer = issuer_settings();
    change(&mut issuer);
    let settings = Settings {
        issuers: vec![issuer],
        ..Settings::default()
    };
    settings
        .check(|role| role == "reader")
        .map_err(|error| error.to_string())
}

#[test]
fn what_makes_no_sense_is_refused() {
    assert_eq!(check(|_| ()), Ok(()));
    type Change = Box<dyn FnOnce(&mut IssuerSettings)>;
    let wrong: Vec<(&str, Change)> = vec![
        ("name", Box::new(|s| s.name = "a:b".into())),
        ("name", Box::new(|s| s.name.clear())),
        ("issuer", Box::new(|s| s.issuer = "http://issuer.example".into())),
        ("issuer", Box::new(|s| s.issuer = "http://127.0.0.1:9".into())),
        ("jwks_url", Box::new(|s| s.jwks_url = Some("ftp://x/".into()))),
        ("audiences", Box::new(|s| s.audiences.clear())),
        ("audiences", Box::new(|s| s.audiences = vec![String::new()])),
        ("algorithms", Box::new(|s| s.algorithms.clear())),
        ("types", Box::new(|s| s.types.clear())),
        ("leeway_s", Box::new(|s| s.leeway_s = 301)),
        ("keys_cooldown_s", Box::new(|s| s.keys_cooldown_s = 0)),
        ("keys_stale_max_s", Box::new(|s| s.keys_stale_max_s = 1)),
        ("rules", Box::new(|s| s.rules.clear())),
        ("belong together", Box::new(|s| s.rules[0].equals = None)),
        (
            "no role `root`",
            Box::new(|s| s.rules.push(rule("a", "b", &["root"]))),
        ),
        ("grants", Box::new(|s| s.rules.push(Rule::default()))),
    ];
    for (named, change) in wrong {
        let refused = check(change).unwrap_err();
        assert!(refused.contains(named), "{refused}: {named}");
    }
}

#[test]
fn two_issuers_differ_in_name_and_url() {
    for same_name in [true, false] {
        let mut second = issuer_settings();
        if same_name {
            second.issuer = "https://second.example".into();
        } else {
            second.name = "second".into();
        }
        let settings = Settings {
            issuers: vec![issuer_settings(), second],
            ..Settings::default()
        };
        assert!(settings.check(|_| true).is_err());
    }
}

#[test]
fn symmetric_algorithms_cannot_be_written_down() {
    for name in ["HS256", "HS384", "HS512", "none", "rs256", "ES512"] {
        let written = serde_json::json!({"algorithms": [name]});
        assert!(
            serde_json::from_value::<IssuerSettings>(written).is_err(),
            "{name}"
        );
    }
}

#[test]
fn plain_http_is_for_loopback_where_it_is_allowed() {
    let mut settings = Settings {
        allow_loopback_http: true,
        issuers: vec![issuer_settings()],
        ..Settings::default()
    };
    for (url, fine) in [
        ("http://127.0.0.1:80/x", true),
        ("http://[::1]:80", true),
        ("http://localhost:80", true),
        ("http://127.0.0.1.evil.example", false),
        ("http://localhost.evil.example", false),
        ("http://10.0.0.1", false),
        ("http://127.0.0.1@evil.example", false),
    ] {
        settings.issuers[0].issuer = url.into();
        assert_eq!(settings.check(|_| true).is_ok(), fine, "{url}");
    }
}
