//! A module that is no part of the simulated disk: what was made in it stays through crashes, what was destroyed stays destroyed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use attestore_disk::sim::Fault;
use attestore_disk::{Disk, Mode as FileMode};
use attestore_keys::{
    Entropy, Error as KeyError, Key, Provider, RootProvider, SigningKey, SigningModule, random_array,
};
use attestore_tlog::{VerifierKey, open_checkpoint};
use parking_lot::Mutex;

use super::all;
use crate::handover::LogKeyState;
use crate::settings::SigningKeys;
use crate::testing::{World, event, settings};
use crate::{Engine, OpenError, OpenMode, Parts, Settings};

/// Keys by reference.
#[derive(Clone, Default)]
struct Module {
    keys: Arc<Mutex<BTreeMap<Vec<u8>, Key>>>,
    away: Arc<AtomicBool>,
    /// Signs what is not asked for.
    wrong: Arc<AtomicBool>,
    cannot: bool,
    /// Its directory's set.
    set: u8,
}

impl Module {
    fn ask(&self) -> Result<(), KeyError> {
        match self.away.load(Ordering::Relaxed) {
            true => Err(KeyError::Unreachable { what: "token".into() }),
            false => Ok(()),
        }
    }

    fn references(&self) -> Vec<String> {
        self.keys
            .lock()
            .keys()
            .map(|one| crate::catalog::hex(one))
            .collect()
    }
}

impl SigningModule for Module {
    fn check(&self) -> Result<(), KeyError> {
        self.ask()?;
        match self.cannot {
            true => Err(KeyError::MissingKey {
                what: "CKM_EDDSA is not there".into(),
            }),
            false => Ok(()),
        }
    }

    fn reference(&self, entropy: &dyn Entropy) -> Vec<u8> {
        [[self.set; 16], random_array(entropy)].concat()
    }

    fn make(&self, reference: &[u8]) -> Result<[u8; 32], KeyError> {
        self.ask()?;
        let seed = Key::random(&attestore_keys::SystemEntropy);
        let public = SigningKey::from_seed(&seed).public();
        self.keys.lock().insert(reference.to_vec(), seed);
        Ok(public)
    }

    fn sign(&self, reference: &[u8], message: &[u8]) -> Result<[u8; 64], KeyError> {
        self.ask()?;
        if self.wrong.load(Ordering::Relaxed) {
            return SigningKey::from_seed(&Key::from_bytes([9; 32])).sign(message);
        }
        let keys = self.keys.lock();
        let seed = keys.get(reference).ok_or(KeyError::MissingKey {
            what: "no such key".into(),
        })?;
        SigningKey::from_seed(seed).sign(message)
    }

    fn destroy(&self, reference: &[u8]) -> Result<(), KeyError> {
        self.ask()?;
        self.keys.lock().remove(reference);
        Ok(())
    }

    fn count(&self) -> Result<usize, KeyError> {
        Ok(self.keys.lock().len())
    }

    fn owns(&self, reference: &[u8]) -> bool {
        reference.starts_with(&[self.set; 16])
    }
}

struct Root(Arc<dyn RootProvider>, Option<Module>, Provider);

impl RootProvider for Root {
    fn generation(&self) -> u64 {
        self.0.generation()
    }

    fn generations(&self) -> Vec<u64> {
        self.0.generations()
    }

    fn wrap(&self, aad: &[u8], key: &Key) -> Result<Vec<u8>, KeyError> {
        self.0.wrap(aad, key)
    }

    fn unwrap(&self, generation: u64, aad: &[u8], wrapped: &[u8]) -> Result<Key, KeyError> {
        self.0.unwrap(generation, aad, wrapped)
    }

    fn next_generation(&self) -> Result<u64, KeyError> {
        self.0.next_generation()
    }

    fn destroy(&self, generation: u64) -> Result<(), KeyError> {
        self.0.destroy(generation)
    }

    fn provider(&self) -> Provider {
        self.2
    }

    fn reach(&self) -> Result<(), KeyError> {
        self.1.as_ref().map_or(Ok(()), Module::ask)
    }

    fn signing(&self) -> Option<Arc<dyn SigningModule>> {
        self.1.clone().map(|module| Arc::new(module) as _)
    }
}

