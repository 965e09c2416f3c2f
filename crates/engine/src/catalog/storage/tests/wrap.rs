//! The root: wrong, missing, replaced.

use std::sync::Arc;

use attestore_keys::Error as KeyError;

use super::{CATALOG, commit, committed, database};
use super::{Error, Fault, FileRoot, RootProvider, SimDisk, bytes, create, entropy, open, root};

fn other_root() -> FileRoot {
    FileRoot::open_or_create(Arc::new(SimDisk::new(8)), "keys", entropy(8)).unwrap()
}

#[test]
fn a_wrong_root_is_a_wrong_key_and_changes_nothing() {
    let (disk, root) = (SimDisk::new(1), root());
    create(&disk, &root).unwrap();
    let before = bytes(&disk, CATALOG);
    let Err(Error::Key(KeyError::WrongKey { .. })) = open(&disk, &other_root()) else {
        panic!("opened")
    };
    assert_eq!(bytes(&disk, CATALOG), before);
}

#[test]
fn a_root_that_lacks_the_generation_is_a_missing_key() {
    let (disk, root) = (SimDisk::new(1), root());
    root.next_generation().unwrap();
    create(&disk, &root).unwrap();
    let Err(Error::Key(KeyError::MissingKey { .. })) = open(&disk, &other_root()) else {
        panic!("opened")
    };
}

#[test]
fn after_rewrapping_the_old_root_is_not_needed() {
    let (disk, root) = (SimDisk::new(1), root());
    let storage = create(&disk, &root).unwrap();
    commit(&database(&storage).unwrap(), 0..3, &mut 0).unwrap();
    assert_eq!(root.next_generation().unwrap(), 2);
    storage.rewrap(&root).unwrap();
    assert_eq!(storage.root_generations(), [2, 1]);
    root.destroy(1).unwrap();
    storage.rewrap(&root).unwrap();
    assert_eq!(storage.root_generations(), [2]);
    assert_eq!(storage.scan(), []);
    drop(storage);
    let storage = open(&disk, &root).unwrap();
    assert_eq!(storage.scan(), []);
    assert_eq!(committed(&database(&storage).unwrap()).unwrap(), 3);
}

#[test]
fn a_crash_while_rewrapping_leaves_the_catalog_readable_and_undamaged() {
    for seed in 0..12 {
        for op in 0..10 {
            let (disk, root) = (SimDisk::new(seed), root());
            let storage = create(&disk, &root).unwrap();
            commit(&database(&storage).unwrap(), 0..2, &mut 0).unwrap();
            root.next_generation().unwrap();
            disk.fail_at(disk.op_count() + op, Fault::CrashTorn);
            let rewrapped = storage.rewrap(&root);
            let disk = disk.crash();
            if rewrapped.is_ok() {
                root.destroy(1).unwrap();
            }
            let storage = open(&disk, &root).unwrap_or_else(|error| panic!("seed {seed}, op {op}: {error}"));
            assert_eq!(storage.scan(), [], "seed {seed}, op {op}");
            assert_eq!(
                committed(&database(&storage).unwrap()).unwrap(),
                2,
                "seed {seed}, op {op}"
            );
        }
    }
}
