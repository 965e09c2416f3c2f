//! Roots in files that only their owner may read: in the open, or sealed by something else ([`super::RootSeal`]).
//!
//! Roots stay in memory while this is open, so wrapping and unwrapping never ask whatever seals them. It is asked when roots are opened,
//! made and destroyed.
//!
//! # Format
//! `root.<generation>` in one directory, see [`super::format`] and [`super::sealed`]. `root.<generation>.new` is left over from a creation
//! that did not finish, `root.<generation>.begun` says which key elsewhere that one made, `root.<generation>.gone` is left over from a
//! destruction; opening finishes the destruction of all of them, once it has read every root, and only of a generation that is older
//! than one it has read.
//!
//! # Durability
//! A new root is written under its temporary name, synced, renamed, and the directory synced, before it is used. Where sealing makes a
//! key elsewhere, a file of its own says which, durably, before that is made, so that nothing is left there that nobody knows of. A
//! root to be destroyed is renamed, the directory synced, the key that sealed it destroyed, then the file is overwritten with zeros,
//! synced, unlinked, and the directory synced. So under its own name a root is whole or damaged, never half destroyed. Overwriting in
//! place is best effort: the medium or file system may keep an older copy.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use attestore_disk::{Disk, Mode};
use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::format::{self, FILE_LEN};
use super::seal::Open;
use super::sealed::{self, Sealed};
use super::{Provider, RootProvider, RootSeal};
use crate::{Entropy, Error, Key, Result, SigningModule};

/// Root keys in files of mode 0600 in a directory of mode 0700.
pub struct FileRoot {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    entropy: Arc<dyn Entropy>,
    /// Seals new roots.
    seal: Arc<dyn RootSeal>,
    /// Opens those of before the provider was changed.
    former: Option<Arc<dyn RootSeal>>,
    /// Who held roots before, whether some of them are left or not.
    was: Option<Provider>,
    /// By generation; never empty. Never held while something else is asked.
    roots: Mutex<BTreeMap<u64, Key>>,
    /// Held while a root is made or destroyed.
    changing: Mutex<()>,
}

const PREFIX: &str = "root.";
const TEMPORARY: &str = ".new";
const BEGUN: &str = ".begun";
const GONE: &str = ".gone";
const OTHERS: u32 = 0o077;

impl FileRoot {
    /// Opens the roots in `dir`, which are in the open.
    ///
    /// # Errors
    /// [`Error::MissingKey`] when there is none, [`Error::Damaged`] when one is not what was written,
    /// [`Error::Permissions`] when others may read one, [`Error::Io`].
    pub fn open(disk: Arc<dyn Disk>, dir: impl AsRef<Path>, entropy: Arc<dyn Entropy>) -> Result<Self> {
        Self::open_sealed(disk, dir, entropy, Arc::new(Open), None)
    }

    /// Opens the roots in `dir`, which `seal` sealed, or, before the provider was changed, `former`.
    ///
    /// # Errors
    /// As [`FileRoot::open`]; [`Error::WrongKey`], [`Error::Unreachable`] of what seals them.
    pub fn open_sealed(
        disk: Arc<dyn Disk>,
        dir: impl AsRef<Path>,
        entropy: Arc<dyn Entropy>,
        seal: Arc<dyn RootSeal>,
        former: Option<Arc<dyn RootSeal>>,
    ) -> Result<Self> {
        let root = Self::list(disk, dir.as_ref(), entropy, seal, former)?;
        if root.roots.lock().is_empty() {
            return Err(Error::MissingKey {
                what: format!("root key in {}", root.dir.display()),
            });
        }
        Ok(root)
    }

    /// Notes who held the roots before, for receipts.
    #[must_use]
    pub fn moved_from(self, provider: Provider) -> Self {
        Self {
            was: Some(provider),
            ..self
        }
    }

