//! A split: an immutable index over some records of one tenant.

mod builder;
mod bundle;
mod directory;
mod expose;
mod merge;
mod terms;
#[cfg(test)]
mod tests;

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use tantivy::directory::{Directory, FileSlice, OwnedBytes};
use tantivy::index::SegmentComponent;
use tantivy::{Index, Segment, SegmentReader};

pub use builder::SplitBuilder;
pub use merge::merge;

use crate::Error;
use crate::cache::{Cache, read_exact};
use crate::policy::IndexPolicy;
use crate::schema::SEQ;
use bundle::Manifest;
use directory::{BundleDirectory, Medium};

/// Plaintext of a sealed split, readable by range. Damage shows as an error of `read`.
pub trait Source: Send + Sync {
    /// Returns the length of the plaintext (bytes).
    fn len(&self) -> u64;

    /// Returns exactly the bytes of `range`.
    ///
    /// # Errors
    /// Whatever keeps the bytes from being read and authenticated.
    fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>>;

    /// Tells whether there are no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a split covers. Ranges are inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Number of records.
    pub docs: u64,
    /// Lowest seq.
    pub min_seq: u64,
    /// Highest seq.
    pub max_seq: u64,
    /// Earliest time of occurrence (ns since 1970).
    pub min_occurred_ns: i64,
    /// Latest time of occurrence (ns since 1970).
    pub max_occurred_ns: i64,
    /// Earliest time of receipt (ms since 1970).
    pub min_received_ms: u64,
    /// Latest time of receipt (ms since 1970).
    pub max_received_ms: u64,
}

impl Summary {
    /// Joins the summaries of two sets of records that share none.
    pub(crate) fn union(self, other: Self) -> Self {
        Self {
            docs: self.docs + other.docs,
            min_seq: self.min_seq.min(other.min_seq),
            max_seq: self.max_seq.max(other.max_seq),
            min_occurred_ns: self.min_occurred_ns.min(other.min_occurred_ns),
            max_occurred_ns: self.max_occurred_ns.max(other.max_occurred_ns),
            min_received_ms: self.min_received_ms.min(other.min_received_ms),
            max_received_ms: self.max_received_ms.max(other.max_received_ms),
        }
    }
}

/// An immutable index over some records of one tenant, in memory or over sealed bytes. Cloning shares it.
#[derive(Clone)]
pub struct Split {
    inner: Arc<Inner>,
}

struct Inner {
    summary: Summary,
    policy: IndexPolicy,
    medium: Arc<Medium>,
    segment: Segment,
    reader: SegmentReader,
}

impl Split {
    /// Opens the plaintext of a sealed split. Reads its manifest and the heads of its files, a few chunks.
    ///
    /// # Errors
    /// [`Error::Io`] when the source fails, [`Error::Malformed`] when the bytes are no split, [`Error::Version`] when
    /// the split has to be rebuilt under the current field list.
    pub fn open(source: Arc<dyn Source>, cache: &Cache) -> Result<Self, Error> {
        static NEXT_UID: AtomicU64 = AtomicU64::new(0);
        let uid = NEXT_UID.fetch_add(1, Ordering::Relaxed);
        Self::open_medium(Medium::Sealed {
            uid,
            source,
            cache: cache.clone(),
            opened: AtomicU64::new(0),
        })
    }

    /// Opens a bundle that is held in memory.
    ///
    /// # Errors
    /// As [`Split::open`].
    pub fn open_bytes(bytes: Vec<u8>) -> Result<Self, Error> {
        Self::open_medium(Medium::Memory(OwnedBytes::new(bytes)))
    }