fn try_open(world: &World, module: Option<&Module>, signing: SigningKeys) -> Result<Engine, OpenError> {
    open_as(world, module, Provider::Pkcs11, signing)
}

fn open_as(
    world: &World,
    module: Option<&Module>,
    provider: Provider,
    signing: SigningKeys,
) -> Result<Engine, OpenError> {
    let parts = world.try_parts()?;
    let root = Arc::new(Root(Arc::clone(&parts.root), module.cloned(), provider));
    let settings = Settings {
        signing,
        ..settings()
    };
    Engine::open_as(Parts { root, ..parts }, settings, OpenMode::Inline).map(|(engine, _)| engine)
}

fn open(world: &World, module: &Module, signing: SigningKeys) -> Engine {
    try_open(world, Some(module), signing).unwrap()
}

fn signed(engine: &Engine, tenant: &str) -> crate::Result<()> {
    let note = engine.checkpoint(tenant)?;
    let keys = engine.log_keys(tenant).unwrap();
    let vkey = VerifierKey::parse(&keys.last().unwrap().vkey).unwrap();
    open_checkpoint(&note, &vkey).unwrap();
    Ok(())
}

/// The references of keys that rows name.
fn named(engine: &Engine) -> Vec<String> {
    let rows = all(&engine.inner.catalog.read().unwrap()).unwrap();
    let mut named: Vec<String> = rows.into_iter().map(|(_, row)| row.reference).collect();
    named.sort();
    named
}

#[test]
fn new_logs_sign_in_the_module_and_their_keys_are_not_in_the_directory() {
    let (world, module) = (World::new(31), Module::default());
    let engine = open(&world, &module, SigningKeys::Module);
    world.tenant(&engine, "acme");
    world.append(&engine, "acme", &[event(1)]);
    signed(&engine, "acme").unwrap();
    signed(&engine, crate::SYSTEM_TENANT).unwrap();
    assert_eq!(module.references().len(), 2, "of _system and of acme");
    let before = engine.log_keys("acme").unwrap();
    engine.close().unwrap();
    drop(engine);
    let engine = open(&world, &module, SigningKeys::Directory);
    assert_eq!(
        engine.log_keys("acme").unwrap(),
        before,
        "what is there stays where it is"
    );
    signed(&engine, "acme").unwrap();
    assert_eq!(named(&engine), module.references());
}

#[test]
fn a_rotation_moves_a_log_into_the_module_and_out_of_it() {
    let (world, module) = (World::new(32), Module::default());
    let engine = open(&world, &module, SigningKeys::Directory);
    world.tenant(&engine, "acme");
    world.append(&engine, "acme", &[event(1)]);
    signed(&engine, "acme").unwrap();
    assert!(module.references().is_empty());
    engine.close().unwrap();
    drop(engine);
    let engine = open(&world, &module, SigningKeys::Module);
    engine.rotate_log_key("acme", &world.by, 60_000).unwrap();
    signed(&engine, "acme").unwrap();
    assert_eq!(module.references().len(), 1);
    engine.rotate_log_key("acme", &world.by, 60_000).unwrap();
    signed(&engine, "acme").unwrap();
    assert_eq!(module.references().len(), 2, "the former one signs beside it");
    assert!(engine.retire_log_key("acme", &world.by).unwrap());
    engine.tick();
    assert_eq!(
        module.references().len(),
        1,
        "the retired one is destroyed in the module"
    );
    assert_eq!(named(&engine), module.references());
    engine.close().unwrap();
    drop(engine);
    let engine = open(&world, &module, SigningKeys::Directory);
    engine.rotate_log_key("acme", &world.by, 0).unwrap();
    engine.tick();
    signed(&engine, "acme").unwrap();
    assert!(module.references().is_empty() && named(&engine).is_empty());
    let states: Vec<LogKeyState> = engine
        .log_keys("acme")
        .unwrap()
        .iter()
        .map(|key| key.state)
        .collect();
    assert_eq!(states.len(), 4);
    assert_eq!(states.last(), Some(&LogKeyState::Current));
}

