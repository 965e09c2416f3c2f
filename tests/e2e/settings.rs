//! `attestore check-config` and packages: what an operator does before the first start.

use std::process::{Command, Output};

use crate::harness::binary;

fn check(text: &str, env: &[(&str, &str)], arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attestore.toml");
    std::fs::write(&path, text).unwrap();
    let mut command = binary();
    command
        .args(["check-config", "--config"])
        .arg(&path)
        .args(arguments)
        .envs(env.iter().copied())
        .current_dir(folder.path());
    let output = command.output().unwrap();
    assert!(!folder.path().join("attestore-data").exists(), "nothing is made");
    output
}

#[test]
fn settings_are_shown_with_their_sources_and_without_their_secrets() {
    let text = "threads = 2\n[redis]\nurl = \"redis://user:hunter2@127.0.0.1:1/0\"\nsecret = \"hunter2\"\n";
    let output = check(
        text,
        &[("ATTESTORE_HTTP__EVENTS_MAX", "77")],
        &["--listen", "127.0.0.1:1", "--output", "json"],
    );
    assert!(output.status.success(), "{output:?}");
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(!shown.contains("hunter2"), "{shown}");
    let rows: Vec<serde_json::Value> = serde_json::from_str(&shown).unwrap();
    for (key, value, source) in [
        ("threads", "2", "attestore.toml, line 1"),
        ("http.events_max", "77", "ATTESTORE_HTTP__EVENTS_MAX"),
        ("listen", "\"127.0.0.1:1\"", "--listen"),
        ("engine.compaction", "true", "default"),
    ] {
        let row = rows.iter().find(|row| row["key"] == key).unwrap();
        assert_eq!(row["value"], value, "{row}");
        assert!(row["source"].as_str().unwrap().ends_with(source), "{row}");
    }
}

#[test]
fn wrong_settings_are_refused_with_key_place_and_the_key_that_was_meant() {
    let output = check(
        "[engine]\nflush_age_s = 3\n",
        &[("ATTESTORE_LOG__FORMAT", "xml")],
        &[],
    );
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    for part in [
        "engine.flush_age_s",
        "attestore.toml, line 2",
        "did you mean engine.flush_age_ms?",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let missing = "[tls]\ncertificate_file = \"nowhere.pem\"\nkey_file = \"nowhere.key\"\n";
    let output = check(missing, &[], &[]);
    assert!(String::from_utf8(output.stderr).unwrap().contains("nowhere.pem"));
}

#[test]
fn the_debian_package_installs_and_its_settings_make_sense() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    for dir in ["var/lib/dpkg/updates", "var/lib/dpkg/info", "etc", "var/log"] {
        std::fs::create_dir_all(root.join(dir)).unwrap();
    }
    for file in ["var/lib/dpkg/status", "var/lib/dpkg/available"] {
        std::fs::write(root.join(file), "").unwrap();
    }
    let run = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    run(
        Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/deb"))
            .args([
                env!("CARGO_BIN_EXE_attestore").as_ref(),
                folder.path().as_os_str(),
            ])
            .env("DEB_COMPRESSION", "none"),
    );
    let package = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|ending| ending == "deb"))
        .expect("a package");
    run(Command::new("dpkg")
        .arg(format!("--root={}", root.display()))
        .args([
            "--force-depends",
            "--force-script-chrootless",
            "--no-triggers",
            "-i",
        ])
        .arg(&package));
    for file in [
        "usr/bin/attestore",
        "lib/systemd/system/attestore.service",
        "usr/lib/sysusers.d/attestore.conf",
        "usr/share/man/man1/attestore.1.gz",
        "usr/share/bash-completion/completions/attestore",
    ] {
        assert!(root.join(file).exists(), "{file}");
    }
    let owner = run(Command::new("dpkg-deb").arg("-c").arg(&package));
    assert!(owner.lines().all(|line| line.contains("root/root")), "{owner}");
    let settings = root.join("etc/attestore/attestore.toml");
    run(Command::new(root.join("usr/bin/attestore"))
        .args(["check-config", "--config"])
        .arg(&settings)
        .env_clear());
    run(Command::new("dpkg")
        .arg(format!("--root={}", root.display()))
        .args([
            "--force-script-chrootless",
            "--no-triggers",
            "--purge",
            "attestore",
        ]));
    assert!(!root.join("usr/bin/attestore").exists());
}
