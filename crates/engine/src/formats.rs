//! Which versions of files this program knows. A directory that a newer one wrote is refused before anything is read with a key, and
//! before anything is changed.
//!
//! Files that many of are there, or that lie behind keys (segments, exports, rows), are not looked into: whoever changes one of those
//! formats counts up the format of the data directory too, which stands in the instance row.

use std::io;
use std::path::{Path, PathBuf};

use attestore_disk::{Disk, Mode};

use crate::error::{OpenError, Result};

/// A kind of file whose version can be read without a key.
struct Kind {
    what: &'static str,
    /// Where the magic number stands.
    at: u64,
    magic: &'static [u8; 8],
    /// The newest version that is known; it stands behind the magic number, as u16.
    known: u16,
}

/// Version of the data directory as a whole, in the instance row.
pub(crate) const DATA_DIRECTORY: u32 = 1;

const CATALOG: [Kind; 4] = [
    kind("the header of the catalog", 0, b"ATSTCAT\0", 1),
    kind("the header of the catalog", 4096, b"ATSTCAT\0", 1),
    kind("the state of the catalog", 8192, b"ATSTCATS", 1),
    kind("the state of the catalog", 12288, b"ATSTCATS", 1),
];
const JOURNAL: [Kind; 1] = [kind("the journal of the catalog", 0, b"ATSTCATJ", 2)];
const ROOT: [Kind; 1] = [kind("the root key", 0, b"ATSTROOT", 2)];
const HEADS: [Kind; 1] = [kind("the head register", 0, b"ATSTHEAD", 2)];
const WAL: [Kind; 1] = [kind("the write-ahead log", 0, b"ATSTWAL\0", 1)];
const PROVIDER_TITLE: &str = "attestore root provider v";
const PROVIDER_KNOWN: u64 = 1;

const fn kind(what: &'static str, at: u64, magic: &'static [u8; 8], known: u16) -> Kind {
    Kind {
        what,
        at,
        magic,
        known,
    }
}

/// Refuses a data directory some file of which has a newer version than this program knows. Changes nothing. What is damaged, or not
/// there, is for who opens it to say.
///
/// # Errors
/// [`OpenError::Newer`] with file, version found and version known; what the disk says.
pub fn check(disk: &dyn Disk) -> Result<(), OpenError> {
    one(disk, Path::new("catalog"), &CATALOG)?;
    for name in ["catalog.journal.0", "catalog.journal.1"] {
        one(disk, Path::new(name), &JOURNAL)?;
    }
    one(disk, Path::new("heads"), &HEADS)?;
    for (path, name) in files(disk, Path::new("keys"))? {
        match name.as_str() {
            "root.provider" => provider(disk, &path)?,
            _ => one(disk, &path, &ROOT)?,
        }
    }
    for (path, _) in files(disk, Path::new("wal"))? {
        one(disk, &path, &WAL)?;
    }
    Ok(())
}

/// Refuses a data directory of a newer format.
pub(crate) fn check_directory(found: u32) -> Result<(), OpenError> {
    match found > DATA_DIRECTORY {
        true => Err(OpenError::Newer {
            path: "catalog".into(),
            what: "the data directory",
            found: found.into(),
            known: DATA_DIRECTORY.into(),
        }),
        false => Ok(()),
    }
}

fn one(disk: &dyn Disk, path: &Path, kinds: &[Kind]) -> Result<(), OpenError> {
    let file = match disk.open(path, Mode::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    for kind in kinds {
        let mut head = [0; 10];
        // A piece that cannot be read is for who opens it.
        if file.read_exact_at(&mut head, kind.at).is_err() || head[..8] != *kind.magic {
            continue;
        }
        let found = u16::from_le_bytes([head[8], head[9]]);
        if found > kind.known {
            return Err(OpenError::Newer {
                path: path.to_owned(),
                what: kind.what,
                found: found.into(),
                known: kind.known.into(),
            });
        }
    }
    Ok(())
}

/// The file that says who holds the root is text.
fn provider(disk: &dyn Disk, path: &Path) -> Result<(), OpenError> {
    let text = crate::backup::folder::read(disk, path)?;
    let text = String::from_utf8_lossy(&text);
    let version = text
        .lines()
        .next()
        .and_then(|line| line.strip_prefix(PROVIDER_TITLE));
    match version.and_then(|version| version.parse().ok()) {
        Some(found) if found > PROVIDER_KNOWN => Err(OpenError::Newer {
            path: path.to_owned(),
            what: "the holder of the root key",
            found,
            known: PROVIDER_KNOWN,
        }),
        _ => Ok(()),
    }
}

fn files(disk: &dyn Disk, dir: &Path) -> Result<Vec<(PathBuf, String)>, OpenError> {
    let entries = match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let files = entries.into_iter().filter(|entry| !entry.is_dir);
    Ok(files.map(|entry| (dir.join(&entry.name), entry.name)).collect())
}

#[cfg(test)]
mod tests;
