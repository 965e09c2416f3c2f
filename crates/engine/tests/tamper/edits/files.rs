//! Edits of files, without any key.

use std::path::{Path, PathBuf};

use attestore_disk::sim::SimDisk;
use attestore_disk::{Disk, Mode};

use super::log;
use crate::insider::{get, put};
use crate::store::{Case, Store};

pub(super) fn flipped(store: &Store) -> Vec<Case<'_>> {
    each(store, |disk, path, spot| disk.flip(path, spot, 0x10).unwrap())
}

pub(super) fn zeroed(store: &Store) -> Vec<Case<'_>> {
    each(store, |disk, path, spot| {
        let file = disk.open(path, Mode::ReadWrite).unwrap();
        let end = disk.len(path).unwrap().min(spot + BLOCK);
        let zeros = vec![0; usize::try_from(end - spot).unwrap()];
        file.write_all_at(&zeros, spot).unwrap();
    })
}

pub(super) fn blocks_swapped(store: &Store) -> Vec<Case<'_>> {
    each(store, |disk, path, spot| {
        let mut bytes = get(disk, path);
        let (one, other) = (usize::try_from(spot / 2).unwrap(), usize::try_from(spot).unwrap());
        let length = 44.min(other - one).min(bytes.len() - other);
        for at in 0..length {
            bytes.swap(one + at, other + at);
        }
        put(disk, path, &bytes);
    })
}

pub(super) fn cut(store: &Store) -> Vec<Case<'_>> {
    each(store, |disk, path, spot| {
        disk.open(path, Mode::ReadWrite).unwrap().set_len(spot).unwrap();
    })
}

pub(super) fn emptied(store: &Store) -> Vec<Case<'_>> {
    each(store, |disk, path, _| put(disk, path, &[]))
}

pub(super) fn deleted(store: &Store) -> Vec<Case<'_>> {
    each(store, |disk, path, _| disk.remove(path).unwrap())
}

/// Another class in the header of a sealed file, which is in the clear; its checksum is made to fit.
pub(super) fn checksum(store: &Store) -> Vec<Case<'_>> {
    each(store, |disk, path, _| {
        let mut bytes = get(disk, path);
        if bytes.starts_with(b"ATSTSEAL") {
            bytes[68] ^= 1;
            let crc = crc32fast::hash(&bytes[..124]);
            bytes[124..128].copy_from_slice(&crc.to_le_bytes());
            put(disk, path, &bytes);
        }
    })
}

/// A file that tenants share may be longer than its parts: others were in it.
pub(super) fn shared_longer(store: &Store) -> Vec<Case<'_>> {
    longer_of(store, true)
}

pub(super) fn longer(store: &Store) -> Vec<Case<'_>> {
    longer_of(store, false)
}

fn longer_of(store: &Store, shared: bool) -> Vec<Case<'_>> {
    each(store, |disk, path, _| {
        if path.starts_with("l0") != shared {
            return;
        }
        let length = disk.len(path).unwrap();
        let file = disk.open(path, Mode::ReadWrite).unwrap();
        file.write_all_at(&[0xa5; 64], length).unwrap();
    })
}

pub(super) fn swapped(store: &Store) -> Vec<Case<'_>> {
    let disk = SimDisk::from_snapshot(&store.disk);
    let paths = paths(&disk);
    let alike = |one: &&PathBuf, other: &&PathBuf| {
        one < other
            && one.parent() == other.parent()
            && one.starts_with("tenants")
            && one.extension() == other.extension()
    };
    let pairs = paths.iter().flat_map(|one| {
        paths
            .iter()
            .filter(move |other| alike(&one, other))
            .map(move |other| (one, other))
    });
    pairs
        .filter_map(|(one, other)| {
            let case = store.case(format!("{} and {}", one.display(), other.display()));
            let (first, second) = (get(&case.disk, one), get(&case.disk, other));
            put(&case.disk, one, &second);
            put(&case.disk, other, &first);
            (first != second).then_some(case)
        })
        .collect()
}

pub(super) fn of_another_tenant(store: &Store) -> Vec<Case<'_>> {
    let disk = SimDisk::from_snapshot(&store.disk);
    let alike = |one: &Path, other: &Path| {
        one.starts_with("tenants") && one.parent() != other.parent() && one.file_name() == other.file_name()
    };
    each(store, |changed, path, _| {
        if let Some(other) = paths(&disk).iter().find(|other| alike(path, other)) {
            put(changed, path, &get(&disk, other));
        }
    })
}

pub(super) fn older(store: &Store) -> Vec<Case<'_>> {
    let earlier = SimDisk::from_snapshot(&store.earlier.0);
    each(store, |disk, path, _| {
        if earlier.exists(path).unwrap() {
            put(disk, path, &get(&earlier, path));
        }
    })
}

pub(super) fn added(store: &Store) -> Vec<Case<'_>> {
    let add = |path: &Path| {
        let case = store.case(path.display().to_string());
        put(&case.disk, path, b"what nothing names");
        case
    };
    let disk = SimDisk::from_snapshot(&store.disk);
    let paths = paths(&disk);
    let dir = paths
        .iter()
        .find_map(|path| path.parent().filter(|dir| dir.starts_with("tenants")));
    let inside = dir.map(|dir| add(&dir.join("00000000000000ff.00000000.seg")));
    inside.into_iter().chain([add(Path::new("notes"))]).collect()
}

/// Edits every file in turn; what stays as it was is no case. `edit` gets a place in the file's middle.
fn each(store: &Store, edit: impl Fn(&SimDisk, &Path, u64)) -> Vec<Case<'_>> {
    let disk = SimDisk::from_snapshot(&store.disk);
    let cases = paths(&disk).into_iter().filter_map(|path| {
        let case = store.case(path.display().to_string());
        let spot = match log::end(&disk, &path) {
            Some(end) => end / 2,
            None => disk.len(&path).unwrap() / 2,
        };
        edit(&case.disk, &path, spot);
        let changed = !case.disk.exists(&path).unwrap() || get(&case.disk, &path) != get(&disk, &path);
        changed.then_some(case)
    });
    cases.collect()
}

/// The files that are in use: not those that wait to be used again, nor the root key, which is not part of the data.
fn paths(disk: &SimDisk) -> Vec<PathBuf> {
    let newest = log::newest(disk);
    let used = |path: &PathBuf| {
        let waits = path.starts_with("wal") && *path != newest;
        !waits && !path.starts_with("keys") && disk.len(path).is_ok_and(|length| length > 0)
    };
    disk.paths().into_iter().filter(used).collect()
}

const BLOCK: u64 = 4096;
