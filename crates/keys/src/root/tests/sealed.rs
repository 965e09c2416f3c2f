//! Roots sealed under a passphrase, and by something that comes and goes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use attestore_disk::sim::{Fault, SimDisk};
use attestore_disk::{Disk, Mode};
use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::{bytes, dynamic, entropy};
use crate::{
    Cost, Entropy, Error, FileRoot, Holder, Key, PassphraseSeal, Provider, RootProvider, RootSeal,
    SeededEntropy,
};

const CHEAP: Cost = Cost {
    memory_kib: 8,
    passes: 1,
    lanes: 1,
};

fn passphrase(text: &str) -> Arc<dyn RootSeal> {
    Arc::new(PassphraseSeal::new(
        Zeroizing::new(text.as_bytes().to_vec()),
        CHEAP,
    ))
}

fn open(disk: &SimDisk, seal: Arc<dyn RootSeal>) -> crate::Result<FileRoot> {
    FileRoot::open_sealed(dynamic(disk), "keys", entropy(2), seal, None)
}

fn create(disk: &SimDisk, seal: Arc<dyn RootSeal>) -> crate::Result<FileRoot> {
    FileRoot::open_or_create_sealed(dynamic(disk), "keys", entropy(1), seal)
}

/// Keys that live elsewhere, as in a security module: they stay when the process ends, and may be out of reach.
#[derive(Default)]
struct Module {
    keys: Mutex<BTreeMap<Vec<u8>, Key>>,
    away: Mutex<bool>,
    /// Fails on destroying this many times.
    stubborn: Mutex<u32>,
}

impl Module {
    fn check(&self) -> crate::Result<()> {
        match *self.away.lock() {
            true => Err(Error::Unreachable {
                what: "module".into(),
            }),
            false => Ok(()),
        }
    }

    fn missing() -> Error {
        Error::MissingKey {
            what: "key in the module".into(),
        }
    }
}

impl RootSeal for Module {
    fn provider(&self) -> Provider {
        Provider::Pkcs11
    }

    fn reference(&self, generation: u64, entropy: &dyn Entropy) -> crate::Result<Vec<u8>> {
        let random: [u8; 8] = crate::random_array(entropy);
        Ok([generation.to_be_bytes(), random].concat())
    }

    fn leaves_traces(&self) -> bool {
        true
    }

    fn seal(
        &self,
        reference: &[u8],
        aad: &[u8],
        root: &Key,
        entropy: &dyn Entropy,
    ) -> crate::Result<Vec<u8>> {
        self.check()?;
        let key = Key::random(entropy);
        let sealed = crate::aead::seal_random(&key, entropy, aad, root.expose());
        self.keys.lock().insert(reference.to_vec(), key);
        Ok(sealed)
    }

    fn open(&self, reference: &[u8], aad: &[u8], sealed: &[u8]) -> crate::Result<Key> {
        self.check()?;
        let keys = self.keys.lock();
        let key = keys.get(reference).ok_or_else(Self::missing)?;
        let wrong = || Error::WrongKey {
            what: "key in the module".into(),
        };
        let opened = crate::aead::open_random(key, aad, sealed).map_err(|_| wrong())?;
        Ok(Key::from_bytes(opened.try_into().map_err(|_| wrong())?))
    }

    fn destroy(&self, reference: &[u8], witness: Option<&[u8]>) -> crate::Result<()> {
        self.check()?;
        let mut stubborn = self.stubborn.lock();
        if *stubborn > 0 {
            *stubborn -= 1;
            return Err(Error::Unreachable {
                what: "module".into(),
            });
        }
        let mut keys = self.keys.lock();
        assert!(witness.is_none_or(|witness| keys.contains_key(witness)));
        keys.remove(reference);
        Ok(())
    }

    fn reach(&self, reference: &[u8]) -> crate::Result<()> {
        self.check()?;
        self.keys
            .lock()
            .contains_key(reference)
            .then_some(())
            .ok_or_else(Self::missing)
    }
}

#[test]
fn a_passphrase_opens_what_it_sealed_and_another_one_is_a_wrong_key() {
    let disk = SimDisk::new(1);
    let root = create(&disk, passphrase("correct horse")).unwrap();
    let key = Key::random(&SeededEntropy::new(3));
    let wrapped = root.wrap(b"aad", &key).unwrap();
    assert_eq!(root.provider(), Provider::Passphrase);
    drop(root);
    let disk = disk.crash();
    let root = open(&disk, passphrase("correct horse")).unwrap();
    assert!(root.unwrap(1, b"aad", &wrapped).unwrap().ct_eq(&key));
    let refused = open(&disk, passphrase("battery staple")).err().unwrap();
    assert!(matches!(refused, Error::WrongKey { .. }), "{refused}");
    let refused = open(&disk, passphrase("")).err().unwrap();
    assert!(matches!(refused, Error::MissingKey { .. }), "{refused}");
}

