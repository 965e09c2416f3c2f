//! An older version of a block in the place of the current one, the list that tells them apart, and what a crash heals.

use std::collections::BTreeSet;
use std::path::Path;

use attestore_disk::sim::Snapshot;

use super::{
    CATALOG, Damage, Disk, Error, FileRoot, JOURNALS, Mode, SealedStorage, SimDisk, StorageBackend, VERSIONS,
    bytes, commit, committed, create, database, open, root,
};
use crate::catalog::storage::{State, place, state};

const ROUNDS: u64 = 12;

/// The catalog's file after each of a row of commits, and a disk on which it was closed then.
fn history(root: &FileRoot) -> (Vec<Vec<u8>>, SimDisk) {
    let disk = SimDisk::new(1);
    let storage = create(&disk, root).unwrap();
    let database = database(&storage).unwrap();
    let mut files = Vec::new();
    for round in 0..ROUNDS {
        commit(&database, round..round + 1, &mut 0).unwrap();
        files.push(bytes(&disk, CATALOG));
    }
    (files, disk)
}

/// Every older version of every block that is not the current one: where it lies, and what was there.
fn older(files: &[Vec<u8>], current: &[u8]) -> BTreeSet<(u64, Vec<u8>)> {
    let mut found = BTreeSet::new();
    for number in 0..(current.len() as u64 - place(0)) / 4128 {
        let at = usize::try_from(place(number)).unwrap();
        for old in files.iter().filter_map(|file| file.get(at..at + 4128)) {
            if old != &current[at..at + 4128] {
                found.insert((place(number), old.to_vec()));
            }
        }
    }
    found
}

fn put(disk: &SimDisk, path: &str, at: u64, bytes: &[u8]) {
    let file = disk.open(Path::new(path), Mode::ReadWrite).unwrap();
    file.write_all_at(bytes, at).unwrap();
}

