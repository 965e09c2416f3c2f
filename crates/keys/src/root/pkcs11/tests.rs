//! Against SoftHSM 2. A module reads its surroundings once, so each test runs as a process of its own with a token of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use attestore_disk::{Disk, RealDisk};

use super::{Pkcs11Seal, TokenAt};
use crate::{Error, FileRoot, Key, RootProvider, RootSeal, SigningKey, SystemEntropy};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "8765";
const HOME: &str = "ATTESTORE_TEST_TOKEN";

/// Runs this test again as a process with a token, and returns that process's folder in there; none in the first process, once the
/// other has passed. Without SoftHSM the test fails: `apt-get install softhsm2`.
fn token(test: &str) -> Option<PathBuf> {
    if let Some(home) = std::env::var_os(HOME) {
        return Some(home.into());
    }
    let home = tempfile::tempdir().unwrap();
    let conf = home.path().join("softhsm2.conf");
    let tokens = home.path().join("tokens");
    let text = format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display());
    write(home.path(), "tokens/.keep", "");
    write(home.path(), "softhsm2.conf", &text);
    let made = Command::new("softhsm2-util")
        .args([
            "--init-token",
            "--free",
            "--label",
            "audit",
            "--pin",
            PIN,
            "--so-pin",
            "12345678",
        ])
        .env("SOFTHSM2_CONF", &conf)
        .output()
        .expect("softhsm2 is installed");
    assert!(made.status.success(), "{made:?}");
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("root::pkcs11::tests::{test}"), "--nocapture"])
        .env("SOFTHSM2_CONF", &conf)
        .env(HOME, home.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(
        ran.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    assert!(said.contains("1 passed"), "the test did not run: {said}");
    None
}

fn write(home: &Path, path: &str, text: &str) {
    let disk = RealDisk::new(home).unwrap();
    let path = Path::new(path);
    disk.create_dir_all(path.parent().unwrap()).unwrap();
    let file = disk.open(path, attestore_disk::Mode::Create).unwrap();
    file.write_all_at(text.as_bytes(), 0).unwrap();
}

fn at(label: &str) -> TokenAt {
    TokenAt {
        module: MODULE.into(),
        label: Some(label.to_owned()),
        serial: None,
    }
}

fn seal() -> Arc<dyn RootSeal> {
    Arc::new(Pkcs11Seal::connect(at("audit"), PIN, [7; 16]).unwrap())
}

fn create(home: &Path) -> FileRoot {
    FileRoot::open_or_create_sealed(disk(home), "keys", Arc::new(SystemEntropy), seal()).unwrap()
}

fn open(home: &Path) -> crate::Result<FileRoot> {
    FileRoot::open_sealed(disk(home), "keys", Arc::new(SystemEntropy), seal(), None)
}

fn disk(home: &Path) -> Arc<dyn Disk> {
    Arc::new(RealDisk::new(home.join("data")).unwrap())
}

/// Names of the keys in the token, as another program sees them.
fn keys() -> Vec<String> {
    let said = Command::new("pkcs11-tool")
        .args([
            "--module",
            MODULE,
            "--token-label",
            "audit",
            "--login",
            "--pin",
            PIN,
            "--list-objects",
        ])
        .output();
    let Ok(said) = said else { return Vec::new() };
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let names = text.lines().filter_map(|line| line.trim().strip_prefix("label:"));
    names.map(|name| name.trim().to_owned()).collect()
}

#[test]
fn a_root_in_a_token_survives_restarts_and_rotations() {
    let Some(home) = token("a_root_in_a_token_survives_restarts_and_rotations") else {
        return;
    };
    let root = create(&home);
    let key = Key::random(&SystemEntropy);
    let first = root.wrap(b"aad", &key).unwrap();
    root.reach().unwrap();
    drop(root);
    let root = open(&home).unwrap();
    assert!(root.unwrap(1, b"aad", &first).unwrap().ct_eq(&key));
    assert_eq!(root.next_generation().unwrap(), 2);
    let second = root.wrap(b"aad", &key).unwrap();
    root.destroy(1).unwrap();
    drop(root);
    let root = open(&home).unwrap();
    assert_eq!(root.generations(), [2]);
    assert!(root.unwrap(2, b"aad", &second).unwrap().ct_eq(&key));
    assert!(matches!(
        root.unwrap(1, b"aad", &first),
        Err(Error::MissingKey { .. })
    ));
    let set = "07".repeat(16);
    let there = keys();
    assert!(
        there.is_empty() || there == [format!("attestore root {set} 2")],
        "{there:?}"
    );
}

#[test]
fn a_copy_of_a_root_file_opens_nothing_once_its_key_was_destroyed_in_the_token() {
    let Some(home) = token("a_copy_of_a_root_file_opens_nothing_once_its_key_was_destroyed_in_the_token")
    else {
        return;
    };
    let root = create(&home);
    let copied = Command::new("cp")
        .arg("-a")
        .arg(home.join("data"))
        .arg(home.join("copy"))
        .status();
    assert!(copied.unwrap().success());
    let copy = || {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(home.join("copy")).unwrap());
        FileRoot::open_sealed(disk, "keys", Arc::new(SystemEntropy), seal(), None)
    };
    copy().expect("before, a copy opens");
    root.next_generation().unwrap();
    root.destroy(1).unwrap();
    let refused = copy().err().unwrap();
    assert!(matches!(refused, Error::MissingKey { .. }), "{refused}");
}

