//! The certificate of an erasure: what was destroyed, since when, who had been shown it; signed by the key of the tenant's log, which
//! names its hash. It names nobody.

use std::path::Path;
use std::sync::Arc;

use attestore_export::{rfc3339_ms, sha256_hex};
use attestore_record::{Handle, Kind};
use attestore_tlog::leaf_hash;
use hashbrown::HashSet;
use serde_json::{Value, json};

use super::row::ErasureRow;
use crate::catalog::directory::HandleState;
use crate::catalog::of_tenant::RowKey;
use crate::catalog::{Update, hex};
use crate::error::{Error, Result};
use crate::forget::{purge, statement};
use crate::instance::Inner;
use crate::read::{snapshot, tree};
use crate::tenant::{Tenant, View, handle_row, subject_context};

/// Makes the certificate of an erasure of which nothing is left; its handles are still in the row.
///
/// # Errors
/// As reads.
pub(super) fn make(inner: &Inner, tenant: &Arc<Tenant>, key: &RowKey, row: &ErasureRow) -> Result<String> {
    let seq = control(row)?;
    let (leaf, predicate) = snapshot(tenant, |view| {
        let reader = tree::reader(inner, tenant, view);
        let leaf = leaf_hash(&reader.source().entry(seq)?.to_bytes());
        let head = |size: u64| -> Result<Value> {
            let root = tree::root_at(inner, tenant, view, size)?;
            Ok(json!({ "size": size, "root": root.to_string() }))
        };
        let left = left(inner, tenant, view, row)?;
        let time = |ms: Option<u64>| ms.map(rfc3339_ms);
        let predicate = json!({
            "erasure": hex(&key.1),
            "origin": tenant.origin,
            "scope": "subject",
            "basis": row.basis,
            "control": { "seq": seq, "leaf": leaf.to_string() },
            "tree_before": head(seq)?,
            "tree_after": head(seq.saturating_add(1))?,
            "subjects": row.number,
            "records": row.records,
            "keys_destroyed": row.number.saturating_mul(KEYS_OF_A_SUBJECT),
            "segments_rewritten": row.segments,
            "bytes_rewritten": row.bytes_rewritten,
            "parts_overwritten": row.overwrite.len(),
            "exports_destroyed": row.exports,
            "recipients": row.recipients,
            "requested_by": row.requested_by,
            "approved_by": row.approved_by,
            "requested_at": rfc3339_ms(row.requested_ms),
            "suppressed_since": rfc3339_ms(row.suppressed_since_ms),
            "unreadable_since": time(row.unreadable_since_ms),
            "terms_gone_since": time(row.terms_gone_since_ms),
            "bytes_gone_since": time(row.bytes_gone_since_ms),
            "medium": statement::medium(inner),
            "key_backups": crate::backup::said_on_receipts(inner)?,
            "check": { "clean": left.is_empty(), "left": left },
        });
        Ok((leaf, predicate))
    })?;
    statement::signed(tenant, seq, &leaf.0, statement::CERTIFICATE, predicate)
}

/// Stores it; the row has its hash from then on.
///
/// # Errors
/// As writes.
pub(super) fn put(update: &Update<'_>, key: &RowKey, row: &mut ErasureRow, certificate: &str) -> Result<()> {
    row.certificate = Some(sha256_hex(certificate.as_bytes()));
    purge::put_statement(update, key, certificate)
}

/// Has the log name it, unless it does already.
///
/// # Errors
/// As reads and appends.
pub(super) fn log(inner: &Inner, tenant: &Arc<Tenant>, row: &ErasureRow) -> Result<()> {
    let (of, Some(sha256)) = (control(row)?, &row.certificate) else {
        return Ok(());
    };
    statement::name(inner, tenant, Kind::Erasure, of, sha256)
}

fn control(row: &ErasureRow) -> Result<u64> {
    row.control_seq
        .ok_or_else(|| Error::damage("catalog", 0, "an erasure on record that names no record"))
}

/// Looks once more where this instance puts things.
fn left(inner: &Inner, tenant: &Tenant, view: &View, row: &ErasureRow) -> Result<Vec<String>> {
    let mut left = Vec::new();
    let handles = row.destroyed()?;
    let names: HashSet<[u8; 16]> = handles.iter().map(|handle| *handle.as_bytes()).collect();
    for set in view.flushed.iter() {
        let Some(file) = &set.sub else { continue };
        let reader = inner.readers.sub(inner, tenant, file)?;
        let about = |set: &[[u8; 16]]| set.iter().any(|handle| names.contains(handle));
        if reader.handle_sets().any(about) {
            left.push(format!("file {}", file.path.display()));
        }
    }
    for part in &row.overwrite {
        let in_use = view.flushed.iter().any(|set| {
            let here = |file: &crate::catalog::FileRow| {
                file.path == Path::new(&part.path) && file.offset == part.offset
            };
            set.sub.as_ref().is_some_and(here)
        });
        if in_use {
            left.push(format!("file {} from byte {}", part.path.display(), part.offset));
        }
    }
    for handle in &handles {
        if !is_destroyed(inner, tenant, handle)? {
            left.push("the key of a data subject".to_owned());
        }
    }
    Ok(left)
}

/// Whether the handle's row says so, and its slot does not open.
fn is_destroyed(inner: &Inner, tenant: &Tenant, handle: &Handle) -> Result<bool> {
    let row = handle_row(tenant, handle)?;
    let context = subject_context(&tenant.id, handle);
    Ok(row.is_some_and(|row| {
        let opened = tenant.keys.open(&inner.catalog, row.slot, &context);
        row.state == HandleState::Destroyed && opened.is_err()
    }))
}

/// Its own, and that of its row in the directory.
const KEYS_OF_A_SUBJECT: u64 = 2;
