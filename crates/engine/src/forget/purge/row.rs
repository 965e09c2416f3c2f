//! Rows of purges. JSON, so that a later version can add fields.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::path::PathBuf;

use attestore_record::control::{Control, Erasure, ErasureScope, Purge, PurgeReason, Ranges};
use attestore_record::{Kind, TenantId};
use redb::{ReadTransaction, TableError};
use serde::{Deserialize, Serialize};

use crate::catalog::{Update, encode, hex, json, storage, tables, unhex};
use crate::error::{Error, Result};
use crate::forget::Why;
use crate::forget::erase::Recipient;

/// Names a job: its tenant, and its own id, which begins with the time it was decided.
pub(crate) type JobKey = (TenantId, [u8; 16]);

/// How far a purge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PurgeState {
    /// It is decided, and not on record yet.
    Decided,
    /// It is on record, and no read shows the records any more.
    Recorded,
    /// No segment holds them any more.
    Swept,
    /// Every key that opened them is destroyed, in every file.
    Unreadable,
    /// The receipt is signed.
    Receipted,
    /// The log names the receipt: nothing is left to do.
    Done,
}

/// A job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PurgeRow {
    pub(super) state: PurgeState,
    pub(super) class: u16,
    /// Seq of the policy that was in force.
    pub(super) policy: u64,
    pub(super) reason: PurgeReason,
    pub(super) ranges: Ranges,
    /// Records in each of them.
    pub(super) counts: Vec<u64>,
    pub(super) records: u64,
    /// Records that holds kept from going.
    pub(super) held: u64,
    /// Id of the credential that ordered it; `internal` for the schedule.
    pub(super) by: String,
    #[serde(default)]
    pub(super) approved_by: Vec<String>,
    /// Why, as it was typed.
    #[serde(default)]
    pub(super) note: String,
    /// On what ground the records are erased; `None` for a purge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) basis: Option<String>,
    /// For an erasure: who may have been shown the records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) recipients: Option<Vec<Recipient>>,
    /// For an erasure: exports that were destroyed.
    #[serde(default)]
    pub(super) exports: u64,
    /// Size of the log before its record was written: it is there or behind.
    pub(super) log_from: u64,
    pub(super) decided_ms: u64,
    /// Seq of its record.
    #[serde(default)]
    pub(super) control: Option<u64>,
    #[serde(default)]
    pub(super) recorded_ms: Option<u64>,
    /// Files of the log up to this number may hold the records.
    #[serde(default)]
    pub(super) wal: u64,
    /// Files that held them.
    #[serde(default)]
    pub(super) files: Vec<GoneFile>,
    #[serde(default)]
    pub(super) swept_ms: Option<u64>,
    #[serde(default)]
    pub(super) unreadable_since_ms: Option<u64>,
    #[serde(default)]
    pub(super) gone_since_ms: Option<u64>,
    /// SHA-256 of the receipt, hex.
    #[serde(default)]
    pub(super) receipt: Option<String>,
    #[serde(default)]
    pub(super) done_ms: Option<u64>,
}

/// A file, or a part of one, that held records which are gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GoneFile {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// Slot of its key.
    pub(super) slot: u64,
    /// Id of the container that the key opened, hex.
    pub(super) id: String,
    /// Whether all of its records are gone: it was dropped as it was.
    pub(super) whole: bool,
}

impl PurgeRow {
    /// Why its records are gone.
    pub(super) fn why(&self) -> Why {
        match self.basis {
            None => Why::Purged,
            Some(_) => Why::Erased,
        }
    }

    /// The kind of its record.
    pub(super) fn kind(&self) -> Kind {
        match self.basis {
            None => Kind::Purge,
            Some(_) => Kind::Erasure,
        }
    }

    /// Its record.
    pub(super) fn control(&self) -> Control {
        let (ranges, records, approved_by) = (self.ranges.clone(), self.records, self.approved_by.clone());
        match &self.basis {
            None => Control::Purge(Purge {
                class: self.class,
                policy: self.policy,
                reason: self.reason,
                ranges,
                records,
                approved_by,
            }),
            Some(basis) => Control::Erasure(Erasure {
                scope: ErasureScope::Records,
                policy: Some(self.policy),
                ranges,
                records,
                basis: basis.clone(),
                approved_by,
            }),
        }
    }
}

/// What is told of a purge.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PurgeStatus {
    /// Its id, hex.
    pub id: String,
    /// How far it is.
    pub state: PurgeState,
    /// The class of the purged records.
    pub class: u16,
    /// Seq of the policy that was in force.
    pub policy: u64,
    /// Why they could go.
    pub reason: PurgeReason,
    /// Where they stood.
    pub ranges: Ranges,
    /// How many there were.
    pub records: u64,
    /// How many of those that were due or asked for a hold kept.
    pub held: u64,
    /// Id of the credential that ordered it; `internal` for the schedule.
    pub by: String,
    /// Ids of those who approved it.
    pub approved_by: Vec<String>,
    /// Why, as it was typed.
    pub note: String,
    /// When it was decided, Unix milliseconds.
    pub decided_ms: u64,
    /// Seq of its record in the tenant's log.
    pub control: Option<u64>,
    /// Since when no read shows the records, Unix milliseconds.
    pub recorded_ms: Option<u64>,
    /// Since when no key opens them, also from an older copy of the catalog, Unix milliseconds.
    pub unreadable_since_ms: Option<u64>,
    /// Since when the files are removed that held them, Unix milliseconds.
    pub gone_since_ms: Option<u64>,
    /// Bytes of those files that were dropped as they were.
    pub bytes_dropped: u64,
    /// Bytes of those files that were written again without the records.
    pub bytes_rewritten: u64,
    /// SHA-256 of the receipt, hex.
    pub receipt: Option<String>,
    /// When everything was done, Unix milliseconds.
    pub done_ms: Option<u64>,
}

