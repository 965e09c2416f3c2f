//! The tree of one tenant at one snapshot: entries and nodes from disk below the flushed count, from the tail above.
//!
//! Files are read with `pread` at the offsets that the catalog's count allows; what lies beyond it is never looked at.

use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use attestore_disk::{Disk, File, Mode};
use attestore_record::{Entry, TenantId, entry::ENTRY_BYTES};
use attestore_tlog::{
    BuildError, Hash, LeafSource, SubtreeError, SubtreeReader, TILE_HEIGHT, leaf_hash, node_hash,
    root_at as tlog_root_at,
};
use parking_lot::Mutex;

use crate::{
    error::{Error, Result},
    instance::Inner,
    tenant::{Tenant, View},
};

/// Reads the tree of a snapshot.
pub(crate) struct Tree<'a> {
    files: LogFiles,
    view: &'a View,
}

/// A [`Tree`] that answers for any node.
pub(crate) type Reader<'a> = SubtreeReader<Tree<'a>>;

/// Makes a reader of the tree of `view`.
pub(crate) fn reader<'a>(inner: &Inner, tenant: &Tenant, view: &'a View) -> Reader<'a> {
    SubtreeReader::new(Tree {
        files: LogFiles::new(Arc::clone(&inner.disk), &tenant.id),
        view,
    })
}

/// Computes the root of the first `size` entries.
///
/// # Errors
/// [`Error::BeyondTree`], [`Error::Damage`], [`Error::Io`].
pub(crate) fn root_at(inner: &Inner, tenant: &Tenant, view: &View, size: u64) -> Result<Hash> {
    if size > view.size {
        return Err(Error::BeyondTree { size: view.size });
    }
    tlog_root_at(&reader(inner, tenant, view), size).map_err(|error| build_error(error, view.size))
}

/// Turns a failure of building a proof into this crate's error.
pub(crate) fn build_error(error: BuildError<SubtreeError<Error>>, size: u64) -> Error {
    match error {
        BuildError::Range { .. } | BuildError::Size(_) => Error::BeyondTree { size },
        BuildError::Read(error) => subtree_error(error),
    }
}

/// Turns a failure of reading nodes into this crate's error.
pub(crate) fn subtree_error(error: SubtreeError<Error>) -> Error {
    match error {
        SubtreeError::Source(error) => error,
        error @ SubtreeError::Count { .. } => Error::Io(error.to_string()),
    }
}

impl Tree<'_> {
    /// Reads the entries of `range`, which must be within the snapshot.
    pub(crate) fn entries(&self, range: Range<u64>) -> Result<Vec<[u8; ENTRY_BYTES]>> {
        if range.end > self.view.size {
            return Err(Error::BeyondTree { size: self.view.size });
        }
        let flushed = self.view.flushed_count();
        let mut entries = self
            .files
            .entries(range.start.min(flushed)..range.end.min(flushed))?;
        for seq in range.start.max(flushed)..range.end {
            let record = self.view.tail.get(seq).ok_or_else(|| lost(seq))?;
            entries.push(record.entry.to_bytes());
        }
        Ok(entries)
    }

    /// Reads the times of receipt of the entries of `range`.
    pub(crate) fn times(&self, range: Range<u64>) -> Result<Vec<u64>> {
        let first = range.start;
        let parse = |(at, bytes): (u64, [u8; ENTRY_BYTES])| {
            Entry::from_bytes(&bytes)
                .map(|entry| entry.time_ms)
                .map_err(|error| {
                    Error::damage(
                        self.files.path(0),
                        (first + at) * ENTRY_BYTES as u64,
                        error.to_string(),
                    )
                })
        };
        (0..).zip(self.entries(range)?).map(parse).collect()
    }

    /// Reads one entry.
    pub(crate) fn entry(&self, seq: u64) -> Result<Entry> {
        if let Some(record) = self.view.tail.get(seq) {
            return Ok(record.entry);
        }
        if seq >= self.view.flushed_count() {
            return Err(Error::UnknownRecord);
        }
        self.files.entry(seq)
    }

    /// One stored node: from its file, from the tail, or put together from those below it.
    fn node(&self, level: u8, index: u64) -> Result<Hash> {
        let first = index << level;
        if level == TILE_HEIGHT
            && let Some(node) = self.view.tail.node8(index)
        {
            return Ok(node);
        }
        let end = first + (1 << level);
        if end > self.view.size {
            return Err(Error::BeyondTree { size: self.view.size });
        }
        let below = index << TILE_HEIGHT..(index + 1) << TILE_HEIGHT;
        let mut hashes = Vec::with_capacity(1 << TILE_HEIGHT);
        if level == TILE_HEIGHT {
            self.leaves(below, &mut hashes)?;
        } else {
            self.stored(level - TILE_HEIGHT, below, &mut hashes)?;
        }
        Ok(fold(hashes))
    }
}

