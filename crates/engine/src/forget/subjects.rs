//! Finds everything that a tenant knows a person under.

use std::sync::Arc;

use attestore_record::{Handle, SubjectRef};
use hashbrown::HashSet;

use super::erase::{ErasureRow, ErasureState, LeavingRow};
use crate::catalog::{of_tenant, tables};
use crate::error::{Error, Result};
use crate::instance::Inner;
use crate::read::readers::segment_error;
use crate::read::snapshot;
use crate::tenant::{FileSet, Tenant};

/// A handle of a person, and the row that leads to it.
pub(crate) struct Known {
    pub(crate) row: LeavingRow,
    pub(crate) handle: Handle,
    /// The erasure that was taken back and still has the row: the directory has a newer one.
    pub(crate) kept_by: Option<[u8; 16]>,
}

/// Everything that the catalog knows people under. What is in the log only is flushed before: a person may be in nothing else.
/// Called with [`Tenant::deciding`] held.
///
/// # Errors
/// As flushes and reads.
pub(crate) fn known(inner: &Inner, tenant: &Arc<Tenant>, subjects: &[SubjectRef]) -> Result<Vec<Known>> {
    crate::flush::round(inner, |other| other.id == tenant.id)?;
    let txn = inner.catalog.read()?;
    let taken_back: Vec<([u8; 16], ErasureRow)> = of_tenant::of(&txn, tables::ERASURES, &tenant.id)?
        .into_iter()
        .filter(|(_, row): &(_, ErasureRow)| row.state == ErasureState::Cancelled)
        .collect();
    drop(txn);
    let mut known: Vec<Known> = Vec::new();
    let mut take = |row: LeavingRow, kept_by| -> Result<()> {
        let found = row.open(&inner.catalog, &tenant.id, &tenant.keys.ring())?;
        if known.iter().all(|other| other.handle != found.handle) {
            known.push(Known {
                row,
                handle: found.handle,
                kept_by,
            });
        }
        Ok(())
    };
    for subject in subjects {
        let (blind, row) = tenant.directory.look_up(tenant, subject)?;
        if let Some(row) = row {
            take(LeavingRow::new(&blind, &row), None)?;
        }
        for (id, erasure) in &taken_back {
            for kept in &erasure.subjects {
                if kept.parse()?.0 == blind {
                    take(kept.clone(), Some(*id))?;
                }
            }
        }
    }
    Ok(known)
}

/// The records of a log's first `size` with groups about somebody of `handles`: seqs, ascending. What is in the log only counts
/// too; those that are gone but still in a file do as well.
///
/// # Errors
/// As reads.
pub(crate) fn seqs_about(
    inner: &Inner,
    tenant: &Tenant,
    handles: &HashSet<[u8; 16]>,
    size: u64,
) -> Result<Vec<u64>> {
    snapshot(tenant, |view| {
        let mut seqs = Vec::new();
        for set in view.flushed.iter() {
            seqs.extend(seqs_in(inner, tenant, set, handles)?);
        }
        for record in view.tail.iter(view.tail.range()) {
            let mut about = record.groups.iter().flat_map(|group| &group.handles);
            if about.any(|handle| handles.contains(handle.as_bytes())) {
                seqs.push(record.seq);
            }
        }
        seqs.retain(|seq| *seq < size);
        seqs.sort_unstable();
        seqs.dedup();
        Ok(seqs)
    })
}

/// The records of a segment with groups about somebody of `handles`.
///
/// # Errors
/// As reads.
pub(crate) fn seqs_in(
    inner: &Inner,
    tenant: &Tenant,
    set: &FileSet,
    handles: &HashSet<[u8; 16]>,
) -> Result<Vec<u64>> {
    let Some(row) = &set.sub else {
        return Ok(Vec::new());
    };
    let reader = inner.readers.sub(inner, tenant, row)?;
    let about = |set: &[[u8; 16]]| set.iter().any(|handle| handles.contains(handle));
    if !reader.handle_sets().any(about) {
        return Ok(Vec::new());
    }
    let sets = reader.sets().map_err(segment_error)?;
    let sets = sets.into_iter().filter(|set| about(&set.handles));
    Ok(sets.flat_map(|set| set.seqs).collect())
}

/// A person, as a request names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The type, as `data_subjects` have it.
    pub ty: String,
    /// The id.
    pub id: String,
}

/// Reads people.
///
/// # Errors
/// [`Error::Invalid`].
pub(crate) fn parse(people: &[Person]) -> Result<Vec<SubjectRef>> {
    let invalid = |message: &str| Error::Invalid {
        code: "invalid_subjects",
        message: message.to_owned(),
    };
    if people.is_empty() || people.len() > SUBJECTS_MAX {
        return Err(invalid("`subjects` has 1 to 10000 items"));
    }
    let fits = |person: &Person| !person.ty.is_empty() && !person.id.is_empty();
    if !people.iter().all(fits) {
        return Err(invalid("a subject has a type and an id"));
    }
    Ok(people
        .iter()
        .map(|person| SubjectRef::new(&person.ty, &person.id))
        .collect())
}

const SUBJECTS_MAX: usize = 10_000;
