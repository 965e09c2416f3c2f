//! Retention: which class an event is of, how long records of a class are kept, and what may be done before.
//!
//! | file | what |
//! |---|---|
//! | `selector` | which events are of a class |
//! | `spec` | what somebody wants a class to be, and what to look at |
//! | `lock` | what a lock lets happen |
//! | `set` | setting and showing |
//! | `preview` | what would go at a moment |
//! | `row` | what the catalog keeps |
//! | `again` | a policy by which records went behind a backup that was restored |
//! | `verdict` | what holds for one record, and why |

mod again;
mod lock;
mod preview;
mod row;
mod selector;
mod set;
mod spec;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::BTreeMap;

use attestore_record::control::RetentionPolicy;
use attestore_record::entry::CLASS_DEFAULT;
use attestore_record::{Event, TenantId};
use redb::ReadTransaction;

use crate::catalog::{by_tenant, tables};
use crate::error::Result;

pub(crate) use super::holds::held;
pub(crate) use again::again;
pub use preview::{ClassPreview, Preview};
pub(crate) use row::RulesRow;
pub use selector::Selector;
pub use set::ClassInfo;
pub(crate) use set::finish;
pub use spec::{ClassSpec, Warning};
pub use verdict::{GoneBy, HeldBy, Standing, Verdict};

/// The retention rules of a tenant that are in force.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    policies: BTreeMap<u16, PolicyInForce>,
    /// Ascending by class: the first that matches decides.
    selectors: Vec<(u16, Selector)>,
}

/// A retention policy, and where the log says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyInForce {
    /// The policy.
    pub policy: RetentionPolicy,
    /// Seq of its record.
    pub seq: u64,
}

impl Rules {
    /// Reads those of a tenant.
    ///
    /// # Errors
    /// As reads.
    pub(crate) fn load(txn: &ReadTransaction, tenant: &TenantId) -> Result<Self> {
        let row = by_tenant::get::<RulesRow>(txn, tables::RETENTION, tenant)?;
        Ok(row.map(|row| Self::of(&row)).unwrap_or_default())
    }

    fn of(row: &RulesRow) -> Self {
        let policies = row.classes.iter().map(|(class, row)| {
            let policy = row.policy.clone();
            (*class, PolicyInForce { policy, seq: row.seq })
        });
        let selectors = row
            .classes
            .iter()
            .filter_map(|(class, row)| Some((*class, row.select.clone()?)));
        Self {
            policies: policies.collect(),
            selectors: selectors.collect(),
        }
    }

    /// The policy of a class that is in force. Records of a class without one stay: nothing purges them, nothing erases them whole.
    pub fn policy(&self, class: u16) -> Option<&PolicyInForce> {
        self.policies.get(&class)
    }

    /// All policies in force, ascending by class.
    pub fn policies(&self) -> impl Iterator<Item = &PolicyInForce> {
        self.policies.values()
    }

    /// The class of a new event: the lowest whose selector matches, else [`CLASS_DEFAULT`].
    pub fn class_of(&self, event: &Event<'_>) -> u16 {
        let mut selectors = self.selectors.iter();
        selectors
            .find(|(_, selector)| selector.matches(event))
            .map_or(CLASS_DEFAULT, |(class, _)| *class)
    }
}