/// What an opening and a scan say, or the opening's error alone.
fn found(disk: &SimDisk, root: &FileRoot) -> Vec<Damage> {
    match open(disk, root) {
        Ok(storage) => storage.scan(),
        Err(Error::Damage(damage)) => vec![damage],
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn an_older_block_put_back_is_found_at_its_place() {
    let root = root();
    let (files, disk) = history(&root);
    drop(open(&disk, &root).unwrap());
    let current = bytes(&disk, CATALOG);
    let closed = disk.snapshot();
    let all = older(&files, &current);
    assert!(all.len() > 40, "{}", all.len());
    for (at, old) in &all {
        disk.restore(&closed);
        put(&disk, CATALOG, *at, old);
        let damages = found(&disk, &root);
        let places: Vec<_> = damages
            .iter()
            .map(|damage| (damage.path.as_path(), damage.offset))
            .collect();
        assert_eq!(places, [(Path::new(CATALOG), *at)], "{damages:?}");
    }
}

#[test]
fn an_older_block_is_refused_by_a_read_while_the_catalog_is_open() {
    let root = root();
    let disk = SimDisk::new(1);
    let storage = create(&disk, &root).unwrap();
    storage.write(0, b"store one").unwrap();
    storage.sync_data().unwrap();
    let old = bytes(&disk, CATALOG)[16384..16384 + 4128].to_vec();
    storage.write(0, b"store two").unwrap();
    storage.sync_data().unwrap();
    put(&disk, CATALOG, 16384, &old);
    let error = storage.read(0, &mut [0; 9]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "catalog: damaged at offset 16384: an older version of this block stands in its place"
    );
}

#[test]
fn an_older_block_and_the_list_of_its_time_are_found() {
    let root = root();
    let disk = SimDisk::new(1);
    let storage = create(&disk, &root).unwrap();
    let mut earlier: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let database = database(&storage).unwrap();
    for round in 0..ROUNDS {
        commit(&database, round..round + 1, &mut 0).unwrap();
        earlier.push((bytes(&disk, CATALOG), bytes(&disk, VERSIONS)));
    }
    drop(database);
    drop(storage);
    drop(open(&disk, &root).unwrap());
    let closed = disk.snapshot();
    let now = bytes(&disk, CATALOG);
    let blocks = usize::try_from(place(0)).unwrap();
    for (round, (catalog, list)) in earlier.iter().enumerate() {
        // All blocks and the list are of the same earlier time; only the state is of now.
        disk.restore(&closed);
        put(&disk, CATALOG, place(0), &catalog[blocks..]);
        put(&disk, VERSIONS, 0, list);
        assert!(!found(&disk, &root).is_empty(), "round {round}: blocks");
        // The other way round: only the state is old.
        disk.restore(&closed);
        for copy in state::COPIES {
            let at = usize::try_from(copy).unwrap();
            if catalog[at..at + 512] == now[at..at + 512] {
                continue;
            }
            put(&disk, CATALOG, copy, &catalog[at..at + 512]);
        }
        let journals = JOURNALS.map(|path| disk.len(Path::new(path)).unwrap());
        assert_eq!(journals, [0, 0]);
        assert!(!found(&disk, &root).is_empty(), "round {round}: state");
    }
}

#[test]
fn a_damaged_list_is_reported_costs_nothing_and_is_written_again_with_the_next_change() {
    let root = root();
    let (_, disk) = history(&root);
    drop(open(&disk, &root).unwrap());
    let closed = disk.snapshot();
    let list = bytes(&disk, VERSIONS);
    for at in 0..list.len() as u64 {
        disk.restore(&closed);
        disk.flip(VERSIONS, at, 1 << (at % 8)).unwrap();
        let places: Vec<_> = found(&disk, &root)
            .into_iter()
            .map(|damage| (damage.path, damage.offset))
            .collect();
        assert_eq!(places, [(Path::new(VERSIONS).to_owned(), at)]);
    }
    for cut in [0, 5, list.len() as u64 - 1] {
        disk.restore(&closed);
        let file = disk.open(Path::new(VERSIONS), Mode::ReadWrite).unwrap();
        file.set_len(cut).unwrap();
        assert_eq!(found(&disk, &root).len(), 1, "cut to {cut}");
        let storage = open(&disk, &root).unwrap();
        let database = database(&storage).unwrap();
        assert_eq!(committed(&database).unwrap(), ROUNDS);
        commit(&database, ROUNDS..ROUNDS + 1, &mut 0).unwrap();
        assert_eq!(storage.scan(), [], "cut to {cut}");
    }
    disk.restore(&closed);
    disk.remove(Path::new(VERSIONS)).unwrap();
    assert_eq!(found(&disk, &root).len(), 1);
    disk.restore(&closed);
    put(&disk, VERSIONS, list.len() as u64, b"more");
    assert_eq!(found(&disk, &root).len(), 1);
}

#[test]
fn a_damaged_block_and_a_damaged_list_are_refused() {
    let root = root();
    let (files, disk) = history(&root);
    drop(open(&disk, &root).unwrap());
    let (at, old) = older(&files, &bytes(&disk, CATALOG)).pop_last().unwrap();
    put(&disk, CATALOG, at, &old);
    disk.flip(VERSIONS, 3, 1).unwrap();
    let Err(Error::Damage(damage)) = open(&disk, &root) else {
        panic!("opened")
    };
    assert_eq!(damage.path, Path::new(CATALOG));
}

#[test]
fn a_catalog_from_before_versions_is_taken_over() {
    let root = root();
    for rounds in [0, 3, ROUNDS] {
        let disk = SimDisk::new(1);
        let storage = create(&disk, &root).unwrap();
        commit(&database(&storage).unwrap(), 0..rounds, &mut 0).unwrap();
        {
            // As it was written then: a state without root, and no list.
            let mut writer = storage.0.writer.lock();
            let state = State {
                versions: None,
                ..writer.state
            };
            storage.0.write_state(&mut writer, state).unwrap();
        }
        drop(storage);
        disk.remove(Path::new(VERSIONS)).unwrap();
        let storage = open(&disk, &root).unwrap();
        assert_eq!(storage.scan(), []);
        assert_eq!(committed(&database(&storage).unwrap()).unwrap(), rounds);
        drop(storage);
        let list = bytes(&disk, VERSIONS);
        assert_eq!(
            list.len() as u64 * 258,
            (disk.len(Path::new(CATALOG)).unwrap() - place(0))
        );
    }
}

/// A catalog whose power was cut just after a commit, and where the blocks of its last journal are.
fn cut(root: &FileRoot) -> (Snapshot, Vec<u64>) {
    let disk = SimDisk::new(1);
    let storage = create(&disk, root).unwrap();
    let database = database(&storage).unwrap();
    commit(&database, 0..ROUNDS, &mut 0).unwrap();
    let sequence = storage.0.writer.lock().state.sequence;
    let journal = &storage.0.journals[super::super::slot(sequence)];
    let journal = super::super::Journal::read(journal.as_ref(), &storage.0.cipher)
        .unwrap()
        .unwrap();
    let places = journal.blocks().map(|(number, _)| place(number)).collect();
    (disk.crash().snapshot(), places)
}

#[test]
fn what_the_journal_heals_after_a_crash_is_reported() {
    let root = root();
    let (snapshot, places) = cut(&root);
    assert!(!places.is_empty());
    for at in places {
        for flip in [at, at + 15, at + 2000, at + 4127] {
            let disk = SimDisk::from_snapshot(&snapshot);
            disk.flip(CATALOG, flip, 4).unwrap();
            let storage = open(&disk, &root).unwrap();
            let restored: Vec<_> = storage.restored();
            assert_eq!(restored.len(), 1, "{flip}: {restored:?}");
            assert_eq!(restored[0].damage.offset, at);
            assert!(restored[0].may_be_torn, "most sectors are the new ones");
            assert_eq!(storage.scan(), []);
        }
        // Nothing of what stands there was written by the journal: no power cut does that.
        let disk = SimDisk::from_snapshot(&snapshot);
        let start = usize::try_from(at).unwrap();
        let other: Vec<u8> = bytes(&disk, CATALOG)[start..start + 4128]
            .iter()
            .map(|byte| !byte)
            .collect();
        put(&disk, CATALOG, at, &other);
        let restored = open(&disk, &root).unwrap().restored();
        assert_eq!(restored.len(), 1);
        assert!(!restored[0].may_be_torn, "{restored:?}");
    }
    let disk = SimDisk::from_snapshot(&snapshot);
    assert_eq!(open(&disk, &root).unwrap().restored(), []);
}

#[test]
fn a_crash_is_never_told_as_damage() {
    let root = root();
    for op in 0..400 {
        for seed in 0..3 {
            let disk = SimDisk::new(seed);
            disk.fail_at(op, attestore_disk::sim::Fault::CrashTorn);
            let _ = create(&disk, &root)
                .map(|storage| database(&storage).map(|database| commit(&database, 0..ROUNDS, &mut 0)));
            let disk = disk.crash();
            if !SealedStorage::exists(&disk).unwrap() {
                continue;
            }
            let restored = open(&disk, &root).unwrap().restored();
            assert!(
                restored.iter().all(|restored| restored.may_be_torn),
                "seed {seed}, operation {op}: {restored:?}"
            );
        }
    }
}
