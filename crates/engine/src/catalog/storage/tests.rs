//! Crashes, flips and failing media under the sealed catalog.

use std::path::Path;
use std::sync::Arc;

use attestore_disk::sim::{Fault, SimDisk};
use attestore_disk::{Disk, Mode};
use attestore_keys::{Entropy, FileRoot, RootProvider, SeededEntropy};
use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};

use super::{CATALOG, Damage, Error, JOURNALS, SealedStorage, VERSIONS};

mod crash;
mod flip;
mod hardening;
mod model;
mod versions;
mod wrap;

const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("rows");
const ROW: usize = 700;

fn entropy(seed: u64) -> Arc<dyn Entropy> {
    Arc::new(SeededEntropy::new(seed))
}

fn root() -> FileRoot {
    FileRoot::open_or_create(Arc::new(SimDisk::new(7)), "keys", entropy(7)).unwrap()
}

fn dynamic(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

fn create(disk: &SimDisk, root: &dyn RootProvider) -> Result<SealedStorage, Error> {
    SealedStorage::create(&dynamic(disk), root, entropy(1))
}

fn open(disk: &SimDisk, root: &dyn RootProvider) -> Result<SealedStorage, Error> {
    SealedStorage::open(&dynamic(disk), root, entropy(2))
}

fn database(storage: &SealedStorage) -> Result<Database, redb::Error> {
    Ok(Database::builder()
        .set_cache_size(1 << 20)
        .create_with_backend(storage.clone())?)
}

/// Commits the rows `range`, two new ones and an old one anew in each transaction; counts what was acknowledged.
fn commit(
    database: &Database,
    range: std::ops::Range<u64>,
    acknowledged: &mut u64,
) -> Result<(), redb::Error> {
    for round in range {
        let transaction = database.begin_write()?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for key in [2 * round, 2 * round + 1, round] {
                table.insert(key, row(key, round).as_slice())?;
            }
        }
        transaction.commit()?;
        *acknowledged = round + 1;
    }
    Ok(())
}

fn row(key: u64, round: u64) -> Vec<u8> {
    [key, round]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .cycle()
        .take(ROW)
        .collect()
}

/// Reads every row and returns how many transactions they are the result of; a half of one is an error.
fn committed(database: &Database) -> Result<u64, redb::Error> {
    let transaction = database.begin_read()?;
    let table = match transaction.open_table(TABLE) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    let mut rows = Vec::new();
    for entry in table.iter()? {
        let (key, value) = entry?;
        rows.push((key.value(), value.value().to_vec()));
    }
    let rounds = rows.len() as u64 / 2;
    let mut expected = std::collections::BTreeMap::new();
    for round in 0..rounds {
        for key in [2 * round, 2 * round + 1, round] {
            expected.insert(key, row(key, round));
        }
    }
    assert_eq!(
        rows,
        expected.into_iter().collect::<Vec<_>>(),
        "rows are whole transactions"
    );
    Ok(rounds)
}

fn bytes(disk: &SimDisk, path: impl AsRef<Path>) -> Vec<u8> {
    let file = disk.open(path.as_ref(), Mode::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let (disk, root) = (SimDisk::new(1), root());
    let storage = create(&disk, &root).unwrap();
    let mut acknowledged = 0;
    {
        let database = database(&storage).unwrap();
        commit(&database, 0..30, &mut acknowledged).unwrap();
        assert_eq!(storage.scan(), [], "while it is open");
    }
    assert_eq!(storage.scan(), [], "after it was closed");
    drop(storage);
    let storage = open(&disk, &root).unwrap();
    assert_eq!(committed(&database(&storage).unwrap()).unwrap(), 30);
    assert_eq!(storage.scan(), [], "after reopening");
}

#[test]
fn nothing_of_the_content_is_on_the_medium_in_the_clear() {
    let (disk, root) = (SimDisk::new(1), root());
    let storage = create(&disk, &root).unwrap();
    storage.write(0, &[b'A'; 10_000]).unwrap();
    storage.sync_data().unwrap();
    for path in [CATALOG, JOURNALS[0], JOURNALS[1]] {
        assert!(
            !bytes(&disk, path).windows(8).any(|window| window == b"AAAAAAAA"),
            "{path}"
        );
    }
}

#[test]
fn syncing_nothing_writes_nothing() {
    let (disk, root) = (SimDisk::new(1), root());
    let storage = create(&disk, &root).unwrap();
    storage.write(5, b"x").unwrap();
    storage.sync_data().unwrap();
    let before = disk.op_count();
    storage.sync_data().unwrap();
    assert_eq!(disk.op_count(), before);
}

#[test]
fn syncing_the_same_content_again_leaves_the_same_content() {
    let (disk, root) = (SimDisk::new(1), root());
    let storage = create(&disk, &root).unwrap();
    storage.write(0, b"store").unwrap();
    for _ in 0..3 {
        storage.write(4000, &[7; 200]).unwrap();
        storage.sync_data().unwrap();
    }
    let storage = open(&disk.crash(), &root).unwrap();
    let mut read = [0; 200];
    storage.read(4000, &mut read).unwrap();
    assert_eq!((storage.len().unwrap(), read), (4200, [7; 200]));
}

#[test]
fn reading_beyond_the_end_is_refused() {
    let storage = create(&SimDisk::new(1), &root()).unwrap();
    storage.set_len(10).unwrap();
    assert!(storage.read(9, &mut [0; 2]).is_err());
    assert!(storage.read(u64::MAX, &mut [0; 2]).is_err());
    assert!(storage.write(u64::MAX, &[0; 2]).is_err());
}

#[test]
fn a_catalog_is_not_created_over_another() {
    let (disk, root) = (SimDisk::new(1), root());
    create(&disk, &root).unwrap();
    let Err(Error::Io(error)) = create(&disk, &root) else {
        panic!("created twice")
    };
    assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
}

#[test]
fn the_layout_of_the_files_does_not_change() {
    // A change here is a change of the format: it needs a new version and an entry in docs/format/catalog.md.
    let (disk, root) = (SimDisk::new(1), root());
    let storage = create(&disk, &root).unwrap();
    storage.write(4096, &[1; 4097]).unwrap();
    storage.sync_data().unwrap();
    let hashes: Vec<u32> = [CATALOG, JOURNALS[0], JOURNALS[1], VERSIONS]
        .iter()
        .map(|path| crc32fast::hash(&bytes(&disk, path)))
        .collect();
    let catalog = bytes(&disk, CATALOG);
    assert_eq!(&catalog[..10], b"ATSTCAT\0\x01\0");
    assert_eq!(catalog.len(), 16384 + 3 * 4128);
    assert_eq!(hashes, [2_848_428_128, 0, 1_619_499_057, 1_969_608_987]);
}
