//! Asking for the erasure of whole records.

use std::collections::BTreeSet;

use serde_json::json;

use super::ErasureInfo;
use super::recipients::recipients;
use super::request::check_basis;
use crate::Engine;
use crate::credentials::{Permission, Principal};
use crate::error::{Error, Result};
use crate::forget::purge::erasure;
use crate::forget::purge::{By, Ground};

/// Which records are to be erased, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordErasure {
    /// Their seqs: of one class, 1 to 10,000.
    pub seqs: BTreeSet<u64>,
    /// On what ground. Goes into the log, so it names nobody.
    pub basis: String,
    /// Whether records younger than the minimum of a policy in mode governance may go too, with the approval of a second person.
    pub bypass: bool,
}

impl Engine {
    /// Erases whole records, where no hold and no lock forbids it. They are gone on return; files, keys and certificate follow.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], [`Error::Invalid`], [`Error::UnknownRecord`], [`Error::Gone`],
    /// [`Error::Conflict`] where the rules forbid it, [`Error::ApprovalNeeded`], or as appends and changes of the catalog.
    pub fn erase_records(
        &self,
        tenant: &str,
        by: &Principal,
        request: &RecordErasure,
    ) -> Result<ErasureInfo> {
        by.check(tenant, Permission::Erase)?;
        check_basis(&request.basis)?;
        if request.seqs.is_empty() || request.seqs.len() > RECORDS_MAX {
            return Err(Error::Invalid {
                code: "invalid_erasure",
                message: "`seqs` has 1 to 10000 items".to_owned(),
            });
        }
        let inner = &self.inner;
        inner.check_running()?;
        self.flush_tenant(tenant)?;
        let tenant = inner.tenant(tenant)?;
        let named = erasure::named(inner, &tenant, &request.seqs)?;
        let recipients = recipients(self, &tenant.name);
        let recipients = recipients.inspect_err(
            |error| tracing::warn!(%error, "it is not known who was shown what is to be erased"),
        );
        let parameters = json!({
            "seqs": request.seqs,
            "basis": request.basis,
            "bypass": request.bypass,
        });
        let by = By {
            principal: by,
            bypass: request.bypass,
            note: "",
            parameters: &parameters,
        };
        let ground = Ground {
            basis: &request.basis,
            records: named.records,
            recipients: recipients.as_deref().ok(),
        };
        erasure::erase(inner, &tenant, &named, by, ground)
    }
}

const RECORDS_MAX: usize = 10_000;
