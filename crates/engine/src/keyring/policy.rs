//! After how long the keys of a tenant are rotated.

use std::sync::atomic::Ordering;

use attestore_record::{HashVersion, Kind};
use serde::{Deserialize, Serialize};

use super::{KeysRow, read, start, stored};
use crate::Engine;
use crate::append::append_control;
use crate::catalog::{by_tenant, tables};
use crate::credentials::{Permission, Principal};
use crate::error::{Error, Result};
use crate::instance::SYSTEM_TENANT;

/// For how long keys protect what is new: their originator-usage periods (NIST SP 800-57 part 1). What is not given is rotated when
/// somebody asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyPolicy {
    /// Days of a tenant key, and of the keys of the pages that its keys lie in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_days: Option<u32>,
    /// Days of a signing key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing_days: Option<u32>,
    /// Days of the root, at most; of `_system` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_days: Option<u32>,
    /// The hash function that new entries commit with: 1 BLAKE3, 2 HMAC-SHA-256. Not given, it stays what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash_version: Option<u8>,
    /// Whether a key whose time is over is rotated without being asked. Otherwise the status tells of it.
    pub automatic: bool,
}

impl Default for KeyPolicy {
    fn default() -> Self {
        Self {
            tenant_days: None,
            signing_days: None,
            root_days: None,
            hash_version: None,
            automatic: true,
        }
    }
}

impl KeyPolicy {
    fn check(&self, tenant: &str) -> Result<()> {
        let days = [self.tenant_days, self.signing_days, self.root_days];
        let possible = days.iter().flatten().all(|days| (1..=DAYS_MAX).contains(days));
        let known = |version| HashVersion::from_byte(version).is_some();
        let message = if !self.hash_version.is_none_or(known) {
            "hash versions are 1 (BLAKE3) and 2 (HMAC-SHA-256)".to_owned()
        } else if !possible {
            format!("periods have 1 to {DAYS_MAX} days")
        } else if self.root_days.is_some() && tenant != SYSTEM_TENANT {
            format!("the root is the instance's: set its period for {SYSTEM_TENANT}")
        } else {
            return Ok(());
        };
        Err(Error::Invalid {
            code: "invalid_key_policy",
            message,
        })
    }
}

impl Engine {
    /// For how long the keys of a tenant are used.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::UnknownTenant`], or as reads.
    pub fn key_policy(&self, tenant: &str, by: &Principal) -> Result<KeyPolicy> {
        by.check(tenant, Permission::ReadLog)?;
        let tenant = self.inner.tenant(tenant)?;
        Ok(read(&self.inner, &tenant.id)?.policy)
    }

    /// Sets it. The log has it before it is in force; what is due by it is rotated within a minute.
    ///
    /// # Errors
    /// [`Error::Invalid`] `invalid_key_policy`, [`Error::Forbidden`], [`Error::UnknownTenant`], or as appends.
    pub fn set_key_policy(&self, tenant: &str, by: &Principal, policy: &KeyPolicy) -> Result<KeyPolicy> {
        by.check(tenant, Permission::ManageKeys)?;
        policy.check(tenant)?;
        let inner = &self.inner;
        inner.check_running()?;
        let tenant = inner.tenant(tenant)?;
        let _deciding = tenant.deciding.lock();
        start::check_tenant(&tenant)?;
        let control = Control {
            ty: "key_policy",
            policy,
        };
        append_control(inner, &tenant, &by.id, Kind::Policy, &control)?;
        inner.change(|update| {
            let mut row: KeysRow = stored(update, &tenant.id)?;
            // Periods count from when a key was made; the first ones were made with the tenant.
            for current in [&mut row.tenant, &mut row.signing, &mut row.buckets] {
                current.made_ms.get_or_insert(tenant.created_ms);
            }
            row.policy = policy.clone();
            if let Some(version) = policy.hash_version {
                let mut row = update.tenant(&tenant.id)?.ok_or(Error::UnknownTenant)?;
                row.hash_version = version;
                update.put_tenant(&tenant.id, &row)?;
            }
            by_tenant::put(update, tables::KEYS, &tenant.id, &row)
        })?;
        if let Some(version) = policy.hash_version {
            tenant.hash.store(version, Ordering::Relaxed);
        }
        inner.keyrings.look_soon();
        Ok(policy.clone())
    }
}

/// The record of a policy in the tenant's log.
#[derive(Serialize)]
struct Control<'a> {
    #[serde(rename = "type")]
    ty: &'static str,
    #[serde(flatten)]
    policy: &'a KeyPolicy,
}

pub(super) const DAY_MS: u64 = 24 * 3_600_000;
const DAYS_MAX: u32 = 36_500;
