use std::path::PathBuf;

use super::source::{hide_secrets, load_from};
use super::*;

/// Settings of a file with this text and these variables (without prefix).
fn loaded(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("attestore.toml");
    crate::files::write_text(&path, text).unwrap_or_else(|failure| panic!("{}", failure.message));
    let sources = Sources {
        config: Some(path),
        listen: None,
        ..Sources::default()
    };
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    load_from(&sources, variables).map_err(|failure| failure.message)
}

fn fault(text: &str, variables: &[(&str, &str)]) -> String {
    loaded(text, variables)
        .err()
        .expect("settings that make no sense")
}

#[test]
fn printed_defaults_are_a_valid_settings_file() {
    let text = Settings::default()
        .to_toml()
        .expect("every value has a TOML form");
    let again: Settings = toml::from_str(&text).expect("what is printed can be read");
    assert_eq!(again.to_toml().expect("same"), text);
}

#[test]
fn every_fault_is_told_with_its_key_its_place_and_what_was_meant() {
    let text = "lissten = \"x\"\n[engine]\nflush_age = 1\n\n[http]\ntails_max = \"many\"\n";
    let told = fault(text, &[("HTTP__EVENTS_MAXX", "7"), ("THREADS", "x")]);
    for part in [
        "5 wrong",
        "lissten (",
        "attestore.toml, line 1): unknown key; did you mean listen?",
        "engine.flush_age (",
        "line 3): unknown key; did you mean engine.flush_age_ms?",
        "http.tails_max (",
        "line 6): invalid type",
        "http.events_maxx (ATTESTORE_HTTP__EVENTS_MAXX): unknown key; did you mean http.events_max?",
        "threads (ATTESTORE_THREADS): write a number",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn values_that_make_no_sense_are_told_with_their_key() {
    for (text, key) in [
        ("listen = \"localhost\"", "listen"),
        ("listen = \"\"", "listen"),
        ("listen = \"0.0.0.0:7117\"", "listen"),
        ("[log]\nformat = \"xml\"", "log.format"),
        ("[log]\nlevel = \"a=b=c\"", "log.level"),
        ("[unix]\nmode = \"rw\"", "unix.mode"),
        ("[unix]\nmode = \"1777\"", "unix.mode"),
        ("[tls]\nkey_file = \"k\"", "tls.certificate_file"),
        ("[tls]\ncertificate_file = \"c\"", "tls.key_file"),
        ("[mtls]\nmode = \"required\"\nca_file = \"c\"", "mtls.mode"),
        ("[[mtls.rules]]\nname = \"a\"", "mtls.rules"),
        ("[webhook]\nallow = [\"not a host\"]", "webhook.allow"),
        ("[backup]\nto = \"b\"", "backup.recipient"),
        ("[backup]\nkeep = 0", "backup.keep"),
        ("[backup]\nship_every_s = 3601", "backup.ship_every_s"),
        ("[backup]\nwindow_days = 31", "backup.window_days"),
    ] {
        let told = fault(text, &[]);
        assert!(told.contains(&format!("\n  {key} (")), "{text}: {told}");
    }
    let fine = "listen = \"0.0.0.0:7117\"\nallow_plaintext = true";
    assert!(loaded(fine, &[]).is_ok());
    assert!(loaded("listen = \"\"\n[unix]\npath = \"/run/x\"", &[]).is_ok());
}

#[test]
fn each_source_counts_more_than_the_one_before() {
    let text = "threads = 3\n[http]\nevents_max = 5\ntails_max = 6\n[webhook]\nallow = [\"10.0.0.0/8\"]\n";
    let variables = [
        ("HTTP__TAILS_MAX", "7"),
        ("WEBHOOK__ALLOW", "10.1.0.0/16, hooks.local"),
    ];
    let loaded = loaded(text, &variables).expect("sensible");
    let settings = &loaded.settings;
    assert_eq!(
        (
            settings.threads,
            settings.http.events_max,
            settings.http.tails_max
        ),
        (3, 5, 7)
    );
    assert_eq!(settings.webhook.allow, ["10.1.0.0/16", "hooks.local"]);
    let source = |key: &str| {
        let found = loaded.effective.iter().find(|one| one.key == key);
        found.unwrap_or_else(|| panic!("{key}")).source.clone()
    };
    assert_eq!(source("http.tails_max"), "ATTESTORE_HTTP__TAILS_MAX");
    assert!(source("http.events_max").ends_with("attestore.toml, line 3"));
    assert_eq!(source("http.connections_max"), "default");
    assert_eq!(source("unix.path"), "default");
}

#[test]
fn secrets_are_hidden() {
    let mut tree = serde_json::json!({
        "redis": {"url": "rediss://user:hunter2@redis.local:6379/0", "secret": "hunter2", "prefix": "a"},
        "oidc": [{"client_secret": "hunter2", "token": "hunter2", "issuer": "https://issuer.local/a@b"}],
    });
    hide_secrets(&mut tree);
    let text = tree.to_string();
    assert!(!text.contains("hunter2"), "{text}");
    assert!(
        text.contains("@redis.local:6379/0") && text.contains("\"prefix\":\"a\""),
        "{text}"
    );
}

/// The sections of the tree: key, source file, struct. One that is missing here is missing in the documentation.
const SECTIONS: &[(&str, &str, &str)] = &[
    ("", "src/settings/mod.rs", "Settings"),
    ("root", "src/settings/root.rs", "Root"),
    ("log", "src/settings/mod.rs", "Log"),
    ("http", "src/settings/http.rs", "Http"),
    ("tls", "src/settings/listen.rs", "Tls"),
    ("mtls", "src/settings/listen.rs", "Mtls"),
    ("mtls.rules[]", "crates/http/src/tls/client.rs", "RuleSpec"),
    ("unix", "src/settings/listen.rs", "Unix"),
    ("proxy", "crates/limit/src/address.rs", "Trusted"),
    ("limits", "crates/limit/src/settings.rs", "Settings"),
    ("limits.address", "crates/limit/src/settings.rs", "Classes"),
    ("limits.credential", "crates/limit/src/settings.rs", "Classes"),
    ("limits.tenant", "crates/limit/src/settings.rs", "Classes"),
    ("limits.adaptive", "crates/limit/src/settings.rs", "Adaptive"),
    ("limits.tighten", "crates/limit/src/settings.rs", "Tighten"),
    ("redis", "crates/limit/src/settings.rs", "Redis"),
    ("oidc", "crates/identity/src/settings.rs", "Settings"),
    (
        "oidc.issuers",
        "crates/identity/src/settings.rs",
        "IssuerSettings",
    ),
    ("oidc.issuers.rules", "crates/identity/src/settings.rs", "Rule"),
    ("audit", "src/settings/audit.rs", "Audit"),
    ("backup", "src/settings/backup.rs", "Backup"),
    ("webhook", "src/settings/webhook.rs", "Webhook"),
    ("witness", "src/settings/witness.rs", "Witness"),
    ("engine", "crates/engine/src/settings.rs", "Settings"),
];
const BEGIN: &str = "<!-- keys: made from the comments in the code by a test -->\n";
const END: &str = "<!-- end of keys -->\n";

#[test]
fn the_documentation_lists_every_key() {
    let defaults = serde_json::to_value(Settings::default()).expect("a tree");
    let mut documented = Vec::new();
    let mut text = String::new();
    for (section, file, name) in SECTIONS {
        let heading = if section.is_empty() { "Top level" } else { section };
        text.push_str(&format!(
            "\n### {heading}\n| key | default | what |\n|---|---|---|\n"
        ));
        for (key, comment) in fields(file, name) {
            let full = if section.is_empty() {
                key.clone()
            } else {
                format!("{section}.{key}")
            };
            let default = full.split('.').try_fold(&defaults, |tree, name| tree.get(name));
            documented.push(full.clone());
            if default.is_some_and(serde_json::Value::is_object) {
                continue;
            }
            let default = match default {
                Some(serde_json::Value::Null) => "none".to_owned(),
                Some(value) => format!("`{value}`"),
                None => String::new(),
            };
            let comment = comment.replace('|', "\\|");
            text.push_str(&format!("| `{full}` | {default} | {comment} |\n"));
        }
    }
    fn missing(tree: &serde_json::Value, prefix: &str, documented: &[String], wrong: &mut Vec<String>) {
        let serde_json::Value::Object(map) = tree else {
            return;
        };
        for (name, value) in map {
            let key = if prefix.is_empty() {
                name.clone()
            } else {
                format!("{prefix}.{name}")
            };
            if !documented.contains(&key) {
                wrong.push(key.clone());
            }
            missing(value, &key, documented, wrong);
        }
    }
    let mut wrong = Vec::new();
    missing(&defaults, "", &documented, &mut wrong);
    assert!(
        wrong.is_empty(),
        "keys without documentation: add them to SECTIONS: {wrong:?}"
    );

    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md"));
    let page = crate::files::read_text(&path).unwrap_or_else(|failure| panic!("{}", failure.message));
    let (before, rest) = page.split_once(BEGIN).expect("a place for the keys");
    let (now, after) = rest.split_once(END).expect("its end");
    let text = format!("{text}\n");
    if std::env::var_os("ATTESTORE_UPDATE_DOCS").is_some() {
        crate::files::write_text(&path, &format!("{before}{BEGIN}{text}{END}{after}"))
            .unwrap_or_else(|f| panic!("{}", f.message));
    } else {
        assert!(
            now == text,
            "docs/operations.md is stale: run this test with ATTESTORE_UPDATE_DOCS=1"
        );
    }
}

/// Public fields of a struct and their comments.
fn fields(file: &str, name: &str) -> Vec<(String, String)> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
    let code = crate::files::read_text(&path).unwrap_or_else(|failure| panic!("{}", failure.message));
    let (_, body) = code
        .split_once(&format!("pub struct {name} {{\n"))
        .unwrap_or_else(|| panic!("{file}: {name}"));
    let (mut fields, mut comment, mut hidden) = (Vec::new(), String::new(), false);
    for line in body.lines().take_while(|line| *line != "}").map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            comment = format!("{comment} {}", text.trim()).trim().to_owned();
        } else if line.starts_with("#[serde(skip)]") {
            hidden = true;
        } else if let Some((key, _)) = line.strip_prefix("pub ").and_then(|line| line.split_once(':')) {
            if !std::mem::take(&mut hidden) {
                assert!(!comment.is_empty(), "{file}: {name}.{key} has no comment");
                fields.push((key.to_owned(), comment.clone()));
            }
            comment.clear();
        }
    }
    assert!(!fields.is_empty(), "{file}: {name} has no fields");
    fields
}
