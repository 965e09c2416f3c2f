//! Rectification (Art. 16 GDPR): what a record says is corrected by further records, and stays as it is.
//!
//! A correction is an event of the same log whose protocol is `correction`, which no client can choose. It names the record that it
//! corrects by seq, id and leaf; what it says of a personal field is sealed under the keys of exactly those whom the field is about, so
//! an erasure of one of them reaches it. Fields about different people are corrected by records of their own, appended together.
//!
//! | file | what |
//! |---|---|
//! | `make` | the events that correct a record |
//! | `corrections` | the corrections of records |
//!
//! # Durability
//! 1. The tenant's row says that it has corrections.
//! 2. The corrections, in one append.
//!
//! A crash in between leaves a row that has readers look for corrections in vain.

mod corrections;
mod make;
#[cfg(test)]
mod tests;

use std::sync::atomic::Ordering;

use serde_json::Value;

use crate::Engine;
use crate::append::{Appended, append_corrections};
use crate::catalog::TenantRow;
use crate::credentials::{Permission, Principal};
use crate::error::{Error, Result};
use crate::heads::HEADS_TENANT;
use crate::instance::SYSTEM_TENANT;
use crate::read::{Which, find, snapshot};

pub use corrections::Correction;

/// Protocol of corrections in their public bytes.
pub(crate) const PROTOCOL: &str = "correction";

/// What somebody wants corrected of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct CorrectionOrder {
    /// JSON pointers of fields that the record has, each with the value that is right.
    pub fields: Vec<(String, Value)>,
    /// Why; in the log for good.
    pub reason: String,
    /// On what ground; in the log for good.
    pub basis: Option<String>,
}

impl Engine {
    /// Corrects fields of a record. Durable on return; the record and its proofs stay as they are.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], [`Error::UnknownRecord`], [`Error::Gone`]; [`Error::Erased`] for a field about somebody who was
    /// erased; [`Error::Invalid`] `invalid_correction`; [`Error::Conflict`] `control_record`; as appends.
    pub fn correct(
        &self,
        tenant: &str,
        by: &Principal,
        which: Which,
        order: &CorrectionOrder,
    ) -> Result<Appended> {
        by.check(tenant, Permission::Rectify)?;
        if [SYSTEM_TENANT, HEADS_TENANT].contains(&tenant) {
            return Err(Error::Forbidden);
        }
        order.check()?;
        let inner = &self.inner;
        inner.check_running()?;
        let tenant = inner.tenant(tenant)?;
        // Nobody whom the record is about is erased meanwhile: what is appended then would be about a new handle.
        let _deciding = tenant.deciding.lock();
        tenant.check_open()?;
        let events = snapshot(&tenant, |view| {
            let seq = find::seq(inner, &tenant, view, which)?;
            make::events(inner, &tenant, view, seq, by, order)
        })?;
        if !tenant.corrected.load(Ordering::Acquire) {
            inner.change(|update| {
                let mut row: TenantRow = update.tenant(&tenant.id)?.ok_or(Error::UnknownTenant)?;
                row.corrected = true;
                update.put_tenant(&tenant.id, &row)
            })?;
            tenant.corrected.store(true, Ordering::Release);
        }
        Ok(append_corrections(inner, &tenant.name, by, events)?)
    }
}

impl CorrectionOrder {
    fn check(&self) -> Result<()> {
        let invalid = |message: &str| {
            Err(Error::Invalid {
                code: "invalid_correction",
                message: message.to_owned(),
            })
        };
        if self.fields.is_empty() || self.fields.len() > FIELDS_MAX {
            return invalid("a correction is about 1 to 64 fields");
        }
        if self.reason.trim().is_empty() || self.reason.len() > TEXT_BYTES_MAX {
            return invalid("a reason has 1 to 1024 bytes");
        }
        if self
            .basis
            .as_ref()
            .is_some_and(|basis| basis.len() > TEXT_BYTES_MAX)
        {
            return invalid("a basis has at most 1024 bytes");
        }
        Ok(())
    }
}

const FIELDS_MAX: usize = 64;
const TEXT_BYTES_MAX: usize = 1024;
