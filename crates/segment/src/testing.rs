//! What the tests of several modules share: a simulated disk with one sealed file on it.

use std::path::Path;
use std::sync::Arc;

use attestore_disk::sim::SimDisk;
use attestore_disk::{Disk, Mode};
use attestore_keys::{Entropy, Key, SeededEntropy, random_array};

use crate::container::seal;
use crate::{Container, ContainerMeta, ContainerType, Result, write_file};

pub(crate) const PATH: &str = "tenants/0000000000000007.00000001.seg";

pub(crate) fn file_key() -> Key {
    Key::from_bytes([0x11; 32])
}

pub(crate) fn meta(ty: ContainerType) -> ContainerMeta {
    let id = [0xA5; 16];
    ContainerMeta {
        ty,
        id,
        slot: 77,
        tenant: [0x5A; 16],
        class: 3,
        set: 7,
        generation: 1,
    }
}

/// Bytes that do not compress, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    SeededEntropy::new(seed).fill(&mut bytes);
    bytes
}

pub(crate) fn hash_of(seed: u64) -> [u8; 32] {
    random_array(&SeededEntropy::new(seed))
}

pub(crate) fn disk_with(bytes: &[u8]) -> SimDisk {
    let disk = SimDisk::new(1);
    disk.create_dir_all(Path::new("tenants")).unwrap();
    write_file(&disk, Path::new(PATH), &[bytes]).unwrap();
    disk
}

/// Opens `bytes`, a whole file that holds one container.
pub(crate) fn open_bytes(bytes: &[u8], key: &Key, expect: &ContainerMeta) -> Result<Container> {
    open_on(&disk_with(bytes), 0, bytes.len() as u64, key, expect)
}

pub(crate) fn open_on(
    disk: &SimDisk,
    offset: u64,
    length: u64,
    key: &Key,
    expect: &ContainerMeta,
) -> Result<Container> {
    let path = Path::new(PATH);
    let file = disk.open(path, Mode::Read).unwrap();
    Container::open(Arc::clone(&file), path, offset, length, key, expect)
}

/// Seals a body and opens it again.
pub(crate) fn sealed(ty: ContainerType, body: &[u8]) -> Container {
    let bytes = seal(&meta(ty), &file_key(), body);
    open_bytes(&bytes, &file_key(), &meta(ty)).unwrap()
}
