//! Ends a job: the manifest, and the note that is signed over it.

use attestore_export::{FileEntry, Manifest, note_text, rfc3339_ms, rfc3339_ns};
use attestore_tlog::{CheckpointError, NoteError};

use super::expire;
use super::handoff::{Thread, change};
use super::row::{ExportState, JobKey, JobRow, PartRow, job_in, parts, put_job, put_manifest, put_part};
use super::work::Failure;
use crate::catalog::{hex, unhex};
use crate::instance::Inner;
use crate::tenant::Tenant;
use crate::{Error, Result};

/// Makes and signs the manifest, and commits it with the job's end.
pub(super) fn finish(inner: &Inner, tenant: &Tenant, key: &JobKey, mut row: JobRow) -> Result<(), Failure> {
    row.finished_ms = Some(inner.clock.now_ms());
    row.checkpoint = checkpoint_again(tenant, &row)?;
    let bytes = manifest(inner, key, &row)?.to_bytes();
    row.note = Some(sign(tenant, &row, &bytes)?);
    commit(inner, key, row, Some(bytes), None)
}

/// Commits the end of a job with its manifest, if that is kept beside the files, and its last part if that is not yet committed.
pub(super) fn commit(
    inner: &Inner,
    key: &JobKey,
    mut row: JobRow,
    manifest: Option<Vec<u8>>,
    part: Option<(u32, PartRow)>,
) -> Result<(), Failure> {
    row.state = ExportState::Done;
    row.fault = None;
    row.expires_ms = expire::expires_ms(inner, &row);
    let (key, done) = (*key, row.clone());
    let committed = change(inner, Thread::Flusher, move |update| {
        let now = job_in(update, &key)?;
        if !now.is_some_and(|now| now.state.is_active() && !now.deleted) {
            return Err(Error::Cancelled);
        }
        if let Some((number, part)) = &part {
            put_part(update, &key, *number, part)?;
        }
        if let Some(manifest) = &manifest {
            put_manifest(update, &key, manifest)?;
        }
        put_job(update, &key, &done)
    });
    if let Err(error) = committed {
        return Err(match (inner.catalog.poisoned(), error) {
            (Some(reason), _) => Failure::Sync(reason),
            (None, Error::Stopped(_)) => Failure::Stopped,
            (None, error) => error.into(),
        });
    }
    metrics::counter!("attestore_exports_total", "outcome" => "done").increment(1);
    inner.exports.note(key, &row);
    Ok(())
}

fn manifest(inner: &Inner, key: &JobKey, row: &JobRow) -> Result<Manifest> {
    let parts = parts(&inner.catalog.read()?, key)?;
    let held = |of: fn(&PartRow) -> u64| parts.iter().map(|(_, part)| of(part)).sum::<u64>();
    if parts.len() != row.parts as usize || held(|part| part.records) != row.records {
        return Err(Error::damage(
            "catalog",
            0,
            "the parts of an export do not add up",
        ));
    }
    let files = parts.into_iter().map(|(_, part)| FileEntry {
        name: part.name,
        bytes: part.bytes,
        records: part.records,
        first_seq: part.first_seq,
        last_seq: part.last_seq,
        sha256: part.sha256,
    });
    Ok(Manifest {
        version: Manifest::VERSION.to_owned(),
        export: hex(&key.1),
        tenant: row.tenant.clone(),
        origin: row.origin.clone(),
        tree_size: row.size,
        root: row.root.clone(),
        checkpoint: row.checkpoint.clone(),
        query: row.spec.query.clone(),
        from: row.spec.from_ns.map(rfc3339_ns),
        to: row.spec.to_ns.map(rfc3339_ns),
        format: row.format().name().to_owned(),
        format_version: row.format().version().map(str::to_owned),
        compression: row.compression().name().to_owned(),
        fields: row.spec.fields.clone(),
        personal: row.personal,
        created_by: row.created_by.clone(),
        created_at: rfc3339_ms(row.created_ms),
        finished_at: rfc3339_ms(row.finished_ms.unwrap_or(0)),
        records: row.records,
        records_erased: row.erased,
        bytes: row.bytes,
        files: files.collect(),
        claim: None,
    })
}

/// The checkpoint of an export, signed by the keys of now too: they may have changed since the job was made.
pub(super) fn checkpoint_again(tenant: &Tenant, row: &JobRow) -> Result<String> {
    let signed = tenant
        .keys
        .signing
        .load()
        .checkpoint_again(&row.origin, &row.checkpoint);
    signed.map_err(|error| match error {
        CheckpointError::Note(NoteError::Signer) => tenant.catalog.modules().unavailable(),
        error => Error::damage("catalog", 0, format!("checkpoint of an export: {error}")),
    })
}

pub(super) fn sign(tenant: &Tenant, row: &JobRow, manifest: &[u8]) -> Result<String> {
    let root = unhex(&row.root).ok_or_else(|| Error::damage("catalog", 0, "root of an export"))?;
    let text = note_text(manifest, &row.origin, row.size, &root);
    let signed = tenant.keys.signing.load().note(&tenant.origin, &text);
    signed.map_err(|error| match error {
        NoteError::Signer => tenant.catalog.modules().unavailable(),
        error => Error::Stopped(format!("manifest: {error}")),
    })
}
