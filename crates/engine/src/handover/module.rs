//! Signing keys of logs in the security module that holds the root.
//!
//! Such a key has a slot in the tree of keys like any other, and a row in `module_keys` that says where it is and what its public key is,
//! so a log is read, searched and appended to while the module is away. Only signatures need it.
//!
//! # Durability
//! 1. One commit reserves the slot, puts the key's reference in it and makes the row: nothing is in the module that no row names.
//! 2. The module makes the key. 3. A commit notes its public key. 4. The commit that puts the key to use says so in the row.
//!
//! A row that 4 has not reached is left over from an attempt that failed or a crash: slot, key and row go ([`sweep`]). Whoever destroys the
//! slot of a key, in whatever commit, has decided that the key goes: the sweep finds the slot empty, destroys the key in the module, which
//! has to be looked for in vain there, and removes the row last. While the module is away the row waits.

mod pass_on;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use attestore_keys::{Entropy, Error as KeyError, Key, SigningKey, SigningModule, Slot};
use attestore_record::TenantId;
use parking_lot::{Mutex, MutexGuard};
use redb::{ReadTransaction, ReadableTable, TableError};
use serde::{Deserialize, Serialize};

pub(crate) use pass_on::pass_on;

use super::signing_context;
use crate::catalog::{Catalog, Update, encode, hex, json, storage, tables, unhex, unhex_vec};
use crate::instance::Inner;
use crate::settings::SigningKeys;
use crate::{Error, Result};

/// The module, as far as this instance uses it for signing.
pub(crate) struct ModuleKeys {
    module: Option<Arc<Watched>>,
    /// Held while a key is made and until it is put to use, and for a sweep.
    making: Mutex<()>,
    /// Destructions that the last sweep covered.
    swept: AtomicU64,
    /// Keys that wait for the module to be destroyed.
    waiting: AtomicU64,
}

/// A module, and what came of asking it last.
struct Watched {
    module: Arc<dyn SigningModule>,
    failing: Mutex<Option<String>>,
}

/// A key in the module. JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ModuleKeyRow {
    /// Id of the tenant, hex.
    tenant: String,
    /// Where it is, as the module names it, hex.
    reference: String,
    /// Its public key, hex; none before it was made.
    public: Option<String>,
    /// Whether it was put to use.
    used: bool,
}

impl ModuleKeys {
    pub(crate) fn new(module: Option<Arc<dyn SigningModule>>) -> Self {
        let watched = |module| {
            Arc::new(Watched {
                module,
                failing: Mutex::default(),
            })
        };
        Self {
            module: module.map(watched),
            making: Mutex::default(),
            swept: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
        }
    }

    /// Why the module does not sign, as of the last try.
    pub(crate) fn failing(&self) -> Option<String> {
        self.module.as_ref()?.failing.lock().clone()
    }

    /// Keys that wait for the module to be destroyed.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// The answer where a key does not sign.
    pub(crate) fn unavailable(&self) -> Error {
        let nobody = || "nobody is logged in to the security module that holds the key".to_owned();
        Error::SigningUnavailable(self.failing().unwrap_or_else(nobody))
    }

    fn module(&self) -> Result<&Arc<Watched>> {
        let none =
            || Error::SigningUnavailable("the root is not held by a security module that signs".to_owned());
        self.module.as_ref().ok_or_else(none)
    }

    /// Notes that the module is back, without having it sign anything.
    fn look(&self) {
        if let Some(watched) = &self.module
            && watched.failing.lock().is_some()
            && watched.module.check().is_ok()
        {
            watched.failing.lock().take();
        }
    }
}

impl Watched {
    fn note<T>(&self, done: Result<T, KeyError>) -> Result<T, KeyError> {
        let outcome = if done.is_ok() { "signed" } else { "failed" };
        metrics::counter!("attestore_module_signatures_total", "outcome" => outcome).increment(1);
        let now = done.as_ref().err().map(ToString::to_string);
        let mut known = self.failing.lock();
        if let (None, Some(why)) = (&*known, &now) {
            tracing::error!(
                why,
                "the security module does not sign: logs whose keys it has get no checkpoints"
            );
        }
        *known = now;
        done
    }
}

impl SigningModule for Watched {
    fn check(&self) -> Result<(), KeyError> {
        self.module.check()
    }

    fn reference(&self, entropy: &dyn Entropy) -> Vec<u8> {
        self.module.reference(entropy)
    }

    fn make(&self, reference: &[u8]) -> Result<[u8; 32], KeyError> {
        self.module.make(reference)
    }

    fn sign(&self, reference: &[u8], message: &[u8]) -> Result<[u8; 64], KeyError> {
        self.note(self.module.sign(reference, message))
    }

    fn destroy(&self, reference: &[u8]) -> Result<(), KeyError> {
        self.module.destroy(reference)
    }

