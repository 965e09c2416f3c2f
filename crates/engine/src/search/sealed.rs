//! Splits in sealed `.idx` files.

use std::{cell::Cell, io, ops::Range, sync::Arc};

use attestore_index::{Source, Split};
use attestore_record::TenantId;
use attestore_segment::Container;

use super::{index_error, policy::split_row};
use crate::{
    catalog::SplitRow,
    error::{Error, Result},
    instance::Inner,
    read::readers,
    tenant::{FileSet, Tenant},
};

/// Names an opened split: tenant, segment, generation of its `.idx`.
pub(super) type SetKey = (TenantId, u64, u32);

/// Opens the split of a segment; `None` when there is none, or none that can be used: its records are scanned until it is built
/// again.
///
/// # Errors
/// Only what is not the split's own fault: keys, the deadline, a file that was replaced since the snapshot was taken. Damage is
/// logged, and the split is built again in the background.
pub(super) fn open(inner: &Inner, tenant: &Tenant, set: &FileSet) -> Result<Option<Split>> {
    let Some(row) = &set.idx else {
        return Ok(None);
    };
    let key = (tenant.id, set.set, row.generation);
    if let Some(split) = inner.search.sealed.get(&key) {
        return Ok(Some(split));
    }
    if inner.search.rebuilds.is_damaged(&key) {
        return Ok(None);
    }
    let opened = readers::container(inner, tenant, row).and_then(|container| {
        Split::open(Arc::new(Sealed(container)), &inner.search.cache).map_err(index_error)
    });
    match opened {
        Ok(split) => {
            inner.search.sealed.insert(key, split.clone());
            Ok(Some(split))
        }
        Err(error @ (Error::Key(_) | Error::Deadline)) => Err(error),
        // Whoever replaced it has a newer view to show.
        Err(error) if !inner.catalog.has_file(&tenant.id, row)? => Err(error),
        Err(error) => {
            damaged(inner, tenant, set, &error);
            Ok(None)
        }
    }
}

/// What the split of a segment holds: seqs, and what its row should say of it; `None` as of [`open`].
///
/// # Errors
/// As [`open`].
pub(crate) fn contents(
    inner: &Inner,
    tenant: &Tenant,
    set: &FileSet,
) -> Result<Option<(Vec<u64>, SplitRow)>> {
    let Some(split) = open(inner, tenant, set)? else {
        return Ok(None);
    };
    match split.seqs() {
        Ok(seqs) => Ok(Some((seqs, split_row(&split)))),
        Err(error) => {
            damaged(inner, tenant, set, &error);
            Ok(None)
        }
    }
}

/// Notes that a segment's split cannot be used.
pub(super) fn damaged(inner: &Inner, tenant: &Tenant, set: &FileSet, error: &dyn std::fmt::Display) {
    if let Some(row) = &set.idx {
        tracing::warn!(path = %row.path.display(), %error, "a split is unusable; it is built again from its records");
        let key = (tenant.id, set.set, row.generation);
        inner.search.sealed.remove(&key);
        inner.search.rebuilds.note_damaged(key, &tenant.name);
    }
}

/// Bytes of sealed splits that this thread has opened so far.
pub(super) fn opened_bytes() -> u64 {
    OPENED.get()
}

thread_local! {
    static OPENED: Cell<u64> = const { Cell::new(0) };
}

/// The plaintext of a sealed `.idx`.
struct Sealed(Container);

impl Source for Sealed {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let bytes = self.0.read(range).map_err(io::Error::other)?;
        OPENED.set(OPENED.get().wrapping_add(bytes.len() as u64));
        Ok(bytes)
    }
}