#[test]
fn the_root_is_not_in_the_file_and_new_generations_need_no_passphrase() {
    let disk = SimDisk::new(1);
    let seal = passphrase("correct horse");
    let root = create(&disk, Arc::clone(&seal)).unwrap();
    root.next_generation().unwrap();
    root.destroy(1).unwrap();
    root.next_generation().unwrap();
    let stored = bytes(&disk, "keys/root.2");
    drop(root);
    let root = open(&disk, passphrase("correct horse")).unwrap();
    assert_eq!(root.generations(), [2, 3]);
    let aad = [b"attestore root seal v1", &stored[8..20], &stored[24..60]].concat();
    let secret = passphrase("correct horse")
        .open(&stored[24..60], &aad, &stored[60..120])
        .unwrap();
    let mut parts = secret.expose().windows(8);
    assert!(!parts.any(|part| stored.windows(8).any(|window| part == window)));
}

#[test]
fn a_provider_that_was_not_set_up_is_a_missing_key_and_makes_nothing() {
    let disk = SimDisk::new(1);
    create(&disk, passphrase("correct horse")).unwrap();
    let plain = FileRoot::open_or_create(dynamic(&disk), "keys", entropy(3));
    assert!(matches!(plain, Err(Error::MissingKey { .. })));
    assert_eq!(disk.paths(), [Path::new("keys/root.1")]);
    let disk = SimDisk::new(2);
    FileRoot::open_or_create(dynamic(&disk), "keys", entropy(3)).unwrap();
    let sealed = create(&disk, passphrase("correct horse"));
    assert!(matches!(sealed, Err(Error::MissingKey { .. })));
    assert_eq!(disk.paths(), [Path::new("keys/root.1")]);
}

