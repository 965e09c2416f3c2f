//! Destruction of tenants: everything of one goes, and `_system` keeps its last head.
//!
//! | file | what |
//! |---|---|
//! | `keeps` | what forbids it: legal holds, locked retention |
//! | `decide` | from the call to the point of no return |
//! | `work` | what is left to do then: root, files, receipt |
//! | `memory` | what is held of the tenant beside the catalog |
//! | `receipt` | the signed account of it |
//! | `check` | what is there against what is on record |
//! | `row` | what the catalog keeps, for good |
//! | `api` | ordering, listing, showing |
//!
//! # Durability
//! Under [`Tenant::deciding`](crate::tenant::Tenant): the tenant's log takes nothing more; every file of the WAL is freed, so that none
//! has a section of it; the rules are asked, and its last head is registered and signed. Then 1. a row, `decided`: from here on it
//! always comes to its end; 2. a control record in `_system`; 3. under the lock of flushes, one commit: every row of the tenant goes and every key that one of
//! them names, its own included; its name is free, parts of shared files are no more, credentials of its alone are
//! revoked; the row is `destroyed`. From here on nobody finds it, and no key of today opens anything of it.
//! Then, in the background: 4. the root is rotated: no older copy opens it either; 5. once nobody is left in memory who works with it, what
//! they may have written meanwhile goes too, its parts of shared files are overwritten, its folder is removed; 6. the receipt is signed by the
//! log of `_system` and stored, its hash goes into that log.
//! A start goes on from the row. What is `decided` takes no appends from the start on; the record of 2 is looked for in `_system` from the
//! size in the row on before it is written.

mod again;
mod api;
mod check;
mod decide;
mod keeps;
mod memory;
mod receipt;
mod row;
#[cfg(test)]
mod tests;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Weak;

use attestore_record::TenantId;
use parking_lot::Mutex;
use redb::ReadTransaction;

use crate::catalog::{Catalog, by_tenant, tables};
use crate::error::{Error, Result};
use crate::tenant::Tenant;

pub(crate) use again::again;
pub(crate) use api::of_moved;
pub use api::{DestroyOrder, DestroyedPage, DestroyedTenant};
pub(crate) use check::contradictions;
pub use row::DestroyedState;
pub(crate) use row::{DestroyedRow, all};
pub(crate) use work::{files_of, finish, tick};

/// Destructions of an instance.
#[derive(Default)]
pub(crate) struct Destructions {
    /// Those that have not come to their end.
    open: Mutex<BTreeSet<TenantId>>,
    /// Names of tenants that were destroyed, and when the last one of that name was, Unix milliseconds.
    names: Mutex<BTreeMap<String, u64>>,
    /// Tenants that somebody in this process may still work with.
    leaving: Mutex<BTreeMap<TenantId, Weak<Tenant>>>,
    /// Held by who decides about a tenant or works on what was decided: one at a time.
    working: Mutex<()>,
}

impl Destructions {
    /// Takes up what the catalog knows.
    ///
    /// # Errors
    /// As reads.
    pub(crate) fn load(catalog: &Catalog) -> Result<Self> {
        let destructions = Self::default();
        for (tenant, row) in all(&catalog.read()?)? {
            destructions.note(tenant, &row);
        }
        Ok(destructions)
    }

    /// When the last tenant of that name was destroyed, if there was one, Unix milliseconds: what is on record about the name before is
    /// not about the tenant that has it now.
    pub(crate) fn last_of(&self, name: &str) -> Option<u64> {
        self.names.lock().get(name).copied()
    }

    /// Takes up how far a destruction is.
    fn note(&self, tenant: TenantId, row: &DestroyedRow) {
        if let Some(ms) = row.destroyed_ms {
            let mut names = self.names.lock();
            let last = names.entry(row.name.clone()).or_default();
            *last = ms.max(*last);
        }
        match row.state {
            DestroyedState::Done => self.open.lock().remove(&tenant),
            _ => self.open.lock().insert(tenant),
        };
    }
}

/// Whether it was decided that a tenant goes.
///
/// # Errors
/// As reads.
pub(crate) fn is_decided(txn: &ReadTransaction, tenant: &TenantId) -> Result<bool> {
    by_tenant::get::<DestroyedRow>(txn, tables::DESTROYED, tenant).map(|row| row.is_some())
}

/// What is answered to who appends to a tenant that is being destroyed.
pub(crate) fn ending() -> Error {
    Error::Conflict {
        code: "tenant_ending",
        message: "the tenant is being destroyed: its log takes nothing more".to_owned(),
    }
}
