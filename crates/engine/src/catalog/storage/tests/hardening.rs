//! One bad sector, one bad block: what stands beside it goes on being read, and nothing is emptied.

use std::path::Path;

use super::{
    CATALOG, Damage, Disk, Error, Fault, FileRoot, Mode, RootProvider, SimDisk, StorageBackend, bytes,
    commit, committed, create, database, open, root,
};
use crate::catalog::storage::{header, place, state};

const ROUNDS: u64 = 6;

/// A catalog that was closed.
fn closed(root: &FileRoot) -> SimDisk {
    let disk = SimDisk::new(1);
    let storage = create(&disk, root).unwrap();
    commit(&database(&storage).unwrap(), 0..ROUNDS, &mut 0).unwrap();
    disk
}

fn places() -> Vec<(u64, usize)> {
    let headers = header::COPIES.map(|at| (at, header::LEN));
    let states = state::COPIES.map(|at| (at, state::LEN));
    headers.into_iter().chain(states).collect()
}

#[test]
fn every_copy_lies_in_a_block_of_its_own() {
    let mut blocks: Vec<u64> = places().iter().map(|(at, _)| at / 4096).collect();
    blocks.push(place(0) / 4096);
    blocks.dedup();
    assert_eq!(blocks, [0, 1, 2, 3, 4]);
}

#[test]
fn a_copy_that_cannot_be_read_is_reported_and_does_not_end_the_opening() {
    let root = root();
    for (at, len) in places() {
        // A bad block of the medium takes 4 KiB.
        for bad in [at..at + len as u64, at..at + 4096] {
            let disk = closed(&root);
            disk.read_error_at(CATALOG, bad).unwrap();
            let storage = open(&disk, &root).unwrap_or_else(|error| panic!("copy at {at}: {error}"));
            let found: Vec<u64> = storage.scan().iter().map(|damage| damage.offset).collect();
            assert!(found.contains(&at), "copy at {at}: {found:?}");
            assert_eq!(committed(&database(&storage).unwrap()).unwrap(), ROUNDS);
        }
    }
}

#[test]
fn copies_that_cannot_be_read_are_an_error_and_no_damage() {
    let root = root();
    for copies in [header::COPIES, state::COPIES] {
        let disk = closed(&root);
        for at in copies {
            disk.read_error_at(CATALOG, at..at + 512).unwrap();
        }
        assert!(matches!(open(&disk, &root), Err(Error::Io(_))), "{copies:?}");
        let disk = closed(&root);
        disk.read_error_at(CATALOG, copies[0]..copies[0] + 512).unwrap();
        disk.flip(CATALOG, copies[1] + 20, 1).unwrap();
        assert!(matches!(open(&disk, &root), Err(Error::Io(_))), "{copies:?}");
    }
}

#[test]
fn a_wrong_root_changes_nothing_although_a_copy_cannot_be_read() {
    let root = root();
    let other =
        FileRoot::open_or_create(std::sync::Arc::new(SimDisk::new(8)), "keys", super::entropy(8)).unwrap();
    assert_eq!(other.generation(), 1);
    let disk = closed(&root);
    disk.read_error_at(CATALOG, 0..10).unwrap();
    let ops = disk.op_count();
    assert!(matches!(open(&disk, &other), Err(Error::Key(_))));
    assert_eq!(disk.op_count(), ops);
}

/// A catalog whose power was cut between the store's first sync, without the magic number, and its second.
fn unfinished(root: &FileRoot) -> SimDisk {
    for op in 0.. {
        let disk = SimDisk::new(1);
        let storage = create(&disk, root).unwrap();
        disk.fail_at(disk.op_count() + op, Fault::CrashAfter);
        let done = database(&storage).is_ok();
        assert!(!done, "no crash left a store without its magic number");
        let disk = disk.crash();
        let inner = super::super::open::open(&disk, root, super::entropy(2)).unwrap();
        let mut first = [1; 9];
        if inner.read(0, &mut first).is_ok() && first == [0; 9] {
            return disk;
        }
    }
    unreachable!()
}

#[test]
fn a_finished_store_is_never_emptied() {
    let root = root();
    for rounds in [0, 1, ROUNDS] {
        for power_cut in [false, true] {
            // The first block as it was before the store was finished, put back.
            let disk = SimDisk::new(1);
            let storage = create(&disk, &root).unwrap();
            storage.write(0, &[0; 4096]).unwrap();
            storage.sync_data().unwrap();
            let at = usize::try_from(place(0)).unwrap();
            let old = bytes(&disk, CATALOG)[at..at + 4128].to_vec();
            storage.set_len(0).unwrap();
            let database = database(&storage).unwrap();
            commit(&database, 0..rounds, &mut 0).unwrap();
            let disk = if power_cut { disk.crash() } else { disk };
            drop(database);
            drop(open(&disk, &root).unwrap());
            let file = disk.open(Path::new(CATALOG), Mode::ReadWrite).unwrap();
            file.write_all_at(&old, place(0)).unwrap();
            let what = format!("{rounds} rounds, power cut {power_cut}");
            match open(&disk, &root) {
                Ok(storage) => {
                    assert!(storage.len().unwrap() > 0, "{what}: emptied");
                    let error = storage.read(0, &mut [0; 9]).unwrap_err();
                    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{what}: {error}");
                    let offsets: Vec<_> = storage.scan().iter().map(|damage| damage.offset).collect();
                    assert_eq!(offsets, [place(0)], "{what}");
                }
                Err(Error::Damage(Damage { offset, .. })) => assert_eq!(offset, place(0), "{what}"),
                Err(error) => panic!("{what}: {error}"),
            }
        }
    }
}

#[test]
fn a_creation_that_is_cut_off_again_and_again_can_be_finished() {
    let root = root();
    let mut disk = unfinished(&root);
    for round in 0..5 {
        let mut op = 0;
        disk = loop {
            let next = disk.crash();
            let storage = open(&next, &root).unwrap_or_else(|error| panic!("round {round}: {error}"));
            next.fail_at(next.op_count() + op, Fault::CrashAfter);
            assert!(
                database(&storage).is_err(),
                "round {round}: no operation leaves it unfinished"
            );
            let next = next.crash();
            let inner = super::super::open::open(&next, &root, super::entropy(2)).unwrap();
            let mut first = [1; 9];
            if inner.overlay.read().length > 0
                && inner.read(0, &mut first).is_ok()
                && first == [0; 9]
                && op > 2
            {
                break next;
            }
            op += 1;
        };
    }
    let storage = open(&disk, &root).unwrap();
    let database = database(&storage).unwrap();
    commit(&database, 0..3, &mut 0).unwrap();
    assert_eq!(committed(&database).unwrap(), 3);
    assert_eq!(storage.scan(), []);
}
