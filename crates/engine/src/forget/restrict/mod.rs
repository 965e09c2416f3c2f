//! Restriction of reading (Art. 18 GDPR): data about somebody is kept, and read only for a purpose.
//!
//! Reads without a purpose show it like erased data, and say that it is restricted; searches without one find nothing by it.
//! It survives restarts, and goes with an erasure of the same person.
//!
//! # Durability
//! A record of kind `restriction` in the tenant's log first, which names nobody; then the row; then memory. A crash in between
//! leaves a log that tells of a restriction that is not in force: it is asked for again.

mod row;

use attestore_keys::random_array;
use attestore_record::{Handle, Kind, TenantId};
use redb::ReadTransaction;
use serde::Serialize;

use crate::Engine;
use crate::append::append_control;
use crate::catalog::{Update, hex, of_tenant, tables, unhex};
use crate::credentials::{Permission, Principal};
use crate::error::{Error, Result};
use crate::forget::subjects::{self, Person};
pub(crate) use row::RestrictionRow;

/// A restriction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestrictionInfo {
    /// Its id, 32 hex digits.
    pub id: String,
    /// Why; names nobody.
    pub reason: String,
    /// Id of the principal that asked for it.
    pub created_by: String,
    /// Since when it is in force, Unix milliseconds.
    pub created_ms: u64,
    /// How many handles the people have.
    pub subjects: u64,
    /// Seq of the record of it in the tenant's log.
    pub seq: u64,
}

/// What the log says.
#[derive(Serialize)]
struct RestrictionControl<'a> {
    r#type: &'static str,
    restriction: &'a str,
    subjects: u64,
    reason: &'a str,
}

impl Engine {
    /// Restricts the reading of data about people. In force, and durable, on return.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], [`Error::Invalid`], [`Error::NotFound`] when the tenant knows none of
    /// them, or as appends and changes of the catalog.
    pub fn restrict(
        &self,
        tenant: &str,
        by: &Principal,
        people: &[Person],
        reason: &str,
    ) -> Result<RestrictionInfo> {
        by.check(tenant, Permission::Restrict)?;
        let people = subjects::parse(people)?;
        check_reason(reason)?;
        let inner = &self.inner;
        inner.check_running()?;
        let tenant = inner.tenant(tenant)?;
        let _deciding = tenant.deciding.lock();
        tenant.check_open()?;
        let known = subjects::known(inner, &tenant, &people)?;
        if known.is_empty() {
            return Err(Error::NotFound("data subject"));
        }
        let key = (tenant.id, random_array(&*inner.entropy));
        let id = hex(&key.1);
        let control = RestrictionControl {
            r#type: "restriction",
            restriction: &id,
            subjects: known.len() as u64,
            reason,
        };
        let receipt = append_control(inner, &tenant, &by.id, Kind::Restriction, &control)?;
        let handles: Vec<Handle> = known.iter().map(|known| known.handle).collect();
        let row = RestrictionRow {
            handles: handles.iter().map(|handle| hex(handle.as_bytes())).collect(),
            reason: reason.to_owned(),
            created_by: by.id.clone(),
            created_ms: receipt.received_at_ms,
            seq: receipt.seq,
        };
        inner.change(|update| of_tenant::put(update, tables::RESTRICTIONS, &key, &row))?;
        tenant.veil(&handles, |veil| veil.restricted = true);
        Ok(row.info(&key.1))
    }

    /// Ends a restriction. Durable on return.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], [`Error::NotFound`], or as appends and changes of the catalog.
    pub fn end_restriction(&self, tenant: &str, by: &Principal, id: &str, reason: &str) -> Result<()> {
        by.check(tenant, Permission::Restrict)?;
        check_reason(reason)?;
        let inner = &self.inner;
        inner.check_running()?;
        let tenant = inner.tenant(tenant)?;
        let missing = Error::NotFound("restriction");
        let key = (tenant.id, unhex(id).ok_or_else(|| missing.clone())?);
        let _deciding = tenant.deciding.lock();
        tenant.check_open()?;
        let row: Option<RestrictionRow> = of_tenant::get(&inner.catalog.read()?, tables::RESTRICTIONS, &key)?;
        let row = row.ok_or(missing)?;
        let control = RestrictionControl {
            r#type: "restriction_end",
            restriction: id,
            subjects: row.handles.len() as u64,
            reason,
        };
        append_control(inner, &tenant, &by.id, Kind::Restriction, &control)?;
        inner.change(|update| of_tenant::remove(update, tables::RESTRICTIONS, &key))?;
        // Another one may restrict the same person.
        let still = restricted(&inner.catalog.read()?, &tenant.id)?;
        let mut handles = row.handles()?;
        handles.retain(|handle| !still.contains(handle));
        tenant.veil(&handles, |veil| veil.restricted = false);
        Ok(())
    }

    /// The restrictions of a tenant that are in force, the newest first.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], or what the catalog says.
    pub fn restrictions(&self, tenant: &str, by: &Principal) -> Result<Vec<RestrictionInfo>> {
        by.check(tenant, Permission::Restrict)?;
        let tenant = self.inner.tenant(tenant)?;
        let rows: Vec<([u8; 16], RestrictionRow)> =
            of_tenant::of(&self.inner.catalog.read()?, tables::RESTRICTIONS, &tenant.id)?;
        let mut all: Vec<_> = rows.iter().map(|(id, row)| row.info(id)).collect();
        all.sort_by_key(|one| std::cmp::Reverse(one.seq));
        Ok(all)
    }
}

/// Everybody whose data is restricted.
///
/// # Errors
/// As reads; damage.
pub(crate) fn restricted(txn: &ReadTransaction, tenant: &TenantId) -> Result<Vec<Handle>> {
    let rows: Vec<([u8; 16], RestrictionRow)> = of_tenant::of(txn, tables::RESTRICTIONS, tenant)?;
    let mut all = Vec::new();
    for (_, row) in rows {
        all.extend(row.handles()?);
    }
    Ok(all)
}

/// Takes people who were erased out of every restriction.
///
/// # Errors
/// As changes of the catalog.
pub(crate) fn forget(update: &Update<'_>, tenant: &TenantId, handles: &[Handle]) -> Result<()> {
    let gone: Vec<String> = handles.iter().map(|handle| hex(handle.as_bytes())).collect();
    let rows: Vec<([u8; 16], RestrictionRow)> = of_tenant::stored_of(update, tables::RESTRICTIONS, tenant)?;
    for (id, mut row) in rows {
        let before = row.handles.len();
        row.handles.retain(|handle| !gone.contains(handle));
        let key = (*tenant, id);
        if row.handles.is_empty() {
            of_tenant::remove(update, tables::RESTRICTIONS, &key)?;
        } else if row.handles.len() < before {
            of_tenant::put(update, tables::RESTRICTIONS, &key, &row)?;
        }
    }
    Ok(())
}

fn check_reason(reason: &str) -> Result<()> {
    match (1..=REASON_BYTES_MAX).contains(&reason.len()) {
        true => Ok(()),
        false => Err(Error::Invalid {
            code: "invalid_restriction",
            message: "`reason` has 1 to 256 bytes".to_owned(),
        }),
    }
}

const REASON_BYTES_MAX: usize = 256;
