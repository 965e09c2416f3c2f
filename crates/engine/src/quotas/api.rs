//! Setting and showing quotas.

use std::sync::atomic::Ordering;

use serde::Serialize;

use super::charge::{State, storage_bytes};
use super::row::QuotaRow;
use super::spec::Quota;
use crate::Engine;
use crate::catalog::{by_tenant, tables};
use crate::credentials::{Permission, Principal};
use crate::error::{Error, Result};
use crate::instance::Inner;

/// A tenant's quota and what is used of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuotaStatus {
    /// The quota.
    pub quota: Quota,
    /// Events of the last second; counted only under a quota for them.
    pub events_last_second: u64,
    /// Bytes of this day; counted only where there is any quota.
    pub bytes_today: u64,
    /// Bytes on disk.
    pub storage_bytes: u64,
}

impl Engine {
    /// A tenant's quota.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], or what the catalog says.
    pub fn quota(&self, tenant: &str, by: &Principal) -> Result<QuotaStatus> {
        by.check(tenant, Permission::SeeQuotas)?;
        let inner = &self.inner;
        let tenant = inner.tenant(tenant)?;
        let state = inner.quotas.of(&tenant.id);
        let state = state.as_deref();
        Ok(QuotaStatus {
            quota: state.map(|state| state.row.quota.clone()).unwrap_or_default(),
            events_last_second: state.map_or(0, |state| state.events(inner.clock.boot_ms())),
            bytes_today: state.map_or(0, |state| state.day_bytes(inner.clock.now_ms())),
            storage_bytes: storage_bytes(&tenant),
        })
    }

    /// The numbers of a tenant's quota that are held elsewhere: searches, tails. No tenant, no numbers.
    pub fn places(&self, tenant: &str) -> Quota {
        let inner = &self.inner;
        if !inner.quotas.any.load(Ordering::Acquire) {
            return Quota::default();
        }
        let tenant = inner.tenant(tenant);
        let state = tenant.ok().and_then(|tenant| inner.quotas.of(&tenant.id));
        state.map(|state| state.row.quota.clone()).unwrap_or_default()
    }

    /// Sets a tenant's quota; an empty one takes it away. Durable on return.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], [`Error::Invalid`], or what the catalog says.
    pub fn set_quota(&self, tenant: &str, by: &Principal, quota: Quota) -> Result<QuotaStatus> {
        by.check(tenant, Permission::ManageQuotas)?;
        quota.check()?;
        let inner = &self.inner;
        inner.check_running()?;
        let name = tenant;
        let tenant = inner.tenant(tenant)?;
        if tenant.name == crate::SYSTEM_TENANT {
            return Err(Error::Invalid {
                code: "invalid_quota",
                message: "the tenant of the server itself has no quota".to_owned(),
            });
        }
        let before = inner.quotas.of(&tenant.id);
        let (day, day_bytes) = before.map_or((0, 0), |state| state.day());
        let row = QuotaRow {
            changed_by: by.id.clone(),
            changed_ms: inner.clock.now_ms(),
            day,
            day_bytes,
            quota,
        };
        let empty = row.quota.is_empty();
        change(inner, |update| match empty {
            true => by_tenant::remove(update, tables::QUOTAS, &tenant.id),
            false => by_tenant::put(update, tables::QUOTAS, &tenant.id, &row),
        })?;
        if empty {
            inner.quotas.remove(&tenant.id);
        } else {
            inner.quotas.put(tenant.id, State::new(row)?);
        }
        self.quota(name, by)
    }
}

/// Stores what is used of the day's bytes, if a minute has passed, or `now`.
pub(crate) fn store_used(inner: &Inner, now: bool) -> Result<()> {
    let boot_ms = inner.clock.boot_ms();
    let stored_ms = inner.quotas.stored_ms.load(Ordering::Relaxed);
    if !inner.quotas.any.load(Ordering::Acquire)
        || !now && boot_ms < stored_ms.saturating_add(STORED_EVERY_MS)
    {
        return Ok(());
    }
    inner.quotas.stored_ms.store(boot_ms, Ordering::Relaxed);
    let changed: Vec<_> = inner
        .quotas
        .of
        .read()
        .iter()
        .filter_map(|(tenant, state)| Some((*tenant, state.changed()?)))
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    change(inner, |update| {
        let still = |tenant| inner.quotas.of(tenant).is_some();
        changed
            .iter()
            .filter(|(tenant, _)| still(tenant))
            .try_for_each(|(tenant, row)| by_tenant::put(update, tables::QUOTAS, tenant, row))
    })
}

fn change(inner: &Inner, change: impl FnOnce(&mut crate::catalog::Update<'_>) -> Result<()>) -> Result<()> {
    inner.catalog.update(change).inspect_err(|_| {
        if let Some(reason) = inner.catalog.poisoned() {
            inner.fail_stop(reason);
        }
    })
}

const STORED_EVERY_MS: u64 = 60_000;