    /// Opens the same split from plain files in `folder`, written there when they are missing, through the library's
    /// own directory.
    ///
    /// # Errors
    /// As [`Split::open`].
    #[cfg(feature = "bench-mmap")]
    #[doc(hidden)]
    #[expect(clippy::disallowed_methods, reason = "a benchmark's files")]
    pub fn mapped(&self, folder: &std::path::Path) -> Result<Self, Error> {
        let manifest = Manifest::read(&self.inner.medium)?;
        for (name, range) in &manifest.files {
            if !folder.join(name).exists() {
                let bytes = self.inner.medium.read(range.clone())?;
                std::fs::write(folder.join(name), bytes.as_slice())?;
            }
        }
        let directory =
            tantivy::directory::MmapDirectory::open(folder).map_err(tantivy::TantivyError::from)?;
        Self::open_in(directory, Arc::clone(&self.inner.medium), manifest)
    }

    fn open_medium(medium: Medium) -> Result<Self, Error> {
        let mut manifest = Manifest::read(&medium)?;
        let medium = Arc::new(medium);
        let directory = BundleDirectory::new(Arc::clone(&medium), std::mem::take(&mut manifest.files));
        Self::open_in(directory, medium, manifest)
    }

    fn open_in(
        directory: impl Into<Box<dyn Directory>>,
        medium: Arc<Medium>,
        manifest: Manifest,
    ) -> Result<Self, Error> {
        let Manifest { summary, policy, .. } = manifest;
        let index = Index::open(directory)?;
        let mut segments = index.searchable_segments()?;
        let (Some(segment), true) = (segments.pop(), segments.is_empty()) else {
            return Err(Error::Malformed("a split has exactly one segment".to_owned()));
        };
        let reader = SegmentReader::open(&segment)?;
        if u64::from(reader.max_doc()) != summary.docs || summary.docs == 0 || reader.has_deletes() {
            return Err(Error::Malformed(
                "number of records differs from the manifest".to_owned(),
            ));
        }
        Ok(Self {
            inner: Arc::new(Inner {
                summary,
                policy,
                medium,
                segment,
                reader,
            }),
        })
    }

    /// Returns the bytes to seal: what [`Split::open`] reads.
    ///
    /// # Errors
    /// [`Error::Io`] when a sealed split cannot be read.
    pub fn bundle(&self) -> Result<Vec<u8>, Error> {
        match &*self.inner.medium {
            Medium::Memory(bytes) => Ok(bytes.as_slice().to_vec()),
            Medium::Sealed { source, .. } => Ok(read_exact(&**source, 0..source.len())?.as_slice().to_vec()),
        }
    }

    /// Returns the length of [`Split::bundle`] (bytes); for a split in memory, about the memory it takes.
    pub fn bytes(&self) -> u64 {
        self.inner.medium.len()
    }

    /// Returns the bytes that were read from the source since the split was opened: what the cache did not hold. 0 in
    /// memory.
    pub fn opened_bytes(&self) -> u64 {
        self.inner.medium.opened_bytes()
    }

    /// Returns what the split covers.
    pub fn summary(&self) -> Summary {
        self.inner.summary
    }

    /// Reads the seqs of its records, in its order: ascending.
    ///
    /// # Errors
    /// [`Error::Io`] when a sealed split cannot be read.
    pub fn seqs(&self) -> Result<Vec<u64>, Error> {
        let column = self.inner.reader.fast_fields().u64(SEQ)?;
        Ok((0..self.inner.reader.max_doc())
            .filter_map(|doc| column.first(doc))
            .collect())
    }

    /// Returns the policy under which the split was built.
    pub fn policy(&self) -> &IndexPolicy {
        &self.inner.policy
    }

    /// The schema of the split's policy.
    #[cfg(test)]
    pub(crate) fn schema(&self) -> &'static tantivy::schema::Schema {
        crate::schema::fields().schema(&self.inner.policy)
    }

    /// One of the files of the index.
    fn open_read(&self, component: SegmentComponent) -> Result<FileSlice, Error> {
        let file = self.inner.segment.open_read(component);
        Ok(file.map_err(tantivy::TantivyError::from)?)
    }

    pub(crate) fn reader(&self) -> &SegmentReader {
        &self.inner.reader
    }
}

impl std::fmt::Debug for Split {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Split")
            .field("summary", &self.inner.summary)
            .finish_non_exhaustive()
    }
}