#[test]
fn while_the_module_is_away_appends_go_on_and_nothing_is_signed() {
    let (world, module) = (World::new(33), Module::default());
    let engine = open(&world, &module, SigningKeys::Module);
    world.tenant(&engine, "acme");
    module.away.store(true, Ordering::Relaxed);
    engine.tick();
    world.append(&engine, "acme", &[event(1)]);
    let refused = signed(&engine, "acme").unwrap_err();
    assert_eq!((refused.code(), refused.status()), ("signing_unavailable", 503));
    let status = engine.status().unwrap();
    assert!(status.root.signing_failure.is_some());
    assert!(
        status
            .reasons
            .iter()
            .any(|one| one.code == "signing_unavailable" && !one.blocks)
    );
    assert!(engine.rotate_log_key("acme", &world.by, 0).is_err());
    assert!(
        engine.create_tenant("other", &world.by).is_err(),
        "its key has to be made in the module"
    );
    for n in 2..20 {
        world.append(&engine, "acme", &[event(n)]);
        engine.flush().unwrap();
    }
    assert_eq!(engine.inner.stopped(), None);
    engine.close().unwrap();
    drop(engine);
    // The log opens, is read and is appended to without anybody who signs; and with the module back it signs again.
    let engine = try_open(&world, None, SigningKeys::Directory).unwrap();
    world.append(&engine, "acme", &[event(20)]);
    assert_eq!(signed(&engine, "acme").unwrap_err().code(), "signing_unavailable");
    engine.close().unwrap();
    drop(engine);
    module.away.store(false, Ordering::Relaxed);
    let engine = open(&world, &module, SigningKeys::Module);
    engine.tick();
    signed(&engine, "acme").unwrap();
    assert!(engine.status().unwrap().root.signing_failure.is_none());
}

#[test]
fn a_log_whose_key_is_in_a_module_ends_for_a_move_once_the_module_is_there() {
    let (world, module) = (World::new(41), Module::default());
    let engine = open(&world, &module, SigningKeys::Module);
    world.tenant(&engine, "acme");
    world.append(&engine, "acme", &[event(1), event(2)]);
    let vkey = engine.vkey("acme").unwrap();
    let elsewhere = World::new(42);
    let (target, _) = elsewhere.start_with(settings());
    let invited = target.invite_tenant(&elsewhere.by, "").unwrap().invitation;
    engine
        .start_move("acme", &world.by, &invited.to_text(), "why")
        .unwrap();
    module.away.store(true, Ordering::Relaxed);
    let refused = engine.close_move("acme", &world.by).unwrap_err();
    assert_eq!(refused.code(), "signing_unavailable");
    assert_eq!(engine.inner.stopped(), None);
    module.away.store(false, Ordering::Relaxed);
    let packed = engine.close_move("acme", &world.by).unwrap();
    assert_eq!(packed.vkey, vkey);
    let report = engine.check_package(&world.by, &invited.id, Some(&vkey)).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(
        module.references().len(),
        2,
        "it stays until the tenant is let go of"
    );
}

/// Copies the files of a folder, and of those in it.
fn carry(from: &World, to: &World, dir: &Path) {
    to.disk.create_dir_all(dir).unwrap();
    for entry in from.disk.list(dir).unwrap() {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            carry(from, to, &path);
            continue;
        }
        let bytes = crate::backup::folder::read(&from.disk, &path).unwrap();
        let file = to.disk.open(&path, FileMode::Create).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        file.sync_data().unwrap();
    }
    to.disk.sync_dir(dir).unwrap();
}