#[test]
fn the_layout_of_a_sealed_root_file_does_not_change() {
    let disk = SimDisk::new(1);
    create(&disk, passphrase("correct horse")).unwrap();
    let bytes = bytes(&disk, "keys/root.1");
    assert_eq!(bytes[..18], *b"ATSTROOT\x02\0\x01\0\0\0\0\0\0\0");
    assert_eq!(bytes[18..24], [2, 0, 36, 0, 60, 0]);
    assert_eq!(bytes[24..36], [8, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!((bytes.len(), crc32fast::hash(&bytes[..128])), (132, GOLDEN));
}

const GOLDEN: u32 = 1_863_641_412;

#[test]
fn every_flipped_bit_of_a_sealed_root_file_is_damage() {
    let disk = SimDisk::new(1);
    let module = Arc::new(Module::default());
    create(&disk, Arc::clone(&module) as Arc<dyn RootSeal>).unwrap();
    let len = bytes(&disk, "keys/root.1").len() as u64;
    for at in 0..len {
        disk.flip("keys/root.1", at, 4).unwrap();
        let refused = open(&disk, Arc::clone(&module) as Arc<dyn RootSeal>)
            .err()
            .unwrap();
        assert!(refused.is_damage(), "byte {at}: {refused}");
        disk.flip("keys/root.1", at, 4).unwrap();
    }
    open(&disk, module).unwrap();
}

#[test]
fn costs_beyond_bounds_are_refused_before_they_are_paid() {
    let seal = passphrase("correct horse");
    let reference = seal.reference(1, &SeededEntropy::new(1)).unwrap();
    for (at, value) in [(0, u32::MAX), (4, 65), (8, 17), (0, 0), (4, 0)] {
        let mut forged = reference.clone();
        forged[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let refused = seal.open(&forged, b"", &[0; 60]).err().unwrap();
        assert!(refused.is_damage(), "{at}, {value}: {refused}");
    }
}

#[test]
fn what_was_destroyed_elsewhere_does_not_open_and_takes_nothing_with_it() {
    let disk = SimDisk::new(1);
    let module = Arc::new(Module::default());
    let root = create(&disk, Arc::clone(&module) as Arc<dyn RootSeal>).unwrap();
    let old = bytes(&disk, "keys/root.1");
    root.next_generation().unwrap();
    root.destroy(1).unwrap();
    assert_eq!(module.keys.lock().len(), 1);
    // Somebody kept the file.
    let file = disk.open(Path::new("keys/root.1"), Mode::Create).unwrap();
    file.write_all_at(&old, 0).unwrap();
    let refused = open(&disk, Arc::clone(&module) as Arc<dyn RootSeal>)
        .err()
        .unwrap();
    assert!(matches!(refused, Error::MissingKey { .. }), "{refused}");
    assert!(disk.exists(Path::new("keys/root.1")).unwrap());
}

#[test]
fn while_the_module_is_away_wrapping_goes_on_and_rotation_waits() {
    let disk = SimDisk::new(1);
    let module = Arc::new(Module::default());
    let root = create(&disk, Arc::clone(&module) as Arc<dyn RootSeal>).unwrap();
    let key = Key::random(&SeededEntropy::new(3));
    root.reach().unwrap();
    *module.away.lock() = true;
    assert!(matches!(root.reach(), Err(Error::Unreachable { .. })));
    let wrapped = root.wrap(b"aad", &key).unwrap();
    root.unwrap(1, b"aad", &wrapped).unwrap();
    assert!(matches!(root.next_generation(), Err(Error::Unreachable { .. })));
    assert_eq!(root.generations(), [1]);
    let closed = open(&disk, Arc::clone(&module) as Arc<dyn RootSeal>)
        .err()
        .unwrap();
    assert!(closed.is_key() && !closed.is_damage(), "{closed}");
    *module.away.lock() = false;
    assert_eq!(root.next_generation().unwrap(), 2);
    *module.stubborn.lock() = 2;
    root.destroy(1).unwrap_err();
    root.destroy(1).unwrap_err();
    root.destroy(1).unwrap();
    assert_eq!(module.keys.lock().len(), 1);
    assert_eq!(disk.paths(), [Path::new("keys/root.2")]);
}

#[test]
fn a_destruction_that_the_module_refused_is_finished_at_the_next_opening() {
    let disk = SimDisk::new(1);
    let module = Arc::new(Module::default());
    let root = create(&disk, Arc::clone(&module) as Arc<dyn RootSeal>).unwrap();
    root.next_generation().unwrap();
    *module.stubborn.lock() = 1;
    root.destroy(1).unwrap_err();
    drop(root);
    let root = open(&disk.crash(), Arc::clone(&module) as Arc<dyn RootSeal>).unwrap();
    assert_eq!((root.generations(), module.keys.lock().len()), (vec![2], 1));
}

/// Rotates once; says which steps were acknowledged.
fn rotate(disk: &SimDisk, seal: &Arc<dyn RootSeal>) -> (bool, bool) {
    let Ok(root) = create(disk, Arc::clone(seal)) else {
        return (false, false);
    };
    let Ok(_) = root.next_generation() else {
        return (false, false);
    };
    (true, root.destroy(1).is_ok())
}

#[test]
fn a_crash_or_error_at_any_operation_of_a_sealed_rotation_leaves_a_root_to_open_and_no_key_too_many() {
    let kinds: [fn() -> Arc<dyn RootSeal>; 2] =
        [|| passphrase("correct horse"), || Arc::new(Module::default())];
    for (number, kind) in kinds.into_iter().enumerate() {
        let whole = SimDisk::new(0);
        assert_eq!(rotate(&whole, &kind()), (true, true));
        for op in 0..whole.op_count() {
            for fault in [
                Fault::CrashBefore,
                Fault::CrashTorn,
                Fault::CrashAfter,
                Fault::Errno(5),
            ] {
                for seed in 0..4 {
                    let what = format!("kind {number}, seed {seed}, {fault:?} at {op}");
                    let module = Arc::new(Module::default());
                    let seal: Arc<dyn RootSeal> = match number {
                        0 => kind(),
                        _ => Arc::clone(&module) as Arc<dyn RootSeal>,
                    };
                    let disk = SimDisk::new(seed);
                    disk.fail_at(op, fault);
                    let (created, destroyed) = rotate(&disk, &seal);
                    let left = disk.crash();
                    let again = match number {
                        0 => kind(),
                        _ => seal,
                    };
                    let root = create(&left, again).unwrap_or_else(|error| panic!("{what}: {error}"));
                    assert!(!created || root.generation() == 2, "{what}");
                    assert!(!destroyed || root.generations() == [2], "{what}");
                    if number == 1 {
                        assert_eq!(module.keys.lock().len(), root.generations().len(), "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn who_holds_the_roots_is_read_as_it_was_written_and_nothing_else() {
    let disk = SimDisk::new(1);
    let dir = Path::new("keys");
    assert_eq!(Holder::read(&disk, dir).unwrap(), None);
    let place = BTreeMap::from([
        ("module".to_owned(), "/usr/lib/a b.so".to_owned()),
        ("token".to_owned(), "audit".to_owned()),
    ]);
    let holder = Holder::new(Provider::Pkcs11, place, &SeededEntropy::new(1));
    holder.write(&disk, dir).unwrap();
    holder.write(&disk, dir).unwrap();
    let left = disk.crash();
    assert_eq!(Holder::read(&left, dir).unwrap().as_ref(), Some(&holder));
    let text = String::from_utf8(bytes(&left, "keys/root.provider")).unwrap();
    for wrong in [
        text.replace("attestore", "Attestore"),
        text.replace("provider pkcs11\n", ""),
        text.replace("set ", "set z"),
        format!("{text}token other\n"),
        format!("{text}nothing\n"),
    ] {
        let disk = SimDisk::new(1);
        disk.create_dir_all(dir).unwrap();
        let file = disk.open(&Holder::path(dir), Mode::Create).unwrap();
        file.write_all_at(wrong.as_bytes(), 0).unwrap();
        assert!(Holder::read(&disk, dir).unwrap_err().is_damage(), "{wrong}");
    }
    let unknown = text.replace("pkcs11", "abacus");
    let file = left.open(&Holder::path(dir), Mode::ReadWrite).unwrap();
    file.set_len(0).unwrap();
    file.write_all_at(unknown.as_bytes(), 0).unwrap();
    assert!(Holder::read(&left, dir).unwrap_err().is_key());
}

#[test]
fn a_new_provider_takes_over_and_the_former_is_needed_until_its_roots_are_gone() {
    let disk = SimDisk::new(1);
    FileRoot::open_or_create(dynamic(&disk), "keys", entropy(1)).unwrap();
    let module = Arc::new(Module::default());
    let seal = || Arc::clone(&module) as Arc<dyn RootSeal>;
    let open = |former| FileRoot::open_sealed(dynamic(&disk), "keys", entropy(4), seal(), former);
    assert!(matches!(open(None), Err(Error::MissingKey { .. })));
    let root = open(Some(FileRoot::in_the_open())).unwrap();
    assert_eq!(root.next_generation().unwrap(), 2);
    drop(root);
    let root = open(Some(FileRoot::in_the_open())).unwrap();
    assert_eq!(root.generations(), [1, 2]);
    let at = dynamic(&disk);
    let providers = || FileRoot::providers(&at, Path::new("keys"), entropy(4)).unwrap();
    assert_eq!(providers(), [Provider::File, Provider::Pkcs11]);
    root.destroy(1).unwrap();
    assert_eq!(providers(), [Provider::Pkcs11]);
    let root = open(None).unwrap().moved_from(Provider::File);
    assert_eq!(root.generations(), [2]);
    let said = root.medium();
    assert!(
        said.starts_with("destroyed in module") && said.contains("best effort"),
        "{said}"
    );
}

/// Moves the root into a module, as far as it gets.
fn move_to(disk: &SimDisk, seal: &Arc<dyn RootSeal>) -> crate::Result<()> {
    let holder = Holder {
        former: Some((Provider::File, BTreeMap::new())),
        ..Holder::new(Provider::Pkcs11, BTreeMap::new(), &SeededEntropy::new(6))
    };
    holder.write(disk, Path::new("keys"))?;
    let former = Some(FileRoot::in_the_open());
    let root = FileRoot::open_sealed(dynamic(disk), "keys", entropy(4), Arc::clone(seal), former)?;
    root.next_generation()?;
    root.destroy(1)
}

#[test]
fn a_crash_or_error_at_any_operation_of_a_move_leaves_roots_that_the_directory_knows_how_to_open() {
    let begin = || {
        let disk = SimDisk::new(1);
        FileRoot::open_or_create(dynamic(&disk), "keys", entropy(1)).unwrap();
        disk
    };
    let whole = begin();
    let first = whole.op_count();
    move_to(&whole, &(Arc::new(Module::default()) as Arc<dyn RootSeal>)).unwrap();
    for op in first..whole.op_count() {
        for fault in [
            Fault::CrashBefore,
            Fault::CrashTorn,
            Fault::CrashAfter,
            Fault::Errno(5),
        ] {
            let what = format!("{fault:?} at {op}");
            let module = Arc::new(Module::default());
            let seal = Arc::clone(&module) as Arc<dyn RootSeal>;
            let disk = begin();
            disk.fail_at(op, fault);
            let moved = move_to(&disk, &seal);
            let left = disk.crash();
            let holder = Holder::read(&left, Path::new("keys")).unwrap();
            let root = match &holder {
                None => FileRoot::open(dynamic(&left), "keys", entropy(5)),
                Some(_) => {
                    let former = Some(FileRoot::in_the_open());
                    FileRoot::open_sealed(dynamic(&left), "keys", entropy(5), seal, former)
                }
            };
            let root = root.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(moved.is_err() || root.generations() == [2], "{what}");
            assert!(holder.is_some() || root.generations() == [1], "{what}");
        }
    }
}
