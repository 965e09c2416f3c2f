//! Which folders may hold files that nothing names, so that the next start looks there and nowhere else.
//!
//! A row `sweep <tenant id>` in the table `meta` is there before the first file of a compaction is written, and goes with a
//! later compaction, when nothing is left over.

use std::collections::BTreeSet;
use std::sync::Arc;

use attestore_record::TenantId;

use super::Failure;
use crate::catalog::{Catalog, Update, storage, tables, unhex};
use crate::instance::Inner;
use crate::tenant::Tenant;
use crate::{Error, Result};

/// The rows that are there.
#[derive(Default)]
pub(super) struct Leftovers {
    known: Option<BTreeSet<TenantId>>,
    /// Those that may go.
    done: BTreeSet<TenantId>,
}

impl Leftovers {
    /// Notes durably that a tenant's folder may hold leftovers from now on.
    pub(super) fn expect(&mut self, inner: &Inner, tenant: &Arc<Tenant>) -> Result<(), Failure> {
        let known = match &mut self.known {
            Some(known) => known,
            // What an earlier start noted was swept by this one.
            none => {
                let found: BTreeSet<TenantId> = noted(&inner.catalog)
                    .map_err(Failure::Later)?
                    .into_iter()
                    .collect();
                self.done = found.clone();
                none.insert(found)
            }
        };
        self.done.remove(&tenant.id);
        if known.contains(&tenant.id) {
            return Ok(());
        }
        let done = std::mem::take(&mut self.done);
        let noted = inner.catalog.update::<_, Error>(|update| {
            let mut table = update.txn().open_table(tables::META).map_err(storage)?;
            for id in &done {
                table.remove(key(id).as_str()).map_err(storage)?;
            }
            table
                .insert(key(&tenant.id).as_str(), [].as_slice())
                .map_err(storage)?;
            Ok(())
        });
        noted.map_err(|error| match inner.catalog.poisoned() {
            Some(reason) => Failure::Sync(reason),
            None => Failure::Later(error),
        })?;
        known.retain(|id| !done.contains(id));
        known.insert(tenant.id);
        Ok(())
    }

    /// Notes that a compaction of a tenant left nothing.
    pub(super) fn done(&mut self, tenant: TenantId) {
        self.done.insert(tenant);
    }
}

/// Tenants whose folders may hold leftovers of compactions.
///
/// # Errors
/// What the catalog says.
pub(crate) fn noted(catalog: &Catalog) -> Result<Vec<TenantId>> {
    let table = catalog.read()?.open_table(tables::META).map_err(storage)?;
    let mut tenants = Vec::new();
    for row in table.range(PREFIX..END).map_err(storage)? {
        let (name, _) = row.map_err(storage)?;
        let id = name.value().strip_prefix(PREFIX).and_then(unhex::<16>);
        let id = id.ok_or_else(|| Error::damage("catalog", 0, "a row of `meta` that names no tenant"))?;
        tenants.push(TenantId::from_bytes(id));
    }
    Ok(tenants)
}

/// Forgets what was noted of a tenant that is being destroyed.
///
/// # Errors
/// As writes.
pub(crate) fn unnote(update: &Update<'_>, tenant: &TenantId) -> Result<()> {
    let mut table = update.txn().open_table(tables::META).map_err(storage)?;
    table.remove(key(tenant).as_str()).map_err(storage)?;
    Ok(())
}

fn key(tenant: &TenantId) -> String {
    format!("{PREFIX}{}", crate::catalog::hex(tenant.as_bytes()))
}

const PREFIX: &str = "sweep ";
/// Just behind every name with the prefix.
const END: &str = "sweep!";