impl LeafSource for Tree<'_> {
    type Error = Error;

    fn leaves(&self, range: Range<u64>, out: &mut Vec<Hash>) -> Result<()> {
        let flushed = self.view.flushed_count();
        let entries = self
            .files
            .entries(range.start.min(flushed)..range.end.min(flushed))?;
        out.extend(entries.iter().map(|entry| leaf_hash(entry)));
        for seq in range.start.max(flushed)..range.end {
            out.push(self.view.tail.leaf(seq).ok_or_else(|| lost(seq))?);
        }
        Ok(())
    }

    fn stored(&self, level: u8, range: Range<u64>, out: &mut Vec<Hash>) -> Result<()> {
        let on_disk = self.view.flushed_count() >> level;
        let split = range.end.min(on_disk).max(range.start);
        self.files.nodes(level, range.start..split, out)?;
        for index in split..range.end {
            out.push(self.node(level, index)?);
        }
        Ok(())
    }
}

/// The `entries` and `nodes.<L>` files of one tenant. Opened when first read.
pub(crate) struct LogFiles {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    open: Mutex<Vec<(u8, Arc<dyn File>)>>,
}

impl LogFiles {
    pub(crate) fn new(disk: Arc<dyn Disk>, tenant: &TenantId) -> Self {
        Self {
            disk,
            folder: Path::new("tenants").join(tenant.to_string()),
            open: Mutex::default(),
        }
    }

    /// Path of the entries (level 0) or of the nodes of a level.
    pub(crate) fn path(&self, level: u8) -> PathBuf {
        if level == 0 {
            self.folder.join("entries")
        } else {
            self.folder.join(format!("nodes.{level}"))
        }
    }

    /// Reads entries below the flushed count.
    pub(crate) fn entries(&self, range: Range<u64>) -> Result<Vec<[u8; ENTRY_BYTES]>> {
        let bytes = self.read(0, range, ENTRY_BYTES)?;
        let (entries, _) = bytes.as_chunks::<ENTRY_BYTES>();
        Ok(entries.to_vec())
    }

    /// Reads and parses one entry below the flushed count.
    pub(crate) fn entry(&self, seq: u64) -> Result<Entry> {
        let bytes = self.read(0, seq..seq + 1, ENTRY_BYTES)?;
        Entry::from_bytes(&bytes)
            .map_err(|error| Error::damage(self.path(0), seq * ENTRY_BYTES as u64, error.to_string()))
    }

    /// Appends stored nodes to `out`.
    pub(crate) fn nodes(&self, level: u8, range: Range<u64>, out: &mut Vec<Hash>) -> Result<()> {
        let bytes = self.read(level, range, Hash::LEN)?;
        let (hashes, _) = bytes.as_chunks::<{ Hash::LEN }>();
        out.extend(hashes.iter().copied().map(Hash));
        Ok(())
    }

    fn read(&self, level: u8, range: Range<u64>, width: usize) -> Result<Vec<u8>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let count =
            usize::try_from(range.end - range.start).map_err(|_| Error::Io("range too long".into()))?;
        let mut bytes = vec![0; count.saturating_mul(width)];
        let offset = range.start.saturating_mul(width as u64);
        self.file(level)?
            .read_exact_at(&mut bytes, offset)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    Error::damage(self.path(level), offset, "the file ends too early")
                }
                _ => error.into(),
            })?;
        Ok(bytes)
    }

    fn file(&self, level: u8) -> Result<Arc<dyn File>> {
        let mut open = self.open.lock();
        if let Some((_, file)) = open.iter().find(|(of, _)| *of == level) {
            return Ok(Arc::clone(file));
        }
        let file = self
            .disk
            .open(&self.path(level), Mode::Read)
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => Error::damage(self.path(level), 0, "the file is missing"),
                _ => error.into(),
            })?;
        open.push((level, Arc::clone(&file)));
        Ok(file)
    }
}

/// Folds the 256 hashes of a complete subtree of height eight into its root.
fn fold(mut hashes: Vec<Hash>) -> Hash {
    debug_assert_eq!(hashes.len(), 1 << TILE_HEIGHT);
    while hashes.len() > 1 {
        hashes = hashes
            .chunks_exact(2)
            .map(|pair| node_hash(&pair[0], &pair[1]))
            .collect();
    }
    hashes.pop().unwrap_or(attestore_tlog::EMPTY_ROOT)
}

fn lost(seq: u64) -> Error {
    Error::Io(format!("record {seq} is neither flushed nor in the tail"))
}
