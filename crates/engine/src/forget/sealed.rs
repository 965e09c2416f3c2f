//! What rows of the catalog hold that may name people: sealed under a key of the tenant, so that it goes when that key does.

use attestore_keys::{Entropy, aead, derive};
use serde::{Serialize, de::DeserializeOwned};

use crate::catalog::of_tenant::ThingId;
use crate::catalog::{hex, unhex_vec};
use crate::error::{Error, Result};
use crate::tenant::Tenant;

/// Seals a value for the row of the thing of that id. `context` names the kind of thing.
///
/// # Errors
/// When the value does not serialise.
pub(super) fn seal(
    tenant: &Tenant,
    context: &'static str,
    id: &ThingId,
    entropy: &dyn Entropy,
    value: &impl Serialize,
) -> Result<String> {
    let key = derive(context, &[tenant.keys.tenant.expose()]);
    let bytes = serde_json::to_vec(value).map_err(|error| Error::Io(error.to_string()))?;
    Ok(hex(&aead::seal_random(&key, entropy, &aad(tenant, id), &bytes)))
}

/// Opens it.
///
/// # Errors
/// Damage.
pub(super) fn open<T: DeserializeOwned>(
    tenant: &Tenant,
    context: &'static str,
    id: &ThingId,
    sealed: &str,
) -> Result<T> {
    let key = derive(context, &[tenant.keys.tenant.expose()]);
    let sealed = unhex_vec(sealed);
    let opened = sealed.and_then(|sealed| aead::open_random(&key, &aad(tenant, id), &sealed).ok());
    let value = opened.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    value.ok_or_else(|| Error::damage("catalog", 0, format!("sealed part of a row: {context}")))
}

fn aad(tenant: &Tenant, id: &ThingId) -> Vec<u8> {
    [tenant.id.as_bytes().as_slice(), id].concat()
}
