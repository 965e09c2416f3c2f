//! The receipt of a destruction: what there was, since when no key opens it and since when its files are removed; signed by the log of
//! `_system`, since the tenant's own key was destroyed before there was anything to sign.

use attestore_export::rfc3339_ms;
use attestore_record::TenantId;
use attestore_tlog::leaf_hash;
use serde_json::json;

use super::row::DestroyedRow;
use super::work;
use crate::catalog::tenant_rows;
use crate::error::Result;
use crate::forget::statement;
use crate::instance::{Inner, SYSTEM_TENANT};
use crate::read::{snapshot, tree};

/// Type of the predicate.
pub(super) const PREDICATE: &str = "urn:attestore:predicate:tenant-destruction:v1";

/// Makes the receipt of a tenant whose files are removed.
///
/// # Errors
/// As reads.
pub(super) fn make(inner: &Inner, tenant: &TenantId, row: &DestroyedRow) -> Result<String> {
    let seq = work::control(row)?;
    let system = inner.tenant(SYSTEM_TENANT)?;
    let entry = snapshot(&system, |view| {
        tree::reader(inner, &system, view).source().entry(seq)
    })?;
    let leaf = leaf_hash(&entry.to_bytes());
    let mut left: Vec<String> = Vec::new();
    for (table, rows) in tenant_rows::count(&inner.catalog.read()?, tenant)? {
        left.push(format!("{rows} rows of {table}"));
    }
    for path in work::files_of(&*inner.disk, tenant)? {
        left.push(format!("file {}", path.display()));
    }
    let time = |ms: Option<u64>| ms.map(rfc3339_ms);
    let predicate = json!({
        "tenant": { "id": tenant.to_string(), "name": row.name },
        "origin": row.origin,
        "former_origins": row.former_origins,
        "vkeys": row.vkeys,
        "final": { "size": row.size, "root": row.root, "checkpoint": row.checkpoint },
        "records": {
            "live": row.size.saturating_sub(row.purged + row.erased),
            "purged_before": row.purged,
            "erased_before": row.erased,
        },
        "control": { "origin": system.origin, "seq": seq, "leaf": leaf.to_string() },
        "reason": row.reason,
        "ordered_by": row.by,
        "approved_by": row.approved_by,
        "bypassed": row.bypassed,
        "keys_destroyed": row.keys,
        "files": { "removed": row.files, "bytes": row.bytes },
        "credentials_revoked": row.credentials,
        "created_at": rfc3339_ms(row.created_ms),
        "decided_at": rfc3339_ms(row.decided_ms),
        "hidden_since": time(row.destroyed_ms),
        "unreadable_since": time(row.unreadable_since_ms),
        "gone_since": time(row.gone_since_ms),
        "medium": medium(inner),
        "key_backups": crate::backup::said_on_receipts(inner)?,
        "check": { "clean": left.is_empty(), "left": left },
    });
    statement::signed(&system, seq, &leaf.0, PREDICATE, predicate)
}

/// What is promised of the medium itself.
fn medium(inner: &Inner) -> String {
    let root = inner.root.medium();
    format!(
        "{root}; files of the log that wait to be used again, and blocks of the catalog that are free, keep bytes that no key of the \
         tenant opens"
    )
}
