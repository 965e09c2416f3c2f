//! The root in a file that only its owner may read.
//!
//! # Format
//! `root.<generation>` in one directory, see [`super::format`]. `root.<generation>.new` is left over from a creation
//! that did not finish, `root.<generation>.gone` from a destruction; opening finishes the destruction of both, once it has
//! read every root, and only of a generation that is older than one it has read.
//!
//! # Durability
//! A new root is written under its temporary name, synced, renamed, and the directory synced, before it is used. A
//! root to be destroyed is renamed, the directory synced, then overwritten with zeros, synced, unlinked, and the
//! directory synced. So under its own name a root is whole or damaged, never half destroyed. Overwriting in place is
//! best effort: the medium or file system may keep an older copy.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use attestore_disk::{Disk, Mode};
use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::RootProvider;
use super::format::{self, FILE_LEN};
use crate::{Entropy, Error, Key, Result};

/// Root keys in files of mode 0600 in a directory of mode 0700.
pub struct FileRoot {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    entropy: Arc<dyn Entropy>,
    /// By generation; never empty.
    roots: Mutex<BTreeMap<u64, Key>>,
}

const PREFIX: &str = "root.";
const TEMPORARY: &str = ".new";
const GONE: &str = ".gone";
const OTHERS: u32 = 0o077;

impl FileRoot {
    /// Opens the roots in `dir`.
    ///
    /// # Errors
    /// [`Error::MissingKey`] when there is none, [`Error::Damaged`] when one is not what was written,
    /// [`Error::Permissions`] when others may read one, [`Error::Io`].
    pub fn open(disk: Arc<dyn Disk>, dir: impl AsRef<Path>, entropy: Arc<dyn Entropy>) -> Result<Self> {
        let root = Self::list(disk, dir.as_ref(), entropy)?;
        if root.roots.lock().is_empty() {
            return Err(Error::MissingKey {
                what: format!("root key in {}", root.dir.display()),
            });
        }
        Ok(root)
    }

    /// Opens the roots in `dir`, or creates the directory and the first root when there is none.
    ///
    /// # Errors
    /// As [`FileRoot::open`], but for [`Error::MissingKey`].
    pub fn open_or_create(
        disk: Arc<dyn Disk>,
        dir: impl AsRef<Path>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self> {
        let dir = dir.as_ref();
        disk.create_dir_all(dir)?;
        disk.sync_dir(dir.parent().unwrap_or(Path::new("")))?;
        let root = Self::list(disk, dir, entropy)?;
        if root.roots.lock().is_empty() {
            root.next_generation()?;
        }
        Ok(root)
    }

    fn list(disk: Arc<dyn Disk>, dir: &Path, entropy: Arc<dyn Entropy>) -> Result<Self> {
        let mut root = Self {
            disk,
            dir: dir.to_owned(),
            entropy,
            roots: Mutex::default(),
        };
        let entries = match root.disk.list(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(root),
            Err(error) => return Err(error.into()),
        };
        root.check_mode(dir)?;
        let mut unfinished = Vec::new();
        let mut gone = Vec::new();
        for entry in entries {
            let Some(name) = entry.name.strip_prefix(PREFIX) else {
                continue;
            };
            if let Some(generation) = name.strip_suffix(TEMPORARY).and_then(parse_generation) {
                unfinished.push((generation, entry.name));
            } else if let Some(generation) = name.strip_suffix(GONE).and_then(parse_generation) {
                gone.push((generation, entry.name));
            } else if let Some(generation) = parse_generation(name) {
                let key = root.read(generation)?;
                root.roots.get_mut().insert(generation, key);
            }
        }
        root.check_newer(gone.iter().map(|(generation, _)| *generation))?;
        for (_, name) in gone.into_iter().chain(unfinished) {
            root.erase(&dir.join(name))?;
        }
        Ok(root)
    }

    /// Only a generation that has a newer one is ever destroyed. If the newer one is not there, what is left of the older may be
    /// all that there is, and nothing is erased.
    fn check_newer(&self, gone: impl Iterator<Item = u64>) -> Result<()> {
        let current = self.generation();
        match gone.max() {
            Some(last) if last >= current => Err(Error::MissingKey {
                what: format!(
                    "root key newer than {PREFIX}{last}{GONE} in {}",
                    self.dir.display()
                ),
            }),
            _ => Ok(()),
        }
    }

    fn read(&self, generation: u64) -> Result<Key> {
        let path = self.path(generation);
        self.check_mode(&path)?;
        let damaged = |reason| Error::Damaged {
            what: path.display().to_string(),
            reason,
        };
        let file = self.disk.open(&path, Mode::Read)?;
        if file.len()? != FILE_LEN as u64 {
            return Err(damaged("wrong length"));
        }
        let mut bytes = Zeroizing::new([0; FILE_LEN]);
        file.read_exact_at(bytes.as_mut_slice(), 0)?;
        format::decode(generation, bytes.as_slice()).map_err(damaged)
    }

    fn check_mode(&self, path: &Path) -> Result<()> {
        let mode = self.disk.mode_bits(path)?;
        if mode & OTHERS == 0 {
            Ok(())
        } else {
            Err(Error::Permissions {
                path: path.to_owned(),
                mode,
            })
        }
    }

    /// Overwrites and unlinks a file, durably.
    fn erase(&self, path: &Path) -> Result<()> {
        let file = self.disk.open(path, Mode::ReadWrite)?;
        let len = usize::try_from(file.len()?)
            .unwrap_or(FILE_LEN)
            .clamp(FILE_LEN, 4096);
        file.write_all_at(&vec![0; len], 0)?;
        file.sync_data()?;
        drop(file);
        self.disk.remove(path)?;
        self.disk.sync_dir(&self.dir)?;
        Ok(())
    }

    fn path(&self, generation: u64) -> PathBuf {
        self.dir.join(format!("{PREFIX}{generation}"))
    }
}

impl RootProvider for FileRoot {
    fn generation(&self) -> u64 {
        self.roots
            .lock()
            .last_key_value()
            .map_or(0, |(generation, _)| *generation)
    }

