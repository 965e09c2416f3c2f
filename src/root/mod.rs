//! Opens the root of a data directory: the one way for the server and for every command that reads a directory.
//!
//! Which provider holds it is the directory's word (`keys/root.provider`; without it, a file in the open). Settings say it too, and where
//! the two differ nothing is opened and nothing is made.

mod secret;
mod vouch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use attestore_disk::{Disk, LockGuard};
use attestore_keys::{
    Cost, Entropy, Error, FileRoot, Holder, PassphraseSeal, Provider, RootProvider, RootSeal, SystemEntropy,
};
use zeroize::Zeroizing;

pub use self::secret::{Secret, typed};
use crate::failure::{Failure, KEYS};
use crate::files;
use crate::settings::Root;

/// Why a root does not open.
pub enum Refused {
    /// The secret is missing or wrong, or the provider is away: another try may do.
    Keys(Error),
    /// Another try would not help.
    Failed(Failure),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match error.is_key() {
            true => Self::Keys(error),
            false => Self::Failed(attestore_engine::OpenError::from(error).into()),
        }
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Keys(error) => attestore_engine::OpenError::from(error).into(),
            Refused::Failed(failure) => failure,
        }
    }
}

/// Opens the root of the data directory on `disk`. `wanted` is what settings say, if there are any. With `create`, the first root is made
/// where there is neither a root nor a catalog.
///
/// # Errors
/// [`Refused`]; every failure of keys ends with exit code 4.
pub fn open(
    disk: &Arc<dyn Disk>,
    wanted: Option<&Root>,
    create: bool,
    secret: &Secret,
) -> Result<Arc<dyn RootProvider>, Refused> {
    attestore_engine::formats::check(&**disk).map_err(Failure::from)?;
    let dir = Path::new(DIR);
    let fresh = create && !disk.exists(Path::new("catalog")).map_err(Error::from)?;
    let there = FileRoot::exists(&**disk, dir)?;
    let mut holder = Holder::read(&**disk, dir)?;
    if there || !fresh {
        let held = holder.as_ref().map_or(Provider::File, |holder| holder.provider);
        if let Some(wanted) = wanted
            .map(|root| Provider::from(root.provider))
            .filter(|wanted| *wanted != held)
        {
            return Err(mismatch(held, wanted).into());
        }
    } else {
        holder = begin(&**disk, dir, holder, wanted)?;
    }
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let Some(holder) = holder else {
        let root = match fresh {
            true => FileRoot::open_or_create(Arc::clone(disk), dir, entropy)?,
            false => FileRoot::open(Arc::clone(disk), dir, entropy)?,
        };
        return Ok(Arc::new(root));
    };
    let _lock = lock(&**disk)?;
    let was = holder.former.as_ref().map(|(provider, _)| *provider);
    let seal = seal(
        (holder.provider, &holder.place),
        &holder,
        wanted,
        secret,
        fresh && !there,
    )?;
    let root = if fresh {
        FileRoot::open_or_create_sealed(Arc::clone(disk), dir, entropy, seal)?
    } else {
        // Who held the root before is asked only while there is something of theirs.
        let held = FileRoot::providers(disk, dir, Arc::clone(&entropy))?;
        let former = match holder
            .former
            .as_ref()
            .filter(|(provider, _)| held.contains(provider))
        {
            Some((provider, place)) => Some(self::seal((*provider, place), &holder, None, secret, false)?),
            None => None,
        };
        FileRoot::open_sealed(Arc::clone(disk), dir, entropy, seal, former)?
    };
    Ok(match was {
        Some(was) => Arc::new(root.moved_from(was)),
        None => Arc::new(root),
    })
}

