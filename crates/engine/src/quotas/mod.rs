//! Quotas: what one tenant may use of an instance that it shares.
//!
//! An operator sets them; the tenant sees them and what is used of them. A quota that is not set limits nothing. What a day's
//! appends have used is stored now and then: after a crash up to a minute of it is forgotten.
//!
//! | file | what |
//! |---|---|
//! | `spec` | a quota |
//! | `row` | what the catalog keeps |
//! | `charge` | what an append uses |
//! | `api` | setting and showing |

mod api;
mod charge;
mod row;
mod spec;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use attestore_record::TenantId;
use parking_lot::RwLock;

use crate::catalog::{Catalog, by_tenant, json, tables};
use crate::error::Result;

pub use api::QuotaStatus;
pub(crate) use api::store_used;
pub(crate) use charge::{Charge, charge};
pub use spec::Quota;

use charge::State;

/// The quotas of the tenants that have any.
#[derive(Default)]
pub(crate) struct Quotas {
    of: RwLock<HashMap<TenantId, Arc<State>>>,
    /// Whether there is any, so that appends of instances without quotas look no further.
    any: AtomicBool,
    /// When what is used was stored last, boot clock.
    stored_ms: AtomicU64,
}

impl Quotas {
    /// Reads them from the catalog.
    pub(crate) fn load(catalog: &Catalog) -> Result<Self> {
        let rows = by_tenant::all(&catalog.read()?, tables::QUOTAS)?;
        let quotas = Self::default();
        for (tenant, row) in rows {
            quotas.put(tenant, State::new(row)?);
        }
        Ok(quotas)
    }

    /// Takes up that of a tenant that came from another server.
    ///
    /// # Errors
    /// As reads.
    pub(crate) fn take_up(&self, catalog: &Catalog, tenant: &TenantId) -> Result<()> {
        if let Some(row) = by_tenant::get(&catalog.read()?, tables::QUOTAS, tenant)? {
            self.put(*tenant, State::new(row)?);
        }
        Ok(())
    }

    /// Whether bytes are a row of the table.
    ///
    /// # Errors
    /// Damage.
    pub(crate) fn check_row(bytes: &[u8]) -> Result<()> {
        State::new(json(bytes)?).map(drop)
    }

    /// The quota of a tenant; `None` if it has none.
    pub(crate) fn of(&self, tenant: &TenantId) -> Option<Arc<State>> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        self.of.read().get(tenant).cloned()
    }

    fn put(&self, tenant: TenantId, state: State) {
        self.of.write().insert(tenant, Arc::new(state));
        self.any.store(true, Ordering::Release);
    }

    /// Forgets that of a tenant.
    pub(crate) fn remove(&self, tenant: &TenantId) {
        let mut of = self.of.write();
        of.remove(tenant);
        self.any.store(!of.is_empty(), Ordering::Release);
    }
}
