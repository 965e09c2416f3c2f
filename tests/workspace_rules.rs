//! Holds the structure of the workspace: who may depend on whom, which crate may name which library,
//! where versions and licences are decided. Reads `cargo metadata` and `deny.toml`; builds nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// Level of each crate; an arrow may only point to a lower level.
const LEVELS: &[(&str, u8)] = &[
    ("attestore", 5),
    ("attestore-http", 4),
    ("attestore-webhook", 3),
    ("attestore-engine", 2),
    ("attestore-verify-cli", 2),
    ("attestore-wal", 1),
    ("attestore-segment", 1),
    ("attestore-index", 1),
    ("attestore-verify", 1),
    ("attestore-limit", 1),
    ("attestore-identity", 1),
    ("attestore-witness", 1),
    ("attestore-record", 0),
    ("attestore-export", 0),
    ("attestore-tlog", 0),
    ("attestore-keys", 0),
    ("attestore-disk", 0),
    ("attestore-outbound", 0),
];

/// The arrows inside a level: root keys are in files, and with the feature `vault` somebody is asked for them over HTTP.
const SAME_LEVEL: &[(&str, &str)] = &[
    ("attestore-keys", "attestore-disk"),
    ("attestore-keys", "attestore-outbound"),
];

/// Libraries that exactly one crate of ours may name.
const OWNED: &[(&str, &str)] = &[
    ("tantivy", "attestore-index"),
    ("tantivy-query-grammar", "attestore-index"),
    ("axum", "attestore-http"),
    ("utoipa", "attestore-http"),
    ("redb", "attestore-engine"),
    ("aws-lc-rs", "attestore-keys"),
    ("argon2", "attestore-keys"),
    ("cryptoki", "attestore-keys"),
    ("zstd", "attestore-segment"),
    ("csv", "attestore-export"),
    ("parquet", "attestore-export"),
    ("redis", "attestore-limit"),
    ("jsonwebtoken", "attestore-identity"),
];

/// Crates that do no IO and know no clock may not even link these.
const PURE: &[&str] = &["attestore-record", "attestore-tlog", "attestore-export"];
const IMPURE_LIBRARIES: &[&str] = &[
    "attestore-disk",
    "tokio",
    "rustix",
    "axum",
    "redb",
    "tantivy",
    "tracing",
];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .other_options(["--locked".to_owned(), "--offline".to_owned()])
        .exec()
        .unwrap_or_else(|_| {
            MetadataCommand::new()
                .exec()
                .expect("cargo metadata runs in the workspace")
        })
}

fn ours(metadata: &Metadata) -> Vec<&Package> {
    metadata.workspace_packages()
}

fn normal_dependencies(package: &Package) -> impl Iterator<Item = &str> {
    package
        .dependencies
        .iter()
        .filter(|d| d.kind == DependencyKind::Normal)
        .map(|d| d.name.as_str())
}

