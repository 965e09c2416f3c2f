//! Legal holds: what may not go whatever its age, and who says so.
//!
//! A hold covers records by classes, by ranges of seqs, and by what a query, an actor or a subject matches, also in the future. What
//! matches is written down as ranges, in the catalog and in the tenant's log, so that an auditor needs no query to judge a purge.
//! Queries, people and the typed reason are sealed in the row and never in the log.
//!
//! Holds overlap. What one covers stays until every hold that covers it is released. Nothing goes before every hold was asked for its
//! matches up to the last record concerned (`held`).
//!
//! | file | what |
//! |---|---|
//! | `spec` | what is to be held |
//! | `row`, `ranges` | what the catalog keeps |
//! | `find` | records that match |
//! | `place` | placing, and going on after a crash |
//! | `extend` | matches among newer records |
//! | `release` | releasing |
//! | `ask` | what is held |
//! | `api` | showing |
//!
//! # Durability
//! Placing: 1. The row, `placing`, with the ranges: the hold is in force. 2. The log has it. 3. The row is `active`. Releasing: 1. The
//! row is `releasing`: still in force. 2. The log has the release. 3. The row is `released`, its ranges go. Extending: 1. The log has
//! the new ranges. 2. One commit has them and how far was looked; after a crash in between they are looked for and logged again, which
//! says nothing new.

mod api;
mod ask;
mod extend;
mod find;
mod place;
mod ranges;
mod release;
mod row;
mod spec;
#[cfg(test)]
mod tests;

pub use api::{HoldInfo, HoldState, SealedInfo};
pub(crate) use ask::{covering, held, known};
pub(crate) use extend::{run, tick};
pub(crate) use place::finish;
pub use spec::{HoldScope, HoldSpec, Person, Release};

use std::sync::Arc;

use attestore_record::TenantId;
use redb::ReadTransaction;

use crate::catalog::of_tenant::{self, ThingId};
use crate::catalog::tables;
use crate::error::Result;
use row::RowState;
pub(crate) use row::{HoldRow, seal_again};

/// A hold that is in force.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    id: ThingId,
    row: HoldRow,
}

/// The holds of a tenant that are in force.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holds(Vec<Arc<Hold>>);

impl Holds {
    /// Reads those of a tenant.
    ///
    /// # Errors
    /// As reads.
    pub(crate) fn load(txn: &ReadTransaction, tenant: &TenantId) -> Result<Self> {
        let rows = of_tenant::of::<HoldRow>(txn, tables::HOLDS, tenant)?;
        let in_force = rows
            .into_iter()
            .filter(|(_, row)| row.state != RowState::Released);
        Ok(Self(
            in_force.map(|(id, row)| Arc::new(Hold { id, row })).collect(),
        ))
    }

    /// Their ids.
    pub(crate) fn ids(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|hold| crate::catalog::hex(&hold.id))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// These with the hold as it is now: one that is released goes.
    fn with(&self, id: ThingId, row: HoldRow) -> Self {
        let others = self.0.iter().filter(|hold| hold.id != id).cloned();
        let mut all: Vec<Arc<Hold>> = others.collect();
        if row.state != RowState::Released {
            all.push(Arc::new(Hold { id, row }));
        }
        Self(all)
    }

    /// These without the hold.
    fn without(&self, id: &ThingId) -> Self {
        Self(self.0.iter().filter(|hold| hold.id != *id).cloned().collect())
    }
}