#[test]
fn the_next_key_of_a_log_that_comes_is_made_in_the_module_and_stays_there() {
    let (elsewhere, (world, module)) = (World::new(43), (World::new(44), Module::default()));
    let (source, _) = elsewhere.start_with(settings());
    elsewhere.tenant(&source, "acme");
    elsewhere.append(&source, "acme", &[event(1), event(2)]);
    let engine = open(&world, &module, SigningKeys::Module);
    let invite = |note: &str| engine.invite_tenant(&world.by, note).unwrap().invitation;
    let (invited, other) = (invite("acme"), invite("nobody comes"));
    module.away.store(true, Ordering::Relaxed);
    assert_eq!(
        engine.invite_tenant(&world.by, "").unwrap_err().code(),
        "root_unavailable"
    );
    module.away.store(false, Ordering::Relaxed);
    engine.tick();
    // That of `_system`, and of each who is invited.
    assert_eq!(module.references().len(), 3);
    engine.discard_move_in(&world.by, &other.id).unwrap();
    crate::handover::module::sweep(&engine.inner);
    assert_eq!(module.references().len(), 2);
    source
        .start_move("acme", &elsewhere.by, &invited.to_text(), "why")
        .unwrap();
    let packed = source.close_move("acme", &elsewhere.by).unwrap();
    carry(&elsewhere, &world, Path::new("moves"));
    engine
        .import_move(&world.by, &invited.id, &packed.vkey, None)
        .unwrap();
    engine.move_receipt(&world.by, &invited.id).unwrap();
    assert_eq!(engine.vkey("acme").unwrap(), invited.vkey);
    crate::handover::module::sweep(&engine.inner);
    engine.tick();
    assert_eq!(module.references(), named(&engine));
    assert_eq!(module.references().len(), 2);
    world.append(&engine, "acme", &[event(3)]);
    signed(&engine, "acme").unwrap();
    engine.close().unwrap();
    drop(engine);
    let engine = open(&world, &module, SigningKeys::Module);
    signed(&engine, "acme").unwrap();
    assert_eq!(module.references().len(), 2);
    let order = crate::forget::destroy::DestroyOrder {
        confirm: "acme".into(),
        reason: "over".into(),
        bypass: false,
    };
    engine.destroy_tenant("acme", &world.by, &order).unwrap();
    crate::handover::module::sweep(&engine.inner);
    assert_eq!(module.references().len(), 1);
}

#[test]
fn a_wrong_signature_never_leaves() {
    let (world, module) = (World::new(34), Module::default());
    let engine = open(&world, &module, SigningKeys::Module);
    world.tenant(&engine, "acme");
    world.append(&engine, "acme", &[event(1)]);
    module.wrong.store(true, Ordering::Relaxed);
    assert_eq!(signed(&engine, "acme").unwrap_err().code(), "signing_unavailable");
    module.wrong.store(false, Ordering::Relaxed);
    signed(&engine, "acme").unwrap();
}

#[test]
fn a_module_that_cannot_is_refused_when_it_is_asked_for_and_nothing_is_made() {
    let world = World::new(35);
    let module = Module {
        cannot: true,
        ..Module::default()
    };
    let refused = try_open(&world, Some(&module), SigningKeys::Module)
        .err()
        .unwrap();
    assert!(refused.to_string().contains("CKM_EDDSA"), "{refused}");
    let refused = try_open(&world, None, SigningKeys::Module).err().unwrap();
    assert!(matches!(refused, OpenError::Settings(_)), "{refused}");
    open(&world, &module, SigningKeys::Directory);
    assert!(module.references().is_empty());
}

#[test]
fn a_retired_key_waits_for_a_module_that_is_away() {
    let (world, module) = (World::new(36), Module::default());
    let engine = open(&world, &module, SigningKeys::Module);
    world.tenant(&engine, "acme");
    world.append(&engine, "acme", &[event(1)]);
    engine.rotate_log_key("acme", &world.by, 60_000).unwrap();
    engine.tick();
    assert_eq!(module.references().len(), 3);
    module.away.store(true, Ordering::Relaxed);
    assert!(engine.retire_log_key("acme", &world.by).unwrap());
    engine.tick();
    assert_eq!(module.references().len(), 3);
    drop(engine);
    module.away.store(false, Ordering::Relaxed);
    let engine = open(&world, &module, SigningKeys::Module);
    engine.tick();
    assert_eq!(module.references().len(), 2, "the next start knows of it");
    assert_eq!(engine.status().unwrap().root.signing_keys_to_destroy, 0);
}

#[test]
fn keys_of_another_directory_are_not_destroyed_by_who_restored_its_rows() {
    let (world, module) = (World::new(37), Module::default());
    let engine = open(&world, &module, SigningKeys::Module);
    world.tenant(&engine, "acme");
    world.append(&engine, "acme", &[event(1)]);
    engine.close().unwrap();
    drop(engine);
    let restored = Module {
        set: 1,
        ..module.clone()
    };
    let before = module.references();
    let engine = open(&world, &restored, SigningKeys::Module);
    engine.rotate_log_key("acme", &world.by, 0).unwrap();
    engine.tick();
    signed(&engine, "acme").unwrap();
    let after = module.references();
    assert!(
        before.iter().all(|one| after.contains(one)),
        "the other directory signs with them"
    );
    assert_eq!(named(&engine).len(), 2);
}

