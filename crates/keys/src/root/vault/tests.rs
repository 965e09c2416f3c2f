//! Against a server that answers as Vault's API is described. No Vault was at hand.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use attestore_disk::{Disk, RealDisk};
use zeroize::Zeroizing;

use super::fake::{Fake, ROLE, TOKEN};
use super::{VaultAt, VaultLogin, VaultSeal};
use crate::{Error, FileRoot, Key, RootProvider, RootSeal, SystemEntropy};

fn at(fake: &Fake) -> VaultAt {
    VaultAt {
        address: fake.address.clone(),
        mount: "transit".to_owned(),
        namespace: None,
        ca: None,
    }
}

fn token(token: &str) -> VaultLogin {
    VaultLogin::Token(Zeroizing::new(token.to_owned()))
}

fn role(secret_id: &str) -> VaultLogin {
    VaultLogin::AppRole {
        role_id: ROLE.0.to_owned(),
        secret_id: Zeroizing::new(secret_id.to_owned()),
    }
}

fn seal(fake: &Fake) -> Arc<dyn RootSeal> {
    Arc::new(VaultSeal::connect(at(fake), token(TOKEN), [7; 16]).unwrap())
}

fn disk(home: &Path) -> Arc<dyn Disk> {
    Arc::new(RealDisk::new(home.join("data")).unwrap())
}

fn create(home: &Path, fake: &Fake) -> FileRoot {
    FileRoot::open_or_create_sealed(disk(home), "keys", Arc::new(SystemEntropy), seal(fake)).unwrap()
}

fn open(home: &Path, fake: &Fake) -> crate::Result<FileRoot> {
    FileRoot::open_sealed(disk(home), "keys", Arc::new(SystemEntropy), seal(fake), None)
}

fn generations(fake: &Fake) -> Vec<String> {
    let prefix = format!("attestore-{}-", "07".repeat(16));
    let state = fake.state();
    let names = state.keys.keys().filter_map(|name| name.strip_prefix(&prefix));
    names
        .map(|name| name.split('-').next().unwrap().to_owned())
        .collect()
}

fn refused(at: VaultAt, login: VaultLogin) -> Error {
    VaultSeal::connect(at, login, [7; 16]).map(drop).unwrap_err()
}

#[test]
fn a_root_in_vault_survives_restarts_and_rotations() {
    let (home, fake) = (tempfile::tempdir().unwrap(), Fake::start());
    let root = create(home.path(), &fake);
    let key = Key::random(&SystemEntropy);
    let first = root.wrap(b"aad", &key).unwrap();
    root.reach().unwrap();
    drop(root);
    let root = open(home.path(), &fake).unwrap();
    assert!(root.unwrap(1, b"aad", &first).unwrap().ct_eq(&key));
    assert_eq!(root.next_generation().unwrap(), 2);
    let second = root.wrap(b"aad", &key).unwrap();
    assert_eq!(generations(&fake), ["1", "2"]);
    root.destroy(1).unwrap();
    assert_eq!(generations(&fake), ["2"], "deleted, and no other");
    assert!(root.medium().contains("destroyed in Vault (transit key deleted)"));
    drop(root);
    let root = open(home.path(), &fake).unwrap();
    assert_eq!(root.generations(), [2]);
    assert!(root.unwrap(2, b"aad", &second).unwrap().ct_eq(&key));
}

#[test]
fn a_copy_of_a_root_file_opens_nothing_once_its_transit_key_was_deleted() {
    let (home, fake) = (tempfile::tempdir().unwrap(), Fake::start());
    let root = create(home.path(), &fake);
    let copy: PathBuf = home.path().join("copy");
    let copied = Command::new("cp")
        .arg("-a")
        .arg(home.path().join("data"))
        .arg(&copy)
        .status();
    assert!(copied.unwrap().success());
    let opened = || {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(&copy).unwrap());
        FileRoot::open_sealed(disk, "keys", Arc::new(SystemEntropy), seal(&fake), None)
    };
    opened().expect("before, a copy opens");
    root.next_generation().unwrap();
    root.destroy(1).unwrap();
    let refused = opened().err().unwrap();
    assert!(matches!(refused, Error::MissingKey { .. }), "{refused}");
}