    /// Who holds the roots that are in `dir`, each once; opens nothing.
    ///
    /// # Errors
    /// The medium's.
    pub fn providers(disk: &Arc<dyn Disk>, dir: &Path, entropy: Arc<dyn Entropy>) -> Result<Vec<Provider>> {
        let reader = Self {
            disk: Arc::clone(disk),
            dir: dir.to_owned(),
            entropy,
            seal: Arc::new(Open),
            former: None,
            was: None,
            roots: Mutex::default(),
            changing: Mutex::default(),
        };
        let mut found = Vec::new();
        for entry in disk.list(dir)? {
            let name = entry.name.strip_prefix(PREFIX);
            let name = name.map(|name| name.strip_suffix(GONE).unwrap_or(name));
            let Some(generation) = name.and_then(parse_generation) else {
                continue;
            };
            let sealed = reader.sealed_at(generation, &dir.join(&entry.name))?;
            let provider = sealed.map_or(Provider::File, |sealed| sealed.provider);
            if !found.contains(&provider) {
                found.push(provider);
            }
        }
        Ok(found)
    }

    /// What holds roots in the open, for [`FileRoot::open_sealed`].
    #[must_use]
    pub fn in_the_open() -> Arc<dyn RootSeal> {
        Arc::new(Open)
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
        Self::open_or_create_sealed(disk, dir, entropy, Arc::new(Open))
    }

    /// As [`FileRoot::open_or_create`], with what seals the roots.
    ///
    /// # Errors
    /// As [`FileRoot::open_sealed`], but for a root that is not there.
    pub fn open_or_create_sealed(
        disk: Arc<dyn Disk>,
        dir: impl AsRef<Path>,
        entropy: Arc<dyn Entropy>,
        seal: Arc<dyn RootSeal>,
    ) -> Result<Self> {
        let dir = dir.as_ref();
        disk.create_dir_all(dir)?;
        disk.sync_dir(dir.parent().unwrap_or(Path::new("")))?;
        let root = Self::list(disk, dir, entropy, seal, None)?;
        if root.roots.lock().is_empty() {
            root.next_generation()?;
            root.seal.settled();
        }
        Ok(root)
    }

