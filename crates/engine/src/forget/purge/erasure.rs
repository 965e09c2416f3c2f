//! Erasure of whole records: they go as purged ones do, by name instead of by age, and the log says so with the ground.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use attestore_record::TenantId;
use redb::ReadTransaction;

use super::decide::{By, Ground, Wanted, decide};
use super::plan::ranges_max;
use super::row::{self, JobKey, PurgeRow, PurgeState};
use super::select::What;
use crate::catalog::hex;
use crate::error::{Error, Result};
use crate::forget::Why;
use crate::forget::erase::{ErasureInfo, ErasureScope, ErasureState};
use crate::forget::gone;
use crate::instance::Inner;
use crate::read::{snapshot, tree};
use crate::tenant::Tenant;

/// The class of records, and where they stand: runs of seqs of nothing else, ascending.
pub(in crate::forget) struct Named {
    pub(in crate::forget) class: u16,
    pub(in crate::forget) runs: Vec<Range<u64>>,
    pub(in crate::forget) records: u64,
}

/// Looks up records that are to be erased together. Not those of the tail.
///
/// # Errors
/// [`Error::UnknownRecord`], [`Error::Gone`], [`Error::Invalid`] for records of several classes or for too many, or as reads.
pub(in crate::forget) fn named(inner: &Inner, tenant: &Tenant, seqs: &BTreeSet<u64>) -> Result<Named> {
    let mut named: Option<Named> = None;
    snapshot(tenant, |view| {
        named = None;
        let reader = tree::reader(inner, tenant, view);
        for seq in seqs.iter().copied() {
            if seq >= view.size {
                return Err(Error::UnknownRecord);
            }
            gone::check(inner, tenant, view, seq)?;
            let class = reader.source().entry(seq)?.class;
            let named = named.get_or_insert(Named {
                class,
                runs: Vec::new(),
                records: 0,
            });
            if named.class != class {
                let message = format!(
                    "records of one class are erased together: record {seq} is of class {class}, others are of class {}",
                    named.class
                );
                return Err(invalid("several_classes", message));
            }
            named.records += 1;
            match named.runs.last_mut() {
                Some(last) if last.end == seq => last.end += 1,
                _ => named.runs.push(seq..seq + 1),
            }
        }
        Ok(())
    })?;
    let named = named.ok_or(Error::UnknownRecord)?;
    let most = ranges_max(inner);
    if named.runs.len() > most {
        let message = format!("the records stand in more than {most} places: erase some of them first");
        return Err(invalid("too_many_records", message));
    }
    Ok(named)
}

fn invalid(code: &'static str, message: String) -> Error {
    Error::Invalid { code, message }
}

/// Erases records: on return they are gone, the rest follows.
///
/// # Errors
/// [`Error::Conflict`] where the rules forbid it, [`Error::ApprovalNeeded`], or as appends and changes of the catalog.
pub(in crate::forget) fn erase(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    named: &Named,
    by: By<'_>,
    ground: Ground<'_>,
) -> Result<ErasureInfo> {
    let what = What::Ranges(named.runs.clone());
    let key = decide(inner, tenant, named.class, &what, Wanted::Erasure(by, ground))?;
    let key = key.ok_or_else(|| Error::Conflict {
        code: "changed",
        message: "the records went meanwhile".to_owned(),
    })?;
    find(&inner.catalog.read()?, &key)
}

/// An erasure of records.
///
/// # Errors
/// [`Error::NotFound`]; as reads.
pub(in crate::forget) fn find(txn: &ReadTransaction, key: &JobKey) -> Result<ErasureInfo> {
    let missing = Error::NotFound("erasure");
    match row::get(txn, key) {
        Ok(row) if row.why() == Why::Erased => Ok(info(&key.1, row)),
        Ok(_) | Err(Error::NotFound(_)) => Err(missing),
        Err(error) => Err(error),
    }
}

/// Every erasure of records of a tenant.
///
/// # Errors
/// As reads.
pub(in crate::forget) fn all(txn: &ReadTransaction, tenant: &TenantId) -> Result<Vec<ErasureInfo>> {
    let rows = row::list(txn, tenant, Why::Erased, None, usize::MAX)?;
    Ok(rows.into_iter().map(|(id, row)| info(&id, row)).collect())
}

/// How it is doing, in the terms of erasures.
fn info(id: &[u8; 16], row: PurgeRow) -> ErasureInfo {
    let rewritten = row.files.iter().filter(|file| !file.whole);
    // The files of a segment have one name and different extensions.
    let segments: BTreeSet<_> = rewritten
        .clone()
        .map(|file| file.path.with_extension(""))
        .collect();
    ErasureInfo {
        id: hex(id),
        scope: ErasureScope::Records,
        state: match row.state {
            PurgeState::Decided => ErasureState::Received,
            PurgeState::Recorded | PurgeState::Swept => ErasureState::Approved,
            PurgeState::Unreadable | PurgeState::Receipted => ErasureState::IndexClean,
            PurgeState::Done => ErasureState::Done,
        },
        deferred: None,
        basis: row.basis.unwrap_or_default(),
        requested_by: row.by,
        approved_by: row.approved_by,
        requested_ms: row.decided_ms,
        undo_until_ms: row.decided_ms,
        subjects: 0,
        records: row.records,
        seq: row.control,
        exports_destroyed: row.exports,
        segments_rewritten: segments.len() as u64,
        bytes_rewritten: rewritten.map(|file| file.bytes).sum(),
        recipients: row.recipients,
        suppressed_since_ms: row.recorded_ms.unwrap_or(row.decided_ms),
        unreadable_since_ms: row.unreadable_since_ms,
        terms_gone_since_ms: row.unreadable_since_ms,
        bytes_gone_since_ms: row.gone_since_ms,
        certificate: row.receipt,
    }
}