#[test]
fn who_is_refused_and_what_is_not_there_are_key_problems_and_never_damage() {
    let (home, fake) = (tempfile::tempdir().unwrap(), Fake::start());
    for login in [token("hvs.other"), role("wrong"), token("line\nbreak")] {
        let refused = refused(at(&fake), login);
        assert!(refused.is_key(), "{refused}");
        assert!(!refused.to_string().contains("hvs.other"), "{refused}");
    }
    assert!(matches!(
        refused(at(&fake), token("hvs.other")),
        Error::WrongKey { .. }
    ));
    assert!(matches!(
        refused(at(&fake), role("wrong")),
        Error::WrongKey { .. }
    ));
    let address = |address: &str| VaultAt {
        address: address.to_owned(),
        ..at(&fake)
    };
    for nowhere in ["http://vault.example:8200", "vault", "ftp://127.0.0.1"] {
        assert!(
            matches!(refused(address(nowhere), token(TOKEN)), Error::MissingKey { .. }),
            "{nowhere}"
        );
    }
    let nobody = refused(address("http://127.0.0.1:1"), token(TOKEN));
    assert!(matches!(nobody, Error::Unreachable { .. }), "{nobody}");
    for mount in ["", "/transit", "a/../b", "a b"] {
        let at = VaultAt {
            mount: mount.to_owned(),
            ..at(&fake)
        };
        assert!(
            matches!(refused(at, token(TOKEN)), Error::MissingKey { .. }),
            "{mount}"
        );
    }
    create(home.path(), &fake);
    let other = VaultSeal::connect(at(&fake), token(TOKEN), [8; 16]).unwrap();
    let opened = FileRoot::open_sealed(
        disk(home.path()),
        "keys",
        Arc::new(SystemEntropy),
        Arc::new(other),
        None,
    );
    assert!(matches!(opened.err().unwrap(), Error::WrongKey { .. }));
    fake.state().mounted = false;
    assert!(matches!(
        open(home.path(), &fake).err().unwrap(),
        Error::Unreachable { .. }
    ));
    fake.state().mounted = true;
    open(home.path(), &fake).unwrap();
    fake.state().keys.clear();
    assert!(matches!(
        open(home.path(), &fake).err().unwrap(),
        Error::MissingKey { .. }
    ));
}

#[test]
fn a_vault_that_is_sealed_stops_rotations_and_no_more_and_comes_back() {
    let (home, fake) = (tempfile::tempdir().unwrap(), Fake::start());
    let root = create(home.path(), &fake);
    let key = Key::random(&SystemEntropy);
    root.next_generation().unwrap();
    fake.state().sealed = true;
    let away = root.reach().unwrap_err();
    assert!(away.to_string().contains("sealed"), "{away}");
    let wrapped = root.wrap(b"aad", &key).unwrap();
    assert!(root.unwrap(2, b"aad", &wrapped).unwrap().ct_eq(&key));
    assert!(root.next_generation().unwrap_err().is_key());
    let refused = root.destroy(1).unwrap_err();
    assert!(
        matches!(refused, Error::Unreachable { .. }),
        "nothing is said to be destroyed: {refused}"
    );
    let start = VaultSeal::connect(at(&fake), token(TOKEN), [7; 16])
        .map(drop)
        .unwrap_err();
    assert!(matches!(start, Error::Unreachable { .. }), "{start}");
    fake.state().sealed = false;
    root.reach().unwrap();
    root.destroy(1).unwrap();
    assert_eq!(root.next_generation().unwrap(), 3);
    root.destroy(2).unwrap();
    drop(root);
    assert_eq!(open(home.path(), &fake).unwrap().generations(), [3]);
    assert_eq!(
        generations(&fake),
        ["3"],
        "what the failed attempts made is gone too"
    );
}

