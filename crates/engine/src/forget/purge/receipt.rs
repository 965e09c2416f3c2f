//! The receipt of a purge: what went, by which rule, and since when nothing opens it; signed by the key of the tenant's log.

use std::sync::Arc;

use attestore_export::rfc3339_ms;
use attestore_keys::Slot;
use attestore_record::control::Control;
use attestore_record::{Entry, Kind};
use attestore_tlog::{Frontier, Hash, leaf_hash};
use serde_json::{Value, json};

use super::row::{JobKey, PurgeRow};
use crate::catalog::{FileRow, hex, unhex};
use crate::error::{Error, Result};
use crate::forget::{Why, gone, statement, sweep};
use crate::instance::{Inner, file_context};
use crate::read::{records, snapshot, tree};
use crate::tenant::{Tenant, View};

/// Type of the predicate of a purge's receipt.
pub(super) const PREDICATE: &str = "urn:attestore:predicate:purge-receipt:v1";

/// Makes the receipt of a purge whose records are out of reach.
///
/// # Errors
/// As reads.
pub(super) fn make(inner: &Inner, tenant: &Arc<Tenant>, key: &JobKey, row: &PurgeRow) -> Result<String> {
    let seq = row
        .control
        .ok_or_else(|| Error::damage("catalog", 0, "a purge on record that names no record"))?;
    let (control, predicate) = snapshot(tenant, |view| {
        let reader = tree::reader(inner, tenant, view);
        let control = reader.source().entry(seq)?;
        Ok((control, predicate(inner, tenant, view, key, row, seq)?))
    })?;
    let leaf = leaf_hash(&control.to_bytes());
    let predicate_type = match row.why() {
        Why::Purged => PREDICATE,
        Why::Erased => statement::CERTIFICATE,
    };
    statement::signed(tenant, seq, &leaf.0, predicate_type, predicate)
}

fn predicate(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    view: &View,
    key: &JobKey,
    row: &PurgeRow,
    seq: u64,
) -> Result<Value> {
    let reader = tree::reader(inner, tenant, view);
    let tree = reader.source();
    let mut entries = Frontier::new();
    let ranges: Vec<_> = row.ranges.iter().collect();
    gone::each_entry(tree, row.class, &ranges, &mut |_, entry| {
        entries.push(leaf_hash(&entry.to_bytes()));
        Ok(())
    })?;
    let head = |size: u64| -> Result<Value> {
        let root: Hash = tree::root_at(inner, tenant, view, size)?;
        Ok(json!({ "size": size, "root": root.to_string() }))
    };
    let time = |ms: Option<u64>| ms.map(rfc3339_ms);
    let leaf = |entry: Entry| leaf_hash(&entry.to_bytes()).to_string();
    let bytes = |whole| -> u64 {
        let of = row.files.iter().filter(|file| file.whole == whole);
        of.map(|file| file.bytes).sum()
    };
    let keys: Vec<Value> = row
        .files
        .iter()
        .map(|file| json!({ "slot": file.slot, "container": file.id }))
        .collect();
    let mut predicate = json!({
        "origin": tenant.origin,
        "class": row.class,
        "reason": row.reason,
        "policy": {
            "seq": row.policy,
            "leaf": leaf(tree.entry(row.policy)?),
            "control": policy(inner, tenant, view, row.policy)?,
        },
        "control": { "seq": seq, "leaf": leaf(tree.entry(seq)?) },
        "ranges": row.ranges,
        "records": row.records,
        "records_held": row.held,
        "entries_root": entries.root().to_string(),
        "tree_before": head(seq)?,
        "tree_after": head(seq.saturating_add(1))?,
        "files": {
            "dropped": row.files.iter().filter(|file| file.whole).count(),
            "dropped_bytes": bytes(true),
            "rewritten": row.files.iter().filter(|file| !file.whole).count(),
            "rewritten_bytes": bytes(false),
        },
        "keys_destroyed": keys,
        "ordered_by": row.by,
        "approved_by": row.approved_by,
        "decided_at": rfc3339_ms(row.decided_ms),
        "hidden_since": time(row.recorded_ms),
        "unreadable_since": time(row.unreadable_since_ms),
        "gone_since": time(row.gone_since_ms),
        "medium": statement::medium(inner),
        "key_backups": crate::backup::said_on_receipts(inner)?,
        "check": check(inner, tenant, view, row, seq)?,
    });
    let own = match &row.basis {
        None => json!({ "purge": hex(&key.1) }),
        Some(basis) => json!({
            "erasure": hex(&key.1),
            "scope": "records",
            "basis": basis,
            "exports_destroyed": row.exports,
            "recipients": row.recipients,
        }),
    };
    if let (Some(predicate), Value::Object(own)) = (predicate.as_object_mut(), own) {
        predicate.extend(own);
    }
    Ok(predicate)
}

/// The policy as the log has it.
fn policy(inner: &Inner, tenant: &Tenant, view: &View, seq: u64) -> Result<Value> {
    let record = records::read(inner, tenant, view, seq, false)?;
    let control = Control::parse(Kind::Policy, &record.public)
        .map_err(|error| Error::damage("records", seq, format!("record {seq}: {error}")))?;
    serde_json::to_value(&control).map_err(|error| Error::Io(error.to_string()))
}

/// Looks once more whether anything is left where this instance puts things.
fn check(inner: &Inner, tenant: &Arc<Tenant>, view: &View, row: &PurgeRow, seq: u64) -> Result<Value> {
    let mut left: Vec<String> = Vec::new();
    if sweep::is_held(tenant, seq) {
        left.push("a segment".to_owned());
    }
    for file in &row.files {
        let named = |other: &FileRow| other.path == file.path && other.id == file.id;
        let in_use = view.flushed.iter().any(|set| set.files().any(named));
        let part = file.path.starts_with("l0");
        if in_use || !part && inner.disk.exists(&file.path)? {
            left.push(format!("file {}", file.path.display()));
        }
        let id = unhex(&file.id).ok_or_else(|| Error::damage("catalog", 0, "container id of a purge"))?;
        let context = file_context(tenant, id, part);
        if tenant
            .keys
            .open(&inner.catalog, Slot(file.slot), &context)
            .is_ok()
        {
            left.push(format!("the key in slot {}", file.slot));
        }
    }
    let low = inner.catalog.instance()?.map_or(0, |row| row.wal_low);
    if low <= row.wal {
        left.push("the log".to_owned());
    }
    for range in row.ranges.iter() {
        if !matches!(
            gone::check(inner, tenant, view, range.start),
            Err(Error::Gone { .. })
        ) && gone::count_class(
            tree::reader(inner, tenant, view).source(),
            row.class,
            std::slice::from_ref(&(range.start..range.start + 1)),
        )? > 0
        {
            left.push(format!("record {}", range.start));
        }
    }
    Ok(json!({ "clean": left.is_empty(), "left": left }))
}
