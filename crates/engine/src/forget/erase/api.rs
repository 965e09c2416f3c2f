//! Looking at erasures.

use redb::ReadTransaction;
use serde::Serialize;

use super::row::{ErasureRow, ErasureState};
use super::{ErasureScope, Recipient};
use crate::Engine;
use crate::catalog::of_tenant::RowKey;
use crate::catalog::{hex, of_tenant, tables, unhex};
use crate::credentials::{Permission, Principal};
use crate::error::{Error, Result};
use crate::forget::purge::{self, erasure};

/// How an erasure is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErasureInfo {
    /// Its id, 32 hex digits.
    pub id: String,
    /// Of what: of everything that is personal about somebody, or of whole records.
    pub scope: ErasureScope,
    /// How far it is.
    pub state: ErasureState,
    /// Why it waits: `hold` or `policy`.
    pub deferred: Option<String>,
    /// On what ground.
    pub basis: String,
    /// Id of the principal that asked.
    pub requested_by: String,
    /// Ids of those who asked and approved.
    pub approved_by: Vec<String>,
    /// When it was asked for, Unix milliseconds.
    pub requested_ms: u64,
    /// Until when it may be taken back, Unix milliseconds.
    pub undo_until_ms: u64,
    /// How many handles the people had.
    pub subjects: u64,
    /// Records that had personal groups about them; known once it is decided.
    pub records: u64,
    /// Seq of the record of it in the tenant's log.
    pub seq: Option<u64>,
    /// Exports that were destroyed, as they might hold some of it.
    pub exports_destroyed: u64,
    /// Segments that were written anew.
    pub segments_rewritten: u64,
    /// Bytes of their new files.
    pub bytes_rewritten: u64,
    /// Who may have been shown the data; `None` when that is not known.
    pub recipients: Option<Vec<Recipient>>,
    /// Since when nobody is shown the data, Unix milliseconds.
    pub suppressed_since_ms: u64,
    /// Since when nothing opens it.
    pub unreadable_since_ms: Option<u64>,
    /// Since when no split has terms of it.
    pub terms_gone_since_ms: Option<u64>,
    /// Since when no file has bytes of it.
    pub bytes_gone_since_ms: Option<u64>,
    /// SHA-256 of the certificate, hex, once it is signed.
    pub certificate: Option<String>,
}

impl Engine {
    /// An erasure.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], [`Error::NotFound`], or what the catalog says.
    pub fn erasure(&self, tenant: &str, by: &Principal, id: &str) -> Result<ErasureInfo> {
        by.check(tenant, Permission::Erase)?;
        let tenant = self.inner.tenant(tenant)?;
        let key = (tenant.id, unhex(id).ok_or(Error::NotFound("erasure"))?);
        find(&self.inner.catalog.read()?, &key)
    }

    /// The certificate of an erasure: an in-toto statement in a DSSE envelope, signed by the key of the tenant's log.
    ///
    /// # Errors
    /// As [`Engine::erasure`]; [`Error::Conflict`] as long as there is none.
    pub fn erasure_certificate(&self, tenant: &str, by: &Principal, id: &str) -> Result<String> {
        by.check(tenant, Permission::Erase)?;
        let tenant = self.inner.tenant(tenant)?;
        let key = (tenant.id, unhex(id).ok_or(Error::NotFound("erasure"))?);
        let txn = self.inner.catalog.read()?;
        find(&txn, &key)?;
        purge::statement_of(&txn, &key)?.ok_or_else(|| Error::Conflict {
            code: "no_certificate_yet",
            message: "the certificate is signed once no file has bytes of what is erased: look again"
                .to_owned(),
        })
    }

    /// All erasures of a tenant, the newest first.
    ///
    /// # Errors
    /// As [`Engine::erasure`].
    pub fn erasures(&self, tenant: &str, by: &Principal) -> Result<Vec<ErasureInfo>> {
        by.check(tenant, Permission::Erase)?;
        let tenant = self.inner.tenant(tenant)?;
        let txn = self.inner.catalog.read()?;
        let rows: Vec<([u8; 16], ErasureRow)> = of_tenant::of(&txn, tables::ERASURES, &tenant.id)?;
        let mut all = erasure::all(&txn, &tenant.id)?;
        all.extend(rows.iter().map(|(id, row)| info(&(tenant.id, *id), row)));
        all.sort_by_key(|one| std::cmp::Reverse(one.requested_ms));
        Ok(all)
    }
}

fn find(txn: &ReadTransaction, key: &RowKey) -> Result<ErasureInfo> {
    let row: Option<ErasureRow> = of_tenant::get(txn, tables::ERASURES, key)?;
    match row {
        Some(row) => Ok(info(key, &row)),
        None => erasure::find(txn, key),
    }
}

pub(super) fn info(key: &RowKey, row: &ErasureRow) -> ErasureInfo {
    ErasureInfo {
        id: hex(&key.1),
        scope: ErasureScope::Subject,
        state: row.state,
        deferred: row.deferred.clone(),
        basis: row.basis.clone(),
        requested_by: row.requested_by.clone(),
        approved_by: row.approved_by.clone(),
        requested_ms: row.requested_ms,
        undo_until_ms: row.undo_until_ms,
        subjects: row.number,
        records: row.records,
        seq: row.control_seq,
        exports_destroyed: row.exports,
        segments_rewritten: row.segments,
        bytes_rewritten: row.bytes_rewritten,
        recipients: row.recipients.clone(),
        suppressed_since_ms: row.suppressed_since_ms,
        unreadable_since_ms: row.unreadable_since_ms,
        terms_gone_since_ms: row.terms_gone_since_ms,
        bytes_gone_since_ms: row.bytes_gone_since_ms,
        certificate: row.certificate.clone(),
    }
}
