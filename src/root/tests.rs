use std::path::Path;
use std::sync::Arc;

use attestore_disk::{Disk, Mode, RealDisk};
use attestore_keys::Provider;
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::{Refused, Secret, open};
use crate::failure::{Failure, KEYS};
use crate::settings::Root;

fn directory() -> (TempDir, Arc<dyn Disk>) {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = RealDisk::new(dir.path().join("data")).expect("a disk");
    (dir, Arc::new(disk))
}

fn settings(provider: &str) -> Root {
    let value = serde_json::json!({ "provider": provider });
    serde_json::from_value(value).expect("settings")
}

fn given(secret: &str) -> Secret {
    Secret::Given(Zeroizing::new(secret.to_owned()))
}

fn code<T>(opened: Result<T, Refused>) -> (u8, String) {
    let failure = match opened {
        Ok(_) => panic!("it opened"),
        Err(refused) => Failure::from(refused),
    };
    (failure.code, failure.message)
}

fn names(disk: &dyn Disk) -> Vec<String> {
    let entries = disk.list(Path::new("keys")).unwrap_or_default();
    let mut names: Vec<String> = entries.into_iter().map(|entry| entry.name).collect();
    names.sort();
    names
}

/// What a catalog leaves, as far as the root is concerned.
fn put_catalog(disk: &dyn Disk) {
    disk.open(Path::new("catalog"), Mode::Create).expect("a catalog");
}

#[test]
fn a_directory_says_itself_who_holds_its_root() {
    let (_dir, disk) = directory();
    let made = open(
        &disk,
        Some(&settings("passphrase")),
        true,
        &given("correct horse"),
    );
    let generation = made.map_err(Failure::from).expect("made").generation();
    put_catalog(&*disk);
    assert_eq!(
        (generation, names(&*disk)),
        (1, vec!["root.1".to_owned(), "root.provider".to_owned()])
    );
    let opened = open(&disk, None, false, &given("correct horse"))
        .map_err(Failure::from)
        .expect("opens");
    assert_eq!(opened.provider(), Provider::Passphrase);
    let (wrong, text) = code(open(&disk, None, false, &given("battery staple")));
    assert_eq!(wrong, KEYS, "{text}");
}

#[test]
fn settings_that_say_another_provider_are_refused_and_nothing_is_made() {
    for (held, wanted) in [
        ("file", "passphrase"),
        ("passphrase", "file"),
        ("passphrase", "pkcs11"),
    ] {
        for catalog in [true, false] {
            let (_dir, disk) = directory();
            open(&disk, Some(&settings(held)), true, &given("correct horse"))
                .map_err(Failure::from)
                .expect("made");
            if catalog {
                put_catalog(&*disk);
            }
            let before = names(&*disk);
            let (refused, text) = code(open(
                &disk,
                Some(&settings(wanted)),
                true,
                &given("correct horse"),
            ));
            assert_eq!(refused, KEYS, "{text}");
            assert!(text.contains(held) && text.contains(wanted), "{text}");
            assert_eq!(names(&*disk), before);
        }
    }
}

#[test]
fn there_is_never_a_fresh_root_beside_a_catalog() {
    for provider in ["file", "passphrase"] {
        let (_dir, disk) = directory();
        put_catalog(&*disk);
        let (refused, text) = code(open(
            &disk,
            Some(&settings(provider)),
            true,
            &given("correct horse"),
        ));
        assert_eq!(refused, KEYS, "{text}");
        assert_eq!(names(&*disk), Vec::<String>::new());
    }
}

#[test]
fn a_first_passphrase_is_not_short() {
    let (_dir, disk) = directory();
    let (refused, text) = code(open(&disk, Some(&settings("passphrase")), true, &given("short")));
    assert_eq!(refused, crate::failure::USAGE, "{text}");
}