#[test]
fn arrows_between_crates_point_down_only() {
    let metadata = metadata();
    let levels: BTreeMap<_, _> = LEVELS.iter().copied().collect();
    let mut wrong = Vec::new();
    for package in ours(&metadata) {
        let name = package.name.as_str();
        let Some(level) = levels.get(name) else {
            wrong.push(format!(
                "{name} has no level: place it in LEVELS and in docs/ARCHITECTURE.md"
            ));
            continue;
        };
        for dependency in normal_dependencies(package).filter(|d| d.starts_with("attestore")) {
            let below = levels.get(dependency).is_some_and(|l| l < level);
            if !below && !SAME_LEVEL.contains(&(name, dependency)) {
                wrong.push(format!("{name} -> {dependency}"));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that do not point down: {wrong:#?}");
}

#[test]
fn heavy_libraries_are_named_by_their_one_crate() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for package in ours(&metadata) {
        for dependency in normal_dependencies(package) {
            for (library, owner) in OWNED {
                // The HTTP layer opens zstd request bodies, and exports are handed out as zstd: wire encodings, not stored
                // blocks.
                let wire = *library == "zstd"
                    && ["attestore-http", "attestore-export"].contains(&package.name.as_str());
                if dependency == *library && package.name.as_str() != *owner && !wire {
                    wrong.push(format!(
                        "{} names {library}, which belongs to {owner}",
                        package.name
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pure_crates_link_no_io() {
    let metadata = metadata();
    for package in ours(&metadata)
        .into_iter()
        .filter(|p| PURE.contains(&p.name.as_str()))
    {
        let names: BTreeSet<_> = normal_dependencies(package).collect();
        let impure: Vec<_> = IMPURE_LIBRARIES.iter().filter(|l| names.contains(*l)).collect();
        assert!(
            impure.is_empty(),
            "{} is pure but depends on {impure:?}",
            package.name
        );
    }
}

#[test]
fn versions_are_decided_in_the_workspace_table_only() {
    let root = env!("CARGO_MANIFEST_DIR");
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(format!("{root}/crates")).expect("crates/ exists") {
        let manifest = entry.expect("readable entry").path().join("Cargo.toml");
        let text = read(&manifest.to_string_lossy());
        let table: toml::Table = text.parse().expect("a manifest is TOML");
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(dependencies) = table.get(kind).and_then(toml::Value::as_table) else {
                continue;
            };
            for (name, value) in dependencies {
                if value.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
                    wrong.push(format!("{}: {name}", manifest.display()));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "dependencies without `workspace = true`: {wrong:#?}"
    );
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    let root = env!("CARGO_MANIFEST_DIR");
    for entry in std::fs::read_dir(format!("{root}/crates")).expect("crates/ exists") {
        let manifest = entry.expect("readable entry").path().join("Cargo.toml");
        let table: toml::Table = read(&manifest.to_string_lossy())
            .parse()
            .expect("a manifest is TOML");
        let lints = table
            .get("lints")
            .and_then(|l| l.get("workspace"))
            .and_then(toml::Value::as_bool);
        assert_eq!(
            lints,
            Some(true),
            "{} lacks `[lints] workspace = true`",
            manifest.display()
        );
    }
}

#[test]
fn every_licence_is_on_the_allow_list() {
    let metadata = metadata();
    let deny: toml::Table = read(&format!("{}/deny.toml", env!("CARGO_MANIFEST_DIR")))
        .parse()
        .expect("deny.toml is TOML");
    let allowed: BTreeSet<&str> = deny["licenses"]["allow"]
        .as_array()
        .expect("licenses.allow is a list")
        .iter()
        .filter_map(toml::Value::as_str)
        .collect();
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        let expression = package.license.as_deref().unwrap_or("");
        // SPDX: an OR needs one allowed side, an AND all of them; `/` is the old spelling of OR.
        let fine = expression
            .replace('/', " OR ")
            .replace(['(', ')'], " ")
            .split(" OR ")
            .any(|side| {
                !side.trim().is_empty() && side.split(" AND ").all(|term| allowed.contains(term.trim()))
            });
        if !fine {
            wrong.push(format!("{} {}: {expression:?}", package.name, package.version));
        }
    }
    assert!(
        wrong.is_empty(),
        "licences not on the list in deny.toml: {wrong:#?}"
    );
}

#[test]
fn routes_are_made_behind_the_gate_only() {
    let root = format!("{}/crates/http/src", env!("CARGO_MANIFEST_DIR"));
    // What makes a route that asks for no entry, and the files that may.
    let rules: [(&str, &[&str]); 3] = [
        ("OpenApiRouter::", &["guard/routes.rs"]),
        (
            "Router::new()",
            &["guard/routes.rs", "server.rs", "witness.rs", "sealed.rs"],
        ),
        ("header::AUTHORIZATION", &["guard/token.rs"]),
    ];
    let (mut open, mut wrong) = (vec![PathBuf::from(&root)], Vec::new());
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the crate") {
            let path = entry.expect("readable entry").path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let text = read(&path.to_string_lossy());
            let name = path.to_string_lossy();
            let is_test = name.contains("tests");
            let may = |file: &&str| name.ends_with(&format!("/src/{file}"));
            let broken = rules
                .iter()
                .filter(|(code, files)| !is_test && text.contains(code) && !files.iter().any(may));
            wrong.extend(broken.map(|(code, _)| format!("{name}: {code}")));
        }
    }
    let server = read(&format!("{root}/server.rs"));
    assert_eq!(
        server.matches("Router::new()").count(),
        1,
        "only /nop, for benchmarks, is without a gate"
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[expect(clippy::disallowed_methods, reason = "a test reads its own repository")]
fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"))
}
