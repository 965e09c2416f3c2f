//! Showing holds.

use super::row::{HoldRow, RowState};
use super::spec::Person;
use crate::Engine;
use crate::catalog::of_tenant::{self, ThingId};
use crate::catalog::{hex, tables, unhex};
use crate::credentials::{Permission, Principal};
use crate::error::{Error, Result};
use crate::tenant::Tenant;

/// A hold as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldInfo {
    /// Its id, 32 hex digits, as in the log.
    pub id: String,
    /// How far it is.
    pub state: HoldState,
    /// What it is about, as the log says.
    pub matter: String,
    /// The sealed part, for who may place holds.
    pub sealed: Option<SealedInfo>,
    /// Whole classes that it covers.
    pub classes: Vec<u16>,
    /// Whether newer records may match.
    pub asks: bool,
    /// Records in its ranges; those of whole classes are not counted.
    pub records: u64,
    /// Every match below this seq is among them.
    pub until: u64,
    /// When somebody should look whether it is still needed, Unix milliseconds.
    pub review_ms: Option<u64>,
    /// Id of who placed it.
    pub placed_by: String,
    /// When, Unix milliseconds.
    pub placed_ms: u64,
    /// Seq of the first record of it.
    pub record: Option<u64>,
    /// When it was released, Unix milliseconds.
    pub released_ms: Option<u64>,
    /// Ids of who stands for that.
    pub released_by: Vec<String>,
    /// Seq of the record of that.
    pub release_record: Option<u64>,
}

/// What may name people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedInfo {
    /// The query.
    pub query: Option<String>,
    /// The actor.
    pub actor: Option<Person>,
    /// The subject.
    pub subject: Option<Person>,
    /// Why it was placed.
    pub reason: String,
    /// Why it was released.
    pub released: Option<String>,
}

/// How far a hold is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldState {
    /// In force.
    Active,
    /// Over.
    Released,
}

impl HoldState {
    /// Returns the name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Released => "released",
        }
    }
}

impl Engine {
    /// The holds of a tenant, newest first, those that were released too. What may name people is shown to who may place holds.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], or as reads.
    pub fn holds(&self, tenant: &str, by: &Principal) -> Result<Vec<HoldInfo>> {
        by.check(tenant, Permission::SeeRetention)?;
        let tenant = self.inner.tenant(tenant)?;
        let rows = of_tenant::of::<HoldRow>(&self.inner.catalog.read()?, tables::HOLDS, &tenant.id)?;
        let shown = rows.iter().map(|(id, row)| info(&tenant, by, id, row));
        let mut all = shown.collect::<Result<Vec<HoldInfo>>>()?;
        all.sort_by(|a, b| (b.placed_ms, &b.id).cmp(&(a.placed_ms, &a.id)));
        Ok(all)
    }

    /// A hold.
    ///
    /// # Errors
    /// As [`Engine::holds`]; [`Error::NotFound`].
    pub fn hold(&self, tenant: &str, by: &Principal, id: &str) -> Result<HoldInfo> {
        by.check(tenant, Permission::SeeRetention)?;
        let tenant = self.inner.tenant(tenant)?;
        let id: ThingId = unhex(id).ok_or(NOT_FOUND)?;
        let row = of_tenant::get(&self.inner.catalog.read()?, tables::HOLDS, &(tenant.id, id))?;
        info(&tenant, by, &id, &row.ok_or(NOT_FOUND)?)
    }
}

/// A hold as somebody is shown it.
///
/// # Errors
/// Damage.
pub(super) fn info(tenant: &Tenant, by: &Principal, id: &ThingId, row: &HoldRow) -> Result<HoldInfo> {
    let sealed = match by.may(Permission::ManageHolds) {
        true => Some(row.open(tenant, id)?),
        false => None,
    };
    // What is known in memory may be ahead of the row.
    let holds = tenant.holds.load();
    let until = holds
        .0
        .iter()
        .find(|hold| hold.id == *id)
        .map_or(row.until, |hold| hold.row.until);
    let released = row.release.as_ref().filter(|_| row.state == RowState::Released);
    Ok(HoldInfo {
        id: hex(id),
        state: match row.state {
            RowState::Released => HoldState::Released,
            _ => HoldState::Active,
        },
        matter: row.matter.clone(),
        sealed: sealed.map(|sealed| SealedInfo {
            query: sealed.query,
            actor: sealed.actor,
            subject: sealed.subject,
            reason: sealed.reason,
            released: sealed.released,
        }),
        classes: row.classes.clone(),
        asks: row.asks,
        records: row.records,
        until,
        review_ms: row.review_ms,
        placed_by: row.placed_by.clone(),
        placed_ms: row.placed_ms,
        record: row.record,
        released_ms: released.map(|release| release.ms),
        released_by: released
            .map(|release| release.approved_by.clone())
            .unwrap_or_default(),
        release_record: released.and_then(|release| release.record),
    })
}

pub(super) const NOT_FOUND: Error = Error::NotFound("hold");
