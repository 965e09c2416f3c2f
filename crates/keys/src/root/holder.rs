//! Which provider holds the roots of a directory: `root.provider` beside them.
//!
//! # Format
//! Text, nothing in it is secret. Absent where roots are in the open. Lines `name value`, each name once:
//! ```text
//! attestore root provider v1
//! provider pkcs11
//! set 9f0c…                      16 bytes, hex: in the names of what is made for this directory
//! module /usr/lib/softhsm/libsofthsm2.so
//! label audit                    of the token
//! former.provider file           who held them before, and where: `former.module …`
//! ```
//! What is said of the former holder stays: receipts have to tell.
//!
//! # Durability
//! Written under a temporary name, synced, renamed, the directory synced, before the first root.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use attestore_disk::{Disk, Mode};

use super::Provider;
use crate::{Entropy, Error, Result, random_array};

/// Who holds the roots of a directory, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The provider.
    pub provider: Provider,
    /// Goes into the names of what is made for this directory, hex.
    pub set: String,
    /// Where to find the provider, by name: what these are is the provider's.
    pub place: BTreeMap<String, String>,
    /// Who held them before, and where that is.
    pub former: Option<(Provider, BTreeMap<String, String>)>,
}

impl Holder {
    /// A holder of roots that are yet to be made.
    #[must_use]
    pub fn new(provider: Provider, place: BTreeMap<String, String>, entropy: &dyn Entropy) -> Self {
        let set: [u8; 16] = random_array(entropy);
        Self {
            provider,
            set: set.iter().map(|byte| format!("{byte:02x}")).collect(),
            place,
            former: None,
        }
    }

    /// Reads who holds the roots in `dir`; none where they are in the open, or where there is nothing yet.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::MissingKey`] for a provider that this build does not know; [`Error::Permissions`];
    /// [`Error::Io`].
    pub fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(NAME);
        if !disk.exists(&path)? {
            return Ok(None);
        }
        let mode = disk.mode_bits(&path)?;
        if mode & 0o022 != 0 {
            return Err(Error::Permissions { path, mode });
        }
        let damaged = |reason| Error::Damaged {
            what: path.display().to_string(),
            reason,
        };
        let file = disk.open(&path, Mode::Read)?;
        let len = usize::try_from(file.len()?)
            .ok()
            .filter(|len| *len <= LEN_MAX)
            .ok_or_else(|| damaged("too long"))?;
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, 0)?;
        let text = String::from_utf8(bytes).map_err(|_| damaged("not text"))?;
        let mut lines = text.lines();
        if lines.next() != Some(HEADER) {
            return Err(damaged("not a file of this kind"));
        }
        let mut place = BTreeMap::new();
        for line in lines {
            let (name, value) = line
                .split_once(' ')
                .ok_or_else(|| damaged("a line without a value"))?;
            if place.insert(name.to_owned(), value.to_owned()).is_some() {
                return Err(damaged("a name twice"));
            }
        }
        let name = place.remove("provider").ok_or_else(|| damaged("no provider"))?;
        let set = place.remove("set").ok_or_else(|| damaged("no set"))?;
        if set.len() != 32 || !set.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(damaged("the set is not 16 bytes in hex"));
        }
        let named = |name: &str| {
            Provider::named(name).ok_or_else(|| Error::MissingKey {
                what: format!("{}: a provider that this version does not know", path.display()),
            })
        };
        let mut before: BTreeMap<String, String> = BTreeMap::new();
        place.retain(|name, value| match name.strip_prefix(FORMER) {
            Some(name) => {
                before.insert(name.to_owned(), std::mem::take(value));
                false
            }
            None => true,
        });
        let former = match before.remove("provider") {
            Some(name) => Some((named(&name)?, before)),
            None => None,
        };
        Ok(Some(Self {
            provider: named(&name)?,
            set,
            place,
            former,
        }))
    }

    /// Writes it, durably; makes the directory if need be.
    ///
    /// # Errors
    /// The medium's.
    pub fn write(&self, disk: &dyn Disk, dir: &Path) -> Result<()> {
        let mut text = format!("{HEADER}\nprovider {}\nset {}\n", self.provider.name(), self.set);
        let former = self.former.iter().flat_map(|(provider, place)| {
            let provider = ("provider".to_owned(), provider.name().to_owned());
            let place = place.iter().map(|(name, value)| (name.clone(), value.clone()));
            std::iter::once(provider).chain(place)
        });
        let former = former.map(|(name, value)| (format!("{FORMER}{name}"), value));
        let place = self
            .place
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()));
        for (name, value) in place.chain(former) {
            if value.contains(['\n', '\r']) {
                return Err(std::io::Error::other(format!("{name}: a line break")).into());
            }
            text.push_str(&format!("{name} {value}\n"));
        }
        disk.create_dir_all(dir)?;
        disk.sync_dir(dir.parent().unwrap_or(Path::new("")))?;
        let temporary = dir.join(TEMPORARY);
        if disk.exists(&temporary)? {
            disk.remove(&temporary)?;
        }
        let file = disk.open(&temporary, Mode::Create)?;
        file.write_all_at(text.as_bytes(), 0)?;
        file.sync_data()?;
        drop(file);
        disk.rename(&temporary, &dir.join(NAME))?;
        disk.sync_dir(dir)?;
        Ok(())
    }

    /// Its path in `dir`.
    #[must_use]
    pub fn path(dir: &Path) -> PathBuf {
        dir.join(NAME)
    }

    /// The set's bytes.
    ///
    /// # Panics
    /// Never: it was checked when it was read or made.
    #[must_use]
    pub fn set_bytes(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        for (byte, digits) in bytes.iter_mut().zip(self.set.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).unwrap_or_default();
            *byte = u8::from_str_radix(digits, 16).unwrap_or_default();
        }
        bytes
    }
}

const NAME: &str = "root.provider";
const TEMPORARY: &str = "root.provider.new";
const FORMER: &str = "former.";
const HEADER: &str = "attestore root provider v1";
const LEN_MAX: usize = 8192;