#[test]
fn a_forced_fork_gives_a_log_another_key_where_the_module_is_gone_for_good() {
    let (world, module) = (World::new(38), Module::default());
    let engine = open(&world, &module, SigningKeys::Module);
    world.tenant(&engine, "acme");
    world.append(&engine, "acme", &[event(1)]);
    engine.close().unwrap();
    drop(engine);
    let engine = try_open(&world, None, SigningKeys::Directory).unwrap();
    let forked = engine.fork("acme", "the module is lost", None, true).unwrap();
    assert!(forked.handover.is_empty(), "nobody vouches for it");
    engine.close().unwrap();
    drop(engine);
    let engine = try_open(&world, None, SigningKeys::Directory).unwrap();
    world.append(&engine, "acme", &[event(2)]);
    signed(&engine, "acme").unwrap();
    assert_eq!(engine.log_keys("acme").unwrap()[0].handover, None);
}

#[test]
fn keys_in_a_module_vouch_for_those_of_a_directory_that_has_its_root_elsewhere() {
    let (world, module) = (World::new(39), Module::default());
    let engine = open(&world, &module, SigningKeys::Module);
    world.tenant(&engine, "acme");
    world.append(&engine, "acme", &[event(1)]);
    engine.close().unwrap();
    drop(engine);
    // As a restore has it: the root in a file, and somebody who is logged in to the module.
    let restored = Module {
        set: 1,
        ..module.clone()
    };
    let engine = open_as(&world, Some(&restored), Provider::File, SigningKeys::Directory).unwrap();
    let forked = engine.fork("acme", "restored", None, true).unwrap();
    assert!(!forked.handover.is_empty());
    engine.close().unwrap();
    drop(engine);
    let engine = open_as(&world, None, Provider::File, SigningKeys::Directory).unwrap();
    signed(&engine, "acme").unwrap();
    assert_eq!(
        module.references().len(),
        2,
        "the other directory has its keys still"
    );
}

#[test]
fn a_crash_at_any_operation_of_a_rotation_leaves_a_log_that_signs_and_no_key_that_nobody_names() {
    let rotated = |world: &World, module: &Module| -> Option<Engine> {
        let engine = try_open(world, Some(module), SigningKeys::Module).ok()?;
        Some(engine)
    };
    for fault in [
        Fault::CrashBefore,
        Fault::CrashTorn,
        Fault::CrashAfter,
        Fault::Errno(5),
    ] {
        let mut op = 0;
        loop {
            let (mut world, module) = (World::new(1000 + op), Module::default());
            let engine = rotated(&world, &module).unwrap();
            world.tenant(&engine, "acme");
            world.append(&engine, "acme", &[event(1)]);
            signed(&engine, "acme").unwrap();
            let first = world.disk.op_count();
            world.disk.fail_at(first + op, fault);
            let done = engine.rotate_log_key("acme", &world.by, 0);
            engine.tick();
            let over = world.disk.op_count() - first <= op;
            drop(engine);
            world.disk = world.disk.crash();
            let engine =
                rotated(&world, &module).unwrap_or_else(|| panic!("operation {op}, {fault:?}: it opens"));
            let before = engine.log_keys("acme").unwrap().len();
            assert!(done.is_err() || before == 2, "operation {op}, {fault:?}");
            signed(&engine, "acme").unwrap_or_else(|error| panic!("operation {op}, {fault:?}: {error}"));
            engine.rotate_log_key("acme", &world.by, 0).unwrap();
            signed(&engine, "acme").unwrap();
            engine.tick();
            let there = module.references();
            assert_eq!(there, named(&engine), "operation {op}, {fault:?}");
            assert_eq!(
                there.len(),
                2,
                "operation {op}, {fault:?}: of _system and of acme"
            );
            if over {
                break;
            }
            op += 1;
        }
        assert!(op > 20, "{fault:?}: only {op} operations");
    }
}