impl PurgeStatus {
    pub(super) fn of(id: &[u8; 16], row: PurgeRow) -> Self {
        let bytes = |whole| {
            let of = row
                .files
                .iter()
                .filter(move |file: &&GoneFile| file.whole == whole);
            of.map(|file| file.bytes).sum()
        };
        Self {
            id: hex(id),
            state: row.state,
            class: row.class,
            policy: row.policy,
            reason: row.reason,
            records: row.records,
            held: row.held,
            bytes_dropped: bytes(true),
            bytes_rewritten: bytes(false),
            ranges: row.ranges,
            by: row.by,
            approved_by: row.approved_by,
            note: row.note,
            decided_ms: row.decided_ms,
            control: row.control,
            recorded_ms: row.recorded_ms,
            unreadable_since_ms: row.unreadable_since_ms,
            gone_since_ms: row.gone_since_ms,
            receipt: row.receipt,
            done_ms: row.done_ms,
        }
    }
}

impl PurgeRow {
    /// Whether nothing is left to do.
    pub(crate) fn is_done(&self) -> bool {
        self.state == PurgeState::Done
    }
}

/// Reads a job's id as it comes from outside.
pub(super) fn parse_id(id: &str) -> Result<[u8; 16]> {
    unhex(id).ok_or(Error::NotFound("purge"))
}

/// The job of that key.
///
/// # Errors
/// [`Error::NotFound`]; as reads.
pub(super) fn get(txn: &ReadTransaction, key: &JobKey) -> Result<PurgeRow> {
    let table = match txn.open_table(tables::PURGES) {
        Err(TableError::TableDoesNotExist(_)) => return Err(Error::NotFound("purge")),
        table => table.map_err(storage)?,
    };
    let row = table.get((key.0.as_bytes(), &key.1)).map_err(storage)?;
    json(row.ok_or(Error::NotFound("purge"))?.value())
}

/// Jobs of a tenant of that kind, newest first, from the one before `before` on.
///
/// # Errors
/// As reads.
pub(super) fn list(
    txn: &ReadTransaction,
    tenant: &TenantId,
    why: Why,
    before: Option<[u8; 16]>,
    limit: usize,
) -> Result<Vec<([u8; 16], PurgeRow)>> {
    let table = match txn.open_table(tables::PURGES) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        table => table.map_err(storage)?,
    };
    let (first, last) = ([0; 16], before.unwrap_or([0xFF; 16]));
    let end = match before {
        Some(_) => Bound::Excluded((tenant.as_bytes(), &last)),
        None => Bound::Included((tenant.as_bytes(), &last)),
    };
    let rows = table
        .range::<(&[u8; 16], &[u8; 16])>((Bound::Included((tenant.as_bytes(), &first)), end))
        .map_err(storage)?;
    let rows = rows.rev().map(|row| {
        let (key, row) = row.map_err(storage)?;
        Ok((*key.value().1, json::<PurgeRow>(row.value())?))
    });
    let rows = rows.filter(|row| row.as_ref().map_or(true, |(_, row)| row.why() == why));
    rows.take(limit).collect()
}

/// Every job that is not done.
///
/// # Errors
/// As reads.
pub(super) fn open(txn: &ReadTransaction) -> Result<BTreeSet<JobKey>> {
    let table = match txn.open_table(tables::PURGES) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(BTreeSet::new()),
        table => table.map_err(storage)?,
    };
    let mut open = BTreeSet::new();
    for row in redb::ReadableTable::iter(&table).map_err(storage)? {
        let (key, row) = row.map_err(storage)?;
        let row: PurgeRow = json(row.value())?;
        if row.state != PurgeState::Done {
            let (tenant, id) = key.value();
            open.insert((TenantId::from_bytes(*tenant), *id));
        }
    }
    Ok(open)
}

/// Stores a job.
///
/// # Errors
/// As writes.
pub(super) fn put(update: &Update<'_>, key: &JobKey, row: &PurgeRow) -> Result<()> {
    let mut table = update.txn().open_table(tables::PURGES).map_err(storage)?;
    table
        .insert((key.0.as_bytes(), &key.1), encode(row)?.as_slice())
        .map_err(storage)?;
    Ok(())
}

/// Removes a job that was decided and never on record.
///
/// # Errors
/// As writes.
pub(super) fn remove(update: &Update<'_>, key: &JobKey) -> Result<()> {
    let mut table = update.txn().open_table(tables::PURGES).map_err(storage)?;
    table.remove((key.0.as_bytes(), &key.1)).map_err(storage)?;
    Ok(())
}

/// Stores the receipt of a job.
///
/// # Errors
/// As writes.
pub(in crate::forget) fn put_receipt(update: &Update<'_>, key: &JobKey, receipt: &str) -> Result<()> {
    let mut table = update.txn().open_table(tables::PURGE_RECEIPTS).map_err(storage)?;
    table
        .insert((key.0.as_bytes(), &key.1), receipt.as_bytes())
        .map_err(storage)?;
    Ok(())
}

/// The receipt of a job; `None` as long as there is none.
///
/// # Errors
/// As reads.
pub(in crate::forget) fn receipt(txn: &ReadTransaction, key: &JobKey) -> Result<Option<String>> {
    let table = match txn.open_table(tables::PURGE_RECEIPTS) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        table => table.map_err(storage)?,
    };
    let row = table.get((key.0.as_bytes(), &key.1)).map_err(storage)?;
    row.map(|row| {
        String::from_utf8(row.value().to_vec())
            .map_err(|_| Error::damage("catalog", 0, "a receipt of a purge is not text"))
    })
    .transpose()
}