    fn count(&self) -> Result<usize, KeyError> {
        self.module.count()
    }

    fn owns(&self, reference: &[u8]) -> bool {
        self.module.owns(reference)
    }
}

/// A signing key that is yet to be put to use.
pub(crate) struct Fresh<'a> {
    pub(crate) key: SigningKey,
    place: Place,
    _making: Option<MutexGuard<'a, ()>>,
}

enum Place {
    Seed(Key),
    Module(Slot),
}

impl Fresh<'_> {
    /// Puts it to use: returns its slot, for the rows that name it from this commit on.
    ///
    /// # Errors
    /// As writes.
    pub(crate) fn keep(&self, update: &mut Update<'_>, tenant: &TenantId, tenant_key: &Key) -> Result<Slot> {
        match &self.place {
            Place::Seed(seed) => update.put_key(signing_context(tenant), Some(tenant_key), seed),
            Place::Module(slot) => {
                let mut table = update.txn().open_table(tables::MODULE_KEYS).map_err(storage)?;
                let row = table
                    .get(slot.0)
                    .map_err(storage)?
                    .map(|row| json::<ModuleKeyRow>(row.value()));
                let row = row.ok_or_else(|| {
                    Error::damage("catalog", 0, "a key that was made in the module has no row")
                })?;
                let row = ModuleKeyRow { used: true, ..row? };
                table.insert(slot.0, encode(&row)?.as_slice()).map_err(storage)?;
                Ok(*slot)
            }
        }
    }
}

/// Makes a signing key for a tenant's log, in the module or as a seed for the tree of keys. Asks the module outside of any commit, and
/// `tenant_key` inside of one: that may be replaced at any time.
///
/// # Errors
/// [`Error::SigningUnavailable`], [`Error::RootUnavailable`], [`Error::Key`] of the module; as changes of the catalog.
pub(crate) fn fresh<'a>(
    catalog: &'a Catalog,
    entropy: &dyn Entropy,
    tenant: &TenantId,
    tenant_key: &dyn Fn() -> Key,
    wanted: SigningKeys,
) -> Result<Fresh<'a>> {
    if wanted == SigningKeys::Directory {
        let seed = Key::random(entropy);
        return Ok(Fresh {
            key: SigningKey::from_seed(&seed),
            place: Place::Seed(seed),
            _making: None,
        });
    }
    let modules = catalog.modules();
    let module = modules.module()?;
    module.check()?;
    let making = modules.making.lock();
    let reference = module.reference(entropy);
    let wrong = || Error::damage("catalog", 0, "the module's reference of a key is not 32 bytes");
    let bytes = <[u8; Key::LEN]>::try_from(reference.as_slice()).map_err(|_| wrong())?;
    let mut row = ModuleKeyRow {
        tenant: tenant.to_string(),
        reference: hex(&reference),
        public: None,
        used: false,
    };
    let put = |update: &Update<'_>, slot: Slot, row: &ModuleKeyRow| -> Result<()> {
        let mut table = update.txn().open_table(tables::MODULE_KEYS).map_err(storage)?;
        table.insert(slot.0, encode(row)?.as_slice()).map_err(storage)?;
        Ok(())
    };
    let slot = catalog.update::<_, Error>(|update| {
        let slot = update.put_key(
            signing_context(tenant),
            Some(&tenant_key()),
            &Key::from_bytes(bytes),
        )?;
        put(update, slot, &row)?;
        Ok(slot)
    })?;
    // From here on a sweep has something to look at, whatever fails.
    modules.swept.store(0, Ordering::Relaxed);
    let public = module.make(&reference)?;
    row.public = Some(hex(&public));
    let key = SigningKey::in_module(Some(Arc::clone(module) as _), reference, public);
    // What cannot sign, or signs under something else, must not become the key of a log.
    key.sign(b"attestore: a new key signs this once")?;
    catalog.update::<_, Error>(|update| put(update, slot, &row))?;
    Ok(Fresh {
        key,
        place: Place::Module(slot),
        _making: Some(making),
    })
}

/// The signing key in a slot, if the module has it. Asks nobody.
///
/// # Errors
/// As reads; damage.
pub(crate) fn load(catalog: &Catalog, slot: u64) -> Result<Option<SigningKey>> {
    let table = match catalog.read()?.open_table(tables::MODULE_KEYS) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        table => table.map_err(storage)?,
    };
    let Some(row) = table.get(slot).map_err(storage)? else {
        return Ok(None);
    };
    let row: ModuleKeyRow = json(row.value())?;
    let damage = || Error::damage("catalog", 0, "a signing key in a security module");
    let reference = unhex_vec(&row.reference).ok_or_else(damage)?;
    let public = row.public.as_deref().and_then(unhex).ok_or_else(damage)?;
    let module = catalog.modules().module.clone();
    Ok(Some(SigningKey::in_module(
        module.map(|module| module as _),
        reference,
        public,
    )))
}