    /// Says whether there are root files in `dir`, of whatever kind. Opens nothing.
    ///
    /// # Errors
    /// The medium's.
    pub fn exists(disk: &dyn Disk, dir: &Path) -> Result<bool> {
        let entries = match disk.list(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        Ok(entries.iter().any(|entry| {
            let name = entry.name.strip_prefix(PREFIX);
            name.is_some_and(|name| parse_generation(name.strip_suffix(GONE).unwrap_or(name)).is_some())
        }))
    }

    fn list(
        disk: Arc<dyn Disk>,
        dir: &Path,
        entropy: Arc<dyn Entropy>,
        seal: Arc<dyn RootSeal>,
        former: Option<Arc<dyn RootSeal>>,
    ) -> Result<Self> {
        let mut root = Self {
            disk,
            dir: dir.to_owned(),
            entropy,
            seal,
            former,
            was: None,
            roots: Mutex::default(),
            changing: Mutex::default(),
        };
        let entries = match root.disk.list(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(root),
            Err(error) => return Err(error.into()),
        };
        root.check_mode(dir)?;
        let mut unfinished = Vec::new();
        let mut begun = Vec::new();
        let mut gone = Vec::new();
        for entry in entries {
            let Some(name) = entry.name.strip_prefix(PREFIX) else {
                continue;
            };
            if let Some(generation) = name.strip_suffix(TEMPORARY).and_then(parse_generation) {
                unfinished.push((generation, entry.name));
            } else if let Some(generation) = name.strip_suffix(BEGUN).and_then(parse_generation) {
                begun.push((generation, entry.name));
            } else if let Some(generation) = name.strip_suffix(GONE).and_then(parse_generation) {
                gone.push((generation, entry.name));
            } else if let Some(generation) = parse_generation(name) {
                let key = root.read(generation)?;
                root.roots.get_mut().insert(generation, key);
            }
        }
        root.check_newer(gone.iter().map(|(generation, _)| *generation))?;
        let current = root.generation();
        for (generation, name) in gone {
            root.discard(generation, &dir.join(name), current)?;
        }
        for (_, name) in unfinished {
            root.erase(&dir.join(name))?;
        }
        for (generation, name) in begun {
            root.end_begun(generation, &dir.join(name), current)?;
        }
        if current > 0 {
            root.seal.settled();
            root.former.iter().for_each(|former| former.settled());
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
        let bytes = self.bytes(&path)?.ok_or_else(|| damaged("wrong length"))?;
        if !Sealed::is_one(&bytes) {
            let key = format::decode(generation, &bytes).map_err(damaged)?;
            self.sealed_by(Provider::File, generation)?;
            return Ok(key);
        }
        let file = Sealed::decode(generation, &bytes).map_err(damaged)?;
        let seal = self.sealed_by(file.provider, generation)?;
        let key = seal.open(&file.reference, &file.aad(), &file.sealed)?;
        match file.check.matches(&key) {
            true => Ok(key),
            false => Err(damaged("key check")),
        }
    }

    /// What seals roots under that name.
    fn sealed_by(&self, provider: Provider, generation: u64) -> Result<&Arc<dyn RootSeal>> {
        let mut seals = std::iter::once(&self.seal).chain(&self.former);
        let found = seals.find(|seal| seal.provider() == provider);
        found.ok_or_else(|| Error::MissingKey {
            what: format!(
                "root generation {generation} is held by the provider {}, and the one that was set up is {}",
                provider.name(),
                self.seal.provider().name()
            ),
        })
    }

    /// The bytes of a root file; none of one that is too long to be one.
    fn bytes(&self, path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let file = self.disk.open(path, Mode::Read)?;
        let len = usize::try_from(file.len()?).ok();
        let Some(len) = len.filter(|len| *len <= sealed::LEN_MAX) else {
            return Ok(None);
        };
        let mut bytes = Zeroizing::new(vec![0; len]);
        file.read_exact_at(bytes.as_mut_slice(), 0)?;
        Ok(Some(bytes))
    }

    /// Where the key is that sealed a generation; none if it is in the open, or the file does not say.
    fn sealed_at(&self, generation: u64, path: &Path) -> Result<Option<Sealed>> {
        let bytes = self.bytes(path)?;
        Ok(bytes.and_then(|bytes| Sealed::decode(generation, &bytes).ok()))
    }

    /// Destroys what is left of a root: the key that sealed it, then the file. A file that does not say which key that is was
    /// never finished, or the key was destroyed before the file was overwritten.
    fn discard(&self, generation: u64, path: &Path, current: u64) -> Result<()> {
        if let Some(file) = self.sealed_at(generation, path)? {
            let seal = self.sealed_by(file.provider, generation)?;
            let witness = match current {
                0 => None,
                _ => self.sealed_at(current, &self.path(current))?,
            };
            let witness = witness.filter(|witness| witness.provider == file.provider);
            let witness = witness.as_ref().map(|witness| witness.reference.as_slice());
            seal.destroy(&file.reference, witness)?;
        }
        self.erase(path)
    }

    /// Forgets which key was made for a generation: it is in the root's file, or the root was never finished and the key goes.
    fn end_begun(&self, generation: u64, path: &Path, current: u64) -> Result<()> {
        if self.disk.exists(&self.path(generation))? {
            self.erase(path)
        } else {
            self.discard(generation, path, current)
        }
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
            .clamp(FILE_LEN, sealed::LEN_MAX);
        file.write_all_at(&vec![0; len], 0)?;
        file.sync_data()?;
        drop(file);
        self.disk.remove(path)?;
        self.disk.sync_dir(&self.dir)?;
        Ok(())
    }

    /// Writes a new root under its temporary name.
    fn write(&self, temporary: &Path, generation: u64, key: &Key) -> Result<()> {
        let too_long = |reason| Error::Io(io::Error::other(reason));
        let provider = self.seal.provider();
        if provider == Provider::File {
            let file = self.disk.open(temporary, Mode::Create)?;
            file.write_all_at(format::encode(generation, key).as_slice(), 0)?;
            return Ok(file.sync_data()?);
        }
        let reference = self.seal.reference(generation, self.entropy.as_ref())?;
        let mut sealed = Sealed::intended(generation, provider, reference);
        if self.seal.leaves_traces() {
            let file = self.disk.open(&self.begun(generation), Mode::Create)?;
            file.write_all_at(&sealed.encode().map_err(too_long)?, 0)?;
            file.sync_data()?;
            self.disk.sync_dir(&self.dir)?;
        }
        sealed.sealed = self
            .seal
            .seal(&sealed.reference, &sealed.aad(), key, self.entropy.as_ref())?;
        sealed.check = key.check();
        // What cannot be opened again must not become the current root.
        let opened = self.seal.open(&sealed.reference, &sealed.aad(), &sealed.sealed)?;
        if !opened.ct_eq(key) {
            let what = format!("{} gives back another root than it was given", provider.name());
            return Err(Error::Unreachable { what });
        }
        let file = self.disk.open(temporary, Mode::Create)?;
        file.write_all_at(&sealed.encode().map_err(too_long)?, 0)?;
        Ok(file.sync_data()?)
    }

    fn begun(&self, generation: u64) -> PathBuf {
        self.dir.join(format!("{PREFIX}{generation}{BEGUN}"))
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
        let _changing = self.changing.lock();
        let generation = self.generation() + 1;
        let key = Key::random(self.entropy.as_ref());
        let path = self.path(generation);
        let temporary = self.dir.join(format!("{PREFIX}{generation}{TEMPORARY}"));
        if self.disk.exists(&temporary)? {
            self.erase(&temporary)?;
        }
        let begun = self.begun(generation);
        if self.disk.exists(&begun)? {
            self.end_begun(generation, &begun, generation - 1)?;
        }
        self.write(&temporary, generation, &key)?;
        self.disk.rename(&temporary, &path)?;
        self.disk.sync_dir(&self.dir)?;
        self.roots.lock().insert(generation, key);
        if self.seal.leaves_traces() {
            // The root's file has it now. If it stays, the next opening removes it.
            let _ = self.erase(&begun);
        }
        Ok(generation)
    }

    fn destroy(&self, generation: u64) -> Result<()> {
        let _changing = self.changing.lock();
        let current = self.generation();
        if generation == current {
            return Err(Error::InUse { generation });
        }
        // Forgotten first: after a failure below it is not known to be there any more.
        self.roots.lock().remove(&generation);
        let path = self.path(generation);
        let gone = self.dir.join(format!("{PREFIX}{generation}{GONE}"));
        if self.disk.exists(&path)? {
            self.disk.rename(&path, &gone)?;
            self.disk.sync_dir(&self.dir)?;
        }
        if self.disk.exists(&gone)? {
            self.discard(generation, &gone, current)
        } else {
            Ok(())
        }
    }

    fn provider(&self) -> Provider {
        self.seal.provider()
    }

    fn medium(&self) -> String {
        let now = self.provider().medium();
        match self.was {
            Some(was) if was != self.provider() => format!(
                "{now}; roots of before it was moved there were held by the provider {}: {}",
                was.name(),
                was.medium()
            ),
            _ => now.to_owned(),
        }
    }

    fn signing(&self) -> Option<Arc<dyn SigningModule>> {
        self.seal.signing()
    }

    fn reach(&self) -> Result<()> {
        let current = self.generation();
        match self.sealed_at(current, &self.path(current))? {
            Some(file) => self.sealed_by(file.provider, current)?.reach(&file.reference),
            None => Ok(()),
        }
    }
}

/// A generation as [`FileRoot::path`] writes it, and not otherwise.
fn parse_generation(name: &str) -> Option<u64> {
    let generation = name.parse::<u64>().ok()?;
    (generation > 0 && generation.to_string() == name).then_some(generation)
}
