//! What becomes of credentials when a tenant is destroyed: those for it alone are revoked, others lose it. A tenant that gets the
//! name later is another one, which nobody reaches by what was made for the first.

use std::sync::Arc;

use attestore_record::TenantId;
use parking_lot::MutexGuard;

use super::api::text;
use super::{CredentialId, Credentials, Held, Scope};
use crate::catalog::{Update, encode, storage, tables};
use crate::error::Result;

/// Changes of credentials that are not stored yet. No other change comes in between.
pub(crate) struct Leaving<'a> {
    credentials: &'a Credentials,
    changed: Vec<(CredentialId, Arc<Held>)>,
    revoked: u64,
    _change: MutexGuard<'a, ()>,
}

impl Credentials {
    /// Takes a tenant out of the scope of every credential that names it.
    ///
    /// # Errors
    /// Damage.
    pub(crate) fn leave(&self, name: &str, tenant: &TenantId, now_ms: u64) -> Result<Leaving<'_>> {
        let change = self.change.lock();
        let mut leaving = Leaving {
            credentials: self,
            changed: Vec::new(),
            revoked: 0,
            _change: change,
        };
        for (id, held) in self.by_id.read().iter() {
            let Scope::Of(mut names) = held.row.scope() else {
                continue;
            };
            if !names.remove(name) {
                continue;
            }
            let mut row = held.row.clone();
            row.last_used_ms = held.last_used_ms();
            if names.is_empty() {
                // No tenant's name, so nobody but who has all tenants sees the credential any more.
                names.insert(format!("~{tenant}"));
                leaving.revoked += u64::from(row.revoked_at_ms.is_none());
                row.revoked_at_ms.get_or_insert(now_ms);
            }
            row.set_scope(Scope::Of(names));
            leaving.changed.push((*id, Arc::new(Held::new(text(id), row)?)));
        }
        Ok(leaving)
    }
}

impl Leaving<'_> {
    /// How many were revoked.
    pub(crate) fn revoked(&self) -> u64 {
        self.revoked
    }

    /// Stores the changes.
    ///
    /// # Errors
    /// As writes.
    pub(crate) fn put(&self, update: &Update<'_>) -> Result<()> {
        let mut table = update.txn().open_table(tables::CREDENTIALS).map_err(storage)?;
        for (id, held) in &self.changed {
            table
                .insert(text(id), encode(&held.row)?.as_slice())
                .map_err(storage)?;
        }
        Ok(())
    }

    /// Puts them in force: they are stored.
    pub(crate) fn publish(self) {
        self.credentials.by_id.write().extend(self.changed);
    }
}
