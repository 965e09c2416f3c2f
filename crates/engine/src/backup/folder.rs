//! Where things are in a target, and how small files get there.
//!
//! ```text
//! attestore-backup        whose backups these are: JSON
//! backups/<id>            manifests
//! escrow/<id>             what opens the backup of that id
//! catalogs/<id>           rows of the catalog
//! logs/<id>-<number>      what a file of the log held
//! blobs/<xx>/<id>         sealed files and parts, under the ids of their containers
//! entries/<xx>/<hash>     runs of a log's entries, under the first 16 bytes of their BLAKE3
//! ledger/<number>         the ledger
//! chunks/<id>/<number>    what was appended since the backup of that id
//! ```

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use attestore_disk::{DirEntry, Disk, Mode};
use serde::{Deserialize, Serialize};

use super::manifest::{self, Manifest};
use crate::catalog::json;
use crate::error::{Error, Result};

/// Whose backups are in a target.
#[derive(Serialize, Deserialize)]
struct Mark {
    format: u32,
    instance: String,
}

/// Makes the target, or checks that it is this instance's.
///
/// # Errors
/// [`Error::Conflict`] for another instance's, or what the system says.
pub(super) fn prepare(disk: &dyn Disk, instance: &str) -> Result<()> {
    match read(disk, Path::new(MARK)) {
        Ok(bytes) => {
            let mark: Mark = json(&bytes)?;
            match mark.instance == instance && mark.format == FORMAT {
                true => Ok(()),
                false => Err(Error::Conflict {
                    code: "other_backups",
                    message: "the folder for backups has those of another instance: give each one of its own"
                        .to_owned(),
                }),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            for dir in [BACKUPS, ESCROW, CATALOGS, LOGS, BLOBS, ENTRIES, LEDGER] {
                disk.create_dir_all(Path::new(dir))?;
            }
            let mark = Mark {
                format: FORMAT,
                instance: instance.to_owned(),
            };
            write(disk, Path::new(MARK), &crate::catalog::encode(&mark)?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Ids in [`BACKUPS`] or [`ESCROW`] and when they were begun, Unix milliseconds, the oldest first. Nothing is read.
///
/// # Errors
/// What the system says.
pub(super) fn ids(disk: &dyn Disk, dir: &str) -> Result<Vec<(String, u64)>> {
    let names = names(disk, Path::new(dir))?.into_keys();
    let ids = names.filter(|name| !is_unfinished(name)).filter_map(|name| {
        let begun_ms = u64::from_str_radix(name.get(..TIME_DIGITS)?, 16).ok()?;
        Some((name, begun_ms))
    });
    Ok(ids.collect())
}

/// The manifests of a target, the oldest first, and the names of those that do not hold.
#[derive(Default)]
pub(super) struct Known {
    pub(super) manifests: Vec<Manifest>,
    pub(super) bad: Vec<(PathBuf, String)>,
}

impl Known {
    /// Reads them.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn read(disk: &dyn Disk) -> Result<Self> {
        let mut known = Self::default();
        for name in names(disk, Path::new(BACKUPS))?.into_keys() {
            if is_unfinished(&name) {
                continue;
            }
            let path = Path::new(BACKUPS).join(&name);
            let bytes = match read(disk, &path) {
                // Its backup came to its end since: then nothing lists it any more.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if names(disk, Path::new(BACKUPS))?.contains_key(&name) {
                        return Err(error.into());
                    }
                    continue;
                }
                bytes => bytes?,
            };
            match manifest::decode(&bytes) {
                Ok(found) if found.manifest.id == name => known.manifests.push(found.manifest),
                Ok(_) => known.bad.push((path, "it is of another backup".to_owned())),
                Err(reason) => known.bad.push((path, reason)),
            }
        }
        Ok(known)
    }
}

pub(super) fn manifest_path(id: &str) -> PathBuf {
    Path::new(BACKUPS).join(id)
}

pub(super) fn escrow_path(id: &str) -> PathBuf {
    Path::new(ESCROW).join(id)
}

pub(super) fn catalog_path(id: &str) -> PathBuf {
    Path::new(CATALOGS).join(id)
}

pub(super) fn log_path(id: &str, number: u64) -> PathBuf {
    Path::new(LOGS).join(format!("{id}-{number:020}"))
}

pub(super) fn blob_path(id: &str) -> PathBuf {
    Path::new(BLOBS).join(id.get(..2).unwrap_or("xx")).join(id)
}

pub(super) fn entries_path(hash: &str) -> PathBuf {
    Path::new(ENTRIES).join(hash.get(..2).unwrap_or("xx")).join(hash)
}

pub(super) fn chunks_path(id: &str) -> PathBuf {
    Path::new(CHUNKS).join(id)
}

pub(super) fn chunk_path(id: &str, number: u64) -> PathBuf {
    chunks_path(id).join(format!("{number:020}"))
}

pub(super) fn ledger_path(number: u64) -> PathBuf {
    Path::new(LEDGER).join(format!("{number:020}"))
}

/// Whether a file is left over from an attempt to write it.
pub(super) fn is_unfinished(name: &str) -> bool {
    name.ends_with(".tmp")
}

/// Names and lengths of the files in a folder; none if it is not there.
///
/// # Errors
/// What the system says.
pub(crate) fn names(disk: &dyn Disk, dir: &Path) -> io::Result<BTreeMap<String, u64>> {
    match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        entries => {
            let files = entries?.into_iter().filter(|entry| !entry.is_dir);
            Ok(files.map(|entry| (entry.name, entry.len)).collect())
        }
    }
}

/// Names of the folders in a folder; none if it is not there.
///
/// # Errors
/// What the system says.
pub(super) fn folders(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<String>> {
    match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => {
            let folders = entries?.into_iter().filter(|entry| entry.is_dir);
            Ok(folders.map(|entry| entry.name).collect())
        }
    }
}

/// Removes a folder and the files in it, if it is there; the folder above is not synced.
///
/// # Errors
/// What the system says.
pub(super) fn remove_folder(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    for name in names(disk, dir)?.into_keys() {
        remove(disk, &dir.join(name))?;
    }
    remove(disk, dir)
}

/// As [`names`], of the files in the folders of a folder.
///
/// # Errors
/// What the system says.
pub(super) fn names_below(disk: &dyn Disk, dir: &Path) -> io::Result<BTreeMap<String, u64>> {
    let files = below(disk, dir)?.into_iter();
    Ok(files.map(|(_, entry)| (entry.name, entry.len)).collect())
}

/// Paths of the files in the folders of a folder; none if it is not there.
///
/// # Errors
/// What the system says.
pub(super) fn paths_below(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<PathBuf>> {
    let files = below(disk, dir)?.into_iter();
    Ok(files
        .map(|(folder, entry)| dir.join(folder).join(entry.name))
        .collect())
}

fn below(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<(String, DirEntry)>> {
    match disk.list_below(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries,
    }
}

/// Whether an error says nothing about a file: its target is another machine that could not be asked.
pub(super) fn is_away(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NetworkDown
}

/// Reads a whole file.
///
/// # Errors
/// What the system says.
pub(crate) fn read(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path, Mode::Read)?;
    let len = usize::try_from(file.len()?).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Writes a small file: temporary name, sync, rename, folder.
///
/// # Errors
/// What the system says.
pub(crate) fn write(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
    attestore_segment::write_file(disk, path, &[bytes])?;
    disk.sync_dir(path.parent().unwrap_or(Path::new("")))?;
    Ok(())
}

/// Removes a file if it is there; the folder is not synced.
///
/// # Errors
/// What the system says.
pub(crate) fn remove(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Overwrites a file with zeros and removes it, durably.
///
/// # Errors
/// What the system says.
pub(super) fn erase(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    let file = match disk.open(path, Mode::ReadWrite) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let len = usize::try_from(file.len()?).unwrap_or(0).min(ERASE_BYTES_MAX);
    file.write_all_at(&vec![0; len], 0)?;
    file.sync_data()?;
    drop(file);
    disk.remove(path)?;
    disk.sync_dir(path.parent().unwrap_or(Path::new("")))
}

/// Folders of a target.
pub(super) const BACKUPS: &str = "backups";
pub(super) const ESCROW: &str = "escrow";
pub(super) const CATALOGS: &str = "catalogs";
pub(super) const LOGS: &str = "logs";
pub(super) const BLOBS: &str = "blobs";
pub(super) const ENTRIES: &str = "entries";
pub(super) const LEDGER: &str = "ledger";
pub(super) const CHUNKS: &str = "chunks";
/// Digits of an id that are its time.
const TIME_DIGITS: usize = 12;
const MARK: &str = "attestore-backup";
const FORMAT: u32 = 1;
/// More than any escrow has.
const ERASE_BYTES_MAX: usize = 64 << 10;
