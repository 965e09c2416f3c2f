//! The tenants in memory, by name and by id.

use std::sync::Arc;

use attestore_record::TenantId;
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};

use super::Tenant;

/// The loaded tenants.
#[derive(Default)]
pub(crate) struct Registry {
    loaded: RwLock<Loaded>,
    /// Held while a tenant is loaded or made, so that there is never more than one of it in memory.
    pub(crate) loading: Mutex<()>,
}

#[derive(Default)]
struct Loaded {
    by_name: HashMap<String, Arc<Tenant>>,
    by_id: HashMap<TenantId, Arc<Tenant>>,
}

impl Registry {
    pub(crate) fn named(&self, name: &str) -> Option<Arc<Tenant>> {
        self.loaded.read().by_name.get(name).cloned()
    }

    pub(crate) fn get(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.loaded.read().by_id.get(id).cloned()
    }

    pub(crate) fn insert(&self, tenant: &Arc<Tenant>) {
        let mut loaded = self.loaded.write();
        loaded.by_name.insert(tenant.name.clone(), Arc::clone(tenant));
        loaded.by_id.insert(tenant.id, Arc::clone(tenant));
    }

    /// Lets go of a tenant that was destroyed.
    pub(crate) fn remove(&self, tenant: &Tenant) {
        let mut loaded = self.loaded.write();
        loaded.by_id.remove(&tenant.id);
        if loaded
            .by_name
            .get(&tenant.name)
            .is_some_and(|named| named.id == tenant.id)
        {
            loaded.by_name.remove(&tenant.name);
        }
    }

    /// Every loaded tenant, by id: an order that does not depend on hashing.
    pub(crate) fn all(&self) -> Vec<Arc<Tenant>> {
        let mut all: Vec<_> = self.loaded.read().by_id.values().cloned().collect();
        all.sort_unstable_by_key(|tenant| tenant.id);
        all
    }

    /// Takes a tenant out, so that it is loaded anew, if nobody else uses it and `idle` says that it may go.
    pub(crate) fn take_alone(&self, id: &TenantId, idle: impl Fn(&Tenant) -> bool) -> Option<Arc<Tenant>> {
        let mut loaded = self.loaded.write();
        // As in `unload`.
        loaded
            .by_id
            .get(id)
            .filter(|tenant| Arc::strong_count(tenant) == 2 && idle(tenant))?;
        let tenant = loaded.by_id.remove(id)?;
        loaded.by_name.remove(&tenant.name);
        Some(tenant)
    }

    /// Unloads tenants that nobody uses and that `idle` says may go.
    pub(crate) fn unload(&self, idle: impl Fn(&Tenant) -> bool) -> Vec<TenantId> {
        let mut loaded = self.loaded.write();
        // Nobody can take another reference while the lock is held for writing; the maps hold two.
        let gone: Vec<_> = loaded
            .by_id
            .values()
            .filter(|tenant| Arc::strong_count(tenant) == 2 && idle(tenant))
            .map(|tenant| (tenant.id, tenant.name.clone()))
            .collect();
        for (id, name) in &gone {
            loaded.by_id.remove(id);
            loaded.by_name.remove(name);
        }
        gone.into_iter().map(|(id, _)| id).collect()
    }
}
