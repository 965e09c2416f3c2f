//! A tenant that was destroyed, against what is on record and what is there.

use attestore_record::TenantId;

use super::decide::names;
use super::row::{DestroyedRow, DestroyedState};
use super::work;
use crate::catalog::{hex, tenant_rows};
use crate::error::{Error, Result};
use crate::heads::Head;
use crate::instance::{Inner, SYSTEM_TENANT};
use crate::read::{records, snapshot};

/// What does not fit: the record in the log of `_system`, the head that is registered, and rows and files that are there still.
///
/// # Errors
/// As reads.
pub(crate) fn contradictions(
    inner: &Inner,
    id: &TenantId,
    row: &DestroyedRow,
    registered: Option<&Head>,
) -> Result<Vec<String>> {
    let mut found = Vec::new();
    if row.state == DestroyedState::Decided {
        return Ok(found);
    }
    let seq = work::control(row)?;
    let system = inner.tenant(SYSTEM_TENANT)?;
    let said = snapshot(&system, |view| match seq < view.size {
        true => records::read(inner, &system, view, seq, false).map(Some),
        false => Err(Error::UnknownRecord),
    });
    let says = |public: &[u8]| {
        let text = String::from_utf8_lossy(public);
        text.contains(&names(&id.to_string()))
            && text.contains(&format!("\"size\":{},\"root\":\"{}\"", row.size, row.root))
    };
    match said {
        Ok(Some(record)) if says(&record.public) => {}
        Ok(_) | Err(Error::UnknownRecord) => {
            found.push(format!("record {seq} of _system does not say so"));
        }
        Err(error) => return Err(error),
    }
    let differs = |head: &&Head| head.size != row.size || hex(head.root.as_bytes()) != row.root;
    if registered.filter(differs).is_some() {
        found.push("another head than its last one is registered".to_owned());
    }
    if row.state >= DestroyedState::Gone {
        for (table, rows) in tenant_rows::count(&inner.catalog.read()?, id)? {
            found.push(format!("{rows} rows of {table} are there still"));
        }
    }
    Ok(found)
}
