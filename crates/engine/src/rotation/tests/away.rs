//! A holder of the root that goes away and comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use attestore_keys::{Error as KeyError, Key, Provider, RootProvider};

use super::{World, destroy, event, prepared};
use crate::testing::settings;
use crate::{Engine, Error, OpenMode, Parts};

/// A root that is in memory while its holder is away.
struct Remote {
    root: Arc<dyn RootProvider>,
    away: Arc<AtomicBool>,
}

impl Remote {
    fn ask(&self) -> Result<(), KeyError> {
        match self.away.load(Ordering::Relaxed) {
            true => Err(KeyError::Unreachable { what: "token".into() }),
            false => Ok(()),
        }
    }
}

impl RootProvider for Remote {
    fn generation(&self) -> u64 {
        self.root.generation()
    }

    fn generations(&self) -> Vec<u64> {
        self.root.generations()
    }

    fn wrap(&self, aad: &[u8], key: &Key) -> Result<Vec<u8>, KeyError> {
        self.root.wrap(aad, key)
    }

    fn unwrap(&self, generation: u64, aad: &[u8], wrapped: &[u8]) -> Result<Key, KeyError> {
        self.root.unwrap(generation, aad, wrapped)
    }

    fn next_generation(&self) -> Result<u64, KeyError> {
        self.ask()?;
        self.root.next_generation()
    }

    fn destroy(&self, generation: u64) -> Result<(), KeyError> {
        self.ask()?;
        self.root.destroy(generation)
    }

    fn provider(&self) -> Provider {
        Provider::Pkcs11
    }

    fn reach(&self) -> Result<(), KeyError> {
        self.ask()
    }
}

fn open(world: &World) -> (Engine, Arc<AtomicBool>) {
    let away = Arc::new(AtomicBool::new(false));
    let parts = world.parts();
    let root = Arc::new(Remote {
        root: Arc::clone(&parts.root),
        away: Arc::clone(&away),
    });
    let (engine, _) = Engine::open_as(Parts { root, ..parts }, settings(), OpenMode::Inline).unwrap();
    (engine, away)
}

fn says_away(engine: &Engine) -> bool {
    let status = engine.status().unwrap();
    let said = status
        .reasons
        .iter()
        .any(|reason| reason.code == "root_unavailable" && !reason.blocks);
    assert_eq!(said, !status.root.reachable);
    said
}

#[test]
fn while_the_holder_of_the_root_is_away_everything_but_rotations_goes_on() {
    let world = World::new(21);
    let (engine, tenant, _, handle, _) = prepared(&world);
    drop((engine, tenant));
    let (engine, away) = open(&world);
    let tenant = engine.inner.tenant("acme").unwrap();
    engine.inner.rotate_root().unwrap();
    let before = engine.inner.root.generation();
    away.store(true, Ordering::Relaxed);
    engine.tick();
    assert!(says_away(&engine));
    engine.ready().expect("it takes appends");
    for n in 0..40 {
        world.append(&engine, "acme", &[event(n)]);
        engine.flush().unwrap();
    }
    world.tenant(&engine, "other");
    destroy(&engine, &tenant, &handle);
    let refused = engine.inner.rotate_root().unwrap_err();
    assert!(matches!(refused, Error::RootUnavailable(_)), "{refused}");
    assert_eq!((refused.code(), refused.status()), ("root_unavailable", 503));
    assert_eq!(engine.inner.root.generations(), [before]);
    assert_eq!(engine.inner.stopped(), None);
    away.store(false, Ordering::Relaxed);
    engine.tick();
    assert!(!says_away(&engine));
    engine.inner.rotate_root().unwrap();
    assert_eq!(engine.inner.root.generations(), [before + 1]);
}

#[test]
fn a_holder_that_goes_away_before_the_old_root_is_destroyed_leaves_nothing_dated() {
    let world = World::new(22);
    let (engine, tenant, old, handle, slot) = prepared(&world);
    drop(engine);
    let (engine, away) = open(&world);
    destroy(&engine, &engine.inner.tenant("acme").unwrap(), &handle);
    // It goes away between the new root and the end of the old one.
    engine.inner.root.next_generation().unwrap();
    engine.inner.change(|_| Ok(())).unwrap();
    away.store(true, Ordering::Relaxed);
    assert!(engine.inner.rotate_root().is_err());
    super::key_in(&super::mixed(&old, &world.disk), &tenant, &handle, slot).expect("an old copy opens still");
    away.store(false, Ordering::Relaxed);
    engine.inner.rotate_root().unwrap();
    assert_eq!(engine.inner.root.generations().len(), 1);
    let refused = super::key_in(&super::mixed(&old, &world.disk), &tenant, &handle, slot);
    assert!(super::is_missing(&refused), "{refused:?}");
}
