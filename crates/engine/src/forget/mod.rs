//! Forgetting: what may go, what must stay, and how it goes so that every proof stays.
//!
//! | module | what |
//! |---|---|
//! | [`rules`] | retention policies and classes, their locks, and what they say of a record |
//! | [`holds`] | legal holds: what may not go whatever its age |
//! | [`approvals`] | acts that take two persons |
//! | `gone` | what was purged or erased whole |
//! | `sweep` | how that leaves segments |
//! | [`purge`] | what goes because its time is over |
//! | `statement` | signed accounts of what went |
//! | [`erase`] | erasure of data subjects |
//! | [`restrict`] | restriction of reading |
//! | [`rectify`] | corrections of records |
//! | [`destroy`] | destruction of whole tenants |
//! | `hidden` | who is hidden from readers meanwhile |

pub mod approvals;
pub mod destroy;
pub mod erase;
pub(crate) mod gone;
pub(crate) mod hidden;
pub mod holds;
pub(crate) mod logged;
pub mod purge;
pub mod rectify;
pub mod restrict;
pub mod rules;
pub(crate) mod sealed;
pub(crate) mod statement;
pub(crate) mod subjects;
pub(crate) mod sweep;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use attestore_record::{Handle, TenantId};
use hashbrown::HashMap;
use redb::ReadTransaction;

use crate::catalog::{Catalog, of_tenant, tables};
use crate::error::Result;
use crate::instance::Inner;
use crate::tenant::Ring;
use erase::{ErasureRow, ErasureState};
use hidden::{Hidden, Leaving, Veil};

pub use gone::Why;
pub use subjects::Person;

/// Reads who is hidden in a tenant.
///
/// # Errors
/// As reads; damage.
pub(crate) fn load_hidden(
    catalog: &Catalog,
    txn: &ReadTransaction,
    tenant: &TenantId,
    ring: &Ring,
) -> Result<Hidden> {
    let mut veils: HashMap<Handle, Veil> = HashMap::new();
    let erasures: Vec<([u8; 16], ErasureRow)> = of_tenant::of(txn, tables::ERASURES, tenant)?;
    for (_, row) in erasures.iter().filter(|(_, row)| !row.state.is_over()) {
        let leaving = match row.state {
            ErasureState::Deferred => Leaving::Deferred,
            _ => Leaving::Suppressed,
        };
        for leaver in row.leavers(catalog, tenant, ring)? {
            veils.entry(leaver.handle).or_default().leaving = Some(leaving);
        }
        for handle in row.destroyed()? {
            veils.entry(handle).or_default().leaving = Some(Leaving::Destroyed);
        }
    }
    for handle in restrict::restricted(txn, tenant)? {
        veils.entry(handle).or_default().restricted = true;
    }
    Ok(Hidden::new(veils))
}

/// Goes on with what a crash interrupted; says what it cannot go on with yet.
pub(crate) fn finish(inner: &Inner) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut look = |what: &str, result: Result<()>| {
        if let Err(error) = result {
            warnings.push(format!("{what} is not gone on with yet: {error}"));
        }
    };
    look("a retention policy that was being set", rules::finish(inner));
    look(
        "a legal hold that was being placed or released",
        holds::finish(inner),
    );
    look("the destruction of a tenant", destroy::finish(inner));
    warnings
}