/// Gives the log of a new instance, which has signed nothing yet, a key in the module.
///
/// # Errors
/// As [`fresh`].
pub(crate) fn begin(
    catalog: &Catalog,
    entropy: &dyn Entropy,
    tenant: &TenantId,
    tenant_key: &Key,
) -> Result<()> {
    let fresh = fresh(
        catalog,
        entropy,
        tenant,
        &|| tenant_key.duplicate(),
        SigningKeys::Module,
    )?;
    catalog.update(|update| {
        let mut row = update.tenant(tenant)?.ok_or(Error::UnknownTenant)?;
        update.destroy_keys(&[Slot(row.signing_slot)])?;
        row.signing_slot = fresh.keep(update, tenant, tenant_key)?.0;
        update.put_tenant(tenant, &row)
    })
}

/// Destroys in the module what nothing uses any more. It may take as long as the module does; nobody waits for it.
pub(crate) fn sweep(inner: &Inner) {
    let modules = inner.catalog.modules();
    modules.look();
    let destructions = inner.catalog.destructions();
    if modules.module.is_none() || modules.swept.load(Ordering::Relaxed) == destructions {
        return;
    }
    let Some(_making) = modules.making.try_lock() else {
        return;
    };
    // After a commit that failed nobody knows what is durable: a key that seems unused may be in force at the next start.
    if inner.stopped().is_some() || inner.catalog.poisoned().is_some() {
        return;
    }
    match go(inner) {
        Ok(0) => modules.swept.store(destructions, Ordering::Relaxed),
        Ok(_) => {}
        Err(error) => {
            tracing::warn!(%error, "signing keys that are over were not looked for in the security module")
        }
    }
}

/// Returns how many keys are left that should be gone.
fn go(inner: &Inner) -> Result<u64> {
    let catalog = &inner.catalog;
    let module = catalog.modules().module()?;
    let mut over = Vec::new();
    for (slot, row) in all(&catalog.read()?)? {
        let tenant = unhex(&row.tenant).map(TenantId::from_bytes);
        let tenant =
            tenant.ok_or_else(|| Error::damage("catalog", 0, "tenant of a key in a security module"))?;
        // It is under the tenant's key: who asks without one is told that much of a slot that holds something.
        match catalog.key(slot, &signing_context(&tenant), None) {
            Ok(_) | Err(KeyError::Mismatch { .. }) if row.used => {}
            Ok(_) | Err(KeyError::Mismatch { .. } | KeyError::Destroyed { .. }) => over.push((slot, row)),
            Err(error) => return Err(error.into()),
        }
    }
    let mut left = over.len() as u64;
    catalog.modules().waiting.store(left, Ordering::Relaxed);
    for (slot, row) in over {
        let reference = unhex_vec(&row.reference)
            .ok_or_else(|| Error::damage("catalog", 0, "reference of a key in a security module"))?;
        if !module.owns(&reference) {
            // What was restored from another directory's backup names that one's keys: they are not ours to destroy.
            tracing::warn!(
                reference = row.reference,
                "a signing key of the directory that was restored stays in the security module"
            );
        } else if let Err(error) = module.destroy(&reference) {
            tracing::warn!(%error, "a signing key that is over is not destroyed in the security module yet");
            continue;
        }
        inner.change(|update| {
            if !row.used {
                update.destroy_keys(&[slot])?;
            }
            let mut table = update.txn().open_table(tables::MODULE_KEYS).map_err(storage)?;
            table.remove(slot.0).map_err(storage)?;
            Ok(())
        })?;
        left -= 1;
        catalog.modules().waiting.store(left, Ordering::Relaxed);
        tracing::info!(
            slot = slot.0,
            "a signing key that is over is gone from the catalog, and from the security module if it was ours"
        );
    }
    Ok(left)
}

/// Every key in the module that a row names.
fn all(txn: &ReadTransaction) -> Result<Vec<(Slot, ModuleKeyRow)>> {
    let table = match txn.open_table(tables::MODULE_KEYS) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        table => table.map_err(storage)?,
    };
    let rows = table.iter().map_err(storage)?;
    rows.map(|row| {
        let (slot, row) = row.map_err(storage)?;
        Ok((Slot(slot.value()), json(row.value())?))
    })
    .collect()
}

/// Slots of a tenant's keys in the module that were not put to use: no other row names them.
///
/// # Errors
/// As reads.
pub(crate) fn unused(txn: &ReadTransaction, tenant: &TenantId) -> Result<Vec<u64>> {
    let tenant = tenant.to_string();
    let rows = all(txn)?.into_iter();
    let unused = rows.filter(|(_, row)| !row.used && row.tenant == tenant);
    Ok(unused.map(|(slot, _)| slot.0).collect())
}

#[cfg(test)]
mod tests;