/// Gives the root of a data directory another holder, and makes a new generation there. Both are needed until what the former holds is
/// gone: whoever opens the engine next sees to that. Says who the former is.
///
/// # Errors
/// As [`open`], of both; when they are of the same kind, or a move before this one has not ended.
pub fn move_to(disk: &Arc<dyn Disk>, to: &Root) -> Result<(Arc<dyn RootProvider>, Provider), Refused> {
    let (dir, entropy): (_, Arc<dyn Entropy>) = (Path::new(DIR), Arc::new(SystemEntropy));
    let _lock = lock(&**disk)?;
    let before = Holder::read(&**disk, dir)?;
    let before = before.unwrap_or_else(|| Holder::new(Provider::File, BTreeMap::new(), &SystemEntropy));
    let provider = Provider::from(to.provider);
    if before.provider == provider {
        let text = format!("the root is held by the provider {} already", provider.name());
        return Err(Failure::usage(text).into());
    }
    if FileRoot::providers(disk, dir, Arc::clone(&entropy))? != [before.provider] {
        let text = "roots of several providers are there: start the server once, so that the move before this one ends";
        return Err(Failure::failed(text).into());
    }
    let asked = Secret::FoundOrTyped;
    let former = seal((before.provider, &before.place), &before, None, &asked, false)?;
    // Both work, before anything is changed.
    drop(FileRoot::open_sealed(
        Arc::clone(disk),
        dir,
        Arc::clone(&entropy),
        Arc::clone(&former),
        None,
    )?);
    if let Some(module) = former.signing()
        && let signing = module.count()?
        && signing > 0
    {
        let text = format!(
            "{signing} keys that sign for logs are in the security module and cannot leave it: set root.signing = \"directory\", rotate \
             them (attestore key rotate), and wait until the former ones are retired"
        );
        return Err(Failure::failed(text).into());
    }
    let holder = Holder {
        provider,
        place: place(to),
        former: Some((before.provider, before.place.clone())),
        set: before.set.clone(),
    };
    let seal = seal((provider, &holder.place), &holder, Some(to), &asked, true)?;
    holder.write(&**disk, dir)?;
    let root = FileRoot::open_sealed(Arc::clone(disk), dir, entropy, seal, Some(former))?;
    root.next_generation()?;
    Ok((Arc::new(root.moved_from(before.provider)), before.provider))
}

/// Has the keys of logs in a security module sign beside a root that something else holds. None of them is its to destroy.
///
/// # Errors
/// As logging in to the module.
pub fn vouched(root: Arc<dyn RootProvider>, at: &Root) -> Result<Arc<dyn RootProvider>, Refused> {
    let stranger = Holder::new(Provider::Pkcs11, place(at), &SystemEntropy);
    let seal = token(&stranger.place, &stranger, Some(at), &Secret::FoundOrTyped)?;
    Ok(match seal.signing() {
        Some(module) => Arc::new(vouch::Vouched { root, module }),
        None => root,
    })
}

/// Keeps others from opening roots meanwhile: opening ends what a crash left, also keys in a module, and nobody else may be in the middle of
/// making one.
fn lock(disk: &dyn Disk) -> Result<Box<dyn LockGuard>, Refused> {
    let lock = disk.try_lock(Path::new(LOCK)).map_err(Error::from)?;
    lock.ok_or_else(|| Failure::from(attestore_engine::OpenError::InUse).into())
}

/// Notes who is to hold the roots of a new directory, before the first one is made.
fn begin(
    disk: &dyn Disk,
    dir: &Path,
    before: Option<Holder>,
    wanted: Option<&Root>,
) -> Result<Option<Holder>, Refused> {
    let Some(wanted) = wanted else {
        return Ok(before);
    };
    let provider = Provider::from(wanted.provider);
    if let Some(before) = before {
        // A start before this one ended here: what it noted stands.
        return match before.provider == provider {
            true => Ok(Some(before)),
            false => Err(mismatch(before.provider, provider).into()),
        };
    }
    if provider == Provider::File {
        return Ok(None);
    }
    let holder = Holder::new(provider, place(wanted), &SystemEntropy);
    holder.write(disk, dir)?;
    Ok(Some(holder))
}

