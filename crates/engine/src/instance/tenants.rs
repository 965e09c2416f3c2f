//! Tenants of an instance: making, finding, listing.

use std::ops::Bound;
use std::sync::Arc;

use attestore_record::TenantId;

use super::{Engine, Inner};
use crate::catalog::{Catalog, TenantRow, json, storage, tables};
use crate::credentials::{Permission, Principal};
use crate::forget::gone::Gone;
use crate::heads::HEADS_TENANT;
use crate::settings::SigningKeys;
use crate::tenant::{InModule, Tenant, TenantInfo, check_name, new_tenant};
use crate::{Error, Result};

impl Engine {
    /// Makes a tenant, or finds the one of that name; the second value says whether it was made. Durable on return, and
    /// logged in `_system`.
    ///
    /// # Errors
    /// [`Error::InvalidName`], [`Error::Forbidden`], or what the catalog says.
    pub fn create_tenant(&self, name: &str, by: &Principal) -> Result<(TenantInfo, bool)> {
        check_name(name)?;
        by.check_instance(Permission::CreateTenants)?;
        let inner = &self.inner;
        inner.check_running()?;
        match inner.tenant(name) {
            Ok(tenant) => return Ok((TenantInfo::of(&tenant), false)),
            Err(Error::UnknownTenant) => {}
            Err(error) => return Err(error),
        }
        let created = inner.make_tenant(name, by)?;
        Ok((TenantInfo::of(&*inner.tenant(name)?), created))
    }

    /// What is known of a tenant.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`].
    pub fn tenant(&self, name: &str) -> Result<TenantInfo> {
        Ok(TenantInfo::of(&*self.inner.tenant(name)?))
    }

    /// Lists tenants by name, from the one after `after` on.
    ///
    /// # Errors
    /// What the catalog says.
    pub fn tenants(&self, after: Option<&str>, limit: usize) -> Result<Vec<TenantInfo>> {
        let txn = self.inner.catalog.read()?;
        let names = txn.open_table(tables::TENANT_NAMES).map_err(storage)?;
        let rows = txn.open_table(tables::TENANTS).map_err(storage)?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut found = Vec::new();
        for entry in names
            .range::<&str>((from, Bound::Unbounded))
            .map_err(storage)?
            .take(limit)
        {
            let (_, id) = entry.map_err(storage)?;
            let id = TenantId::from_bytes(*id.value());
            if let Some(tenant) = self.inner.tenants.get(&id) {
                found.push(TenantInfo::of(&tenant));
                continue;
            }
            let row = rows.get(id.as_bytes()).map_err(storage)?;
            let row = row.ok_or_else(|| Error::damage("catalog", 0, format!("tenant {id} has no row")))?;
            let gone = Gone::load(&txn, &id)?;
            found.push(TenantInfo::of_row(&id, &json(row.value())?, &gone));
        }
        Ok(found)
    }
}

impl Inner {
    /// The tenant with the log of heads, made if need be.
    ///
    /// # Errors
    /// As [`Engine::create_tenant`].
    pub(crate) fn heads_log(&self) -> Result<Arc<Tenant>> {
        match self.tenant(HEADS_TENANT) {
            Err(Error::UnknownTenant) => {
                self.make_tenant(HEADS_TENANT, &Principal::internal())?;
                self.tenant(HEADS_TENANT)
            }
            found => found,
        }
    }

    /// Makes a tenant unless there is one of that name, and says whether it did.
    fn make_tenant(&self, name: &str, by: &Principal) -> Result<bool> {
        // The log may tell of a tenant that a crash then prevented, never the other way round.
        self.append_internal(&event("tenant.create", name, by))?;
        // The module is asked before anything is locked that others wait for.
        let in_module = self.settings.signing == SigningKeys::Module && id_of(&self.catalog, name)?.is_none();
        let module = in_module.then(|| InModule::new(&self.catalog, &*self.entropy));
        let module = module.transpose()?;
        let _loading = self.tenants.loading.lock();
        let now_ms = self.clock.now_ms();
        let created = self
            .catalog
            .update::<_, Error>(|update| match update.tenant_named(name)? {
                Some(_) => Ok(false),
                None => new_tenant(update, &*self.entropy, name, now_ms, module.as_ref()).map(|_| true),
            });
        created.inspect_err(|_| {
            if let Some(reason) = self.catalog.poisoned() {
                self.fail_stop(reason);
            }
        })
    }

    /// Loads a tenant that is not in memory.
    pub(super) fn load_named(&self, name: &str) -> Result<Arc<Tenant>> {
        let _loading = self.tenants.loading.lock();
        if let Some(tenant) = self.tenants.named(name) {
            return Ok(tenant);
        }
        let id = id_of(&self.catalog, name)?.ok_or(Error::UnknownTenant)?;
        let tenant = Arc::new(Tenant::load(&self.catalog, &*self.disk, &*self.entropy, id)?);
        if tenant.name != name {
            let reason = format!("the name {name} leads to the tenant {}", tenant.name);
            return Err(Error::damage("catalog", 0, reason));
        }
        self.compare_head(&tenant)?;
        self.tenants.insert(&tenant);
        Ok(tenant)
    }
}

impl Inner {
    /// The tenant of that id, loaded if need be.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], or what the catalog says.
    pub(crate) fn tenant_of(&self, id: &TenantId) -> Result<Arc<Tenant>> {
        if let Some(tenant) = self.tenants.get(id) {
            return Ok(tenant);
        }
        let table = self
            .catalog
            .read()?
            .open_table(tables::TENANTS)
            .map_err(storage)?;
        let row = table
            .get(id.as_bytes())
            .map_err(storage)?
            .ok_or(Error::UnknownTenant)?;
        let row: TenantRow = json(row.value())?;
        self.tenant(&row.name)
    }

    /// Names and ids of tenants by name, from the one after `after` on, loaded or not.
    ///
    /// # Errors
    /// What the catalog says.
    pub(crate) fn tenant_names(&self, after: Option<&str>, limit: usize) -> Result<Vec<(String, TenantId)>> {
        let names = self
            .catalog
            .read()?
            .open_table(tables::TENANT_NAMES)
            .map_err(storage)?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let found = names.range::<&str>((from, Bound::Unbounded)).map_err(storage)?;
        found
            .take(limit)
            .map(|entry| {
                let (name, id) = entry.map_err(storage)?;
                Ok((name.value().to_owned(), TenantId::from_bytes(*id.value())))
            })
            .collect()
    }
}

/// The id of the tenant of that name.
pub(super) fn id_of(catalog: &Catalog, name: &str) -> Result<Option<TenantId>> {
    let table = catalog
        .read()?
        .open_table(tables::TENANT_NAMES)
        .map_err(storage)?;
    Ok(table
        .get(name)
        .map_err(storage)?
        .map(|id| TenantId::from_bytes(*id.value())))
}

/// An administrative act as an event of `_system`.
fn event(action: &str, name: &str, by: &Principal) -> Vec<u8> {
    let event = serde_json::json!({
        "action": action,
        "actor": { "type": by.kind.name(), "id": by.id, "name": by.name },
        "targets": [{ "type": "tenant", "id": name }],
    });
    event.to_string().into_bytes()
}