#[test]
fn a_wrong_pin_a_token_or_module_that_is_not_there_and_a_key_that_is_gone_are_key_problems() {
    let Some(home) =
        token("a_wrong_pin_a_token_or_module_that_is_not_there_and_a_key_that_is_gone_are_key_problems")
    else {
        return;
    };
    let connect = |at: TokenAt, pin: &str| Pkcs11Seal::connect(at, pin, [7; 16]).map(drop).unwrap_err();
    let refused = connect(at("audit"), "1111");
    assert!(matches!(refused, Error::WrongKey { .. }), "{refused}");
    let refused = connect(at("other"), PIN);
    assert!(matches!(refused, Error::MissingKey { .. }), "{refused}");
    let nowhere = TokenAt {
        module: home.join("nowhere.so"),
        ..at("audit")
    };
    let refused = connect(nowhere, PIN);
    assert!(matches!(refused, Error::MissingKey { .. }), "{refused}");
    create(&home);
    let removed = Command::new("pkcs11-tool")
        .args([
            "--module",
            MODULE,
            "--token-label",
            "audit",
            "--login",
            "--pin",
            PIN,
        ])
        .args([
            "--delete-object",
            "--type",
            "secrkey",
            "--label",
            &format!("attestore root {} 1", "07".repeat(16)),
        ])
        .output();
    if removed.is_ok_and(|removed| removed.status.success()) {
        let refused = open(&home).err().unwrap();
        assert!(matches!(refused, Error::MissingKey { .. }), "{refused}");
    }
}

#[test]
fn a_token_that_goes_away_stops_rotations_and_no_more_and_comes_back() {
    let Some(home) = token("a_token_that_goes_away_stops_rotations_and_no_more_and_comes_back") else {
        return;
    };
    let root = create(&home);
    let key = Key::random(&SystemEntropy);
    root.next_generation().unwrap();
    let swap = |from: &str, to: &str| {
        let moved = Command::new("mv")
            .arg(home.join(from))
            .arg(home.join(to))
            .status();
        assert!(moved.unwrap().success());
    };
    swap("tokens", "away");
    assert!(root.reach().unwrap_err().is_key());
    let wrapped = root.wrap(b"aad", &key).unwrap();
    assert!(root.unwrap(2, b"aad", &wrapped).unwrap().ct_eq(&key));
    assert!(root.next_generation().unwrap_err().is_key());
    let refused = root.destroy(1).unwrap_err();
    assert!(refused.is_key(), "nothing is said to be destroyed: {refused}");
    swap("away", "tokens");
    root.reach().unwrap();
    root.destroy(1).unwrap();
    assert_eq!(root.next_generation().unwrap(), 3);
    root.destroy(2).unwrap();
    drop(root);
    assert_eq!(open(&home).unwrap().generations(), [3]);
}

#[test]
fn keys_cannot_be_taken_out_of_the_token() {
    let Some(home) = token("keys_cannot_be_taken_out_of_the_token") else {
        return;
    };
    create(&home);
    let seal = Pkcs11Seal::connect(at("audit"), PIN, [7; 16]).unwrap();
    let values = seal.token.with(|session| {
        let all = session.find_objects(&[])?;
        let wanted = [cryptoki::object::AttributeType::Value];
        all.iter()
            .map(|key| session.get_attributes(*key, &wanted))
            .collect::<Result<Vec<_>, _>>()
    });
    assert!(values.unwrap().iter().all(Vec::is_empty));
}

#[test]
fn signing_keys_in_a_token_sign_from_many_threads_and_go_with_a_negative_look() {
    let Some(home) = token("signing_keys_in_a_token_sign_from_many_threads_and_go_with_a_negative_look")
    else {
        return;
    };
    let root = create(&home);
    let module = root.signing().unwrap();
    module.check().unwrap();
    let reference = module.reference(&SystemEntropy);
    let public = module.make(&reference).unwrap();
    let key = SigningKey::in_module(Some(module.clone()), reference.clone(), public);
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let key = &key;
            scope.spawn(move || assert!((0..50).all(|n| key.sign(&[thread, n]).is_ok())));
        }
    });
    let again = root.signing().unwrap().make(&reference).unwrap();
    assert_ne!(again, public, "one that was begun before is replaced");
    assert!(
        key.sign(b"text").is_err(),
        "the other key's signature never leaves"
    );
    module.destroy(&reference).unwrap();
    module.destroy(&reference).unwrap();
    let gone = SigningKey::in_module(Some(module.clone()), reference.clone(), again);
    let refused = gone.sign(b"text").unwrap_err();
    assert!(matches!(refused, Error::MissingKey { .. }), "{refused}");
    let there = keys();
    assert!(there.iter().all(|name| !name.contains("signing")), "{there:?}");
}

#[test]
fn a_signing_key_is_not_gone_because_its_token_is_away_or_another() {
    let Some(home) = token("a_signing_key_is_not_gone_because_its_token_is_away_or_another") else {
        return;
    };
    let root = create(&home);
    let module = root.signing().unwrap();
    let reference = module.reference(&SystemEntropy);
    let public = module.make(&reference).unwrap();
    let key = SigningKey::in_module(Some(module.clone()), reference.clone(), public);
    let swap = |from: &str, to: &str| {
        let moved = Command::new("mv")
            .arg(home.join(from))
            .arg(home.join(to))
            .status();
        assert!(moved.unwrap().success());
    };
    swap("tokens", "away");
    assert!(key.sign(b"text").unwrap_err().is_key());
    assert!(module.destroy(&reference).unwrap_err().is_key());
    swap("away", "tokens");
    key.sign(b"text").expect("it was not gone");
    let stranger = Pkcs11Seal::connect(at("audit"), PIN, [9; 16])
        .unwrap()
        .signing()
        .unwrap();
    let refused = stranger.destroy(&reference).unwrap_err();
    assert!(
        refused.is_key(),
        "who knows nothing of this directory says nothing of its keys: {refused}"
    );
    key.sign(b"text").unwrap();
}
