//! What the target signs once a tenant is there: the source lets go for it.

use attestore_export::rfc3339_ms;
use attestore_tlog::leaf_hash;
use attestore_verify::Trust;
use attestore_verify::statement::verify_statement;
use serde_json::json;

use super::row::{InRow, OutRow};
use super::{ImportState, conflict, invalid, invite, key, out};
use crate::error::Result;
use crate::forget::statement;
use crate::instance::Inner;
use crate::read::{snapshot, tree};
use crate::tenant::Tenant;

/// Type of the predicate.
const PREDICATE: &str = "urn:attestore:predicate:tenant-import:v1";

/// Signs the receipt of a tenant that came, and stores it.
///
/// # Errors
/// [`Error::Conflict`] `not_imported`; as reads and changes of the catalog.
pub(super) fn store(inner: &Inner, mut row: InRow) -> Result<String> {
    let imported = match &row.imported {
        Some(imported) if row.state == ImportState::Imported => imported,
        _ => return Err(conflict("not_imported", "the tenant is not here yet")),
    };
    let tenant = inner.tenant_of(&key(&imported.tenant)?)?;
    let seq = imported.size;
    let entry = snapshot(&tenant, |view| {
        tree::reader(inner, &tenant, view).source().entry(seq)
    })?;
    let leaf = leaf_hash(&entry.to_bytes());
    let predicate = json!({
        "move": row.invitation.id,
        "tenant": { "id": imported.tenant, "name": imported.name },
        "from": {
            "instance": imported.from_instance,
            "origin": imported.former_origin,
            "size": imported.size,
            "root": imported.root,
            "checkpoint": imported.checkpoint,
        },
        "to": { "instance": row.invitation.instance, "origin": tenant.origin, "vkey": row.invitation.vkey },
        "control": { "origin": tenant.origin, "seq": seq, "leaf": leaf.to_string() },
        "package": imported.package,
        "people": imported.subjects,
        "files": imported.files,
        "imported_by": row.imported_by,
        "imported_at": rfc3339_ms(imported.at_ms),
    });
    let receipt = statement::signed(&tenant, seq, &leaf.0, PREDICATE, predicate)?;
    row.receipt = Some(receipt.clone());
    inner.change(|update| invite::put(update, &row))?;
    Ok(receipt)
}

/// Checks what is said to be the receipt of a tenant's package: signed by the key that the log goes on under, about the log's last head and
/// this package.
///
/// # Errors
/// [`Error::Invalid`] `invalid_receipt`.
pub(super) fn check(receipt: &str, tenant: &Tenant, row: &OutRow) -> Result<()> {
    let bad = |reason: String| {
        invalid(
            "invalid_receipt",
            format!("not the receipt of this move: {reason}"),
        )
    };
    let trust = Trust::Key(row.invitation.key()?);
    let verified = verify_statement(receipt, &trust).map_err(|error| bad(error.to_string()))?;
    let statement = verified.statement;
    if statement.predicate_type != PREDICATE {
        return Err(bad("it is a statement of another kind".to_owned()));
    }
    let says = &statement.predicate;
    let root = out::root(&row.root)?;
    let wanted = [
        (&says["move"], json!(row.invitation.id)),
        (&says["tenant"]["id"], json!(tenant.id.to_string())),
        (&says["from"]["origin"], json!(tenant.origin)),
        (&says["from"]["size"], json!(row.size)),
        (&says["from"]["root"], json!(crate::catalog::hex(root.as_bytes()))),
        (&says["package"], json!(row.package)),
    ];
    match wanted.iter().find(|(said, wanted)| *said != wanted) {
        None => Ok(()),
        Some((said, wanted)) => Err(bad(format!("it says {said}, and here it was {wanted}"))),
    }
}
