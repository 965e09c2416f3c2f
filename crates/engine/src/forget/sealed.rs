//! What rows of the catalog hold that may name people: sealed under a key of the tenant, so that it goes when that key does.

use attestore_keys::{Entropy, Key, aead, derive};
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

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
    let key = derive(context, &[tenant.keys.ring().current().expose()]);
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
    let opened = unhex_vec(sealed).and_then(|sealed| {
        let ring = tenant.keys.ring();
        ring.each()
            .find_map(|key| under(key, tenant, context, id, &sealed))
    });
    let value = opened.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    value.ok_or_else(|| Error::damage("catalog", 0, format!("sealed part of a row: {context}")))
}

/// Seals it anew if it is not under the tenant's current key; `None` if it is.
///
/// # Errors
/// Damage.
pub(crate) fn again(
    tenant: &Tenant,
    context: &'static str,
    id: &ThingId,
    entropy: &dyn Entropy,
    sealed: &str,
) -> Result<Option<String>> {
    let damage = || Error::damage("catalog", 0, format!("sealed part of a row: {context}"));
    let sealed = unhex_vec(sealed).ok_or_else(damage)?;
    let ring = tenant.keys.ring();
    if under(ring.current(), tenant, context, id, &sealed).is_some() {
        return Ok(None);
    }
    let former = ring.former().ok_or_else(damage)?;
    let bytes = under(former, tenant, context, id, &sealed).ok_or_else(damage)?;
    let key = derive(context, &[ring.current().expose()]);
    Ok(Some(hex(&aead::seal_random(
        &key,
        entropy,
        &aad(tenant, id),
        &bytes,
    ))))
}

fn under(
    key: &Key,
    tenant: &Tenant,
    context: &'static str,
    id: &ThingId,
    sealed: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let key = derive(context, &[key.expose()]);
    aead::open_random(&key, &aad(tenant, id), sealed)
        .ok()
        .map(Zeroizing::new)
}

fn aad(tenant: &Tenant, id: &ThingId) -> Vec<u8> {
    [tenant.id.as_bytes().as_slice(), id].concat()
}
