//! Rows of jobs and parts. JSON, so that a later version can add fields.

use std::path::PathBuf;

use attestore_export::{Compression, Format};
use attestore_keys::Slot;
use attestore_record::TenantId;
use redb::{ReadTransaction, ReadableTable, TableError};
use serde::{Deserialize, Serialize};

use super::access::AccessRow;
use super::api::ExportSpec;
use crate::catalog::{Catalog, Update, hex, json, storage, tables, unhex};
use crate::{Error, Result};

/// Names a job: its tenant, and its own random id.
pub(crate) type JobKey = (TenantId, [u8; 16]);

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportState {
    /// It waits for its turn.
    Queued,
    /// It has begun.
    Running,
    /// All files are there.
    Done,
    /// It stopped over a failure, and goes on when it is told to.
    Failed,
    /// Somebody cancelled it; its files are gone.
    Cancelled,
    /// Its time is over; its files are gone.
    Expired,
}

impl ExportState {
    /// Whether the background thread works on it.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Queued | Self::Running)
    }
}

/// Why a job failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportFault {
    /// Stable code.
    pub code: String,
    /// A sentence; holds no values of events.
    pub message: String,
}

/// A job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct JobRow {
    /// Name of its tenant.
    pub(crate) tenant: String,
    pub(crate) spec: ExportSpec,
    /// Whether personal fields are exported: who asked may see them.
    pub(crate) personal: bool,
    /// Id of the credential that asked.
    pub(crate) created_by: String,
    pub(crate) created_ms: u64,
    /// The tree that it is pinned to.
    pub(crate) origin: String,
    pub(crate) size: u64,
    /// Hex.
    pub(crate) root: String,
    /// The signed checkpoint of that tree.
    pub(crate) checkpoint: String,
    pub(crate) state: ExportState,
    pub(crate) fault: Option<ExportFault>,
    /// Slot of the key of its files; `None` when that was destroyed.
    pub(crate) slot: Option<u64>,
    /// Files that no row names any more and that may not be removed yet.
    pub(crate) leftovers: u32,
    /// Every match below it is in a part.
    pub(crate) next_seq: u64,
    pub(crate) parts: u32,
    pub(crate) records: u64,
    pub(crate) erased: u64,
    /// Of the files as they are downloaded.
    pub(crate) bytes: u64,
    /// Of the files on disk.
    pub(crate) sealed_bytes: u64,
    pub(crate) finished_ms: Option<u64>,
    /// When its files, and when they are gone its row, go.
    pub(crate) expires_ms: u64,
    /// The signed note over the manifest.
    pub(crate) note: Option<String>,
    /// Somebody wants it gone altogether.
    pub(crate) deleted: bool,
    /// Of an access request: whom it is about, and for whom it is. No export then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) access: Option<Box<AccessRow>>,
}

/// A part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartRow {
    /// What it is called when it is downloaded.
    pub(crate) name: String,
    /// Random id from which those of its pieces are derived, hex.
    pub(crate) id: String,
    pub(crate) bytes: u64,
    pub(crate) sealed_bytes: u64,
    pub(crate) records: u64,
    pub(crate) erased: u64,
    pub(crate) first_seq: Option<u64>,
    pub(crate) last_seq: Option<u64>,
    pub(crate) sha256: String,
}

impl PartRow {
    pub(crate) fn id(&self) -> Result<[u8; 16]> {
        unhex(&self.id).ok_or_else(|| Error::damage("catalog", 0, "id of a part of an export"))
    }
}

impl JobRow {
    pub(crate) fn format(&self) -> Format {
        self.spec.format
    }

    pub(crate) fn compression(&self) -> Compression {
        self.spec.compression
    }
}

/// Where the files of a tenant's exports are, relative to the data directory.
pub(super) fn dir(tenant: &TenantId) -> PathBuf {
    PathBuf::from("tenants").join(tenant.to_string()).join("exports")
}

/// Where a part is, relative to the data directory.
pub(super) fn part_path(key: &JobKey, number: u32) -> PathBuf {
    dir(&key.0).join(part_file(&key.1, number))
}

fn part_file(job: &[u8; 16], number: u32) -> String {
    format!("{}.{number:08x}.exp", hex(job))
}

/// A tenant's jobs. Catalogs from before there were any have no such table.
///
/// # Errors
/// As reads.
pub(super) fn jobs(txn: &ReadTransaction, tenant: &TenantId) -> Result<Vec<([u8; 16], JobRow)>> {
    let Some(table) = opened(txn.open_table(tables::EXPORTS))? else {
        return Ok(Vec::new());
    };
    let all = (tenant.as_bytes(), &[0; 16])..=(tenant.as_bytes(), &[0xFF; 16]);
    let rows = table.range(all).map_err(storage)?;
    rows.map(|row| {
        let (key, row) = row.map_err(storage)?;
        Ok((*key.value().1, json(row.value())?))
    })
    .collect()
}

