//! How the root page key hangs from the root.

use crate::catalog::Catalog;
use crate::testing::World;
use crate::{Error, OpenError, Parts};

fn open(parts: &Parts) -> Catalog {
    let (disk, root, entropy) = (&parts.disk, parts.root.clone(), parts.entropy.clone());
    Catalog::open(disk, root, entropy).unwrap()
}

#[test]
fn a_newer_root_wraps_the_root_page_key_with_the_next_change() {
    let world = World::new(1);
    drop(world.open(false));
    let parts = world.parts();
    let catalog = open(&parts);
    let before = catalog.load().unwrap();
    parts.root.next_generation().unwrap();
    // Nothing in the tree of keys changes.
    catalog.update::<_, Error>(|_| Ok(())).unwrap();
    let after = catalog.instance().unwrap().unwrap();
    assert_eq!((before.root_generation, after.root_generation), (1, 2));
    assert_ne!(before.root_page_key, after.root_page_key);
    catalog.sealed().rewrap(&*parts.root).unwrap();
    drop(catalog);
    parts.root.destroy(1).unwrap();
    open(&parts).load().unwrap();
}

#[test]
fn the_root_page_key_opens_for_its_own_instance_only() {
    let world = World::new(2);
    drop(world.open(false));
    let parts = world.parts();
    let catalog = open(&parts);
    catalog.load().unwrap();
    let renamed = catalog.update::<_, Error>(|update| {
        update.instance.id = "00".repeat(16);
        Ok(())
    });
    renamed.unwrap();
    assert!(matches!(
        catalog.load(),
        Err(OpenError::Damage { .. } | OpenError::Key(_))
    ));
}
