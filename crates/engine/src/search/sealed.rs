//! Splits in sealed `.idx` files.

use std::{io, ops::Range, sync::Arc};

use attestore_index::{Source, Split};
use attestore_record::TenantId;
use attestore_segment::Container;

use super::index_error;
use crate::{
    error::{Error, Result},
    instance::Inner,
    read::readers,
    tenant::{FileSet, Tenant},
};

/// Names an opened split: tenant, segment, generation of its `.idx`.
pub(super) type SetKey = (TenantId, u64, u32);

/// What a segment's own split is good for.
pub(super) enum Opened {
    /// It answers.
    Split(Split),
    /// There is none, or it cannot be used: the records have to be indexed again.
    Unusable,
}

/// Opens the split of a segment.
///
/// # Errors
/// Only what is not the split's own fault: keys, the deadline. Damage makes it unusable and is logged.
pub(super) fn open(inner: &Inner, tenant: &Tenant, set: &FileSet) -> Result<Opened> {
    let Some(row) = &set.idx else {
        return Ok(Opened::Unusable);
    };
    let key = (tenant.id, set.set, row.generation);
    if let Some(split) = inner.search.sealed.get(&key) {
        return Ok(Opened::Split(split));
    }
    let opened = readers::container(inner, tenant, row).and_then(|container| {
        Split::open(Arc::new(Sealed(container)), &inner.search.cache).map_err(index_error)
    });
    match opened {
        Ok(split) => {
            inner.search.sealed.insert(key, split.clone());
            Ok(Opened::Split(split))
        }
        Err(error @ (Error::Key(_) | Error::Deadline)) => Err(error),
        Err(error) => {
            tracing::warn!(path = %row.path.display(), %error, "split is unusable; its records are indexed again");
            Ok(Opened::Unusable)
        }
    }
}

/// The plaintext of a sealed `.idx`.
struct Sealed(Container);

impl Source for Sealed {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        self.0.read(range).map_err(io::Error::other)
    }
}