/// Every job.
///
/// # Errors
/// As reads.
pub(super) fn all_jobs(catalog: &Catalog) -> Result<Vec<(JobKey, JobRow)>> {
    let txn = catalog.read()?;
    let Some(table) = opened(txn.open_table(tables::EXPORTS))? else {
        return Ok(Vec::new());
    };
    let rows = table.iter().map_err(storage)?;
    rows.map(|row| {
        let (key, row) = row.map_err(storage)?;
        let (tenant, job) = key.value();
        Ok(((TenantId::from_bytes(*tenant), *job), json(row.value())?))
    })
    .collect()
}

/// A job.
///
/// # Errors
/// As reads.
pub(super) fn job(catalog: &Catalog, key: &JobKey) -> Result<Option<JobRow>> {
    let txn = catalog.read()?;
    let Some(table) = opened(txn.open_table(tables::EXPORTS))? else {
        return Ok(None);
    };
    let row = table.get((key.0.as_bytes(), &key.1)).map_err(storage)?;
    row.map(|row| json(row.value())).transpose()
}

/// A job's parts, in order.
///
/// # Errors
/// As reads.
pub(super) fn parts(txn: &ReadTransaction, key: &JobKey) -> Result<Vec<(u32, PartRow)>> {
    let Some(table) = opened(txn.open_table(tables::EXPORT_PARTS))? else {
        return Ok(Vec::new());
    };
    let all = (key.0.as_bytes(), &key.1, 0)..=(key.0.as_bytes(), &key.1, u32::MAX);
    let rows = table.range(all).map_err(storage)?;
    rows.map(|row| {
        let (key, row) = row.map_err(storage)?;
        Ok((key.value().2, json(row.value())?))
    })
    .collect()
}

/// A part.
///
/// # Errors
/// As reads.
pub(super) fn part(catalog: &Catalog, key: &JobKey, number: u32) -> Result<Option<PartRow>> {
    let txn = catalog.read()?;
    let Some(table) = opened(txn.open_table(tables::EXPORT_PARTS))? else {
        return Ok(None);
    };
    let row = table.get((key.0.as_bytes(), &key.1, number)).map_err(storage)?;
    row.map(|row| json(row.value())).transpose()
}

/// The bytes of a job's manifest.
///
/// # Errors
/// As reads.
pub(super) fn manifest(catalog: &Catalog, key: &JobKey) -> Result<Option<Vec<u8>>> {
    let txn = catalog.read()?;
    let Some(table) = opened(txn.open_table(tables::EXPORT_MANIFESTS))? else {
        return Ok(None);
    };
    let row = table.get((key.0.as_bytes(), &key.1)).map_err(storage)?;
    Ok(row.map(|row| row.value().to_vec()))
}

/// The files that rows name of a tenant's exports.
///
/// # Errors
/// As reads.
pub(super) fn paths(txn: &ReadTransaction, tenant: &TenantId) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for (id, _) in jobs(txn, tenant)? {
        let key = (*tenant, id);
        let parts = parts(txn, &key)?;
        paths.extend(parts.iter().map(|(number, _)| part_path(&key, *number)));
    }
    Ok(paths)
}

/// A job within a change.
///
/// # Errors
/// As reads.
pub(super) fn job_in(update: &Update<'_>, key: &JobKey) -> Result<Option<JobRow>> {
    let table = update.txn().open_table(tables::EXPORTS).map_err(storage)?;
    let row = table.get((key.0.as_bytes(), &key.1)).map_err(storage)?;
    row.map(|row| json(row.value())).transpose()
}

/// Slots of the keys of a tenant's exports.
///
/// # Errors
/// As reads.
pub(crate) fn key_slots(update: &Update<'_>, tenant: &TenantId) -> Result<Vec<Slot>> {
    let table = update.txn().open_table(tables::EXPORTS).map_err(storage)?;
    let all = (tenant.as_bytes(), &[0; 16])..=(tenant.as_bytes(), &[0xFF; 16]);
    let mut slots = Vec::new();
    for row in table.range(all).map_err(storage)? {
        let row: JobRow = json(row.map_err(storage)?.1.value())?;
        slots.extend(row.slot.map(Slot));
    }
    Ok(slots)
}