#[test]
fn a_key_is_gone_only_when_vault_says_so_and_knows_the_current_one() {
    let (home, fake) = (tempfile::tempdir().unwrap(), Fake::start());
    let root = create(home.path(), &fake);
    root.next_generation().unwrap();
    fake.state().denies_config = true;
    assert!(root.destroy(1).unwrap_err().is_key());
    assert_eq!(generations(&fake), ["1", "2"]);
    fake.state().denies_config = false;
    fake.state().mounted = false;
    assert!(
        root.destroy(1).unwrap_err().is_key(),
        "a 404 of another kind says nothing"
    );
    fake.state().mounted = true;
    let kept = std::mem::take(&mut fake.state().keys);
    assert!(
        root.destroy(1).unwrap_err().is_key(),
        "who finds nothing knows nothing"
    );
    fake.state().keys = kept;
    root.destroy(1).unwrap();
    assert_eq!(generations(&fake), ["2"]);
}

#[test]
fn limits_and_passing_trouble_are_waited_out_a_few_times() {
    let (home, fake) = (tempfile::tempdir().unwrap(), Fake::start());
    let root = create(home.path(), &fake);
    for status in [412, 429, 500, 502, 503] {
        fake.state().trouble = (2, status);
        root.reach().unwrap_or_else(|error| panic!("{status}: {error}"));
    }
    fake.state().trouble = (u32::MAX, 429);
    let before = fake.state().asked.len();
    let refused = root.reach().unwrap_err();
    assert!(matches!(refused, Error::Unreachable { .. }), "{refused}");
    assert_eq!(fake.state().asked.len() - before, 3);
}

#[test]
fn a_root_is_bound_to_its_place_whether_or_not_vault_knows_associated_data() {
    for ignores in [false, true] {
        let fake = Fake::start();
        fake.state().ignores_associated_data = ignores;
        let seal = seal(&fake);
        let root = Key::random(&SystemEntropy);
        let reference = seal.reference(1, &SystemEntropy).unwrap();
        let sealed = seal.seal(&reference, b"here", &root, &SystemEntropy).unwrap();
        assert_eq!(sealed[1], u8::from(!ignores));
        assert!(seal.open(&reference, b"here", &sealed).unwrap().ct_eq(&root));
        let moved = seal.open(&reference, b"there", &sealed).err().unwrap();
        assert!(matches!(moved, Error::WrongKey { .. }), "{moved}");
        // Sealed before Vault was upgraded, opened after.
        fake.state().ignores_associated_data = false;
        assert!(seal.open(&reference, b"here", &sealed).unwrap().ct_eq(&root));
    }
}

#[test]
fn a_key_that_may_leave_vault_is_refused() {
    let fake = Fake::start();
    let seal = seal(&fake);
    let reference = seal.reference(1, &SystemEntropy).unwrap();
    let name = String::from_utf8(reference.clone()).unwrap();
    fake.state().keys.entry(name).or_default().exportable = true;
    let refused = seal.seal(&reference, b"aad", &Key::random(&SystemEntropy), &SystemEntropy);
    assert!(refused.unwrap_err().is_key());
}

#[test]
fn tokens_are_renewed_in_time_and_drawn_anew_when_they_ended() {
    let fake = Fake::start();
    fake.state().ttl = 2;
    let _kept = seal(&fake);
    let until = Instant::now() + Duration::from_secs(10);
    while !fake
        .state()
        .asked
        .iter()
        .any(|asked| asked.ends_with("/renew-self"))
    {
        assert!(Instant::now() < until, "{:?}", fake.state().asked);
        std::thread::sleep(Duration::from_millis(50));
    }
    let of_role = VaultSeal::connect(at(&fake), role(ROLE.1), [7; 16]).unwrap();
    fake.state().tokens.clear();
    let reference = of_role.reference(1, &SystemEntropy).unwrap();
    let root = Key::random(&SystemEntropy);
    of_role
        .seal(&reference, b"aad", &root, &SystemEntropy)
        .expect("another token is drawn");
}

#[test]
fn requests_name_the_namespace() {
    let fake = Fake::start();
    fake.state().namespace = Some("team/a".to_owned());
    assert!(refused(at(&fake), token(TOKEN)).is_key());
    let named = VaultAt {
        namespace: Some("team/a".to_owned()),
        ..at(&fake)
    };
    VaultSeal::connect(named, token(TOKEN), [7; 16]).unwrap();
}