    fn generations(&self) -> Vec<u64> {
        self.roots.lock().keys().copied().collect()
    }

    fn wrap(&self, aad: &[u8], key: &Key) -> Result<Vec<u8>> {
        let roots = self.roots.lock();
        let (generation, root) = roots.last_key_value().ok_or_else(|| Error::MissingKey {
            what: "root key".to_owned(),
        })?;
        Ok(format::wrap(root, *generation, self.entropy.as_ref(), aad, key))
    }

    fn unwrap(&self, generation: u64, aad: &[u8], wrapped: &[u8]) -> Result<Key> {
        let roots = self.roots.lock();
        let root = roots.get(&generation).ok_or_else(|| Error::MissingKey {
            what: format!("root generation {generation}"),
        })?;
        format::unwrap(root, generation, aad, wrapped)
    }

    fn next_generation(&self) -> Result<u64> {
        let mut roots = self.roots.lock();
        let generation = roots.last_key_value().map_or(1, |(generation, _)| generation + 1);
        let key = Key::random(self.entropy.as_ref());
        let path = self.path(generation);
        let temporary = self.dir.join(format!("{PREFIX}{generation}{TEMPORARY}"));
        if self.disk.exists(&temporary)? {
            self.erase(&temporary)?;
        }
        let file = self.disk.open(&temporary, Mode::Create)?;
        file.write_all_at(format::encode(generation, &key).as_slice(), 0)?;
        file.sync_data()?;
        drop(file);
        self.disk.rename(&temporary, &path)?;
        self.disk.sync_dir(&self.dir)?;
        roots.insert(generation, key);
        Ok(generation)
    }

    fn destroy(&self, generation: u64) -> Result<()> {
        let mut roots = self.roots.lock();
        if roots
            .last_key_value()
            .is_some_and(|(newest, _)| *newest == generation)
        {
            return Err(Error::InUse { generation });
        }
        // Forgotten first: after a failure below it is not known to be there any more.
        roots.remove(&generation);
        let path = self.path(generation);
        let gone = self.dir.join(format!("{PREFIX}{generation}{GONE}"));
        if self.disk.exists(&path)? {
            self.disk.rename(&path, &gone)?;
            self.disk.sync_dir(&self.dir)?;
        }
        if self.disk.exists(&gone)? {
            self.erase(&gone)
        } else {
            Ok(())
        }
    }
}

/// A generation as [`FileRoot::path`] writes it, and not otherwise.
fn parse_generation(name: &str) -> Option<u64> {
    let generation = name.parse::<u64>().ok()?;
    (generation > 0 && generation.to_string() == name).then_some(generation)
}