/// Slots of the keys of a tenant's exports, with the ids of these.
///
/// # Errors
/// As reads.
pub(crate) fn keys_of(txn: &ReadTransaction, tenant: &TenantId) -> Result<Vec<(Slot, [u8; 16])>> {
    let rows = crate::catalog::of_tenant::of::<JobRow>(txn, tables::EXPORTS, tenant)?;
    let slots = rows.into_iter().map(|(id, row)| Some((Slot(row.slot?), id)));
    Ok(slots.flatten().collect())
}

/// Stores a job.
///
/// # Errors
/// As writes.
pub(super) fn put_job(update: &Update<'_>, key: &JobKey, row: &JobRow) -> Result<()> {
    let mut table = update.txn().open_table(tables::EXPORTS).map_err(storage)?;
    table
        .insert((key.0.as_bytes(), &key.1), encode(row)?.as_slice())
        .map_err(storage)?;
    Ok(())
}

/// Removes a job.
///
/// # Errors
/// As writes.
pub(super) fn remove_job(update: &Update<'_>, key: &JobKey) -> Result<()> {
    let mut table = update.txn().open_table(tables::EXPORTS).map_err(storage)?;
    table.remove((key.0.as_bytes(), &key.1)).map_err(storage)?;
    Ok(())
}

/// Stores a part.
///
/// # Errors
/// As writes.
pub(super) fn put_part(update: &Update<'_>, key: &JobKey, number: u32, row: &PartRow) -> Result<()> {
    let mut table = update.txn().open_table(tables::EXPORT_PARTS).map_err(storage)?;
    table
        .insert((key.0.as_bytes(), &key.1, number), encode(row)?.as_slice())
        .map_err(storage)?;
    Ok(())
}

/// Stores the bytes of a manifest.
///
/// # Errors
/// As writes.
pub(super) fn put_manifest(update: &Update<'_>, key: &JobKey, bytes: &[u8]) -> Result<()> {
    let mut table = update
        .txn()
        .open_table(tables::EXPORT_MANIFESTS)
        .map_err(storage)?;
    table.insert((key.0.as_bytes(), &key.1), bytes).map_err(storage)?;
    Ok(())
}

/// Removes a job's parts and its manifest.
///
/// # Errors
/// As writes.
pub(super) fn remove_parts(update: &Update<'_>, key: &JobKey, count: u32) -> Result<()> {
    let mut table = update.txn().open_table(tables::EXPORT_PARTS).map_err(storage)?;
    for number in 0..count {
        table
            .remove((key.0.as_bytes(), &key.1, number))
            .map_err(storage)?;
    }
    drop(table);
    let mut table = update
        .txn()
        .open_table(tables::EXPORT_MANIFESTS)
        .map_err(storage)?;
    table.remove((key.0.as_bytes(), &key.1)).map_err(storage)?;
    Ok(())
}

fn encode(row: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(row).map_err(|error| Error::Io(format!("catalog row: {error}")))
}

/// A table, unless nothing was ever put into it.
fn opened<T>(table: Result<T, TableError>) -> Result<Option<T>> {
    match table {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(storage(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the first version wrote them.
    const JOB: &str = r#"{"tenant":"acme","spec":{"query":"a:b","from_ns":1,"to_ns":null,"format":"ndjson","fields":["actor.id"],"compression":"zstd"},"personal":true,"created_by":"c","created_ms":2,"origin":"o","size":3,"root":"00","checkpoint":"n","state":"running","fault":{"code":"io","message":"m"},"slot":4,"leftovers":0,"next_seq":5,"parts":6,"records":7,"erased":8,"bytes":9,"sealed_bytes":10,"finished_ms":null,"expires_ms":11,"note":null,"deleted":false}"#;
    const EVIDENCE: &str = r#"{"query":"","from_ns":null,"to_ns":null,"format":"evidence","fields":null,"compression":"none","evidence":{"scope":{"range":{"first":3,"end":9}},"witnessed":true,"policy":"quorum none\n"}}"#;
    const PART: &str = r#"{"name":"part-00000.ndjson","id":"00","bytes":1,"sealed_bytes":2,"records":3,"erased":0,"first_seq":4,"last_seq":6,"sha256":"ff"}"#;

    #[test]
    fn rows_have_golden_bytes() {
        let job: JobRow = serde_json::from_str(JOB).unwrap();
        assert_eq!(serde_json::to_string(&job).unwrap(), JOB);
        let spec: ExportSpec = serde_json::from_str(EVIDENCE).unwrap();
        assert_eq!(serde_json::to_string(&spec).unwrap(), EVIDENCE);
        let part: PartRow = serde_json::from_str(PART).unwrap();
        assert_eq!(serde_json::to_string(&part).unwrap(), PART);
    }
}
