//! Memory for bytes of sealed splits: one bound over all of them.
//!
//! Two kinds of entries share it. Opening a split reads many small neighbouring ranges, which are served from chunks
//! of [`CHUNK`] bytes. Longer ranges (columns, dictionary blocks, postings) are asked for again with the very same
//! bounds, so each is kept as one piece and handed out without copying.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache as Store;
use tantivy::directory::OwnedBytes;

use crate::split::Source;

/// Size of a cached chunk, that of the sealed container's own chunks (bytes).
pub(crate) const CHUNK: u64 = 16 * 1024;
/// Default bound of a cache (bytes).
pub const CACHE_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;
/// Ranges over more than this share of the bound are not kept.
const SHARE_MAX: u64 = 4;
/// Bookkeeping counted per entry (bytes).
const ENTRY_BYTES: u64 = 96;

/// Bounded cache of opened bytes, shared by all sealed splits. Cloning shares it.
#[derive(Clone)]
pub struct Cache {
    store: Arc<Store<Key, OwnedBytes, Bytes>>,
    bytes_max: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    split: u64,
    start: u64,
    end: u64,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<Key, OwnedBytes> for Bytes {
    fn weight(&self, _: &Key, value: &OwnedBytes) -> u64 {
        u64::try_from(value.len())
            .unwrap_or(u64::MAX)
            .saturating_add(ENTRY_BYTES)
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self::new(CACHE_BYTES_DEFAULT)
    }
}

impl Cache {
    /// Makes a cache that keeps at most `bytes_max` bytes, bookkeeping included.
    pub fn new(bytes_max: u64) -> Self {
        let entries = usize::try_from(bytes_max / CHUNK)
            .unwrap_or(usize::MAX)
            .clamp(16, 1 << 20);
        Self {
            store: Arc::new(Store::with_weighter(entries, bytes_max, Bytes)),
            bytes_max,
        }
    }

    /// Returns the bytes held now.
    pub fn bytes(&self) -> u64 {
        self.store.weight()
    }

    /// Reads `range` of the split `split`, whose plaintext is `source`.
    pub(crate) fn read(&self, split: u64, source: &dyn Source, range: Range<u64>) -> io::Result<OwnedBytes> {
        let first = range.start / CHUNK;
        if range.is_empty() || (range.end - 1) / CHUNK == first {
            return self.read_in_chunk(split, source, range, first);
        }
        let key = Key {
            split,
            start: range.start,
            end: range.end,
        };
        if let Some(bytes) = self.store.get(&key) {
            return Ok(bytes);
        }
        let bytes = read_exact(source, range)?;
        self.keep(key, &bytes);
        Ok(bytes)
    }

    /// Forgets what is held of `split`.
    pub(crate) fn forget(&self, split: u64) {
        self.store.retain(|key, _| key.split != split);
    }

    fn read_in_chunk(
        &self,
        split: u64,
        source: &dyn Source,
        range: Range<u64>,
        chunk: u64,
    ) -> io::Result<OwnedBytes> {
        let start = chunk * CHUNK;
        let end = (start + CHUNK).min(source.len());
        let key = Key { split, start, end };
        let bytes = match self.store.get(&key) {
            Some(bytes) => bytes,
            None => {
                let bytes = read_exact(source, start..end)?;
                self.keep(key, &bytes);
                bytes
            }
        };
        slice(&bytes, range.start - start..range.end - start)
    }

    fn keep(&self, key: Key, bytes: &OwnedBytes) {
        if (key.end - key.start) <= self.bytes_max / SHARE_MAX {
            self.store.insert(key, bytes.clone());
        }
    }
}

/// Reads a range that must come back whole.
pub(crate) fn read_exact(source: &dyn Source, range: Range<u64>) -> io::Result<OwnedBytes> {
    let wanted = range.end.saturating_sub(range.start);
    let bytes = source.read(range)?;
    if u64::try_from(bytes.len()).ok() != Some(wanted) {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "source returned fewer bytes than asked for",
        ));
    }
    Ok(OwnedBytes::new(bytes))
}

/// Slices without panicking.
pub(crate) fn slice(bytes: &OwnedBytes, range: Range<u64>) -> io::Result<OwnedBytes> {
    let bounds = usize::try_from(range.start)
        .ok()
        .zip(usize::try_from(range.end).ok());
    match bounds {
        Some((start, end)) if start <= end && end <= bytes.len() => Ok(bytes.slice(start..end)),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "range beyond the end",
        )),
    }
}