/// Where a provider is, as `keys/root.provider` has it.
fn place(root: &Root) -> BTreeMap<String, String> {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let place = match Provider::from(root.provider) {
        Provider::Pkcs11 => vec![
            ("module", path(&root.module)),
            ("label", root.label.clone()),
            ("serial", root.serial.clone()),
        ],
        Provider::Vault => vec![
            ("address", root.address.clone()),
            ("mount", root.mount.clone()),
            ("namespace", root.namespace.clone()),
            ("ca_file", path(&root.ca_file)),
            ("role_id", root.role_id.clone()),
        ],
        Provider::File | Provider::Passphrase => Vec::new(),
    };
    let named = place.into_iter();
    named
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

/// What seals roots at that place.
fn seal(
    (provider, place): (Provider, &BTreeMap<String, String>),
    holder: &Holder,
    wanted: Option<&Root>,
    secret: &Secret,
    first: bool,
) -> Result<Arc<dyn RootSeal>, Refused> {
    match provider {
        Provider::Passphrase => {
            let passphrase = secret.get(Provider::Passphrase, wanted)?;
            if first && passphrase.chars().count() < PASSPHRASE_MIN {
                let text = format!("a passphrase needs at least {PASSPHRASE_MIN} characters");
                return Err(Failure::usage(text).into());
            }
            let bytes = Zeroizing::new(passphrase.as_bytes().to_vec());
            Ok(Arc::new(PassphraseSeal::new(bytes, Cost::default())))
        }
        Provider::Pkcs11 => token(place, holder, wanted, secret),
        Provider::File => Ok(FileRoot::in_the_open()),
        Provider::Vault => vault(place, holder, wanted, secret),
    }
}

#[cfg(feature = "pkcs11")]
fn token(
    place: &BTreeMap<String, String>,
    holder: &Holder,
    wanted: Option<&Root>,
    secret: &Secret,
) -> Result<Arc<dyn RootSeal>, Refused> {
    let set = std::env::var_os("ATTESTORE_ROOT__MODULE").map(PathBuf::from);
    let set = wanted.and_then(|wanted| wanted.module.clone()).or(set);
    let module = set.or_else(|| place.get("module").map(PathBuf::from));
    let module =
        module.ok_or_else(|| Failure::new(KEYS, "keys/root.provider names no module: set root.module"))?;
    if module.exists() {
        files::check_program(&module)?;
    }
    let at = attestore_keys::TokenAt {
        module,
        label: place.get("label").cloned(),
        serial: place.get("serial").cloned(),
    };
    let pin = secret.get(Provider::Pkcs11, wanted)?;
    let seal = attestore_keys::Pkcs11Seal::connect(at, &pin, holder.set_bytes())?;
    Ok(Arc::new(seal))
}

#[cfg(not(feature = "pkcs11"))]
fn token(
    _: &BTreeMap<String, String>,
    _: &Holder,
    _: Option<&Root>,
    _: &Secret,
) -> Result<Arc<dyn RootSeal>, Refused> {
    Err(Failure::new(
        KEYS,
        "the root is held by a security module, and this build has no pkcs11",
    )
    .into())
}

#[cfg(feature = "vault")]
fn vault(
    place: &BTreeMap<String, String>,
    holder: &Holder,
    wanted: Option<&Root>,
    secret: &Secret,
) -> Result<Arc<dyn RootSeal>, Refused> {
    // Vault may move: what settings say goes before what the directory has.
    let set = wanted.map(self::place).unwrap_or_default();
    let at = |name: &str| {
        let variable = || std::env::var(format!("ATTESTORE_ROOT__{}", name.to_ascii_uppercase())).ok();
        set.get(name)
            .cloned()
            .or_else(variable)
            .or_else(|| place.get(name).cloned())
    };
    let address = at("address")
        .ok_or_else(|| Failure::new(KEYS, "keys/root.provider names no address: set root.address"))?;
    let ca = at("ca_file")
        .map(|path| files::read(Path::new(&path)))
        .transpose()?;
    let role_id = at("role_id");
    let secret = secret.of_vault(role_id.is_some(), wanted)?;
    let login = match role_id {
        Some(role_id) => attestore_keys::VaultLogin::AppRole {
            role_id,
            secret_id: secret,
        },
        None => attestore_keys::VaultLogin::Token(secret),
    };
    let at = attestore_keys::VaultAt {
        address,
        mount: at("mount").unwrap_or_else(|| "transit".to_owned()),
        namespace: at("namespace"),
        ca,
    };
    Ok(Arc::new(attestore_keys::VaultSeal::connect(
        at,
        login,
        holder.set_bytes(),
    )?))
}

#[cfg(not(feature = "vault"))]
fn vault(
    _: &BTreeMap<String, String>,
    _: &Holder,
    _: Option<&Root>,
    _: &Secret,
) -> Result<Arc<dyn RootSeal>, Refused> {
    Err(Failure::new(KEYS, "the root is held by Vault, and this build has no vault").into())
}

fn mismatch(held: Provider, wanted: Provider) -> Failure {
    let (held, wanted) = (held.name(), wanted.name());
    Failure::new(
        KEYS,
        format!(
            "key: the root of this data directory is held by the provider {held}, and the settings say {wanted}: set root.provider = \
             \"{held}\" (ATTESTORE_ROOT__PROVIDER={held})"
        ),
    )
}

const DIR: &str = "keys";
/// As the engine has it.
const LOCK: &str = "attestore.lock";
/// Characters of a new passphrase.
const PASSPHRASE_MIN: usize = 8;

#[cfg(test)]
mod tests;
