//! Making tenants, and what is told about them.

use attestore_index::IndexPolicy;
use attestore_keys::{Entropy, Key, SlotContext, SlotKind, random_array};
use attestore_record::{PrivacyPolicy, TenantId};
use attestore_tlog::{EMPTY_ROOT, Frontier};
use serde::Serialize;

use super::Tenant;
use crate::catalog::{Catalog, TenantRow, Update, hex};
use crate::forget::Why;
use crate::forget::gone::Gone;
use crate::handover::module::{self, Fresh};
use crate::settings::SigningKeys;
use crate::{Error, Result};

/// What is told about a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TenantInfo {
    /// Its name.
    pub name: String,
    /// Its opaque id, hex.
    pub id: String,
    /// The origin of its log.
    pub origin: String,
    /// Number of its log's epoch.
    pub epoch: u32,
    /// When it was made, Unix milliseconds.
    pub created_ms: u64,
    /// Number of durable records.
    pub size: u64,
    /// Records of them that were purged.
    pub purged: u64,
    /// Records of them that were erased whole.
    pub erased: u64,
    /// Root over them, hex.
    pub root: String,
    /// Why appends are refused, if they are.
    pub refuses_appends: Option<String>,
}

impl TenantInfo {
    pub(crate) fn of(tenant: &Tenant) -> Self {
        let (view, gone) = (tenant.view(), tenant.gone.load());
        Self {
            name: tenant.name.clone(),
            id: tenant.id.to_string(),
            origin: tenant.origin.clone(),
            epoch: tenant.epoch,
            created_ms: tenant.created_ms,
            size: view.size,
            purged: gone.count(Why::Purged),
            erased: gone.count(Why::Erased),
            root: hex(view.root.as_bytes()),
            refuses_appends: tenant
                .rolled_back()
                .or_else(|| tenant.check_open().err().map(|moved| moved.to_string())),
        }
    }

    /// What is told of a tenant that is not in memory: it has no tail.
    pub(crate) fn of_row(id: &TenantId, row: &TenantRow, gone: &Gone) -> Self {
        Self {
            name: row.name.clone(),
            id: id.to_string(),
            origin: row.origin.clone(),
            epoch: row.epoch,
            created_ms: row.created_ms,
            size: row.flushed,
            purged: gone.count(Why::Purged),
            erased: gone.count(Why::Erased),
            root: row.root.clone(),
            refuses_appends: None,
        }
    }
}

/// Checks a tenant's name as it comes from outside.
///
/// # Errors
/// [`Error::InvalidName`].
pub(crate) fn check_name(name: &str) -> Result<()> {
    let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    let first = bytes.first().is_some_and(|byte| valid(*byte));
    let rest = bytes
        .iter()
        .all(|byte| valid(*byte) || matches!(byte, b'_' | b'-'));
    if first && rest && bytes.len() <= 63 {
        Ok(())
    } else {
        Err(Error::InvalidName {
            what: "a tenant's name",
            rule: "[a-z0-9][a-z0-9_-]{0,62}",
        })
    }
}

/// A name for a log that says nothing.
pub(crate) fn fresh_origin(entropy: &dyn Entropy) -> String {
    format!("attestore.log/{}", hex(&random_array::<16>(entropy)))
}

/// What of a tenant is there before it is, because its signing key was made in a security module.
pub(crate) struct InModule<'a> {
    id: TenantId,
    key: Key,
    fresh: Fresh<'a>,
}

impl<'a> InModule<'a> {
    /// Has the module make the signing key.
    ///
    /// # Errors
    /// As [`module::fresh`].
    pub(crate) fn new(catalog: &'a Catalog, entropy: &dyn Entropy) -> Result<Self> {
        let id = TenantId::from_bytes(random_array(entropy));
        let key = Key::random(entropy);
        let fresh = module::fresh(catalog, entropy, &id, &|| key.duplicate(), SigningKeys::Module)?;
        Ok(Self { id, key, fresh })
    }
}

/// Makes a tenant within an update: id, origin, keys, rows.
pub(crate) fn new_tenant(
    update: &mut Update<'_>,
    entropy: &dyn Entropy,
    name: &str,
    now_ms: u64,
    module: Option<&InModule<'_>>,
) -> Result<TenantId> {
    let id = match module {
        Some(module) => module.id,
        None => TenantId::from_bytes(random_array(entropy)),
    };
    let origin = fresh_origin(entropy);
    let context = |kind| SlotContext {
        kind,
        tenant: *id.as_bytes(),
        owner: [0; 16],
    };
    let key = match module {
        Some(module) => module.key.duplicate(),
        None => Key::random(entropy),
    };
    let key_slot = update.put_key(context(SlotKind::TenantKey), None, &key)?;
    let signing_slot = match module {
        Some(module) => module.fresh.keep(update, &id, &key)?,
        None => update.put_key(context(SlotKind::Signing), Some(&key), &Key::random(entropy))?,
    };
    let directory_slot = update.put_key(context(SlotKind::Directory), Some(&key), &Key::random(entropy))?;
    let row = TenantRow {
        name: name.to_owned(),
        origin,
        epoch: 0,
        key_slot: key_slot.0,
        former_key_slot: None,
        signing_slot: signing_slot.0,
        directory_slot: directory_slot.0,
        bucket: (0, 0),
        lookup_bucket: (0, 0),
        privacy: PrivacyPolicy::default(),
        index: IndexPolicy::default(),
        corrected: false,
        salt_generation: 0,
        next_set: 0,
        flushed: 0,
        frontier: hex(&Frontier::new().to_bytes()),
        root: hex(EMPTY_ROOT.as_bytes()),
        last_time_ms: 0,
        hash_version: 1,
        created_ms: now_ms,
    };
    update.put_tenant(&id, &row)?;
    update.put_tenant_name(name, &id)?;
    Ok(id)
}
